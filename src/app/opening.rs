//! Opening the store at the start. A store that is down keeps us waiting and unready, but alive and with the reason at our address;
//! one that is wrong ends the process.

use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::store_settings;
use crate::config::Config;
use crate::dead_letters::indexer::health;
use crate::lifecycle::Readiness;
use crate::store::{Store, StoreError};
use crate::web;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// How long answers that are on their way may take to arrive before the pages take over.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Readiness code while the store is not open.
const STARTING: &str = "store_starting";

/// Opens the store, as often as it takes; meanwhile the address answers that we are not ready. Gives the address back.
pub(super) async fn open(config: &Config, readiness: &Readiness, listener: TcpListener) -> anyhow::Result<(Store, TcpListener)> {
    let address = listener.into_std()?;
    let opened = CancellationToken::new();
    let meanwhile = web::serve_starting(TcpListener::from_std(address.try_clone()?)?, readiness.clone(), opened.clone());
    tokio::pin!(meanwhile);
    let store = tokio::select! {
        store = open_patiently(config, readiness) => store?,
        ended = &mut meanwhile => {
            ended?;
            anyhow::bail!("the web server ended before the store was open");
        }
    };
    opened.cancel();
    let _ = tokio::time::timeout(HAND_OVER, meanwhile).await;
    Ok((store, TcpListener::from_std(address)?))
}

async fn open_patiently(config: &Config, readiness: &Readiness) -> anyhow::Result<Store> {
    let settings = store_settings(config);
    readiness.set(STARTING, "the store is being opened");
    loop {
        match Store::open(&settings).await {
            Ok(store) => {
                readiness.reasons().iter().for_each(|(code, _)| readiness.clear(code));
                return Ok(store);
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::ReadOnly(_))) => {
                tracing::warn!(%error, store = config.store.shown_url(), "the store cannot be opened yet");
                let reason = health::code(&error).unwrap_or(STARTING);
                readiness.reasons().iter().filter(|(code, _)| *code != reason).for_each(|(code, _)| readiness.clear(code));
                readiness.set(reason, error.to_string());
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error).with_context(|| format!("opening {}", config.store.shown_url())),
        }
    }
}
