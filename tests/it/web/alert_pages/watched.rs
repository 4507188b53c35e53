//! Whether anybody looks at the rules, on the pages, by the API and in readiness.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use redrive::alerts::evaluation::Evaluator;
use redrive::alerts::watching;
use redrive::model::figure::Figure;

use super::{MINUTE, Scene, text};

#[tokio::test]
async fn that_nobody_looks_at_the_rules_is_said_wherever_somebody_asks() {
    let scene = Scene::new().await;
    let list = text(&scene.page("/alerts").await);
    assert!(list.contains("Alert rules were never looked at.") && list.contains("Nothing fires, as far as is known"), "{list}");
    let store = &scene.site.store;
    Evaluator::new("").look(store, None, true, scene.now.minus(MINUTE * 5)).await.expect("a look");
    let list = text(&scene.page("/alerts").await);
    assert!(list.contains("Alert rules were not looked at for 5m") && !list.contains("Nothing fires. "), "{list}");
    let watching = store.alert_watching().await.expect("readable");
    watching::report(scene.site.lifecycle.readiness(), &watching, scene.now.minus(MINUTE * 10), scene.now);
    let first = text(&scene.page("/").await);
    assert!(first.contains("Alert rules are not looked at") && !first.contains("This instance is not ready"), "once: {first}");
    let ready = scene.get("/health/ready", &scene.viewer).await;
    assert_eq!((ready.status, ready.text.contains("alert_rules_not_looked_at")), (StatusCode::SERVICE_UNAVAILABLE, true), "{}", ready.text);
    let overview = scene.get("/api/v1/overview", &scene.viewer).await.text;
    assert!(overview.contains("Alert rules are not looked at"), "{overview}");
    let listed = scene.get("/api/v1/alerts", &scene.viewer).await.json();
    assert_eq!(listed["looked_at"], serde_json::json!(scene.now.minus(MINUTE * 5)));

    Evaluator::new("").look(store, None, true, scene.now).await.expect("a look");
    let watching = store.alert_watching().await.expect("readable");
    watching::report(scene.site.lifecycle.readiness(), &watching, scene.now.minus(MINUTE * 10), scene.now);
    assert_eq!(scene.get("/health/ready", &scene.viewer).await.status, StatusCode::OK);
    assert!(!text(&scene.page("/").await).contains("Alert rules are not looked at"));
    let list = text(&scene.page("/alerts").await);
    assert!(list.contains("Nothing fires. ") && !list.contains("looked at"), "{list}");
}

#[tokio::test]
async fn a_figure_that_cannot_be_read_is_named() {
    let scene = Scene::new().await;
    let store = &scene.site.store;
    store.note_alert_look(scene.now, &[Figure::ConsumerGroupLagMessages]).await.expect("noted");
    let list = text(&scene.page("/alerts").await);
    assert!(list.contains("Cannot be read: Lag in messages.") && list.contains("Nothing fires, as far as is known"), "{list}");
    let first = text(&scene.page("/").await);
    assert!(first.contains("Lag in messages; other rules are looked at"), "{first}");
    let listed = scene.get("/api/v1/alerts", &scene.viewer).await.json();
    assert_eq!(listed["unread_figures"], serde_json::json!(["consumer_group_lag_messages"]));
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_named_and_can_be_deleted() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let broken = format!("update alert_rules set terms = '{{\"figure\":\"from_tomorrow\"}}' where id = {}", scene.rule);
    scene.site.run(&broken).await;
    let rules = text(&scene.page("/alert-rules").await);
    assert!(rules.contains("The rule Group lags cannot be read and is not watched."), "{rules}");
    let listed = scene.get("/api/v1/alert-rules", &scene.viewer).await.json();
    assert_eq!((&listed["items"], &listed["unreadable"][0]["name"]), (&serde_json::json!([]), &serde_json::json!("Group lags")));
    for path in ["/alerts".to_owned(), format!("/alerts/{}", alert.number)] {
        assert!(text(&scene.page(&path).await).contains("Group lags"), "its alert is still there: {path}");
    }
    let deleted = scene.site.call(Method::POST, &format!("/alert-rules/{}/delete", scene.rule)).by(&scene.admin).form(&[]).send().await;
    assert_eq!(deleted.status, StatusCode::SEE_OTHER, "{}", deleted.text);
    assert!(!text(&scene.page("/alert-rules").await).contains("cannot be read"));
    scene.evaluator.look(&scene.site.store, None, true, scene.now.plus(Duration::from_secs(1))).await.expect("a look");
    assert!(scene.site.store.list_living_alerts().await.expect("readable").is_empty(), "its alert is over");
}
