//! The outbox, on both engines: what is written, who may claim it, and what comes too late.

use std::time::Duration;

use redrive::model::delivery::{Attempt, DeliveryState};
use redrive::model::notification::{NotifiedAlert, NotifiedStatus, Reason};
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::model::{AuditEntry, Timestamp};
use redrive::store::deliveries::work::Marked;

use super::{Scene, actor, alert, firing, notification};
use crate::store::{World, on_both_engines};

const LEASE: Duration = Duration::from_secs(30);

fn marked(state: DeliveryState, at: Timestamp) -> Marked {
    let attempt =
        Attempt { number: 1, started_at: at, took: Duration::from_millis(5), status: Some(200), answer: None, error: None, next_at: None };
    Marked { attempt, state, next_at: at, uncertain: false, had_by: Vec::new(), gone: false, at }
}

async fn receivers(scene: &Scene) -> (ReceiverId, ReceiverId) {
    let single = scene.add("hook", ReceiverKind::Webhook, "http://127.0.0.1:9/hook").await;
    let whole = scene.add("chat", ReceiverKind::Slack, "http://127.0.0.1:9/chat").await;
    (single, whole)
}

async fn alerts_are_told_singly_or_as_a_whole_and_each_state_once(world: World) {
    let scene = Scene::on(world).await;
    let (single, whole) = receivers(&scene).await;
    let both = vec![alert(1, NotifiedStatus::Firing), alert(2, NotifiedStatus::Firing)];
    let told = scene.tell(&notification(Reason::First, both.clone()), &[single, whole, ReceiverId(404)]).await;
    assert_eq!(told.len(), 3, "one for each alert, one for the whole, none for a receiver that is not there");
    let more = [both.clone(), vec![alert(3, NotifiedStatus::Firing)]].concat();
    assert_eq!(scene.tell(&notification(Reason::NewAlerts, more), &[single]).await.len(), 1, "only what is new");
    let some = vec![alert(1, NotifiedStatus::Resolved), alert(2, NotifiedStatus::Firing)];
    assert_eq!(scene.tell(&notification(Reason::SomeResolved, some), &[single]).await.len(), 1, "only what was resolved");
    let still = vec![alert(2, NotifiedStatus::Firing), alert(3, NotifiedStatus::Firing)];
    assert_eq!(scene.tell(&notification(Reason::Repeat, still), &[single]).await.len(), 2, "a repeat repeats");
    let all = scene.all().await;
    assert_eq!(all.len(), 7);
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|delivery| delivery.id.as_str()).collect();
    assert!(ids.len() == 7 && ids.iter().all(|id| !id.contains('.')), "ids are unique, and what signatures join them by is not in them");
    let singles = all.iter().filter(|delivery| delivery.receiver == single);
    assert!(singles.into_iter().all(|delivery| delivery.notification.alerts.len() == 1));
}

async fn a_claim_is_held_by_one_and_whoever_comes_too_late_writes_nothing_but_the_log(world: World) {
    let scene = Scene::on(world).await;
    let other = scene.world.beside().await;
    let (single, _) = receivers(&scene).await;
    let store = &scene.world.store;
    let told = scene.tell(&firing(1), &[single]).await;
    let now = Timestamp::now();
    assert_eq!(store.list_due_receivers(now).await.unwrap(), [single]);
    let first = store.claim_deliveries(single, 4, LEASE, now).await.unwrap();
    assert_eq!((first.len(), first[0].attempts, first[0].uncertain), (1, 0, false));
    assert!(other.claim_deliveries(single, 4, LEASE, now.plus(LEASE / 2)).await.unwrap().is_empty());
    let late = now.plus(LEASE);
    let second = other.claim_deliveries(single, 4, LEASE, late).await.unwrap();
    assert_eq!(
        (second.len(), second[0].attempts, second[0].uncertain),
        (1, 1, true),
        "an interrupted attempt counts, and may have arrived"
    );
    assert!(!store.mark_delivery(&first[0], &marked(DeliveryState::Failed, late)).await.unwrap(), "the first one comes too late");
    assert_eq!(scene.find(&told[0]).await.state, DeliveryState::Sending);
    assert!(other.mark_delivery(&second[0], &marked(DeliveryState::Delivered, late)).await.unwrap());
    let ended = scene.find(&told[0]).await;
    assert_eq!((ended.state, ended.attempts, ended.ended_at), (DeliveryState::Delivered, 2, Some(late)));
    assert_eq!(store.list_attempts(ended.number).await.unwrap().len(), 3, "every attempt is in the log, the late one too");
    assert!(store.claim_deliveries(single, 4, LEASE, late.plus(LEASE * 9)).await.unwrap().is_empty());
}

