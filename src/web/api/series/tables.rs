//! Figures that tables know exactly: arrivals by the minute, failure groups by the event. Where nothing happened the series says so.

use super::Row;
use crate::model::DeadLetterFilter;
use crate::store::Store;
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesQuery;
use crate::web::error::Error;
use crate::web::view::query::parse_fingerprint;

const MINUTE_MS: i64 = 60_000;
/// Points of one series: a day of minutes.
const MOST: usize = 1_500;

/// Dead letters that arrived, without backlog, per minute.
pub(super) async fn arrivals(store: &Store, query: &SeriesQuery) -> Result<Vec<Row>, Error> {
    if query.step_ms < MINUTE_MS {
        return Err(Error::field("step", "is at least 1m for this figure."));
    }
    let labels = &query.labels;
    let filter = DeadLetterFilter {
        bus: labels.bus.iter().cloned().collect(),
        topic: labels.topic.iter().cloned().collect(),
        consumer_group: labels.consumer_group.iter().cloned().collect(),
        fingerprint: labels.fingerprint.as_deref().map(parse_fingerprint).transpose()?.into_iter().collect(),
        ..DeadLetterFilter::default()
    };
    let series = store.arrival_series(&filter, buckets(query)?).await?;
    #[expect(clippy::cast_precision_loss, reason = "a length of time")]
    let minutes = query.step_ms as f64 / MINUTE_MS as f64;
    Ok(rows(series, query, minutes))
}

/// Failure groups that were new, or returned: how many.
pub(super) async fn failure_groups(store: &Store, event: FailureGroupEvent, query: &SeriesQuery) -> Result<Vec<Row>, Error> {
    let labels = &query.labels;
    let series = store.failure_group_series(event, labels.bus.as_ref(), labels.topic.as_ref(), buckets(query)?).await?;
    Ok(rows(series, query, 1.0))
}

fn buckets(query: &SeriesQuery) -> Result<Buckets, Error> {
    let steps = query.steps();
    if steps > MOST {
        return Err(Error::field("step", format!("makes more than {MOST} points for this figure.")));
    }
    Ok(Buckets { from: query.from, to: query.time_of(steps), count: u32::try_from(steps).unwrap_or(u32::MAX) })
}

fn rows(series: Vec<(crate::model::figure::Labels, Vec<u64>)>, query: &SeriesQuery, per: f64) -> Vec<Row> {
    #[expect(clippy::cast_precision_loss, reason = "dead letters of some minutes")]
    let numbers = |counts: Vec<u64>| counts.into_iter().map(|count| Some(count as f64 / per)).collect();
    if series.is_empty() {
        return vec![(query.labels.clone(), vec![Some(0.0); query.steps()])];
    }
    series.into_iter().map(|(labels, counts)| (labels, numbers(counts))).collect()
}
