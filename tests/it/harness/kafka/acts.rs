//! What people do to a broker: topics, records with any headers, transactions, deleted records.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, FutureProducer, FutureRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Kafka, PATIENCE, native, unique};

/// A record to be written, byte for byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outgoing {
    pub topic: String,
    pub partition: Option<i32>,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// In order; `None` is a null value.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Outgoing {
    /// Key, value null; partition by the client.
    pub(crate) fn to(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub(crate) fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    #[must_use]
    pub(crate) fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub(crate) fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Some(value.into());
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    #[must_use]
    pub(crate) fn null_header(mut self, name: impl Into<String>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    pub(crate) fn owned_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: value.as_deref() })))
    }
}

impl Kafka {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Creates a topic and waits until it has leaders.
    pub(crate) async fn create_topic(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            new = new.set(key, value);
        }
        let results = self.admin().create_topics([&new], &options()).await.expect("create_topics is answered");
        assert!(results.iter().all(Result::is_ok), "creating {topic}: {results:?}");
        self.until_partitions(topic, partitions).await;
    }

    /// Creates a topic with a name of its own, `stem-...`, and gives the name back.
    pub(crate) async fn topic(&self, stem: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = unique(stem);
        self.create_topic(&name, partitions, configs).await;
        name
    }

    /// Raises the number of partitions.
    pub(crate) async fn add_partitions(&self, topic: &str, total: i32) {
        let new = NewPartitions::new(topic, usize::try_from(total).expect("positive"));
        let results = self.admin().create_partitions([&new], &options()).await.expect("create_partitions is answered");
        assert!(results.iter().all(Result::is_ok), "partitions of {topic}: {results:?}");
        self.until_partitions(topic, total).await;
    }

    /// Sets configuration values of a topic (replacing those set before).
    pub(crate) async fn configure_topic(&self, topic: &str, configs: &[(&str, &str)]) {
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in configs {
            alter = alter.set(key, value);
        }
        let results = self.admin().alter_configs([&alter], &options()).await.expect("alter_configs is answered");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) async fn delete_topic(&self, topic: &str) {
        let results = self.admin().delete_topics(&[topic], &options()).await.expect("delete_topics is answered");
        assert!(results.iter().all(Result::is_ok), "deleting {topic}: {results:?}");
        self.until_partitions(topic, 0).await;
    }

    /// Deletes the records of a partition below an offset.
    pub(crate) async fn delete_records(&self, topic: &str, partition: i32, below: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(below)).expect("a valid offset");
        let done = self.admin().delete_records(&list, &options()).await.expect("delete_records is answered");
        assert!(done.elements().iter().all(|e| e.error().is_ok()), "{done:?}");
    }

    /// Writes records and gives partition and offset of each.
    pub(crate) async fn produce(&self, records: &[Outgoing]) -> Vec<(i32, i64)> {
        let producer: FutureProducer = self.client().set("linger.ms", "2").create().expect("a producer");
        let sent = records.iter().map(|r| {
            let record = FutureRecord {
                topic: &r.topic,
                partition: r.partition,
                payload: r.value.as_deref(),
                key: r.key.as_deref(),
                timestamp: r.timestamp,
                headers: r.owned_headers(),
            };
            producer.send(record, PATIENCE)
        });
        let delivered = try_join_all(sent).await.unwrap_or_else(|(error, _)| panic!("producing failed: {error}"));
        delivered.into_iter().map(|d| (d.partition, d.offset)).collect()
    }

    /// Writes one record whose header names are any bytes without NUL, which the producer of the crate cannot.
    pub(crate) async fn produce_raw_header_names(&self, topic: &str, partition: i32, value: &[u8], headers: &[(&[u8], Option<&[u8]>)]) {
        let producer: Arc<ThreadedProducer<_>> = Arc::new(self.client().create().expect("a producer"));
        native::produce(producer.client(), topic, partition, value, headers);
        blocking(move || producer.flush(PATIENCE).expect("the record is written")).await;
    }

    /// Writes records in a transaction and leaves it open.
    pub(crate) async fn begin_transaction(&self, transactional_id: &str, records: &[Outgoing]) -> OpenTransaction {
        let producer: Arc<ThreadedProducer<_>> = Arc::new(
            self.client().set("transactional.id", transactional_id).set("transaction.timeout.ms", "600000").create().expect("a producer"),
        );
        let open = OpenTransaction { producer: Arc::clone(&producer) };
        let records = records.to_vec();
        blocking(move || {
            producer.init_transactions(PATIENCE).expect("transactions begin");
            producer.begin_transaction().expect("a transaction begins");
            for record in &records {
                let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&record.topic);
                out.partition = record.partition;
                out.timestamp = record.timestamp;
                out.key = record.key.as_deref();
                out.payload = record.value.as_deref();
                out.headers = record.owned_headers();
                producer.send(out).unwrap_or_else(|(error, _)| panic!("producing failed: {error}"));
            }
            producer.flush(PATIENCE).expect("records are written");
        })
        .await;
        open
    }

    /// Writes records in one transaction and commits it.
    pub(crate) async fn produce_committed(&self, records: &[Outgoing]) {
        self.begin_transaction(&unique("tx"), records).await.commit().await;
    }

    /// Writes records in one transaction and aborts it.
    pub(crate) async fn produce_aborted(&self, records: &[Outgoing]) {
        self.begin_transaction(&unique("tx"), records).await.abort().await;
    }

    /// Everything that a reader of committed records finds on partition 0 now, as it was written.
    pub(crate) async fn read_all(&self, topic: &str) -> Vec<Outgoing> {
        let (_, end) = self.watermarks(topic, 0).await;
        let consumer: BaseConsumer =
            self.client().set("group.id", unique("read-all")).set("enable.partition.eof", "true").create().expect("a consumer");
        let topic = topic.to_owned();
        blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning).expect("a valid offset");
            consumer.assign(&list).expect("an assignment");
            let mut records = Vec::new();
            let deadline = std::time::Instant::now() + PATIENCE;
            loop {
                assert!(std::time::Instant::now() < deadline, "{topic} could not be read to its end");
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(message)) if message.offset() < end => records.push(written(&message)),
                    None => {}
                    Some(Ok(_) | Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return records,
                    Some(Err(error)) => panic!("reading {topic}: {error}"),
                }
            }
        })
        .await
    }

    /// Log start and high watermark.
    pub(crate) async fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer: BaseConsumer = self.client().create().expect("a client");
        let topic = topic.to_owned();
        blocking(move || consumer.fetch_watermarks(&topic, partition, PATIENCE).expect("watermarks are answered")).await
    }

    async fn until_partitions(&self, topic: &str, wanted: i32) {
        let consumer: BaseConsumer = self.client().create().expect("a client");
        let topic = topic.to_owned();
        blocking(move || {
            let deadline = std::time::Instant::now() + PATIENCE;
            loop {
                let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata is answered");
                let found = metadata.topics().iter().find(|t| t.name() == topic);
                let led = found.map_or(0, |t| t.partitions().iter().filter(|p| p.leader() >= 0).count());
                if led == usize::try_from(wanted).expect("not negative") {
                    return;
                }
                assert!(std::time::Instant::now() < deadline, "{topic} has {led} partitions with a leader instead of {wanted}");
                std::thread::sleep(Duration::from_millis(50));
            }
        })
        .await;
    }
}

fn written(message: &BorrowedMessage<'_>) -> Outgoing {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Outgoing {
        topic: message.topic().to_owned(),
        partition: Some(message.partition()),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
    }
}

/// A transaction whose records are written and which nobody has ended yet.
pub(crate) struct OpenTransaction {
    producer: Arc<ThreadedProducer<rdkafka::producer::DefaultProducerContext>>,
}

impl OpenTransaction {
    pub(crate) async fn commit(self) {
        blocking(move || self.producer.commit_transaction(PATIENCE).expect("the transaction commits")).await;
    }

    pub(crate) async fn abort(self) {
        blocking(move || self.producer.abort_transaction(PATIENCE).expect("the transaction aborts")).await;
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(Duration::from_secs(30)))
}

/// Runs librdkafka's blocking calls away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
