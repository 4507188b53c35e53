//! A frame: what one look brought for many series at once, in a few bytes each. Looks are written as they come, one row each; the
//! roll-up turns an hour of them into rows by series.

use super::bucket::Point;
use super::damage::Damaged;
use super::histogram::Histogram;
use super::wire::{self, Read};

/// Bytes of a frame; points must come in ascending order of their series.
#[must_use]
pub fn encode(points: &[(i64, Point)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 5);
    let mut last = 0;
    for (series, point) in points {
        let step = series.saturating_sub(last).unsigned_abs();
        last = *series;
        match point {
            Point::Level(value) => {
                wire::put(&mut out, step << 2);
                wire::put_number(&mut out, *value);
            }
            Point::Count(value) => {
                wire::put(&mut out, step << 2 | 1);
                wire::put_number(&mut out, *value);
            }
            Point::Durations(histogram) => {
                wire::put(&mut out, step << 2 | 3);
                let bytes = histogram.encode();
                wire::put(&mut out, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
        }
    }
    out
}

/// Points of those series that are wanted; the others are passed over cheaply.
pub fn decode(bytes: &[u8], mut wanted: impl FnMut(i64) -> bool) -> Result<Vec<(i64, Point)>, Damaged> {
    let (mut read, mut points, mut series) = (Read(bytes), Vec::new(), 0_i64);
    while !read.is_empty() {
        let tag = read.unsigned()?;
        series = series.checked_add_unsigned(tag >> 2).ok_or(Damaged)?;
        let kind = tag & 3;
        if kind >= 2 {
            let length = usize::try_from(read.unsigned()?).map_err(|_| Damaged)?;
            let bytes = read.take(length)?;
            if wanted(series) {
                // Two is what versions before wrote.
                let histogram = if kind == 2 { Histogram::decode_fine(bytes) } else { Histogram::decode(bytes) };
                points.push((series, Point::Durations(histogram?)));
            }
            continue;
        }
        let value = read.number()?;
        if wanted(series) {
            points.push((series, if kind == 0 { Point::Level(value) } else { Point::Count(value) }));
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_of_two_thousand_series_is_small_and_comes_back() {
        let points: Vec<(i64, Point)> =
            (1..=2_000).map(|series| (series, if series % 2 == 0 { Point::Count(7.0) } else { Point::Level(0.25) })).collect();
        let bytes = encode(&points);
        assert!(bytes.len() < 2_000 * 8, "{}", bytes.len());
        assert_eq!(decode(&bytes, |_| true).expect("was written so"), points);
        assert_eq!(decode(&bytes, |series| series == 8).expect("was written so"), [(8, Point::Count(7.0))]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, |_| true);
        }
    }
}
