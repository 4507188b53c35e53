//! Notifications through kills of the process: at every failpoint and in between. The receiver counts distinct ids: exactly one for each
//! intended notification, none lost. `REDRIVE_KILLS` says how many kills; `make soak` asks for 100.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use super::SECRET;
use crate::harness::notify::Receiver;
use crate::harness::redrive::{PATIENCE, Redrive, Setup, ended_by_signal};

/// Kills in `make test`: each place twice.
const FEW: usize = 14;
/// Where the process dies: before and after the commit of what is told, after a claim, after sending, before and after marking.
const FAILPOINTS: [&str; 6] = [
    "deliveries.before_commit",
    "deliveries.after_commit",
    "deliveries.claimed",
    "deliveries.sent",
    "deliveries.before_mark",
    "deliveries.after_mark",
];

async fn list(redrive: &Redrive, client: &reqwest::Client) -> Vec<Value> {
    let answer = client.get(redrive.url("/api/v1/deliveries?limit=1000")).send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    serde_json::from_str::<Value>(&text).expect("JSON")["items"].as_array().expect("a list").clone()
}

/// Asks for a test until the process has taken it, or has ended by itself.
async fn tell(redrive: &mut Redrive, client: &reqwest::Client) -> Option<ExitStatus> {
    loop {
        let asked = client.post(redrive.url("/api/v1/receivers/1/test")).timeout(Duration::from_secs(30)).send().await;
        if let Some(status) = redrive.exit_status() {
            return Some(status);
        }
        if asked.is_ok_and(|answer| answer.status() == 200) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_notification_arrives_under_one_id_through_kills_in_a_row() {
    let kills = std::env::var("REDRIVE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(FEW);
    let receiver = Receiver::start(Vec::new()).await;
    let mut redrive = Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]").start().await;
    let admin = redrive.client("admin");
    let new = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
    assert_eq!(admin.post(redrive.url("/api/v1/receivers")).json(&new).send().await.unwrap().status(), 201);
    redrive.stop().await;
    for number in 0..kills {
        let place = FAILPOINTS.get(number % (FAILPOINTS.len() + 1));
        redrive.set_environment("REDRIVE_FAILPOINT", place.map(|name| format!("{name}=1")).as_deref());
        redrive.spawn();
        let status = if place.is_some() {
            match tell(&mut redrive, &admin).await {
                Some(status) => status,
                None => redrive.wait_for_exit(PATIENCE).await,
            }
        } else {
            // At any moment of its way.
            redrive.wait_until_listening().await;
            let _ = tokio::time::timeout(Duration::from_millis((number as u64 * 37) % 250), tell(&mut redrive, &admin)).await;
            redrive.kill().await
        };
        assert!(ended_by_signal(status, 9), "kill {number} at {place:?}: {status}\n{}", redrive.log());
    }
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let ended = async || list(&redrive, &admin).await.iter().all(|delivery| delivery["state"] == "delivered");
    redrive.wait_until("everything that was decided is delivered", PATIENCE, ended).await;
    let intended: BTreeSet<String> =
        list(&redrive, &admin).await.iter().map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect();
    let seen: BTreeMap<String, usize> = receiver.ids();
    let distinct: BTreeSet<String> = seen.keys().cloned().collect();
    assert_eq!(distinct, intended, "each notification arrives, and nothing else does");
    // A kill right after the commit leaves one for certain. Others may meet what an earlier kill has left, before anything new is told.
    let certain = (0..kills).filter(|number| FAILPOINTS.get(number % (FAILPOINTS.len() + 1)) == Some(&"deliveries.after_commit")).count();
    assert!(intended.len() >= certain, "{} of {certain}", intended.len());
    let repeats = seen.values().sum::<usize>() - seen.len();
    eprintln!("{kills} kills: {} notifications, 0 lost, {repeats} repeated under their own ids", intended.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_sender_repeats_at_most_under_the_same_id() {
    let receiver = Receiver::start(Vec::new()).await;
    let setup = Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]");
    let redrive = setup.environment("REDRIVE_FAILPOINT", "deliveries.sent=1:stop").start().await;
    let admin = redrive.client("admin");
    let new = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
    assert_eq!(admin.post(redrive.url("/api/v1/receivers")).json(&new).send().await.unwrap().status(), 201);
    let telling = admin.post(redrive.url("/api/v1/receivers/1/test")).timeout(Duration::from_secs(90)).send();
    let waking = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        redrive.signal("CONT");
    };
    let (answer, ()) = tokio::join!(telling, waking);
    let told: Value = serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(told["state"], "delivered");
    assert_eq!(receiver.ids().into_keys().collect::<Vec<_>>(), [told["id"].as_str().unwrap()]);
}
