//! Opening records: what the person who asked gets from a bus that is well, slow, full of readers or failing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redrive::bus::{Bus, BusError, ReadFrom};
use redrive::model::names::TopicPartition;
use redrive::model::{BusId, Record, Timestamp};
use redrive::operations::records::DEADLINE;
use redrive::operations::{OpenRecordsError, Operations, RecordLimit};

use crate::harness::memory_bus::MemoryBus;

/// A deadline that a test can wait for.
const SHORT: Duration = Duration::from_millis(300);

fn records(offsets: std::ops::Range<i64>) -> Vec<Record> {
    offsets
        .map(|offset| Record {
            topic: "orders".into(),
            partition: 0,
            offset,
            timestamp: Some(Timestamp::from_millis(1_000 * offset)),
            timestamp_kind: None,
            key: None,
            value: Some(Bytes::from(format!("order {offset}"))),
            headers: Vec::new(),
        })
        .collect()
}

fn operations(buses: Vec<Arc<MemoryBus>>) -> Operations {
    Operations::new(buses.into_iter().map(|bus| (bus.id().clone(), bus as Arc<dyn Bus>)).collect::<HashMap<_, _>>())
}

fn orders() -> TopicPartition {
    TopicPartition { topic: "orders".into(), partition: 0 }
}

fn prod() -> BusId {
    "prod".into()
}

#[tokio::test]
async fn records_are_read_by_offset_time_and_newest() {
    let operations = operations(vec![Arc::new(MemoryBus::new("prod").with_partition("orders", 0, records(10..20)))]);
    let two = RecordLimit::new(2).unwrap();
    let cases = [
        (ReadFrom::Offset(12), vec![12, 13]),
        (ReadFrom::Offset(0), vec![10, 11]),
        (ReadFrom::Offset(20), vec![]),
        (ReadFrom::Time(Timestamp::from_millis(14_500)), vec![15, 16]),
        (ReadFrom::Newest, vec![18, 19]),
    ];
    for (from, expected) in cases {
        let read = operations.read_records(&prod(), &orders(), from, two).await.unwrap();
        let offsets: Vec<i64> = read.records.iter().map(|r| r.offset).collect();
        assert_eq!(offsets, expected, "{from:?}");
        assert_eq!((read.log_start, read.end), (10, 20));
    }
}

#[tokio::test]
async fn an_unknown_bus_is_named() {
    let error = operations(Vec::new()).read_records(&prod(), &orders(), ReadFrom::Newest, RecordLimit::default()).await.unwrap_err();
    assert_eq!(error, OpenRecordsError::UnknownBus(prod()));
    assert_eq!(error.to_string(), "there is no bus prod");
}

#[tokio::test]
async fn a_bus_that_hangs_is_given_up_at_the_deadline() {
    let operations = operations(vec![Arc::new(MemoryBus::new("prod").hanging())]).with_deadline(SHORT);
    let begun = Instant::now();
    let error = operations.read_records(&prod(), &orders(), ReadFrom::Newest, RecordLimit::default()).await.unwrap_err();
    assert!(begun.elapsed() >= SHORT);
    assert!(error.is_passing());
    assert_eq!(error, OpenRecordsError::DeadlineExceeded(SHORT));
    assert_eq!(OpenRecordsError::DeadlineExceeded(DEADLINE).to_string(), "the bus did not answer within 10 s");
}

#[tokio::test]
async fn a_bus_that_hangs_takes_a_bounded_number_of_reads_and_none_from_other_buses() {
    let hanging = Arc::new(MemoryBus::new("prod").hanging());
    let well = Arc::new(MemoryBus::new("staging").with_partition("orders", 0, records(0..1)));
    let operations = operations(vec![Arc::clone(&hanging), well]).with_deadline(SHORT);
    let (prod, staging, orders) = (prod(), BusId::from("staging"), orders());
    let reads = (0..20).map(|_| operations.read_records(&prod, &orders, ReadFrom::Newest, RecordLimit::default()));
    let other = operations.read_records(&staging, &orders, ReadFrom::Newest, RecordLimit::default());
    let (ends, other) = futures::join!(futures::future::join_all(reads), other);
    assert_eq!(hanging.most_reads(), 4);
    assert_eq!(ends.iter().filter(|end| matches!(end, Err(OpenRecordsError::DeadlineExceeded(_)))).count(), 4);
    assert_eq!(ends.iter().filter(|end| matches!(end, Err(OpenRecordsError::Busy(4)))).count(), 16);
    assert_eq!(other.unwrap().records.len(), 1, "the other bus has places of its own");
}

#[tokio::test]
async fn errors_are_told_by_what_can_be_done_about_them() {
    let bus = Arc::new(MemoryBus::new("prod").with_partition("orders", 0, Vec::new()));
    let operations = operations(vec![Arc::clone(&bus)]);
    let read = async || operations.read_records(&prod(), &orders(), ReadFrom::Newest, RecordLimit::default()).await;
    let cases = [
        (BusError::Unreachable("broker 1: refused".into()), "the bus cannot be reached: broker 1: refused", true),
        (BusError::Denied("READ on topic orders".into()), "the bus does not allow it: READ on topic orders", false),
        (BusError::NotFound("orders".into()), "the bus has no such topic or partition: orders", false),
        (BusError::Unsupported("a queue".into()), "this bus cannot do it: a queue", false),
        (BusError::Other("odd".into()), "the bus failed: odd", false),
    ];
    for (given, expected, passing) in cases {
        bus.fail(Some(given));
        let error = read().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is_passing(), passing, "{expected}");
    }
    bus.fail(None);
    assert!(read().await.unwrap().records.is_empty());
}

#[test]
fn limits_are_from_one_to_five_hundred() {
    assert_eq!(RecordLimit::new(0), None);
    assert_eq!(RecordLimit::new(1).map(RecordLimit::get), Some(1));
    assert_eq!(RecordLimit::new(500).map(RecordLimit::get), Some(500));
    assert_eq!(RecordLimit::new(501), None);
}
