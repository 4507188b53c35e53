//! The message buses. [`Bus`] is what the rest of the house knows of them; adapters live below and are the only rooms
//! that name a client library. Positions are opaque outside the adapter: they are stored and given back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::bus::GroupMember;
use crate::model::names::TopicPartition;
use crate::model::{BusId, BusKind, Capabilities, GroupName, Record, Timestamp, TopicName};

pub mod kafka;
pub mod sending;
pub mod share;

pub use sending::{Outgoing, SendError, SendFailure, Sender, SenderSettings, TopicRights};
pub use share::Share;

/// What went wrong on a bus, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// The bus did not answer in time or cannot be reached; try again later.
    #[error("the bus did not answer: {0}")]
    Unreachable(String),
    /// An access rule forbids it; `.0` names the operation and what is needed.
    #[error("not allowed: {0}")]
    Denied(String),
    /// This bus (or this version of it) cannot do it.
    #[error("this bus cannot do it: {0}")]
    Unsupported(String),
    /// Topic, partition or group is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// The client was configured wrongly.
    #[error("configuration: {0}")]
    Configuration(String),
    /// Anything else, in the client's words.
    #[error("{0}")]
    Other(String),
}

/// How one bus is reached. Secrets are already read from their files.
#[derive(Clone)]
pub struct BusSettings {
    /// Its id.
    pub id: BusId,
    /// Its kind.
    pub kind: BusKind,
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// Prefix of our consumer groups and transactional ids.
    pub id_prefix: String,
    /// librdkafka properties, passed through.
    pub client: BTreeMap<String, String>,
    /// Deadline of one request.
    pub request_timeout: Duration,
}

/// Cluster, brokers and topics, as one metadata read tells them.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// The cluster's id, where it tells one.
    pub cluster_id: Option<String>,
    /// Brokers as `host:port`.
    pub brokers: Vec<String>,
    /// Topics, internal ones included.
    pub topics: Vec<TopicMetadata>,
}

/// A topic in the metadata.
#[derive(Debug, Clone)]
pub struct TopicMetadata {
    /// Name.
    pub topic: TopicName,
    /// Topic id (KIP-516) in base64; `None` where the bus does not tell.
    pub topic_id: Option<String>,
    /// Leader of each partition by number; `None` when there is none.
    pub partitions: BTreeMap<i32, Option<i32>>,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// Whether the bus uses it for itself.
    pub internal: bool,
    /// Why it could not be described, in words (an access rule, for example).
    pub error: Option<String>,
}

/// Offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// First offset the bus still holds.
    pub log_start: i64,
    /// High watermark.
    pub end: i64,
    /// Last stable offset; equals `end` unless a transaction is open. `None` where it was not asked or is not known.
    pub last_stable: Option<i64>,
}

/// A consumer group in the bus's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Name.
    pub name: GroupName,
    /// `classic`, `consumer` or `unknown`.
    pub kind: String,
    /// State in the bus's words.
    pub state: String,
}

/// A described consumer group, or why it could not be described.
#[derive(Debug, Clone)]
pub struct GroupDescription {
    /// Kind and state.
    pub listing: GroupListing,
    /// Members, or the reason why they are not known.
    pub members: Result<Vec<GroupMember>, String>,
    /// Whether the reason is that nobody who knows it has answered: then a later question may be.
    pub silent: bool,
}

/// Where a random read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At this offset, or the first one after it.
    Offset(i64),
    /// At the first record at or after this time.
    Time(Timestamp),
    /// The newest records: so many before the end.
    Newest,
}

/// Records of a random read.
#[derive(Debug, Clone, Default)]
pub struct ReadRecords {
    /// Records in offset order.
    pub records: Vec<Record>,
    /// Offsets of the partition at the time of the read.
    pub log_start: i64,
    /// High watermark at the time of the read.
    pub end: i64,
    /// Offset after the last one looked at; where a next page begins.
    pub next: i64,
}

/// Something the reader met besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderEvent {
    /// The position lies outside of what the bus holds: retention overtook us, or the topic was re-created.
    /// The partition stands still until it is assigned again.
    PositionOutOfRange {
        /// Which partition.
        partition: TopicPartition,
        /// The position that was asked for.
        position: i64,
    },
    /// This partition cannot be read at present, in words; reading goes on by itself where it can.
    PartitionError {
        /// Which partition.
        partition: TopicPartition,
        /// Why.
        reason: String,
    },
    /// The bus as a whole cannot be reached, in words; reading goes on by itself.
    BusError(String),
}

/// What one poll of a reader brought.
#[derive(Debug, Clone, Default)]
pub struct ReadBatch {
    /// Records, in offset order within a partition.
    pub records: Vec<Record>,
    /// For each partition that advanced: the offset after everything seen, markers, aborted records and compaction gaps included.
    pub next: HashMap<TopicPartition, i64>,
    /// Partitions whose end was reached: the offset that the next record will have at least. What is read after it was not there yet.
    pub ended: HashMap<TopicPartition, i64>,
    /// What else happened.
    pub events: Vec<ReaderEvent>,
}

