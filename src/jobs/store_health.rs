//! Whether the store takes writes: readiness.

use super::Run;
use crate::dead_letters::indexer::health;

/// Writes and reads one row. What is wrong becomes the reason for not being ready.
pub(super) async fn check(run: &Run) -> anyhow::Result<()> {
    let checked = run.context.store.check().await;
    health::report(run.context.life.readiness(), checked.as_ref().copied());
    Ok(checked?)
}
