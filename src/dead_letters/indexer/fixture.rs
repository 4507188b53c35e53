//! A bus in memory and values around it, for the tests of this room.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::work::{BusWork, Periods, Signals};
use crate::bus::{Bus, BusError, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader};
use crate::model::bus::TopicRole;
use crate::model::failure_group::FingerprintParts;
use crate::model::names::TopicPartition;
use crate::model::{BusId, BusKind, Capabilities, Convention, Failure, Fingerprint, GroupName, Origin, Record, Timestamp, TopicName};

pub(super) fn record(topic: &str, partition: i32, offset: i64) -> Record {
    Record {
        topic: topic.into(),
        partition,
        offset,
        timestamp: Some(Timestamp::from_millis(1_758_000_000_000)),
        timestamp_kind: None,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Vec::new(),
    }
}

pub(super) fn failure() -> (Failure, FingerprintParts) {
    let failure = Failure {
        convention: Convention::UNKNOWN,
        matched: Vec::new(),
        origin: Origin::default(),
        exception_class: None,
        message: None,
        stack_trace: None,
        stage: None,
        attempts: None,
        consumer_group: None,
        consumer_group_inferred: false,
        failed_at: None,
        record_timestamp_is_failure_time: true,
        original_value: None,
        original_key: None,
        trace_id: None,
        is_pointer: false,
        problem: None,
    };
    (failure, FingerprintParts { fingerprint: Fingerprint { version: 1, hash: 1 }, title: "t".into(), parts: Vec::new() })
}

pub(super) fn work() -> BusWork {
    work_on(Arc::new(MemoryBus::default()))
}

pub(super) fn work_on(bus: Arc<MemoryBus>) -> BusWork {
    BusWork {
        bus,
        decode: Box::new(|_, _| failure()),
        role: Box::new(|_, _| TopicRole::DeadLetter),
        consumer_groups: Vec::new(),
        id_prefix: "redrive-".into(),
        max_record_bytes: 1_000,
        periods: Periods::default(),
        signals: Signals::default(),
    }
}

/// Holds records and answers random reads.
#[derive(Debug)]
pub(super) struct MemoryBus {
    id: BusId,
    pub(super) records: HashMap<TopicPartition, Vec<Record>>,
    pub(super) error: Mutex<Option<BusError>>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self { id: "prod".into(), records: HashMap::new(), error: Mutex::default() }
    }
}

fn absent<T>() -> Result<T, BusError> {
    Err(BusError::Unsupported("not part of this test".into()))
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
        absent()
    }
    async fn topic_ids(&self, _: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        absent()
    }
    async fn offsets(&self, _: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        absent()
    }
    async fn topic_configs(&self, _: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        absent()
    }
    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        absent()
    }
    async fn describe_groups(&self, _: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        absent()
    }
    async fn committed_offsets(&self, _: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        absent()
    }
    async fn read(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError> {
        if let Some(error) = self.error.lock().expect("not poisoned").clone() {
            return Err(error);
        }
        let ReadFrom::Offset(first) = from else { return absent() };
        let all = self.records.get(partition).ok_or_else(|| BusError::NotFound(partition.topic.to_string()))?;
        let records = all.iter().filter(|record| record.offset >= first).take(limit).cloned().collect();
        Ok(ReadRecords { records, ..ReadRecords::default() })
    }
    async fn open_reader(&self, _: usize) -> Result<Box<dyn Reader>, BusError> {
        absent()
    }
    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn Membership>, BusError> {
        absent()
    }
}
