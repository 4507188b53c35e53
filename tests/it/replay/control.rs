//! Pause, resume, rate, refusals, bad input, plans that change under their maker.

use serde_json::{Value, json};

use super::super::harness::kafka::{self, Outgoing, unique};
use super::super::harness::redrive::{Setup, http};
use super::scene::{Known, Scene, act, find, get, post, read, spring, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_paused_slowed_and_resumed() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 3).await;
    scene.fail(kafka, 30, 20).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 600).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 20 })).await;
    let started = start(&redrive, &plan).await;
    assert_eq!(started["state"], "running");
    until(&redrive, &plan, "something was sent", |replay| replay["sent_total"].as_u64() > Some(0)).await;
    let asked = std::time::Instant::now();
    let (status, paused) = act(&redrive, &plan, "pause", &json!({})).await;
    assert_eq!((status, paused["state"].as_str(), paused["state_reason"].as_str()), (200, Some("paused"), Some("by_person")), "{paused}");
    assert!(asked.elapsed().as_secs_f64() < 2.5, "{:?}", asked.elapsed());
    let sent = paused["sent_total"].as_u64().expect("a number");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let still = find(&redrive, &plan).await.expect("an answer");
    assert_eq!(still["sent_total"].as_u64(), Some(sent), "nothing is sent while it is paused");
    assert!(sent < 600);
    let (status, wrong) = act(&redrive, &plan, "pause", &json!({})).await;
    assert_eq!((status, wrong["code"].as_str()), (409, Some("wrong_state")), "{wrong}");
    let client = http();
    let patch = client.patch(redrive.url(&format!("/api/v1/replays/{}", plan["id"].as_str().unwrap()))).json(&json!({ "rate": 5000 }));
    assert_eq!(patch.send().await.unwrap().status(), 200);
    let (status, resumed) = act(&redrive, &plan, "resume", &json!({})).await;
    assert_eq!((status, resumed["state"].as_str()), (200, Some("running")), "{resumed}");
    until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    scene.compare(kafka);
}

/// Bytes that no compression makes smaller.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let next = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(|_| next(&mut state)).collect()
}

