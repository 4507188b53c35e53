//! `redrive check-config`: what would be used, and with `--connect` whether it answers.

use std::path::Path;

use anyhow::bail;

use crate::app::store_settings;
use crate::config::{AuthMode, Config};
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
    match failures {
        0 => Ok(()),
        1 => bail!("1 connection failed"),
        many => bail!("{many} connections failed"),
    }
}

async fn try_store(config: &Config) -> Result<String, String> {
    let store = Store::open(&store_settings(config)).await.map_err(|error| error.to_string())?;
    let checked = async {
        store.check().await?;
        store.usage().await
    };
    let usage = checked.await.map_err(|error| error.to_string());
    store.close().await;
    usage.map(|usage| format!("answers ({}, {} dead letters)", usage.engine, usage.dead_letters))
}

fn told(result: &Result<String, String>) -> String {
    match result {
        Ok(text) => text.clone(),
        Err(reason) => format!("FAILED: {reason}"),
    }
}
