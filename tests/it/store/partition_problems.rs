//! What keeps partitions from being used.

use redrive::model::bus::TopicRole;
use redrive::model::partition_problem::PartitionProblemKind::{Leaderless, Unreadable};
use redrive::model::{BusId, Timestamp};

use super::{START, World, on_both_engines, seen_topic};

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn listed(world: &World) -> Vec<(i32, &'static str, String, i64)> {
    let problems = world.store.list_partition_problems(Some(&BusId::from("prod")), Some(&"orders.DLT".into())).await.expect("an answer");
    problems.into_iter().map(|p| (p.partition, p.kind.as_str(), p.reason, p.since.as_millis() - START.as_millis())).collect()
}

async fn a_problem_keeps_its_beginning_until_it_is_over(world: World) {
    let store = &world.store;
    let ids = world.dead_letter_topic("prod", "orders.DLT", 3).await;
    let (none, why) = (String::new(), "not allowed\0".to_owned());
    store.record_partition_problems(&ids, Leaderless, &[(ids[0], none.clone()), (ids[2], none.clone())], later(1)).await.expect("told");
    store.record_partition_problems(&ids[1..2], Unreadable, &[(ids[1], why)], later(2)).await.expect("told");
    // Partition 0 has a leader again; 2 still has none; the other kind is not touched.
    store.record_partition_problems(&ids, Leaderless, &[(ids[2], none.clone())], later(3)).await.expect("told");
    let unreadable = (1, "unreadable", "not allowed\u{fffd}".to_owned(), 2);
    assert_eq!(listed(&world).await, [(2, "leaderless", none.clone(), 1), unreadable.clone()]);
    // Whoever looked at some partitions only says nothing about the others.
    store.record_partition_problems(&ids[..1], Leaderless, &[], later(4)).await.expect("told");
    assert_eq!(listed(&world).await.len(), 2);
    store.record_partition_problems(&ids, Leaderless, &[], later(5)).await.expect("told");
    assert_eq!(listed(&world).await, [unreadable]);
    assert_eq!(store.list_partition_problems(None, None).await.expect("an answer").len(), 1);
    assert_eq!(store.list_partition_problems(Some(&"other".into()), None).await.expect("an answer"), []);
    // What is gone has no problems.
    store.record_topics(&"prod".into(), &[seen_topic("another", TopicRole::Ordinary, 1)], later(6)).await.expect("topics");
    assert_eq!(listed(&world).await, []);
}

on_both_engines! { a_problem_keeps_its_beginning_until_it_is_over }
