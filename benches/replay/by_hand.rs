//! The baseline: librdkafka alone moves dead letters to their target exactly once, a transaction per thousand, and keeps nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// As many as Redrive sends in one.
const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// Reads dead letters and sends them without what the framework wrote, with their offsets in the same transactions.
pub(crate) fn replay(brokers: &str, from: &str, to: &str, partitions: i32, records: usize) -> Duration {
    let consumer = consumer(brokers, from, partitions);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", "by-hand")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    let begun = Instant::now();
    let mut done = 0;
    while done < records {
        let count = BATCH.min(records - done);
        transaction(&consumer, &producer, from, to, count);
        done += count;
    }
    begun.elapsed()
}

fn transaction(consumer: &BaseConsumer, producer: &BaseProducer, from: &str, to: &str, count: usize) {
    let mut offsets: HashMap<i32, i64> = HashMap::new();
    producer.begin_transaction().expect("begun");
    for _ in 0..count {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("no error");
        offsets.insert(message.partition(), message.offset() + 1);
        let kept = message.headers().into_iter().flat_map(Headers::iter).filter(|header| !header.key.starts_with("kafka_dlt-"));
        let headers = kept.fold(OwnedHeaders::new(), |all, Header { key, value }| all.insert(Header { key, value }));
        let mut record = BaseRecord::to(to)
            .partition(message.partition())
            .key(message.key().unwrap_or_default())
            .payload(message.payload().unwrap_or_default())
            .headers(headers);
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    // The crate's commit would sit out 100 ms while anything is in flight.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(from, partition, Offset::Offset(offset)).expect("valid");
    }
    let group = consumer.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&list, &group, PATIENCE).expect("offsets");
    producer.commit_transaction(PATIENCE).expect("committed");
}

fn consumer(brokers: &str, topic: &str, partitions: i32) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "by-hand")
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "131072")
        .set("fetch.message.max.bytes", "4194304")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("valid");
    }
    consumer.assign(&list).expect("assigned");
    consumer
}
