//! Metadata, topic ids, offsets, configurations, random reads.

use redrive::bus::{Bus, BusError, ReadFrom};
use redrive::model::Timestamp;

use super::{bus, place};
use crate::harness::kafka::{Outgoing, shared, unique};

#[tokio::test]
async fn metadata_tells_cluster_brokers_topics_and_their_ids() {
    let kafka = shared();
    let topic = kafka.topic("topics", 3, &[]).await;
    let bus = bus();
    let metadata = bus.metadata().await.unwrap();
    assert!(metadata.cluster_id.is_some_and(|id| !id.is_empty()));
    assert_eq!(metadata.brokers, [kafka.bootstrap()]);
    let found = metadata.topics.iter().find(|t| t.topic.as_str() == topic).unwrap();
    assert_eq!(found.partitions.values().copied().collect::<Vec<_>>(), [Some(1), Some(1), Some(1)]);
    assert_eq!((found.replication_factor, found.internal, &found.error), (1, false, &None));

    let ids = bus.topic_ids(&[topic.as_str().into(), "missing".into(), "no topic\0".into()]).await.unwrap();
    assert_eq!(ids[&topic.as_str().into()], found.topic_id);
    assert_eq!((&ids[&"missing".into()], &ids[&"no topic\0".into()]), (&None, &None));
}

#[tokio::test]
async fn a_topic_created_again_has_another_id() {
    let kafka = shared();
    let topic = kafka.topic("topics", 1, &[]).await;
    let bus = bus();
    let name = [topic.as_str().into()];
    let before = bus.topic_ids(&name).await.unwrap().remove(&name[0]).unwrap();
    assert!(before.is_some());
    kafka.delete_topic(&topic).await;
    assert_eq!(bus.topic_ids(&name).await.unwrap()[&name[0]], None);
    kafka.create_topic(&topic, 1, &[]).await;
    let after = bus.topic_ids(&name).await.unwrap().remove(&name[0]).unwrap();
    assert!(after.is_some() && after != before, "{before:?} -> {after:?}");
}

#[tokio::test]
async fn offsets_tell_log_start_end_and_where_an_open_transaction_holds() {
    let kafka = shared();
    let topic = kafka.topic("topics", 2, &[]).await;
    let record = |value: &str| Outgoing::to(&topic).partition(0).value(value);
    kafka.produce(&[record("a"), record("b"), record("c")]).await;
    kafka.delete_records(&topic, 0, 1).await;
    let open = kafka.begin_transaction(&unique("tx"), &[record("open")]).await;

    let bus = bus();
    let asked = [place(&topic, 0), place(&topic, 1), place(&topic, 7), place("missing", 0), place("not a topic\0", 0)];
    let offsets = bus.offsets(&asked).await.unwrap();
    let of = |n: usize| offsets.get(&asked[n]).map(|o| (o.log_start, o.end, o.last_stable));
    assert_eq!((of(0), of(1)), (Some((1, 4, Some(3))), Some((0, 0, Some(0)))));
    assert_eq!((of(2), of(3), of(4)), (None, None, None), "what is not there is left out and fails nothing");
    open.abort().await;
}

#[tokio::test]
async fn configurations_are_those_set_on_the_topic() {
    let kafka = shared();
    let topic = kafka.topic("topics", 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "2000000")]).await;
    let plain = kafka.topic("topics", 1, &[]).await;
    let configs = bus().topic_configs(&[topic.as_str().into(), plain.as_str().into(), "missing".into()]).await.unwrap();
    let set: Vec<(&str, &str)> = configs[&topic.as_str().into()].iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(set, [("cleanup.policy", "compact"), ("max.message.bytes", "2000000")]);
    assert!(configs[&plain.as_str().into()].is_empty());
    assert!(!configs.contains_key(&"missing".into()));
}

