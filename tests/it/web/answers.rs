//! What pages show of figures, traces and alerts, the API tells too.

use std::time::Duration;

use axum::http::StatusCode;
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::metrics::group::{Before, standing};
use redrive::metrics::histogram::Histogram;
use redrive::model::bus::TopicRole;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::model::lag::{GroupOffset, GroupStatus, Look, Verdict};
use redrive::model::{BusKind, Role, Timestamp};
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::figures::NewFrame;
use serde_json::{Value, json};

use super::site::Site;
use super::topics::{fill, seen, site as site_of};

const MINUTE: Duration = Duration::from_mins(1);

/// Looks of one source: what each of them brought.
async fn look(site: &Site, at: Timestamp, points: Vec<(SeriesKey, Point)>) {
    let after = site.store.figure_source("bus:prod").await.expect("readable").map(|(at, _)| at);
    let frame = NewFrame { source: "bus:prod", after, taken_at: at, points, state: None, snapshot: false };
    assert!(site.store.add_frame(frame).await.expect("it is written"));
}

fn of_topic(figure: Figure, topic: &str) -> SeriesKey {
    SeriesKey { figure, labels: Labels::bus(&"prod".into()).topic(&topic.into()) }
}

fn of_group(figure: Figure, topic: &str) -> SeriesKey {
    SeriesKey { figure, labels: Labels::bus(&"prod".into()).topic(&topic.into()).consumer_group(&"billing".into()) }
}

fn durations(seconds: &[f64]) -> Point {
    let mut histogram = Histogram::new();
    for seconds in seconds {
        histogram.record(*seconds);
    }
    Point::Durations(histogram)
}

/// A number of an answer, to two digits: a histogram knows durations within 1.1 %.
fn about(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= expected * 0.02)
}

#[tokio::test]
async fn topics_tell_their_throughput_and_a_group_how_long_until_it_is_caught_up() {
    let (site, mara) = site_of(Duration::from_secs(5), &[]).await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 1), seen("quiet", TopicRole::Ordinary, 1)]).await;
    let now = Timestamp::now();
    let looks = Some((Look { at: now.minus(MINUTE), committed: 300, end: 1_000 }, Look { at: now, committed: 500, end: 1_100 }));
    let verdict = Verdict { status: GroupStatus::CatchingUp, since: None, evidence: "because".to_owned(), looks };
    let offsets = vec![GroupOffset { log_start: Some(100), end: Some(1_100), verdict, ..GroupOffset::new("orders".into(), 0, Some(500)) }];
    let before = Before { first_seen_at: now, status: GroupStatus::CatchingUp, since: None, behind_since: None };
    let standing = standing(&offsets, None, before, now);
    let group =
        SeenGroup { name: "billing".into(), kind: "classic".to_owned(), state: "Stable".to_owned(), members: None, offsets, standing };
    site.store.record_consumer_groups(&"prod".into(), &[group], Some(&["billing".into()]), now).await.expect("kept");
    let counts = |written: f64, read: f64| {
        let written = (of_topic(Figure::TopicMessagesPerSecond, "orders"), Point::Count(written));
        vec![written, (of_group(Figure::ConsumerGroupMessagesPerSecond, "orders"), Point::Count(read))]
    };
    look(&site, now.minus(MINUTE * 3), counts(0.0, 0.0)).await;
    look(&site, now.minus(MINUTE * 2), counts(60.0, 300.0)).await;
    look(&site, now.minus(MINUTE), counts(180.0, 420.0)).await;

    let topics = site.get("/api/v1/buses/prod/topics").by(&mara).send().await.json();
    let rates: Vec<&Value> = topics["items"].as_array().expect("topics").iter().map(|topic| &topic["messages_per_second"]).collect();
    assert!(about(rates[0], 2.0) && rates[1].is_null(), "240 in 120 s, and nothing known of the other: {rates:?}");
    let topic = site.get("/api/v1/buses/prod/topics/orders").by(&mara).send().await.json();
    assert!(about(&topic["messages_per_second"], 2.0), "{topic}");
    let found = site.get("/api/v1/buses/prod/consumer-groups/billing").by(&mara).send().await.json();
    assert_eq!((&found["status"], &found["lag_messages"]), (&json!("catching_up"), &json!(600)), "{found}");
    assert!(about(&found["messages_per_second"], 6.0) && about(&found["written_per_second"], 2.0), "{found}");
    assert!(about(&found["caught_up_in_seconds"], 150.0), "600 left, 4 gained each second: {found}");
}

