//! Looks at rules on a store without a bus: the clock and the samples are the test's.

use std::time::Duration;

use redrive::alerts::evaluation::{Evaluator, Looked};
use redrive::metrics::bucket::Point;
use redrive::model::alert::{
    Acknowledgement, Alert, AlertState, Cause, Comparison, GroupBy, Label, Matcher, MatcherKind, NoData, Severity, Terms,
};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::receiver::ReceiverKind;
use redrive::model::{BusKind, Timestamp};
use redrive::store::Store;
use redrive::store::alerts::round::Guard;
use redrive::store::alerts::silences::NewSilence;
use redrive::store::figures::NewFrame;

use super::super::store::{World, on_both_engines};
use super::scene::{add_rule, alerts_of, entry, outbox, receiver, receiver_of, states_of, terms};

/// A store, somebody who looks, and a clock.
pub(super) struct Watch {
    pub(super) store: Store,
    pub(super) evaluator: Evaluator,
    pub(super) now: Timestamp,
    sampled: Option<Timestamp>,
}

impl Watch {
    pub(super) async fn new(store: &Store) -> Self {
        store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
        let now = Timestamp::from_millis(1_767_225_600_000);
        Self { store: store.clone(), evaluator: Evaluator::new("https://r.example"), now, sampled: None }
    }

    /// A look of the bus's sampler: lag of groups.
    pub(super) async fn sample(&mut self, lags: &[(&str, f64)]) {
        let points = lags.iter().map(|(group, lag)| {
            let labels = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&(*group).into());
            (SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(*lag))
        });
        self.frame("bus:prod", points.collect()).await;
    }

    /// A look that finds groups and topics of these names.
    async fn sample_both(&mut self, names: &[&str]) {
        let key = |figure, labels| SeriesKey { figure, labels };
        let points = names.iter().flat_map(|name| {
            let of_topic = Labels::bus(&"prod".into()).topic(&(*name).into());
            let of_group = of_topic.clone().consumer_group(&(*name).into());
            [
                (key(Figure::ConsumerGroupLagMessages, of_group), Point::Level(1.0)),
                (key(Figure::TopicMessagesPerSecond, of_topic), Point::Count(10.0)),
            ]
        });
        self.frame("bus:prod", points.collect()).await;
    }

    pub(super) async fn frame(&mut self, source: &str, points: Vec<(SeriesKey, Point)>) {
        let after = self.store.figure_source(source).await.expect("readable").map(|(at, _)| at);
        let frame = NewFrame { source, after, taken_at: self.now, points, state: None, snapshot: false };
        assert!(self.store.add_frame(frame).await.expect("it is written"));
        self.sampled = Some(self.now);
    }

    pub(super) async fn look(&mut self) -> Looked {
        self.evaluator.look(&self.store, None, true, self.now).await.expect("a look")
    }

    /// Samples and looks so many seconds later.
    pub(super) async fn later(&mut self, seconds: u64, lags: &[(&str, f64)]) -> Looked {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.sample(lags).await;
        self.look().await
    }
}

pub(super) fn lag(receivers: &[redrive::model::receiver::ReceiverId]) -> Terms {
    terms(Figure::ConsumerGroupLagMessages, Comparison::Above, 100.0, &[Label::Bus, Label::ConsumerGroup], receivers)
}

on_both_engines! {
    /// An alert fires with the sample that shows its condition, once, and ends once; nothing is written where nothing changes.
    an_alert_fires_once_and_ends_once
    /// What an instance has seen of waiting is in the store: another one goes on from there.
    waiting_goes_on_with_another_who_looks
    /// Silent groups, silenced alerts, and those that another explains are told to nobody.
    what_is_muted_is_not_told
    /// Taking note is told, and ends the repeats until it expires.
    taking_note_is_told_and_expires
    /// A bus that is silent is no data; a group that is gone while the bus answers is over.
    silence_of_a_bus_is_no_data_and_a_group_that_is_gone_is_over
    /// What was there before a restart and is silent after it is told of; what ended long before is not.
    what_fell_silent_while_nobody_looked_is_told
    /// The same where nothing at all is heard after the restart.
    a_bus_that_is_silent_since_the_restart_is_told
    /// A rule that is switched off, changed or removed ends what it has begun.
    a_rule_that_is_gone_ends_its_alerts
    /// Who lost the lease writes nothing, neither alerts nor notifications.
    who_lost_the_lease_writes_nothing
}

