//! Every route there is, asked by everybody.

use axum::http::{Method, StatusCode};
use redrive::model::Role;
use redrive::web::{RouteInfo, route_list};

use super::site::Site;

/// The few that answer to strangers.
const FOR_EVERYBODY: &[(&str, &str)] = &[
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/first-start"),
    ("POST", "/first-start"),
    ("POST", "/api/v1/login"),
];

/// A path with something in the place of its names.
fn sample(route: &RouteInfo) -> String {
    let parts = route.path.split('/').map(|part| match part {
        "{id}" => "1",
        "{fingerprint}" => "v1-0123456789abcdef",
        part if part.starts_with('{') => "sample",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn is_for_everybody(route: &RouteInfo) -> bool {
    FOR_EVERYBODY.contains(&(route.method.as_str(), route.path.as_str()))
}

#[tokio::test]
async fn no_route_answers_without_a_login() {
    let site = Site::new().await;
    site.add_user("mara", Role::Admin).await;
    let routes = route_list();
    assert!(routes.len() > 30, "the list holds pages and API");
    for route in routes.iter().filter(|route| !is_for_everybody(route)) {
        let path = sample(route);
        for token in ["", "rdv_wrong", "nonsense"] {
            let mut call = site.call(route.method.clone(), &path);
            if !token.is_empty() {
                call = call.bearer(token);
            }
            let answer = call.send().await;
            let (method, path) = (&route.method, &route.path);
            if path.starts_with("/api/") || path == "/metrics" {
                assert_eq!(answer.problem().1, "not_logged_in", "{method} {path}");
                assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
            } else {
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{method} {path}: {answer:?}");
                assert!(answer.header("location").starts_with("/login"), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_page_carries_the_security_headers_and_nothing_inline() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    for route in route_list().into_iter().filter(|route| route.method == Method::GET && !route.path.ends_with("/events")) {
        let answer = site.get(&sample(&route)).by(&admin).send().await;
        let path = &route.path;
        assert!(!answer.status.is_server_error() || path == "/health/ready", "{path}: {answer:?}");
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        if answer.header("content-type").starts_with("text/html") {
            let text = answer.text.to_lowercase();
            for inline in [" style=", " onclick=", " onload=", "<style", "javascript:", "hx-on", "hx-vals"] {
                assert!(!text.contains(inline), "{path} has {inline}");
            }
            assert_eq!(text.matches("<script").count(), text.matches("<script src=\"/static/").count(), "{path} has a script of its own");
            let is_page = text.starts_with("<!doctype html>");
            assert_eq!(text.matches("<h1").count(), usize::from(is_page), "{path} has one title");
        }
    }
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let site = Site::new().await;
    let viewer = site.person("vera", Role::Viewer).await;
    for path in ["/audit", "/help", "/settings/account", "/api/v1/audit", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(site.get(path).by(&viewer).send().await.status, StatusCode::OK, "{path}");
    }
    for path in ["/settings/users", "/settings/tokens", "/settings/users/1", "/audit/export"] {
        assert_eq!(site.get(path).by(&viewer).send().await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/settings/users", "/settings/tokens", "/settings/users/1/delete"] {
        assert_eq!(site.post(path).by(&viewer).form(&[]).send().await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for (method, path) in [(Method::POST, "/api/v1/users"), (Method::DELETE, "/api/v1/users/1"), (Method::GET, "/api/v1/tokens")] {
        let answer = site.call(method, path).by(&viewer).json("{}").send().await;
        assert_eq!(answer.problem(), (403, "role_missing".to_owned(), None), "{path}");
    }
    let denied: Vec<_> = site.audit().await.into_iter().filter(|(action, ..)| action == "request.denied").collect();
    assert_eq!(denied.len(), 5, "every refused change is in the audit, and no refused look: {denied:?}");
    assert!(denied.iter().any(|(_, target, result)| target == "DELETE /api/v1/users/1" && result == "denied: needs the role admin"));
}

#[tokio::test]
async fn tokens_have_roles_too() {
    let site = Site::new().await;
    let (viewer, operator, admin) =
        (site.token("v", Role::Viewer).await, site.token("o", Role::Operator).await, site.token("a", Role::Admin).await);
    let status = async |token: &str, path: &str| site.get(path).bearer(token).send().await.status.as_u16();
    assert_eq!(
        [status(&viewer, "/metrics").await, status(&viewer, "/audit/export").await, status(&viewer, "/api/v1/users").await],
        [200, 403, 403]
    );
    assert_eq!(
        [status(&operator, "/metrics").await, status(&operator, "/audit/export").await, status(&operator, "/api/v1/users").await],
        [200, 200, 403]
    );
    assert_eq!(
        [status(&admin, "/metrics").await, status(&admin, "/audit/export").await, status(&admin, "/api/v1/users").await],
        [200, 200, 200]
    );
}

#[tokio::test]
async fn health_and_public_metrics_need_no_login() {
    let site = Site::with("[http]\nmetrics_public = true").await;
    assert_eq!(site.get("/health/live").send().await.status, StatusCode::OK);
    let ready = site.get("/health/ready").send().await;
    assert_eq!((ready.status, ready.json()), (StatusCode::OK, serde_json::json!({ "ready": true, "reasons": [] })));
    site.lifecycle.readiness().set("store_full", "The store is full.");
    let ready = site.get("/health/ready").send().await;
    let expected = serde_json::json!({ "ready": false, "reasons": [{ "code": "store_full", "text": "The store is full." }] });
    assert_eq!((ready.status, ready.json()), (StatusCode::SERVICE_UNAVAILABLE, expected));
    site.lifecycle.readiness().clear("store_full");
    site.lifecycle.soft().cancel();
    assert_eq!(site.get("/health/ready").send().await.json()["reasons"][0]["code"], "shutdown");
    let metrics = site.get("/metrics").send().await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(
        metrics.text.contains("redrive_http_requests_total{method=\"GET\",route=\"/health/live\",status=\"200\"} 1"),
        "{}",
        metrics.text
    );
}

#[tokio::test]
async fn the_api_describes_itself() {
    let site = Site::new().await;
    let token = site.token("docs", Role::Viewer).await;
    let document = site.get("/api/v1/openapi.json").bearer(&token).send().await.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| text(&parameter["name"]));
            let body = operation["requestBody"]["content"].as_object().into_iter().flatten();
            let body = body.map(|(kind, content)| {
                content["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or(kind).to_owned()
            });
            let answers = operation["responses"].as_object().into_iter().flatten().map(|(status, _)| status.clone());
            let join = |parts: Vec<String>| parts.join(" ");
            let (parameters, body, answers) = (join(parameters.collect()), join(body.collect()), join(answers.collect()));
            lines.push(format!("{} {path} [{parameters}] {{{body}}} -> {answers}", method.to_uppercase()));
        }
    }
    lines.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    insta::assert_snapshot!("api", lines.join("\n"));
}
