//! Topics and one topic, with their API: empty, full, old, failing, under odd names and asked for wrongly.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::model::bus::{Capability, TopicRole};
use redrive::model::partition_problem::PartitionProblemKind;
use redrive::model::{BusKind, Capabilities, Role, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::topics::{SeenOffsets, SeenTopic};

use super::site::{Answer, Site};

/// A name that no broker would allow but that a store must survive.
const ODD: &str = "a/b ?&#\"<script>alert(1)</script>\u{202e}x";

pub(super) fn seen(topic: &str, role: TopicRole, partitions: i32) -> SeenTopic {
    SeenTopic {
        topic: topic.into(),
        topic_id: Some(format!("id-{topic}")),
        role,
        internal: topic.starts_with("__"),
        replication_factor: 3,
        compacted: false,
        config: BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]),
        partitions: (0..partitions).map(|number| (number, if number == 7 { None } else { Some(101) })).collect(),
    }
}

/// A site with a bus that was read `ago`, and somebody who looks.
pub(super) async fn site(ago: Duration, lacks: &[(Capability, &str)]) -> (Site, String) {
    let site = Site::new().await;
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("the store takes it");
    let unavailable = lacks.iter().map(|(what, why)| (*what, (*why).to_owned())).collect();
    let reached = SweepResult::Reached {
        cluster_id: Some("c-1".into()),
        brokers: 3,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities { unavailable },
    };
    site.store.record_sweep(&"prod".into(), &reached, Timestamp::now().minus(ago)).await.expect("the store takes it");
    let mara = site.person("mara", Role::Viewer).await;
    (site, mara)
}

/// Stores topics whose partitions hold the offsets 100 to 1,100, with an open transaction over the last 10 of partition 1.
pub(super) async fn fill(site: &Site, topics: &[SeenTopic]) {
    let now = Timestamp::now();
    let stored = site.store.record_topics(&"prod".into(), topics, now).await.expect("the store takes it");
    let partitions = stored.iter().flat_map(|topic| &topic.partitions);
    let offsets: Vec<SeenOffsets> = partitions
        .map(|p| SeenOffsets {
            partition_id: p.id,
            log_start: 100,
            end: 1_100,
            last_stable: Some(if p.partition == 1 { 1_090 } else { 1_100 }),
        })
        .collect();
    site.store.record_offsets(&offsets, now).await.expect("the store takes it");
}

async fn full() -> (Site, String) {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    let topics = [
        seen("orders", TopicRole::Ordinary, 2),
        seen("orders-dlt", TopicRole::DeadLetter, 8),
        seen("orders-retry", TopicRole::Retry, 1),
        seen("__consumer_offsets", TopicRole::Ordinary, 1),
        seen(ODD, TopicRole::Ordinary, 1),
    ];
    fill(&site, &topics).await;
    (site, mara)
}

