//! Series over a range, from hours, minutes or frames, whichever is the coarsest that still shows the steps asked for.

use std::collections::{BTreeMap, HashMap};

use super::rollup::{HOUR_MS, MINUTE_MS};
use super::{SeriesRow, label};
use crate::metrics::bucket::{Bucket, Buckets};
use crate::metrics::frame;
use crate::model::figure::{Figure, Labels, SeriesKey};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::error::contradiction;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const FIND = "select id, bus, topic, consumer_group, service, operation, fingerprint, status from series where figure = $1 \
        and (cast($2 as text) is null or bus = $2) and (cast($3 as text) is null or topic = $3) \
        and (cast($4 as text) is null or consumer_group = $4) and (cast($5 as text) is null or service = $5) \
        and (cast($6 as text) is null or operation = $6) and (cast($7 as text) is null or fingerprint = $7) \
        and (cast($8 as text) is null or status = $8) order by id";
    const NAMED = "select id, bus, topic, consumer_group, service, operation, fingerprint, status, figure from series \
        where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const UNTIL = "select until_hour from figure_rollup where id = 1";
    const FRAMES = "select taken_at, covers_ms, points from figure_frames where taken_at >= $1 and taken_at < $2 order by taken_at, id";
    const MINUTES = "select series_id, hour, buckets from figure_minutes \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and hour >= $2 and hour <= $3";
    const HOURS = "select series_id, day, buckets from figure_hours \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and day >= $2 and day <= $3";
}

/// What to read. Labels that are absent are not asked about.
#[derive(Debug, Clone)]
pub struct SeriesQuery {
    /// The figure; no ratio (those are made of two).
    pub figure: Figure,
    /// Labels that must be so.
    pub labels: Labels,
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Length of a step in milliseconds, at least 1.
    pub step_ms: i64,
}

impl SeriesQuery {
    /// Steps of the range.
    #[must_use]
    pub fn steps(&self) -> usize {
        let length = self.to.as_millis().saturating_sub(self.from.as_millis()).max(0);
        usize::try_from((length + self.step_ms.max(1) - 1) / self.step_ms.max(1)).unwrap_or(0)
    }

    /// When a step begins.
    #[must_use]
    pub fn time_of(&self, step: usize) -> Timestamp {
        Timestamp::from_millis(self.from.as_millis() + i64::try_from(step).unwrap_or(0) * self.step_ms)
    }

    fn step_at(&self, at: i64) -> Option<usize> {
        let from = self.from.as_millis();
        (at >= from && at < self.to.as_millis()).then(|| usize::try_from((at - from) / self.step_ms.max(1)).unwrap_or(0))
    }
}

/// One series over the range: a bucket per step, `None` where there was no sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesBuckets {
    /// What it is about.
    pub labels: Labels,
    /// By step.
    pub buckets: Vec<Option<Bucket>>,
}

impl SeriesBuckets {
    /// The whole range in one bucket.
    #[must_use]
    pub fn total(&self) -> Option<Bucket> {
        let mut all = self.buckets.iter().flatten().cloned();
        let first = all.next()?;
        Some(all.fold(first, |mut sum, bucket| {
            sum.merge(bucket);
            sum
        }))
    }
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    series: SeriesRow,
    figure: i16,
}

type Sums = HashMap<i64, Vec<Option<Bucket>>>;

impl Store {
    /// Reads series of one figure; those without a sample in the range are left out.
    pub async fn read_series(&self, query: &SeriesQuery) -> Result<Vec<SeriesBuckets>, StoreError> {
        let series = self.find_series(query.figure, &query.labels).await?;
        if series.is_empty() || query.steps() == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = series.iter().map(|(id, _)| *id).collect();
        let (until,): (i64,) = read!(self, |pool| sqlx::query_as(UNTIL).fetch_one(pool).await?)?;
        let (from, to, rolled) = (query.from.as_millis(), query.to.as_millis(), until.saturating_mul(HOUR_MS));
        let mut sums: Sums = HashMap::new();
        if query.step_ms < MINUTE_MS {
            self.add_frames(query, &ids, from, to, &mut sums).await?;
        } else {
            let rolled_to = to.min(rolled);
            if query.step_ms % HOUR_MS == 0 && from % HOUR_MS == 0 {
                self.add_hours(query, &ids, from, rolled_to, &mut sums).await?;
            } else {
                self.add_minutes(query, &ids, from, rolled_to, &mut sums).await?;
            }
            self.add_frames(query, &ids, from.max(rolled), to, &mut sums).await?;
        }
        let found = series.into_iter().filter_map(|(id, labels)| Some(SeriesBuckets { labels, buckets: sums.remove(&id)? }));
        Ok(found.collect())
    }

