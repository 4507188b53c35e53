//! Automatic replay policies, what their runs came to, and which dead letters are due.

use super::audit::RecordAudit as _;
use super::indexing::id_list;
use super::replays::json;
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::policy::{Policy, Terms};
use crate::model::{AuditEntry, DeadLetterId, Timestamp};

macro_rules! policy_sql {
    ($tail:literal) => {
        concat!(
            "select id, name, enabled, terms, watch_from, opened, open_until, gave_up_at, state_text, counted_from, judged, created_by, \
             created_at, changed_at from replay_policies ",
            $tail
        )
    };
}

statements! {
    const ADD = "insert into replay_policies (name, enabled, terms, watch_from, opened, counted_from, judged, created_by, created_at, changed_at) \
        select $1, $2, $3, case when $4 then 0 else coalesce(max(id), 0) end, 0, $5, 0, $6, $5, $5 from dead_letters returning id";
    const FIND = policy_sql!("where id = $1");
    const LIST = policy_sql!("order by id");
    const AT_WORK = policy_sql!("where enabled and gave_up_at is null order by id");
    const CHANGE = "update replay_policies set name = $2, terms = $3, changed_at = $4 where id = $1";
    /// What was there before belongs to nobody's policy, unless the terms say so; old results count no more.
    const SWITCH_ON = "update replay_policies set enabled = true, changed_at = $2, opened = 0, open_until = null, gave_up_at = null, \
        state_text = null, counted_from = $2, judged = coalesce((select max(id) from replays where policy_id = $1), 0), \
        watch_from = case when $3 then 0 when enabled then watch_from else (select coalesce(max(id), 0) from dead_letters) end where id = $1";
    const SWITCH_OFF = "update replay_policies set enabled = false, changed_at = $2 where id = $1 and enabled";
    const DELETE = "delete from replay_policies where id = $1";
    /// Nothing happens when a person, or another instance, has moved it meanwhile.
    const MOVE = "update replay_policies set opened = $2, open_until = $3, gave_up_at = $4, state_text = $5, counted_from = $6, judged = $7 \
        where id = $1 and enabled and opened = $8 and judged = $9 and gave_up_at is null";
    const RESULTS = "select cast(coalesce(sum(failed_again), 0) as bigint), cast(coalesce(sum(resolved), 0) as bigint) from \
        (select failed_again, resolved from replays where policy_id = $1 and created_at >= $2 order by id desc limit 20) recent";
    const TOTALS = "select count(*), cast(coalesce(sum(sent_total), 0) as bigint), cast(coalesce(sum(resolved), 0) as bigint), \
        cast(coalesce(sum(failed_again), 0) as bigint) from replays where policy_id = $1";
    const SENT_SINCE = "select cast(coalesce(sum(sent_total), 0) as bigint) from replays where policy_id = $1 and created_at > $2";
    const TRIED = "select d.id, d.indexed_at, cast(coalesce(r.attempt, 0) as bigint), \
        (select cast(coalesce(max(i.attempt), 0) as bigint) from replay_items i where i.dead_letter_id = d.id and i.result in (3, 4, 5, 6, 7)), \
        (select cast(coalesce(max(i.attempt), 0) as bigint) from replay_items i where i.successor_id = d.id), \
        (select count(*) from replay_items i join replays p on p.id = i.replay_id where i.dead_letter_id = d.id and p.policy_id = $2 \
            and (i.result = 2 or (i.result = 1 and i.reason not in ('duplicate', 'job_ended', 'changed', 'other_replay', 'after_failed')))), \
        (select count(*) from replay_items i join replays p on p.id = i.replay_id where i.dead_letter_id = d.id and p.policy_id = $2 \
            and i.result = 1 and i.reason = 'duplicate'), \
        (select cast(coalesce(max(p.created_at), 0) as bigint) from replay_items i join replays p on p.id = i.replay_id \
            where i.dead_letter_id = d.id and p.policy_id = $2 and not (i.result = 1 and i.reason = 'job_ended')) \
        from dead_letters d left join returns r on r.dead_letter_id = d.id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text))) and +d.status = 0 and d.id > $3 order by d.id";
}

/// What was tried with an open dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub id: DeadLetterId,
    /// Replays of its message so far, and tries of this policy that the bus or a check refused.
    pub attempts: u32,
    /// Whether a run of this policy has found it to be an older copy of another.
    pub is_copy: bool,
    /// When it was indexed, or last tried by this policy.
    pub since: Timestamp,
}

/// What the runs of a policy came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyTotals {
    /// Runs.
    pub runs: u64,
    /// Messages sent.
    pub sent: u64,
    /// Items resolved.
    pub resolved: u64,
    /// Items that failed again.
    pub failed_again: u64,
}

