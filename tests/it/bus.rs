//! The Kafka adapter against a real broker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{BatchLimits, BusSettings, ReadBatch, Reader};
use redrive::model::BusKind;
use redrive::model::names::TopicPartition;

use crate::harness::kafka::{Kafka, PATIENCE, shared};

mod broker;
mod denied;
mod groups;
mod lesser;
mod membership;
mod outages;
mod purging;
mod reading;
mod sending;
mod topics;

/// A bus of the shared broker.
fn bus() -> KafkaBus {
    bus_on(shared())
}

fn bus_on(kafka: &Kafka) -> KafkaBus {
    KafkaBus::connect(settings(&kafka.bootstrap(), &[])).expect("a valid configuration")
}

fn settings(bootstrap_servers: &str, client: &[(&str, &str)]) -> BusSettings {
    BusSettings {
        id: "test".into(),
        kind: BusKind::Kafka,
        bootstrap_servers: bootstrap_servers.to_owned(),
        id_prefix: "redrive-".to_owned(),
        client: client.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        request_timeout: Duration::from_secs(20),
    }
}

fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn limits() -> BatchLimits {
    BatchLimits { records: 1_000, bytes: 1 << 20, wait: Duration::from_millis(300) }
}

/// Reads until `enough` of what has come together, or fails.
async fn read_until(reader: &mut dyn Reader, enough: impl Fn(&ReadBatch) -> bool) -> ReadBatch {
    let deadline = Instant::now() + PATIENCE;
    let mut all = ReadBatch::default();
    while !enough(&all) {
        assert!(Instant::now() < deadline, "still only this: {all:?}");
        let batch = reader.next_batch(limits()).await.expect("a batch");
        all.records.extend(batch.records);
        all.next.extend(batch.next);
        all.events.extend(batch.events);
    }
    all
}