#[tokio::test]
async fn quantiles_of_several_series_are_told_as_one() {
    let (site, mara) = site_of(Duration::from_secs(5), &[]).await;
    let now = Timestamp::now();
    for (topic, seconds) in [("orders", 0.1), ("payments", 10.0)] {
        look(&site, now, vec![(of_topic(Figure::EndToEndDurationSeconds, topic), durations(&[seconds; 10]))]).await;
    }
    let ask = async |query: &str| {
        let path = format!("/api/v1/series?figure=end_to_end_duration_seconds&bus=prod&step=5m&{query}");
        let answer = site.get(&path).by(&mara).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
        answer.json()["series"].clone()
    };
    let newest = |series: &Value| {
        let points = series["points"].as_array().expect("points").iter();
        points.rev().map(|point| point[1].clone()).find(|value| !value.is_null()).unwrap_or(Value::Null)
    };
    assert_eq!(ask("quantile=0.5").await.as_array().map(Vec::len), Some(2), "each for itself");
    for (quantile, expected) in [("0.4", 0.1), ("0.99", 10.0)] {
        let merged = ask(&format!("quantile={quantile}&merged=true")).await;
        assert_eq!((merged.as_array().map(Vec::len), &merged[0]["labels"]), (Some(1), &json!({"bus": "prod"})));
        assert!(about(&newest(&merged[0]), expected), "{quantile}: {merged}");
    }
    let level = site.get("/api/v1/series?figure=consumer_group_lag_messages&merged=true").by(&mara).send().await;
    assert_eq!(level.problem(), (422, "invalid_field".to_owned(), Some("merged".to_owned())));
}

#[tokio::test]
async fn what_is_kept_of_spans_and_what_was_dropped_is_told() {
    let site = Site::new().await;
    let viewer = site.person("vi", Role::Viewer).await;
    let empty = site.get("/api/v1/traces/usage").by(&viewer).send().await.json();
    assert_eq!((&empty["hot_spans"], &empty["hot_since"], &empty["losses"]), (&json!(0), &Value::Null, &json!([])));
    assert_eq!(empty["max_bytes"], json!(1_u64 << 30), "the limit beyond which the oldest go");
    let at = Timestamp::parse_rfc3339("2026-11-24T03:00:00Z").expect("a time");
    site.store.note_span_loss("topic", 70, at).await.expect("noted");
    site.store.note_span_loss("repeats", 0, at).await.expect("noted");
    let told = site.get("/api/v1/traces/usage").by(&viewer).send().await.json();
    let loss = |what: &str, count: u64| json!({"what": what, "spans": count, "last_at": "2026-11-24T03:00:00.000Z"});
    assert_eq!(told["losses"], json!([loss("repeats", 0), loss("topic", 70)]));
    assert_eq!(site.get("/api/v1/traces/services").by(&viewer).send().await.json(), json!({"items": [], "next_cursor": null}));
}

/// A site where `billing` fell behind after its offsets were set, and a rule has noticed.
async fn with_an_alert(toml: &str) -> (Site, String, Value) {
    let site = Site::with(toml).await;
    let admin = site.person("mara", Role::Admin).await;
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let rule = json!({
        "name": "Lag", "figure": "consumer_group_lag_messages", "by": ["bus", "consumer_group"], "threshold": 100, "no_data": "ok",
    });
    assert_eq!(site.post("/api/v1/alert-rules").by(&admin).json(rule).send().await.status, StatusCode::CREATED);
    let now = Timestamp::now();
    let event = |minutes: u32, kind| GroupEvent {
        at: now.minus(MINUTE * minutes),
        kind,
        group: "billing".into(),
        topic: None,
        detail: "to the beginning".to_owned(),
    };
    let events = [event(90, GroupEventKind::Rebalanced), event(4, GroupEventKind::OffsetsSet), event(1, GroupEventKind::StatusChanged)];
    site.store.add_group_events(&"prod".into(), &events).await.expect("kept");
    look(&site, now, vec![(of_group(Figure::ConsumerGroupLagMessages, "orders"), Point::Level(400.0))]).await;
    Evaluator::new("").look(&site.store, None, true, now).await.expect("a look");
    let alert = site.get("/api/v1/alerts").by(&admin).send().await.json()["items"][0].clone();
    assert_eq!(alert["state"], json!("firing"));
    (site, admin, alert)
}

