//! A whole time of many series, one bucket each: which topics are the busiest, which groups had the most lag. Whole hours that are rolled
//! up stay as they are, so their sums are kept in memory: of the time that was asked for, and of its days for the next one.

use std::collections::HashMap;
use std::sync::Arc;

use super::hot::{Kept, Rolled, sum};
use super::packing;
use super::pieces::hours;
use super::read::SeriesQuery;
use super::rollup::HOUR_MS;
use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, Timestamp};
use crate::store::{Store, StoreError};

statements! {
    const HOURS = "select series_id, day, buckets from figure_hours where day >= $1 and day <= $2 and series_id in \
        (select id from series where figure = $3 and bus = $4) order by series_id, day";
}

const DAY_MS: i64 = 24 * HOUR_MS;

/// Figure, bus, first hour, the hour after the last, and the last roll-up that changed hours that were rolled up before.
pub(in crate::store) type TotalsKey = (Figure, BusId, i64, i64, i64);
/// One bucket per series.
pub(in crate::store) type TotalsOf = Arc<HashMap<i64, Bucket>>;

impl Store {
    /// Series of a figure on a bus, each by its `key` (those without are left out), with what they came to since the hour in which
    /// `from` lies, until now.
    pub async fn read_totals<K: Send>(
        &self,
        figure: Figure,
        bus: &BusId,
        from: Timestamp,
        key: impl Fn(&Labels) -> Option<K> + Send,
    ) -> Result<Vec<(K, Bucket)>, StoreError> {
        let known = self.known_series(figure).await?;
        let first = from.as_millis().div_euclid(HOUR_MS);
        let series: Vec<&(i64, Labels)> = known.iter().filter(|(_, labels)| labels.bus.as_ref() == Some(bus)).collect();
        let Some(Since { hours, late }) = self.since(figure, bus, first, &series).await? else {
            let all = self.all_in_one(figure, bus, first).await?;
            return Ok(all.into_iter().filter_map(|(labels, total)| Some((key(&labels)?, total))).collect());
        };
        let total = |(id, labels): &&(i64, Labels)| {
            let total = match (hours.get(id).cloned(), late.get(id).cloned()) {
                (Some(mut early), Some(late)) => {
                    early.merge(&late);
                    early
                }
                (early, late) => early.or(late)?,
            };
            Some((key(labels)?, total))
        };
        Ok(series.iter().filter_map(total).collect())
    }

    /// What all series of a level on a bus were together, on average from the hour in which `from` lies to that in which `to` lies; a
    /// series that was there for a part of the time counts for that part. `None` where none was sampled, or roll-ups are far behind.
    pub async fn read_mean_level(&self, figure: Figure, bus: &BusId, from: Timestamp, to: Timestamp) -> Result<Option<f64>, StoreError> {
        let known = self.known_series(figure).await?;
        let series: Vec<&(i64, Labels)> = known.iter().filter(|(_, labels)| labels.bus.as_ref() == Some(bus)).collect();
        let hour = |at: Timestamp| at.as_millis().div_euclid(HOUR_MS);
        let Some(begin) = self.since(figure, bus, hour(from), &series).await? else { return Ok(None) };
        let Some(end) = self.since(figure, bus, hour(to), &series).await? else { return Ok(None) };
        Ok(mean_between(series.iter().map(|(id, _)| (begin.level(*id), end.level(*id)))))
    }

    /// What series came to since an hour; `None` where too much is not rolled up.
    async fn since(&self, figure: Figure, bus: &BusId, first: i64, series: &[&(i64, Labels)]) -> Result<Option<Since>, StoreError> {
        let Some(mut kept) = self.hot().await? else { return Ok(None) };
        let late = if first * HOUR_MS <= kept.rolled.end { kept.whole() } else { Arc::new(since(&kept, series, first * HOUR_MS)) };
        let rolled = kept.rolled;
        drop(kept);
        Ok(Some(Since { hours: self.rolled_totals(figure, bus, first, rolled).await?, late }))
    }

    /// The same from the tables alone.
    async fn all_in_one(&self, figure: Figure, bus: &BusId, first: i64) -> Result<Vec<(Labels, Bucket)>, StoreError> {
        let (from, step_ms) = (Timestamp::from_millis(first * HOUR_MS), 400 * DAY_MS);
        let to = Timestamp::from_millis(from.as_millis().saturating_add(step_ms));
        let series = self.read_series(&SeriesQuery { figure, labels: Labels::bus(bus), from, to, step_ms }).await?;
        Ok(series.into_iter().filter_map(|one| one.total().map(|total| (one.labels, total))).collect())
    }

