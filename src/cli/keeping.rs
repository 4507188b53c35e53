//! What commands about users and tokens work with: the store beside a `serve` that may be running, and who acts.

use anyhow::Context;

use crate::access::Access;
use crate::app::store_settings;
use crate::config::{AuthMode, Config};
use crate::lifecycle::changes::Changes;
use crate::model::Actor;
use crate::store::Store;

/// An open store with its users and tokens.
pub(super) struct Keeping {
    pub(super) access: Access,
    /// Who the audit names: whoever can read the store's file or password.
    pub(super) actor: Actor,
    store: Store,
}

impl Keeping {
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let store = Store::open_beside(&store_settings(config)).await;
        let store = store.with_context(|| format!("opening {}", config.store.shown_url()))?;
        let actor = Actor { name: "cli".to_owned(), address: None };
        Ok(Self { access: Access::new(store.clone(), AuthMode::Password, Changes::new()), actor, store })
    }

    pub(super) async fn close(self) {
        self.store.close().await;
    }
}
