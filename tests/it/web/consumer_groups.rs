//! Consumer groups and one group, with their API.

use std::time::Duration;

use redrive::metrics::group::{Before, standing};
use redrive::model::Timestamp;
use redrive::model::bus::{Capability, GroupMember, TopicRole};
use redrive::model::lag::{GroupOffset, GroupStatus, Verdict};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;

use super::site::Site;
use super::topics::{fill, seen, site, text};

const ODD: &str = "g/r?p \"<img src=x onerror=alert(1)>";

fn group(name: &str, members: Option<Vec<GroupMember>>, committed: &[(&str, i32, i64)]) -> SeenGroup {
    let mut offsets: Vec<GroupOffset> = committed.iter().map(|(topic, partition, at)| offset(topic, *partition, *at)).collect();
    for (topic, partitions) in members.iter().flatten().flat_map(|member| &member.assignment) {
        for partition in partitions {
            if !offsets.iter().any(|offset| offset.topic == *topic && offset.partition == *partition) {
                offsets.push(without_commit(topic.as_str(), *partition));
            }
        }
    }
    let before = Before { first_seen_at: Timestamp::now(), status: GroupStatus::Unknown, since: None, behind_since: None };
    let standing = standing(&offsets, members.as_ref().map(Vec::len), before, Timestamp::now());
    SeenGroup {
        name: name.into(),
        kind: "consumer".to_owned(),
        state: if members.as_ref().is_some_and(Vec::is_empty) { "Empty" } else { "Stable" }.to_owned(),
        members,
        offsets,
        standing,
    }
}

/// A position on a partition that holds the offsets 100 to 1,100.
fn offset(topic: &str, partition: i32, committed: i64) -> GroupOffset {
    let status = match committed {
        ..100 => GroupStatus::DataLoss,
        1_100 => GroupStatus::CaughtUp,
        _ => GroupStatus::FallingBehind,
    };
    GroupOffset {
        log_start: Some(100),
        end: Some(1_100),
        verdict: Verdict { status, since: None, evidence: "because".to_owned(), looks: None },
        ..GroupOffset::new(topic.into(), partition, Some(committed))
    }
}

/// Held by a member, and nothing committed.
fn without_commit(topic: &str, partition: i32) -> GroupOffset {
    let verdict = Verdict { status: GroupStatus::NoCommit, since: None, evidence: "never committed".to_owned(), looks: None };
    GroupOffset { log_start: Some(100), end: Some(1_100), verdict, ..GroupOffset::new(topic.into(), partition, None) }
}

fn member(client_id: &str, topic: &str, partitions: &[i32]) -> GroupMember {
    GroupMember {
        member_id: format!("{client_id}-1"),
        instance_id: None,
        client_id: client_id.to_owned(),
        host: "/10.0.0.7".to_owned(),
        assignment: vec![(topic.into(), partitions.to_vec())],
    }
}

/// Groups over topics whose partitions hold the offsets 100 to 1,100.
async fn full(lacks: &[(Capability, &str)]) -> (Site, String) {
    let (site, mara) = site(Duration::from_secs(5), lacks).await;
    fill(&site, &[seen("orders", TopicRole::Ordinary, 4), seen("payments", TopicRole::Ordinary, 1)]).await;
    let workers = vec![member("worker-a", "orders", &[0, 1]), member("worker-b<b>", "orders", &[2, 3])];
    let groups = [
        group("shipping", Some(workers), &[("orders", 0, 1_090), ("orders", 1, 600), ("payments", 0, 40)]),
        group("done", Some(Vec::new()), &[("orders", 0, 1_100)]),
        group("closed", None, &[("payments", 0, 1_000)]),
        group(ODD, Some(Vec::new()), &[]),
    ];
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    site.store.record_consumer_groups(&"prod".into(), &groups, Some(&names), Timestamp::now()).await.expect("groups are stored");
    (site, mara)
}

#[tokio::test]
async fn groups_are_listed_with_the_most_to_read_first() {
    let (site, mara) = full(&[(Capability::DescribeGroups, "Describe is denied")]).await;
    let page = site.get("/buses/prod/consumer-groups").by(&mara).send().await;
    let shown = text(&page);
    assert!(shown.contains("3 of 4 groups need a look"), "{shown}");
    assert!(shown.contains("60 records were deleted before 1 group had read them."), "{shown}");
    assert!(shown.contains("Data loss shipping 1 of 5 partitions; payments/0: because 1,510 unknown"), "{shown}");
    assert!(shown.contains(" 60 0 2 no samples consumer (KIP-848)"), "{shown}");
    assert!(shown.contains("Caught up done reads orders , 1 partition with a commit 0"), "{shown}");
    let places: Vec<_> = ["shipping", "closed", "done"].map(|name| shown.find(&format!(" {name} ")).unwrap()).into();
    assert!(places.is_sorted(), "{shown}");
    assert!(shown.contains("Members are not known: Describe is denied") && shown.contains("no members and no committed offset"), "{shown}");
    assert!(!page.text.contains("<img src=x"), "{}", page.text);
    let filtered = text(&site.get("/buses/prod/consumer-groups?q=SHIP&topic=payments").by(&mara).send().await);
    assert!(
        filtered.contains("1 to 1 of 1 consumer groups") && filtered.contains(" 1,000 unknown 60 "),
        "lag on this topic alone: {filtered}"
    );
    let none = text(&site.get("/buses/prod/consumer-groups?q=nobody").by(&mara).send().await);
    assert!(none.contains("No consumer groups match"), "{none}");
}

