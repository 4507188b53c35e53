//! Sending to a bus: byte for byte, whole batches with their progress, by one owner at a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, Outgoing, ReadFrom, SendError, SendFailure, Sender, SenderSettings};
use redrive::model::names::TopicPartition;
use redrive::model::{Header, Record};

use super::{bus, place};
use crate::harness::kafka::{PATIENCE, shared, unique};

mod denied;
mod outages;

/// An owner with names of its own whose progress is kept on partition 0 of a topic.
fn owner(topic: &str) -> SenderSettings {
    let name = unique("redrive-owner");
    SenderSettings { transactional_id: Some(name.clone()), group: name.as_str().into(), progress: place(topic, 0) }
}

fn record(topic: &str, partition: i32, value: &str) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        partition,
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn records(topic: &str, values: &[&str]) -> Vec<Outgoing> {
    values.iter().map(|value| record(topic, 0, value)).collect()
}

async fn open(bus: &KafkaBus, settings: &SenderSettings) -> Box<dyn Sender> {
    bus.open_sender(settings).await.expect("a sender")
}

/// What a reader of committed records finds; waits for the markers of transactions and for a bus that is just coming back.
async fn committed(bus: &KafkaBus, partition: &TopicPartition) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bus.read(partition, ReadFrom::Offset(0), 10_000).await {
            Ok(read) if read.next == read.end => return read.records,
            Ok(read) => assert!(Instant::now() < deadline, "read to {} of {}", read.next, read.end),
            Err(error) => assert!(matches!(error, BusError::Unreachable(_)) && Instant::now() < deadline, "{error}"),
        }
    }
}

async fn values(bus: &KafkaBus, topic: &str) -> Vec<String> {
    let text = |record: Record| String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
    committed(bus, &place(topic, 0)).await.into_iter().map(text).collect()
}

#[tokio::test]
async fn every_byte_arrives_in_order_at_the_offsets_that_are_told() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("exact", 2, &[]).await;
    let headers = vec![
        Header::new("twice", "first"),
        Header::new("empty", ""),
        Header { name: Bytes::from_static(b"null"), value: None },
        Header::new("twice", "second"),
        Header::new("", "no name"),
        Header::new(&b"\xff\xfe not utf-8"[..], &b"\x00\x01\xff"[..]),
        Header::new("nul", &b"a\0b"[..]),
    ];
    let everything: Vec<u8> = (0..=255).collect();
    let batch = vec![
        Outgoing { key: None, value: None, headers: headers.clone(), ..record(&topic, 1, "") },
        Outgoing { key: Some(Bytes::new()), value: Some(Bytes::new()), ..record(&topic, 1, "") },
        record(&topic, 0, "elsewhere"),
        Outgoing { key: Some(everything.clone().into()), value: Some(everything.into()), headers, ..record(&topic, 1, "") },
        record(&topic, 1, "last"),
    ];
    let mut sender = open(&bus, &owner(&topic)).await;
    assert_eq!(sender.send(batch.clone(), 5).await, Ok(vec![0, 1, 0, 2, 3]));

    let of = |partition| -> Vec<Outgoing> { batch.iter().filter(|r| r.partition == partition).cloned().collect() };
    for partition in [0, 1] {
        let read = committed(&bus, &place(&topic, partition)).await;
        assert_eq!(read.iter().map(as_sent).collect::<Vec<_>>(), of(partition));
        assert!(read.iter().all(|r| r.timestamp.is_some_and(|t| t.as_millis() > 1_700_000_000_000)), "the time of sending");
    }
    let other_client = kafka.read_all(&topic).await;
    assert_eq!(other_client.len(), 1);
}

fn as_sent(record: &Record) -> Outgoing {
    let Record { topic, partition, key, value, headers, .. } = record.clone();
    Outgoing { topic, partition, key, value, headers }
}

#[tokio::test]
async fn progress_moves_with_the_batch_and_with_nothing_else() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("progress", 1, &[]).await;
    let owner = owner(&topic);
    let mut sender = open(&bus, &owner).await;
    assert_eq!(sender.progress().await.unwrap(), None, "nobody has ever sent");
    for (value, progress) in [("a", 10), ("b", 20), ("c", 30)] {
        sender.send(records(&topic, &[value]), progress).await.expect("sent");
        assert_eq!(sender.progress().await.unwrap(), Some(progress), "never an older one");
    }
    sender.send(Vec::new(), 31).await.expect("items that were all skipped are progress too");
    sender.rehearse().await.expect("allowed");
    drop(sender);
    let mut next = open(&bus, &owner).await;
    assert_eq!(next.progress().await.unwrap(), Some(31), "a rehearsal leaves nothing");
    assert_eq!(values(&bus, &topic).await, ["a", "b", "c"]);
    drop(next);
    bus.delete_group(&owner.group).await.expect("deleted");
    assert_eq!(open(&bus, &owner).await.progress().await.unwrap(), None, "it is gone with its group");
}

#[tokio::test]
async fn a_second_sender_takes_over_and_nothing_is_doubled() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("fenced", 1, &[]).await;
    let owner = owner(&topic);
    let mut first = open(&bus, &owner).await;
    first.send(records(&topic, &["one"]), 1).await.expect("sent");
    let mut second = open(&bus, &owner).await;
    let failure = first.send(records(&topic, &["two"]), 2).await.expect_err("fenced");
    assert!(matches!(&failure, SendFailure { error: SendError::Fenced(_), delivered } if delivered.is_empty()), "{failure:?}");
    assert_eq!(second.progress().await.unwrap(), Some(1));
    second.send(records(&topic, &["two"]), 2).await.expect("sent");
    let failure = first.send(records(&topic, &["three"]), 3).await.expect_err("fenced for good");
    assert!(matches!(failure.error, SendError::Other(_) | SendError::Fenced(_)), "{failure:?}");
    assert!(matches!(open(&bus, &owner).await.progress().await, Ok(Some(2))));
    assert_eq!(values(&bus, &topic).await, ["one", "two"]);
}

