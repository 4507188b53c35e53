//! What access rules forbid a sender is said with what is needed.

use std::time::Duration;

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, SendError, SenderSettings};
use redrive::model::bus::Capability;

use super::{open, place, records};
use crate::bus::settings;
use crate::harness::kafka::native::{Operation, Resource};
use crate::harness::kafka::{Kafka, Options};

fn owner(transactional_id: &str, group: &str, progress: &str) -> SenderSettings {
    SenderSettings { transactional_id: Some(transactional_id.to_owned()), group: group.into(), progress: place(progress, 0) }
}

#[tokio::test]
async fn every_missing_right_is_named() {
    let options = Options { sasl_users: vec![("sender".to_owned(), "secret".to_owned())], ..Options::default() };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&options)).await.expect("no panic");
    for topic in ["open", "described", "hidden"] {
        kafka.create_topic(topic, 1, &[]).await;
    }
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.allow("sender", Operation::Write, Resource::Topic("open"));
        kafka.allow("sender", Operation::Read, Resource::Topic("open"));
        kafka.allow("sender", Operation::Describe, Resource::Topic("described"));
        kafka.allow("sender", Operation::Write, Resource::TransactionalId("mine"));
        kafka.allow("sender", Operation::Read, Resource::Group("mine"));
        kafka
    });
    let kafka = kafka.await.expect("no panic");
    let login =
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN"), ("sasl.username", "sender"), ("sasl.password", "secret")];
    let settings = BusSettings { request_timeout: Duration::from_secs(25), ..settings(&kafka.sasl_bootstrap(), &login) };
    let bus = KafkaBus::connect(settings).expect("a valid configuration");

    let error = bus.open_sender(&owner("theirs", "mine", "open")).await.err().expect("refused");
    assert!(matches!(&error, BusError::Denied(words) if words.contains("WRITE on the transactional id theirs")), "{error}");
    let reason = bus.capabilities();
    assert!(reason.reason_against(Capability::Transactions).is_some_and(|words| words.contains("transactional id theirs")));

    let mut allowed = open(&bus, &owner("mine", "mine", "open")).await;
    assert!(bus.capabilities().reason_against(Capability::Transactions).is_none(), "it is allowed after all");
    allowed.rehearse().await.expect("allowed");
    allowed.send(records("open", &["v"]), 1).await.expect("allowed");
    assert_eq!(allowed.progress().await.expect("allowed"), Some(1));

    let error = open(&bus, &owner("mine", "theirs", "open")).await.rehearse().await.expect_err("refused");
    assert!(matches!(&error, SendError::Denied(words) if words.contains("READ on the group theirs")), "{error}");
    let error = open(&bus, &owner("mine", "theirs", "open")).await.progress().await.expect_err("refused");
    assert!(matches!(&error, BusError::Denied(words) if words.contains("DESCRIBE on the group theirs")), "{error}");
    let error = open(&bus, &owner("mine", "mine", "described")).await.rehearse().await.expect_err("refused");
    assert!(matches!(&error, SendError::Denied(words) if words.contains("READ on the topic described")), "{error}");
    for topic in ["described", "hidden"] {
        let begun = std::time::Instant::now();
        let failure = open(&bus, &owner("mine", "mine", "open")).await.send(records(topic, &["v"]), 2).await.expect_err("refused");
        let needs = format!("WRITE on the topic {topic}");
        assert!(matches!(&failure.error, SendError::Denied(words) if words.contains(&needs)), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