async fn of_one_subject_the_oldest_goes_first_and_new_before_old_failures(world: World) {
    let scene = Scene::on(world).await;
    let (single, whole) = receivers(&scene).await;
    let store = &scene.world.store;
    let first = scene.tell(&firing(1), &[single]).await;
    let resolved = scene.tell(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[single]).await;
    let other = scene.tell(&firing(2), &[single]).await;
    let now = Timestamp::now();
    let claimed = store.claim_deliveries(single, 9, LEASE, now).await.unwrap();
    assert_eq!(claimed.iter().map(|delivery| &delivery.id).collect::<Vec<_>>(), [&first[0], &other[0]]);
    assert!(store.mark_delivery(&claimed[0], &marked(DeliveryState::Delivered, now)).await.unwrap());
    assert!(store.mark_delivery(&claimed[1], &marked(DeliveryState::Failed, now)).await.unwrap());
    let claimed = store.claim_deliveries(single, 9, LEASE, now).await.unwrap();
    assert_eq!(claimed.iter().map(|delivery| &delivery.id).collect::<Vec<_>>(), [&resolved[0], &other[0]]);
    assert!(store.list_due_receivers(now).await.unwrap().is_empty());
    scene.tell(&firing(1), &[whole]).await;
    assert_eq!(store.list_due_receivers(Timestamp::now()).await.unwrap(), [whole]);
}

async fn what_has_failed_holds_up_its_alert_and_not_its_group(world: World) {
    let scene = Scene::on(world).await;
    let (single, whole) = receivers(&scene).await;
    let manager = scene.add("am", ReceiverKind::Alertmanager, "http://127.0.0.1:9/hook").await;
    let store = &scene.world.store;
    let (now, hour) = (Timestamp::now(), Duration::from_hours(1));
    let later = now.plus(Duration::from_secs(1));
    let claim = async |to: ReceiverId, at: Timestamp| store.claim_deliveries(to, 9, LEASE, at).await.unwrap();
    let failed = |at: Timestamp| Marked { next_at: at.plus(hour), ..marked(DeliveryState::Failed, at) };
    let fire = notification(Reason::First, vec![alert(1, NotifiedStatus::Firing)]);
    let resolve = notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]);
    for to in [single, whole, manager] {
        let first = store.enqueue(&fire, &[to], now).await.unwrap();
        let claimed = claim(to, now).await;
        assert!(store.mark_delivery(&claimed[0], &failed(now)).await.unwrap());
        assert!(claim(to, now).await.is_empty(), "it waits for its next try");
        let second = store.enqueue(&resolve, &[to], later).await.unwrap();
        let claimed = claim(to, later).await;
        let ids = |claimed: &[redrive::model::delivery::Delivery]| claimed.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        if to == single {
            assert_eq!(ids(&claimed), first, "its next try is now, and goes before");
            assert!(store.mark_delivery(&claimed[0], &failed(later)).await.unwrap());
            assert!(claim(to, later).await.is_empty(), "an end never goes before its beginning");
            continue;
        }
        assert_eq!(ids(&claimed), second, "it does not wait an hour");
        // Nobody else sends of this group meanwhile, also not what is due by now.
        store.redeliver(&first[0], &asked(now)).await.unwrap();
        assert!(claim(to, later).await.is_empty());
        assert!(store.mark_delivery(&claimed[0], &marked(DeliveryState::Delivered, later)).await.unwrap());
        let claimed = claim(to, later).await;
        assert_eq!((ids(&claimed), claimed[0].state, claimed[0].notification.alerts.len()), (first.clone(), DeliveryState::Sending, 1));
        assert!(store.mark_delivery(&claimed[0], &failed(later)).await.unwrap());
        let claimed = claim(to, later.plus(hour)).await;
        assert_eq!((ids(&claimed), claimed[0].state), (first.clone(), DeliveryState::Superseded));
        let ended = scene.find(&first[0]).await;
        assert_eq!((ended.state, ended.ended_at, ended.notification.alerts.len()), (DeliveryState::Superseded, Some(later.plus(hour)), 1));
        assert!(claim(to, later.plus(hour * 9)).await.is_empty());
        let arrived = store.count_arrived(now).await.unwrap().into_iter().find(|arrived| arrived.receiver == to).unwrap();
        assert_eq!((arrived.made, arrived.delivered), (1, 1), "what was superseded is not missing");
    }
}

