//! Steps of series that lie in rolled up hours. They stay as they are, so those of pages are kept: a page that is looked at again, by its
//! own refresh or by the next person, decodes no minutes of a day and no hours of a month a second time.

use std::collections::HashMap;
use std::sync::Arc;

use super::hot::Rolled;
use super::packing;
use super::pieces::{Piece, Run, blocks};
use super::read::{SeriesQuery, Sums, merge};
use super::rollup::{HOUR_MS, MINUTE_MS};
use crate::metrics::bucket::Bucket;
use crate::model::figure::FigureKind;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const MINUTES = "select series_id, hour, buckets from figure_minutes \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and hour >= $2 and hour <= $3";
    const HOURS = "select series_id, day, buckets from figure_hours \
        where series_id in (select cast(value as bigint) from json_each(cast($1 as text))) and day >= $2 and day <= $3";
}

/// Series and piece.
pub(in crate::store) type StepsKey = (i64, Piece);
/// A bucket for each step; nothing at all where there is no sample.
pub(in crate::store) type Steps = Arc<[Option<Bucket>]>;

impl Store {
    /// What lies in rolled up hours of the range, by series; those without samples are left out.
    pub(super) async fn rolled_steps(&self, query: &SeriesQuery, ids: &[i64], rolled: Rolled) -> Result<Sums, StoreError> {
        if query.from.as_millis() >= query.to.as_millis().min(rolled.end) {
            return Ok(Sums::new());
        }
        // Durations have a histogram for each step; rules ask for ranges that begin anew with every look.
        let pieces = if query.figure.kind() == FigureKind::Durations { None } else { blocks(query, rolled) };
        let Some(pieces) = pieces else { return self.read_rolled(query, ids, rolled).await };
        let cache = &self.inner.caches.rolled_steps;
        let mut sums = Sums::new();
        let mut missing: Vec<(Run, Vec<i64>)> = Vec::new();
        for piece in pieces {
            let mut unknown = Vec::new();
            for id in ids {
                match cache.get(&(*id, piece)) {
                    Some(steps) => place(&mut sums, query, *id, piece, &steps),
                    None => unknown.push(*id),
                }
            }
            let joins = missing.last_mut().is_some_and(|(run, of)| *of == unknown && run.add(piece));
            if !joins && !unknown.is_empty() {
                missing.push((Run { pieces: vec![piece] }, unknown));
            }
        }
        for (run, ids) in missing {
            let read = self.read_rolled(&run.query(query), &ids, rolled).await?;
            for id in ids {
                let steps = read.get(&id).map_or(&[][..], Vec::as_slice);
                for (piece, part) in run.parts(steps) {
                    let part = if part.iter().any(Option::is_some) { part } else { &[] };
                    place(&mut sums, query, id, piece, part);
                    cache.extend([((id, piece), Steps::from(part))]);
                }
            }
        }
        Ok(sums)
    }

    /// The same from the tables.
    pub(super) async fn read_rolled(&self, query: &SeriesQuery, ids: &[i64], rolled: Rolled) -> Result<Sums, StoreError> {
        let (from, to) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
        let mut sums = HashMap::with_capacity(ids.len());
        if from >= to {
            return Ok(sums);
        }
        if query.step_ms % HOUR_MS == 0 && from % HOUR_MS == 0 {
            self.add_hours(query, ids, from, to, &mut sums).await?;
        } else {
            self.add_minutes(query, ids, from, to, &mut sums).await?;
        }
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

/// Puts a piece of a series where it belongs.
fn place(sums: &mut Sums, query: &SeriesQuery, id: i64, piece: Piece, steps: &[Option<Bucket>]) {
    let mut of_series = None;
    piece.each(steps, query, |step, bucket| {
        let all = of_series.get_or_insert_with(|| sums.remove(&id).unwrap_or_else(|| vec![None; query.steps()]));
        all[step] = Some(bucket.clone());
    });
    if let Some(all) = of_series {
        sums.insert(id, all);
    }
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
