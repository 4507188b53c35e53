//! How far a partition's log had grown when, thinned with age, and what that tells of lag in time.
//!
//! Near the present every look is kept; further back the distance between two points stays below an eighth of their age, so that two
//! days fit into some hundred points. A time read from it is therefore always given with its bound.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Timestamp;

/// Looks younger than this are all kept.
const DENSE: Duration = Duration::from_mins(6);
/// Two points may lie so much of their age apart.
const SHARE: i64 = 8;
/// What is older is forgotten.
const LONGEST: Duration = Duration::from_hours(48);

/// End offsets of a partition over time.
#[derive(Debug, Clone, Default)]
pub struct EndHistory {
    /// Oldest first; times ascend, ends never fall.
    points: VecDeque<(Timestamp, i64)>,
}

/// How long ago the record was written that a group has to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLag {
    /// Certainly at least this long ago.
    pub min: Duration,
    /// Certainly at most this long ago; `None` when it is older than what we know.
    pub max: Option<Duration>,
    /// Between two looks, as if the log had grown evenly; `None` without an upper bound.
    pub estimate: Option<Duration>,
}

impl TimeLag {
    /// Nothing is left to read.
    pub const NONE: Self = Self { min: Duration::ZERO, max: Some(Duration::ZERO), estimate: Some(Duration::ZERO) };
}

impl EndHistory {
    /// Adds a look. A log that shrank (another generation, an unclean election) begins anew; looks from the past are left out.
    pub fn add(&mut self, at: Timestamp, end: i64) {
        if let Some((last, last_end)) = self.points.back().copied() {
            if end < last_end {
                self.points.clear();
            } else if at <= last {
                return;
            }
        }
        self.points.push_back((at, end));
        self.thin(at);
    }

    /// How long ago the record at `next` was written, seen from the newest look; `None` without any look.
    #[must_use]
    pub fn time_lag(&self, next: i64) -> Option<TimeLag> {
        let (now, end) = self.points.back().copied()?;
        if next >= end {
            return Some(TimeLag::NONE);
        }
        // The first look that saw the record; the one before did not.
        let seen = self.points.partition_point(|(_, end)| *end <= next);
        let (seen_at, seen_end) = self.points[seen];
        let min = seen_at.age_at(now);
        let Some((before_at, before_end)) = seen.checked_sub(1).map(|before| self.points[before]) else {
            return Some(TimeLag { min, max: None, estimate: None });
        };
        let max = before_at.age_at(now);
        #[expect(clippy::cast_precision_loss, reason = "a share of a distance")]
        let share = (seen_end - next) as f64 / (seen_end - before_end).max(1) as f64;
        Some(TimeLag { min, max: Some(max), estimate: Some(min + max.saturating_sub(min).mul_f64(share.clamp(0.0, 1.0))) })
    }

    /// Points held, for measuring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn thin(&mut self, now: Timestamp) {
        let oldest = now.minus(LONGEST);
        while self.points.front().is_some_and(|(at, _)| *at < oldest) {
            self.points.pop_front();
        }
        // One pass now and then: a point goes when its neighbours are close enough without it.
        if self.points.len() < 40 || !self.points.len().is_multiple_of(8) {
            return;
        }
        let dense = now.minus(DENSE);
        let mut kept: VecDeque<(Timestamp, i64)> = VecDeque::with_capacity(self.points.len());
        for place in 0..self.points.len() {
            let (at, end) = self.points[place];
            let next = self.points.get(place + 1);
            let needless = match (kept.back(), next) {
                (Some((before, _)), Some((after, _))) if at < dense => {
                    let age = now.as_millis() - after.as_millis();
                    after.as_millis() - before.as_millis() <= age / SHARE
                }
                _ => false,
            };
            if !needless {
                kept.push_back((at, end));
            }
        }
        self.points = kept;
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "small numbers of tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn seconds(duration: Duration) -> i64 {
        i64::try_from(duration.as_secs()).expect("short")
    }

    #[test]
    fn a_burst_an_idle_log_and_an_unknown_past_are_told_apart() {
        let mut history = EndHistory::default();
        assert_eq!(history.time_lag(0), None);
        for (time, end) in [(0, 100), (15, 100), (30, 200), (45, 200), (60, 200)] {
            history.add(at(time), end);
        }
        assert_eq!(history.time_lag(200), Some(TimeLag::NONE));
        let burst = history.time_lag(100).expect("there are looks");
        assert_eq!((seconds(burst.min), burst.max.map(seconds)), (30, Some(45)), "written between the looks at 15 and 30");
        let past = history.time_lag(99).expect("there are looks");
        assert_eq!((seconds(past.min), past.max), (60, None), "older than anything known");
        history.add(at(75), 10);
        assert_eq!(history.len(), 1, "another log");
    }

    #[test]
    fn two_days_of_looks_stay_few_and_their_bound_stays_an_eighth() {
        let mut history = EndHistory::default();
        for look in 0..=11_520 {
            history.add(at(look * 15), look * 15);
        }
        assert!(history.len() < 140, "{}", history.len());
        for age in [60, 600, 3_600, 36_000, 100_000] {
            let lag = history.time_lag(172_800 - age).expect("there are looks");
            let (min, max) = (seconds(lag.min), seconds(lag.max.expect("inside of two days")));
            assert!(min <= age && age <= max, "{age} between {min} and {max}");
            assert!(max - min <= age / 7 + 30, "{age} between {min} and {max}");
        }
    }

    proptest! {
        /// The log grows as it likes; whatever was written when, the bound holds.
        #[test]
        fn the_truth_lies_inside_of_the_bound(growth in prop::collection::vec(0_i64..50, 10..2_000), asked in 0.0_f64..1.0) {
            let mut history = EndHistory::default();
            let (mut end, mut written) = (0, Vec::new());
            history.add(at(0), 0);
            for (look, grown) in growth.iter().enumerate() {
                let time = (look as i64 + 1) * 15;
                // Written at the middle between two looks.
                written.extend((0..*grown).map(|_| time * 1_000 - 7_500));
                end += grown;
                history.add(at(time), end);
            }
            prop_assume!(end > 0);
            let next = ((asked * end as f64) as i64).min(end - 1);
            let age = growth.len() as i64 * 15_000 - written[usize::try_from(next).expect("not negative")];
            let lag = history.time_lag(next).expect("there are looks");
            prop_assert!(lag.min.as_millis() as i64 <= age);
            prop_assert!(lag.max.is_none_or(|max| age <= max.as_millis() as i64));
        }
    }
}
