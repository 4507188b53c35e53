//! Records below an offset and consumer groups are deleted, as far as the bus allows.

use std::time::Duration;

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusError, BusSettings, TopicRights};
use redrive::model::bus::Capability;

use super::{bus, place, settings};
use crate::harness::kafka::native::{Operation, Resource};
use crate::harness::kafka::{Kafka, Options, Outgoing, shared, unique};

async fn fill(kafka: &Kafka, topic: &str, partitions: i32, records: usize) {
    let each = (0..partitions).flat_map(|p| (0..records).map(move |n| (p, n)));
    let records: Vec<Outgoing> = each.map(|(p, n)| Outgoing::to(topic).partition(p).key("k").value(n.to_string())).collect();
    kafka.produce(&records).await;
}

#[tokio::test]
async fn each_partition_is_cut_where_it_was_told() {
    let kafka = shared();
    let (topic, other) = (kafka.topic("purged", 3, &[]).await, kafka.topic("purged", 1, &[]).await);
    fill(kafka, &topic, 3, 10).await;
    fill(kafka, &other, 1, 10).await;
    let bus = bus();
    let cuts = [(place(&topic, 0), 4), (place(&topic, 1), 10), (place(&other, 0), 1)];
    let done = bus.delete_records(&cuts).await.expect("it can be done");
    assert_eq!(done.len(), 3);
    for (partition, below) in cuts {
        assert_eq!(done[&partition].as_ref().ok(), Some(&below), "{partition:?}");
    }
    assert_eq!(kafka.watermarks(&topic, 0).await, (4, 10));
    assert_eq!(kafka.watermarks(&topic, 1).await, (10, 10));
    assert_eq!(kafka.watermarks(&topic, 2).await, (0, 10), "what was not named is left alone");
    let again = bus.delete_records(&[(place(&topic, 0), 2)]).await.expect("it can be done");
    assert_eq!(again[&place(&topic, 0)].as_ref().ok(), Some(&4), "what is gone is gone");
}

#[tokio::test]
async fn what_one_partition_refuses_stops_no_other() {
    let kafka = shared();
    let topic = kafka.topic("purged", 1, &[]).await;
    let compacted = kafka.topic("purged", 1, &[("cleanup.policy", "compact")]).await;
    let short = kafka.topic("purged", 1, &[]).await;
    for topic in [&topic, &compacted, &short] {
        fill(kafka, topic, 1, 3).await;
    }
    let bus = bus();
    let missing = unique("missing");
    let cuts = [
        (place(&topic, 0), 2),
        (place(&topic, 7), 2),
        (place(&compacted, 0), 2),
        (place(&short, 0), 9),
        (place(&missing, 0), 1),
        (place("no topic\0", 0), 1),
    ];
    let done = bus.delete_records(&cuts).await.expect("it can be done");
    assert_eq!(done.len(), cuts.len());
    let of = |index: usize| done[&cuts[index].0].as_ref();
    assert_eq!(of(0).ok(), Some(&2));
    assert!(matches!(of(2), Err(BusError::Unsupported(words)) if words.contains("compacted") && words.contains(&compacted)), "{done:?}");
    assert!(matches!(of(3), Err(BusError::Other(words)) if words.contains("reach")), "{done:?}");
    for absent in [1, 4, 5] {
        assert!(matches!(of(absent), Err(BusError::NotFound(_))), "{done:?}");
    }
    assert!(bus.capabilities().reason_against(Capability::DeleteRecords).is_none());
}

#[tokio::test]
async fn a_group_is_deleted_once_and_not_while_it_has_members() {
    let kafka = shared();
    let topic = kafka.topic("grouped", 1, &[]).await;
    let (ours, busy) = (unique("redrive-job"), unique("busy"));
    kafka.commit(&ours, &[(&topic, 0, 5)]).await;
    let member = kafka.member(&busy, "classic", &[&topic], "app").await;
    let bus = bus();
    bus.delete_group(&ours.as_str().into()).await.expect("deleted");
    assert_eq!(bus.committed_offsets(&ours.as_str().into()).await.expect("answered"), []);
    bus.delete_group(&ours.as_str().into()).await.expect("what is not there is deleted");
    let error = bus.delete_group(&busy.as_str().into()).await.expect_err("refused");
    assert!(matches!(&error, BusError::Other(words) if words.contains(&busy) && words.contains("not empty")), "{error}");
    drop(member);
}

#[tokio::test]
async fn rights_are_told_and_what_they_lack_is_named() {
    let options = Options { sasl_users: vec![("janitor".to_owned(), "secret".to_owned())], ..Options::default() };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&options)).await.expect("no panic");
    for topic in ["mine", "theirs", "hidden"] {
        kafka.create_topic(topic, 1, &[]).await;
        fill(&kafka, topic, 1, 3).await;
    }
    kafka.commit("theirs", &[("mine", 0, 1)]).await;
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.allow("janitor", Operation::Delete, Resource::Topic("mine"));
        kafka.allow("janitor", Operation::Write, Resource::Topic("mine"));
        kafka.allow("janitor", Operation::Read, Resource::Topic("theirs"));
        kafka
    });
    let kafka = kafka.await.expect("no panic");
    let login =
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN"), ("sasl.username", "janitor"), ("sasl.password", "secret")];
    let settings = BusSettings { request_timeout: Duration::from_secs(5), ..settings(&kafka.sasl_bootstrap(), &login) };
    let bus = KafkaBus::connect(settings).expect("a valid configuration");

    let rights = bus.topic_rights(&["mine".into(), "theirs".into(), "hidden".into(), "missing".into()]).await.expect("answered");
    let told = |read, write, delete| TopicRights { read: Some(read), write: Some(write), delete: Some(delete) };
    assert_eq!(rights[&"mine".into()], told(false, true, true));
    assert_eq!(rights[&"theirs".into()], told(true, false, false));
    assert_eq!(rights[&"hidden".into()], told(false, false, false));

    let done = bus.delete_records(&["mine", "theirs", "hidden"].map(|t| (place(t, 0), 2))).await.expect("it can be done");
    assert_eq!(done[&place("mine", 0)].as_ref().ok(), Some(&2));
    for topic in ["theirs", "hidden"] {
        let error = done[&place(topic, 0)].as_ref().expect_err("refused");
        let needs = format!("DELETE on the topic {topic}");
        assert!(matches!(error, BusError::Denied(words) if words.contains(&needs)), "{error}");
        assert_eq!(kafka.watermarks(topic, 0).await, (0, 3));
    }
    let error = bus.delete_group(&"theirs".into()).await.expect_err("refused");
    assert!(matches!(&error, BusError::Denied(words) if words.contains("DELETE on the group theirs")), "{error}");
    assert!(bus.capabilities().reason_against(Capability::DeleteRecords).is_none(), "one topic's rules are not the bus's");
}
