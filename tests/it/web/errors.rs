//! What people see when something is not there or fails.

use axum::http::StatusCode;
use redrive::model::Role;

use super::site::Site;

#[tokio::test]
async fn an_unknown_page_has_a_way_out() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let framed = site.get("/nothing/here").by(&mara).send().await;
    assert_eq!(framed.status, StatusCode::NOT_FOUND);
    for part in ["There is nothing here", "class=\"side\"", "Go to the overview", framed.header("x-request-id")] {
        assert!(framed.text.contains(part), "{part}");
    }
    let alone = site.get("/nothing/here").send().await;
    assert_eq!(alone.status, StatusCode::NOT_FOUND);
    assert!(!alone.text.contains("class=\"side\"") && alone.text.contains("There is nothing here"), "strangers see no frame");
}

#[tokio::test]
async fn a_part_that_fails_becomes_a_toast() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let answer = site.get("/audit?cursor=xyz").by(&mara).header("hx-request", "true").header("hx-target", "newer").send().await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((answer.header("hx-retarget"), answer.header("hx-reswap")), ("#toasts", "beforeend"));
    assert!(answer.text.trim_start().starts_with("<div class=\"toast\""), "{}", answer.text);
    let ended =
        site.get("/audit").header("hx-request", "true").header("hx-current-url", "http://localhost:8080/audit?range=7d").send().await;
    assert_eq!((ended.status, ended.header("hx-redirect")), (StatusCode::UNAUTHORIZED, "/login?next=%2Faudit%3Frange%3D7d"));
    let boosted = site.get("/audit?cursor=xyz").by(&mara).header("hx-request", "true").header("hx-boosted", "true").send().await;
    assert!(boosted.text.contains("<!doctype html>"), "a boosted link gets a page");
}

#[tokio::test]
async fn a_store_that_is_gone_is_said_and_nothing_else() {
    let site = Site::new().await;
    let token = site.token("reader", Role::Viewer).await;
    site.store.close().await;
    let answer = site.get("/api/v1/audit").bearer(&token).send().await;
    let (status, code, _) = answer.problem();
    assert!(status >= 500, "{answer:?}");
    assert!(code.starts_with("store_") || code == "internal", "{code}");
    assert!(!answer.text.to_lowercase().contains("sqlite") && !answer.text.to_lowercase().contains("pool"), "{}", answer.text);
    let page = site.get("/audit").send().await;
    assert_eq!(page.header("location"), "/login?next=%2Faudit", "nobody has to be looked up to be sent to the login");
}

#[tokio::test]
async fn an_act_that_failed_leads_back_and_is_not_asked_for_again_as_a_page() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Operator).await;
    let post = async |referer: &str| {
        site.post("/replays/0198f000-0000-7000-8000-000000000000/pause").by(&mara).header("referer", referer).send().await
    };
    let ours = post("http://localhost:8080/replays?bus=prod").await;
    assert_eq!(ours.status, StatusCode::NOT_FOUND);
    assert!(ours.text.contains("href=\"/replays?bus=prod\"") && ours.text.contains("Go back"), "{}", ours.text);
    assert!(!ours.text.contains("Try again"), "an act is no page to be asked for");
    for foreign in ["https://elsewhere.example/replays", "http://localhost:8080//elsewhere.example", "nonsense"] {
        assert!(!post(foreign).await.text.contains("Go back"), "{foreign}");
    }
}
