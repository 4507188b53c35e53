//! Replays: durable jobs with their items. What their owner writes carries the epoch of its lease; see [`sending`].

use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::replay::{
    Check, Replay, ReplayEvent, ReplayId, ReplayItem, ReplaySettings, ReplayState, Request, Route, StateReason, Undecided,
};
use crate::model::{Actor, BusId, Cursor, DeadLetterId, Page, PageRequest, Timestamp};

pub mod outcome;
pub mod planning;
mod rows;
pub mod sending;

use rows::{EventRow, ItemRow, ReplayRow, RouteRow};

macro_rules! replay_sql {
    ($tail:literal) => {
        concat!(
            "select r.id, r.replay_id, b.bus, r.name, r.state, r.state_reason, r.state_text, r.state_at, r.request, r.undecided, \
             r.planned_by, r.planned_from, r.started_by, r.policy_id, r.selection, r.settings, r.delivery, r.upper_id, r.token, r.epoch, \
             r.waiting, r.skipped, r.failed, r.sent, r.consumed, r.resolved, r.failed_again, r.unknown, r.sent_total, r.position, \
             r.claimed_to, r.attempt, r.canary_sent_at, r.canary_passed, r.checks, r.checked_at, r.created_at, r.started_at, r.ended_at, \
             r.watch_until, r.group_deleted \
             from replays r join buses b on b.id = r.bus_id ",
            $tail
        )
    };
}

macro_rules! item_sql {
    ($tail:literal) => {
        concat!(
            "select i.replay_id, i.position, i.dead_letter_id, i.result, i.reason, i.route, i.message_id, i.attempt, i.key_hash, \
             i.sent_partition, i.sent_offset, i.sent_at, i.result_at, i.successor_id from replay_items i ",
            $tail
        )
    };
}
pub(in crate::store) use item_sql;

statements! {
    const ADD = "insert into replays (replay_id, bus_id, name, state, state_at, planned_by, planned_from, policy_id, selection, settings, \
        delivery, upper_id, token, epoch, lease_ends_at, waiting, skipped, failed, sent, consumed, resolved, failed_again, unknown, \
        sent_total, position, claimed_to, canary_passed, checks, created_at, group_deleted) \
        select $1, b.id, $2, 0, $3, $4, $5, $6, $7, $8, 0, (select coalesce(max(id), 0) from dead_letters), $9, 0, 0, \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, false, '[]', $3, false from buses b where b.bus = $10 \
        and (cast($6 as bigint) is null or (exists (select 1 from replay_policies p where p.id = $6 and p.enabled and p.gave_up_at is null) \
        and not exists (select 1 from replays o where o.policy_id = $6 and o.state < 4)))";
    const FIND = replay_sql!("where r.replay_id = $1");
    const BY_NUMBER = replay_sql!("where r.id = $1");
    const LIST = replay_sql!("where r.id < $1 and (cast($2 as text) is null or b.bus = $2) \
        and (cast($3 as text) is null or r.state in (select cast(value as bigint) from json_each(cast($3 as text)))) \
        and (cast($4 as bigint) is null or r.policy_id = $4) order by r.id desc limit $5");
    const AT_WORK = replay_sql!("where r.state in (0, 2, 3) or (not r.group_deleted and r.sent_total > 0 and r.watch_until is not null) order by r.id");
    const WATCHED = replay_sql!("where (r.state in (2, 3) or r.watch_until > $1) and r.sent_total > 0 order by r.id");
    const ROUTES = "select route, target, target_topic_id, target_partitions, partition_kept_from, consumer_group, inferred, settle_ms, items \
        from replay_routes where replay_id = $1 order by route";
    const ITEMS = item_sql!("where i.replay_id = $1 and i.position > $2 order by i.position limit $3");
    const ITEMS_BY_RESULT = item_sql!("where i.replay_id = $1 and i.position in (select position from replay_items \
        where replay_id = $1 and result = $2 and position > $3 order by position limit $4) order by i.position");
    const ITEMS_BY_REASON = item_sql!("where i.replay_id = $1 and i.result = $2 and i.position > $3 and i.reason = $4 \
        order by i.position limit $5");
    const OF_LETTER = "select r.replay_id, r.name, i.position, i.dead_letter_id, i.result, i.reason, i.route, i.message_id, i.attempt, \
        i.key_hash, i.sent_partition, i.sent_offset, i.sent_at, i.result_at, i.successor_id, ro.target, r.planned_by, r.created_at \
        from replay_items i join replays r on r.id = i.replay_id \
        left join replay_routes ro on ro.replay_id = i.replay_id and ro.route = i.route \
        where i.dead_letter_id = $1 order by r.id desc limit 100";
    const MOVE = "update replays set state = cast($3 as smallint), state_reason = $4, state_text = $5, state_at = $6, \
        request = case when cast($3 as smallint) > 3 or (cast($3 as smallint) = 3 and request = 0) then null else request end, \
        started_at = case when cast($3 as smallint) = 2 and started_at is null then $6 else started_at end, \
        started_by = case when cast($3 as smallint) = 2 and started_by is null then $7 else started_by end, \
        ended_at = case when cast($3 as smallint) > 3 then $6 else ended_at end \
        where replay_id = $1 and state = $2 and (cast($8 as bigint) is null or epoch = $8)";
    const REQUEST = "update replays set request = cast($2 as smallint), requested_by = $3 where replay_id = $1 and state in (0, 2, 3) \
        and (request is null or request < cast($2 as smallint))";
    const UNDECIDED = "update replays set undecided = $2 where replay_id = $1";
    const SET_SETTINGS = "update replays set settings = $2 where replay_id = $1 and state < 4";
    const SET_CHECKS = "update replays set checks = $2, checked_at = $3 where replay_id = $1";
    const ADD_EVENT = "insert into replay_events (replay_id, occurred_at, actor, text) select id, $2, $3, $4 from replays where replay_id = $1";
    const EVENTS = "select e.occurred_at, e.actor, e.text from replay_events e join replays r on r.id = e.replay_id \
        where r.replay_id = $1 order by e.id desc limit 200";
    const REMOVE_ITEMS = "delete from replay_items where replay_id = $1 and position in \
        (select position from replay_items where replay_id = $1 limit 2000)";
    const REMOVE = "delete from replays where id = $1 and state in (1, 5, 6) and sent_total = 0";
}

