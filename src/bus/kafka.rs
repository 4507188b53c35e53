//! Apache Kafka, and services that speak its protocol, through librdkafka. The only room (beside the demo) that names it.
//!
//! [`KafkaBus::connect`] reaches nobody: a bus that is down at the start is found out by the first call, and comes back by itself.
//! Every call blocks a thread of the blocking pool and has a deadline. What a cluster or its access rules refuse becomes a reason in
//! [`Capabilities`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::{
    Bus, BusError, BusSettings, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader,
    Sender, SenderSettings, TopicRights,
};
use crate::model::bus::Capability;
use crate::model::names::TopicPartition;
use crate::model::{BusId, BusKind, Capabilities, GroupName, Timestamp, TopicName};

mod advice;
pub mod client;
mod coordinators;
mod errors;
mod ffi;
mod groups;
mod leaders;
mod membership;
mod names;
mod purging;
mod random;
mod reader;
mod sender;
mod silent;
mod topics;
mod watch;

use ffi::Failure;
use watch::Watch;

/// How long a bus that failed lately may take to show that it is back.
const PROBE: std::time::Duration = std::time::Duration::from_secs(2);

/// A Kafka cluster.
pub struct KafkaBus {
    shared: Aside<Shared>,
}

/// What the calls of a bus share.
struct Shared {
    settings: BusSettings,
    watch: Arc<Watch>,
    client: ffi::Client,
    capabilities: Mutex<Capabilities>,
    readers: random::Pool,
    coordinators: coordinators::Coordinators,
    /// Brokers that have not answered about groups: that may take long where offsets are told at once.
    silent_coordinators: silent::Silent,
    /// Brokers that have not answered about partitions.
    silent_leaders: silent::Silent,
    /// Whether the brokers are known to know how to delete groups.
    deletes_groups: AtomicBool,
}

impl KafkaBus {
    /// Prepares a bus. Does not wait for it: fails only when librdkafka refuses the configuration.
    pub fn connect(settings: BusSettings) -> Result<Self, BusError> {
        let watch = Arc::new(Watch::new(settings.id.clone()));
        let client = client::make(&client::asking(&settings), false, &watch)?;
        let shared = Shared {
            settings,
            watch,
            client,
            capabilities: Mutex::default(),
            readers: random::Pool::new(),
            coordinators: coordinators::Coordinators::default(),
            silent_coordinators: silent::Silent::default(),
            silent_leaders: silent::Silent::default(),
            deletes_groups: AtomicBool::new(false),
        };
        Ok(Self { shared: Aside::new(shared) })
    }

    /// Runs a blocking call and notes what it says about a capability.
    async fn call<T: Send + 'static>(
        &self,
        capability: Option<Capability>,
        work: impl FnOnce(&Shared) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let shared = self.shared.share();
        client::blocking(move || {
            let result = work(&shared);
            if let Some(capability) = capability {
                shared.note(capability, &result);
            }
            result
        })
        .await
    }
}

impl Shared {
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.request_timeout
    }

    /// Explains a failure; see [`errors::explain`].
    fn explain(&self, act: &str, needs: &str, failure: &Failure) -> BusError {
        errors::explain(act, needs, failure, &self.watch)
    }

    fn note<T>(&self, capability: Capability, result: &Result<T, BusError>) {
        let mut capabilities = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => {
                self.watch.answered();
                capabilities.unavailable.remove(&capability);
            }
            Err(BusError::Unsupported(why)) => {
                capabilities.unavailable.insert(capability, why.clone());
            }
            Err(error @ BusError::Denied(_)) => {
                capabilities.unavailable.insert(capability, error.to_string());
            }
            // Silence or a missing topic says nothing about what the bus can do.
            Err(_) => {}
        }
    }
}

#[async_trait]
impl Bus for KafkaBus {
    fn id(&self) -> &BusId {
        &self.shared.get().settings.id
    }

