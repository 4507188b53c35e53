//! A bus in memory, for what can be tested without a broker: it holds records, hangs or fails as told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use redrive::bus::{Bus, BusError, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader};
use redrive::model::names::TopicPartition;
use redrive::model::{BusId, BusKind, Capabilities, GroupName, Record, TopicName};

/// The bus. Only what an explicit act of a person needs is there; the rest answers [`BusError::Unsupported`].
#[derive(Debug)]
pub(crate) struct MemoryBus {
    id: BusId,
    records: BTreeMap<TopicPartition, Vec<Record>>,
    failure: Mutex<Option<BusError>>,
    hangs: bool,
    reads: AtomicUsize,
    most_reads: AtomicUsize,
}

impl MemoryBus {
    /// An empty bus.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            records: BTreeMap::new(),
            failure: Mutex::new(None),
            hangs: false,
            reads: AtomicUsize::new(0),
            most_reads: AtomicUsize::new(0),
        }
    }

    /// Adds a partition that holds these records.
    pub(crate) fn with_partition(mut self, topic: &str, partition: i32, records: Vec<Record>) -> Self {
        self.records.insert(TopicPartition { topic: topic.into(), partition }, records);
        self
    }

    /// Never answers a read.
    pub(crate) fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// Answers every read with this error; `None` ends it.
    pub(crate) fn fail(&self, error: Option<BusError>) {
        *self.failure.lock().expect("no test panics while it holds the lock") = error;
    }

    /// The most reads that were under way at a time.
    pub(crate) fn most_reads(&self) -> usize {
        self.most_reads.load(Ordering::SeqCst)
    }

    fn find(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError> {
        if let Some(error) = self.failure.lock().expect("no test panics while it holds the lock").clone() {
            return Err(error);
        }
        let records = self.records.get(partition).ok_or_else(|| BusError::NotFound(partition.topic.to_string()))?;
        let log_start = records.first().map_or(0, |r| r.offset);
        let end = records.last().map_or(0, |r| r.offset + 1);
        let first = match from {
            ReadFrom::Offset(offset) => offset,
            ReadFrom::Newest => end - i64::try_from(limit).expect("a limit is small"),
            ReadFrom::Time(time) => records.iter().find(|r| r.timestamp >= Some(time)).map_or(end, |r| r.offset),
        };
        let records: Vec<Record> = records.iter().filter(|r| r.offset >= first).take(limit).cloned().collect();
        let next = records.last().map_or(end, |r| r.offset + 1);
        Ok(ReadRecords { records, log_start, end, next })
    }
}

#[async_trait]
impl Bus for MemoryBus {
    fn id(&self) -> &BusId {
        &self.id
    }

    fn kind(&self) -> BusKind {
        BusKind::Kafka
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn metadata(&self) -> Result<Metadata, BusError> {
        unsupported()
    }

    async fn topic_ids(&self, _: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        unsupported()
    }

    async fn offsets(&self, _: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        unsupported()
    }

    async fn topic_configs(&self, _: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        unsupported()
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        unsupported()
    }

    async fn describe_groups(&self, _: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        unsupported()
    }

    async fn committed_offsets(&self, _: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        unsupported()
    }

    async fn read(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError> {
        let under_way = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_reads.fetch_max(under_way, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        self.reads.fetch_sub(1, Ordering::SeqCst);
        self.find(partition, from, limit)
    }

    async fn open_reader(&self, _: usize) -> Result<Box<dyn Reader>, BusError> {
        unsupported()
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn Membership>, BusError> {
        unsupported()
    }
}

fn unsupported<T>() -> Result<T, BusError> {
    Err(BusError::Unsupported("not in memory".to_owned()))
}
