//! Rows of figures as they lie in the store: packed where that makes them shorter. Most counts of a histogram are small and alike, so that
//! its rows shrink by a third, those of quiet topics by more. What versions before wrote lies there as it is, and is read.

use std::borrow::Cow;

use crate::metrics::bucket::{Bucket, Buckets, Point};
use crate::metrics::frame;
use crate::store::StoreError;
use crate::store::custody;
use crate::store::error::contradiction;

/// First byte of packed buckets. Others begin with the number of a minute or an hour.
const BUCKETS: u8 = 0xff;
/// First byte of a packed frame. Others begin with the id of a series, of which the first is 1, four times.
const FRAME: u8 = 0;

/// A row of minutes or hours.
pub fn buckets(buckets: &Buckets) -> Result<Vec<u8>, StoreError> {
    pack(BUCKETS, buckets.encode())
}

/// A frame; points must come in ascending order of their series.
pub fn frame(points: &[(i64, Point)]) -> Result<Vec<u8>, StoreError> {
    pack(FRAME, frame::encode(points))
}

/// Buckets of a row.
pub(super) fn read(row: &[u8]) -> Result<Buckets, StoreError> {
    Buckets::decode(&unpack(BUCKETS, row)?).map_err(|error| contradiction(format!("buckets of a series: {error}")))
}

/// The same one by one, in the order of their numbers.
pub(super) fn each(row: &[u8], each: impl FnMut(u32, Bucket)) -> Result<(), StoreError> {
    Buckets::each(&unpack(BUCKETS, row)?, each).map_err(|error| contradiction(format!("buckets of a series: {error}")))
}

/// Points of a frame, of those series that are wanted.
pub(super) fn points(row: &[u8], wanted: impl FnMut(i64) -> bool) -> Result<Vec<(i64, Point)>, StoreError> {
    frame::decode(&unpack(FRAME, row)?, wanted).map_err(|error| contradiction(format!("a frame: {error}")))
}

/// A frame that is read more than once.
pub(super) fn unpacked(row: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match unpack(FRAME, &row)? {
        Cow::Owned(raw) => Ok(raw),
        Cow::Borrowed(_) => Ok(row),
    }
}

fn pack(mark: u8, raw: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let packed = custody::compress(&raw)?;
    Ok(if packed.len() + 1 < raw.len() { [&[mark], packed.as_slice()].concat() } else { raw })
}

fn unpack(mark: u8, row: &[u8]) -> Result<Cow<'_, [u8]>, StoreError> {
    match row.split_first() {
        Some((first, packed)) if *first == mark => Ok(Cow::Owned(custody::decompress(packed)?)),
        _ => Ok(Cow::Borrowed(row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::histogram::Histogram;

    fn durations(messages: u32, salt: u32) -> Histogram {
        let mut histogram = Histogram::new();
        for number in 0..messages {
            // As wide as durations are: some hundredfold.
            histogram.record(0.001 * f64::from((number * 7_919 + salt * 104_729) % 1_000 + 10).powf(1.3));
        }
        histogram
    }

    /// An hour of a topic with two messages a second.
    fn hour() -> Buckets {
        let minute = |minute| (minute, Bucket::of(Point::Durations(durations(120, minute)), 60_000));
        Buckets((0..60).map(minute).collect())
    }

    #[test]
    fn an_hour_of_durations_shrinks_by_half_and_comes_back() {
        let (hour, raw) = (hour(), hour().encode());
        let row = buckets(&hour).expect("packed");
        assert!(row.len() * 2 < raw.len(), "{} of {}", row.len(), raw.len());
        assert_eq!(read(&row).expect("comes back"), hour);
        assert_eq!(read(&raw).expect("as versions before wrote it"), hour);
        let mut numbers = Vec::new();
        each(&row, |number, _| numbers.push(number)).expect("comes back");
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    }

    #[test]
    fn a_frame_comes_back_packed_or_not() {
        let many: Vec<(i64, Point)> = (1..500).map(|series| (series, Point::Durations(durations(20, 3)))).collect();
        let few = vec![(1, Point::Count(3.0)), (41, Point::Level(0.5))];
        for points in [many, few, Vec::new()] {
            let (row, raw) = (frame(&points).expect("packed"), frame::encode(&points));
            assert!(row.len() <= raw.len());
            for bytes in [&row, &raw] {
                assert_eq!(super::points(bytes, |_| true).expect("comes back"), points);
            }
            assert_eq!(unpacked(row).expect("comes back"), raw);
        }
    }

    #[test]
    fn what_is_damaged_is_said_and_no_panic() {
        let row = buckets(&hour()).expect("packed");
        assert!(read(&row[..row.len() / 2]).is_err());
        assert!(read(&[BUCKETS]).is_err() && super::points(&[FRAME], |_| true).is_err());
        assert!(read(&[BUCKETS, 1, 255, 255, 255, 255, 255, 255, 255, 127, 0]).is_err(), "a length that nothing has");
    }
}
