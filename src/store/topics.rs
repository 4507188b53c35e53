//! Topic generations, their partitions and offsets, and the gaps in what we could read.

use super::{Store, StoreError};
use crate::model::bus::{Gap, PartitionState, TopicGeneration, TopicRole, TopicSummary};
use crate::model::{BusId, Page, PageRequest, Timestamp, TopicName};

/// A topic as the sampler saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTopic {
    /// Name.
    pub topic: TopicName,
    /// Topic id, where told.
    pub topic_id: Option<String>,
    /// Role by patterns and configuration.
    pub role: TopicRole,
    /// Whether the bus uses it for itself.
    pub internal: bool,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// Whether its cleanup policy has `compact`.
    pub compacted: bool,
    /// Configuration that differs from the defaults.
    pub config: std::collections::BTreeMap<String, String>,
    /// Partitions and their leaders.
    pub partitions: std::collections::BTreeMap<i32, Option<i32>>,
}

/// New offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenOffsets {
    /// Our id of the partition.
    pub partition_id: i64,
    /// First offset the bus still holds.
    pub log_start: i64,
    /// High watermark.
    pub end: i64,
    /// Last stable offset, where known.
    pub last_stable: Option<i64>,
}

/// A topic with its partitions, as the sampler and the indexer need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTopic {
    /// The living generation.
    pub generation: TopicGeneration,
    /// Its partitions by number.
    pub partitions: Vec<PartitionState>,
}

/// How the list of topics is restricted and ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Case-insensitive substring of the name.
    pub q: Option<String>,
    /// Only topics of this role.
    pub role: Option<TopicRole>,
    /// Also topics that the bus uses for itself.
    pub internal: bool,
}

impl Store {
    /// Brings the store up to what the sampler saw: new topics, new partitions, changed roles and configurations; a topic id that
    /// differs ends the old generation and begins a new one; a living topic that is missing from `seen` is marked gone.
    /// Writes only what changed. Answers the living topics with their partitions.
    /// A generation remembers whether the topic was already there at the bus's first read, or before it became a dead-letter topic:
    /// see [`super::indexing`] for what is backlog.
    pub async fn record_topics(&self, _bus: &BusId, _seen: &[SeenTopic], _now: Timestamp) -> Result<Vec<StoredTopic>, StoreError> {
        unimplemented!()
    }
    /// The living topics with their partitions, without looking at the bus.
    pub async fn list_stored_topics(&self, _bus: &BusId) -> Result<Vec<StoredTopic>, StoreError> {
        unimplemented!()
    }
    /// Stores new offsets (the caller leaves out those that did not change). Small transactions.
    pub async fn record_offsets(&self, _offsets: &[SeenOffsets], _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Topics of a bus, by name.
    pub async fn list_topics(&self, _bus: &BusId, _filter: &TopicFilter) -> Result<Vec<TopicSummary>, StoreError> {
        unimplemented!()
    }
    /// One topic (its living or else its last generation) with its partitions.
    pub async fn find_topic(&self, _bus: &BusId, _topic: &TopicName) -> Result<Option<(TopicSummary, Vec<PartitionState>)>, StoreError> {
        unimplemented!()
    }
    /// Gaps, newest first; of one bus and topic when asked.
    pub async fn list_gaps(&self, _bus: Option<&BusId>, _topic: Option<&TopicName>, _page: &PageRequest) -> Result<Page<Gap>, StoreError> {
        unimplemented!()
    }
}
