//! How rows become replays, routes, items and events.

use super::{LetterReplay, name};
use crate::model::replay::{
    Attempt, Check, Delivery, ItemResult, MessageId, Replay, ReplayEvent, ReplayId, ReplayItem, ReplaySettings, ReplayState, Request,
    ResultCounts, Route, StateReason, Undecided,
};
use crate::model::{Actor, BusId, DeadLetterId, GroupName, Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::error::contradiction;

#[derive(sqlx::FromRow)]
pub(in crate::store) struct ReplayRow {
    id: i64,
    replay_id: String,
    bus: String,
    name: String,
    state: i16,
    state_reason: Option<i16>,
    state_text: Option<String>,
    state_at: i64,
    request: Option<i16>,
    undecided: Option<i16>,
    planned_by: String,
    planned_from: Option<String>,
    started_by: Option<String>,
    policy_id: Option<i64>,
    selection: String,
    settings: String,
    delivery: i16,
    upper_id: i64,
    token: String,
    epoch: i64,
    #[sqlx(flatten)]
    counts: CountsRow,
    sent_total: i64,
    position: i64,
    claimed_to: i64,
    attempt: Option<String>,
    canary_sent_at: Option<i64>,
    canary_passed: bool,
    checks: String,
    checked_at: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    watch_until: Option<i64>,
    group_deleted: bool,
}

#[derive(sqlx::FromRow)]
struct CountsRow {
    waiting: i64,
    skipped: i64,
    failed: i64,
    sent: i64,
    consumed: i64,
    resolved: i64,
    failed_again: i64,
    unknown: i64,
}

fn word<T>(code: i16, of: impl Fn(i16) -> Option<T>, what: &str) -> Result<T, StoreError> {
    of(code).ok_or_else(|| contradiction(format!("{what} {code}")))
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| contradiction(format!("{what}: {error}")))
}

impl ReplayRow {
    pub(in crate::store) fn into_replay(self) -> Result<Replay, StoreError> {
        let time = Timestamp::from_millis;
        Ok(Replay {
            number: self.id,
            id: ReplayId::parse(&self.replay_id).ok_or_else(|| contradiction("a replay's id"))?,
            bus: BusId::new(self.bus),
            name: self.name,
            state: word(self.state, ReplayState::from_code, "state of a replay")?,
            state_reason: self.state_reason.map(|code| word(code, StateReason::from_code, "reason of a state")).transpose()?,
            state_text: self.state_text,
            request: self.request.map(|code| word(code, Request::from_code, "request")).transpose()?,
            undecided: self.undecided.map(|code| word(code, Undecided::from_code, "decision")).transpose()?,
            planned_by: Actor { name: self.planned_by, address: self.planned_from },
            started_by: self.started_by,
            policy_id: self.policy_id,
            selection: self.selection,
            settings: parsed::<ReplaySettings>(&self.settings, "settings of a replay")?,
            delivery: word(self.delivery, Delivery::from_code, "delivery")?,
            upper_id: DeadLetterId(self.upper_id),
            token: self.token,
            epoch: self.epoch,
            counts: self.counts.into_counts(),
            sent_total: self.sent_total.unsigned_abs(),
            position: self.position,
            claimed_to: self.claimed_to,
            attempt: self.attempt.as_deref().map(|text| parsed::<Attempt>(text, "attempt of a replay")).transpose()?,
            canary_sent_at: self.canary_sent_at.map(time),
            canary_passed: self.canary_passed,
            checks: parsed::<Vec<Check>>(&self.checks, "checks of a replay")?,
            checked_at: self.checked_at.map(time),
            created_at: time(self.created_at),
            started_at: self.started_at.map(time),
            ended_at: self.ended_at.map(time),
            state_at: time(self.state_at),
            watch_until: self.watch_until.map(time),
            group_deleted: self.group_deleted,
        })
    }
}

impl CountsRow {
    const fn into_counts(self) -> ResultCounts {
        ResultCounts {
            waiting: self.waiting.unsigned_abs(),
            skipped: self.skipped.unsigned_abs(),
            failed: self.failed.unsigned_abs(),
            sent: self.sent.unsigned_abs(),
            consumed: self.consumed.unsigned_abs(),
            resolved: self.resolved.unsigned_abs(),
            failed_again: self.failed_again.unsigned_abs(),
            unknown: self.unknown.unsigned_abs(),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct RouteRow {
    route: i32,
    target: Option<String>,
    target_topic_id: Option<String>,
    target_partitions: i32,
    partition_kept_from: Option<i64>,
    consumer_group: Option<Vec<u8>>,
    inferred: bool,
    settle_ms: i64,
    items: i64,
}

impl RouteRow {
    pub(in crate::store) fn into_route(self) -> Route {
        Route {
            route: self.route,
            target: self.target.map(TopicName::new),
            target_topic_id: self.target_topic_id,
            target_partitions: self.target_partitions,
            partition_kept_from: self.partition_kept_from.map(Timestamp::from_millis),
            consumer_group: name(self.consumer_group).map(GroupName::new),
            inferred: self.inferred,
            settle_ms: self.settle_ms,
            items: self.items.unsigned_abs(),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct ItemRow {
    position: i64,
    dead_letter_id: i64,
    result: i16,
    reason: Option<String>,
    route: i32,
    message_id: Vec<u8>,
    attempt: i32,
    key_hash: Option<i64>,
    sent_partition: Option<i32>,
    sent_offset: Option<i64>,
    sent_at: Option<i64>,
    result_at: Option<i64>,
    successor_id: Option<i64>,
}

impl ItemRow {
    pub(in crate::store) fn into_item(self) -> Result<ReplayItem, StoreError> {
        Ok(ReplayItem {
            position: self.position,
            dead_letter_id: DeadLetterId(self.dead_letter_id),
            result: word(self.result, ItemResult::from_code, "result of an item")?,
            reason: self.reason,
            route: self.route,
            message_id: MessageId(self.message_id.try_into().map_err(|_| contradiction("a message id"))?),
            attempt: self.attempt,
            // Where a message was found to be sent, and not where, no place is said.
            partition: self.sent_partition.filter(|_| self.sent_offset.is_some()),
            offset: self.sent_offset,
            sent_at: self.sent_at.map(Timestamp::from_millis),
            result_at: self.result_at.map(Timestamp::from_millis),
            successor_id: self.successor_id.map(DeadLetterId),
            key_hash: self.key_hash,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct LetterReplayRow {
    replay_id: String,
    name: String,
    target: Option<String>,
    planned_by: String,
    created_at: i64,
    #[sqlx(flatten)]
    item: ItemRow,
}

impl LetterReplayRow {
    pub(in crate::store) fn into_letter_replay(self) -> Result<LetterReplay, StoreError> {
        Ok(LetterReplay {
            replay: ReplayId::parse(&self.replay_id).ok_or_else(|| contradiction("a replay's id"))?,
            name: self.name,
            planned_by: self.planned_by,
            created_at: Timestamp::from_millis(self.created_at),
            target: self.target,
            item: self.item.into_item()?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct EventRow {
    occurred_at: i64,
    actor: String,
    text: String,
}

impl EventRow {
    pub(in crate::store) fn into_event(self) -> ReplayEvent {
        ReplayEvent { at: Timestamp::from_millis(self.occurred_at), actor: self.actor, text: self.text }
    }
}
