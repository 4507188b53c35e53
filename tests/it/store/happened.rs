//! What happened on a bus as one list over all tables, and which deliveries told of an alert.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::alerts::defaults;
use redrive::alerts::rule::{details, fingerprint as print_of};
use redrive::model::alert::{Alert, AlertState, Comparison, Severity, Standing};
use redrive::model::delivery::DeliveryFilter;
use redrive::model::figure::Figure;
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::model::happening::{Happened, HappeningKind};
use redrive::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use redrive::model::purge::{PurgeId, PurgeScope, PurgeState};
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::model::replay::{ReplayId, ReplaySettings, ReplayState};
use redrive::model::{Actor, AuditEntry, Page, PageRequest, Timestamp};
use redrive::store::alerts::round::Round;
use redrive::store::happenings::listed::{HappeningFilter, Listed};
use redrive::store::purges::{NewPurge, PurgeChange};
use redrive::store::receivers::SealedReceiver;
use redrive::store::replays::{NewReplay, StateChange};

use super::letters::{index, letter};
use super::{START, World, on_both_engines};

on_both_engines! {
    /// Every table is in the list, in the order of time; pages of any size end where the next begins, also within one moment.
    everything_that_happened_is_one_list
    /// A topic, a consumer group, a kind and a time each narrow it.
    a_list_of_happenings_is_narrowed
    /// A delivery is found by the alert that it told of: not by an earlier one of the same labels.
    deliveries_are_found_by_their_alert
}

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn entry(now: Timestamp) -> AuditEntry {
    let actor = Actor { name: "user:mara".to_owned(), address: None };
    AuditEntry { id: 0, at: now, actor, action: "purges.start".to_owned(), target: String::new(), count: None, result: "done".to_owned() }
}

fn alert(started: u64, ended: Option<u64>, labels: &[(&str, &str)]) -> Alert {
    let labels: BTreeMap<String, String> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let terms = defaults::usual(Figure::DeadLettersPerMinute, Comparison::Above, 10.0);
    let standing = Standing {
        state: if ended.is_some() { AlertState::Resolved } else { AlertState::Firing },
        cause: None,
        pending_since: Some(at(started)),
        started_at: Some(at(started)),
        recovering_since: None,
        missing_since: None,
        unknown_since: None,
        resolved_at: ended.map(at),
        last_eval: at(started),
        last_value: Some(12.0),
    };
    Alert {
        number: 0,
        rule: 1,
        fingerprint: print_of(1, &labels),
        details: details("Fast", &terms, &labels, Some(12.0)),
        labels,
        standing,
        acknowledgement: None,
        first_acknowledged_at: None,
        silenced_by: None,
        inhibited_by: None,
    }
}

async fn write_alerts(world: &World, added: Vec<Alert>) {
    let round = Round { added, ..Round::default() };
    assert!(world.store.write_alert_round(None, &round, START).await.expect("written"));
}

fn event(seconds: u64, kind: GroupEventKind, group: &str, topic: Option<&str>) -> GroupEvent {
    GroupEvent { at: at(seconds), kind, group: group.into(), topic: topic.map(Into::into), detail: "3 members now".to_owned() }
}

/// A purge that began and ended.
async fn purge(world: &World, started: Timestamp, ended: Timestamp) {
    let store = &world.store;
    let topic = store.find_topic(&"prod".into(), &"orders.DLT".into()).await.expect("read").expect("known").0;
    let new = NewPurge {
        id: PurgeId::new(started),
        generation_id: topic.generation.id,
        topic_id: None,
        scope: PurgeScope::Before(started),
        actor: entry(started).actor,
        checks: Vec::new(),
        partitions: Vec::new(),
    };
    let planned = store.add_purge(&new, &entry(started), started).await.expect("written");
    for (from, to, now) in [(PurgeState::Planned, PurgeState::Running, started), (PurgeState::Running, PurgeState::Completed, ended)] {
        let change = PurgeChange { from, to, reason: None, text: None, audit: entry(now) };
        assert!(store.move_purge(planned.number, &change).await.expect("moved"));
    }
}

