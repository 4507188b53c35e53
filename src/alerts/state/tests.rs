//! Tables of cases, and a simple reference that counts what was observed second by second.

use proptest::prelude::*;

use super::super::rule::tests::terms;
use super::*;
use crate::model::alert::Comparison;

const SECOND: i64 = 1_000;
const START: i64 = 1_700_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START + seconds * SECOND)
}

/// `for` 30 s, `keep_firing_for` 20 s, above 100 until 50, no data after 60 s.
fn usual(no_data: NoData) -> Terms {
    Terms {
        threshold: 100.0,
        clear_threshold: Some(50.0),
        comparison: Comparison::Above,
        for_ms: 30_000,
        keep_firing_for_ms: 20_000,
        no_data,
        no_data_after_ms: 60_000,
        ..terms()
    }
}

/// Runs looks of (second, what is seen), and says the state after each.
fn run(terms: &Terms, looks: &[(i64, Observation)]) -> Vec<AlertState> {
    let mut standing = inactive(at(0));
    let mut states = Vec::new();
    for (second, seen) in looks {
        standing = step(&standing, terms, *seen, at(*second)).0;
        states.push(standing.state);
        if standing.state == AlertState::Resolved {
            standing = inactive(at(*second));
        }
    }
    states
}

use AlertState::{Firing, Inactive, Pending, Recovering, Resolved};
use Observation::{Failed, Gone, Missing, Value};

/// A name, what missing data means, and what is seen when with the state after it.
type Case<'a> = (&'a str, NoData, &'a [(i64, Observation, AlertState)]);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_alert_goes_its_way() {
    let table: &[Case<'_>] = &[
        ("too short", NoData::Keep, &[(0, Value(101.0), Pending), (29, Value(101.0), Pending), (30, Value(100.0), Inactive)]),
        ("long enough", NoData::Keep, &[(0, Value(101.0), Pending), (30, Value(101.0), Firing)]),
        (
            "it ends below the clear threshold, after a while",
            NoData::Keep,
            &[
                (0, Value(101.0), Pending),
                (30, Value(101.0), Firing),
                (40, Value(51.0), Firing),
                (50, Value(50.0), Recovering),
                (60, Value(90.0), Recovering),
                (69, Value(0.0), Recovering),
                (70, Value(0.0), Resolved),
            ],
        ),
        (
            "it comes back before it is over",
            NoData::Keep,
            &[
                (0, Value(101.0), Pending),
                (30, Value(101.0), Firing),
                (40, Value(1.0), Recovering),
                (50, Value(101.0), Firing),
                (60, Value(1.0), Recovering),
                (79, Value(1.0), Recovering),
                (80, Value(1.0), Resolved),
                (81, Value(101.0), Pending),
            ],
        ),
        (
            "without data a pending one waits, and time without data does not count",
            NoData::Keep,
            &[
                (0, Value(101.0), Pending),
                (10, Missing, Pending),
                (90, Missing, Pending),
                (100, Value(101.0), Pending),
                (119, Value(101.0), Pending),
                (120, Value(101.0), Firing),
            ],
        ),
        (
            "without data a firing one keeps its state, errors too",
            NoData::Keep,
            &[(0, Value(101.0), Pending), (30, Value(101.0), Firing), (40, Missing, Firing), (120, Failed, Firing), (200, Missing, Firing)],
        ),
        (
            "what is gone from a source that lives is over",
            NoData::Keep,
            &[(0, Value(101.0), Pending), (30, Value(101.0), Firing), (40, Gone, Firing), (99, Gone, Firing), (100, Gone, Recovering)],
        ),
        ("missing data is an alert", NoData::Alert, &[(0, Missing, Inactive), (59, Missing, Inactive), (60, Missing, Firing)]),
        (
            "data that is back and fine ends it, whatever the clear threshold",
            NoData::Alert,
            &[(0, Failed, Inactive), (60, Failed, Firing), (61, Value(70.0), Recovering)],
        ),
        (
            "missing data is fine",
            NoData::Ok,
            &[(0, Value(101.0), Pending), (30, Value(101.0), Firing), (31, Missing, Firing), (91, Missing, Recovering)],
        ),
        ("what is no number is no data", NoData::Keep, &[(0, Value(f64::NAN), Inactive), (1, Value(f64::INFINITY), Inactive)]),
    ];
    for (name, no_data, looks) in table {
        let seen: Vec<(i64, Observation)> = looks.iter().map(|(second, seen, _)| (*second, *seen)).collect();
        let expected: Vec<AlertState> = looks.iter().map(|(_, _, state)| *state).collect();
        assert_eq!(run(&usual(*no_data), &seen), expected, "{name}");
    }
}

