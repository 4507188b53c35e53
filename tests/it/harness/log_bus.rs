//! A bus in memory whose partitions can be cut: log starts, ends, committed offsets, rights, and whatever goes wrong as told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use redrive::bus::{
    Bus, BusError, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader, TopicRights,
};
use redrive::model::names::TopicPartition;
use redrive::model::{BusId, BusKind, Capabilities, GroupName, TopicName};

/// What a test may change at any time.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) topic_id: Option<String>,
    /// Log start and end of each partition.
    pub(crate) partitions: BTreeMap<i32, (i64, i64)>,
    pub(crate) committed: BTreeMap<String, Vec<(i32, i64)>>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) may_delete: Option<bool>,
    /// Nothing is answered.
    pub(crate) down: bool,
    /// Why a partition is not cut.
    pub(crate) refusals: HashMap<i32, BusError>,
    /// Cuts that were asked for.
    pub(crate) asked: Vec<(i32, i64)>,
}

/// The bus, with one topic.
#[derive(Debug)]
pub(crate) struct LogBus {
    id: BusId,
    topic: TopicName,
    log: Mutex<Log>,
}

impl LogBus {
    /// A bus with this topic and these partitions, which we may delete from.
    pub(crate) fn new(id: &str, topic: &str, topic_id: &str, partitions: &[(i64, i64)]) -> Self {
        let log = Log {
            topic_id: Some(topic_id.to_owned()),
            partitions: (0..).zip(partitions.iter().copied()).collect(),
            may_delete: Some(true),
            ..Log::default()
        };
        Self { id: id.into(), topic: topic.into(), log: Mutex::new(log) }
    }

    /// What a test may change.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no test panics while it holds the lock")
    }

    /// Cuts that were asked for.
    pub(crate) fn asked(&self) -> Vec<(i32, i64)> {
        self.log().asked.clone()
    }

    /// Log start and end of a partition.
    pub(crate) fn partition(&self, number: i32) -> (i64, i64) {
        self.log().partitions[&number]
    }

    fn up(&self) -> Result<MutexGuard<'_, Log>, BusError> {
        let log = self.log();
        if log.down { Err(BusError::Unreachable("broker 1: connection refused".to_owned())) } else { Ok(log) }
    }
}

#[async_trait]
impl Bus for LogBus {
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

    async fn topic_ids(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        let log = self.up()?;
        Ok(topics.iter().map(|topic| (topic.clone(), log.topic_id.clone().filter(|_| *topic == self.topic))).collect())
    }

    async fn offsets(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        let log = self.up()?;
        let told = partitions.iter().filter_map(|place| {
            let (log_start, end) = *log.partitions.get(&place.partition)?;
            Some((place.clone(), PartitionOffsets { log_start, end, last_stable: Some(end) }))
        });
        Ok(told.collect())
    }

    async fn topic_configs(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        let log = self.up()?;
        Ok(topics.iter().map(|topic| (topic.clone(), log.config.clone())).collect())
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        let log = self.up()?;
        let listing = |name: &String| GroupListing { name: name.as_str().into(), kind: "classic".to_owned(), state: "Empty".to_owned() };
        Ok(log.committed.keys().map(listing).collect())
    }

    async fn describe_groups(&self, _: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        unsupported()
    }

    async fn committed_offsets(&self, group: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        let log = self.up()?;
        let place = |partition| TopicPartition { topic: self.topic.clone(), partition };
        Ok(log.committed.get(group.as_str()).into_iter().flatten().map(|(partition, offset)| (place(*partition), *offset)).collect())
    }

    async fn read(&self, place: &TopicPartition, from: ReadFrom, _: usize) -> Result<ReadRecords, BusError> {
        let (log_start, end) = self.up()?.partitions[&place.partition];
        // Offsets are milliseconds here.
        let next = match from {
            ReadFrom::Time(time) => time.as_millis().clamp(log_start, end),
            _ => log_start,
        };
        Ok(ReadRecords { records: Vec::new(), log_start, end, next })
    }

    async fn open_reader(&self, _: usize) -> Result<Box<dyn Reader>, BusError> {
        unsupported()
    }

    async fn topic_rights(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, TopicRights>, BusError> {
        let delete = self.up()?.may_delete;
        Ok(topics.iter().map(|topic| (topic.clone(), TopicRights { delete, ..TopicRights::default() })).collect())
    }

    async fn delete_records(&self, cuts: &[(TopicPartition, i64)]) -> Result<HashMap<TopicPartition, Result<i64, BusError>>, BusError> {
        let mut log = self.up()?;
        let mut made = HashMap::new();
        for (place, cut) in cuts {
            log.asked.push((place.partition, *cut));
            let refused = log.refusals.get(&place.partition).cloned();
            let start = log.partitions.get_mut(&place.partition).ok_or_else(|| BusError::NotFound(place.topic.to_string()))?;
            let answer = refused.map_or_else(
                || {
                    start.0 = start.0.max(*cut);
                    Ok(start.0)
                },
                Err,
            );
            made.insert(place.clone(), answer);
        }
        Ok(made)
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn Membership>, BusError> {
        unsupported()
    }
}

fn unsupported<T>() -> Result<T, BusError> {
    Err(BusError::Unsupported("not in memory".to_owned()))
}
