//! Discard, restore and undo as people and programs meet them.

use axum::http::StatusCode;
use redrive::model::Role;
use serde_json::{Value, json};

use super::shop;
use crate::harness::letters::App;

const DISCARD: &str = "/api/v1/dead-letters/discard";
const RESTORE: &str = "/api/v1/dead-letters/restore";

async fn statuses(app: &App, query: &str) -> usize {
    app.get(&format!("/api/v1/dead-letters?limit=1000&{query}")).await.json()["items"].as_array().expect("a list").len()
}

#[tokio::test]
async fn a_program_discards_by_filter_and_takes_it_back() {
    let app = shop().await.app();
    let body =
        json!({ "selection": { "filter": { "bus": "prod", "consumer_group": "mailer" } }, "reason": "greylisting, mails were resent" });
    let answer = app.post_json(DISCARD, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let discarded = answer.json();
    let fields: Vec<&str> = discarded.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["changed", "discard_id", "skipped"]);
    assert_eq!((&discarded["changed"], &discarded["skipped"]), (&json!(9), &json!(0)));
    assert_eq!([statuses(&app, "status=discarded").await, statuses(&app, "status=open").await], [9, 86]);
    let act = app.get(&format!("/api/v1/discards/{}", discarded["discard_id"].as_str().expect("an id"))).await.json();
    assert_eq!((&act["kind"], &act["state"], &act["actor"]), (&json!("discard"), &json!("completed"), &json!("local")));
    assert_eq!(act["reason"], "greylisting, mails were resent");

    let undone = app.post_json(RESTORE, json!({ "discard_id": discarded["discard_id"] })).await.json();
    assert_eq!((&undone["changed"], &undone["skipped"], &undone["discard_id"]), (&json!(9), &json!(0), &discarded["discard_id"]));
    assert_eq!(statuses(&app, "status=open").await, 95);
    let audit = app.get("/api/v1/audit").await.json();
    let told = |n: usize| [&audit["items"][n]["action"], &audit["items"][n]["target"], &audit["items"][n]["count"]].map(Value::clone);
    assert_eq!(told(1), [json!("dead_letters.discard"), json!("/dead-letters?bus=prod&consumer_group=mailer&status=open"), json!(9)]);
    assert_eq!(told(0)[0], "dead_letters.restore");
}

