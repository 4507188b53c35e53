//! A source that falls silent: nothing of what it told resolves by itself, and what it explains is told to nobody.

use std::time::Duration;

use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{AlertState, Cause, Comparison, Filter, Label, NoData, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::{BusKind, Timestamp};
use redrive::store::Store;
use redrive::store::figures::NewFrame;

use super::super::store::letters::{index, letter};
use super::super::store::{World, on_both_engines};
use super::scene::{add_rule, alerts_of, outbox, receiver, states_of, terms};

on_both_engines! {
    /// Dead letters that nobody sees arrive are not calm, whoever looks and starts again meanwhile; who wants to be told of that is.
    dead_letters_of_a_bus_that_does_not_answer_end_no_alert
    /// Whether a bus answers is not known when nobody asks it.
    a_bus_that_nobody_asks_is_not_back
    /// A budget that no spans use up any more is not saved.
    a_burn_without_spans_goes_on
    /// What is lost counts within the window, by groups and by us, and rows of a former kind count for nothing.
    records_are_lost_within_the_window
    /// Of a consumer group that cannot be read nobody knows that it has caught up.
    a_group_that_cannot_be_read_ends_no_alert
    /// Neither the alert of the bus nor that of its group needs the bus among its labels.
    a_bus_explains_alerts_that_do_not_name_it
}

/// A store, somebody who looks, and a clock.
struct Watch {
    store: Store,
    evaluator: Evaluator,
    now: Timestamp,
}

impl Watch {
    async fn new(store: &Store, buses: &[&str]) -> Self {
        let buses: Vec<_> = buses.iter().map(|bus| ((*bus).into(), BusKind::Kafka)).collect();
        store.register_buses(&buses).await.expect("registered");
        Self { store: store.clone(), evaluator: Evaluator::new(""), now: Timestamp::from_millis(1_767_225_600_000) }
    }

    async fn frame(&self, source: &str, points: Vec<(SeriesKey, Point)>) {
        let after = self.store.figure_source(source).await.expect("readable").map(|(at, _)| at);
        let frame = NewFrame { source, after, taken_at: self.now, points, state: None, snapshot: false };
        assert!(self.store.add_frame(frame).await.expect("it is written"));
    }

    /// A sweep of a bus, with what else it found.
    async fn answers(&self, bus: &str, more: Vec<(SeriesKey, Point)>) {
        let reachable = (key(Figure::BusReachable, Labels::bus(&bus.into())), Point::Level(1.0));
        self.frame(&format!("bus:{bus}"), std::iter::once(reachable).chain(more).collect()).await;
    }

    /// A sweep that failed.
    async fn fails(&self, bus: &str) {
        self.frame(&format!("reach:{bus}"), vec![(key(Figure::BusReachable, Labels::bus(&bus.into())), Point::Level(0.0))]).await;
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    async fn look(&mut self) {
        self.evaluator.look(&self.store, None, true, self.now).await.expect("a look");
    }

    /// Another instance looks from now on: the same store, and no memory.
    fn restart(&mut self) {
        self.evaluator = Evaluator::new("");
    }
}

const fn key(figure: Figure, labels: Labels) -> SeriesKey {
    SeriesKey { figure, labels }
}

async fn dead_letters_of_a_bus_that_does_not_answer_end_no_alert(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let (mut watch, to) = (Watch::new(&world.store, &["prod"]).await, receiver(&world.store, "Pager").await);
    let arriving = terms(Figure::DeadLettersPerMinute, Comparison::Above, 1.0, &[Label::Bus, Label::Topic], &[to]);
    let arriving = Terms { window_ms: 120_000, no_data_after_ms: 60_000, ..arriving };
    let keeps = add_rule(&watch.store, "Keeps", arriving.clone()).await;
    let fine = add_rule(&watch.store, "Fine", Terms { no_data: NoData::Ok, ..arriving.clone() }).await;
    let quiet = Terms { no_data: NoData::Alert, threshold: 1e9, ..arriving.clone() };
    let tells = add_rule(&watch.store, "Tells", quiet).await;
    let groups = terms(Figure::FailureGroupsNew, Comparison::Above, 0.0, &[Label::Bus], &[to]);
    let groups = add_rule(&watch.store, "Groups", Terms { window_ms: 120_000, ..groups }).await;
    watch.answers("prod", Vec::new()).await;
    watch.look().await;
    let letters = (0..8).map(|offset| letter(offset, watch.now)).collect();
    index(&watch.store, partition, letters, watch.now).await;
    watch.look().await;
    let firing = [AlertState::Firing];
    for rule in [keeps, fine, groups] {
        assert_eq!(states_of(&watch.store, rule).await, firing);
    }
    assert_eq!(states_of(&watch.store, tells).await, []);
    // From here on the bus does not answer, for six minutes; in the middle another instance takes over.
    for step in 0..24 {
        watch.pass(15);
        watch.fails("prod").await;
        if step == 12 {
            watch.restart();
        }
        watch.look().await;
    }
    for rule in [keeps, groups] {
        assert_eq!(states_of(&watch.store, rule).await, firing, "nobody knows that nothing arrives");
    }
    let kept = alerts_of(&watch.store, keeps).await.remove(0);
    assert!(kept.standing.missing_since.is_some() && kept.standing.cause.is_none(), "{kept:?}");
    assert_eq!(states_of(&watch.store, fine).await, [AlertState::Resolved], "as its rule wants it");
    let told = alerts_of(&watch.store, tells).await;
    assert_eq!((told.len(), told[0].standing.cause), (1, Some(Cause::NoData)), "as its rule wants it");
    // It answers again, and nothing has arrived.
    watch.pass(15);
    watch.answers("prod", Vec::new()).await;
    watch.look().await;
    for rule in [keeps, groups, tells] {
        assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved], "now that is known");
    }
}

