//! Purges: plans with one cut per partition, and what became of each cut.

use super::audit::RecordAudit as _;
use super::replays::json;
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::purge::{Below, CutResult, Purge, PurgeId, PurgePartition, PurgeReason, PurgeScope, PurgeState};
use crate::model::replay::Check;
use crate::model::{Actor, AuditEntry, BusId, Cursor, Page, PageRequest, Timestamp, TopicName};

mod rows;

use rows::{PartitionRow, PurgeRow};

macro_rules! purge_sql {
    ($tail:literal) => {
        concat!(
            "select u.id, u.purge_id, b.bus, u.generation_id, u.topic, u.topic_id, u.scope, u.state, u.state_reason, u.state_text, \
             u.cancel_asked_by, u.planned_by, u.planned_from, u.started_by, u.started_from, u.checks, u.checked_at, u.created_at, \
             u.started_at, u.ended_at from purges u join buses b on b.id = u.bus_id ",
            $tail
        )
    };
}

statements! {
    const ADD = "insert into purges (purge_id, bus_id, generation_id, topic, topic_id, scope, state, planned_by, planned_from, checks, \
        checked_at, created_at) select $1, g.bus_id, g.id, g.topic, $3, $4, 0, $5, $6, $7, $8, $8 from topic_generations g where g.id = $2 \
        returning id";
    const ADD_PARTITION = "insert into purge_partitions (purge_id, number, partition_id, log_start, cut, end_offset, letters, open, \
        replaying, without_custody, losses, result) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)";
    const FIND = purge_sql!("where u.purge_id = $1");
    const LIST = purge_sql!("where u.id < $1 and (cast($2 as text) is null or b.bus = $2) order by u.id desc limit $3");
    const PARTITIONS = "select purge_id, number, partition_id, log_start, cut, end_offset, letters, open, replaying, without_custody, \
        losses, result, error from purge_partitions \
        where purge_id in (select cast(value as bigint) from json_each(cast($1 as text))) order by purge_id, number";
    const AT_WORK = "select purge_id from purges where state = 1 order by id";
    const EXPIRED = "select purge_id from purges where state = 0 and created_at < $1 order by id limit 100";
    const MOVE = "update purges set state = cast($3 as smallint), state_reason = $4, state_text = $5, \
        started_at = case when cast($3 as smallint) = 1 then $6 else started_at end, started_by = case when cast($3 as smallint) = 1 then $7 else started_by end, \
        started_from = case when cast($3 as smallint) = 1 then $8 else started_from end, ended_at = case when cast($3 as smallint) > 1 then $6 else ended_at end \
        where id = $1 and state = $2";
    const REASON = "update purges set state_reason = $2, state_text = $3 where id = $1 and state = 1";
    const ASK_CANCEL = "update purges set cancel_asked_by = $2 where id = $1 and state = 1 and cancel_asked_by is null";
    const SET_CHECKS = "update purges set checks = $2, checked_at = $3 where id = $1 and state = 0";
    const SET_BELOW = "update purge_partitions set letters = $3, open = $4, replaying = $5, without_custody = $6, losses = $7 \
        where purge_id = $1 and number = $2";
    const MARK = "update purge_partitions set result = $3, error = $4, done_at = $5 where purge_id = $1 and number = $2 and result = 0";
    const PURGED = "update partitions set purged_below = case when purged_below is null or purged_below < $2 then $2 else purged_below end, \
        log_start = case when log_start is null or log_start < $3 then $3 else log_start end where id = $1";
    const BELOW = "select count(*), coalesce(sum(case when status = 0 then 1 else 0 end), 0), \
        coalesce(sum(case when status = 1 then 1 else 0 end), 0), coalesce(sum(case when custody_problem is not null then 1 else 0 end), 0) \
        from dead_letters where partition_id = $1 and record_offset >= $2 and record_offset < $3";
    const GAPS = "select from_offset, to_offset from gaps where partition_id = $1 and to_offset > $2 and from_offset < $3";
    const PRUNE = "delete from purges where id in (select id from purges where ended_at < $1 order by id limit $2)";
}

/// A plan on its way into the store.
#[derive(Debug, Clone)]
pub struct NewPurge {
    /// Its public id.
    pub id: PurgeId,
    /// Our id of the topic generation.
    pub generation_id: i64,
    /// Topic id of that generation, where the bus tells it.
    pub topic_id: Option<String>,
    /// How the cuts were chosen.
    pub scope: PurgeScope,
    /// Who plans.
    pub actor: Actor,
    /// What was checked.
    pub checks: Vec<Check>,
    /// The cuts.
    pub partitions: Vec<PurgePartition>,
}

