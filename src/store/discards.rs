//! Discards and restores: durable acts on statuses, done in steps. Each step is one transaction that names the step it follows, so
//! that whoever goes on with an act, here or in another instance, does no step twice.

use super::indexing::id_list;
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::discard::{Discard, DiscardId, DiscardKind, LetterDiscard, LetterRestore};
use crate::model::{Actor, DeadLetterId, Selection, Status, Timestamp};

pub(super) mod rows;
pub(super) mod steps;

use rows::{ActRow, LetterRow};
use steps::StopDiscard;

macro_rules! act_sql {
    ($tail:literal) => {
        concat!(
            "select a.id, a.discard_id, a.kind, a.actor, a.address, a.reason, a.selection, a.target, a.undoes, u.discard_id as undoes_id, \
             a.upper_id, a.state, a.step, a.cursor_key, a.cursor_id, a.total, a.changed, a.skipped, a.created_at, a.ended_at, \
             a.undone_at, a.undone_by from discards a left join discards u on u.id = a.undoes ",
            $tail
        )
    };
}

statements! {
    const ADD = "insert into discards (discard_id, kind, actor, address, reason, selection, target, undoes, upper_id, state, step, \
        total, changed, skipped, created_at, touched_at) \
        select $1, $2, $3, $4, $5, $6, $7, $8, coalesce(max(id), 0), 0, 0, 0, 0, 0, $9, $9 from dead_letters";
    const FIND = act_sql!("where a.discard_id = $1");
    const AT_WORK = "select discard_id from discards where state < 2 and touched_at <= $1 order by id limit 100";
    const OF_LETTER = "select a.discard_id, a.actor, a.reason, i.changed_at, r.discard_id as restore_id, r.actor as restore_actor, \
        ri.changed_at as restored_at from discard_items i join discards a on a.id = i.discard_id \
        left join discards r on r.id = i.restored_by \
        left join discard_items ri on ri.discard_id = i.restored_by and ri.dead_letter_id = i.dead_letter_id \
        where i.dead_letter_id = $1 and i.result = 1 and a.kind = 0 order by i.discard_id desc limit 50";
    const WITH_STATUS = "select count(*) from dead_letters where +status = $2 \
        and id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const PRUNE_ITEMS = "delete from discard_items where discard_id = $1 and dead_letter_id in \
        (select dead_letter_id from discard_items where discard_id = $1 limit $2)";
    const ENDED = "select id from discards where ended_at < $1 order by ended_at limit 1";
    const PRUNE = "delete from discards where id = $1";
}

/// An act that a person asks for.
#[derive(Debug, Clone)]
pub struct NewDiscard {
    /// Its public id.
    pub id: DiscardId,
    /// What it does.
    pub kind: DiscardKind,
    /// Who asks.
    pub actor: Actor,
    /// Why; empty for a restore.
    pub reason: String,
    /// Which dead letters.
    pub scope: Scope,
    /// The scope as the audit names it.
    pub target: String,
}

/// Which dead letters an act is about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What a person has selected.
    Selection(Selection),
    /// What this discard has changed and nobody has restored since.
    ChangedBy(String),
}

/// Where an act stands after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More(Discard),
    /// It has ended.
    Ended(Discard),
    /// Nothing was in its scope: there is no such act any more.
    Empty,
}

impl Store {
    /// Writes down an act that nobody has begun. The newest dead letter of this moment bounds its scope. A discard that is to be
    /// taken back while it goes on is stopped in the same moment. `None`: there is no such discard.
    pub async fn add_discard(&self, new: &NewDiscard, now: Timestamp) -> Result<Option<Discard>, StoreError> {
        let undone = match &new.scope {
            Scope::Selection(_) => None,
            Scope::ChangedBy(id) => match self.find_act(id).await?.filter(|act| act.kind == DiscardKind::Discard.code()) {
                Some(act) => Some(act.id),
                None => return Ok(None),
            },
        };
        let scope = serde_json::to_string(&new.scope).map_err(|error| StoreError::Broken(error.to_string()))?;
        write_on!(self, add(new, &scope, undone, now));
        self.find_discard(&new.id).await
    }

    /// An act by its public id.
    pub async fn find_discard(&self, id: &DiscardId) -> Result<Option<Discard>, StoreError> {
        self.find_act(id.as_str()).await?.map(ActRow::into_discard).transpose()
    }

    /// Acts that go on and that nobody has touched since `before`, oldest first.
    pub async fn list_discards_at_work(&self, before: Timestamp) -> Result<Vec<DiscardId>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(AT_WORK).bind(before.as_millis()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(|(id,)| DiscardId::parse(&id)).collect())
    }

    /// Discards that changed a dead letter, newest first.
    pub async fn list_discards_of_letter(&self, id: DeadLetterId) -> Result<Vec<LetterDiscard>, StoreError> {
        let rows: Vec<LetterRow> = read!(self, |pool| sqlx::query_as(OF_LETTER).bind(id.0).fetch_all(pool).await?)?;
        rows.into_iter().map(LetterRow::into_discard).collect()
    }

    /// How many of these have this status.
    pub async fn count_with_status(&self, ids: &[DeadLetterId], status: Status) -> Result<u64, StoreError> {
        let ids = id_list(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(WITH_STATUS).bind(&ids).bind(status.code()).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// Removes at most `limit` items of an act that ended before `before`, or the act when it has none left. Answers how many rows.
    pub async fn prune_discards(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let row: Option<(i64,)> = read!(self, |pool| sqlx::query_as(ENDED).bind(before.as_millis()).fetch_optional(pool).await?)?;
        let Some((number,)) = row else { return Ok(0) };
        let removed = touched!(self, sqlx::query(PRUNE_ITEMS).bind(number).bind(i64::from(limit)));
        if removed > 0 {
            return Ok(removed);
        }
        touched!(self, sqlx::query(PRUNE).bind(number));
        // As many as were asked for: there may be more acts.
        Ok(u64::from(limit))
    }

    async fn find_act(&self, id: &str) -> Result<Option<ActRow>, StoreError> {
        read!(self, |pool| sqlx::query_as(FIND).bind(id).fetch_optional(pool).await?)
    }
}

engines! {
    pub(super) async fn add(tx: &mut Connection, new: &NewDiscard, scope: &str, undone: Option<i64>, now: Timestamp) -> Result<(), StoreError> {
        if let Some(undone) = undone {
            tx.stop_discard(undone, now).await?;
        }
        sqlx::query(ADD)
            .bind(new.id.as_str())
            .bind(new.kind.code())
            .bind(clean(&new.actor.name))
            .bind(new.actor.address.as_deref().map(clean))
            .bind(clean(&new.reason))
            .bind(clean(scope))
            .bind(clean(&new.target))
            .bind(undone)
            .bind(now.as_millis())
            .execute(tx)
            .await?;
        Ok(())
    }
}

/// Who restored a dead letter, when that is known.
fn restore(id: Option<&str>, actor: Option<String>, at: Option<i64>) -> Option<LetterRestore> {
    Some(LetterRestore { id: DiscardId::parse(id?)?, actor: actor?, at: Timestamp::from_millis(at?) })
}
