//! Several series added up to one: how long messages took on a whole bus, whichever topic and service. What is rolled up is added up once
//! and kept until the next roll-up: durations are histograms, and a day of a few hundred series has hundreds of thousands.

use std::sync::Arc;

use super::hot::Rolled;
use super::read::{SeriesQuery, merge};
use super::rolled::{MOST_STEPS, Steps};
use super::rollup::MINUTE_MS;
use crate::metrics::bucket::Bucket;
use crate::model::figure::SeriesKey;
use crate::store::{Store, StoreError};

/// Figure with the labels that were asked for, beginning and end of what is rolled up of the range, length of a step (milliseconds), and
/// how far hours were rolled up.
pub(in crate::store) type MergedKey = (SeriesKey, i64, i64, i64, Rolled);

impl Store {
    /// All series that a query matches in one: a bucket per step, `None` where none of them had a sample.
    pub async fn read_merged(&self, query: &SeriesQuery) -> Result<Vec<Option<Bucket>>, StoreError> {
        let mut all = vec![None; query.steps()];
        let ids = self.ids_of(query).await?;
        let newest = if query.step_ms < MINUTE_MS || query.steps() > MOST_STEPS { None } else { Some(self.newest(query, &ids).await?) };
        let Some((rolled, Some(newest))) = newest else {
            for series in self.read_series(query).await? {
                add_up(&mut all, series.buckets);
            }
            return Ok(all);
        };
        let (from, to) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
        let key = (SeriesKey { figure: query.figure, labels: query.labels.clone() }, from, to, query.step_ms, rolled);
        if let Some(kept) = self.inner.caches.merged_steps.get(&key) {
            add_up(&mut all, kept.iter().cloned());
        } else {
            for (_, steps) in self.rolled_steps(query, &ids, rolled).await? {
                add_up(&mut all, steps);
            }
            let begun = all.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            self.inner.caches.merged_steps.extend([(key, Steps::from(&all[..begun]))]);
        }
        for (_, step, bucket) in newest {
            merge(&mut all, step, bucket);
        }
        Ok(all)
    }

    async fn ids_of(&self, query: &SeriesQuery) -> Result<Vec<i64>, StoreError> {
        let known = self.known_series(query.figure).await?;
        Ok(Arc::unwrap_or_clone(known).into_iter().filter(|(_, labels)| query.asks_for(labels)).map(|(id, _)| id).collect())
    }
}

fn add_up(all: &mut [Option<Bucket>], steps: impl IntoIterator<Item = Option<Bucket>>) {
    for (step, bucket) in steps.into_iter().enumerate().take(all.len()) {
        if let Some(bucket) = bucket {
            merge(all, step, bucket);
        }
    }
}