async fn that_an_alert_was_over_is_not_told_after_it_fires_anew(world: World) {
    let scene = Scene::on(world).await;
    let (_, to) = receivers(&scene).await;
    let store = &scene.world.store;
    let (now, hour) = (Timestamp::now(), Duration::from_hours(1));
    let (later, at_last) = (now.plus(Duration::from_secs(1)), now.plus(hour * 2));
    let claim = async |at: Timestamp| store.claim_deliveries(to, 9, LEASE, at).await.unwrap();
    let failed = |at: Timestamp| Marked { next_at: at.plus(hour), ..marked(DeliveryState::Failed, at) };
    let over = store.enqueue(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[to], now).await.unwrap();
    assert!(store.mark_delivery(&claim(now).await[0], &failed(now)).await.unwrap());
    let first = alert(1, NotifiedStatus::Firing);
    let anew = NotifiedAlert { started_at: first.started_at.plus(hour), ..first };
    store.enqueue(&notification(Reason::First, vec![anew]), &[to], later).await.unwrap();
    assert!(store.mark_delivery(&claim(later).await[0], &marked(DeliveryState::Delivered, later)).await.unwrap());
    let claimed = claim(at_last).await;
    assert_eq!((&claimed[0].id, claimed[0].state), (&over[0], DeliveryState::Superseded));
    // A person wants it told all the same, also when the first try of that fails.
    assert!(store.redeliver(&over[0], &asked(at_last)).await.unwrap());
    assert!(store.mark_delivery(&claim(at_last).await[0], &failed(at_last)).await.unwrap());
    let claimed = claim(at_last.plus(hour)).await;
    assert_eq!((&claimed[0].id, claimed[0].state, claimed[0].notification.alerts.len()), (&over[0], DeliveryState::Sending, 1));
}

/// What two instances do at the same moment, again and again: which of them is first is chance.
const MOMENTS: i64 = 60;

async fn of_two_instances_one_sends_of_a_group(world: World) {
    let scene = Scene::on(world).await;
    let other = scene.world.beside().await;
    let (_, to) = receivers(&scene).await;
    let store = &scene.world.store;
    for moment in 0..MOMENTS {
        let now = Timestamp::now().plus(Duration::from_hours(1) * u32::try_from(moment).unwrap());
        let (due, due_again) = (now.plus(Duration::from_secs(1)), now.plus(Duration::from_secs(10)));
        let about = |at: Timestamp| vec![NotifiedAlert { started_at: at, ..alert(1, NotifiedStatus::Firing) }];
        store.enqueue(&notification(Reason::First, about(now)), &[to], now).await.unwrap();
        let first = store.claim_deliveries(to, 9, LEASE, now).await.unwrap();
        let failed = Marked { next_at: due_again, ..marked(DeliveryState::Failed, now) };
        assert!(store.mark_delivery(&first[0], &failed).await.unwrap());
        store.enqueue(&notification(Reason::NewAlerts, about(due)), &[to], due).await.unwrap();
        // One goes past what has failed, to the other it is due.
        let (one, two) = tokio::join!(store.claim_deliveries(to, 9, LEASE, due), other.claim_deliveries(to, 9, LEASE, due_again));
        let claimed = [one.unwrap(), two.unwrap()].concat();
        assert_eq!(claimed.len(), 1, "moment {moment}: {claimed:?}");
        while let Some(next) = store.claim_deliveries(to, 9, LEASE, due_again.plus(LEASE)).await.unwrap().pop() {
            assert!(store.mark_delivery(&next, &marked(DeliveryState::Delivered, due_again)).await.unwrap());
        }
    }
    other.close().await;
}

