//! Work that one instance does for all: whoever holds the lease. Alone on a store nobody needs one.

use std::time::Duration;

use super::Context;
use crate::model::Timestamp;
use crate::store::StoreError;

/// Takes or renews a lease; `false` while another instance holds it.
pub(super) async fn take(context: &Context, name: &str, duration: Duration) -> Result<bool, StoreError> {
    let instance = &context.instance;
    if !instance.shared {
        return Ok(true);
    }
    Ok(context.store.take_lease(name, &instance.client_id, duration, Timestamp::now()).await?.is_some())
}

/// Gives a lease back, so that another instance need not wait for its end.
pub(super) async fn release(context: &Context, name: &str) {
    if context.instance.shared
        && let Err(error) = context.store.release_lease(name, &context.instance.client_id).await
    {
        tracing::debug!(name, %error, "the lease runs out by itself");
    }
}
