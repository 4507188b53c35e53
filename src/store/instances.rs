//! Instances that share this store, and leases for work that one of them does.

use std::time::Duration;

use super::{Store, StoreError};
use crate::model::Timestamp;

/// A lease that was taken or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Counts owners; writes of an older epoch must fail.
    pub epoch: i64,
}

impl Store {
    /// Registers this instance by its client id, or says that it still lives.
    pub async fn register_instance(&self, _client_id: &str, _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Takes this instance out.
    pub async fn deregister_instance(&self, _client_id: &str) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Client ids of instances that were registered, ended ones included for a day: members of our groups with any other id are strangers.
    pub async fn list_instances(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        unimplemented!()
    }
    /// Takes or renews a lease by name; `None` while another holder's has not ended.
    pub async fn take_lease(&self, _name: &str, _holder: &str, _duration: Duration, _now: Timestamp) -> Result<Option<Lease>, StoreError> {
        unimplemented!()
    }
    /// Gives a lease back.
    pub async fn release_lease(&self, _name: &str, _holder: &str) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Counts changes by noun (`dead_letters`, `buses`, `topics`, `consumer_groups`, `audit`) for live pages of every instance.
    pub async fn list_revisions(&self) -> Result<std::collections::BTreeMap<String, i64>, StoreError> {
        unimplemented!()
    }
    /// Says that a noun changed.
    pub async fn bump_revision(&self, _noun: &'static str) -> Result<(), StoreError> {
        unimplemented!()
    }
}
