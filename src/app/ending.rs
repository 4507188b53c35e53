//! How `serve` ends: softly at the first signal or when a task died, now at the second or at the deadline.

use std::time::Duration;

use anyhow::bail;

use super::signals::Signals;
use crate::lifecycle::Lifecycle;

/// How long tasks may take to finish what they hold; below the 30 s after which Kubernetes kills.
const DEADLINE: Duration = Duration::from_secs(25);

/// Waits for the first signal or death, then for all tasks. An error says why this was no orderly end.
pub(super) async fn wait(lifecycle: &Lifecycle, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = lifecycle.soft().cancelled() => {}
        signal = signals.next() => tracing::info!(signal, "ending: finishing what is held"),
    }
    lifecycle.soft().cancel();
    let hurried = tokio::select! {
        () = lifecycle.wait() => None,
        signal = signals.next() => Some(format!("a second signal ({signal}) ended what was still running")),
        () = tokio::time::sleep(DEADLINE) => Some(format!("tasks still ran {DEADLINE:?} after the first signal")),
    };
    if let Some(reason) = &hurried {
        tracing::warn!(reason, "ending now");
        lifecycle.hard().cancel();
    }
    match lifecycle.cause_of_death().or(hurried) {
        Some(reason) => bail!(reason),
        None => Ok(()),
    }
}
