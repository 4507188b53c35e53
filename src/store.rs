//! What Redrive remembers: SQLite by default, PostgreSQL for several instances. The only room that names a database.
//! One file per noun; every statement is static text in the subset that both engines speak.

use std::collections::BTreeMap;
use std::time::Duration;

pub mod access;
pub mod audit;
pub mod buses;
pub mod consumer_groups;
pub mod dead_letters;
pub mod failure_groups;
pub mod indexing;
pub mod instances;
pub mod retention;
pub mod topics;

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
#[derive(Debug, Clone)]
pub struct Store {}

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

impl Store {
    /// Opens the store, migrates it under a lock, and refuses a newer schema or a SQLite file that another process serves.
    pub async fn open(_settings: &StoreSettings) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Migrates and closes; answers the versions applied. For `redrive migrate`.
    pub async fn migrate(_settings: &StoreSettings) -> Result<Vec<i64>, StoreError> {
        unimplemented!()
    }

    /// Writes and reads one row, so that readiness tells a store that is gone, full or read-only.
    pub async fn check(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// What lies in it.
    pub async fn usage(&self) -> Result<StoreUsage, StoreError> {
        unimplemented!()
    }

    /// Random id of this installation, made by the first migration; part of our consumer groups' names.
    pub async fn installation_id(&self) -> Result<String, StoreError> {
        unimplemented!()
    }

    /// Ends the pools; SQLite checkpoints.
    pub async fn close(&self) {
        unimplemented!()
    }
}
