//! Requests that make no sense, each answered with what is wrong.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use redrive::model::Role;
use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn the_api_names_what_is_wrong() {
    let site = Site::new().await;
    let admin = site.token("admin", Role::Admin).await;
    let field = |name: &str| Some(name.to_owned());
    let posted = async |path: &str, body: &str| site.post(path).bearer(&admin).json(body).send().await.problem();
    let user = "/api/v1/users";
    assert_eq!(posted(user, "{").await, (400, "malformed_body".to_owned(), None));
    assert_eq!(
        posted(user, r#"{"username":"a","password":"12345678","role":"king"}"#).await,
        (422, "invalid_field".to_owned(), field("role"))
    );
    assert_eq!(
        posted(user, r#"{"username":"a","password":"12345678","role":"viewer","admin":true}"#).await,
        (422, "unknown_field".to_owned(), field("admin"))
    );
    assert_eq!(posted(user, r#"{"username":"a","role":"viewer"}"#).await, (422, "missing_field".to_owned(), field("password")));
    assert_eq!(
        posted(user, r#"{"username":7,"password":"12345678","role":"viewer"}"#).await,
        (422, "invalid_field".to_owned(), field("username"))
    );
    assert_eq!(
        posted(user, r#"{"username":"a b","password":"12345678","role":"viewer"}"#).await,
        (422, "invalid_field".to_owned(), field("username"))
    );
    assert_eq!(
        posted(user, r#"{"username":"a","password":"1234567","role":"viewer"}"#).await,
        (422, "invalid_field".to_owned(), field("password"))
    );
    assert_eq!(
        posted("/api/v1/tokens", r#"{"name":"a","role":"viewer","expires_at":"tomorrow"}"#).await,
        (422, "invalid_field".to_owned(), field("expires_at"))
    );

    let asked = async |path: &str| site.get(path).bearer(&admin).send().await.problem();
    assert_eq!(asked("/api/v1/audit?cursor=xyz").await, (422, "invalid_field".to_owned(), field("cursor")));
    assert_eq!(asked("/api/v1/audit?limit=0").await, (422, "invalid_field".to_owned(), field("limit")));
    assert_eq!(asked("/api/v1/audit?limit=1001").await, (422, "invalid_field".to_owned(), field("limit")));
    assert_eq!(asked("/api/v1/audit?from=yesterday").await, (422, "invalid_field".to_owned(), field("from")));
    assert_eq!(asked("/api/v1/audit?form=2026-01-01T00:00:00Z").await, (422, "unknown_field".to_owned(), field("form")));
    assert_eq!(asked("/api/v1/audit?actor=a&actor=b").await, (422, "invalid_field".to_owned(), field("actor")));
    assert_eq!(asked("/api/v1/nothing").await, (404, "not_found".to_owned(), None));

    let deleted = site.call(Method::DELETE, "/api/v1/users/seven").bearer(&admin).send().await.problem();
    assert_eq!(deleted, (400, "invalid_path".to_owned(), field("id")));
    assert_eq!(site.call(Method::DELETE, "/api/v1/users/77").bearer(&admin).send().await.problem().0, 404);
    let put = site.call(Method::PUT, "/api/v1/users").bearer(&admin).send().await;
    assert_eq!(put.problem(), (405, "method_not_allowed".to_owned(), None));
    assert!(put.header("allow").contains("POST"), "{put:?}");
    let plain = site.post(user).bearer(&admin).header("content-type", "text/plain").body("{}").send().await;
    assert_eq!(plain.problem(), (415, "wrong_content_type".to_owned(), None));
}

#[tokio::test]
async fn a_field_that_a_login_does_not_take_is_named_to_strangers_too() {
    let site = Site::new().await;
    let login = json!({ "username": "mara", "password": "12345678" });
    let asked = site.post("/api/v1/login?x=1").json(&login).send().await.problem();
    assert_eq!(asked, (422, "unknown_field".to_owned(), Some("x".to_owned())));
    let logout = site.post("/api/v1/logout?x=1").json(json!({})).send().await.problem();
    assert_eq!(logout.0, 401, "who asks is known first where a login is needed");
}

#[tokio::test]
async fn too_much_is_refused() {
    let site = Site::new().await;
    let admin = site.token("admin", Role::Admin).await;
    let large = json!({ "username": "x".repeat(1024 * 1024), "password": "12345678", "role": "viewer" }).to_string();
    let declared = site.post("/api/v1/users").bearer(&admin).header("content-length", &large.len().to_string()).json(&large).send().await;
    assert_eq!((declared.problem().0, declared.problem().1.as_str()), (413, "too_large"));
    let chunks = futures::stream::iter(
        large.into_bytes().chunks(64 * 1024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
    );
    let streamed =
        site.post("/api/v1/users").bearer(&admin).header("content-type", "application/json").body(Body::from_stream(chunks)).send().await;
    assert_eq!((streamed.problem().0, streamed.problem().1.as_str()), (413, "too_large"));
    let form = site.post("/login").form(&[("username", &"x".repeat(1024 * 1024)), ("password", "x")]).send().await;
    assert_eq!(form.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(form.header("content-type").starts_with("text/html") && form.text.contains("too large"), "{}", form.text);
}

#[tokio::test]
async fn forms_and_addresses_of_pages_are_answered_with_pages() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    for path in ["/audit?cursor=xyz", "/audit?range=never", "/audit?newer_than=x"] {
        let answer = site.get(path).by(&admin).send().await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert!(answer.text.contains("class=\"side\"") && answer.text.contains("Go to the overview"), "the frame stays: {path}");
    }
    let role = site.post("/settings/users").by(&admin).form(&[("username", "a"), ("password", "12345678"), ("role", "king")]).send().await;
    assert_eq!(role.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(role.text.contains("<code>role</code>"), "{}", role.text);
    assert_eq!(site.get("/settings/users/seven").by(&admin).send().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.get("/settings/users/77").by(&admin).send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    let attack = "<script>alert(1)</script>\u{202e}\u{0}\"'><img src=x onerror=alert(1)>";
    site.post("/login").form(&[("username", attack), ("password", "whatever")]).send().await;
    let query = redrive::web::address::query([("q", attack), ("actor", attack), ("bus", attack)]);
    for path in [
        "/audit".to_owned(),
        format!("/audit{query}"),
        format!("/find{query}"),
        format!("/login?next=/{}", redrive::web::address::encode(attack)),
    ] {
        let answer = site.get(&path).by(&admin).send().await;
        assert!(!answer.text.contains("<script>alert") && !answer.text.contains("<img"), "{path}: {}", answer.text);
        assert!(!answer.text.contains('\0'), "{path}");
        // A field holds what was typed, and nothing else does.
        let shown: String = answer
            .text
            .split("value=\"")
            .enumerate()
            .map(|(n, part)| if n == 0 { part } else { part.split_once('"').map_or("", |(_, rest)| rest) })
            .collect();
        assert!(!shown.contains('\u{202e}'), "{path}");
    }
    assert!(site.get("/audit").by(&admin).send().await.text.contains("\\u{202e}"), "what cannot be seen is shown");
}
