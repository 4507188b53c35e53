//! What becomes of what was sent, on real consumer groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde_json::{Value, json};

use super::super::harness::kafka::{self, Kafka, Outgoing};
use super::super::harness::redrive::Setup;
use super::scene::{Scene, act, find, get, spring, start, until};

/// How a service treats what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Processes it.
    Fine,
    /// Dead-letters it with all of its headers.
    FailsWithHeaders,
    /// Dead-letters it with none of them.
    FailsBare,
    /// Dead-letters messages of this key with all of their headers when they are replayed for the first time.
    FailsFirstReplayOf(&'static str),
}

impl Temper {
    fn fails(self, message: &BorrowedMessage<'_>) -> bool {
        let Self::FailsFirstReplayOf(key) = self else { return true };
        let mut headers = message.headers().into_iter().flat_map(Headers::iter);
        message.key() == Some(key.as_bytes()) && headers.any(|header| header.key == "redrive-attempt" && header.value == Some(b"1"))
    }
}

/// A service with a consumer group of its own, as other people write it.
pub(crate) struct Service {
    stop: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) fn run(kafka: &'static Kafka, scene: &Scene, group: &str, temper: Temper) -> Self {
        let (stop, fails) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(temper != Temper::Fine)));
        let consumer: BaseConsumer = kafka
            .client()
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[&scene.origin]).expect("a subscription");
        let (origin, dead_letters, group) = (scene.origin.clone(), scene.dead_letters.clone(), group.to_owned());
        let (stopped, failing) = (Arc::clone(&stop), Arc::clone(&fails));
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                if failing.load(Ordering::Relaxed) && temper.fails(&message) {
                    let mut letter = Outgoing::to(dead_letters.as_str()).partition(message.partition());
                    letter.key = message.key().map(<[u8]>::to_vec);
                    letter.value = message.payload().map(<[u8]>::to_vec);
                    if temper != Temper::FailsBare {
                        let headers = message.headers().into_iter().flat_map(Headers::iter);
                        letter.headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
                    }
                    let letter = spring(letter, &origin, message.partition(), message.offset(), &group);
                    runtime.block_on(kafka.produce(&[letter]));
                }
                consumer.commit_message(&message, CommitMode::Sync).expect("a commit");
            }
        });
        Self { stop, fails, thread: Some(thread) }
    }

    /// From now on it processes everything.
    pub(crate) fn mend(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn statuses(redrive: &super::super::harness::redrive::Redrive, scene: &Scene, status: &str) -> u64 {
    let list = get(redrive, &format!("/api/v1/dead-letters?bus=prod&topic={}&status={status}&limit=1000", scene.dead_letters)).await;
    list["items"].as_array().expect("items").len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn processed_messages_are_resolved_after_the_settle_time_and_a_later_failure_takes_it_back() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 6, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 12).await;
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    let begun = Instant::now();
    until(&redrive, &plan, "all are consumed", |replay| replay["consumed"].as_u64() == Some(12)).await;
    let early = begun.elapsed();
    assert!(early < Duration::from_secs(45), "{early:?}");
    assert_eq!(statuses(&redrive, &scene, "resolved").await, 0, "nothing is resolved before the settle time");
    until(&redrive, &plan, "all are resolved", |replay| replay["resolved"].as_u64() == Some(12)).await;
    assert!(begun.elapsed() >= Duration::from_secs(60), "not before the settle time: {:?}", begun.elapsed());
    assert_eq!(statuses(&redrive, &scene, "resolved").await, 12);
    // Long after: one of them comes back, with its headers.
    let sent = super::scene::read(kafka, &scene.origin, 2, "read_committed").remove(0);
    let mut letter = Outgoing::to(scene.dead_letters.as_str()).partition(0).key("late").value("late");
    letter.headers = vec![
        ("redrive-message-id".to_owned(), Some(sent.message_id.into_bytes())),
        ("redrive-attempt".to_owned(), Some(b"1".to_vec())),
        ("redrive-replay-id".to_owned(), Some(plan["id"].as_str().unwrap().as_bytes().to_vec())),
    ];
    kafka.produce(&[spring(letter, &scene.origin, sent.known.partition, sent.offset, &scene.group)]).await;
    let taken = until(&redrive, &plan, "it is taken back", |replay| replay["failed_again"].as_u64() == Some(1)).await;
    assert_eq!(taken["resolved"].as_u64(), Some(11), "{taken}");
    assert_eq!((statuses(&redrive, &scene, "failed_again").await, statuses(&redrive, &scene, "open").await), (1, 1));
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_stops_a_replay_whose_messages_fail_again_with_and_without_headers() {
    let kafka = kafka::shared();
    for temper in [Temper::FailsWithHeaders, Temper::FailsBare] {
        let mut scene = Scene::new(kafka, 2).await;
        scene.fail(kafka, 10, 5).await;
        let redrive = scene.setup(kafka, Setup::new()).start().await;
        scene.until_indexed(&redrive, 50).await;
        let service = Service::run(kafka, &scene, &scene.group.clone(), temper);
        let plan = scene.plan(&redrive, &json!({"canary": {"count": 5, "settle": "3s"}})).await;
        start(&redrive, &plan).await;
        let stopped = until(&redrive, &plan, "the canary stops it", |replay| replay["state"] == "paused").await;
        assert_eq!(
            (stopped["state_reason"].as_str(), stopped["sent_total"].as_u64()),
            (Some("failed_again_limit"), Some(5)),
            "{temper:?} {stopped}"
        );
        let all = until(&redrive, &plan, "every failure is linked", |replay| replay["failed_again"].as_u64() == Some(5)).await;
        assert_eq!(all["waiting"].as_u64(), Some(45), "{all}");
        let items = get(&redrive, &format!("/api/v1/replays/{}/items?result=failed_again", plan["id"].as_str().unwrap())).await;
        for item in items["items"].as_array().unwrap() {
            let successor = get(&redrive, &format!("/api/v1/dead-letters/{}", item["successor_id"].as_str().expect("a link"))).await;
            assert_eq!(successor["status"], "open");
            assert_eq!(successor["origin"]["offset"], item["offset"], "{temper:?}");
        }
        // The fix is deployed; the rest goes out, and what came back is replayed as the second attempt of the same message.
        service.mend();
        let (status, resumed) = act(&redrive, &plan, "resume", &json!({})).await;
        assert_eq!(status, 200, "{resumed}");
        until(&redrive, &plan, "the rest is sent", |replay| replay["state"] == "completed").await;
        let again = scene.plan(&redrive, &json!({})).await;
        assert_eq!(again["waiting"].as_u64(), Some(5), "{temper:?} {again}");
        start(&redrive, &again).await;
        until(&redrive, &again, "they are sent again", |replay| replay["state"] == "completed").await;
        let seen = super::scene::read(kafka, &scene.origin, 2, "read_committed");
        let second: Vec<_> = seen.iter().filter(|seen| seen.attempt == "2").collect();
        assert_eq!((seen.len(), second.len()), (55, 5), "{temper:?}");
        for message in second {
            assert!(seen.iter().any(|first| first.attempt == "1" && first.message_id == message.message_id), "{temper:?}: the id is kept");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_are_moved_past_a_message_are_not_taken_for_reading_it() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 3, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 6).await;
    kafka.commit(&scene.group, &[(&scene.origin, 0, 0)]).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "all are sent", |replay| replay["sent"].as_u64() == Some(6)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let end = kafka.watermarks(&scene.origin, 0).await.1;
    kafka.commit(&scene.group, &[(&scene.origin, 0, end)]).await;
    let moved = until(&redrive, &plan, "nobody can tell", |replay| replay["unknown"].as_u64() == Some(6)).await;
    assert_eq!(moved["consumed"].as_u64(), Some(0), "{moved}");
    let items = get(&redrive, &format!("/api/v1/replays/{}/items?result=unknown", plan["id"].as_str().unwrap())).await;
    assert!(items["items"][0]["reason"].as_str().is_some_and(|reason| reason.contains("no members")), "{items}");
}

/// A dead letter that tells where it came from, and not which group failed.
fn of_no_group(scene: &Scene, offset: i64) -> Outgoing {
    Outgoing::to(scene.dead_letters.as_str())
        .partition(0)
        .key("k")
        .value("v")
        .header("x-original-topic", scene.origin.as_str())
        .header("x-original-partition", 0_i32.to_be_bytes().to_vec())
        .header("x-original-offset", offset.to_be_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_waits_for_the_groups_that_are_known_beside_messages_of_none() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    // In the order of their origin: those of no group come first.
    kafka.produce(&[of_no_group(&scene, 1), of_no_group(&scene, 2)]).await;
    scene.fail(kafka, 5, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 12).await;
    let plan = scene.plan(&redrive, &json!({"canary": {"count": 4, "settle": "1s"}})).await;
    start(&redrive, &plan).await;
    let waits =
        |replay: &Value| replay["state_text"].as_str().is_some_and(|text| text.contains("2 of the first 4 messages are not consumed"));
    until(&redrive, &plan, "it waits for the two of the group", waits).await;
    // Longer than it takes to settle: time alone does not pass the canary.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let held = find(&redrive, &plan).await.expect("an answer");
    assert_eq!((held["sent_total"].as_u64(), held["state"].as_str()), (Some(4), Some("running")), "{held}");
    let _service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
    let done = until(&redrive, &plan, "the rest is sent", |replay| replay["state"] == "completed").await;
    assert_eq!(done["sent_total"].as_u64(), Some(12), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_group_a_message_is_sent_and_no_more_is_said() {
    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 1).await;
    kafka.produce(&[of_no_group(&scene, 5)]).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 1).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    let _service = Service::run(kafka, &scene, "somebody-else", Temper::Fine);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let found: Value = find(&redrive, &plan).await.expect("an answer");
    assert_eq!((found["sent"].as_u64(), found["consumed"].as_u64()), (Some(1), Some(0)), "{found}");
}
