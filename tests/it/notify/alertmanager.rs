//! Alertmanager as others have made it: what is pushed to it is an alert there, and what is posted in the form of its webhooks is read by
//! a program that was made for those.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::alerts::notify::alertmanager::HELD_FOR;
use redrive::model::Timestamp;
use redrive::model::delivery::DeliveryState;
use redrive::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use serde_json::{Value, json};

use super::{Scene, alert, firing, notification};
use crate::harness::alertmanager::{Alertmanager, IrcRelay};
use crate::harness::notify::{Answer, Receiver};

/// An alert of these days, on a topic of its own: Alertmanager knows alerts by their labels, and looks at the clock.
fn today(number: u64, status: NotifiedStatus, now: Timestamp) -> NotifiedAlert {
    let mut alert = alert(number, status);
    alert.labels.insert("topic".to_owned(), format!("orders-{number}"));
    alert.started_at = now.minus(Duration::from_mins(1));
    alert.ended_at = (status == NotifiedStatus::Resolved).then_some(now);
    alert
}

impl Scene {
    async fn deliver(&self, told: &Notification, to: &[ReceiverId]) {
        for id in self.tell(told, to).await {
            self.until(&id, DeliveryState::Delivered, Duration::ZERO).await;
        }
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(Timestamp::parse_rfc3339).expect("a time")
}

fn are_active(alerts: &[Value], count: usize) -> bool {
    alerts.len() == count && alerts.iter().all(|alert| alert["status"]["state"] == "active")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_has_the_alert_that_is_pushed_to_it_until_it_ends() {
    let (scene, witness) = (Scene::new().await, Receiver::start(Vec::new()).await);
    let mut manager = Alertmanager::start(&witness.url("/hook"), "").await;
    let id = scene.add("am", ReceiverKind::Alertmanager, &manager.url("/api/v2/alerts")).await;
    let now = Timestamp::now();
    let begun = today(1, NotifiedStatus::Firing, now);
    scene.deliver(&notification(Reason::First, vec![begun.clone()]), &[id]).await;
    let held = manager.until_alerts("it is active", |alerts| are_active(alerts, 1)).await.remove(0);
    let installation = scene.world.store.installation_id().await.unwrap();
    let labels = json!({
        "alertname": "Consumer group stalled", "severity": "critical", "bus": "prod", "consumer_group": "billing", "topic": "orders-1",
        "redrive": installation,
    });
    let annotations = json!({
        "summary": "billing has not committed on orders-1", "value": "12,345 messages", "threshold": "10,000 messages",
        "runbook_url": "https://runbooks.example.com/lag", "owner": "payments",
    });
    assert_eq!((&held["labels"], &held["annotations"]), (&labels, &annotations));
    assert_eq!((time(&held["startsAt"]), held["generatorURL"].as_str()), (begun.started_at, Some(begun.url.as_str())));
    assert!(time(&held["endsAt"]) >= now.plus(HELD_FOR), "{held}");

    let taken = NotifiedAlert { status: NotifiedStatus::Acknowledged, ..begun };
    scene.deliver(&notification(Reason::Acknowledged, vec![taken]), &[id]).await;
    assert!(are_active(&manager.alerts().await, 1), "whoever has it in hand has not ended it");
    let ended = today(1, NotifiedStatus::Resolved, Timestamp::now());
    scene.deliver(&notification(Reason::AllResolved, vec![ended]), &[id]).await;
    manager.until_alerts("it is over", <[Value]>::is_empty).await;
    scene.deliveries.push_again(Timestamp::now()).await.unwrap();
    assert!(manager.alerts().await.is_empty(), "its end is told again, not its beginning");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_ends_what_it_hears_no_more_of_and_has_it_again_with_the_next_push() {
    let (scene, witness) = (Scene::new().await, Receiver::start(Vec::new()).await);
    let mut manager = Alertmanager::start(&witness.url("/hook"), "").await;
    let id = scene.add("am", ReceiverKind::Alertmanager, &manager.url("/api/v2/alerts")).await;
    let begun = today(1, NotifiedStatus::Firing, Timestamp::now());
    scene.tell(&notification(Reason::First, vec![begun.clone()]), &[id]).await;
    // As if that was pushed nearly five minutes ago.
    scene.deliveries.push_again(Timestamp::now().minus(HELD_FOR).plus(Duration::from_secs(10))).await.unwrap();
    manager.until_alerts("it is active", |alerts| are_active(alerts, 1)).await;
    manager.until_alerts("nothing was heard of it", <[Value]>::is_empty).await;
    let now = Timestamp::now();
    scene.deliveries.push_again(now).await.unwrap();
    let held = manager.until_alerts("it is active again", |alerts| are_active(alerts, 1)).await.remove(0);
    assert_eq!((time(&held["startsAt"]), time(&held["endsAt"])), (begun.started_at, now.plus(HELD_FOR)));
    let later = now.plus(Duration::from_mins(1));
    scene.deliveries.push_again(later).await.unwrap();
    manager.until_alerts("it is held for longer", |alerts| time(&alerts[0]["endsAt"]) == later.plus(HELD_FOR)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_of_an_alertmanager_are_its_own_business_also_behind_a_path() {
    let (scene, witness) = (Scene::new().await, Receiver::start(Vec::new()).await);
    let mut manager = Alertmanager::start(&witness.url("/hook"), "/tools/am").await;
    manager.silence("consumer_group", "billing").await;
    let id = scene.add("am", ReceiverKind::Alertmanager, &manager.url("/api/v2/alerts")).await;
    let now = Timestamp::now();
    scene.deliver(&notification(Reason::First, vec![today(1, NotifiedStatus::Firing, now)]), &[id]).await;
    let is_silent = |alerts: &[Value]| alerts.len() == 1 && alerts[0]["status"]["state"] == "suppressed";
    manager.until_alerts("it is silenced", is_silent).await;
    scene.deliveries.push_again(now.plus(Duration::from_mins(1))).await.unwrap();
    let held = manager.until_alerts("it is pushed again", |alerts| time(&alerts[0]["endsAt"]) >= now.plus(HELD_FOR)).await;
    assert!(is_silent(&held) && held[0]["status"]["silencedBy"].as_array().is_some_and(|by| by.len() == 1), "{held:?}");
    let receiver = scene.deliveries.receivers().find(id).await.unwrap();
    assert_eq!((receiver.failing_since, receiver.delivered_at.is_some()), (None, true));
    scene.deliver(&notification(Reason::AllResolved, vec![today(1, NotifiedStatus::Resolved, Timestamp::now())]), &[id]).await;
    manager.until_alerts("it is over", <[Value]>::is_empty).await;
    assert_eq!(witness.requests().len(), 0, "the silence held");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_is_pushed_to_while_an_alert_fires_and_for_five_minutes_after_its_end() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(Vec::new()).await);
    let id = scene.add("am", ReceiverKind::Alertmanager, &receiver.url("/api/v2/alerts")).await;
    scene.deliver(&firing(1), &[id]).await;
    let now = Timestamp::now();
    scene.deliveries.push_again(now).await.unwrap();
    let mut ended = alert(1, NotifiedStatus::Resolved);
    ended.ended_at = Some(now);
    scene.deliver(&notification(Reason::AllResolved, vec![ended]), &[id]).await;
    scene.deliveries.push_again(now.plus(Duration::from_mins(4))).await.unwrap();
    scene.deliveries.push_again(now.plus(Duration::from_mins(6))).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "told, pushed again, told of its end, pushed again, and not after five minutes");
    assert!(requests.iter().all(|request| request.line == "POST /api/v2/alerts HTTP/1.1"));
}

/// Every path of a body with the kind of what stands there.
fn shape(body: &Value) -> BTreeMap<String, &'static str> {
    fn walk(value: &Value, path: &str, into: &mut BTreeMap<String, &'static str>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        into.insert(path.to_owned(), kind);
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), into)),
            Value::Object(fields) => fields.iter().for_each(|(name, field)| walk(field, &format!("{path}.{name}"), into)),
            _ => {}
        }
    }
    let mut paths = BTreeMap::new();
    walk(body, "", &mut paths);
    paths
}