    /// Whole hours from `first` on, as far as they are rolled up.
    async fn rolled_totals(&self, figure: Figure, bus: &BusId, first: i64, rolled: Rolled) -> Result<TotalsOf, StoreError> {
        let (cache, end) = (&self.inner.caches.totals, rolled.end.div_euclid(HOUR_MS));
        let key = |(first, end)| (figure, bus.clone(), first, end, rolled.revised);
        if let Some(known) = cache.get(&key((first, end))) {
            return Ok(known);
        }
        let (mut parts, mut missing) = (Vec::new(), Vec::new());
        for part in hours(first, end) {
            match cache.get(&key(part)) {
                Some(known) => parts.push((part, known)),
                None => missing.push(part),
            }
        }
        for run in missing.chunk_by(|one, next| one.1 == next.0) {
            for (part, read) in run.iter().zip(self.read_hours(figure, bus, run).await?) {
                let read = Arc::new(read);
                cache.extend([(key(*part), Arc::clone(&read))]);
                parts.push((*part, read));
            }
        }
        // In the order of time: the newest level is the one that was added last.
        parts.sort_unstable_by_key(|(part, _)| *part);
        let mut sums: HashMap<i64, Bucket> = HashMap::new();
        for (id, bucket) in parts.iter().flat_map(|(_, part)| part.iter()) {
            sum(&mut sums, *id, bucket);
        }
        let totals = Arc::new(sums);
        cache.extend([(key((first, end)), Arc::clone(&totals))]);
        Ok(totals)
    }

    /// What series came to in each of some parts of time, which follow each other.
    async fn read_hours(&self, figure: Figure, bus: &BusId, parts: &[(i64, i64)]) -> Result<Vec<HashMap<i64, Bucket>>, StoreError> {
        let mut sums = vec![HashMap::new(); parts.len()];
        let (Some((first, _)), Some((_, end))) = (parts.first(), parts.last()) else { return Ok(sums) };
        let rows: Vec<(i64, i64, Vec<u8>)> = read!(self, |pool| sqlx::query_as(HOURS)
            .bind(first.div_euclid(24))
            .bind((end - 1).div_euclid(24))
            .bind(i32::from(figure.code()))
            .bind(super::label(Some(bus.as_str())))
            .fetch_all(pool)
            .await?)?;
        for (id, day, bytes) in rows {
            packing::each(&bytes, |hour, bucket| {
                let at = day * 24 + i64::from(hour);
                if (*first..*end).contains(&at) {
                    sum(&mut sums[parts.partition_point(|(_, end)| *end <= at)], id, &bucket);
                }
            })?;
        }
        Ok(sums)
    }
}

/// What series came to since an hour: in hours that are rolled up, and in the minutes since.
struct Since {
    hours: TotalsOf,
    late: TotalsOf,
}

impl Since {
    /// The sum of a level's samples, and how many there were.
    fn level(&self, id: i64) -> (f64, u64) {
        let of = |sums: &TotalsOf| match sums.get(&id) {
            Some(Bucket::Level { samples, sum, .. }) => (*sum, *samples),
            _ => (0.0, 0),
        };
        let (early, late) = (of(&self.hours), of(&self.late));
        (early.0 + late.0, early.1 + late.1)
    }
}

/// The mean of all series together in a time, from the sum and the number of the samples of each since its beginning and since its end.
fn mean_between(series: impl Iterator<Item = ((f64, u64), (f64, u64))>) -> Option<f64> {
    let (mut total, mut looks) = (0.0, 0);
    for ((sum, samples), (later, samples_later)) in series {
        total += sum - later;
        looks = looks.max(samples.saturating_sub(samples_later));
    }
    #[expect(clippy::cast_precision_loss, reason = "samples of some weeks")]
    let looks = looks as f64;
    // Of numbers that were added up and taken away again something may be left below zero.
    (looks > 0.0).then(|| (total / looks).max(0.0))
}

/// What series came to in the minutes since `from`.
fn since(kept: &Kept, series: &[&(i64, Labels)], from: i64) -> HashMap<i64, Bucket> {
    let ids: Vec<i64> = series.iter().map(|(id, _)| *id).collect();
    let mut sums = HashMap::with_capacity(ids.len());
    kept.collect(&ids, from, i64::MAX, |id, _, bucket| sum(&mut sums, id, &bucket));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_a_time_is_what_came_since_its_beginning_less_what_came_since_its_end() {
        let (whole, part) = (((1_000.0, 20), (200.0, 10)), ((300.0, 10), (0.0, 0)));
        assert_eq!(mean_between([whole, part].into_iter()), Some(110.0), "800 and 300 over ten looks");
        assert_eq!(mean_between([((200.0, 10), (200.0, 10))].into_iter()), None, "nothing was sampled between");
        assert_eq!(mean_between(std::iter::empty()), None);
    }
}
