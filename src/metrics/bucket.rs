//! What one series did in one minute or hour, mergeable: roll-ups add these up, and never average an average.

use super::damage::Damaged;
use super::histogram::Histogram;
use super::wire::{self, Read};

/// A sample of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A level at this moment, such as lag.
    Level(f64),
    /// How many since the sample before, such as messages.
    Count(f64),
    /// Durations since the sample before.
    Durations(Histogram),
}

/// Samples of one series added up.
#[derive(Debug, Clone, PartialEq)]
pub enum Bucket {
    /// Levels.
    Level {
        /// Samples.
        samples: u64,
        /// Their sum.
        sum: f64,
        /// The lowest.
        min: f64,
        /// The highest.
        max: f64,
        /// The newest.
        last: f64,
    },
    /// Counts.
    Count {
        /// How many.
        total: f64,
        /// The time in which they were counted, in milliseconds.
        covers_ms: u64,
        /// The highest rate of a sample, per second.
        peak: f64,
    },
    /// Durations.
    Durations(Histogram),
}

impl Bucket {
    /// A bucket of one sample that covers this time.
    #[must_use]
    pub fn of(point: Point, covers_ms: u64) -> Self {
        match point {
            Point::Level(value) => Self::Level { samples: 1, sum: value, min: value, max: value, last: value },
            Point::Count(total) => Self::Count { total, covers_ms, peak: per_second(total, covers_ms) },
            Point::Durations(histogram) => Self::Durations(histogram),
        }
    }

    /// Adds what came later. A series has one kind for ever, so kinds that differ leave this one as it is.
    pub fn merge(&mut self, later: &Self) {
        match (self, later) {
            (Self::Level { samples, sum, min, max, last }, Self::Level { samples: n, sum: s, min: low, max: high, last: newest }) => {
                (*samples, *sum, *min, *max, *last) = (*samples + n, *sum + s, min.min(*low), max.max(*high), *newest);
            }
            (Self::Count { total, covers_ms, peak }, Self::Count { total: n, covers_ms: time, peak: high }) => {
                (*total, *covers_ms, *peak) = (*total + n, *covers_ms + time, peak.max(*high));
            }
            (Self::Durations(histogram), Self::Durations(other)) => histogram.merge(other),
            _ => {}
        }
    }

    /// Adds to a sum that may not have begun.
    pub fn add_to(&self, sum: &mut Option<Self>) {
        match sum {
            Some(sum) => sum.merge(self),
            None => *sum = Some(self.clone()),
        }
    }

    /// The number to show: the highest level, the rate per second, or the quantile in seconds. A peak is never averaged away.
    #[must_use]
    pub fn value(&self, quantile: f64) -> Option<f64> {
        match self {
            Self::Level { max, .. } => Some(*max),
            Self::Count { total, covers_ms, .. } => (*covers_ms > 0).then(|| per_second(*total, *covers_ms)),
            Self::Durations(histogram) => histogram.quantile(quantile),
        }
    }

    /// How many were counted: of a count its total, of durations how many, of a level its samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of what happened in a step")]
    pub fn count(&self) -> f64 {
        match self {
            Self::Level { samples, .. } => *samples as f64,
            Self::Count { total, .. } => *total,
            Self::Durations(histogram) => histogram.count() as f64,
        }
    }

    /// Bytes to store.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Level { samples, sum, min, max, last } => {
                wire::put(out, 0);
                wire::put(out, *samples);
                for number in [*sum, *min, *max, *last] {
                    wire::put_number(out, number);
                }
            }
            Self::Count { total, covers_ms, peak } => {
                wire::put(out, 1);
                wire::put_number(out, *total);
                wire::put(out, *covers_ms);
                wire::put_number(out, *peak);
            }
            Self::Durations(histogram) => {
                wire::put(out, 3);
                let bytes = histogram.encode();
                wire::put(out, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
        }
    }

    fn decode(read: &mut Read<'_>) -> Result<Self, Damaged> {
        match read.unsigned()? {
            0 => Ok(Self::Level {
                samples: read.unsigned()?,
                sum: read.number()?,
                min: read.number()?,
                max: read.number()?,
                last: read.number()?,
            }),
            1 => Ok(Self::Count { total: read.number()?, covers_ms: read.unsigned()?, peak: read.number()? }),
            kind @ (2 | 3) => {
                let length = usize::try_from(read.unsigned()?).map_err(|_| Damaged)?;
                let bytes = read.take(length)?;
                // Two is what versions before wrote.
                if kind == 2 { Histogram::decode_fine(bytes) } else { Histogram::decode(bytes) }.map(Self::Durations)
            }
            _ => Err(Damaged),
        }
    }

    /// Passes over one.
    fn skip(read: &mut Read<'_>) -> Result<(), Damaged> {
        match read.unsigned()? {
            0 => {
                read.unsigned()?;
                (0..4).try_for_each(|_| read.number().map(drop))
            }
            1 => {
                read.number()?;
                read.unsigned()?;
                read.number().map(drop)
            }
            2 | 3 => {
                let length = usize::try_from(read.unsigned()?).map_err(|_| Damaged)?;
                read.take(length).map(drop)
            }
            _ => Err(Damaged),
        }
    }
}