fn body_of(receiver: &Receiver, number: usize) -> Value {
    serde_json::from_str(&receiver.requests()[number].body).expect("JSON")
}

/// Alerts by topic: each side has an order of its own.
fn alerts_of(body: &Value) -> BTreeMap<String, Value> {
    let alerts = body["alerts"].as_array().expect("a list").iter();
    alerts.map(|alert| (alert["labels"]["topic"].as_str().expect("a topic").to_owned(), alert.clone())).collect()
}

fn assert_alike(ours: &Value, theirs: &Value) {
    let kinds = shape(ours);
    for (path, kind) in shape(theirs) {
        assert_eq!(kinds.get(&path), Some(&kind), "{path}\nours: {ours}\ntheirs: {theirs}");
    }
    for part in ["status", "version", "groupLabels", "commonLabels", "commonAnnotations", "truncatedAlerts"] {
        assert_eq!(ours[part], theirs[part], "{part}");
    }
    let (ours, theirs) = (alerts_of(ours), alerts_of(theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (topic, theirs) in theirs {
        let ours = &ours[&topic];
        for part in ["status", "labels", "annotations", "generatorURL"] {
            assert_eq!(ours[part], theirs[part], "{topic}: {part}");
        }
        assert_eq!((time(&ours["startsAt"]), time(&ours["endsAt"])), (time(&theirs["startsAt"]), time(&theirs["endsAt"])), "{topic}");
        let lengths = [ours, &theirs].map(|alert| alert["fingerprint"].as_str().map(str::len));
        assert_eq!(lengths, [Some(16); 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_in_the_form_of_alertmanager_says_what_alertmanager_says_of_the_same_alerts() {
    let scene = Scene::new().await;
    let (of_theirs, of_ours) = (Receiver::start(Vec::new()).await, Receiver::start(Vec::new()).await);
    let manager = Alertmanager::start(&of_theirs.url("/hook"), "").await;
    let pushed = scene.add("am", ReceiverKind::Alertmanager, &manager.url("/api/v2/alerts")).await;
    let posted = scene.add("like am", ReceiverKind::Alertmanager, &of_ours.url("/hook")).await;
    let now = Timestamp::now();
    let both = |status, now| vec![today(1, status, now), today(2, status, now)];
    let began = notification(Reason::First, both(NotifiedStatus::Firing, now));
    let ended =
        both(NotifiedStatus::Resolved, now).into_iter().map(|alert| NotifiedAlert { started_at: began.alerts[0].started_at, ..alert });
    let ended = notification(Reason::AllResolved, ended.collect());
    for (number, told) in [began, ended].into_iter().enumerate() {
        scene.deliver(&told, &[pushed, posted]).await;
        let (begun, ours) = (std::time::Instant::now(), body_of(&of_ours, number));
        // It may tell of one before it has taken the other, and then of both.
        let theirs = loop {
            let told = of_theirs.requests().len();
            let last = told.checked_sub(1).map(|last| body_of(&of_theirs, last));
            if let Some(theirs) = last.filter(|last| last["status"] == ours["status"] && alerts_of(last).len() == alerts_of(&ours).len()) {
                break theirs;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "Alertmanager has told {told} times, and not of all");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_alike(&ours, &theirs);
    }
}

/// What the relay says of a webhook: Go's own text of every part that has a type of Alertmanager's.
const SAYING: &str = "{{ .Receiver }}: {{ .Status }}, {{ .CommonLabels.alertname }} of {{ .CommonLabels.consumer_group }}, \
    {{ .CommonAnnotations.owner }}, {{ .GroupLabels.bus }}, {{ .ExternalURL }}\
    {{ range .Alerts }}; {{ .Fingerprint }} {{ .Status }} {{ .StartsAt.Unix }} {{ .EndsAt.IsZero }} {{ .Annotations.summary }}{{ end }}";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_in_the_form_of_alertmanager_is_read_by_a_program_that_was_made_for_alertmanager() {
    let scene = Scene::new().await;
    let mut relay = IrcRelay::start(SAYING).await;
    let id = scene.add("am", ReceiverKind::Alertmanager, &relay.url()).await;
    let cases = [
        (Reason::First, vec![alert(1, NotifiedStatus::Firing), alert(2, NotifiedStatus::Resolved)]),
        (Reason::Acknowledged, vec![alert(1, NotifiedStatus::Acknowledged)]),
        (Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]),
    ];
    let head = |status| format!("am: {status}, Consumer group stalled of billing, payments, prod, https://redrive.example.com");
    let one =
        |number, status, endless| format!("; {number:016} {status} 1767225600 {endless} billing has not committed on orders-{number}");
    for (reason, alerts) in cases {
        scene.deliver(&notification(reason, alerts), &[id]).await;
    }
    let said = [
        format!("{}{}{}", head("firing"), one(1, "firing", true), one(2, "resolved", false)),
        format!("{}{}", head("firing"), one(1, "firing", true)),
        format!("{}{}", head("resolved"), one(1, "resolved", false)),
    ];
    assert_eq!(relay.until_said(3).await, said);
}

/// Topics of the alerts of a push.
fn pushed(body: &str) -> Vec<String> {
    let alerts: Value = serde_json::from_str(body).expect("JSON");
    alerts.as_array().expect("a list").iter().map(|alert| alert["labels"]["topic"].as_str().expect("a topic").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_alerts_are_pushed_in_parts_and_a_part_that_is_refused_is_tried_again_by_itself() {
    let refuse = || Answer::Status(500, "", "no".to_owned());
    let (scene, receiver) = (Scene::new().await, Receiver::start(vec![refuse()]).await);
    let id = scene.add("am", ReceiverKind::Alertmanager, &receiver.url("/api/v2/alerts")).await;
    let now = Timestamp::now();
    let all = notification(Reason::First, (1..=1_100).map(|number| today(number, NotifiedStatus::Firing, now)).collect());
    let ids = scene.tell(&all, &[id]).await;
    assert_eq!(ids.len(), 3, "500, 500 and the rest");
    // The first part is refused, and the others do not wait for it.
    for other in &ids[1..] {
        scene.until(other, DeliveryState::Delivered, Duration::ZERO).await;
    }
    // Whoever answers again is told at once what waits.
    assert_eq!(scene.until(&ids[0], DeliveryState::Delivered, Duration::ZERO).await.attempts, 2);
    let mut parts: Vec<Vec<String>> = receiver.requests().iter().map(|request| pushed(&request.body)).collect();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 100, 500]);
    assert_eq!(parts.remove(0), parts[2], "the same part again");
    let mut topics: Vec<String> = parts.concat();
    topics.sort();
    topics.dedup();
    assert_eq!(topics.len(), 1_100, "each is in one of them");
    // Long texts make a part of fewer alerts, and the regular push has the same parts.
    let mut long = all.clone();
    long.alerts.truncate(300);
    long.alerts.iter_mut().for_each(|alert| alert.summary = "x".repeat(4_000));
    let before = receiver.requests().len();
    for id in scene.tell(&long, &[id]).await {
        scene.until(&id, DeliveryState::Delivered, Duration::ZERO).await;
    }
    let bodies: Vec<usize> = receiver.requests()[before..].iter().map(|request| request.body.len()).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|bytes| *bytes < 700_000), "{bodies:?}");
    let before = receiver.requests().len();
    scene.deliveries.push_again(now).await.unwrap();
    let again: Vec<Vec<String>> = receiver.requests()[before..].iter().map(|request| pushed(&request.body)).collect();
    assert_eq!(again.concat().len(), 1_100);
    assert!(again.len() >= 4 && again.iter().all(|part| part.len() <= 500), "{:?}", again.iter().map(Vec::len).collect::<Vec<_>>());
}
