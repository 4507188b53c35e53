//! The outbox of notifications: sending is every instance's work, the rest one's for all.

use super::Run;
use crate::model::Timestamp;

/// Looks for what is due.
pub(super) async fn send(run: &Run) -> anyhow::Result<()> {
    Ok(run.deliveries.go_on(Timestamp::now()).await?)
}

/// Gives up what did not arrive within a day, and pushes to Alertmanagers what still fires.
pub(super) async fn tend(run: &Run) -> anyhow::Result<()> {
    run.deliveries.give_up(Timestamp::now()).await?;
    Ok(run.deliveries.push_again(Timestamp::now()).await?)
}
