//! What a running Redrive samples of dead letters and of itself, over a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::model::bus::{Capabilities, TopicRole};
use redrive::model::{BusKind, DeadLetterId, Status, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::indexing::PartitionPosition;
use redrive::store::topics::{SeenOffsets, SeenTopic};
use redrive::store::{Store, StoreSettings};
use serde_json::Value;

use crate::harness::postgres;
use crate::harness::redrive::{PATIENCE, Redrive, Setup};
use crate::store::letters::{index, letter};

/// A bus that nobody reaches, with three dead letters, the oldest ten minutes old, one record that is not indexed, and its last look
/// two minutes ago.
async fn seed(store: &Store, now: Timestamp) {
    store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let ago = |seconds| now.minus(Duration::from_secs(seconds));
    let topic = SeenTopic {
        topic: "orders.DLT".into(),
        topic_id: None,
        role: TopicRole::DeadLetter,
        internal: false,
        replication_factor: 1,
        compacted: false,
        config: BTreeMap::new(),
        partitions: [(0, Some(1))].into(),
    };
    let partition_id = store.record_topics(&"prod".into(), &[topic], ago(1_000)).await.expect("topics")[0].partitions[0].id;
    store.start_positions(&[PartitionPosition { partition_id, next: 0, backlog_below: 0, caught_up_at: None }]).await.expect("started");
    index(store, partition_id, (0..3).map(|n| letter(n, ago(600 - n.unsigned_abs()))).collect(), ago(500)).await;
    let offsets = SeenOffsets { partition_id, log_start: 0, end: 4, last_stable: None };
    store.record_offsets(&[offsets], ago(120)).await.expect("offsets");
    let reached = SweepResult::Reached {
        cluster_id: None,
        brokers: 1,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities::default(),
    };
    store.record_sweep(&"prod".into(), &reached, ago(120)).await.expect("swept");
}

/// A running Redrive and somebody who asks it.
type Asked<'a> = (&'a Redrive, &'a reqwest::Client);

/// The newest number of every series of a figure.
async fn newest((redrive, client): Asked<'_>, figure: &str) -> Vec<(Value, f64)> {
    let url = redrive.url(&format!("/api/v1/series?figure={figure}&step=15s"));
    let answer = client.get(url).send().await.expect("an answer");
    let Ok(found) = answer.json::<Value>().await else { return Vec::new() };
    let newest = |series: &Value| series["points"].as_array()?.iter().rev().find_map(|point| point[1].as_f64());
    let series = found["series"].as_array().map(Vec::as_slice).unwrap_or_default();
    series.iter().filter_map(|series| Some((series["labels"].clone(), newest(series)?))).collect()
}

/// Sum of all points of a figure over the last hour.
async fn total((redrive, client): Asked<'_>, figure: &str) -> f64 {
    let url = redrive.url(&format!("/api/v1/series?figure={figure}&step=15s"));
    let found: Value = client.get(url).send().await.expect("an answer").json().await.unwrap_or_default();
    let points = |series: &Value| series["points"].as_array().into_iter().flatten().filter_map(|point| point[1].as_f64()).sum::<f64>();
    found["series"].as_array().into_iter().flatten().map(points).sum()
}

async fn sampled(store_url: &str, redrive: &mut Redrive) {
    let settings = StoreSettings { url: store_url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) };
    let store = Store::open(&settings).await.expect("the store opens");
    seed(&store, Timestamp::now()).await;
    store.close().await;
    // Its lock goes with it.
    drop(store);
    redrive.start().await;
    let client = redrive.client("viewer");
    redrive
        .wait_until("open dead letters are sampled", PATIENCE, async || newest((redrive, &client), "dead_letters_open").await.len() > 1)
        .await;
    let open = newest((redrive, &client), "dead_letters_open").await;
    let of_group = open.iter().find(|(labels, _)| labels["consumer_group"] == "billing").expect("the group's series");
    assert!((of_group.1 - 3.0).abs() < 1e-9 && of_group.0["fingerprint"].as_str().is_some_and(|text| text.starts_with("v1-")), "{open:?}");
    assert!((open.iter().map(|(_, count)| count).sum::<f64>() - 3.0).abs() < 1e-9, "nothing is counted twice: {open:?}");
    for (labels, age) in newest((redrive, &client), "dead_letters_oldest_open_seconds").await {
        assert!((600.0..720.0).contains(&age), "{labels}: {age}");
    }
    let age = newest((redrive, &client), "sample_age_seconds").await;
    assert!(age.len() == 1 && age[0].1 >= 120.0, "{age:?}");
    let delay = newest((redrive, &client), "ingest_delay_seconds").await;
    assert!(delay.len() == 1 && delay[0].0["bus"] == "prod", "{delay:?}");
    let metrics = client.get(redrive.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("redrive_dead_letters_open{bus=\"prod\",consumer_group=\"billing\","), "{metrics}");
    assert!(metrics.contains("redrive_sample_age_seconds{bus=\"prod\"}"), "{metrics}");
    assert!(redrive.stop().await.success());

    // While it is down two are resolved and one fails again.
    let store = Store::open(&settings).await.expect("the store opens");
    let ids: Vec<DeadLetterId> = (1..=3).map(DeadLetterId).collect();
    let now = Timestamp::now();
    for (from, to) in [(Status::Open, Status::Replaying), (Status::Replaying, Status::Replayed)] {
        store.change_status(&ids, from, to, now).await.expect("moved");
    }
    store.change_status(&ids[..2], Status::Replayed, Status::Resolved, now).await.expect("moved");
    store.change_status(&ids[2..], Status::Replayed, Status::FailedAgain, now).await.expect("moved");
    store.close().await;
    // Its lock goes with it.
    drop(store);
    for _ in 0..2 {
        redrive.start().await;
        redrive.wait_until("outcomes are counted", PATIENCE, async || total((redrive, &client), "replay_outcomes").await > 0.0).await;
        redrive
            .wait_until("nothing is open", PATIENCE, async || {
                let open = newest((redrive, &client), "dead_letters_open").await;
                !open.is_empty() && open.iter().filter(|(labels, _)| labels["topic"].is_null()).all(|(_, count)| *count < 0.5)
            })
            .await;
        assert!((total((redrive, &client), "replay_outcomes").await - 3.0).abs() < 1e-9, "each once");
        assert!((total((redrive, &client), "replay_failures").await - 1.0).abs() < 1e-9, "each once");
        assert!(redrive.stop().await.success());
    }
    redrive.start().await;
    let ratio = newest((redrive, &client), "replay_failed_again_ratio").await;
    assert!(ratio.len() == 1 && (ratio[0].1 - 1.0 / 3.0).abs() < 1e-9, "{ratio:?}");
    assert_eq!(ratio[0].0["consumer_group"], "billing");
}

fn setup() -> Setup {
    // Nobody listens there.
    Setup::new().bus("prod", "127.0.0.1:9").environment("REDRIVE__HTTP__BUS_FIGURES", "true")
}

#[tokio::test]
async fn dead_letters_and_redrive_itself_are_sampled_once_over_restarts_on_sqlite() {
    let mut redrive = setup().prepare();
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    sampled(&url, &mut redrive).await;
}

#[tokio::test]
async fn dead_letters_and_redrive_itself_are_sampled_once_over_restarts_on_postgresql() {
    let database = postgres::database().await;
    let mut redrive = setup().store(database.url()).prepare();
    sampled(database.url(), &mut redrive).await;
}
