//! What became of dead letters, counted as statuses change: over ragged ranges, by bus, and when retention has passed. And where
//! arrivals came from.

use redrive::model::purge::{Below, CutResult, PurgeId, PurgePartition, PurgeScope, PurgeState};
use redrive::model::{Actor, AuditEntry, DeadLetterId, Status, Timestamp};
use redrive::store::departures::Departures;
use redrive::store::failure_groups::Buckets;
use redrive::store::purges::{NewPurge, PurgeChange};
use redrive::store::{Store, StoreSettings};
use sqlx::migrate::Migrator;

use super::letters::{index, letter};
use super::{START, World, on_both_engines};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn counted(store: &Store, from: i64, to: i64) -> Departures {
    store.count_departures(&["prod".into()], at(from), at(to)).await.expect("counted")
}

/// Ids of the dead letters of a world that has indexed so many.
fn ids(range: std::ops::RangeInclusive<i64>) -> Vec<DeadLetterId> {
    range.map(DeadLetterId).collect()
}

async fn moved(store: &Store, some: std::ops::RangeInclusive<i64>, from: Status, to: Status, millis: i64) {
    let wanted = some.clone().count() as u64;
    assert_eq!(store.change_status(&ids(some), from, to, at(millis)).await.expect("moved"), wanted);
}

async fn changes_count_where_they_happened_whatever_the_range(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..40).map(|offset| letter(offset, at(offset))).collect(), START).await;
    // Ten are replayed half past one, eight of them resolved at 4:10, one fails again; five are discarded at 2:00, two taken back.
    moved(store, 1..=10, Status::Open, Status::Replaying, 90 * MINUTE).await;
    moved(store, 1..=10, Status::Replaying, Status::Replayed, 91 * MINUTE).await;
    moved(store, 1..=8, Status::Replayed, Status::Resolved, 250 * MINUTE).await;
    moved(store, 9..=9, Status::Replayed, Status::FailedAgain, 251 * MINUTE).await;
    moved(store, 11..=15, Status::Open, Status::Discarded, 2 * HOUR).await;
    moved(store, 11..=12, Status::Discarded, Status::Open, 2 * HOUR + 59_999).await;
    let all =
        Departures { since: None, replayed: 10, resolved: 8, failed_again: 1, discarded: 5, restored: 2, purged: 0, by_whole_hours: false };
    assert_eq!(counted(store, 0, 6 * HOUR).await, all);
    assert_eq!(counted(store, 90 * MINUTE, 252 * MINUTE).await, all, "hours and the minutes around them");
    assert_eq!(counted(store, 2 * HOUR, 2 * HOUR + MINUTE).await, Departures { discarded: 5, restored: 2, ..Departures::default() });
    assert_eq!(counted(store, 92 * MINUTE, 250 * MINUTE).await, Departures { discarded: 5, restored: 2, ..Departures::default() });
    assert_eq!(counted(store, 250 * MINUTE, 251 * MINUTE).await, Departures { resolved: 8, ..Departures::default() });
    assert_eq!(counted(store, 5 * HOUR, 6 * HOUR).await, Departures::default());
    let other = store.count_departures(&["test".into()], at(0), at(6 * HOUR)).await.expect("counted");
    assert_eq!(other, Departures::default(), "another bus");
    assert_eq!(store.count_departures(&[], at(0), at(6 * HOUR)).await.expect("counted"), all, "every bus");
    assert!(all.is_known_since(at(0)), "nothing had changed before it was counted");
}

