//! What ends: in small steps, so that no writer waits.

use super::{Store, StoreError};
use crate::model::Timestamp;

impl Store {
    /// Removes at most `limit` dead letters with a final status that was reached before `before`, with custody, and stack traces nobody needs any more. Answers how many.
    pub async fn prune_dead_letters(&self, _before: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Removes at most `limit` entries of the audit from before `before`.
    pub async fn prune_audit(&self, _before: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Removes at most `limit` resolved or discarded dead letters, oldest first, when the store is full.
    pub async fn prune_for_space(&self, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Removes at most `limit` minutes of arrivals from before `before`.
    pub async fn prune_arrivals(&self, _before: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