#[tokio::test]
async fn groups_beyond_those_that_are_watched_are_counted() {
    let (site, mara) = full(&[]).await;
    let shown = text(&site.get("/buses/prod/consumer-groups").by(&mara).send().await);
    assert!(!shown.contains("not watched"), "{shown}");
    let capabilities = redrive::model::Capabilities::default();
    let reached = SweepResult::Reached { cluster_id: None, brokers: 1, addresses: Vec::new(), untracked_groups: 1_204, capabilities };
    site.store.record_sweep(&"prod".into(), &reached, Timestamp::now()).await.expect("the store takes it");
    let shown = text(&site.get("/buses/prod/consumer-groups").by(&mara).send().await);
    assert!(
        shown.contains(
            "1,204 more groups of this bus are not watched: Redrive watches the first 5,000 by name, as long as their offsets can be read."
        ),
        "{shown}"
    );
    let listed = site.get("/api/v1/buses/prod/consumer-groups").by(&mara).send().await;
    let listed: serde_json::Value = serde_json::from_str(&listed.text).expect("JSON");
    assert_eq!(listed["untracked_groups"], 1_204);
}

#[tokio::test]
async fn one_group_tells_lag_deleted_records_and_partitions_without_a_commit() {
    let (site, mara) = full(&[]).await;
    let page = site.get("/buses/prod/consumer-groups/shipping").by(&mara).send().await;
    let shown = text(&page);
    assert!(shown.contains("1,510 records left to read on 3 partitions of 2 topics. 2 members."), "{shown}");
    assert!(shown.contains("Why data loss"), "{shown}");
    assert!(shown.contains("60 records were deleted before this group had read them; they are not part of the lag."), "{shown}");
    assert!(shown.contains("orders 4 partitions, lag 510, 2 without a commit, 4 need a look"), "{shown}");
    assert!(shown.contains("Falling behind 1 600 1,100 500 unknown exact 0 not seen worker-a"), "{shown}");
    assert!(shown.contains("No commit 2 none 1,100 unknown unknown 0 not seen worker-b"), "{shown}");
    assert!(shown.contains("Data loss 0 40 1,100 1,000 unknown exact 60 not seen nobody"), "{shown}");
    assert!(!page.text.contains("worker-b<b>"));
    let unknown = text(&site.get("/buses/prod/consumer-groups/closed").by(&mara).send().await);
    assert!(unknown.contains("Members are not known"), "{unknown}");
    let odd = site.get(&format!("/buses/prod/consumer-groups/{}", redrive::web::address::encode(ODD))).by(&mara).send().await;
    assert!(odd.status == 200 && !odd.text.contains("<img src=x") && text(&odd).contains("No committed offset."), "{}", odd.text);
}

#[tokio::test]
async fn a_topic_shows_its_groups_with_their_lag_on_it_alone() {
    let (site, mara) = full(&[]).await;
    let shown = text(&site.get("/buses/prod/topics/payments?tab=consumer_groups").by(&mara).send().await);
    assert!(shown.contains("shipping 1,000 60 2 1") && shown.contains("closed 100 0 unknown 1"), "{shown}");
    let lists = text(&site.get("/buses/prod/topics").by(&mara).send().await);
    assert!(lists.contains("payments 1 1,000 0 2"), "{lists}");
}

