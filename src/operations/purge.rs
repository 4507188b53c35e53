//! Purge: the beginning of each partition of a dead-letter topic is deleted from the bus. Planned with one frozen cut per partition,
//! checked, confirmed by typing, done partition by partition; a crash or a bus that is down delays it and changes nothing of it.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::{OpenRecordsError, Operations};
use crate::bus::{Bus, BusError};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::purge::{Purge, PurgeId, PurgeReason, PurgeState};
use crate::model::{Actor, AuditEntry, BusId, Timestamp, TopicName};
use crate::store::purges::PurgeChange;
use crate::store::{Store, StoreError};

mod checks;
mod driving;
mod planning;

pub use planning::{PlanRequest, Wanted};

/// A plan that nobody starts ends after this long.
pub const PLAN_LIFE: Duration = Duration::from_hours(24);
/// How long a request may ask the bus; below the deadline of the whole answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why an act on a purge was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// There is no such purge.
    #[error("there is no such purge")]
    NotFound,
    /// A field of the plan is wrong.
    #[error("{text}")]
    Field {
        /// Which.
        field: String,
        /// What is wrong and what would be right.
        text: String,
    },
    /// Only dead-letter topics are purged.
    #[error("{0} is not a dead-letter topic; only these are purged")]
    NotDeadLetterTopic(TopicName),
    /// Nothing lies below any cut.
    #[error("there is nothing to delete: no record that was indexed lies below the cuts")]
    Empty,
    /// Its state does not allow it.
    #[error("the purge is {state} and cannot be {act}")]
    WrongState {
        /// Where it stands.
        state: PurgeState,
        /// What was asked for, as a participle.
        act: &'static str,
    },
    /// The topic is not the one that was planned for.
    #[error("{0}")]
    GenerationChanged(String),
    /// A check says that it cannot be started; its text.
    #[error("this purge cannot be started: {0}")]
    Blocked(String),
    /// The typed name is not the topic's.
    #[error("type the topic's name to confirm: {0}")]
    ConfirmMismatch(TopicName),
    /// Warnings were not accepted; their codes.
    #[error("these warnings must be accepted first: {}", .0.join(", "))]
    WarningsNotAccepted(Vec<String>),
    /// The number of records without custody was not repeated.
    #[error("{0} records below the cuts are not in custody; repeat this number in without_custody to delete them all the same")]
    WithoutCustodyMismatch(u64),
    /// The bus did not answer or refused.
    #[error(transparent)]
    Bus(#[from] OpenRecordsError),
    /// The store did not answer or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a person confirms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The topic's name, typed.
    pub confirm: String,
    /// Codes of the warnings that are accepted.
    pub accept: Vec<String>,
    /// Records without custody, repeated; may be left out when there are none.
    pub without_custody: Option<u64>,
}

/// Plans, starts, ends and drives purges. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Purges {
    operations: Operations,
    store: Store,
    changes: Changes,
    life: Lifecycle,
}

impl Purges {
    /// Acts on these buses and this store.
    #[must_use]
    pub const fn new(operations: Operations, store: Store, changes: Changes, life: Lifecycle) -> Self {
        Self { operations, store, changes, life }
    }

    /// A purge by its id.
    ///
    /// # Errors
    /// [`PurgeError::NotFound`], or when the store fails.
    pub async fn find(&self, id: &PurgeId) -> Result<Purge, PurgeError> {
        self.store.find_purge(id).await?.ok_or(PurgeError::NotFound)
    }

