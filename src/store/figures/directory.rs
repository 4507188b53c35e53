//! All series by figure, in memory: pages ask for them again and again, and there are thousands at most that grow slowly.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::SeriesRow;
use crate::model::figure::{Figure, Labels};
use crate::store::{Store, StoreError};

statements! {
    const EXTENT = "select count(*), cast(coalesce(sum(id), 0) as bigint) from series";
    const ALL = "select id, bus, topic, consumer_group, service, operation, fingerprint, status, figure from series order by id";
}

/// What other instances have added is seen after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Ids and labels of a figure's series, by id.
pub(in crate::store) type Known = Arc<Vec<(i64, Labels)>>;

/// What was read, and when.
#[derive(Debug, Default)]
pub(in crate::store) struct Directory {
    kept: tokio::sync::Mutex<Kept>,
    /// We have added or removed some ourselves.
    outdated: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    looked: Option<Instant>,
    extent: (i64, i64),
    by_figure: HashMap<i16, Known>,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    series: SeriesRow,
    figure: i16,
}

impl Directory {
    /// A series was added or removed by this process.
    pub(in crate::store) fn changed(&self) {
        self.outdated.store(true, Ordering::Release);
    }
}

impl Store {
    /// All series of a figure, by id.
    pub(super) async fn known_series(&self, figure: Figure) -> Result<Known, StoreError> {
        let directory = &self.inner.caches.directory;
        let mut kept = directory.kept.lock().await;
        let outdated = directory.outdated.swap(false, Ordering::AcqRel);
        if outdated || kept.looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            let extent: (i64, i64) = read!(self, |pool| sqlx::query_as(EXTENT).fetch_one(pool).await?)?;
            if kept.looked.is_none() || extent != kept.extent {
                let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(ALL).fetch_all(pool).await?)?;
                let mut by_figure: HashMap<i16, Vec<(i64, Labels)>> = HashMap::new();
                for row in rows {
                    by_figure.entry(row.figure).or_default().push(row.series.into_labels());
                }
                kept.by_figure = by_figure.into_iter().map(|(figure, series)| (figure, Arc::new(series))).collect();
                kept.extent = extent;
            }
            kept.looked = Some(Instant::now());
        }
        Ok(kept.by_figure.get(&figure.code()).cloned().unwrap_or_default())
    }
}
