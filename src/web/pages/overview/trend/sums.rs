//! What a time came to, from whole hours.

use std::time::Duration;

use super::number;
use crate::metrics::bucket::Bucket;
use crate::metrics::histogram::Histogram;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, DeadLetterFilter, Timestamp};
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesQuery;
use crate::store::{Store, StoreError};

const DAY: Duration = Duration::from_hours(24);

/// What one of the two times came to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) days: f64,
    pub(super) messages: f64,
    pub(super) rate: Option<f64>,
    pub(super) letters: f64,
    pub(super) new_groups: f64,
    pub(super) resolved: Histogram,
    pub(super) outcomes: f64,
    pub(super) failures: f64,
    /// From sending to processed; `None` where no message was seen that far.
    pub(super) end_to_end: Option<Bucket>,
    pub(super) spans: f64,
    pub(super) failed_spans: f64,
    /// Of all groups together, on average; `None` where none was sampled.
    pub(super) lag: Option<f64>,
}

impl Sums {
    pub(super) async fn load(store: &Store, buses: &[BusId], from: Timestamp, to: Timestamp) -> Result<Self, StoreError> {
        let mut sums = Self { days: from.age_at(to).as_secs_f64() / DAY.as_secs_f64(), ..Self::default() };
        if sums.days <= 0.0 {
            return Ok(sums);
        }
        let everything = DeadLetterFilter { bus: buses.to_vec(), ..DeadLetterFilter::default() };
        let once = Buckets { from, to, count: 1 };
        sums.letters = number(store.list_arrivals(&everything, once).await?.total);
        let of: Vec<Labels> = if buses.is_empty() { vec![Labels::default()] } else { buses.iter().map(Labels::bus).collect() };
        for labels in of {
            let new = store.failure_group_series(FailureGroupEvent::New, labels.bus.as_ref(), None, once).await?;
            sums.new_groups += number(new.iter().flat_map(|(_, counts)| counts).sum());
            for bucket in read(store, Figure::BusMessagesPerSecond, &labels, once).await? {
                sums.messages += total(&bucket);
                sums.rate = Some(sums.rate.unwrap_or(0.0) + bucket.value(0.5).unwrap_or(0.0));
            }
            sums.outcomes += read(store, Figure::ReplayOutcomes, &labels, once).await?.iter().map(total).sum::<f64>();
            sums.failures += read(store, Figure::ReplayFailures, &labels, once).await?.iter().map(total).sum::<f64>();
            for bucket in read(store, Figure::DeadLettersResolveSeconds, &labels, once).await? {
                if let Bucket::Durations(times) = bucket {
                    sums.resolved.merge(&times);
                }
            }
        }
        let listed = store.list_buses().await?.into_iter().map(|bus| bus.id);
        for bus in listed.filter(|bus| buses.is_empty() || buses.contains(bus)) {
            sums.add_spans(store, &Labels::bus(&bus), once).await?;
            if let Some(lag) = store.read_mean_level(Figure::ConsumerGroupLagMessages, &bus, from, to).await? {
                *sums.lag.get_or_insert(0.0) += lag;
            }
        }
        Ok(sums)
    }

    /// Each figure of all its series in one: what is rolled up is added up once an hour.
    async fn add_spans(&mut self, store: &Store, labels: &Labels, once: Buckets) -> Result<(), StoreError> {
        let merged = async |figure| {
            let found = store.read_merged(&query(figure, labels, once)).await?;
            Ok::<_, StoreError>(found.into_iter().flatten().next())
        };
        if let Some(durations) = merged(Figure::EndToEndDurationSeconds).await? {
            durations.add_to(&mut self.end_to_end);
        }
        self.spans += merged(Figure::SpansPerSecond).await?.map_or(0.0, |count| count.count());
        self.failed_spans += merged(Figure::SpanErrorsPerSecond).await?.map_or(0.0, |count| count.count());
        Ok(())
    }
}

fn query(figure: Figure, labels: &Labels, once: Buckets) -> SeriesQuery {
    let step_ms = once.to.as_millis() - once.from.as_millis();
    SeriesQuery { figure, labels: labels.clone(), from: once.from, to: once.to, step_ms }
}

async fn read(store: &Store, figure: Figure, labels: &Labels, once: Buckets) -> Result<Vec<Bucket>, StoreError> {
    Ok(store
        .read_series(&query(figure, labels, once))
        .await?
        .iter()
        .filter_map(crate::store::figures::read::SeriesBuckets::total)
        .collect())
}

fn total(bucket: &Bucket) -> f64 {
    if let Bucket::Count { total, .. } = bucket { *total } else { 0.0 }
}
