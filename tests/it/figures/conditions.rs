//! Conditions that only time or a member that hangs brings about. What an earlier Redrive has stored of a group counts as watched:
//! so a week, or the minute of patience, need not be waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redrive::model::lag::{GroupOffset, GroupStatus, Standing};
use redrive::model::{BusKind, Timestamp};
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::{Store, StoreSettings};
use serde_json::Value;

use super::scene::{PATIENCE, page, partition, records, until, until_status};
use crate::harness::kafka::{Kafka, Member, shared, unique};
use crate::harness::redrive::{Redrive, Setup};

const WEEK: Duration = Duration::from_hours(7 * 24);
const MINUTES: Duration = Duration::from_mins(3);

/// A group as an earlier Redrive has left it: committed so far on these partitions, and not moved for so long.
fn left(name: &str, ago: Duration, committed: &[(&str, i32, i64)]) -> SeenGroup {
    let moved = Timestamp::now().minus(ago);
    let offset = |(topic, partition, at): &(&str, i32, i64)| GroupOffset {
        moved_at: Some(moved),
        ..GroupOffset::new((*topic).into(), *partition, Some(*at))
    };
    SeenGroup {
        name: name.into(),
        kind: "classic".to_owned(),
        state: "Stable".to_owned(),
        members: Some(Vec::new()),
        offsets: committed.iter().map(offset).collect(),
        standing: Standing {
            status: GroupStatus::CaughtUp,
            since: Some(moved),
            evidence: "nothing left to read".to_owned(),
            parked: false,
            behind_since: None,
        },
    }
}

/// A Redrive that finds these groups in its store.
async fn after_an_earlier_one(kafka: &Kafka, groups: &[SeenGroup]) -> Redrive {
    let mut redrive = Setup::new().bus("prod", &kafka.bootstrap()).prepare();
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let store = Store::open(&StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) }).await.expect("it opens");
    store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("a bus");
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    store.record_consumer_groups(&"prod".into(), groups, Some(&names), Timestamp::now().minus(WEEK * 2)).await.expect("groups");
    store.close().await;
    drop(store);
    redrive.start().await;
    redrive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_nobody_has_used_for_a_week_is_parked_and_one_that_has_moved_is_not() {
    let kafka = shared();
    let topic = kafka.topic("parked", 1, &[]).await;
    kafka.produce(&records(&topic, 0, 100)).await;
    let [parked, nearly, moved] = ["parked", "nearly", "moved"].map(unique);
    for (name, at) in [(&parked, 10), (&nearly, 10), (&moved, 30)] {
        kafka.commit(name, &[(&topic, 0, at)]).await;
    }
    let day = Duration::from_hours(24);
    let at_ten = [(topic.as_str(), 0, 10)];
    let earlier = [left(&parked, WEEK + day, &at_ten), left(&nearly, WEEK.saturating_sub(day), &at_ten), left(&moved, WEEK + day, &at_ten)];
    let redrive = after_an_earlier_one(kafka, &earlier).await;
    let client = redrive.client("viewer");

    let found = until_status(&client, &redrive, &parked, "stopped").await;
    assert_eq!((&found["parked"], &found["partitions"][0]["lag_messages"]), (&true.into(), &90.into()), "{found:#}");
    let week_ago = Timestamp::now().minus(WEEK).to_rfc3339();
    assert!(found["partitions"][0]["committed_moved_at"].as_str().is_some_and(|at| at < week_ago.as_str()), "{found:#}");
    assert!(page(&client, &redrive, &parked).await.contains("Parked"));
    let found = until_status(&client, &redrive, &nearly, "stopped").await;
    assert_eq!((&found["parked"], found["members"].as_array().map(Vec::len)), (&false.into(), Some(0)), "{found:#}");
    assert!(found["evidence"].as_str().is_some_and(|words| words.contains("no members, 90 left to read")), "{found:#}");
    // Somebody has committed since, whenever that was.
    let found = until(&client, &redrive, &moved, "seen", |found| found["partitions"][0]["committed"] == 30).await;
    assert_eq!(found["parked"], false, "{found:#}");
    let listed = client.get(redrive.url("/buses/prod/consumer-groups")).send().await.expect("a page").text().await.expect("text");
    assert!(listed.contains("Parked"), "{listed}");
}

