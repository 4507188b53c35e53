//! Minutes and hours from frames. An hour is rolled up as a whole from all of its frames and replaces what stood there: doing it again,
//! after a crash or beside another instance, changes nothing. A frame that comes late makes its hour due again.

use std::collections::BTreeMap;

use super::packing;
use crate::lifecycle::failpoint;
use crate::metrics::bucket::{Bucket, Buckets};
use crate::metrics::frame;
use crate::model::Timestamp;
use crate::store::error::contradiction;
use crate::store::{Store, StoreError};

statements! {
    const DUE = "select min(taken_at) from figure_frames where not rolled and taken_at < $1";
    const FRAMES = "select id, covers_ms, taken_at, points from figure_frames where taken_at >= $1 and taken_at < $2 order by taken_at, id";
    const COUNT = "select count(*) from figure_frames where taken_at >= $1 and taken_at < $2";
    const SET_MINUTES = "insert into figure_minutes (series_id, hour, buckets) values ($1, $2, $3) \
        on conflict (series_id, hour) do update set buckets = excluded.buckets";
    /// Holds other instances off until the commit: a day's hours lie in one row, which is read, changed and written.
    const TURN = "update figure_rollup set version = version where id = 1";
    const DAY = "select buckets from figure_hours where series_id = $1 and day = $2";
    const SET_HOURS = "insert into figure_hours (series_id, day, buckets) values ($1, $2, $3) \
        on conflict (series_id, day) do update set buckets = excluded.buckets";
    const ROLLED = "update figure_frames set rolled = true where taken_at >= $1 and taken_at < $2 and id <= $3";
    const UNTIL = "update figure_rollup set revised = case when until_hour < $1 then revised else version + 1 end, \
        until_hour = case when until_hour < $1 then $1 else until_hour end, version = version + 1 where id = 1";
    const PRUNE_FRAMES = "delete from figure_frames where id in \
        (select id from figure_frames where rolled and taken_at < $1 order by taken_at limit $2)";
    const PRUNE_MINUTES = "delete from figure_minutes where (series_id, hour) in \
        (select series_id, hour from figure_minutes where hour < $1 order by hour limit $2)";
    const PRUNE_HOURS = "delete from figure_hours where (series_id, day) in \
        (select series_id, day from figure_hours where day < $1 order by day limit $2)";
}

pub(in crate::store) const MINUTE_MS: i64 = 60_000;
pub(in crate::store) const HOUR_MS: i64 = 3_600_000;
/// An hour's last frames are given so long to arrive.
const GRACE_MS: i64 = 60_000;
/// Series whose hour is computed together, and those that are written in one transaction.
const COMPUTED: usize = 2_000;
const WRITTEN: usize = 200;

pub(in crate::store) struct Hour {
    number: i64,
    frames: Vec<(i64, i64, i64, Vec<u8>)>,
}

impl Hour {
    const fn from(&self) -> i64 {
        self.number * HOUR_MS
    }

    const fn to(&self) -> i64 {
        (self.number + 1) * HOUR_MS
    }

    /// Every series that has samples in this hour.
    fn series(&self) -> Result<Vec<i64>, StoreError> {
        let mut all = std::collections::BTreeSet::new();
        for (.., points) in &self.frames {
            frame::decode(points, |series| {
                all.insert(series);
                false
            })
            .map_err(|error| contradiction(format!("a frame: {error}")))?;
        }
        Ok(all.into_iter().collect())
    }

    /// Minutes of these series, which are in ascending order.
    fn minutes(&self, series: &[i64]) -> Result<BTreeMap<i64, Buckets>, StoreError> {
        let mut minutes: BTreeMap<i64, Buckets> = BTreeMap::new();
        for (_, covers_ms, taken_at, points) in &self.frames {
            let minute = u32::try_from(taken_at.rem_euclid(HOUR_MS) / MINUTE_MS).expect("a minute of an hour");
            let points = frame::decode(points, |id| series.binary_search(&id).is_ok());
            for (id, point) in points.map_err(|error| contradiction(format!("a frame: {error}")))? {
                minutes.entry(id).or_default().add(minute, Bucket::of(point, covers_ms.unsigned_abs()));
            }
        }
        Ok(minutes)
    }
}

