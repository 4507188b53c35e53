//! Doing a purge: cut after cut, each written down before the next. A cut that was made before a crash is made once more, which the
//! bus takes for done.

use std::time::Duration;

use tokio::time::Instant;

use super::{OpenRecordsError, PLAN_LIFE, PurgeError, Purges, entry};
use crate::bus::BusError;
use crate::lifecycle::changes::Noun;
use crate::lifecycle::failpoint;
use crate::model::names::TopicPartition;
use crate::model::purge::{CutResult, Purge, PurgeId, PurgePartition, PurgeReason, PurgeState};
use crate::model::{Actor, Timestamp};
use crate::store::StoreError;
use crate::store::purges::PurgeChange;

/// How long the bus may take for one partition; it is tried again afterwards.
const DEADLINE: Duration = Duration::from_secs(15);

/// How one attempt at a partition ended.
enum Attempt {
    /// Written down: made, or refused for good.
    Settled,
    /// The bus does not answer now.
    Later(String),
    /// The topic is not the one that was planned for.
    OtherGeneration(String),
}

impl Purges {
    /// Goes on with running purges, and ends plans that nobody has started.
    ///
    /// # Errors
    /// When the store fails; every purge stays where it is.
    pub async fn go_on(&self, now: Timestamp) -> Result<(), StoreError> {
        for id in self.store.list_expired_purges(now.minus(PLAN_LIFE)).await? {
            self.expire(&id, now).await?;
        }
        let running = self.store.list_purges_at_work().await?;
        // One bus that hangs does not hold up the purges of another.
        let ends = futures::future::join_all(running.iter().map(|id| self.drive(id))).await;
        ends.into_iter().collect()
    }

    async fn expire(&self, id: &PurgeId, now: Timestamp) -> Result<(), StoreError> {
        let Some(purge) = self.store.find_purge(id).await? else { return Ok(()) };
        let system = Actor { name: "system".to_owned(), address: None };
        let audit = entry(&purge, &system, "purges.cancel", None, "done: nobody started it within a day", now);
        let reason = Some(PurgeReason::Expired);
        self.go(&purge, &PurgeChange { from: PurgeState::Planned, to: PurgeState::Cancelled, reason, text: None, audit }).await?;
        Ok(())
    }

    /// Makes cut after cut until all are settled, the bus does not answer, somebody cancels, or the process ends.
    async fn drive(&self, id: &PurgeId) -> Result<(), StoreError> {
        while !self.life.soft().is_cancelled() {
            // What was asked meanwhile counts before every cut.
            let Some(purge) = self.store.find_purge(id).await?.filter(|purge| purge.state == PurgeState::Running) else { return Ok(()) };
            let next = purge.partitions.iter().find(|cut| cut.result == CutResult::Waiting);
            let Some(cut) = next.filter(|_| purge.cancel_asked_by.is_none()) else { return self.end(&purge).await };
            match self.attempt(&purge, cut).await? {
                Attempt::Settled => {
                    if purge.state_reason.is_some() {
                        self.store.set_purge_reason(purge.number, None, None).await?;
                    }
                    self.changes.publish(Noun::Purges);
                }
                Attempt::Later(text) => {
                    if purge.state_reason != Some(PurgeReason::BusUnreachable) {
                        tracing::warn!(purge = %purge.id, bus = %purge.bus, reason = text, "a purge waits for its bus");
                        self.store.set_purge_reason(purge.number, Some(PurgeReason::BusUnreachable), Some(&text)).await?;
                        self.changes.publish(Noun::Purges);
                    }
                    return Ok(());
                }
                Attempt::OtherGeneration(text) => return self.give_up(&purge, &text).await,
            }
        }
        Ok(())
    }

