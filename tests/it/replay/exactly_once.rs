//! Nothing lost, nothing twice: the process dies at the exact moment, and goes on.

use serde_json::json;

use super::super::harness::kafka::native::{Operation, Resource};
use super::super::harness::kafka::{self, Kafka, Options};
use super::super::harness::redrive::{Redrive, Setup, ended_by_signal};
use super::scene::{PATIENCE, Scene, act, find, start, until};

/// Plans, starts, dies at a failpoint, goes on, and compares.
async fn dies_and_goes_on(kafka: &Kafka, failpoint: &str, keys: usize, each: usize) {
    let mut scene = Scene::new(kafka, 6).await;
    scene.fail(kafka, keys, each).await;
    let mut redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, keys * each).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    assert_eq!((plan["state"].as_str(), plan["waiting"].as_u64()), (Some("planned"), Some((keys * each) as u64)), "{plan}");
    redrive.stop().await;
    redrive.set_environment("REDRIVE_FAILPOINT", Some(failpoint));
    redrive.start().await;
    start(&redrive, &plan).await;
    let status = redrive.wait_for_exit(PATIENCE).await;
    assert!(ended_by_signal(status, 9), "{failpoint}: {status}");
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    finish(&redrive, &plan, &scene, keys * each).await;
    scene.compare(kafka);
}

