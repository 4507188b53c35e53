//! The first administrator.

use axum::http::StatusCode;
use redrive::model::Role;

use super::site::{PASSWORD, Site};

#[tokio::test]
async fn the_code_of_the_first_start_makes_one_administrator() {
    let site = Site::new().await;
    let code = site.access.begin_first_start().await.expect("the store answers").expect("nobody is there yet");
    assert_eq!(site.get("/").send().await.header("location"), "/login");
    assert_eq!(site.get("/login").send().await.header("location"), "/first-start");
    assert!(site.get("/first-start").send().await.text.contains("Make the administrator"));
    let post = async |code: &str, name: &str, password: &str| {
        site.post("/first-start").form(&[("code", code), ("username", name), ("password", password)]).send().await
    };
    let wrong = post("guess", "mara", PASSWORD).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("not the code") && !wrong.text.contains(code.expose()), "{}", wrong.text);
    let short = post(code.expose(), "mara", "short").await;
    assert!(short.text.contains("at least 8 characters") && short.text.contains("value=\"mara\""), "the code is not used up by a mistake");
    let made = post(code.expose(), "mara", PASSWORD).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::SEE_OTHER, "/"));
    let session = made.session().expect("the administrator is logged in");
    assert_eq!(site.get("/settings/users").by(&session).send().await.status, StatusCode::OK);
    assert_eq!(post(code.expose(), "eve", PASSWORD).await.status, StatusCode::NOT_FOUND, "the code ends with its use");
    assert_eq!(site.get("/first-start").send().await.header("location"), "/login");
    assert!(site.access.begin_first_start().await.expect("the store answers").is_none());
}

#[tokio::test]
async fn there_is_no_code_where_somebody_is_or_nobody_logs_in() {
    let site = Site::new().await;
    site.add_user("mara", Role::Admin).await;
    assert!(site.access.begin_first_start().await.expect("the store answers").is_none());
    let open = Site::with("[auth]\nmode = \"none\"").await;
    assert!(open.access.begin_first_start().await.expect("the store answers").is_none());
}

#[tokio::test]
async fn guessing_the_code_waits() {
    let site = Site::new().await;
    site.access.begin_first_start().await.expect("the store answers");
    for _ in 0..10 {
        let answer = site.post("/first-start").form(&[("code", "guess"), ("username", "eve"), ("password", PASSWORD)]).send().await;
        assert!(answer.text.contains("not the code"));
    }
    let answer = site.post("/first-start").form(&[("code", "guess"), ("username", "eve"), ("password", PASSWORD)]).send().await;
    assert!(answer.text.contains("Too many tries"), "{}", answer.text);
}
