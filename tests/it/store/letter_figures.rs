//! Figures of dead letters: what arrived by cause, what is new and what returned, what is open and for how long, what became of replays.

use std::time::Duration;

use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::figure::Labels;
use redrive::model::{DeadLetterFilter, DeadLetterId, Fingerprint, GroupName, Status, Timestamp};
use redrive::store::Store;
use redrive::store::failure_group_events::FailureGroupEvent;
use redrive::store::failure_groups::Buckets;
use redrive::store::figures::letters::MOST;

use super::letters::{fingerprint, index, letter};
use super::{START, World, on_both_engines};

const MINUTE: u64 = 60;

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// A failure of this group for this cause.
fn failed(offset: i64, seconds: u64, hash: u64, group: &str) -> NewDeadLetter {
    let mut letter = letter(offset, at(seconds));
    letter.fingerprint = fingerprint(hash, "com.example.BrokenOrder");
    letter.failure.consumer_group = Some(GroupName::from(group));
    letter
}

fn labels(hash: u64, group: &str) -> Labels {
    Labels::bus(&"prod".into()).topic(&"orders.DLT".into()).consumer_group(&group.into()).fingerprint(Fingerprint { version: 1, hash })
}

fn minutes(count: u32) -> Buckets {
    Buckets { from: START, to: at(MINUTE * u64::from(count)), count }
}

async fn events(store: &Store, event: FailureGroupEvent) -> Vec<u64> {
    let series = store.failure_group_series(event, Some(&"prod".into()), None, minutes(10)).await.expect("series");
    assert!(series.len() <= 1, "{series:?}");
    series.into_iter().next().map_or_else(Vec::new, |(_, counts)| counts)
}

async fn arrivals_by_cause_are_exact_and_backlog_is_none(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let mut letters = vec![failed(0, 10, 1, "billing"), failed(1, 20, 1, "billing"), failed(2, 70, 2, "billing"), failed(3, 80, 1, "mail")];
    let mut old = failed(4, 90, 1, "billing");
    old.backlog = true;
    letters.push(old);
    index(store, partition, letters, at(100)).await;
    let all = store.arrival_series(&DeadLetterFilter::default(), minutes(3)).await.expect("series");
    let expected = [(labels(1, "billing"), vec![2, 0, 0]), (labels(2, "billing"), vec![0, 1, 0]), (labels(1, "mail"), vec![0, 1, 0])];
    assert_eq!(all.len(), 3, "{all:?}");
    for one in &expected {
        assert!(all.contains(one), "{one:?} in {all:?}");
    }
    assert_eq!(all[0], expected[0], "most first");
    let of_mail = DeadLetterFilter { consumer_group: vec!["mail".into()], ..DeadLetterFilter::default() };
    assert_eq!(store.arrival_series(&of_mail, minutes(3)).await.expect("series"), [expected[2].clone()]);
    let of_bus = |bus: &str| DeadLetterFilter { bus: vec![bus.into()], ..DeadLetterFilter::default() };
    assert_eq!(store.arrival_series(&of_bus("prod"), minutes(3)).await.expect("series"), all);
    assert_eq!(store.arrival_series(&of_bus("test"), minutes(3)).await.expect("series"), []);
    let hours = Buckets { from: START, to: at(2 * 3_600), count: 2 };
    let by_hour = store.arrival_series(&of_mail, hours).await.expect("series");
    assert_eq!(by_hour, [(labels(1, "mail"), vec![1, 0])], "hours and minutes agree");
}

async fn what_is_beyond_the_busiest_is_added_up_per_topic(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let causes = MOST as u64 + 7;
    let letters: Vec<NewDeadLetter> = (0..causes)
        .flat_map(|hash| (0..if hash < MOST as u64 { 2 } else { 1 }).map(move |again| (hash, again)))
        .zip(0..)
        .map(|((hash, again), offset)| failed(offset, 600 - hash + again, hash + 1, "billing"))
        .collect();
    let count = letters.len() as u64;
    index(store, partition, letters, at(700)).await;
    let arrived = store.arrival_series(&DeadLetterFilter::default(), minutes(11)).await.expect("series");
    assert_eq!(arrived.len(), MOST + 1);
    let rest = arrived.last().expect("the rest");
    assert_eq!(rest.0, Labels::bus(&"prod".into()).topic(&"orders.DLT".into()));
    assert_eq!(rest.1.iter().sum::<u64>(), 7);
    assert_eq!(arrived.iter().flat_map(|(_, counts)| counts).sum::<u64>(), count, "sums stay exact");
    let open = store.list_open(&"prod".into()).await.expect("open");
    assert_eq!((open.len(), open.iter().map(|of| of.open).sum::<u64>()), (MOST + 1, count));
    let rest = open.last().expect("the rest");
    // The rarest causes are the oldest here: they must not be overlooked.
    assert_eq!((rest.open, rest.oldest), (7, Some(at(600 - causes + 1))));
}