async fn minutes_of_changes_end_before_hours(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..6).map(|offset| letter(offset, at(offset))).collect(), START).await;
    moved(store, 1..=2, Status::Open, Status::Discarded, 10 * MINUTE).await;
    moved(store, 3..=5, Status::Open, Status::Discarded, HOUR + 20 * MINUTE).await;
    assert_eq!(store.prune_status_minutes(at(HOUR + 30 * MINUTE), 500).await.expect("pruned"), 1, "an hour that has not ended stays");
    assert_eq!(counted(store, 0, 40 * MINUTE).await.discarded, 2, "a forgotten hour counts whole");
    for (from, to) in [(5 * MINUTE, HOUR), (20 * MINUTE, 40 * MINUTE), (50 * MINUTE, HOUR + 10 * MINUTE)] {
        let found = counted(store, from, to).await;
        assert_eq!((found.discarded, found.by_whole_hours), (2, true), "from {from} to {to}");
    }
    assert!(!counted(store, 0, HOUR).await.by_whole_hours, "a whole hour is exact");
    assert!(!counted(store, HOUR + 5 * MINUTE, HOUR + 40 * MINUTE).await.by_whole_hours, "its minutes are there");
    assert_eq!(counted(store, 0, HOUR + 20 * MINUTE).await.discarded, 2);
    assert_eq!(counted(store, 0, HOUR + 21 * MINUTE).await.discarded, 5);
    assert_eq!(store.prune_status_hours(at(HOUR), 500).await.expect("pruned"), 1);
    assert_eq!(counted(store, 0, 2 * HOUR).await.discarded, 3);
}

async fn what_a_purge_deleted_counts_when_its_cut_was_made(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    index(store, partition, (0..7).map(|offset| letter(offset, at(offset))).collect(), START).await;
    let topic = store.find_topic(&"prod".into(), &"orders.DLT".into()).await.expect("read").expect("known").0;
    let actor = Actor { name: "user:mara".to_owned(), address: None };
    let entry = |now| AuditEntry {
        id: 0,
        at: now,
        actor: actor.clone(),
        action: "purges.start".to_owned(),
        target: "prod/orders.DLT".to_owned(),
        count: None,
        result: "done".to_owned(),
    };
    let cut = PurgePartition {
        partition: 0,
        partition_id: partition,
        start: 0,
        cut: 7,
        end: 20,
        below: Below { letters: 7, open: 7, replaying: 0, without_custody: 0 },
        losses: Vec::new(),
        result: CutResult::Waiting,
        error: None,
    };
    let new = NewPurge {
        id: PurgeId::new(at(0)),
        generation_id: topic.generation.id,
        topic_id: topic.generation.topic_id,
        scope: PurgeScope::Before(at(5)),
        actor: actor.clone(),
        checks: Vec::new(),
        partitions: vec![cut.clone()],
    };
    let purge = store.add_purge(&new, &entry(at(0)), at(0)).await.expect("written");
    assert_eq!(counted(store, 0, HOUR).await.purged, 0, "a plan deletes nothing");
    let start = PurgeChange { from: PurgeState::Planned, to: PurgeState::Running, reason: None, text: None, audit: entry(at(10 * MINUTE)) };
    assert!(store.move_purge(purge.number, &start).await.expect("moved"));
    store.mark_cut(purge.number, &cut, Ok(7), at(20 * MINUTE)).await.expect("marked");
    assert_eq!(counted(store, 0, HOUR).await.purged, 7);
    assert_eq!(counted(store, 0, 20 * MINUTE).await.purged, 0);
    assert_eq!(counted(store, 0, HOUR).await.total(), 0, "statuses stay as they are");
}

