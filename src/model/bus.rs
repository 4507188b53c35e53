//! What is known about a bus: its capabilities, topics, partitions and consumer groups.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::lag::{GroupOffset, Standing};
use super::{BusId, GroupName, Timestamp, TopicName};

words! {
    /// Kind of message system.
    BusKind {
        /// Apache Kafka and compatible services.
        Kafka = "kafka" / 0,
    }
}

words! {
    /// Something a bus may or may not be able (or allow us) to do.
    Capability {
        /// List consumer groups.
        ListGroups = "list_groups" / 0,
        /// Describe consumer groups with their members.
        DescribeGroups = "describe_groups" / 1,
        /// Delete records up to an offset.
        DeleteRecords = "delete_records" / 2,
        /// Write in transactions.
        Transactions = "transactions" / 3,
        /// Read topic configurations.
        ReadConfigs = "read_configs" / 4,
        /// Read any position at random.
        RandomRead = "random_read" / 5,
        /// Find positions by time.
        OffsetsForTimes = "offsets_for_times" / 6,
        /// Tell topic ids (KIP-516).
        TopicIds = "topic_ids" / 7,
    }
}

/// What a bus can do for us. A missing entry is available; an entry holds the reason, in words, why it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Reasons by capability.
    pub unavailable: BTreeMap<Capability, String>,
}

impl Capabilities {
    /// Why the bus lacks a capability; `None` when it has it.
    #[must_use]
    pub fn reason_against(&self, capability: Capability) -> Option<&str> {
        self.unavailable.get(&capability).map(String::as_str)
    }
}

/// Consumer groups of a bus that are watched, the first by name; beyond, only their number is known.
pub const TRACKED_GROUPS: usize = 5_000;

/// State of a configured bus, as the store keeps it for all instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusState {
    /// Its id.
    pub id: BusId,
    /// Its kind.
    pub kind: BusKind,
    /// The cluster's own id, once known.
    pub cluster_id: Option<String>,
    /// When metadata and offsets were last read with success; `None` = never.
    pub sampled_at: Option<Timestamp>,
    /// Why the last try failed, in words; `None` when it succeeded.
    pub error: Option<String>,
    /// When the present run of failures began.
    pub failing_since: Option<Timestamp>,
    /// Brokers seen at the last success.
    pub brokers: u32,
    /// What it cannot do and why.
    pub capabilities: Capabilities,
    /// Addresses of those brokers, each with its port.
    pub addresses: Vec<String>,
    /// Consumer groups beyond those that are watched, and those that could never be read: nothing but their number is known.
    pub untracked_groups: u64,
}

/// Whether a topic is treated as a dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicRole {
    /// An ordinary topic.
    Ordinary,
    /// Holds dead letters; indexed.
    DeadLetter,
    /// Holds records that wait for another try; not indexed.
    Retry,
}

/// One life of a topic of this name, with its newest sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicGeneration {
    /// Our id of this generation.
    pub id: i64,
    /// Its bus.
    pub bus: BusId,
    /// Its name.
    pub topic: TopicName,
    /// The topic id (KIP-516), where the bus tells it.
    pub topic_id: Option<String>,
    /// Role by patterns and configuration.
    pub role: TopicRole,
    /// Whether the bus uses it for itself (`__consumer_offsets`).
    pub internal: bool,
    /// When we first saw it.
    pub first_seen_at: Timestamp,
    /// When it was found to be gone or re-created; `None` while it lives.
    pub gone_at: Option<Timestamp>,
    /// Whether its cleanup policy has `compact`.
    pub compacted: bool,
    /// Whether it was ever seen that some of its offsets are no records: with transactions, their markers and what was aborted.
    pub transactional: bool,
    /// What was set on the topic, and what the broker sets for all (compaction, largest batch) where it is not Kafka's default; where it
    /// can be read.
    pub config: BTreeMap<String, String>,
    /// Copies of each partition.
    pub replication_factor: u32,
}