/// The page as text: no tags, white space folded.
pub(super) fn text(answer: &Answer) -> String {
    let body = answer.text.split_once("<main").map_or(answer.text.as_str(), |(_, main)| main);
    let (mut text, mut in_tag) = (String::new(), false);
    for c in body.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn topics_are_listed_by_role_and_name_and_internal_ones_on_request() {
    let (site, mara) = full().await;
    let page = site.get("/buses/prod/topics").by(&mara).send().await;
    assert_eq!(page.status, 200);
    let shown = text(&page);
    assert!(shown.contains("4 topics, 1 for dead letters."), "{shown}");
    assert!(shown.contains("orders-dlt Dead letters 8 8,000 0 0 no sample delete, 7 d 3"), "{shown}");
    assert!(!shown.contains("__consumer_offsets"));
    let cases = [
        ("?internal=true", "__consumer_offsets", "nothing-of-the-kind"),
        ("?role=retry", "orders-retry", "orders-dlt"),
        ("?q=DLT", "orders-dlt", "orders-retry"),
        ("?q=nowhere", "No topics match", "orders-dlt"),
        ("?sort=partitions", "1 to 4 of 4 topics", "No topics"),
        ("?after=0.orders-dlt", "4 to 4 of 4 topics", "orders-dlt"),
    ];
    for (query, there, missing) in cases {
        let shown = text(&site.get(&format!("/buses/prod/topics{query}")).by(&mara).send().await);
        assert!(shown.contains(there) && !shown.contains(missing), "{query}: {shown}");
    }
}

#[tokio::test]
async fn a_page_of_topics_never_ends_in_a_name_that_is_markup() {
    let (site, mara) = full().await;
    let list = site.get("/buses/prod/topics").by(&mara).send().await;
    assert!(!list.text.contains("<script>alert"), "{}", list.text);
    let href = list.text.split("href=\"").map(|rest| rest.split('"').next().unwrap()).find(|href| href.contains("topics/a%2Fb")).unwrap();
    let one = site.get(href).by(&mara).send().await;
    assert_eq!(one.status, 200, "{href}");
    assert!(!one.text.contains("<script>alert") && !one.text.contains('\u{202e}'), "{}", one.text);
    let api = site.get(&format!("/api/v1{href}")).by(&mara).send().await;
    assert_eq!(api.json()["topic"], ODD);
}

#[tokio::test]
async fn one_topic_tells_its_partitions_and_what_is_wrong_with_them() {
    let (site, mara) = full().await;
    let stored = site.store.list_stored_topics(&"prod".into()).await.expect("the store answers");
    let partitions = &stored.iter().find(|topic| topic.generation.topic.as_str() == "orders-dlt").expect("lives").partitions;
    let since = Timestamp::parse_rfc3339("2026-01-02T03:04:05Z").expect("a time");
    for (partition, kind, reason) in
        [(7, PartitionProblemKind::Leaderless, ""), (2, PartitionProblemKind::Unreadable, "not <b>allowed</b>")]
    {
        let id = partitions[partition].id;
        site.store.record_partition_problems(&[id], kind, &[(id, reason.to_owned())], since).await.expect("the store takes it");
    }
    let page = text(&site.get("/buses/prod/topics/orders-dlt").by(&mara).send().await);
    assert!(page.contains("Dead-letter topic") && page.contains("At most 8,000 records in 8 partitions."), "{page}");
    assert!(
        page.contains("1 partition has no leader: 7. First seen 2026-01-02 .") && page.contains("until a broker with a copy is back."),
        "{page}"
    );
    let unreadable =
        "1 partition cannot be read: 2. First seen 2026-01-02 . not &#60;b&#62;allowed&#60;/b&#62;. Dead letters on it are not seen";
    assert!(page.contains(unreadable), "{page}");
    let problems = site.get("/api/v1/buses/prod/topics/orders-dlt").by(&mara).send().await.json()["problems"].clone();
    assert_eq!(problems[0]["since"], "2026-01-02T03:04:05.000Z");
    let codes: Vec<_> = problems.as_array().expect("a list").iter().map(|p| (p["partition"].clone(), p["code"].clone())).collect();
    assert_eq!(codes, [(2.into(), "unreadable".into()), (7.into(), "leaderless".into())]);
    assert!(page.contains("not begun") && page.contains("None. Every record"), "{page}");
    let ordinary = text(&site.get("/buses/prod/topics/orders").by(&mara).send().await);
    assert!(ordinary.contains("An open transaction holds up partition 1.") && !ordinary.contains("Indexed to"), "{ordinary}");
    let config = text(&site.get("/buses/prod/topics/orders?tab=configuration").by(&mara).send().await);
    assert!(config.contains("retention.ms 604800000") && config.contains("id-orders"), "{config}");
    let part = site.get("/buses/prod/topics/orders").by(&mara).header("hx-request", "true").header("hx-target", "topic").send().await;
    assert!(part.text.trim_start().starts_with("<div class=\"page\" id=\"topic\""), "{}", part.text);
}

#[tokio::test]
async fn a_topic_that_is_gone_says_so_and_offers_no_records() {
    let (site, mara) = full().await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 2)]).await;
    let page = site.get("/buses/prod/topics/orders-dlt").by(&mara).send().await;
    assert!(text(&page).contains("This topic is gone since"), "{}", text(&page));
    assert!(!page.text.contains("Open records"));
}

#[tokio::test]
async fn a_bus_that_does_not_answer_keeps_its_last_values_with_their_age() {
    let (site, mara) = site(Duration::from_secs(300), &[]).await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 2)]).await;
    let reason = "broker 101: <b>connection refused</b>";
    site.store.record_sweep(&"prod".into(), &SweepResult::Failed(reason.into()), Timestamp::now()).await.unwrap();
    for path in ["/buses/prod/topics", "/buses/prod/topics/orders", "/buses/prod/consumer-groups", "/buses"] {
        let page = site.get(path).by(&mara).send().await;
        let shown = text(&page);
        assert_eq!(page.status, 200);
        assert!(shown.contains("roker 101: &#60;b&#62;connection refused"), "{path}: {shown}");
        assert!(shown.contains("nreachable"), "{path}: {shown}");
    }
    let list = site.get("/buses/prod/topics").by(&mara).send().await;
    assert!(list.text.contains("is-stale") && text(&list).contains("Last read 5 min ago"), "{}", text(&list));
    let bus = &site.get("/api/v1/buses").by(&mara).send().await.json()["items"][0];
    assert_eq!((bus["id"].as_str(), bus["state"].as_str(), bus["error"].as_str()), (Some("prod"), Some("unreachable"), Some(reason)));
}

