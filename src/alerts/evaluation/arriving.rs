//! Dead letters per minute, as rules read them: over the window that ends with this minute, and over every earlier window of which
//! something was learned only now. While Redrive was down, or a bus could not be read, dead letters arrived unseen: they count when they
//! arrived, and rules look at those minutes once more, for as long as a window is long (three minutes at least). So nothing stays silent;
//! a rate is the rate that there was, not the pile that was read in one go; and what rules were told once they are not told again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::alerts::rule::{OneWindow, Reading};
use crate::model::figure::Labels;
use crate::model::{DeadLetterFilter, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::figures::late::NEWS;
use crate::store::figures::letters::Arrived;
use crate::store::{Store, StoreError};

const MINUTE_MS: i64 = 60_000;
/// So long after a minute has ended its last dead letters may not have been looked at.
const SETTLING: i64 = 10_000;
/// What was learned so long ago was certainly looked at, even if another instance had to take that over in between.
const LOOKED: Duration = Duration::from_mins(3);

/// Arrivals of all series, by the minute.
pub(super) async fn arrivals(store: &Store, window_ms: u64, now: Timestamp) -> Result<Vec<(Labels, Reading)>, StoreError> {
    let width = (i64::try_from(window_ms).unwrap_or(i64::MAX) / MINUTE_MS).max(1);
    let this = now.as_millis().div_euclid(MINUTE_MS);
    let known_since = now.minus(Duration::from_millis(window_ms).clamp(LOOKED, NEWS));
    let late = store.list_late_arrivals(known_since, now.minus(NEWS)).await?;
    let ends = ends(width, this, now, late.iter().map(|(_, minute)| *minute));
    let first = ends.iter().min().copied().unwrap_or(this + 1) - width;
    let minutes = u32::try_from(this + 1 - first).unwrap_or(u32::MAX);
    let time = |minute: i64| Timestamp::from_millis(minute.saturating_mul(MINUTE_MS));
    let count = if ends.len() == 1 { 1 } else { minutes };
    let buckets = Buckets { from: time(first), to: time(this + 1), count };
    let series = store.list_arrived(&DeadLetterFilter::default(), buckets, |_| true).await?;
    if ends.len() == 1 {
        let rate = |arrived: Vec<(u32, u64)>| {
            Reading::Number(number(arrived.iter().map(|(_, letters)| letters).sum()) / number(width.unsigned_abs()))
        };
        return Ok(series.into_iter().map(|(labels, arrived)| (labels, rate(arrived))).collect());
    }
    let mut by_series: HashMap<Labels, BTreeSet<i64>> = HashMap::new();
    for (labels, minute) in late {
        by_series.entry(labels).or_default().insert(minute);
    }
    let read = |(labels, arrived): Arrived| {
        let late = by_series.remove(&labels).unwrap_or_default();
        let arrived: Vec<(i64, u64)> = arrived.into_iter().map(|(bucket, letters)| (first + i64::from(bucket), letters)).collect();
        let windows = windows(&arrived, width, &ends, &late);
        (labels, Reading::Windows(windows))
    };
    Ok(series.into_iter().map(read).collect())
}

/// Where windows end (exclusive, in minutes), this one first: the one before it as long as its last minute is fresh, then every one with
/// a late minute.
fn ends(width: i64, this: i64, now: Timestamp, late: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut before = BTreeSet::new();
    if now.as_millis().rem_euclid(MINUTE_MS) < SETTLING {
        before.insert(this);
    }
    for minute in late.collect::<BTreeSet<i64>>() {
        before.extend(minute + 1..=minute.saturating_add(width).min(this));
    }
    std::iter::once(this + 1).chain(before.into_iter().rev()).collect()
}

/// Rates over the windows: the newest, and those in which something arrived (in these minutes, so many) or was late.
fn windows(arrived: &[(i64, u64)], width: i64, ends: &[i64], late: &BTreeSet<i64>) -> Vec<OneWindow> {
    // Windows end later first; those of a minute end after it, and not more than their width after it.
    let of = |minute: i64| ends.partition_point(|end| *end > minute + width)..ends.partition_point(|end| *end > minute);
    let mut found: BTreeMap<usize, (u64, bool)> = BTreeMap::from([(0, (0, true))]);
    for (minute, letters) in arrived {
        for place in of(*minute) {
            found.entry(place).or_default().0 += letters;
        }
    }
    for place in late.iter().flat_map(|minute| of(*minute)) {
        found.entry(place).or_default().1 = true;
    }
    let newest = ends.first().copied().unwrap_or(0);
    let window = |(place, (letters, news)): (usize, (u64, bool))| OneWindow {
        place,
        value: number(letters) / number(width.unsigned_abs()),
        news: news || ends.get(place).is_some_and(|end| *end + 1 >= newest),
    };
    found.into_iter().map(window).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of dead letters")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000 * MINUTE_MS + 30_000);

    #[test]
    fn windows_end_now_and_wherever_something_was_learned_late() {
        assert_eq!(ends(5, 1_000, NOW, std::iter::empty()), [1_001]);
        let early = Timestamp::from_millis(1_000 * MINUTE_MS + 3_000);
        assert_eq!(ends(5, 1_000, early, std::iter::empty()), [1_001, 1_000], "the minute before may not have been looked at");
        assert_eq!(ends(3, 1_000, NOW, [990, 991, 999].into_iter()), [1_001, 1_000, 994, 993, 992, 991]);
        assert_eq!(ends(3, 1_000, NOW, [1_000].into_iter()), [1_001], "this minute is not late");
    }

    #[test]
    fn a_window_has_its_rate_and_is_news_where_its_series_was_late() {
        // Four arrived in 990, six in 991, one in 1000.
        let arrived = [(990, 4), (991, 6), (1_000, 1)];
        let ends = [1_001, 994, 993, 992, 991];
        let brief = |late: &[i64]| {
            let found = windows(&arrived, 2, &ends, &late.iter().copied().collect());
            found.into_iter().map(|window| (window.place, window.value, window.news)).collect::<Vec<_>>()
        };
        assert_eq!(brief(&[990]), [(0, 0.5, true), (2, 3.0, false), (3, 5.0, true), (4, 2.0, true)]);
        assert_eq!(brief(&[]), [(0, 0.5, true), (2, 3.0, false), (3, 5.0, false), (4, 2.0, false)]);
        assert_eq!(windows(&[], 2, &[1_001, 1_000], &BTreeSet::new()), [OneWindow { place: 0, value: 0.0, news: true }]);
    }
}
