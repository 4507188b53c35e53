//! Whether it gets better: a week beside the week before on the first page, and what is said where the time before is not known.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::metrics::histogram::Histogram;
use redrive::model::BusKind;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::figures::NewFrame;

use crate::harness::letters::{Failing, Seeded};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn timeout(class: &str) -> Failing {
    Failing::spring("a-dlt", "labels", class, "Read timed out")
}

/// A bus that is read since so many days.
async fn read_since(days: u64) -> Seeded {
    let shop = Seeded::new().await;
    shop.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let then = shop.now.minus(Duration::from_secs(days * DAY));
    shop.store.record_topics(&"prod".into(), &[], then).await.expect("read");
    shop.bus("prod", &["a-dlt"]).await
}

/// Messages of an hour, so many days ago, and how long it took to resolve a dead letter then.
async fn figures(shop: &Seeded, days_ago: &[(u64, f64, f64)]) {
    for (place, (days, messages, resolve)) in days_ago.iter().enumerate() {
        let taken_at = shop.now.minus(Duration::from_secs(days * DAY));
        let (source, after) = (format!("bus:prod-{place}"), taken_at.minus(Duration::from_secs(HOUR)));
        let mut times = Histogram::new();
        times.record(*resolve);
        let of = |figure| SeriesKey { figure, labels: Labels::bus(&"prod".into()) };
        let begin = NewFrame { source: &source, after: None, taken_at: after, points: Vec::new(), state: None, snapshot: false };
        assert!(shop.store.add_frame(begin).await.expect("written"));
        let points = vec![
            (of(Figure::BusMessagesPerSecond), Point::Count(*messages)),
            (of(Figure::DeadLettersResolveSeconds), Point::Durations(times)),
        ];
        let frame = NewFrame { source: &source, after: Some(after), taken_at, points, state: None, snapshot: false };
        assert!(shop.store.add_frame(frame).await.expect("written"));
    }
    while shop.store.roll_up_figures(shop.now).await.expect("rolled up") {}
}

#[tokio::test]
async fn a_week_stands_beside_the_week_before() {
    let mut shop = read_since(60).await;
    let of = |class: &'static str, days: u64, count: u64| (0..count).map(move |n| timeout(class).ago(days * DAY + n * 60));
    let (mended, new) = ("com.acme.Mended", "com.acme.New");
    shop.index("prod", of(mended, 9, 8).chain(of(mended, 3, 2)).chain(of(new, 2, 3)).collect()).await;
    figures(&shop, &[(10, 36_000.0, 7_200.0), (3, 72_000.0, 1_800.0)]).await;
    let app = shop.app();
    let words = app.get("/?range=7d").await.words();
    let begin = words.find("Are we getting better?").unwrap_or_else(|| panic!("{words}"));
    let trend = &words[begin..];
    assert!(trend.contains("Getting better: 69 % fewer dead letters among as many messages than in the 7 d before."), "{trend}");
    assert!(trend.contains("Beside the 7 d before, from"), "{trend}");
    assert!(trend.contains("Messages written per second 20.0 10.0 2 times as many"), "{trend}");
    assert!(trend.contains("Dead letters a day 0.7 1.1 38 % fewer"), "{trend}");
    assert!(trend.contains("Time to resolve median 30 min 2.0 h 75 % shorter"), "{trend}");
    assert!(trend.contains("Mended in CardTokenizer.tokenize 2 8 75 % fewer") || trend.contains("2 8 75 % fewer"), "{trend}");
    assert!(trend.contains("3 0 none before"), "{trend}");
    let found = app.get("/api/v1/overview?range=7d").await.json()["trend"].clone();
    assert_eq!((&found["compared"], found["failure_groups"].as_array().map(Vec::len)), (&true.into(), Some(2)), "{found:#}");
    assert_eq!((&found["failure_groups"][0]["now"], &found["failure_groups"][0]["before"]), (&2.into(), &8.into()), "{found:#}");
    let other = app.get("/api/v1/overview?range=7d&bus=other").await.json()["trend"].clone();
    assert_eq!(other["failure_groups"], serde_json::json!([]), "{other:#}");
}