#[tokio::test]
async fn a_bus_without_topics_or_never_read_says_what_will_happen() {
    let fresh = Site::new().await;
    fresh.store.register_buses(&[("new".into(), BusKind::Kafka)]).await.unwrap();
    let mara = fresh.person("mara", Role::Viewer).await;
    let page = text(&fresh.get("/buses/new/topics").by(&mara).send().await);
    assert!(page.contains("new has not been read yet"), "{page}");
    let groups = text(&fresh.get("/buses/new/consumer-groups").by(&mara).send().await);
    assert!(groups.contains("new has not been read yet"), "{groups}");
    let only = fresh.get("/topics").by(&mara).send().await;
    assert_eq!((only.status.as_u16(), only.header("location")), (303, "/buses/new/topics"));
    let none = text(&Site::new().await.get("/topics").send().await);
    assert!(!none.contains("Topics"), "nobody reads without a login");
}

#[tokio::test]
async fn missing_capabilities_are_told_in_words() {
    let lacks = [(Capability::ReadConfigs, "DescribeConfigs is denied"), (Capability::RandomRead, "a queue cannot be read at random")];
    let (site, mara) = site(Duration::from_secs(5), &lacks).await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 1)]).await;
    for (path, words) in [
        ("/buses", "Read topic configurations DescribeConfigs is denied"),
        ("/buses/prod/topics", "Cleanup is not known for every topic: DescribeConfigs is denied"),
        ("/buses/prod/topics/orders?tab=configuration", "The configuration cannot be read: DescribeConfigs is denied"),
        ("/buses/prod/topics/orders?tab=records", "Records of this bus cannot be opened: a queue cannot be read at random"),
    ] {
        let shown = text(&site.get(path).by(&mara).send().await);
        assert!(shown.contains(words), "{path}: {shown}");
    }
    let bus = &site.get("/api/v1/buses").by(&mara).send().await.json()["items"][0];
    let capabilities = bus["capabilities"].as_array().unwrap();
    assert_eq!(capabilities.iter().filter(|c| c["available"] == false).count(), 2);
    assert_eq!(site.get("/api/v1/buses/prod/topics/orders").by(&mara).send().await.json()["config_reason"], "DescribeConfigs is denied");
}

#[tokio::test]
async fn the_api_lists_topics_by_name_in_pages_and_describes_one() {
    let (site, mara) = full().await;
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = site.get(&format!("/api/v1/buses/prod/topics?internal=true&limit=2&cursor={cursor}")).by(&mara).send().await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|topic| topic["topic"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = redrive::web::address::encode(next),
            None => break,
        }
    }
    assert_eq!(names, ["__consumer_offsets", ODD, "orders", "orders-dlt", "orders-retry"]);
    let topic = site.get("/api/v1/buses/prod/topics/orders-dlt").by(&mara).send().await.json();
    assert_eq!(
        (topic["role"].as_str(), topic["partition_count"].as_u64(), topic["records_at_most"].as_u64()),
        (Some("dead_letter"), Some(8), Some(8_000))
    );
    let partition = &topic["partitions"][1];
    assert_eq!(
        (partition["log_start"].as_i64(), partition["end"].as_i64(), partition["last_stable"].as_i64()),
        (Some(100), Some(1_100), Some(1_090))
    );
    assert!(partition["indexed_to"].is_null() && topic["partitions"][7]["leader"].is_null());
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named() {
    let (site, mara) = full().await;
    let problem = async |path: &str| site.get(path).by(&mara).send().await.problem();
    assert_eq!(problem("/api/v1/buses/nowhere/topics").await, (404, "not_found".into(), None));
    assert_eq!(problem("/api/v1/buses/prod/topics/nothing").await, (404, "not_found".into(), None));
    assert_eq!(problem("/api/v1/buses/prod/consumer-groups/nobody").await, (404, "not_found".into(), None));
    assert_eq!(problem("/api/v1/buses/prod/topics?role=king").await, (422, "invalid_field".into(), Some("role".into())));
    assert_eq!(problem("/api/v1/buses/prod/topics?limit=0").await, (422, "invalid_field".into(), Some("limit".into())));
    assert_eq!(problem("/api/v1/buses/prod/topics?cursor=x").await, (422, "invalid_field".into(), Some("cursor".into())));
    assert_eq!(problem("/api/v1/buses/prod/topics?tpic=x").await, (422, "unknown_field".into(), Some("tpic".into())));
    for path in
        ["/buses/nowhere/topics", "/buses/prod/topics/nothing", "/buses/prod/consumer-groups/nobody", "/buses/nowhere/consumer-groups"]
    {
        assert_eq!(site.get(path).by(&mara).send().await.status, 404, "{path}");
    }
    assert_eq!(site.get("/buses/prod/topics?after=x").by(&mara).send().await.status, 422);
}
