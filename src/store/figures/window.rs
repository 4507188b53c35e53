//! The sum of a window of every series, for those who ask again and again. What lies in rolled up hours is read once and kept by whoever
//! asks, until the window has moved on or hours were rolled up; beside it only the minutes since then are added, which are in memory.

use std::collections::{HashMap, HashSet};

use super::hot::Rolled;
use super::read::{SeriesQuery, Sums};
use crate::metrics::bucket::Bucket;
use crate::model::figure::Labels;
use crate::store::{Store, StoreError};

/// What of a window lies in rolled up hours.
#[derive(Debug, Default)]
pub struct Past {
    /// Beginning of the window, and how far hours were rolled up.
    of: Option<(i64, Rolled)>,
    /// Series that were asked for, and what they came to; those without samples are left out.
    asked: HashSet<i64>,
    sums: HashMap<i64, Bucket>,
    reads: u64,
}

impl Past {
    /// How many series' rolled up hours were read since it began.
    #[must_use]
    pub const fn reads(&self) -> u64 {
        self.reads
    }
}

impl Store {
    /// What every series of a figure came to in a window; those without a sample are left out. The query has one step and no labels.
    pub async fn read_window(&self, query: &SeriesQuery, past: &mut Past) -> Result<Vec<(Labels, Bucket)>, StoreError> {
        let known = self.known_series(query.figure).await?;
        let ids: Vec<i64> = known.iter().map(|(id, _)| *id).collect();
        if ids.is_empty() || query.steps() != 1 {
            return Ok(Vec::new());
        }
        let (from, to) = (query.from.as_millis(), query.to.as_millis());
        // The newest minutes first: what is rolled up meanwhile must not be missing from both.
        let (rolled, newest) = self.newest(query, &ids).await?;
        if past.of != Some((from, rolled)) {
            *past = Past { of: Some((from, rolled)), reads: past.reads, ..Past::default() };
        }
        let new: Vec<i64> = ids.iter().copied().filter(|id| !past.asked.contains(id)).collect();
        if !new.is_empty() {
            let read = self.rolled_steps(query, &new, rolled).await?;
            past.sums.extend(totals(read));
            past.reads += new.len() as u64;
            past.asked.extend(new);
        }
        let mut recent: HashMap<i64, Bucket> = HashMap::new();
        if let Some(newest) = newest {
            for (id, _, bucket) in &newest {
                super::hot::sum(&mut recent, *id, bucket);
            }
        } else {
            let mut sums = Sums::new();
            self.add_frames(query, &ids, from.max(rolled.end), to, &mut sums).await?;
            recent.extend(totals(sums));
        }
        let whole = |id: &i64| match (past.sums.get(id), recent.get(id)) {
            (Some(past), Some(recent)) => {
                let mut sum = past.clone();
                sum.merge(recent);
                Some(sum)
            }
            (past, recent) => past.or(recent).cloned(),
        };
        Ok(known.iter().filter_map(|(id, labels)| Some((labels.clone(), whole(id)?))).collect())
    }
}

fn totals(sums: Sums) -> impl Iterator<Item = (i64, Bucket)> {
    sums.into_iter().filter_map(|(id, steps)| Some((id, steps.into_iter().flatten().next()?)))
}
