//! A bus that goes away or freezes while something is sent.

use std::time::{Duration, Instant};

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, SendError, Sender, SenderSettings};

use super::{open, owner, record, records, values};
use crate::bus::settings;
use crate::harness::kafka::{Kafka, Options, PATIENCE};

fn bus(kafka: &Kafka) -> KafkaBus {
    let settings = BusSettings { request_timeout: Duration::from_secs(4), ..settings(&kafka.bootstrap(), &[]) };
    KafkaBus::connect(settings).expect("a valid configuration")
}

/// A broker that has its internal topics: the first transaction of all takes longer than the others.
async fn start() -> Kafka {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("no panic");
    kafka.create_topic("warm", 1, &[]).await;
    let patient = BusSettings { request_timeout: Duration::from_secs(30), ..settings(&kafka.bootstrap(), &[]) };
    let bus = KafkaBus::connect(patient).expect("a valid configuration");
    open(&bus, &owner("warm")).await.send(records("warm", &["v"]), 1).await.expect("sent");
    kafka
}

/// Opens a sender and reads its progress, as soon as the bus is back. `None` when the broker itself has left a transaction open on
/// `target` although its coordinator has ended it.
///
/// Kafka 4.3.0, alone and killed between the coordinator's decision and its markers, now and then writes `CompleteCommit` after the
/// restart and never the markers: the log's last stable offset stays before the transaction for every client (KIP-664 calls it
/// hanging). A sender opens only when the coordinator has ended the transaction before, so an open one on the log is the broker's.
async fn reopen(bus: &KafkaBus, owner: &SenderSettings, target: &str) -> Option<(Box<dyn Sender>, Option<i64>)> {
    let deadline = Instant::now() + PATIENCE;
    let mut hanging = 0;
    loop {
        let error = match bus.open_sender(owner).await {
            Ok(mut sender) => match sender.progress().await {
                Ok(progress) => return Some((sender, progress)),
                Err(error) => {
                    let place = super::place(target, 0);
                    let offsets = bus.offsets(std::slice::from_ref(&place)).await.expect("offsets are told");
                    hanging += u32::from(offsets[&place].last_stable < Some(offsets[&place].end));
                    error
                }
            },
            Err(error) => error,
        };
        assert!(matches!(error, BusError::Unreachable(_)) && Instant::now() < deadline, "{error} (hung {hanging} times)");
        if hanging == 6 {
            assert!(error.to_string().contains("KIP-664"), "it says what to do: {error}");
            return None;
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_killed_while_batches_are_sent_leaves_a_next_sender_to_decide() {
    for number in 1..=4 {
        if killed_while_batches_are_sent().await {
            return;
        }
        eprintln!("the broker has lost its markers, {number} times in a row");
    }
    panic!("the broker has lost its markers four times in a row");
}

/// `false` when the broker has lost its own markers; see [`reopen`].
async fn killed_while_batches_are_sent() -> bool {
    let kafka = start().await;
    kafka.create_topic("target", 1, &[]).await;
    let (bus, owner) = (bus(&kafka), owner("target"));
    let mut sender = open(&bus, &owner).await;
    sender.send(vec![record("target", 0, "v0"); 50], 1).await.expect("sent");
    let (stop, mut sent) = (Duration::from_millis(700), 1);
    let killing = tokio::task::spawn_blocking(move || {
        std::thread::sleep(stop);
        kafka.kill();
        kafka
    });
    let error = loop {
        let value = format!("v{sent}");
        match sender.send(vec![record("target", 0, &value); 50], sent + 1).await {
            Ok(_) => sent += 1,
            Err(failure) => break failure.error,
        }
    };
    assert!(matches!(error, SendError::Unreachable(_) | SendError::Undecided(_)), "{error:?}");
    let error = sender.send(records("target", &["more"]), sent + 1).await.expect_err("it is of no more use").error;
    assert!(matches!(error, SendError::Other(_)), "{error:?}");
    let refused = bus.open_sender(&owner).await.err().expect("nobody answers");
    assert!(matches!(&refused, BusError::Unreachable(_)), "{refused}");

    let kafka = killing.await.expect("no panic");
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.start_again();
        kafka
    });
    let _kafka = kafka.await.expect("no panic");
    let Some((mut next, progress)) = reopen(&bus, &owner, "target").await else { return false };
    let progress = progress.expect("something was committed");
    assert!(progress == sent || progress == sent + 1, "{progress} after {sent}");
    for value in progress..sent + 3 {
        next.send(vec![record("target", 0, &format!("v{value}")); 50], value + 1).await.expect("sent");
    }
    let expected: Vec<String> = (0..sent + 3).flat_map(|value| vec![format!("v{value}"); 50]).collect();
    let mut found = Vec::new();
    let mut reader = bus.open_reader(8 << 20).await.expect("a reader");
    reader.assign(vec![(super::place("target", 0), 0)]).await.expect("assigned");
    let deadline = Instant::now() + PATIENCE;
    while found.len() < expected.len() {
        assert!(Instant::now() < deadline, "{} of {}", found.len(), expected.len());
        let batch = reader.next_batch(crate::bus::limits()).await.expect("a batch");
        found.extend(batch.records.into_iter().map(|r| String::from_utf8_lossy(&r.value.expect("a value")).into_owned()));
    }
    assert!(found == expected, "each batch once and in order");
    true
}

#[tokio::test]
async fn a_broker_that_is_frozen_keeps_nobody_waiting_and_nothing_counts_twice() {
    let kafka = start().await;
    kafka.create_topic("target", 1, &[]).await;
    let (bus, owner) = (bus(&kafka), owner("target"));
    let mut sender = open(&bus, &owner).await;
    sender.send(records("target", &["before"]), 1).await.expect("sent");
    kafka.freeze();
    let begun = Instant::now();
    let error = sender.send(records("target", &["meanwhile"]), 2).await.expect_err("nobody answers").error;
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    let refused = bus.open_sender(&owner).await.err().expect("nobody answers");
    assert!(matches!(&refused, BusError::Unreachable(_)), "{refused}");
    kafka.thaw();
    let (mut next, progress) = reopen(&bus, &owner, "target").await.expect("a frozen broker forgets nothing");
    assert_eq!(progress, Some(1));
    next.send(records("target", &["meanwhile"]), 2).await.expect("sent");
    assert_eq!(values(&bus, "target").await, ["before", "meanwhile"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_keeps_the_next_one_from_sending_beside_it() {
    let kafka = start().await;
    kafka.create_topic("target", 1, &[]).await;
    let (bus, owner) = (bus(&kafka), owner("target"));
    let mut sender = open(&bus, &owner).await;
    kafka.freeze();
    let given_up = tokio::time::timeout(Duration::from_millis(100), sender.send(records("target", &["a"]), 1)).await;
    assert!(given_up.is_err());
    kafka.thaw();
    sender.send(records("target", &["b"]), 2).await.expect("after the one before");
    assert_eq!(values(&bus, "target").await, ["a", "b"]);
}

#[tokio::test]
async fn without_transactions_silence_leaves_the_batch_undecided() {
    let kafka = start().await;
    kafka.create_topic("target", 1, &[]).await;
    let (bus, owner) = (bus(&kafka), SenderSettings { transactional_id: None, ..owner("target") });
    let mut sender = open(&bus, &owner).await;
    sender.send(records("target", &["before"]), 1).await.expect("sent");
    kafka.freeze();
    let failure = sender.send(records("target", &["meanwhile"]), 2).await.expect_err("nobody answers");
    assert!(matches!(failure.error, SendError::Undecided(_)), "{failure:?}");
    assert_eq!(failure.delivered, [None]);
    kafka.thaw();
}