#[tokio::test]
async fn an_alert_leads_to_its_page_to_its_cause_and_to_what_changed_before_it() {
    let (site, admin, listed) = with_an_alert("[http]\npublic_url = \"http://redrive.example/ops\"").await;
    let id = listed["id"].as_str().expect("ids are strings").to_owned();
    let base = "http://redrive.example/ops";
    assert_eq!(listed["url"], json!(format!("{base}/alerts/{id}")));
    let cause = listed["ways"][0].clone();
    assert_eq!(cause["text"], json!("See consumer group"));
    assert!(
        cause["url"].as_str().is_some_and(|url| url.starts_with(&format!("{base}/buses/prod/consumer-groups/billing?from="))),
        "{cause}"
    );
    let one = site.get(&format!("/api/v1/alerts/{id}")).by(&admin).send().await.json();
    assert_eq!((&one["id"], &one["ways"]), (&listed["id"], &listed["ways"]));
    let before = one["before"].as_array().expect("a list");
    assert_eq!(before.len(), 1, "not the rebalance of an hour before, no status, and not the alert itself: {before:?}");
    assert_eq!(
        (&before[0]["kind"], &before[0]["consumer_group"], &before[0]["text"], &before[0]["url"]),
        (
            &json!("offsets_set"),
            &json!("billing"),
            &json!("Offsets of billing set by hand: to the beginning"),
            &json!(format!("{base}/buses/prod/consumer-groups/billing"))
        )
    );
    let rule = site.get("/api/v1/alert-rules").by(&admin).send().await.json()["items"][0].clone();
    assert_eq!(rule["last_fired_at"], listed["started_at"], "the list of rules says when each last fired");
}

