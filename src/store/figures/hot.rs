//! The time that is not rolled up yet, by the minute and in memory: an hour of looks is read and decoded once, not with every page.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::packing;
use super::rollup::{HOUR_MS, MINUTE_MS};
use crate::metrics::bucket::{Bucket, Point};
use crate::metrics::minutes::Minutes;
use crate::model::figure::SeriesKey;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const UNTIL = "select until_hour, version, revised from figure_rollup where id = 1";
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
/// Kinds of many series in one that are kept; with more all are added up anew.
const MOST_MERGED: usize = 64;

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
    /// The last version that changed an hour that was rolled up before: what was read of such hours is true until the next.
    pub(super) revised: i64,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    looked: Option<Instant>,
    /// How far hours are rolled up.
    pub(super) rolled: Rolled,
    last_id: i64,
    /// Ids above `last_id - BEHIND` that are in.
    taken: BTreeSet<i64>,
    /// By id.
    series: HashMap<i64, Minutes>,
    /// Minutes in which anything was sampled.
    sampled: BTreeSet<u32>,
    /// What every series came to in all of these minutes, once somebody has asked.
    whole: Option<Arc<HashMap<i64, Bucket>>>,
    /// Many series in one, by what was asked for.
    merged: HashMap<SeriesKey, Merged>,
}

/// Series added up by the minute, for as long as nothing comes for it. Durations are histograms, and pages ask again and again.
#[derive(Debug, Default)]
struct Merged {
    /// How many they are, and the last one: a series that is new is in none of these minutes.
    of: (usize, Option<i64>),
    minutes: BTreeMap<u32, Option<Bucket>>,
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
            decoded.push((minute_of(taken_at), covers_ms.unsigned_abs(), points));
        }
        for (minute, covers_ms, points) in decoded {
            self.add(minute, covers_ms, points);
        }
        self.taken.extend(ids);
        self.last_id = self.last_id.max(ids.iter().copied().max().unwrap_or_default());
        self.taken = self.taken.split_off(&(self.last_id - BEHIND));
        Ok(())
    }

    fn add(&mut self, minute: u32, covers_ms: u64, points: Vec<(i64, Point)>) {
        self.sampled.insert(minute);
        for merged in self.merged.values_mut() {
            merged.minutes.remove(&minute);
        }
        for (id, point) in points {
            let (minutes, bucket) = (self.series.entry(id).or_default(), Bucket::of(point, covers_ms));
            if matches!(bucket, Bucket::Level { .. }) && minutes.newest() > Some(minute) {
                // Its newest level is that of a later minute.
                self.whole = None;
            }
            if let Some(whole) = &mut self.whole {
                sum(Arc::make_mut(whole), id, &bucket);
            }
            minutes.add(minute, bucket);
        }
    }

    /// What every series came to since the roll-up.
    pub(super) fn whole(&mut self) -> Arc<HashMap<i64, Bucket>> {
        let Self { whole, series, .. } = self;
        Arc::clone(whole.get_or_insert_with(|| {
            let mut sums = HashMap::with_capacity(series.len());
            for (id, minutes) in series {
                minutes.each(0, u32::MAX, |_, bucket| sum(&mut sums, *id, &bucket));
            }
            Arc::new(sums)
        }))
    }

    /// Calls `each` with the series that are wanted, the beginning of the minute and its bucket; minutes that overlap the time from
    /// `from` to `to`, of each series in order.
    pub(super) fn collect(&self, ids: &[i64], from: i64, to: i64, mut each: impl FnMut(i64, i64, Cow<'_, Bucket>)) {
        let (first, last) = (minute_of(from), minute_of(to - 1));
        for (id, minutes) in ids.iter().filter_map(|id| Some((*id, self.series.get(id)?))) {
            minutes.each(first, last, |minute, bucket| each(id, i64::from(minute) * MINUTE_MS, bucket));
        }
    }

    /// The same with all that are wanted (ids in order) in one, which `key` tells from others.
    pub(super) fn collect_merged(&mut self, key: SeriesKey, ids: &[i64], (from, to): (i64, i64), mut each: impl FnMut(i64, &Bucket)) {
        let (first, last) = (minute_of(from), minute_of(to - 1));
        if first > last {
            return;
        }
        if self.merged.len() >= MOST_MERGED && !self.merged.contains_key(&key) {
            self.merged.clear();
        }
        let of = (ids.len(), ids.last().copied());
        let mut merged = self.merged.remove(&key).filter(|merged| merged.of == of).unwrap_or(Merged { of, minutes: BTreeMap::new() });
        // Not those of all of the range, which may begin in 1970.
        let missing = self.sampled.range(first..=last).filter(|minute| !merged.minutes.contains_key(minute));
        let missing: Vec<u32> = missing.copied().collect();
        if let (Some(begin), Some(end)) = (missing.first(), missing.last()) {
            let mut sums: BTreeMap<u32, Option<Bucket>> = missing.iter().map(|minute| (*minute, None)).collect();
            for minutes in ids.iter().filter_map(|id| self.series.get(id)) {
                minutes.each(*begin, *end, |minute, bucket| {
                    if let Some(sum) = sums.get_mut(&minute) {
                        bucket.add_to(sum);
                    }
                });
            }
            merged.minutes.append(&mut sums);
        }
        for (minute, bucket) in merged.minutes.range(first..=last) {
            if let Some(bucket) = bucket {
                each(i64::from(*minute) * MINUTE_MS, bucket);
            }
        }
        self.merged.insert(key, merged);
    }

    /// What is rolled up is no longer kept here.
    fn forget_before(&mut self, rolled: Rolled) {
        let first = minute_of(rolled.end);
        self.series.retain(|_, minutes| minutes.forget_before(first));
        self.sampled = self.sampled.split_off(&first);
        for merged in self.merged.values_mut() {
            merged.minutes = merged.minutes.split_off(&first);
        }
        (self.rolled, self.whole) = (rolled, None);
    }
}