/// A step of a purge from one state to another, with its entry in the audit.
#[derive(Debug, Clone)]
pub struct PurgeChange {
    /// Where it must stand.
    pub from: PurgeState,
    /// Where it goes.
    pub to: PurgeState,
    /// Why.
    pub reason: Option<PurgeReason>,
    /// The reason in words.
    pub text: Option<String>,
    /// What the audit says of it; the actor of a start is who started it.
    pub audit: AuditEntry,
}

impl Store {
    /// Writes a plan.
    pub async fn add_purge(&self, new: &NewPurge, entry: &AuditEntry, now: Timestamp) -> Result<Purge, StoreError> {
        write_on!(self, add(new, entry, now));
        self.find_purge(&new.id).await?.ok_or_else(|| StoreError::Broken("a plan that was just written is not there".to_owned()))
    }

    /// A purge with its partitions.
    pub async fn find_purge(&self, id: &PurgeId) -> Result<Option<Purge>, StoreError> {
        let row: Option<PurgeRow> = read!(self, |pool| sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(pool).await?)?;
        Ok(self.with_partitions(row.into_iter().collect()).await?.pop())
    }

    /// Purges, newest first; of one bus when asked.
    pub async fn list_purges(&self, bus: Option<&BusId>, page: &PageRequest) -> Result<Page<Purge>, StoreError> {
        let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let bus = bus.map(|bus| clean(bus.as_str()));
        let limit = i64::from(page.limit) + 1;
        let mut rows: Vec<PurgeRow> = read!(self, |pool| sqlx::query_as(LIST).bind(before).bind(&bus).bind(limit).fetch_all(pool).await?)?;
        let more = rows.len() > page.limit as usize;
        rows.truncate(page.limit as usize);
        let items = self.with_partitions(rows).await?;
        let next_cursor = items.last().filter(|_| more).map(|purge| Cursor { key: 0, id: purge.number });
        Ok(Page { items, next_cursor })
    }

    /// Purges that run.
    pub async fn list_purges_at_work(&self) -> Result<Vec<PurgeId>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(AT_WORK).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(|(id,)| PurgeId::parse(&id)).collect())
    }

    /// Plans from before `before` that nobody has started.
    pub async fn list_expired_purges(&self, before: Timestamp) -> Result<Vec<PurgeId>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(EXPIRED).bind(before.as_millis()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(|(id,)| PurgeId::parse(&id)).collect())
    }

    /// Moves a purge on and writes the audit with it; `false` when it stands elsewhere by now, and nothing is written.
    pub async fn move_purge(&self, number: i64, change: &PurgeChange) -> Result<bool, StoreError> {
        Ok(write_on!(self, go(number, change)))
    }

    /// Says why a running purge waits; `None` when it goes on.
    pub async fn set_purge_reason(&self, number: i64, reason: Option<PurgeReason>, text: Option<&str>) -> Result<(), StoreError> {
        touched!(self, sqlx::query(REASON).bind(number).bind(reason.map(PurgeReason::code)).bind(text.map(clean)));
        Ok(())
    }

    /// Asks whoever drives a running purge to end it; `false` when that was asked before, or it does not run.
    pub async fn ask_cancel_of_purge(&self, number: i64, actor: &str) -> Result<bool, StoreError> {
        Ok(touched!(self, sqlx::query(ASK_CANCEL).bind(number).bind(clean(actor))) > 0)
    }

    /// Replaces what a plan's checks found; its cuts stay.
    pub async fn set_purge_checks(&self, purge: &Purge, now: Timestamp) -> Result<(), StoreError> {
        write_on!(self, set_checks(purge, now));
        Ok(())
    }

    /// Writes what became of a cut. One that was made is where the log of the partition begins now (`log_start`), and what lay below
    /// it is purged.
    pub async fn mark_cut(
        &self,
        number: i64,
        partition: &PurgePartition,
        made: Result<i64, &str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        write_on!(self, mark(number, partition, made, now));
        Ok(())
    }

    /// What lies from `start` on below `cut` in a partition.
    pub async fn count_below(&self, partition_id: i64, start: i64, cut: i64) -> Result<Below, StoreError> {
        let (letters, open, replaying, problems): (i64, i64, i64, i64) =
            read!(self, |pool| sqlx::query_as(BELOW).bind(partition_id).bind(start).bind(cut).fetch_one(pool).await?)?;
        let gaps: Vec<(i64, i64)> =
            read!(self, |pool| sqlx::query_as(GAPS).bind(partition_id).bind(start).bind(cut).fetch_all(pool).await?)?;
        let missed: u64 = gaps.into_iter().map(|(from, to)| to.min(cut).saturating_sub(from.max(start)).max(0).unsigned_abs()).sum();
        Ok(Below {
            letters: letters.unsigned_abs(),
            open: open.unsigned_abs(),
            replaying: replaying.unsigned_abs(),
            without_custody: problems.unsigned_abs() + missed,
        })
    }

    /// Removes at most `limit` purges that ended before `before`.
    pub async fn prune_purges(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }

    async fn with_partitions(&self, rows: Vec<PurgeRow>) -> Result<Vec<Purge>, StoreError> {
        let numbers = super::indexing::id_list(&rows.iter().map(|row| row.id).collect::<Vec<_>>());
        let cuts: Vec<PartitionRow> = read!(self, |pool| sqlx::query_as(PARTITIONS).bind(&numbers).fetch_all(pool).await?)?;
        let mut purges = rows.into_iter().map(PurgeRow::into_purge).collect::<Result<Vec<_>, _>>()?;
        for cut in cuts {
            if let Some(purge) = purges.iter_mut().find(|purge| purge.number == cut.purge_id) {
                purge.partitions.push(cut.into_partition()?);
            }
        }
        Ok(purges)
    }
}

