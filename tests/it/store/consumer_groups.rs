//! Consumer groups as sampled.

use redrive::model::bus::{GroupMember, TopicRole};
use redrive::model::lag::{GroupOffset, GroupStatus, Standing, TimeLagMillis, Verdict};
use redrive::model::{BusId, BusKind, GroupName, Timestamp};
use redrive::store::consumer_groups::SeenGroup;

use super::letters::{index, letter};
use super::{START, World, on_both_engines, seen_topic};

pub(super) fn group(name: &str, committed: &[(i32, i64)]) -> SeenGroup {
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
        offsets: committed.iter().map(|(partition, at)| offset(*partition, *at)).collect(),
        standing: Standing {
            status: GroupStatus::FallingBehind,
            since: Some(START),
            evidence: "more\0 than before".to_owned(),
            parked: false,
            behind_since: Some(START),
        },
    }
}

/// A position on a partition that holds the offsets 10 to 100.
pub(super) fn offset(partition: i32, committed: i64) -> GroupOffset {
    GroupOffset {
        log_start: Some(10),
        end: Some(100),
        last_stable: Some(99),
        not_records: Some(1),
        at_most: true,
        time_lag: Some(TimeLagMillis { min: 4_000, max: Some(i64::from(partition) + 9_000), estimate: Some(5_000), looked_up: true }),
        moved_at: Some(START),
        verdict: Verdict { status: GroupStatus::Stalled, since: Some(START), evidence: "it does not move".to_owned(), looks: None },
        ..GroupOffset::new("orders".into(), partition, Some(committed))
    }
}

async fn groups_are_listed_with_lag_and_end_when_they_are_gone(world: World) {
    let store = &world.store;
    let dead = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, dead, vec![letter(0, START), letter(1, START)], START).await;
    let bus = BusId::from("prod");
    let seen = [seen_topic("orders.DLT", TopicRole::DeadLetter, 1), seen_topic("orders", TopicRole::Ordinary, 2)];
    store.record_topics(&bus, &seen, START).await.expect("topics");
    let odd = "odd\0name\u{202e}";
    let alive = [GroupName::from("billing"), GroupName::from(odd)];
    let changed = [group("billing", &[(0, 4), (1, 99)]), group(odd, &[])];
    store.record_consumer_groups(&bus, &changed, Some(&alive), START).await.expect("recorded");
    let groups = store.list_consumer_groups(&bus, None, None).await.expect("groups");
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["billing", odd]);
    let billing = &groups[0];
    assert_eq!((billing.lag_messages, billing.deleted_messages, billing.partitions), (Some(89), 6, 2));
    assert_eq!(billing.raw_lag_messages, Some(97));
    assert_eq!(
        billing.time_lag,
        Some(TimeLagMillis { min: 4_000, max: Some(9_001), estimate: Some(5_000), looked_up: false }),
        "the one furthest behind"
    );
    assert_eq!((billing.standing.status, billing.standing.since), (GroupStatus::FallingBehind, Some(START)));
    let on_orders = store.list_consumer_groups(&bus, Some("bill"), Some("orders")).await.expect("groups");
    assert_eq!(on_orders[0].standing.status, GroupStatus::Stalled, "on the topic alone");
    assert_eq!((billing.members, billing.open_dead_letters, billing.topics.as_slice()), (Some(1), 2, &["orders".to_owned()][..]));
    assert_eq!((groups[1].lag_messages, groups[1].partitions), (None, 0));
    assert_eq!(store.list_consumer_groups(&bus, Some("BILL"), None).await.expect("groups").len(), 1);
    assert_eq!(store.list_consumer_groups(&bus, None, Some("orders")).await.expect("groups").len(), 1);

    let later = Timestamp::from_millis(START.as_millis() + 1_000);
    store.record_consumer_groups(&bus, &[group("billing", &[(1, 60)])], Some(&alive[..1]), later).await.expect("recorded");
    let found = store.find_consumer_group(&bus, &alive[0]).await.expect("an answer").expect("is there");
    assert_eq!(found.offsets, [offset(1, 60)], "as it was written, and the other one is gone");
    let known = store.list_known_groups(&bus).await.expect("groups");
    assert_eq!((known.len(), known[0].first_seen_at, known[0].offsets.as_slice()), (1, START, &[offset(1, 60)][..]));
    assert_eq!(found.sampled_at, later);
    assert_eq!(found.members.expect("members")[0].client_id, "client\0");
    let groups = store.list_consumer_groups(&bus, None, None).await.expect("groups");
    assert_eq!(groups.iter().map(|group| &group.name).collect::<Vec<_>>(), [&GroupName::from("billing")]);
    assert_eq!((groups[0].lag_messages, groups[0].sampled_at), (Some(39), later), "what was listed before is not told again");
    index(store, dead, vec![letter(2, START)], START).await;
    assert_eq!(store.list_consumer_groups(&bus, None, None).await.expect("groups")[0].open_dead_letters, 3);
    // Where groups cannot be listed, nobody is declared gone.
    store.record_consumer_groups(&bus, &[], None, later).await.expect("recorded");
    assert_eq!(store.list_consumer_groups(&bus, None, None).await.expect("groups").len(), 1);
    assert!(store.find_consumer_group(&bus, &"nobody".into()).await.expect("an answer").is_none());
    assert_eq!(store.list_claimed_groups(&bus).await.expect("names"), [GroupName::from("billing")]);
}

