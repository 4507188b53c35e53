//! Series over a range, from hours, minutes or frames, whichever is the coarsest that still shows the steps asked for.

use std::collections::HashMap;

use super::hot::Rolled;
use super::rollup::MINUTE_MS;
use super::{SPANS, SeriesRow, label, packing};
use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels, SeriesKey};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const NAMED = "select id, bus, topic, consumer_group, service, operation, fingerprint, status, figure from series \
        where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const FRAMES = "select taken_at, covers_ms, points from figure_frames where taken_at >= $1 and taken_at < $2 order by taken_at, id";
    /// Without those of one source.
    const FRAMES_BUT = "select taken_at, covers_ms, points from figure_frames where taken_at >= $1 and taken_at < $2 \
        and source <> $3 order by taken_at, id";
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

    pub(super) fn step_at(&self, at: i64) -> Option<usize> {
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
        let mut sum = None;
        for bucket in self.buckets.iter().flatten() {
            bucket.add_to(&mut sum);
        }
        sum
    }
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    series: SeriesRow,
    figure: i16,
}

/// Steps by series.
pub(super) type Sums = HashMap<i64, Vec<Option<Bucket>>>;

/// Series, step, and a minute of it.
pub(super) type Newest = Vec<(i64, usize, Bucket)>;

impl Store {
    /// Reads series of one figure; those without a sample in the range are left out.
    pub async fn read_series(&self, query: &SeriesQuery) -> Result<Vec<SeriesBuckets>, StoreError> {
        self.read_series_where(query, |_| true).await
    }

    /// Of the series that [`Self::read_series`] would read those whose labels are wanted.
    pub async fn read_series_where(
        &self,
        query: &SeriesQuery,
        wanted: impl Fn(&Labels) -> bool + Send,
    ) -> Result<Vec<SeriesBuckets>, StoreError> {
        let known = self.known_series(query.figure).await?;
        let asked = stored(&query.labels);
        let series: Vec<&(i64, Labels)> = known.iter().filter(|(_, labels)| matches(&asked, labels) && wanted(labels)).collect();
        if series.is_empty() || query.steps() == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = series.iter().map(|(id, _)| *id).collect();
        let (from, to) = (query.from.as_millis(), query.to.as_millis());
        let mut sums: Sums = HashMap::new();
        if query.step_ms < MINUTE_MS {
            self.add_frames(query, &ids, from, to, &mut sums).await?;
        } else {
            // The newest minutes first: what is rolled up meanwhile must not be missing from both.
            let (rolled, newest) = self.newest(query, &ids).await?;
            sums = self.rolled_steps(query, &ids, rolled).await?;
            match newest {
                Some(newest) => newest.into_iter().for_each(|(id, step, bucket)| add(&mut sums, query, id, step, bucket)),
                None => self.add_frames(query, &ids, from.max(rolled.end), to, &mut sums).await?,
            }
        }
        let found = series.into_iter().filter_map(|(id, labels)| Some(SeriesBuckets { labels: labels.clone(), buckets: sums.remove(id)? }));
        Ok(found.collect())
    }

    /// Where minutes and hours end, and the minutes since then with their step; `None` where frames must be read.
    pub(super) async fn newest(&self, query: &SeriesQuery, ids: &[i64]) -> Result<(Rolled, Option<Newest>), StoreError> {
        let Some(kept) = self.hot().await? else { return Ok((self.rolled().await?, None)) };
        let mut newest = Vec::new();
        kept.collect(ids, query.from.as_millis().max(kept.rolled.end), query.to.as_millis(), |id, at, bucket| {
            // A minute counts where it begins; the first one may have begun before the range.
            if let Some(step) = query.step_at(at.max(query.from.as_millis())) {
                newest.push((id, step, bucket.into_owned()));
            }
        });
        Ok((kept.rolled, Some(newest)))
    }

    /// The newest sample of every series since `from`: levels and rates; durations are left out.
    pub async fn newest_samples(&self, from: Timestamp) -> Result<Vec<(SeriesKey, f64)>, StoreError> {
        let frames: Vec<(i64, i64, Vec<u8>)> =
            read!(self, |pool| sqlx::query_as(FRAMES).bind(from.as_millis()).bind(i64::MAX).fetch_all(pool).await?)?;
        let mut newest: HashMap<i64, f64> = HashMap::new();
        for (_, covers_ms, points) in frames {
            for (id, point) in packing::points(&points, |_| true)? {
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

    pub(super) async fn add_frames(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        // Frames of spans are the longest by far, and most figures are in none of them.
        let but = if query.figure.is_of_spans() { "" } else { SPANS };
        let frames: Vec<(i64, i64, Vec<u8>)> =
            read!(self, |pool| sqlx::query_as(FRAMES_BUT).bind(from).bind(to).bind(but).fetch_all(pool).await?)?;
        for (taken_at, covers_ms, points) in frames {
            let Some(step) = query.step_at(taken_at) else { continue };
            for (id, point) in packing::points(&points, |id| ids.binary_search(&id).is_ok())? {
                add(sums, query, id, step, Bucket::of(point, covers_ms.unsigned_abs()));
            }
        }
        Ok(())
    }
}

/// Labels as they stand in the store.
pub(super) fn stored(labels: &Labels) -> Labels {
    let cut = |value: &Option<String>| value.as_deref().map(|value| label(Some(value)));
    Labels {
        bus: labels.bus.as_ref().map(|bus| BusId::new(label(Some(bus.as_str())))),
        topic: labels.topic.as_ref().map(|topic| TopicName::new(label(Some(topic.as_str())))),
        consumer_group: labels.consumer_group.as_ref().map(|group| GroupName::new(label(Some(group.as_str())))),
        service: cut(&labels.service),
        operation: cut(&labels.operation),
        fingerprint: cut(&labels.fingerprint),
        status: cut(&labels.status),
    }
}

/// Whether a series has the labels that are asked for.
pub(super) fn matches(asked: &Labels, labels: &Labels) -> bool {
    fn same<T: PartialEq>(asked: Option<&T>, found: Option<&T>) -> bool {
        asked.is_none() || asked == found
    }
    same(asked.bus.as_ref(), labels.bus.as_ref())
        && same(asked.topic.as_ref(), labels.topic.as_ref())
        && same(asked.consumer_group.as_ref(), labels.consumer_group.as_ref())
        && same(asked.service.as_ref(), labels.service.as_ref())
        && same(asked.operation.as_ref(), labels.operation.as_ref())
        && same(asked.fingerprint.as_ref(), labels.fingerprint.as_ref())
        && same(asked.status.as_ref(), labels.status.as_ref())
}

fn add(sums: &mut Sums, query: &SeriesQuery, id: i64, step: usize, bucket: Bucket) {
    merge(sums.entry(id).or_insert_with(|| vec![None; query.steps()]), step, bucket);
}

pub(super) fn merge(steps: &mut [Option<Bucket>], step: usize, bucket: Bucket) {
    match &mut steps[step] {
        Some(sum) => sum.merge(&bucket),
        empty => *empty = Some(bucket),
    }
}
