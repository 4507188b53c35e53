//! Dead letters per minute, as rules read them: over the window that ends with this minute, and over every earlier window of which
//! something was learned only now. While Redrive was down, or a bus could not be read, dead letters arrived unseen: they count when they
//! arrived, and rules look at those minutes once more, for as long as a window is long (three minutes at least). So nothing stays silent;
//! a rate is the rate that there was, not the pile that was read in one go; and what rules were told once they are not told again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::alerts::rule::{OneWindow, Reading};
use crate::model::figure::Labels;
use crate::model::{DeadLetterFilter, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::figures::late::NEWS;
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
    let series = store.arrival_series(&DeadLetterFilter::default(), buckets).await?;
    if ends.len() == 1 {
        let rate = |counts: Vec<u64>| Reading::Number(number(counts.iter().sum()) / number(width.unsigned_abs()));
        return Ok(series.into_iter().map(|(labels, counts)| (labels, rate(counts))).collect());
    }
    let mut by_series = by_series(&series, late);
    let read = |(labels, counts): (Labels, Vec<u64>)| {
        let late = by_series.remove(&labels).unwrap_or_default();
        let windows = windows(&counts, first, width, &ends, &late);
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

/// Late minutes by the series in which they are counted: those beyond the busiest are counted by topic.
fn by_series(series: &[(Labels, Vec<u64>)], late: Vec<(Labels, i64)>) -> BTreeMap<Labels, BTreeSet<i64>> {
    let counted: BTreeSet<&Labels> = series.iter().map(|(labels, _)| labels).collect();
    let mut by_series: BTreeMap<Labels, BTreeSet<i64>> = BTreeMap::new();
    for (labels, minute) in late {
        let of_topic = || Labels { bus: labels.bus.clone(), topic: labels.topic.clone(), ..Labels::default() };
        let labels = if counted.contains(&labels) { labels } else { of_topic() };
        by_series.entry(labels).or_default().insert(minute);
    }
    by_series
}

/// Rates over the windows; `counts` are by the minute from `first` on.
fn windows(counts: &[u64], first: i64, width: i64, ends: &[i64], late: &BTreeSet<i64>) -> Vec<OneWindow> {
    let mut sums = Vec::with_capacity(counts.len() + 1);
    sums.push(0);
    for count in counts {
        sums.push(sums.last().copied().unwrap_or(0) + count);
    }
    let until = |minute: i64| usize::try_from(minute - first).ok().and_then(|at| sums.get(at.min(counts.len()))).copied().unwrap_or(0);
    let newest = ends.first().copied().unwrap_or(0);
    let window = |end: &i64| OneWindow {
        value: number(until(*end) - until(*end - width)) / number(width.unsigned_abs()),
        news: *end + 1 >= newest || late.range(*end - width..*end).next().is_some(),
    };
    ends.iter().map(window).collect()
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
        // From minute 988 on; four arrived in 990, six in 991, one in 1000.
        let mut counts = vec![0; 13];
        (counts[2], counts[3], counts[12]) = (4, 6, 1);
        let ends = [1_001, 994, 993, 992, 991];
        let brief = |late: &[i64]| {
            let found = windows(&counts, 988, 2, &ends, &late.iter().copied().collect());
            found.into_iter().map(|window| (window.value, window.news)).collect::<Vec<_>>()
        };
        assert_eq!(brief(&[990]), [(0.5, true), (0.0, false), (3.0, false), (5.0, true), (2.0, true)]);
        assert_eq!(brief(&[]), [(0.5, true), (0.0, false), (3.0, false), (5.0, false), (2.0, false)]);
    }

    #[test]
    fn what_is_beyond_the_busiest_is_late_by_its_topic() {
        let labels = |group: &str| Labels::bus(&"prod".into()).topic(&"a.DLT".into()).consumer_group(&group.into());
        let rest = Labels::bus(&"prod".into()).topic(&"a.DLT".into());
        let series = [(labels("busy"), vec![1]), (rest.clone(), vec![1])];
        let late = by_series(&series, vec![(labels("busy"), 7), (labels("rare"), 8), (labels("rare"), 9)]);
        assert_eq!(late, BTreeMap::from([(labels("busy"), [7].into()), (rest, [8, 9].into())]));
    }
}