#[test]
fn without_waiting_it_fires_and_ends_at_once() {
    let terms = Terms { for_ms: 0, keep_firing_for_ms: 0, clear_threshold: None, ..usual(NoData::Keep) };
    assert_eq!(run(&terms, &[(0, Value(101.0)), (1, Value(100.0))]), [Firing, Resolved]);
}

#[test]
fn a_clock_that_leaps_neither_fires_nor_ends_an_alert() {
    let terms = usual(NoData::Keep);
    let slow = Terms { for_ms: 600_000, keep_firing_for_ms: 600_000, ..terms };
    let ahead = [(0, Value(101.0)), (86_400, Value(101.0)), (86_401, Value(101.0))];
    assert_eq!(run(&slow, &ahead), [Pending, Pending, Pending], "a day ahead counts as two minutes");
    let back = [(0, Value(101.0)), (-3_600, Value(101.0)), (-3_001, Value(101.0)), (-3_000, Value(101.0))];
    // Between the second and the third look lie 599 s, of which two minutes were observed.
    assert_eq!(run(&slow, &back), [Pending; 4]);
    let mut standing = inactive(at(0));
    for second in (0..=300).chain((-5_000..=-4_700).map(|second| second + 1)) {
        standing = step(&standing, &slow, Value(101.0), at(second)).0;
    }
    assert_eq!(standing.state, Firing, "ten minutes were observed, although the clock went back by an hour and a half");
    let (ended, change) = end(&standing, at(-10_000));
    assert_eq!((ended.state, change), (Resolved, Some(Change::Resolved)));
    assert!(ended.resolved_at >= ended.started_at, "nothing ends before it began");
}

#[test]
fn missing_data_and_errors_are_named() {
    let terms = usual(NoData::Alert);
    for (seen, cause) in [(Missing, Cause::NoData), (Gone, Cause::NoData), (Failed, Cause::Error)] {
        let first = step(&inactive(at(0)), &terms, seen, at(0)).0;
        let (standing, change) = step(&first, &terms, seen, at(60));
        assert_eq!((standing.cause, standing.last_value, change), (Some(cause), None, Some(Change::Fired)));
        let (back, _) = step(&standing, &terms, Value(150.0), at(61));
        assert_eq!((back.state, back.cause, back.last_value), (Firing, None, Some(150.0)), "the same alert goes on with a value");
    }
}

/// Counts, in seconds, what was observed; knows no times at all.
#[derive(Debug, Default)]
struct Reference {
    state: Option<AlertState>,
    bad_for: i64,
    good_for: i64,
    missing_for: Option<i64>,
    no_value: bool,
    unknown: bool,
}