async fn only_what_was_read_is_said_to_be_and_what_cannot_be_read_keeps_its_time(world: World) {
    let store = &world.store;
    let bus = BusId::from("prod");
    store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
    let names = ["audit", "billing", "shipping"].map(GroupName::from);
    let all = ["audit", "billing", "shipping"].map(|name| group(name, &[(0, 40)]));
    store.record_consumer_groups(&bus, &all, Some(&names), START).await.expect("recorded");
    let later = |seconds: u64| START.plus(std::time::Duration::from_secs(seconds));
    let listed = async || -> Vec<(Timestamp, GroupStatus, Option<u64>)> {
        let groups = store.list_consumer_groups(&bus, None, None).await.expect("groups");
        groups.into_iter().map(|group| (group.sampled_at, group.standing.status, group.lag_messages)).collect()
    };
    let behind = (GroupStatus::FallingBehind, Some(59));
    assert_eq!(listed().await, [(START, behind.0, behind.1); 3]);

    store.record_consumer_groups(&bus, &[], Some(&names), later(15)).await.expect("recorded");
    store.record_reads_of_consumer_groups(&bus, &[names[1].clone(), "gone".into()], later(15)).await.expect("recorded");
    assert_eq!(listed().await.iter().map(|group| group.0).collect::<Vec<_>>(), [START, later(15), START], "to be listed is not to be read");

    let unread = SeenGroup {
        members: None,
        offsets: vec![GroupOffset::new("orders".into(), 0, Some(40))],
        standing: Standing {
            status: GroupStatus::Unknown,
            since: Some(later(20)),
            evidence: "the group cannot be read: not allowed".to_owned(),
            parked: false,
            behind_since: Some(START),
        },
        ..group("billing", &[])
    };
    let never = SeenGroup { name: "never".into(), ..unread.clone() };
    store.record_unread_consumer_groups(&bus, &[unread.clone(), never], later(30)).await.expect("recorded");
    let expected = [(START, behind.0, behind.1), (later(15), GroupStatus::Unknown, None), (START, behind.0, behind.1)];
    assert_eq!(listed().await, expected, "and nothing is told of one that was never read");
    let found = store.find_consumer_group(&bus, &names[1]).await.expect("an answer").expect("is there");
    assert_eq!((found.members, found.standing, found.state.as_str()), (None, unread.standing, "Stable"));
    let known = store.list_known_groups(&bus).await.expect("groups");
    assert_eq!(known[1].behind_since, Some(START), "a sampler that begins goes on from there");
    store.record_consumer_groups(&bus, &all[1..2], Some(&names), later(45)).await.expect("recorded");
    assert_eq!(listed().await[1], (later(45), behind.0, behind.1), "it can be read again");
}

on_both_engines! {
    groups_are_listed_with_lag_and_end_when_they_are_gone
    only_what_was_read_is_said_to_be_and_what_cannot_be_read_keeps_its_time
}
