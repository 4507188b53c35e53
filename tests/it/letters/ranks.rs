//! The first page ranks topics and consumer groups, tells dead letters in and out, and says the same by API and as CSV.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::metrics::histogram::Histogram;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::lag::{GroupOffset, GroupStatus, Standing};
use redrive::model::{DeadLetterId, GroupName, Status};
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::figures::NewFrame;

use crate::harness::letters::{App, Failing, Seeded};

fn group(name: &str, lag: i64, status: GroupStatus) -> SeenGroup {
    SeenGroup {
        name: GroupName::from(name),
        kind: "consumer".to_owned(),
        state: "Stable".to_owned(),
        members: Some(Vec::new()),
        offsets: vec![GroupOffset { end: Some(10_000), log_start: Some(0), ..GroupOffset::new("orders".into(), 0, Some(10_000 - lag)) }],
        standing: Standing { status, since: None, evidence: format!("{name} is told so"), parked: false, behind_since: None },
    }
}

/// An hour of looks: `orders` is busy and `quiet` is not; `growing` falls behind, `steady` stays where it is; one span in four of
/// `orders` fails.
async fn frames(shop: &Seeded) {
    let bus = Labels::bus(&"prod".into());
    let mut after = None;
    for minute in (0..60_u32).rev() {
        let taken_at = shop.now.minus(Duration::from_secs(60 * u64::from(minute)));
        let key = |figure, labels: &Labels| SeriesKey { figure, labels: labels.clone() };
        let (orders, quiet) = (bus.clone().topic(&"orders".into()), bus.clone().topic(&"quiet".into()));
        let (growing, steady) = (orders.clone().consumer_group(&"growing".into()), orders.clone().consumer_group(&"steady".into()));
        let spans = growing.clone().service("billing").operation("process");
        let mut took = Histogram::new();
        (0..10).for_each(|_| took.record(0.5));
        let points = vec![
            (key(Figure::BusMessagesPerSecond, &bus), Point::Count(660.0)),
            (key(Figure::TopicMessagesPerSecond, &orders), Point::Count(600.0)),
            (key(Figure::TopicMessagesPerSecond, &quiet), Point::Count(60.0)),
            (key(Figure::ConsumerGroupMessagesPerSecond, &growing), Point::Count(120.0)),
            (key(Figure::ConsumerGroupMessagesPerSecond, &steady), Point::Count(600.0)),
            (key(Figure::ConsumerGroupLagMessages, &growing), Point::Level(f64::from((59 - minute) * 10))),
            (key(Figure::ConsumerGroupLagMessages, &steady), Point::Level(900.0)),
            (key(Figure::SpansPerSecond, &spans), Point::Count(40.0)),
            (key(Figure::SpanErrorsPerSecond, &spans), Point::Count(10.0)),
            (key(Figure::EndToEndDurationSeconds, &spans), Point::Durations(took.clone())),
            (key(Figure::ProcessingDurationSeconds, &spans), Point::Durations(took)),
        ];
        let frame = NewFrame { source: "bus:prod", after, taken_at, points, state: None, snapshot: false };
        assert!(shop.store.add_frame(frame).await.expect("written"));
        after = Some(taken_at);
    }
}

async fn scene() -> (Seeded, App) {
    let mut shop = Seeded::new().await.bus("prod", &["orders-dlt", "lost-dlt"]).await;
    let groups = [
        group("growing", 590, GroupStatus::CatchingUp),
        group("steady", 900, GroupStatus::CatchingUp),
        group("broken", 3, GroupStatus::Stalled),
        group("idle", 0, GroupStatus::CaughtUp),
        group("failing", 0, GroupStatus::CaughtUp),
    ];
    let names: Vec<GroupName> = groups.iter().map(|group| group.name.clone()).collect();
    shop.store.record_consumer_groups(&"prod".into(), &groups, Some(&names), shop.now).await.expect("groups");
    let failing = (0..5).map(|n| Failing::spring("orders-dlt", "failing", "com.acme.Broken", "no").ago(60 + n));
    shop.index("prod", failing.chain([Failing::on("lost-dlt").ago(90)]).collect()).await;
    frames(&shop).await;
    let app = shop.app();
    (shop, app)
}

