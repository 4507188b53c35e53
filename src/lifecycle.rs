//! The life of the process: named tasks, soft and hard cancellation, readiness.
//!
//! The first signal cancels *soft*: loops finish what they hold, event streams end, positions are stored. A second signal or the
//! deadline cancels *hard*. A task that ends with an error, panics, or ends while nobody asked it to, ends the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod changes;
pub mod failpoint;
pub mod inbox;
pub mod switch;

/// Starts tasks and ends them together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    death: Arc<Mutex<Option<String>>>,
    readiness: Readiness,
}

impl Lifecycle {
    /// A life that has just begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process should finish what it holds and end.
    #[must_use]
    pub const fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when the process ends now.
    #[must_use]
    pub const fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Reasons for not being ready.
    #[must_use]
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Runs a task under a name. It must run until [`Self::soft`] is cancelled; if it ends before, or with an error, the process ends.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let life = self.clone();
        self.run(async move {
            let inner = life.run(task);
            let reason = match inner.await {
                Ok(Ok(())) if life.soft.is_cancelled() => return,
                Ok(Ok(())) => format!("task {name} ended although nobody asked it to"),
                Ok(Err(error)) => format!("task {name} failed: {error:#}"),
                Err(error) => format!("task {name} died: {error}"),
            };
            life.die(reason);
        });
    }

    /// Runs a short task that may end at any time, such as one connection's; its failure is its own affair.
    pub fn spawn_short<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.run(task);
    }

    /// Records why the process must end and cancels softly. The first reason wins.
    pub fn die(&self, reason: String) {
        tracing::error!(reason, "ending");
        self.death.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.soft.cancel();
    }

    /// Why the process ends, when it is not by request.
    #[must_use]
    pub fn cause_of_death(&self) -> Option<String> {
        self.death.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every task has ended; call after [`Self::soft`] was cancelled.
    pub async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    fn run<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tasks.track_future(task))
    }
}

/// Why this instance is not ready, by code. Empty = ready. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<BTreeMap<(&'static str, String), String>>>,
}

impl Readiness {
    /// Sets or replaces a reason.
    pub fn set(&self, code: &'static str, text: impl Into<String>) {
        self.set_of(code, "", text);
    }

    /// Sets or replaces a reason that each of several parts (buses) can have.
    pub fn set_of(&self, code: &'static str, part: &str, text: impl Into<String>) {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).insert((code, part.to_owned()), text.into());
    }

    /// Removes a reason.
    pub fn clear(&self, code: &'static str) {
        self.clear_of(code, "");
    }

    /// Removes a reason of one part; other parts keep theirs.
    pub fn clear_of(&self, code: &'static str, part: &str) {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).remove(&(code, part.to_owned()));
    }

    /// The present reasons: code and sentence.
    #[must_use]
    pub fn reasons(&self) -> Vec<(&'static str, String)> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|((code, _), text)| (*code, text.clone())).collect()
    }
}
