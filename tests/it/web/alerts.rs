//! Rules, alerts and silences by API.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::{BusKind, Role, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::figures::NewFrame;
use serde_json::{Value, json};

use super::site::Site;

fn lag() -> Value {
    json!({
        "name": "Lag", "figure": "consumer_group_lag_messages", "filter": {"bus": "prod"}, "by": ["bus", "consumer_group"],
        "threshold": 100, "severity": "critical", "summary": "{consumer_group} is {value} behind", "labels": {"team": "pay"}
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut body = lag();
    body[field] = value;
    body
}

/// A look of the sampler: how far `billing` is behind.
async fn sample(site: &Site, at: Timestamp, lag: f64) {
    let after = site.store.figure_source("bus:prod").await.expect("readable").map(|(at, _)| at);
    let labels = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"billing".into());
    let points = vec![(SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(lag))];
    let frame = NewFrame { source: "bus:prod", after, taken_at: at, points, state: None, snapshot: false };
    assert!(site.store.add_frame(frame).await.expect("it is written"));
}

#[tokio::test]
async fn an_administrator_keeps_rules() {
    let site = Site::new().await;
    let (admin, operator) = (site.person("mara", Role::Admin).await, site.person("sam", Role::Operator).await);
    let denied = site.post("/api/v1/alert-rules").by(&operator).json(lag()).send().await;
    assert_eq!(denied.problem().0, 403);
    let added = site.post("/api/v1/alert-rules").by(&admin).json(lag()).send().await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    let rule = added.json();
    assert_eq!(
        (&rule["for"], &rule["window"], &rule["no_data"], &rule["enabled"], &rule["filter"], &rule["unit"]),
        (&json!("0s"), &json!("300s"), &json!("keep"), &json!(true), &json!({"bus": "prod"}), &json!("messages"))
    );
    let path = format!("/api/v1/alert-rules/{}", rule["id"].as_str().expect("ids are strings"));
    let changed = site.call(Method::PUT, &path).by(&admin).json(with("for", json!("5m"))).send().await;
    assert_eq!((changed.status, changed.json()["for"].clone()), (StatusCode::OK, json!("300s")));
    let off = site.call(Method::PATCH, &path).by(&admin).json(json!({"enabled": false})).send().await;
    assert_eq!(off.json()["enabled"], json!(false));
    assert_eq!(site.get("/api/v1/alert-rules").by(&operator).send().await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(site.call(Method::DELETE, &path).by(&admin).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get(&path).by(&operator).send().await.problem().1, "not_found");
    let acts: Vec<String> = site.audit().await.into_iter().map(|(action, ..)| action).filter(|act| act.starts_with("alert")).collect();
    assert_eq!(acts, ["alert_rules.delete", "alert_rules.switch_off", "alert_rules.change", "alert_rules.add"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_said_with_its_field() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    for (field, value, named) in [
        ("name", json!(" "), "name"),
        ("figure", json!("lag"), "figure"),
        ("threshold", json!(null), "threshold"),
        ("filter", json!({"service": "x"}), "filter.service"),
        ("filter", json!({"topic": "{a"}), "filter.topic"),
        ("by", json!(["status"]), "by"),
        ("window", json!("soon"), "window"),
        ("for", json!("400d"), "for"),
        ("quantile", json!(0.5), "quantile"),
        ("clear_threshold", json!(101), "clear_threshold"),
        ("summary", json!("{nothing}"), "summary"),
        ("runbook_url", json!("ftp://x"), "runbook_url"),
        ("labels", json!({"bus": "x"}), "labels.bus"),
        ("receivers", json!(["77"]), "receivers"),
        ("receivers", json!(["pager"]), "receivers"),
        ("colour", json!("red"), "colour"),
    ] {
        let answer = site.post("/api/v1/alert-rules").by(&admin).json(with(field, value.clone())).send().await;
        let (status, _, said) = answer.problem();
        assert_eq!((status, said.as_deref()), (422, Some(named)), "{field} = {value}: {}", answer.text);
    }
    assert_eq!(site.get("/api/v1/alert-rules").by(&admin).send().await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_alert_is_listed_taken_note_of_and_silenced() {
    let site = Site::new().await;
    let (admin, operator, viewer) =
        (site.person("mara", Role::Admin).await, site.person("sam", Role::Operator).await, site.person("vi", Role::Viewer).await);
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    assert_eq!(site.post("/api/v1/alert-rules").by(&admin).json(lag()).send().await.status, StatusCode::CREATED);
    let now = Timestamp::now();
    sample(&site, now, 101.0).await;
    let mut evaluator = Evaluator::new("");
    evaluator.look(&site.store, None, true, now).await.expect("a look");
    let found = site.get("/api/v1/alerts?bus=prod&consumer_group=billing&severity=critical").by(&viewer).send().await.json();
    let alert = &found["items"][0];
    assert_eq!(
        (&alert["state"], &alert["summary"], &alert["value"], &alert["labels"]["team"]),
        (&json!("firing"), &json!("billing is 101 messages behind"), &json!(101.0), &json!("pay"))
    );
    for elsewhere in ["bus=test", "state=resolved", "severity=info", "rule=999"] {
        let found = site.get(&format!("/api/v1/alerts?{elsewhere}")).by(&viewer).send().await.json();
        assert_eq!(found["items"], json!([]), "{elsewhere}");
    }
    let path = format!("/api/v1/alerts/{}", alert["id"].as_str().expect("ids are strings"));
    let act = format!("{path}/acknowledge");
    assert_eq!(site.post(&act).by(&viewer).json(json!({})).send().await.problem().0, 403);
    let past = site.post(&act).by(&operator).json(json!({"expires_at": "2020-01-01T00:00:00Z"})).send().await;
    assert_eq!(past.problem().2.as_deref(), Some("expires_at"));
    let noted = site.post(&act).by(&operator).json(json!({"note": "mine"})).send().await.json();
    assert_eq!((&noted["acknowledgement"]["note"], &noted["acknowledgement"]["by"]), (&json!("mine"), &json!("user:sam")));
    assert_eq!(site.call(Method::DELETE, &act).by(&operator).send().await.json()["acknowledgement"], Value::Null);
    assert_eq!(site.call(Method::DELETE, &act).by(&operator).send().await.problem().1, "wrong_state");
    assert_eq!(site.post(&act).by(&operator).send().await.status, StatusCode::OK, "a note is not needed");

    let matchers = json!([{"label": "consumer_group", "operator": "=~", "value": "bill.*"}]);
    let preview = site.post("/api/v1/silences/preview").by(&viewer).json(json!({"matchers": matchers})).send().await.json();
    assert_eq!((&preview["count"], &preview["items"][0]["id"]), (&json!(1), &alert["id"]));
    let everything = json!({"matchers": [{"label": "x", "operator": "!=", "value": "y"}]});
    assert_eq!(site.post("/api/v1/silences/preview").by(&viewer).json(everything).send().await.problem().2.as_deref(), Some("matchers"));
    let body = json!({"matchers": matchers, "comment": "deploy", "ends_at": "2999-01-01T00:00:00Z"});
    let silence = site.post("/api/v1/silences").by(&operator).json(&body).send().await;
    assert_eq!((silence.status, silence.json()["state"].clone()), (StatusCode::CREATED, json!("active")));
    evaluator.look(&site.store, None, true, now.plus(Duration::from_secs(1))).await.expect("a look");
    let id = silence.json()["id"].clone();
    assert_eq!(site.get(&path).by(&viewer).send().await.json()["silenced_by"], id);
    let silence = format!("/api/v1/silences/{}", id.as_str().expect("ids are strings"));
    assert_eq!(site.call(Method::PUT, &silence).by(&operator).json(&body).send().await.status, StatusCode::OK);
    assert_eq!(site.call(Method::DELETE, &silence).by(&operator).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get(&silence).by(&viewer).send().await.json()["state"], json!("ended"));
    assert_eq!(site.get("/api/v1/silences").by(&viewer).send().await.json()["items"], json!([]));
    let figures = site.get("/api/v1/alerts/figures").by(&viewer).send().await.json();
    assert_eq!((&figures["items"][0]["rule"], &figures["items"][0]["fired"]), (&json!("Lag"), &json!(1)));
}

#[tokio::test]
async fn a_rule_is_tried_before_it_is_kept_beside_the_one_that_is() {
    let site = Site::new().await;
    let (admin, viewer) = (site.person("mara", Role::Admin).await, site.person("vi", Role::Viewer).await);
    let saved = site.post("/api/v1/alert-rules").by(&admin).json(with("threshold", json!(1_000))).send().await.json();
    let now = Timestamp::now();
    for (minutes, lag) in [(50, 0.0), (49, 150.0), (48, 400.0), (47, 20.0), (46, 20.0), (45, 300.0), (44, 10.0)] {
        sample(&site, now.minus(Duration::from_mins(minutes)), lag).await;
    }
    let from = now.minus(Duration::from_hours(1)).to_rfc3339();
    let body = json!({"rule": with("no_data", json!("ok")), "rule_id": saved["id"], "from": from, "step": "1m"});
    let answer = site.post("/api/v1/alert-rules/try").by(&viewer).json(&body).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer = answer.json();
    assert!(answer["coarse"].as_str().is_some_and(|said| said.contains("every 1m: each look has the worst value")), "{answer}");
    let month = json!({"rule": with("no_data", json!("ok")), "from": now.minus(Duration::from_hours(30 * 24)).to_rfc3339()});
    let month = site.post("/api/v1/alert-rules/try").by(&viewer).json(&month).send().await.json();
    assert!(month["coarse"].as_str().is_some_and(|said| said.contains("every 1h")), "{month}");
    assert_eq!((&answer["tried"]["fired"], &answer["tried"]["watched"], &answer["saved"]["fired"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!((&answer["tried"]["firing"], &answer["tried"]["longest"]), (&json!("180s"), &json!("120s")));
    assert_eq!(answer["tried"]["alerts"][0]["worst"], json!(400.0));
    let wrong = json!({"rule": with("by", json!(["status"]))});
    assert_eq!(site.post("/api/v1/alert-rules/try").by(&viewer).json(wrong).send().await.problem().2.as_deref(), Some("rule.by"));
    let rules = site.get("/api/v1/alert-rules").by(&viewer).send().await.json();
    assert_eq!(rules["items"].as_array().map(Vec::len), Some(1), "nothing was kept");
}

#[tokio::test]
async fn that_nothing_is_known_is_said_with_its_reason_and_what_fired_before_is_found() {
    let site = Site::new().await;
    let (admin, viewer) = (site.person("mara", Role::Admin).await, site.person("vi", Role::Viewer).await);
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let down = json!({
        "name": "Down", "figure": "bus_reachable", "by": ["bus"], "comparison": "<", "threshold": 1, "severity": "critical"
    });
    for rule in [lag(), down] {
        assert_eq!(site.post("/api/v1/alert-rules").by(&admin).json(rule).send().await.status, StatusCode::CREATED);
    }
    let began = Timestamp::now().minus(Duration::from_mins(10));
    let mut evaluator = Evaluator::new("");
    for (minute, lag) in [(0, 101.0), (1, 0.0), (2, 120.0)] {
        let at = began.plus(Duration::from_mins(minute));
        sample(&site, at, lag).await;
        evaluator.look(&site.store, None, true, at).await.expect("a look");
    }
    let firing = site.get("/api/v1/alerts").by(&viewer).send().await.json()["items"][0].clone();
    assert_eq!((&firing["value"], &firing["no_data_since"], &firing["no_data_reason"]), (&json!(120.0), &Value::Null, &Value::Null));
    let same = format!("/api/v1/alerts?state=firing&state=resolved&fingerprint={}", firing["fingerprint"].as_str().expect("a text"));
    let same = site.get(&same).by(&viewer).send().await.json();
    let states: Vec<_> = same["items"].as_array().expect("a list").iter().map(|alert| alert["state"].clone()).collect();
    assert_eq!(states, [json!("firing"), json!("resolved")]);
    let other = site.get("/api/v1/alerts?fingerprint=0123456789abcdef").by(&viewer).send().await.json();
    assert_eq!(other["items"], json!([]));

    let failed = SweepResult::Failed("no broker answers".to_owned());
    let silent = began.plus(Duration::from_mins(4));
    site.store.record_sweep(&"prod".into(), &failed, silent).await.expect("recorded");
    let reach = SeriesKey { figure: Figure::BusReachable, labels: Labels::bus(&"prod".into()) };
    let points = vec![(reach, Point::Level(0.0))];
    let frame = NewFrame { source: "reach:prod", after: None, taken_at: silent, points, state: None, snapshot: false };
    assert!(site.store.add_frame(frame).await.expect("it is written"));
    for seconds in [0, 1] {
        evaluator.look(&site.store, None, true, silent.plus(Duration::from_secs(seconds))).await.expect("a look");
    }
    let all = site.get("/api/v1/alerts").by(&viewer).send().await.json();
    let of = |rule: &str| all["items"].as_array().expect("a list").iter().find(|alert| alert["rule"] == rule).expect("it fires").clone();
    let (lag, down) = (of("Lag"), of("Down"));
    assert_eq!((&lag["state"], &lag["value"], &lag["no_data_since"]), (&json!("firing"), &json!(120.0), &json!(silent)));
    assert!(lag["no_data_reason"].as_str().is_some_and(|why| why.starts_with("prod has not answered since")), "{lag}");
    let one = site.get(&format!("/api/v1/alerts/{}", down["id"].as_str().expect("a text"))).by(&viewer).send().await.json();
    assert_eq!((&one["mutes"], &lag["inhibited_by"]), (&json!([lag["id"]]), &down["id"]));
}
