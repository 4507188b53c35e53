//! The store at a million dead letters, beside a hand-made table in the same run; then PostgreSQL, then a store in which somebody has
//! written a hundred thousand names of his own.
//!
//! `cargo bench --bench store`; `REDRIVE_BENCH_LETTERS`, `REDRIVE_BENCH_POSTGRES_LETTERS` and `REDRIVE_BENCH_NAMES` set the numbers (0
//! leaves a part out), `REDRIVE_BENCH_FOLDER` where the files lie.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a benchmark generates and prints"
)]

use std::time::{Duration, Instant};

use redrive::model::bus::TopicRole;
use redrive::model::{BusId, BusKind, Timestamp};
use redrive::store::indexing::PartitionPosition;
use redrive::store::topics::{SeenOffsets, SeenTopic};
use redrive::store::{Store, StoreSettings};

#[path = "../../tests/it/harness/kafka.rs"]
#[expect(dead_code, unused_imports, reason = "a benchmark needs a part of what tests need")]
mod kafka;
#[path = "../../tests/it/harness/postgres.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod postgres;
#[path = "../report.rs"]
mod report;

mod by_hand;
mod letters;
mod measure;
mod names;
mod reads;
mod retention;

use by_hand::ByHand;
use letters::{Feed, START};
use report::{judged, line, per_second};

/// Dead letters of one transaction.
const BATCH: usize = 2_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Outcome<()> {
    let folder =
        tempfile::tempdir_in(std::env::var("REDRIVE_BENCH_FOLDER").unwrap_or_else(|_| std::env::temp_dir().display().to_string()))?;
    let hand = by_hand::measure(&folder.path().join("by-hand.db")).await?;
    let number = |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (letters, on_postgres) = (number("REDRIVE_BENCH_LETTERS", 1_000_000), number("REDRIVE_BENCH_POSTGRES_LETTERS", 200_000));
    if letters > 0 {
        report::head(&format!("SQLite, {letters} dead letters; reads: median / 99th percentile"));
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        whole(&url, letters, &hand).await?;
    }
    if on_postgres > 0 {
        report::head(&format!("PostgreSQL, {on_postgres} dead letters (64 MB of shared buffers, no fsync)"));
        let database = postgres::database().await;
        whole(database.url(), on_postgres, &hand).await?;
    }
    names::measure(folder.path(), number("REDRIVE_BENCH_NAMES", 100_000), &hand).await?;
    report::end();
    Ok(())
}

fn settings(url: &str) -> StoreSettings {
    StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) }
}

/// Everything on one engine.
async fn whole(url: &str, letters: usize, hand: &ByHand) -> Outcome<()> {
    let store = Store::open(&settings(url)).await?;
    let mut feed = Feed::new(prepare(&store).await?);
    index(&store, &mut feed, letters, hand).await?;
    reads::measure(&store, letters, hand).await?;
    retention::measure(&store, &mut feed).await?;
    store.close().await;
    drop(store);
    let opening = Instant::now();
    let store = Store::open(&settings(url)).await?;
    let took = opening.elapsed();
    store.close().await;
    judged("open it again", &measure::millis(took), "", "200 ms", took < Duration::from_millis(200));
    Ok(())
}

/// A bus with a dead-letter topic of four partitions. Answers our ids of these.
async fn prepare(store: &Store) -> Outcome<Vec<i64>> {
    let bus = BusId::from("prod");
    store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await?;
    let topic = SeenTopic {
        topic: "orders.DLT".into(),
        topic_id: Some("id".to_owned()),
        role: TopicRole::DeadLetter,
        internal: false,
        replication_factor: 1,
        compacted: false,
        config: std::collections::BTreeMap::new(),
        partitions: (0..4).map(|number| (number, Some(1))).collect(),
    };
    let stored = store.record_topics(&bus, &[topic], Timestamp::from_millis(START)).await?;
    let ids: Vec<i64> = stored[0].partitions.iter().map(|partition| partition.id).collect();
    let starts: Vec<_> =
        ids.iter().map(|id| PartitionPosition { partition_id: *id, next: 0, backlog_below: 0, caught_up_at: None }).collect();
    store.start_positions(&starts).await?;
    let offsets: Vec<_> =
        ids.iter().map(|id| SeenOffsets { partition_id: *id, log_start: 1_000, end: 10_000_000, last_stable: None }).collect();
    store.record_offsets(&offsets, Timestamp::from_millis(START)).await?;
    Ok(ids)
}

/// Encodes and writes one after the other; generating is not counted.
async fn index(store: &Store, feed: &mut Feed, letters: usize, hand: &ByHand) -> Outcome<()> {
    let now = Timestamp::from_millis(START);
    let (mut encoding, mut writing) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    while done < letters {
        let batch = feed.batch(BATCH.min(letters - done));
        done += batch.letters.len();
        let began = Instant::now();
        let encoded = store.encode_index_batch(batch).await?;
        encoding += began.elapsed();
        let began = Instant::now();
        store.record_encoded_batch(encoded, now).await?;
        writing += began.elapsed();
    }
    let raw = format!("{:.0}/s inserted", hand.inserted);
    line("encoded (two threads)", &format!("{:.0}/s", per_second(letters, encoding)), &raw);
    line("written (one thread)", &format!("{:.0}/s", per_second(letters, writing)), &raw);
    let usage = store.usage().await?;
    let each = usage.used_bytes as f64 / letters as f64;
    line("bytes per dead letter, 4,600 on the bus", &format!("{each:.0}"), &hand.bytes_each.to_string());
    Ok(())
}