/// A new replay, not planned yet.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Its public id.
    pub id: ReplayId,
    /// Bus.
    pub bus: BusId,
    /// What a person calls it.
    pub name: String,
    /// Who asks.
    pub actor: Actor,
    /// The policy that it belongs to.
    pub policy_id: Option<i64>,
    /// What is selected, as JSON.
    pub selection: String,
    /// What was decided.
    pub settings: ReplaySettings,
    /// Random name of its producer and group.
    pub token: String,
}

/// What a list of replays is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayFilter {
    /// Bus.
    pub bus: Option<BusId>,
    /// States; empty = all.
    pub states: Vec<ReplayState>,
    /// Policy.
    pub policy_id: Option<i64>,
}

/// Which items of a replay are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemFilter {
    /// By present result.
    pub result: Option<crate::model::replay::ItemResult>,
    /// With a result only: by reason.
    pub reason: Option<String>,
}

/// A dead letter's item in one replay, for its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterReplay {
    /// Which replay.
    pub replay: ReplayId,
    /// Its name.
    pub name: String,
    /// Who planned it.
    pub planned_by: String,
    /// When it was planned.
    pub created_at: Timestamp,
    /// Target topic, where known.
    pub target: Option<String>,
    /// The item.
    pub item: ReplayItem,
}

/// A step from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Where it must stand.
    pub from: ReplayState,
    /// Where it goes.
    pub to: ReplayState,
    /// Why.
    pub reason: Option<StateReason>,
    /// The reason in words.
    pub text: Option<String>,
    /// Who.
    pub actor: String,
    /// The owner's epoch, when an owner says it; nothing happens once another has taken over.
    pub epoch: Option<i64>,
}