async fn a_round_and_a_receiver_that_answers_again_do_not_wait_for_each_other_for_ever(world: World) {
    let scene = Scene::on(world).await;
    let other = scene.world.beside().await;
    let (to, _) = receivers(&scene).await;
    let (to_one, store) = ([to], &scene.world.store);
    let about = |status| (1..=9).map(|n| alert(n, status)).collect::<Vec<_>>();
    for moment in 0..MOMENTS / 4 {
        let now = Timestamp::now().plus(Duration::from_hours(1) * u32::try_from(moment).unwrap());
        store.enqueue(&notification(Reason::Repeat, about(NotifiedStatus::Firing)), &[to], now).await.unwrap();
        let claimed = store.claim_deliveries(to, 9, LEASE, now).await.unwrap();
        let (last, rest) = claimed.split_last().unwrap();
        for one in rest {
            let failed = Marked { next_at: now.plus(LEASE), ..marked(DeliveryState::Failed, now) };
            assert!(store.mark_delivery(one, &failed).await.unwrap());
        }
        let mut over = about(NotifiedStatus::Resolved);
        over.reverse();
        let over = notification(Reason::Repeat, over);
        let arrived = marked(DeliveryState::Delivered, now);
        let (told, heard) = tokio::join!(store.enqueue(&over, &to_one, now), other.mark_delivery(last, &arrived));
        assert_eq!((told.unwrap().len(), heard.unwrap()), (9, true));
        for _ in 0..2 {
            for one in store.claim_deliveries(to, 9, LEASE, now.plus(LEASE)).await.unwrap() {
                assert!(store.mark_delivery(&one, &arrived).await.unwrap());
            }
        }
    }
    other.close().await;
}

fn asked(at: Timestamp) -> AuditEntry {
    AuditEntry {
        id: 0,
        at,
        actor: actor(),
        action: "deliveries.redeliver".to_owned(),
        target: String::new(),
        count: None,
        result: "done".to_owned(),
    }
}

async fn a_removed_receiver_leaves_its_log_and_nothing_to_send(world: World) {
    let scene = Scene::on(world).await;
    let (single, whole) = receivers(&scene).await;
    let told = scene.tell(&firing(1), &[single, whole]).await;
    scene.deliveries.receivers().remove(single, &actor(), Timestamp::now()).await.unwrap();
    assert_eq!(scene.find(&told[0]).await.state, DeliveryState::GivenUp);
    assert_eq!(scene.find(&told[0]).await.last_error.as_deref(), Some("the receiver was removed"));
    assert_eq!(scene.find(&told[1]).await.state, DeliveryState::Waiting);
    assert!(!scene.world.store.redeliver(&told[0], &asked(Timestamp::now())).await.unwrap(), "there is nobody to send it to");
    assert!(scene.tell(&firing(2), &[single]).await.is_empty());
    let removed = scene.world.store.prune_deliveries(Timestamp::now().plus(LEASE), 100).await.unwrap();
    assert_eq!((removed, scene.all().await.len()), (1, 1), "only what has ended is removed by age");
}

