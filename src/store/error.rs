//! Database errors, sorted by what the caller can do about them.

use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

use super::StoreError;

/// `PostgreSQL` classes and codes after which trying again later may succeed: connection, a transaction that stood still for too long,
/// resources, operator, rollback.
const RETRYABLE: &[&str] = &["08", "25P03", "28", "3D", "40", "53", "55", "57", "58"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(inner) => {
                let code = inner.code().unwrap_or_default().into_owned();
                if inner.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() { sqlite(&code, text) } else { postgres(&code, text) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(text),
            _ => Self::Broken(text),
        }
    }
}

/// Primary result codes of `SQLite` are the low byte of the extended ones.
fn sqlite(code: &str, text: String) -> StoreError {
    match code.parse::<u32>().unwrap_or(0) & 0xff {
        13 => StoreError::Full(text),
        8 => StoreError::ReadOnly(text),
        5 | 6 | 9 | 10 | 14 | 15 => StoreError::Unavailable(text),
        _ => StoreError::Broken(text),
    }
}

fn postgres(code: &str, text: String) -> StoreError {
    match code {
        "53100" => StoreError::Full(text),
        "25006" | "42501" => StoreError::ReadOnly(text),
        _ if RETRYABLE.iter().any(|class| code.starts_with(class)) => StoreError::Unavailable(text),
        _ => StoreError::Broken(text),
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Self::NewerSchema(format!("its schema has version {version}, which this binary does not know; use the newer binary"))
            }
            MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => inner.into(),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// [`StoreError::Taken`] for a violated unique constraint, else what it is.
pub(super) fn taken(error: sqlx::Error, field: &'static str) -> StoreError {
    match &error {
        sqlx::Error::Database(inner) if inner.kind() == ErrorKind::UniqueViolation => StoreError::Taken(field),
        _ => error.into(),
    }
}

/// A row holds what no version of this program writes.
pub(super) fn contradiction(what: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("{what} in the store is not what we write"))
}
