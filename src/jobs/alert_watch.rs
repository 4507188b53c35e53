//! Whether rules are looked at: readiness.

use super::Run;
use crate::alerts::watching;
use crate::model::Timestamp;

/// What is wrong becomes a reason for not being ready.
pub(super) async fn check(run: &Run) -> anyhow::Result<()> {
    let watching = run.context.store.alert_watching().await?;
    watching::report(run.context.life.readiness(), &watching, run.begun, Timestamp::now());
    Ok(())
}
