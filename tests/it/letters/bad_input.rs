//! Addresses that cannot be right: a clear answer that names the field, for people and for programs.

use axum::http::StatusCode;

use super::shop;

#[tokio::test]
async fn every_wrong_field_is_named() {
    let app = shop().await.app();
    for (query, field) in [
        ("cursor=zzz", "cursor"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("status=broken", "status"),
        ("presence=gone", "presence"),
        ("fingerprint=v1-xyz", "fingerprint"),
        ("from=yesterday", "from"),
        ("to=2026-99-01T00:00:00Z", "to"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("range=1y", "range"),
        ("colour=red", "colour"),
    ] {
        for list in ["dead-letters", "failure-groups", "dead-letters/export"] {
            let answer = app.get(&format!("/api/v1/{list}?{query}")).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{list}?{query}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let problem = answer.json();
            assert_eq!(problem["field"], field, "{problem}");
            assert!(problem["code"] == "invalid_field" || problem["code"] == "unknown_field", "{problem}");
        }
        if field == "colour" {
            continue;
        }
        for page in ["dead-letters", "failure-groups"] {
            let answer = app.get(&format!("/{page}?{query}")).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{page}?{query}");
            assert!(answer.text().contains(field) && answer.text().contains("<html"), "{}", answer.text());
        }
    }
    assert_eq!(app.get("/api/v1/overview?range=soon").await.json()["field"], "range");
    for path in ["/api/v1/overview", "/api/v1/overview/export"] {
        let mistyped = app.get(&format!("{path}?range=1h&buss=prod")).await;
        assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!((&mistyped.json()["code"], &mistyped.json()["field"]), (&"unknown_field".into(), &"buss".into()), "{path}");
    }
    assert_eq!(app.get("/api/v1/failure-groups?sort=size").await.json()["field"], "sort");
    assert_eq!(app.get("/?range=soon").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let app = shop().await.app();
    for path in ["dead-letters/999999", "dead-letters/999999/value", "dead-letters/1/headers/99", "dead-letters/1/headers/0"] {
        let answer = app.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["code"], "not_found");
    }
    for path in
        ["/dead-letters/999999", "/buses/prod/failure-groups/v1-0000000000000000", "/buses/nowhere/failure-groups/v1-0000000000000000"]
    {
        assert_eq!(app.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(app.get(&format!("/api/v1{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn ids_and_fingerprints_that_are_none_are_refused() {
    let app = shop().await.app();
    for path in ["/dead-letters/abc", "/dead-letters/1.5", "/dead-letters/99999999999999999999"] {
        assert_eq!(app.get(&format!("/api/v1{path}")).await.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(app.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let answer = app.get("/api/v1/buses/prod/failure-groups/v1-nope").await;
    assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &"fingerprint".into()));
    for query in ["id=x", "id=1&status=open", "id="] {
        let answer = app.get(&format!("/api/v1/dead-letters/export?{query}")).await;
        let expected = if query == "id=" { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        assert_eq!(answer.status, expected, "{query}");
    }
}
