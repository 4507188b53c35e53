//! Two instances on one PostgreSQL, both of which send: whatever happens to the one that is sending, each alert that this test causes is
//! told under exactly one id when it begins and under exactly one when it ends.

use std::time::Duration;

use super::super::harness::redrive::{PATIENCE, ended_by_signal};
use super::pair::Pair;

/// Alerts that are caused until the first instance is the one that sends.
const TRIES: usize = 40;

/// Causes alerts, each after the one before was told, until the first instance was sending one and met its failpoint.
async fn cause_until(pair: &mut Pair, what: &str, met: impl AsyncFn(&mut Pair) -> bool) {
    for _ in 0..TRIES {
        pair.cause().await;
        let begun = std::time::Instant::now();
        loop {
            if met(pair).await {
                return;
            }
            if pair.is_told() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "neither told nor {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Whoever has posted it writes that down, or meets its failpoint there.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("after {TRIES} alerts the first instance has not {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_while_it_sends_is_followed_by_the_other_and_nothing_is_lost_or_doubled() {
    let places = ["deliveries.claimed", "deliveries.sent", "deliveries.before_mark"];
    let mut pair = Pair::begin(&format!("{}=1", places[0])).await;
    for (number, place) in places.iter().enumerate() {
        cause_until(&mut pair, "died", async |pair| pair.instances[0].exit_status().is_some_and(|ended| ended_by_signal(ended, 9))).await;
        // Told by the other one, while the killed one's claim still stands.
        pair.cause().await;
        eprintln!("killed at {place}, after {} alerts", pair.intended());
        let next = places.get(number + 1).map(|place| format!("{place}=1"));
        pair.instances[0].set_environment("REDRIVE_FAILPOINT", next.as_deref());
        pair.instances[0].start().await;
    }
    pair.told_once().await;
    let (alerts, repeats) = (pair.intended(), pair.finish().await);
    eprintln!("{alerts} alerts, each told once and ended once; {repeats} posts repeated under their ids");
    assert!(repeats >= 2, "what was sent and not marked is sent again under its id: {repeats}");
}

/// The first instance freezes while it sends; the second one takes over, which has posted so much again by then; the first one wakes up.
async fn frozen(place: &str, repeats: usize) {
    let mut pair = Pair::begin(&format!("{place}=1:stop")).await;
    cause_until(&mut pair, "frozen", async |pair| pair.is_frozen()).await;
    pair.cause().await;
    // The claim of the frozen one lasts half a minute.
    let followed = |pair: &Pair| pair.is_told() && pair.receiver.requests().len() == pair.receiver.ids().len() + repeats;
    pair.until("the second one takes over", async |pair| followed(pair)).await;
    assert_eq!((pair.told_once().await, pair.is_frozen()), (repeats, true));
    pair.instances[0].signal("CONT");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(pair.finish().await, repeats, "whoever wakes up posts nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_before_it_sends_sends_nothing_when_it_wakes_up() {
    frozen("deliveries.claimed", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_after_it_has_sent_is_followed_by_the_other_under_the_same_id() {
    frozen("deliveries.sent", 1).await;
}
