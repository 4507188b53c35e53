//! What the owner of a replay writes while it sends. Every write names the epoch of the owner's lease, and touches nothing once
//! another owner has taken over: that is [`Superseded`], never an error.

use std::collections::HashMap;

use super::rows::ItemRow;
use super::{item_sql, json};
use crate::lifecycle::failpoint;
use crate::model::replay::{Attempt, ItemResult, ReplayItem, SkipReason, StateReason};
use crate::model::{DeadLetterId, Header, Origin, Status, Timestamp, TopicName};
use crate::store::indexing::id_list;
use crate::store::rows::clean;
use crate::store::statuses::ChangeStatus;
use crate::store::{Store, StoreError, custody};
use bytes::Bytes;
use std::time::Duration;

statements! {
    const TAKE = "update replays set epoch = epoch + 1, holder = $2, lease_ends_at = $3 where id = $1 \
        and (holder is null or holder = $2 or lease_ends_at <= $4 or $5) returning epoch";
    const RENEW = "update replays set lease_ends_at = $3 where id = $1 and epoch = $2";
    const RELEASE = "update replays set holder = null, lease_ends_at = 0 where id = $1 and epoch = $2";
    const OWN = "update replays set epoch = epoch where id = $1 and epoch = $2";
    const NEXT = item_sql!("where i.replay_id = $1 and i.result = 0 and i.position >= $2 and i.position < $3 order by i.position limit $4");
    const OF_ATTEMPT = item_sql!("where i.replay_id = $1 and i.result = 0 and i.position >= $2 and i.position < $3 order by i.position");
    const TO_CLAIM = "select i.position, i.dead_letter_id, cast(d.status as smallint) from replay_items i \
        left join dead_letters d on d.id = i.dead_letter_id \
        where i.replay_id = $1 and i.result = 0 and i.position >= $2 and i.position < $3";
    const CLAIMED = "update replays set claimed_to = $2 where id = $1";
    const ATTEMPT = "update replays set attempt = $3 where id = $1 and epoch = $2";
    const CLEAR_ATTEMPT = "update replays set attempt = null, undecided = null, position = $3 where id = $1 and epoch = $2";
    // The replay's number is part of each place, so that both engines look up item by item: given beside them, SQLite would pass by all
    // items that wait.
    const MARK = "update replay_items set result = $3, sent_partition = v.p, sent_offset = v.o, sent_at = $2, result_at = $2 \
        from (select cast(substr(value, 1, 19) as bigint) as r, cast(substr(value, 21, 10) as bigint) as n, \
            cast(substr(value, 32, 10) as integer) as p, nullif(cast(substr(value, 43, 19) as bigint), 0) - 1 as o \
            from json_each(cast($1 as text))) v \
        where replay_id = v.r and position = v.n and result = 0";
    const SENT_COUNT = "update replays set waiting = waiting - $2, sent = sent + $2, sent_total = sent_total + $2 where id = $1";
    const UNKNOWN_COUNT = "update replays set waiting = waiting - $2, unknown = unknown + $2, sent_total = sent_total + $2 where id = $1";
    const SKIP = "update replay_items set result = $3, reason = $4, result_at = $5 where replay_id = $1 and result = 0 \
        and position in (select cast(value as bigint) from json_each(cast($2 as text)))";
    const SKIP_COUNT = "update replays set waiting = waiting - $2, skipped = skipped + $2 where id = $1";
    const FAIL_COUNT = "update replays set waiting = waiting - $2, failed = failed + $2 where id = $1";
    const WAITING = "select position, dead_letter_id from replay_items where replay_id = $1 and position in \
        (select position from replay_items where replay_id = $1 and result = 0 order by position limit $2) order by position";
    const BLOCKED_KEYS = "select key_hash, min(position) from replay_items where replay_id = $1 and key_hash is not null \
        and (result = 2 or (result = 1 and reason in ('no_custody', 'too_large', 'attempt_limit', 'after_failed'))) group by key_hash";
    const WHERE_SENT = "select i.position from replay_items i where i.replay_id = $1 and i.result = 3 and i.position >= $2";
    const REASON = "update replays set state_reason = $3, state_text = $4 where id = $1 and epoch = $2 and state = 2";
    const CANARY = "update replays set canary_sent_at = $3, canary_passed = $4 where id = $1 and epoch = $2";
    const WATCH = "update replays set watch_until = $3 where id = $1 and epoch = $2";
    const GROUP_DELETED = "update replays set group_deleted = true where id = $1 and epoch = $2";
    const FACTS = "select d.id, g.topic, p.number, d.record_offset, d.record_timestamp, d.origin_partition, d.origin_offset, \
        d.origin_timestamp, d.failed_at, f.origin_topic, d.custody_problem, \
        d.key_size + coalesce(d.value_size, 0) + coalesce(length(c.body), 0) as size_bytes \
        from dead_letters d left join custody c on c.dead_letter_id = d.id join partitions p on p.id = d.partition_id join topic_generations g on g.id = p.generation_id \
        join facets f on f.id = d.facet_id where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Letters claimed or released in one transaction.
pub const CLAIM_STEP: i64 = 2_000;

/// Who drives a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Our number of the replay.
    pub number: i64,
    /// Its epoch.
    pub epoch: i64,
}

