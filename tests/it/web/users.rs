//! Users and tokens, by page and by API.

use axum::http::{Method, StatusCode};
use redrive::model::Role;
use serde_json::json;

use super::site::{PASSWORD, Site};

#[tokio::test]
async fn an_administrator_keeps_users_by_api() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    let added =
        site.post("/api/v1/users").by(&admin).json(json!({ "username": "sam", "password": PASSWORD, "role": "viewer" })).send().await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert!(!added.text.contains(PASSWORD));
    let path = format!("/api/v1/users/{}", added.json()["id"].as_str().expect("ids are strings"));
    let taken =
        site.post("/api/v1/users").by(&admin).json(json!({ "username": "SAM", "password": PASSWORD, "role": "viewer" })).send().await;
    assert_eq!(taken.problem(), (409, "taken".to_owned(), Some("username".to_owned())));
    let sam = site.log_in("sam").await;
    let changed = site.call(Method::PATCH, &path).by(&admin).json(json!({ "role": "operator" })).send().await;
    assert_eq!((changed.status, changed.json()["role"].clone()), (StatusCode::OK, json!("operator")));
    assert_eq!(site.get("/audit").by(&sam).send().await.status, StatusCode::SEE_OTHER, "a change ends the sessions");
    let names: Vec<_> = site.get("/api/v1/users").by(&admin).send().await.json()["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|user| user["username"].clone())
        .collect();
    assert_eq!(names, [json!("mara"), json!("sam")]);
    assert_eq!(site.call(Method::DELETE, &path).by(&admin).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.call(Method::DELETE, &path).by(&admin).send().await.problem().1, "not_found");
    let acts: Vec<_> = site
        .audit()
        .await
        .into_iter()
        .filter(|(action, ..)| action.starts_with("user."))
        .map(|(action, target, _)| format!("{action} {target}"))
        .collect();
    assert_eq!(acts, ["user.delete sam", "user.change sam (role operator)", "user.add sam (viewer)", "user.add mara (admin)"]);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let site = Site::new().await;
    let id = site.add_user("mara", Role::Admin).await;
    let admin = site.log_in("mara").await;
    let path = format!("/api/v1/users/{id}");
    for change in [json!({ "role": "operator" }), json!({ "disabled": true })] {
        let answer = site.call(Method::PATCH, &path).by(&admin).json(change).send().await;
        assert_eq!(answer.problem().1, "last_admin");
    }
    assert_eq!(site.call(Method::DELETE, &path).by(&admin).send().await.problem().1, "last_admin");
    let page = site.post(&format!("/settings/users/{id}/delete")).by(&admin).form(&[]).send().await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("last administrator"), "{}", page.text);
    site.add_user("sam", Role::Admin).await;
    let answer = site.call(Method::PATCH, &path).by(&admin).json(json!({ "role": "operator" })).send().await;
    assert_eq!(answer.status, StatusCode::OK, "another one remains");
}

#[tokio::test]
async fn an_administrator_keeps_users_in_the_browser() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    let short =
        site.post("/settings/users").by(&admin).form(&[("username", "sam"), ("password", "short"), ("role", "operator")]).send().await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.text.contains("at least 8 characters") && short.text.contains("value=\"sam\""), "the form comes back as it was");
    assert!(short.text.contains("<option value=\"operator\" selected>"), "{}", short.text);
    let added =
        site.post("/settings/users").by(&admin).form(&[("username", "sam"), ("password", PASSWORD), ("role", "operator")]).send().await;
    assert_eq!((added.status, added.header("location")), (StatusCode::SEE_OTHER, "/settings/users"));
    let flash = added.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let list = site.get("/settings/users").by(&format!("{admin}; {flash}")).send().await;
    assert!(list.text.contains("User sam added") && list.text.contains("/settings/users/2"), "{}", list.text);
    assert!(list.header("set-cookie").contains("redrive_flash=;"), "a message is shown once");
    let disabled = site.post("/settings/users/2").by(&admin).form(&[("disabled", "true")]).send().await;
    assert_eq!(disabled.status, StatusCode::SEE_OTHER);
    assert!(site.get("/settings/users/2").by(&admin).send().await.text.contains("Enable sam"));
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let site = Site::new().await;
    let admin = site.person("mara", Role::Admin).await;
    let made =
        site.post("/settings/tokens").by(&admin).form(&[("name", "prometheus"), ("role", "viewer"), ("expires", "90d")]).send().await;
    assert_eq!(made.status, StatusCode::CREATED);
    let secret = made
        .text
        .split("rdv_")
        .nth(2)
        .and_then(|rest| rest.split('<').next())
        .map(|rest| format!("rdv_{rest}"))
        .expect("the secret is shown");
    assert_eq!(site.get("/metrics").bearer(&secret).send().await.status, StatusCode::OK);
    let list = site.get("/settings/tokens").by(&admin).send().await;
    assert!(list.text.contains("prometheus") && !list.text.contains(&secret));
    let api = site
        .post("/api/v1/tokens")
        .by(&admin)
        .json(json!({ "name": "ci", "role": "operator", "expires_at": "2999-01-01T00:00:00Z" }))
        .send()
        .await;
    assert_eq!(api.status, StatusCode::CREATED);
    assert!(api.json()["token"].as_str().is_some_and(|token| token.starts_with("rdv_")) && api.json()["id"].is_string());
    let again = site.post("/api/v1/tokens").by(&admin).json(json!({ "name": "ci", "role": "operator" })).send().await;
    assert_eq!(again.problem(), (409, "taken".to_owned(), Some("name".to_owned())));
    let past = site
        .post("/api/v1/tokens")
        .by(&admin)
        .json(json!({ "name": "old", "role": "operator", "expires_at": "2001-01-01T00:00:00Z" }))
        .send()
        .await;
    assert_eq!(past.problem().2.as_deref(), Some("expires_at"));
}
