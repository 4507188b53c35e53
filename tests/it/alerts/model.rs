//! Looks at one rule through whatever may happen: flapping, silence, groups that go, clocks that leap and go back, edits of the rule, and
//! whoever looks ended and followed by another, which knows nothing but the store. After every look the alert stands as its definition
//! says, which is worked out anew from the list of all samples; and exactly what has begun and ended was told.

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{AlertState, Comparison, Filter, Label, NoData, Terms};
use redrive::model::delivery::DeliveryFilter;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::receiver::ReceiverId;
use redrive::model::{BusKind, PageRequest, Timestamp};
use redrive::store::Store;
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;

use super::super::store::{World, on_both_engines};
use super::scene::{add_rule, alerts_of, entry, receiver, terms};

use AlertState::{Firing, Inactive, Pending, Recovering, Resolved};

const SECOND: i64 = 1_000;
/// A sampler that has not looked for so long is silent; whose look lies so far ahead has looked before a clock went back.
const FRESH: i64 = 60 * SECOND;
/// Between two looks so much counts as observed, at most.
const PATIENCE: i64 = 120 * SECOND;
const CLEAR: f64 = 50.0;

/// What a sampler does before a look.
#[derive(Debug, Clone, Copy)]
enum Sampled {
    Lag(f64),
    /// The bus answers, and the group is not there.
    WithoutGroup,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    For(u64),
    KeepFiringFor(u64),
    Threshold(f64),
}

/// One look, so many seconds after the one before.
#[derive(Debug, Clone)]
struct Step {
    pause: i64,
    sampled: Sampled,
    edit: Option<Edit>,
    /// Somebody else looks from here on.
    followed: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let sampled = prop_oneof![
        8 => prop_oneof![Just(10.0), Just(55.0), Just(75.0), Just(120.0), Just(150.0)].prop_map(Sampled::Lag),
        2 => Just(Sampled::WithoutGroup),
        4 => Just(Sampled::Nothing),
    ];
    // From ten seconds on every look is written. A pause, a stop of the process, a clock that leaps ahead or back.
    let pause = prop_oneof![10 => 10_i64..40, 3 => 40_i64..130, 1 => 130_i64..100_000, 1 => -100_000_i64..0];
    let edit = prop_oneof![
        Just(Edit::For(0)),
        (1_u64..120).prop_map(Edit::For),
        Just(Edit::KeepFiringFor(0)),
        (1_u64..120).prop_map(Edit::KeepFiringFor),
        prop_oneof![Just(60.0), Just(100.0), Just(140.0)].prop_map(Edit::Threshold),
    ];
    (pause, sampled, prop::option::weighted(0.15, edit), prop::bool::weighted(0.2)).prop_map(|(pause, sampled, edit, followed)| Step {
        pause,
        sampled,
        edit,
        followed,
    })
}

/// What a look sees.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Value(f64),
    Gone,
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Bad,
    BadAtOnce,
    Good,
    Unknown,
}

/// All samples and looks so far, and nothing else.
#[derive(Debug, Default)]
struct Definition {
    /// When a frame was taken, and the lag in it.
    frames: Vec<(i64, Option<f64>)>,
    looks: Vec<(i64, Seen, Terms)>,
    states: Vec<AlertState>,
}

impl Definition {
    /// The newest look of the sampler counts that is of this time.
    fn look(&mut self, now: i64, terms: &Terms) -> AlertState {
        let seen = match self.frames.iter().rev().find(|(at, _)| (at - now).abs() <= FRESH) {
            Some((_, Some(lag))) => Seen::Value(*lag),
            Some((_, None)) => Seen::Gone,
            None => Seen::Missing,
        };
        self.looks.push((now, seen, terms.clone()));
        let state = self.state(self.looks.len() - 1);
        self.states.push(state);
        state
    }

    fn state(&self, at: usize) -> AlertState {
        let (before, terms) = (self.before(at), &self.looks[at].2);
        match (before, self.verdict(at)) {
            (_, Verdict::Unknown) => before,
            (Firing | Recovering, Verdict::Bad | Verdict::BadAtOnce) | (_, Verdict::BadAtOnce) => Firing,
            (Pending, Verdict::Bad) => {
                if self.waited(at) >= terms.for_ms {
                    Firing
                } else {
                    Pending
                }
            }
            (_, Verdict::Bad) => {
                if terms.for_ms == 0 {
                    Firing
                } else {
                    Pending
                }
            }
            (Firing, Verdict::Good) => {
                if terms.keep_firing_for_ms == 0 {
                    Resolved
                } else {
                    Recovering
                }
            }
            (Recovering, Verdict::Good) => {
                if self.waited(at) >= terms.keep_firing_for_ms {
                    Resolved
                } else {
                    Recovering
                }
            }
            (_, Verdict::Good) => Inactive,
        }
    }

    /// The state before a look; what is over is no alert any more.
    fn before(&self, at: usize) -> AlertState {
        self.states[..at].last().copied().filter(|state| *state != Resolved).unwrap_or(Inactive)
    }

    /// The first look after the alert before this one was over.
    fn first(&self, at: usize) -> usize {
        self.states[..at].iter().rposition(|state| *state == Resolved).map_or(0, |over| over + 1)
    }

