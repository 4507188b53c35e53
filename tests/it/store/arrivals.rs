//! Arrivals over time: the same sums whatever the range, and what is left of them when retention has passed.

use redrive::model::{DeadLetterFilter, PageRequest, Timestamp};
use redrive::store::Store;
use redrive::store::failure_groups::{Buckets, FailureGroupSort};
use sqlx::migrate::Migrator;

use super::letters::{fingerprint, index, letter};
use super::{START, World, on_both_engines};
use crate::harness::postgres;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

fn buckets(from: i64, to: i64, count: u32) -> Buckets {
    Buckets { from: later(from), to: later(to), count }
}

/// What the definition says: every minute that begins inside counts in the bucket in which it begins.
fn naive(times: &[i64], buckets: Buckets) -> Vec<u64> {
    let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
    let width = (to - from) / i64::from(buckets.count);
    let mut counts = vec![0; buckets.count as usize];
    for minute in times.iter().map(|time| (START.as_millis() + time).div_euclid(MINUTE) * MINUTE) {
        if (from..to).contains(&minute) {
            let bucket = usize::try_from((minute - from) / width).expect("inside").min(counts.len() - 1);
            counts[bucket] += 1;
        }
    }
    counts
}

async fn sums_over_ragged_ranges_are_those_of_a_naive_count(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    // Two groups over three days, denser at the end, in batches that come back to the same hours.
    let times: Vec<i64> = (0..1_200_i64).map(|n| (n * 7_919 % 1_200).pow(2) * 180 % (72 * HOUR)).collect();
    for (some, number) in times.chunks(300).zip(0_i64..) {
        let letters = some.iter().zip(number * 300..).map(|(time, offset)| {
            let mut letter = letter(offset, later(*time));
            if offset % 3 == 0 {
                letter.fingerprint = fingerprint(2, "com.example.Other");
                letter.failure.exception_class = Some("com.example.Other".to_owned());
            }
            letter
        });
        index(store, partition, letters.collect(), START).await;
    }
    let all = DeadLetterFilter::default();
    let other = DeadLetterFilter { exception_class: vec!["com.example.Other".to_owned()], ..all.clone() };
    let others: Vec<i64> = times.iter().copied().step_by(3).collect();
    for range in [
        buckets(0, 72 * HOUR, 72),
        buckets(0, 72 * HOUR, 6),
        buckets(0, 72 * HOUR, 144),
        buckets(17 * MINUTE + 1, 71 * HOUR + 43 * MINUTE + 59_999, 48),
        buckets(HOUR - 1, 50 * HOUR + 1, 7),
        buckets(3 * HOUR, 60 * HOUR + 30 * MINUTE, 400),
        buckets(5 * HOUR + 1, 5 * HOUR + 61, 1),
        buckets(-40 * HOUR, 3 * HOUR, 43),
        buckets(24 * HOUR, 48 * HOUR, 1),
    ] {
        let answer = store.list_arrivals(&all, range).await.expect("arrivals");
        assert_eq!(answer.per_bucket, naive(&times, range), "{range:?}");
        assert_eq!(answer.total, answer.per_bucket.iter().sum::<u64>());
        let length = range.to.as_millis() - range.from.as_millis();
        let before = Buckets { from: Timestamp::from_millis(range.from.as_millis() - length), to: range.from, count: 1 };
        assert_eq!(answer.before, naive(&times, before)[0], "before {range:?}");
        let answer = store.list_arrivals(&other, range).await.expect("arrivals");
        assert_eq!(answer.per_bucket, naive(&others, range), "one class, {range:?}");
        let groups = store.list_failure_groups(&all, FailureGroupSort::Open, range, &PageRequest::first(10)).await.expect("groups").items;
        let group = groups.iter().find(|group| group.exception_class.as_deref() == Some("com.example.Other")).expect("is there");
        assert_eq!(group.per_bucket, naive(&others, range), "group, {range:?}");
    }
}

