//! The simulated shop, seen by a client that is not Redrive: it fails by itself and writes what frameworks write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use redrive::dead_letters::decode::Decoder;
use redrive::dead_letters::discovery::Discovery;
use redrive::dead_letters::fingerprint::fingerprint;
use redrive::demo;
use redrive::lifecycle::Lifecycle;
use redrive::model::bus::TopicRole;
use redrive::model::{Failure, Header, Record, Timestamp, TopicName};

use crate::harness::kafka::{Kafka, Options, PATIENCE};

const CONVENTIONS: [&str; 7] =
    ["kafka_connect", "kafka_streams", "smallrye", "spring_cloud_stream", "spring_kafka", "spring_retry", "wolverine"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_opens_with_a_past_and_goes_on_failing() {
    let lifecycle = Lifecycle::new();
    let began = Instant::now();
    let opened_at = Timestamp::now();
    let bus = demo::start(&lifecycle, None, None).await.expect("the shop opens");
    assert!(bus.in_process);
    assert!(began.elapsed() < Duration::from_secs(10), "a newcomer waits {:?}", began.elapsed());
    let letters = watch(&bus.bootstrap_servers, opened_at).await;
    look_at(&letters);
    close(&lifecycle).await;
    drop(bus);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_shop_runs_on_a_real_kafka() {
    // A broker of its own: the shop's dead letters are nobody else's.
    let kafka = Kafka::start(&Options::default());
    let lifecycle = Lifecycle::new();
    let opened_at = Timestamp::now();
    let bus = demo::start(&lifecycle, Some(kafka.bootstrap()), None).await.expect("the shop opens");
    assert!(!bus.in_process);
    look_at(&watch(&kafka.bootstrap(), opened_at).await);
    close(&lifecycle).await;

    let lifecycle = Lifecycle::new();
    let before = count(&kafka.bootstrap()).await;
    demo::start(&lifecycle, Some(kafka.bootstrap()), None).await.expect("the shop opens again");
    let after = count(&kafka.bootstrap()).await;
    assert!(after < before + 30, "the past is written once: {before} letters, then {after}");
    close(&lifecycle).await;
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_said() {
    let error = demo::start(&Lifecycle::new(), Some("127.0.0.1:1".to_owned()), None).await.expect_err("nobody listens there");
    assert!(format!("{error:#}").contains("127.0.0.1:1"), "{error:#}");
}

async fn close(lifecycle: &Lifecycle) {
    assert_eq!(lifecycle.cause_of_death(), None);
    lifecycle.soft().cancel();
    tokio::time::timeout(Duration::from_secs(20), lifecycle.wait()).await.expect("every task of the shop ends when asked to");
    assert_eq!(lifecycle.cause_of_death(), None);
}

fn look_at(letters: &[(Record, Failure)]) {
    for (record, failure) in letters {
        assert_eq!(failure.problem, None, "{failure:?}");
        assert_eq!(failure.matched.len(), 1, "{failure:?}");
        let origin = &failure.origin;
        assert!(origin.topic.is_some() && origin.partition.is_some() && origin.offset.is_some(), "{failure:?}");
        let parts = fingerprint(failure, &record.topic, &[]);
        assert!(!parts.title.contains("ListenerExecutionFailed") && !parts.title.contains("MessagingException"), "{}", parts.title);
    }
    let titles: BTreeSet<_> = letters.iter().map(|(record, failure)| fingerprint(failure, &record.topic, &[]).title).collect();
    assert!(titles.contains("CardDeclinedException in AcquirerClient.authorise"), "{titles:#?}");
    assert!(titles.contains("TaxRateMissingException in TaxTable.rate"), "{titles:#?}");
    let groups: BTreeSet<_> = letters.iter().map(|(record, failure)| fingerprint(failure, &record.topic, &[]).fingerprint).collect();
    assert!((6..40).contains(&groups.len()), "{} letters in {} failure groups: {titles:#?}", letters.len(), groups.len());
}

/// Dead letters until every framework has written some, and some are of now.
async fn watch(bootstrap: &str, opened_at: Timestamp) -> Vec<(Record, Failure)> {
    let bootstrap = bootstrap.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let consumer = assigned(&bootstrap);
        let decoder = Decoder::new(&[]);
        let mut letters: Vec<(Record, Failure)> = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told: BTreeSet<&str> = letters.iter().map(|(_, failure)| failure.convention.as_str()).collect();
            let fresh = letters.iter().any(|(record, _)| record.timestamp > Some(opened_at));
            if CONVENTIONS.iter().all(|c| told.contains(c)) && fresh {
                return letters;
            }
            assert!(Instant::now() < deadline, "only {told:?} wrote dead letters; of now: {fresh}");
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
                let record = read(&message);
                let failure = decoder.decode(&record, &record.topic);
                letters.push((record, failure));
            }
        }
    });
    reading.await.expect("the reader does not panic")
}

/// How many dead letters there are.
async fn count(bootstrap: &str) -> i64 {
    let bootstrap = bootstrap.to_owned();
    let counting = tokio::task::spawn_blocking(move || {
        let consumer = assigned(&bootstrap);
        let ends = consumer.assignment().expect("an assignment");
        let end = |topic: &str, partition| consumer.fetch_watermarks(topic, partition, PATIENCE).expect("offsets").1;
        ends.elements().iter().map(|element| end(element.topic(), element.partition())).sum()
    });
    counting.await.expect("the counter does not panic")
}

/// A consumer of every dead-letter topic, found by Redrive's own patterns.
fn assigned(bootstrap: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "watcher")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
    let discovery = Discovery::new(&[], &[], &[]).expect("the default patterns");
    let mut list = rdkafka::TopicPartitionList::new();
    for topic in metadata.topics() {
        match discovery.role(&TopicName::new(topic.name()), &BTreeMap::new()) {
            TopicRole::DeadLetter => {
                for partition in topic.partitions() {
                    list.add_partition_offset(topic.name(), partition.id(), rdkafka::Offset::Beginning).expect("an offset");
                }
            }
            TopicRole::Retry => assert_eq!(topic.name(), "shop.payments-retry-2000"),
            TopicRole::Ordinary => {}
        }
    }
    assert!(list.count() >= 7);
    consumer.assign(&list).expect("an assignment");
    consumer
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let own = |bytes: &[u8]| bytes::Bytes::copy_from_slice(bytes);
        headers.iter().map(|h| Header { name: own(h.key.as_bytes()), value: h.value.map(own) }).collect()
    });
    Record {
        topic: TopicName::new(message.topic()),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
        timestamp_kind: Some(redrive::model::record::TimestampKind::CreateTime),
        key: message.key().map(bytes::Bytes::copy_from_slice),
        value: message.payload().map(bytes::Bytes::copy_from_slice),
        headers: headers.unwrap_or_default(),
    }
}