/// A step of a policy that it takes by itself, see [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field becomes the field of its name")]
pub struct PolicyMove {
    pub opened: u32,
    pub open_until: Option<Timestamp>,
    pub gave_up_at: Option<Timestamp>,
    pub text: Option<String>,
    pub counted_from: Timestamp,
    pub judged: i64,
}

impl PolicyMove {
    /// The policy stays as it is.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            opened: policy.opened,
            open_until: policy.open_until,
            gave_up_at: policy.gave_up_at,
            text: policy.text.clone(),
            counted_from: policy.counted_from,
            judged: policy.judged,
        }
    }
}

/// Id, indexed at, attempts by header, sent, and as a successor, refusals, copies, tried at.
type TriedRow = (i64, i64, i64, i64, i64, i64, i64, i64);

#[derive(sqlx::FromRow)]
struct PolicyRow {
    id: i64,
    name: String,
    enabled: bool,
    terms: String,
    watch_from: i64,
    opened: i32,
    open_until: Option<i64>,
    gave_up_at: Option<i64>,
    state_text: Option<String>,
    counted_from: i64,
    judged: i64,
    created_by: String,
    created_at: i64,
    changed_at: i64,
}

impl PolicyRow {
    fn into_policy(self) -> Result<Policy, StoreError> {
        let terms: Terms =
            serde_json::from_str(&self.terms).map_err(|error| StoreError::Broken(format!("the terms of policy {}: {error}", self.id)))?;
        Ok(Policy {
            number: self.id,
            name: self.name,
            enabled: self.enabled,
            terms,
            watch_from: self.watch_from,
            opened: self.opened.unsigned_abs(),
            open_until: self.open_until.map(Timestamp::from_millis),
            gave_up_at: self.gave_up_at.map(Timestamp::from_millis),
            text: self.state_text,
            counted_from: Timestamp::from_millis(self.counted_from),
            judged: self.judged,
            created_by: self.created_by,
            created_at: Timestamp::from_millis(self.created_at),
            changed_at: Timestamp::from_millis(self.changed_at),
        })
    }
}

impl Store {
    /// Adds a policy and says so in the audit.
    pub async fn add_policy(&self, name: &str, enabled: bool, terms: &Terms, entry: &AuditEntry) -> Result<Policy, StoreError> {
        let number = write_on!(self, add(name, enabled, terms, entry));
        self.find_policy(number).await?.ok_or_else(|| StoreError::Broken("a policy that was just written is not there".to_owned()))
    }

    /// One policy.
    pub async fn find_policy(&self, number: i64) -> Result<Option<Policy>, StoreError> {
        let row: Option<PolicyRow> = read!(self, |pool| sqlx::query_as(FIND).bind(number).fetch_optional(pool).await?)?;
        row.map(PolicyRow::into_policy).transpose()
    }

    /// All policies, oldest first: an administrator keeps a handful.
    pub async fn list_policies(&self) -> Result<Vec<Policy>, StoreError> {
        let rows: Vec<PolicyRow> = read!(self, |pool| sqlx::query_as(LIST).fetch_all(pool).await?)?;
        rows.into_iter().map(PolicyRow::into_policy).collect()
    }

    /// Policies that are on and have not given up.
    pub async fn list_policies_at_work(&self) -> Result<Vec<Policy>, StoreError> {
        let rows: Vec<PolicyRow> = read!(self, |pool| sqlx::query_as(AT_WORK).fetch_all(pool).await?)?;
        rows.into_iter().map(PolicyRow::into_policy).collect()
    }

