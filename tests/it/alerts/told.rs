//! Who is told: receivers that come and go while something fires.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::alert::{AlertState, Comparison, GroupBy, Label, NoData, Severity, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::store::Store;
use redrive::store::alerts::rules::NewRule;

use super::super::store::{World, on_both_engines};
use super::evaluation::{Watch, lag};
use super::scene::{add_rule, alerts_of, entry, outbox, receiver, receiver_of, states_of, terms};

on_both_engines! {
    /// What fires before anybody is to be told of it is told to whoever is added afterwards, and to whoever takes a deleted one's place.
    what_fires_already_is_told_to_a_receiver_that_is_added
    /// A bus that is down explains nothing to those who do not hear of it, whatever the lag rule makes of silence.
    an_alert_that_tells_nobody_keeps_none_back
    /// What still fires stands before what is over, however bad that was.
    what_fires_stands_first
}

async fn change(store: &Store, rule: i64, terms: Terms) {
    let rule_now = NewRule { name: "Lag".to_owned(), enabled: true, terms };
    assert!(store.change_alert_rule(rule, &rule_now, &entry("alert_rules.change")).await.expect("kept"));
}

/// Who was told, why, and how it stood.
async fn told(store: &Store) -> Vec<(ReceiverId, Reason, NotifiedStatus)> {
    let all = outbox(store).await;
    all.iter().map(|one| (one.receiver, one.notification.reason, one.notification.alerts[0].status)).collect()
}

async fn what_fires_already_is_told_to_a_receiver_that_is_added(world: World) {
    let mut watch = Watch::new(&world.store).await;
    let rule = add_rule(&watch.store, "Lag", lag(&[])).await;
    watch.later(0, &[("billing", 101.0)]).await;
    watch.later(60, &[("billing", 101.0)]).await;
    assert_eq!(told(&watch.store).await, [], "nobody is to be told");
    let first = receiver(&watch.store, "Pager").await;
    change(&watch.store, rule, lag(&[first])).await;
    watch.later(1, &[("billing", 101.0)]).await;
    let mut expected = vec![(first, Reason::First, NotifiedStatus::Firing)];
    assert_eq!(told(&watch.store).await, expected);
    assert_eq!(alerts_of(&watch.store, rule).await[0].details.receivers, [first], "its page says so");

    let second = receiver(&watch.store, "Other pager").await;
    change(&watch.store, rule, lag(&[second])).await;
    watch.later(15, &[("billing", 101.0)]).await;
    assert_eq!(told(&watch.store).await, expected, "whoever was told is told how it ends");
    assert!(watch.store.remove_receiver(first, &entry("receivers.delete")).await.expect("removed"));
    watch.later(15, &[("billing", 101.0)]).await;
    expected.push((second, Reason::First, NotifiedStatus::Firing));
    assert_eq!(told(&watch.store).await, expected, "nobody is left who was told");
    watch.later(15, &[("billing", 0.0)]).await;
    expected.push((second, Reason::AllResolved, NotifiedStatus::Resolved));
    assert_eq!(told(&watch.store).await, expected);
}

async fn an_alert_that_tells_nobody_keeps_none_back(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let lags = add_rule(&watch.store, "Lag", Terms { no_data: NoData::Alert, ..lag(&[to]) }).await;
    let bus_down = |receivers: &[ReceiverId]| terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], receivers);
    let down = add_rule(&watch.store, "Down", bus_down(&[])).await;
    let reach = SeriesKey { figure: Figure::BusReachable, labels: Labels::bus(&"prod".into()) };
    watch.frame("reach:prod", vec![(reach, Point::Level(0.0))]).await;
    watch.later(1, &[("billing", 101.0)]).await;
    watch.later(1, &[("billing", 101.0)]).await;
    assert_eq!(states_of(&watch.store, down).await, [AlertState::Firing], "it shows on the pages");
    assert_eq!(told(&watch.store).await, [(to, Reason::First, NotifiedStatus::Firing)]);
    assert_eq!(alerts_of(&watch.store, lags).await[0].inhibited_by, None);
    change(&watch.store, down, bus_down(&[to])).await;
    watch.now = watch.now.plus(Duration::from_secs(1));
    watch.look().await;
    assert_eq!(alerts_of(&watch.store, lags).await[0].inhibited_by, Some(alerts_of(&watch.store, down).await[0].number));
}

async fn what_fires_stands_first(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver_of(&world.store, "Chat", ReceiverKind::Slack).await);
    let together = |terms: Terms| Terms { group_by: vec![GroupBy::Bus], group_wait_ms: 0, group_interval_ms: 0, ..terms };
    add_rule(&watch.store, "Far behind", together(lag(&[to]))).await;
    let warning = Terms { threshold: 50.0, severity: Severity::Warning, ..lag(&[to]) };
    add_rule(&watch.store, "Behind", together(warning)).await;
    watch.later(0, &[("billing", 101.0)]).await;
    watch.later(15, &[("billing", 60.0)]).await;
    let last = outbox(&watch.store).await.pop().expect("it was told").notification;
    let brief: Vec<_> = last.alerts.iter().map(|alert| (alert.rule.as_str(), alert.status)).collect();
    assert_eq!(brief, [("Behind", NotifiedStatus::Firing), ("Far behind", NotifiedStatus::Resolved)]);
    assert_eq!(last.reason, Reason::SomeResolved);
}
