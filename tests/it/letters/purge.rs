//! Purges as people and programs meet them, over a bus in memory.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use redrive::bus::{Bus, BusError};
use redrive::model::Role;
use redrive::operations::Operations;
use serde_json::{Value, json};

use crate::harness::letters::{App, Failing, Seeded};
use crate::harness::log_bus::LogBus;

const TOPIC: &str = "email.outbound-dlt";
const TOPIC_ID: &str = "prod-email.outbound-dlt-1";

/// Ten dead letters on one partition, of which the bus has already seen fifteen; one has no content.
async fn scene() -> (Seeded, Arc<LogBus>) {
    let bus = Arc::new(LogBus::new("prod", TOPIC, TOPIC_ID, &[(0, 15)]));
    let operations = Operations::new(HashMap::from([("prod".into(), Arc::clone(&bus) as Arc<dyn Bus>)]));
    let mut seeded = Seeded::new().await.bus("prod", &[TOPIC]).await.acting_on(operations);
    let mut failing: Vec<Failing> = (0..10).map(|_| Failing::spring(TOPIC, "mailer", "java.lang.Error", "greylisted")).collect();
    failing[4] = Failing::on(TOPIC).without_custody("larger than 8 MiB");
    seeded.index("prod", failing).await;
    (seeded, bus)
}

async fn plan(app: &App, more: Value) -> Value {
    let mut body = json!({ "bus": "prod", "topic": TOPIC });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let answer = app.post_json("/api/v1/purges", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}

/// Confirms everything that a plan asks for.
fn confirmation(plan: &Value) -> Value {
    let warnings = plan["checks"].as_array().expect("a list").iter().filter(|check| check["level"] == "warning");
    let accept: Vec<&Value> = warnings.map(|check| &check["code"]).collect();
    json!({ "confirm": plan["topic"], "accept": accept, "without_custody": plan["without_custody"] })
}

fn act(plan: &Value, act: &str) -> String {
    format!("/api/v1/purges/{}{act}", plan["id"].as_str().expect("an id"))
}

fn level<'a>(plan: &'a Value, code: &str) -> (&'a str, u64, &'a str) {
    let check = plan["checks"].as_array().expect("a list").iter().find(|check| check["code"] == code).expect("the check is there");
    (check["level"].as_str().expect("a word"), check["count"].as_u64().expect("a number"), check["text"].as_str().expect("words"))
}

#[tokio::test]
async fn a_plan_freezes_the_cut_at_what_is_indexed_and_says_who_loses_what() {
    let (seeded, bus) = scene().await;
    bus.log().committed.insert("archiver".to_owned(), vec![(0, 3)]);
    bus.log().committed.insert("reader".to_owned(), vec![(0, 12)]);
    let app = seeded.app();
    let plan = plan(&app, json!({})).await;
    let cut = &plan["partitions"][0];
    assert_eq!([&cut["start"], &cut["cut"], &cut["end"], &cut["records"], &cut["open"]], [0, 10, 15, 10, 10].map(Value::from).each_ref());
    assert_eq!((&cut["result"], &cut["without_custody"], &plan["state"]), (&json!("waiting"), &json!(1), &json!("planned")));
    assert_eq!(cut["consumer_groups"], json!([{ "consumer_group": "archiver", "committed": 3, "records": 7 }]));
    let (at, count, text) = level(&plan, "consumer_groups");
    assert_eq!((at, count), ("warning", 1));
    assert!(text.contains("archiver would never read 7 records (partition 0: committed 3, cut at 10)"), "{text}");
    assert_eq!((level(&plan, "open").0, level(&plan, "open").1), ("warning", 10));
    assert_eq!((level(&plan, "without_custody").0, level(&plan, "without_custody").1), ("blocked", 1));
    for passed in ["permission", "compacted", "replaying", "not_in_store"] {
        assert_eq!(level(&plan, passed).0, "passed", "{passed}");
    }
    assert_eq!(bus.asked(), [], "a plan deletes nothing");
    assert_eq!(app.get(&act(&plan, "")).await.json(), plan);
    assert_eq!(app.get("/api/v1/purges?bus=prod").await.json()["items"], json!([plan]));

    let before = self::plan(&app, json!({ "before": "1970-01-01T00:00:00.006Z" })).await;
    assert_eq!((&before["partitions"][0]["cut"], &before["scope"]), (&json!(6), &json!("before")));
    let by_offset = self::plan(&app, json!({ "partitions": [{ "partition": 0, "offset": 14 }] })).await;
    assert_eq!(by_offset["partitions"][0]["cut"], 10, "never beyond what is indexed");
}