async fn an_alert_fires_once_and_ends_once(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let rule = add_rule(&watch.store, "Lag", Terms { summary: "{consumer_group}: {value}".to_owned(), ..lag(&[to]) }).await;
    assert_eq!(watch.later(0, &[("billing", 100.0), ("shipping", 5.0)]).await, Looked::Same);
    assert_eq!(watch.later(15, &[("billing", 101.0), ("shipping", 5.0)]).await, Looked::Changed);
    let alert = alerts_of(&watch.store, rule).await.pop().expect("it fires");
    assert_eq!((alert.standing.state, alert.standing.started_at), (AlertState::Firing, Some(watch.now)));
    assert_eq!(alert.labels["consumer_group"], "billing");
    watch.now = watch.now.plus(Duration::from_secs(1));
    assert_eq!(watch.look().await, Looked::Same, "the same sample again");
    watch.later(14, &[("billing", 300.0), ("shipping", 5.0)]).await;
    assert_eq!(alerts_of(&watch.store, rule).await[0].details.summary, "billing: 300 messages");
    watch.later(15, &[("billing", 0.0), ("shipping", 5.0)]).await;
    watch.later(15, &[("billing", 0.0), ("shipping", 5.0)]).await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved]);
    let told = outbox(&watch.store).await;
    let brief: Vec<_> = told.iter().map(|one| (one.notification.reason, one.notification.alerts[0].status)).collect();
    assert_eq!(brief, [(Reason::First, NotifiedStatus::Firing), (Reason::AllResolved, NotifiedStatus::Resolved)]);
    let first = &told[0].notification.alerts[0];
    assert_eq!((first.fingerprint.as_str(), first.value), (alert.fingerprint.as_str(), Some(101.0)));
    assert_eq!(first.url, "https://r.example/buses/prod/consumer-groups/billing?from=2025-12-31T23%3A45%3A00.000Z");
    let figures = watch.store.alert_figures(alert.standing.started_at.expect("it fired"), watch.now).await.expect("figures");
    assert_eq!((figures[0].fired, figures[0].resolved, figures[0].resolve), (1, 1, Some(Duration::from_secs(30))));
}

async fn waiting_goes_on_with_another_who_looks(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let rule = add_rule(&watch.store, "Lag", Terms { for_ms: 60_000, ..lag(&[to]) }).await;
    watch.later(0, &[("billing", 101.0)]).await;
    let since = alerts_of(&watch.store, rule).await[0].standing.pending_since;
    watch.later(30, &[("billing", 101.0)]).await;
    watch.evaluator = Evaluator::new("https://r.example");
    watch.later(29, &[("billing", 101.0)]).await;
    assert_eq!(states_of(&watch.store, rule).await, [AlertState::Pending]);
    assert_eq!(outbox(&watch.store).await.len(), 0);
    watch.evaluator = Evaluator::new("https://r.example");
    watch.later(1, &[("billing", 101.0)]).await;
    let alert = alerts_of(&watch.store, rule).await.remove(0);
    assert_eq!((alert.standing.state, alert.standing.pending_since), (AlertState::Firing, since));
    watch.evaluator = Evaluator::new("https://r.example");
    watch.later(15, &[("billing", 101.0)]).await;
    assert_eq!(outbox(&watch.store).await.len(), 1, "whoever looks next knows that it was told");
}