    /// Changes name and terms; `false` when there is no such policy.
    pub async fn change_policy(&self, number: i64, name: &str, terms: &Terms, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, alter(number, name, terms, entry)))
    }

    /// Switches a policy on, with its breaker closed, or off; `false` when there is no such policy, or it was off already.
    pub async fn switch_policy(&self, policy: &Policy, on: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, switch(policy, on, entry)))
    }

    /// Removes a policy; its runs stay. `false` when there is no such policy.
    pub async fn remove_policy(&self, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, remove(number, entry)))
    }

    /// Moves a policy on, with an entry in the audit where there is something to say; `false` when somebody else has moved it.
    pub async fn move_policy(&self, policy: &Policy, to: &PolicyMove, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        Ok(write_on!(self, go(policy, to, entry)))
    }

    /// How many of its last runs' messages failed again, and how many were resolved, since its results count.
    pub async fn count_policy_results(&self, policy: &Policy) -> Result<(u64, u64), StoreError> {
        let from = policy.counted_from.as_millis();
        let (failed, resolved): (i64, i64) =
            read!(self, |pool| sqlx::query_as(RESULTS).bind(policy.number).bind(from).fetch_one(pool).await?)?;
        Ok((failed.unsigned_abs(), resolved.unsigned_abs()))
    }

    /// What all of its runs came to.
    pub async fn count_policy_totals(&self, number: i64) -> Result<PolicyTotals, StoreError> {
        let (runs, sent, resolved, failed_again): (i64, i64, i64, i64) =
            read!(self, |pool| sqlx::query_as(TOTALS).bind(number).fetch_one(pool).await?)?;
        Ok(PolicyTotals {
            runs: runs.unsigned_abs(),
            sent: sent.unsigned_abs(),
            resolved: resolved.unsigned_abs(),
            failed_again: failed_again.unsigned_abs(),
        })
    }

    /// Messages that runs planned since then have sent.
    pub async fn count_sent_by_policy(&self, number: i64, since: Timestamp) -> Result<u64, StoreError> {
        let (sent,): (i64,) = read!(self, |pool| sqlx::query_as(SENT_SINCE).bind(number).bind(since.as_millis()).fetch_one(pool).await?)?;
        Ok(sent.unsigned_abs())
    }

    /// What was tried with those of these that are open and a policy's business.
    pub async fn list_tried(&self, policy: &Policy, ids: &[DeadLetterId]) -> Result<Vec<Tried>, StoreError> {
        let list = id_list(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let (number, from) = (policy.number, policy.watch_from);
        let rows: Vec<TriedRow> = read!(self, |pool| sqlx::query_as(TRIED).bind(&list).bind(number).bind(from).fetch_all(pool).await?)?;
        let tried = rows.into_iter().map(|(id, indexed_at, told, sent, came_back, refused, copies, tried_at)| Tried {
            id: DeadLetterId(id),
            attempts: u32::try_from(told.max(sent).max(came_back) + refused).unwrap_or(u32::MAX),
            is_copy: copies > 0,
            since: Timestamp::from_millis(indexed_at.max(tried_at)),
        });
        Ok(tried.collect())
    }
}

engines! {
    pub(super) async fn add(tx: &mut Connection, name: &str, enabled: bool, terms: &Terms, entry: &AuditEntry) -> Result<i64, StoreError> {
        let (number,): (i64,) = sqlx::query_as(ADD)
            .bind(clean(name))
            .bind(enabled)
            .bind(clean(&json(terms)?))
            .bind(terms.existing)
            .bind(entry.at.as_millis())
            .bind(clean(&entry.actor.name))
            .fetch_one(&mut *tx)
            .await?;
        let target = format!("/replay-policies/{number} ({name})");
        tx.record_audit(&AuditEntry { target, ..entry.clone() }).await?;
        Ok(number)
    }

    pub(super) async fn alter(tx: &mut Connection, number: i64, name: &str, terms: &Terms, entry: &AuditEntry) -> Result<bool, StoreError> {
        let query = sqlx::query(CHANGE).bind(number).bind(clean(name)).bind(clean(&json(terms)?)).bind(entry.at.as_millis());
        let touched = query.execute(&mut *tx).await?.rows_affected();
        told(tx, touched, Some(entry)).await
    }

    pub(super) async fn switch(tx: &mut Connection, policy: &Policy, on: bool, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = if on {
            sqlx::query(SWITCH_ON).bind(policy.number).bind(entry.at.as_millis()).bind(policy.terms.existing).execute(&mut *tx).await?.rows_affected()
        } else {
            sqlx::query(SWITCH_OFF).bind(policy.number).bind(entry.at.as_millis()).execute(&mut *tx).await?.rows_affected()
        };
        told(tx, touched, Some(entry)).await
    }

    pub(super) async fn remove(tx: &mut Connection, number: i64, entry: &AuditEntry) -> Result<bool, StoreError> {
        let touched = sqlx::query(DELETE).bind(number).execute(&mut *tx).await?.rows_affected();
        told(tx, touched, Some(entry)).await
    }

    pub(super) async fn go(tx: &mut Connection, policy: &Policy, to: &PolicyMove, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        let touched = sqlx::query(MOVE)
            .bind(policy.number)
            .bind(to.opened.cast_signed())
            .bind(to.open_until.map(Timestamp::as_millis))
            .bind(to.gave_up_at.map(Timestamp::as_millis))
            .bind(to.text.as_deref().map(clean))
            .bind(to.counted_from.as_millis())
            .bind(to.judged)
            .bind(policy.opened.cast_signed())
            .bind(policy.judged)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        told(tx, touched, entry).await
    }

    /// Whether something was touched; what the audit says of it goes with it.
    async fn told(tx: &mut Connection, touched: u64, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        if let Some(entry) = entry.filter(|_| touched > 0) {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }
}
