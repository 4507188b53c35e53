//! What a scrape is told of figures that are no samples: the last minutes, counted from tables.

use std::time::Duration;

use super::read::SeriesQuery;
use crate::metrics::bucket::Bucket;
use crate::metrics::histogram::Histogram;
use crate::model::figure::{Figure, FigureKind, Labels, SeriesKey};
use crate::model::{DeadLetterFilter, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::{Store, StoreError};

/// Arrivals and failure groups of so many whole minutes.
const MINUTES: i64 = 5;
const MINUTE_MS: i64 = 60_000;
/// Outcomes of replays of so long.
const OUTCOMES: Duration = Duration::from_mins(15);

impl Store {
    /// Arrivals per minute, failure groups that were new or returned (how many) in the last five minutes, and of the last quarter of an
    /// hour the share of replayed messages that failed again, and records that were lost (how many).
    pub async fn recent_samples(&self, now: Timestamp) -> Result<Vec<(SeriesKey, f64)>, StoreError> {
        let to = Timestamp::from_millis(now.as_millis().div_euclid(MINUTE_MS) * MINUTE_MS);
        let minutes = Buckets { from: to.minus(Duration::from_millis((MINUTES * MINUTE_MS).unsigned_abs())), to, count: 1 };
        let mut samples = Vec::new();
        let mut add = |figure, series: Vec<(Labels, Vec<u64>)>, per: f64| {
            #[expect(clippy::cast_precision_loss, reason = "dead letters of some minutes")]
            let total = |counts: Vec<u64>| counts.iter().sum::<u64>() as f64 / per;
            samples.extend(series.into_iter().map(|(labels, counts)| (SeriesKey { figure, labels }, total(counts))));
        };
        #[expect(clippy::cast_precision_loss, reason = "some minutes")]
        let per = MINUTES as f64;
        add(Figure::DeadLettersPerMinute, self.arrival_series(&DeadLetterFilter::default(), minutes).await?, per);
        let last = Buckets { from: now.minus(Duration::from_millis((MINUTES * MINUTE_MS).unsigned_abs())), to: now, count: 1 };
        add(Figure::FailureGroupsNew, self.failure_group_series(FailureGroupEvent::New, None, None, last).await?, 1.0);
        add(Figure::FailureGroupsReturned, self.failure_group_series(FailureGroupEvent::Returned, None, None, last).await?, 1.0);
        let all = self.totals(Figure::ReplayOutcomes, now).await?;
        let failed = self.totals(Figure::ReplayFailures, now).await?;
        for (labels, all) in all.into_iter().filter(|(_, all)| *all > 0.0) {
            let failed = failed.iter().find(|(other, _)| *other == labels).map_or(0.0, |(_, failed)| *failed);
            samples.push((SeriesKey { figure: Figure::ReplayFailedAgainRatio, labels }, failed / all));
        }
        let lost = self.totals(Figure::RecordsLost, now).await?;
        samples.extend(lost.into_iter().map(|(labels, lost)| (SeriesKey { figure: Figure::RecordsLost, labels }, lost)));
        Ok(samples)
    }

    /// Durations of the last five minutes, by series; those without any are left out.
    pub async fn recent_durations(&self, now: Timestamp) -> Result<Vec<(SeriesKey, Histogram)>, StoreError> {
        let step_ms = MINUTES * MINUTE_MS;
        let mut durations = Vec::new();
        for figure in Figure::ALL.iter().copied().filter(|figure| figure.kind() == FigureKind::Durations) {
            let from = now.minus(Duration::from_millis(step_ms.unsigned_abs()));
            let query = SeriesQuery { figure, labels: Labels::default(), from, to: now, step_ms };
            for series in self.read_series(&query).await? {
                if let Some(Bucket::Durations(histogram)) = series.total() {
                    durations.push((SeriesKey { figure, labels: series.labels }, histogram));
                }
            }
        }
        Ok(durations)
    }

    async fn totals(&self, figure: Figure, now: Timestamp) -> Result<Vec<(Labels, f64)>, StoreError> {
        let step_ms = i64::try_from(OUTCOMES.as_millis()).unwrap_or(i64::MAX);
        let query = SeriesQuery { figure, labels: Labels::default(), from: now.minus(OUTCOMES), to: now, step_ms };
        let total = |bucket: Bucket| if let Bucket::Count { total, .. } = bucket { total } else { 0.0 };
        let series = self.read_series(&query).await?;
        Ok(series.into_iter().filter_map(|one| Some((one.labels.clone(), total(one.total()?)))).collect())
    }
}