async fn finish(redrive: &Redrive, plan: &serde_json::Value, scene: &Scene, count: usize) {
    let done = until(redrive, plan, "the replay is completed", |replay| replay["state"] == "completed").await;
    assert_eq!(done["sent_total"].as_u64(), Some(count as u64), "{done}");
    assert_eq!(done["waiting"].as_u64(), Some(0), "{done}");
    assert_eq!(scene.ledger.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_after_its_attempt_is_stored() {
    dies_and_goes_on(kafka::shared(), "replay.attempt_stored=2", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_in_the_middle_of_sending() {
    dies_and_goes_on(kafka::shared(), "replay.sending=2", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_before_the_commit() {
    dies_and_goes_on(kafka::shared(), "replay.before_commit=2", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_after_the_commit() {
    dies_and_goes_on(kafka::shared(), "replay.after_commit=2", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_before_its_items_are_marked() {
    dies_and_goes_on(kafka::shared(), "replay.before_mark=1", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_dies_after_its_group_was_deleted() {
    dies_and_goes_on(kafka::shared(), "replay.group_deleted=1", 50, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_go_through_kills_at_random_moments() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 6).await;
    scene.fail(kafka, 500, 20).await;
    let mut redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 10_000).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 1500 })).await;
    start(&redrive, &plan).await;
    let mut killed = 0;
    for (number, below) in [500_u64, 2_500, 5_500, 8_000].into_iter().enumerate() {
        let moved =
            until(&redrive, &plan, "it goes on", |replay| replay["sent_total"].as_u64() > Some(below) || replay["state"] == "completed")
                .await;
        if moved["state"] == "completed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(37 * (number as u64 + 1))).await;
        redrive.kill().await;
        killed += 1;
        redrive.start().await;
    }
    assert!(killed >= 2, "it was killed while it sent");
    finish(&redrive, &plan, &scene, 10_000).await;
    scene.compare(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_that_the_bus_has_forgotten_is_found_on_the_target() {
    let options = Options {
        properties: vec![
            ("offsets.retention.minutes".to_owned(), "1".to_owned()),
            ("offsets.retention.check.interval.ms".to_owned(), "1000".to_owned()),
        ],
        ..Options::default()
    };
    let kafka = Kafka::start(&options);
    tokio::join!(forgotten(&kafka, "replay.after_commit=2"), forgotten(&kafka, "replay.before_commit=2"));
}

/// Dies at a failpoint, and goes on when the bus has forgotten how far it came.
async fn forgotten(kafka: &Kafka, failpoint: &str) {
    let mut scene = Scene::new(kafka, 3).await;
    scene.fail(kafka, 30, 50).await;
    let mut redrive = scene.setup(kafka, Setup::new()).environment("REDRIVE_FAILPOINT", failpoint).start().await;
    scene.until_indexed(&redrive, 1_500).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, 9));
    // Longer than the retention of offsets: the job's group is empty since the process died.
    tokio::time::sleep(std::time::Duration::from_secs(75)).await;
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    finish(&redrive, &plan, &scene, 1_500).await;
    scene.compare(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_asked_for_while_nobody_sends_ends_the_job_and_what_waits_is_open_again() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 4).await;
    scene.fail(kafka, 40, 50).await;
    let mut redrive = scene.setup(kafka, Setup::new()).environment("REDRIVE_FAILPOINT", "replay.after_commit=1").start().await;
    scene.until_indexed(&redrive, 2_000).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 100 })).await;
    start(&redrive, &plan).await;
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, 9));
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let (status, answer) = act(&redrive, &plan, "cancel", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let ended = until(&redrive, &plan, "it is cancelled", |replay| replay["state"] == "cancelled").await;
    let sent = super::scene::read(kafka, &scene.origin, scene.partitions, "read_committed").len() as u64;
    assert!(sent >= 1, "the batch in flight was committed");
    assert_eq!(ended["sent_total"].as_u64(), Some(sent), "what was sent is known: {ended}");
    assert_eq!(ended["skipped"].as_u64(), Some(2_000 - sent), "{ended}");
    scene.until_indexed(&redrive, usize::try_from(2_000 - sent).expect("few")).await;
    let found = find(&redrive, &plan).await.expect("an answer");
    assert_eq!(found["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_frozen_past_its_lease_sends_nothing_when_it_wakes() {
    let kafka = kafka::shared();
    let database = super::super::harness::postgres::database().await;
    let url = database.url();
    let mut scene = Scene::new(kafka, 4).await;
    scene.fail(kafka, 40, 50).await;
    let first = scene.setup(kafka, Setup::new().store(url)).environment("REDRIVE_FAILPOINT", "replay.before_commit=2:stop").start().await;
    scene.until_indexed(&first, 2_000).await;
    let plan = scene.plan(&first, &json!({})).await;
    start(&first, &plan).await;
    let second = scene.setup(kafka, Setup::new().store(url)).start().await;
    finish(&second, &plan, &scene, 2_000).await;
    first.signal("CONT");
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let after = until(&second, &plan, "it stays completed", |replay| replay["state"] == "completed").await;
    assert_eq!(after["sent_total"].as_u64(), Some(2_000), "{after}");
    scene.compare(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_in_the_middle_costs_time_and_nothing_else() {
    let kafka = Kafka::start(&Options::default());
    let mut scene = Scene::new(&kafka, 3).await;
    scene.fail(&kafka, 30, 50).await;
    let redrive = scene.setup(&kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 1_500).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 100 })).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "something was sent", |replay| replay["sent_total"].as_u64() > Some(100)).await;
    kafka.kill();
    let waits = until(&redrive, &plan, "it waits for the bus", |replay| replay["state"] == "paused").await;
    assert_eq!(waits["state_reason"], "bus_unreachable", "{waits}");
    kafka.start_again();
    finish(&redrive, &plan, &scene, 1_500).await;
    scene.compare(&kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_does_not_allow_is_said_by_the_plan_and_nothing_is_sent() {
    let options = Options { sasl_users: vec![("narrow".to_owned(), "narrow-secret".to_owned())], ..Options::default() };
    let kafka = Kafka::start(&options);
    let mut scene = Scene::new(&kafka, 2).await;
    scene.fail(&kafka, 4, 5).await;
    for topic in [&scene.dead_letters, &scene.origin] {
        kafka.allow("narrow", Operation::Read, Resource::Topic(topic));
        kafka.allow("narrow", Operation::DescribeConfigs, Resource::Topic(topic));
    }
    kafka.allow("narrow", Operation::Read, Resource::Group("*"));
    let login = "[bus.client]\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanisms\" = \"PLAIN\"\n\
                 \"sasl.username\" = \"narrow\"\n\"sasl.password\" = \"narrow-secret\"\n";
    let lines = format!("{}{login}", super::scene::section(&[&scene.dead_letters]));
    let redrive = Setup::new().without_login().bus_with("prod", &kafka.sasl_bootstrap(), &lines).start().await;
    scene.until_indexed(&redrive, 20).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    let blocked = plan["checks"].as_array().unwrap().iter().filter(|check| check["level"] == "blocked");
    let blocked: Vec<&str> = blocked.filter_map(|check| check["code"].as_str()).collect();
    assert!(blocked.contains(&"permission"), "{plan}");
    let (status, answer) = act(&redrive, &plan, "start", &json!({})).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("blocked")), "{answer}");
    assert_eq!(super::scene::read(&kafka, &scene.origin, 2, "read_uncommitted").len(), 0);
}