/// Another owner has taken over; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded;

/// What a write of an owner answers.
pub type Owned<T> = Result<T, Superseded>;

/// Where an item was sent; the offset is `None` when it could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentItem {
    /// Its position.
    pub position: i64,
    /// Target partition.
    pub partition: i32,
    /// Offset there.
    pub offset: Option<i64>,
}

/// A dead letter as it must be sent again.
#[derive(Debug, Clone)]
pub struct Sendable {
    /// Its dead-letter topic.
    pub topic: TopicName,
    /// Where it came from.
    pub origin: Origin,
    /// When it failed.
    pub failed_at: Timestamp,
    /// Key as dead-lettered.
    pub key: Option<Bytes>,
    /// Value as dead-lettered.
    pub value: Option<Bytes>,
    /// Headers as dead-lettered.
    pub headers: Vec<Header>,
    /// Key and value of the source, for a pointer record.
    pub resolved: Option<(Option<Bytes>, Option<Bytes>)>,
    /// Why its content is not there.
    pub custody_problem: Option<String>,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    id: i64,
    topic: String,
    origin_partition: Option<i32>,
    origin_offset: Option<i64>,
    origin_timestamp: Option<i64>,
    failed_at: i64,
    origin_topic: Option<Vec<u8>>,
    custody_problem: Option<String>,
    size_bytes: i64,
}

impl Store {
    /// Takes a replay over: when nobody holds it, when its lease has ended, or, with `alone` (no other instance can exist), at once.
    pub async fn take_replay(
        &self,
        number: i64,
        holder: &str,
        lease: Duration,
        alone: bool,
        now: Timestamp,
    ) -> Result<Option<Owner>, StoreError> {
        let ends_at = now.plus(lease).as_millis();
        let taken: Option<(i64,)> =
            returned!(self, sqlx::query_as(TAKE).bind(number).bind(clean(holder)).bind(ends_at).bind(now.as_millis()).bind(alone))?;
        Ok(taken.map(|(epoch,)| Owner { number, epoch }))
    }

    /// Renews the lease.
    pub async fn renew_replay(&self, owner: Owner, lease: Duration, now: Timestamp) -> Result<Owned<()>, StoreError> {
        let ends_at = now.plus(lease).as_millis();
        let rows = touched!(self, sqlx::query(RENEW).bind(owner.number).bind(owner.epoch).bind(ends_at));
        Ok(owned(rows))
    }