/// A partition with its newest sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Our id.
    pub id: i64,
    /// Topic generation it belongs to.
    pub generation_id: i64,
    /// Number, from 0.
    pub partition: i32,
    /// First offset the bus still holds.
    pub log_start: Option<i64>,
    /// High watermark: the offset after the last record.
    pub end: Option<i64>,
    /// Last stable offset, below `end` while a transaction is open.
    pub last_stable: Option<i64>,
    /// Next offset the indexer reads; `None` when the partition is not indexed.
    pub next: Option<i64>,
    /// Whether it was there before the bus's first read, or before its topic became a dead-letter topic: what it holds when indexing
    /// begins is backlog.
    pub had_records: bool,
    /// Where a purge has cut, when one has.
    pub purged_below: Option<i64>,
    /// Broker that leads it; `None` when nobody does.
    pub leader: Option<i32>,
}

impl PartitionState {
    /// The end as far as anybody knows: what was read since the offsets were asked for is there too. A log that was cut ends before,
    /// which is a problem of its own.
    #[must_use]
    pub fn known_end(&self) -> Option<i64> {
        Some(self.end?.max(self.next.unwrap_or(0)))
    }

    /// Offsets between the indexer and the end; `None` when the partition is not indexed or was never sampled.
    #[must_use]
    pub fn not_indexed(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.next?).max(0).unsigned_abs())
    }

    /// Offsets from the log start to the end: at most this many records.
    #[must_use]
    pub fn records_at_most(&self) -> Option<u64> {
        Some(self.known_end()?.saturating_sub(self.log_start?).max(0).unsigned_abs())
    }

    /// Offsets between the last stable offset and the end: held up by an open transaction.
    #[must_use]
    pub fn held_by_transaction(&self) -> u64 {
        self.last_stable.zip(self.end).map_or(0, |(stable, end)| end.saturating_sub(stable).max(0).unsigned_abs())
    }
}

/// A topic in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSummary {
    /// The generation that lives (or was last seen).
    pub generation: TopicGeneration,
    /// Number of partitions.
    pub partitions: u32,
    /// Sum of end - log start: at most this many records.
    pub records_at_most: Option<u64>,
    /// Consumer groups with commits on it.
    pub consumer_groups: u32,
    /// Open dead letters on it (dead-letter topics), or that came from it.
    pub open_dead_letters: u64,
    /// When the offsets were read.
    pub sampled_at: Option<Timestamp>,
}

/// Records that the bus removed before we had read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Our id.
    pub id: i64,
    /// Bus.
    pub bus: BusId,
    /// Topic.
    pub topic: TopicName,
    /// Partition.
    pub partition: i32,
    /// First offset that is missing.
    pub from_offset: i64,
    /// First offset that is there again.
    pub to_offset: i64,
    /// When it was noticed.
    pub at: Timestamp,
}

impl Gap {
    /// How many offsets are missing; at most this many records.
    #[must_use]
    pub const fn offsets(&self) -> u64 {
        self.to_offset.saturating_sub(self.from_offset).unsigned_abs()
    }
}

/// One member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupMember {
    /// Id the coordinator gave it.
    pub member_id: String,
    /// Static membership id (KIP-345).
    pub instance_id: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Host.
    pub host: String,
    /// Assigned partitions by topic.
    pub assignment: Vec<(TopicName, Vec<i32>)>,
}

/// A consumer group as the bus tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Bus.
    pub bus: BusId,
    /// Name.
    pub name: GroupName,
    /// `classic`, `consumer` (KIP-848) or `unknown`.
    pub kind: String,
    /// State in the bus's words (`Stable`, `Empty`, ...).
    pub state: String,
    /// Members; `None` where they cannot be described.
    pub members: Option<Vec<GroupMember>>,
    /// Committed offsets by partition, as of one moment.
    pub offsets: Vec<GroupOffset>,
    /// What it is doing.
    pub standing: Standing,
    /// When it was last read.
    pub sampled_at: Timestamp,
}