impl Reference {
    fn look(&mut self, terms: &Terms, seen: Observation, elapsed: i64) -> AlertState {
        let seconds = |millis: u64| i64::try_from(millis).unwrap() / SECOND;
        let elapsed = elapsed.clamp(0, 120);
        if let Some(missing) = &mut self.missing_for {
            *missing += elapsed;
        }
        if !std::mem::replace(&mut self.unknown, false) {
            (self.bad_for, self.good_for) = (self.bad_for + elapsed, self.good_for + elapsed);
        }
        let state = self.state.unwrap_or(Inactive);
        let (bad, at_once) = if let Value(value) = seen {
            let latched = state == Firing && !self.no_value;
            (self.missing_for, self.no_value) = (None, false);
            (value > if latched { 50.0 } else { 100.0 }, false)
        } else {
            let missing = *self.missing_for.get_or_insert(0);
            match (terms.no_data, seen) {
                _ if missing < seconds(terms.no_data_after_ms) => {
                    self.unknown = true;
                    return state;
                }
                (NoData::Alert, _) => {
                    self.no_value = true;
                    (true, true)
                }
                (NoData::Ok, _) | (NoData::Keep, Gone) => (false, false),
                (NoData::Keep, _) => {
                    self.unknown = true;
                    return state;
                }
            }
        };
        let next = match (state, bad) {
            (Firing | Recovering, true) => Firing,
            (Pending, true) if at_once || self.bad_for >= seconds(terms.for_ms) => Firing,
            (Pending, true) => Pending,
            (_, true) => {
                self.bad_for = 0;
                if at_once || terms.for_ms == 0 { Firing } else { Pending }
            }
            (Firing, false) => {
                self.good_for = 0;
                if terms.keep_firing_for_ms == 0 { Resolved } else { Recovering }
            }
            (Recovering, false) if self.good_for >= seconds(terms.keep_firing_for_ms) => Resolved,
            (Recovering, false) => Recovering,
            (_, false) => Inactive,
        };
        if next == Resolved {
            *self = Self::default();
        } else {
            self.state = Some(next);
        }
        next
    }
}

fn seen() -> impl Strategy<Value = Observation> {
    prop_oneof![
        4 => Just(Value(150.0)),
        3 => Just(Value(10.0)),
        2 => Just(Value(75.0)),
        2 => Just(Missing),
        1 => Just(Gone),
        1 => Just(Failed),
    ]
}

/// Seconds to the next look: the usual, a stop of the process, a clock that leaps ahead or back.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0_i64..20, 2 => 20_i64..130, 1 => 130_i64..100_000, 1 => -100_000_i64..0]
}

/// `for` and `keep_firing_for` in milliseconds, as somebody changes them.
fn edit() -> impl Strategy<Value = (u64, u64)> {
    let wait = || prop_oneof![Just(0_u64), 1_u64..200].prop_map(|seconds| seconds * 1_000);
    (wait(), wait())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn an_alert_moves_as_the_reference_says_through_restarts_and_edits(
        looks in prop::collection::vec((pause(), seen(), any::<bool>(), prop::option::weighted(0.1, edit())), 1..120),
        for_s in prop_oneof![Just(0_u64), 1_u64..200],
        keep_s in prop_oneof![Just(0_u64), 1_u64..200],
        no_data in prop_oneof![Just(NoData::Keep), Just(NoData::Alert), Just(NoData::Ok)],
    ) {
        let mut terms = Terms { for_ms: for_s * 1_000, keep_firing_for_ms: keep_s * 1_000, ..usual(no_data) };
        let (mut standing, mut reference, mut now) = (inactive(at(0)), Reference::default(), 0);
        for (pause, seen, restart, edit) in looks {
            now += pause;
            (terms.for_ms, terms.keep_firing_for_ms) = edit.unwrap_or((terms.for_ms, terms.keep_firing_for_ms));
            if restart {
                // As it lies in the store.
                let stored = serde_json::to_string(&standing).expect("a standing can be written");
                let read: Standing = serde_json::from_str(&stored).expect("and read");
                prop_assert_eq!(&read, &standing);
                standing = read;
            }
            let expected = reference.look(&terms, seen, pause);
            let (after, change) = step(&standing, &terms, seen, at(now));
            prop_assert_eq!(after.state, expected);
            prop_assert_eq!(change.is_some(), after.state != standing.state);
            prop_assert_eq!(after.started_at.is_some(), after.state.is_firing() || after.state == Resolved);
            standing = if after.state == Resolved { inactive(at(now)) } else { after };
        }
    }
}