#[tokio::test]
async fn a_restore_by_selection_means_what_is_discarded() {
    let app = shop().await.app();
    app.post_json(DISCARD, json!({ "selection": { "ids": ["1", "2", 3] }, "reason": "x" })).await;
    let again = app.post_json(DISCARD, json!({ "selection": { "ids": ["2", "4"] }, "reason": "x" })).await.json();
    assert_eq!((&again["changed"], &again["skipped"]), (&json!(1), &json!(1)));
    let restored = app.post_json(RESTORE, json!({ "selection": { "filter": { "bus": "prod" } } })).await.json();
    assert_eq!((&restored["changed"], &restored["skipped"], &restored["discard_id"]), (&json!(4), &json!(0), &Value::Null));
    assert_eq!(statuses(&app, "status=open").await, 95);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_changed() {
    let app = shop().await.app();
    let all = json!({ "filter": { "bus": "prod" } });
    for (path, body, status, code, field) in [
        (DISCARD, json!({ "selection": all }), 422, "missing_field", json!("reason")),
        (DISCARD, json!({ "selection": all, "reason": "  " }), 422, "invalid_field", json!("reason")),
        (DISCARD, json!({ "selection": all, "reason": "x".repeat(501) }), 422, "invalid_field", json!("reason")),
        (DISCARD, json!({ "reason": "x" }), 422, "missing_field", json!("selection")),
        (DISCARD, json!({ "selection": {}, "reason": "x" }), 422, "invalid_field", json!("selection")),
        (DISCARD, json!({ "selection": { "ids": [] }, "reason": "x" }), 422, "empty_selection", Value::Null),
        (DISCARD, json!({ "selection": { "ids": ["x"] }, "reason": "x" }), 422, "invalid_field", json!("selection.ids")),
        (DISCARD, json!({ "selection": { "filter": { "bus": "nowhere" } }, "reason": "x" }), 422, "empty_selection", Value::Null),
        (
            DISCARD,
            json!({ "selection": { "filter": { "colour": "red" } }, "reason": "x" }),
            422,
            "unknown_field",
            json!("selection.filter.colour"),
        ),
        (DISCARD, json!({ "selection": all, "reason": "x", "force": true }), 422, "unknown_field", json!("force")),
        (RESTORE, json!({}), 422, "invalid_field", json!("selection")),
        (RESTORE, json!({ "selection": all, "discard_id": "x" }), 422, "invalid_field", json!("selection")),
        (RESTORE, json!({ "selection": all }), 422, "empty_selection", Value::Null),
        (RESTORE, json!({ "discard_id": "28" }), 404, "not_found", Value::Null),
        (RESTORE, json!({ "discard_id": "018f0000-0000-7000-8000-000000000000" }), 404, "not_found", Value::Null),
    ] {
        let answer = app.post_json(path, body.clone()).await;
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
        assert_eq!(problem.get("field").unwrap_or(&Value::Null), &field, "{body}");
    }
    assert_eq!(statuses(&app, "status=open").await, 95);
    assert_eq!(app.get("/api/v1/discards/28").await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/discards/018f0000-0000-7000-8000-000000000000").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_viewer_sees_why_and_changes_nothing() {
    let shop = shop().await;
    let app = shop.app_as(Role::Viewer).await;
    let answer = app.post_json(DISCARD, json!({ "selection": { "ids": ["1"] }, "reason": "x" })).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str().map(str::to_owned)),
        (StatusCode::FORBIDDEN, Some("role_missing".to_owned()))
    );
    assert_eq!(app.post_form("/dead-letters/discard", &[("id", "1"), ("reason", "x")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.post_form("/dead-letters/restore", &[("id", "1")]).await.status, StatusCode::FORBIDDEN);
    assert!(app.get("/dead-letters/1").await.words().contains("Discard needs the role operator"));
    assert!(app.get("/dead-letters/discard?id=1").await.words().contains("Discarding needs the role operator"));
    assert_eq!(statuses(&app, "status=open").await, 95);
}

#[tokio::test]
async fn a_person_discards_one_says_why_and_takes_it_back_without_script() {
    let shop = shop().await;
    let app = shop.app();
    let page = app.get("/dead-letters/1").await;
    assert!(page.page().contains(r#"href="/dead-letters/discard?id=1" data-shortcut="d""#), "{}", page.text());
    let words = app.get("/dead-letters/discard?id=1").await.words();
    assert!(words.contains("Discard 1 dead letter") && words.contains("it can be taken back"), "{words}");

    let silent = app.post_form("/dead-letters/discard", &[("id", "1"), ("reason", " "), ("back", "/dead-letters/1")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        silent.text().contains("Say why, in 1 to 500 characters.") && silent.text().contains(r#"name="id" value="1""#),
        "{}",
        silent.text()
    );

    let reason = "a <b>test</b> order";
    let done = app.post_form("/dead-letters/discard", &[("id", "1"), ("reason", reason), ("back", "/dead-letters/1")]).await;
    assert_eq!(done.header("location"), "/dead-letters/1");
    let page = app.follow(&done).await;
    let words = page.words();
    assert!(words.contains("1 dead letter discarded") && words.contains("Undo"), "{words}");
    assert!(
        words.contains("Discarded by local a &#60;b&#62;test&#60;/b&#62; order") || words.contains("Discarded by local a &lt;b&gt;test"),
        "{words}"
    );
    assert!(words.contains("Open again"), "{words}");
    let id = page.text().split(r#"name="discard_id" value=""#).nth(1).and_then(|rest| rest.split('"').next()).expect("an undo").to_owned();

    let words = app.get(&format!("/discards/{id}")).await.words();
    assert!(words.contains("Discard of 1 dead letter Completed") && words.contains("1 dead letter discarded."), "{words}");
    let undone = app.post_form("/dead-letters/restore", &[("discard_id", &id), ("back", "/dead-letters/1")]).await;
    let words = app.follow(&undone).await.words();
    assert!(words.contains("1 dead letter open again") && words.contains("Opened again by local"), "{words}");
    assert!(app.get(&format!("/discards/{id}")).await.words().contains("Taken back"));
}

#[tokio::test]
async fn a_list_offers_what_its_rows_allow() {
    let app = shop().await.app();
    let open = app.get("/dead-letters").await;
    assert!(
        open.page().contains(r#"formaction="/dead-letters/discard""#) && !open.text().contains("/dead-letters/restore"),
        "{}",
        open.text()
    );
    let all = app.get("/dead-letters?topic=email.outbound-dlt&select=all").await;
    let href = all.page().split("href=\"").find(|href| href.starts_with("/dead-letters/discard?")).and_then(|href| href.split('"').next());
    let href = href.expect("all that match can be discarded").replace("&#38;", "&").replace("&amp;", "&");
    let page = app.get(&href).await;
    assert!(page.words().contains("Discard 9 dead letters"), "{}", page.words());
    let filter = page.text().split(r#"name="filter" value=""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a filter");
    let filter = filter.replace("&#38;", "&").replace("&amp;", "&");
    let done = app.post_form("/dead-letters/discard", &[("filter", &filter), ("reason", "resent"), ("back", "//evil.example")]).await;
    assert_eq!(done.header("location"), "/dead-letters?topic=email.outbound-dlt&status=open", "nobody is led away");
    assert!(app.follow(&done).await.words().contains("9 dead letters discarded"));
    let discarded = app.get("/dead-letters?status=discarded").await;
    assert!(discarded.page().contains(r#"formaction="/dead-letters/restore""#), "{}", discarded.text());
    let none = app.post_form("/dead-letters/discard", &[("reason", "x")]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY, "nothing was picked");
}

#[tokio::test]
async fn a_failure_group_is_discarded_with_its_number_on_the_button() {
    let app = shop().await.app();
    let group = app.get("/api/v1/failure-groups?consumer_group=mailer").await.json();
    let address = format!("/buses/prod/failure-groups/{}", group["items"][0]["fingerprint"].as_str().expect("a fingerprint"));
    let words = app.get(&address).await.words();
    assert!(words.contains("Discard 9"), "{words}");
    let ask =
        app.get(&format!("/dead-letters/discard?bus=prod&fingerprint={}&status=open", address.rsplit('/').next().expect("a part"))).await;
    assert!(ask.words().contains("Discard 9 dead letters"), "{}", ask.words());
}
