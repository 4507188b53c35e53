//! Listening waits for nobody; readiness tells what is missing.

use std::time::Duration;

use crate::harness::redrive::{PATIENCE, Redrive, Setup, free_address, http};

async fn readiness(redrive: &Redrive) -> (u16, serde_json::Value) {
    let answer = http().get(redrive.url("/health/ready")).send().await.expect("it answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_bus_that_nobody_answers_for_delays_nothing() {
    let redrive = Setup::new().without_login().bus("prod", &free_address().to_string()).start().await;
    redrive.wait_until("ready", PATIENCE, async || readiness(&redrive).await.0 == 200).await;
    redrive
        .wait_until("the bus is known to be down", PATIENCE, async || {
            let page = http().get(redrive.url("/api/v1/buses")).send().await.unwrap().text().await.unwrap();
            page.contains("\"prod\"") && page.contains("error")
        })
        .await;
    assert_eq!(readiness(&redrive).await.0, 200, "a bus that is down is no reason");
}

#[tokio::test]
async fn a_store_that_is_down_leaves_us_alive_unready_and_without_its_password_anywhere() {
    let nobody = free_address();
    let url = format!("postgres://redrive:hunter2@{nobody}/redrive");
    let mut redrive = Setup::new().store(&url).start().await;
    redrive
        .wait_until("the reason is told", PATIENCE, async || {
            let (status, body) = readiness(&redrive).await;
            status == 503 && body["ready"] == false && body["reasons"][0]["code"] == "store_unavailable"
        })
        .await;
    let page = http().get(redrive.url("/")).send().await.unwrap();
    assert_eq!(page.status(), 503);
    assert!(page.text().await.unwrap().contains("cannot be reached"));
    let page = http().get(redrive.url("/dead-letters")).header("accept", "text/html").send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    assert!(page.headers().contains_key("content-security-policy"));
    let page = page.text().await.unwrap();
    for part in ["Redrive is starting", "cannot be reached", "http-equiv=\"refresh\""] {
        assert!(page.contains(part), "a person is told, and the page goes on by itself: {part}");
    }
    let sheet = page.split("href=\"").find(|rest| rest.starts_with("/static/app.")).and_then(|rest| rest.split('"').next());
    assert_eq!(http().get(redrive.url(sheet.expect("a style sheet"))).send().await.unwrap().status(), 200);
    assert!(redrive.stop().await.success(), "{}", redrive.log());
    let (out, err) = super::said(&redrive.command(&["check-config", "--connect"], ""));
    assert!(out.contains("store: FAILED"), "{out}{err}");
    for text in [redrive.log(), out, err] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn secrets_of_the_configuration_stay_out_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2-file\n").unwrap();
    let lines = format!(
        "client = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanisms\" = \"PLAIN\", \"sasl.username\" = \"me\", \"sasl.password_file\" = \"{}\" }}",
        file.display()
    );
    let redrive = Setup::new()
        .without_login()
        .tables("[otlp]\ntoken = \"hunter2-token\"\n")
        .bus_with("prod", &free_address().to_string(), &lines)
        .environment("REDRIVE_LOG", "debug")
        .start()
        .await;
    redrive.wait_until("the bus was tried", PATIENCE, async || redrive.log().contains("prod")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!redrive.log().contains("hunter2"), "{}", redrive.log());
}

#[tokio::test]
async fn an_address_in_use_is_said_in_words() {
    let first = Setup::new().start().await;
    let mut second = Setup::new().environment("REDRIVE__HTTP__LISTEN", &first.address().to_string()).prepare();
    second.spawn();
    let status = second.wait_for_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(1));
    assert!(second.log().contains(&format!("cannot listen on {} (http.listen)", first.address())), "{}", second.log());
}

#[tokio::test]
async fn a_second_serve_on_one_sqlite_file_is_refused() {
    let first = Setup::new().start().await;
    first.wait_until("ready", PATIENCE, async || readiness(&first).await.0 == 200).await;
    let url = format!("sqlite:{}", first.folder().join("redrive.db").display());
    let mut second = Setup::new().store(&url).prepare();
    second.spawn();
    let status = second.wait_for_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(1));
    assert!(second.log().contains("the store is in use"), "{}", second.log());
}

#[tokio::test]
async fn the_first_start_prints_a_code_once_and_a_wider_address_is_warned_of() {
    let mut redrive = Setup::new().prepare();
    let port = redrive.address().port();
    redrive.set_environment("REDRIVE__HTTP__LISTEN", Some(&format!("0.0.0.0:{port}")));
    redrive.start().await;
    redrive.wait_until("the code is printed", PATIENCE, async || redrive.log().contains("/first-start")).await;
    assert!(redrive.log().contains("plain http beyond this machine"), "{}", redrive.log());
    redrive.add_user("mara", "admin", "correct horse battery");
    assert!(redrive.stop().await.success());
    let before = redrive.log().matches("/first-start").count();
    redrive.start().await;
    redrive.wait_until("ready", PATIENCE, async || readiness(&redrive).await.0 == 200).await;
    assert_eq!(redrive.log().matches("/first-start").count(), before, "there is a user now");
}

#[tokio::test]
async fn a_wrong_configuration_ends_serve_with_its_problems() {
    let mut redrive = Setup::new().tables("[retention]\naudit = \"always\"\n").prepare();
    redrive.spawn();
    assert_eq!(redrive.wait_for_exit(PATIENCE).await.code(), Some(2));
    assert!(redrive.log().contains("retention.audit = \"always\" should be a duration"), "{}", redrive.log());
}
