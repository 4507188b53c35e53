//! Clusters that can do less than Apache Kafka, or only a part of whose partitions can be reached: librdkafka's own mock cluster.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, ReadFrom, SenderSettings, TopicRights};
use redrive::model::Timestamp;
use redrive::model::bus::Capability;

use super::{place, read_until, settings};
use crate::harness::kafka::{Outgoing, PATIENCE};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

fn bus(bootstrap_servers: &str) -> KafkaBus {
    KafkaBus::connect(BusSettings { request_timeout: REQUEST_TIMEOUT, ..settings(bootstrap_servers, &[]) }).expect("a bus")
}

#[tokio::test]
async fn one_partition_without_a_leader_hides_no_other() {
    let cluster = MockCluster::new(3).unwrap();
    for topic in ["orders", "letters"] {
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    cluster.partition_leader("orders", 1, None).unwrap();
    let bus = bus(&cluster.bootstrap_servers());

    let metadata = bus.metadata().await.unwrap();
    let orders = metadata.topics.iter().find(|t| t.topic.as_str() == "orders").unwrap();
    let led: Vec<bool> = orders.partitions.values().map(Option::is_some).collect();
    assert_eq!(led, [true, false, true]);

    let all: Vec<_> = ["orders", "letters"].into_iter().flat_map(|t| (0..3).map(move |p| place(t, p))).collect();
    let offsets = bus.offsets(&all).await.unwrap();
    assert_eq!(offsets.len(), 5, "{offsets:?}");
    assert!(!offsets.contains_key(&place("orders", 1)));
    let error = bus.read(&place("orders", 1), ReadFrom::Newest, 1).await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable(reason) if reason.contains("no leader")), "{error}");
}

#[tokio::test]
async fn a_broker_that_does_not_answer_hides_the_ends_of_no_other() {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("orders", 6, 1).unwrap();
    for partition in 0..6 {
        cluster.partition_leader("orders", partition, Some(partition % 3 + 1)).unwrap();
    }
    let bus = bus(&cluster.bootstrap_servers());
    let all: Vec<_> = (0..6).map(|p| place("orders", p)).collect();
    assert_eq!(bus.offsets(&all).await.unwrap().len(), 6);

    // It leads on, and its connections stand.
    cluster.broker_round_trip_time(2, Duration::from_mins(2)).unwrap();
    let read = async || bus.offsets(&all).await.map(|offsets| offsets.into_keys().map(|p| p.partition).collect::<BTreeSet<_>>());
    assert_eq!(read().await.unwrap(), BTreeSet::from([0, 2, 3, 5]));
    let begun = Instant::now();
    assert_eq!(read().await.unwrap(), BTreeSet::from([0, 2, 3, 5]));
    // Of three questions each would wait for 4 s; who leads may be asked of the silent one, for a second.
    assert!(begun.elapsed() < Duration::from_secs(11), "it is not waited for again: {:?}", begun.elapsed());
    let error = bus.read(&place("orders", 1), ReadFrom::Newest, 1).await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable(_)), "{error}");
    let newer: BTreeSet<_> = bus.offsets_at(&all, Timestamp::now()).await.unwrap().into_keys().map(|p| p.partition).collect();
    assert!(!newer.contains(&1) && !newer.contains(&4), "nobody has said that nothing is newer");

    // Somebody else leads what it led, and is asked at once.
    for partition in [1, 4] {
        cluster.partition_leader("orders", partition, Some(1)).unwrap();
    }
    assert_eq!(read().await.unwrap().len(), 6);
    for partition in [1, 4] {
        cluster.partition_leader("orders", partition, Some(2)).unwrap();
    }
    cluster.broker_round_trip_time(2, Duration::ZERO).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while read().await.unwrap().len() < 6 {
        assert!(Instant::now() < deadline, "it answers again, and nobody asks it");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_time_of_which_nobody_tells_the_offset_is_not_the_end() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("letters", 1, 1).unwrap();
    produce(&cluster.bootstrap_servers(), &Outgoing::to("letters").value("v")).await;
    let bus = bus(&cluster.bootstrap_servers());
    let since = ReadFrom::Time(Timestamp::from_millis(0));
    assert!(bus.read(&place("letters", 0), since, 5).await.is_ok());
    // Log start, end and last stable offset are told, and then the offset of the time is not.
    let (told, failed) = (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[told, told, told, failed]);
    let read = bus.read(&place("letters", 0), since, 5).await;
    assert!(read.is_err(), "an end would be told as a purge of everything: {read:?}");
}

