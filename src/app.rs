//! The composition root: a configuration becomes parts, and parts become running tasks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::bus::kafka::client::check_properties;
use crate::config::{Checks, Config, Problems};
use crate::dead_letters::conventions::{Encoding, Field};
use crate::dead_letters::discovery::glob::Glob;
use crate::demo::DemoBus;
use crate::lifecycle::Lifecycle;
use crate::store::StoreSettings;
use crate::telemetry::{self, Wishes};

mod demo;
mod ending;
mod first_start;
mod opening;
mod parts;
mod signals;
mod watching;

pub use demo::{DemoOptions, demo};
pub use watching::connect;

use signals::Signals;

/// Deadline of a page's reads from the store.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the store may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// What the configuration is checked against.
pub const CHECKS: Checks = Checks {
    client: |properties| {
        let problems = check_properties(properties);
        problems.into_iter().map(|problem| (problem.property, format!("is refused: {}", problem.problem))).collect()
    },
    pattern: |text| Glob::new(text).map(drop).map_err(|error| error.to_string()),
    field: |word| word.parse::<Field>().map(drop).map_err(|error| error.to_string()),
    encoding: |word| word.parse::<Encoding>().map(drop).map_err(|error| error.to_string()),
};

/// Loads the configuration with everything that other rooms know about it.
pub fn load_config(file: Option<&Path>) -> Result<Config, Problems> {
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(file, environment, &CHECKS)
}

/// How the configured store is opened.
#[must_use]
pub fn store_settings(config: &Config) -> StoreSettings {
    StoreSettings { url: config.store.url.clone(), max_bytes: config.retention.store_max_bytes, read_timeout: READ_TIMEOUT }
}

/// Watches the buses and serves pages until a signal or the death of a task.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let telemetry = telemetry::init(&config.telemetry, &Wishes::from_environment())?;
    let lifecycle = Lifecycle::new();
    let listener = listen(config.http.listen).await?;
    warn_of_plain_http(&config);
    let ended = run(config, &lifecycle, listener, &mut signals, None).await;
    // Flushing blocks; by now nothing else needs this thread.
    let _ = tokio::task::spawn_blocking(move || telemetry.end()).await;
    ended
}

async fn run(
    config: Config,
    lifecycle: &Lifecycle,
    listener: TcpListener,
    signals: &mut Signals,
    shop: Option<&DemoBus>,
) -> anyhow::Result<()> {
    let (store, listener) = tokio::select! {
        opened = opening::open(&config, lifecycle.readiness(), listener) => opened?,
        signal = signals.next() => {
            tracing::info!(signal, "ending: the store was not open yet");
            return Ok(());
        }
    };
    let started = tokio::select! {
        started = parts::start(config, lifecycle, store.clone(), listener, shop) => started,
        signal = signals.next() => {
            tracing::info!(signal, "ending: not everything had started yet");
            lifecycle.soft().cancel();
            Ok(())
        }
    };
    if let Err(error) = started {
        lifecycle.die(format!("{error:#}"));
    }
    let ended = ending::wait(lifecycle, signals).await;
    if tokio::time::timeout(CLOSE_DEADLINE, store.close()).await.is_err() {
        tracing::warn!("the store was left without an orderly close; nothing is lost");
    }
    ended
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (http.listen)"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(listener)
}

/// Cookies and passwords cross the network readably unless a proxy speaks TLS for us.
fn warn_of_plain_http(config: &Config) {
    let https = config.http.public_url.as_ref().is_some_and(crate::config::values::PublicUrl::is_https);
    if !https && !config.http.listen.ip().to_canonical().is_loopback() {
        tracing::warn!(address = %config.http.listen, "plain http beyond this machine: passwords can be read on the way; put TLS in front and set http.public_url");
    }
}
