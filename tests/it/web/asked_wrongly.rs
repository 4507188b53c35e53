//! Requests about figures, traces and alerts that make no sense, each answered with the field that is wrong, and what is not there with 404.

use axum::http::Method;
use redrive::model::{BusKind, Role};
use serde_json::{Value, json};

use super::site::Site;

async fn site() -> (Site, String) {
    let site = Site::new().await;
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let admin = site.token("admin", Role::Admin).await;
    (site, admin)
}

#[tokio::test]
async fn a_query_that_cannot_be_names_its_field() {
    let (site, admin) = site().await;
    let (invalid, unknown, missing) = ("invalid_field", "unknown_field", "missing_field");
    for (path, code, field) in [
        ("traces?operation=fly", invalid, "operation"),
        ("traces?outcome=fine", invalid, "outcome"),
        ("traces?at_least=soon", invalid, "at_least"),
        ("traces?from=yesterday", invalid, "from"),
        ("traces?from=2026-11-24T03:00:00Z&to=2026-11-24T03:00:00Z", invalid, "from"),
        ("traces?cursor=x", invalid, "cursor"),
        ("traces?limit=1001", invalid, "limit"),
        ("traces?service=a&service=b", invalid, "service"),
        ("traces?status=failed", unknown, "status"),
        ("traces/usage?range=1h", unknown, "range"),
        ("journeys", invalid, "dead_letter"),
        ("journeys?dead_letter=x", invalid, "dead_letter"),
        ("journeys?trace_id=xyz", invalid, "trace_id"),
        ("journeys?dead_letter=1&trace_id=0af7651916cd43dd8448eb211c80319c", invalid, "dead_letter"),
        ("journeys?dead_letter=1&bus=prod", invalid, "dead_letter"),
        ("journeys?topic=orders&partition=0&offset=1", invalid, "bus"),
        ("journeys?bus=prod&partition=0&offset=1", invalid, "topic"),
        ("journeys?bus=prod&topic=orders&offset=1", invalid, "partition"),
        ("journeys?bus=prod&topic=orders&partition=0", invalid, "offset"),
        ("journeys?bus=prod&topic=orders&partition=x&offset=1", invalid, "partition"),
        ("journeys?trace=0af7651916cd43dd8448eb211c80319c", unknown, "trace"),
        ("series", missing, "figure"),
        ("series?figure=topic_messages_per_second&quantile=2", invalid, "quantile"),
        ("alerts?state=inactive", invalid, "state"),
        ("alerts?state=loud", invalid, "state"),
        ("alerts?severity=bad", invalid, "severity"),
        ("alerts?rule=first", invalid, "rule"),
        ("alerts?to=soon", invalid, "to"),
        ("alerts?cursor=x", invalid, "cursor"),
        ("alerts?group=billing", unknown, "group"),
        ("alerts/figures?from=2026-11-24T03:00:00Z&to=2026-11-24T02:00:00Z", invalid, "from"),
        ("alerts/figures?bus=prod", unknown, "bus"),
        ("alert-rules?enabled=true", unknown, "enabled"),
        ("silences?ended_since=yesterday", invalid, "ended_since"),
        ("silences?active=true", unknown, "active"),
        ("receivers?kind=slack", unknown, "kind"),
        ("deliveries?alert=latest", invalid, "alert"),
        ("deliveries?since=1h", unknown, "since"),
        ("buses?q=prod", unknown, "q"),
        ("buses/prod/consumer-groups?limit=none", invalid, "limit"),
        ("buses/prod/consumer-groups?state=Empty", unknown, "state"),
        ("buses/prod/consumer-groups/billing/lag?partition=0", missing, "topic"),
        ("buses/prod/consumer-groups/billing/lag?topic=orders&partition=-1", invalid, "partition"),
        ("buses/prod/topics/orders?range=1h", unknown, "range"),
    ] {
        let answer = site.get(&format!("/api/v1/{path}")).bearer(&admin).send().await;
        assert_eq!(answer.problem(), (422, code.to_owned(), Some(field.to_owned())), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (site, admin) = site().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let silence =
        json!({"matchers": [{"label": "bus", "operator": "=", "value": "prod"}], "comment": "deploy", "ends_at": "2999-01-01T00:00:00Z"});
    let rule = json!({"name": "Lag", "figure": "consumer_group_lag_messages", "threshold": 100});
    for (method, path, body) in [
        (Method::GET, "traces/xyz".to_owned(), Value::Null),
        (Method::GET, format!("traces/{trace}"), Value::Null),
        (Method::POST, format!("traces/{trace}/pin"), Value::Null),
        (Method::GET, "journeys?dead_letter=77".to_owned(), Value::Null),
        (Method::GET, format!("journeys?trace_id={trace}"), Value::Null),
        (Method::GET, "journeys?bus=prod&topic=orders&partition=0&offset=1".to_owned(), Value::Null),
        (Method::GET, "alerts/first".to_owned(), Value::Null),
        (Method::GET, "alerts/77".to_owned(), Value::Null),
        (Method::POST, "alerts/77/acknowledge".to_owned(), json!({})),
        (Method::DELETE, "alerts/77/acknowledge".to_owned(), Value::Null),
        (Method::GET, "alert-rules/first".to_owned(), Value::Null),
        (Method::PUT, "alert-rules/77".to_owned(), rule.clone()),
        (Method::PATCH, "alert-rules/77".to_owned(), json!({"enabled": false})),
        (Method::DELETE, "alert-rules/77".to_owned(), Value::Null),
        (Method::GET, "alert-rules/77/changes".to_owned(), Value::Null),
        (Method::POST, "alert-rules/try".to_owned(), json!({"rule": rule, "rule_id": "77"})),
        (Method::GET, "silences/first".to_owned(), Value::Null),
        (Method::PUT, "silences/77".to_owned(), silence),
        (Method::DELETE, "silences/77".to_owned(), Value::Null),
        (Method::GET, "receivers/first".to_owned(), Value::Null),
        (Method::POST, "receivers/77/test".to_owned(), Value::Null),
        (Method::DELETE, "receivers/77".to_owned(), Value::Null),
        (Method::GET, "deliveries/nothing".to_owned(), Value::Null),
        (Method::POST, "deliveries/nothing/redeliver".to_owned(), Value::Null),
        (Method::GET, "buses/nowhere/happenings".to_owned(), Value::Null),
        (Method::GET, "buses/nowhere/topics".to_owned(), Value::Null),
        (Method::GET, "buses/prod/topics/nothing".to_owned(), Value::Null),
        (Method::GET, "buses/prod/consumer-groups/nobody".to_owned(), Value::Null),
        (Method::GET, "buses/prod/consumer-groups/nobody/lag?topic=orders&partition=0".to_owned(), Value::Null),
    ] {
        let call = site.call(method.clone(), &format!("/api/v1/{path}")).bearer(&admin);
        let answer = if body.is_null() { call.send().await } else { call.json(&body).send().await };
        assert_eq!(answer.problem(), (404, "not_found".to_owned(), None), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_names_its_field() {
    let (site, admin) = site().await;
    let matcher = |operator: &str, value: &str| json!([{"label": "bus", "operator": operator, "value": value}]);
    let silence = |matchers: Value| json!({"matchers": matchers, "comment": "deploy", "ends_at": "2999-01-01T00:00:00Z"});
    let rule = |field: &str, value: Value| {
        let mut rule = json!({"name": "Lag", "figure": "consumer_group_lag_messages", "threshold": 100});
        rule[field] = value;
        json!({ "rule": rule })
    };
    for (path, body, code, field) in [
        ("silences", silence(json!([])), "invalid_field", "matchers"),
        ("silences", silence(matcher("=~", "(")), "invalid_field", "matchers[0].value"),
        ("silences", silence(matcher("~", "x")), "invalid_field", "matchers[0].operator"),
        (
            "silences",
            json!({"matchers": matcher("=", "prod"), "comment": "deploy", "ends_at": "2020-01-01T00:00:00Z"}),
            "invalid_field",
            "ends_at",
        ),
        ("silences", json!({"matchers": matcher("=", "prod"), "comment": "deploy"}), "missing_field", "ends_at"),
        ("silences/preview", json!({"matchers": matcher("=", "prod"), "ends_at": "2999-01-01T00:00:00Z"}), "unknown_field", "ends_at"),
        ("alert-rules/try", rule("window", json!("soon")), "invalid_field", "rule.window"),
        ("alert-rules/try", rule("threshold", Value::Null), "invalid_field", "rule.threshold"),
        ("alert-rules/try", rule("by", json!(["status"])), "invalid_field", "rule.by"),
        ("alert-rules/try", json!({"rule": rule("name", json!("a"))["rule"], "step": "1s"}), "invalid_field", "step"),
        ("alert-rules/try", json!({"rule": rule("name", json!("a"))["rule"], "from": "2999-01-01T00:00:00Z"}), "invalid_field", "from"),
        ("alerts/1/acknowledge", json!({"until": "2h"}), "unknown_field", "until"),
        ("alerts/1/acknowledge", json!({"expires_at": "soon"}), "invalid_field", "expires_at"),
        ("receivers", json!({"name": "a", "kind": "pigeon", "url": "http://192.0.2.1/"}), "invalid_field", "kind"),
        ("receivers", json!({"kind": "webhook", "url": "http://192.0.2.1/"}), "missing_field", "name"),
    ] {
        let answer = site.post(&format!("/api/v1/{path}")).bearer(&admin).json(&body).send().await;
        assert_eq!(answer.problem(), (422, code.to_owned(), Some(field.to_owned())), "{path} {body}: {}", answer.text);
    }
}
