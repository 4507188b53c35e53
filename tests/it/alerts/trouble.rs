//! What cannot be read keeps nothing else from being watched, and what comes late is seen.

use std::time::Duration;

use redrive::alerts::history::{Range, try_rule};
use redrive::metrics::bucket::Point;
use redrive::model::alert::{AlertState, Comparison, Label, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::{Store, StoreSettings};
use sqlx::Connection as _;

use super::super::store::{World, on_both_engines};
use super::evaluation::{Watch, lag};
use super::scene::{add_rule, alerts_of, entry, outbox, receiver, states_of, terms};

on_both_engines! {
    /// A rule that cannot be read keeps no other from firing, and its own alerts stay as they are until somebody decides.
    a_rule_that_cannot_be_read_keeps_no_other_from_firing
    /// Every instance knows when rules were last looked at.
    it_is_known_when_rules_were_last_looked_at
    /// What happened at the end of a minute and is known only after it is told, as a trial says.
    the_last_second_of_a_minute_is_looked_at
}

async fn a_rule_that_cannot_be_read_keeps_no_other_from_firing(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let broken = add_rule(&watch.store, "Broken", lag(&[to])).await;
    let other = add_rule(&watch.store, "Lag", lag(&[to])).await;
    watch.later(0, &[("billing", 101.0)]).await;
    assert_eq!(outbox(&watch.store).await.len(), 2);
    let tomorrow = r#"{"figure":"from_tomorrow"}"#;
    world.run(&format!("update alert_rules set terms = '{tomorrow}', changed_at = changed_at + 1 where id = {broken}")).await;
    watch.later(15, &[("billing", 0.0), ("shipping", 101.0)]).await;
    let mut groups: Vec<_> =
        alerts_of(&watch.store, other).await.iter().map(|alert| (alert.labels["consumer_group"].clone(), alert.standing.state)).collect();
    groups.sort();
    assert_eq!(groups, [("billing".to_owned(), AlertState::Resolved), ("shipping".to_owned(), AlertState::Firing)]);
    assert_eq!(states_of(&watch.store, broken).await, [AlertState::Firing], "nobody knows what it says");
    let (rules, unreadable) = watch.store.read_alert_rules().await.expect("readable");
    assert_eq!((rules.len(), unreadable[0].number, unreadable[0].name.as_str()), (1, broken, "Broken"));
    assert!(watch.store.remove_alert_rule(broken, &entry("alert_rules.delete")).await.expect("removed"));
    watch.later(15, &[("shipping", 101.0)]).await;
    assert_eq!(states_of(&watch.store, broken).await, [AlertState::Resolved]);
}

async fn it_is_known_when_rules_were_last_looked_at(world: World) {
    let mut watch = Watch::new(&world.store).await;
    let beside = world.beside().await;
    assert_eq!(beside.alert_watching().await.expect("readable").looked_at, None);
    add_rule(&watch.store, "Lag", lag(&[])).await;
    assert!(beside.alert_watching().await.expect("readable").is_overdue(watch.now), "nobody has looked yet");
    watch.look().await;
    let began = watch.now;
    for _ in 0..8 {
        watch.now = watch.now.plus(Duration::from_secs(1));
        watch.look().await;
    }
    let watching = beside.alert_watching().await.expect("readable");
    assert_eq!((watching.rules, watching.looked_at), (1, Some(began.plus(Duration::from_secs(5)))), "nothing else has changed");
    assert!(!watching.is_overdue(watch.now) && watching.is_overdue(watch.now.plus(Duration::from_secs(28))));
}

async fn the_last_second_of_a_minute_is_looked_at(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let minute = watch.now;
    let terms = Terms { window_ms: 60_000, ..terms(Figure::RecordsLost, Comparison::Above, 2.0, &[Label::Bus], &[to]) };
    let rule = add_rule(&watch.store, "Lost", terms.clone()).await;
    let lost = |topic: &str, count| {
        let labels = Labels::bus(&"prod".into()).topic(&topic.into()).consumer_group(&"billing".into());
        (SeriesKey { figure: Figure::RecordsLost, labels }, Point::Count(count))
    };
    watch.now = minute.plus(Duration::from_secs(59));
    watch.look().await;
    watch.frame("bus:prod", vec![lost("orders", 2.0), lost("payments", 1.0)]).await;
    watch.now = minute.plus(Duration::from_secs(61));
    watch.look().await;
    let alert = alerts_of(&watch.store, rule).await.pop().expect("it fires");
    assert_eq!((alert.standing.state, alert.standing.last_value), (AlertState::Firing, Some(3.0)));
    for (second, state) in [(79, AlertState::Firing), (81, AlertState::Resolved)] {
        watch.now = minute.plus(Duration::from_secs(second));
        watch.look().await;
        assert_eq!(states_of(&watch.store, rule).await, [state], "second {second}");
    }
    // Of two minutes neither has more than two.
    watch.now = minute.plus(Duration::from_secs(178));
    watch.frame("bus:prod", vec![lost("orders", 2.0)]).await;
    watch.now = minute.plus(Duration::from_secs(185));
    watch.frame("bus:prod", vec![lost("orders", 2.0)]).await;
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved], "four in two minutes are not three in one");
    let range = Range { from: minute, to: minute.plus(Duration::from_mins(4)), step_ms: 60_000 };
    let tried = try_rule(&watch.store, &terms, range).await.expect("recorded history").episodes;
    assert_eq!(tried.iter().map(|episode| episode.worst).collect::<Vec<_>>(), [Some(3.0)], "a trial says the same");
}

/// A figure that the store does not answer in time is unknown; the others are read, and it is not asked for again at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_figure_that_takes_too_long_keeps_no_other_from_firing() {
    let world = World::postgres().await;
    let settings = StoreSettings { read_timeout: Duration::from_secs(6), ..world.settings.clone() };
    let store = Store::open(&settings).await.expect("it opens");
    let (mut watch, to) = (Watch::new(&store).await, receiver(&store, "Pager").await);
    let slow = terms(Figure::FailureGroupsNew, Comparison::Above, 0.0, &[Label::Bus], &[to]);
    add_rule(&store, "New failures", Terms { window_ms: 300_000, ..slow }).await;
    let lags = add_rule(&store, "Lag", lag(&[to])).await;
    watch.later(0, &[("billing", 5.0)]).await;
    let mut other = sqlx::PgConnection::connect(&settings.url).await.expect("connected");
    let mut held = other.begin().await.expect("begun");
    sqlx::raw_sql("lock table failure_group_events in access exclusive mode").execute(&mut *held).await.expect("locked");
    watch.later(15, &[("billing", 101.0)]).await;
    watch.later(1, &[("billing", 101.0)]).await;
    assert_eq!(states_of(&store, lags).await, [AlertState::Firing]);
    assert_eq!(store.alert_watching().await.expect("readable").unread, [Figure::FailureGroupsNew]);
    let began = std::time::Instant::now();
    watch.later(1, &[("billing", 101.0)]).await;
    assert!(began.elapsed() < Duration::from_secs(2), "nobody asks again at once: {:?}", began.elapsed());
    held.rollback().await.expect("free again");
    watch.later(15, &[("billing", 101.0)]).await;
    assert_eq!(store.alert_watching().await.expect("readable").unread, []);
    store.close().await;
}
