//! `redrive migrate`.

use anyhow::Context;

use crate::app::store_settings;
use crate::config::Config;
use crate::store::Store;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let applied = Store::migrate(&store_settings(config)).await.with_context(|| format!("migrating {}", config.store.shown_url()))?;
    match applied.as_slice() {
        [] => println!("{} was up to date", config.store.shown_url()),
        versions => {
            let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
            println!("{} was brought up to date: {}", config.store.shown_url(), versions.join(", "));
        }
    }
    Ok(())
}
