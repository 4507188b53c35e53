//! Coming in and going out.

use std::time::Duration;

use axum::http::StatusCode;
use redrive::model::{Role, Timestamp};
use sha2::{Digest, Sha256};

use super::site::{PASSWORD, Site};

#[tokio::test]
async fn mara_logs_in_goes_where_she_wanted_and_logs_out() {
    let site = Site::new().await;
    site.add_user("mara", Role::Operator).await;
    let sent = site.get("/audit?range=7d").send().await;
    assert_eq!((sent.status, sent.header("location")), (StatusCode::SEE_OTHER, "/login?next=%2Faudit%3Frange%3D7d"));
    let form = site.get(sent.header("location")).send().await;
    assert!(form.status.is_success() && form.text.contains("value=\"/audit?range=7d\""), "{}", form.text);

    let login = site.post("/login").form(&[("username", "Mara"), ("password", PASSWORD), ("next", "/audit?range=7d")]).send().await;
    assert_eq!((login.status, login.header("location")), (StatusCode::SEE_OTHER, "/audit?range=7d"));
    let cookie = login.header("set-cookie");
    for mark in ["redrive_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"] {
        assert!(cookie.contains(mark), "{mark} in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain http would never send it back");
    let session = login.session().expect("a session begins");
    let page = site.get("/audit?range=7d").by(&session).send().await;
    assert!(page.status.is_success() && page.text.contains("mara"), "{}", page.text);

    let logout = site.post("/logout").by(&session).send().await;
    assert_eq!((logout.status, logout.header("location")), (StatusCode::SEE_OTHER, "/login"));
    assert!(logout.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(site.get("/audit").by(&session).send().await.status, StatusCode::SEE_OTHER, "the session has ended for everybody");
    let acts: Vec<_> = site.audit().await.into_iter().map(|(action, _, result)| (action, result)).collect();
    assert!(
        acts.contains(&("session.login".to_owned(), "done".to_owned())) && acts.contains(&("session.logout".to_owned(), "done".to_owned()))
    );
}

#[tokio::test]
async fn whoever_is_wrong_is_not_told_what_is_wrong() {
    let site = Site::new().await;
    site.add_user("mara", Role::Operator).await;
    let gone = site.add_user("gone", Role::Operator).await;
    let admin = redrive::model::Actor { name: "cli".to_owned(), address: None };
    let disable = redrive::access::UserChange { disabled: Some(true), ..Default::default() };
    site.access.change_user(&admin, gone, disable, Timestamp::now()).await.expect("an operator can be disabled");
    let mut answers = Vec::new();
    for (name, password) in [("mara", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("mara", "")] {
        let answer = site.post("/login").form(&[("username", name), ("password", password), ("x", "y")]).send().await;
        if password.is_empty() {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "a form without a password is no try");
            continue;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(answer.text.contains("Name or password is wrong") && answer.session().is_none());
        assert!(!answer.text.contains(password), "the password does not come back");
        answers.push(answer.text.replace(name, "NAME"));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the three answers are the same");
    let api = site.post("/api/v1/login").json(serde_json::json!({ "username": "mara", "password": "wrong password" })).send().await;
    assert_eq!(api.problem(), (401, "wrong_login".to_owned(), None));
    let denied = site.audit().await.into_iter().filter(|(action, _, result)| action == "session.login" && result.starts_with("denied"));
    assert_eq!(denied.count(), 4);
}

#[tokio::test]
async fn programs_log_in_and_out_too() {
    let site = Site::new().await;
    site.add_user("mara", Role::Operator).await;
    let login = site.post("/api/v1/login").json(serde_json::json!({ "username": "mara", "password": PASSWORD })).send().await;
    assert_eq!((login.status, login.json()), (StatusCode::OK, serde_json::json!({ "username": "mara", "role": "operator" })));
    let session = login.session().expect("a session begins");
    assert_eq!(site.get("/api/v1/audit").by(&session).send().await.status, StatusCode::OK);
    assert_eq!(site.post("/api/v1/logout").by(&session).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get("/api/v1/audit").by(&session).send().await.problem().1, "not_logged_in");
}

#[tokio::test]
async fn a_login_ends_the_session_that_the_browser_had() {
    let site = Site::new().await;
    site.add_user("mara", Role::Viewer).await;
    let first = site.log_in("mara").await;
    let login = site.post("/login").by(&first).form(&[("username", "mara"), ("password", PASSWORD)]).send().await;
    let second = login.session().expect("a session begins");
    assert_ne!(first, second);
    assert_eq!(site.get("/audit").by(&first).send().await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.get("/audit").by(&second).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_end_by_idleness_and_by_age() {
    let site = Site::new().await;
    let mara = site.add_user("mara", Role::Viewer).await;
    let hours = |hours: u64| Timestamp::now().minus(Duration::from_hours(hours));
    for (secret, begun, used, lasts) in [
        ("fresh", hours(11), None, true),
        ("idle", hours(13), None, false),
        ("used", hours(24 * 6), Some(hours(1)), true),
        ("old", hours(24 * 7 + 1), Some(hours(1)), false),
    ] {
        let hash = Sha256::digest(secret.as_bytes());
        site.store.add_session(&hash, mara, begun).await.expect("the session is added");
        if let Some(used) = used {
            site.store.touch_session(&hash, used).await.expect("its use is noted");
        }
        let answer = site.get("/audit").by(&format!("redrive_session={secret}")).send().await;
        assert_eq!(answer.status == StatusCode::OK, lasts, "{secret}");
    }
}

#[tokio::test]
async fn the_eleventh_try_waits() {
    let site = Site::new().await;
    site.add_user("mara", Role::Viewer).await;
    for _ in 0..10 {
        let answer = site.post("/api/v1/login").json(serde_json::json!({ "username": "mara", "password": "wrong password" })).send().await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let right = serde_json::json!({ "username": "mara", "password": PASSWORD });
    let answer = site.post("/api/v1/login").json(&right).send().await;
    assert_eq!(answer.problem().1, "too_many_tries");
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=16).contains(&wait), "{wait}");
    let page = site.post("/login").form(&[("username", "mara"), ("password", PASSWORD)]).send().await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.text.contains("Too many tries"));
}

#[tokio::test]
async fn tokens_end_when_they_expire_or_are_revoked() {
    let site = Site::new().await;
    let now = Timestamp::now();
    let add = async |name: &str, end: Option<Timestamp>| {
        let secret = format!("rdv_{name}");
        site.store.add_token(name, &Sha256::digest(secret.as_bytes()), Role::Viewer, "cli", end, now).await.expect("the token is added")
    };
    add("lasting", Some(now.plus(Duration::from_hours(1)))).await;
    add("expired", Some(now.minus(Duration::from_secs(1)))).await;
    let revoked = add("revoked", None).await;
    let status = async |secret: &str| site.get("/api/v1/audit").bearer(secret).send().await.status;
    assert_eq!(status("rdv_lasting").await, StatusCode::OK);
    assert_eq!(status("rdv_expired").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("rdv_revoked").await, StatusCode::OK);
    let admin = site.token("admin", Role::Admin).await;
    let path = format!("/api/v1/tokens/{}", revoked.id);
    assert_eq!(site.call(axum::http::Method::DELETE, &path).bearer(&admin).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(status("rdv_revoked").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_way_back_leads_nowhere_else() {
    let site = Site::new().await;
    site.add_user("mara", Role::Viewer).await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let login = site.post("/login").form(&[("username", "mara"), ("password", PASSWORD), ("next", next)]).send().await;
        assert_eq!(login.header("location"), "/", "{next}");
    }
}

#[tokio::test]
async fn one_changes_ones_own_password() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let elsewhere = site.log_in("mara").await;
    let wrong = site.post("/settings/account").by(&mara).form(&[("current", "not it at all"), ("password", "a new password")]).send().await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("not the present password"), "{}", wrong.text);
    let changed = site.post("/settings/account").by(&mara).form(&[("current", PASSWORD), ("password", "a new password")]).send().await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{changed:?}");
    let fresh = changed.session().expect("this browser goes on");
    assert_eq!(site.get("/audit").by(&fresh).send().await.status, StatusCode::OK);
    for old in [&mara, &elsewhere] {
        assert_eq!(site.get("/audit").by(old).send().await.status, StatusCode::SEE_OTHER, "other sessions have ended");
    }
}
