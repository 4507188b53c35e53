//! The time that is not rolled up yet, by the minute and in memory: an hour of looks is read and decoded once, not with every page.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::packing;
use super::rollup::{HOUR_MS, MINUTE_MS};
use crate::metrics::bucket::{Bucket, Point};
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const UNTIL = "select until_hour, version from figure_rollup where id = 1";
    const NEW = "select id from figure_frames where taken_at >= $1 and id > $2 order by id limit $3";
    const FRAMES = "select taken_at, covers_ms, points from figure_frames \
        where id in (select cast(value as bigint) from json_each(cast($1 as text))) order by taken_at, id";
}

/// What other instances have written is seen after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Ids become visible out of order on PostgreSQL: so many below the newest are looked for again.
const BEHIND: i64 = 64;
/// More frames than this are not kept: a roll-up is far behind then, and will soon be no more.
const MOST: i64 = 10_000;
/// Frames read at once.
const AT_ONCE: usize = 128;

/// Minutes since the roll-up.
#[derive(Debug, Default)]
pub(in crate::store) struct Hot {
    kept: tokio::sync::Mutex<Kept>,
    /// We have written a frame or rolled up ourselves.
    outdated: AtomicBool,
}

/// How far hours are rolled up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(in crate::store) struct Rolled {
    /// Where they end, in milliseconds.
    pub(super) end: i64,
    /// Grows with every roll-up, also of an hour that was rolled up before.
    pub(super) version: i64,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    looked: Option<Instant>,
    /// How far hours are rolled up.
    pub(super) rolled: Rolled,
    last_id: i64,
    /// Ids above `last_id - BEHIND` that are in.
    taken: BTreeSet<i64>,
    /// By their number; of each, series by id.
    minutes: BTreeMap<i64, Vec<(i64, Bucket)>>,
    /// What every series came to in all of these minutes, once somebody has asked.
    whole: Option<Arc<HashMap<i64, Bucket>>>,
}

impl Hot {
    /// This process has written a frame, or rolled an hour up.
    pub(in crate::store) fn moved(&self) {
        self.outdated.store(true, Ordering::Release);
    }
}

impl Kept {
    /// Adds frames once, or none of them.
    fn add_frames(&mut self, ids: &[i64], frames: Vec<(i64, i64, Vec<u8>)>) -> Result<(), StoreError> {
        let mut decoded = Vec::with_capacity(frames.len());
        for (taken_at, covers_ms, points) in frames {
            let points = packing::points(&points, |_| true)?;
            decoded.push((taken_at.div_euclid(MINUTE_MS), covers_ms.unsigned_abs(), points));
        }
        self.whole = None;
        for (minute, covers_ms, points) in decoded {
            self.add(minute, covers_ms, points);
        }
        self.taken.extend(ids);
        self.last_id = self.last_id.max(ids.iter().copied().max().unwrap_or_default());
        self.taken = self.taken.split_off(&(self.last_id - BEHIND));
        Ok(())
    }

    fn add(&mut self, minute: i64, covers_ms: u64, points: Vec<(i64, Point)>) {
        let known = std::mem::take(self.minutes.entry(minute).or_default());
        let mut merged = Vec::with_capacity(known.len().max(points.len()));
        let mut known = known.into_iter().peekable();
        for (id, point) in points {
            while let Some(before) = known.next_if(|(other, _)| *other < id) {
                merged.push(before);
            }
            let bucket = Bucket::of(point, covers_ms);
            match known.next_if(|(other, _)| *other == id) {
                Some((_, mut sum)) => {
                    sum.merge(&bucket);
                    merged.push((id, sum));
                }
                None => merged.push((id, bucket)),
            }
        }
        merged.extend(known);
        self.minutes.insert(minute, merged);
    }

    /// What every series came to since the roll-up.
    pub(super) fn whole(&mut self) -> Arc<HashMap<i64, Bucket>> {
        let Self { whole, minutes, .. } = self;
        Arc::clone(whole.get_or_insert_with(|| {
            let mut sums = HashMap::new();
            minutes.values().flatten().for_each(|(id, bucket)| sum(&mut sums, *id, bucket));
            Arc::new(sums)
        }))
    }

