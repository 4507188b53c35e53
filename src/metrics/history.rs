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
    /// Oldest first; neither times nor ends ever fall.
    points: VecDeque<Point>,
}

/// Where the log ended when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    /// Before this moment, what lies beyond the end was not there.
    asked: Timestamp,
    /// At this moment everything before the end was there.
    at: Timestamp,
    end: i64,
    /// The bus was asked for that time; else somebody looked then.
    looked_up: bool,
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
    /// Whether one of the bounds comes of a time that the bus was asked for, not of a look.
    pub looked_up: bool,
}

impl TimeLag {
    /// Nothing is left to read.
    pub const NONE: Self = Self { min: Duration::ZERO, max: Some(Duration::ZERO), estimate: Some(Duration::ZERO), looked_up: false };

    /// Whether the truth may be more than `threshold` and may as well be no more. Then the bus can be asked where the log had come to
    /// that long ago, and [`EndHistory::learn`] takes the answer.
    #[must_use]
    pub fn leaves_open(&self, threshold: Duration) -> bool {
        self.min <= threshold && self.max.is_none_or(|max| max > threshold)
    }
}

impl EndHistory {
    /// Adds a look that took no time.
    pub fn add(&mut self, at: Timestamp, end: i64) {
        self.add_read(at, at, end);
    }

    /// Adds a look: the bus was asked at the first moment and had answered at the second, and the log may have grown in between. A log
    /// that shrank (another generation, an unclean election) begins anew; looks from the past are left out.
    pub fn add_read(&mut self, asked: Timestamp, at: Timestamp, end: i64) {
        if let Some(last) = self.points.back().copied() {
            if end < last.end {
                self.points.clear();
            } else if at <= last.at {
                return;
            }
        }
        self.points.push_back(Point { asked: asked.min(at), at, end, looked_up: false });
        self.thin(at);
    }

    /// Takes what the bus says of `threshold` before the newest look: the first offset whose record is of that time or later, `None`
    /// where no record is. Afterwards no lag in time leaves that threshold open: its bound, and its estimate with it, lies above the
    /// threshold where the next record comes before that offset, and not above it elsewhere.
    ///
    /// Records have the times that producers or brokers gave them. An answer that says otherwise of offsets that looks have decided
    /// changes nothing of these: what was seen at a time was there at that time.
    pub fn learn(&mut self, threshold: Duration, first: Option<i64>) {
        let Some(newest) = self.points.back().copied() else { return };
        let at = newest.at.minus(threshold);
        let place = self.points.partition_point(|point| point.at < at);
        let high = self.points.get(place).map_or(newest.end, |point| point.end);
        let low = place.checked_sub(1).map_or(i64::MIN, |before| self.points[before].end);
        let end = first.unwrap_or(i64::MAX).clamp(low, high);
        let just_before = Timestamp::from_millis(at.as_millis().saturating_sub(1));
        // Written by then, and not yet at the moment after it: a lag of exactly the threshold is not more than it.
        for at in [at, just_before] {
            self.points.insert(place, Point { asked: at, at, end, looked_up: true });
        }
    }

