//! Durations in a mergeable exponential histogram of fixed scale 4 (OpenTelemetry's scale, Prometheus' native schema): bucket `i` holds
//! what is above `2^(i/16)` seconds and at most `2^((i+1)/16)`. Everything is whole numbers, so merging is exact in any order, and a
//! quantile is off by at most 2.2 %.

use std::collections::VecDeque;

use super::damage::Damaged;
use super::wire::{self, Read};

/// Buckets per doubling, as a power of two.
const SCALE: i32 = 4;
const PER_DOUBLING: f64 = (1 << SCALE) as f64;
/// Nanoseconds of a second.
const SECOND: f64 = 1e9;
/// What is shorter counts as no time at all.
const SHORTEST_NANOS: u64 = 100;
/// What is longer counts as this long: some thirty years.
const LONGEST: f64 = 1e9;
/// The histogram's buckets lie within these.
const FIRST: i32 = -24 * (1 << SCALE);
const LAST: i32 = 30 * (1 << SCALE);

/// A bucket in one byte: the upper two bits are how many empty ones lie before it, the lower six are its count less one. The highest of
/// each says that a number follows: the gap first, then the count.
const GAP_FOLLOWS: u8 = 3;
const COUNT_FOLLOWS: u8 = 63;

/// A histogram of durations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Durations too short to tell from none.
    zero: u64,
    count: u64,
    sum_nanos: u64,
    min_nanos: u64,
    max_nanos: u64,
    /// Number of the first bucket held.
    first: i32,
    buckets: VecDeque<u64>,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration in seconds. Negative ones (clocks that differ) count as none; what is no number is left out.
    pub fn record(&mut self, seconds: f64) {
        self.record_many(seconds, 1);
    }

    /// Counts a duration `count` times.
    pub fn record_many(&mut self, seconds: f64, count: u64) {
        if seconds.is_nan() || count == 0 {
            return;
        }
        let seconds = seconds.clamp(0.0, LONGEST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        let nanos = (seconds * SECOND).round() as u64;
        self.min_nanos = if self.count == 0 { nanos } else { self.min_nanos.min(nanos) };
        self.max_nanos = self.max_nanos.max(nanos);
        self.count += count;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos.saturating_mul(count));
        if nanos < SHORTEST_NANOS {
            self.zero += count;
        } else {
            *self.bucket(index(seconds)) += count;
        }
    }

    /// Adds another one's counts; no information is lost.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min_nanos = if self.count == 0 { other.min_nanos } else { self.min_nanos.min(other.min_nanos) };
        self.max_nanos = self.max_nanos.max(other.max_nanos);
        self.count += other.count;
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
        self.zero += other.zero;
        let held = |count: &u64| *count > 0;
        let (begin, end) = (other.buckets.iter().position(held), other.buckets.iter().rposition(held));
        let (Some(begin), Some(end)) = (begin, end) else { return };
        let number = |place: usize| other.first + i32::try_from(place).expect("some nine hundred buckets");
        // Both ends are there from here on, and so is all between.
        self.bucket(number(begin));
        self.bucket(number(end));
        let place = usize::try_from(number(begin) - self.first).expect("the first bucket is not above this one");
        for (sum, count) in self.buckets.range_mut(place..).zip(other.buckets.range(begin..=end)) {
            *sum += count;
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        seconds(self.sum_nanos)
    }

    /// The longest one in seconds, to the nanosecond; `None` when empty.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then(|| seconds(self.max_nanos))
    }

    /// The duration in seconds that the share `quantile` (0 to 1) does not exceed, within 2.2 %; `None` when empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank between 1 and the count"
        )]
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        let (min, max) = (seconds(self.min_nanos), seconds(self.max_nanos));
        let mut seen = self.zero;
        if rank <= seen {
            return Some(min);
        }
        for (at, count) in (self.first..).zip(&self.buckets) {
            seen += count;
            if rank <= seen {
                let (low, high) = (bound(at), bound(at + 1));
                return Some((2.0 * low * high / (low + high)).clamp(min, max));
            }
        }
        Some(max)
    }

    /// How many durations are certainly at most `seconds`, for objectives; those of the bucket that the limit cuts count as longer.
    #[must_use]
    pub fn count_at_most(&self, seconds: f64) -> u64 {
        let whole = (self.first..).zip(&self.buckets).filter(|(at, _)| bound(at + 1) <= seconds).map(|(_, count)| count);
        self.zero + whole.sum::<u64>()
    }

    /// Bytes to store: some ten, and about one for each bucket that holds something.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.buckets.len());
        for number in [self.zero, self.sum_nanos, self.min_nanos, self.max_nanos - self.min_nanos] {
            wire::put(&mut out, number);
        }
        let mut last = FIRST - 1;
        for (at, count) in (self.first..).zip(&self.buckets).filter(|(_, count)| **count > 0) {
            let (gap, less) = (u64::from((at - last - 1).unsigned_abs()), count - 1);
            let (short_gap, short_count) = (short(gap, GAP_FOLLOWS), short(less, COUNT_FOLLOWS));
            out.push(short_gap << 6 | short_count);
            if short_gap == GAP_FOLLOWS {
                wire::put(&mut out, gap);
            }
            if short_count == COUNT_FOLLOWS {
                wire::put(&mut out, less);
            }
            last = at;
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut read = Read(bytes);
        let mut histogram = Self { zero: read.unsigned()?, sum_nanos: read.unsigned()?, min_nanos: read.unsigned()?, ..Self::default() };
        histogram.max_nanos = histogram.min_nanos.checked_add(read.unsigned()?).ok_or(Damaged)?;
        histogram.count = histogram.zero;
        let mut last = i64::from(FIRST) - 1;
        while !read.is_empty() {
            let byte = read.take(1)?[0];
            let gap = if byte >> 6 == GAP_FOLLOWS { read.unsigned()? } else { u64::from(byte >> 6) };
            let less = if byte & COUNT_FOLLOWS == COUNT_FOLLOWS { read.unsigned()? } else { u64::from(byte & COUNT_FOLLOWS) };
            last = last.checked_add_unsigned(gap).and_then(|at| at.checked_add(1)).ok_or(Damaged)?;
            histogram.add_read(last, less.checked_add(1).ok_or(Damaged)?)?;
        }
        Ok(histogram)
    }

    /// Reads what earlier versions wrote: twice as many buckets, and times as floating point numbers.
    pub(super) fn decode_fine(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut read = Read(bytes);
        let (count, zero) = (read.unsigned()?, read.unsigned()?);
        let mut nanos = || -> Result<u64, Damaged> {
            let seconds = f64::from_le_bytes(read.take(8)?.try_into().map_err(|_| Damaged)?);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast stops at what fits")]
            Ok((seconds * SECOND).round() as u64)
        };
        let mut histogram = Self { zero, count: zero, sum_nanos: nanos()?, min_nanos: nanos()?, max_nanos: nanos()?, ..Self::default() };
        let mut at = 0_i64;
        while !read.is_empty() {
            at = at.checked_add(read.signed()?).ok_or(Damaged)?;
            // Two of these are one of ours.
            histogram.add_read(at >> 1, read.unsigned()?)?;
        }
        if histogram.count == count && histogram.min_nanos <= histogram.max_nanos { Ok(histogram) } else { Err(Damaged) }
    }

    /// Adds to a bucket as it was read.
    fn add_read(&mut self, at: i64, count: u64) -> Result<(), Damaged> {
        let at = i32::try_from(at).ok().filter(|at| (FIRST..=LAST).contains(at)).ok_or(Damaged)?;
        self.count = self.count.checked_add(count).ok_or(Damaged)?;
        // Below the sum of all, which fits.
        *self.bucket(at) += count;
        Ok(())
    }

    /// The bucket of this number, made when it is not there.
    fn bucket(&mut self, at: i32) -> &mut u64 {
        if self.buckets.is_empty() {
            self.first = at;
        }
        while at < self.first {
            self.buckets.push_front(0);
            self.first -= 1;
        }
        let place = usize::try_from(at - self.first).expect("the first bucket is not above this one");
        if place >= self.buckets.len() {
            self.buckets.resize(place + 1, 0);
        }
        &mut self.buckets[place]
    }
}

