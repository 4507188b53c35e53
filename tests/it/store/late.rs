//! Minutes that were over when dead letters of them were indexed.

use std::time::Duration;

use redrive::model::bus::TopicRole;
use redrive::model::{Fingerprint, Timestamp};
use redrive::store::indexing::PartitionPosition;

use super::letters::{index, letter};
use super::{World, on_both_engines, seen_topic};

/// The middle of a minute.
const NOW: Timestamp = Timestamp::from_millis(1_767_225_630_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

async fn late_minutes_are_kept_with_when_they_were_learned(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let minute = |at: Timestamp| at.as_millis() / 60_000;
    let mut backlog = letter(4, ago(600));
    backlog.backlog = true;
    // Two of one minute, one of this minute, one of long ago, and backlog.
    let letters = vec![letter(0, ago(300)), letter(1, ago(301)), letter(2, ago(5)), letter(3, ago(90_000)), backlog];
    index(store, partition, letters, NOW).await;
    let list = async |since, from| store.list_late_arrivals(since, from).await.expect("late arrivals");
    let late = list(ago(60), ago(86_400)).await;
    assert_eq!(late.iter().map(|(_, minute)| *minute).collect::<Vec<_>>(), [minute(ago(300))]);
    let labels = &late[0].0;
    assert_eq!(
        (labels.bus.as_ref().map(ToString::to_string), labels.consumer_group.as_ref().map(ToString::to_string)),
        (Some("prod".into()), Some("billing".into()))
    );
    assert_eq!(labels.fingerprint.as_deref(), Some(Fingerprint { version: 1, hash: 1 }.to_string().as_str()));
    // Nothing was learned since, and nothing of so lately.
    assert_eq!((list(NOW.plus(Duration::from_millis(1)), ago(86_400)).await.len(), list(ago(60), ago(60)).await.len()), (0, 0));
    // The same minute again, later.
    let later = NOW.plus(Duration::from_secs(120));
    index(store, partition, vec![letter(5, ago(310))], later).await;
    assert_eq!(list(later, ago(86_400)).await.len(), 1);
    assert_eq!(store.prune_late_arrivals(later, 5).await.expect("pruned"), 0, "learned anew");
    assert_eq!(store.prune_late_arrivals(later.plus(Duration::from_secs(1)), 5).await.expect("pruned"), 1);
    assert!(list(ago(60), ago(86_400)).await.is_empty());
}

async fn up_to_when_everything_was_read_only_moves_on(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 2).await;
    let known = async || {
        let positions = store.list_positions(&partitions).await.expect("positions");
        positions.into_iter().map(|position| position.caught_up_at).collect::<Vec<_>>()
    };
    assert_eq!(known().await, [None, None]);
    store.record_caught_up(&partitions[..1], ago(10)).await.expect("recorded");
    store.record_caught_up(&partitions, ago(20)).await.expect("recorded");
    assert_eq!(known().await, [Some(ago(10)), Some(ago(20))]);
    // A start says it as well, and none after it.
    let both = [seen_topic("orders.DLT", TopicRole::DeadLetter, 2), seen_topic("mail.DLT", TopicRole::DeadLetter, 1)];
    let stored = store.record_topics(&"prod".into(), &both, NOW).await.expect("topics");
    let fresh = stored.iter().find(|topic| topic.generation.topic.as_str() == "mail.DLT").expect("it lives").partitions[0].id;
    let start = PartitionPosition { partition_id: fresh, next: 3, backlog_below: 7, caught_up_at: Some(ago(30)) };
    assert_eq!(store.start_positions(&[start]).await.expect("started"), [start]);
    let again = PartitionPosition { next: 0, caught_up_at: Some(NOW), ..start };
    assert_eq!(store.start_positions(&[again]).await.expect("as it was"), [start]);
}

on_both_engines! {
    /// Rules look at those minutes once more.
    late_minutes_are_kept_with_when_they_were_learned
    /// After a restart it tells when what is read then can have arrived.
    up_to_when_everything_was_read_only_moves_on
}