#[tokio::test]
async fn what_is_not_known_is_not_compared() {
    let mut shop = read_since(10).await;
    shop.index("prod", vec![timeout("com.acme.New").ago(2 * DAY)]).await;
    let app = shop.app();
    let words = app.get("/?range=7d").await.words();
    assert!(
        words.contains("Of the 7 d before only 2 d 23 h are known") || words.contains("Of the 7 d before only 3 d are known"),
        "{words}"
    );
    let words = app.get("/?range=30d").await.words();
    assert!(words.contains("and nothing before to compare with.") && words.contains("Nothing to compare with yet."), "{words}");
    let found = app.get("/api/v1/overview?range=30d").await.json()["trend"].clone();
    assert_eq!((&found["compared"], &found["failure_groups"][0]["before"]), (&false.into(), &serde_json::Value::Null), "{found:#}");
    assert!(!app.get("/?range=24h").await.words().contains("Are we getting better?"), "a day has no trend");
    assert_eq!(app.get("/api/v1/overview?range=24h").await.json()["trend"], serde_json::Value::Null);
}

/// Spans and lag of an hour, so many days ago: how many of a hundred spans failed, how long messages took, and what was left to read.
async fn spans_and_lag(shop: &Seeded, days_ago: &[(u64, f64, f64, f64)]) {
    for (place, (days, failed, took, lag)) in days_ago.iter().enumerate() {
        let taken_at = shop.now.minus(Duration::from_secs(days * DAY));
        let (source, after) = (format!("spans-{place}"), taken_at.minus(Duration::from_secs(HOUR)));
        let mut times = Histogram::new();
        (0..100).for_each(|_| times.record(*took));
        let labels = Labels::bus(&"prod".into()).topic(&"a".into()).consumer_group(&"labels".into());
        let of = |figure, labels: &Labels| SeriesKey { figure, labels: labels.clone() };
        let spans = labels.clone().service("labels").operation("process");
        let begin = NewFrame { source: &source, after: None, taken_at: after, points: Vec::new(), state: None, snapshot: false };
        assert!(shop.store.add_frame(begin).await.expect("written"));
        let points = vec![
            (of(Figure::SpansPerSecond, &spans), Point::Count(100.0)),
            (of(Figure::SpanErrorsPerSecond, &spans), Point::Count(*failed)),
            (of(Figure::EndToEndDurationSeconds, &spans), Point::Durations(times)),
            (of(Figure::ConsumerGroupLagMessages, &labels), Point::Level(*lag)),
        ];
        let frame = NewFrame { source: &source, after: Some(after), taken_at, points, state: None, snapshot: false };
        assert!(shop.store.add_frame(frame).await.expect("written"));
    }
    while shop.store.roll_up_figures(shop.now).await.expect("rolled up") {}
}

#[tokio::test]
async fn latency_failed_spans_and_lag_stand_beside_the_week_before() {
    let shop = read_since(60).await;
    spans_and_lag(&shop, &[(10, 10.0, 0.5, 4_000.0), (3, 5.0, 2.0, 1_000.0)]).await;
    let app = shop.app();
    let words = app.get("/?range=7d").await.words();
    let trend = &words[words.find("Are we getting better?").unwrap_or_else(|| panic!("{words}"))..];
    assert!(trend.contains("Spans that failed of all that touched a message 5.0 % 10.0 % 50 % fewer"), "{trend}");
    assert!(trend.contains("Lag of all consumer groups messages, mean 1,000 4,000 75 % less"), "{trend}");
    let found = app.get("/api/v1/overview?range=7d").await.json()["trend"].clone();
    let figure = |name: &str| {
        let rows = found["figures"].as_array().expect("figures");
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {found:#}")).clone()
    };
    let p95 = figure("end_to_end_duration_seconds");
    assert_eq!(p95["meaning"], "p95");
    let (now, before) = (p95["now"].as_f64().expect("a time"), p95["before"].as_f64().expect("a time"));
    assert!((now - 2.0).abs() < 0.1 && (before - 0.5).abs() < 0.03, "{p95}");
    assert!(p95["text"].as_str().is_some_and(|text| text.ends_with("times as long")), "{p95}");
    assert_eq!(figure("spans_error_ratio")["now"].as_f64(), Some(0.05));
    let csv = app.get("/api/v1/overview/export?range=7d").await.text().to_owned();
    assert!(
        csv.contains("trend,\"\",\"\",consumer_group_lag_messages,1000,4000,\"Lag of all consumer groups, messages, mean: 75 % less\""),
        "{csv}"
    );
    let other = app.get("/api/v1/overview?range=7d&bus=other").await.json()["trend"].clone();
    let told = other["figures"].as_array().expect("figures").iter().any(|row| row["name"] == "spans_error_ratio");
    assert!(!told, "another bus has no spans: {other:#}");
}
