//! Replay policies: what is switched, moved and counted, and which moves come too late.

use redrive::model::policy::{Policy, Terms};
use redrive::model::replay::{Canary, OnFailed, ReplayId, ReplaySettings};
use redrive::model::{Actor, AuditEntry, DeadLetterFilter, DeadLetterId, Status, Timestamp};
use redrive::store::Store;
use redrive::store::audit::AuditFilter;
use redrive::store::policies::PolicyMove;
use redrive::store::replays::NewReplay;

use super::letters::{index, letter};
use super::{START, World, on_both_engines};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

fn terms(existing: bool) -> Terms {
    Terms {
        filter: DeadLetterFilter { bus: vec!["prod".into()], status: vec![Status::Open], ..DeadLetterFilter::default() },
        first_delay_ms: 1_000,
        factor: 2.0,
        attempt_limit: 3,
        failed_again_limit: 0.2,
        cool_down_ms: 1_000,
        give_up_after: 3,
        hours: None,
        daily_limit: 100,
        rate: None,
        canary: Canary { count: 5, settle_ms: 1_000 },
        lag_limit: None,
        on_failed: OnFailed::SkipKey,
        existing,
        accept: vec!["partition_differs".to_owned()],
    }
}

fn entry(action: &str, now: Timestamp) -> AuditEntry {
    let actor = Actor { name: "user:ann".to_owned(), address: None };
    AuditEntry { id: 0, at: now, actor, action: action.to_owned(), target: "/x".to_owned(), count: None, result: "done".to_owned() }
}

async fn add(store: &Store, enabled: bool, existing: bool) -> Policy {
    store.add_policy("Payments", enabled, &terms(existing), &entry("replay_policies.add", at(0))).await.expect("it is written")
}

async fn again(store: &Store, policy: &Policy) -> Policy {
    store.find_policy(policy.number).await.expect("it is read").expect("it is there")
}

/// Plans a run; `false` when the store refuses a second one.
async fn run(store: &Store, policy: &Policy, now: Timestamp) -> bool {
    let new = NewReplay {
        id: ReplayId::new(now),
        bus: "prod".into(),
        name: policy.name.clone(),
        actor: policy.actor(),
        policy_id: Some(policy.number),
        selection: r#"{"ids":[1]}"#.to_owned(),
        settings: ReplaySettings::default(),
        token: format!("{:032x}", now.as_millis()),
    };
    store.add_replay(&new, now).await.expect("an answer").is_some()
}

on_both_engines! {
    /// What was decided comes back as it was; a switch closes the breaker and moves the beginning.
    a_policy_is_kept_switched_and_removed
    /// Of two moves from the same place one counts, and none of a policy that is off.
    a_move_that_comes_too_late_changes_nothing
    /// A policy has one run at a time, and none when it is off.
    a_policy_has_one_run_at_a_time
    /// Only open dead letters above its beginning are its business.
    what_was_tried_is_known_by_dead_letter
}

