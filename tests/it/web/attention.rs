//! What needs attention on the first page beside dead letters: partitions of any topic, and consumer groups on any bus.

use std::time::Duration;

use redrive::model::bus::TopicRole;
use redrive::model::lag::{GroupStatus, Standing};
use redrive::model::partition_problem::PartitionProblemKind;
use redrive::model::{BusKind, Capabilities, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;

use super::site::Site;
use super::topics::{fill, seen, site, text};

/// A group that has done so for some seconds.
fn group(name: &str, status: GroupStatus, seconds: u64) -> SeenGroup {
    let since = Some(Timestamp::now().minus(Duration::from_secs(seconds)));
    SeenGroup {
        name: name.into(),
        kind: "classic".to_owned(),
        state: "Stable".to_owned(),
        members: None,
        offsets: Vec::new(),
        standing: Standing { status, since, evidence: format!("why {name}"), ..Standing::default() },
    }
}

async fn record(site: &Site, bus: &str, groups: &[SeenGroup]) {
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    site.store.record_consumer_groups(&bus.into(), groups, Some(&names), Timestamp::now()).await.expect("groups are stored");
}

#[tokio::test]
async fn partitions_of_any_topic_that_nobody_leads_need_attention() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 3), seen("orders-retry", TopicRole::Retry, 1)]).await;
    let calm = text(&site.get("/").by(&mara).send().await);
    assert!(calm.contains("Nothing needs you now"), "{calm}");
    let stored = site.store.list_stored_topics(&"prod".into()).await.expect("the store answers");
    let ids = |name: &str| {
        let topic = stored.iter().find(|topic| topic.generation.topic.as_str() == name).expect("lives");
        topic.partitions.iter().map(|partition| partition.id).collect::<Vec<_>>()
    };
    let since = Timestamp::now().minus(Duration::from_secs(7_200));
    let tell = async |id: i64, kind| site.store.record_partition_problems(&[id], kind, &[(id, String::new())], since).await;
    for id in &ids("orders")[..2] {
        tell(*id, PartitionProblemKind::Leaderless).await.expect("the store takes it");
    }
    tell(ids("orders")[2], PartitionProblemKind::Unreadable).await.expect("the store takes it");
    tell(ids("orders-retry")[0], PartitionProblemKind::OffsetsUnread).await.expect("the store takes it");
    let page = text(&site.get("/").by(&mara).send().await);
    assert!(!page.contains("Nothing needs you now"), "{page}");
    let leaderless = "Critical 2 partitions have no leader on orders 0, 1: Nobody can write to it or read from it until a broker with a \
                      copy is back. prod 2 h ago See topic";
    assert!(page.contains(leaderless), "{page}");
    let unread = "Warning 1 partition does not tell its offsets on orders-retry 0: Its figures are those of the last answer. prod";
    assert!(page.contains(unread), "{page}");
    assert!(!page.contains("cannot be read"), "nothing is indexed of it: {page}");
    let told = site.get("/api/v1/overview").by(&mara).send().await.json();
    let problems: Vec<_> = told["partition_problems"].as_array().expect("a list").iter().collect();
    let of = |name: &str| problems.iter().find(|problem| problem["topic"] == name).expect("is told");
    assert_eq!(problems.len(), 2);
    assert_eq!((&of("orders")["role"], &of("orders")["code"]), (&"ordinary".into(), &"leaderless".into()));
    assert_eq!((&of("orders-retry")["role"], &of("orders-retry")["code"]), (&"retry".into(), &"offsets_unread".into()));
    assert_eq!(told["attention"][0]["text"], "2 partitions have no leader on orders");
    let export = site.get("/api/v1/overview/export").by(&mara).send().await;
    assert!(export.text.contains("attention,\"\",\"prod\",critical,,,\"2 partitions have no leader on orders:"), "{}", export.text);
}

