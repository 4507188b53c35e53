//! Figures over a window, as rules read them. A window consists of whole minutes and ends with this one; long windows of five minutes or
//! hours: while it stays, what is rolled up of it stays as well.
//!
//! The last samples of a minute are there only after it has ended. So long a window of counts is looked at twice, as it is now and as it
//! ended with the minute before: every minute is looked at when it is complete, as in a trial over what was recorded, and nothing is
//! counted over more time than the rule says. All else is taken over the longer time: of rates, shares and durations that is no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::readings::Need;
use crate::alerts::rule::{OneWindow, Reading, parts_of};
use crate::metrics::bucket::Bucket;
use crate::model::Timestamp;
use crate::model::figure::{Figure, Labels};
use crate::store::figures::read::SeriesQuery;
use crate::store::figures::window::Past;
use crate::store::{Store, StoreError};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// So long after a minute has ended its last samples may not have been looked at: samplers look every 15 seconds.
const SETTLING: i64 = 20_000;

/// What of each window lies in rolled up hours: read once an hour, or when the window has moved on.
#[derive(Debug, Default)]
pub(super) struct Pasts(HashMap<(Need, Span), Past>);

/// Which time is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Span {
    /// The window that ends with this minute.
    Newest,
    /// The one that ended with the minute before.
    Before,
    /// Both in one while the minute before is fresh, then the newest.
    Whole,
}

impl Pasts {
    /// Forgets what nobody needs.
    pub(super) fn retain(&mut self, needs: &BTreeSet<Need>) {
        self.0.retain(|(need, _), _| needs.contains(need));
    }

    /// What every series of a windowed figure has to say.
    pub(super) async fn read(
        &mut self,
        store: &Store,
        (figure, window): Need,
        now: Timestamp,
    ) -> Result<Vec<(Labels, Reading)>, StoreError> {
        let need = (figure, window);
        if let Some((all, failed)) = parts_of(figure) {
            return self.shares(store, (all, window), (failed, window), now).await;
        }
        if figure.is_few() {
            return self.counts(store, need, now).await;
        }
        self.buckets(store, need, Span::Whole, now, |bucket| Reading::of(figure, bucket)).await
    }

    async fn counts(&mut self, store: &Store, need: Need, now: Timestamp) -> Result<Vec<(Labels, Reading)>, StoreError> {
        let count = |bucket: &Bucket| match Reading::of(need.0, bucket) {
            Some(Reading::Number(count)) => Some(count),
            _ => None,
        };
        let newest = self.buckets(store, need, Span::Newest, now, count).await?;
        if query(need, Span::Before, now).is_none() {
            return Ok(newest.into_iter().map(|(labels, count)| (labels, Reading::Number(count))).collect());
        }
        let mut both: BTreeMap<Labels, [f64; 2]> = BTreeMap::new();
        for (labels, count) in newest {
            both.entry(labels).or_default()[0] = count;
        }
        for (labels, count) in self.buckets(store, need, Span::Before, now, count).await? {
            both.entry(labels).or_default()[1] = count;
        }
        let window = |(place, value): (usize, f64)| OneWindow { place, value, news: true };
        let windows = |counts: [f64; 2]| Reading::Windows(counts.into_iter().enumerate().map(window).collect());
        Ok(both.into_iter().map(|(labels, counts)| (labels, windows(counts))).collect())
    }

    async fn shares(&mut self, store: &Store, all: Need, failed: Need, now: Timestamp) -> Result<Vec<(Labels, Reading)>, StoreError> {
        let count = |bucket: &Bucket| Some(bucket.count());
        let all = self.buckets(store, all, Span::Whole, now, count).await?;
        let failed: HashMap<Labels, f64> = self.buckets(store, failed, Span::Whole, now, count).await?.into_iter().collect();
        let share = |(labels, whole): (Labels, f64)| {
            let part = failed.get(&labels).copied().unwrap_or(0.0);
            (labels, Reading::Share { part, whole })
        };
        Ok(all.into_iter().map(share).collect())
    }

