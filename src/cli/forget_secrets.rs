//! `redrive forget-secrets`: the way out when the key of `[secrets] key_file` is lost.

use anyhow::Context;

use crate::app::store_settings;
use crate::config::Config;
use crate::model::{Actor, AuditEntry, Timestamp};
use crate::store::Store;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = Store::open_beside(&store_settings(config)).await;
    let store = store.with_context(|| format!("opening {}", config.store.shown_url()))?;
    let entry = AuditEntry {
        id: 0,
        at: Timestamp::now(),
        actor: Actor { name: "cli".to_owned(), address: None },
        action: "receivers.forget".to_owned(),
        target: "all receivers".to_owned(),
        count: None,
        result: "done".to_owned(),
    };
    let forgotten = store.forget_receivers(&entry).await;
    store.close().await;
    let count = forgotten.context("removing the receivers")?;
    println!("{count} receivers were removed with their secrets; enter them again after the next start");
    Ok(())
}