async fn arrivals_are_told_by_where_they_came_from(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let letters = (0..9).map(|offset| {
        let mut letter = letter(offset, at(offset * 10 * MINUTE));
        if offset % 3 == 0 {
            letter.failure.origin.topic = None;
            letter.failure.consumer_group = None;
        }
        letter
    });
    index(store, partition, letters.collect(), START).await;
    for (from, to, wanted) in [(0, 2 * HOUR, [6, 3]), (0, 90 * MINUTE, [6, 3]), (5 * MINUTE, 35 * MINUTE, [2, 1])] {
        let buckets = Buckets { from: at(from), to: at(to), count: 3 };
        let sources = store.list_arrival_sources(&["prod".into()], buckets).await.expect("sources");
        assert_eq!(store.list_arrival_sources(&[], buckets).await.expect("sources"), sources, "every bus");
        assert_eq!(store.list_arrival_sources(&["test".into()], buckets).await.expect("sources"), [], "another bus");
        let brief: Vec<_> = sources
            .iter()
            .map(|source| (source.origin_topic.as_ref().map(ToString::to_string), source.consumer_group.is_some(), source.letters))
            .collect();
        assert_eq!(brief, [(Some("orders".to_owned()), true, wanted[0]), (None, false, wanted[1])], "{from} to {to}");
        let facets: Vec<i64> = sources.iter().map(|source| source.facet).collect();
        let over_time = store.list_arrivals_of(&facets, buckets).await.expect("arrivals");
        assert_eq!(over_time.iter().map(|(.., letters)| letters).sum::<u64>(), wanted[0] + wanted[1]);
        assert!(over_time.iter().all(|(_, bucket, _)| *bucket < 3));
    }
    assert_eq!(store.list_arrivals_of(&[], Buckets { from: at(0), to: at(HOUR), count: 1 }).await.expect("none"), []);
    let told = async || {
        let whole = Buckets { from: at(0), to: at(2 * HOUR), count: 2 };
        let sources = store.list_arrival_sources(&["prod".into()], whole).await.expect("sources");
        (sources, store.compare_causes(&[], (at(-HOUR), at(0), at(HOUR)), 6).await.expect("causes"))
    };
    let of_few = told().await;
    assert_eq!((of_few.1.len(), of_few.1[0].now, of_few.1[0].before), (1, 6, 0), "one cause, by two groups");
    // With very many causes they are added up in another way.
    let key = if world.settings.url.starts_with("sqlite:") { "cast('silent ' || n as blob)" } else { "convert_to('silent ' || n, 'UTF8')" };
    world
        .run(&format!(
            "insert into facets (key, bus_id, generation_id, topic, convention, inferred, failure_group_id, first_seen, last_seen, open, \
             replaying, replayed, resolved, failed_again, discarded) with recursive numbers (n) as (select 1 union all select n + 1 from \
             numbers where n < 2001) select {key}, f.bus_id, f.generation_id, f.topic, f.convention, f.inferred, f.failure_group_id, \
             f.first_seen, f.last_seen, 0, 0, 0, 0, 0, 0 from numbers cross join (select * from facets order by id limit 1) f"
        ))
        .await;
    assert_eq!(told().await, of_few);
}

on_both_engines! {
    changes_count_where_they_happened_whatever_the_range
    minutes_of_changes_end_before_hours
    what_a_purge_deleted_counts_when_its_cut_was_made
    arrivals_are_told_by_where_they_came_from
}

#[tokio::test]
async fn a_store_in_which_something_had_changed_says_since_when_changes_are_counted() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let migrations = tempfile::tempdir().expect("a scratch folder");
    for entry in std::fs::read_dir(format!("{}/migrations/sqlite", env!("CARGO_MANIFEST_DIR"))).expect("migrations") {
        let entry = entry.expect("a migration");
        if entry.file_name().to_string_lossy().as_ref() < "0031" {
            std::fs::copy(entry.path(), migrations.path().join(entry.file_name())).expect("copied");
        }
    }
    let path = folder.path().join("redrive.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a database");
    Migrator::new(migrations.path()).await.expect("migrations").run(&pool).await.expect("an older schema");
    let letter = "insert into dead_letters (facet_id, status, failed_at, partition_id, record_offset, indexed_at, status_at, \
        failed_at_source, backlog, key_size) values (1, 5, 0, 1, 0, 0, 0, 0, false, 0)";
    sqlx::query(letter).execute(&pool).await.expect("inserted");
    pool.close().await;
    let before = Timestamp::now();
    let url = format!("sqlite:{}", path.display());
    let settings = StoreSettings { url, max_bytes: None, read_timeout: std::time::Duration::from_mins(1) };
    let store = Store::open(&settings).await.expect("an older store opens");
    let found = store.count_departures(&[], at(0), Timestamp::now()).await.expect("counted");
    let since = found.since.expect("it says since when");
    assert!(since.as_millis() >= before.as_millis() - 1_000 && since <= Timestamp::now(), "{since}");
    assert!(!found.is_known_since(at(0)) && found.is_known_since(Timestamp::now().plus(std::time::Duration::from_secs(1))));
}