/// A replay that began to send, and ended.
async fn replay(world: &World, started: Timestamp, ended: Timestamp) {
    use ReplayState::{Completed, Planned, Planning, Running};
    let new = NewReplay {
        id: ReplayId::new(started),
        bus: "prod".into(),
        name: "nightly".to_owned(),
        actor: entry(started).actor,
        policy_id: None,
        selection: r#"{"ids":[1]}"#.to_owned(),
        settings: ReplaySettings::default(),
        token: format!("{:032x}", started.as_millis()),
    };
    let id = world.store.add_replay(&new, started).await.expect("an answer").expect("added").id;
    for (from, to, now) in [(Planning, Planned, started), (Planned, Running, started), (Running, Completed, ended)] {
        let change = StateChange { from, to, reason: None, text: None, actor: "user:mara".to_owned(), epoch: None };
        assert!(world.store.move_replay(&id, &change, now).await.expect("moved"));
    }
}

/// Something of everything: seven moments, the last two of which hold several happenings.
async fn scene(world: &World) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    index(&world.store, partitions[0], vec![letter(0, at(10))], at(10)).await;
    replay(world, at(20), at(60)).await;
    purge(world, at(30), at(60)).await;
    let labels = [("bus", "prod"), ("consumer_group", "billing")];
    write_alerts(world, vec![alert(40, None, &labels), alert(60, None, &[("bus", "prod"), ("topic", "orders")])]).await;
    let events = [
        event(50, GroupEventKind::OffsetsSet, "billing", Some("orders")),
        event(60, GroupEventKind::Rebalanced, "billing", None),
        event(60, GroupEventKind::StatusChanged, "billing", None),
        event(60, GroupEventKind::Rebalanced, "shipping", None),
    ];
    world.store.add_group_events(&"prod".into(), &events).await.expect("written");
}

async fn list(world: &World, filter: &HappeningFilter, page: &PageRequest) -> Page<Listed> {
    world.store.list_happened(&"prod".into(), filter, page).await.expect("readable")
}

fn words(listed: &Listed) -> (i64, String) {
    let seconds = (listed.at().as_millis() - START.as_millis()) / 1_000;
    let word = match listed {
        Listed::FailureGroup(news) => format!("failure group on {}", news.topic),
        Listed::Happening(happening) => match &happening.what {
            Happened::ReplayStarted { name, .. } => format!("replay {name} started"),
            Happened::ReplayEnded { state, .. } => format!("replay {state}"),
            Happened::PurgeStarted { topic, .. } => format!("purge of {topic}"),
            Happened::PurgeEnded { state, .. } => format!("purge {state}"),
            Happened::AlertFired { rule, .. } => format!("alert {rule}"),
            Happened::ToGroup { kind, group, .. } => format!("{group} {kind}"),
        },
    };
    (seconds, word)
}