engines! {
    pub(super) async fn add(tx: &mut Connection, new: &NewPurge, entry: &AuditEntry, now: Timestamp) -> Result<(), StoreError> {
        let (number,): (i64,) = sqlx::query_as(ADD)
            .bind(new.id.as_str())
            .bind(new.generation_id)
            .bind(new.topic_id.as_deref().map(clean))
            .bind(json(&new.scope)?)
            .bind(clean(&new.actor.name))
            .bind(new.actor.address.as_deref().map(clean))
            .bind(clean(&json(&new.checks)?))
            .bind(now.as_millis())
            .fetch_one(&mut *tx)
            .await?;
        for cut in &new.partitions {
            sqlx::query(ADD_PARTITION)
                .bind(number)
                .bind(cut.partition)
                .bind(cut.partition_id)
                .bind(cut.start)
                .bind(cut.cut)
                .bind(cut.end)
                .bind(cut.below.letters.cast_signed())
                .bind(cut.below.open.cast_signed())
                .bind(cut.below.replaying.cast_signed())
                .bind(cut.below.without_custody.cast_signed())
                .bind(clean(&json(&cut.losses)?))
                .execute(&mut *tx)
                .await?;
        }
        tx.record_audit(entry).await
    }

    pub(super) async fn go(tx: &mut Connection, number: i64, change: &PurgeChange) -> Result<bool, StoreError> {
        let actor = &change.audit.actor;
        let moved = sqlx::query(MOVE)
            .bind(number)
            .bind(change.from.code())
            .bind(change.to.code())
            .bind(change.reason.map(PurgeReason::code))
            .bind(change.text.as_deref().map(clean))
            .bind(change.audit.at.as_millis())
            .bind(clean(&actor.name))
            .bind(actor.address.as_deref().map(clean))
            .execute(&mut *tx)
            .await?
            .rows_affected();
        if moved > 0 {
            tx.record_audit(&change.audit).await?;
        }
        Ok(moved > 0)
    }

    pub(super) async fn set_checks(tx: &mut Connection, purge: &Purge, now: Timestamp) -> Result<(), StoreError> {
        let checks = clean(&json(&purge.checks)?);
        let set = sqlx::query(SET_CHECKS).bind(purge.number).bind(checks).bind(now.as_millis()).execute(&mut *tx).await?;
        if set.rows_affected() == 0 {
            return Ok(());
        }
        for cut in &purge.partitions {
            sqlx::query(SET_BELOW)
                .bind(purge.number)
                .bind(cut.partition)
                .bind(cut.below.letters.cast_signed())
                .bind(cut.below.open.cast_signed())
                .bind(cut.below.replaying.cast_signed())
                .bind(cut.below.without_custody.cast_signed())
                .bind(clean(&json(&cut.losses)?))
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn mark(tx: &mut Connection, number: i64, cut: &PurgePartition, made: Result<i64, &str>, now: Timestamp) -> Result<(), StoreError> {
        let result = if made.is_ok() { CutResult::Done } else { CutResult::Failed };
        let mark = sqlx::query(MARK).bind(number).bind(cut.partition).bind(result.code()).bind(made.err().map(clean));
        mark.bind(now.as_millis()).execute(&mut *tx).await?;
        if let Ok(log_start) = made && cut.cut > cut.start {
            sqlx::query(PURGED).bind(cut.partition_id).bind(cut.cut).bind(log_start).execute(tx).await?;
        }
        Ok(())
    }
}
