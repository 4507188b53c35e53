//! The steps of a discard or restore: first its scope is frozen, then every dead letter in it is changed or skipped. The last step
//! writes the audit with it, so that an act is in the audit exactly once however often its process dies.

use std::collections::HashSet;

use super::rows::{ActRow, FREEZING};
use super::{Scope, Step};
use crate::lifecycle::failpoint;
use crate::model::discard::{DiscardId, DiscardKind};
use crate::model::{Actor, AuditEntry, Cursor, PageRequest, Selection, Status, Timestamp};
use crate::store::audit::RecordAudit as _;
use crate::store::error::contradiction;
use crate::store::indexing::id_list;
use crate::store::statuses::ChangeStatus;
use crate::store::{Store, StoreError};

statements! {
    const TAKE = "update discards set step = step + 1, touched_at = $3 where id = $1 and step = $2 and state < 2";
    const FREEZE = "insert into discard_items (discard_id, dead_letter_id, result) \
        select $1, cast(value as bigint), 0 from json_each(cast($2 as text)) where true on conflict do nothing";
    const FROZEN = "update discards set total = total + $2, cursor_key = $3, cursor_id = $4, state = case when $5 then 1 else 0 end \
        where id = $1";
    const CHANGED_BY = "select dead_letter_id from discard_items where discard_id = $1 and result = 1 and dead_letter_id > $2 \
        order by dead_letter_id limit $3";
    const WAITING = "select dead_letter_id from discard_items where discard_id = $1 and result = 0 order by dead_letter_id limit $2";
    const HELD = "select dead_letter_id from discard_items where discard_id = $1 and result = 1 and restored_by is null \
        and dead_letter_id in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const MARK = "update discard_items set result = $3, changed_at = $4 where discard_id = $1 \
        and dead_letter_id in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const RESTORED = "update discard_items set restored_by = $1 where result = 1 and restored_by is null \
        and dead_letter_id in (select cast(value as bigint) from json_each(cast($2 as text))) \
        and discard_id in (select id from discards where kind = 0)";
    const COUNT = "update discards set changed = changed + $2, skipped = skipped + $3 where id = $1";
    const END = "update discards set state = 2, ended_at = $2, skipped = total - changed where id = $1";
    const UNDONE = "update discards set undone_at = $2, undone_by = $3 where undone_at is null \
        and id = (select undoes from discards where id = $1)";
    const STOP = "update discards set state = 3, step = step + 1, ended_at = $2, skipped = total - changed where id = $1 and state < 2";
    const FOR_AUDIT = "select kind, actor, address, target, changed, skipped from discards where id = $1";
    const DROP = "delete from discards where id = $1 and total = 0";
}

/// Dead letters per step: some ten milliseconds of the writer.
const STEP: u32 = 1_000;
/// How long a search looks within one step.
const SCAN_MILLIS: u64 = 1_000;

/// What a step of freezing has found.
struct Frozen {
    ids: Vec<i64>,
    cursor: Option<Cursor>,
    complete: bool,
}

impl Store {
    /// Does the next step of an act. Somebody else's step at the same time is not an error: the act is answered as it stands then.
    /// Failpoints `discard.before_commit` and `discard.after_commit` lie around the commit of a step that changes statuses.
    pub async fn step_discard(&self, id: &DiscardId, now: Timestamp) -> Result<Step, StoreError> {
        let Some(act) = self.find_act(id.as_str()).await? else { return Ok(Step::Empty) };
        if act.state == FREEZING {
            let frozen = self.freeze_some(&act).await?;
            let (number, step) = (act.id, act.step);
            write_on!(self, freeze(number, step, &frozen, now));
        } else if act.state == 1 {
            write_on!(self, change(&act, now));
            failpoint::pass("discard.after_commit");
        }
        let Some(discard) = self.find_discard(id).await? else { return Ok(Step::Empty) };
        Ok(if discard.ended_at.is_some() { Step::Ended(discard) } else { Step::More(discard) })
    }

    /// The next dead letters of the scope.
    async fn freeze_some(&self, act: &ActRow) -> Result<Frozen, StoreError> {
        let scope: Scope = serde_json::from_str(&act.selection).map_err(|error| contradiction(format!("scope of a discard: {error}")))?;
        let after = act.cursor_id.unwrap_or(i64::MIN);
        let ascending =
            |ids: Vec<i64>| Frozen { cursor: ids.last().map(|id| Cursor { key: 0, id: *id }), complete: ids.len() < STEP as usize, ids };
        match scope {
            Scope::ChangedBy(_) => {
                let undone = act.undoes.unwrap_or_default();
                let rows: Vec<(i64,)> =
                    read!(self, |pool| sqlx::query_as(CHANGED_BY).bind(undone).bind(after).bind(i64::from(STEP)).fetch_all(pool).await?)?;
                Ok(ascending(rows.into_iter().map(|(id,)| id).collect()))
            }
            Scope::Selection(Selection::Ids(mut ids)) => {
                ids.sort_unstable();
                Ok(ascending(ids.into_iter().map(|id| id.0).filter(|id| *id > after).take(STEP as usize).collect()))
            }
            Scope::Selection(Selection::Filter(filter)) => {
                let cursor = act.cursor_key.zip(act.cursor_id).map(|(key, id)| Cursor { key, id });
                let page = PageRequest { cursor, limit: STEP };
                let found = self.select(&filter, &page, SCAN_MILLIS).await?;
                // What was indexed after the act was asked is not in its scope.
                let ids = found.keys.iter().map(|key| key.id).filter(|id| *id <= act.upper_id).collect();
                Ok(Frozen { ids, complete: found.next.is_none(), cursor: found.next })
            }
        }
    }
}

