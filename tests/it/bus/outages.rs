//! A bus that is down at the start, goes away, freezes, and comes back.

use std::time::{Duration, Instant};

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, ReaderEvent};

use super::{bus_on, limits, place, read_until, settings};
use crate::harness::kafka::{Kafka, Options, Outgoing, PATIENCE};

#[tokio::test]
async fn a_bus_that_is_down_at_the_start_is_connected_to_and_says_why_it_does_not_answer() {
    // Bound and then closed: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = BusSettings { request_timeout: Duration::from_secs(2), ..settings(&format!("127.0.0.1:{port}"), &[]) };
    let bus = KafkaBus::connect(settings).unwrap();
    let begun = Instant::now();
    let error = bus.metadata().await.unwrap_err();
    assert!(
        matches!(&error, BusError::Unreachable(reason) if reason.contains("Connection refused") && reason.contains(&port.to_string())),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "there is a deadline");
    assert!(bus.capabilities().unavailable.is_empty(), "silence says nothing about what the bus can do");

    let mut reader = bus.open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place("orders.DLT", 0), 0)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| !b.events.is_empty()).await;
    assert!(matches!(&read.events[0], ReaderEvent::BusError(reason) if reason.contains("Connection refused")), "{:?}", read.events);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_said() {
    let settings = BusSettings { request_timeout: Duration::from_secs(2), ..settings("kafka.invalid:9092", &[]) };
    let error = KafkaBus::connect(settings).unwrap().metadata().await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable(reason) if reason.contains("kafka.invalid")), "{error}");
}

#[tokio::test]
async fn reading_goes_on_by_itself_after_the_broker_was_gone() {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.unwrap();
    kafka.create_topic("outage", 1, &[]).await;
    let record = |value: &str| Outgoing::to("outage").partition(0).value(value);
    kafka.produce(&[record("before")]).await;
    let bus = KafkaBus::connect(BusSettings { request_timeout: Duration::from_secs(3), ..settings(&kafka.bootstrap(), &[]) }).unwrap();
    let mut reader = bus.open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place("outage", 0), 0)]).await.unwrap();
    read_until(reader.as_mut(), |b| b.records.len() == 1).await;

    let kafka = tokio::task::spawn_blocking(move || {
        kafka.kill();
        kafka
    });
    let kafka = kafka.await.unwrap();
    let gone = read_until(reader.as_mut(), |b| b.events.iter().any(|e| matches!(e, ReaderEvent::BusError(_)))).await;
    assert!(gone.records.is_empty() && gone.next.is_empty());
    let error = bus.offsets(&[place("outage", 0)]).await.unwrap_err();
    assert!(matches!(error, BusError::Unreachable(_)), "{error}");

    let kafka = tokio::task::spawn_blocking(move || {
        kafka.start_again();
        kafka
    });
    let kafka = kafka.await.unwrap();
    kafka.produce(&[record("after")]).await;
    let read = read_until(reader.as_mut(), |b| !b.records.is_empty()).await;
    assert_eq!((read.records[0].value.as_deref(), read.next[&place("outage", 0)]), (Some(&b"after"[..]), 2));
    bus.offsets(&[place("outage", 0)]).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_about_groups_when_the_broker_went_harms_nobody_when_it_is_back() {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.unwrap();
    kafka.create_topic("groups", 1, &[]).await;
    kafka.produce(&[Outgoing::to("groups").partition(0).value("v")]).await;
    kafka.commit("billing", &[("groups", 0, 1)]).await;
    let settings = BusSettings { request_timeout: Duration::from_millis(800), ..settings(&kafka.bootstrap(), &[]) };
    let bus = KafkaBus::connect(settings).unwrap();
    let groups: Vec<redrive::model::GroupName> = std::iter::once("billing".into()).chain((0..30).map(|n| format!("g{n}").into())).collect();
    until_committed(&bus, &groups[0]).await;
    let mut outages = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            kafka.kill();
            std::thread::sleep(Duration::from_secs(2));
            kafka.start_again();
        }
        kafka
    });
    let mut failures = 0;
    let _kafka = loop {
        let asked = async {
            let described = bus.describe_groups(&groups).await;
            let mut failures = usize::from(described.is_err());
            for group in &groups {
                failures += usize::from(bus.committed_offsets(group).await.is_err());
            }
            failures
        };
        failures += asked.await;
        if outages.is_finished() {
            break (&mut outages).await.unwrap();
        }
    };
    assert!(failures > 0, "it was asked while nobody was there");
    until_committed(&bus, &groups[0]).await;
}

/// A broker that has just started takes longer than such a short timeout, now and then.
async fn until_committed(bus: &KafkaBus, group: &redrive::model::GroupName) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bus.committed_offsets(group).await {
            Ok(committed) => break assert_eq!(committed, [(place("groups", 0), 1)]),
            Err(error) => assert!(matches!(error, BusError::Unreachable(_)) && Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_frozen_keeps_nobody_waiting_beyond_the_deadline() {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.unwrap();
    kafka.create_topic("frozen", 1, &[]).await;
    let bus = bus_on(&kafka);
    bus.metadata().await.unwrap();
    let bus = KafkaBus::connect(BusSettings { request_timeout: Duration::from_secs(2), ..settings(&kafka.bootstrap(), &[]) }).unwrap();
    bus.metadata().await.unwrap();
    kafka.freeze();
    let begun = Instant::now();
    assert!(matches!(bus.metadata().await.unwrap_err(), BusError::Unreachable(_)));
    assert!(matches!(bus.list_groups().await.unwrap_err(), BusError::Unreachable(_)));
    let places = [place("frozen", 0)];
    assert!(matches!(bus.offsets(&places).await.unwrap_err(), BusError::Unreachable(_)), "silence is no answer");
    assert!(matches!(bus.offsets_at(&places, redrive::model::Timestamp::now()).await.unwrap_err(), BusError::Unreachable(_)));
    assert!(matches!(bus.committed_offsets(&"any".into()).await.unwrap_err(), BusError::Unreachable(_)));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    kafka.thaw();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = bus.metadata().await {
        assert!(Instant::now() < deadline, "{error}");
    }
}

#[tokio::test]
async fn giving_up_on_a_batch_loses_nothing() {
    let kafka = crate::harness::kafka::shared();
    let topic = kafka.topic("giveup", 1, &[]).await;
    let bus = bus_on(kafka);
    let mut reader = bus.open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 0)]).await.unwrap();
    // The caller leaves while the poll waits; the record that the poll then takes is in the next batch.
    let gave_up =
        tokio::time::timeout(Duration::from_millis(20), reader.next_batch(redrive::bus::BatchLimits { wait: PATIENCE, ..limits() })).await;
    assert!(gave_up.is_err());
    kafka.produce(&[Outgoing::to(&topic).partition(0).value("kept")]).await;
    let read = read_until(reader.as_mut(), |b| !b.records.is_empty()).await;
    assert_eq!(read.records[0].value.as_deref(), Some(&b"kept"[..]));
}