    async fn buckets<T>(
        &mut self,
        store: &Store,
        need: Need,
        span: Span,
        now: Timestamp,
        read: impl Fn(&Bucket) -> Option<T>,
    ) -> Result<Vec<(Labels, T)>, StoreError> {
        let Some(query) = query(need, span, now) else { return Ok(Vec::new()) };
        let series = store.read_window(&query, self.0.entry((need, span)).or_default()).await?;
        Ok(series.into_iter().filter_map(|(labels, bucket)| Some((labels, read(&bucket)?))).collect())
    }
}

/// The window that ends with this minute, or these five or this hour for long ones: one step.
pub(super) fn newest(figure: Figure, window_ms: u64, now: Timestamp) -> SeriesQuery {
    let (_, length, to) = bounds(window_ms, now);
    between(figure, to - length, to)
}

/// One step; `None` for the window before when that is not fresh any more.
fn query((figure, window): Need, span: Span, now: Timestamp) -> Option<SeriesQuery> {
    let (unit, length, to) = bounds(window.unwrap_or(0), now);
    let is_fresh = now.as_millis().rem_euclid(unit) < SETTLING;
    match span {
        Span::Before => is_fresh.then(|| between(figure, to - unit - length, to - unit)),
        Span::Whole if is_fresh => Some(between(figure, to - unit - length, to)),
        Span::Newest | Span::Whole => Some(between(figure, to - length, to)),
    }
}

/// Of what a window consists, its length, and its end.
fn bounds(window_ms: u64, now: Timestamp) -> (i64, i64, i64) {
    let window = i64::try_from(window_ms).unwrap_or(i64::MAX);
    let unit = match window {
        _ if window >= 6 * HOUR_MS => HOUR_MS,
        _ if window > 2 * HOUR_MS => 5 * MINUTE_MS,
        _ => MINUTE_MS,
    };
    let length = (window + unit - 1).div_euclid(unit).max(1) * unit;
    (unit, length, (now.as_millis().div_euclid(unit) + 1) * unit)
}

fn between(figure: Figure, from: i64, to: i64) -> SeriesQuery {
    let time = Timestamp::from_millis;
    SeriesQuery { figure, labels: Labels::default(), from: time(from), to: time(to), step_ms: to - from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_looked_at_when_it_is_complete() {
        let at = |minute: i64, second: i64| Timestamp::from_millis(1_767_225_600_000 + minute * MINUTE_MS + second * 1_000);
        let read = |window_s: u64, span, now| {
            let query = query((Figure::RecordsLost, Some(window_s * 1_000)), span, now)?;
            assert_eq!(query.steps(), 1);
            Some((query.from, query.to))
        };
        assert_eq!(read(60, Span::Newest, at(7, 0)), Some((at(7, 0), at(8, 0))));
        assert_eq!(read(60, Span::Before, at(7, 0)), Some((at(6, 0), at(7, 0))));
        assert_eq!(read(60, Span::Before, at(7, 19)), Some((at(6, 0), at(7, 0))));
        assert_eq!((read(60, Span::Before, at(7, 20)), read(60, Span::Whole, at(7, 20))), (None, Some((at(7, 0), at(8, 0)))));
        assert_eq!(read(300, Span::Whole, at(7, 19)), Some((at(2, 0), at(8, 0))), "no less than five minutes");
        assert_eq!(read(300, Span::Newest, at(7, 19)), Some((at(3, 0), at(8, 0))));
        assert_eq!(read(90, Span::Newest, at(7, 0)), Some((at(6, 0), at(8, 0))), "whole minutes");
        assert_eq!(read(3 * 3_600, Span::Before, at(180, 5)), Some((at(0, 0), at(180, 0))));
        assert_eq!(read(6 * 3_600, Span::Whole, at(360, 30)), Some((at(60, 0), at(420, 0))));
    }
}
