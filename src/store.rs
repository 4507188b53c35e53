//! What Redrive remembers: SQLite by default, PostgreSQL for several instances. The only room that names a database.
//! One file per noun; every statement is static text in the subset that both engines speak.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

#[macro_use]
mod dialect;

pub mod access;
pub mod alerts;
pub mod arrival_sources;
pub mod arrivals;
pub mod audit;
pub mod buses;
mod caches;
pub mod consumer_groups;
mod custody;
pub mod dead_letters;
pub mod deliveries;
pub mod departures;
pub mod discards;
mod error;
mod facets;
pub mod failure_group_events;
pub mod failure_groups;
pub mod figures;
pub mod group_events;
pub mod happenings;
pub mod indexing;
pub mod instances;
mod open;
pub mod otlp_positions;
pub mod partition_problems;
pub mod policies;
mod presence;
pub mod purges;
pub mod receivers;
pub mod replays;
pub mod retention;
mod rows;
pub mod search;
pub mod spans;
pub mod statuses;
pub mod topics;
pub mod trends;
mod usage;

use caches::Caches;
use dialect::Db;
use usage::Fullness;

use crate::telemetry::Metrics;

/// What went wrong in the store, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer; try again later.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The disk or the configured limit is full; nothing was written.
    #[error("the store is full: {0}")]
    Full(String),
    /// The database or its file cannot be written; nothing was written.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// Another process holds this SQLite file.
    #[error("the store is in use: {0}")]
    InUse(String),
    /// A newer Redrive has migrated this store.
    #[error("the store was written by a newer Redrive: {0}")]
    NewerSchema(String),
    /// What was to be added is already there; names the field.
    #[error("{0} is already taken")]
    Taken(&'static str),
    /// What the store holds contradicts itself, or a statement failed for a reason that retrying cannot mend.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// `sqlite:path` or `postgres://...`.
    pub url: String,
    /// Size at which it is full; `None` = the disk decides.
    pub max_bytes: Option<u64>,
    /// Deadline for reads of pages.
    pub read_timeout: Duration,
}

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    read_timeout: Duration,
    caches: Caches,
    fullness: Fullness,
    /// Where waits for the writer are told.
    metrics: OnceLock<Metrics>,
    /// Folder of a SQLite file.
    folder: Option<std::path::PathBuf>,
    /// Held, not read: its lock keeps a second `serve` away from a SQLite file.
    _lock: Option<std::fs::File>,
}

impl Store {
    /// Tells from now on how long transactions wait for SQLite's one writer.
    pub fn tell_waits(&self, metrics: Metrics) {
        let _ = self.inner.metrics.set(metrics);
    }
}

impl Inner {
    /// Begins a transaction of SQLite's one writer.
    async fn begin(&self, write: &sqlx::SqlitePool, by: &'static str) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, sqlx::Error> {
        let began = Instant::now();
        let transaction = write.begin_with("begin immediate").await?;
        if let Some(metrics) = self.metrics.get() {
            metrics.store_writer_wait_seconds.with_label_values(&[by]).observe(began.elapsed().as_secs_f64());
        }
        Ok(transaction)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("engine", &self.inner.db.engine()).finish_non_exhaustive()
    }
}

/// What lies in the store, for the first page and `/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Configured limit.
    pub max_bytes: Option<u64>,
    /// Bytes free on the disk of a SQLite file.
    pub disk_free_bytes: Option<u64>,
    /// Dead letters by status, all buses.
    pub dead_letters: u64,
    /// Rows of custody without content (too large, source gone).
    pub without_custody: u64,
    /// Oldest dead letter's `indexed_at`.
    pub oldest: Option<crate::model::Timestamp>,
    /// Whatever else is worth naming: noun and number of rows.
    pub rows: BTreeMap<String, u64>,
}

/// Every statement with its name, those that only the open engine has included.
fn all_statements(db: &Db) -> Vec<(&'static str, &'static str)> {
    let own = match db {
        Db::Sqlite { .. } => dialect::bulk::sqlite::statements(),
        Db::Postgres(_) => dialect::bulk::postgres::statements(),
    };
    SHARED.iter().chain(&alerts::ALL).chain(&spans::ALL).copied().flatten().copied().chain(own).collect()
}

/// Statements that both engines speak.
const SHARED: &[&[(&str, &str)]] = &[
    access::STATEMENTS,
    arrival_sources::STATEMENTS,
    arrivals::STATEMENTS,
    audit::STATEMENTS,
    buses::STATEMENTS,
    consumer_groups::STATEMENTS,
    consumer_groups::record::STATEMENTS,
    dead_letters::STATEMENTS,
    dead_letters::count::STATEMENTS,
    dead_letters::detail::STATEMENTS,
    dead_letters::select::STATEMENTS,
    deliveries::STATEMENTS,
    deliveries::work::STATEMENTS,
    departures::STATEMENTS,
    discards::STATEMENTS,
    discards::steps::STATEMENTS,
    facets::STATEMENTS,
    failure_group_events::STATEMENTS,
    failure_groups::STATEMENTS,
    figures::STATEMENTS,
    figures::directory::STATEMENTS,
    figures::ended::STATEMENTS,
    figures::hot::STATEMENTS,
    figures::late::STATEMENTS,
    figures::letters::STATEMENTS,
    figures::newest::STATEMENTS,
    figures::read::STATEMENTS,
    figures::rolled::STATEMENTS,
    figures::rollup::STATEMENTS,
    figures::totals::STATEMENTS,
    group_events::STATEMENTS,
    happenings::STATEMENTS,
    happenings::listed::STATEMENTS,
    indexing::STATEMENTS,
    indexing::write::STATEMENTS,
    instances::STATEMENTS,
    open::STATEMENTS,
    otlp_positions::STATEMENTS,
    partition_problems::STATEMENTS,
    policies::STATEMENTS,
    purges::STATEMENTS,
    receivers::STATEMENTS,
    replays::STATEMENTS,
    replays::outcome::STATEMENTS,
    replays::planning::STATEMENTS,
    replays::sending::STATEMENTS,
    retention::STATEMENTS,
    search::STATEMENTS,
    search::compact::STATEMENTS,
    statuses::STATEMENTS,
    topics::STATEMENTS,
    topics::record::STATEMENTS,
    trends::STATEMENTS,
    usage::STATEMENTS,
];
