//! Opening, migrating and closing.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, PgPool, SqlitePool};

use super::caches::Caches;
use super::dialect::Db;
use super::usage::Fullness;
use super::{Inner, Store, StoreError, StoreSettings};
use crate::model::Timestamp;
use crate::model::notification::Installation;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Readers of a SQLite file; pages read short, so a few serve many visitors.
const READERS: u32 = 6;
/// Rows that a reader may be ahead of whoever asked.
const ROWS_AHEAD: usize = 512;
/// Connections of one instance to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 12;
/// Longest wait for a connection, and for another writer of a SQLite file (a command beside `serve`).
const WAIT: Duration = Duration::from_secs(10);

statements! {
    const APPLIED = "select version from _sqlx_migrations where success order by version";
    const INSTALLATION_ID = "select installation_id from installation where id = 1";
    const INSTALLATION = "select installation_id, marked_since from installation where id = 1";
    const CHECK = "update installation set checked_at = checked_at + 1 where id = 1 returning checked_at";
}

impl Store {
    /// Opens the store, migrates it under a lock, and refuses a newer schema or a SQLite file that another process serves.
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::open_as(settings, true).await
    }

    /// Opens the store beside a process that may be serving it, for commands such as `redrive user add`.
    pub async fn open_beside(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::open_as(settings, false).await
    }

    /// Migrates and closes; answers the versions applied. For `redrive migrate`.
    pub async fn migrate(settings: &StoreSettings) -> Result<Vec<i64>, StoreError> {
        let before = if is_sqlite(settings) && !sqlite_path(&settings.url).exists() { Vec::new() } else { applied(settings).await? };
        let store = Self::open(settings).await?;
        let after = store.applied_versions().await?;
        store.close().await;
        Ok(after.into_iter().filter(|version| !before.contains(version)).collect())
    }

    async fn open_as(settings: &StoreSettings, serving: bool) -> Result<Self, StoreError> {
        let (db, lock) = if is_sqlite(settings) {
            open_sqlite(&sqlite_path(&settings.url), serving).await?
        } else if settings.url.starts_with("postgres://") || settings.url.starts_with("postgresql://") {
            (open_postgres(settings).await?, None)
        } else {
            return Err(StoreError::Broken("the url must begin with sqlite: or postgres://".to_owned()));
        };
        let fullness = Fullness::new(settings.max_bytes);
        let folder = is_sqlite(settings).then(|| folder_of(&sqlite_path(&settings.url)));
        let (read_timeout, metrics) = (settings.read_timeout, std::sync::OnceLock::new());
        let inner = Inner { db, read_timeout, caches: Caches::new(), fullness, metrics, folder, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes and reads one row, so that readiness tells a store that is gone, full or read-only.
    pub async fn check(&self) -> Result<(), StoreError> {
        let check = async {
            let _: Option<(i64,)> = returned!(self, sqlx::query_as(CHECK))?;
            Ok::<_, StoreError>(())
        };
        tokio::time::timeout(self.inner.read_timeout.max(WAIT), check)
            .await
            .map_err(|_| StoreError::Unavailable("no answer in time".to_owned()))??;
        // One row fits into the log's old pages even on a disk without a free byte.
        self.check_disk()?;
        self.check_fullness().await
    }

    /// Random id of this installation, made by the first migration; part of our consumer groups' names.
    pub async fn installation_id(&self) -> Result<String, StoreError> {
        let (id,): (String,) = read!(self, |pool| sqlx::query_as(INSTALLATION_ID).fetch_one(pool).await?)?;
        Ok(id)
    }

    /// What tells the alerts of this installation from those of others.
    pub async fn installation(&self) -> Result<Installation, StoreError> {
        let (id, since): (String, i64) = read!(self, |pool| sqlx::query_as(INSTALLATION).fetch_one(pool).await?)?;
        Ok(Installation { id, marked_since: Timestamp::from_millis(since) })
    }

    /// Ends the pools; SQLite checkpoints.
    pub async fn close(&self) {
        match &self.inner.db {
            Db::Sqlite { read, write } => {
                read.close().await;
                if let Err(error) = sqlx::query("pragma wal_checkpoint(truncate)").execute(write).await {
                    tracing::warn!(%error, "the store was closed without a checkpoint; the next start does it");
                }
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }

    /// Prepares every statement on the open engine; answers how many, or the first that the engine refuses. For tests.
    #[doc(hidden)]
    pub async fn prepare_statements(&self) -> Result<usize, StoreError> {
        use sqlx::{Executor, SqlSafeStr};
        let statements = super::all_statements(&self.inner.db);
        for (name, text) in &statements {
            write_one!(self, |pool| pool.acquire().await?.prepare(text.into_sql_str()).await.map(|_| ()))
                .map_err(|error| StoreError::Broken(format!("{name}: {error}")))?;
        }
        Ok(statements.len())
    }

    async fn applied_versions(&self) -> Result<Vec<i64>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(APPLIED).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(version,)| version).collect())
    }
}

