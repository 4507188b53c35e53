//! Which traces are worth keeping for what their spans tell: failures, slow ones, and an ordinary one now and then beside them.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::metrics::histogram::Histogram;
use crate::model::Timestamp;
use crate::model::span::{Messaging, Operation, Span};
use crate::model::trace::KeepReasons;
use crate::traces::tally::Tags;

/// The time over which "slow" is measured.
const PERIOD: Duration = Duration::from_mins(10);
/// Durations that a 99th percentile is believed from.
const ENOUGH: u64 = 200;
/// Share that is not slow.
const ORDINARY: f64 = 0.99;
/// An ordinary trace is kept this often for each topic and consumer group.
const BASELINE_EVERY: Duration = Duration::from_mins(1);
/// Combinations of topic, group and operation that are told apart.
const MOST: usize = 10_000;

/// Durations of this period and of the one before.
#[derive(Debug, Default)]
struct Usual {
    now: Histogram,
    before: Histogram,
    since: Option<Timestamp>,
}

/// What is usual.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    hasher: RandomState,
    usual: HashMap<u64, Usual>,
    baseline: HashMap<u64, Timestamp>,
    /// Spans that were compared with nothing.
    uncompared: u64,
}

impl Keeping {
    /// Reasons to keep the trace of a span that touched a message.
    pub(super) fn of_message(&mut self, span: &Span, messaging: &Messaging, tags: Tags<'_>, at: Timestamp) -> KeepReasons {
        let mut reasons = self.of_other(span);
        if matches!(messaging.operation, Operation::Send | Operation::Process) {
            let kind = (tags.bus, tags.topic, tags.group, messaging.operation);
            if self.is_slow(self.hasher.hash_one(kind), span.duration().as_secs_f64(), at) {
                reasons |= KeepReasons::SLOW;
            }
            if self.is_baseline(self.hasher.hash_one((tags.bus, tags.topic, tags.group)), at) {
                reasons |= KeepReasons::BASELINE;
            }
        }
        reasons
    }

    /// Reasons to keep the trace of any span.
    #[expect(clippy::unused_self, reason = "one way to ask for both")]
    pub(super) fn of_other(&self, span: &Span) -> KeepReasons {
        if span.failed() { KeepReasons::FAILED } else { KeepReasons::NONE }
    }

    /// Spans since the last time of which nobody knows whether they were slow.
    pub(super) fn take_uncompared(&mut self) -> u64 {
        std::mem::take(&mut self.uncompared)
    }

    fn is_slow(&mut self, kind: u64, seconds: f64, at: Timestamp) -> bool {
        if self.usual.len() >= MOST && !self.usual.contains_key(&kind) {
            self.uncompared += 1;
            return false;
        }
        let usual = self.usual.entry(kind).or_default();
        if usual.since.is_none_or(|since| since.age_at(at) >= PERIOD) {
            usual.before = std::mem::take(&mut usual.now);
            usual.since = Some(at);
        }
        // Before it is counted itself.
        let measured = if usual.before.count() >= ENOUGH { &usual.before } else { &usual.now };
        let slow = measured.count() >= ENOUGH && measured.quantile(ORDINARY).is_some_and(|limit| seconds > limit);
        usual.now.record(seconds);
        slow
    }

    fn is_baseline(&mut self, kind: u64, at: Timestamp) -> bool {
        if self.baseline.len() >= MOST {
            self.baseline.retain(|_, last| last.age_at(at) < BASELINE_EVERY);
        }
        let due = self.baseline.get(&kind).is_none_or(|last| last.age_at(at) >= BASELINE_EVERY);
        // Where there are too many to be told apart, one that is not known is not the first of its minute.
        let kept = due && (self.baseline.len() < MOST || self.baseline.contains_key(&kind));
        if kept {
            self.baseline.insert(kind, at);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_more_than_can_be_told_apart_none_is_kept_for_comparison() {
        let mut keeping = Keeping::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let kinds = u64::try_from(MOST).unwrap();
        assert!((0..kinds).all(|kind| keeping.is_baseline(kind, at(0))), "the first of each");
        assert!(!keeping.is_baseline(kinds, at(1)) && !keeping.is_baseline(kinds, at(2)), "there is no room to know it again");
        assert!(!keeping.is_baseline(0, at(1)));
        assert!(keeping.is_baseline(kinds, at(61)), "a minute later there is");
    }

    #[test]
    fn what_cannot_be_told_apart_any_more_is_counted() {
        let mut keeping = Keeping::default();
        for kind in 0..u64::try_from(MOST).unwrap() + 7 {
            assert!(!keeping.is_slow(kind, 1.0, Timestamp::from_millis(1)));
        }
        assert!(!keeping.is_slow(3, 1.0, Timestamp::from_millis(2)), "a known one is compared");
        assert_eq!((keeping.take_uncompared(), keeping.take_uncompared()), (7, 0));
    }
}
