//! Receivers: what lists show, and how each is reached, sealed.

use std::collections::BTreeSet;

use super::audit::RecordAudit as _;
use super::deliveries::Enqueue as _;
use super::deliveries::work::BRING_FORWARD;
use super::error::{contradiction, taken};
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::receiver::{Receiver, ReceiverId, ReceiverKind};
use crate::model::{AuditEntry, Timestamp};

macro_rules! receiver_sql {
    ($tail:literal) => {
        concat!(
            "select id, name, kind, host, failing_since, gone_at, delivered_at, created_by, created_at, changed_at from receivers ",
            $tail
        )
    };
}

statements! {
    const ADD = "insert into receivers (name, kind, host, sealed, created_by, created_at, changed_at) values ($1, $2, $3, $4, $5, $6, $6) returning id";
    const LIST = receiver_sql!("order by name, id");
    const IDS = "select id from receivers order by id";
    const FIND = receiver_sql!("where id = $1");
    const SEALED = "select sealed from receivers where id = $1";
    const CHANGE = "update receivers set name = $2, kind = $3, host = $4, sealed = $5, failing_since = null, gone_at = null, \
        changed_at = $6 where id = $1";
    const REMOVE = "delete from receivers where id = $1";
    const TERMS = "select id, terms from alert_rules order by id";
    /// Whoever changes the rule meanwhile is not overwritten.
    const STRIP = "update alert_rules set terms = $2, changed_at = case when changed_at >= $4 then changed_at + 1 else $4 end \
        where id = $1 and terms = $3";
    const ABANDON = "update deliveries set state = 4, ended_at = $2, lease_until = null, last_error = $3 where receiver_id = $1 and ended_at is null";
    const FORGET_PUSHED = "delete from pushed_alerts where receiver_id = $1";
    const COUNT_FLAGGED = "select count(*) from receivers where gone_at is not null or failing_since <= $1";
    const COUNT_FAILING = "select count(*) from receivers where failing_since is not null";
    const COUNT_SEALED = "select count(*) from receivers";
    const KEY = "select key_id from sealing_key where id = 1";
    const FIRST_KEY = "insert into sealing_key (id, key_id) values (1, $1) on conflict (id) do nothing";
    const REPLACE_KEY = "update sealing_key set key_id = $2 where id = 1 and key_id = $1 and not exists (select 1 from receivers)";
    const FORGET_ALL = "delete from receivers";
    const FORGET_KEY = "delete from sealing_key";
    const ABANDON_ALL = "update deliveries set state = 4, ended_at = $1, lease_until = null, last_error = $2 where ended_at is null";
    const FORGET_ALL_PUSHED = "delete from pushed_alerts";
}

/// What a receiver is saved with; how it is reached is sealed already.
#[derive(Debug, Clone, Copy)]
pub struct SealedReceiver<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: ReceiverKind,
    /// The host, which may be shown.
    pub host: &'a str,
    /// The rest, sealed.
    pub sealed: &'a [u8],
    /// Which key sealed it.
    pub key_id: &'a str,
}

#[derive(sqlx::FromRow)]
struct ReceiverRow {
    id: i64,
    name: String,
    kind: i16,
    host: String,
    failing_since: Option<i64>,
    gone_at: Option<i64>,
    delivered_at: Option<i64>,
    created_by: String,
    created_at: i64,
    changed_at: i64,
}

impl ReceiverRow {
    fn into_receiver(self) -> Result<Receiver, StoreError> {
        Ok(Receiver {
            id: ReceiverId(self.id),
            name: self.name,
            kind: kind(self.kind)?,
            host: self.host,
            failing_since: self.failing_since.map(Timestamp::from_millis),
            gone_at: self.gone_at.map(Timestamp::from_millis),
            delivered_at: self.delivered_at.map(Timestamp::from_millis),
            created_by: self.created_by,
            created_at: Timestamp::from_millis(self.created_at),
            changed_at: Timestamp::from_millis(self.changed_at),
        })
    }
}

pub(super) fn kind(code: i16) -> Result<ReceiverKind, StoreError> {
    ReceiverKind::from_code(code).ok_or_else(|| contradiction(format!("receiver kind {code}")))
}

