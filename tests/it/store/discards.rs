//! Discards and restores: what is changed, what is left alone, what a crash leaves behind, and what can be taken back.

use redrive::model::discard::{Discard, DiscardId, DiscardKind, DiscardState};
use redrive::model::{Actor, DeadLetterFilter, DeadLetterId, PageRequest, Selection, Status, Timestamp};
use redrive::store::Store;
use redrive::store::audit::AuditFilter;
use redrive::store::discards::{NewDiscard, Scope, Step};
use serde_json::{Value, json};

use super::letters::{index, letter};
use super::{START, World, on_both_engines};
use crate::harness::redrive::{PATIENCE, Setup, ended_by_signal, http};

const KILL: i32 = 9;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

fn new(kind: DiscardKind, scope: Scope, now: Timestamp) -> NewDiscard {
    let actor = Actor { name: "user:mara".to_owned(), address: Some("192.0.2.7".to_owned()) };
    let reason = if kind == DiscardKind::Discard { "test data" } else { "" };
    NewDiscard { id: DiscardId::new(now), kind, actor, reason: reason.to_owned(), scope, target: "/dead-letters?bus=prod".to_owned() }
}

fn open_ones() -> Scope {
    Scope::Selection(Selection::of_filter(DeadLetterFilter { bus: vec!["prod".into()], ..DeadLetterFilter::default() }))
}

fn ids(range: std::ops::RangeInclusive<i64>) -> Scope {
    Scope::Selection(Selection::Ids(range.map(DeadLetterId).collect()))
}

/// Asks, and steps to the end.
async fn ask(store: &Store, kind: DiscardKind, scope: Scope, now: Timestamp) -> Discard {
    let act = store.add_discard(&new(kind, scope, now), now).await.expect("written").expect("there is what it is about");
    finish(store, &act.id, now).await
}

async fn finish(store: &Store, id: &DiscardId, now: Timestamp) -> Discard {
    for _ in 0..100 {
        match store.step_discard(id, now).await.expect("a step") {
            Step::More(_) => {}
            Step::Ended(act) => return act,
            Step::Empty => panic!("nothing was in its scope"),
        }
    }
    panic!("it does not end")
}

async fn seed(world: &World, count: i64) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    for first in (0..count).step_by(1_000) {
        let some = (first..(first + 1_000).min(count)).map(|offset| letter(offset, at(offset))).collect();
        index(&world.store, partitions[0], some, at(count)).await;
    }
}

async fn count(store: &Store, status: Status) -> u64 {
    let filter = DeadLetterFilter { status: vec![status], ..DeadLetterFilter::default() };
    let listed = store.list_dead_letters(&filter, &PageRequest::first(1_000), 1_000).await.expect("listed").items.len() as u64;
    let counted = store.count_dead_letters(&filter).await.expect("counted").expect("counters know it");
    assert!(listed == counted || listed == 1_000, "the counters agree with the rows: {listed} {counted}");
    counted
}

async fn audit(store: &Store) -> Vec<(String, Option<u64>, String)> {
    let page = store.list_audit(&AuditFilter::default(), &PageRequest::first(100)).await.expect("the audit is read");
    page.items.into_iter().rev().map(|entry| (entry.action, entry.count, entry.result)).collect()
}

async fn open_ones_are_discarded_and_the_others_left_alone(world: World) {
    let store = &world.store;
    seed(&world, 2_500).await;
    let resolved: Vec<DeadLetterId> = (1..=10).map(DeadLetterId).collect();
    store.change_status(&resolved, Status::Open, Status::Replaying, at(1)).await.expect("moved");
    let act = ask(store, DiscardKind::Discard, ids(1..=20), at(10)).await;
    assert_eq!((act.total, act.changed, act.skipped, act.state), (20, 10, 10, DiscardState::Completed));
    let all = ask(store, DiscardKind::Discard, open_ones(), at(20)).await;
    assert_eq!((all.total, all.changed, all.skipped), (2_480, 2_480, 0));
    assert_eq!(
        [count(store, Status::Open).await, count(store, Status::Discarded).await, count(store, Status::Replaying).await],
        [0, 2_490, 10]
    );
    let gone = ask(store, DiscardKind::Discard, ids(9_001..=9_002), at(30)).await;
    assert_eq!((gone.changed, gone.skipped), (0, 2), "ids of nobody are skipped");
    let expected = [(10, "done: 10 skipped"), (2_480, "done"), (0, "done: 2 skipped")]
        .map(|(count, result)| ("dead_letters.discard".to_owned(), Some(count), result.to_owned()));
    assert_eq!(audit(store).await, expected);
    let entry = store.list_audit(&AuditFilter::default(), &PageRequest::first(1)).await.expect("the audit is read").items.remove(0);
    assert_eq!((entry.actor.name.as_str(), entry.actor.address.as_deref()), ("user:mara", Some("192.0.2.7")));
    assert_eq!(entry.target, "/dead-letters?bus=prod");
}

