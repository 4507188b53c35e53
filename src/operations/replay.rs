//! Replay: dead letters are published again, as durable jobs. A person plans, looks, starts and steers; [`driver`] does the work under a
//! lease, so that one instance at a time drives a job and another goes on when it dies.
//!
//! The store is the record; the bus decides about the batch in flight (see [`sending`] and [`recovery`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::bus::Bus;
use crate::dead_letters::decode::Decoder;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::replay::{CheckLevel, Replay, ReplayEvent, ReplayId, ReplaySettings, ReplayState, Request, StateReason, Undecided};
use crate::model::{Actor, AuditEntry, BusId, PageRequest, Selection, Timestamp};
use crate::store::replays::{NewReplay, StateChange};
use crate::store::{Store, StoreError};

mod barrier;
mod checks;
mod driver;
mod limits;
mod measuring;
mod message;
mod outcome;
mod partition;
mod planning;
mod preparing;
mod recovery;
mod scope;
mod sending;

/// Jobs that send at the same time on one instance; others wait for a slot.
const SENDING_AT_ONCE: usize = 4;
/// Most items of one job.
pub const MOST_ITEMS: usize = 5_000_000;
/// How long [`Replays::plan`] waits for a small plan, so that most callers get it at once.
const PLAN_WAIT: Duration = Duration::from_secs(4);
/// A plan that nobody starts ends after this long.
const PLAN_LIFE: Duration = Duration::from_hours(24);
/// Outcomes are watched for so long after the end of a job.
pub const WATCH: Duration = Duration::from_hours(24);

/// A bus as a replay needs it.
#[derive(Clone)]
pub struct ReplayBus {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Knows which headers the frameworks have written.
    pub decoder: Decoder,
    /// Prefix of transactional ids and groups.
    pub id_prefix: String,
}

/// What replays are made of.
pub struct ReplayParts {
    /// The store.
    pub store: Store,
    /// The buses by id.
    pub buses: HashMap<BusId, ReplayBus>,
    /// Where changes are told.
    pub changes: Changes,
    /// The life of the process.
    pub life: Lifecycle,
    /// Who we are among the instances on this store.
    pub holder: Arc<str>,
    /// Whether other instances may work on the same store.
    pub shared: bool,
}

/// Plans, starts, steers and drives replays. Cheap to clone.
#[derive(Clone)]
pub struct Replays {
    inner: Arc<Inner>,
}

struct Inner {
    parts: ReplayParts,
    editors: HashMap<BusId, message::Editor>,
    /// Says that a job may have something to do.
    wake: Notify,
    /// Says that a job has taken a step.
    stepped: Notify,
    slots: Semaphore,
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.inner.parts.buses.keys()).finish()
    }
}

/// What a person wants to replay.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Which dead letters.
    pub selection: Selection,
    /// What it is called; made from the selection when missing.
    pub name: Option<String>,
    /// What was decided.
    pub settings: ReplaySettings,
    /// The policy that plans it.
    pub policy_id: Option<i64>,
}