    /// How long ago the record at `next` was written, seen from the newest look; `None` without any look.
    #[must_use]
    pub fn time_lag(&self, next: i64) -> Option<TimeLag> {
        let newest = self.points.back().copied()?;
        if next >= newest.end {
            return Some(TimeLag::NONE);
        }
        // The first look that saw the record; the one before did not.
        let place = self.points.partition_point(|point| point.end <= next);
        let seen = self.points[place];
        let min = seen.at.age_at(newest.at);
        let Some(before) = place.checked_sub(1).map(|before| self.points[before]) else {
            return Some(TimeLag { min, max: None, estimate: None, looked_up: seen.looked_up });
        };
        let max = before.asked.age_at(newest.at);
        #[expect(clippy::cast_precision_loss, reason = "a share of a distance")]
        let share = (seen.end - next) as f64 / (seen.end - before.end).max(1) as f64;
        let mut estimate = min + max.saturating_sub(min).mul_f64(share.clamp(0.0, 1.0));
        if before.looked_up {
            // A rule asks whether a threshold is reached, too: on it lies what was written in that very millisecond, and nothing else.
            estimate = estimate.min(max.saturating_sub(Duration::from_millis(1))).max(min);
        }
        Some(TimeLag { min, max: Some(max), estimate: Some(estimate), looked_up: seen.looked_up || before.looked_up })
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
        while self.points.front().is_some_and(|point| point.at < oldest) {
            self.points.pop_front();
        }
        // One pass now and then: a point goes when its neighbours are close enough without it.
        if self.points.len() < 40 || !self.points.len().is_multiple_of(8) {
            return;
        }
        let dense = now.minus(DENSE);
        let mut kept: VecDeque<Point> = VecDeque::with_capacity(self.points.len());
        for place in 0..self.points.len() {
            let point = self.points[place];
            let next = self.points.get(place + 1);
            let needless = match (kept.back(), next) {
                (Some(before), Some(after)) if point.at < dense => {
                    let age = now.as_millis() - after.at.as_millis();
                    after.at.as_millis() - before.at.as_millis() <= age / SHARE
                }
                _ => false,
            };
            if !needless {
                kept.push_back(point);
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
    fn an_answer_of_the_bus_decides_a_threshold_and_nothing_that_was_seen() {
        let fresh = || {
            let mut history = EndHistory::default();
            history.add(at(1_000), 100);
            history.add(at(1_015), 120);
            history
        };
        let minutes = Duration::from_mins;
        let (old, open) = (fresh().time_lag(40).expect("a look"), |lag: TimeLag, of| lag.leaves_open(minutes(of)));
        assert!((old.min, old.max) == (Duration::from_secs(15), None) && open(old, 5) && open(old, 600) && !old.looked_up);
        // Nothing is as new: everything unread is older. Then the next threshold is open still.
        let mut history = fresh();
        history.learn(minutes(5), None);
        let lag = history.time_lag(40).expect("a look");
        assert!(lag.min > minutes(5) && lag.max.is_none() && lag.looked_up && !open(lag, 5) && open(lag, 600), "{lag:?}");
        // The first that is as new is one, the next to read comes just before it, is it, or comes after it.
        for (next, above) in [(39, true), (40, false), (41, false)] {
            let mut history = fresh();
            history.learn(minutes(5), Some(40));
            let lag = history.time_lag(next).expect("a look");
            let value = lag.estimate.unwrap_or(lag.min);
            assert_eq!((value > minutes(5), value >= minutes(5), open(lag, 5)), (above, above, false), "{next}: {lag:?}");
        }
        // What was seen to be written between two looks was, whatever a producer's clock says.
        let mut history = fresh();
        let seen = history.time_lag(110);
        history.learn(minutes(5), Some(115));
        assert_eq!(history.time_lag(110), seen);
        history.learn(Duration::from_secs(10), Some(20));
        let lag = history.time_lag(110).expect("a look");
        assert_eq!((lag.min, lag.max), (Duration::ZERO, Some(Duration::from_secs(10))));
        // Nothing is left to read, nobody has looked.
        assert_eq!(history.time_lag(120), Some(TimeLag::NONE));
        let mut nothing = EndHistory::default();
        nothing.learn(minutes(5), Some(1));
        assert!(nothing.is_empty());
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

        /// A look takes its time, and the log grows meanwhile: the bound holds all the same, for every record that is left.
        #[test]
        fn the_truth_lies_inside_of_the_bound_of_looks_that_take_long(
            looks in prop::collection::vec((0_i64..4_000, 0_i64..4_000), 2..120),
            gaps in prop::collection::vec(0_i64..9_000, 1..400),
        ) {
            // Written one after the other, with pauses.
            let written: Vec<i64> = gaps.iter().scan(0, |time, gap| { *time += gap; Some(*time) }).collect();
            let (mut history, mut time) = (EndHistory::default(), 0);
            for (before, after) in looks {
                let (asked, read, answered) = (time, time + before, time + before + after);
                let end = written.partition_point(|at| *at <= read) as i64;
                history.add_read(Timestamp::from_millis(asked), Timestamp::from_millis(answered), end);
                for (next, at) in written.iter().enumerate().take(usize::try_from(end).expect("not negative")) {
                    let lag = history.time_lag(next as i64).expect("there are looks");
                    let age = answered - at;
                    prop_assert!(lag.min.as_millis() as i64 <= age, "{next}: {age} in {lag:?}");
                    prop_assert!(lag.max.is_none_or(|max| age <= max.as_millis() as i64), "{next}: {age} in {lag:?}");
                }
                time = answered + 5_000;
            }
        }

        /// Whoever begins to look late, and asks the bus for some thresholds now and then, knows of each on which side of it the lag is;
        /// and the truth lies inside of the bound as before.
        #[test]
        fn what_was_looked_up_decides_and_the_truth_stays_inside(
            growth in prop::collection::vec(0_i64..20, 10..400),
            missed in 0_usize..1_000,
            thresholds in prop::collection::vec(1_i64..6_000_000, 1..4),
            asked in prop::collection::vec((0_usize..1_000, any::<bool>()), 1..40),
        ) {
            let (mut history, mut written) = (EndHistory::default(), Vec::new());
            let first = missed * growth.len() / 1_000;
            for (look, grown) in growth.iter().enumerate() {
                let time = (look as i64 + 1) * 15_000;
                written.extend((0..*grown).map(|nth| time - 15_000 + nth * 700));
                let last = look + 1 == growth.len();
                if look < first && !last {
                    continue;
                }
                history.add(Timestamp::from_millis(time), written.len() as i64);
                let (share, ask) = asked[look % asked.len()];
                let next = share * written.len() / 1_000;
                for threshold in thresholds.iter().filter(|_| ask || last) {
                    let offset = written.iter().position(|at| *at >= time - threshold).map(|offset| offset as i64);
                    history.learn(Duration::from_millis(threshold.unsigned_abs()), offset);
                }
                let Some(truth) = written.get(next).map(|at| Duration::from_millis((time - at).unsigned_abs())) else { continue };
                let lag = history.time_lag(next as i64).expect("there are looks");
                prop_assert!(lag.min <= truth && lag.max.is_none_or(|max| truth <= max), "{truth:?} in {lag:?}");
                let value = lag.estimate.unwrap_or(lag.min);
                for threshold in thresholds.iter().filter(|_| ask || last).map(|threshold| Duration::from_millis(threshold.unsigned_abs())) {
                    prop_assert!(!lag.leaves_open(threshold), "{threshold:?} in {lag:?}");
                    prop_assert_eq!(value > threshold, truth > threshold, "{:?} and {:?} by {:?}", value, truth, threshold);
                }
            }
        }
    }
}