async fn a_group_that_cannot_be_read_ends_no_alert(world: World) {
    let (mut watch, to) = (Watch::new(&world.store, &["prod"]).await, receiver(&world.store, "Pager").await);
    let lags = terms(Figure::ConsumerGroupLagSeconds, Comparison::Above, 900.0, &[Label::Bus, Label::ConsumerGroup], &[to]);
    let rule = add_rule(&watch.store, "Lags", Terms { no_data_after_ms: 60_000, ..lags }).await;
    let labels = |group: &str| Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&group.into());
    let lag = |group: &str| (key(Figure::ConsumerGroupLagSeconds, labels(group)), Point::Level(5_000.0));
    watch.answers("prod", vec![lag("billing"), lag("deleted")]).await;
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing; 2]);
    for step in 0..40 {
        watch.pass(15);
        let unknown = key(Figure::ConsumerGroupStatusSeconds, labels("billing").status("unknown"));
        watch.answers("prod", vec![(unknown, Point::Level(60.0))]).await;
        if step == 20 {
            watch.restart();
        }
        watch.look().await;
    }
    let alerts = alerts_of(&watch.store, rule).await;
    let state = |group: &str| alerts.iter().find(|alert| alert.labels["consumer_group"] == group).map(|alert| alert.standing.state);
    assert_eq!((state("billing"), state("deleted")), (Some(AlertState::Firing), Some(AlertState::Resolved)));
    // Now it is deleted as well.
    for _ in 0..20 {
        watch.pass(15);
        watch.answers("prod", Vec::new()).await;
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved; 2]);
}

async fn a_bus_that_nobody_asks_is_not_back(world: World) {
    let (mut watch, to) = (Watch::new(&world.store, &["prod", "test"]).await, receiver(&world.store, "Pager").await);
    let down = terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], &[to]);
    let rule = add_rule(&watch.store, "Down", Terms { no_data_after_ms: 60_000, ..down }).await;
    watch.answers("test", Vec::new()).await;
    watch.fails("prod").await;
    watch.look().await;
    for _ in 0..20 {
        watch.pass(15);
        watch.answers("test", Vec::new()).await;
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing], "its sampler stands still, and that is no answer");
    watch.store.register_buses(&[("test".into(), BusKind::Kafka)]).await.expect("registered");
    for _ in 0..6 {
        watch.pass(15);
        watch.answers("test", Vec::new()).await;
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved], "it is configured no more");
}

async fn a_burn_without_spans_goes_on(world: World) {
    use redrive::model::alert::BurnRate;
    let (mut watch, to) = (Watch::new(&world.store, &["prod"]).await, receiver(&world.store, "Pager").await);
    let burn = BurnRate { objective: 0.9, long_ms: 600_000, short_ms: 60_000, factor: 2.0, minimum_count: 10 };
    let terms = terms(Figure::SpansErrorRatio, Comparison::Above, 2.0, &[Label::Service], &[to]);
    let rule = add_rule(&watch.store, "Burns", Terms { burn_rate: Some(burn), ..terms }).await;
    let spans = |all, failed| {
        let labels = Labels::default().service("shop");
        vec![
            (key(Figure::SpansPerSecond, labels.clone()), Point::Count(all)),
            (key(Figure::SpanErrorsPerSecond, labels), Point::Count(failed)),
        ]
    };
    watch.frame("spans:a", spans(0.0, 0.0)).await;
    watch.pass(15);
    watch.frame("spans:a", spans(100.0, 50.0)).await;
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing]);
    for _ in 0..20 {
        watch.pass(15);
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing], "no spans are no good spans");
    watch.frame("spans:a", spans(1_000.0, 0.0)).await;
    watch.pass(2);
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved]);
}