/// A message whose own header takes so many bytes.
fn with_header(key: &str, bytes: usize) -> Known {
    let headers = vec![("blob".to_owned(), Some(noise(bytes)))];
    Known { partition: 0, key: Some(key.as_bytes().to_vec()), value: Some(b"{}".to_vec()), headers }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_knows_what_is_too_large_by_the_headers_that_are_sent() {
    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 1).await;
    kafka.configure_topic(&scene.origin, &[("max.message.bytes", "20000")]).await;
    let mut traced = scene.dead_letter(&with_header("fits", 10_000), 101);
    // The framework's own header is not sent: it makes the dead letter large, and not the message.
    traced.headers.push(("kafka_dlt-exception-stacktrace".to_owned(), Some(noise(60_000))));
    kafka.produce(&[scene.dead_letter(&with_header("large", 20_000), 100), traced]).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 2).await;
    scene.until_limit_known(&redrive).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    assert_eq!((plan["waiting"].as_u64(), plan["skipped"].as_u64()), (Some(1), Some(1)), "{plan}");
    let checks = plan["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["code"] == "too_large").expect("it is checked");
    assert_eq!((check["level"].as_str(), check["count"].as_u64()), (Some("blocked"), Some(1)), "{check}");
    start(&redrive, &plan).await;
    let done = until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    assert_eq!((done["sent_total"].as_u64(), done["failed"].as_u64()), (Some(1), Some(0)), "{done}");
    assert_eq!(read(kafka, &scene.origin, 1, "read_committed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_broker_refuses_fails_alone_and_its_key_waits() {
    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 2).await;
    let big = |key: &str, bytes: usize, offset: i64| scene.dead_letter(&with_header(key, bytes), offset);
    let records: Vec<Outgoing> = (0..40)
        .map(|number| {
            let key = format!("k{}", number % 4);
            big(&key, if number == 9 { 30_000 } else { 10 }, 100 + number)
        })
        .collect();
    kafka.produce(&records).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 40).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    // The plan could not know.
    kafka.configure_topic(&scene.origin, &[("max.message.bytes", "20000")]).await;
    start(&redrive, &plan).await;
    let done = until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    // Number 9 has key k1; 13, 17, ... 37 follow it.
    assert_eq!((done["failed"].as_u64(), done["skipped"].as_u64(), done["sent_total"].as_u64()), (Some(1), Some(7), Some(32)), "{done}");
    let failed = get(&redrive, &format!("/api/v1/replays/{}/items?result=failed", plan["id"].as_str().unwrap())).await;
    assert!(failed["items"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed}");
    let skipped =
        get(&redrive, &format!("/api/v1/replays/{}/items?result=skipped&reason=after_failed", plan["id"].as_str().unwrap())).await;
    assert_eq!(skipped["items"].as_array().unwrap().len(), 7);
    assert_eq!(read(kafka, &scene.origin, 2, "read_committed").len(), 32);
    // Those that were not sent are open again.
    scene.until_indexed(&redrive, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 2, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 4).await;
    let filter = json!({"filter": {"bus": "prod", "topic": scene.dead_letters}});
    let cases: [(Value, u16, &str); 9] = [
        (json!({"selection": filter, "speed": 5}), 422, "unknown_field"),
        (json!({"selection": {"filter": {"bus": "prod", "colour": "red"}}}), 422, "unknown_field"),
        (json!({"selection": {"filter": {"bus": "prod", "topic": "no-such-topic"}}}), 422, "empty_selection"),
        (json!({"selection": {"filter": {"bus": ["prod", "other"]}}}), 422, "several_buses"),
        (json!({"selection": {"ids": []}}), 422, "empty_selection"),
        (json!({"selection": filter, "rate": 0}), 422, "invalid_field"),
        (json!({"selection": filter, "canary": {"count": 3, "settle": "soon"}}), 422, "invalid_field"),
        (json!({"selection": filter, "on_failed": "explode"}), 422, "invalid_field"),
        (json!({}), 422, "missing_field"),
    ];
    for (body, status, code) in cases {
        let (got, answer) = post(&redrive, "/api/v1/replays", &body).await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{body}: {answer}");
    }
    // A target that does not exist: everything is blocked, and nothing can be started.
    let plan = scene.plan(&redrive, &json!({ "target": unique("nowhere") })).await;
    assert_eq!((plan["waiting"].as_u64(), plan["skipped"].as_u64()), (Some(0), Some(4)), "{plan}");
    assert!(plan["checks"].as_array().unwrap().iter().any(|check| check["code"] == "target_missing" && check["level"] == "blocked"));
    let (status, answer) = act(&redrive, &plan, "start", &json!({})).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("nothing_to_send")), "{answer}");
    // Started twice, ended, deleted.
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    let (status, answer) = act(&redrive, &plan, "start", &json!({})).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("wrong_state")), "{answer}");
    until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    for verb in ["start", "pause", "resume", "cancel", "check"] {
        let (status, answer) = act(&redrive, &plan, verb, &json!({})).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("wrong_state")), "{verb}: {answer}");
    }
    let (status, _) = post(&redrive, "/api/v1/replays/00000000-0000-7000-8000-000000000000/start", &json!({})).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_skips_what_changed_and_refuses_a_target_that_began_again() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 4, 5).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 20).await;
    let (first, second) = (scene.plan(&redrive, &json!({})).await, scene.plan(&redrive, &json!({})).await);
    start(&redrive, &first).await;
    until(&redrive, &first, "the first is completed", |replay| replay["state"] == "completed").await;
    start(&redrive, &second).await;
    let done = until(&redrive, &second, "the second is completed", |replay| replay["state"] == "completed").await;
    assert_eq!((done["skipped"].as_u64(), done["sent_total"].as_u64()), (Some(20), Some(0)), "{done}");
    scene.compare(kafka);

    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 4, 5).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 20).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    kafka.delete_topic(&scene.origin).await;
    kafka.create_topic(&scene.origin, 2, &[]).await;
    start(&redrive, &plan).await;
    let paused = until(&redrive, &plan, "it stops", |replay| replay["state"] == "paused").await;
    assert_eq!(paused["state_reason"], "target_gone", "{paused}");
    assert_eq!(read(kafka, &scene.origin, 2, "read_uncommitted").len(), 0, "nothing was sent to another topic of the same name");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_dead_letters_of_one_record_the_newest_is_sent() {
    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 1).await;
    let letter = |value: &str, offset: i64| {
        let record = Outgoing::to(scene.dead_letters.as_str()).partition(0).key("k").value(value);
        spring(record, &scene.origin, 0, offset, &scene.group)
    };
    kafka.produce(&[letter("a1", 7), letter("b", 8), letter("a2", 7)]).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 3).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    assert_eq!((plan["waiting"].as_u64(), plan["skipped"].as_u64()), (Some(2), Some(1)), "{plan}");
    start(&redrive, &plan).await;
    until(&redrive, &plan, "it is completed", |replay| replay["state"] == "completed").await;
    let values: Vec<Vec<u8>> = read(kafka, &scene.origin, 1, "read_committed").into_iter().filter_map(|seen| seen.known.value).collect();
    assert_eq!(values, [b"a2".to_vec(), b"b".to_vec()], "in the order of their origin");
    // The older copy stays open and is not sent behind it, until somebody says so.
    let later = scene.plan(&redrive, &json!({})).await;
    assert_eq!((later["waiting"].as_u64(), later["skipped"].as_u64()), (Some(0), Some(1)), "{later}");
    let items = get(&redrive, &format!("/api/v1/replays/{}/items?result=skipped", later["id"].as_str().unwrap())).await;
    assert_eq!(items["items"][0]["reason"], "already_replayed", "{items}");
    let again = scene.plan(&redrive, &json!({ "again": true })).await;
    assert_eq!(again["waiting"].as_u64(), Some(1), "{again}");
    start(&redrive, &again).await;
    until(&redrive, &again, "it is completed", |replay| replay["state"] == "completed").await;
    let seen = read(kafka, &scene.origin, 1, "read_committed");
    let of = |value: &str| seen.iter().find(|seen| seen.known.value.as_deref() == Some(value.as_bytes())).expect("it was sent");
    assert_eq!((of("a1").message_id.as_str(), of("a1").attempt.as_str()), (of("a2").message_id.as_str(), "2"), "it is the same message");
}