#[tokio::test]
async fn the_worst_are_ranked_as_somebody_on_call_would_and_the_busiest_by_messages() {
    let (_shop, app) = scene().await;
    let found = app.get("/api/v1/overview").await.json();
    let names = |list: &serde_json::Value, name: &str| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|row| row[name].as_str().expect("a name").to_owned()).collect()
    };
    let (worst, busiest) = (&found["worst"], &found["busiest"]);
    assert_eq!(names(&worst["consumer_groups"], "group"), ["broken", "failing", "growing", "steady"], "{worst:#}");
    assert_eq!(names(&worst["topics"], "topic"), ["orders", "lost-dlt"], "{worst:#}");
    assert_eq!(names(&busiest["consumer_groups"], "group"), ["steady", "growing"]);
    assert_eq!(names(&busiest["topics"], "topic"), ["orders", "quiet"]);
    let growing = &worst["consumer_groups"][2];
    assert_eq!((growing["lag_change_messages"].as_f64(), growing["spans_error_ratio"].as_f64()), (Some(590.0), Some(0.25)), "{growing:#}");
    let rate = growing["messages_per_second"].as_f64().expect("a rate");
    assert!((rate - 2.0).abs() < 0.1, "{rate}");
    let broken = &worst["consumer_groups"][0];
    assert_eq!((&broken["status"], &broken["lag_change_messages"]), (&"stalled".into(), &serde_json::Value::Null), "{broken:#}");
    let orders = &worst["topics"][0];
    assert_eq!((&orders["dead_letters"], orders["spans_error_ratio"].as_f64()), (&5.into(), Some(0.25)), "{orders:#}");
    let words = app.get("/").await.words();
    let row = "Stalled broken broken is told so 3";
    assert!(words.contains(row) && words.contains("+590") && words.contains("25.0 %"), "{words}");
    assert!(words.contains("orders 5 25.0 % 10.0") && words.contains("lost-dlt 1 no spans no sample"), "{words}");
    assert!(words.contains("steady 10.0 900") && words.contains("growing 2.0 590"), "{words}");
}

#[tokio::test]
async fn a_group_that_is_among_the_worst_because_its_lag_grows_shows_its_spans() {
    let shop = Seeded::new().await.bus("prod", &["orders-dlt"]).await;
    let steady = (0..7).map(|n| group(&format!("steady-{n}"), 500 + n, GroupStatus::CatchingUp));
    let groups: Vec<SeenGroup> = steady.chain([group("riser", 5, GroupStatus::CatchingUp)]).collect();
    let names: Vec<GroupName> = groups.iter().map(|group| group.name.clone()).collect();
    shop.store.record_consumer_groups(&"prod".into(), &groups, Some(&names), shop.now).await.expect("groups");
    let riser = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"riser".into());
    let spans = riser.clone().service("billing").operation("process");
    let mut after = None;
    for minute in (0..6_u32).rev() {
        let taken_at = shop.now.minus(Duration::from_secs(60 * u64::from(minute)));
        let points = vec![
            (SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels: riser.clone() }, Point::Level(f64::from(5 - minute))),
            (SeriesKey { figure: Figure::SpansPerSecond, labels: spans.clone() }, Point::Count(40.0)),
        ];
        let frame = NewFrame { source: "bus:prod", after, taken_at, points, state: None, snapshot: false };
        assert!(shop.store.add_frame(frame).await.expect("written"));
        after = Some(taken_at);
    }
    let found = shop.app().get("/api/v1/overview").await.json()["worst"]["consumer_groups"][0].clone();
    assert_eq!((&found["group"], &found["spans_error_ratio"]), (&"riser".into(), &0.0.into()), "{found:#}");
}

