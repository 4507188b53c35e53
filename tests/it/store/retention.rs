//! What ends, and that nothing else does.

use redrive::model::{DeadLetterFilter, DeadLetterId, PageRequest, Status, Timestamp};
use redrive::store::indexing::{Advance, IndexBatch};
use redrive::store::{Store, StoreError};

use super::letters::{index, letter};
use super::{START, World, on_both_engines};

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn ids(store: &Store) -> Vec<DeadLetterId> {
    let page = store.list_dead_letters(&DeadLetterFilter::default(), &PageRequest::first(1_000), 1_000).await.expect("a page");
    page.items.into_iter().map(|item| item.id).collect()
}

async fn old_ends_by_age_and_open_ones_never(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..500).map(|offset| letter(offset, later(offset))).collect(), START).await;
    let all = ids(store).await;
    store.change_status(&all[..200], Status::Open, Status::Resolved, later(1_000)).await.expect("changed");
    store.change_status(&all[200..300], Status::Open, Status::Discarded, later(9_000)).await.expect("changed");
    store.change_status(&all[300..350], Status::Open, Status::Replaying, later(1_000)).await.expect("changed");
    let mut removed = 0;
    loop {
        let some = store.prune_dead_letters(later(5_000), 60).await.expect("pruned");
        assert!(some <= 60);
        removed += some;
        if some == 0 {
            break;
        }
    }
    assert_eq!(removed, 200);
    let left = ids(store).await;
    assert_eq!(left, all[200..]);
    let counts = store.count_by_status(&DeadLetterFilter::default()).await.expect("counted");
    assert_eq!((counts.open, counts.replaying, counts.resolved, counts.discarded), (150, 50, 0, 100));
    assert!(store.find_dead_letter(all[0], &DeadLetterFilter::default()).await.expect("an answer").is_none());
    // What is left is whole, although it shares its stack trace with what ended.
    let found = store.find_dead_letter(all[450], &DeadLetterFilter::default()).await.expect("an answer").expect("is there");
    assert_eq!(found.headers.len(), 2);
    assert_eq!(store.usage().await.expect("usage").rows["stack_traces"], 1);
}

async fn nothing_is_left_behind_and_indexing_goes_on_after_everything_ended(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..300).map(|offset| letter(offset, later(offset))).collect(), START).await;
    let all = ids(store).await;
    store.change_status(&all, Status::Open, Status::Resolved, later(1)).await.expect("changed");
    while store.prune_dead_letters(later(10), 100).await.expect("pruned") > 0 {}
    let usage = store.usage().await.expect("usage");
    assert_eq!((usage.dead_letters, usage.rows["stack_traces"], usage.rows["search_blocks"]), (0, 0, 0));
    // The remembered id of the stack trace is one that is gone now.
    index(store, partition, (300..310).map(|offset| letter(offset, later(offset))).collect(), START).await;
    let newest = ids(store).await[0];
    assert!(newest > all[0], "ids are never used again");
    let found = store.find_dead_letter(newest, &DeadLetterFilter::default()).await.expect("an answer").expect("is there");
    assert_eq!(found.stack_trace, Some(super::letters::stack_trace("order 309 is broken")));
}

async fn when_full_only_resolved_and_discarded_ones_go_oldest_first(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..100).map(|offset| letter(offset, later(offset))).collect(), START).await;
    let all = ids(store).await;
    store.change_status(&all[..20], Status::Open, Status::Discarded, later(1)).await.expect("changed");
    store.change_status(&all[20..40], Status::Open, Status::Replayed, later(1)).await.expect("changed");
    assert_eq!(store.prune_for_space(15).await.expect("pruned"), 15);
    let left = ids(store).await;
    assert_eq!(left[..5], all[..5], "the newest of the discarded are left");
    assert_eq!(store.prune_for_space(15).await.expect("pruned"), 5);
    assert_eq!(store.prune_for_space(15).await.expect("pruned"), 0);
    assert_eq!(ids(store).await.len(), 80);
}

async fn a_full_store_takes_no_dead_letters_but_lets_them_go(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(&world.store, partition, (0..50).map(|offset| letter(offset, later(offset))).collect(), START).await;
    let settings = redrive::store::StoreSettings { max_bytes: Some(1_000), ..world.settings.clone() };
    let World { store, ground, .. } = world;
    store.close().await;
    drop(store);
    let store = Store::open(&settings).await.expect("a full store opens");
    let advances = vec![Advance { partition_id: partition, expected: 50, next: 51, gap: None }];
    let letters = vec![(partition, letter(50, START))];
    let batch = IndexBatch { bus: "prod".into(), advances, letters };
    assert!(matches!(store.record_index_batch(batch, START).await, Err(StoreError::Full(_))));
    assert!(matches!(store.check().await, Err(StoreError::Full(_))));
    assert_eq!(store.list_positions(&[partition]).await.expect("positions")[0].next, 50);
    let all = ids(&store).await;
    store.change_status(&all, Status::Open, Status::Discarded, later(1)).await.expect("changed");
    assert_eq!(store.prune_for_space(100).await.expect("pruned"), 50);
    store.close().await;
    drop(ground);
}

async fn a_full_store_takes_dead_letters_again_where_others_have_gone(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let noise = |offset: i64| {
        let mut letter = letter(offset, later(offset));
        // Content that does not become small.
        let mut state = u64::try_from(offset).expect("small");
        let bytes = (0..6_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        letter.record.value = Some(bytes.collect::<Vec<u8>>().into());
        letter
    };
    for start in [0, 1_000] {
        index(&world.store, partition, (start..start + 1_000).map(noise).collect(), START).await;
    }
    let used = world.store.usage().await.expect("usage").used_bytes;
    let settings = redrive::store::StoreSettings { max_bytes: Some(used - 500_000), ..world.settings.clone() };
    let World { store, ground, .. } = world;
    store.close().await;
    drop(store);
    let store = Store::open(&settings).await.expect("a full store opens");
    assert!(matches!(store.check().await, Err(StoreError::Full(_))));
    let all = ids(&store).await;
    store.change_status(&all, Status::Open, Status::Discarded, later(1)).await.expect("changed");
    assert_eq!(store.prune_for_space(600).await.expect("pruned"), 600);
    store.reuse_space().await.expect("the room can be used");
    store.check().await.expect("there is room again");
    let left = store.usage().await.expect("usage").used_bytes;
    assert!(left < used - 2_000_000, "{left} bytes of {used} after 600 of 2,000 went");
    index(&store, partition, (2_000..2_200).map(noise).collect(), START).await;
    let again = store.usage().await.expect("usage").used_bytes;
    assert!(again > left, "{again} bytes after {left}");
    store.close().await;
    drop(ground);
}

on_both_engines! {
    old_ends_by_age_and_open_ones_never
    nothing_is_left_behind_and_indexing_goes_on_after_everything_ended
    when_full_only_resolved_and_discarded_ones_go_oldest_first
    a_full_store_takes_no_dead_letters_but_lets_them_go
    a_full_store_takes_dead_letters_again_where_others_have_gone
}
