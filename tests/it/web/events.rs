//! The event stream.

use std::time::Duration;

use axum::http::StatusCode;
use futures::StreamExt;
use redrive::lifecycle::changes::Noun;
use redrive::model::Role;

use super::site::Site;

/// Reads until the text holds `wanted`, or the stream ends.
async fn read_until(body: &mut axum::body::BodyDataStream, text: &mut String, wanted: &str) -> bool {
    let reading = async {
        while !text.contains(wanted) {
            let Some(Ok(bytes)) = body.next().await else { return false };
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        true
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the stream goes on or ends")
}

#[tokio::test]
async fn a_page_hears_what_changed_until_the_process_ends() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let response = site.get("/api/v1/events").by(&mara).header("accept-encoding", "gzip").begin().await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(!response.headers().contains_key("content-encoding"), "a compressed stream would wait for more");
    let (mut body, mut text) = (response.into_body().into_data_stream(), String::new());
    assert!(read_until(&mut body, &mut text, "event: hello").await);
    for noun in [Noun::Topics, Noun::Topics, Noun::DeadLetters] {
        site.changes.publish(noun);
    }
    assert!(read_until(&mut body, &mut text, "event: topics").await && read_until(&mut body, &mut text, "event: dead_letters").await);
    assert_eq!(text.matches("event: topics").count(), 1, "changes that come together are told once: {text}");
    assert!(
        text.split("\n\n").filter(|event| event.contains("event:")).all(|event| event.contains("data: ")),
        "browsers drop events without data"
    );
    site.lifecycle.soft().cancel();
    assert!(!read_until(&mut body, &mut text, "no such event").await, "the stream ends");
}

#[tokio::test]
async fn whoever_missed_some_fetches_everything() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let mut body = site.get("/api/v1/events").by(&mara).begin().await.into_body().into_data_stream();
    for _ in 0..1_000 {
        site.changes.publish(Noun::Audit);
    }
    assert!(read_until(&mut body, &mut String::new(), "event: reload").await);
}

#[tokio::test]
async fn streams_are_counted_per_person() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(site.get("/api/v1/events").by(&mara).begin().await);
    }
    assert!(open.iter().all(|response| response.status() == StatusCode::OK));
    assert_eq!(site.get("/api/v1/events").by(&mara).send().await.problem().1, "too_many_tries");
    open.pop();
    assert_eq!(site.get("/api/v1/events").by(&mara).begin().await.status(), StatusCode::OK);
}
