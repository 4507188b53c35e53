//! Goes on with discards and restores that a crash or an impatient client left behind.

use super::Run;
use crate::model::Timestamp;
use crate::operations::discard::Discards;

/// One look at what is left behind.
pub(super) async fn go_on(run: &Run) -> anyhow::Result<()> {
    let context = &run.context;
    let discards = Discards::new(context.store.clone(), context.changes.clone(), context.life.clone());
    Ok(discards.go_on(Timestamp::now()).await?)
}
