//! Steps of series that lie in rolled up hours. They stay as they are until the next roll-up, so those of pages are kept: a page that is
//! looked at again, by its own refresh or by the next person, decodes no minutes of a day and no hours of a month a second time.

use std::collections::HashMap;
use std::sync::Arc;

use super::hot::Rolled;
use super::packing;
use super::read::{SeriesQuery, Sums, merge};
use super::rollup::{HOUR_MS, MINUTE_MS};
use crate::metrics::bucket::Bucket;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const MINUTES = "select series_id, hour, buckets from figure_minutes \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and hour >= $2 and hour <= $3";
    const HOURS = "select series_id, day, buckets from figure_hours \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and day >= $2 and day <= $3";
}

/// Drawings of pages have fewer steps; longer answers are not kept.
pub(super) const MOST_STEPS: usize = 120;

/// Series, beginning and end of what is rolled up of the range, length of a step (milliseconds), and how far hours were rolled up.
pub(in crate::store) type StepsKey = (i64, i64, i64, i64, Rolled);
/// A bucket for each step that begins before that end; nothing at all where there is no sample.
pub(in crate::store) type Steps = Arc<[Option<Bucket>]>;

impl Store {
    /// What lies in rolled up hours of the range, by series; those without samples are left out.
    pub(super) async fn rolled_steps(&self, query: &SeriesQuery, ids: &[i64], rolled: Rolled) -> Result<Sums, StoreError> {
        let (from, to) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
        let mut sums = HashMap::new();
        if from >= to {
            return Ok(sums);
        }
        let cache = &self.inner.caches.rolled_steps;
        let key = |id: i64| (id, from, to, query.step_ms, rolled);
        // Rules ask for ranges that begin anew with every look.
        let kept = query.steps() <= MOST_STEPS && from % query.step_ms.max(1) == 0;
        // Ranges that end later share these steps.
        let length = usize::try_from((to - from + query.step_ms - 1) / query.step_ms.max(1)).unwrap_or(0).min(query.steps());
        let mut missing = Vec::new();
        for id in ids {
            match if kept { cache.get(&key(*id)) } else { None } {
                Some(steps) if steps.is_empty() => {}
                Some(steps) => {
                    let mut steps = steps.to_vec();
                    steps.resize(query.steps(), None);
                    sums.insert(*id, steps);
                }
                None => missing.push(*id),
            }
        }
        if missing.is_empty() {
            return Ok(sums);
        }
        let mut read = HashMap::with_capacity(missing.len());
        if query.step_ms % HOUR_MS == 0 && from % HOUR_MS == 0 {
            self.add_hours(query, &missing, from, to, &mut read).await?;
        } else {
            self.add_minutes(query, &missing, from, to, &mut read).await?;
        }
        if kept {
            let steps = missing.iter().map(|id| (*id, read.get(id).map_or(&[][..], |steps| &steps[..length])));
            cache.extend(steps.filter(|(_, steps)| is_small(steps)).map(|(id, steps)| (key(id), Steps::from(steps))));
        }
        sums.extend(read);
        Ok(sums)
    }

    async fn add_minutes(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let (first, last, list) = (from.div_euclid(HOUR_MS), (to - 1).div_euclid(HOUR_MS), id_list(ids));
        let rows = read!(self, |pool| sqlx::query_as(MINUTES).bind(&list).bind(first).bind(last).fetch_all(pool).await?)?;
        add_rows(rows, HOUR_MS, MINUTE_MS, query, to, sums)
    }

    async fn add_hours(&self, query: &SeriesQuery, ids: &[i64], from: i64, to: i64, sums: &mut Sums) -> Result<(), StoreError> {
        let (first, last, list) = (from.div_euclid(24 * HOUR_MS), (to - 1).div_euclid(24 * HOUR_MS), id_list(ids));
        let rows = read!(self, |pool| sqlx::query_as(HOURS).bind(&list).bind(first).bind(last).fetch_all(pool).await?)?;
        add_rows(rows, 24 * HOUR_MS, HOUR_MS, query, to, sums)
    }
}

/// Durations have a histogram for each step.
fn is_small(steps: &[Option<Bucket>]) -> bool {
    !steps.iter().flatten().any(|bucket| matches!(bucket, Bucket::Durations(_)))
}

/// Adds rows of `(series, number of the row's time, buckets)`.
fn add_rows(
    mut rows: Vec<(i64, i64, Vec<u8>)>,
    row_ms: i64,
    bucket_ms: i64,
    query: &SeriesQuery,
    to: i64,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    // Of each series in the order of time: the newest level is the one that was added last.
    rows.sort_unstable_by_key(|(id, number, _)| (*id, *number));
    let from = query.from.as_millis();
    for (id, number, bytes) in rows {
        let mut steps = sums.remove(&id);
        packing::each(&bytes, |part, bucket| {
            let at = number * row_ms + i64::from(part) * bucket_ms;
            // A bucket counts where it begins; the first one may have begun before the range.
            if at < to
                && at + bucket_ms > from
                && let Some(step) = query.step_at(at.max(from))
            {
                merge(steps.get_or_insert_with(|| vec![None; query.steps()]), step, bucket);
            }
        })?;
        if let Some(steps) = steps {
            sums.insert(id, steps);
        }
    }
    Ok(())
}
