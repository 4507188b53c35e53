//! `/series`: what it answers, and what it says about a request that cannot be.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::Timestamp;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::figures::NewFrame;
use serde_json::json;

use super::topics::site;

#[tokio::test]
async fn a_series_has_its_labels_and_a_point_per_step_and_null_where_nothing_was_seen() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    let begin = Timestamp::parse_rfc3339("2026-11-24T03:00:00Z").expect("a time");
    let key = |figure| SeriesKey { figure, labels: Labels::bus(&"prod".into()).topic(&"orders".into()) };
    let mut after = None;
    for (seconds, count) in [(0, 0.0), (15, 30.0), (30, 60.0), (60, 45.0)] {
        let taken_at = begin.plus(Duration::from_secs(seconds));
        let points = vec![(key(Figure::TopicMessagesPerSecond), Point::Count(count))];
        let frame = NewFrame { source: "bus:prod", after, taken_at, points, state: None, snapshot: false };
        assert!(site.store.add_frame(frame).await.expect("it is written"));
        after = Some(taken_at);
    }
    let path = "/api/v1/series?figure=topic_messages_per_second&bus=prod&from=2026-11-24T03:00:00Z&to=2026-11-24T03:01:15Z&step=15s";
    let found = site.get(path).by(&mara).send().await.json();
    assert_eq!(
        (&found["figure"], &found["unit"], &found["step"]),
        (&json!("topic_messages_per_second"), &json!("messages/s"), &json!("15s"))
    );
    assert_eq!(found["series"][0]["labels"], json!({"bus": "prod", "topic": "orders"}));
    let points = found["series"][0]["points"].as_array().expect("points");
    assert_eq!(points[0], json!(["2026-11-24T03:00:00.000Z", null]), "the first look covers no time");
    let numbers: Vec<_> = points.iter().map(|point| point[1].as_f64()).collect();
    assert_eq!(numbers, [None, Some(2.0), Some(4.0), None, Some(1.5)]);
    let nothing = site.get("/api/v1/series?figure=consumer_group_lag_seconds&bus=prod").by(&mara).send().await.json();
    assert_eq!(nothing["series"], json!([]));
    let arrivals = site.get("/api/v1/series?figure=dead_letters_per_minute&bus=prod&step=1m").by(&mara).send().await.json();
    assert_eq!((&arrivals["unit"], arrivals["series"][0]["points"].as_array().map(Vec::len)), (&json!("dead letters/min"), Some(61)));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    let good = "figure=topic_messages_per_second";
    for (query, field) in [
        ("figure=lag".to_owned(), "figure"),
        (format!("{good}&step=1s"), "step"),
        (format!("{good}&step=soon"), "step"),
        (format!("{good}&from=2026-11-24T03:00:00Z&to=2026-11-24T02:00:00Z"), "from"),
        (format!("{good}&from=yesterday"), "from"),
        (format!("{good}&from=2020-01-01T00:00:00Z&step=15s"), "step"),
        (format!("{good}&quantile=7"), "quantile"),
        (format!("{good}&partition=3"), "partition"),
    ] {
        let answer = site.get(&format!("/api/v1/series?{query}")).by(&mara).send().await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        assert!(answer.text.contains(field), "{query}: {}", answer.text);
    }
    assert_eq!(site.get("/api/v1/series").by(&mara).send().await.status, 422);
    for page in ["/buses/prod/topics?range=1h", "/?range=never", "/?from=soon"] {
        assert_eq!(site.get(page).by(&mara).send().await.status, 422, "{page}");
    }
}
