//! Minutes of one series in memory: the newest as they are, those before in the bytes that rows of the store have. Ten thousand series
//! over an hour would take some hundred bytes a minute each, a histogram several hundred; packed it is about ten, and a byte a bucket.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::bucket::{Bucket, Buckets};

/// So many of the newest minutes are not packed: those that samples still come for, and those that alert rules ask for with every look.
const LIVE: usize = 6;

/// Minutes of one series.
#[derive(Debug, Default)]
pub struct Minutes {
    /// In order of time; all of them are before `live`.
    packed: Vec<u8>,
    /// The last packed one.
    packed_until: u32,
    live: VecDeque<(u32, Bucket)>,
}

impl Minutes {
    /// Adds to a minute, whichever it is; what comes for the newest ones costs little.
    pub fn add(&mut self, minute: u32, bucket: Bucket) {
        let place = self.live.partition_point(|(other, _)| *other < minute);
        match self.live.get_mut(place) {
            Some((other, sum)) if *other == minute => sum.merge(&bucket),
            _ if place == 0 && !self.packed.is_empty() && minute <= self.packed_until => self.add_packed(minute, bucket),
            _ => self.live.insert(place, (minute, bucket)),
        }
        while self.live.len() > LIVE
            && let Some((oldest, bucket)) = self.live.pop_front()
        {
            Buckets::append(&mut self.packed, oldest, &bucket);
            self.packed_until = oldest;
        }
    }

    /// The newest minute.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.live.back().map(|(minute, _)| *minute)
    }

    /// Calls `each` with the minutes from `first` to `last`, in order of time.
    pub fn each(&self, first: u32, last: u32, mut each: impl FnMut(u32, Cow<'_, Bucket>)) {
        if first <= self.packed_until {
            let packed = &self.packed[self.begin_of(first)..];
            Buckets::each_until(packed, last, |minute, bucket| each(minute, Cow::Owned(bucket))).expect(OURS);
        }
        let begin = self.live.partition_point(|(minute, _)| *minute < first);
        for (minute, bucket) in self.live.range(begin..).take_while(|(minute, _)| *minute <= last) {
            each(*minute, Cow::Borrowed(bucket));
        }
    }

    /// Forgets what was before `first`; answers whether anything is left.
    pub fn forget_before(&mut self, first: u32) -> bool {
        self.packed.drain(..self.begin_of(first));
        self.packed.shrink_to_fit();
        while self.live.front().is_some_and(|(minute, _)| *minute < first) {
            self.live.pop_front();
        }
        !self.live.is_empty() || !self.packed.is_empty()
    }

    fn begin_of(&self, first: u32) -> usize {
        Buckets::begin_of(&self.packed, first).expect(OURS)
    }

    /// What comes so late is rare.
    fn add_packed(&mut self, minute: u32, bucket: Bucket) {
        let mut buckets = Buckets::decode(&self.packed).expect(OURS);
        buckets.add(minute, bucket);
        self.packed = buckets.encode();
    }
}

/// Nobody else has had these bytes.
const OURS: &str = "packed above";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::bucket::Point;
    use crate::metrics::histogram::Histogram;

    fn all(minutes: &Minutes, first: u32, last: u32) -> Vec<(u32, Bucket)> {
        let mut found = Vec::new();
        minutes.each(first, last, |minute, bucket| found.push((minute, bucket.into_owned())));
        found
    }

    proptest! {
        /// Samples in any order, minutes that are missing, and any part of the time.
        #[test]
        fn minutes_are_those_that_were_added(
            samples in prop::collection::vec((0_u32..40, 1_u32..1_000), 0..200), cut in 0_usize..200, first in 0_u32..50, last in 0_u32..50,
            forgotten in 0_u32..50, durations: bool,
        ) {
            let (mut ours, mut plain) = (Minutes::default(), Buckets::default());
            for (number, (minute, value)) in samples.into_iter().enumerate() {
                if number == cut {
                    // More comes after the forgetting, also for minutes that are forgotten.
                    ours.forget_before(forgotten);
                    plain.0 = plain.0.split_off(&forgotten);
                }
                let mut histogram = Histogram::new();
                histogram.record(f64::from(value));
                let point = if durations { Point::Durations(histogram) } else { Point::Level(f64::from(value) / 3.0) };
                let bucket = Bucket::of(point, 15_000);
                ours.add(minute, bucket.clone());
                plain.add(minute, bucket);
            }
            let expected = |first, last| plain.0.iter().filter(|(minute, _)| (first..=last).contains(*minute)).map(|(m, b)| (*m, b.clone())).collect::<Vec<_>>();
            prop_assert_eq!(ours.newest(), plain.0.keys().next_back().copied());
            prop_assert_eq!(all(&ours, first, last), expected(first, last));
            let left = ours.forget_before(forgotten);
            prop_assert_eq!(left, !expected(forgotten, u32::MAX).is_empty());
            prop_assert_eq!(all(&ours, 0, u32::MAX), expected(forgotten, u32::MAX));
        }
    }

    #[test]
    fn an_hour_of_a_level_takes_some_hundred_bytes() {
        let mut minutes = Minutes::default();
        for minute in 29_000_000..29_000_060 {
            minutes.add(minute, Bucket::of(Point::Level(1_234.0), 15_000));
        }
        assert!(minutes.packed.len() < 54 * 16, "{}", minutes.packed.len());
        assert!(!minutes.forget_before(29_000_060));
        assert_eq!(minutes.packed.capacity(), 0);
    }
}
