//! Series that end: those whose last hour is past its time, such as of topics and consumer groups that were there for a day. A series
//! without minutes and hours is first marked, also a new one before its first hour is rolled up. A day later, when still nothing stands
//! there and no samples wait to be rolled up, it goes. Whoever writes a sample of a marked series unmarks it; a process remembers ids for
//! half of that day at most ([`MEMORY`]), so that nobody writes samples of a series that is gone.

use std::time::{Duration, Instant};

use crate::model::Timestamp;
use crate::model::figure::SeriesKey;
use crate::store::caches::Cache;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const SILENT = "select s.id from series s where s.id > $1 and s.silent_since is null \
        and not exists (select 1 from figure_hours h where h.series_id = s.id) \
        and not exists (select 1 from figure_minutes m where m.series_id = s.id) order by s.id limit $2";
    const MARK = "update series set silent_since = $1 where silent_since is null \
        and id in (select cast(value as bigint) from json_each(cast($2 as text)))";
    /// The newest stays, so that no id is given twice; and all stay while frames from before `$3` wait to be rolled up. The mark is asked
    /// for twice: one that was taken away meanwhile is seen by the outer one.
    const DROP = "delete from series where silent_since < $1 and id in (select s.id from series s where s.silent_since < $1 \
        and s.id < (select max(id) from series) and not exists (select 1 from figure_hours h where h.series_id = s.id) \
        and not exists (select 1 from figure_minutes m where m.series_id = s.id) \
        and not exists (select 1 from figure_frames where not rolled and taken_at < $3) limit $2)";
}

/// From the mark to the end.
pub const SILENCE: Duration = Duration::from_hours(24);
/// How long ids are remembered at most, by either clock: one stands still while a machine sleeps, the other can be set.
const MEMORY: Duration = Duration::from_hours(12);
/// Samples that an id was remembered for are rolled up this long after.
const ROLLED_AFTER: Duration = Duration::from_hours(2);
/// Series that are marked at once.
const MARKED: i64 = 500;

/// Ids of series, each for a while.
#[derive(Debug)]
pub(in crate::store) struct SeriesIds(Cache<SeriesKey, (i64, Instant, Timestamp)>);

impl SeriesIds {
    pub(in crate::store) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// The id of a series, when it is remembered.
    pub(super) fn get(&self, key: &SeriesKey) -> Option<i64> {
        self.get_at(key, Instant::now(), Timestamp::now())
    }

    /// They are forgotten one after the other, and not all with one look.
    fn get_at(&self, key: &SeriesKey, now: Instant, at: Timestamp) -> Option<i64> {
        let (id, since, since_at) = self.0.get(key)?;
        let memory = MEMORY / 2 + MEMORY / 2 * u32::try_from(id.rem_euclid(1_024)).unwrap_or(0) / 1_024;
        (now.duration_since(since) < memory && since_at.age_at(at) < memory).then_some(id)
    }

    /// Remembers a committed id.
    pub(super) fn insert(&self, key: SeriesKey, id: i64) {
        self.0.extend([(key, (id, Instant::now(), Timestamp::now()))]);
    }

    fn clear(&self) {
        self.0.clear();
    }
}

impl Store {
    /// Marks series that have nothing left.
    pub async fn mark_silent_series(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut last = 0;
        loop {
            let ids: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(SILENT).bind(last).bind(MARKED).fetch_all(pool).await?)?;
            let ids: Vec<i64> = ids.into_iter().map(|(id,)| id).collect();
            let Some(highest) = ids.last() else { return Ok(()) };
            last = *highest;
            touched!(self, sqlx::query(MARK).bind(now.as_millis()).bind(id_list(&ids)));
        }
    }

    /// Removes at most `limit` series that were marked before `before` ([`SILENCE`] ago) and that nothing was written for since.
    pub async fn prune_series(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let waiting = before.plus(MEMORY + ROLLED_AFTER).as_millis();
        let gone = touched!(self, sqlx::query(DROP).bind(before.as_millis()).bind(i64::from(limit)).bind(waiting));
        if gone > 0 {
            self.inner.caches.series.clear();
            self.inner.caches.directory.changed();
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figure::{Figure, Labels};

    #[test]
    fn an_id_is_forgotten_by_either_clock_and_not_all_at_once() {
        let ids = SeriesIds::new(64);
        let key = |number: i64| SeriesKey {
            figure: Figure::TopicMessagesPerSecond,
            labels: Labels { service: Some(number.to_string()), ..Labels::default() },
        };
        (0..4).for_each(|number| ids.insert(key(number), number * 256));
        let (now, at) = (Instant::now(), Timestamp::now());
        let left = |hours: u64, clock: u64| {
            let now = now + Duration::from_hours(hours);
            (0..4).filter(|number| ids.get_at(&key(*number), now, at.plus(Duration::from_hours(clock))).is_some()).count()
        };
        assert_eq!([left(0, 0), left(5, 5), left(7, 7), left(9, 9), left(12, 12)], [4, 4, 3, 1, 0]);
        assert_eq!([left(12, 0), left(0, 12)], [0, 0]);
    }
}
