//! Adds up samples: hours that are over become minutes and hours by series.

use super::Run;
use crate::dead_letters::indexer::work;
use crate::model::Timestamp;

/// Between two hours of a long backlog others may write.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Rolls up every hour that is due.
pub(super) async fn roll_up(run: &Run) -> anyhow::Result<()> {
    while run.context.store.roll_up_figures(Timestamp::now()).await? {
        if !work::pause(&run.context.life, PAUSE).await {
            break;
        }
    }
    Ok(())
}