    /// Calls `each` with the series that are wanted (ids in order), the beginning of the minute and its bucket; minutes that overlap
    /// the time from `from` to `to`.
    pub(super) fn collect(&self, ids: &[i64], from: i64, to: i64, mut each: impl FnMut(i64, i64, &Bucket)) {
        let (first, last) = (from.div_euclid(MINUTE_MS), (to - 1).div_euclid(MINUTE_MS));
        if first > last {
            return;
        }
        for (minute, points) in self.minutes.range(first..=last) {
            let at = minute * MINUTE_MS;
            if ids.len() * 8 < points.len() {
                for id in ids {
                    if let Ok(place) = points.binary_search_by_key(id, |(id, _)| *id) {
                        each(*id, at, &points[place].1);
                    }
                }
                continue;
            }
            let mut wanted = ids.iter().copied().peekable();
            for (id, bucket) in points {
                while wanted.next_if(|other| other < id).is_some() {}
                if wanted.peek() == Some(id) {
                    each(*id, at, bucket);
                }
            }
        }
    }
}

impl Store {
    /// How far hours are rolled up.
    pub(super) async fn rolled(&self) -> Result<Rolled, StoreError> {
        let (until, version): (i64, i64) = read!(self, |pool| sqlx::query_as(UNTIL).fetch_one(pool).await?)?;
        Ok(Rolled { end: until.saturating_mul(HOUR_MS), version })
    }

    /// Minutes since the roll-up as of now; `None` where there are too many frames to keep.
    pub(super) async fn hot(&self) -> Result<Option<tokio::sync::MutexGuard<'_, Kept>>, StoreError> {
        let hot = &self.inner.caches.hot;
        let mut kept = hot.kept.lock().await;
        let outdated = hot.outdated.swap(false, Ordering::AcqRel);
        if !outdated && kept.looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return Ok(Some(kept));
        }
        kept.looked = None;
        let rolled = self.rolled().await?;
        let behind = kept.last_id.saturating_sub(BEHIND);
        let ids: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(NEW).bind(rolled.end).bind(behind).bind(MOST).fetch_all(pool).await?)?;
        if ids.len() >= usize::try_from(MOST).unwrap_or(usize::MAX) {
            *kept = Kept::default();
            return Ok(None);
        }
        let new: Vec<i64> = ids.into_iter().map(|(id,)| id).filter(|id| !kept.taken.contains(id)).collect();
        for some in new.chunks(AT_ONCE) {
            let list = id_list(some);
            let frames: Vec<(i64, i64, Vec<u8>)> = read!(self, |pool| sqlx::query_as(FRAMES).bind(&list).fetch_all(pool).await?)?;
            // Whoever asked may go away while we wait, so that from here on nothing waits.
            kept.add_frames(some, frames)?;
        }
        if kept.rolled != rolled {
            kept.rolled = rolled;
            kept.minutes = kept.minutes.split_off(&rolled.end.div_euclid(MINUTE_MS));
            kept.whole = None;
        }
        kept.looked = Some(Instant::now());
        Ok(Some(kept))
    }
}

/// Adds to a series.
pub(super) fn sum(sums: &mut HashMap<i64, Bucket>, id: i64, bucket: &Bucket) {
    match sums.entry(id) {
        Entry::Vacant(entry) => {
            entry.insert(bucket.clone());
        }
        Entry::Occupied(mut entry) => entry.get_mut().merge(bucket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(kept: &Kept, ids: &[i64], from: i64, to: i64) -> Vec<(i64, i64, Option<f64>)> {
        let mut found = Vec::new();
        kept.collect(ids, from, to, |id, at, bucket| found.push((id, at, bucket.value(0.5))));
        found
    }

    #[test]
    fn looks_become_minutes_whatever_their_series() {
        let mut kept = Kept::default();
        kept.add(5, 15_000, vec![(2, Point::Level(1.0)), (4, Point::Count(30.0))]);
        kept.add(5, 15_000, vec![(1, Point::Level(9.0)), (4, Point::Count(60.0)), (7, Point::Level(3.0))]);
        kept.add(6, 15_000, (1..=40).map(|id| (id, Point::Level(f64::from(u8::try_from(id).expect("small"))))).collect());
        let minute = 5 * MINUTE_MS;
        assert_eq!(collected(&kept, &[2, 4, 5], minute, minute + 1), [(2, minute, Some(1.0)), (4, minute, Some(3.0))]);
        assert_eq!(collected(&kept, &[1, 7], minute + MINUTE_MS, minute + 2 * MINUTE_MS).len(), 2, "few of many");
        assert_eq!(collected(&kept, &[7], 0, minute + 2 * MINUTE_MS).len(), 2);
        assert!(collected(&kept, &[7], minute, minute).is_empty());
        let whole = kept.whole();
        assert_eq!((whole.len(), whole[&2].value(0.5), whole[&7].value(0.5)), (40, Some(2.0), Some(7.0)), "the newest level");
        kept.add_frames(&[1], vec![(7 * MINUTE_MS, 15_000, packing::frame(&[(41, Point::Level(1.0))]).expect("packed"))]).expect("a frame");
        assert_eq!(kept.whole().len(), 41, "what came since is in");
    }
}