    fn kind(&self) -> BusKind {
        BusKind::Kafka
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.get().capabilities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn metadata(&self) -> Result<Metadata, BusError> {
        let metadata = self.call(None, Shared::metadata).await?;
        self.shared.get().watch.answered();
        Ok(metadata)
    }

    async fn is_there(&self) -> Result<(), BusError> {
        self.call(None, Shared::answers).await
    }

    async fn topic_ids(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        let topics = topics.to_vec();
        self.call(Some(Capability::TopicIds), move |shared| shared.topic_ids(&topics)).await
    }

    async fn offsets(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        let partitions = partitions.to_vec();
        self.call(None, move |shared| shared.offsets(&partitions)).await
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time: Timestamp) -> Result<HashMap<TopicPartition, Option<i64>>, BusError> {
        let partitions = partitions.to_vec();
        self.call(Some(Capability::OffsetsForTimes), move |shared| shared.offsets_at(&partitions, time)).await
    }

    async fn topic_configs(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        let topics = topics.to_vec();
        self.call(Some(Capability::ReadConfigs), move |shared| shared.topic_configs(&topics)).await
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        self.call(Some(Capability::ListGroups), Shared::list_groups).await
    }

    async fn describe_groups(&self, groups: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        let groups = groups.to_vec();
        self.call(Some(Capability::DescribeGroups), move |shared| shared.describe_groups(&groups)).await
    }

    async fn committed_offsets(&self, group: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        let group = group.clone();
        self.call(None, move |shared| shared.committed_offsets(&group)).await
    }

    async fn read(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError> {
        let permit = self.shared.get().readers.permit().await;
        let partition = partition.clone();
        let read = self.call(None, move |shared| shared.read(&partition, from, limit)).await;
        drop(permit);
        read
    }

    async fn open_reader(&self, memory_bytes: usize) -> Result<Box<dyn Reader>, BusError> {
        let settings = self.shared.get().settings.clone();
        client::blocking(move || Ok(Box::new(reader::KafkaReader::open(&settings, memory_bytes)?) as Box<dyn Reader>)).await
    }

    async fn topic_rights(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, TopicRights>, BusError> {
        let topics = topics.to_vec();
        self.call(None, move |shared| shared.topic_rights(&topics)).await
    }

    async fn delete_group(&self, group: &GroupName) -> Result<(), BusError> {
        let group = group.clone();
        self.call(None, move |shared| shared.delete_group(&group)).await
    }

    async fn delete_records(&self, cuts: &[(TopicPartition, i64)]) -> Result<HashMap<TopicPartition, Result<i64, BusError>>, BusError> {
        let cuts = cuts.to_vec();
        self.call(Some(Capability::DeleteRecords), move |shared| shared.delete_records(&cuts)).await
    }

    async fn open_sender(&self, settings: &SenderSettings) -> Result<Box<dyn Sender>, BusError> {
        let (shared, settings) = (self.shared.share(), settings.clone());
        client::blocking(move || Ok(Box::new(sender::KafkaSender::open(shared, settings)?) as Box<dyn Sender>)).await
    }

    async fn join(&self, group: &str, client_id: &str) -> Result<Box<dyn Membership>, BusError> {
        let settings = self.shared.get().settings.clone();
        let (group, client_id) = (group.to_owned(), client_id.to_owned());
        client::blocking(move || Ok(Box::new(membership::KafkaMembership::join(&settings, &group, &client_id)?) as Box<dyn Membership>))
            .await
    }
}

/// Something whose end blocks: the last holder to go ends it on a thread of its own, never on one of the runtime's.
struct Aside<T: Send + Sync + 'static>(Option<Arc<T>>);

impl<T: Send + Sync + 'static> Aside<T> {
    fn new(value: T) -> Self {
        Self(Some(Arc::new(value)))
    }

    fn get(&self) -> &T {
        self.0.as_ref().expect("it is taken out by drop alone")
    }

    /// For a call that runs on a blocking thread.
    fn share(&self) -> Arc<T> {
        Arc::clone(self.0.as_ref().expect("it is taken out by drop alone"))
    }
}

impl<T: Send + Sync + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        // Without a thread it ends here: slower, never wrong.
        let _ = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(value));
    }
}
