//! One replay through many kills in a row: at every failpoint and at moments in between. `REDRIVE_KILLS` says how many; `make soak` asks
//! for 200.

use std::time::Duration;

use serde_json::json;

use super::super::harness::kafka;
use super::super::harness::redrive::{Setup, ended_by_signal};
use super::scene::{PATIENCE, Scene, find, start, until};

/// Kills in `make test`: each kind once, and once more.
const FEW: usize = 9;
/// Where a process dies while it sends.
const FAILPOINTS: [&str; 5] =
    ["replay.attempt_stored", "replay.sending", "replay.before_commit", "replay.after_commit", "replay.before_mark"];
/// More than one life sends before its kill.
const MESSAGES_PER_KILL: usize = 400;

/// How a life of the process ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// At a failpoint, when it is passed for the so-manieth time.
    At(&'static str, usize),
    /// So long after messages began to move again.
    After(Duration),
}

/// The way of the kill of this number; all ways within any twelve in a row.
fn end(number: usize) -> End {
    let round = number / (FAILPOINTS.len() + 1);
    match FAILPOINTS.get(number % (FAILPOINTS.len() + 1)) {
        Some(failpoint) => End::At(failpoint, 1 + round % 3),
        None => End::After(Duration::from_millis((round as u64 * 137) % 900)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_through_kills_in_a_row_and_loses_and_doubles_nothing() {
    let kills = std::env::var("REDRIVE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(FEW);
    let kafka = kafka::shared();
    let mut scene = Scene::new(kafka, 6).await;
    scene.fail(kafka, 100, (kills * MESSAGES_PER_KILL).div_ceil(100)).await;
    let count = scene.ledger.len();
    let mut redrive = scene.setup(kafka, Setup::new()).start().await;
    scene.until_indexed(&redrive, count).await;
    let plan = scene.plan(&redrive, &json!({ "rate": 300, "canary": null, "lag_limit": null })).await;
    redrive.stop().await;
    let mut started = false;
    let mut sent = 0;
    for number in 0..kills {
        let end = end(number);
        let failpoint = if let End::At(name, times) = end { Some(format!("{name}={times}")) } else { None };
        redrive.set_environment("REDRIVE_FAILPOINT", failpoint.as_deref());
        redrive.start().await;
        if !started {
            start(&redrive, &plan).await;
            started = true;
        }
        let status = match end {
            End::At(..) => redrive.wait_for_exit(PATIENCE).await,
            End::After(wait) => {
                let moved = |replay: &serde_json::Value| replay["sent_total"].as_u64() > Some(sent) || replay["state"] == "completed";
                until(&redrive, &plan, "messages move again", moved).await;
                tokio::time::sleep(wait).await;
                sent = find(&redrive, &plan).await.and_then(|replay| replay["sent_total"].as_u64()).unwrap_or(sent);
                redrive.kill().await
            }
        };
        assert!(ended_by_signal(status, 9), "kill {number}, {end:?}: {status}\n{}", redrive.log());
    }
    redrive.set_environment("REDRIVE_FAILPOINT", Some("replay.group_deleted=1"));
    redrive.start().await;
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE * 4).await, 9), "{}", redrive.log());
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let done = until(&redrive, &plan, "the replay is completed", |replay| replay["state"] == "completed").await;
    assert_eq!((done["sent_total"].as_u64(), done["waiting"].as_u64()), (Some(count as u64), Some(0)), "{done}");
    scene.compare(kafka);
    eprintln!("{kills} kills in a row: {count} messages, 0 lost, 0 doubled");
}
