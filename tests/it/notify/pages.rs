//! Receivers and deliveries in the browser and by the API: who may do what, and what is shown.

use axum::http::{Method, StatusCode};
use redrive::model::Role;
use serde_json::json;

use crate::harness::notify::{Answer, Receiver};
use crate::web::site::Site;

const ALLOW: &str = "[notifications]\nallow_addresses = [\"127.0.0.0/8\"]";

#[tokio::test(flavor = "multi_thread")]
async fn administrators_keep_receivers_operators_send_again_and_viewers_look() {
    let site = Site::with(ALLOW).await;
    let receiver = Receiver::start(vec![Answer::Status(500, "", "broken".to_owned())]).await;
    let (viewer, operator, admin) =
        (site.token("v", Role::Viewer).await, site.token("o", Role::Operator).await, site.token("a", Role::Admin).await);
    let new = json!({ "name": "hook", "kind": "slack", "url": receiver.url("/x") }).to_string();
    for token in [&viewer, &operator] {
        for (method, path) in [
            (Method::POST, "/api/v1/receivers"),
            (Method::PUT, "/api/v1/receivers/1"),
            (Method::DELETE, "/api/v1/receivers/1"),
            (Method::POST, "/api/v1/receivers/1/test"),
        ] {
            let answer = site.call(method, path).bearer(token).json(&new).send().await;
            assert_eq!(answer.problem().1, "role_missing", "{path}");
        }
    }
    let added = site.post("/api/v1/receivers").bearer(&admin).json(&new).send().await;
    assert_eq!(added.status, StatusCode::CREATED);
    let again = site.post("/api/v1/receivers").bearer(&admin).json(&new).send().await;
    assert_eq!(again.problem(), (422, "invalid_field".to_owned(), Some("name".to_owned())));
    let unknown = json!({ "name": "b", "kind": "slack", "url": receiver.url("/x"), "colour": "red" }).to_string();
    assert_eq!(site.post("/api/v1/receivers").bearer(&admin).json(&unknown).send().await.problem().0, 422);
    let private = json!({ "name": "b", "kind": "slack", "url": "http://10.0.0.1/x" }).to_string();
    let refused = site.post("/api/v1/receivers").bearer(&admin).json(&private).send().await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned(), Some("url".to_owned())));
    let tested = site.post("/api/v1/receivers/1/test").bearer(&admin).json("").send().await.json();
    assert_eq!((&tested["state"], &tested["log"][0]["body"]), (&json!("given_up"), &json!("broken")));
    let id = tested["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/deliveries/{id}/redeliver");
    assert_eq!(site.post(&path).bearer(&viewer).json("").send().await.problem().1, "role_missing");
    assert_eq!(site.post(&path).bearer(&operator).json("").send().await.status, StatusCode::OK);
    let given_up = site.get("/api/v1/deliveries?state=given_up&receiver=2").bearer(&viewer).send().await.json();
    assert_eq!(given_up["items"], json!([]));
    assert_eq!(site.get("/api/v1/deliveries?state=lost").bearer(&viewer).send().await.problem().2.as_deref(), Some("state"));
    assert_eq!(site.call(Method::DELETE, "/api/v1/receivers/1").bearer(&admin).send().await.status, StatusCode::NO_CONTENT);
    let acts: Vec<String> =
        site.audit().await.into_iter().map(|(action, ..)| action).filter(|action| !action.starts_with("request")).collect();
    for act in ["receivers.add", "receivers.test", "deliveries.redeliver", "receivers.delete"] {
        assert!(acts.iter().any(|known| known == act), "{act} in {acts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_made_tried_changed_and_deleted_by_forms() {
    let site = Site::with(ALLOW).await;
    let receiver = Receiver::start(Vec::new()).await;
    let admin = site.person("mara", Role::Admin).await;
    let page = site.get("/receivers").by(&admin).send().await.text;
    assert!(page.contains("Nobody is told when an alert fires."), "{page}");
    let form = site.get("/receivers/new?kind=webhook").by(&admin).send().await.text;
    assert!(form.contains("whsec_"), "a secret is proposed");
    let url = receiver.url("/hook");
    let wrong = site
        .post("/receivers")
        .by(&admin)
        .form(&[("kind", "webhook"), ("name", "incident hook"), ("url", "http://10.0.0.1/")])
        .send()
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("10.0.0.1 is not a public address") && wrong.text.contains("incident hook"));
    let fields = [("kind", "webhook"), ("name", "incident hook"), ("url", &url), ("headers", "x-team: payments\n")];
    let saved = site.post("/receivers").by(&admin).form(&fields).send().await;
    assert_eq!((saved.status, saved.header("location")), (StatusCode::SEE_OTHER, "/receivers/1"));
    let tested = site.post("/receivers/1/test").by(&admin).form(&[]).send().await;
    assert!(tested.header("location").starts_with("/deliveries/"), "{tested:?}");
    let shown = site.get(tested.header("location")).by(&admin).send().await.text;
    assert!(shown.contains("Delivered") && shown.contains("Attempt 1: 200, delivered"), "{shown}");
    assert_eq!(receiver.requests()[0].headers["x-team"], "payments");
    let list = site.get("/receivers").by(&admin).send().await.text;
    assert!(list.contains("Last one delivered") && list.contains("1 of 1"), "{list}");
    let changed = site.post("/receivers/1").by(&admin).form(&[("kind", "webhook"), ("name", "other hook")]).send().await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    site.post("/receivers/1/test").by(&admin).form(&[]).send().await;
    assert_eq!(receiver.requests()[1].headers["x-team"], "payments", "what is left out stays");
    let viewer = site.person("vera", Role::Viewer).await;
    let seen = site.get("/receivers/1").by(&viewer).send().await.text;
    assert!(seen.contains("other hook") && !seen.contains("Delete this receiver") && !seen.contains("name=\"url\""), "{seen}");
    let deleted = site.post("/receivers/1/delete").by(&admin).form(&[]).send().await;
    assert_eq!(deleted.header("location"), "/receivers");
    assert!(site.get("/deliveries").by(&viewer).send().await.text.contains("other hook"), "the log stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_tell_nobody_can_be_given_to_a_receiver_at_once() {
    let site = Site::with(ALLOW).await;
    let receiver = Receiver::start(Vec::new()).await;
    let admin = site.person("mara", Role::Admin).await;
    let rule = |name: &str, receivers: &[&str]| {
        json!({
            "name": name, "figure": "dead_letters_per_minute", "by": ["bus"], "comparison": ">", "threshold": 1,
            "severity": "error", "receivers": receivers,
        })
        .to_string()
    };
    for (name, id) in [("one", "1"), ("other", "2")] {
        let new = json!({ "name": name, "kind": "slack", "url": receiver.url("/x") }).to_string();
        assert_eq!(site.post("/api/v1/receivers").by(&admin).json(&new).send().await.json()["id"], json!(id));
    }
    for (name, receivers) in [("untold", &[][..]), ("told", &["2"])] {
        let added = site.post("/api/v1/alert-rules").by(&admin).json(rule(name, receivers)).send().await;
        assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    }
    let offered = site.get("/receivers/1").by(&admin).send().await.text;
    assert!(offered.contains("1 rule tells nobody."), "{offered}");
    let operator = site.person("olga", Role::Operator).await;
    assert_eq!(site.post("/receivers/1/rules").by(&operator).form(&[]).send().await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post("/receivers/1/rules").by(&admin).form(&[]).send().await.header("location"), "/receivers/1");
    let rules = site.get("/api/v1/alert-rules").by(&admin).send().await.json();
    let told: Vec<_> =
        rules["items"].as_array().expect("a list").iter().map(|rule| (rule["name"].clone(), rule["receivers"].clone())).collect();
    assert!(told.contains(&(json!("untold"), json!(["1"]))) && told.contains(&(json!("told"), json!(["2"]))), "{told:?}");
    assert!(!site.get("/receivers/1").by(&admin).send().await.text.contains("nobody."));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_receiver_that_is_deleted_tell_nobody_and_that_is_said() {
    let site = Site::with(ALLOW).await;
    let receiver = Receiver::start(Vec::new()).await;
    let admin = site.person("mara", Role::Admin).await;
    for name in ["one", "other"] {
        let new = json!({ "name": name, "kind": "slack", "url": receiver.url("/x") }).to_string();
        assert_eq!(site.post("/api/v1/receivers").by(&admin).json(&new).send().await.status, StatusCode::CREATED);
    }
    for (name, receivers) in [("alone", &["2"][..]), ("both", &["1", "2"]), ("untouched", &["1"])] {
        let rule = json!({
            "name": name, "figure": "dead_letters_per_minute", "by": ["bus"], "comparison": ">", "threshold": 1,
            "severity": "error", "receivers": receivers,
        });
        let added = site.post("/api/v1/alert-rules").by(&admin).json(rule).send().await;
        assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    }
    assert!(!site.get("/receivers/1").by(&admin).send().await.text.contains("nobody."), "each rule tells somebody");
    let dialog = site.get("/receivers/2").by(&admin).send().await.text;
    assert!(dialog.contains("2 rules name it; 1 of them tells nobody then."), "{dialog}");
    assert_eq!(site.post("/receivers/2/delete").by(&admin).form(&[]).send().await.header("location"), "/receivers");
    let rules = site.get("/api/v1/alert-rules").by(&admin).send().await.json();
    let told: Vec<_> = rules["items"].as_array().expect("a list").iter().map(|rule| &rule["receivers"]).collect();
    assert_eq!(told, [&json!([]), &json!(["1"]), &json!(["1"])]);
    assert!(site.get("/receivers/1").by(&admin).send().await.text.contains("1 rule tells nobody."), "and may be given to another");
    assert!(site.get("/alert-rules").by(&admin).send().await.text.contains("1 tells no receiver"), "the list says so");
}