/// Why an act on a replay was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such replay.
    #[error("there is no such replay")]
    NotFound,
    /// Its state does not allow it.
    #[error("the replay is {state} and cannot be {act}")]
    WrongState {
        /// Where it stands.
        state: ReplayState,
        /// What was asked for, as a participle.
        act: &'static str,
    },
    /// Warnings of the plan were not accepted; their codes.
    #[error("these warnings must be accepted first: {}", .0.join(", "))]
    WarningsNotAccepted(Vec<String>),
    /// Nothing matches the selection.
    #[error("nothing matches this selection")]
    EmptySelection,
    /// Nothing of the plan can be sent.
    #[error("nothing of this plan can be sent")]
    NothingToSend,
    /// A check says that the whole plan cannot run; its text.
    #[error("this plan cannot be started: {0}")]
    Blocked(String),
    /// The selection holds dead letters of several buses.
    #[error("a replay works on one bus, and this selection holds dead letters of several: {}", .0.join(", "))]
    SeveralBuses(Vec<String>),
    /// The bus is not configured here.
    #[error("there is no bus {0}")]
    UnknownBus(BusId),
    /// Resuming needs a decision about the batch of which nobody can tell whether it was sent.
    #[error("whether the last batch was sent is not known: say undecided \"skip\" or \"send\"")]
    UndecidedMissing,
    /// The store did not answer or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Replays {
    /// Puts the parts together; nothing runs yet.
    #[must_use]
    pub fn new(parts: ReplayParts) -> Self {
        let editors = parts.buses.iter().map(|(id, bus)| (id.clone(), message::Editor::new(bus.decoder.clone()))).collect();
        let slots = Semaphore::new(SENDING_AT_ONCE);
        Self { inner: Arc::new(Inner { parts, editors, wake: Notify::new(), stepped: Notify::new(), slots }) }
    }

    /// Starts the tasks that drive jobs and watch outcomes.
    pub fn spawn(&self) {
        driver::spawn(self);
        outcome::spawn(self);
    }

    /// Freezes the scope and checks it. Small plans are ready when this returns; larger ones are still `planning`.
    pub async fn plan(&self, request: PlanRequest, actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let bus = self.bus_of(&request.selection).await?;
        if !self.inner.parts.buses.contains_key(&bus) {
            return Err(ReplayError::UnknownBus(bus));
        }
        self.refuse_empty(&request.selection).await?;
        let new = NewReplay {
            id: ReplayId::new(now),
            name: request.name.unwrap_or_else(|| default_name(&request.selection)),
            bus: bus.clone(),
            actor: actor.clone(),
            policy_id: request.policy_id,
            selection: serde_json::to_string(&request.selection).map_err(|error| StoreError::Broken(error.to_string()))?,
            settings: request.settings,
            token: token()?,
        };
        let replay = self.store().add_replay(&new, now).await?.ok_or(ReplayError::UnknownBus(bus))?;
        self.tell(&replay.id, actor, "planned", now).await?;
        self.audit(&replay, actor, "replays.plan", "done", now).await?;
        self.inner.wake.notify_waiters();
        let deadline = tokio::time::Instant::now() + PLAN_WAIT;
        loop {
            let stepped = self.inner.stepped.notified();
            let found = self.find(&replay.id).await?;
            if found.state != ReplayState::Planning || tokio::time::Instant::now() >= deadline {
                return Ok(found);
            }
            let _ = tokio::time::timeout(Duration::from_millis(250), stepped).await;
        }
    }

    /// One replay.
    pub async fn find(&self, id: &ReplayId) -> Result<Replay, ReplayError> {
        self.store().find_replay(id).await?.ok_or(ReplayError::NotFound)
    }

    /// Starts a plan whose warnings are accepted.
    pub async fn start(&self, id: &ReplayId, accept: &[String], actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        let wrong = |state| ReplayError::WrongState { state, act: "started" };
        if replay.state != ReplayState::Planned {
            return Err(wrong(replay.state));
        }
        if let Some(check) =
            replay.checks.iter().find(|check| check.level == CheckLevel::Blocked && check.skip_reason.is_none() && check.count > 0)
        {
            return Err(ReplayError::Blocked(check.text.clone()));
        }
        let open = replay.checks.iter().filter(|check| check.level == CheckLevel::Warning && !accept.contains(&check.code));
        let open: Vec<String> = open.map(|check| check.code.clone()).collect();
        if !open.is_empty() {
            return Err(ReplayError::WarningsNotAccepted(open));
        }
        if replay.counts.waiting == 0 {
            return Err(ReplayError::NothingToSend);
        }
        let change = StateChange {
            from: ReplayState::Planned,
            to: ReplayState::Running,
            reason: None,
            text: None,
            actor: actor.name.clone(),
            epoch: None,
        };
        if !self.store().move_replay(id, &change, now).await? {
            return Err(wrong(self.find(id).await?.state));
        }
        let accepted = if accept.is_empty() { String::new() } else { format!(", accepting {}", accept.join(", ").replace('_', " ")) };
        self.tell(id, actor, &format!("started{accepted}"), now).await?;
        self.audit(&replay, actor, "replays.start", "done", now).await?;
        self.changed();
        self.find(id).await
    }

    /// Asks a job to send nothing more for now. Answers at once; the state changes when the batch in flight has ended.
    pub async fn pause(&self, id: &ReplayId, actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        let wrong = |state| ReplayError::WrongState { state, act: "paused" };
        if replay.state != ReplayState::Running {
            return Err(wrong(replay.state));
        }
        if self.store().request_of_replay(id, Request::Pause, &actor.name).await? {
            self.tell(id, actor, "asked for a pause", now).await?;
            self.audit(&replay, actor, "replays.pause", "done", now).await?;
        }
        self.changed();
        self.settle(id, |replay| replay.state != ReplayState::Running).await
    }

    /// Lets a paused job go on. After `progress_unknown` a decision is needed.
    pub async fn resume(&self, id: &ReplayId, undecided: Option<Undecided>, actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        let wrong = |state| ReplayError::WrongState { state, act: "resumed" };
        if replay.state != ReplayState::Paused {
            return Err(wrong(replay.state));
        }
        if replay.state_reason == Some(StateReason::ProgressUnknown) {
            let decision = undecided.ok_or(ReplayError::UndecidedMissing)?;
            self.store().decide_undecided(id, Some(decision)).await?;
        }
        if replay.state_reason == Some(StateReason::FailedAgainLimit) {
            // Who goes on after a limit wants to see the rest go out: what failed until now is accepted.
            let counts = &replay.counts;
            let accepted = (counts.failed_again, counts.failed_again + counts.consumed + counts.resolved);
            self.store().set_replay_settings(id, &ReplaySettings { accepted, ..replay.settings.clone() }).await?;
        }
        let change = StateChange {
            from: ReplayState::Paused,
            to: ReplayState::Running,
            reason: None,
            text: None,
            actor: actor.name.clone(),
            epoch: None,
        };
        if !self.store().move_replay(id, &change, now).await? {
            return Err(wrong(self.find(id).await?.state));
        }
        let how = undecided.map_or_else(String::new, |decision| format!(", undecided: {decision}"));
        self.tell(id, actor, &format!("resumed{how}"), now).await?;
        let action = if undecided == Some(Undecided::Send) { "replays.resume_and_send" } else { "replays.resume" };
        self.audit(&replay, actor, action, "done", now).await?;
        self.changed();
        self.find(id).await
    }

    /// Ends a plan or a job. What was sent stays sent; what waits is open again.
    pub async fn cancel(&self, id: &ReplayId, actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        if replay.state.is_final() {
            return Err(ReplayError::WrongState { state: replay.state, act: "cancelled" });
        }
        let reason = Some(StateReason::ByPerson);
        let change = StateChange {
            from: ReplayState::Planned,
            to: ReplayState::Cancelled,
            reason,
            text: None,
            actor: actor.name.clone(),
            epoch: None,
        };
        let ended = replay.state == ReplayState::Planned && self.store().move_replay(id, &change, now).await?;
        if ended || self.store().request_of_replay(id, Request::Cancel, &actor.name).await? {
            self.tell(id, actor, "asked to cancel", now).await?;
            self.audit(&replay, actor, "replays.cancel", "done", now).await?;
        }
        self.changed();
        self.settle(id, |replay| replay.state.is_final()).await
    }

    /// Like [`Replays::cancel`], and says why on the time line.
    pub async fn cancel_because(&self, id: &ReplayId, actor: &Actor, text: &str, now: Timestamp) -> Result<Replay, ReplayError> {
        self.tell(id, actor, text, now).await?;
        self.cancel(id, actor, now).await
    }

    /// Whether a bus is configured here.
    #[must_use]
    pub fn knows(&self, bus: &BusId) -> bool {
        self.inner.parts.buses.contains_key(bus)
    }

    /// Runs the checks of a plan again.
    pub async fn check(&self, id: &ReplayId, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        if replay.state != ReplayState::Planned {
            return Err(ReplayError::WrongState { state: replay.state, act: "checked" });
        }
        let checks = checks::again(self, &replay).await?;
        self.store().set_replay_checks(id, &checks, now).await?;
        self.changed();
        self.find(id).await
    }

    /// Changes the rate, also while it runs. `None`: as fast as it goes.
    pub async fn set_rate(&self, id: &ReplayId, rate: Option<u32>, actor: &Actor, now: Timestamp) -> Result<Replay, ReplayError> {
        let replay = self.find(id).await?;
        let settings = ReplaySettings { rate, ..replay.settings.clone() };
        if !self.store().set_replay_settings(id, &settings).await? {
            return Err(ReplayError::WrongState { state: replay.state, act: "changed" });
        }
        let words = rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| format!("{rate} per second"));
        self.tell(id, actor, &format!("rate set to {words}"), now).await?;
        self.audit(&replay, actor, "replays.rate", &format!("done: {words}"), now).await?;
        self.changed();
        self.find(id).await
    }

    /// Removes a plan that was never started.
    pub async fn remove(&self, id: &ReplayId, actor: &Actor, now: Timestamp) -> Result<(), ReplayError> {
        let replay = self.find(id).await?;
        if replay.state != ReplayState::Planned || !self.store().remove_replay(&replay).await? {
            return Err(ReplayError::WrongState { state: self.find(id).await?.state, act: "deleted" });
        }
        self.audit(&replay, actor, "replays.delete", "done", now).await?;
        self.changed();
        Ok(())
    }

    fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// The one bus of a selection.
    async fn bus_of(&self, selection: &Selection) -> Result<BusId, ReplayError> {
        let mut buses = match selection {
            Selection::Ids(ids) => self.store().list_buses_of(ids).await?,
            Selection::Filter(filter) => filter.bus.clone(),
        };
        buses.sort();
        buses.dedup();
        match (buses.len(), selection) {
            (1, _) => Ok(buses.remove(0)),
            (0, Selection::Ids(_)) => Err(ReplayError::EmptySelection),
            (0, Selection::Filter(_)) => {
                let mut configured: Vec<BusId> = self.inner.parts.buses.keys().cloned().collect();
                if configured.len() == 1 {
                    return Ok(configured.remove(0));
                }
                Err(ReplayError::SeveralBuses(configured.iter().map(ToString::to_string).collect()))
            }
            _ => Err(ReplayError::SeveralBuses(buses.iter().map(ToString::to_string).collect())),
        }
    }

    /// Nobody wants to wait for a plan of nothing. A search that takes long is left to the plan.
    async fn refuse_empty(&self, selection: &Selection) -> Result<(), ReplayError> {
        let Selection::Filter(filter) = selection else { return Ok(()) };
        let page = self.store().list_dead_letters(filter, &PageRequest::first(1), 1_500).await?;
        if page.items.is_empty() && page.next_cursor.is_none() { Err(ReplayError::EmptySelection) } else { Ok(()) }
    }

    /// Waits up to two seconds for a job to do what was asked.
    async fn settle(&self, id: &ReplayId, done: impl Fn(&Replay) -> bool) -> Result<Replay, ReplayError> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
        loop {
            let stepped = self.inner.stepped.notified();
            let replay = self.find(id).await?;
            if done(&replay) || tokio::time::Instant::now() >= deadline {
                return Ok(replay);
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), stepped).await;
        }
    }

    fn changed(&self) {
        self.inner.wake.notify_waiters();
        self.inner.parts.changes.publish(Noun::Replays);
    }

    async fn tell(&self, id: &ReplayId, actor: &Actor, text: &str, now: Timestamp) -> Result<(), StoreError> {
        let event = ReplayEvent { at: now, actor: actor.name.clone(), text: text.to_owned() };
        self.store().record_replay_event(id, &event).await
    }

    async fn audit(&self, replay: &Replay, actor: &Actor, action: &str, result: &str, now: Timestamp) -> Result<(), StoreError> {
        let entry = AuditEntry {
            id: 0,
            at: now,
            actor: actor.clone(),
            action: action.to_owned(),
            target: format!("/replays/{} ({})", replay.id, replay.name),
            count: (replay.state != ReplayState::Planning).then(|| replay.counts.total()),
            result: result.to_owned(),
        };
        self.store().record_audit(&entry).await?;
        self.inner.parts.changes.publish(Noun::Audit);
        Ok(())
    }
}

fn default_name(selection: &Selection) -> String {
    match selection {
        Selection::Ids(ids) if ids.len() == 1 => "One dead letter".to_owned(),
        Selection::Ids(ids) => format!("{} dead letters", ids.len()),
        Selection::Filter(filter) => {
            let first = |names: Vec<String>| names.into_iter().next();
            first(filter.exception_class.clone())
                .or_else(|| first(filter.fingerprint.iter().map(ToString::to_string).collect()))
                .or_else(|| first(filter.topic.iter().map(ToString::to_string).collect()))
                .or_else(|| first(filter.origin_topic.iter().map(ToString::to_string).collect()))
                .unwrap_or_else(|| "Dead letters".to_owned())
        }
    }
}

/// 128 random bits.
fn token() -> Result<String, ReplayError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Broken(format!("the operating system gives no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