    fn verdict(&self, at: usize) -> Verdict {
        let (_, seen, terms) = &self.looks[at];
        if let Seen::Value(lag) = seen {
            let latched = self.before(at) == Firing && self.fires_by_value(at);
            return if *lag > if latched { CLEAR } else { terms.threshold } { Verdict::Bad } else { Verdict::Good };
        }
        let since = (self.first(at)..=at).rev().take_while(|look| !matches!(self.looks[*look].1, Seen::Value(_))).last().unwrap_or(at);
        let silent: u64 = (since + 1..=at).map(|look| self.observed(look)).sum();
        match (terms.no_data, seen) {
            _ if silent < terms.no_data_after_ms => Verdict::Unknown,
            (NoData::Alert, _) => Verdict::BadAtOnce,
            (NoData::Ok, _) | (NoData::Keep, Seen::Gone) => Verdict::Good,
            (NoData::Keep, _) => Verdict::Unknown,
        }
    }

    /// Whether the last look that could tell had a value.
    fn fires_by_value(&self, at: usize) -> bool {
        let told = (self.first(at)..at)
            .rev()
            .find(|look| matches!(self.looks[*look].1, Seen::Value(_)) || self.verdict(*look) == Verdict::BadAtOnce);
        told.is_none_or(|look| matches!(self.looks[look].1, Seen::Value(_)))
    }

    /// How long the state before this look was observed to last, without the time in which nobody could tell.
    fn waited(&self, at: usize) -> u64 {
        let state = self.states[at - 1];
        let since = (0..at).rev().take_while(|look| self.states[*look] == state).last().unwrap_or(at - 1);
        (since + 1..=at).filter(|look| self.verdict(look - 1) != Verdict::Unknown).map(|look| self.observed(look)).sum()
    }

    /// From the look before to this one.
    fn observed(&self, look: usize) -> u64 {
        (self.looks[look].0 - self.looks[look - 1].0).clamp(0, PATIENCE).unsigned_abs()
    }

    /// What is told by then: each beginning and each end.
    fn told(&self) -> Vec<NotifiedStatus> {
        let before = std::iter::once(Inactive).chain(self.states.iter().copied());
        before
            .zip(&self.states)
            .filter_map(|(before, after)| match (before, after) {
                (Inactive | Pending | Resolved, Firing) => Some(NotifiedStatus::Firing),
                (_, Resolved) => Some(NotifiedStatus::Resolved),
                _ => None,
            })
            .collect()
    }
}

/// A bus, a rule and a receiver of its own in a store that many use.
struct Course<'a> {
    store: &'a Store,
    source: String,
    bus: String,
    rule: i64,
    to: ReceiverId,
    terms: Terms,
    evaluator: Evaluator,
    now: i64,
    definition: Definition,
}

impl<'a> Course<'a> {
    async fn begin(store: &'a Store, number: i64, no_data: NoData, for_s: u64, keep_s: u64) -> Self {
        let (bus, to) = (format!("bus-{number}"), receiver(store, &format!("Pager {number}")).await);
        let usual = terms(Figure::ConsumerGroupLagMessages, Comparison::Above, 100.0, &[Label::Bus, Label::ConsumerGroup], &[to]);
        let filter = Filter::from([(Label::Bus, bus.clone()), (Label::ConsumerGroup, "billing".to_owned())]);
        let terms = Terms {
            filter,
            clear_threshold: Some(CLEAR),
            for_ms: for_s * 1_000,
            keep_firing_for_ms: keep_s * 1_000,
            no_data,
            no_data_after_ms: 60_000,
            ..usual
        };
        // Of a bus that nobody has configured nothing would be heard, and nothing missed.
        store.register_buses(&[(bus.as_str().into(), BusKind::Kafka)]).await.expect("the bus is kept");
        let rule = add_rule(store, &format!("Lag {number}"), terms.clone()).await;
        // Far from every other course, whichever way clocks go.
        let now = 1_767_225_600_000 + number * 100_000_000 * SECOND;
        let (source, evaluator) = (format!("bus:{bus}"), Evaluator::new(""));
        Self { store, source, bus, rule, to, terms, evaluator, now, definition: Definition::default() }
    }