/// How much a batch may hold.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Records at most.
    pub records: usize,
    /// Bytes at most; one larger record is a batch of its own.
    pub bytes: usize,
    /// Wait at most this long for the first record and for more to fill the batch.
    pub wait: Duration,
}

/// Reads assigned partitions from stored positions, in committed isolation. Copy custody: reading leaves records where they are.
#[async_trait]
pub trait Reader: Send {
    /// Replaces the assignment: partitions with the position each is read from.
    async fn assign(&mut self, positions: Vec<(TopicPartition, i64)>) -> Result<(), BusError>;
    /// The next batch; empty when nothing arrived within the limits' wait.
    async fn next_batch(&mut self, limits: BatchLimits) -> Result<ReadBatch, BusError>;
    /// Tells a bus with take custody (a queue) that the batch's rows are committed; does nothing on a log.
    async fn acknowledge(&mut self) -> Result<(), BusError> {
        Ok(())
    }
}

/// Membership in a group of instances that read the same topics: decides who reads what, never from where.
#[async_trait]
pub trait Membership: Send {
    /// Changes the topics that are shared.
    async fn set_topics(&mut self, topics: Vec<TopicName>) -> Result<(), BusError>;
    /// Waits for the next change of our share; must be called all the time, as it also keeps the membership alive.
    async fn changed(&mut self) -> Result<Share, BusError>;
}

/// A message bus. Every method has a deadline and may be called from many tasks.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Its id.
    fn id(&self) -> &BusId;
    /// Its kind.
    fn kind(&self) -> BusKind;
    /// What it cannot do, as far as is known now; filled as calls find out.
    fn capabilities(&self) -> Capabilities;
    /// Cluster id, brokers, topics with topic ids.
    async fn metadata(&self) -> Result<Metadata, BusError>;
    /// Whether anybody answers at all, found out in little time: what a call about one group or partition does not tell.
    async fn is_there(&self) -> Result<(), BusError> {
        Ok(())
    }
    /// Topic ids of some topics: `None` for a topic that is not there; topics that could not be asked are left out; an error [`BusError::Unsupported`] where ids are not told.
    async fn topic_ids(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError>;
    /// Log starts and ends (high watermark; last stable offset beside it) of many partitions. Partitions that fail are left out.
    async fn offsets(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError>;
    /// The first offset whose record is of this time or later, by the records' own times (the broker's or the producer's clock, as the
    /// topic is configured); `None` where no record is. Times that do not ascend show the first that is late enough. Partitions that
    /// fail are left out.
    async fn offsets_at(&self, partitions: &[TopicPartition], time: Timestamp) -> Result<HashMap<TopicPartition, Option<i64>>, BusError> {
        let _ = (partitions, time);
        Err(BusError::Unsupported("finding offsets by time".to_owned()))
    }
    /// Configuration values that are not the broker's defaults, by topic. Topics that fail are left out.
    async fn topic_configs(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError>;
    /// All consumer groups but our own.
    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError>;
    /// States and members.
    async fn describe_groups(&self, groups: &[GroupName]) -> Result<Vec<GroupDescription>, BusError>;
    /// Committed offsets of one group, on every partition it has committed.
    async fn committed_offsets(&self, group: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError>;
    /// Reads up to `limit` committed records at random; fewer when they are large. What an open or aborted transaction has written is
    /// passed over.
    async fn read(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError>;
    /// Opens a reader for indexing; `memory_bytes` bounds what is prefetched.
    async fn open_reader(&self, memory_bytes: usize) -> Result<Box<dyn Reader>, BusError>;
    /// What we may do on topics, as far as the bus tells; topics that could not be asked are left out.
    async fn topic_rights(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, TopicRights>, BusError> {
        let _ = topics;
        Err(BusError::Unsupported("telling access rules".to_owned()))
    }
    /// Opens a sender. With transactions: fences earlier senders of the same name and ends their open transaction first.
    async fn open_sender(&self, settings: &SenderSettings) -> Result<Box<dyn Sender>, BusError> {
        let _ = settings;
        Err(BusError::Unsupported("sending records".to_owned()))
    }
    /// Deletes a consumer group of ours; not finding it is success.
    async fn delete_group(&self, group: &GroupName) -> Result<(), BusError> {
        let _ = group;
        Err(BusError::Unsupported("deleting consumer groups".to_owned()))
    }
    /// Removes the records below an offset, partition by partition; answers each one's new log start or why it was refused.
    async fn delete_records(&self, cuts: &[(TopicPartition, i64)]) -> Result<HashMap<TopicPartition, Result<i64, BusError>>, BusError> {
        let _ = cuts;
        Err(BusError::Unsupported("deleting records".to_owned()))
    }
    /// Joins the group that shares indexing between instances.
    async fn join(&self, group: &str, client_id: &str) -> Result<Box<dyn Membership>, BusError>;
}
