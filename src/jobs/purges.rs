//! Goes on with purges, whoever started them.

use super::Run;
use crate::model::Timestamp;
use crate::operations::purge::Purges;

/// One look at what is to be done.
pub(super) async fn go_on(run: &Run) -> anyhow::Result<()> {
    let context = &run.context;
    let purges = Purges::new(run.operations.clone(), context.store.clone(), context.changes.clone(), context.life.clone());
    Ok(purges.go_on(Timestamp::now()).await?)
}