#[tokio::test]
async fn records_are_read_at_random() {
    let kafka = shared();
    let topic = kafka.topic("topics", 2, &[]).await;
    let written: Vec<Outgoing> =
        (0..20).map(|n| Outgoing::to(&topic).partition(0).value(format!("v{n}")).timestamp(1_700_000_000_000 + n * 1_000)).collect();
    kafka.produce(&written).await;
    kafka.produce_aborted(&[Outgoing::to(&topic).partition(0).value("gone")]).await;
    kafka.delete_records(&topic, 0, 5).await;

    let bus = bus();
    let read = async |from, limit| {
        let read = bus.read(&place(&topic, 0), from, limit).await.unwrap();
        let offsets: Vec<i64> = read.records.iter().map(|r| r.offset).collect();
        (offsets, read.next, (read.log_start, read.end))
    };
    let bounds = (5, 22);
    assert_eq!(read(ReadFrom::Offset(7), 3).await, (vec![7, 8, 9], 10, bounds));
    assert_eq!(read(ReadFrom::Offset(0), 2).await, (vec![5, 6], 7, bounds), "below the log start: from the log start");
    assert_eq!(read(ReadFrom::Offset(18), 10).await, (vec![18, 19], 22, bounds), "aborted records and markers are passed");
    assert_eq!(read(ReadFrom::Offset(99), 10).await, (vec![], 22, bounds), "beyond the end");
    assert_eq!(read(ReadFrom::Newest, 3).await, (vec![17, 18, 19], 22, bounds), "the last three, although markers came after them");
    assert_eq!(read(ReadFrom::Time(Timestamp::from_millis(1_700_000_010_500)), 2).await, (vec![11, 12], 13, bounds));
    assert_eq!(read(ReadFrom::Time(Timestamp::from_millis(1_800_000_000_000)), 2).await, (vec![], 22, bounds));
    let first = async |millis: i64, number: i32| {
        let found = bus.offsets_at(&[place(&topic, number), place("missing", 0)], Timestamp::from_millis(millis)).await.unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&place(&topic, number)], "what cannot be told is left out");
        found[&place(&topic, number)]
    };
    assert_eq!((first(1_700_000_010_000, 0).await, first(1_700_000_010_001, 0).await), (Some(10), Some(11)));
    assert_eq!((first(-5, 0).await, first(9_000_000_000_000, 0).await, first(1, 1).await), (Some(5), None, None));

    let empty = bus.read(&place(&topic, 1), ReadFrom::Newest, 10).await.unwrap();
    assert_eq!((empty.records.len(), empty.log_start, empty.end, empty.next), (0, 0, 0, 0));
    for (topic, partition) in [(topic.as_str(), 9), ("missing", 0)] {
        let error = bus.read(&place(topic, partition), ReadFrom::Newest, 1).await.unwrap_err();
        assert!(matches!(error, BusError::NotFound(_)), "{error}");
    }
}

#[tokio::test]
async fn many_partitions_are_asked_in_parts() {
    let kafka = shared();
    let topic = kafka.topic("many", 520, &[]).await;
    kafka.produce(&[Outgoing::to(&topic).partition(519).value("v")]).await;
    let partitions: Vec<_> = (0..520).map(|p| place(&topic, p)).collect();
    // A broker that has just been told of so many partitions leads them only a moment later.
    let (bus, deadline) = (bus(), std::time::Instant::now() + crate::harness::kafka::PATIENCE);
    let offsets = loop {
        let offsets = bus.offsets(&partitions).await.unwrap();
        if offsets.len() == 520 {
            break offsets;
        }
        assert!(std::time::Instant::now() < deadline, "{} of 520", offsets.len());
    };
    assert_eq!((offsets[&partitions[0]].end, offsets[&partitions[519]].end), (0, 1));
    kafka.delete_topic(&topic).await;
}

#[tokio::test]
async fn a_random_read_of_large_records_ends_early_and_says_where_to_go_on() {
    let kafka = shared();
    let topic = kafka.topic("large", 1, &[]).await;
    let large: Vec<Outgoing> = (0..36).map(|n| Outgoing::to(&topic).partition(0).key(n.to_string()).value(vec![b'x'; 990_000])).collect();
    kafka.produce(&large).await;
    let bus = bus();
    let first = bus.read(&place(&topic, 0), ReadFrom::Offset(0), 100).await.unwrap();
    assert_eq!((first.records[0].offset, first.records.len(), first.next), (0, 34, 34), "32 MiB and the record that passes it");
    let rest = bus.read(&place(&topic, 0), ReadFrom::Offset(first.next), 100).await.unwrap();
    assert_eq!((rest.records.len(), rest.next), (2, 36));
    let newest = bus.read(&place(&topic, 0), ReadFrom::Newest, 100).await.unwrap();
    assert_eq!((newest.records.len(), newest.records.last().map(|r| r.offset), newest.next), (33, Some(35), 36));
}
