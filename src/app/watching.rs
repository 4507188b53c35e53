//! From configured buses to running samplers and indexers. Nothing here waits for a bus.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::access::{SESSION_ABSOLUTE, SESSION_IDLE};
use crate::alerts::delivery::Deliveries;
use crate::bus::kafka::KafkaBus;
use crate::bus::{Bus, BusSettings};
use crate::config::{BusConfig, Config};
use crate::dead_letters::indexer::work::Backoff;
use crate::dead_letters::indexer::{BusWork, decoder, health};
use crate::jobs::{self, Retention};
use crate::model::{BusId, BusKind};
use crate::operations::policy::Policies;
use crate::operations::replay::ReplayBus;
use crate::otlp::{SharedIntake, TopicContext, TopicSource, spawn_topics};
use crate::store::StoreError;

/// Deadline of one request to a bus.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepares a configured bus. Does not reach it.
pub fn connect(config: &BusConfig) -> anyhow::Result<Arc<dyn Bus>> {
    let settings = BusSettings {
        id: config.id.clone(),
        kind: config.kind,
        bootstrap_servers: config.bootstrap_servers.clone(),
        id_prefix: config.id_prefix.clone(),
        client: config.client.clone(),
        request_timeout: REQUEST_TIMEOUT,
    };
    let bus = match config.kind {
        BusKind::Kafka => KafkaBus::connect(settings).with_context(|| format!("bus {}", config.id))?,
    };
    Ok(Arc::new(bus))
}

/// Prepares every configured bus.
pub(super) fn connect_all(config: &Config) -> anyhow::Result<HashMap<BusId, Arc<dyn Bus>>> {
    config.buses.iter().map(|bus| Ok((bus.id.clone(), connect(bus)?))).collect()
}

/// The buses as replays need them.
pub(super) fn replay_buses(config: &Config, buses: &HashMap<BusId, Arc<dyn Bus>>) -> anyhow::Result<HashMap<BusId, ReplayBus>> {
    let with_rules = config.buses.iter().filter_map(|bus| Some((bus, buses.get(&bus.id)?)));
    with_rules
        .map(|(config, bus)| {
            let (decoder, id_prefix) = (decoder(config)?, config.id_prefix.clone());
            Ok((config.id.clone(), ReplayBus { bus: Arc::clone(bus), decoder, id_prefix }))
        })
        .collect()
}

/// Starts the background tasks: those of the house, and a sampler and an indexer for each bus.
pub(super) async fn start(
    config: &Config,
    context: &jobs::Context,
    buses: &HashMap<BusId, Arc<dyn Bus>>,
    policies: Policies,
    deliveries: Deliveries,
) -> anyhow::Result<()> {
    register(config, context).await?;
    let mut work = Vec::new();
    for bus in &config.buses {
        let Some(connected) = buses.get(&bus.id) else { continue };
        work.push(Arc::new(BusWork::new(Arc::clone(connected), bus, config.custody.max_record_bytes)?));
    }
    let retention = Retention {
        dead_letters: config.retention.dead_letters,
        audit: config.retention.audit,
        raw: config.retention.raw,
        minutes: config.retention.minutes,
        hours: config.retention.hours,
        spans: config.retention.spans,
        kept_traces: config.retention.kept_traces,
        spans_max_bytes: config.retention.spans_max_bytes,
        session_absolute: SESSION_ABSOLUTE,
        session_idle: SESSION_IDLE,
    };
    let public_url = config.http.public_url.as_ref().map_or_else(|| format!("http://{}", config.http.listen), ToString::to_string);
    jobs::spawn_all(context, work, retention, policies, deliveries, &public_url).await;
    Ok(())
}

/// Reads spans from the topics that are configured for it.
pub(super) fn read_spans(config: &Config, context: &jobs::Context, buses: &HashMap<BusId, Arc<dyn Bus>>, intake: SharedIntake) {
    let around = TopicContext {
        store: context.store.clone(),
        intake,
        metrics: context.metrics.clone(),
        life: context.life.clone(),
        client_id: Arc::clone(&context.instance.client_id),
        shared: context.instance.shared,
    };
    for bus in &config.buses {
        if let Some(connected) = buses.get(&bus.id) {
            let source = TopicSource { bus: Arc::clone(connected), id_prefix: bus.id_prefix.clone(), topics: bus.otlp_topics.clone() };
            spawn_topics(&around, source);
        }
    }
}

/// Writes the configured buses to the store, as often as it takes while the store cannot be written.
async fn register(config: &Config, context: &jobs::Context) -> anyhow::Result<()> {
    let kinds: Vec<(BusId, BusKind)> = config.buses.iter().map(|bus| (bus.id.clone(), bus.kind)).collect();
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
    loop {
        let registered = context.store.register_buses(&kinds).await;
        health::report(context.life.readiness(), registered.as_ref().copied());
        match registered {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::ReadOnly(_))) => {
                tracing::warn!(%error, "the store does not take the configured buses yet");
                tokio::time::sleep(backoff.next_wait()).await;
            }
            other => return other.context("writing the configured buses to the store"),
        }
    }
}