async fn what_is_muted_is_not_told(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let rule = add_rule(&watch.store, "Lag", lag(&[to])).await;
    let down = terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], &[to]);
    add_rule(&watch.store, "Down", Terms { for_ms: 60_000, ..down }).await;
    let billing = Matcher { label: "consumer_group".to_owned(), operator: MatcherKind::Equal, value: "billing".to_owned() };
    let silence = NewSilence {
        matchers: vec![billing],
        comment: "known".to_owned(),
        starts_at: watch.now,
        ends_at: watch.now.plus(Duration::from_secs(20)),
    };
    let silence = watch.store.add_silence(&silence, &entry("silences.add")).await.expect("kept");
    watch.later(0, &[("billing", 101.0)]).await;
    let alert = alerts_of(&watch.store, rule).await.remove(0);
    assert_eq!((alert.standing.state, alert.silenced_by), (AlertState::Firing, Some(silence.number)));
    assert_eq!((outbox(&watch.store).await.len(), watch.store.count_firing().await.expect("counted").len()), (0, 0));
    watch.later(21, &[("billing", 101.0)]).await;
    assert_eq!(outbox(&watch.store).await.len(), 1, "the silence has ended");
    assert_eq!(watch.store.count_firing().await.expect("counted").get(&Severity::Critical), Some(&1));

    watch.now = watch.now.plus(Duration::from_secs(15));
    let key = SeriesKey { figure: Figure::BusReachable, labels: Labels::bus(&"prod".into()) };
    watch.frame("reach:prod", vec![(key, Point::Level(0.0))]).await;
    watch.sample(&[("billing", 101.0), ("shipping", 101.0)]).await;
    watch.look().await;
    watch.later(1, &[("billing", 101.0), ("shipping", 101.0)]).await;
    let alerts = alerts_of(&watch.store, rule).await;
    let shipping = alerts.iter().find(|alert| alert.labels["consumer_group"] == "shipping").expect("it fires");
    assert!(shipping.standing.state == AlertState::Firing && shipping.inhibited_by.is_some_and(|number| number > 0), "{shipping:?}");
    assert_eq!(outbox(&watch.store).await.len(), 1, "the bus explains it, although that is pending yet");
}

async fn taking_note_is_told_and_expires(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver_of(&world.store, "Pager", ReceiverKind::Pagerduty).await);
    let rule = add_rule(&watch.store, "Lag", Terms { repeat_interval_ms: 60_000, ..lag(&[to]) }).await;
    watch.later(0, &[("billing", 101.0)]).await;
    let number = alerts_of(&watch.store, rule).await[0].number;
    let expires_at = Some(watch.now.plus(Duration::from_secs(100)));
    let note =
        Acknowledgement { by: "user:ann".to_owned(), at: watch.now.plus(Duration::from_secs(10)), note: "mine".to_owned(), expires_at };
    assert!(watch.store.acknowledge_alert(number, &note, &entry("alerts.acknowledge")).await.expect("kept"));
    for seconds in [15, 45, 30, 9] {
        watch.later(seconds, &[("billing", 101.0)]).await;
    }
    let reasons = async |watch: &Watch| outbox(&watch.store).await.into_iter().map(|one| one.notification.reason).collect::<Vec<_>>();
    assert_eq!(reasons(&watch).await, [Reason::First, Reason::Acknowledged], "no repeat after a minute");
    watch.later(1, &[("billing", 101.0)]).await;
    assert_eq!(reasons(&watch).await, [Reason::First, Reason::Acknowledged, Reason::Repeat], "nobody has it in hand any more");
    watch.later(15, &[("billing", 0.0)]).await;
    assert!(!watch.store.acknowledge_alert(number, &note, &entry("alerts.acknowledge")).await.expect("an answer"), "it is over");
    let figures = watch.store.alert_figures(Timestamp::from_millis(0), watch.now).await.expect("figures");
    assert_eq!((figures[0].acknowledged, figures[0].acknowledge), (1, Some(Duration::from_secs(10))));
}