/// Two members, of whom the first gives nothing back, so that the second gets nothing.
async fn stuck(kafka: &Kafka, name: &str, protocol: &str, topic: &str) -> (Member, Member) {
    let first = kafka.member(name, protocol, &[topic], "hangs").await;
    first.commit(&[(topic, 0, 5), (topic, 1, 5)]).await;
    first.hang().await;
    (first, kafka.joining(name, protocol, &[topic], "waits"))
}

/// Members by their client ids, each with what it holds of its topic.
fn held(group: &Value) -> Vec<(String, Option<Value>)> {
    let members = group["members"].as_array().into_iter().flatten();
    let mut held: Vec<(String, Option<Value>)> = members
        .map(|member| {
            let topics = member["assignment"].as_array().into_iter().flatten();
            let client = member["client_id"].as_str().unwrap_or_default().to_owned();
            (client, topics.map(|of| of["partitions"].clone()).find(|partitions| *partitions != serde_json::json!([])))
        })
        .collect();
    held.sort_by(|(a, _), (b, _)| a.cmp(b));
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_holds_his_partitions_and_what_no_member_holds_is_unassigned() {
    let kafka = shared();
    let (topic, old) = (kafka.topic("shared", 2, &[]).await, kafka.topic("left-behind", 1, &[]).await);
    for partition in 0..2 {
        kafka.produce(&records(&topic, partition, 50)).await;
    }
    kafka.produce(&records(&old, 0, 50)).await;
    let [modern, classic, elsewhere] = ["modern", "rebalancing", "elsewhere"].map(unique);
    let _modern = stuck(kafka, &modern, "consumer", &topic).await;
    let _classic = stuck(kafka, &classic, "classic", &topic).await;
    // Its members read another topic now.
    kafka.commit(&elsewhere, &[(&old, 0, 5)]).await;
    let reader = kafka.member(&elsewhere, "classic", &[&topic], "worker").await;
    reader.commit(&[(&topic, 0, 50), (&topic, 1, 50)]).await;
    let both = [(topic.as_str(), 0, 5), (topic.as_str(), 1, 5)];
    let earlier = [left(&modern, MINUTES, &both), left(&classic, MINUTES, &both), left(&elsewhere, MINUTES, &[(&old, 0, 5)])];
    let redrive = after_an_earlier_one(kafka, &earlier).await;
    let client = redrive.client("viewer");

    // Who has to give back holds until then: that one is stalled, whoever waits.
    let held_by_who_hangs = [("hangs".to_owned(), Some(serde_json::json!([0, 1]))), ("waits".to_owned(), None)];
    let found = until_status(&client, &redrive, &modern, "stalled").await;
    assert_eq!(held(&found), held_by_who_hangs, "{found:#}");
    // So it is in a classic group, which waits for him to join again. Brokers tell what its members held, unless they had begun to
    // give out partitions anew just before: then nobody holds anything.
    let stuck = |found: &Value| ["stalled", "unassigned"].iter().any(|status| found["status"] == *status) && held(found).len() == 2;
    let found = until(&client, &redrive, &classic, "stalled, or without anybody who holds anything", stuck).await;
    assert_eq!(found["state"], "PreparingRebalance", "{found:#}");
    if found["status"] == "stalled" {
        assert_eq!(held(&found), held_by_who_hangs, "{found:#}");
    } else {
        assert_eq!(held(&found), held_by_who_hangs.map(|(name, _)| (name, None)), "{found:#}");
        assert!(found["evidence"].as_str().is_some_and(|words| words.starts_with("2 of 2 partitions; ")), "{found:#}");
    }

    let found = until_status(&client, &redrive, &elsewhere, "unassigned").await;
    assert_eq!(partition(&found, &old, 0)["status"], "unassigned", "{found:#}");
    assert_eq!(partition(&found, &topic, 0)["status"], "caught_up", "{found:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebalance_is_noticed_and_kept_on_the_time_line() {
    let kafka = shared();
    let topic = kafka.topic("balanced", 2, &[]).await;
    kafka.produce(&records(&topic, 0, 10)).await;
    for protocol in ["classic", "consumer"] {
        let name = unique(protocol);
        let first = kafka.member(&name, protocol, &[&topic], "first").await;
        first.commit(&[(&topic, 0, 10), (&topic, 1, 0)]).await;
        let redrive = Setup::new().bus("prod", &kafka.bootstrap()).start().await;
        let client = redrive.client("viewer");
        let members = |count: usize| move |found: &Value| found["members"].as_array().is_some_and(|all| all.len() == count);
        until(&client, &redrive, &name, "read by one", members(1)).await;
        assert!(page(&client, &redrive, &name).await.contains("No rebalance, no reset and no change of status was noticed"));
        let second = kafka.member(&name, protocol, &[&topic], "second").await;
        until(&client, &redrive, &name, "read by two", members(2)).await;
        drop(second);
        until(&client, &redrive, &name, "read by one again", members(1)).await;
        let shown = page(&client, &redrive, &name).await;
        let (came, went) = (shown.find("2 members now, 1 came"), shown.find("1 member now, 1 went"));
        assert!(came.is_some() && went.is_some() && shown.contains("Rebalanced"), "{shown}");
        assert!(shown.contains(&format!("{name} rebalanced")), "the drawings have a mark: {shown}");
        drop(first);
    }
}

/// Reads sixty records and writes five, each two seconds; how many are left is its ledger.
fn catch_up(kafka: &'static Kafka, topic: String, group: String, left: Arc<AtomicI64>) -> tokio::task::JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "somebody else's programs, not a task of the house")]
    tokio::spawn(async move {
        for round in 1.. {
            kafka.produce(&records(&topic, 0, 5)).await;
            kafka.commit(&group, &[(&topic, 0, round * 60)]).await;
            left.fetch_sub(55, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    })
}

/// Seconds in the words of a page: `2.4 min`.
fn seconds_of(words: &str) -> f64 {
    let (number, unit) = words.split_once(' ').expect("a number and its unit");
    let number: f64 = number.parse().expect("a number");
    match unit {
        "s" => number,
        "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => panic!("not expected to take {words}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_catches_up_tells_how_long_that_takes_whatever_time_is_drawn() {
    const BACKLOG: usize = 20_000;
    let kafka = shared();
    let (topic, name) = (kafka.topic("backlog", 1, &[]).await, unique("catching-up"));
    kafka.produce(&records(&topic, 0, BACKLOG)).await;
    kafka.commit(&name, &[(&topic, 0, 1)]).await;
    let redrive = Setup::new().bus("prod", &kafka.bootstrap()).start().await;
    let client = redrive.client("viewer");
    let rest = Arc::new(AtomicI64::new(i64::try_from(BACKLOG).expect("few")));
    let begun = (std::time::Instant::now(), rest.load(Ordering::SeqCst));
    let reading = catch_up(kafka, topic.clone(), name.clone(), Arc::clone(&rest));

    let found = until_status(&client, &redrive, &name, "catching_up").await;
    let words = found["evidence"].as_str().expect("words");
    assert!(words.contains("left to read") && words.contains("less than at the first look"), "{found:#}");
    let looks = &found["partitions"][0]["looks"];
    let lag_at = |look: usize| looks[look]["end"].as_i64().unwrap() - looks[look]["committed"].as_i64().unwrap();
    assert!(lag_at(1) < lag_at(0), "{looks:#}");
    let rounds_of = |committed: i64| committed / 60;
    for look in 0..2 {
        // A look falls between a write and the commit after it at most.
        let (committed, end) = (looks[look]["committed"].as_i64().unwrap(), looks[look]["end"].as_i64().unwrap());
        let written = end - i64::try_from(BACKLOG).expect("few");
        assert!((rounds_of(committed) * 5..=rounds_of(committed) * 5 + 30).contains(&written), "{looks:#}");
    }
    for range in ["1h", "7d"] {
        let url = redrive.url(&format!("/buses/prod/consumer-groups/{name}?range={range}"));
        let mut told = String::new();
        redrive
            .wait_until("it tells how long", PATIENCE, async || {
                let shown = client.get(&url).send().await.expect("a page").text().await.expect("text");
                let words = shown.split_once("caught up in about ").and_then(|(_, rest)| rest.split_once(" at this speed"));
                told = words.map(|(words, _)| words.to_owned()).unwrap_or_default();
                !told.is_empty()
            })
            .await;
        let left = rest.load(Ordering::SeqCst);
        #[expect(clippy::cast_precision_loss, reason = "some thousand records")]
        let truth = left as f64 / ((begun.1 - left) as f64 / begun.0.elapsed().as_secs_f64());
        let told = seconds_of(&told);
        assert!(told > truth / 2.0 && told < truth * 2.0, "{told} s told, {truth} s by the ledger, over {range}");
    }
    reading.abort();
    let _ = reading.await;
}
