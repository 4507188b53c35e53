//! What is known of a dead letter beside its bytes: when it failed, whether it is backlog, who failed, whether custody has it.

use redrive::model::dead_letter::DeadLetterDetail;
use redrive::model::{FailedAtSource, GroupName};

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::redrive::Setup;
use super::ledger;
use super::scene::Scene;

const SENT: i64 = 1_760_000_000_000;

/// The dead letter with this value.
async fn find(scene: &Scene, value: &str) -> DeadLetterDetail {
    let letters = ledger::all(&scene.store).await;
    letters.into_iter().find(|letter| letter.value.as_deref() == Some(value.as_bytes())).expect("it is stored")
}

fn smallrye(topic: &str, value: &str, origin: &str) -> Outgoing {
    Outgoing::to(topic)
        .partition(0)
        .timestamp(SENT)
        .value(value)
        .header("dead-letter-exception-class-name", "com.example.Refused")
        .header("dead-letter-reason", "refused")
        .header("dead-letter-topic", origin)
        .header("dead-letter-partition", "0")
        .header("dead-letter-offset", "7")
}

fn connect(topic: &str, value: &str) -> Outgoing {
    let record = Outgoing::to(topic).partition(0).timestamp(SENT).value(value);
    record
        .header("__connect.errors.topic", "invoices")
        .header("__connect.errors.connector.name", "warehouse")
        .header("__connect.errors.exception.class.name", "org.apache.kafka.connect.errors.DataException")
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog_is_what_was_there_before_and_what_appears_is_not() {
    let kafka = kafka::shared();
    let (stem, letter) = (kafka::unique("facts"), |topic: &str, value: &str| Outgoing::to(topic).partition(0).value(value));
    let (before, late, turned) = (format!("{stem}-before-lost"), format!("{stem}-late-lost"), format!("{stem}-turned"));
    for topic in [&before, &turned] {
        kafka.create_topic(topic, 1, &[]).await;
    }
    kafka.produce(&[letter(&before, "was there"), letter(&turned, "no dead letter yet")]).await;
    let section = super::only_topics(&format!("{stem}-*-lost"));
    let mut scene = Scene::on_sqlite(&kafka.bootstrap(), &section, Setup::new()).await;
    scene.until_stored(1).await;
    kafka.create_topic(&late, 1, &[]).await;
    kafka.produce(&[letter(&before, "came later"), letter(&late, "on a new topic")]).await;
    scene.until_stored(3).await;
    assert!(scene.redrive.stop().await.success());

    // The configuration changes: another topic, known already, is now a dead-letter topic.
    scene.redrive.set_environment("REDRIVE__BUS__0__DEAD_LETTERS__TOPICS", Some(&turned));
    scene.redrive.start().await;
    scene.until_stored(4).await;
    kafka.produce(&[letter(&turned, "after it turned")]).await;
    scene.until_stored(5).await;
    let mut backlog = Vec::new();
    for value in ["was there", "came later", "on a new topic", "no dead letter yet", "after it turned"] {
        backlog.push(find(&scene, value).await.summary.backlog);
    }
    assert_eq!(backlog, [true, false, false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_and_the_consumer_group_say_where_they_come_from_and_a_large_record_what_is_missing() {
    let kafka = kafka::shared();
    let (topic, origin, shared) = (kafka::unique("known-lost"), kafka::unique("shipments"), kafka::unique("read-by-two"));
    let group = kafka::unique("shipper");
    for topic in [&topic, &origin, &shared] {
        kafka.create_topic(topic, 1, &[]).await;
    }
    kafka.produce(&[Outgoing::to(&origin).partition(0).value("a"), Outgoing::to(&origin).partition(0).value("b")]).await;
    kafka.commit(&group, &[(&origin, 0, 1), (&shared, 0, 0)]).await;
    kafka.commit(&kafka::unique("other"), &[(&shared, 0, 0)]).await;
    kafka.commit(&kafka::unique("redrive-index"), &[(&origin, 0, 0)]).await;
    kafka
        .produce(&[
            smallrye(&topic, "one reader", &origin),
            smallrye(&topic, "two readers", &shared),
            connect(&topic, "by a connector"),
            Outgoing::to(&topic).partition(0).value("x".repeat(200_000)).header("kept", "no"),
            Outgoing::to(&topic).partition(0).timestamp(SENT).value("the next"),
        ])
        .await;
    kafka.produce_raw_header_names(&topic, 0, b"odd names", &[(b"\xff\xfe", Some(b"v")), (b"ok", None)]).await;
    let setup = Setup::new().tables("[custody]\nmax_record_bytes = \"64KiB\"");
    let mut scene = Scene::on_sqlite(&kafka.bootstrap(), &super::only_topics(&topic), setup).await;
    scene.until_stored(6).await;

    let one = find(&scene, "one reader").await.summary;
    assert_eq!(
        (one.consumer_group, one.consumer_group_inferred),
        (Some(GroupName::new(group.as_str())), true),
        "our own groups do not count"
    );
    assert_eq!((one.failed_at.as_millis(), one.failed_at_source), (SENT, FailedAtSource::Record));
    let two = find(&scene, "two readers").await.summary;
    assert_eq!((two.consumer_group, two.consumer_group_inferred), (None, false));
    let connect = find(&scene, "by a connector").await.summary;
    assert_eq!((connect.consumer_group, connect.consumer_group_inferred), (Some("connect-warehouse".into()), false));
    assert_eq!(connect.failed_at_source, FailedAtSource::Indexed, "its timestamp is the source record's");
    find(&scene, "the next").await;

    let letters = ledger::all(&scene.store).await;
    let large = letters.iter().find(|letter| letter.summary.custody_problem.is_some()).expect("the large one is stored");
    assert_eq!((&large.value, large.headers.len()), (&None, 0));
    assert!(large.summary.custody_problem.as_ref().is_some_and(|words| words.contains("max_record_bytes")), "{large:?}");
    let odd = find(&scene, "odd names").await;
    let names: Vec<&[u8]> = odd.headers.iter().map(|header| header.name.as_ref()).collect();
    assert_eq!(names, [b"\xff\xfe".as_slice(), b"ok"]);

    let groups = scene.store.list_consumer_groups(&"prod".into(), None, Some(&origin)).await.expect("groups are listed");
    let groups: Vec<_> = groups.into_iter().map(|group| (group.name.to_string(), group.state)).collect();
    assert_eq!(groups, [(group.clone(), "Empty".to_owned())]);
    let stored = scene.store.find_consumer_group(&"prod".into(), &group.as_str().into()).await.expect("readable").expect("known");
    let lag: Vec<_> = stored.offsets.iter().filter(|o| o.topic.as_str() == origin).map(|o| (o.committed, o.lag_messages())).collect();
    assert_eq!(lag, [(Some(1), Some(1))]);
}
