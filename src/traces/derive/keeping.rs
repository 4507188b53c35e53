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

/// The time over which "slow" is measured; longer where so few come that there are not [`ENOUGH`] in it.
const PERIOD: Duration = Duration::from_mins(10);
/// Durations that a 99th percentile is believed from.
const ENOUGH: u64 = 200;
/// Share that is not slow.
const ORDINARY: f64 = 0.99;
/// An ordinary trace is kept this often for each topic and consumer group.
const BASELINE_EVERY: Duration = Duration::from_mins(1);
/// Combinations of topic, group and operation that are told apart.
const MOST: usize = 10_000;
/// One that has not been seen for so long is forgotten when there is no room for others.
const IDLE: Duration = Duration::from_hours(24);

/// Durations of this period and of the one before. A period ends when it has lasted long enough and has enough: what is compared with is
/// never older than the last few hundred, however seldom they come.
#[derive(Debug)]
struct Usual {
    now: Histogram,
    before: Histogram,
    since: Timestamp,
    seen: Timestamp,
}

/// What is usual.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    hasher: RandomState,
    usual: HashMap<u64, Usual>,
    baseline: HashMap<u64, Timestamp>,
    /// Spans that were compared with nothing.
    uncompared: u64,
    /// When those that are idle were last looked for.
    tidied: Option<Timestamp>,
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
        if self.usual.len() >= MOST && !self.usual.contains_key(&kind) && !self.make_room(at) {
            self.uncompared += 1;
            return false;
        }
        let new = || Usual { now: Histogram::new(), before: Histogram::new(), since: at, seen: at };
        let usual = self.usual.entry(kind).or_insert_with(new);
        usual.seen = at;
        if usual.since.age_at(at) >= PERIOD && usual.now.count() >= ENOUGH {
            usual.before = std::mem::take(&mut usual.now);
            usual.since = at;
        }
        // Before it is counted itself.
        let measured = if usual.before.count() >= ENOUGH { &usual.before } else { &usual.now };
        let limit = Some(measured).filter(|measured| measured.count() >= ENOUGH).and_then(|measured| measured.quantile(ORDINARY));
        self.uncompared += u64::from(limit.is_none());
        usual.now.record(seconds);
        limit.is_some_and(|limit| seconds > limit)
    }

    /// Forgets those that have not been seen for long. Once in a period: there are many to look through.
    fn make_room(&mut self, at: Timestamp) -> bool {
        if self.tidied.is_none_or(|tidied| tidied.age_at(at) >= PERIOD) {
            self.tidied = Some(at);
            self.usual.retain(|_, usual| usual.seen.age_at(at) < IDLE);
        }
        self.usual.len() < MOST
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
    fn what_is_compared_with_nothing_is_counted() {
        let mut keeping = Keeping::default();
        let most = u64::try_from(MOST).unwrap();
        for kind in 0..most + 7 {
            assert!(!keeping.is_slow(kind, 1.0, Timestamp::from_millis(1)));
        }
        assert_eq!((keeping.take_uncompared(), keeping.take_uncompared()), (most + 7, 0), "none has enough before it, and seven no room");
        for _ in 1..ENOUGH {
            assert!(!keeping.is_slow(3, 1.0, Timestamp::from_millis(2)));
        }
        assert_eq!(keeping.take_uncompared(), ENOUGH - 1);
        assert!(!keeping.is_slow(3, 1.0, Timestamp::from_millis(3)) && keeping.is_slow(3, 9.0, Timestamp::from_millis(3)));
        assert_eq!(keeping.take_uncompared(), 0, "a known one with enough before it is compared");
    }

    #[test]
    fn a_slow_one_is_known_also_where_few_come_and_after_a_quiet_night() {
        let mut keeping = Keeping::default();
        let minute = |minute: i64| Timestamp::from_millis(minute * 60_000);
        // Two a minute: ten periods until there are enough.
        let ordinary = (0..200).filter(|number| keeping.is_slow(1, 1.0, minute(number / 2))).count();
        assert_eq!((ordinary, keeping.take_uncompared()), (0, 200));
        assert!(keeping.is_slow(1, 5.0, minute(101)));
        assert!(keeping.is_slow(1, 5.0, minute(900)), "what was usual yesterday is until there is something newer");
        // What is usual becomes longer: soon it is not slow any more.
        let slow = (0..1_000).filter(|number| keeping.is_slow(1, 5.0, minute(901 + number))).count();
        assert!((1..=400).contains(&slow), "{slow}");
        assert!(!keeping.is_slow(1, 5.0, minute(2_000)) && keeping.is_slow(1, 60.0, minute(2_000)));
        assert_eq!(keeping.take_uncompared(), 0);
    }

    #[test]
    fn those_that_have_gone_make_room_for_others() {
        let mut keeping = Keeping::default();
        let hour = |hour: i64| Timestamp::from_millis(hour * 3_600_000);
        let most = u64::try_from(MOST).unwrap();
        assert!((0..most).all(|kind| !keeping.is_slow(kind, 1.0, hour(0))));
        assert!(!keeping.is_slow(0, 1.0, hour(20)) && !keeping.is_slow(most, 1.0, hour(20)));
        assert_eq!(keeping.usual.len(), MOST, "nobody has gone for a day");
        assert!(!keeping.is_slow(most, 1.0, hour(25)));
        assert_eq!(keeping.usual.len(), 2, "the one that was seen since, and the new one");
    }
}