impl Store {
    /// Adds a receiver and says so in the audit. [`StoreError::Taken`] names the name; [`StoreError::Broken`] says that another key seals.
    pub async fn add_receiver(&self, receiver: SealedReceiver<'_>, entry: &AuditEntry) -> Result<Receiver, StoreError> {
        let id = write_on!(self, add(receiver, entry));
        self.find_receiver(ReceiverId(id)).await?.ok_or_else(|| contradiction("a receiver that was just written is not there"))
    }

    /// All receivers by name.
    pub async fn list_receivers(&self) -> Result<Vec<Receiver>, StoreError> {
        let rows: Vec<ReceiverRow> = read!(self, |pool| sqlx::query_as(LIST).fetch_all(pool).await?)?;
        rows.into_iter().map(ReceiverRow::into_receiver).collect()
    }

    /// Ids of all receivers.
    pub async fn list_receiver_ids(&self) -> Result<BTreeSet<ReceiverId>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(IDS).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| ReceiverId(id)).collect())
    }

    /// One receiver.
    pub async fn find_receiver(&self, id: ReceiverId) -> Result<Option<Receiver>, StoreError> {
        let row: Option<ReceiverRow> = read!(self, |pool| sqlx::query_as(FIND).bind(id.0).fetch_optional(pool).await?)?;
        row.map(ReceiverRow::into_receiver).transpose()
    }

    /// How a receiver is reached, sealed.
    pub async fn find_sealed(&self, id: ReceiverId) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = read!(self, |pool| sqlx::query_as(SEALED).bind(id.0).fetch_optional(pool).await?)?;
        Ok(row.map(|(sealed,)| sealed))
    }

    /// Changes a receiver; `false` when there is none. What failed before says nothing of how it is reached now: what waits is tried at once.
    pub async fn change_receiver(&self, id: ReceiverId, to: SealedReceiver<'_>, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, alter(id, to, entry)))
    }

    /// Removes a receiver and gives up what has not reached it; what was delivered stays in the log. Rules name it no more. `false` when
    /// there is none.
    pub async fn remove_receiver(&self, id: ReceiverId, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, remove(id, entry)))
    }

    /// Receivers that have failed since before `since`, or said that they are gone.
    pub async fn count_flagged_receivers(&self, since: Timestamp) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(COUNT_FLAGGED).bind(since.as_millis()).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// Receivers whose last attempt failed.
    pub async fn count_failing_receivers(&self) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(COUNT_FAILING).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// How many receivers hold sealed secrets.
    pub async fn count_sealed(&self) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(COUNT_SEALED).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// Says which key seals secrets; answers the one that does. Another one takes its place only while nothing is sealed.
    pub async fn claim_sealing_key(&self, key_id: &str) -> Result<String, StoreError> {
        Ok(write_on!(self, claim(key_id)))
    }

    /// Which key seals secrets.
    pub async fn find_sealing_key(&self) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = read!(self, |pool| sqlx::query_as(KEY).fetch_optional(pool).await?)?;
        Ok(row.map(|(key,)| key))
    }

    /// Removes every receiver, and which key sealed them: the way out when the key is lost. Answers how many there were.
    pub async fn forget_receivers(&self, entry: &AuditEntry) -> Result<u64, StoreError> {
        Ok(write_on!(self, forget(entry)))
    }
}

/// The terms of a rule without a receiver, or without any; `None` where they do not name it, or nobody knows what they name.
fn without(terms: &str, id: Option<ReceiverId>) -> Option<String> {
    let mut terms: serde_json::Value = serde_json::from_str(terms).ok()?;
    let receivers = terms.get_mut("receivers")?.as_array_mut()?;
    let before = receivers.len();
    receivers.retain(|named| id.is_some_and(|id| named.as_i64() != Some(id.0)));
    (receivers.len() < before).then(|| terms.to_string())
}

/// So often others may change a rule while a receiver is taken out of it.
const STRIP_TRIES: u32 = 8;

/// Why deliveries to a removed receiver end.
const REMOVED: &str = "the receiver was removed";

