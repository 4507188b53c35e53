//! Lag of groups of both protocols beside Kafka's own tool. What was deleted unread and what is no record are counts of their own.

use serde_json::Value;

use super::scene::{PATIENCE, group, partition, records, until};
use crate::harness::kafka::{Kafka, Member, shared, unique};
use crate::harness::redrive::{Redrive, Setup};

/// Committed on a partition, and what its ledger says of the rest.
struct Position {
    partition: i32,
    committed: i64,
    raw: i64,
    deleted: i64,
    not_records: i64,
    left: i64,
}

/// Plain records; twenty of one transaction, of which twelve are deleted; ten of a transaction, then five of one that is aborted.
const POSITIONS: [Position; 3] = [
    Position { partition: 0, committed: 7, raw: 23, deleted: 0, not_records: 0, left: 23 },
    Position { partition: 1, committed: 4, raw: 17, deleted: 8, not_records: 1, left: 8 },
    Position { partition: 2, committed: 8, raw: 9, deleted: 0, not_records: 7, left: 2 },
];

async fn stage(kafka: &Kafka) -> String {
    let topic = kafka.topic("orders", 3, &[]).await;
    kafka.produce(&records(&topic, 0, 30)).await;
    kafka.produce_committed(&records(&topic, 1, 20)).await;
    kafka.delete_records(&topic, 1, 12).await;
    kafka.produce_committed(&records(&topic, 2, 10)).await;
    kafka.produce_aborted(&records(&topic, 2, 5)).await;
    topic
}

/// Commits as a member of this protocol's group.
async fn member(kafka: &Kafka, name: &str, protocol: &str, topic: &str) -> Member {
    let member = kafka.member(name, protocol, &[topic], "worker").await;
    member.commit(&POSITIONS.map(|at| (topic, at.partition, at.committed))).await;
    member
}

fn as_the_ledger_says(found: &Value, topic: &str) -> bool {
    POSITIONS.iter().all(|at| {
        let found = partition(found, topic, at.partition);
        let counts = ["committed", "raw_lag_messages", "deleted_messages", "not_records", "lag_messages"].map(|name| found[name].as_i64());
        counts == [at.committed, at.raw, at.deleted, at.not_records, at.left].map(Some)
    })
}

/// Partition by partition.
async fn is_what_the_tool_says(kafka: &Kafka, (redrive, client): (&Redrive, &reqwest::Client), groups: &[&str]) {
    let tool = kafka.lag_of_groups_by_the_tool(groups).await;
    assert_eq!(tool.len(), groups.len() * POSITIONS.len(), "{tool:?}");
    for line in tool {
        let found = group(client, redrive, &line.group).await;
        let ours = partition(&found, &line.topic, line.partition);
        let ours = (ours["committed"].as_i64(), ours["end"].as_i64(), ours["raw_lag_messages"].as_i64());
        assert_eq!(ours, (line.committed, Some(line.end), line.lag), "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_lag_of_both_protocols_is_the_tools_and_deleted_records_and_markers_are_told_apart() {
    let kafka = shared();
    let topic = stage(kafka).await;
    let names = ["classic-held", "classic-left", "modern-held", "modern-left"].map(unique);
    let [classic, classic_left, modern, modern_left] = names.each_ref().map(String::as_str);
    let _held = (member(kafka, classic, "classic", &topic).await, member(kafka, modern, "consumer", &topic).await);
    drop(member(kafka, classic_left, "classic", &topic).await);
    drop(member(kafka, modern_left, "consumer", &topic).await);

    let redrive = Setup::new().bus("prod", &kafka.bootstrap()).start().await;
    let client = redrive.client("viewer");
    for (name, kind, state) in [
        (classic, "classic", "Stable"),
        (classic_left, "classic", "Empty"),
        (modern, "consumer", "Stable"),
        (modern_left, "consumer", "Empty"),
    ] {
        let found = until(&client, &redrive, name, "what its ledger says", |found| as_the_ledger_says(found, &topic)).await;
        assert_eq!((&found["type"], &found["state"]), (&kind.into(), &state.into()), "{found:#}");
        let lost = partition(&found, &topic, 1);
        assert_eq!((&lost["status"], &lost["evidence"]), (&"data_loss".into(), &"8 deleted before they were read, from offset 4".into()));
    }
    is_what_the_tool_says(kafka, (&redrive, &client), &[classic, classic_left, modern, modern_left]).await;
    the_whole_group_adds_up(&redrive, &client, modern).await;
}

/// In the list of groups, and in words on its page.
async fn the_whole_group_adds_up(redrive: &Redrive, client: &reqwest::Client, name: &str) {
    let sum = |of: fn(&Position) -> i64| POSITIONS.iter().map(of).sum::<i64>();
    let url = redrive.url(&format!("/api/v1/buses/prod/consumer-groups?q={name}"));
    let mut listed = Value::Null;
    redrive
        .wait_until("the list tells the same", PATIENCE, async || {
            let answer: Value = client.get(&url).send().await.expect("an answer").json().await.expect("JSON");
            listed = answer["items"][0].clone();
            listed["lag_messages"] == sum(|at| at.left)
        })
        .await;
    let counts = ["raw_lag_messages", "lag_messages", "deleted_messages"].map(|name| listed[name].as_i64());
    assert_eq!(counts, [sum(|at| at.raw), sum(|at| at.left), sum(|at| at.deleted)].map(Some), "{listed:#}");
    assert_eq!(sum(|at| at.raw), sum(|at| at.left + at.deleted + at.not_records), "nothing is left over");
    let page = super::scene::page(client, redrive, name).await;
    assert!(page.contains("no records (markers, aborted or compacted): 7"), "{page}");
    assert!(page.contains("deleted unread: 8"), "{page}");
}
