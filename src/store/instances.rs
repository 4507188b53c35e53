//! Instances that share this store, and leases for work that one of them does.

use std::time::Duration;

use super::rows::clean;
use super::{Store, StoreError};
use crate::model::Timestamp;

/// A lease that was taken or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Counts owners; writes of an older epoch must fail.
    pub epoch: i64,
}

statements! {
    const REGISTER = "insert into instances (client_id, seen_at) values ($1, $2) \
        on conflict (client_id) do update set seen_at = excluded.seen_at, ended_at = null";
    const DEREGISTER = "update instances set ended_at = seen_at where client_id = $1";
    const FORGET = "delete from instances where seen_at < $1";
    const LIST = "select client_id, seen_at from instances order by client_id";
    const TAKE = "insert into leases (name, holder, epoch, ends_at) values ($1, $2, 1, $3) on conflict (name) do update set \
        epoch = case when leases.holder = excluded.holder and leases.ends_at > $4 then leases.epoch else leases.epoch + 1 end, \
        holder = excluded.holder, ends_at = excluded.ends_at \
        where leases.holder = excluded.holder or leases.ends_at <= $4 returning epoch";
    const RELEASE = "update leases set ends_at = 0 where name = $1 and holder = $2";
    const REVISIONS = "select noun, revision from revisions order by noun";
    const BUMP = "insert into revisions (noun, revision) values ($1, 1) \
        on conflict (noun) do update set revision = revisions.revision + 1";
}

/// An instance that has not said for so long that it lives is forgotten.
const REMEMBERED: Duration = Duration::from_hours(24);

impl Store {
    /// Registers this instance by its client id, or says that it still lives.
    pub async fn register_instance(&self, client_id: &str, now: Timestamp) -> Result<(), StoreError> {
        let (client_id, forgotten) = (clean(client_id), now.minus(REMEMBERED).as_millis());
        in_transaction!(self, |tx| {
            sqlx::query(REGISTER).bind(&client_id).bind(now.as_millis()).execute(&mut *tx).await?;
            sqlx::query(FORGET).bind(forgotten).execute(&mut *tx).await?;
        });
        Ok(())
    }
    /// Takes this instance out.
    pub async fn deregister_instance(&self, client_id: &str) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(DEREGISTER).bind(clean(client_id)).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Client ids of instances that were registered, ended ones included for a day: members of our groups with any other id are strangers.
    pub async fn list_instances(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> = read!(self, |pool| sqlx::query_as(LIST).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(client_id, seen_at)| (client_id, Timestamp::from_millis(seen_at))).collect())
    }
    /// Takes or renews a lease by name; `None` while another holder's has not ended.
    pub async fn take_lease(&self, name: &str, holder: &str, duration: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        let ends_at = now.plus(duration).as_millis();
        let taken: Option<(i64,)> =
            returned!(self, sqlx::query_as(TAKE).bind(clean(name)).bind(clean(holder)).bind(ends_at).bind(now.as_millis()))?;
        Ok(taken.map(|(epoch,)| Lease { epoch }))
    }
    /// Gives a lease back.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(RELEASE).bind(clean(name)).bind(clean(holder)).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Counts changes by noun (`dead_letters`, `buses`, `topics`, `consumer_groups`, `audit`) for live pages of every instance.
    pub async fn list_revisions(&self) -> Result<std::collections::BTreeMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = read!(self, |pool| sqlx::query_as(REVISIONS).fetch_all(pool).await?)?;
        Ok(rows.into_iter().collect())
    }
    /// Says that a noun changed.
    pub async fn bump_revision(&self, noun: &'static str) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(BUMP).bind(noun).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
}
