//! Discard and restore: a status is set, with a reason, and can be taken back. The bus is not touched. The scope is frozen when
//! it is asked; a large one goes on behind the request, and after a crash.

use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::discard::{Discard, DiscardId, DiscardKind, Reason};
use crate::model::{Actor, Selection, Timestamp};
use crate::store::discards::{NewDiscard, Scope, Step};
use crate::store::{Store, StoreError};

/// Above so many dead letters the request does not wait for the end.
pub const IN_REQUEST: u64 = 5_000;
/// A request waits no longer than this, such as for a long search.
const PATIENCE: Duration = Duration::from_secs(10);
/// An act that nobody has touched for so long is taken up again.
const ABANDONED: Duration = Duration::from_secs(4);

/// Why dead letters were not discarded or restored.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// Nothing is selected, or nothing matches.
    #[error("nothing matches: there is no dead letter to change")]
    EmptySelection,
    /// There is no such discard.
    #[error("there is no such discard")]
    NotFound,
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// What a person has selected.
    Selection(Selection),
    /// What this discard has changed and is still discarded by it.
    Discard(DiscardId),
}

/// Discards and restores. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Discards {
    store: Store,
    changes: Changes,
    life: Lifecycle,
}

impl Discards {
    /// Acts on this store.
    #[must_use]
    pub const fn new(store: Store, changes: Changes, life: Lifecycle) -> Self {
        Self { store, changes, life }
    }

    /// Sets the open ones among the selected aside. `target` is the selection as the audit names it.
    ///
    /// # Errors
    /// See [`DiscardError`]. Once the act is written down, trouble only makes it go on behind the request.
    pub async fn discard(
        &self,
        selection: Selection,
        reason: Reason,
        target: String,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Discard, DiscardError> {
        let reason = reason.as_str().to_owned();
        let scope = Scope::Selection(selection);
        self.ask(NewDiscard { id: DiscardId::new(now), kind: DiscardKind::Discard, actor, reason, scope, target }, now).await
    }

    /// Opens discarded ones again.
    ///
    /// # Errors
    /// See [`DiscardError`].
    pub async fn restore(&self, what: Restore, target: String, actor: Actor, now: Timestamp) -> Result<Discard, DiscardError> {
        let scope = match what {
            Restore::Selection(selection) => Scope::Selection(selection),
            Restore::Discard(id) => Scope::ChangedBy(id.as_str().to_owned()),
        };
        let new = NewDiscard { id: DiscardId::new(now), kind: DiscardKind::Restore, actor, reason: String::new(), scope, target };
        self.ask(new, now).await
    }

    /// An act by its id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, id: &DiscardId) -> Result<Option<Discard>, StoreError> {
        self.store.find_discard(id).await
    }

    /// Goes on with acts whose process has ended, or whose request has.
    ///
    /// # Errors
    /// When the store fails; the acts stay where they are.
    pub async fn go_on(&self, now: Timestamp) -> Result<(), StoreError> {
        for id in self.store.list_discards_at_work(now.minus(ABANDONED)).await? {
            self.drive(&id).await?;
        }
        Ok(())
    }

    async fn ask(&self, new: NewDiscard, now: Timestamp) -> Result<Discard, DiscardError> {
        if matches!(&new.scope, Scope::Selection(Selection::Ids(ids)) if ids.is_empty()) {
            return Err(DiscardError::EmptySelection);
        }
        let mut act = self.store.add_discard(&new, now).await?.ok_or(DiscardError::NotFound)?;
        let deadline = Instant::now() + PATIENCE;
        while act.total <= IN_REQUEST && Instant::now() < deadline {
            match self.step(&act.id).await {
                Ok(Step::More(stands)) => act = stands,
                Ok(Step::Ended(ended)) => return Ok(ended),
                Ok(Step::Empty) => return Err(DiscardError::EmptySelection),
                Err(error) => {
                    tracing::warn!(%error, act = %act.id, "an act on statuses goes on when the store is back");
                    return Ok(act);
                }
            }
        }
        let (acts, id) = (self.clone(), act.id.clone());
        self.life.spawn_short(async move {
            if let Err(error) = acts.drive(&id).await {
                tracing::warn!(%error, act = %id, "an act on statuses goes on when the store is back");
            }
        });
        Ok(act)
    }

    /// Steps until the act or the process ends.
    async fn drive(&self, id: &DiscardId) -> Result<(), StoreError> {
        while !self.life.soft().is_cancelled() {
            match self.step(id).await? {
                Step::More(_) => tokio::task::yield_now().await,
                Step::Ended(_) | Step::Empty => break,
            }
        }
        Ok(())
    }

    async fn step(&self, id: &DiscardId) -> Result<Step, StoreError> {
        let step = self.store.step_discard(id, Timestamp::now()).await?;
        match &step {
            Step::More(act) if !act.frozen => {}
            Step::More(_) => self.changes.publish(Noun::DeadLetters),
            Step::Ended(_) => {
                self.changes.publish(Noun::DeadLetters);
                self.changes.publish(Noun::Audit);
            }
            Step::Empty => {}
        }
        Ok(step)
    }
}
