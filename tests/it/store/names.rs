//! Anybody who may write to a dead-letter topic may write any number of names into headers: filters, menus and groups stay right.

use std::collections::HashMap;

use redrive::model::{DeadLetterFilter, PageRequest, Status, Timestamp};
use redrive::store::failure_groups::{Buckets, FailureGroupSort};

use super::letters::{fingerprint, index, letter};
use super::{START, World, on_both_engines};

const USUAL: i64 = 600;
/// Five of six.
const HOSTILE: i64 = USUAL * 5;

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

/// Usual dead letters of three causes among thousands of which each has names of its own.
async fn fill(world: &World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let letters = (0..USUAL + HOSTILE).map(|offset| {
        let mut letter = letter(offset, later(offset * 1_000));
        let usual = offset % 6 == 0;
        let (cause, name) = if usual { (offset / 6 % 3, "usual".to_owned()) } else { (1_000 + offset, format!("hostile-{offset}")) };
        letter.fingerprint = fingerprint(u64::try_from(cause).expect("small"), &name);
        letter.failure.exception_class = Some(format!("com.example.{name}"));
        letter.failure.consumer_group = Some(name.clone().into());
        letter.failure.origin.topic = Some(name.into());
        letter
    });
    index(&world.store, partition, letters.collect(), START).await;
}

async fn every_filter_passes_by_the_names_of_others(world: World) {
    fill(&world).await;
    let store = &world.store;
    let open = DeadLetterFilter { status: vec![Status::Open], ..DeadLetterFilter::default() };
    let usual = u64::try_from(USUAL).expect("small");
    for (filter, expected) in [
        (DeadLetterFilter { bus: vec!["prod".into()], ..open.clone() }, usual * 6),
        (DeadLetterFilter { topic: vec!["orders.DLT".into()], ..open.clone() }, usual * 6),
        (DeadLetterFilter { topic: vec!["other.DLT".into()], ..open.clone() }, 0),
        (DeadLetterFilter { exception_class: vec!["com.example.usual".to_owned()], ..open.clone() }, usual),
        (DeadLetterFilter { consumer_group: vec!["usual".into()], ..open.clone() }, usual),
        (DeadLetterFilter { origin_topic: vec!["usual".into()], ..open.clone() }, usual),
        (DeadLetterFilter { origin_topic: vec!["usual".into()], consumer_group: vec!["hostile-7".into()], ..open.clone() }, 0),
        (DeadLetterFilter { fingerprint: vec![fingerprint(2, "usual").fingerprint], ..open.clone() }, usual / 3),
        (DeadLetterFilter { consumer_group: vec!["hostile-7".into(), "hostile-8".into()], ..open.clone() }, 2),
    ] {
        assert_eq!(store.count_dead_letters(&filter).await.expect("counted"), Some(expected), "{filter:?}");
        assert_eq!(store.count_by_status(&filter).await.expect("counted").open, expected, "{filter:?}");
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let page = store.list_dead_letters(&filter, &PageRequest { cursor, limit: 200 }, 1_000).await.expect("a page");
            found.extend(page.items.iter().map(|item| item.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found.len() as u64, expected, "{filter:?}");
        assert!(found.is_sorted_by(|a, b| a > b), "newest first, each once: {filter:?}");
    }
    let menus = store.list_filter_choices(&[]).await.expect("menus");
    assert_eq!((menus.exception_classes.len(), menus.consumer_groups[0].clone()), (100, ("usual".to_owned(), usual)));
}

async fn pages_of_groups_hold_each_once_in_every_order(world: World) {
    fill(&world).await;
    let store = &world.store;
    let buckets = Buckets { from: START, to: later(3_600_000), count: 60 };
    let all = DeadLetterFilter::default();
    let of_topic = DeadLetterFilter { topic: vec!["orders.DLT".into()], status: vec![Status::Open], ..all.clone() };
    for (filter, sort) in [
        (&all, FailureGroupSort::Open),
        (&of_topic, FailureGroupSort::LastSeen),
        (&all, FailureGroupSort::FirstSeen),
        (&of_topic, FailureGroupSort::Open),
    ] {
        let (mut cursor, mut keys, mut counts) = (None, Vec::new(), HashMap::new());
        loop {
            let page = store.list_failure_groups(filter, sort, buckets, &PageRequest { cursor, limit: 500 }).await.expect("a page");
            for group in page.items {
                keys.push(match sort {
                    FailureGroupSort::Open => i64::try_from(group.counts.open).expect("small"),
                    FailureGroupSort::LastSeen => group.last_seen.as_millis(),
                    FailureGroupSort::FirstSeen => group.first_seen.as_millis(),
                });
                assert_eq!(group.per_bucket.iter().sum::<u64>(), group.counts.open, "all of them arrived within the hour");
                assert!(counts.insert(group.fingerprint, group.counts.open).is_none(), "each once");
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert!(keys.is_sorted_by(|a, b| a >= b), "{sort:?}");
        assert_eq!(i64::try_from(counts.len()), Ok(3 + HOSTILE), "{sort:?}");
        assert_eq!(i64::try_from(counts.values().sum::<u64>()), Ok(USUAL + HOSTILE));
    }
}

async fn long_names_are_stored_and_told_apart(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let names = ["x".repeat(300_000), format!("{}y", "x".repeat(120)), "x".repeat(120), "x".repeat(100), "x".to_owned()];
    let letters = names.iter().zip(0..).map(|(name, offset)| {
        let mut letter = letter(offset, later(offset));
        letter.failure.consumer_group = Some(name.as_str().into());
        letter.failure.exception_class = Some(name.clone());
        letter.failure.origin.topic = Some(name.as_str().into());
        letter
    });
    index(&world.store, partition, letters.collect(), START).await;
    for name in &names {
        let all = DeadLetterFilter::default();
        for filter in [
            DeadLetterFilter { consumer_group: vec![name.as_str().into()], ..all.clone() },
            DeadLetterFilter { exception_class: vec![name.clone()], ..all.clone() },
            DeadLetterFilter { origin_topic: vec![name.as_str().into()], ..all },
        ] {
            let page = world.store.list_dead_letters(&filter, &PageRequest::first(10), 1_000).await.expect("a page");
            assert_eq!(page.items.len(), 1, "a name of {} bytes", name.len());
            assert_eq!(page.items[0].origin.topic.as_ref().map(redrive::model::TopicName::as_str), Some(name.as_str()));
        }
    }
}

on_both_engines! {
    every_filter_passes_by_the_names_of_others
    pages_of_groups_hold_each_once_in_every_order
    long_names_are_stored_and_told_apart
}
