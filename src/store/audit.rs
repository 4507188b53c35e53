//! The audit: who did what, when, to how many, with which result.

use super::rows::clean;
use super::{Store, StoreError};
use crate::model::{Actor, AuditEntry, Cursor, Page, PageRequest, Timestamp};

/// What a list of the audit is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Actor's name, exact.
    pub actor: Option<String>,
    /// Action, or its noun: `user` finds `user.add`.
    pub action: Option<String>,
    /// Earliest, inclusive.
    pub from: Option<Timestamp>,
    /// Latest, exclusive.
    pub to: Option<Timestamp>,
}

statements! {
    const ADD = "insert into audit (occurred_at, actor, address, action, target, things, result) values ($1, $2, $3, $4, $5, $6, $7)";
    const LIST = "select id, occurred_at, actor, address, action, target, things, result from audit \
        where occurred_at >= $1 and occurred_at <= $2 and (occurred_at < $2 or id < $3) \
        and (cast($4 as text) is null or actor = $4) \
        and (cast($5 as text) is null or action = $5 or (action > $5 || '.' and action < $5 || '/')) \
        order by occurred_at desc, id desc limit $6";
    const ACTORS = "select distinct actor from audit order by actor limit 200";
    const ACTIONS = "select distinct action from audit order by action limit 200";
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: i64,
    occurred_at: i64,
    actor: String,
    address: Option<String>,
    action: String,
    target: String,
    things: Option<i64>,
    result: String,
}

impl AuditRow {
    fn into_entry(self) -> AuditEntry {
        AuditEntry {
            id: self.id,
            at: Timestamp::from_millis(self.occurred_at),
            actor: Actor { name: self.actor, address: self.address },
            action: self.action,
            target: self.target,
            count: self.things.map(i64::unsigned_abs),
            result: self.result,
        }
    }
}

impl Store {
    /// Adds an entry; its `id` is ignored.
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        write_on!(self, record(entry));
        Ok(())
    }

    /// Entries, newest first.
    pub async fn list_audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let to = filter.to.map_or((i64::MAX, i64::MAX), |to| (to.as_millis(), i64::MIN));
        let before = page.cursor.as_ref().map_or(to, |cursor| to.min((cursor.key, cursor.id)));
        let from = filter.from.map_or(i64::MIN, Timestamp::as_millis);
        let (actor, action) = (filter.actor.as_deref().map(clean), filter.action.as_deref().map(clean));
        let rows: Vec<AuditRow> = read!(self, |pool| sqlx::query_as(LIST)
            .bind(from)
            .bind(before.0)
            .bind(before.1)
            .bind(&actor)
            .bind(&action)
            .bind(i64::from(page.limit) + 1)
            .fetch_all(pool)
            .await?)?;
        let more = rows.len() > page.limit as usize;
        let items: Vec<AuditEntry> = rows.into_iter().take(page.limit as usize).map(AuditRow::into_entry).collect();
        let next_cursor = items.last().filter(|_| more).map(|entry| Cursor { key: entry.at.as_millis(), id: entry.id });
        Ok(Page { items, next_cursor })
    }
    /// Distinct actors and distinct actions, for the filter's menus (at most 200 each).
    pub async fn list_audit_choices(&self) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let actors: Vec<(String,)> = read!(self, |pool| sqlx::query_as(ACTORS).fetch_all(pool).await?)?;
        let actions: Vec<(String,)> = read!(self, |pool| sqlx::query_as(ACTIONS).fetch_all(pool).await?)?;
        Ok((actors.into_iter().map(|(actor,)| actor).collect(), actions.into_iter().map(|(action,)| action).collect()))
    }
}

/// Says inside the transaction of an act what was done.
pub(in crate::store) trait RecordAudit {
    /// Adds an entry; its `id` is ignored.
    async fn record_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError>;
}

impl RecordAudit for sqlx::SqliteConnection {
    async fn record_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        on_sqlite::record(self, entry).await
    }
}

impl RecordAudit for sqlx::PgConnection {
    async fn record_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        on_postgres::record(self, entry).await
    }
}

engines! {
    pub(in crate::store) async fn record(tx: &mut Connection, entry: &AuditEntry) -> Result<(), StoreError> {
        sqlx::query(ADD)
            .bind(entry.at.as_millis())
            .bind(clean(&entry.actor.name))
            .bind(entry.actor.address.as_deref().map(clean))
            .bind(clean(&entry.action))
            .bind(clean(&entry.target))
            .bind(entry.count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
            .bind(clean(&entry.result))
            .execute(tx)
            .await?;
        Ok(())
    }
}
