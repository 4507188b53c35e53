//! Consumer groups as last sampled.

use super::{Store, StoreError};
use crate::model::bus::{ConsumerGroup, GroupMember};
use crate::model::names::TopicPartition;
use crate::model::{BusId, GroupName, Timestamp};

/// A group as the sampler saw it. The caller leaves out groups that did not change since its last sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGroup {
    /// Name.
    pub name: GroupName,
    /// `classic`, `consumer` or `unknown`.
    pub kind: String,
    /// State in the bus's words.
    pub state: String,
    /// Members; `None` where they cannot be described.
    pub members: Option<Vec<GroupMember>>,
    /// Committed offsets; replaces the earlier ones.
    pub committed: Vec<(TopicPartition, i64)>,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupSummary {
    /// Bus.
    pub bus: BusId,
    /// Name.
    pub name: GroupName,
    /// Kind.
    pub kind: String,
    /// State in the bus's words.
    pub state: String,
    /// Members, where known.
    pub members: Option<u32>,
    /// Topics with commits or assignments.
    pub topics: Vec<String>,
    /// Sum of lag (without deleted records); `None` when no partition's lag is known.
    pub lag_messages: Option<u64>,
    /// Sum of records deleted before they were read.
    pub deleted_messages: u64,
    /// Partitions with a commit.
    pub partitions: u32,
    /// Open dead letters whose consumer group it is.
    pub open_dead_letters: u64,
    /// When it was last read.
    pub sampled_at: Timestamp,
}

impl Store {
    /// Stores changed groups, and marks those not in `alive` as gone; `None` when the groups could not be listed.
    pub async fn record_consumer_groups(
        &self,
        _bus: &BusId,
        _changed: &[SeenGroup],
        _alive: Option<&[GroupName]>,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Living groups of a bus by name; `q` is a case-insensitive substring of the name, `topic` restricts to groups with commits on it.
    pub async fn list_consumer_groups(
        &self,
        _bus: &BusId,
        _q: Option<&str>,
        _topic: Option<&str>,
    ) -> Result<Vec<ConsumerGroupSummary>, StoreError> {
        unimplemented!()
    }
    /// One group with members and offsets per partition.
    pub async fn find_consumer_group(&self, _bus: &BusId, _name: &GroupName) -> Result<Option<ConsumerGroup>, StoreError> {
        unimplemented!()
    }
    /// Group names that headers of dead letters named on this bus; they are sampled by name where groups cannot be listed.
    pub async fn list_claimed_groups(&self, _bus: &BusId) -> Result<Vec<GroupName>, StoreError> {
        unimplemented!()
    }
}