#[tokio::test]
async fn what_is_wrong_with_a_plan_is_named() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let on = |topic: &str| json!({ "bus": "prod", "topic": topic });
    let with = |name: &str, value: Value| json!({ "bus": "prod", "topic": TOPIC, name: value });
    for (body, status, code, field) in [
        (json!({ "bus": "prod" }), 422, "missing_field", json!("topic")),
        (json!({ "bus": "nowhere", "topic": TOPIC }), 422, "invalid_field", json!("bus")),
        (on("unknown-dlt"), 422, "invalid_field", json!("topic")),
        (with("colour", json!("red")), 422, "unknown_field", json!("colour")),
        (with("before", json!("yesterday")), 422, "invalid_field", json!("before")),
        (with("partitions", json!([])), 422, "invalid_field", json!("partitions")),
        (with("partitions", json!([{ "partition": 7, "offset": 1 }])), 422, "invalid_field", json!("partitions")),
        (with("partitions", json!([{ "partition": 0, "offset": -1 }])), 422, "invalid_field", json!("partitions")),
        (
            with("partitions", json!([{ "partition": 0, "offset": 1 }, { "partition": 0, "offset": 2 }])),
            422,
            "invalid_field",
            json!("partitions"),
        ),
        (with("partitions", json!([{ "partition": 0, "offset": 0 }])), 422, "empty_selection", Value::Null),
        (with("partitions", json!([{ "partition": 0 }])), 422, "missing_field", json!("partitions[0].offset")),
    ] {
        let answer = app.post_json("/api/v1/purges", body.clone()).await;
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
        assert_eq!(problem.get("field").unwrap_or(&Value::Null), &field, "{body}");
    }
    let both = json!({ "bus": "prod", "topic": TOPIC, "before": "2026-01-01T00:00:00Z", "partitions": [{ "partition": 0, "offset": 1 }] });
    assert_eq!(app.post_json("/api/v1/purges", both).await.json()["field"], "before");
    bus.log().topic_id = Some("another".to_owned());
    assert_eq!(app.post_json("/api/v1/purges", on(TOPIC)).await.json()["code"], "generation_changed");
    bus.log().down = true;
    let answer = app.post_json("/api/v1/purges", on(TOPIC)).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str().map(str::to_owned)),
        (StatusCode::SERVICE_UNAVAILABLE, Some("bus_unreachable".to_owned()))
    );
    assert_eq!(app.get("/api/v1/purges").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_start_wants_every_confirmation_and_happens_once() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let plan = plan(&app, json!({})).await;
    let full = confirmation(&plan);
    let but = |name: &str, value: Value| {
        let mut body = full.clone();
        body[name] = value;
        body
    };
    for (body, code, field) in [
        (but("confirm", json!("email.outbound")), "confirm_mismatch", "confirm"),
        (json!({}), "confirm_mismatch", "confirm"),
        (but("accept", json!([])), "warnings_not_accepted", "accept"),
        (but("without_custody", json!(2)), "without_custody_mismatch", "without_custody"),
        (but("without_custody", Value::Null), "without_custody_mismatch", "without_custody"),
        (but("force", json!(true)), "unknown_field", "force"),
    ] {
        let answer = app.post_json(&act(&plan, "/start"), body.clone()).await;
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), &problem["code"], &problem["field"]), (422, &json!(code), &json!(field)), "{body}: {problem}");
    }
    seeded.purge().await;
    assert_eq!(bus.asked(), []);
    let started = app.post_json(&act(&plan, "/start"), full.clone()).await;
    assert_eq!((started.status, &started.json()["state"]), (StatusCode::OK, &json!("running")));
    let again = app.post_json(&act(&plan, "/start"), full).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("wrong_state")));
    seeded.purge().await;
    let done = app.get(&act(&plan, "")).await.json();
    assert_eq!((&done["state"], &done["purged"], &done["partitions"][0]["result"]), (&json!("completed"), &json!(10), &json!("done")));
    assert_eq!((bus.asked(), bus.partition(0)), (vec![(0, 10)], (10, 15)));
    let presence = app.get("/api/v1/dead-letters?presence=purged").await.json();
    assert_eq!(presence["items"].as_array().map(Vec::len), Some(10), "custody stays, and says what became of the record");
    assert_eq!(app.post_json(&act(&plan, "/cancel"), json!({})).await.json()["code"], "wrong_state");
    assert_eq!(app.post_json(&act(&plan, "/check"), json!({})).await.json()["code"], "wrong_state");
    let audit = app.get("/api/v1/audit?action=purges").await.json();
    let told: Vec<_> =
        audit["items"].as_array().expect("a list").iter().map(|entry| (&entry["action"], &entry["count"], &entry["result"])).collect();
    let all = |name| (json!(name), json!(10), json!("done"));
    let expected = [all("purges.end"), all("purges.start"), all("purges.plan")];
    assert_eq!(told, expected.iter().map(|(action, count, result)| (action, count, result)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_topic_that_began_again_is_left_alone() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let (first, second) = (plan(&app, json!({})).await, plan(&app, json!({})).await);
    app.post_json(&act(&second, "/start"), confirmation(&second)).await;
    bus.log().topic_id = Some("another".to_owned());
    let refused = app.post_json(&act(&first, "/start"), confirmation(&first)).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("generation_changed")));
    seeded.purge().await;
    for purge in [&first, &second] {
        let ended = app.get(&act(purge, "")).await.json();
        assert_eq!((&ended["state"], &ended["state_reason"]), (&json!("failed"), &json!("generation_changed")), "{ended}");
    }
    assert_eq!(bus.asked(), []);
}