    async fn sample(&mut self, lag: Option<f64>) {
        let key = |group: &str| {
            let labels = Labels::bus(&self.bus.as_str().into()).topic(&"orders".into()).consumer_group(&group.into());
            SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }
        };
        let own = lag.map(|lag| (key("billing"), Point::Level(lag)));
        let points = own.into_iter().chain([(key("other"), Point::Level(1.0))]).collect();
        let after = self.store.figure_source(&self.source).await.expect("readable").map(|(at, _)| at);
        let taken_at = Timestamp::from_millis(self.now);
        let frame = NewFrame { source: &self.source, after, taken_at, points, state: None, snapshot: false };
        assert!(self.store.add_frame(frame).await.expect("it is written"));
        self.definition.frames.push((self.now, lag));
    }

    async fn go(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.now += step.pause * SECOND;
        if let Some(edit) = step.edit {
            match edit {
                Edit::For(seconds) => self.terms.for_ms = seconds * 1_000,
                Edit::KeepFiringFor(seconds) => self.terms.keep_firing_for_ms = seconds * 1_000,
                Edit::Threshold(threshold) => self.terms.threshold = threshold,
            }
            let rule = NewRule { name: format!("Lag of {}", self.bus), enabled: true, terms: self.terms.clone() };
            assert!(self.store.change_alert_rule(self.rule, &rule, &entry("alert_rules.change")).await.expect("kept"));
        }
        match step.sampled {
            Sampled::Lag(lag) => self.sample(Some(lag)).await,
            Sampled::WithoutGroup => self.sample(None).await,
            Sampled::Nothing => {}
        }
        // Whoever begins to look knows at once of what is in the store, and only after a while of what fell silent before it began.
        if step.followed && (self.terms.no_data != NoData::Alert || self.living().await.is_some()) {
            self.evaluator = Evaluator::new("");
        }
        let over = self.over().await;
        self.evaluator.look(self.store, None, true, Timestamp::from_millis(self.now)).await.expect("a look");
        let expected = self.definition.look(self.now, &self.terms);
        let found = match self.living().await {
            Some(state) => state,
            None if self.over().await > over => Resolved,
            None => Inactive,
        };
        prop_assert_eq!(found, expected, "after {:#?}", self.definition);
        prop_assert_eq!(self.told().await, self.definition.told());
        Ok(())
    }

    async fn living(&self) -> Option<AlertState> {
        let living = self.store.list_living_alerts().await.expect("alerts are read");
        let mut own = living.into_iter().filter(|alert| alert.rule == self.rule);
        let found = own.next().map(|alert| alert.standing.state);
        assert!(own.next().is_none(), "one group has one alert");
        found
    }

    /// How many alerts are over.
    async fn over(&self) -> usize {
        alerts_of(self.store, self.rule).await.iter().filter(|alert| alert.standing.state == Resolved).count()
    }

    /// Everything in the outbox but repeats of what goes on.
    async fn told(&self) -> Vec<NotifiedStatus> {
        let filter = DeliveryFilter { receiver: Some(self.to), ..DeliveryFilter::default() };
        let all = self.store.list_deliveries(&filter, &PageRequest::first(1_000)).await.expect("the outbox is read").items;
        let told = all.iter().rev().filter(|delivery| delivery.notification.reason != Reason::Repeat);
        told.map(|delivery| delivery.notification.alerts[0].status).collect()
    }

    async fn end(self) {
        assert!(self.store.remove_alert_rule(self.rule, &entry("alert_rules.delete")).await.expect("removed"));
        let now = Timestamp::from_millis(self.now + SECOND);
        Evaluator::new("").look(self.store, None, true, now).await.expect("a look");
        assert_eq!(self.living().await, None, "without its rule there is no alert");
    }
}

on_both_engines! {
    /// Whatever happens, the alert stands as its definition says.
    an_alert_stands_as_its_definition_says_whatever_happens
    /// What was sampled before a clock went back is not what is now.
    a_clock_that_goes_back_neither_holds_the_last_sample_nor_hides_silence
}

async fn an_alert_stands_as_its_definition_says_whatever_happens(world: World) {
    let cases = if world.is_postgres() { 8 } else { 24 };
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() });
    let no_data = prop_oneof![Just(NoData::Keep), Just(NoData::Alert), Just(NoData::Ok)];
    let wait = || prop_oneof![Just(0_u64), 1_u64..150];
    let courses = (no_data, wait(), wait(), prop::collection::vec(step(), 1..40));
    let (store, number) = (&world.store, std::cell::Cell::new(0));
    let here = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&courses, |(no_data, for_s, keep_s, steps)| {
            here.block_on(async {
                number.set(number.get() + 1);
                let mut course = Course::begin(store, number.get(), no_data, for_s, keep_s).await;
                // The group was there and well.
                let well = Step { pause: 10, sampled: Sampled::Lag(10.0), edit: None, followed: false };
                for step in std::iter::once(&well).chain(&steps) {
                    course.go(step).await?;
                }
                course.end().await;
                Ok(())
            })
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn a_clock_that_goes_back_neither_holds_the_last_sample_nor_hides_silence(world: World) {
    let mut course = Course::begin(&world.store, 1, NoData::Alert, 0, 0).await;
    let step = |pause, sampled| Step { pause, sampled, edit: None, followed: false };
    for (step, state) in [
        (step(10, Sampled::Lag(10.0)), None),
        (step(15, Sampled::Lag(150.0)), Some(Firing)),
        // An hour back, and it is well again; then nobody looks any more.
        (step(-3_600, Sampled::Lag(10.0)), None),
        (step(61, Sampled::Nothing), Some(Inactive)),
        (step(61, Sampled::Nothing), Some(Firing)),
    ] {
        course.go(&step).await.expect("it stands as its definition says");
        assert_eq!(course.living().await, state, "{step:?}");
    }
    assert_eq!(course.told().await, [NotifiedStatus::Firing, NotifiedStatus::Resolved, NotifiedStatus::Firing]);
}
