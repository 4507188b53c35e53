//! Lag in time that samples cannot tell: a real Redrive that has just begun to look at a real Kafka.

use std::time::Duration;

use redrive::model::Timestamp;
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::figure::Figure;
use redrive::store::{Store, StoreSettings};
use serde_json::Value;

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::redrive::{PATIENCE, Redrive, Setup};
use super::scene::{add_rule, alerts_of, terms};

const THRESHOLD: f64 = 900.0;

/// A group's only partition, once the bus was asked for its lag in time.
async fn looked_up(client: &reqwest::Client, redrive: &Redrive, group: &str) -> Value {
    let url = redrive.url(&format!("/api/v1/buses/prod/consumer-groups/{group}"));
    let mut found = Value::Null;
    redrive
        .wait_until("lag in time is looked up", PATIENCE, async || {
            let answer = client.get(&url).send().await.expect("an answer");
            found = answer.json::<Value>().await.unwrap_or_default()["partitions"][0].take();
            found["method"] == "looked_up"
        })
        .await;
    found
}

async fn newest_lag(client: &reqwest::Client, redrive: &Redrive, group: &str) -> Option<f64> {
    let url = redrive.url(&format!("/api/v1/series?figure=consumer_group_lag_seconds&bus=prod&consumer_group={group}&step=15s"));
    let found: Value = client.get(url).send().await.expect("an answer").json().await.expect("JSON");
    found["series"][0]["points"].as_array()?.iter().rev().find_map(|point| point[1].as_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_knows_right_after_a_start_which_group_is_behind() {
    let (kafka, stem) = (kafka::shared(), kafka::unique("lag"));
    let topic = format!("{stem}-orders");
    kafka.create_topic(&topic, 1, &[]).await;
    // One record every two seconds up to now, all of them there before anybody looks.
    let now = Timestamp::now().as_millis();
    let records: Vec<Outgoing> =
        (0..2_000).map(|n| Outgoing::to(&topic).partition(0).value("v").timestamp(now - (2_000 - n) * 2_000)).collect();
    kafka.produce(&records).await;
    let [behind, near, few] = ["behind", "near", "few"].map(|group| format!("{stem}-{group}"));
    // The next record of one is 40 minutes old, that of the other 400 seconds.
    kafka.commit(&behind, &[(&topic, 0, 800)]).await;
    kafka.commit(&near, &[(&topic, 0, 1_800)]).await;
    // Little is left to this one, which might be markers alone: half an hour old.
    let old = format!("{stem}-old");
    kafka.create_topic(&old, 1, &[]).await;
    kafka.produce(&(0..40).map(|_| Outgoing::to(&old).partition(0).value("v").timestamp(now - 1_800_000)).collect::<Vec<_>>()).await;
    kafka.commit(&few, &[(&old, 0, 20)]).await;

    let redrive = Setup::new().bus("prod", &kafka.bootstrap()).environment("REDRIVE__HTTP__BUS_FIGURES", "true").start().await;
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let store = Store::open_beside(&StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) }).await.expect("it opens");
    let watched = Filter::from([(Label::Topic, format!("{stem}-*"))]);
    let lagging = terms(Figure::ConsumerGroupLagSeconds, Comparison::Above, THRESHOLD, &[Label::Bus, Label::ConsumerGroup], &[]);
    let above = add_rule(&store, "Lags", Terms { filter: watched.clone(), ..lagging.clone() }).await;
    let at_least = add_rule(&store, "Lags so much", Terms { comparison: Comparison::AtLeast, filter: watched, ..lagging }).await;

    let client = redrive.client("viewer");
    let seconds = |partition: &Value, bound: &str| partition[format!("lag_seconds_{bound}")].as_f64();
    let found = looked_up(&client, &redrive, &behind).await;
    assert!(seconds(&found, "min").is_some_and(|min| min > THRESHOLD), "{found:#}");
    let found = looked_up(&client, &redrive, &near).await;
    let (min, max) = (seconds(&found, "min").expect("a bound"), seconds(&found, "max").expect("a bound"));
    // Longer by what the start and the first looks took.
    let truth = 400.0;
    assert!(min <= truth + 120.0 && truth <= max && max <= THRESHOLD, "{found:#}");
    assert_eq!(found["lag_messages"], 200);
    looked_up(&client, &redrive, &few).await;

    let firing = async |rule| {
        let alerts = alerts_of(&store, rule).await.into_iter().filter(|alert| alert.standing.state == AlertState::Firing);
        let mut groups: Vec<String> = alerts.map(|alert| alert.labels["consumer_group"].clone()).collect();
        groups.sort_unstable();
        groups
    };
    let expected = [behind.clone(), few.clone()];
    redrive.wait_until("those behind are told of", PATIENCE, async || firing(above).await == expected).await;
    // Two more sweeps, and still nobody else.
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!((firing(above).await, firing(at_least).await), (expected.to_vec(), expected.to_vec()));
    assert_eq!(alerts_of(&store, above).await.len(), 2, "the other one was never an alert");
    assert!(newest_lag(&client, &redrive, &behind).await.is_some_and(|lag| lag > THRESHOLD));
    assert!(newest_lag(&client, &redrive, &near).await.is_some_and(|lag| lag < THRESHOLD));
    let scraped = client.get(redrive.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
    let asked = scraped.lines().find(|line| line.starts_with("redrive_sampler_time_lookups_total{bus=\"prod\"}"));
    eprintln!("{asked:?}; near lies between {min} and {max} s, in truth about {truth}");
    assert!(asked.is_some(), "{scraped}");
    store.close().await;
}
