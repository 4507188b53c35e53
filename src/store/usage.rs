//! How much lies in the store, and whether that is too much.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::dialect::Db;
use super::{Store, StoreError, StoreUsage};
use crate::model::Timestamp;

statements! {
    const LETTERS = "select coalesce(cast(sum(open + replaying + replayed + resolved + failed_again + discarded) as bigint), 0), \
        count(*) from facets";
    const WITHOUT_CUSTODY = "select count(*) from dead_letters where custody_problem is not null";
    const OLDEST = "select indexed_at from dead_letters order by id limit 1";
    const GROUPS = "select count(*) from failure_groups";
    const TRACES = "select count(*) from stack_traces";
    const BLOCKS = "select count(*) from search_blocks";
    const AUDIT = "select count(*) from audit";
}

/// What a dead letter takes beside its compressed content: its row and its entries in indexes, about. Facets sum up both.
pub(super) const ROW_BYTES: i64 = 800;

/// Size of a SQLite database without its free pages.
const SQLITE_SIZE: &str = "select (c.page_count - f.freelist_count) * s.page_size \
    from pragma_page_count() c, pragma_freelist_count() f, pragma_page_size() s";
/// PostgreSQL keeps the pages of removed rows for new ones and does not tell how many these are: the size of the database, that of the
/// tables which shrink and grow with dead letters, and what these hold now.
const POSTGRES_SIZE: &str = "select pg_database_size(current_database()), \
    cast((select sum(pg_total_relation_size(cast(name as regclass))) \
    from unnest(array['dead_letters', 'custody', 'stack_traces', 'search_blocks']) as name) as bigint), \
    coalesce((select cast(sum(bytes) as bigint) from facets), 0), most_held_bytes, bytes_at_most from installation where id = 1";
const POSTGRES_MOST: &str = "update installation set most_held_bytes = $1, bytes_at_most = $2 where id = 1 and most_held_bytes <= $1";
const POSTGRES_VACUUM: &str = "vacuum dead_letters, custody, stack_traces, search_blocks, facets";

/// The size is looked up again after so many milliseconds.
const REFRESH_MILLIS: i64 = 2_000;

/// Compares the size with the configured limit; once full, the store stays full until it has shrunk by a twentieth.
#[derive(Debug)]
pub(super) struct Fullness {
    max_bytes: Option<u64>,
    used: AtomicU64,
    full: AtomicBool,
    looked_at: AtomicI64,
}

impl Fullness {
    pub(super) const fn new(max_bytes: Option<u64>) -> Self {
        Self { max_bytes, used: AtomicU64::new(0), full: AtomicBool::new(false), looked_at: AtomicI64::new(i64::MIN) }
    }

    fn note(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
        let Some(max) = self.max_bytes else { return };
        if used >= max {
            self.full.store(true, Ordering::Relaxed);
        } else if used < max - max / 20 {
            self.full.store(false, Ordering::Relaxed);
        }
    }

    fn verdict(&self) -> Result<(), StoreError> {
        match self.max_bytes {
            Some(max) if self.full.load(Ordering::Relaxed) => {
                let used = self.used.load(Ordering::Relaxed);
                Err(StoreError::Full(format!("{used} bytes of store_max_bytes = {max} are in use; indexing waits until there is room")))
            }
            _ => Ok(()),
        }
    }
}

impl Store {
    /// What lies in it.
    pub async fn usage(&self) -> Result<StoreUsage, StoreError> {
        let used_bytes = self.used_bytes().await?;
        self.inner.fullness.note(used_bytes);
        let (letters, facets): (i64, i64) = read!(self, |pool| sqlx::query_as(LETTERS).fetch_one(pool).await?)?;
        let oldest: Option<(i64,)> = read!(self, |pool| sqlx::query_as(OLDEST).fetch_optional(pool).await?)?;
        let mut rows = BTreeMap::from([("facets".to_owned(), facets.unsigned_abs())]);
        for (noun, statement) in [("failure_groups", GROUPS), ("stack_traces", TRACES), ("search_blocks", BLOCKS), ("audit", AUDIT)] {
            rows.insert(noun.to_owned(), self.count_rows(statement).await?);
        }
        Ok(StoreUsage {
            engine: self.inner.db.engine().to_owned(),
            used_bytes,
            max_bytes: self.inner.fullness.max_bytes,
            disk_free_bytes: self.inner.folder.as_deref().and_then(disk_free_bytes),
            dead_letters: letters.unsigned_abs(),
            without_custody: self.count_rows(WITHOUT_CUSTODY).await?,
            oldest: oldest.map(|(at,)| Timestamp::from_millis(at)),
            rows,
        })
    }