/// The minute in which a time lies, since 1970.
fn minute_of(at: i64) -> u32 {
    u32::try_from(at.div_euclid(MINUTE_MS).max(0)).unwrap_or(u32::MAX)
}

impl Store {
    /// How far hours are rolled up.
    pub(super) async fn rolled(&self) -> Result<Rolled, StoreError> {
        let (until, version, revised): (i64, i64, i64) = read!(self, |pool| sqlx::query_as(UNTIL).fetch_one(pool).await?)?;
        Ok(Rolled { end: until.saturating_mul(HOUR_MS), version, revised })
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
            kept.forget_before(rolled);
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
    use crate::model::figure::{Figure, Labels};

    fn collected(kept: &Kept, ids: &[i64], from: i64, to: i64) -> Vec<(i64, i64, Option<f64>)> {
        let mut found = Vec::new();
        kept.collect(ids, from, to, |id, at, bucket| found.push((id, at, bucket.value(0.5))));
        found
    }

    fn look(kept: &mut Kept, id: i64, minute: i64, points: &[(i64, Point)]) {
        kept.add_frames(&[id], vec![(minute * MINUTE_MS, 15_000, packing::frame(points).expect("packed"))]).expect("a frame");
    }

    #[test]
    fn looks_become_minutes_whatever_their_series() {
        let mut kept = Kept::default();
        kept.add(5, 15_000, vec![(2, Point::Level(1.0)), (4, Point::Count(30.0))]);
        kept.add(5, 15_000, vec![(1, Point::Level(9.0)), (4, Point::Count(60.0)), (7, Point::Level(3.0))]);
        kept.add(6, 15_000, (1..=40).map(|id| (id, Point::Level(f64::from(u8::try_from(id).expect("small"))))).collect());
        let minute = 5 * MINUTE_MS;
        assert_eq!(collected(&kept, &[2, 4, 5], minute, minute + 1), [(2, minute, Some(1.0)), (4, minute, Some(3.0))]);
        assert_eq!(collected(&kept, &[1, 7], minute + MINUTE_MS, minute + 2 * MINUTE_MS).len(), 2);
        assert_eq!(collected(&kept, &[7], 0, minute + 2 * MINUTE_MS).len(), 2);
        assert!(collected(&kept, &[7], minute, minute).is_empty());
        let whole = kept.whole();
        assert_eq!((whole.len(), whole[&2].value(0.5), whole[&7].value(0.5)), (40, Some(2.0), Some(7.0)), "the newest level");
        look(&mut kept, 1, 7, &[(2, Point::Level(5.0)), (41, Point::Level(1.0))]);
        let newest = |kept: &mut Kept| match kept.whole()[&2] {
            Bucket::Level { samples, last, .. } => (samples, last),
            _ => panic!("a level"),
        };
        assert_eq!((kept.whole().len(), newest(&mut kept)), (41, (3, 5.0)), "what came since is in");
        assert_eq!((whole.len(), whole[&2].value(0.5)), (40, Some(2.0)), "and changes nothing for who has read before");
        look(&mut kept, 2, 6, &[(2, Point::Level(4.0))]);
        assert_eq!(newest(&mut kept), (4, 5.0), "what comes late is not the newest");
        kept.forget_before(Rolled { end: 7 * MINUTE_MS, ..Rolled::default() });
        assert_eq!((kept.whole().len(), newest(&mut kept)), (2, (1, 5.0)));
    }

    #[test]
    fn many_in_one_are_what_they_are_one_by_one() {
        let mut kept = Kept::default();
        let key = SeriesKey { figure: Figure::SpansPerSecond, labels: Labels::default() };
        let read = |kept: &mut Kept, ids: &[i64], from: i64, to: i64| {
            let mut found = Vec::new();
            let range = (from * MINUTE_MS, to * MINUTE_MS);
            kept.collect_merged(key.clone(), ids, range, |at, bucket| found.push((at / MINUTE_MS, bucket.count())));
            found
        };
        look(&mut kept, 1, 5, &[(1, Point::Count(1.0)), (2, Point::Count(10.0)), (3, Point::Count(100.0))]);
        look(&mut kept, 2, 7, &[(1, Point::Count(2.0))]);
        assert_eq!(read(&mut kept, &[1, 2], 5, 6), [(5, 11.0)]);
        assert_eq!(read(&mut kept, &[1, 2], 0, 99), [(5, 11.0), (7, 2.0)]);
        look(&mut kept, 3, 7, &[(2, Point::Count(20.0)), (3, Point::Count(7.0))]);
        look(&mut kept, 4, 6, &[(1, Point::Count(3.0))]);
        assert_eq!(read(&mut kept, &[1, 2], 0, 99), [(5, 11.0), (6, 3.0), (7, 22.0)], "what came since, also late");
        assert_eq!(read(&mut kept, &[1, 2, 3], 0, 99), [(5, 111.0), (6, 3.0), (7, 29.0)], "a series more");
        kept.forget_before(Rolled { end: 6 * MINUTE_MS, ..Rolled::default() });
        assert_eq!(read(&mut kept, &[1, 2, 3], 0, 99), [(6, 3.0), (7, 29.0)]);
        assert!(read(&mut kept, &[1], 9, 8).is_empty());
        // Nothing was ever rolled up, and somebody asks for all time.
        let today = 29_000_000;
        look(&mut kept, 5, today, &[(1, Point::Count(4.0))]);
        assert_eq!(read(&mut kept, &[1], 0, today + 1), [(6, 3.0), (7, 2.0), (today, 4.0)]);
        assert!(kept.merged.values().all(|merged| merged.minutes.len() <= 3), "a minute of which nobody has samples takes no room");
    }
}
