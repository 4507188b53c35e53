//! Outcomes by detours: offsets that are moved back, retry topics in between, indexing that is held up, a dead-letter topic that cannot be
//! read. Never resolved too early, never a lost link.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::{Value, json};

use super::super::harness::kafka::native::{Operation, Resource};
use super::super::harness::kafka::{self, Kafka, Outgoing, unique};
use super::super::harness::redrive::{Redrive, Setup};
use super::outcome::{Service, Temper};
use super::scene::{Scene, find, get, spring, start, until};
use super::trouble::{logged_in, with_rules};

/// The settle time is a minute at least; nothing is resolved before.
const SETTLED: Duration = Duration::from_secs(60);

async fn items(redrive: &Redrive, replay: &Value, result: &str) -> Vec<Value> {
    let path = format!("/api/v1/replays/{}/items?result={result}", replay["id"].as_str().expect("an id"));
    get(redrive, &path).await["items"].as_array().expect("items").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_moved_forward_and_then_back_are_consumed_only_when_they_are_read() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 2, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 4).await;
    kafka.commit(&scene.group, &[(&scene.origin, 0, 0)]).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "all are sent", |replay| replay["sent"].as_u64() == Some(4)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    kafka.commit(&scene.group, &[(&scene.origin, 0, kafka.watermarks(&scene.origin, 0).await.1)]).await;
    until(&redrive, &plan, "nobody can tell", |replay| replay["unknown"].as_u64() == Some(4)).await;
    kafka.commit(&scene.group, &[(&scene.origin, 0, 0)]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(find(&redrive, &plan).await.expect("an answer")["unknown"].as_u64(), Some(4), "moved back is not read");
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
    let begun = Instant::now();
    until(&redrive, &plan, "they are read", |replay| replay["consumed"].as_u64() == Some(4)).await;
    until(&redrive, &plan, "they are resolved", |replay| replay["resolved"].as_u64() == Some(4)).await;
    assert!(begun.elapsed() >= SETTLED, "{:?}", begun.elapsed());
    drop(service);
}

/// A service that sends what fails to its retry topic, and from there to the dead-letter topic, each hop with the headers so far.
fn run_with_retries(kafka: &'static Kafka, scene: &Scene, retries: &str, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", &scene.group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&scene.origin, retries]).expect("a subscription");
    let (origin, dead_letters, group, retries) =
        (scene.origin.clone(), scene.dead_letters.clone(), scene.group.clone(), retries.to_owned());
    let (stop, runtime) = (Arc::clone(stop), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let first = message.topic() == origin;
            let mut next = Outgoing::to(if first { retries.as_str() } else { dead_letters.as_str() }).partition(0);
            next.key = message.key().map(<[u8]>::to_vec);
            next.value = message.payload().map(<[u8]>::to_vec);
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            next.headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
            let next = if first {
                next.header("kafka_original-topic", origin.as_str())
                    .header("kafka_original-partition", message.partition().to_be_bytes().to_vec())
                    .header("kafka_original-offset", message.offset().to_be_bytes().to_vec())
                    .header("retry_topic-attempts", 2_i32.to_be_bytes().to_vec())
            } else {
                std::thread::sleep(Duration::from_secs(2));
                spring(next, &retries, message.partition(), message.offset(), &group)
            };
            runtime.block_on(kafka.produce(&[next]));
            consumer.commit_message(&message, CommitMode::Sync).expect("a commit");
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_back_through_a_retry_topic_has_failed_again() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 3, 1).await;
    let retries = format!("{}-retry-0", scene.origin);
    kafka.create_topic(&retries, 1, &[]).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let service = run_with_retries(kafka, &scene, &retries, &stop);
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    let back = until(&redrive, &plan, "all have come back", |replay| replay["failed_again"].as_u64() == Some(3)).await;
    assert_eq!((back["resolved"].as_u64(), back["consumed"].as_u64()), (Some(0), Some(0)), "{back}");
    for item in items(&redrive, &plan, "failed_again").await {
        let successor = get(&redrive, &format!("/api/v1/dead-letters/{}", item["successor_id"].as_str().expect("a link"))).await;
        assert_eq!(successor["status"], "open", "{successor}");
    }
    stop.store(true, Ordering::Relaxed);
    service.join().expect("the service ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_resolved_while_indexing_is_held_up_and_what_comes_then_is_linked() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 2, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 4).await;
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "all are consumed", |replay| replay["consumed"].as_u64() == Some(4)).await;
    // One message has failed, and the transaction that says so is not committed: nobody can read past it.
    let sent = super::scene::read(kafka, &scene.origin, 1, "read_committed").remove(0);
    let mut letter = Outgoing::to(scene.dead_letters.as_str()).partition(0).key("held up").value("held up");
    letter.headers = vec![
        ("redrive-message-id".to_owned(), Some(sent.message_id.clone().into_bytes())),
        ("redrive-attempt".to_owned(), Some(b"1".to_vec())),
    ];
    let letter = spring(letter, &scene.origin, sent.known.partition, sent.offset, &scene.group);
    let open = kafka.begin_transaction(&unique("tx"), &[letter]).await;
    tokio::time::sleep(SETTLED + Duration::from_secs(12)).await;
    let waits = find(&redrive, &plan).await.expect("an answer");
    assert_eq!(
        (waits["resolved"].as_u64(), waits["consumed"].as_u64()),
        (Some(0), Some(4)),
        "the settle time alone is not enough: {waits}"
    );
    open.commit().await;
    let done = until(&redrive, &plan, "it is decided", |replay| replay["resolved"].as_u64() == Some(3)).await;
    assert_eq!(done["failed_again"].as_u64(), Some(1), "{done}");
    let failed = items(&redrive, &plan, "failed_again").await;
    assert_eq!(failed[0]["message_id"].as_str(), Some(sent.message_id.as_str()), "{failed:?}");
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_that_cannot_be_read_is_named_until_it_can() {
    let kafka = with_rules().await;
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 2, 2).await;
    let redrive = logged_in(kafka, &scene).await;
    scene.until_indexed(&redrive, 4).await;
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "all are consumed", |replay| replay["consumed"].as_u64() == Some(4)).await;
    kafka.forbid("redrive", Operation::Read, Resource::Topic(&scene.dead_letters));
    // A fetch that was allowed before is answered yet.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Something arrives that cannot be read: it may be one of those.
    let other =
        spring(Outgoing::to(scene.dead_letters.as_str()).partition(0).key("other").value("other"), &scene.origin, 0, 5, &scene.group);
    kafka.produce(&[other]).await;
    until(&redrive, &plan, "nobody can tell", |replay| replay["unknown"].as_u64() == Some(4)).await;
    for item in items(&redrive, &plan, "unknown").await {
        assert!(item["reason"].as_str().is_some_and(|reason| reason.contains(&scene.dead_letters)), "the topic is named: {item}");
    }
    kafka.permit("redrive", Operation::Read, Resource::Topic(&scene.dead_letters));
    let done = until(&redrive, &plan, "it can be told", |replay| replay["resolved"].as_u64() == Some(4)).await;
    assert_eq!(done["unknown"].as_u64(), Some(0), "{done}");
    drop(service);
}
