//! Drives jobs: finds those that have something to do, takes their lease, and brings them to an end or a rest.
//!
//! One task looks once a second (or when woken); each job that it takes runs in a task of its own under a lease of 15 s, renewed every 5.
//! A driver that loses its lease stops where it stands: the next owner fences its producer and begins from what store and bus know.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::planning::{self, PlanError};
use super::sending::{self, Rest};
use super::{PLAN_LIFE, Replays, WATCH};
use crate::lifecycle::failpoint;
use crate::model::replay::{Replay, ReplayEvent, ReplayState, Request, StateReason};
use crate::model::{Actor, GroupName, Timestamp};
use crate::store::StoreError;
use crate::store::replays::StateChange;
use crate::store::replays::sending::{Owner, Superseded};

/// How long an owner may be silent.
const LEASE: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(5);
/// How often we look for jobs when nobody wakes us.
const LOOK: Duration = Duration::from_secs(1);
/// A job that ended by itself for a passing reason is tried again after so long.
const AGAIN: Duration = Duration::from_secs(3);

/// Why a driver stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("another instance drives this replay now")]
    Superseded,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Superseded> for Stop {
    fn from(_: Superseded) -> Self {
        Self::Superseded
    }
}

/// Starts the task that looks for jobs.
pub(super) fn spawn(replays: &Replays) {
    let (replays, life) = (replays.clone(), replays.inner.parts.life.clone());
    life.spawn("replays", async move {
        run(&replays).await;
        Ok(())
    });
}

