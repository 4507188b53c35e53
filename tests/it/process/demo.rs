//! The demo as a newcomer starts it: its incident is told within two minutes, and its own page shows the post with its signature checked.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::redrive::{PATIENCE, free_address, http};

/// From the start of the process to what on call was told.
const TOLD_WITHIN: Duration = Duration::from_mins(2);

/// Killed when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A page or an answer, once there is one.
async fn get(url: &str) -> Option<String> {
    let answer = http().get(url).timeout(Duration::from_secs(20)).send().await.ok()?;
    if answer.status().is_success() { answer.text().await.ok() } else { None }
}

/// Alerts of a rule that fire or have fired.
async fn alerts_of(base: &str, rule: &str) -> Vec<Value> {
    let text = get(&format!("{base}/api/v1/alerts?state=firing&state=recovering&state=resolved")).await.expect("an answer");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all["items"].as_array().expect("a list").iter().filter(|alert| alert["rule"] == rule).cloned().collect()
}

/// Whether the lag of every service that reads orders is known.
async fn is_lag_known(base: &str) -> bool {
    let text = get(&format!("{base}/api/v1/buses/shop/consumer-groups")).await.unwrap_or_default();
    let all: Value = serde_json::from_str(&text).unwrap_or_default();
    let known =
        |name: &str| all["items"].as_array().into_iter().flatten().any(|group| group["group"] == name && group["lag_messages"].is_u64());
    ["payment-service", "order-service"].into_iter().all(known)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_incident_is_told_within_two_minutes_and_the_page_shows_the_post_with_its_signature_checked() {
    let (folder, address) = (tempfile::tempdir().expect("a scratch folder"), free_address());
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let begun = Instant::now();
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_redrive"), "demo", "--listen", &address.to_string()])
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("setpriv (util-linux) can be started");
    let mut demo = Demo(child);
    let base = format!("http://{address}");
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    // The incident is a failure that was never seen before; what is about the shop's past is told to nobody.
    let row = "New failure group, firing";
    let page = loop {
        assert!(demo.0.try_wait().expect("a child").is_none(), "the demo has ended\n{}", said());
        match get(&format!("{base}/demo")).await {
            Some(page) if page.contains(row) => break page,
            _ => assert!(begun.elapsed() < TOLD_WITHIN, "nothing is told\n{}", said()),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let took = begun.elapsed();
    eprintln!("the incident was told {took:?} after the start");
    assert!(took < TOLD_WITHIN);
    let inbox = page.split("What on call was told").nth(1).expect("the inbox is on the page");
    let post = inbox.split("<tr>").find(|part| part.contains(row)).expect("a row of its own");
    assert!(post.contains("Valid") && post.contains("error"), "{post}");
    assert!(!inbox.contains("Wrong"), "no signature is wrong: {inbox}");
    assert!(!inbox.contains("Failure group returned"), "{inbox}");

    // What was told is what fires: the payment service fails on orders without a card token.
    let fired = alerts_of(&base, "New failure group").await;
    let topics: Vec<&str> = fired.iter().filter_map(|alert| alert["labels"]["topic"].as_str()).collect();
    assert!(topics.iter().any(|topic| topic.contains("payment")), "{fired:#?}");
    assert!(topics.iter().any(|topic| post.contains(topic)), "the post names one of {topics:?}: {post}");

    // Its consumer groups are measured, though nobody there can list them.
    while !is_lag_known(&base).await {
        assert!(begun.elapsed() < TOLD_WITHIN, "no lag is known\n{}", said());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    let ended = Command::new("kill").args(["-TERM", &demo.0.id().to_string()]).status().expect("the kill command is there");
    assert!(ended.success());
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = demo.0.try_wait().expect("a child") {
            break status;
        }
        assert!(asked.elapsed() < PATIENCE, "it does not end\n{}", said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}\n{}", said());
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "nothing stays behind");
}