#[tokio::test]
async fn the_api_tells_what_one_sample_can_tell() {
    let (site, mara) = full(&[(Capability::DescribeGroups, "Describe is denied")]).await;
    let list = site.get("/api/v1/buses/prod/consumer-groups?topic=payments").by(&mara).send().await.json();
    assert_eq!(list["items"].as_array().unwrap().iter().map(|g| g["group"].as_str().unwrap()).collect::<Vec<_>>(), ["closed", "shipping"]);
    let group = site.get("/api/v1/buses/prod/consumer-groups/shipping").by(&mara).send().await.json();
    assert_eq!(
        (group["type"].as_str(), group["state"].as_str(), group["status"].as_str()),
        (Some("consumer"), Some("Stable"), Some("data_loss"))
    );
    assert_eq!(group["members"][0]["assignment"][0], serde_json::json!({"topic": "orders", "partitions": [0, 1]}));
    let partitions = group["partitions"].as_array().unwrap();
    let found = |topic: &str, number: i64| partitions.iter().find(|p| p["topic"] == topic && p["partition"] == number).unwrap();
    let lost = found("payments", 0);
    assert_eq!(
        (lost["raw_lag_messages"].as_i64(), lost["lag_messages"].as_i64(), lost["deleted_messages"].as_i64()),
        (Some(1_060), Some(1_000), Some(60))
    );
    assert_eq!((found("orders", 2)["status"].as_str(), found("orders", 2)["committed"].as_i64()), (Some("no_commit"), None));
    let closed = site.get("/api/v1/buses/prod/consumer-groups/closed").by(&mara).send().await.json();
    assert!(closed["members"].is_null());
    assert_eq!((closed["members_reason"].as_str(), closed["status"].as_str()), (Some("Describe is denied"), Some("falling_behind")));
}

#[tokio::test]
async fn how_long_a_group_is_behind_and_why_nothing_is_known_of_one_stand_on_its_page_and_in_the_api() {
    let (site, mara) = full(&[]).await;
    let hours = |hours: u64| Timestamp::now().minus(Duration::from_hours(hours));
    let mut behind = group("behind", Some(Vec::new()), &[("orders", 0, 150)]);
    behind.standing.status = GroupStatus::CatchingUp;
    (behind.standing.since, behind.standing.behind_since) = (Some(Timestamp::now()), Some(hours(6)));
    let mut unread = group("unread", Some(Vec::new()), &[("orders", 0, 150)]);
    (unread.standing.status, unread.standing.since) = (GroupStatus::Unknown, Some(hours(2)));
    unread.standing.evidence = "the group cannot be read: not allowed".to_owned();
    let since = behind.standing.behind_since.expect("was set").to_rfc3339();
    site.store.record_consumer_groups(&"prod".into(), &[behind, unread], None, Timestamp::now()).await.expect("groups are stored");
    let shown = async |name: &str| text(&site.get(&format!("/buses/prod/consumer-groups/{name}")).by(&mara).send().await);
    let page = shown("behind").await;
    assert!(page.contains("Behind since 6 h ago"), "{page}");
    let page = shown("done").await;
    assert!(!page.contains("Behind since"), "{page}");
    let page = shown("unread").await;
    assert!(page.contains("Why unknown, since 2 h ago : the group cannot be read: not allowed."), "{page}");
    let list = text(&site.get("/buses/prod/consumer-groups").by(&mara).send().await);
    assert!(list.contains("the group cannot be read: not allowed"), "{list}");
    let told = async |path: &str| site.get(&format!("/api/v1/buses/prod/consumer-groups{path}")).by(&mara).send().await.json();
    assert_eq!(told("/behind").await["behind_since"], since);
    assert_eq!(told("/done").await["behind_since"], serde_json::Value::Null);
    assert_eq!(told("?q=behind").await["items"][0]["behind_since"], since);
}

#[tokio::test]
async fn where_groups_cannot_be_listed_the_page_says_what_to_do() {
    let (site, mara) = site(Duration::from_secs(5), &[(Capability::ListGroups, "ListGroups is denied")]).await;
    let shown = text(&site.get("/buses/prod/consumer-groups").by(&mara).send().await);
    assert!(shown.contains("Groups of this bus cannot be listed") && shown.contains("ListGroups is denied"), "{shown}");
    // Some may be known by name and do something else.
    let none = text(&site.get("/buses/prod/consumer-groups?status=stalled").by(&mara).send().await);
    assert!(none.contains("No consumer groups match No group is called stalled now."), "{none}");
    assert!(none.contains("so only those known by name are here: ListGroups is denied"), "{none}");
}

#[tokio::test]
async fn rows_stay_where_they_are_while_the_list_fetches_itself() {
    let (site, mara) = full(&[]).await;
    let page = site.get("/buses/prod/consumer-groups").by(&mara).send().await;
    let live =
        page.text.split("id=\"groups\" hx-get=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it fetches itself").to_owned();
    assert!(!text(&page).contains("Sort again"));
    // Two groups change places by lag, and one appears.
    let groups = [
        group("shipping", Some(Vec::new()), &[("orders", 0, 1_099)]),
        group("done", Some(Vec::new()), &[("orders", 0, 200)]),
        group("newcomer", Some(Vec::new()), &[("orders", 0, 150), ("orders", 1, 150)]),
    ];
    site.store.record_consumer_groups(&"prod".into(), &groups, None, Timestamp::now()).await.expect("groups are stored");
    let part = site.get(&live).by(&mara).header("hx-request", "true").header("hx-target", "groups").send().await;
    let (shown, fresh) = (text(&part), text(&site.get("/buses/prod/consumer-groups").by(&mara).send().await));
    let places =
        |shown: &str, names: [&str; 3]| names.map(|name| shown.find(&format!(" {name} ")).unwrap_or_else(|| panic!("{name}: {shown}")));
    assert!(places(&shown, ["shipping", "done", "newcomer"]).is_sorted(), "{shown}");
    assert!(shown.contains("Sort again") && shown.contains(" 900 "), "numbers change in place: {shown}");
    assert!(places(&fresh, ["newcomer", "done", "shipping"]).is_sorted(), "{fresh}");
    assert_eq!(site.get("/buses/prod/consumer-groups?order=zz").by(&mara).send().await.status, 422);
}