async fn everything_that_happened_is_one_list(world: World) {
    scene(&world).await;
    let whole = list(&world, &HappeningFilter::default(), &PageRequest::first(100)).await;
    assert_eq!(whole.next_cursor, None);
    let told: Vec<(i64, String)> = whole.items.iter().map(words).collect();
    let expected = [
        (60, "replay completed"),
        (60, "purge completed"),
        (60, "alert Fast"),
        (60, "shipping rebalanced"),
        (60, "billing status_changed"),
        (60, "billing rebalanced"),
        (50, "billing offsets_set"),
        (40, "alert Fast"),
        (30, "purge of orders.DLT"),
        (20, "replay nightly started"),
        (10, "failure group on orders.DLT"),
    ];
    assert_eq!(told, expected.map(|(seconds, word)| (seconds, word.to_owned())));
    for limit in 1..=4 {
        let (mut page, mut paged) = (PageRequest::first(limit), Vec::new());
        loop {
            let next = list(&world, &HappeningFilter::default(), &page).await;
            assert!(next.items.len() <= limit as usize);
            paged.extend(next.items);
            match next.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(paged, whole.items, "{limit} at once");
    }
    assert_eq!(
        world.store.list_happened(&"test".into(), &HappeningFilter::default(), &PageRequest::first(5)).await.expect("readable").items,
        []
    );
}

async fn a_list_of_happenings_is_narrowed(world: World) {
    scene(&world).await;
    let told = async |filter: HappeningFilter| {
        let page = list(&world, &filter, &PageRequest::first(100)).await;
        page.items.iter().map(|listed| words(listed).1).collect::<Vec<_>>()
    };
    let none = HappeningFilter::default;
    let resets = told(HappeningFilter { kinds: vec![HappeningKind::OffsetsSet, HappeningKind::FailureGroupNew], ..none() }).await;
    assert_eq!(resets, ["billing offsets_set", "failure group on orders.DLT"]);
    assert_eq!(told(HappeningFilter { kinds: vec![HappeningKind::FailureGroupReturned], ..none() }).await, [""; 0]);
    assert_eq!(told(HappeningFilter { topic: Some("orders".into()), ..none() }).await, ["alert Fast", "billing offsets_set"]);
    let dlt = told(HappeningFilter { topic: Some("orders.DLT".into()), ..none() }).await;
    assert_eq!(dlt, ["purge completed", "purge of orders.DLT", "failure group on orders.DLT"]);
    let billing = told(HappeningFilter { consumer_group: Some("billing".into()), ..none() }).await;
    assert_eq!(billing, ["billing status_changed", "billing rebalanced", "billing offsets_set", "alert Fast"]);
    let between = told(HappeningFilter { from: Some(at(20)), to: Some(at(40)), ..none() }).await;
    assert_eq!(between, ["purge of orders.DLT", "replay nightly started"], "from on, and before its end");
}

/// A receiver that nobody can reach: what counts here is what lies in the outbox.
async fn receiver(world: &World) -> ReceiverId {
    let key = world.store.claim_sealing_key("test").await.expect("a key is claimed");
    let sealed = SealedReceiver { name: "pager", kind: ReceiverKind::Webhook, host: "192.0.2.1", sealed: b"nothing", key_id: &key };
    world.store.add_receiver(sealed, &entry(START)).await.expect("the receiver is kept").id
}

async fn deliveries_are_found_by_their_alert(world: World) {
    let _ = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    let store = &world.store;
    let labels = [("bus", "prod")];
    write_alerts(&world, vec![alert(10, Some(20), &labels)]).await;
    write_alerts(&world, vec![alert(30, None, &labels)]).await;
    let receiver = receiver(&world).await;
    let print = alert(10, None, &labels).fingerprint;
    for (started, status) in [(10, NotifiedStatus::Firing), (10, NotifiedStatus::Resolved), (30, NotifiedStatus::Firing)] {
        let told = NotifiedAlert {
            fingerprint: print.clone(),
            status,
            rule: "Fast".to_owned(),
            severity: Severity::Error,
            labels: BTreeMap::new(),
            value: Some(12.0),
            threshold: 10.0,
            unit: String::new(),
            summary: format!("{started} {}", status.as_str()),
            started_at: at(started),
            ended_at: None,
            url: String::new(),
            runbook_url: None,
            owner: None,
        };
        let group_key = "all".to_owned();
        let new = Notification { group_key, reason: Reason::First, at: at(started), group_labels: BTreeMap::new(), alerts: vec![told] };
        assert_eq!(store.enqueue(&new, &[receiver], at(started)).await.expect("written").len(), 1);
    }
    let titles = async |filter: DeliveryFilter| {
        let page = store.list_deliveries(&filter, &PageRequest::first(10)).await.expect("readable");
        page.items.into_iter().map(|delivery| delivery.title).collect::<Vec<_>>()
    };
    let about = |alert| DeliveryFilter { alert: Some(alert), ..DeliveryFilter::default() };
    let of = |rule| DeliveryFilter { rule: Some(rule), ..DeliveryFilter::default() };
    assert_eq!(titles(about(1)).await, ["10 resolved", "10 firing"]);
    assert_eq!(titles(about(2)).await, ["30 firing"]);
    assert_eq!(titles(of(1)).await, ["30 firing", "10 resolved", "10 firing"]);
    assert_eq!((titles(about(99)).await.len(), titles(of(2)).await.len()), (0, 0));
}