async fn what_arrives_later_is_not_in_the_scope(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    index(store, partitions[0], (0..50).map(|offset| letter(offset, at(offset))).collect(), at(50)).await;
    let act = store.add_discard(&new(DiscardKind::Discard, open_ones(), at(60)), at(60)).await.expect("written").expect("new");
    index(store, partitions[0], (50..80).map(|offset| letter(offset, at(-offset))).collect(), at(70)).await;
    let act = finish(store, &act.id, at(80)).await;
    assert_eq!((act.total, act.changed), (50, 50));
    assert_eq!(count(store, Status::Open).await, 30);
}

async fn nothing_in_the_scope_leaves_no_act_behind(world: World) {
    let store = &world.store;
    seed(&world, 3).await;
    let none = Scope::Selection(Selection::of_filter(DeadLetterFilter { bus: vec!["test".into()], ..DeadLetterFilter::default() }));
    let act = store.add_discard(&new(DiscardKind::Discard, none, at(10)), at(10)).await.expect("written").expect("new");
    assert_eq!(store.step_discard(&act.id, at(11)).await.expect("a step"), Step::Empty);
    assert_eq!(store.find_discard(&act.id).await.expect("read"), None);
    assert_eq!(audit(store).await, []);
    let unknown = Scope::ChangedBy(DiscardId::new(at(1)).to_string());
    assert_eq!(store.add_discard(&new(DiscardKind::Restore, unknown, at(12)), at(12)).await.expect("read"), None);
}

async fn a_discard_is_taken_back_only_where_it_still_holds(world: World) {
    let store = &world.store;
    seed(&world, 30).await;
    let first = ask(store, DiscardKind::Discard, ids(1..=20), at(100)).await;
    // Ten are opened by hand, and five of these discarded by somebody else since.
    assert_eq!(ask(store, DiscardKind::Restore, ids(1..=10), at(200)).await.changed, 10);
    let second = ask(store, DiscardKind::Discard, ids(1..=5), at(300)).await;
    let undo = ask(store, DiscardKind::Restore, Scope::ChangedBy(first.id.to_string()), at(400)).await;
    assert_eq!((undo.changed, undo.skipped, undo.undoes.clone()), (10, 10, Some(first.id.clone())));
    assert_eq!([count(store, Status::Open).await, count(store, Status::Discarded).await], [25, 5]);
    let first = store.find_discard(&first.id).await.expect("read").expect("kept");
    assert_eq!(first.undone, Some((at(400), "user:mara".to_owned())));
    let again = ask(store, DiscardKind::Restore, Scope::ChangedBy(first.id.to_string()), at(500)).await;
    assert_eq!((again.changed, again.skipped), (0, 20), "twice is once");

    let history = store.list_discards_of_letter(DeadLetterId(3)).await.expect("read");
    let told: Vec<_> = history.iter().map(|d| (d.id.clone(), d.at, d.restored.as_ref().map(|r| r.at))).collect();
    assert_eq!(told, [(second.id, at(300), None), (first.id.clone(), at(100), Some(at(200)))]);
    assert_eq!((history[0].reason.as_str(), history[0].actor.as_str()), ("test data", "user:mara"));
    let taken_back = store.list_discards_of_letter(DeadLetterId(15)).await.expect("read");
    assert_eq!(taken_back[0].restored.as_ref().map(|r| (r.id.clone(), r.at)), Some((undo.id, at(400))));
}

async fn a_discard_that_goes_on_is_stopped_by_taking_it_back(world: World) {
    let store = &world.store;
    seed(&world, 3_000).await;
    let act = store.add_discard(&new(DiscardKind::Discard, open_ones(), at(10)), at(10)).await.expect("written").expect("new");
    let mut changed = 0;
    while changed == 0 {
        let Step::More(stands) = store.step_discard(&act.id, at(11)).await.expect("a step") else { panic!("it has not ended") };
        changed = stands.changed;
    }
    assert_eq!(changed, 1_000);
    let undo = ask(store, DiscardKind::Restore, Scope::ChangedBy(act.id.to_string()), at(20)).await;
    assert_eq!((undo.changed, undo.skipped), (1_000, 0));
    assert!(
        matches!(store.step_discard(&act.id, at(30)).await.expect("a step"), Step::Ended(act) if act.state == DiscardState::Stopped && act.skipped == 2_000)
    );
    assert_eq!(count(store, Status::Open).await, 3_000);
    let results: Vec<_> = audit(store).await.into_iter().collect();
    let expected = [("dead_letters.discard", "failed: taken back before its end; 2000 skipped"), ("dead_letters.restore", "done")];
    assert_eq!(results, expected.map(|(action, result)| (action.to_owned(), Some(1_000), result.to_owned())));
}