impl Store {
    /// Adds a replay in state `planning`. The newest dead letter of this moment bounds its scope. `None`: there is no such bus, or its
    /// policy is off or has a run already.
    pub async fn add_replay(&self, new: &NewReplay, now: Timestamp) -> Result<Option<Replay>, StoreError> {
        let settings = json(&new.settings)?;
        let added = touched!(
            self,
            sqlx::query(ADD)
                .bind(new.id.as_str())
                .bind(clean(&new.name))
                .bind(now.as_millis())
                .bind(clean(&new.actor.name))
                .bind(new.actor.address.as_deref().map(clean))
                .bind(new.policy_id)
                .bind(clean(&new.selection))
                .bind(clean(&settings))
                .bind(&new.token)
                .bind(new.bus.as_str())
        );
        if added == 0 { Ok(None) } else { self.find_replay(&new.id).await }
    }

    /// One replay.
    pub async fn find_replay(&self, id: &ReplayId) -> Result<Option<Replay>, StoreError> {
        let row: Option<ReplayRow> = read!(self, |pool| sqlx::query_as(FIND).bind(id.as_str()).fetch_optional(pool).await?)?;
        row.map(ReplayRow::into_replay).transpose()
    }

    /// One replay by our number.
    pub async fn find_replay_by_number(&self, number: i64) -> Result<Option<Replay>, StoreError> {
        let row: Option<ReplayRow> = read!(self, |pool| sqlx::query_as(BY_NUMBER).bind(number).fetch_optional(pool).await?)?;
        row.map(ReplayRow::into_replay).transpose()
    }

    /// Replays, newest first.
    pub async fn list_replays(&self, filter: &ReplayFilter, page: &PageRequest) -> Result<Page<Replay>, StoreError> {
        let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let states: Vec<i64> = filter.states.iter().map(|state| i64::from(state.code())).collect();
        let states = (!states.is_empty()).then(|| super::indexing::id_list(&states));
        let rows: Vec<ReplayRow> = read!(self, |pool| sqlx::query_as(LIST)
            .bind(before)
            .bind(filter.bus.as_ref().map(BusId::as_str))
            .bind(&states)
            .bind(filter.policy_id)
            .bind(i64::from(page.limit) + 1)
            .fetch_all(pool)
            .await?)?;
        let more = rows.len() > page.limit as usize;
        let items = rows.into_iter().take(page.limit as usize).map(ReplayRow::into_replay).collect::<Result<Vec<_>, _>>()?;
        let next_cursor = items.last().filter(|_| more).map(|replay| Cursor { key: replay.created_at.as_millis(), id: replay.number });
        Ok(Page { items, next_cursor })
    }