/// Buckets of one series by their number (the minute of an hour, the hour of a day), as they stand in one row of the store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets(pub std::collections::BTreeMap<u32, Bucket>);

impl Buckets {
    /// Adds to a bucket.
    pub fn add(&mut self, number: u32, bucket: Bucket) {
        match self.0.entry(number) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(bucket);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&bucket),
        }
    }

    /// All buckets in one; `None` when there are none.
    #[must_use]
    pub fn total(&self) -> Option<Bucket> {
        let mut buckets = self.0.values().cloned();
        let first = buckets.next()?;
        Some(buckets.fold(first, |mut sum, bucket| {
            sum.merge(&bucket);
            sum
        }))
    }

    /// Bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, bucket) in &self.0 {
            Self::append(&mut out, *number, bucket);
        }
        out
    }

    /// Appends one to what [`Self::encode`] wrote; its number is above all before.
    pub(super) fn append(out: &mut Vec<u8>, number: u32, bucket: &Bucket) {
        wire::put(out, u64::from(number));
        bucket.encode(out);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut buckets = Self::default();
        Self::each(bytes, |number, bucket| {
            buckets.0.insert(number, bucket);
        })?;
        Ok(buckets)
    }

    /// The same one by one, in the order of their numbers, for those who only add them up.
    pub fn each(bytes: &[u8], each: impl FnMut(u32, Bucket)) -> Result<(), Damaged> {
        Self::each_until(bytes, u32::MAX, each)
    }

    /// Those up to `last`.
    pub(super) fn each_until(bytes: &[u8], last: u32, mut each: impl FnMut(u32, Bucket)) -> Result<(), Damaged> {
        let mut read = Read(bytes);
        while !read.is_empty() {
            let number = number(&mut read)?;
            if number > last {
                break;
            }
            each(number, Bucket::decode(&mut read)?);
        }
        Ok(())
    }

    /// Where those from `first` on begin.
    pub(super) fn begin_of(bytes: &[u8], first: u32) -> Result<usize, Damaged> {
        let mut read = Read(bytes);
        loop {
            let at = bytes.len() - read.0.len();
            if read.is_empty() || number(&mut read)? >= first {
                return Ok(at);
            }
            Bucket::skip(&mut read)?;
        }
    }
}

fn number(read: &mut Read<'_>) -> Result<u32, Damaged> {
    u32::try_from(read.unsigned()?).map_err(|_| Damaged)
}

fn per_second(total: f64, covers_ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time between two samples")]
    let seconds = covers_ms.max(1) as f64 / 1000.0;
    total / seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_of_unequal_times_is_weighed_by_them_and_a_peak_is_kept() {
        let mut minute = Bucket::of(Point::Count(150.0), 15_000);
        minute.merge(&Bucket::of(Point::Count(1_500.0), 45_000));
        assert_eq!(minute.value(0.5), Some(27.5));
        assert!(matches!(minute, Bucket::Count { peak, .. } if (peak - 33.333).abs() < 0.01));
        let mut lag = Bucket::of(Point::Level(7.0), 0);
        lag.merge(&Bucket::of(Point::Level(2.0), 0));
        assert_eq!(lag, Bucket::Level { samples: 2, sum: 9.0, min: 2.0, max: 7.0, last: 2.0 });
    }

    proptest! {
        #[test]
        fn buckets_come_back_from_their_bytes(rows in prop::collection::vec((0_u32..60, 0_u8..3, -1e9_f64..1e9), 0..60)) {
            let mut buckets = Buckets::default();
            for (number, kind, value) in rows {
                let mut durations = Histogram::new();
                durations.record(value.abs());
                let point = [Point::Level(value), Point::Count(value.abs().round()), Point::Durations(durations)][usize::from(kind)].clone();
                buckets.add(number, Bucket::of(point, 15_000));
            }
            prop_assert_eq!(Buckets::decode(&buckets.encode()).expect("was written so"), buckets);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Buckets::decode(&bytes).map(|buckets| buckets.total());
        }
    }
}
