//! Durations in a mergeable exponential histogram of fixed scale 5 (OpenTelemetry's scale, Prometheus' native schema): bucket `i` holds
//! what is above `2^(i/32)` seconds and at most `2^((i+1)/32)`. Merging is exact, and a quantile is off by at most 1.1 %.

use std::collections::VecDeque;

use super::damage::Damaged;
use super::wire::{self, Read};

/// Buckets per doubling, as a power of two.
const SCALE: i32 = 5;
const PER_DOUBLING: f64 = (1 << SCALE) as f64;
/// What is shorter counts as no time at all: 100 ns.
const SHORTEST: f64 = 1e-7;
/// What is longer counts as this long: some thirty years.
const LONGEST: f64 = 1e9;

/// A histogram of durations in seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Durations too short to tell from none.
    zero: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
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
        self.min = if self.count == 0 { seconds } else { self.min.min(seconds) };
        self.max = self.max.max(seconds);
        self.count += count;
        #[expect(clippy::cast_precision_loss, reason = "a sum of measured times")]
        {
            self.sum += seconds * count as f64;
        }
        if seconds < SHORTEST {
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
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
        self.zero += other.zero;
        for (at, count) in (other.first..).zip(&other.buckets) {
            if *count > 0 {
                *self.bucket(at) += count;
            }
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The longest one in seconds, exactly; `None` when empty.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The duration in seconds that the share `quantile` (0 to 1) does not exceed, within 1.1 %; `None` when empty.
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
        let mut seen = self.zero;
        if rank <= seen {
            return Some(self.min);
        }
        for (at, count) in (self.first..).zip(&self.buckets) {
            seen += count;
            if rank <= seen {
                let (low, high) = (bound(at), bound(at + 1));
                return Some((2.0 * low * high / (low + high)).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// How many durations are certainly at most `seconds`, for objectives; those of the bucket that the limit cuts count as longer.
    #[must_use]
    pub fn count_at_most(&self, seconds: f64) -> u64 {
        let whole = (self.first..).zip(&self.buckets).filter(|(at, _)| bound(at + 1) <= seconds).map(|(_, count)| count);
        self.zero + whole.sum::<u64>()
    }

    /// Bytes to store; some hundred for a real service.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + 2 * self.buckets.len());
        wire::put(&mut out, self.count);
        wire::put(&mut out, self.zero);
        for number in [self.sum, self.min, self.max] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let mut last = 0;
        for (at, count) in (self.first..).zip(&self.buckets) {
            if *count > 0 {
                wire::put_signed(&mut out, i64::from(at) - last);
                wire::put(&mut out, *count);
                last = i64::from(at);
            }
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut read = Read(bytes);
        let mut histogram = Self { count: read.unsigned()?, zero: read.unsigned()?, ..Self::default() };
        for number in [&mut histogram.sum, &mut histogram.min, &mut histogram.max] {
            *number = f64::from_le_bytes(read.take(8)?.try_into().map_err(|_| Damaged)?);
        }
        let mut at = 0_i64;
        while !read.is_empty() {
            at = at.checked_add(read.signed()?).ok_or(Damaged)?;
            let count = read.unsigned()?;
            let known = i64::from(index(SHORTEST)) - 1..=i64::from(index(LONGEST)) + 1;
            let bucket = histogram.bucket(i32::try_from(at).ok().filter(|_| known.contains(&at)).ok_or(Damaged)?);
            *bucket = bucket.checked_add(count).ok_or(Damaged)?;
        }
        let counted = histogram.buckets.iter().try_fold(histogram.zero, |sum, count| sum.checked_add(*count));
        if counted == Some(histogram.count) { Ok(histogram) } else { Err(Damaged) }
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

#[expect(clippy::cast_possible_truncation, reason = "durations are clamped to some forty doublings")]
fn index(seconds: f64) -> i32 {
    (seconds.log2() * PER_DOUBLING).ceil() as i32 - 1
}

/// Lower bound of a bucket in seconds.
fn bound(at: i32) -> f64 {
    (f64::from(at) / PER_DOUBLING).exp2()
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers of tests")]
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
            for merged in [&one, &other] {
                prop_assert_eq!(merged.count(), whole.count());
                prop_assert_eq!(merged.quantile(0.9), whole.quantile(0.9));
                prop_assert_eq!(merged.max(), whole.max());
                prop_assert!((merged.sum() - whole.sum()).abs() <= 1e-6 * whole.sum().max(1.0));
            }
            let again = Histogram::decode(&whole.encode()).expect("was written so");
            prop_assert_eq!(again.quantile(0.5), whole.quantile(0.5));
            prop_assert_eq!(again.encode(), whole.encode());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Histogram::decode(&bytes).map(|histogram| histogram.quantile(0.5));
        }
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
