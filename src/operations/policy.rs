//! Automatic replay policies: an administrator decides once, and dead letters are replayed without a person, by ordinary replays that
//! are planned and started here. [`mod@decide`] says what a policy does next; this module does it.
//!
//! Everything that matters is in the store: whoever holds the job's lease goes on where another has stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::replay::{PlanRequest, ReplayError, Replays};
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::policy::{Breaker, Policy, Terms};
use crate::model::replay::{CheckLevel, Replay, ReplaySettings, ReplayState};
use crate::model::{Actor, AuditEntry, BusId, Cursor, PageRequest, Selection, Timestamp};
use crate::store::policies::{PolicyMove, PolicyTotals};
use crate::store::replays::ReplayFilter;
use crate::store::{Store, StoreError};

mod decide;
mod due;

use decide::{Facts, Run, Step, decide};

/// Keeps policies and does what they say. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policies {
    store: Store,
    replays: Replays,
    changes: Changes,
    /// How far each policy has looked through the dead letters; lost without harm.
    looked: Arc<Mutex<HashMap<i64, Looked>>>,
}

#[derive(Debug, Clone, Default)]
struct Looked {
    again_at: Option<Timestamp>,
    cursor: Option<Cursor>,
}

/// Why an act on a policy was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There is no such policy.
    #[error("there is no such policy")]
    NotFound,
    /// Its bus is not configured here.
    #[error("there is no bus {0}")]
    UnknownBus(BusId),
    /// The store did not answer or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a policy stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Switched off.
    Off,
    /// Waits for dead letters to become due.
    Watching,
    /// A run is under way.
    Running,
    /// A run has ended; what becomes of its messages is not known yet.
    Settling,
    /// The breaker is open until then.
    Open(Timestamp),
    /// The breaker tries a canary next.
    HalfOpen,
    /// Its hours do not hold this time.
    OutsideHours,
    /// What may be sent within 24 hours was sent.
    DailyLimit,
    /// A person must look.
    GaveUp,
}

impl Standing {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Watching => "watching",
            Self::Running => "running",
            Self::Settling => "settling",
            Self::Open(_) => "open",
            Self::HalfOpen => "half_open",
            Self::OutsideHours => "outside_hours",
            Self::DailyLimit => "daily_limit",
            Self::GaveUp => "gave_up",
        }
    }
}

/// A policy with everything that a person wants to know of it.
#[derive(Debug, Clone)]
pub struct PolicyReport {
    /// The policy.
    pub policy: Policy,
    /// Where it stands.
    pub standing: Standing,
    /// Its newest run.
    pub run: Option<Replay>,
    /// All runs together.
    pub totals: PolicyTotals,
    /// Messages sent within the last 24 hours.
    pub sent_today: u64,
}

impl Policies {
    /// Puts the parts together; nothing runs until [`Policies::go_on`] is called.
    #[must_use]
    pub fn new(store: Store, replays: Replays, changes: Changes) -> Self {
        Self { store, replays, changes, looked: Arc::default() }
    }

    /// Adds a policy.
    ///
    /// # Errors
    /// When its bus is not configured here, or the store fails.
    pub async fn add(&self, name: &str, enabled: bool, terms: &Terms, actor: &Actor, now: Timestamp) -> Result<Policy, PolicyError> {
        self.check_bus(terms)?;
        let entry =
            entry(String::new(), actor, "replay_policies.add", if enabled { "done: switched on" } else { "done: switched off" }, now);
        let policy = self.store.add_policy(name, enabled, terms, &entry).await?;
        self.changed();
        Ok(policy)
    }