/// The number itself, or `follows` when it does not fit below.
fn short(number: u64, follows: u8) -> u8 {
    u8::try_from(number).map_or(follows, |number| number.min(follows))
}

#[expect(clippy::cast_precision_loss, reason = "times of some years lose fractions of a microsecond")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND
}

#[expect(clippy::cast_possible_truncation, reason = "durations are clamped to some sixty doublings")]
fn index(seconds: f64) -> i32 {
    (seconds.log2() * PER_DOUBLING).ceil() as i32 - 1
}

/// Lower bound of a bucket in seconds.
fn bound(at: i32) -> f64 {
    (f64::from(at) / PER_DOUBLING).exp2()
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers of tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::new();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    proptest! {
        /// Beside the field's exact histogram, on its own microseconds.
        #[test]
        fn quantiles_are_those_of_an_exact_histogram_within_two_and_a_half_percent(micros in prop::collection::vec(1_u64..3_600_000_000, 1..400)) {
            let mut exact = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).expect("legal bounds");
            for value in &micros {
                exact.record(*value).expect("in bounds");
            }
            let ours = of(&micros.iter().map(|value| *value as f64 / 1e6).collect::<Vec<_>>());
            for quantile in [0.0, 0.5, 0.9, 0.95, 0.99, 1.0] {
                let (ours, exact) = (ours.quantile(quantile).expect("not empty") * 1e6, exact.value_at_quantile(quantile) as f64);
                prop_assert!((ours - exact).abs() <= exact * 0.025 + 1.0, "{quantile}: {ours} beside {exact}");
            }
        }

        #[test]
        fn parts_merged_in_any_order_are_the_whole_and_come_back_from_their_bytes(values in prop::collection::vec(0.0_f64..1e5, 0..200), cut in 0_usize..200) {
            let (left, right) = values.split_at(cut.min(values.len()));
            let (mut one, mut other) = (of(left), of(right));
            one.merge(&of(right));
            other.merge(&of(left));
            let whole = of(&values);
            // They may hold empty buckets at their ends.
            for merged in [&one, &other] {
                prop_assert_eq!(merged.encode(), whole.encode());
                prop_assert_eq!(merged.quantile(0.9), whole.quantile(0.9));
            }
            let again = Histogram::decode(&whole.encode()).expect("was written so");
            prop_assert_eq!(again, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Histogram::decode(&bytes).map(|histogram| histogram.quantile(0.5));
            let _ = Histogram::decode_fine(&bytes).map(|histogram| histogram.quantile(0.5));
        }

        #[test]
        fn what_was_kept_with_finer_buckets_is_still_read(values in prop::collection::vec(0.0_f64..1e3, 1..200)) {
            let whole = of(&values);
            prop_assert_eq!(Histogram::decode_fine(&fine(&values)).expect("was written so").encode(), whole.encode());
        }
    }

    /// As it was written with thirty-two buckets to a doubling.
    fn fine(values: &[f64]) -> Vec<u8> {
        let nanos = |seconds: f64| (seconds * SECOND).round();
        let told: Vec<f64> = values.iter().map(|value| nanos(*value)).collect();
        let short = told.iter().filter(|nanos| **nanos < SHORTEST_NANOS as f64).count() as u64;
        let mut buckets = std::collections::BTreeMap::<i32, u64>::new();
        for value in values.iter().filter(|value| nanos(**value) >= SHORTEST_NANOS as f64) {
            *buckets.entry((value.log2() * 32.0).ceil() as i32 - 1).or_default() += 1;
        }
        let mut out = Vec::new();
        wire::put(&mut out, values.len() as u64);
        wire::put(&mut out, short);
        let numbers = [told.iter().sum::<f64>(), told.iter().copied().fold(f64::MAX, f64::min), told.iter().copied().fold(0.0, f64::max)];
        for number in numbers {
            out.extend_from_slice(&(number / SECOND).to_le_bytes());
        }
        let mut last = 0;
        for (at, count) in buckets {
            wire::put_signed(&mut out, i64::from(at) - last);
            wire::put(&mut out, count);
            last = i64::from(at);
        }
        out
    }

    #[test]
    fn a_busy_minute_takes_about_a_byte_a_bucket() {
        // Three hundred durations around 20 ms, spread as those of real services are.
        let values: Vec<f64> = (0..300).map(|n| 0.02 * (f64::from(n % 60) / 20.0 - 1.5).exp()).collect();
        let bytes = of(&values).encode();
        assert!(bytes.len() <= 90, "{}", bytes.len());
    }

    #[test]
    fn edges_are_counted_and_nothing_is_made_up() {
        assert_eq!(Histogram::new().quantile(0.5), None);
        let odd = of(&[f64::NAN, -3.0, 0.0, 1e12]);
        assert_eq!((odd.count(), odd.quantile(0.5), odd.max()), (3, Some(0.0), Some(LONGEST)));
        let same = of(&[0.25; 10]);
        assert_eq!(same.quantile(0.99), Some(0.25), "never outside of what was seen");
        assert_eq!((same.count_at_most(0.3), same.count_at_most(0.2)), (10, 0));
    }
}