    /// Runs a plan's checks again. Its cuts stay.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn check(&self, id: &PurgeId, now: Timestamp) -> Result<Purge, PurgeError> {
        let mut purge = self.find(id).await?;
        planned(&purge, "checked")?;
        self.assess(&mut purge, Instant::now() + PATIENCE).await?;
        self.store.set_purge_checks(&purge, now).await?;
        self.changed();
        self.find(id).await
    }

    /// Starts a plan, once everything is confirmed and the topic is still the one that was planned for.
    ///
    /// # Errors
    /// See [`PurgeError`]; nothing is deleted then.
    pub async fn start(&self, id: &PurgeId, given: &Confirmation, actor: &Actor, now: Timestamp) -> Result<Purge, PurgeError> {
        let purge = self.find(id).await?;
        planned(&purge, "started")?;
        confirmed(&purge, given)?;
        if let Err(text) = self.same_generation(&purge, Instant::now() + PATIENCE).await? {
            let (reason, text) = (Some(PurgeReason::GenerationChanged), Some(text));
            let audit = entry(&purge, actor, "purges.start", None, "failed: the topic is not the one that was planned for", now);
            let change = PurgeChange { from: PurgeState::Planned, to: PurgeState::Failed, reason, text: text.clone(), audit };
            self.go(&purge, &change).await?;
            return Err(PurgeError::GenerationChanged(text.unwrap_or_default()));
        }
        let audit = entry(&purge, actor, "purges.start", Some(purge.records()), "done", now);
        let change = PurgeChange { from: PurgeState::Planned, to: PurgeState::Running, reason: None, text: None, audit };
        self.must_go(&purge, &change, "started").await?;
        self.find(id).await
    }

    /// Ends a plan at once, a running purge before its next partition.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn cancel(&self, id: &PurgeId, actor: &Actor, now: Timestamp) -> Result<Purge, PurgeError> {
        let purge = self.find(id).await?;
        match purge.state {
            PurgeState::Planned => {
                let reason = Some(PurgeReason::ByPerson);
                let audit = entry(&purge, actor, "purges.cancel", None, "done", now);
                let change = PurgeChange { from: PurgeState::Planned, to: PurgeState::Cancelled, reason, text: None, audit };
                self.must_go(&purge, &change, "cancelled").await?;
            }
            PurgeState::Running => {
                if self.store.ask_cancel_of_purge(purge.number, &actor.name).await? {
                    self.store.record_audit(&entry(&purge, actor, "purges.cancel", None, "done", now)).await?;
                    self.changed();
                }
            }
            state => return Err(PurgeError::WrongState { state, act: "cancelled" }),
        }
        self.find(id).await
    }

    /// Moves a purge on; that it stands elsewhere by now is the caller's error.
    async fn must_go(&self, purge: &Purge, change: &PurgeChange, act: &'static str) -> Result<(), PurgeError> {
        if self.go(purge, change).await? {
            return Ok(());
        }
        let state = self.find(&purge.id).await?.state;
        Err(PurgeError::WrongState { state, act })
    }

    async fn go(&self, purge: &Purge, change: &PurgeChange) -> Result<bool, StoreError> {
        let moved = self.store.move_purge(purge.number, change).await?;
        self.changed();
        Ok(moved)
    }

    fn changed(&self) {
        self.changes.publish(Noun::Purges);
        self.changes.publish(Noun::Audit);
    }

    fn bus(&self, bus: &BusId) -> Result<&dyn Bus, PurgeError> {
        let slot = self.operations.buses.get(bus);
        let unknown = || PurgeError::Field { field: "bus".to_owned(), text: format!("there is no bus {bus}") };
        slot.map(|slot| slot.bus.as_ref()).ok_or_else(unknown)
    }

    /// Whether the topic is still the one that was planned for: by the bus, and by what we know. Otherwise why not, in words.
    async fn same_generation(&self, purge: &Purge, deadline: Instant) -> Result<Result<(), String>, PurgeError> {
        let topic = &purge.topic;
        match self.store.find_topic(&purge.bus, topic).await? {
            Some((known, _)) if known.generation.id == purge.generation_id && known.generation.gone_at.is_none() => {}
            _ => return Ok(Err(format!("the topic {topic} that was planned for is gone, or began again"))),
        }
        let bus = self.bus(&purge.bus)?;
        match (topic_id(bus, topic, deadline).await?, &purge.topic_id) {
            (Told::Gone, _) => Ok(Err(format!("the topic {topic} is gone"))),
            (Told::Id(now), Some(planned)) if now != *planned => {
                Ok(Err(format!("the topic {topic} was deleted and created again since it was planned")))
            }
            _ => Ok(Ok(())),
        }
    }
}

/// What a bus says of a topic's id.
enum Told {
    Id(String),
    /// There is no topic of this name.
    Gone,
    /// This bus tells no ids.
    Nothing,
}

async fn topic_id(bus: &dyn Bus, topic: &TopicName, deadline: Instant) -> Result<Told, PurgeError> {
    match within(deadline, bus.topic_ids(std::slice::from_ref(topic))).await? {
        Ok(mut ids) => match ids.remove(topic) {
            Some(Some(id)) => Ok(Told::Id(id)),
            Some(None) => Ok(Told::Gone),
            None => Err(OpenRecordsError::Unreachable(format!("the id of {topic} was not told")).into()),
        },
        Err(BusError::Unsupported(_)) => Ok(Told::Nothing),
        Err(error) => Err(OpenRecordsError::from(error).into()),
    }
}

/// Waits for a bus no longer than the deadline.
async fn within<T>(deadline: Instant, asked: impl Future<Output = T>) -> Result<T, OpenRecordsError> {
    tokio::time::timeout_at(deadline, asked).await.map_err(|_| OpenRecordsError::DeadlineExceeded(PATIENCE))
}

fn planned(purge: &Purge, act: &'static str) -> Result<(), PurgeError> {
    if purge.state == PurgeState::Planned { Ok(()) } else { Err(PurgeError::WrongState { state: purge.state, act }) }
}

/// Whether a person has confirmed everything that a plan asks for.
fn confirmed(purge: &Purge, given: &Confirmation) -> Result<(), PurgeError> {
    if let Some(text) = purge.blocked() {
        return Err(PurgeError::Blocked(text.to_owned()));
    }
    if given.confirm != purge.topic.as_str() {
        return Err(PurgeError::ConfirmMismatch(purge.topic.clone()));
    }
    let missing: Vec<String> =
        purge.warnings().filter(|code| !given.accept.iter().any(|accepted| accepted == code)).map(str::to_owned).collect();
    if !missing.is_empty() {
        return Err(PurgeError::WarningsNotAccepted(missing));
    }
    if given.without_custody.unwrap_or(0) != purge.without_custody() {
        return Err(PurgeError::WithoutCustodyMismatch(purge.without_custody()));
    }
    Ok(())
}

/// What the audit says of an act on a purge.
fn entry(purge: &Purge, actor: &Actor, action: &str, count: Option<u64>, result: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        id: 0,
        at: now,
        actor: actor.clone(),
        action: action.to_owned(),
        target: target(&purge.bus, &purge.topic, &purge.id),
        count,
        result: result.to_owned(),
    }
}

/// A purge as the audit names it.
fn target(bus: &BusId, topic: &TopicName, id: &PurgeId) -> String {
    format!("{bus}/{topic} purge {id}")
}