fn is_sqlite(settings: &StoreSettings) -> bool {
    settings.url.starts_with("sqlite:")
}

fn sqlite_path(url: &str) -> PathBuf {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    PathBuf::from(path.strip_prefix("//").unwrap_or(path))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Versions applied before; none when there is no table of migrations yet.
async fn applied(settings: &StoreSettings) -> Result<Vec<i64>, StoreError> {
    let rows: Result<Vec<(i64,)>, sqlx::Error> = if is_sqlite(settings) {
        let pool = SqlitePool::connect_with(sqlite_options(&sqlite_path(&settings.url))).await?;
        let rows = sqlx::query_as(APPLIED).fetch_all(&pool).await;
        pool.close().await;
        rows
    } else {
        let pool = PgPool::connect_with(postgres_options(settings)?).await?;
        let rows = sqlx::query_as(APPLIED).fetch_all(&pool).await;
        pool.close().await;
        rows
    };
    match rows {
        Ok(rows) => Ok(rows.into_iter().map(|(version,)| version).collect()),
        Err(sqlx::Error::Database(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(true)
        .pragma("temp_store", "memory")
        .statement_cache_capacity(256)
}

async fn open_sqlite(path: &Path, serving: bool) -> Result<(Db, Option<std::fs::File>), StoreError> {
    let lock = lock_file(path, serving)?;
    let writer = sqlite_options(path)
        .create_if_missing(true)
        // Indexing touches the same pages of four indexes in every batch.
        .pragma("cache_size", "-32768")
        // A checkpoint every 32 MiB of changes instead of every 4: bulk indexing would sync the file all the time.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("journal_size_limit", "67108864");
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .acquire_timeout(WAIT * 3)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite itself ends a transaction when the disk is full or fails. sqlx then takes it for open still, and refuses every later
        // one on that connection: it is given up.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(writer)
        .await?;
    {
        // A command may open a new store at the same moment as `serve`; SQLite has no lock for migrations of its own.
        let _migrating = lock_migrations(path).await?;
        SQLITE.run(&write).await?;
    }
    // Rows of a long list are handed over by the hundred, and not each with a switch between threads.
    let reader = sqlite_options(path).read_only(true).pragma("cache_size", "-4096").row_buffer_size(ROWS_AHEAD);
    let read = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(WAIT).max_lifetime(None).connect_lazy_with(reader);
    Ok((Db::Sqlite { read, write }, lock))
}

/// Waits until no other process migrates this database; held until dropped.
async fn lock_migrations(path: &Path) -> Result<std::fs::File, StoreError> {
    let (path, file) = (path.to_owned(), open_beside_database(path, ".migrating")?);
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked.map_err(|error| StoreError::Broken(error.to_string()))?.map_err(|error| lock_failed(&path, &error))
}

/// Opens a file of this suffix beside the database, for its lock.
fn open_beside_database(path: &Path, suffix: &str) -> Result<std::fs::File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    std::fs::File::options().create(true).truncate(false).write(true).open(&name).map_err(|error| lock_failed(path, &error))
}

fn lock_failed(path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly(format!("{}: {error}", path.display()))
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full(format!("{}: {error}", path.display())),
        _ => StoreError::Unavailable(format!("{}: {error}", path.display())),
    }
}

/// Locks the file beside the database. A command beside `serve` goes on without.
fn lock_file(path: &Path, serving: bool) -> Result<Option<std::fs::File>, StoreError> {
    if !serving {
        return Ok(None);
    }
    let file = open_beside_database(path, ".lock")?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "another process serves {}; end it first, or use PostgreSQL for several instances",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(lock_failed(path, &error)),
    }
}

fn postgres_options(settings: &StoreSettings) -> Result<PgConnectOptions, StoreError> {
    // The address may hold a password: the parser's message does not repeat it.
    let options =
        PgConnectOptions::from_str(&settings.url).map_err(|_| StoreError::Broken("the url is not a PostgreSQL url".to_owned()))?;
    Ok(options.application_name("redrive").statement_cache_capacity(256).options([
        ("timezone", "UTC"),
        // An instance that was frozen inside a transaction would hold its rows, and with them every other instance, until it wakes up.
        ("idle_in_transaction_session_timeout", "10000"),
        ("lock_timeout", "20000"),
    ]))
}

async fn open_postgres(settings: &StoreSettings) -> Result<Db, StoreError> {
    let pool =
        PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(WAIT).connect_with(postgres_options(settings)?).await?;
    POSTGRES.run(&pool).await?;
    Ok(Db::Postgres(pool))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    /// A store that refuses every commit from now on, as a disk does that became full between the rows and the commit.
    async fn without_commits(folder: &std::path::Path) -> Store {
        let url = format!("sqlite:{}", folder.join("redrive.db").display());
        let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_secs(5) };
        let store = Store::open(&settings).await.expect("it opens");
        let Db::Sqlite { write, .. } = &store.inner.db else { panic!("a SQLite store") };
        let mut connection = write.acquire().await.expect("the writer");
        connection.lock_handle().await.expect("locked").set_commit_hook(|| false);
        drop(connection);
        store
    }

    #[tokio::test]
    async fn a_row_that_could_not_be_committed_is_not_said_to_be_stored() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let store = without_commits(folder.path()).await;
        let now = Timestamp::from_millis(1_000);
        let minute = Duration::from_mins(1);
        assert!(store.add_token("name", b"hash", Role::Viewer, "someone", None, now).await.is_err());
        assert!(store.add_user("name", "hash", Role::Viewer, now).await.is_err());
        assert!(store.take_lease("name", "holder", minute, now).await.is_err());
        assert!(store.check().await.is_err());
        assert!(store.list_tokens().await.expect("read").is_empty());
        assert!(!store.has_users().await.expect("read"));
    }

    #[tokio::test]
    async fn a_transaction_that_a_full_disk_has_ended_does_not_stop_those_after_it() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_secs(5) };
        let store = Store::open(&settings).await.expect("it opens");
        let Db::Sqlite { write, .. } = &store.inner.db else { panic!("a SQLite store") };
        sqlx::raw_sql("pragma max_page_count = 1").execute(write).await.expect("from now on there is no room");
        let mut transaction = store.inner.begin(write, "test").await.expect("begun");
        let large = "insert into stack_traces (hash, uses, body) values (x'00', 0, zeroblob(1000000))";
        let full = sqlx::raw_sql(large).execute(&mut *transaction).await.expect_err("no page may be added");
        assert!(matches!(StoreError::from(full), StoreError::Full(_)));
        drop(transaction);
        let next = store.inner.begin(write, "test").await.expect("the next one begins");
        next.commit().await.expect("and is kept");
    }
}