    /// Gives the lease back.
    pub async fn release_replay(&self, owner: Owner) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(RELEASE).bind(owner.number).bind(owner.epoch).execute(pool).await.map(|_| ()))?;
        Ok(())
    }

    /// Says why a running replay sends nothing at present, or that it does.
    pub async fn set_replay_reason(&self, owner: Owner, reason: Option<StateReason>, text: Option<&str>) -> Result<Owned<()>, StoreError> {
        let rows = touched!(
            self,
            sqlx::query(REASON).bind(owner.number).bind(owner.epoch).bind(reason.map(StateReason::code)).bind(text.map(clean))
        );
        Ok(owned(rows))
    }

    /// Notes when the canary was sent and whether it came through.
    pub async fn set_replay_canary(&self, owner: Owner, sent_at: Option<Timestamp>, passed: bool) -> Result<Owned<()>, StoreError> {
        let rows =
            touched!(self, sqlx::query(CANARY).bind(owner.number).bind(owner.epoch).bind(sent_at.map(Timestamp::as_millis)).bind(passed));
        Ok(owned(rows))
    }

    /// Notes until when outcomes are watched.
    pub async fn set_replay_watch(&self, owner: Owner, until: Timestamp) -> Result<Owned<()>, StoreError> {
        let until = until.as_millis();
        let rows = touched!(self, sqlx::query(WATCH).bind(owner.number).bind(owner.epoch).bind(until));
        Ok(owned(rows))
    }

    /// Notes that the job's group on the bus is gone.
    pub async fn set_replay_group_deleted(&self, owner: Owner) -> Result<Owned<()>, StoreError> {
        let rows = touched!(self, sqlx::query(GROUP_DELETED).bind(owner.number).bind(owner.epoch));
        Ok(owned(rows))
    }

    /// Claims the dead letters of the next items: `replaying` from now on. Those that changed since the plan are skipped with the
    /// reason. `again`: replayed and resolved ones may be claimed too. Answers how many were skipped.
    pub async fn claim_items(&self, owner: Owner, from: i64, to: i64, again: bool, now: Timestamp) -> Result<Owned<u64>, StoreError> {
        Ok(write_on!(self, claim(owner, from, to, again, now)))
    }

    /// The next waiting items among the claimed ones.
    pub async fn list_waiting_items(&self, number: i64, from: i64, below: i64, limit: u32) -> Result<Vec<ReplayItem>, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<ItemRow> =
            read!(self, |pool| sqlx::query_as(NEXT).bind(number).bind(from).bind(below).bind(limit).fetch_all(pool).await?)?;
        rows.into_iter().map(ItemRow::into_item).collect()
    }

    /// The items of an attempt that were not marked.
    pub async fn list_attempted_items(&self, number: i64, attempt: &Attempt) -> Result<Vec<ReplayItem>, StoreError> {
        let (from, to) = (attempt.from, attempt.to);
        let rows: Vec<ItemRow> = read!(self, |pool| sqlx::query_as(OF_ATTEMPT).bind(number).bind(from).bind(to).fetch_all(pool).await?)?;
        rows.into_iter().map(ItemRow::into_item).collect()
    }

    /// Keys of which a message could not be sent, each with the position from which on later ones must not go out.
    pub async fn list_blocked_keys(&self, number: i64) -> Result<HashMap<i64, i64>, StoreError> {
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(BLOCKED_KEYS).bind(number).fetch_all(pool).await?)?;
        Ok(rows.into_iter().collect())
    }

    /// Dead letters with their content, by id; those that retention has removed are left out. Stops before they take more than
    /// `most_bytes`, about; answers also how many of `ids` were looked at, one at least.
    pub async fn list_sendable(
        &self,
        ids: &[DeadLetterId],
        most_bytes: usize,
    ) -> Result<(HashMap<DeadLetterId, Sendable>, usize), StoreError> {
        let mut keys: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let list = id_list(&keys);
        let facts: Vec<FactsRow> = read!(self, |pool| sqlx::query_as(FACTS).bind(&list).fetch_all(pool).await?)?;
        let mut facts: HashMap<i64, FactsRow> = facts.into_iter().map(|row| (row.id, row)).collect();
        let mut bytes = 0_u64;
        let fit = keys.iter().take_while(|id| {
            bytes += facts.get(id).map_or(0, |row| row.size_bytes.unsigned_abs());
            bytes <= most_bytes as u64
        });
        let looked_at = fit.count().max(1).min(keys.len());
        keys.truncate(looked_at);
        let bodies = self.bodies(&keys).await?;
        let frames = self.frames(bodies.iter().filter_map(|(_, frames, _)| *frames)).await?;
        let decode = move || {
            let mut found = HashMap::with_capacity(bodies.len());
            for (id, frames_id, body) in bodies {
                let Some(row) = facts.remove(&id) else { continue };
                let frames = frames_id.and_then(|id| frames.get(&id)).map(AsRef::as_ref);
                found.insert(DeadLetterId(id), row.with(custody::decode(&body, frames)?));
            }
            Ok::<_, StoreError>(found)
        };
        let found = tokio::task::spawn_blocking(decode).await.map_err(|error| StoreError::Broken(format!("custody: {error}")))??;
        Ok((found, looked_at))
    }

    /// Writes what is about to be sent. Failpoint `replay.attempt_stored` lies behind it.
    pub async fn begin_attempt(&self, owner: Owner, attempt: &Attempt) -> Result<Owned<()>, StoreError> {
        let text = json(attempt)?;
        let rows = touched!(self, sqlx::query(ATTEMPT).bind(owner.number).bind(owner.epoch).bind(&text));
        failpoint::pass("replay.attempt_stored");
        Ok(owned(rows))
    }

    /// Ends an attempt of which nothing was sent: its items wait again, from `position` on.
    pub async fn clear_attempt(&self, owner: Owner, position: i64) -> Result<Owned<()>, StoreError> {
        let rows = touched!(self, sqlx::query(CLEAR_ATTEMPT).bind(owner.number).bind(owner.epoch).bind(position));
        Ok(owned(rows))
    }

    /// Marks the items of an attempt as sent, their dead letters as replayed, and ends the attempt; the next begins at `next`.
    /// Failpoint `replay.before_mark` lies before it.
    pub async fn mark_sent(
        &self,
        owner: Owner,
        sent: &[SentItem],
        letters: &[DeadLetterId],
        next: i64,
        now: Timestamp,
    ) -> Result<Owned<()>, StoreError> {
        failpoint::pass("replay.before_mark");
        Ok(write_on!(self, mark(owner, sent, letters, ItemResult::Sent, next, now)))
    }

    /// Marks the items of an attempt that nobody can decide as unknown. They may have been sent: their dead letters count as replayed.
    pub async fn mark_unknown(
        &self,
        owner: Owner,
        items: &[SentItem],
        letters: &[DeadLetterId],
        next: i64,
        now: Timestamp,
    ) -> Result<Owned<()>, StoreError> {
        Ok(write_on!(self, mark(owner, items, letters, ItemResult::Unknown, next, now)))
    }

    /// Skips claimed items; their dead letters are open again.
    pub async fn skip_items(
        &self,
        owner: Owner,
        items: &[(i64, DeadLetterId)],
        reason: SkipReason,
        now: Timestamp,
    ) -> Result<Owned<()>, StoreError> {
        Ok(write_on!(self, put_aside(owner, &positions(items), &letters(items), ItemResult::Skipped, reason.as_str(), now)))
    }

    /// Notes that the bus refused an item, in its words; its dead letter is open again.
    pub async fn fail_item(&self, owner: Owner, item: (i64, DeadLetterId), reason: &str, now: Timestamp) -> Result<Owned<()>, StoreError> {
        Ok(write_on!(self, put_aside(owner, &[item.0], &[item.1.0], ItemResult::Failed, reason, now)))
    }

    /// Skips at most [`CLAIM_STEP`] waiting items of a job that ends; their dead letters are open again. Answers how many.
    pub async fn release_items(&self, owner: Owner, claimed_to: i64, now: Timestamp) -> Result<Owned<u64>, StoreError> {
        let number = owner.number;
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(WAITING).bind(number).bind(CLAIM_STEP).fetch_all(pool).await?)?;
        let positions: Vec<i64> = rows.iter().map(|(position, _)| *position).collect();
        // The dead letter of an item that was never claimed may be in the hands of another job.
        let letters: Vec<i64> = rows.iter().filter(|(position, _)| *position < claimed_to).map(|(_, id)| *id).collect();
        if positions.is_empty() {
            return Ok(Ok(0));
        }
        let reason = SkipReason::JobEnded.as_str();
        let released = write_on!(self, put_aside(owner, &positions, &letters, ItemResult::Skipped, reason, now));
        Ok(released.map(|()| positions.len() as u64))
    }

    /// Positions of items marked as sent, from a position on. For tests of recovery.
    #[doc(hidden)]
    pub async fn list_sent_positions(&self, number: i64, from: i64) -> Result<Vec<i64>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(WHERE_SENT).bind(number).bind(from).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(position,)| position).collect())
    }
}

