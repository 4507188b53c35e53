//! Purges in the store: plans with their cuts, who may move them on, and what becomes of presence.

use redrive::model::purge::{Below, CutResult, GroupLoss, Purge, PurgeId, PurgePartition, PurgeReason, PurgeScope, PurgeState};
use redrive::model::replay::{Check, CheckLevel};
use redrive::model::{Actor, AuditEntry, DeadLetterFilter, DeadLetterId, PageRequest, Presence, Status, Timestamp};
use redrive::store::audit::AuditFilter;
use redrive::store::indexing::{Advance, IndexBatch};
use redrive::store::purges::{NewPurge, PurgeChange};

use super::letters::{index, letter};
use super::{START, World, on_both_engines};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

fn mara() -> Actor {
    Actor { name: "user:mara".to_owned(), address: Some("192.0.2.7".to_owned()) }
}

fn entry(action: &str, now: Timestamp) -> AuditEntry {
    let target = "prod/orders.DLT".to_owned();
    AuditEntry { id: 0, at: now, actor: mara(), action: action.to_owned(), target, count: Some(7), result: "done".to_owned() }
}

fn cut(partition: i32, partition_id: i64, cut: i64) -> PurgePartition {
    let losses = vec![GroupLoss { group: "archiver".into(), committed: 2, records: 5 }];
    PurgePartition {
        partition,
        partition_id,
        start: 0,
        cut,
        end: 20,
        below: Below { letters: 7, open: 6, replaying: 1, without_custody: 2 },
        losses,
        result: CutResult::Waiting,
        error: None,
    }
}

async fn plan(world: &World, partitions: &[i64], now: Timestamp) -> Purge {
    let topic = world.store.find_topic(&"prod".into(), &"orders.DLT".into()).await.expect("read").expect("known").0;
    let check = Check { code: "open".to_owned(), level: CheckLevel::Warning, count: 6, text: "6 are open".to_owned(), skip_reason: None };
    let new = NewPurge {
        id: PurgeId::new(now),
        generation_id: topic.generation.id,
        topic_id: topic.generation.topic_id,
        scope: PurgeScope::Before(at(5)),
        actor: mara(),
        checks: vec![check],
        partitions: (0..).zip(partitions).map(|(number, id)| cut(number, *id, 7)).collect(),
    };
    world.store.add_purge(&new, &entry("purges.plan", now), now).await.expect("written")
}

fn change(from: PurgeState, to: PurgeState, now: Timestamp) -> PurgeChange {
    PurgeChange { from, to, reason: None, text: None, audit: entry("purges.start", now) }
}

async fn a_plan_is_read_back_as_it_was_written(world: World) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 2).await;
    let planned = plan(&world, &partitions, at(10)).await;
    assert_eq!((planned.state, planned.scope, planned.records()), (PurgeState::Planned, PurgeScope::Before(at(5)), 14));
    assert_eq!((planned.topic_id.as_deref(), planned.planned_by.clone()), (Some("id-of-orders.DLT"), mara()));
    assert_eq!(planned.partitions, [cut(0, partitions[0], 7), cut(1, partitions[1], 7)]);
    assert_eq!(planned.warnings().collect::<Vec<_>>(), ["open"]);
    let second = plan(&world, &partitions, at(20)).await;
    let page = world.store.list_purges(Some(&"prod".into()), &PageRequest::first(1)).await.expect("listed");
    assert_eq!(page.items, [second]);
    let older = PageRequest { cursor: page.next_cursor, limit: 5 };
    let older = world.store.list_purges(None, &older).await.expect("listed");
    assert_eq!((older.items, older.next_cursor), (vec![planned], None));
    assert_eq!(world.store.list_purges(Some(&"test".into()), &PageRequest::first(5)).await.expect("listed").items, []);
}

async fn a_purge_moves_once_and_the_audit_with_it(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    let purge = plan(&world, &partitions, at(10)).await;
    let start = change(PurgeState::Planned, PurgeState::Running, at(20));
    assert!(store.move_purge(purge.number, &start).await.expect("moved"));
    assert!(!store.move_purge(purge.number, &start).await.expect("read"), "started by two people is started once");
    assert_eq!(store.list_purges_at_work().await.expect("read"), std::slice::from_ref(&purge.id));
    assert!(store.ask_cancel_of_purge(purge.number, "user:ben").await.expect("asked"));
    assert!(!store.ask_cancel_of_purge(purge.number, "user:eva").await.expect("read"));
    store.set_purge_reason(purge.number, Some(PurgeReason::BusUnreachable), Some("no answer")).await.expect("set");
    let running = store.find_purge(&purge.id).await.expect("read").expect("there");
    assert_eq!((running.started_at, running.started_by.clone(), running.ended_at), (Some(at(20)), Some(mara()), None));
    assert_eq!((running.state_reason, running.cancel_asked_by.as_deref()), (Some(PurgeReason::BusUnreachable), Some("user:ben")));
    let mut end = change(PurgeState::Running, PurgeState::Cancelled, at(30));
    (end.reason, end.text) = (Some(PurgeReason::ByPerson), Some("0 of 1".to_owned()));
    assert!(store.move_purge(purge.number, &end).await.expect("moved"));
    let ended = store.find_purge(&purge.id).await.expect("read").expect("there");
    assert_eq!((ended.state, ended.ended_at, ended.state_text.as_deref()), (PurgeState::Cancelled, Some(at(30)), Some("0 of 1")));
    assert!(!store.ask_cancel_of_purge(purge.number, "user:eva").await.expect("read"), "what has ended is not cancelled");
    let audit = store.list_audit(&AuditFilter::default(), &PageRequest::first(10)).await.expect("read").items;
    assert_eq!(audit.len(), 3, "a step that was not taken is not in the audit: {audit:?}");
    assert_eq!(store.prune_purges(at(30), 10).await.expect("pruned"), 0);
    assert_eq!(store.prune_purges(at(31), 10).await.expect("pruned"), 1);
    assert_eq!(store.find_purge(&purge.id).await.expect("read"), None);
}

