//! Opening the store at the start. A store that is down keeps us waiting and unready; one that is wrong ends the process.

use std::time::Duration;

use anyhow::Context;

use super::store_settings;
use crate::config::Config;
use crate::lifecycle::Readiness;
use crate::store::{Store, StoreError};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// Readiness code of a store that does not answer.
pub(super) const STORE: &str = "store";

/// Opens the store, as often as it takes.
pub(super) async fn open(config: &Config, readiness: &Readiness) -> anyhow::Result<Store> {
    let settings = store_settings(config);
    readiness.set(STORE, "the store is being opened");
    loop {
        match Store::open(&settings).await {
            Ok(store) => {
                readiness.clear(STORE);
                return Ok(store);
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::ReadOnly(_))) => {
                tracing::warn!(%error, store = config.store.shown_url(), "the store cannot be opened yet");
                readiness.set(STORE, error.to_string());
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error).with_context(|| format!("opening {}", config.store.shown_url())),
        }
    }
}