#[tokio::test]
async fn what_a_cluster_cannot_do_becomes_a_reason_and_the_rest_works() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("letters", 1, 1).unwrap();
    let bus = bus(&cluster.bootstrap_servers());
    let failures = [
        (Capability::ReadConfigs, bus.topic_configs(&["letters".into()]).await.err()),
        (Capability::ListGroups, bus.list_groups().await.err()),
        (Capability::DescribeGroups, bus.describe_groups(&["g".into()]).await.err()),
        (Capability::DeleteRecords, bus.delete_records(&[(place("letters", 0), 1)]).await.err()),
    ];
    for (capability, failure) in failures {
        let Some(BusError::Unsupported(why)) = &failure else { panic!("{capability:?}: {failure:?}") };
        assert_eq!(bus.capabilities().reason_against(capability), Some(why.as_str()), "{capability:?}");
    }
    assert!(bus.metadata().await.is_ok());

    produce(&cluster.bootstrap_servers(), &Outgoing::to("letters").value("v")).await;
    let mut reader = bus.open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place("letters", 0), 0)]).await.unwrap();
    assert_eq!(read_until(reader.as_mut(), |b| !b.records.is_empty()).await.records.len(), 1);
    assert_eq!(bus.read(&place("letters", 0), ReadFrom::Newest, 5).await.unwrap().records.len(), 1);

    // Where a group has committed is asked for each partition.
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "billing");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut reached = TopicPartitionList::new();
    reached.add_partition_offset("letters", 0, Offset::Offset(1)).unwrap();
    consumer.commit(&reached, CommitMode::Sync).unwrap();
    assert_eq!(bus.committed_offsets(&"billing".into()).await.unwrap(), [(place("letters", 0), 1)]);
    assert_eq!(bus.committed_offsets(&"nobody".into()).await.unwrap(), []);
}

#[tokio::test]
async fn a_cluster_without_access_rules_and_deletion_can_be_sent_to() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("target", 2, 1).unwrap();
    let bus = bus(&cluster.bootstrap_servers());
    let rights = bus.topic_rights(&["target".into()]).await.unwrap();
    assert_eq!(rights[&"target".into()], TopicRights::default(), "nothing is told");
    let error = bus.delete_group(&"redrive-owner".into()).await.unwrap_err();
    assert!(matches!(error, BusError::Unsupported(_)), "{error}");

    let owner =
        SenderSettings { transactional_id: Some("redrive-owner".to_owned()), group: "redrive-owner".into(), progress: place("target", 0) };
    let mut sender = bus.open_sender(&owner).await.unwrap();
    assert_eq!(sender.progress().await.unwrap(), None);
    let record = |value: &'static [u8]| redrive::bus::Outgoing {
        topic: "target".into(),
        partition: 1,
        key: None,
        value: Some(value.into()),
        headers: vec![redrive::model::Header::new("h", "v")],
    };
    sender.rehearse().await.unwrap();
    assert_eq!(sender.send(vec![record(b"a"), record(b"b")], 2).await, Ok(vec![0, 1]));
    assert_eq!(sender.progress().await.unwrap(), None, "this cluster keeps no offsets of transactions");
    assert_eq!(bus.read(&place("target", 1), ReadFrom::Newest, 5).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn a_group_is_found_wherever_it_is_coordinated_and_when_it_moves() {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let bus = bus(&cluster.bootstrap_servers());
    let not_me = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
    // How many brokers say "not me" before one answers; with the first, and with the one that has answered before.
    for refusals in [0, 2, 1, 2] {
        cluster.request_errors(RDKafkaApiKey::OffsetFetch, &vec![not_me; refusals]);
        // It tells offsets by partition only; what counts is who answers.
        let answered = bus.committed_offsets(&"billing".into()).await;
        assert!(matches!(answered.as_deref(), Ok([])), "after {refusals} refusals: {answered:?}");
    }
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[not_me; 4]);
    let error = bus.committed_offsets(&"billing".into()).await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable(words) if words.contains("coordinates")), "{error}");
    cluster.clear_request_errors(RDKafkaApiKey::OffsetFetch);
    bus.committed_offsets(&"billing".into()).await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_is_loading_is_asked_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let patient = BusSettings { request_timeout: Duration::from_secs(15), ..settings(&cluster.bootstrap_servers(), &[]) };
    let bus = KafkaBus::connect(patient).expect("a bus");
    let loading = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[loading; 3]);
    let answered = bus.committed_offsets(&"billing".into()).await;
    assert!(matches!(answered.as_deref(), Ok([])), "{answered:?}");
    // Not for as long as it may take: who asks has other groups to ask for.
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[loading; 1_000]);
    let begun = std::time::Instant::now();
    let error = bus.committed_offsets(&"billing".into()).await.unwrap_err();
    assert!(matches!(error, BusError::Unreachable(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(3_900), "{:?}", begun.elapsed());
    assert!(bus.is_there().await.is_ok(), "the bus is there all the same");
}

async fn produce(bootstrap_servers: &str, record: &Outgoing) {
    let producer: rdkafka::producer::FutureProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create().expect("a producer");
    let record = rdkafka::producer::FutureRecord::<[u8], [u8]>::to(&record.topic).payload(record.value.as_deref().expect("a value"));
    producer.send(record, crate::harness::kafka::PATIENCE).await.expect("written");
}