    async fn attempt(&self, purge: &Purge, cut: &PurgePartition) -> Result<Attempt, StoreError> {
        if cut.records() == 0 {
            self.mark(purge, cut, Ok(cut.start)).await?;
            return Ok(Attempt::Settled);
        }
        match self.same_generation(purge, Instant::now() + DEADLINE).await {
            Ok(Ok(())) => {}
            Ok(Err(text)) => return Ok(Attempt::OtherGeneration(text)),
            Err(PurgeError::Store(error)) => return Err(error),
            Err(PurgeError::Bus(OpenRecordsError::Denied(reason))) => {
                self.mark(purge, cut, Err(&format!("not allowed: {reason}"))).await?;
                return Ok(Attempt::Settled);
            }
            Err(error) => return Ok(Attempt::Later(error.to_string())),
        }
        failpoint::pass("purge.before_delete");
        let made = self.delete(purge, cut).await;
        failpoint::pass("purge.after_delete");
        match made {
            Ok(log_start) if log_start >= cut.cut => self.mark(purge, cut, Ok(log_start)).await?,
            Ok(log_start) => self.mark(purge, cut, Err(&format!("the log still begins at {log_start}"))).await?,
            Err(BusError::Unreachable(reason)) => return Ok(Attempt::Later(reason)),
            Err(error) => self.mark(purge, cut, Err(&error.to_string())).await?,
        }
        Ok(Attempt::Settled)
    }

    /// Asks the bus for one cut; answers where the log begins afterwards.
    async fn delete(&self, purge: &Purge, cut: &PurgePartition) -> Result<i64, BusError> {
        let place = TopicPartition { topic: purge.topic.clone(), partition: cut.partition };
        let bus = self.bus(&purge.bus).map_err(|error| BusError::Unreachable(error.to_string()))?;
        let cuts = [(place.clone(), cut.cut)];
        let answered = tokio::time::timeout(DEADLINE, bus.delete_records(&cuts)).await;
        let mut answers = answered.map_err(|_| BusError::Unreachable(format!("no answer within {} s", DEADLINE.as_secs())))??;
        answers.remove(&place).unwrap_or_else(|| Err(BusError::Unreachable("the partition was not answered".to_owned())))
    }

    async fn mark(&self, purge: &Purge, cut: &PurgePartition, made: Result<i64, &str>) -> Result<(), StoreError> {
        self.store.mark_cut(purge.number, cut, made, Timestamp::now()).await?;
        if made.is_ok() {
            self.changes.publish(Noun::DeadLetters);
            self.changes.publish(Noun::Topics);
        }
        Ok(())
    }

    /// Nothing more is deleted from a topic that is not the one that was planned for.
    async fn give_up(&self, purge: &Purge, text: &str) -> Result<(), StoreError> {
        for cut in purge.partitions.iter().filter(|cut| cut.result == CutResult::Waiting) {
            self.mark(purge, cut, Err(text)).await?;
        }
        self.finish(purge, PurgeState::Failed, Some(PurgeReason::GenerationChanged), text.to_owned()).await
    }

    /// All cuts are settled, or somebody has cancelled.
    async fn end(&self, purge: &Purge) -> Result<(), StoreError> {
        let (all, done, failed) = (purge.partitions.len(), purge.count(CutResult::Done), purge.count(CutResult::Failed));
        let so_far = format!("{done} of {all} partitions were purged");
        if done == all {
            return self.finish(purge, PurgeState::Completed, None, so_far).await;
        }
        if done + failed < all {
            let by = purge.cancel_asked_by.as_deref().unwrap_or("somebody");
            return self.finish(purge, PurgeState::Cancelled, Some(PurgeReason::ByPerson), format!("{so_far} when {by} cancelled")).await;
        }
        let first = purge.partitions.iter().find_map(|cut| Some((cut.partition, cut.error.as_deref()?)));
        let (partition, error) = first.unwrap_or((0, "unknown"));
        let denied = error.starts_with("not allowed");
        let reason = if denied { PurgeReason::PermissionDenied } else { PurgeReason::Refused };
        self.finish(purge, PurgeState::Failed, Some(reason), format!("{so_far}; partition {partition}: {error}")).await
    }

    async fn finish(&self, purge: &Purge, to: PurgeState, reason: Option<PurgeReason>, text: String) -> Result<(), StoreError> {
        let actor = purge.started_by.clone().unwrap_or_else(|| purge.planned_by.clone());
        let result = if to == PurgeState::Completed { "done".to_owned() } else { format!("failed: {text}") };
        let audit = entry(purge, &actor, "purges.end", Some(purge.purged()), &result, Timestamp::now());
        self.go(purge, &PurgeChange { from: PurgeState::Running, to, reason, text: Some(text), audit }).await?;
        Ok(())
    }
}