async fn a_failure_group_is_new_once_and_returns_when_it_was_resolved(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let mut backlog = failed(0, 0, 7, "billing");
    backlog.backlog = true;
    index(store, partition, vec![backlog, failed(1, 1, 1, "billing"), failed(2, 2, 2, "billing")], at(30)).await;
    index(store, partition, vec![failed(3, 61, 1, "billing"), failed(4, 62, 7, "billing")], at(90)).await;
    assert_eq!(events(store, FailureGroupEvent::New).await, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0], "what backlog had shown is not new");
    assert_eq!(events(store, FailureGroupEvent::Returned).await, [0_u64; 0], "nothing was resolved");
    let ids: Vec<DeadLetterId> = (1..=5).map(DeadLetterId).collect();
    for (from, to) in [(Status::Open, Status::Replaying), (Status::Replaying, Status::Replayed)] {
        store.change_status(&ids, from, to, at(100)).await.expect("moved");
    }
    index(store, partition, vec![failed(5, 121, 1, "billing")], at(130)).await;
    assert_eq!(events(store, FailureGroupEvent::Returned).await, [0_u64; 0], "what is replayed is not resolved yet");
    store.change_status(&ids, Status::Replayed, Status::Resolved, at(150)).await.expect("moved");
    store.change_status(&[DeadLetterId(6)], Status::Open, Status::Discarded, at(150)).await.expect("moved");
    index(store, partition, vec![failed(6, 181, 1, "billing"), failed(7, 182, 1, "mail"), failed(8, 183, 3, "billing")], at(190)).await;
    index(store, partition, vec![failed(9, 241, 1, "billing")], at(250)).await;
    assert_eq!(events(store, FailureGroupEvent::Returned).await, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0], "once");
    assert_eq!(events(store, FailureGroupEvent::New).await, [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let elsewhere = store.failure_group_series(FailureGroupEvent::New, None, Some(&"x.DLT".into()), minutes(10)).await.expect("series");
    assert_eq!(elsewhere, []);
    assert_eq!(store.prune_failure_group_events(at(60), 1).await.expect("pruned"), 1, "in steps");
    assert_eq!(store.prune_failure_group_events(at(60), 5).await.expect("pruned"), 1);
    assert_eq!(events(store, FailureGroupEvent::New).await, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

async fn the_oldest_open_one_is_found_behind_those_that_are_resolved(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let letters = (0..4).map(|offset| failed(offset, 10 * (offset.unsigned_abs() + 1), 1, "billing")).collect();
    index(store, partition, letters, at(100)).await;
    let oldest =
        async || store.list_open(&"prod".into()).await.expect("open").into_iter().map(|of| (of.open, of.oldest)).collect::<Vec<_>>();
    assert_eq!(oldest().await, [(4, Some(at(10)))]);
    store.change_status(&[DeadLetterId(1), DeadLetterId(2)], Status::Open, Status::Discarded, at(110)).await.expect("moved");
    assert_eq!(oldest().await, [(2, Some(at(30)))]);
    store.change_status(&[DeadLetterId(3), DeadLetterId(4)], Status::Open, Status::Discarded, at(120)).await.expect("moved");
    assert_eq!(oldest().await, []);
}

async fn outcomes_are_listed_in_their_order_and_by_their_time(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..4).map(|offset| failed(offset, 1, 1, "billing")).collect(), at(5)).await;
    let ids: Vec<DeadLetterId> = (1..=4).map(DeadLetterId).collect();
    for (from, to) in [(Status::Open, Status::Replaying), (Status::Replaying, Status::Replayed)] {
        store.change_status(&ids, from, to, at(10)).await.expect("moved");
    }
    store.change_status(&ids[..1], Status::Replayed, Status::FailedAgain, at(30)).await.expect("moved");
    store.change_status(&ids[1..3], Status::Replayed, Status::Resolved, at(20)).await.expect("moved");
    let listed = async |after, until, limit| {
        let found = store.list_outcomes(at(after), at(until), limit).await.expect("outcomes");
        found.into_iter().map(|outcome| (outcome.at, outcome.failed_again)).collect::<Vec<_>>()
    };
    assert_eq!(listed(0, 60, 10).await, [(at(20), false), (at(20), false), (at(30), true)]);
    assert_eq!(listed(0, 60, 1).await, [(at(20), false)]);
    assert_eq!(listed(20, 30, 10).await, [(at(30), true)], "after, and up to");
    assert_eq!(listed(30, 60, 10).await, []);
    let first = store.list_outcomes(at(0), at(60), 1).await.expect("outcomes").remove(0);
    assert_eq!((first.failed_at, first.consumer_group, first.fingerprint.hash), (at(1), Some("billing".into()), 1));
}

on_both_engines! {
    arrivals_by_cause_are_exact_and_backlog_is_none
    what_is_beyond_the_busiest_is_added_up_per_topic
    a_failure_group_is_new_once_and_returns_when_it_was_resolved
    the_oldest_open_one_is_found_behind_those_that_are_resolved
    outcomes_are_listed_in_their_order_and_by_their_time
}