#[tokio::test]
async fn an_owner_that_was_replaced_cannot_rehearse_either() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("fenced", 1, &[]).await;
    let owner = owner(&topic);
    let mut first = open(&bus, &owner).await;
    let _second = open(&bus, &owner).await;
    let error = first.rehearse().await.expect_err("fenced");
    assert!(matches!(error, SendError::Fenced(_)), "{error:?}");
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_the_sender_goes_on() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("large", 1, &[("max.message.bytes", "20000")]).await;
    let mut sender = open(&bus, &owner(&topic)).await;
    sender.send(records(&topic, &["before"]), 1).await.expect("sent");
    let failure = sender.send(vec![record(&topic, 0, "beside"), noise(&topic, 30_000)], 3).await.expect_err("refused");
    assert!(matches!(&failure.error, SendError::Refused(words) if words.contains("too large")), "{failure:?}");
    assert_eq!(sender.progress().await.unwrap(), Some(1), "nothing of a refused batch counts");
    sender.send(records(&topic, &["beside"]), 2).await.expect("the sender goes on");
    sender.rehearse().await.expect("in every way");
    assert_eq!(values(&bus, &topic).await, ["before", "beside"]);
}

/// A value that does not get smaller by compression.
fn noise(topic: &str, bytes: usize) -> Outgoing {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    Outgoing { value: Some((0..bytes).map(|_| next()).collect::<Vec<u8>>().into()), ..record(topic, 0, "") }
}

#[tokio::test]
async fn a_record_that_the_topic_does_not_take_is_refused() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("keyed", 1, &[("cleanup.policy", "compact")]).await;
    let mut sender = open(&bus, &owner(&topic)).await;
    let keyless = Outgoing { key: None, ..record(&topic, 0, "v") };
    let failure = sender.send(vec![record(&topic, 0, "keyed"), keyless], 2).await.expect_err("refused");
    assert!(matches!(&failure.error, SendError::Refused(words) if words.contains(&topic) && words.contains("validate")), "{failure:?}");
    sender.send(records(&topic, &["keyed"]), 2).await.expect("the sender goes on");
    assert_eq!(values(&bus, &topic).await, ["keyed"]);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_said() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("target", 1, &[]).await;
    let missing = unique("missing");
    for (batch, named) in [
        (records(&missing, &["v"]), missing.as_str()),
        (vec![record(&topic, 7, "v")], topic.as_str()),
        (records("no topic\0", &["v"]), "no topic"),
    ] {
        let failure = open(&bus, &owner(&topic)).await.send(batch, 1).await.expect_err("gone");
        assert!(matches!(&failure.error, SendError::TargetGone(words) if words.contains(named)), "{failure:?}");
    }
    let failure = open(&bus, &owner(&missing)).await.send(records(&topic, &["v"]), 1).await.expect_err("gone");
    assert!(matches!(&failure.error, SendError::TargetGone(words) if words.contains(&missing)), "{failure:?}");
}

#[tokio::test]
async fn a_target_that_is_deleted_between_two_batches_is_said_soon() {
    let (kafka, bus) = (shared(), bus());
    let (topic, other) = (kafka.topic("deleted", 1, &[]).await, kafka.topic("progress", 1, &[]).await);
    let mut sender = open(&bus, &owner(&other)).await;
    sender.send(records(&topic, &["v"]), 1).await.expect("sent");
    kafka.delete_topic(&topic).await;
    let begun = Instant::now();
    let failure = sender.send(records(&topic, &["v"]), 2).await.expect_err("gone");
    assert!(matches!(&failure.error, SendError::TargetGone(words) if words.contains(&topic)), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_transaction_waits_for_the_bus_alone() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("fast", 1, &[]).await;
    let mut sender = open(&bus, &owner(&topic)).await;
    let mut fastest = PATIENCE;
    for progress in 1..=20 {
        let begun = Instant::now();
        sender.send(records(&topic, &["v"; 10]), progress).await.expect("sent");
        fastest = fastest.min(begun.elapsed());
    }
    // A client that waits for its delivery reports by the clock needs 100 ms each time.
    assert!(fastest < Duration::from_millis(80), "{fastest:?}");
}

#[tokio::test]
async fn without_transactions_it_is_told_what_has_arrived() {
    let (kafka, bus) = (shared(), bus());
    let topic = kafka.topic("plain", 2, &[("max.message.bytes", "20000")]).await;
    let settings = SenderSettings { transactional_id: None, ..owner(&topic) };
    let mut sender = open(&bus, &settings).await;
    assert_eq!(sender.send(records(&topic, &["a", "b"]), 2).await, Ok(vec![0, 1]));
    assert_eq!(sender.progress().await.unwrap(), None);
    sender.rehearse().await.expect("nothing to rehearse");
    let failure = sender.send(vec![record(&topic, 1, "c"), noise(&topic, 30_000)], 4).await.expect_err("refused");
    assert!(matches!(failure.error, SendError::Refused(_)), "{failure:?}");
    assert_eq!(failure.delivered, [Some(0), None]);
    assert_eq!(sender.send(records(&topic, &["d"]), 5).await, Ok(vec![2]), "the sender goes on");
    assert_eq!(values(&bus, &topic).await, ["a", "b", "d"]);
}