impl FactsRow {
    fn with(self, content: custody::Content) -> Sendable {
        Sendable {
            topic: TopicName::new(self.topic),
            origin: Origin {
                topic: super::name(self.origin_topic).map(TopicName::new),
                partition: self.origin_partition,
                offset: self.origin_offset,
                timestamp: self.origin_timestamp.map(Timestamp::from_millis),
            },
            failed_at: Timestamp::from_millis(self.failed_at),
            key: content.key,
            value: content.value,
            headers: content.headers,
            resolved: content.resolved,
            custody_problem: self.custody_problem,
        }
    }
}

/// Whether a write that names the epoch found its row.
const fn owned(rows: u64) -> Owned<()> {
    if rows == 1 { Ok(()) } else { Err(Superseded) }
}

fn positions(items: &[(i64, DeadLetterId)]) -> Vec<i64> {
    items.iter().map(|(position, _)| *position).collect()
}

fn letters(items: &[(i64, DeadLetterId)]) -> Vec<i64> {
    items.iter().map(|(_, id)| id.0).collect()
}

/// Replay, position, partition and offset as text of fixed width, which both engines can take apart; the offset counts from 1, 0 is none.
fn places(owner: Owner, sent: &[SentItem]) -> String {
    let place = |item: &SentItem| {
        let offset = item.offset.map_or(0, |offset| offset.saturating_add(1));
        format!("{:019} {:010} {:010} {offset:019}", owner.number, item.position, item.partition)
    };
    serde_json::to_string(&sent.iter().map(place).collect::<Vec<_>>()).expect("a list of strings is JSON")
}