engines! {
    pub(super) async fn add(tx: &mut Connection, receiver: SealedReceiver<'_>, entry: &AuditEntry) -> Result<i64, StoreError> {
        same_key(tx, receiver.key_id).await?;
        let (id,): (i64,) = sqlx::query_as(ADD)
            .bind(clean(receiver.name))
            .bind(receiver.kind.code())
            .bind(clean(receiver.host))
            .bind(receiver.sealed)
            .bind(clean(&entry.actor.name))
            .bind(entry.at.as_millis())
            .fetch_one(&mut *tx)
            .await
            .map_err(|error| taken(error, "name"))?;
        let target = format!("/receivers/{id} ({})", receiver.name);
        tx.record_audit(&AuditEntry { target, ..entry.clone() }).await?;
        Ok(id)
    }

    pub(super) async fn alter(tx: &mut Connection, id: ReceiverId, to: SealedReceiver<'_>, entry: &AuditEntry) -> Result<bool, StoreError> {
        same_key(tx, to.key_id).await?;
        let touched = sqlx::query(CHANGE)
            .bind(id.0)
            .bind(clean(to.name))
            .bind(to.kind.code())
            .bind(clean(to.host))
            .bind(to.sealed)
            .bind(entry.at.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(|error| taken(error, "name"))?
            .rows_affected();
        if touched > 0 {
            sqlx::query(BRING_FORWARD).bind(id.0).bind(entry.at.as_millis()).execute(&mut *tx).await?;
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }

    pub(super) async fn remove(tx: &mut Connection, id: ReceiverId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(REMOVE).bind(id.0).execute(&mut *tx).await?.rows_affected();
        if touched > 0 {
            sqlx::query(ABANDON).bind(id.0).bind(entry.at.as_millis()).bind(REMOVED).execute(&mut *tx).await?;
            sqlx::query(FORGET_PUSHED).bind(id.0).execute(&mut *tx).await?;
            strip(tx, Some(id), entry.at).await?;
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }

    pub(super) async fn claim(tx: &mut Connection, key_id: &str) -> Result<String, StoreError> {
        sqlx::query(FIRST_KEY).bind(key_id).execute(&mut *tx).await?;
        let (known,): (String,) = sqlx::query_as(KEY).fetch_one(&mut *tx).await?;
        let replaced = known != key_id && sqlx::query(REPLACE_KEY).bind(&known).bind(key_id).execute(&mut *tx).await?.rows_affected() > 0;
        Ok(if replaced { key_id.to_owned() } else { known })
    }

    /// Instances with different keys would write what the others cannot read.
    async fn same_key(tx: &mut Connection, key_id: &str) -> Result<(), StoreError> {
        let (known,): (String,) = sqlx::query_as(KEY).fetch_one(&mut *tx).await?;
        if known == key_id {
            return Ok(());
        }
        Err(StoreError::Broken("secrets.key_file of this instance is not the key that seals this store's secrets".to_owned()))
    }

    /// Takes a receiver, or all of them, out of the rules that name it.
    async fn strip(tx: &mut Connection, id: Option<ReceiverId>, now: Timestamp) -> Result<(), StoreError> {
        // Again while somebody else changes such a rule.
        for _ in 0..STRIP_TRIES {
            let rows: Vec<(i64, String)> = sqlx::query_as(TERMS).fetch_all(&mut *tx).await?;
            let named: Vec<(i64, String, String)> =
                rows.into_iter().filter_map(|(rule, terms)| Some((rule, without(&terms, id)?, terms))).collect();
            if named.is_empty() {
                return Ok(());
            }
            for (rule, stripped, terms) in named {
                sqlx::query(STRIP).bind(rule).bind(clean(&stripped)).bind(&terms).bind(now.as_millis()).execute(&mut *tx).await?;
            }
        }
        Err(StoreError::Unavailable("rules that name the receiver are changed all the time".to_owned()))
    }

    pub(super) async fn forget(tx: &mut Connection, entry: &AuditEntry) -> Result<u64, StoreError> {
        let ids: Vec<(i64,)> = sqlx::query_as(IDS).fetch_all(&mut *tx).await?;
        for (id,) in ids {
            tx.take_receiver(ReceiverId(id)).await?;
        }
        let count = sqlx::query(FORGET_ALL).execute(&mut *tx).await?.rows_affected();
        sqlx::query(FORGET_KEY).execute(&mut *tx).await?;
        sqlx::query(ABANDON_ALL).bind(entry.at.as_millis()).bind(REMOVED).execute(&mut *tx).await?;
        sqlx::query(FORGET_ALL_PUSHED).execute(&mut *tx).await?;
        strip(tx, None, entry.at).await?;
        tx.record_audit(&AuditEntry { count: Some(count), ..entry.clone() }).await?;
        Ok(count)
    }
}
