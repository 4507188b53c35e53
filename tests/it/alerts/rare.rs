//! Rules about the rarest of very many causes: what is recorded of them is bounded, what rules see is not.

use std::time::Duration;

use redrive::alerts::history::{Range, try_rule};
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::figure::Figure;
use redrive::model::{DeadLetterId, GroupName, Status, Timestamp};
use redrive::store::Store;
use redrive::store::figures::letters::MOST;

use super::super::store::letters::{fingerprint, index, letter};
use super::super::store::{World, on_both_engines};
use super::evaluation::Watch;
use super::scene::{add_rule, alerts_of, receiver, states_of, terms};

const MINUTE: Duration = Duration::from_mins(1);

fn failed(offset: i64, at: Timestamp, hash: u64, group: &str) -> NewDeadLetter {
    let mut letter = letter(offset, at);
    letter.fingerprint = fingerprint(hash, "com.example.BrokenOrder");
    letter.failure.consumer_group = Some(GroupName::from(group));
    letter
}

/// How many causes are recorded one by one.
fn most() -> i64 {
    i64::try_from(MOST).expect("some hundred")
}

/// As many causes as are recorded, twice each, and one of `rare` that failed before all others: offsets from 1 on.
async fn many_and_one(store: &Store, partition: i64, now: Timestamp) {
    let busy = (1..=2 * most()).map(|offset| failed(offset, now, offset.unsigned_abs().div_ceil(2), "busy"));
    let rare = failed(2 * most() + 1, now.minus(MINUTE), 999_999, "rare");
    index(store, partition, busy.chain([rare]).collect(), now).await;
}

async fn the_rarest_of_many_causes_fires_and_stays(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let about = |figure, threshold, label: Label, pattern: &str| Terms {
        filter: Filter::from([(label, pattern.to_owned())]),
        window_ms: 300_000,
        ..terms(figure, Comparison::Above, threshold, &[Label::ConsumerGroup], &[to])
    };
    let cause = alerts_cause();
    let rules = [
        about(Figure::DeadLettersOpen, 0.0, Label::ConsumerGroup, "rare"),
        about(Figure::DeadLettersOldestOpenSeconds, 30.0, Label::ConsumerGroup, "rare"),
        about(Figure::DeadLettersPerMinute, 0.0, Label::ConsumerGroup, "rare"),
        about(Figure::DeadLettersOpen, 0.0, Label::Fingerprint, &cause),
    ];
    let mut numbers = Vec::new();
    for (at, terms) in rules.iter().enumerate() {
        numbers.push(add_rule(&watch.store, &format!("Rare {at}"), terms.clone()).await);
    }
    // The rare one is alone first, then it is one of very many.
    let start = watch.now;
    watch.now = watch.now.plus(MINUTE * 2);
    index(&watch.store, partition, vec![failed(0, watch.now.minus(MINUTE), 999_999, "rare")], watch.now).await;
    watch.frame("bus:prod", Vec::new()).await;
    watch.look().await;
    for number in &numbers {
        assert_eq!(states_of(&watch.store, *number).await, [AlertState::Firing], "rule {number}");
    }
    many_and_one(&watch.store, partition, watch.now).await;
    for _ in 0..3 {
        watch.now = watch.now.plus(Duration::from_secs(10));
        watch.frame("bus:prod", Vec::new()).await;
        watch.look().await;
        for number in &numbers {
            assert_eq!(states_of(&watch.store, *number).await, [AlertState::Firing], "rule {number} stays");
        }
    }
    assert_eq!(alerts_of(&watch.store, numbers[0]).await[0].standing.last_value, Some(2.0), "its own, and no other's");
    let range = Range { from: start, to: start.plus(MINUTE * 4), step_ms: 60_000 };
    let tried = try_rule(&watch.store, &rules[2], range).await.expect("recorded history");
    assert_eq!(tried.episodes.len(), 1, "a trial sees it as well");
    let ids: Vec<DeadLetterId> = (1..=2 * most() + 2).map(DeadLetterId).collect();
    watch.store.change_status(&ids, Status::Open, Status::Discarded, watch.now).await.expect("moved");
    watch.now = watch.now.plus(Duration::from_secs(10));
    watch.look().await;
    assert_eq!(states_of(&watch.store, numbers[0]).await, [AlertState::Resolved], "and ends when nothing is open");
}

fn alerts_cause() -> String {
    redrive::model::figure::Labels::default()
        .fingerprint(redrive::model::Fingerprint { version: 1, hash: 999_999 })
        .fingerprint
        .expect("it has one")
}

/// Anybody can make any number of causes: one rule does not make an alert of each.
async fn a_rule_has_no_more_alerts_than_anybody_reads(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let rule = terms(Figure::DeadLettersOpen, Comparison::Above, 0.0, &[Label::Fingerprint], &[to]);
    add_rule(&watch.store, "Each cause", rule).await;
    watch.now = watch.now.plus(MINUTE);
    index(
        &watch.store,
        partition,
        (0..1_005).map(|offset| failed(offset, watch.now, offset.unsigned_abs() + 1, "busy")).collect(),
        watch.now,
    )
    .await;
    for _ in 0..2 {
        watch.look().await;
        assert_eq!(watch.store.list_living_alerts().await.expect("readable").len(), 1_000);
        watch.now = watch.now.plus(Duration::from_secs(10));
    }
    let ids: Vec<DeadLetterId> = (1..=1_000).map(DeadLetterId).collect();
    watch.store.change_status(&ids, Status::Open, Status::Discarded, watch.now).await.expect("moved");
    watch.look().await;
    watch.look().await;
    assert_eq!(watch.store.list_living_alerts().await.expect("readable").len(), 5, "the others have their turn");
}

on_both_engines! {
    the_rarest_of_many_causes_fires_and_stays
    a_rule_has_no_more_alerts_than_anybody_reads
}