    /// One policy.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn find(&self, number: i64) -> Result<Policy, PolicyError> {
        self.store.find_policy(number).await?.ok_or(PolicyError::NotFound)
    }

    /// Changes name and terms. A run that is under way keeps those it began with.
    ///
    /// # Errors
    /// When there is no such policy, its bus is not configured here, or the store fails.
    pub async fn change(&self, number: i64, name: &str, terms: &Terms, actor: &Actor, now: Timestamp) -> Result<Policy, PolicyError> {
        self.check_bus(terms)?;
        let entry = entry(target(number, name), actor, "replay_policies.change", "done", now);
        if !self.store.change_policy(number, name, terms, &entry).await? {
            return Err(PolicyError::NotFound);
        }
        self.changed();
        self.find(number).await
    }

    /// Switches a policy on, with its breaker closed, or off: then its run is cancelled.
    ///
    /// # Errors
    /// When there is no such policy, or the store fails.
    pub async fn switch(&self, number: i64, on: bool, actor: &Actor, now: Timestamp) -> Result<Policy, PolicyError> {
        let policy = self.find(number).await?;
        let action = if on { "replay_policies.switch_on" } else { "replay_policies.switch_off" };
        let switched = self.store.switch_policy(&policy, on, &entry(target(number, &policy.name), actor, action, "done", now)).await?;
        if switched && !on {
            self.end_run(number, actor, now).await?;
        }
        self.changed();
        self.find(number).await
    }

    /// Removes a policy and cancels its run; runs that have ended stay in the history.
    ///
    /// # Errors
    /// When there is no such policy, or the store fails.
    pub async fn remove(&self, number: i64, actor: &Actor, now: Timestamp) -> Result<(), PolicyError> {
        let policy = self.find(number).await?;
        let entry = entry(target(number, &policy.name), actor, "replay_policies.delete", "done", now);
        if !self.store.remove_policy(number, &entry).await? {
            return Err(PolicyError::NotFound);
        }
        self.end_run(number, actor, now).await?;
        self.changed();
        Ok(())
    }

    /// Everything that a person wants to know of a policy.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn report(&self, policy: Policy, now: Timestamp) -> Result<PolicyReport, StoreError> {
        let run = self.newest_run(policy.number).await?;
        let sent_today = self.store.count_sent_by_policy(policy.number, now.minus(decide::DAY)).await?;
        let totals = self.store.count_policy_totals(policy.number).await?;
        let standing = standing(&policy, run.as_ref(), sent_today, now);
        Ok(PolicyReport { policy, standing, run, totals, sent_today })
    }

    /// Takes the next step of every policy that is on.
    ///
    /// # Errors
    /// The first failure of the store; every policy was looked at all the same.
    pub async fn go_on(&self, now: Timestamp) -> Result<(), StoreError> {
        let policies = self.store.list_policies_at_work().await?;
        self.looked().retain(|number, _| policies.iter().any(|policy| policy.number == *number));
        let mut ended = Ok(());
        for policy in &policies {
            ended = ended.and(self.step(policy, now).await);
        }
        ended
    }

    async fn step(&self, policy: &Policy, now: Timestamp) -> Result<(), StoreError> {
        let replay = self.newest_run(policy.number).await?;
        let run = match &replay {
            Some(replay) => Some(Run::new(replay, &self.store.list_routes(replay.number).await?)),
            None => None,
        };
        let facts = Facts {
            run,
            results: self.store.count_policy_results(policy).await?,
            sent_today: self.store.count_sent_by_policy(policy.number, now.minus(decide::DAY)).await?,
        };
        match (decide(policy, &facts, now), replay) {
            (Step::Seek { most }, _) => self.seek(policy, most, now).await,
            (Step::Start, Some(replay)) => self.start(policy, &replay, now).await,
            (Step::Cancel { text }, Some(replay)) => {
                self.go(policy, &replay, &PolicyMove { judged: replay.number, ..PolicyMove::of(policy) }, None, now).await?;
                self.cancel(&replay, &policy.actor(), text, now).await
            }
            (Step::Open { text, against }, Some(replay)) => self.open(policy, &replay, text, against, now).await,
            (Step::GiveUp { text }, Some(replay)) => self.give_up(policy, &replay, text, now).await,
            (Step::Judge { closes }, Some(replay)) => self.judge(policy, &replay, closes, now).await,
            // Everything else is about a run.
            (Step::Rest, _) | (_, None) => Ok(()),
        }
    }

    /// Looks for due dead letters and plans a run of them.
    async fn seek(&self, policy: &Policy, most: u64, now: Timestamp) -> Result<(), StoreError> {
        let due = due::find(self, policy, most, now).await?;
        if due.is_empty() {
            return Ok(());
        }
        let terms = &policy.terms;
        let settings = ReplaySettings {
            rate: terms.rate,
            canary: (due.len() > terms.canary.count as usize).then_some(terms.canary),
            failed_again_limit: Some(terms.failed_again_limit),
            lag_limit: terms.lag_limit,
            attempt_limit: terms.attempt_limit,
            on_failed: terms.on_failed,
            ..ReplaySettings::default()
        };
        let (name, policy_id) = (Some(policy.name.clone()), Some(policy.number));
        let request = PlanRequest { selection: Selection::Ids(due), name, settings, policy_id };
        match self.replays.plan(request, &policy.actor(), now).await {
            Err(ReplayError::Store(error)) => Err(error),
            // Otherwise it is planned; or it was switched off meanwhile, or what was due is gone: the next look tells.
            _ => Ok(()),
        }
    }

    async fn start(&self, policy: &Policy, replay: &Replay, now: Timestamp) -> Result<(), StoreError> {
        match self.replays.start(&replay.id, &policy.terms.accept, &policy.actor(), now).await {
            Ok(_) | Err(ReplayError::WrongState { .. } | ReplayError::NotFound) => Ok(()),
            Err(ReplayError::Store(error)) => Err(error),
            Err(ReplayError::NothingToSend) => self.judge(policy, replay, false, now).await,
            Err(ReplayError::WarningsNotAccepted(codes)) => {
                let texts = replay.checks.iter().filter(|check| check.level == CheckLevel::Warning && codes.contains(&check.code));
                let texts: Vec<&str> = texts.map(|check| check.text.as_str()).collect();
                self.give_up(
                    policy,
                    replay,
                    format!("the plan of its run warns of what was not accepted beforehand. {}", texts.join(" ")),
                    now,
                )
                .await
            }
            Err(error) => self.open(policy, replay, error.to_string(), true, now).await,
        }
    }

    /// Opens the breaker for a while; after too many times in a row for good.
    async fn open(&self, policy: &Policy, replay: &Replay, text: String, against: bool, now: Timestamp) -> Result<(), StoreError> {
        let opened = policy.opened + u32::from(against);
        if against && opened >= policy.terms.give_up_after {
            let times = if opened == 1 { "the first time".to_owned() } else { format!("{opened} times in a row") };
            return self.give_up(policy, replay, format!("{text}; this was {times}"), now).await;
        }
        let until = now.plus(policy.terms.cool_down(opened.max(1)));
        let to = PolicyMove {
            opened,
            open_until: Some(until),
            text: Some(text.clone()),
            counted_from: now,
            judged: replay.number,
            ..PolicyMove::of(policy)
        };
        let result = format!("until {}: {text}", until.to_rfc3339());
        self.go(policy, replay, &to, Some(("replay_policies.open", &result)), now).await?;
        self.cancel(replay, &policy.actor(), "its policy has stopped it", now).await
    }

    async fn give_up(&self, policy: &Policy, replay: &Replay, text: String, now: Timestamp) -> Result<(), StoreError> {
        let to = PolicyMove { gave_up_at: Some(now), text: Some(text.clone()), judged: replay.number, ..PolicyMove::of(policy) };
        self.go(policy, replay, &to, Some(("replay_policies.give_up", &text)), now).await?;
        // A job that waits for a person's decision is left to that person.
        if replay.state_reason == Some(crate::model::replay::StateReason::ProgressUnknown) {
            return Ok(());
        }
        self.cancel(replay, &policy.actor(), "its policy has given up", now).await
    }

    async fn judge(&self, policy: &Policy, replay: &Replay, closes: bool, now: Timestamp) -> Result<(), StoreError> {
        let stays = PolicyMove { judged: replay.number, ..PolicyMove::of(policy) };
        let closed = closes && (policy.opened > 0 || policy.text.is_some());
        let to =
            if closed { PolicyMove { opened: 0, open_until: None, text: None, counted_from: replay.created_at, ..stays } } else { stays };
        let said = closed.then_some(("replay_policies.close", "done: its canary came through"));
        self.go(policy, replay, &to, said, now).await?;
        self.cancel(replay, &policy.actor(), "nothing of it could be sent", now).await
    }

    async fn go(
        &self,
        policy: &Policy,
        replay: &Replay,
        to: &PolicyMove,
        said: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = said.map(|(action, result)| {
            let count = Some(replay.counts.total());
            AuditEntry { count, ..entry(target(policy.number, &policy.name), &policy.actor(), action, result, now) }
        });
        if self.store.move_policy(policy, to, entry.as_ref()).await? {
            self.changed();
        }
        Ok(())
    }

    /// Ends a run that has not ended; what waits in it is open again.
    async fn cancel(&self, replay: &Replay, actor: &Actor, text: &str, now: Timestamp) -> Result<(), StoreError> {
        if replay.state.is_final() {
            return Ok(());
        }
        match self.replays.cancel_because(&replay.id, actor, text, now).await {
            Err(ReplayError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn end_run(&self, number: i64, actor: &Actor, now: Timestamp) -> Result<(), StoreError> {
        match self.newest_run(number).await? {
            Some(replay) => self.cancel(&replay, actor, "its policy was switched off", now).await,
            None => Ok(()),
        }
    }

    async fn newest_run(&self, number: i64) -> Result<Option<Replay>, StoreError> {
        let filter = ReplayFilter { policy_id: Some(number), ..ReplayFilter::default() };
        Ok(self.store.list_replays(&filter, &PageRequest::first(1)).await?.items.pop())
    }

    fn check_bus(&self, terms: &Terms) -> Result<(), PolicyError> {
        match terms.filter.bus.iter().find(|bus| !self.replays.knows(bus)) {
            Some(bus) => Err(PolicyError::UnknownBus(bus.clone())),
            None => Ok(()),
        }
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.publish(Noun::Replays);
        self.changes.publish(Noun::Audit);
    }
}

fn standing(policy: &Policy, run: Option<&Replay>, sent_today: u64, now: Timestamp) -> Standing {
    let current = run.filter(|run| run.number > policy.judged);
    match (current.map(|run| run.state), policy.breaker(now)) {
        _ if !policy.enabled => Standing::Off,
        _ if policy.gave_up_at.is_some() => Standing::GaveUp,
        (Some(ReplayState::Completed | ReplayState::Cancelled | ReplayState::Failed), _) => Standing::Settling,
        (Some(_), _) => Standing::Running,
        (None, Breaker::Open(until)) => Standing::Open(until),
        (None, _) if !policy.is_in_hours(now) => Standing::OutsideHours,
        (None, _) if sent_today >= policy.terms.daily_limit => Standing::DailyLimit,
        (None, Breaker::HalfOpen) => Standing::HalfOpen,
        (None, Breaker::Closed) => Standing::Watching,
    }
}

fn target(number: i64, name: &str) -> String {
    format!("/replay-policies/{number} ({name})")
}

fn entry(target: String, actor: &Actor, action: &str, result: &str, at: Timestamp) -> AuditEntry {
    AuditEntry { id: 0, at, actor: actor.clone(), action: action.to_owned(), target, count: None, result: result.to_owned() }
}