#[tokio::test]
async fn the_api_answers_what_the_page_shows() {
    let (_shop, app) = scene().await;
    let found = app.get("/api/v1/overview").await.json();
    let p95 = found["latency"]["p95_seconds"].as_f64().expect("a latency");
    assert!((p95 - 0.5).abs() < 0.02, "{p95}");
    assert_eq!(found["spans"]["ratio"].as_f64(), Some(0.25), "{}", found["spans"]);
    let rate = found["throughput"]["messages_per_second"].as_f64().expect("a rate");
    assert!((rate - 11.0).abs() < 0.2, "{rate}");
    assert_eq!(found["throughput"]["messages_per_second_before"], serde_json::Value::Null, "nothing was sampled before");
    let lag = &found["lag"];
    assert_eq!((&lag["lag_messages"], &lag["consumer_groups"], &lag["to_look_at"]), (&1_493.into(), &5.into(), &1.into()), "{lag:#}");
    let ids: Vec<&str> = found["drawings"].as_array().expect("drawings").iter().map(|one| one["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["throughput", "most-lag", "end-to-end", "failed-spans"]);
    let line = &found["drawings"][2]["lines"][0];
    assert_eq!((&line["label"], line["points"].as_array().map(Vec::len)), (&"p99".into(), Some(60)), "{line:#}");
    let attention = found["attention"].as_array().expect("a list");
    let stalled = attention.iter().find(|item| item["text"] == "Consumer group broken: stalled").expect("the group is named");
    assert_eq!((&stalled["evidence"], &stalled["severity"]), (&"broken is told so".into(), &"critical".into()), "{stalled:#}");
    let url = stalled["url"].as_str().expect("an address");
    assert!(url.starts_with("http") && url.ends_with("/buses/prod/consumer-groups/broken"), "{url}");
    let day = app.get("/api/v1/overview?range=24h&bus=other").await.json();
    assert_eq!((&day["latency"]["p95_seconds"], &day["lag"]["lag_messages"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(day["worst"]["topics"], serde_json::json!([]));
}

#[tokio::test]
async fn all_consumer_groups_of_each_bus_are_one_step_away() {
    let (shop, app) = scene().await;
    let page = app.get("/").await;
    assert!(page.text().contains(r#"<a href="/buses/prod/consumer-groups">All consumer groups</a>"#), "{}", page.text());
    let both = shop.bus("east", &["mail-dlt"]).await;
    let page = both.app().get("/").await;
    let pager = page.text().split_once("All consumer groups of").expect("the list of the worst has an end").1;
    let links = pager.split_once("</div>").expect("its end").0;
    for link in [r#"<a href="/buses/prod/consumer-groups">prod</a>"#, r#"<a href="/buses/east/consumer-groups">east</a>"#] {
        assert!(links.contains(link), "{link}: {links}");
    }
    let one = both.app().get("/?bus=east").await;
    assert!(!one.text().contains("/buses/prod/consumer-groups\">"), "the other bus is not shown");
}

#[tokio::test]
async fn dead_letters_in_stand_beside_those_out() {
    let (shop, app) = scene().await;
    let moved = async |ids: &[i64], from, to| {
        let ids: Vec<DeadLetterId> = ids.iter().copied().map(DeadLetterId).collect();
        shop.store.change_status(&ids, from, to, shop.now.minus(Duration::from_secs(30))).await.expect("moved");
    };
    moved(&[1, 2], Status::Open, Status::Replaying).await;
    moved(&[1, 2], Status::Replaying, Status::Replayed).await;
    moved(&[1], Status::Replayed, Status::Resolved).await;
    moved(&[3, 4, 5], Status::Open, Status::Discarded).await;
    moved(&[5], Status::Discarded, Status::Open).await;
    let words = app.get("/").await.words();
    let lines = "Arrived 6 Replayed 2 resolved 1 failed again 0 Discarded 3 taken back 1 Purged from the bus 0";
    assert!(words.contains(lines), "{words}");
    assert!(words.contains("Dealt with in the last hour 4 2 replayed, 3 discarded, 1 taken back"), "{words}");
    let out = app.get("/api/v1/overview").await.json()["dead_letters"]["out"].clone();
    let wanted = serde_json::json!({
        "counted_since": null, "replayed": 2, "resolved": 1, "failed_again": 0, "discarded": 3, "restored": 1, "purged": 0,
        "by_whole_hours": false
    });
    assert_eq!(out, wanted);
    assert_eq!(app.get("/api/v1/overview?bus=other").await.json()["dead_letters"]["out"]["replayed"], 0);
}

#[tokio::test]
async fn the_export_says_what_the_page_says_one_number_a_line() {
    let (_shop, app) = scene().await;
    let page = app.get("/?range=24h&utm=mail").await;
    assert!(page.text().contains("href=\"/api/v1/overview/export?range=24h\""), "the page leads to its export");
    let answer = app.get("/api/v1/overview/export?range=1h").await;
    let csv = answer.text().to_owned();
    for line in [
        "section,bus,name,figure,value,before,note",
        "dead_letters,\"\",\"\",arrived,6,0,\"\"",
        "flow,\"\",\"\",spans_error_ratio,0.25,,\"\"",
        "worst_topic,\"prod\",\"orders\",dead_letters,5,,\"\"",
        "worst_consumer_group,\"prod\",\"growing\",lag_change_messages,590,,\"\"",
        "worst_consumer_group,\"prod\",\"broken\",status,stalled,,\"broken is told so\"",
        "busiest_topic,\"prod\",\"quiet\",dead_letters,0,,\"\"",
        "attention,\"\",\"prod\",critical,,,\"Consumer group broken: stalled: broken is told so\"",
    ] {
        assert!(csv.lines().any(|found| found == line), "{line}\n{csv}");
    }
    assert!(csv.lines().all(|line| line.matches(',').count() >= 6), "{csv}");
    assert!(!csv.contains("trend,"), "an hour has no trend");
    let asked_wrongly = app.get("/api/v1/overview/export?range=soon").await;
    assert!(asked_wrongly.text().contains("range"), "{}", asked_wrongly.text());
}

#[tokio::test]
async fn a_topic_and_a_consumer_group_draw_their_latency_and_failed_spans() {
    let (shop, app) = scene().await;
    let topic = redrive::store::topics::SeenTopic {
        topic: "orders".into(),
        topic_id: Some("id-orders".to_owned()),
        role: redrive::model::bus::TopicRole::Ordinary,
        internal: false,
        replication_factor: 1,
        compacted: false,
        config: std::collections::BTreeMap::new(),
        partitions: [(0, Some(1))].into(),
    };
    shop.store.record_topics(&"prod".into(), &[topic], shop.now).await.expect("topics");
    for page in ["/buses/prod/topics/orders", "/buses/prod/consumer-groups/growing"] {
        let page = app.get(page).await;
        let words = page.words();
        assert!(words.contains("Spans that touched a message and failed, by service percent, per min; other spans that failed are under Traces billing 25.0 %"), "{words}");
        assert!(words.contains("From sending to processed time, per min p99") && words.contains("Processing time, per min p99"), "{words}");
        assert!(!words.contains("Publish time") && !words.contains("Time in broker"), "nobody measured that: {words}");
        assert!(page.text().contains("From sending to processed as a table"), "exact figures are one key away");
    }
    let none = app.get("/buses/prod/consumer-groups/idle").await.words();
    assert!(!none.contains("Spans that touched"), "{none}");
}
