//! Consumer groups as sampled.

use redrive::model::bus::{GroupMember, TopicRole};
use redrive::model::names::TopicPartition;
use redrive::model::{BusId, GroupName, Timestamp};
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::topics::SeenOffsets;

use super::letters::{index, letter};
use super::{START, World, on_both_engines, seen_topic};

fn group(name: &str, committed: &[(i32, i64)]) -> SeenGroup {
    SeenGroup {
        name: GroupName::from(name),
        kind: "consumer".to_owned(),
        state: "Stable".to_owned(),
        members: Some(vec![GroupMember {
            member_id: "m-1".to_owned(),
            instance_id: None,
            client_id: "client\0".to_owned(),
            host: "/10.0.0.1".to_owned(),
            assignment: vec![("orders".into(), vec![0, 1])],
        }]),
        committed: committed
            .iter()
            .map(|(partition, at)| (TopicPartition { topic: "orders".into(), partition: *partition }, *at))
            .collect(),
    }
}

async fn groups_are_listed_with_lag_and_end_when_they_are_gone(world: World) {
    let store = &world.store;
    let dead = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, dead, vec![letter(0, START), letter(1, START)], START).await;
    let bus = BusId::from("prod");
    let seen = [seen_topic("orders.DLT", TopicRole::DeadLetter, 1), seen_topic("orders", TopicRole::Ordinary, 2)];
    let topics = store.record_topics(&bus, &seen, START).await.expect("topics");
    let orders = topics.iter().find(|topic| topic.generation.topic.as_str() == "orders").expect("lives");
    let offsets =
        |which: usize, log_start, end| SeenOffsets { partition_id: orders.partitions[which].id, log_start, end, last_stable: None };
    store.record_offsets(&[offsets(0, 10, 100), offsets(1, 0, 50)], START).await.expect("recorded");
    let odd = "odd\0name\u{202e}";
    let alive = [GroupName::from("billing"), GroupName::from(odd)];
    let changed = [group("billing", &[(0, 4), (1, 50)]), group(odd, &[])];
    store.record_consumer_groups(&bus, &changed, Some(&alive), START).await.expect("recorded");
    let groups = store.list_consumer_groups(&bus, None, None).await.expect("groups");
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["billing", odd]);
    let billing = &groups[0];
    assert_eq!((billing.lag_messages, billing.deleted_messages, billing.partitions), (Some(90), 6, 2));
    assert_eq!((billing.members, billing.open_dead_letters, billing.topics.as_slice()), (Some(1), 2, &["orders".to_owned()][..]));
    assert_eq!((groups[1].lag_messages, groups[1].partitions), (None, 0));
    assert_eq!(store.list_consumer_groups(&bus, Some("BILL"), None).await.expect("groups").len(), 1);
    assert_eq!(store.list_consumer_groups(&bus, None, Some("orders")).await.expect("groups").len(), 1);

    let later = Timestamp::from_millis(START.as_millis() + 1_000);
    store.record_consumer_groups(&bus, &[group("billing", &[(1, 60)])], Some(&alive[..1]), later).await.expect("recorded");
    let found = store.find_consumer_group(&bus, &alive[0]).await.expect("an answer").expect("is there");
    let offsets: Vec<_> = found.offsets.iter().map(|o| (o.partition, o.committed, o.log_start, o.end)).collect();
    assert_eq!(offsets, [(0, None, Some(10), Some(100)), (1, Some(60), Some(0), Some(50))], "held without a commit, and committed");
    assert_eq!(found.sampled_at, later);
    assert_eq!(found.members.expect("members")[0].client_id, "client\0");
    let names: Vec<_> = store.list_consumer_groups(&bus, None, None).await.expect("groups").into_iter().map(|group| group.name).collect();
    assert_eq!(names, [GroupName::from("billing")]);
    // Where groups cannot be listed, nobody is declared gone.
    store.record_consumer_groups(&bus, &[], None, later).await.expect("recorded");
    assert_eq!(store.list_consumer_groups(&bus, None, None).await.expect("groups").len(), 1);
    assert!(store.find_consumer_group(&bus, &"nobody".into()).await.expect("an answer").is_none());
    assert_eq!(store.list_claimed_groups(&bus).await.expect("names"), [GroupName::from("billing")]);
}

on_both_engines! { groups_are_listed_with_lag_and_end_when_they_are_gone }