async fn a_policy_is_kept_switched_and_removed(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    index(store, partitions[0], vec![letter(0, at(0)), letter(1, at(1))], at(2)).await;
    let policy = add(store, false, false).await;
    assert_eq!((policy.terms.clone(), policy.enabled, policy.watch_from), (terms(false), false, 2));
    assert!(store.list_policies_at_work().await.unwrap().is_empty());
    index(store, partitions[0], vec![letter(2, at(3))], at(4)).await;
    assert!(store.switch_policy(&policy, true, &entry("replay_policies.switch_on", at(5))).await.unwrap());
    assert_eq!(again(store, &policy).await.watch_from, 3, "what came while it was off is not its business");
    let to = PolicyMove { opened: 2, open_until: Some(at(60)), text: Some("9 of 9 failed".to_owned()), ..PolicyMove::of(&policy) };
    let on = again(store, &policy).await;
    assert!(store.move_policy(&on, &to, Some(&entry("replay_policies.open", at(6)))).await.unwrap());
    index(store, partitions[0], vec![letter(3, at(7))], at(8)).await;
    let opened = again(store, &policy).await;
    assert!(store.switch_policy(&opened, true, &entry("replay_policies.switch_on", at(9))).await.unwrap());
    let closed = again(store, &policy).await;
    assert_eq!((closed.opened, closed.open_until, closed.text, closed.watch_from), (0, None, None, 3), "it goes on where it was");
    let wider = terms(true);
    assert!(store.change_policy(policy.number, "Orders", &wider, &entry("replay_policies.change", at(10))).await.unwrap());
    let changed = again(store, &policy).await;
    assert_eq!((changed.name.as_str(), &changed.terms, changed.enabled), ("Orders", &wider, true));
    assert!(store.switch_policy(&changed, false, &entry("replay_policies.switch_off", at(11))).await.unwrap());
    assert!(!store.switch_policy(&changed, false, &entry("replay_policies.switch_off", at(12))).await.unwrap(), "it is off already");
    assert!(store.remove_policy(policy.number, &entry("replay_policies.delete", at(13))).await.unwrap());
    assert!(!store.remove_policy(policy.number, &entry("replay_policies.delete", at(14))).await.unwrap());
    let audit = store.list_audit(&AuditFilter::default(), &redrive::model::PageRequest::first(100)).await.unwrap();
    let words = ["add", "switch_on", "open", "switch_on", "change", "switch_off", "delete"];
    let actions: Vec<String> = audit.items.into_iter().rev().map(|entry| entry.action).collect();
    assert_eq!(actions, words.map(|word| format!("replay_policies.{word}")), "each change is in the audit once");
}

async fn a_move_that_comes_too_late_changes_nothing(world: World) {
    let store = &world.store;
    let policy = add(store, true, true).await;
    let to = |opened| PolicyMove { opened, ..PolicyMove::of(&policy) };
    assert!(store.move_policy(&policy, &to(1), None).await.unwrap());
    assert!(!store.move_policy(&policy, &to(7), Some(&entry("replay_policies.open", at(1)))).await.unwrap(), "another was first");
    let now = again(store, &policy).await;
    assert_eq!(now.opened, 1);
    assert!(store.switch_policy(&now, false, &entry("replay_policies.switch_off", at(2))).await.unwrap());
    assert!(!store.move_policy(&now, &PolicyMove { opened: 2, ..PolicyMove::of(&now) }, None).await.unwrap(), "it is off");
    assert_eq!(again(store, &policy).await.opened, 1);
}

async fn a_policy_has_one_run_at_a_time(world: World) {
    let store = &world.store;
    world.dead_letter_topic("prod", "orders.DLT", 1).await;
    let policy = add(store, false, true).await;
    assert!(!run(store, &policy, at(1)).await, "it is off");
    assert!(store.switch_policy(&policy, true, &entry("replay_policies.switch_on", at(2))).await.unwrap());
    assert!(run(store, &policy, at(3)).await);
    assert!(!run(store, &policy, at(4)).await, "one is under way");
    assert_eq!(store.count_policy_totals(policy.number).await.unwrap().runs, 1);
    assert_eq!(store.count_sent_by_policy(policy.number, at(0)).await.unwrap(), 0);
    assert_eq!(store.count_policy_results(&again(store, &policy).await).await.unwrap(), (0, 0));
}

async fn what_was_tried_is_known_by_dead_letter(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    index(store, partitions[0], vec![letter(0, at(0))], at(1)).await;
    let policy = add(store, true, false).await;
    index(store, partitions[0], vec![letter(1, at(2)), letter(2, at(3))], at(4)).await;
    store.change_status(&[DeadLetterId(3)], Status::Open, Status::Discarded, at(5)).await.unwrap();
    let tried = store.list_tried(&policy, &[1, 2, 3].map(DeadLetterId)).await.unwrap();
    let [one] = tried.as_slice() else { panic!("{tried:?}") };
    assert_eq!((one.id, one.attempts, one.is_copy, one.since), (DeadLetterId(2), 0, false, at(4)));
}