async fn minutes_end_before_hours(world: World) {
    let store = &world.store;
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let minutes = |count: i64| (0..count).map(|offset| letter(offset, later(offset * 20 * MINUTE))).collect();
    index(store, partition, minutes(12), START).await;
    let all = DeadLetterFilter::default();
    let by_minute = buckets(0, 4 * HOUR, 12);
    assert_eq!(store.list_arrivals(&all, by_minute).await.expect("arrivals").per_bucket, [1; 12]);
    assert_eq!(store.prune_arrival_minutes(later(3 * HOUR - 1), 1).await.expect("pruned"), 1, "the oldest first, in steps");
    assert_eq!(store.prune_arrival_minutes(later(3 * HOUR - 1), 5).await.expect("pruned"), 1, "an hour that has not ended stays");
    assert_eq!(store.prune_arrival_minutes(later(3 * HOUR - 1), 5).await.expect("pruned"), 0);
    let arrivals = store.list_arrivals(&all, by_minute).await.expect("arrivals");
    assert_eq!(arrivals.per_bucket, [3, 0, 0, 3, 0, 0, 1, 1, 1, 1, 1, 1], "a forgotten hour counts where it begins");
    assert_eq!(store.list_arrivals(&all, buckets(0, 4 * HOUR, 4)).await.expect("arrivals").per_bucket, [3; 4]);
    // One that arrives late is not lost, whether its hour still knows its minutes or not.
    let late = [30 * MINUTE, 3 * HOUR].iter().zip(12..).map(|(time, offset)| letter(offset, later(*time)));
    index(store, partition, late.collect(), START).await;
    assert_eq!(store.list_arrivals(&all, by_minute).await.expect("arrivals").per_bucket, [4, 0, 0, 3, 0, 0, 1, 1, 1, 2, 1, 1]);
    assert_eq!(store.prune_arrivals(later(2 * HOUR), 1).await.expect("pruned"), 1);
    assert_eq!(store.prune_arrivals(later(2 * HOUR), 5).await.expect("pruned"), 1);
    assert_eq!(store.list_arrivals(&all, buckets(0, 4 * HOUR, 4)).await.expect("arrivals").per_bucket, [0, 0, 3, 4]);
}

on_both_engines! {
    sums_over_ragged_ranges_are_those_of_a_naive_count
    minutes_end_before_hours
}

/// The migrations up to the first, in a folder of their own.
fn first_migration(engine: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let name = "0001_start.sql";
    std::fs::copy(format!("{}/migrations/{engine}/{name}", env!("CARGO_MANIFEST_DIR")), folder.path().join(name)).expect("copied");
    folder
}

const BEFORE: &str = "insert into arrivals (facet_id, minute, letters) values \
    (1, 29453760, 5), (1, 29453761, 2), (1, 29453819, 1), (1, 29453820, 7), (2, 29453761, 40)";

/// A store of the first version reads the same after the next start.
async fn arrivals_survive(store: &Store) {
    let all = DeadLetterFilter::default();
    // 29453760 is the minute of START.
    let arrivals = store.list_arrivals(&all, buckets(0, 3 * MINUTE, 3)).await.expect("arrivals");
    assert_eq!(arrivals.per_bucket, [5, 42, 0]);
    assert_eq!(store.list_arrivals(&all, buckets(0, 2 * HOUR, 2)).await.expect("arrivals").per_bucket, [48, 7]);
    assert_eq!(store.list_arrivals(&all, buckets(0, 2 * HOUR, 120)).await.expect("arrivals").per_bucket[59..61], [1, 7]);
}

#[tokio::test]
async fn an_older_sqlite_store_keeps_its_arrivals() {
    let (folder, migrations) = (tempfile::tempdir().expect("a scratch folder"), first_migration("sqlite"));
    let path = folder.path().join("redrive.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a database");
    Migrator::new(migrations.path()).await.expect("migrations").run(&pool).await.expect("the first schema");
    sqlx::query(BEFORE).execute(&pool).await.expect("inserted");
    pool.close().await;
    let settings = redrive::store::StoreSettings {
        url: format!("sqlite:{}", path.display()),
        max_bytes: None,
        read_timeout: std::time::Duration::from_mins(1),
    };
    arrivals_survive(&Store::open(&settings).await.expect("an older store opens")).await;
}

#[tokio::test]
async fn an_older_postgresql_store_keeps_its_arrivals() {
    let (database, migrations) = (postgres::database().await, first_migration("postgres"));
    let pool = sqlx::PgPool::connect(database.url()).await.expect("a database");
    Migrator::new(migrations.path()).await.expect("migrations").run(&pool).await.expect("the first schema");
    sqlx::query(BEFORE).execute(&pool).await.expect("inserted");
    pool.close().await;
    let settings =
        redrive::store::StoreSettings { url: database.url().to_owned(), max_bytes: None, read_timeout: std::time::Duration::from_mins(1) };
    arrivals_survive(&Store::open(&settings).await.expect("an older store opens")).await;
}