#[tokio::test]
async fn a_bus_that_is_down_is_said_and_waited_for() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let plan = plan(&app, json!({})).await;
    app.post_json(&act(&plan, "/start"), confirmation(&plan)).await;
    bus.log().down = true;
    seeded.purge().await;
    let waiting = app.get(&act(&plan, "")).await.json();
    assert_eq!((&waiting["state"], &waiting["state_reason"]), (&json!("running"), &json!("bus_unreachable")));
    let words = app.get(&format!("/purges/{}", plan["id"].as_str().expect("an id"))).await.words();
    assert!(words.contains("Waits for the bus") && words.contains("connection refused") && words.contains("goes on by itself"), "{words}");
    bus.log().down = false;
    seeded.purge().await;
    let done = app.get(&act(&plan, "")).await.json();
    assert_eq!((&done["state"], &done["state_reason"]), (&json!("completed"), &Value::Null));
}

#[tokio::test]
async fn what_the_bus_refuses_is_told_per_partition_and_the_rest_can_be_planned() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let first = plan(&app, json!({})).await;
    app.post_json(&act(&first, "/start"), confirmation(&first)).await;
    bus.log().refusals.insert(0, BusError::Denied("DELETE on the topic".to_owned()));
    seeded.purge().await;
    let failed = app.get(&act(&first, "")).await.json();
    assert_eq!((&failed["state"], &failed["state_reason"], &failed["purged"]), (&json!("failed"), &json!("permission_denied"), &json!(0)));
    assert_eq!(
        (&failed["partitions"][0]["result"], &failed["partitions"][0]["error"]),
        (&json!("failed"), &json!("not allowed: DELETE on the topic"))
    );
    let page = app.get(&format!("/purges/{}", first["id"].as_str().expect("an id"))).await;
    assert!(page.words().contains("Plan the rest again"), "{}", page.words());
    bus.log().refusals.clear();
    let again = app.post_form("/purges", &[("bus", "prod"), ("topic", TOPIC), ("cut", "0:10")]).await;
    let address = again.header("location").to_owned();
    assert!(app.get(&address).await.words().contains("1 partition by offset"));
}

