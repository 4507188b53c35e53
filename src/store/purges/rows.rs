//! How rows become purges and their partitions.

use super::{Below, BusId, Check, CutResult, Purge, PurgeId, PurgePartition, PurgeReason, PurgeScope, PurgeState, TopicName};
use crate::model::purge::GroupLoss;
use crate::model::{Actor, Timestamp};
use crate::store::StoreError;
use crate::store::error::contradiction;

#[derive(sqlx::FromRow)]
pub(super) struct PurgeRow {
    pub(super) id: i64,
    purge_id: String,
    bus: String,
    generation_id: i64,
    topic: String,
    topic_id: Option<String>,
    scope: String,
    state: i16,
    state_reason: Option<i16>,
    state_text: Option<String>,
    cancel_asked_by: Option<String>,
    planned_by: String,
    planned_from: Option<String>,
    started_by: Option<String>,
    started_from: Option<String>,
    checks: String,
    checked_at: i64,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

fn word<T>(code: i16, of: impl Fn(i16) -> Option<T>, what: &str) -> Result<T, StoreError> {
    of(code).ok_or_else(|| contradiction(format!("{what} {code}")))
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| contradiction(format!("{what}: {error}")))
}

impl PurgeRow {
    pub(super) fn into_purge(self) -> Result<Purge, StoreError> {
        let time = Timestamp::from_millis;
        let started_from = self.started_from;
        Ok(Purge {
            number: self.id,
            id: PurgeId::parse(&self.purge_id).ok_or_else(|| contradiction("a purge's id"))?,
            bus: BusId::new(self.bus),
            topic: TopicName::new(self.topic),
            generation_id: self.generation_id,
            topic_id: self.topic_id,
            scope: parsed::<PurgeScope>(&self.scope, "scope of a purge")?,
            state: word(self.state, PurgeState::from_code, "state of a purge")?,
            state_reason: self.state_reason.map(|code| word(code, PurgeReason::from_code, "reason of a purge's state")).transpose()?,
            state_text: self.state_text,
            cancel_asked_by: self.cancel_asked_by,
            planned_by: Actor { name: self.planned_by, address: self.planned_from },
            started_by: self.started_by.map(|name| Actor { name, address: started_from }),
            checks: parsed::<Vec<Check>>(&self.checks, "checks of a purge")?,
            checked_at: time(self.checked_at),
            created_at: time(self.created_at),
            started_at: self.started_at.map(time),
            ended_at: self.ended_at.map(time),
            partitions: Vec::new(),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct PartitionRow {
    pub(super) purge_id: i64,
    number: i32,
    partition_id: i64,
    log_start: i64,
    cut: i64,
    end_offset: i64,
    letters: i64,
    open: i64,
    replaying: i64,
    without_custody: i64,
    losses: String,
    result: i16,
    error: Option<String>,
}

impl PartitionRow {
    pub(super) fn into_partition(self) -> Result<PurgePartition, StoreError> {
        Ok(PurgePartition {
            partition: self.number,
            partition_id: self.partition_id,
            start: self.log_start,
            cut: self.cut,
            end: self.end_offset,
            below: Below {
                letters: self.letters.unsigned_abs(),
                open: self.open.unsigned_abs(),
                replaying: self.replaying.unsigned_abs(),
                without_custody: self.without_custody.unsigned_abs(),
            },
            losses: parsed::<Vec<GroupLoss>>(&self.losses, "losses of a purge")?,
            result: word(self.result, CutResult::from_code, "result of a cut")?,
            error: self.error,
        })
    }
}
