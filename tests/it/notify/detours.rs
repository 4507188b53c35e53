//! Receivers that do not answer as they should.

use std::time::{Duration, Instant};

use redrive::alerts::receivers::ReceiverTerms;
use redrive::model::Timestamp;
use redrive::model::delivery::DeliveryState;
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::receiver::{Endpoint, ReceiverKind, Secret};

use super::{Scene, actor, alert, firing, notification};
use crate::harness::notify::{Answer, Receiver};

/// Later than any wait of the ladder.
const LATER: Duration = Duration::from_hours(2);

fn status(code: u16) -> Answer {
    Answer::Status(code, "", format!("status {code}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_trouble_ends_in_one_delivery_under_one_id() {
    let scene = Scene::hurried().await;
    let elsewhere = Receiver::start(Vec::new()).await;
    let target: &'static str = Box::leak(format!("location: {}\r\n", elsewhere.url("/stolen")).into_boxed_str());
    let trouble = vec![
        status(500),
        Answer::Silence,
        Answer::DripHead,
        Answer::Hangup,
        Answer::Status(302, target, String::new()),
        Answer::Status(307, target, String::new()),
        status(429),
        status(404),
    ];
    let attempts = u32::try_from(trouble.len()).unwrap() + 1;
    let receiver = Receiver::start(trouble).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let ids = scene.tell(&firing(1), &[id]).await;
    let delivered = scene.until(&ids[0], DeliveryState::Delivered, LATER).await;
    assert_eq!(delivered.attempts, attempts);
    assert_eq!(receiver.ids().into_iter().collect::<Vec<_>>(), [(ids[0].clone(), attempts as usize)]);
    assert!(delivered.uncertain, "after a silence nobody knows whether it had arrived");
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    let log = scene.world.store.list_attempts(delivered.number).await.unwrap();
    let statuses: Vec<Option<u16>> = log.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), None, None, None, Some(302), Some(307), Some(429), Some(404), Some(200)]);
    assert_eq!(log[0].answer.as_deref(), Some("status 500"));
    assert!(log[1].error.as_deref().unwrap().contains("no answer within 2 s") && log[4].error.as_deref().unwrap().contains("redirects"));
    assert!(log[..8].iter().all(|attempt| attempt.next_at.is_some()) && log[8].next_at.is_none());
    assert!(log[1].took >= Duration::from_secs(2) && log[1].took < Duration::from_secs(4), "{:?}", log[1].took);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_cost_neither_time_nor_memory_and_count_as_taken() {
    let scene = Scene::hurried().await;
    let receiver = Receiver::start(vec![Answer::Huge, Answer::DripBody]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let huge = scene.tell(&firing(1), &[id]).await;
    let delivery = scene.until(&huge[0], DeliveryState::Delivered, LATER).await;
    let log = scene.world.store.list_attempts(delivery.number).await.unwrap();
    assert_eq!(log[0].answer.as_deref().map(str::len), Some(4_096));
    assert!(receiver.written() < 9_000_000, "the connection ends with what is read: {}", receiver.written());
    receiver.plan(vec![Answer::DripBody; 8]);
    let begun = Instant::now();
    let several = (2..10).map(|number| alert(number, NotifiedStatus::Firing)).collect();
    for id in scene.tell(&notification(Reason::First, several), &[id]).await {
        let slow = scene.until(&id, DeliveryState::Delivered, LATER).await;
        assert_eq!((slow.attempts, slow.last_status, receiver.ids()[&id]), (1, Some(200), 1), "its head came in time");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "four at once: {:?}", begun.elapsed());
    assert_eq!(receiver.ids().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_receiver_delays_no_other() {
    let scene = Scene::new().await;
    let dead = Receiver::start(vec![Answer::Silence; 40]).await;
    let alive = Receiver::start(Vec::new()).await;
    let dead_id = scene.add("dead", ReceiverKind::Slack, &dead.url("/dead")).await;
    let alive_id = scene.add("alive", ReceiverKind::Webhook, &alive.url("/alive")).await;
    let mut told = Vec::new();
    for number in 0..5 {
        told.extend(scene.tell(&notification(Reason::First, vec![alert(number, NotifiedStatus::Firing)]), &[dead_id, alive_id]).await);
    }
    let begun = Instant::now();
    for id in told.iter().skip(1).step_by(2) {
        scene.until(id, DeliveryState::Delivered, Duration::ZERO).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(alive.ids().len(), 5);
    scene.until(&told[0], DeliveryState::Failed, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_one_alert_arrives_in_order() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![status(500), status(500)]).await;
    let id = scene.add("pager", ReceiverKind::Pagerduty, &receiver.url("/v2/enqueue")).await;
    let fired = scene.tell(&firing(1), &[id]).await;
    scene.until(&fired[0], DeliveryState::Failed, Duration::ZERO).await;
    let resolved = scene.tell(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[id]).await;
    scene.deliveries.go_on(Timestamp::now()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.find(&resolved[0]).await.attempts, 0, "a resolve never goes before its trigger");
    scene.until(&resolved[0], DeliveryState::Delivered, LATER).await;
    let actions: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| serde_json::from_str::<serde_json::Value>(&request.body).unwrap()["event_action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["trigger", "trigger", "trigger", "resolve"]);
}

/// Not now, and not within the hour.
fn in_an_hour() -> Answer {
    Answer::Status(503, "retry-after: 3600\r\n", String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_alert_does_not_wait_an_hour_for_the_next_try_of_its_beginning() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![in_an_hour()]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let fired = scene.tell(&firing(1), &[id]).await;
    scene.until(&fired[0], DeliveryState::Failed, Duration::ZERO).await;
    let resolved = scene.tell(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[id]).await;
    scene.until(&resolved[0], DeliveryState::Delivered, Duration::ZERO).await;
    let told: Vec<String> = receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(told, [fired[0].clone(), fired[0].clone(), resolved[0].clone()], "first its beginning, then its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_for_its_next_try_holds_up_none_of_its_group_and_tells_nothing_that_is_over() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![in_an_hour()]).await;
    let id = scene.add("#payments", ReceiverKind::Slack, &receiver.url("/services/T/B/x")).await;
    let said = |number: usize| receiver.requests()[number].body.clone();
    let both = vec![alert(1, NotifiedStatus::Firing), alert(2, NotifiedStatus::Firing)];
    let first = scene.tell(&notification(Reason::First, both), &[id]).await;
    scene.until(&first[0], DeliveryState::Failed, Duration::ZERO).await;
    let second = scene.tell(&notification(Reason::SomeResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[id]).await;
    scene.until(&second[0], DeliveryState::Delivered, Duration::ZERO).await;
    // The first one is told at once now: without what has ended meanwhile.
    scene.until(&first[0], DeliveryState::Delivered, Duration::ZERO).await;
    assert!(said(1).contains("orders-1") && !said(2).contains("orders-1") && said(2).contains("orders-2"), "{}", said(2));

    receiver.plan(vec![in_an_hour()]);
    let third = scene.tell(&notification(Reason::NewAlerts, vec![alert(3, NotifiedStatus::Firing)]), &[id]).await;
    scene.until(&third[0], DeliveryState::Failed, Duration::ZERO).await;
    let over = vec![alert(2, NotifiedStatus::Resolved), alert(3, NotifiedStatus::Resolved)];
    let fourth = scene.tell(&notification(Reason::AllResolved, over), &[id]).await;
    scene.until(&fourth[0], DeliveryState::Delivered, Duration::ZERO).await;
    let superseded = scene.until(&third[0], DeliveryState::Superseded, Duration::ZERO).await;
    assert!(superseded.ended_at.is_some() && superseded.last_error.unwrap().contains("later messages have arrived"));
    assert_eq!((superseded.attempts, receiver.requests().len()), (1, 5), "nobody is told that it fires");
    scene.deliveries.redeliver(&third[0], &actor(), Timestamp::now()).await.unwrap();
    scene.until(&third[0], DeliveryState::Delivered, Duration::ZERO).await;
    assert!(said(5).contains("orders-3"), "but who asks for it gets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_is_no_failure_of_notifications_and_a_receiver_that_is_changed_has_not_failed_yet() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![status(500), in_an_hour()]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/typo")).await;
    let failing = async || scene.deliveries.receivers().find(id).await.unwrap().failing_since;
    let tested = scene.deliveries.test(id, &actor(), Timestamp::now()).await.unwrap();
    assert_eq!((tested.state, failing().await), (DeliveryState::GivenUp, None));
    assert_eq!(scene.world.store.count_failing_receivers().await.unwrap(), 0, "no alert comes of it");

    let told = scene.tell(&firing(1), &[id]).await;
    scene.until(&told[0], DeliveryState::Failed, Duration::ZERO).await;
    assert!(failing().await.is_some());
    let endpoint = Endpoint { url: Some(Secret::new(receiver.url("/right"))), ..Endpoint::default() };
    let corrected = ReceiverTerms { name: "hook".to_owned(), kind: ReceiverKind::Webhook, endpoint, remove: Vec::new() };
    scene.deliveries.receivers().change(id, corrected, &actor(), Timestamp::now()).await.unwrap();
    assert_eq!(failing().await, None);
    scene.until(&told[0], DeliveryState::Delivered, Duration::ZERO).await;

    receiver.plan(vec![status(500)]);
    let told = scene.tell(&firing(2), &[id]).await;
    scene.until(&told[0], DeliveryState::Failed, Duration::ZERO).await;
    assert!(failing().await.is_some());
    assert_eq!(scene.deliveries.test(id, &actor(), Timestamp::now()).await.unwrap().state, DeliveryState::Delivered);
    assert_eq!(failing().await, None, "a test that arrives says that it is well again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_answers_again_is_told_at_once_what_waited() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![in_an_hour()]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let first = scene.tell(&firing(1), &[id]).await;
    let failed = scene.until(&first[0], DeliveryState::Failed, Duration::ZERO).await;
    assert!(failed.next_at >= failed.created_at.plus(Duration::from_mins(59)), "Retry-After is honoured");
    let later = scene.tell(&firing(2), &[id]).await;
    scene.until(&later[0], DeliveryState::Delivered, Duration::ZERO).await;
    scene.until(&first[0], DeliveryState::Delivered, Duration::ZERO).await;
    let receiver = scene.deliveries.receivers().find(id).await.unwrap();
    assert_eq!((receiver.failing_since, receiver.delivered_at.is_some()), (None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_flagged_and_never_switched_off() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![status(410)]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let told = scene.tell(&firing(1), &[id]).await;
    scene.until(&told[0], DeliveryState::Failed, Duration::ZERO).await;
    let flagged = scene.deliveries.receivers().find(id).await.unwrap();
    assert!(flagged.gone_at.is_some() && flagged.is_flagged(Timestamp::now()));
    assert_eq!(scene.world.store.count_flagged_receivers(Timestamp::from_millis(0)).await.unwrap(), 1);
    scene.until(&told[0], DeliveryState::Delivered, LATER).await;
    assert!(
        !scene.deliveries.receivers().find(id).await.unwrap().is_flagged(Timestamp::now()),
        "it is tried again, and a success clears it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_within_a_day_is_given_up_and_can_be_sent_again_under_its_id() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![status(500)]).await;
    let id = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let told = scene.tell(&firing(1), &[id]).await;
    scene.until(&told[0], DeliveryState::Failed, Duration::ZERO).await;
    scene.deliveries.give_up(Timestamp::now().plus(Duration::from_hours(23))).await.unwrap();
    assert_eq!(scene.find(&told[0]).await.state, DeliveryState::Failed);
    scene.deliveries.give_up(Timestamp::now().plus(Duration::from_hours(25))).await.unwrap();
    let given_up = scene.find(&told[0]).await;
    assert_eq!((given_up.state, given_up.last_error.as_deref()), (DeliveryState::GivenUp, Some("500 Internal Server Error")));
    scene.deliveries.redeliver(&told[0], &actor(), Timestamp::now()).await.unwrap();
    scene.until(&told[0], DeliveryState::Delivered, Duration::ZERO).await;
    assert_eq!(receiver.ids().into_iter().collect::<Vec<_>>(), [(told[0].clone(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_told_that_a_post_may_be_a_repeat() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![Answer::Hangup]).await;
    let id = scene.add("#payments", ReceiverKind::Slack, &receiver.url("/services/T/B/x")).await;
    let told = scene.tell(&firing(1), &[id]).await;
    scene.until(&told[0], DeliveryState::Delivered, LATER).await;
    let repeats: Vec<bool> = receiver.requests().iter().map(|request| request.body.contains("This may be a repeat")).collect();
    assert_eq!(repeats, [false, true]);
    scene.life.soft().cancel();
}
