//! Figures over time: series, and the frames in which samples arrive. [`rollup`] turns an hour of frames into minutes and hours by
//! series, [`mod@read`] reads whichever of the three fits.
//!
//! Who samples calls [`Store::figure_source`] once for where it stands, then [`Store::add_frame`] after each look: a frame covers the
//! time since the one before, so that time is covered once, whoever looks, and across restarts.

use super::error::contradiction;
use super::rows::clean;
use super::{Store, StoreError};
use crate::lifecycle::failpoint;
use crate::metrics::bucket::Point;
use crate::model::figure::{Labels, SeriesKey};
use crate::model::{BusId, GroupName, Timestamp, TopicName};

pub(super) mod directory;
pub mod ended;
pub(super) mod hot;
pub mod late;
pub mod letters;
pub mod merged;
pub mod newest;
pub mod packing;
pub(super) mod pieces;
pub mod read;
pub mod recent;
pub(super) mod rolled;
pub mod rollup;
pub mod totals;
pub mod window;

statements! {
    const FIND_SERIES = "select id from series where figure = $1 and bus = $2 and topic = $3 and consumer_group = $4 and service = $5 \
        and operation = $6 and fingerprint = $7 and status = $8 and silent_since is null";
    const ADD_SERIES = "insert into series (figure, bus, topic, consumer_group, service, operation, fingerprint, status) \
        values ($1, $2, $3, $4, $5, $6, $7, $8) \
        on conflict (figure, bus, topic, consumer_group, service, operation, fingerprint, status) \
        do update set silent_since = null returning id";
    const SOURCE = "select taken_at, state from figure_sources where source = $1";
    const BEGIN = "insert into figure_sources (source, taken_at, state) values ($1, $2, $3) on conflict (source) do nothing";
    const MOVE_ON = "update figure_sources set taken_at = $3, state = $4 where source = $1 and taken_at = $2";
    const ADD_FRAME = "insert into figure_frames (source, taken_at, covers_ms, rolled, points) values ($1, $2, $3, false, $4)";
    const ADD_SNAPSHOT = "insert into figure_snapshots (source, taken_at, state) values ($1, $2, $3) \
        on conflict (source, taken_at) do nothing";
    const SNAPSHOTS = "select taken_at, state from figure_snapshots where source = $1 and taken_at >= $2 \
        and (taken_at >= $3 or (taken_at / 60000) % 8 = 0) order by taken_at";
    const PRUNE_SNAPSHOTS = "delete from figure_snapshots where (source, taken_at) in \
        (select source, taken_at from figure_snapshots where taken_at < $1 order by taken_at limit $2)";
}

/// Source of what spans tell: it has no other figures than [`crate::model::figure::Figure::is_of_spans`] says.
pub const SPANS: &str = "spans";
/// Labels are cut here: names that headers or spans claim may be of any length, and an index entry may not.
const LONGEST_LABEL: usize = 500;
/// Snapshots of this last time are all read again.
const RECENT: std::time::Duration = std::time::Duration::from_mins(15);

/// What one look brought.
#[derive(Debug, Clone)]
pub struct NewFrame<'a> {
    /// Who looked; one writer at a time moves a source on.
    pub source: &'a str,
    /// When the source's frame before was taken; `None` for its first.
    pub after: Option<Timestamp>,
    /// When this one was taken.
    pub taken_at: Timestamp,
    /// Samples; counts are those since `after`.
    pub points: Vec<(SeriesKey, Point)>,
    /// What the source needs to go on from here after a restart.
    pub state: Option<Vec<u8>>,
    /// Whether `state` is also kept as a snapshot.
    pub snapshot: bool,
}

/// Binds what a series is told by.
macro_rules! with_labels {
    ($query:expr, $key:expr) => {
        $query
            .bind(i32::from($key.figure.code()))
            .bind(label($key.labels.bus.as_ref().map(BusId::as_str)))
            .bind(label($key.labels.topic.as_ref().map(TopicName::as_str)))
            .bind(label($key.labels.consumer_group.as_ref().map(GroupName::as_str)))
            .bind(label($key.labels.service.as_deref()))
            .bind(label($key.labels.operation.as_deref()))
            .bind(label($key.labels.fingerprint.as_deref()))
            .bind(label($key.labels.status.as_deref()))
    };
}

impl Store {
    /// Where a source stands: when its last frame was taken, and what it had kept with it.
    pub async fn figure_source(&self, source: &str) -> Result<Option<(Timestamp, Option<Vec<u8>>)>, StoreError> {
        let source = clean(source);
        let row: Option<(i64, Option<Vec<u8>>)> = read!(self, |pool| sqlx::query_as(SOURCE).bind(&source).fetch_optional(pool).await?)?;
        Ok(row.map(|(taken_at, state)| (Timestamp::from_millis(taken_at), state)))
    }