async fn the_only_instance_of_a_store_needs_not_wait_for_claims_of_its_former_life(world: World) {
    let scene = Scene::on(world).await;
    let (single, _) = receivers(&scene).await;
    scene.tell(&firing(1), &[single]).await;
    let now = Timestamp::now();
    assert_eq!(scene.world.store.claim_deliveries(single, 4, LEASE, now).await.unwrap().len(), 1);
    scene.world.store.release_deliveries(now).await.unwrap();
    assert_eq!(scene.world.store.claim_deliveries(single, 4, LEASE, now).await.unwrap().len(), 1);
}

async fn that_somebody_takes_note_is_told_to_those_that_have_a_word_for_it(world: World) {
    let scene = Scene::on(world).await;
    let (single, whole) = receivers(&scene).await;
    let pager = scene.add("pager", ReceiverKind::Pagerduty, "http://127.0.0.1:9/enqueue").await;
    let all = [single, whole, pager];
    assert_eq!(scene.tell(&firing(1), &all).await.len(), 3);
    let taken = || alert(1, NotifiedStatus::Acknowledged);
    assert_eq!(scene.tell(&notification(Reason::Acknowledged, vec![taken()]), &all).await.len(), 2, "no event of a generic webhook");
    let more = notification(Reason::NewAlerts, vec![alert(2, NotifiedStatus::Firing), taken()]);
    assert_eq!(scene.tell(&more, &[single]).await.len(), 1, "it fires still, and was told that");
    assert_eq!(scene.tell(&notification(Reason::Repeat, vec![alert(1, NotifiedStatus::Firing)]), &[single]).await.len(), 1);
    assert_eq!(scene.tell(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &all).await.len(), 3);
    // Taken before anybody was told: it fires.
    let early = notification(Reason::First, vec![alert(3, NotifiedStatus::Acknowledged)]);
    assert_eq!(scene.tell(&early, &[single]).await.len(), 1);
}

async fn an_alertmanager_is_kept_what_fires_until_five_minutes_after_its_end(world: World) {
    let scene = Scene::on(world).await;
    let id = scene.add("am", ReceiverKind::Alertmanager, "http://127.0.0.1:9/api/v2/alerts").await;
    let store = &scene.world.store;
    scene.tell(&notification(Reason::First, vec![alert(1, NotifiedStatus::Firing), alert(2, NotifiedStatus::Firing)]), &[id]).await;
    scene.tell(&notification(Reason::SomeResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[id]).await;
    assert_eq!(store.list_pushed_receivers().await.unwrap(), [id]);
    let statuses = |kept: Vec<NotifiedAlert>| kept.into_iter().map(|alert| alert.status).collect::<Vec<_>>();
    assert_eq!(statuses(store.list_pushed(id).await.unwrap()), [NotifiedStatus::Resolved, NotifiedStatus::Firing]);
    store.forget_pushed(alert(1, NotifiedStatus::Resolved).ended_at.unwrap().plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(statuses(store.list_pushed(id).await.unwrap()), [NotifiedStatus::Firing]);
}

on_both_engines! {
    alerts_are_told_singly_or_as_a_whole_and_each_state_once
    a_claim_is_held_by_one_and_whoever_comes_too_late_writes_nothing_but_the_log
    of_one_subject_the_oldest_goes_first_and_new_before_old_failures
    what_has_failed_holds_up_its_alert_and_not_its_group
    /// What is told of an alert that fires anew goes before what was not told of it the last time.
    that_an_alert_was_over_is_not_told_after_it_fires_anew
    of_two_instances_one_sends_of_a_group
    /// On PostgreSQL that would be a deadlock, and a post that has arrived would be sent again.
    a_round_and_a_receiver_that_answers_again_do_not_wait_for_each_other_for_ever
    a_removed_receiver_leaves_its_log_and_nothing_to_send
    the_only_instance_of_a_store_needs_not_wait_for_claims_of_its_former_life
    an_alertmanager_is_kept_what_fires_until_five_minutes_after_its_end
    that_somebody_takes_note_is_told_to_those_that_have_a_word_for_it
}