    /// The newest sample of every series since `from`: levels and rates; durations are left out.
    pub async fn newest_samples(&self, from: Timestamp) -> Result<Vec<(SeriesKey, f64)>, StoreError> {
        let frames: Vec<(i64, i64, Vec<u8>)> =
            read!(self, |pool| sqlx::query_as(FRAMES).bind(from.as_millis()).bind(i64::MAX).fetch_all(pool).await?)?;
        let mut newest: HashMap<i64, f64> = HashMap::new();
        for (_, covers_ms, points) in frames {
            for (id, point) in frame::decode(&points, |_| true).map_err(|error| contradiction(format!("a frame: {error}")))? {
                let bucket = Bucket::of(point, covers_ms.unsigned_abs());
                if let (Bucket::Level { .. } | Bucket::Count { .. }, Some(value)) = (&bucket, bucket.value(0.5)) {
                    newest.insert(id, value);
                }
            }
        }
        let ids = id_list(&newest.keys().copied().collect::<Vec<_>>());
        let rows: Vec<NamedRow> = read!(self, |pool| sqlx::query_as(NAMED).bind(&ids).fetch_all(pool).await?)?;
        let named = rows.into_iter().filter_map(|row| {
            let figure = Figure::from_code(row.figure)?;
            let (id, labels) = row.series.into_labels();
            Some((SeriesKey { figure, labels }, newest.remove(&id)?))
        });
        Ok(named.collect())
    }

    /// Series of a figure with these labels.
    async fn find_series(&self, figure: Figure, labels: &Labels) -> Result<Vec<(i64, Labels)>, StoreError> {
        let some = |value: Option<&str>| value.map(|value| label(Some(value)));
        let rows: Vec<SeriesRow> = read!(self, |pool| sqlx::query_as(FIND)
            .bind(i32::from(figure.code()))
            .bind(some(labels.bus.as_ref().map(BusId::as_str)))
            .bind(some(labels.topic.as_ref().map(TopicName::as_str)))
            .bind(some(labels.consumer_group.as_ref().map(GroupName::as_str)))
            .bind(some(labels.service.as_deref()))
            .bind(some(labels.operation.as_deref()))
            .bind(some(labels.fingerprint.as_deref()))
            .bind(some(labels.status.as_deref()))
            .fetch_all(pool)
            .await?)?;
        Ok(rows.into_iter().map(SeriesRow::into_labels).collect())
    }

    async fn add_frames(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let frames: Vec<(i64, i64, Vec<u8>)> = read!(self, |pool| sqlx::query_as(FRAMES).bind(from).bind(to).fetch_all(pool).await?)?;
        for (taken_at, covers_ms, points) in frames {
            let Some(step) = query.step_at(taken_at) else { continue };
            let points = frame::decode(&points, |id| ids.binary_search(&id).is_ok());
            for (id, point) in points.map_err(|error| contradiction(format!("a frame: {error}")))? {
                add(sums, query, id, step, Bucket::of(point, covers_ms.unsigned_abs()));
            }
        }
        Ok(())
    }

    async fn add_minutes(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let (first, last, list) = (from.div_euclid(HOUR_MS), (to - 1).div_euclid(HOUR_MS), id_list(ids));
        let rows = read!(self, |pool| sqlx::query_as(MINUTES).bind(&list).bind(first).bind(last).fetch_all(pool).await?)?;
        add_rows(rows, HOUR_MS, MINUTE_MS, query, to, sums)
    }

    async fn add_hours(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let (first, last, list) = (from.div_euclid(24 * HOUR_MS), (to - 1).div_euclid(24 * HOUR_MS), id_list(ids));
        let rows = read!(self, |pool| sqlx::query_as(HOURS).bind(&list).bind(first).bind(last).fetch_all(pool).await?)?;
        add_rows(rows, 24 * HOUR_MS, HOUR_MS, query, to, sums)
    }
}

/// Adds rows of `(series, number of the row's time, buckets)`.
fn add_rows(
    rows: Vec<(i64, i64, Vec<u8>)>,
    row_ms: i64,
    bucket_ms: i64,
    query: &SeriesQuery,
    to: i64,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    let mut rows: BTreeMap<(i64, i64), Vec<u8>> = rows.into_iter().map(|(id, number, bytes)| ((number, id), bytes)).collect();
    while let Some(((number, id), bytes)) = rows.pop_first() {
        let buckets = Buckets::decode(&bytes).map_err(|error| contradiction(format!("buckets of a series: {error}")))?;
        for (part, bucket) in buckets.0 {
            let at = number * row_ms + i64::from(part) * bucket_ms;
            // A bucket counts where it begins; the first one may have begun before the range.
            let shown = at.max(query.from.as_millis());
            if at < to
                && at + bucket_ms > query.from.as_millis()
                && let Some(step) = query.step_at(shown)
            {
                add(sums, query, id, step, bucket);
            }
        }
    }
    Ok(())
}

fn add(sums: &mut Sums, query: &SeriesQuery, id: i64, step: usize, bucket: Bucket) {
    let steps = sums.entry(id).or_insert_with(|| vec![None; query.steps()]);
    match &mut steps[step] {
        Some(sum) => sum.merge(bucket),
        empty => *empty = Some(bucket),
    }
}