async fn silence_of_a_bus_is_no_data_and_a_group_that_is_gone_is_over(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let keeps = add_rule(&watch.store, "Lag", Terms { no_data_after_ms: 60_000, ..lag(&[to]) }).await;
    let alert = Terms { no_data: NoData::Alert, no_data_after_ms: 60_000, threshold: 1e9, ..lag(&[to]) };
    let tells = add_rule(&watch.store, "Silence", alert).await;
    watch.later(0, &[("billing", 101.0), ("shipping", 101.0)]).await;
    for _ in 0..30 {
        watch.now = watch.now.plus(Duration::from_secs(5));
        watch.look().await;
    }
    assert_eq!(states_of(&watch.store, keeps).await, [AlertState::Firing; 2], "nobody knows anything else");
    let silent = alerts_of(&watch.store, tells).await;
    assert!(silent.iter().all(|alert| alert.standing.state == AlertState::Firing && alert.standing.cause.is_some()), "{silent:?}");
    assert_eq!(silent.len(), 2);
    // The bus is back, and one group is not.
    for _ in 0..14 {
        watch.later(5, &[("billing", 101.0)]).await;
    }
    let mut standing: Vec<_> = alerts_of(&watch.store, keeps)
        .await
        .into_iter()
        .map(|alert| (alert.labels["consumer_group"].clone(), alert.standing.state))
        .collect();
    standing.sort();
    assert_eq!(standing, [("billing".to_owned(), AlertState::Firing), ("shipping".to_owned(), AlertState::Resolved)]);
}

/// Rules that tell of silent groups and topics, and a former life in which these were heard of: one of them long ago.
async fn former_life(world: &World) -> (Watch, [i64; 2]) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    watch.sample_both(&["bygone"]).await;
    watch.now = watch.now.plus(Duration::from_hours(2));
    watch.sample_both(&["billing", "shipping"]).await;
    watch.now = watch.now.plus(Duration::from_secs(15));
    watch.sample_both(&["billing", "shipping"]).await;
    let silent = |terms: Terms| Terms { no_data: NoData::Alert, no_data_after_ms: 60_000, ..terms };
    let groups = silent(Terms { threshold: 1e9, ..lag(&[to]) });
    let topics = terms(Figure::TopicMessagesPerSecond, Comparison::Below, -1.0, &[Label::Topic], &[to]);
    let topics = silent(Terms { window_ms: 120_000, ..topics });
    let rules = [add_rule(&watch.store, "Groups", groups).await, add_rule(&watch.store, "Topics", topics).await];
    assert_eq!(watch.look().await, Looked::Same);
    // Nobody looks for a quarter of an hour.
    watch.now = watch.now.plus(Duration::from_mins(15));
    watch.evaluator = Evaluator::new("https://r.example");
    (watch, rules)
}

/// What fires without data, by this label.
async fn silent(watch: &Watch, rule: i64, label: &str) -> Vec<String> {
    let alerts = alerts_of(&watch.store, rule).await;
    let is_silent = |alert: &&Alert| alert.standing.state == AlertState::Firing && alert.standing.cause == Some(Cause::NoData);
    let mut silent: Vec<String> = alerts.iter().filter(is_silent).map(|alert| alert.labels[label].clone()).collect();
    silent.sort();
    silent
}