async fn run(replays: &Replays) {
    let parts = &replays.inner.parts;
    let driven: Arc<Mutex<HashSet<i64>>> = Arc::default();
    while !parts.life.soft().is_cancelled() {
        let woken = replays.inner.wake.notified();
        match replays.store().list_replays_at_work().await {
            Ok(jobs) => {
                for job in jobs.into_iter().filter(has_work) {
                    if parts.buses.contains_key(&job.bus) && lock(&driven).insert(job.number) {
                        let (replays, driven) = (replays.clone(), Arc::clone(&driven));
                        parts.life.spawn_short(async move {
                            drive(&replays, &job).await;
                            lock(&driven).remove(&job.number);
                        });
                    }
                }
                expire_plans(replays).await;
            }
            Err(error) => tracing::debug!(%error, "replays cannot be looked for"),
        }
        tokio::select! {
            () = parts.life.soft().cancelled() => {}
            () = woken => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn lock(driven: &Mutex<HashSet<i64>>) -> std::sync::MutexGuard<'_, HashSet<i64>> {
    driven.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a job wants a driver now.
fn has_work(replay: &Replay) -> bool {
    match replay.state {
        ReplayState::Planning | ReplayState::Running => true,
        ReplayState::Paused => {
            let rested = replay.state_at.age_at(Timestamp::now()) >= AGAIN || replay.state_reason == Some(StateReason::Shutdown);
            replay.request == Some(Request::Cancel) || (rested && replay.state_reason.is_some_and(StateReason::resumes_by_itself))
        }
        // Ended, but its group on the bus is still to be deleted.
        _ => !replay.group_deleted && replay.sent_total > 0,
    }
}

/// Takes a job and works on it under its lease.
async fn drive(replays: &Replays, job: &Replay) {
    let parts = &replays.inner.parts;
    let taken = replays.store().take_replay(job.number, &parts.holder, LEASE, !parts.shared, Timestamp::now()).await;
    let owner = match taken {
        Ok(Some(owner)) => owner,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(replay = %job.id, %error, "the replay's lease cannot be taken");
            return;
        }
    };
    let ended = tokio::select! {
        ended = work(replays, owner) => ended,
        () = keep(replays, owner) => Err(Stop::Superseded),
    };
    match ended {
        Ok(()) => {}
        Err(Stop::Superseded) => tracing::info!(replay = %job.id, "another instance drives this replay now"),
        Err(Stop::Store(error)) => {
            tracing::warn!(replay = %job.id, %error, "the replay rests until the store answers; nothing is lost");
            tokio::time::sleep(LOOK).await;
        }
    }
    if let Err(error) = replays.store().release_replay(owner).await {
        tracing::debug!(replay = %job.id, %error, "the lease runs out by itself");
    }
    replays.stepped();
}

/// Renews the lease; returns when it is lost.
async fn keep(replays: &Replays, owner: Owner) {
    loop {
        tokio::time::sleep(RENEW).await;
        match replays.store().renew_replay(owner, LEASE, Timestamp::now()).await {
            Ok(Ok(())) => {}
            Ok(Err(Superseded)) => return,
            // What the owner writes fails as well, and names its epoch.
            Err(error) => tracing::debug!(%error, "a replay's lease could not be renewed"),
        }
    }
}

/// Works until the job rests, ends, or the process is to end.
async fn work(replays: &Replays, owner: Owner) -> Result<(), Stop> {
    loop {
        let Some(replay) = replays.store().find_replay_by_number(owner.number).await? else { return Ok(()) };
        if replay.epoch != owner.epoch {
            return Err(Stop::Superseded);
        }
        match replay.state {
            ReplayState::Planning => return plan(replays, owner, &replay).await,
            ReplayState::Paused if replay.request == Some(Request::Cancel) => return cancel(replays, owner, &replay).await,
            ReplayState::Paused if replay.state_reason.is_some_and(StateReason::resumes_by_itself) => {
                move_on(replays, &replay, ReplayState::Running, None, None).await?;
            }
            ReplayState::Running => match sending::run(replays, owner, &replay).await? {
                Rest::Done => return complete(replays, owner).await,
                Rest::Cancel => return cancel(replays, owner, &replay).await,
                Rest::Paused(reason, text) => {
                    return move_on(replays, &replay, ReplayState::Paused, Some(reason), text).await;
                }
                Rest::Shutdown => {
                    return move_on(replays, &replay, ReplayState::Paused, Some(StateReason::Shutdown), None).await;
                }
            },
            state if state.is_final() => return delete_group(replays, owner, &replay).await,
            _ => return Ok(()),
        }
    }
}

async fn plan(replays: &Replays, owner: Owner, replay: &Replay) -> Result<(), Stop> {
    let cancelled = || move_on(replays, replay, ReplayState::Cancelled, Some(StateReason::ByPerson), None);
    if replay.request.is_some() {
        return cancelled().await;
    }
    match planning::run(replays, owner, replay).await {
        Ok(()) => {
            replays.stepped();
            Ok(())
        }
        Err(PlanError::Superseded) => Err(Stop::Superseded),
        Err(PlanError::Store(error)) => Err(error.into()),
        Err(PlanError::Cancelled) => cancelled().await,
        Err(PlanError::Hopeless(reason)) => move_on(replays, replay, ReplayState::Failed, None, Some(reason)).await,
        Err(PlanError::Bus(error)) if replay.created_at.age_at(Timestamp::now()) < PLAN_LIFE => {
            tracing::info!(replay = %replay.id, %error, "planning waits for the bus");
            move_on(replays, replay, ReplayState::Planning, Some(StateReason::BusUnreachable), Some(error.to_string())).await?;
            tokio::time::sleep(AGAIN).await;
            Ok(())
        }
        Err(error @ PlanError::Bus(_)) => {
            move_on(replays, replay, ReplayState::Failed, Some(StateReason::BusUnreachable), Some(error.to_string())).await
        }
    }
}

/// Everything that could be sent was sent.
async fn complete(replays: &Replays, owner: Owner) -> Result<(), Stop> {
    let Some(replay) = replays.store().find_replay_by_number(owner.number).await? else { return Ok(()) };
    replays.store().set_replay_watch(owner, Timestamp::now().plus(WATCH)).await??;
    move_on(replays, &replay, ReplayState::Completed, None, None).await?;
    delete_group(replays, owner, &replay).await
}

/// What waits is open again, in steps; then the job ends.
async fn cancel(replays: &Replays, owner: Owner, replay: &Replay) -> Result<(), Stop> {
    let Some(replay) = replays.store().find_replay_by_number(replay.number).await? else { return Ok(()) };
    if replay.attempt.is_some() {
        // A batch may be in flight: what became of it is found out before anything is called open again.
        match sending::recover_only(replays, owner, &replay).await? {
            Rest::Done | Rest::Cancel => {}
            Rest::Paused(reason, text) => {
                if replay.state == ReplayState::Running {
                    move_on(replays, &replay, ReplayState::Paused, Some(reason), text).await?;
                }
                tokio::time::sleep(LOOK).await;
                return Ok(());
            }
            Rest::Shutdown => return Ok(()),
        }
    }
    while replays.store().release_items(owner, replay.claimed_to, Timestamp::now()).await?? > 0 {
        tokio::task::yield_now().await;
    }
    replays.store().set_replay_watch(owner, Timestamp::now().plus(WATCH)).await??;
    move_on(replays, &replay, ReplayState::Cancelled, Some(StateReason::ByPerson), None).await?;
    delete_group(replays, owner, &replay).await
}

/// The job's group is of no more use once the final state is stored.
async fn delete_group(replays: &Replays, owner: Owner, replay: &Replay) -> Result<(), Stop> {
    let Some(bus) = replays.inner.parts.buses.get(&replay.bus) else { return Ok(()) };
    let group = GroupName::new(format!("{}{}", bus.id_prefix, replay.token));
    match bus.bus.delete_group(&group).await {
        Err(error @ crate::bus::BusError::Unreachable(_)) => {
            tracing::debug!(replay = %replay.id, %error, "the job's group is deleted later");
            return Ok(());
        }
        Err(error) => tracing::info!(replay = %replay.id, %error, "the job's group stays until the bus forgets it"),
        Ok(()) => {}
    }
    failpoint::pass("replay.group_deleted");
    replays.store().set_replay_group_deleted(owner).await??;
    Ok(())
}

/// Changes the state, with a line on the job's time line.
async fn move_on(
    replays: &Replays,
    replay: &Replay,
    to: ReplayState,
    reason: Option<StateReason>,
    text: Option<String>,
) -> Result<(), Stop> {
    let now = Timestamp::now();
    // A person may have changed the state since this driver looked.
    let Some(present) = replays.store().find_replay_by_number(replay.number).await? else { return Ok(()) };
    if present.state == to && present.state_reason == reason {
        return Ok(());
    }
    let change = StateChange { from: present.state, to, reason, text: text.clone(), actor: "system".to_owned(), epoch: Some(replay.epoch) };
    if (present.state == to || present.state.may_become(to)) && replays.store().move_replay(&replay.id, &change, now).await? {
        let why = text.or_else(|| reason.map(|reason| reason.as_str().replace('_', " ")));
        let words = why.map_or_else(|| to.to_string(), |why| format!("{to}: {why}"));
        let event = ReplayEvent { at: now, actor: "system".to_owned(), text: words };
        replays.store().record_replay_event(&replay.id, &event).await?;
        if to.is_final() {
            let actor = Actor { name: "system".to_owned(), address: None };
            let counts = replays.store().find_replay_by_number(replay.number).await?.unwrap_or_else(|| replay.clone());
            let result = format!("{to}: {} sent, {} failed, {} skipped", counts.sent_total, counts.counts.failed, counts.counts.skipped);
            replays.audit(&counts, &actor, "replays.end", &result, now).await?;
        }
    }
    replays.stepped();
    Ok(())
}

/// Plans that nobody started end.
async fn expire_plans(replays: &Replays) {
    let filter = crate::store::replays::ReplayFilter { states: vec![ReplayState::Planned], ..Default::default() };
    let now = Timestamp::now();
    let Ok(page) = replays.store().list_replays(&filter, &crate::model::PageRequest::first(100)).await else { return };
    for plan in page.items.iter().filter(|plan| plan.created_at.age_at(now) >= PLAN_LIFE) {
        if let Err(error) = move_on(replays, plan, ReplayState::Cancelled, Some(StateReason::Expired), None).await {
            tracing::debug!(replay = %plan.id, %error, "an old plan ends later");
        }
    }
}

impl Replays {
    /// Tells whoever waits, and the pages, that a job has taken a step.
    pub(super) fn stepped(&self) {
        self.inner.stepped.notify_waiters();
        let changes = &self.inner.parts.changes;
        changes.publish(crate::lifecycle::changes::Noun::Replays);
        changes.publish(crate::lifecycle::changes::Noun::DeadLetters);
    }
}
