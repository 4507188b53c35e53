//! `redrive check-config`: what would be used, and with `--connect` whether it answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;

use crate::app::{self, store_settings};
use crate::config::{AuthMode, BusConfig, Config};
use crate::dead_letters::indexer::BusWork;
use crate::model::bus::TopicRole;
use crate::store::Store;

pub(super) async fn run(file: Option<&Path>, config: &Config, connect: bool) -> anyhow::Result<()> {
    let name = file.map_or_else(|| "the built-in configuration".to_owned(), |file| file.display().to_string());
    println!("{name} has no problems");
    println!("  pages and API on http://{}{}", config.http.listen, if config.auth.mode == AuthMode::None { ", without login" } else { "" });
    println!("  store {}", config.store.shown_url());
    for bus in &config.buses {
        println!("  bus {} ({}) at {}", bus.id, bus.kind, bus.bootstrap_servers);
    }
    if config.buses.is_empty() {
        println!("  no bus");
    }
    if connect {
        return try_connections(config).await;
    }
    Ok(())
}

async fn try_connections(config: &Config) -> anyhow::Result<()> {
    let mut failures = 0;
    let store = try_store(config).await;
    failures += u32::from(store.is_err());
    println!("store: {}", told(&store));
    let buses = futures::future::join_all(config.buses.iter().map(try_bus)).await;
    for (bus, tried) in config.buses.iter().zip(buses) {
        failures += u32::from(tried.is_err());
        println!("bus {}: {}", bus.id, told(&tried));
    }
    match failures {
        0 => Ok(()),
        1 => bail!("1 connection failed"),
        many => bail!("{many} connections failed"),
    }
}

async fn try_store(config: &Config) -> Result<String, String> {
    let store = Store::open_beside(&store_settings(config)).await.map_err(|error| error.to_string())?;
    let checked = async {
        store.check().await?;
        store.usage().await
    };
    let usage = checked.await.map_err(|error| error.to_string());
    store.close().await;
    usage.map(|usage| format!("answers ({}, {} dead letters)", usage.engine, usage.dead_letters))
}

async fn try_bus(config: &BusConfig) -> Result<String, String> {
    let bus = app::connect(config).map_err(|error| format!("{error:#}"))?;
    let metadata = bus.metadata().await.map_err(|error| error.to_string())?;
    let rules = BusWork::new(Arc::clone(&bus), config, 0).map_err(|error| error.to_string())?;
    let dead: Vec<&str> = metadata
        .topics
        .iter()
        .filter(|topic| (rules.role)(&topic.topic, &BTreeMap::new()) == TopicRole::DeadLetter)
        .map(|topic| topic.topic.as_str())
        .collect();
    // Asking is how it is found out; what cannot be done is told below.
    let _ = bus.list_groups().await;
    let mut told = format!(
        "answers (cluster {}, {} brokers, {} topics); dead-letter topics: {}",
        metadata.cluster_id.as_deref().unwrap_or("without an id"),
        metadata.brokers.len(),
        metadata.topics.len(),
        if dead.is_empty() { "none yet".to_owned() } else { dead.join(", ") }
    );
    for (capability, reason) in bus.capabilities().unavailable {
        let _ = write!(told, "\n  cannot {}: {reason}", capability.to_string().replace('_', " "));
    }
    Ok(told)
}

fn told(result: &Result<String, String>) -> String {
    match result {
        Ok(text) => text.clone(),
        Err(reason) => format!("FAILED: {reason}"),
    }
}