#[tokio::test]
async fn groups_of_which_nothing_is_told_for_minutes_need_attention_while_their_bus_answers() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    record(&site, "prod", &[group("young", GroupStatus::Unknown, 60), group("done", GroupStatus::CaughtUp, 9_000)]).await;
    let young = text(&site.get("/").by(&mara).send().await);
    assert!(young.contains("Nothing needs you now") && !young.contains("No group is behind"), "{young}");
    assert!(young.contains("No group is known to be behind What 1 group is doing is unknown."), "{young}");
    let groups = ["a", "b", "c"].map(|name| group(name, GroupStatus::Unknown, 600));
    record(&site, "prod", &groups[..1]).await;
    let page = site.get("/").by(&mara).send().await;
    assert!(text(&page).contains("Warning Consumer group a: unknown why a prod 10 min ago See group"), "{}", text(&page));
    let more = [group("done", GroupStatus::CaughtUp, 9_000), group("d", GroupStatus::Unknown, 300), group("e", GroupStatus::Stalled, 60)];
    record(&site, "prod", &groups.into_iter().chain(more).collect::<Vec<_>>()).await;
    let page = site.get("/").by(&mara).send().await;
    let row = "Warning What 4 consumer groups are doing is unknown a: why a; b: why b; c: why c; d: why d prod 10 min ago See groups";
    assert!(text(&page).contains(row), "{}", text(&page));
    let href = "/buses/prod/consumer-groups?status=unknown";
    assert!(page.text.contains(&format!("href=\"{href}\"")), "{}", page.text);
    let list = site.get(href).by(&mara).send().await;
    let shown = text(&list);
    assert!(shown.contains("1 to 4 of 4 consumer groups") && shown.contains("why d"), "{shown}");
    assert!(!shown.contains("Stalled") && !shown.contains("Caught up") && shown.contains("status Unknown"), "{shown}");
    assert!(list.text.contains("name=\"status\" value=\"unknown\""), "a search keeps it: {}", list.text);
    let none = text(&site.get("/buses/prod/consumer-groups?status=data_loss").by(&mara).send().await);
    assert!(none.contains("No group is called data loss now."), "{none}");
    assert_eq!(site.get("/buses/prod/consumer-groups?status=fine").by(&mara).send().await.status, 422);
    let failed = SweepResult::Failed("the bus did not answer".to_owned());
    site.store.record_sweep(&"prod".into(), &failed, Timestamp::now()).await.expect("the store takes it");
    let silent = text(&site.get("/").by(&mara).send().await);
    assert!(!silent.contains("doing is unknown"), "that is no news where the bus does not answer: {silent}");
}

#[tokio::test]
async fn groups_that_need_a_look_beyond_the_first_few_are_counted_on_the_bus_they_are_of() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    let buses = ["prod", "staging"].map(|bus| (bus.into(), BusKind::Kafka));
    site.store.register_buses(&buses).await.expect("the store takes it");
    let reached = SweepResult::Reached {
        cluster_id: Some("c-2".into()),
        brokers: 3,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities::default(),
    };
    site.store.record_sweep(&"staging".into(), &reached, Timestamp::now()).await.expect("the store takes it");
    record(&site, "prod", &["a", "b", "c"].map(|name| group(name, GroupStatus::DataLoss, 60))).await;
    record(&site, "staging", &["x", "y"].map(|name| group(name, GroupStatus::Stalled, 300))).await;
    let page = site.get("/").by(&mara).send().await;
    let row = "Critical 2 more consumer groups need a look x stalled, y stalled staging 5 min ago See groups";
    assert!(text(&page).contains(row), "{}", text(&page));
    let told = site.get("/api/v1/overview").by(&mara).send().await.json();
    let urls: Vec<_> = told["attention"].as_array().expect("a list").iter().filter_map(|item| item["url"].as_str()).collect();
    assert!(urls.iter().any(|url| url.ends_with("/buses/staging/consumer-groups")), "{urls:?}");
    assert!(!urls.iter().any(|url| url.ends_with("/buses/prod/consumer-groups")), "nothing more is there: {urls:?}");
}
