//! The newest look of each source: what levels are now.

use std::collections::BTreeMap;

use super::packing;
use crate::metrics::bucket::Point;
use crate::model::Timestamp;
use crate::model::figure::{Figure, Labels};
use crate::store::{Store, StoreError};

statements! {
    const SOURCES = "select id, source, taken_at from figure_frames where taken_at >= $1 and taken_at <= $2 order by taken_at, id";
    const BEFORE = "select max(taken_at) from figure_frames where taken_at < $1";
    const POINTS = "select points from figure_frames where id = $1";
}

/// A frame by our id, and when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestFrame {
    /// Our id.
    pub id: i64,
    /// When it was taken.
    pub taken_at: Timestamp,
}

impl Store {
    /// The newest frame of each source that has looked from `from` to `to`: the one that was written last. After a clock went back that is
    /// not the one with the latest time.
    pub async fn newest_frames(&self, from: Timestamp, to: Timestamp) -> Result<BTreeMap<String, NewestFrame>, StoreError> {
        let rows: Vec<(i64, String, i64)> =
            read!(self, |pool| sqlx::query_as(SOURCES).bind(from.as_millis()).bind(to.as_millis()).fetch_all(pool).await?)?;
        let mut newest: BTreeMap<String, NewestFrame> = BTreeMap::new();
        for (id, source, at) in rows {
            let frame = NewestFrame { id, taken_at: Timestamp::from_millis(at) };
            let known = newest.entry(source).or_insert(frame);
            if known.id < id {
                *known = frame;
            }
        }
        Ok(newest)
    }

    /// When which source has looked, from `from` to `to`.
    pub async fn list_frame_times(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(i64, String, i64)> =
            read!(self, |pool| sqlx::query_as(SOURCES).bind(from.as_millis()).bind(to.as_millis()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(_, source, at)| (source, Timestamp::from_millis(at))).collect())
    }

    /// When the newest frame before `until` was taken, by whatever source; `None` when there is none, or it is kept no more.
    pub async fn newest_frame_before(&self, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let (at,): (Option<i64>,) = read!(self, |pool| sqlx::query_as(BEFORE).bind(until.as_millis()).fetch_one(pool).await?)?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Levels of a frame by our id of their series; none when the frame is gone.
    pub async fn frame_levels(&self, frame: i64) -> Result<Vec<(i64, f64)>, StoreError> {
        let row: Option<(Vec<u8>,)> = read!(self, |pool| sqlx::query_as(POINTS).bind(frame).fetch_optional(pool).await?)?;
        let Some((points,)) = row else { return Ok(Vec::new()) };
        let points = packing::points(&points, |_| true)?;
        let level = |(id, point)| if let Point::Level(value) = point { Some((id, value)) } else { None };
        Ok(points.into_iter().filter_map(level).collect())
    }

    /// All series of a figure with our ids, by id.
    pub async fn series_of(&self, figure: Figure) -> Result<std::sync::Arc<Vec<(i64, Labels)>>, StoreError> {
        self.known_series(figure).await
    }
}
