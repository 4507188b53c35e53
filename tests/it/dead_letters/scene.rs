//! A running Redrive, with a look into its store.

use std::time::{Duration, Instant};

use redrive::model::BusState;
use redrive::store::Store;

use super::super::harness::redrive::{Redrive, Setup, http};
use super::ledger::{self, Ledger};

const PATIENCE: Duration = Duration::from_mins(2);

/// A Redrive on topics of its own, with a look into its store.
pub(super) struct Scene {
    pub(super) redrive: Redrive,
    pub(super) store: Store,
    url: String,
}

impl Scene {
    /// Redrive on SQLite, listening.
    pub(super) async fn on_sqlite(bootstrap: &str, section: &str, setup: Setup) -> Self {
        let redrive = setup.without_login().bus_with("prod", bootstrap, section).start().await;
        let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
        Self::of(redrive, url).await
    }

    /// A Redrive that listens and has registered its bus.
    pub(super) async fn of(redrive: Redrive, url: String) -> Self {
        let store = ledger::open_beside(&url).await;
        let mut scene = Self { redrive, store, url };
        scene.until("the bus is registered", async |scene| scene.store.find_bus(&"prod".into()).await.is_ok_and(|bus| bus.is_some())).await;
        scene
    }

    pub(super) async fn count(&self) -> u64 {
        self.store.usage().await.expect("the store is readable").dead_letters
    }

    pub(super) async fn bus(&self) -> BusState {
        self.store.find_bus(&"prod".into()).await.expect("the store is readable").expect("the bus is registered")
    }

    pub(super) async fn until(&mut self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self).await {
            assert!(self.redrive.exit_status().is_none(), "redrive has ended\n{}", self.redrive.log());
            assert!(begun.elapsed() < PATIENCE, "still not: {what}\n{}", self.redrive.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn until_stored(&mut self, count: u64) {
        self.until(&format!("{count} dead letters"), async |scene| scene.count().await >= count).await;
    }

    /// Codes of `/health/ready`, and whether it is 200.
    pub(super) async fn readiness(&self) -> (bool, Vec<String>) {
        let response = http().get(self.redrive.url("/health/ready")).send().await.expect("it listens");
        let ready = response.status().is_success();
        let body: serde_json::Value = response.json().await.expect("JSON");
        let reasons = body["reasons"].as_array().cloned().unwrap_or_default();
        (ready, reasons.iter().map(|reason| reason["code"].as_str().unwrap_or_default().to_owned()).collect())
    }

    pub(super) async fn end(mut self, ledger: &Ledger) {
        let status = self.redrive.stop().await;
        assert!(status.success(), "{status}");
        self.store.close().await;
        let store = ledger::open(&self.url).await;
        ledger.compare(&store).await;
        store.close().await;
    }
}