impl Store {
    /// Rolls up the oldest hour that is over and due. `false` when none is.
    pub async fn roll_up_figures(&self, now: Timestamp) -> Result<bool, StoreError> {
        let over = (now.as_millis() - GRACE_MS).div_euclid(HOUR_MS) * HOUR_MS;
        let (due,): (Option<i64>,) = read!(self, |pool| sqlx::query_as(DUE).bind(over).fetch_one(pool).await?)?;
        let Some(due) = due else { return Ok(false) };
        let number = due.div_euclid(HOUR_MS);
        let (from, to) = (number * HOUR_MS, (number + 1) * HOUR_MS);
        let mut frames: Vec<(i64, i64, i64, Vec<u8>)> =
            read!(self, |pool| sqlx::query_as(FRAMES).bind(from).bind(to).fetch_all(pool).await?)?;
        for (.., points) in &mut frames {
            *points = packing::unpacked(std::mem::take(points))?;
        }
        let hour = Hour { number, frames };
        let newest = hour.frames.iter().map(|(id, ..)| *id).max().unwrap_or(0);
        for series in hour.series()?.chunks(COMPUTED) {
            let minutes: Vec<(i64, Buckets)> = hour.minutes(series)?.into_iter().collect();
            for some in minutes.chunks(WRITTEN) {
                // A frame that came since makes what was computed old; the hour is due again.
                if !write_on!(self, write(&hour, some)) {
                    return Ok(true);
                }
                failpoint::pass("figures.rollup");
            }
        }
        in_transaction!(self, |tx| {
            sqlx::query(ROLLED).bind(from).bind(to).bind(newest).execute(&mut *tx).await?;
            sqlx::query(UNTIL).bind(number + 1).execute(&mut *tx).await?;
        });
        self.inner.caches.hot.moved();
        Ok(true)
    }

    /// Removes at most `limit` frames from before `before` that stand in minutes and hours.
    pub async fn prune_frames(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE_FRAMES).bind(before.as_millis()).bind(i64::from(limit))))
    }

    /// Removes at most `limit` rows of minutes from before `before`.
    pub async fn prune_figure_minutes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let gone = touched!(self, sqlx::query(PRUNE_MINUTES).bind(before.as_millis().div_euclid(HOUR_MS)).bind(i64::from(limit)));
        self.forget_rolled(gone);
        Ok(gone)
    }

    /// Removes at most `limit` rows of hours from before `before`.
    pub async fn prune_figure_hours(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let gone = touched!(self, sqlx::query(PRUNE_HOURS).bind(before.as_millis().div_euclid(24 * HOUR_MS)).bind(i64::from(limit)));
        self.forget_rolled(gone);
        Ok(gone)
    }

    /// What pages remember of rolled up hours, when some of them are gone.
    fn forget_rolled(&self, gone: u64) {
        if gone > 0 {
            self.inner.caches.totals.clear();
            self.inner.caches.rolled_steps.clear();
            self.inner.caches.merged_steps.clear();
        }
    }
}

engines! {
    /// Writes minutes and hours of some series; `false` when the hour has another number of frames than they were computed from.
    pub(in crate::store) async fn write(tx: &mut Connection, hour: &Hour, minutes: &[(i64, Buckets)]) -> Result<bool, StoreError> {
        sqlx::query(TURN).execute(&mut *tx).await?;
        let (frames,): (i64,) = sqlx::query_as(COUNT).bind(hour.from()).bind(hour.to()).fetch_one(&mut *tx).await?;
        if usize::try_from(frames).ok() != Some(hour.frames.len()) {
            return Ok(false);
        }
        let (day, of_day) = (hour.number.div_euclid(24), u32::try_from(hour.number.rem_euclid(24)).expect("an hour of a day"));
        for (series, buckets) in minutes {
            sqlx::query(SET_MINUTES).bind(series).bind(hour.number).bind(packing::buckets(buckets)?).execute(&mut *tx).await?;
            let stored: Option<(Vec<u8>,)> = sqlx::query_as(DAY).bind(series).bind(day).fetch_optional(&mut *tx).await?;
            let mut hours = match stored {
                Some((bytes,)) => packing::read(&bytes)?,
                None => Buckets::default(),
            };
            if let Some(total) = buckets.total() {
                hours.0.insert(of_day, total);
            }
            sqlx::query(SET_HOURS).bind(series).bind(day).bind(packing::buckets(&hours)?).execute(&mut *tx).await?;
        }
        Ok(true)
    }
}
