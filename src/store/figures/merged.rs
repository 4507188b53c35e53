//! Several series added up to one: how long messages took on a whole bus, whichever topic and service. What is rolled up is added up once
//! and kept: durations are histograms, and a day of a few hundred series has hundreds of thousands.

use super::hot::Rolled;
use super::pieces::{MOST_STEPS, Piece, Run, blocks, days, whole};
use super::read::{SeriesQuery, matches, stored};
use super::rolled::Steps;
use super::rollup::MINUTE_MS;
use crate::metrics::bucket::Bucket;
use crate::model::figure::{Labels, SeriesKey};
use crate::store::{Store, StoreError};

/// Figure with the labels that were asked for, and piece of a range.
pub(in crate::store) type MergedKey = (SeriesKey, Piece);

type Merged = Vec<Option<Bucket>>;

impl Store {
    /// Counts or durations of all series that a query matches, in one: a bucket per step, `None` where none of them had a sample. Levels
    /// of several series make no sum.
    pub async fn read_merged(&self, query: &SeriesQuery) -> Result<Merged, StoreError> {
        let known = self.known_series(query.figure).await?;
        let asked = stored(&query.labels);
        let ids: Vec<i64> = known.iter().filter(|(_, labels)| matches(&asked, labels)).map(|(id, _)| *id).collect();
        let mut all = vec![None; query.steps()];
        if ids.is_empty() {
            return Ok(all);
        }
        let fits = query.step_ms >= MINUTE_MS && query.steps() <= MOST_STEPS;
        // The newest minutes first: what is rolled up meanwhile must not be missing from both.
        let newest = if fits { self.newest_merged(query, &asked, &ids).await? } else { None };
        let Some((rolled, newest)) = newest else {
            for series in self.read_series(query).await? {
                add_up(&mut all, &series.buckets);
            }
            return Ok(all);
        };
        add_up(&mut all, &self.rolled_merged(query, asked, &ids, rolled).await?);
        add_up(&mut all, &newest);
        Ok(all)
    }

    /// What is not rolled up yet; `None` where too much of it is.
    async fn newest_merged(&self, query: &SeriesQuery, asked: &Labels, ids: &[i64]) -> Result<Option<(Rolled, Merged)>, StoreError> {
        let Some(mut kept) = self.hot().await? else { return Ok(None) };
        let (from, mut newest) = (query.from.as_millis(), vec![None; query.steps()]);
        let key = SeriesKey { figure: query.figure, labels: asked.clone() };
        let range = (from.max(kept.rolled.end), query.to.as_millis());
        kept.collect_merged(key, ids, range, |at, bucket| {
            if let Some(step) = query.step_at(at.max(from)) {
                bucket.add_to(&mut newest[step]);
            }
        });
        Ok(Some((kept.rolled, newest)))
    }

    /// What is rolled up.
    async fn rolled_merged(&self, query: &SeriesQuery, asked: Labels, ids: &[i64], rolled: Rolled) -> Result<Merged, StoreError> {
        let mut all = vec![None; query.steps()];
        if query.from.as_millis() >= query.to.as_millis().min(rolled.end) {
            return Ok(all);
        }
        let (cache, of) = (&self.inner.caches.merged_steps, SeriesKey { figure: query.figure, labels: asked });
        let mut add = |piece: Piece, steps: &[Option<Bucket>]| piece.each(steps, query, |step, bucket| bucket.add_to(&mut all[step]));
        let mut missing: Vec<Run> = Vec::new();
        for piece in days(query, rolled).or_else(|| blocks(query, rolled)).unwrap_or_else(|| whole(query, rolled)) {
            match cache.get(&(of.clone(), piece)) {
                Some(steps) => add(piece, &steps),
                None if missing.last_mut().is_some_and(|run| run.add(piece)) => {}
                None => missing.push(Run { pieces: vec![piece] }),
            }
        }
        for run in missing {
            let read = run.query(query);
            let mut sums = vec![None; read.steps()];
            for steps in self.read_rolled(&read, ids, rolled).await?.values() {
                add_up(&mut sums, steps);
            }
            for (piece, part) in run.parts(&sums) {
                add(piece, part);
                cache.extend([((of.clone(), piece), Steps::from(part))]);
            }
        }
        Ok(all)
    }
}

fn add_up(all: &mut [Option<Bucket>], steps: &[Option<Bucket>]) {
    for (sum, bucket) in all.iter_mut().zip(steps) {
        if let Some(bucket) = bucket {
            bucket.add_to(sum);
        }
    }
}
