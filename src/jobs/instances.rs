//! Our own row among the instances on a shared store: a member of our consumer groups that has none is a stranger.

use super::Run;
use crate::model::Timestamp;

/// Registers this instance, or says that it still lives.
pub(super) async fn register(run: &Run) -> anyhow::Result<()> {
    Ok(run.context.store.register_instance(&run.context.instance.client_id, Timestamp::now()).await?)
}

/// Takes this instance out at the end.
pub(super) async fn deregister(run: &Run) {
    if let Err(error) = run.context.store.deregister_instance(&run.context.instance.client_id).await {
        tracing::debug!(%error, "this instance's row stays until it is too old");
    }
}
