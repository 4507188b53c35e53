//! The API as programs see it.

use std::fmt::Write as _;

use serde_json::Value;

use super::shop;
use crate::harness::letters::App;

/// JSON with everything that differs between runs taken out: times, and the offsets made from them.
fn shape(value: &Value) -> String {
    fn walk(out: &mut String, value: &Value, depth: usize) {
        let pad = "  ".repeat(depth);
        match value {
            Value::Object(fields) => {
                out.push_str("{\n");
                for (name, value) in fields {
                    write!(out, "{pad}  {name}: ").expect("a string takes it");
                    walk(out, value, depth + 1);
                }
                writeln!(out, "{pad}}}").expect("a string takes it");
            }
            Value::Array(items) => match items.first() {
                None => out.push_str("[]\n"),
                Some(first) => {
                    out.push_str("list of ");
                    walk(out, first, depth);
                }
            },
            Value::String(text) if text.len() == 24 && text.ends_with('Z') => out.push_str("time\n"),
            Value::String(text) => writeln!(out, "{:?}", text.chars().take(40).collect::<String>()).expect("a string takes it"),
            other => writeln!(out, "{other}").expect("a string takes it"),
        }
    }
    let mut out = String::new();
    walk(&mut out, value, 0);
    out
}

async fn json(app: &App, path: &str) -> Value {
    let answer = app.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_dead_letter_in_a_list_has_this_shape() {
    let app = shop().await.app();
    insta::assert_snapshot!(shape(&json(&app, "/api/v1/dead-letters?topic=payments.authorise-dlt&limit=1").await["items"]));
}

#[tokio::test]
async fn one_dead_letter_has_this_shape() {
    let app = shop().await.app();
    insta::assert_snapshot!(shape(&json(&app, "/api/v1/dead-letters/1").await));
}

#[tokio::test]
async fn a_failure_group_has_this_shape() {
    let app = shop().await.app();
    let list = json(&app, "/api/v1/failure-groups?limit=1&range=1h").await;
    let mut group = list["items"][0].clone();
    assert_eq!(group["per_bucket"].as_array().expect("a string takes it").iter().filter_map(Value::as_u64).sum::<u64>(), 60);
    let fingerprint = group["fingerprint"].as_str().expect("a string takes it").to_owned();
    let mut one = json(&app, &format!("/api/v1/buses/prod/failure-groups/{fingerprint}?range=1h")).await;
    for value in [&mut group, &mut one] {
        value["per_bucket"] = Value::Array(Vec::new());
    }
    one.as_object_mut().expect("a string takes it").remove("buckets");
    assert_eq!(group, one, "the group alone is the group of the list");
    insta::assert_snapshot!(shape(&group));
}

#[tokio::test]
async fn the_overview_has_this_shape() {
    let app = shop().await.app();
    let mut overview = json(&app, "/api/v1/overview?range=1h").await;
    assert_eq!(overview["dead_letters"]["arrived"], 61);
    overview["dead_letters"]["per_bucket"] = Value::Array(Vec::new());
    overview["failure_groups"] = Value::Array(Vec::new());
    for size in ["used_bytes", "disk_free_bytes"] {
        overview["store"][size] = Value::from(0);
    }
    insta::assert_snapshot!(shape(&overview));
}

#[tokio::test]
async fn cursors_walk_the_whole_list_once() {
    let app = shop().await.app();
    let mut ids = Vec::new();
    let mut path = "/api/v1/dead-letters?limit=20".to_owned();
    loop {
        let page = json(&app, &path).await;
        ids.extend(page["items"].as_array().expect("a string takes it").iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/dead-letters?limit=20&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(ids.len(), 95);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 95, "none twice");
}

#[tokio::test]
async fn repeated_fields_are_alternatives_and_status_is_any_unless_given() {
    let app = shop().await.app();
    let count = async |query: &str| {
        json(&app, &format!("/api/v1/dead-letters?limit=1000&{query}")).await["items"].as_array().expect("a string takes it").len()
    };
    assert_eq!(count("").await, 95);
    assert_eq!(count("topic=email.outbound-dlt&topic=orders.placed-dlq").await, 10);
    assert_eq!(count("status=resolved").await, 0);
    assert_eq!(count("status=open&status=resolved&consumer_group=mailer").await, 9);
    assert_eq!(count("exception_class=java.net.SocketTimeoutException").await, 25);
    assert_eq!(count("presence=on_broker").await, 95);
    assert_eq!(count("presence=expired").await, 0);
    assert_eq!(count("range=15m&topic=payments.authorise-dlt").await, 30);
}

#[tokio::test]
async fn a_search_says_that_it_is_complete() {
    let app = shop().await.app();
    let found = json(&app, "/api/v1/dead-letters?q=greylisted%20451").await;
    assert_eq!(found["items"].as_array().expect("a string takes it").len(), 9);
    assert_eq!(found["search_complete"], true);
    assert!(found["searched_back_to"].is_string(), "{found}");
    let plain = json(&app, "/api/v1/dead-letters?limit=1").await;
    assert!(plain.get("search_complete").is_none(), "only a search speaks of it");
}
