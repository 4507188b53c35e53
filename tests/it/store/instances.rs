//! Instances, leases, revisions.

use std::time::Duration;

use redrive::model::Timestamp;

use super::{START, World, on_both_engines};

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn a_lease_has_one_holder_and_its_epoch_counts_owners(world: World) {
    let store = &world.store;
    let take = |holder: &'static str, millis: i64| async move {
        let lease = store.take_lease("sampling", holder, Duration::from_secs(15), later(millis)).await.expect("an answer");
        lease.map(|lease| lease.epoch)
    };
    assert_eq!(take("one", 0).await, Some(1));
    assert_eq!(take("two", 14_999).await, None);
    assert_eq!(take("one", 5_000).await, Some(1), "renewed");
    assert_eq!(take("two", 19_999).await, None);
    assert_eq!(take("two", 20_000).await, Some(2));
    assert_eq!(take("one", 20_001).await, None);
    store.release_lease("sampling", "one").await.expect("not its own");
    assert_eq!(take("one", 20_002).await, None);
    store.release_lease("sampling", "two").await.expect("given back");
    assert_eq!(take("one", 20_003).await, Some(3));
    assert_eq!(take("one", 60_000).await, Some(4), "it had ended in between, and somebody else might have had it");
}

async fn of_many_who_want_a_lease_one_gets_it(world: World) {
    let other = world.beside().await;
    let (one, two) = tokio::join!(
        world.store.take_lease("x", "one", Duration::from_secs(15), START),
        other.take_lease("x", "two", Duration::from_secs(15), START)
    );
    let taken = [one, two].into_iter().filter(|lease| lease.as_ref().expect("an answer").is_some()).count();
    assert_eq!(taken, 1);
    other.close().await;
}

async fn instances_are_remembered_for_a_day(world: World) {
    let store = &world.store;
    store.register_instance("one", START).await.expect("registered");
    store.register_instance("two", later(5)).await.expect("registered");
    store.deregister_instance("one").await.expect("deregistered");
    let day = 24 * 3_600_000;
    assert_eq!(store.list_instances().await.expect("instances"), [("one".to_owned(), START), ("two".to_owned(), later(5))]);
    store.register_instance("two", later(day + 1)).await.expect("registered");
    assert_eq!(store.list_instances().await.expect("instances"), [("two".to_owned(), later(day + 1))]);
}

async fn revisions_count_changes(world: World) {
    let store = &world.store;
    assert!(store.list_revisions().await.expect("revisions").is_empty());
    store.bump_revision("topics").await.expect("bumped");
    store.bump_revision("topics").await.expect("bumped");
    store.bump_revision("audit").await.expect("bumped");
    let revisions = store.list_revisions().await.expect("revisions");
    assert_eq!(revisions, [("audit".to_owned(), 1), ("topics".to_owned(), 2)].into());
}

on_both_engines! {
    a_lease_has_one_holder_and_its_epoch_counts_owners
    of_many_who_want_a_lease_one_gets_it
    instances_are_remembered_for_a_day
    revisions_count_changes
}
