//! State of the buses as last sampled, for every instance and page.

use super::{Store, StoreError};
use crate::model::{BusId, BusKind, BusState, Capabilities, Timestamp};

/// A sweep's verdict on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepResult {
    /// Metadata and offsets were read.
    Reached {
        /// The cluster's id, where it tells one.
        cluster_id: Option<String>,
        /// Brokers seen.
        brokers: u32,
        /// What it cannot do.
        capabilities: Capabilities,
    },
    /// It failed, in words.
    Failed(String),
}

impl Store {
    /// Makes sure that a row stands for each configured bus, and marks the others as no longer configured.
    pub async fn register_buses(&self, _buses: &[(BusId, BusKind)]) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// The configured buses, by id.
    pub async fn list_buses(&self) -> Result<Vec<BusState>, StoreError> {
        unimplemented!()
    }
    /// One bus.
    pub async fn find_bus(&self, _bus: &BusId) -> Result<Option<BusState>, StoreError> {
        unimplemented!()
    }
    /// Stores the cluster's id the first time; `Err(other)` inside `Ok` when another cluster's id is stored already, which must be refused.
    pub async fn claim_cluster(&self, _bus: &BusId, _cluster_id: &str) -> Result<Result<(), String>, StoreError> {
        unimplemented!()
    }
    /// Stores how a sweep ended; `failing_since` is kept over consecutive failures.
    pub async fn record_sweep(&self, _bus: &BusId, _result: &SweepResult, _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
}