    /// [`StoreError::Full`] when the configured size is reached.
    pub async fn check_space(&self) -> Result<(), StoreError> {
        self.check_fullness().await
    }

    /// [`StoreError::Full`] when the disk of a SQLite file has no room for a batch.
    pub(super) fn check_disk(&self) -> Result<(), StoreError> {
        match self.inner.folder.as_deref().and_then(disk_free_bytes) {
            Some(free) if free < LEAST_FREE_BYTES => Err(StoreError::Full(format!("its disk has {free} bytes left"))),
            _ => Ok(()),
        }
    }

    /// See [`Self::check_space`].
    pub(super) async fn check_fullness(&self) -> Result<(), StoreError> {
        let fullness = &self.inner.fullness;
        if fullness.max_bytes.is_none() {
            return Ok(());
        }
        let now = Timestamp::now().as_millis();
        if now.saturating_sub(fullness.looked_at.load(Ordering::Relaxed)) >= REFRESH_MILLIS {
            fullness.note(self.used_bytes().await?);
            fullness.looked_at.store(now, Ordering::Relaxed);
        }
        fullness.verdict()
    }

    /// Looks the size up again at the next write.
    pub(super) fn size_changed(&self) {
        self.inner.fullness.looked_at.store(i64::MIN, Ordering::Relaxed);
    }

    /// Makes the room of removed rows ready for new ones where the engine does that only now and then. Waits for nobody.
    pub async fn reuse_space(&self) -> Result<(), StoreError> {
        if let Db::Postgres(pool) = &self.inner.db {
            sqlx::query(POSTGRES_VACUUM).execute(pool).await?;
        }
        Ok(())
    }

    async fn used_bytes(&self) -> Result<u64, StoreError> {
        match &self.inner.db {
            Db::Sqlite { read, .. } => {
                let (bytes,): (i64,) = sqlx::query_as(SQLITE_SIZE).fetch_one(read).await?;
                Ok(bytes.unsigned_abs())
            }
            Db::Postgres(pool) => {
                let size: PostgresSize = sqlx::query_as(POSTGRES_SIZE).fetch_one(pool).await?;
                if size.2 > size.3 {
                    // A store that takes no writes still has a size.
                    let noted = sqlx::query(POSTGRES_MOST).bind(size.2).bind(size.1).execute(pool).await;
                    noted.map_or_else(|error| tracing::debug!(%error, "the size of the store could not be noted"), |_| ());
                }
                Ok(live_bytes(size).unsigned_abs())
            }
        }
    }

    async fn count_rows(&self, statement: &'static str) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(statement).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }
}

/// Bytes of the database, of the tables of dead letters, held in these now; the most that they have held, and their bytes then.
type PostgresSize = (i64, i64, i64, i64, i64);

/// The size of the database without the pages that removed dead letters have left: what the tables took when they held most, in
/// proportion.
fn live_bytes((database, tables, held, most, at_most): PostgresSize) -> i64 {
    if held >= most {
        return database;
    }
    let live = i128::from(at_most) * i128::from(held.max(0)) / i128::from(most.max(1));
    database - tables + i64::try_from(live).unwrap_or(i64::MAX).min(tables)
}

/// What an unprivileged process may still write there; `None` where the system does not tell.
/// With less free on its disk a SQLite file counts as full: what one transaction may need.
const LEAST_FREE_BYTES: u64 = 256 * 1024;

fn disk_free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_postgresql_what_was_removed_leaves_room() {
        assert_eq!(live_bytes((1_000, 900, 500, 500, 900)), 1_000, "never more than now");
        assert_eq!(live_bytes((1_000, 900, 600, 500, 700)), 1_000, "more than ever");
        assert_eq!(live_bytes((1_000, 900, 250, 500, 900)), 550, "half of it is gone");
        assert_eq!(live_bytes((1_000, 900, 0, 500, 900)), 100, "all of it is gone");
        assert_eq!(live_bytes((300, 200, 250, 500, 900)), 300, "somebody has shrunk the files");
        assert_eq!(live_bytes((100, 0, 0, 0, 0)), 100, "an empty store");
    }

    #[test]
    fn once_full_it_stays_full_until_a_twentieth_is_free() {
        let fullness = Fullness::new(Some(1_000));
        fullness.note(999);
        assert!(fullness.verdict().is_ok());
        fullness.note(1_000);
        assert!(matches!(fullness.verdict(), Err(StoreError::Full(_))));
        fullness.note(960);
        assert!(fullness.verdict().is_err());
        fullness.note(949);
        assert!(fullness.verdict().is_ok());
    }
}