async fn what_fell_silent_while_nobody_looked_is_told(world: World) {
    let (mut watch, [groups, topics]) = former_life(&world).await;
    assert_eq!(watch.look().await, Looked::Same, "nothing is asked of the silent before samplers have looked");
    for _ in 0..26 {
        watch.now = watch.now.plus(Duration::from_secs(5));
        watch.sample_both(&["billing"]).await;
        watch.look().await;
    }
    assert_eq!(silent(&watch, groups, "consumer_group").await, ["shipping"]);
    assert_eq!(silent(&watch, topics, "topic").await, ["shipping"]);
    assert_eq!(outbox(&watch.store).await.len(), 2, "and of nothing else");
    watch.evaluator = Evaluator::new("https://r.example");
    for _ in 0..26 {
        watch.now = watch.now.plus(Duration::from_secs(5));
        watch.sample_both(&["billing"]).await;
        watch.look().await;
    }
    assert_eq!(outbox(&watch.store).await.len(), 2, "another restart tells nothing again");
    watch.now = watch.now.plus(Duration::from_secs(5));
    watch.sample_both(&["billing", "shipping"]).await;
    watch.look().await;
    for rule in [groups, topics] {
        assert_eq!(states_of(&watch.store, rule).await, [AlertState::Resolved]);
    }
}

async fn a_bus_that_is_silent_since_the_restart_is_told(world: World) {
    let (mut watch, [groups, topics]) = former_life(&world).await;
    for _ in 0..27 {
        watch.look().await;
        watch.now = watch.now.plus(Duration::from_secs(5));
    }
    assert_eq!(silent(&watch, groups, "consumer_group").await, ["billing", "shipping"]);
    assert_eq!(silent(&watch, topics, "topic").await, ["billing", "shipping"]);
}

async fn a_rule_that_is_gone_ends_its_alerts(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let lags = &[("billing", 101.0)];
    let rules = [
        add_rule(&watch.store, "Off", lag(&[to])).await,
        add_rule(&watch.store, "Removed", Terms { group_by: vec![GroupBy::Bus], ..lag(&[to]) }).await,
        add_rule(&watch.store, "Pending", Terms { for_ms: 600_000, ..lag(&[to]) }).await,
    ];
    watch.later(0, lags).await;
    assert!(watch.store.switch_alert_rule(rules[0], false, &entry("alert_rules.switch_off")).await.expect("kept"));
    for rule in &rules[1..] {
        assert!(watch.store.remove_alert_rule(*rule, &entry("alert_rules.delete")).await.expect("kept"));
    }
    watch.later(15, lags).await;
    for (rule, left) in rules.iter().zip([&[AlertState::Resolved][..], &[AlertState::Resolved], &[]]) {
        assert_eq!(states_of(&watch.store, *rule).await, left);
    }
    let reasons: Vec<Reason> = outbox(&watch.store).await.into_iter().map(|one| one.notification.reason).collect();
    assert_eq!(reasons, [Reason::First, Reason::First, Reason::AllResolved, Reason::AllResolved]);
}

async fn who_lost_the_lease_writes_nothing(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let rule = add_rule(&watch.store, "Lag", lag(&[to])).await;
    let store = watch.store.clone();
    let take = async |holder: &str, now: Timestamp| {
        let lease = store.take_lease("job:alerts", holder, Duration::from_secs(6), now).await.expect("an answer").expect("it is free");
        Guard { lease: "job:alerts".to_owned(), holder: holder.to_owned(), epoch: lease.epoch }
    };
    let first = take("a", watch.now).await;
    let second = take("b", watch.now.plus(Duration::from_secs(7))).await;
    watch.now = watch.now.plus(Duration::from_secs(8));
    watch.sample(&[("billing", 101.0)]).await;
    let mut late = Evaluator::new("");
    assert_eq!(late.look(&watch.store, Some(&first), true, watch.now).await.expect("a look"), Looked::Lost);
    assert_eq!((alerts_of(&watch.store, rule).await.len(), outbox(&watch.store).await.len()), (0, 0));
    let look = watch.evaluator.look(&watch.store, Some(&second), true, watch.now).await.expect("a look");
    assert_eq!((look, outbox(&watch.store).await.len()), (Looked::Changed, 1));
    let again = take("a", watch.now.plus(Duration::from_secs(7))).await;
    assert!(again.epoch > second.epoch);
    assert_eq!(late.look(&watch.store, Some(&again), true, watch.now).await.expect("a look"), Looked::Same, "it goes on from the store");
}