#[tokio::test]
async fn a_time_line_is_read_page_by_page_and_says_what_is_asked_wrongly() {
    let (site, admin, alert) = with_an_alert("").await;
    let path = "/api/v1/buses/prod/happenings";
    let all = site.get(path).by(&admin).send().await.json();
    let kinds = |answer: &Value| -> Vec<String> {
        answer["items"].as_array().expect("items").iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    assert_eq!(kinds(&all), ["alert_fired", "status_changed", "offsets_set", "rebalanced"]);
    assert_eq!((&all["items"][0]["alert_id"], &all["items"][0]["at"]), (&alert["id"], &alert["started_at"]));
    let first = site.get(&format!("{path}?limit=3")).by(&admin).send().await.json();
    let next = first["next_cursor"].as_str().expect("there is more").to_owned();
    let second = site.get(&format!("{path}?limit=3&cursor={next}")).by(&admin).send().await.json();
    assert_eq!((kinds(&second), &second["next_cursor"]), (vec!["rebalanced".to_owned()], &Value::Null));
    let some = site.get(&format!("{path}?kind=rebalanced&kind=offsets_set&consumer_group=billing")).by(&admin).send().await.json();
    assert_eq!(kinds(&some), ["offsets_set", "rebalanced"]);
    assert_eq!(kinds(&site.get(&format!("{path}?consumer_group=other")).by(&admin).send().await.json()), [""; 0]);
    for (query, code, field) in [
        ("kind=earthquake", "invalid_field", "kind"),
        ("from=yesterday", "invalid_field", "from"),
        ("from=2026-11-24T03:00:00Z&to=2026-11-24T02:00:00Z", "invalid_field", "from"),
        ("cursor=x", "invalid_field", "cursor"),
        ("limit=0", "invalid_field", "limit"),
        ("group=billing", "unknown_field", "group"),
    ] {
        let answer = site.get(&format!("{path}?{query}")).by(&admin).send().await;
        assert_eq!(answer.problem(), (422, code.to_owned(), Some(field.to_owned())), "{query}");
    }
    assert_eq!(site.get("/api/v1/buses/nowhere/happenings").by(&admin).send().await.problem().0, 404);
}

#[tokio::test]
async fn who_changed_a_rule_and_which_rules_tell_a_receiver_is_asked_and_done_by_api() {
    let (site, admin, alert) = with_an_alert("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]").await;
    let viewer = site.person("vi", Role::Viewer).await;
    let receiver = json!({"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/x"});
    let receiver = site.post("/api/v1/receivers").by(&admin).json(receiver).send().await;
    assert_eq!(receiver.status, StatusCode::CREATED, "{}", receiver.text);
    let receiver = receiver.json();
    assert_eq!((&receiver["deliveries_last_week"], &receiver["delivered_last_week"]), (&json!(0), &json!(0)));
    let act = format!("/api/v1/receivers/{}/rules", receiver["id"].as_str().expect("ids are strings"));
    assert_eq!(site.post(&act).by(&viewer).send().await.problem().0, 403);
    assert_eq!(site.post(&act).by(&admin).send().await.json(), json!({"rules": 1}));
    assert_eq!(site.post(&act).by(&admin).send().await.json(), json!({"rules": 0}), "all of them tell somebody now");
    assert_eq!(site.post("/api/v1/receivers/99/rules").by(&admin).send().await.problem().0, 404);
    let rule = format!("/api/v1/alert-rules/{}", alert["rule_id"].as_str().expect("ids are strings"));
    assert_eq!(site.get(&rule).by(&viewer).send().await.json()["receivers"], json!([receiver["id"]]));
    let changes = site.get(&format!("{rule}/changes")).by(&viewer).send().await.json();
    let told: Vec<(&str, &str)> = changes["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|change| (change["by"].as_str().unwrap_or_default(), change["action"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(told, [("user:mara", "alert_rules.change"), ("user:mara", "alert_rules.add")]);
    let last = site.get(&format!("{rule}/changes?limit=1")).by(&viewer).send().await.json();
    assert_eq!(last["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(site.get("/api/v1/alert-rules/99/changes").by(&viewer).send().await.problem().0, 404);
    for (query, field) in [("alert=x", "alert"), ("rule=x", "rule"), ("receiver=x", "receiver"), ("state=lost", "state")] {
        let answer = site.get(&format!("/api/v1/deliveries?{query}")).by(&viewer).send().await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned(), Some(field.to_owned())), "{query}");
    }
    let none = site.get("/api/v1/deliveries?alert=1&rule=1").by(&viewer).send().await.json();
    assert_eq!(none, json!({"items": [], "next_cursor": null}), "nothing was told yet");
}

#[tokio::test]
async fn a_scrape_tells_quantiles_of_durations_where_that_is_switched_on() {
    for (toml, on) in [("[http]\nmetrics_public = true\nbus_figures = true", true), ("[http]\nmetrics_public = true", false)] {
        let site = Site::with(toml).await;
        let now = Timestamp::now();
        look(&site, now.minus(MINUTE * 2), Vec::new()).await;
        let points = vec![
            (of_topic(Figure::TopicMessagesPerSecond, "orders"), Point::Count(180.0)),
            (of_topic(Figure::PublishDurationSeconds, "orders"), durations(&[0.01; 50])),
            (of_group(Figure::EndToEndDurationSeconds, "orders"), durations(&[[0.2; 98].as_slice(), &[5.0; 2]].concat())),
        ];
        look(&site, now.minus(MINUTE), points).await;
        let text = site.get("/metrics").send().await.text;
        let value = |line: &str| text.lines().find_map(|other| other.strip_prefix(line)?.trim().parse::<f64>().ok());
        let of = |labels: &str| {
            value(&format!("redrive_end_to_end_duration_seconds{{bus=\"prod\",consumer_group=\"billing\",{labels}topic=\"orders\"}} "))
        };
        if !on {
            assert!(!text.contains("redrive_topic_messages_per_second") && !text.contains("duration_seconds{bus="), "{text}");
            continue;
        }
        for (quantile, expected) in [("0.5", 0.2), ("0.9", 0.2), ("0.95", 0.2), ("0.99", 5.0)] {
            let found = of(&format!("quantile=\"{quantile}\","));
            assert!(found.is_some_and(|found| (found - expected).abs() < expected * 0.02), "{quantile}: {found:?} in\n{text}");
        }
        let measured = "redrive_end_to_end_duration_seconds_measured{bus=\"prod\",consumer_group=\"billing\",topic=\"orders\"} ";
        assert_eq!(value(measured), Some(100.0), "{text}");
        assert_eq!(value("redrive_publish_duration_seconds_measured{bus=\"prod\",topic=\"orders\"} "), Some(50.0));
        assert_eq!(value("redrive_topic_messages_per_second{bus=\"prod\",topic=\"orders\"} "), Some(3.0));
        assert_eq!(value("redrive_bus_figures_left_out "), Some(0.0));
    }
}
