//! What access rules refuse is said in words that name what is needed.

use std::time::Duration;

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, ReadFrom, ReaderEvent};
use redrive::model::bus::Capability;

use super::{place, read_until, settings};
use crate::harness::kafka::native::{Operation, Resource};
use crate::harness::kafka::{Kafka, Options, Outgoing, PATIENCE};

fn login<'a>(user: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN"), ("sasl.username", user), ("sasl.password", password)]
}

#[tokio::test]
async fn a_login_with_few_rights_works_as_far_as_they_go() {
    let users = [("narrow", "narrow-secret"), ("nobody", "nobody-secret")].map(|(u, p)| (u.to_owned(), p.to_owned()));
    let options = Options { sasl_users: users.to_vec(), ..Options::default() };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&options)).await.unwrap();
    for topic in ["open", "described", "hidden"] {
        kafka.create_topic(topic, 1, &[]).await;
        kafka.produce(&[Outgoing::to(topic).partition(0).value("v")]).await;
    }
    kafka.commit("other-group", &[("open", 0, 1)]).await;
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.allow("narrow", Operation::Read, Resource::Topic("open"));
        kafka.allow("narrow", Operation::Describe, Resource::Topic("described"));
        kafka
    });
    let kafka = kafka.await.unwrap();
    let with = |user, password| BusSettings {
        request_timeout: Duration::from_secs(5),
        ..settings(&kafka.sasl_bootstrap(), &login(user, password))
    };
    narrow(&KafkaBus::connect(with("narrow", "narrow-secret")).unwrap()).await;

    let nobody = KafkaBus::connect(with("nobody", "nobody-secret")).unwrap();
    assert_eq!(nobody.metadata().await.unwrap().topics.len(), 0);
    assert_eq!(nobody.list_groups().await.unwrap(), [], "brokers leave out what may not be seen");

    let wrong = KafkaBus::connect(with("narrow", "wrong-secret")).unwrap();
    let error = wrong.metadata().await.unwrap_err();
    assert!(matches!(&error, BusError::Denied(reason) if reason.contains("login was refused")), "{error}");
    assert!(!error.to_string().contains("wrong-secret"), "{error}");
    assert!(error.to_string().contains("look at \"sasl.username\" and \"sasl.password\""), "{error}");
    for (address, client) in [(kafka.sasl_bootstrap(), vec![]), (kafka.bootstrap(), vec![("security.protocol", "SSL")])] {
        let bus = KafkaBus::connect(BusSettings { request_timeout: Duration::from_secs(5), ..settings(&address, &client) }).unwrap();
        let error = bus.metadata().await.unwrap_err();
        assert!(error.to_string().contains("look at \"security.protocol\""), "{client:?}: {error}");
    }
}

/// READ on `open`, DESCRIBE on `described`, nothing else.
async fn narrow(bus: &KafkaBus) {
    let topics: Vec<String> = bus.metadata().await.expect("allowed").topics.into_iter().map(|t| t.topic.to_string()).collect();
    assert_eq!(topics, ["described", "open"]);

    let offsets = bus.offsets(&[place("open", 0), place("described", 0), place("hidden", 0)]).await.expect("allowed");
    assert_eq!((offsets.len(), offsets[&place("open", 0)].end), (2, 1), "one refusal does not hide the others");
    assert_eq!(bus.read(&place("open", 0), ReadFrom::Newest, 5).await.expect("allowed").records.len(), 1);
    let error = bus.read(&place("described", 0), ReadFrom::Newest, 5).await.expect_err("refused");
    assert!(matches!(&error, BusError::Denied(reason) if reason.contains("READ on the topic")), "{error}");

    let error = bus.topic_configs(&["open".into(), "described".into()]).await.expect_err("refused");
    assert!(matches!(&error, BusError::Denied(reason) if reason.contains("DESCRIBE_CONFIGS")), "{error}");
    let capabilities = bus.capabilities();
    let reason = capabilities.reason_against(Capability::ReadConfigs).expect("allowed");
    assert!(reason.contains("DESCRIBE_CONFIGS on the topics"), "{reason}");

    let error = bus.committed_offsets(&"other-group".into()).await.expect_err("refused");
    assert!(matches!(&error, BusError::Denied(reason) if reason.contains("DESCRIBE on the group other-group")), "{error}");
    let described = bus.describe_groups(&["other-group".into()]).await.expect("allowed");
    let reason = described[0].members.as_ref().expect_err("refused");
    assert!(reason.contains("not allowed") && reason.contains("other-group"), "{reason}");
    assert!(capabilities.reason_against(Capability::DescribeGroups).is_none());

    let mut reader = bus.open_reader(1 << 20).await.expect("allowed");
    reader.assign(vec![(place("described", 0), 0), (place("open", 0), 0)]).await.expect("allowed");
    let read = read_until(reader.as_mut(), |b| !b.records.is_empty() && !b.events.is_empty()).await;
    assert_eq!(read.records[0].topic.as_str(), "open", "the other partition is read");
    let refused = |e: &ReaderEvent| matches!(e, ReaderEvent::PartitionError { partition, reason } if partition.topic.as_str() == "described" && reason.contains("READ on the topic"));
    assert!(read.events.iter().any(refused), "{:?}", read.events);

    let mut member = bus.join("redrive-index-x", "one").await.expect("allowed");
    member.set_topics(vec!["open".into()]).await.expect("allowed");
    let refusal = async {
        loop {
            if let Err(error) = member.changed().await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, refusal).await.expect("the refusal is told");
    assert!(matches!(&error, BusError::Denied(reason) if reason.contains("READ on the group")), "{error}");
}
