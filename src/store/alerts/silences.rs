//! Silences.

use crate::model::alert::{Matcher, Silence};
use crate::model::{AuditEntry, Timestamp};
use crate::store::audit::RecordAudit as _;
use crate::store::replays::json;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

macro_rules! silence_sql {
    ($tail:literal) => {
        concat!("select id, matchers, comment, starts_at, ends_at, created_by, created_at from silences ", $tail)
    };
}

statements! {
    const ADD = "insert into silences (matchers, comment, starts_at, ends_at, created_by, created_at) values ($1, $2, $3, $4, $5, $6) returning id";
    const FIND = silence_sql!("where id = $1");
    const LIST = silence_sql!("where ends_at >= $1 order by id");
    const CHANGE = "update silences set matchers = $2, comment = $3, starts_at = $4, ends_at = $5 where id = $1";
    const END = "update silences set ends_at = $2 where id = $1 and ends_at > $2";
    const PRUNE = "delete from silences where id in (select id from silences where ends_at < $1 order by ends_at limit $2)";
}

/// A silence before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSilence {
    /// What it covers.
    pub matchers: Vec<Matcher>,
    /// Why.
    pub comment: String,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct SilenceRow {
    id: i64,
    matchers: String,
    comment: String,
    starts_at: i64,
    ends_at: i64,
    created_by: String,
    created_at: i64,
}

impl SilenceRow {
    fn into_silence(self) -> Result<Silence, StoreError> {
        let matchers = serde_json::from_str(&self.matchers)
            .map_err(|error| StoreError::Broken(format!("the matchers of silence {}: {error}", self.id)))?;
        Ok(Silence {
            number: self.id,
            matchers,
            comment: self.comment,
            starts_at: Timestamp::from_millis(self.starts_at),
            ends_at: Timestamp::from_millis(self.ends_at),
            created_by: self.created_by,
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

impl Store {
    /// Adds a silence and says so in the audit.
    pub async fn add_silence(&self, silence: &NewSilence, entry: &AuditEntry) -> Result<Silence, StoreError> {
        let number = write_on!(self, add(silence, entry));
        self.find_silence(number).await?.ok_or_else(|| StoreError::Broken("a silence that was just written is not there".to_owned()))
    }

    /// One silence.
    pub async fn find_silence(&self, number: i64) -> Result<Option<Silence>, StoreError> {
        let row: Option<SilenceRow> = read!(self, |pool| sqlx::query_as(FIND).bind(number).fetch_optional(pool).await?)?;
        row.map(SilenceRow::into_silence).transpose()
    }

    /// Silences that did not end before a time, oldest first.
    pub async fn list_silences(&self, not_before: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let rows: Vec<SilenceRow> = read!(self, |pool| sqlx::query_as(LIST).bind(not_before.as_millis()).fetch_all(pool).await?)?;
        rows.into_iter().map(SilenceRow::into_silence).collect()
    }

    /// Changes a silence; `false` when there is no such silence.
    pub async fn change_silence(&self, number: i64, silence: &NewSilence, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, alter(number, silence, entry)))
    }

    /// Ends a silence now; `false` when there is none that has not ended.
    pub async fn end_silence(&self, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, end(number, entry)))
    }

    /// Removes at most `limit` silences that ended before `before`.
    pub async fn prune_silences(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }
}

engines! {
    pub(super) async fn add(tx: &mut Connection, silence: &NewSilence, entry: &AuditEntry) -> Result<i64, StoreError> {
        let (number,): (i64,) = sqlx::query_as(ADD)
            .bind(clean(&json(&silence.matchers)?))
            .bind(clean(&silence.comment))
            .bind(silence.starts_at.as_millis())
            .bind(silence.ends_at.as_millis())
            .bind(clean(&entry.actor.name))
            .bind(entry.at.as_millis())
            .fetch_one(&mut *tx)
            .await?;
        let target = format!("/silences/{number} ({})", silence.comment);
        tx.record_audit(&AuditEntry { target, ..entry.clone() }).await?;
        Ok(number)
    }

    pub(super) async fn alter(tx: &mut Connection, number: i64, silence: &NewSilence, entry: &AuditEntry) -> Result<bool, StoreError> {
        let query = sqlx::query(CHANGE)
            .bind(number)
            .bind(clean(&json(&silence.matchers)?))
            .bind(clean(&silence.comment))
            .bind(silence.starts_at.as_millis())
            .bind(silence.ends_at.as_millis());
        let touched = query.execute(&mut *tx).await?.rows_affected();
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }

    pub(super) async fn end(tx: &mut Connection, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(END).bind(number).bind(entry.at.as_millis()).execute(&mut *tx).await?.rows_affected();
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }
}
