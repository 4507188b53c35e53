//! What goes wrong in the middle of a replay: a right that is taken away, a store that is full, read-only or gone, two people at once.
//! Each has a state and a sentence; nothing is lost, nothing is sent twice, and it goes on.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::harness::kafka::native::{Operation, Resource};
use super::super::harness::kafka::{self, Kafka, Options, Outgoing};
use super::super::harness::postgres;
use super::super::harness::redrive::{Redrive, Setup};
use super::control::noise;
use super::scene::{PATIENCE, Scene, act, find, get, section, start, try_get, until};

/// A broker with rules, on which the user `redrive` may do everything that a replay needs.
pub(super) async fn with_rules() -> &'static Kafka {
    let options = Options { sasl_users: vec![("redrive".to_owned(), "redrive-secret".to_owned())], ..Options::default() };
    let start = move || {
        let kafka: &'static Kafka = Box::leak(Box::new(Kafka::start(&options)));
        for operation in [Operation::Read, Operation::Write, Operation::Describe, Operation::DescribeConfigs, Operation::Delete] {
            for resource in [Resource::Topic("*"), Resource::Group("*"), Resource::TransactionalId("*")] {
                let fits = match resource {
                    Resource::Topic(_) => true,
                    Resource::Group(_) => matches!(operation, Operation::Read | Operation::Describe | Operation::Delete),
                    _ => matches!(operation, Operation::Write | Operation::Describe),
                };
                if fits {
                    kafka.allow("redrive", operation, resource);
                }
            }
        }
        kafka
    };
    tokio::task::spawn_blocking(start).await.expect("it starts")
}

/// A Redrive that logs in there as `redrive`.
pub(super) async fn logged_in(kafka: &Kafka, scene: &Scene) -> Redrive {
    let login = "[bus.client]\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanisms\" = \"PLAIN\"\n\
                 \"sasl.username\" = \"redrive\"\n\"sasl.password\" = \"redrive-secret\"\n";
    let lines = format!("{}{login}", section(&[&scene.dead_letters]));
    Setup::new().without_login().bus_with("prod", &kafka.sasl_bootstrap(), &lines).start().await
}

async fn some_sent(redrive: &Redrive, plan: &Value) {
    until(redrive, plan, "some are sent", |replay| replay["sent_total"].as_u64() > Some(50)).await;
}