    /// Adds a frame. `false` when somebody else has moved the source on meanwhile: nothing was written, and the caller must ask again
    /// where it stands.
    pub async fn add_frame(&self, new: NewFrame<'_>) -> Result<bool, StoreError> {
        let source = clean(new.source);
        debug_assert!(
            new.source != SPANS || new.points.iter().all(|(key, _)| key.figure.is_of_spans()),
            "whoever reads others passes it over"
        );
        let mut points = Vec::with_capacity(new.points.len());
        for (key, point) in new.points {
            points.push((self.series_id(&key).await?, point));
        }
        points.sort_by_key(|(id, _)| *id);
        let (bytes, taken_at) = (packing::frame(&points)?, new.taken_at.as_millis());
        let after = new.after.map(Timestamp::as_millis);
        let covers_ms = after.map_or(0, |after| taken_at.saturating_sub(after).max(0));
        let moved = in_transaction!(self, |tx| {
            let moved = match after {
                None => sqlx::query(BEGIN).bind(&source).bind(taken_at).bind(&new.state).execute(&mut *tx).await?.rows_affected(),
                Some(after) => {
                    let query = sqlx::query(MOVE_ON).bind(&source).bind(after).bind(taken_at).bind(&new.state);
                    query.execute(&mut *tx).await?.rows_affected()
                }
            };
            if moved == 1 && !points.is_empty() {
                sqlx::query(ADD_FRAME).bind(&source).bind(taken_at).bind(covers_ms).bind(&bytes).execute(&mut *tx).await?;
                failpoint::pass("figures.frame");
            }
            if moved == 1 && new.snapshot {
                sqlx::query(ADD_SNAPSHOT)
                    .bind(&source)
                    .bind(taken_at)
                    .bind(new.state.as_deref().unwrap_or_default())
                    .execute(&mut *tx)
                    .await?;
            }
            moved == 1
        });
        self.inner.caches.hot.moved();
        Ok(moved)
    }

    /// Snapshots of a source since `from`: all of the last quarter of an hour before `now`, and one in eight minutes of before.
    pub async fn list_snapshots(&self, source: &str, from: Timestamp, now: Timestamp) -> Result<Vec<(Timestamp, Vec<u8>)>, StoreError> {
        let (source, recent) = (clean(source), now.minus(RECENT).as_millis());
        let rows: Vec<(i64, Vec<u8>)> =
            read!(self, |pool| sqlx::query_as(SNAPSHOTS).bind(&source).bind(from.as_millis()).bind(recent).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(at, state)| (Timestamp::from_millis(at), state)).collect())
    }

    /// Removes at most `limit` snapshots from before `before`.
    pub async fn prune_snapshots(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE_SNAPSHOTS).bind(before.as_millis()).bind(i64::from(limit))))
    }

    /// Our id of a series, made when it is new.
    async fn series_id(&self, key: &SeriesKey) -> Result<i64, StoreError> {
        if let Some(id) = self.inner.caches.series.get(key) {
            return Ok(id);
        }
        // Mostly there, and reading takes nobody's turn to write.
        let found: Option<(i64,)> = read!(self, |pool| with_labels!(sqlx::query_as(FIND_SERIES), key).fetch_optional(pool).await?)?;
        let (id,) = if let Some(found) = found {
            found
        } else {
            let added: Option<(i64,)> = returned!(self, with_labels!(sqlx::query_as(ADD_SERIES), key))?;
            self.inner.caches.directory.changed();
            added.ok_or_else(|| contradiction("series without an id"))?
        };
        self.inner.caches.series.insert(key.clone(), id);
        Ok(id)
    }
}

/// A label as it stands in the store: `''` when it does not apply.
pub(in crate::store) fn label(value: Option<&str>) -> String {
    let mut value = clean(value.unwrap_or_default());
    if value.len() > LONGEST_LABEL {
        let cut = (0..=LONGEST_LABEL).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        value.truncate(cut);
    }
    value
}

/// A row of `series`.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct SeriesRow {
    pub(in crate::store) id: i64,
    bus: String,
    topic: String,
    consumer_group: String,
    service: String,
    operation: String,
    fingerprint: String,
    status: String,
}

impl SeriesRow {
    pub(in crate::store) fn into_labels(self) -> (i64, Labels) {
        let some = |value: String| (!value.is_empty()).then_some(value);
        let labels = Labels {
            bus: some(self.bus).map(BusId::new),
            topic: some(self.topic).map(TopicName::new),
            consumer_group: some(self.consumer_group).map(GroupName::new),
            service: some(self.service),
            operation: some(self.operation),
            fingerprint: some(self.fingerprint),
            status: some(self.status),
        };
        (self.id, labels)
    }
}