engines! {
    /// Whether this owner is the present one; holds others up until the transaction ends.
    async fn owns(tx: &mut Connection, owner: Owner) -> Result<bool, StoreError> {
        Ok(sqlx::query(OWN).bind(owner.number).bind(owner.epoch).execute(tx).await?.rows_affected() == 1)
    }

    pub(in crate::store) async fn claim(tx: &mut Connection, owner: Owner, from: i64, to: i64, again: bool, now: Timestamp) -> Result<Owned<u64>, StoreError> {
        if !owns(tx, owner).await? {
            return Ok(Err(Superseded));
        }
        let rows: Vec<(i64, i64, Option<i16>)> = sqlx::query_as(TO_CLAIM).bind(owner.number).bind(from).bind(to).fetch_all(&mut *tx).await?;
        let mut claimed = std::collections::HashSet::new();
        let allowed: &[Status] = if again { &[Status::Open, Status::Replayed, Status::Resolved] } else { &[Status::Open] };
        for status in allowed {
            let ids: Vec<i64> = rows.iter().filter(|(_, _, code)| *code == Some(status.code())).map(|(_, id, _)| *id).collect();
            if !ids.is_empty() {
                claimed.extend(tx.change_status(&ids, *status, Status::Replaying, now).await?);
            }
        }
        let gone: Vec<i64> = rows.iter().filter(|(_, _, code)| code.is_none()).map(|(position, ..)| *position).collect();
        let changed: Vec<i64> =
            rows.iter().filter(|(_, id, code)| code.is_some() && !claimed.contains(id)).map(|(position, ..)| *position).collect();
        for (positions, reason) in [(&gone, SkipReason::Gone), (&changed, SkipReason::Changed)] {
            set_aside(tx, owner, positions, ItemResult::Skipped, reason.as_str(), now).await?;
        }
        sqlx::query(CLAIMED).bind(owner.number).bind(to).execute(&mut *tx).await?;
        Ok(Ok((gone.len() + changed.len()) as u64))
    }

    pub(in crate::store) async fn mark(tx: &mut Connection, owner: Owner, sent: &[SentItem], letters: &[DeadLetterId], result: ItemResult, next: i64, now: Timestamp) -> Result<Owned<()>, StoreError> {
        if sqlx::query(CLEAR_ATTEMPT).bind(owner.number).bind(owner.epoch).bind(next).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Err(Superseded));
        }
        let marked = sqlx::query(MARK).bind(places(owner, sent)).bind(now.as_millis()).bind(result.code()).execute(&mut *tx).await?;
        let marked = i64::try_from(marked.rows_affected()).unwrap_or(i64::MAX);
        let count = if result == ItemResult::Sent { SENT_COUNT } else { UNKNOWN_COUNT };
        sqlx::query(count).bind(owner.number).bind(marked).execute(&mut *tx).await?;
        let ids: Vec<i64> = letters.iter().map(|id| id.0).collect();
        tx.change_status(&ids, Status::Replaying, Status::Replayed, now).await?;
        Ok(Ok(()))
    }

    pub(in crate::store) async fn put_aside(tx: &mut Connection, owner: Owner, positions: &[i64], letters: &[i64], result: ItemResult, reason: &str, now: Timestamp) -> Result<Owned<()>, StoreError> {
        if !owns(tx, owner).await? {
            return Ok(Err(Superseded));
        }
        set_aside(tx, owner, positions, result, reason, now).await?;
        tx.change_status(letters, Status::Replaying, Status::Open, now).await?;
        Ok(Ok(()))
    }

    async fn set_aside(tx: &mut Connection, owner: Owner, positions: &[i64], result: ItemResult, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        if positions.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(SKIP).bind(owner.number).bind(id_list(positions)).bind(result.code()).bind(clean(reason)).bind(now.as_millis());
        let count = i64::try_from(query.execute(&mut *tx).await?.rows_affected()).unwrap_or(i64::MAX);
        let statement = if result == ItemResult::Failed { FAIL_COUNT } else { SKIP_COUNT };
        sqlx::query(statement).bind(owner.number).bind(count).execute(&mut *tx).await?;
        Ok(())
    }
}