async fn completed(redrive: &Redrive, plan: &Value, count: u64) {
    let done = until(redrive, plan, "it is completed", |replay| replay["state"] == "completed").await;
    assert_eq!((done["sent_total"].as_u64(), done["waiting"].as_u64(), done["failed"].as_u64()), (Some(count), Some(0), Some(0)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_in_the_middle_pauses_the_replay_until_it_is_resumed() {
    let kafka = with_rules().await;
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 20, 20).await;
    let redrive = logged_in(kafka, &scene).await;
    scene.until_indexed(&redrive, 400).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 30 })).await;
    start(&redrive, &plan).await;
    some_sent(&redrive, &plan).await;
    kafka.forbid("redrive", Operation::Write, Resource::Topic(&scene.origin));
    let paused = until(&redrive, &plan, "it is paused", |replay| replay["state"] == "paused").await;
    assert_eq!(paused["state_reason"], "permission_denied", "{paused}");
    let text = paused["state_text"].as_str().expect("a sentence");
    assert!(text.contains("WRITE") && text.contains(&scene.origin), "{text}");
    assert_eq!(paused["failed"], 0, "no message is blamed: {paused}");
    let (status, resumed) = act(&redrive, &plan, "resume", &json!({})).await;
    assert_eq!(status, 200, "{resumed}");
    until(&redrive, &plan, "it is still forbidden", |replay| replay["state"] == "paused").await;
    kafka.permit("redrive", Operation::Write, Resource::Topic(&scene.origin));
    tokio::time::sleep(Duration::from_secs(2)).await;
    act(&redrive, &plan, "resume", &json!({})).await;
    completed(&redrive, &plan, 400).await;
    tokio::task::spawn_blocking(move || scene.compare(kafka)).await.expect("it agrees with the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_pauses_a_replay_and_it_goes_on_by_itself_when_there_is_room() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 20, 20).await;
    // Other dead letters fill the store, with bytes that no compression makes smaller.
    let other = kafka.topic("filler-lost", 1, &[]).await;
    let filler: Vec<Outgoing> = (0..80).map(|_| Outgoing::to(&other).partition(0).value(noise(900_000))).collect();
    for some in filler.chunks(20) {
        kafka.produce(some).await;
    }
    let lines = section(&[&scene.dead_letters, &other]);
    let mut redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &lines).start().await;
    scene.until_indexed(&redrive, 400).await;
    let path = format!("/api/v1/dead-letters?topic={other}&limit=100");
    let all = async || try_get(&redrive, &path).await.is_some_and(|list| list["items"].as_array().is_some_and(|items| items.len() == 80));
    redrive.wait_until("the store is filled", PATIENCE, all).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    redrive.stop().await;
    redrive.set_environment("REDRIVE__RETENTION__STORE_MAX_BYTES", Some("64MiB"));
    redrive.start().await;
    start(&redrive, &plan).await;
    let paused = until(&redrive, &plan, "it is paused", |replay| replay["state"] == "paused").await;
    assert_eq!((paused["state_reason"].as_str(), paused["sent_total"].as_u64()), (Some("store_full"), Some(0)), "{paused}");
    redrive.stop().await;
    redrive.set_environment("REDRIVE__RETENTION__STORE_MAX_BYTES", Some("1GiB"));
    redrive.start().await;
    completed(&redrive, &plan, 400).await;
    scene.compare(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_read_only_or_gone_in_the_middle_loses_and_doubles_nothing() {
    let (kafka, database) = (kafka::shared(), postgres::database().await);
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 20, 50).await;
    let redrive = scene.setup(kafka, Setup::new().store(database.url())).start().await;
    scene.until_indexed(&redrive, 1_000).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 100 })).await;
    start(&redrive, &plan).await;
    some_sent(&redrive, &plan).await;
    database.set_read_only(true).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    database.set_read_only(false).await;
    let before = until(&redrive, &plan, "it goes on", |replay| replay["sent_total"].as_u64() > Some(300)).await;
    database.set_reachable(false).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    database.set_reachable(true).await;
    completed(&redrive, &plan, 1_000).await;
    assert_eq!(before["failed"], 0, "{before}");
    scene.compare(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn impatient_people_start_a_plan_once_and_two_plans_send_each_message_once() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 10, 20).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 200).await;
    let (one, two) = (scene.plan(&redrive, &json!({})).await, scene.plan(&redrive, &json!({})).await);
    let accept: Vec<&Value> =
        one["checks"].as_array().expect("checks").iter().filter(|check| check["level"] == "warning").map(|check| &check["code"]).collect();
    let body = json!({ "accept": accept });
    let clicks =
        futures::future::join_all((0..8).map(|click| act(&redrive, if click % 2 == 0 { &one } else { &two }, "start", &body))).await;
    let started = clicks.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(started, 2, "each plan is started once: {clicks:?}");
    assert!(clicks.iter().all(|(status, answer)| *status == 200 || (*status == 409 && answer["code"] == "wrong_state")), "{clicks:?}");
    for plan in [&one, &two] {
        until(&redrive, plan, "it has ended", |replay| replay["state"] == "completed").await;
    }
    let sent = |replay: &Value| replay["sent_total"].as_u64().expect("a number");
    let (one, two) = (find(&redrive, &one).await.expect("one"), find(&redrive, &two).await.expect("two"));
    assert_eq!(sent(&one) + sent(&two), 200, "{one} {two}");
    assert_eq!(one["skipped"].as_u64().expect("a number") + two["skipped"].as_u64().expect("a number"), 200, "the other's are skipped");
    scene.compare(kafka);
    let audit = get(&redrive, "/api/v1/audit?action=replays.start").await;
    assert_eq!(audit["items"].as_array().expect("items").len(), 2, "{audit}");
}