/// Ends an act inside somebody's transaction.
pub(in crate::store) trait StopDiscard {
    /// Ends an act that goes on; what it has not changed by now stays as it is.
    async fn stop_discard(&mut self, number: i64, now: Timestamp) -> Result<(), StoreError>;
}

impl StopDiscard for sqlx::SqliteConnection {
    async fn stop_discard(&mut self, number: i64, now: Timestamp) -> Result<(), StoreError> {
        on_sqlite::stop(self, number, now).await
    }
}

impl StopDiscard for sqlx::PgConnection {
    async fn stop_discard(&mut self, number: i64, now: Timestamp) -> Result<(), StoreError> {
        on_postgres::stop(self, number, now).await
    }
}

engines! {
    /// Whether this step is ours to do.
    async fn take(tx: &mut Connection, number: i64, step: i64, now: Timestamp) -> Result<bool, StoreError> {
        Ok(sqlx::query(TAKE).bind(number).bind(step).bind(now.as_millis()).execute(tx).await?.rows_affected() > 0)
    }

    pub(super) async fn freeze(tx: &mut Connection, number: i64, step: i64, frozen: &Frozen, now: Timestamp) -> Result<(), StoreError> {
        if !take(tx, number, step, now).await? {
            return Ok(());
        }
        let added = sqlx::query(FREEZE).bind(number).bind(id_list(&frozen.ids)).execute(&mut *tx).await?.rows_affected();
        sqlx::query(FROZEN)
            .bind(number)
            .bind(added.cast_signed())
            .bind(frozen.cursor.as_ref().map(|cursor| cursor.key))
            .bind(frozen.cursor.as_ref().map(|cursor| cursor.id))
            .bind(frozen.complete)
            .execute(&mut *tx)
            .await?;
        if frozen.complete {
            sqlx::query(DROP).bind(number).execute(tx).await?;
        }
        Ok(())
    }

    pub(super) async fn change(tx: &mut Connection, act: &ActRow, now: Timestamp) -> Result<(), StoreError> {
        if !take(tx, act.id, act.step, now).await? {
            return Ok(());
        }
        let kind = act.kind()?;
        let rows: Vec<(i64,)> = sqlx::query_as(WAITING).bind(act.id).bind(i64::from(STEP)).fetch_all(&mut *tx).await?;
        let ids: Vec<i64> = rows.into_iter().map(|(id,)| id).collect();
        let held = match act.undoes {
            None => ids.clone(),
            Some(undone) => {
                let rows: Vec<(i64,)> = sqlx::query_as(HELD).bind(undone).bind(id_list(&ids)).fetch_all(&mut *tx).await?;
                rows.into_iter().map(|(id,)| id).collect()
            }
        };
        let (from, to) = statuses(kind);
        let changed = tx.change_status(&held, from, to, now).await?;
        let known: HashSet<i64> = changed.iter().copied().collect();
        let skipped: Vec<i64> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
        for (some, result) in [(&changed, 1_i16), (&skipped, 2)] {
            sqlx::query(MARK).bind(act.id).bind(id_list(some)).bind(result).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        if kind == DiscardKind::Restore {
            sqlx::query(RESTORED).bind(act.id).bind(id_list(&changed)).execute(&mut *tx).await?;
        }
        sqlx::query(COUNT).bind(act.id).bind(length(&changed)).bind(length(&skipped)).execute(&mut *tx).await?;
        if ids.len() < STEP as usize {
            sqlx::query(END).bind(act.id).bind(now.as_millis()).execute(&mut *tx).await?;
            record(tx, act.id, "done", now).await?;
        }
        failpoint::pass("discard.before_commit");
        Ok(())
    }

    pub(in crate::store) async fn stop(tx: &mut Connection, number: i64, now: Timestamp) -> Result<(), StoreError> {
        if sqlx::query(STOP).bind(number).bind(now.as_millis()).execute(&mut *tx).await?.rows_affected() > 0 {
            record(tx, number, "failed: taken back before its end", now).await?;
        }
        Ok(())
    }

    /// Writes an act that has ended into the audit, and marks what it has undone.
    async fn record(tx: &mut Connection, number: i64, result: &str, now: Timestamp) -> Result<(), StoreError> {
        let (kind, actor, address, target, changed, skipped): (i16, String, Option<String>, String, i64, i64) =
            sqlx::query_as(FOR_AUDIT).bind(number).fetch_one(&mut *tx).await?;
        let action = if kind == DiscardKind::Discard.code() { "dead_letters.discard" } else { "dead_letters.restore" };
        let result = if skipped > 0 { format!("{result}; {skipped} skipped").replacen("done;", "done:", 1) } else { result.to_owned() };
        let entry = AuditEntry {
            id: 0,
            at: now,
            actor: Actor { name: actor.clone(), address },
            action: action.to_owned(),
            target,
            count: Some(changed.unsigned_abs()),
            result,
        };
        tx.record_audit(&entry).await?;
        sqlx::query(UNDONE).bind(number).bind(now.as_millis()).bind(actor).execute(tx).await?;
        Ok(())
    }
}

const fn statuses(kind: DiscardKind) -> (Status, Status) {
    match kind {
        DiscardKind::Discard => (Status::Open, Status::Discarded),
        DiscardKind::Restore => (Status::Discarded, Status::Open),
    }
}

fn length(ids: &[i64]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}