#[tokio::test]
async fn what_blocks_a_purge_is_said_in_words_and_cannot_be_started() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    bus.log().config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    let compacted = plan(&app, json!({})).await;
    let (at, _, text) = level(&compacted, "compacted");
    assert!(at == "blocked" && text.contains("Discard them instead"), "{text}");
    let refused = app.post_json(&act(&compacted, "/start"), confirmation(&compacted)).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (422, &json!("blocked")));
    let words = app.get(&format!("/purges/{}", compacted["id"].as_str().expect("an id"))).await.words();
    assert!(words.contains("This plan cannot be started.") && !words.contains("to confirm"), "{words}");
    bus.log().config.insert("cleanup.policy".to_owned(), "compact,delete".to_owned());
    bus.log().may_delete = Some(false);
    let denied = app.post_json(&act(&compacted, "/check"), json!({})).await.json();
    assert_eq!((level(&denied, "compacted").0, level(&denied, "permission").0), ("passed", "blocked"));
    bus.log().may_delete = None;
    let unknown = app.post_json(&act(&compacted, "/check"), json!({})).await.json();
    assert_eq!(level(&unknown, "permission").0, "warning", "what nobody tells is not passed");
    let cancelled = app.post_json(&act(&compacted, "/cancel"), json!({})).await.json();
    assert_eq!((&cancelled["state"], &cancelled["state_reason"]), (&json!("cancelled"), &json!("by_person")));
}

#[tokio::test]
async fn a_person_purges_without_script_by_typing_the_name() {
    let (seeded, bus) = scene().await;
    let app = seeded.app();
    let topic = app.get(&format!("/buses/prod/topics/{TOPIC}")).await;
    assert!(topic.words().contains("Plan a purge"), "{}", topic.words());
    let planned = app.post_form("/purges", &[("bus", "prod"), ("topic", TOPIC), ("before", "")]).await;
    let address = planned.header("location").to_owned();
    let words = app.get(&address).await.words();
    for said in ["Records to delete 10", "Still open 10", "Not in custody 1", "10 open dead letters go", "Keep records", "Purge 10 records"]
    {
        assert!(words.contains(said), "{said}: {words}");
    }
    let start = format!("{address}/start");
    let wrong = app.post_form(&start, &[("confirm", "email"), ("accept", "open"), ("without_custody", "1")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("Type the topic&#39;s name to confirm: email.outbound-dlt."), "{}", wrong.text());
    assert!(wrong.text().contains(r#"value="open" checked"#), "what was ticked stays ticked");
    let unread = app.post_form(&start, &[("confirm", TOPIC), ("without_custody", "1")]).await;
    assert_eq!(unread.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = app.post_form(&start, &[("confirm", TOPIC), ("accept", "open"), ("without_custody", "1")]).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, address.as_str()));
    seeded.purge().await;
    assert_eq!(bus.partition(0), (10, 15));
    assert!(app.get(&address).await.words().contains("Completed. 10 of 10 records deleted"), "{}", app.get(&address).await.words());
    assert!(
        app.get("/purges").await.words().contains("Completed email.outbound-dlt all that is indexed 10 10 10"),
        "{}",
        app.get("/purges").await.words()
    );
}

#[tokio::test]
async fn only_an_administrator_purges_and_the_others_see_why() {
    let (seeded, bus) = scene().await;
    let plan = plan(&seeded.app(), json!({})).await;
    let operator = seeded.app_as(Role::Operator).await;
    for (path, body) in [
        ("/api/v1/purges".to_owned(), json!({ "bus": "prod", "topic": TOPIC })),
        (act(&plan, "/start"), confirmation(&plan)),
        (act(&plan, "/cancel"), json!({})),
        (act(&plan, "/check"), json!({})),
    ] {
        let answer = operator.post_json(&path, body).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().map(str::to_owned)),
            (StatusCode::FORBIDDEN, Some("role_missing".to_owned())),
            "{path}"
        );
    }
    assert!(operator.get(&format!("/buses/prod/topics/{TOPIC}")).await.words().contains("Purge needs the role admin"));
    assert!(
        operator.get(&format!("/purges/{}", plan["id"].as_str().expect("an id"))).await.words().contains("Purging needs the role admin.")
    );
    seeded.purge().await;
    assert_eq!(bus.asked(), []);
    for path in ["/purges/28", "/purges/018f0000-0000-7000-8000-000000000000", "/api/v1/purges/28"] {
        assert_eq!(operator.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