async fn two_who_go_on_with_one_act_do_no_step_twice(world: World) {
    let store = &world.store;
    seed(&world, 4_000).await;
    let other = world.beside().await;
    let act = store.add_discard(&new(DiscardKind::Discard, open_ones(), at(10)), at(10)).await.expect("written").expect("new");
    assert_eq!(store.list_discards_at_work(at(9)).await.expect("read"), [], "somebody is at it");
    assert_eq!(store.list_discards_at_work(at(10)).await.expect("read"), std::slice::from_ref(&act.id));
    let (one, two) = tokio::join!(finish(store, &act.id, at(11)), finish(&other, &act.id, at(12)));
    assert_eq!((one.changed, one.skipped, one.total), (4_000, 0, 4_000));
    assert_eq!((two.changed, two.total), (4_000, 4_000));
    assert_eq!(audit(store).await, [("dead_letters.discard".to_owned(), Some(4_000), "done".to_owned())]);
    assert_eq!(store.list_discards_at_work(at(99)).await.expect("read"), []);
}

async fn retention_removes_items_with_their_letters_and_old_acts(world: World) {
    let store = &world.store;
    seed(&world, 40).await;
    let act = ask(store, DiscardKind::Discard, ids(1..=30), at(100)).await;
    assert_eq!(store.prune_dead_letters(at(200), 100).await.expect("pruned"), 30);
    let undo = Scope::ChangedBy(act.id.to_string());
    let undo = store.add_discard(&new(DiscardKind::Restore, undo, at(300)), at(300)).await.expect("written").expect("new");
    assert_eq!(store.step_discard(&undo.id, at(301)).await.expect("a step"), Step::Empty, "nothing is left to restore");
    while store.prune_discards(at(400), 10).await.expect("pruned") > 0 {}
    assert_eq!(store.find_discard(&act.id).await.expect("read"), None);
}

on_both_engines! {
    open_ones_are_discarded_and_the_others_left_alone
    what_arrives_later_is_not_in_the_scope
    nothing_in_the_scope_leaves_no_act_behind
    a_discard_is_taken_back_only_where_it_still_holds
    a_discard_that_goes_on_is_stopped_by_taking_it_back
    two_who_go_on_with_one_act_do_no_step_twice
    retention_removes_items_with_their_letters_and_old_acts
}

/// 20,000 letters; killed just before and just after a commit in the middle; the next start completes it without being asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discard_of_20_000_killed_in_the_middle_completes_exactly() {
    let world = World::sqlite().await;
    seed(&world, 20_000).await;
    let World { store, settings, ground: _folder } = world;
    store.close().await;
    // With the store goes its lock.
    drop(store);
    let mut redrive = Setup::new().without_login().store(&settings.url).prepare();
    let client = http();
    redrive.set_environment("REDRIVE_FAILPOINT", Some("discard.before_commit=8"));
    redrive.start().await;
    let body = json!({ "selection": { "filter": { "bus": "prod" } }, "reason": "load test" });
    let asked = client.post(redrive.url("/api/v1/dead-letters/discard")).json(&body).send().await.expect("answered");
    assert_eq!(asked.status(), 202);
    let asked: Value = asked.json().await.expect("JSON");
    assert_eq!(asked["state"], "running");
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, KILL));
    redrive.set_environment("REDRIVE_FAILPOINT", Some("discard.after_commit=3"));
    redrive.spawn();
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, KILL), "it went on by itself, and was killed again");
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let path = format!("/api/v1/discards/{}", asked["discard_id"].as_str().expect("an id"));
    let read = async || client.get(redrive.url(&path)).send().await.expect("answered").json::<Value>().await.expect("JSON");
    redrive.wait_until("the discard has completed", PATIENCE, async || read().await["state"] == "completed").await;
    let act = read().await;
    assert_eq!((&act["total"], &act["changed"], &act["skipped"]), (&json!(20_000), &json!(20_000), &json!(0)));
    let undo = client.post(redrive.url("/api/v1/dead-letters/restore")).json(&json!({ "discard_id": asked["discard_id"] })).send().await;
    assert_eq!(undo.expect("answered").status(), 202);
    redrive.wait_until("the discard is taken back", PATIENCE, async || read().await["undone_at"].is_string()).await;
    redrive.stop().await;
    let store = Store::open(&settings).await.expect("the store opens");
    assert_eq!([count(&store, Status::Open).await, count(&store, Status::Discarded).await], [20_000, 0]);
    let expected = ["dead_letters.discard", "dead_letters.restore"].map(|action| (action.to_owned(), Some(20_000), "done".to_owned()));
    let mut acts = audit(&store).await;
    // The first start adds rules.
    acts.retain(|(action, ..)| action != "alert_rules.add");
    assert_eq!(acts, expected, "each act is in the audit once");
    store.close().await;
}