async fn records_are_lost_within_the_window(world: World) {
    let (mut watch, to) = (Watch::new(&world.store, &["prod"]).await, receiver(&world.store, "Pager").await);
    let by = [Label::Bus, Label::Topic, Label::ConsumerGroup];
    let lost = terms(Figure::RecordsLost, Comparison::Above, 0.0, &by, &[to]);
    let summary = "{value} before {consumer_group} read them".to_owned();
    let rule = add_rule(&watch.store, "Lost", Terms { window_ms: 120_000, summary, ..lost }).await;
    let of_group = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"billing".into());
    let count = |labels: &Labels, lost| vec![(key(Figure::RecordsLost, labels.clone()), Point::Count(lost))];
    watch.answers("prod", Vec::new()).await;
    watch.look().await;
    assert_eq!(alerts_of(&watch.store, rule).await.len(), 0);
    watch.pass(15);
    watch.answers("prod", count(&of_group, 30.0)).await;
    watch.look().await;
    watch.pass(15);
    watch.answers("prod", count(&of_group, 12.0)).await;
    // What we have not read in time ourselves has no consumer group.
    let by_us = Labels::bus(&"prod".into()).topic(&"orders.DLT".into());
    watch.frame("gaps", count(&by_us, 7.0)).await;
    watch.look().await;
    let mut said: Vec<String> = alerts_of(&watch.store, rule).await.into_iter().map(|alert| alert.details.summary).collect();
    said.sort();
    assert_eq!(said, ["42 messages before billing read them", "7 messages before Redrive read them"]);
    watch.restart();
    watch.pass(15);
    watch.answers("prod", Vec::new()).await;
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing; 2], "another instance knows it, too");
    // The bus falls silent: what was lost is lost, and whether more is nobody knows.
    for _ in 0..16 {
        watch.pass(15);
        watch.fails("prod").await;
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Firing; 2]);
    watch.pass(15);
    watch.answers("prod", Vec::new()).await;
    watch.look().await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved; 2], "the window has passed, and nothing more was lost");
    assert_eq!(outbox(&watch.store).await.len(), 4, "each fired once and ended once");
}

async fn a_bus_explains_alerts_that_do_not_name_it(world: World) {
    let (mut watch, to) = (Watch::new(&world.store, &["prod", "test"]).await, receiver(&world.store, "Pager").await);
    let only = |bus: &str| Filter::from([(Label::Bus, bus.to_owned())]);
    let down = Terms { filter: only("prod"), ..terms(Figure::BusReachable, Comparison::Below, 1.0, &[], &[to]) };
    let down = add_rule(&watch.store, "Down", down).await;
    let lag = terms(Figure::ConsumerGroupLagMessages, Comparison::Above, 100.0, &[Label::ConsumerGroup], &[to]);
    let by_group = add_rule(&watch.store, "By group", lag.clone()).await;
    let by_filter = add_rule(&watch.store, "By filter", Terms { filter: only("prod"), by: Vec::new(), ..lag.clone() }).await;
    let lags = |bus: &str, groups: &[&str]| {
        let of = |group: &&str| Labels::bus(&bus.into()).topic(&"orders".into()).consumer_group(&(*group).into());
        groups.iter().map(|group| (key(Figure::ConsumerGroupLagMessages, of(group)), Point::Level(500.0))).collect::<Vec<_>>()
    };
    watch.answers("prod", lags("prod", &["billing", "both"])).await;
    watch.answers("test", lags("test", &["mail", "both"])).await;
    watch.pass(1);
    watch.fails("prod").await;
    watch.look().await;
    watch.restart();
    watch.pass(15);
    watch.fails("prod").await;
    watch.answers("test", lags("test", &["mail", "both"])).await;
    watch.look().await;
    let explains = alerts_of(&watch.store, down).await.remove(0);
    assert_eq!((explains.standing.state, explains.labels.len()), (AlertState::Firing, 0));
    let mut muted: Vec<(String, Option<i64>)> = alerts_of(&watch.store, by_group)
        .await
        .into_iter()
        .map(|alert| (alert.labels["consumer_group"].clone(), alert.inhibited_by))
        .collect();
    muted.sort();
    let of = |group: &str, by: Option<i64>| (group.to_owned(), by);
    assert_eq!(muted, [of("billing", Some(explains.number)), of("both", None), of("mail", None)]);
    assert_eq!(alerts_of(&watch.store, by_filter).await[0].inhibited_by, Some(explains.number));
    let told: Vec<String> = outbox(&watch.store).await.iter().map(|one| one.notification.alerts[0].rule.clone()).collect();
    assert_eq!(told.iter().filter(|rule| *rule == "By filter").count(), 0, "{told:?}");
    assert_eq!(told.iter().filter(|rule| *rule == "By group").count(), 2, "{told:?}");
}