async fn plans_that_nobody_starts_are_found(world: World) {
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    let (old, new) = (plan(&world, &partitions, at(10)).await, plan(&world, &partitions, at(20)).await);
    assert_eq!(world.store.list_expired_purges(at(20)).await.expect("read"), [old.id]);
    assert_eq!(world.store.list_expired_purges(at(21)).await.expect("read").len(), 2);
    let mut again = new.clone();
    again.checks.clear();
    again.partitions[0].below.open = 1;
    world.store.set_purge_checks(&again, at(30)).await.expect("set");
    let read = world.store.find_purge(&new.id).await.expect("read").expect("there");
    assert_eq!((read.checks.len(), read.below().open, read.checked_at), (0, 1, at(30)));
}

async fn what_was_cut_off_is_purged_and_not_expired(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 2).await;
    for partition in &partitions {
        index(store, *partition, (0..20).map(|offset| letter(offset, at(offset))).collect(), at(20)).await;
    }
    let purge = plan(&world, &partitions, at(30)).await;
    store.mark_cut(purge.number, &purge.partitions[0], Ok(7), at(40)).await.expect("marked");
    store.mark_cut(purge.number, &purge.partitions[0], Err("late"), at(41)).await.expect("read");
    store.mark_cut(purge.number, &purge.partitions[1], Err("not allowed: DELETE"), at(42)).await.expect("marked");
    let read = store.find_purge(&purge.id).await.expect("read").expect("there");
    let told: Vec<_> = read.partitions.iter().map(|cut| (cut.result, cut.error.as_deref())).collect();
    assert_eq!(told, [(CutResult::Done, None), (CutResult::Failed, Some("not allowed: DELETE"))], "a cut is settled once");
    assert_eq!((read.purged(), read.records()), (7, 14));
    let (_, states) = store.find_topic(&"prod".into(), &"orders.DLT".into()).await.expect("read").expect("known");
    let told: Vec<_> = states.iter().map(|state| (state.purged_below, state.log_start)).collect();
    assert_eq!(told, [(Some(7), Some(7)), (None, None)]);
    let filter = DeadLetterFilter { presence: vec![Presence::Purged], ..DeadLetterFilter::default() };
    let purged = store.list_dead_letters(&filter, &PageRequest::first(100), 1_000).await.expect("listed").items;
    assert!(purged.iter().all(|letter| letter.offset < 7) && purged.len() == 7, "{purged:?}");
    assert_eq!(
        store.count_with_status(&purged.iter().map(|letter| letter.id).collect::<Vec<_>>(), Status::Open).await.expect("counted"),
        7
    );
}

async fn what_lies_below_a_cut_is_counted(world: World) {
    let store = &world.store;
    let partitions = world.dead_letter_topic("prod", "orders.DLT", 1).await;
    let mut letters: Vec<_> = (0..10).map(|offset| letter(offset, at(offset))).collect();
    letters[3].custody_problem = Some("larger than 8 MiB".to_owned());
    letters[9].custody_problem = Some("larger than 8 MiB".to_owned());
    index(store, partitions[0], letters, at(10)).await;
    let gap = Advance { partition_id: partitions[0], expected: 10, next: 15, gap: Some((10, 15)) };
    store.record_index_batch(IndexBatch { bus: "prod".into(), advances: vec![gap], letters: Vec::new() }, at(11)).await.expect("written");
    store.change_status(&[DeadLetterId(1)], Status::Open, Status::Replaying, at(12)).await.expect("moved");
    store.change_status(&[DeadLetterId(2)], Status::Open, Status::Discarded, at(12)).await.expect("moved");
    let below = async |start, cut| store.count_below(partitions[0], start, cut).await.expect("counted");
    assert_eq!(below(0, 9).await, Below { letters: 9, open: 7, replaying: 1, without_custody: 1 });
    assert_eq!(below(2, 9).await, Below { letters: 7, open: 7, replaying: 0, without_custody: 1 });
    assert_eq!(below(0, 12).await, Below { letters: 10, open: 8, replaying: 1, without_custody: 4 }, "two of the gap are below");
    assert_eq!(below(4, 4).await, Below::default());
}

on_both_engines! {
    a_plan_is_read_back_as_it_was_written
    a_purge_moves_once_and_the_audit_with_it
    plans_that_nobody_starts_are_found
    what_was_cut_off_is_purged_and_not_expired
    what_lies_below_a_cut_is_counted
}