    /// Replays that somebody must drive: planning, running, paused.
    pub async fn list_replays_at_work(&self) -> Result<Vec<Replay>, StoreError> {
        let rows: Vec<ReplayRow> = read!(self, |pool| sqlx::query_as(AT_WORK).fetch_all(pool).await?)?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// Replays whose items may still change their result.
    pub async fn list_watched_replays(&self, now: Timestamp) -> Result<Vec<Replay>, StoreError> {
        let rows: Vec<ReplayRow> = read!(self, |pool| sqlx::query_as(WATCHED).bind(now.as_millis()).fetch_all(pool).await?)?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// Routes of a replay, in their order.
    pub async fn list_routes(&self, number: i64) -> Result<Vec<Route>, StoreError> {
        let rows: Vec<RouteRow> = read!(self, |pool| sqlx::query_as(ROUTES).bind(number).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(RouteRow::into_route).collect())
    }

    /// Items of a replay in the order of sending.
    pub async fn list_replay_items(&self, number: i64, filter: &ItemFilter, page: &PageRequest) -> Result<Page<ReplayItem>, StoreError> {
        let (after, limit) = (page.cursor.as_ref().map_or(0, |cursor| cursor.id), i64::from(page.limit) + 1);
        let rows: Vec<ItemRow> = read!(self, |pool| match filter.result {
            None => sqlx::query_as(ITEMS).bind(number).bind(after).bind(limit).fetch_all(pool).await?,
            Some(result) => {
                let statement = if filter.reason.is_some() { ITEMS_BY_REASON } else { ITEMS_BY_RESULT };
                let query = sqlx::query_as(statement).bind(number).bind(result.code()).bind(after);
                let query = if let Some(reason) = &filter.reason { query.bind(reason) } else { query };
                query.bind(limit).fetch_all(pool).await?
            }
        })?;
        let more = rows.len() > page.limit as usize;
        let items = rows.into_iter().take(page.limit as usize).map(ItemRow::into_item).collect::<Result<Vec<_>, _>>()?;
        let next_cursor = items.last().filter(|_| more).map(|item| Cursor { key: 0, id: item.position });
        Ok(Page { items, next_cursor })
    }

    /// What replays did with one dead letter, newest first.
    pub async fn list_replays_of_letter(&self, id: DeadLetterId) -> Result<Vec<LetterReplay>, StoreError> {
        let rows: Vec<rows::LetterReplayRow> = read!(self, |pool| sqlx::query_as(OF_LETTER).bind(id.0).fetch_all(pool).await?)?;
        rows.into_iter().map(rows::LetterReplayRow::into_letter_replay).collect()
    }

    /// Moves a replay on; `false` when it stands elsewhere by now. Pauses and ends clear what a person had asked for.
    pub async fn move_replay(&self, id: &ReplayId, change: &StateChange, now: Timestamp) -> Result<bool, StoreError> {
        debug_assert!(change.from == change.to || change.from.may_become(change.to), "{} -> {}", change.from, change.to);
        let moved = touched!(
            self,
            sqlx::query(MOVE)
                .bind(id.as_str())
                .bind(change.from.code())
                .bind(change.to.code())
                .bind(change.reason.map(StateReason::code))
                .bind(change.text.as_deref().map(clean))
                .bind(now.as_millis())
                .bind(clean(&change.actor))
                .bind(change.epoch)
        );
        Ok(moved > 0)
    }

    /// Asks whoever drives a replay to pause or cancel it; `false` when it has ended, or the same or more was asked already.
    pub async fn request_of_replay(&self, id: &ReplayId, request: Request, actor: &str) -> Result<bool, StoreError> {
        let asked = touched!(self, sqlx::query(REQUEST).bind(id.as_str()).bind(request.code()).bind(clean(actor)));
        Ok(asked > 0)
    }

    /// Writes what a person has decided about the batch of which nobody can tell.
    pub async fn decide_undecided(&self, id: &ReplayId, decision: Option<Undecided>) -> Result<(), StoreError> {
        touched!(self, sqlx::query(UNDECIDED).bind(id.as_str()).bind(decision.map(Undecided::code)));
        Ok(())
    }

    /// Replaces the settings of a replay that has not ended, such as another rate.
    pub async fn set_replay_settings(&self, id: &ReplayId, settings: &ReplaySettings) -> Result<bool, StoreError> {
        let settings = json(settings)?;
        let set = touched!(self, sqlx::query(SET_SETTINGS).bind(id.as_str()).bind(clean(&settings)));
        Ok(set > 0)
    }

    /// Replaces the checks of a plan.
    pub async fn set_replay_checks(&self, id: &ReplayId, checks: &[Check], now: Timestamp) -> Result<(), StoreError> {
        let checks = clean(&json(checks)?);
        touched!(self, sqlx::query(SET_CHECKS).bind(id.as_str()).bind(&checks).bind(now.as_millis()));
        Ok(())
    }

    /// Adds to a replay's time line.
    pub async fn record_replay_event(&self, id: &ReplayId, event: &ReplayEvent) -> Result<(), StoreError> {
        touched!(
            self,
            sqlx::query(ADD_EVENT).bind(id.as_str()).bind(event.at.as_millis()).bind(clean(&event.actor)).bind(clean(&event.text))
        );
        Ok(())
    }

    /// A replay's time line, newest first, at most 200.
    pub async fn list_replay_events(&self, id: &ReplayId) -> Result<Vec<ReplayEvent>, StoreError> {
        let rows: Vec<EventRow> = read!(self, |pool| sqlx::query_as(EVENTS).bind(id.as_str()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(EventRow::into_event).collect())
    }

    /// Removes a plan that was never started, in steps; `false` when it was.
    pub async fn remove_replay(&self, replay: &Replay) -> Result<bool, StoreError> {
        let removed = touched!(self, sqlx::query(REMOVE).bind(replay.number));
        if removed == 0 {
            return Ok(false);
        }
        while touched!(self, sqlx::query(REMOVE_ITEMS).bind(replay.number)) > 0 {}
        Ok(true)
    }
}

/// JSON of a value of ours.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.to_string()))
}

/// A name from headers.
pub(super) fn name(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(text)
}