/// Where a part fetches itself, by its id.
fn live(page: &super::site::Answer, id: &str) -> String {
    let opening = format!("id=\"{id}\" hx-get=\"");
    page.text.split(&opening).nth(1).and_then(|rest| rest.split('"').next()).expect("it fetches itself").replace("&#38;", "&")
}

#[tokio::test]
async fn partitions_and_groups_of_a_topic_stay_where_they_are_too() {
    let (site, mara) = full(&[]).await;
    let (one, tab) = ("/buses/prod/consumer-groups/shipping", "/buses/prod/topics/orders?tab=consumer_groups");
    let pages = (site.get(one).by(&mara).send().await, site.get(tab).by(&mara).send().await);
    // Partition 0 falls behind partition 1, and the group that had read everything behind the other one.
    let workers = vec![member("worker-a", "orders", &[0, 1])];
    let groups = [
        group("shipping", Some(workers), &[("orders", 0, 150), ("orders", 1, 700)]),
        group("done", Some(Vec::new()), &[("orders", 0, 100), ("orders", 1, 100)]),
    ];
    site.store.record_consumer_groups(&"prod".into(), &groups, None, Timestamp::now()).await.expect("groups are stored");
    for (page, id, rows, address) in [
        (&pages.0, "group", [" 1 700 1,100 400 ", " 0 150 1,100 950 "], one),
        (&pages.1, "topic", [" shipping 1,350 ", " done 2,000 "], tab),
    ] {
        let part = site.get(&live(page, id)).by(&mara).header("hx-request", "true").header("hx-target", id).send().await;
        let (kept, fresh) = (text(&part), text(&site.get(address).by(&mara).send().await));
        let places = |shown: &str| rows.map(|row| shown.find(row).unwrap_or_else(|| panic!("{row}: {shown}")));
        assert!(places(&kept).is_sorted(), "{kept}");
        assert!(!places(&fresh).is_sorted(), "asked for anew, the worst comes first: {fresh}");
        assert_eq!(id == "group", kept.contains("Sort again"), "{kept}");
    }
}

#[tokio::test]
async fn what_a_group_did_is_not_told_as_the_present_once_its_bus_is_silent() {
    let (site, mara) = full(&[]).await;
    let now = Timestamp::now();
    let failed = SweepResult::Failed("the bus did not answer: Connection refused".to_owned());
    site.store.record_sweep(&"prod".into(), &failed, now).await.expect("the store takes it");
    let young = site.get("/buses/prod/consumer-groups").by(&mara).send().await;
    assert!(
        text(&young).contains("Caught up done") && !young.text.contains("data-tone=\"ok\" title=\"Nothing of note"),
        "old, so not green"
    );
    let (site, mara) = site_of(Duration::from_secs(600)).await;
    site.store.record_sweep(&"prod".into(), &failed, now).await.expect("the store takes it");
    for address in ["/buses/prod/consumer-groups", "/buses/prod/consumer-groups/shipping"] {
        let page = site.get(address).by(&mara).send().await;
        assert!(text(&page).contains("Unknown") && !text(&page).contains("Data loss shipping"), "{}", text(&page));
        assert!(page.text.contains("Data loss when the bus was last read"), "what was known is kept in the title");
    }
    let first = site.get("/").by(&mara).send().await;
    assert!(!text(&first).contains("Consumer group shipping"), "nobody is sent to a group of which nothing is known: {}", text(&first));
    assert!(!first.text.contains("<span class=\"status\" data-tone=\"ok\">"), "nothing is well where nothing can be seen");
}

/// The same groups on a bus that was last read some time ago.
async fn site_of(ago: Duration) -> (Site, String) {
    let (site, mara) = site(ago, &[]).await;
    fill(&site, &[seen("payments", TopicRole::Ordinary, 1)]).await;
    let groups = [group("shipping", Some(Vec::new()), &[("payments", 0, 40)])];
    site.store.record_consumer_groups(&"prod".into(), &groups, None, Timestamp::now().minus(ago)).await.expect("groups are stored");
    (site, mara)
}
