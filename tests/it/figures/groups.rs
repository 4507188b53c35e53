//! Groups in every condition that can be staged on one broker, all at once: each needs its minute of watching.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redrive::model::Timestamp;
use serde_json::Value;

use super::scene::{PATIENCE, group, records, until_status};
use crate::harness::kafka::{self, Kafka, Member, OpenTransaction, Options, unique};
use crate::harness::redrive::{Redrive, Setup};

/// When each offset of a topic was written, as its producer knows it: written between these two moments.
type Written = Arc<Mutex<BTreeMap<i64, (i64, i64)>>>;

/// Writes a hundred records each five seconds, while a reader without membership commits ten more each time.
fn fall_behind(kafka: &Arc<Kafka>, topic: &'static str, group: &'static str) -> (Written, tokio::task::JoinHandle<()>) {
    let written: Written = Arc::default();
    let (ledger, kafka) = (Arc::clone(&written), Arc::clone(kafka));
    #[expect(clippy::disallowed_methods, reason = "somebody else's producer, not a task of the house")]
    let task = tokio::spawn(async move {
        let mut end = 0;
        for round in 1.. {
            let before = Timestamp::now().as_millis();
            kafka.produce(&records(topic, 0, 100)).await;
            let after = Timestamp::now().as_millis();
            ledger.lock().expect("not poisoned").extend((end..end + 100).map(|offset| (offset, (before, after))));
            end += 100;
            kafka.commit(group, &[(topic, 0, round * 10)]).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    (written, task)
}

/// What stays as it is staged while this is held.
type Staged = (Member, Member, OpenTransaction);

/// A topic and a group per condition.
async fn stage(kafka: &Kafka) -> Staged {
    for topic in ["idle", "stopped", "stalled", "uncommitted", "lost", "reset", "markers", "open", "growing"] {
        kafka.create_topic(topic, 1, &[]).await;
    }
    for topic in ["idle", "stopped", "stalled", "uncommitted", "lost", "reset"] {
        kafka.produce(&records(topic, 0, 100)).await;
    }
    kafka.commit("caught-up", &[("idle", 0, 100)]).await;
    kafka.commit("left", &[("stopped", 0, 10)]).await;
    kafka.commit("stuck", &[("stalled", 0, 5)]).await;
    let stuck = kafka.member("stuck", "classic", &["stalled"], "worker").await;
    let fresh = kafka.member("fresh", "consumer", &["uncommitted"], "worker").await;
    kafka.commit("overtaken", &[("lost", 0, 5)]).await;
    kafka.delete_records("lost", 0, 40).await;
    kafka.commit("set-back", &[("reset", 0, 80)]).await;
    kafka.produce_committed(&records("markers", 0, 10)).await;
    kafka.commit("at-the-marker", &[("markers", 0, 10)]).await;
    kafka.produce(&records("open", 0, 20)).await;
    let open = kafka.begin_transaction("never-ends", &records("open", 0, 5)).await;
    kafka.commit("held-up", &[("open", 0, 20)]).await;
    (stuck, fresh, open)
}

/// The record that the group has to read next was written when its producer says.
fn time_lag_lies_inside_its_bound(slow: &Value, written: &Written) {
    let partition = &slow["partitions"][0];
    let look = &partition["looks"][1];
    let at = Timestamp::parse_rfc3339(look["at"].as_str().expect("a time")).expect("a time").as_millis();
    let committed = look["committed"].as_i64().expect("an offset");
    let (before, after) = written.lock().expect("not poisoned")[&committed];
    let seconds = |field: &str| partition[field].as_f64();
    let (min, max) = (seconds("lag_seconds_min").expect("a bound"), seconds("lag_seconds_max"));
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
    let truth = ((at - after) as f64 / 1e3, (at - before) as f64 / 1e3);
    assert!(min <= truth.1 + 0.5 && max.is_none_or(|max| truth.0 <= max + 0.5), "{truth:?} between {min} and {max:?}: {partition:#}");
}

/// Asked of the bus, the next record's time is the one that its producer has written; where none is left, nothing is.
async fn exact_lag_is_that_of_the_producer(client: &reqwest::Client, redrive: &Redrive, written: &Written) {
    let ask = async |group: &str, topic: &str| -> Value {
        let url = redrive.url(&format!("/api/v1/buses/prod/consumer-groups/{group}/lag?topic={topic}&partition=0"));
        client.get(url).send().await.expect("an answer").json().await.expect("JSON")
    };
    let slow = ask("slow", "growing").await;
    let (next, at) = (slow["next_offset"].as_i64().expect("an offset"), slow["written_at"].as_str().expect("a time"));
    let at = Timestamp::parse_rfc3339(at).expect("a time").as_millis();
    let (before, after) = written.lock().expect("not poisoned")[&next];
    assert!(slow["committed"] == next && (before..=after).contains(&at), "{before} to {after}: {slow:#}");
    let now = Timestamp::parse_rfc3339(slow["at"].as_str().expect("a time")).expect("a time").as_millis();
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
    let truth = (now - at) as f64 / 1e3;
    assert!(slow["lag_seconds"].as_f64().is_some_and(|lag| (lag - truth).abs() < 1e-3), "{truth}: {slow:#}");
    assert_eq!((&slow["method"], &slow["timestamp_type"]), (&"timestamp".into(), &"create_time".into()));
    let marker = ask("at-the-marker", "markers").await;
    assert_eq!((&marker["lag_seconds"], &marker["next_offset"]), (&0.0.into(), &Value::Null), "{marker:#}");
    let held = ask("held-up", "open").await;
    assert_eq!((&held["lag_seconds"], &held["committed"]), (&Value::Null, &20.into()), "an open transaction holds it back: {held:#}");
    let nothing = ask("fresh", "uncommitted").await;
    assert_eq!(nothing["code"], "not_found", "{nothing:#}");
    let page = client.get(redrive.url("/buses/prod/consumer-groups/slow/lag?topic=growing&partition=0")).send().await.expect("a page");
    let page = page.text().await.expect("text");
    assert!(page.contains("behind: the next record to read is"), "{page}");
}

/// Group by group and partition by partition, once the figures stand still.
async fn compare_with_the_tool(kafka: &Kafka, client: &reqwest::Client, redrive: &Redrive) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tool = kafka.lag_by_the_tool().await;
        let mut differs = Vec::new();
        for line in tool.iter().filter(|line| !line.group.starts_with("redrive-")) {
            let found = group(client, redrive, &line.group).await;
            let partitions = found["partitions"].as_array().cloned().unwrap_or_default();
            let ours = partitions.iter().find(|p| p["topic"] == line.topic.as_str() && p["partition"] == line.partition);
            let ours = ours.map(|p| (p["committed"].as_i64(), p["end"].as_i64(), p["raw_lag_messages"].as_i64()));
            if ours != Some((line.committed, Some(line.end), line.lag)) {
                differs.push(format!("{line:?} beside {ours:?}"));
            }
        }
        assert!(tool.len() >= 9, "{tool:?}");
        if differs.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{differs:#?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

async fn compare_figures(client: &reqwest::Client, redrive: &Redrive, written: &Written) {
    let series = client.get(redrive.url("/api/v1/series?figure=consumer_group_lag_messages&bus=prod&consumer_group=left&step=15s"));
    let series: Value = series.send().await.expect("an answer").json().await.expect("JSON");
    let points = series["series"][0]["points"].as_array().cloned().unwrap_or_default();
    assert!(points.iter().any(|point| point[1] == 90.0), "{series:#}");
    let scraped = client.get(redrive.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
    let line = "redrive_consumer_group_lag_messages{bus=\"prod\",consumer_group=\"left\",topic=\"stopped\"} 90";
    assert!(scraped.lines().any(|found| found == line), "{scraped}");
    let rate = client.get(redrive.url("/api/v1/series?figure=topic_messages_per_second&bus=prod&topic=growing&step=15s"));
    let rate: Value = rate.send().await.expect("an answer").json().await.expect("JSON");
    let sum: f64 = rate["series"][0]["points"].as_array().into_iter().flatten().filter_map(|point| point[1].as_f64()).sum::<f64>() * 15.0;
    #[expect(clippy::cast_precision_loss, reason = "some thousand messages")]
    let all = written.lock().expect("not poisoned").len() as f64;
    assert!(sum > 100.0 && sum <= all + 1.0, "{sum} counted of {all} written, from the first sweep on: {rate:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_condition_of_a_group_is_told_with_its_evidence_and_raw_lag_is_that_of_kafkas_own_tool() {
    let kafka = Arc::new(tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("no panic"));
    let _staged = stage(&kafka).await;
    let (written, growing) = fall_behind(&kafka, "growing", "slow");

    let redrive = Setup::new().bus("prod", &kafka.bootstrap()).environment("REDRIVE__HTTP__BUS_FIGURES", "true").start().await;
    let client = redrive.client("viewer");
    let caught_up = until_status(&client, &redrive, "caught-up", "caught_up").await;
    assert_eq!(caught_up["partitions"][0]["lag_seconds_max"], 0.0, "{caught_up:#}");
    until_status(&client, &redrive, "set-back", "unknown").await;
    kafka.consumer_groups_tool(&["--group", "set-back", "--topic", "reset", "--reset-offsets", "--to-offset", "20", "--execute"]).await;
    // The log goes on below the one that holds its partition and does not move.
    kafka.produce(&records("stalled", 0, 50)).await;

    let lost = until_status(&client, &redrive, "overtaken", "data_loss").await;
    let partition = &lost["partitions"][0];
    assert_eq!((&partition["raw_lag_messages"], &partition["deleted_messages"]), (&95.into(), &35.into()), "{lost:#}");
    assert_eq!(partition["lag_messages"], 60);
    let back = until_status(&client, &redrive, "set-back", "rewound").await;
    assert!(back["evidence"].as_str().is_some_and(|words| words.contains("from offset 80 to 20")), "{back:#}");
    let marker = until_status(&client, &redrive, "at-the-marker", "caught_up").await;
    let partition = &marker["partitions"][0];
    assert_eq!((&partition["raw_lag_messages"], &partition["not_records"]), (&1.into(), &1.into()), "{marker:#}");
    assert_eq!(partition["lag_messages"], 0);
    let held = until_status(&client, &redrive, "held-up", "transaction_blocked").await;
    assert!(held["evidence"].as_str().is_some_and(|words| words.contains("last stable offset at 20")), "{held:#}");
    let left = until_status(&client, &redrive, "left", "stopped").await;
    assert_eq!((&left["parked"], &left["partitions"][0]["lag_messages"]), (&false.into(), &90.into()));
    until_status(&client, &redrive, "stuck", "stalled").await;
    let fresh = until_status(&client, &redrive, "fresh", "no_commit").await;
    assert_eq!((&fresh["type"], &fresh["partitions"][0]["committed"]), (&"consumer".into(), &Value::Null));

    let slow = until_status(&client, &redrive, "slow", "falling_behind").await;
    time_lag_lies_inside_its_bound(&slow, &written);
    growing.abort();
    let _ = growing.await;
    exact_lag_is_that_of_the_producer(&client, &redrive, &written).await;
    compare_with_the_tool(&kafka, &client, &redrive).await;
    compare_figures(&client, &redrive, &written).await;
}

/// More than a short read counts: only that there are transactions tells that the lag may be less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_on_a_topic_with_transactions_is_at_most_also_after_a_restart() {
    let kafka = kafka::shared();
    let topic = kafka.topic(&unique("ledger"), 1, &[]).await;
    let reader = format!("{topic}-reader");
    kafka.produce(&records(&topic, 0, 300)).await;
    kafka.commit(&reader, &[(&topic, 0, 10)]).await;
    let mut redrive = Setup::new().bus("prod", &kafka.bootstrap()).start().await;
    let client = redrive.client("viewer");
    let at_end = async |redrive: &Redrive, end: i64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let partition = group(&client, redrive, &reader).await["partitions"][0].clone();
            if partition["end"].as_i64().is_some_and(|seen| seen >= end) {
                break partition;
            }
            assert!(Instant::now() < deadline, "{partition:#}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    assert_eq!(at_end(&redrive, 300).await["lag_is_at_most"], false, "nothing speaks for transactions yet");
    let open = kafka.begin_transaction(&unique("writer"), &records(&topic, 0, 5)).await;
    let partition = at_end(&redrive, 305).await;
    assert_eq!((&partition["lag_is_at_most"], &partition["lag_messages"]), (&true.into(), &295.into()), "{partition:#}");
    open.commit().await;
    at_end(&redrive, 306).await;
    redrive.stop().await;
    redrive.start().await;
    kafka.produce(&records(&topic, 0, 3)).await;
    let partition = at_end(&redrive, 309).await;
    assert_eq!((&partition["lag_is_at_most"], &partition["lag_messages"]), (&true.into(), &299.into()), "{partition:#}");
    redrive.stop().await;
}
