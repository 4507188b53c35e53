//! Automatic replay policies on a real Kafka, with real services: one repairs what fails now and then, one stops before what fails for good.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::harness::kafka;
use super::super::harness::redrive::{Redrive, Setup, http};
use super::outcome::{Service, Temper};
use super::scene::{PATIENCE, Scene, get, post, try_get};

/// A policy for everything on the dead-letter topic of a scene.
async fn add(redrive: &Redrive, scene: &Scene, more: &Value) -> String {
    let mut body = json!({
        "name": "Payments", "selection": {"filter": {"bus": "prod", "topic": scene.dead_letters}}, "enabled": true, "existing": true,
        "first_delay": "1s", "factor": 1, "cool_down": "2s", "rate": null, "canary": {"count": 5, "settle": "2s"},
        "accept": ["other_consumer_groups", "partition_differs", "partition_count", "at_least_once", "write_permission", "sent_before"],
    });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let (status, policy) = post(redrive, "/api/v1/replay-policies", &body).await;
    assert_eq!(status, 201, "{policy}");
    policy["id"].as_str().expect("an id").to_owned()
}

async fn until(redrive: &Redrive, id: &str, what: &str, patience: Duration, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let last = try_get(redrive, &format!("/api/v1/replay-policies/{id}")).await.unwrap_or_default();
        if holds(&last) {
            return last;
        }
        let runs = try_get(redrive, &format!("/api/v1/replays?policy_id={id}")).await.unwrap_or_default();
        assert!(begun.elapsed() < patience, "after {patience:?} still not: {what}\n{last:#}\n{runs:#}\n{}", redrive.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn switch(redrive: &Redrive, id: &str, enabled: bool) -> Value {
    let url = redrive.url(&format!("/api/v1/replay-policies/{id}"));
    let response = http().patch(url).json(&json!({ "enabled": enabled })).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.json().await.expect("a policy")
}

async fn count(redrive: &Redrive, scene: &Scene, status: &str) -> usize {
    let list = get(redrive, &format!("/api/v1/dead-letters?bus=prod&topic={}&status={status}&limit=1000", scene.dead_letters)).await;
    list["items"].as_array().expect("items").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_repairs_what_fails_now_and_then_without_a_person() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 6, 2).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 12).await;
    // One key's messages fail once more, then they are processed.
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::FailsFirstReplayOf("key-0"));
    let id = add(&redrive, &scene, &json!({"failed_again_limit": 0.5})).await;
    let done = until(&redrive, &id, "all are resolved", PATIENCE * 3, |policy| policy["resolved"].as_u64() == Some(12)).await;
    let runs = get(&redrive, &format!("/api/v1/replays?policy_id={id}")).await;
    assert_eq!(
        (done["failed_again"].as_u64(), done["sent"].as_u64(), done["runs"].as_u64()),
        (Some(2), Some(14), Some(2)),
        "{done:#} {runs:#}"
    );
    assert_eq!((count(&redrive, &scene, "open").await, count(&redrive, &scene, "resolved").await), (0, 12));
    for run in runs["items"].as_array().expect("items") {
        let said = (run["name"].as_str(), run["planned_by"].as_str(), run["started_by"].as_str());
        assert_eq!(said, (Some("Payments"), Some("policy:Payments"), Some("policy:Payments")), "each run is an ordinary replay");
    }
    let audit = get(&redrive, "/api/v1/audit?actor=policy:Payments").await;
    let actions: Vec<&str> = audit["items"].as_array().expect("items").iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["replays.start", "replays.plan", "replays.start", "replays.plan"]);
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_stops_before_what_fails_for_good_and_goes_on_within_its_limit_once_it_is_mended() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 2).await;
    scene.fail(kafka, 10, 4).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 40).await;
    let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::FailsWithHeaders);
    let id = add(&redrive, &scene, &json!({"give_up_after": 2, "daily_limit": 30, "attempt_limit": 20})).await;
    let stopped = until(&redrive, &id, "it gives up", PATIENCE, |policy| policy["state"] == "gave_up").await;
    assert_eq!((stopped["sent"].as_u64(), stopped["runs"].as_u64()), (Some(10), Some(2)), "two canaries and no more: {stopped}");
    assert!(stopped["state_text"].as_str().is_some_and(|text| text.contains("failed again")), "{stopped}");
    let overview = get(&redrive, "/api/v1/overview").await;
    assert_eq!(overview["stopped_policies"][0]["id"], stopped["id"], "the first page says so");
    let page = http().get(redrive.url("/")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Replay policy Payments has given up"), "{page}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let quiet = get(&redrive, &format!("/api/v1/replay-policies/{id}")).await;
    assert_eq!((&quiet["sent"], &quiet["runs"]), (&stopped["sent"], &stopped["runs"]), "nothing more is tried");
    assert_eq!((count(&redrive, &scene, "open").await, count(&redrive, &scene, "failed_again").await), (40, 10), "nothing is lost");

    service.mend();
    assert_eq!(switch(&redrive, &id, true).await["state_text"], Value::Null);
    let limited = until(&redrive, &id, "the limit of a day is reached", PATIENCE * 2, |policy| policy["state"] == "daily_limit").await;
    let figures = (limited["sent"].as_u64(), limited["sent_today"].as_u64(), limited["resolved"].as_u64());
    assert_eq!(figures, (Some(30), Some(30), Some(20)), "{limited}");
    assert_eq!((count(&redrive, &scene, "open").await, count(&redrive, &scene, "resolved").await), (20, 20));
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_off_until_it_is_switched_on_and_leaves_what_was_there_alone() {
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 1).await;
    scene.fail(kafka, 3, 1).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, 3).await;
    let id = add(&redrive, &scene, &json!({"enabled": false, "existing": false})).await;
    assert_eq!(get(&redrive, &format!("/api/v1/replay-policies/{id}")).await["state"], "off");
    scene.fail(kafka, 3, 1).await;
    scene.until_indexed(&redrive, 6).await;
    assert_eq!(switch(&redrive, &id, true).await["state"], "watching");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(get(&redrive, &format!("/api/v1/replay-policies/{id}")).await["runs"], 0, "six were there before");
    // Other origins: a copy of an earlier one would be a duplicate.
    let known = scene.ledger[2].clone();
    kafka.produce(&[scene.dead_letter(&known, 900), scene.dead_letter(&known, 901)]).await;
    let sent = until(&redrive, &id, "the new ones are sent", PATIENCE, |policy| policy["sent"].as_u64() == Some(2)).await;
    assert_eq!(sent["runs"], 1, "{sent}");
    let off = switch(&redrive, &id, false).await;
    assert_eq!(off["state"], "off");
    let url = redrive.url(&format!("/api/v1/replay-policies/{id}"));
    assert_eq!(http().delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(http().get(&url).send().await.unwrap().status(), 404);
    assert_eq!(get(&redrive, "/api/v1/replays").await["items"].as_array().unwrap().len(), 1, "its runs stay in the history");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_is_refused_by_the_name_of_its_field() {
    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 1).await;
    let redrive = scene.setup(kafka, Setup::new()).start().await;
    let listed = async || try_get(&redrive, "/api/v1/replay-policies").await.is_some_and(|list| list["items"].is_array());
    redrive.wait_until("the store is open", PATIENCE, listed).await;
    let good = json!({"name": "a", "selection": {"filter": {"bus": "prod"}}});
    let cases = [
        (json!({"name": ""}), "name"),
        (json!({"selection": {"ids": ["1"]}}), "selection.ids"),
        (json!({"selection": {"filter": {}}}), "selection.filter.bus"),
        (json!({"selection": {"filter": {"bus": "elsewhere"}}}), "selection.filter.bus"),
        (json!({"selection": {"filter": {"bus": "prod", "status": "resolved"}}}), "selection.filter.status"),
        (json!({"first_delay": "soon"}), "first_delay"),
        (json!({"factor": 0.5}), "factor"),
        (json!({"attempt_limit": 0}), "attempt_limit"),
        (json!({"failed_again_limit": 1.5}), "failed_again_limit"),
        (json!({"daily_limit": 0}), "daily_limit"),
        (json!({"hours": {"days": ["mon"], "from": "25:00", "to": "18:00"}}), "hours.from"),
        (json!({"hours": {"days": ["mon"], "from": "08:00", "to": "18:00", "time_zone": "Nowhere"}}), "hours.time_zone"),
        (json!({"accept": ["everything"]}), "accept"),
        (json!({"colour": "red"}), "colour"),
    ];
    for (wrong, field) in cases {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let (status, problem) = post(&redrive, "/api/v1/replay-policies", &body).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{body} {problem}");
    }
    assert_eq!(get(&redrive, "/api/v1/replay-policies").await["items"].as_array().unwrap().len(), 0);
}
