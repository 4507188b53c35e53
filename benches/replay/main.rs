//! How fast dead letters are replayed through the real binary and a real Kafka, beside a loop by hand that keeps nothing; then a job of
//! a million: planned while other dead letters are being indexed, and sent.
//!
//! `cargo bench --bench replay`; `REDRIVE_BENCH_RECORDS` (default 100,000), `REDRIVE_BENCH_POSTGRES_LETTERS` (30,000) and
//! `REDRIVE_BENCH_LETTERS` (1,000,000) set the numbers, 0 leaves a part out. Absolute figures belong to the machine; the ratios are
//! what to compare.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[path = "../../tests/it/harness/kafka.rs"]
#[expect(dead_code, unused_imports, reason = "a benchmark needs a part of what tests need")]
mod kafka;
#[path = "../../tests/it/harness/postgres.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod postgres;
#[path = "../../tests/it/harness/redrive.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod redrive_process;
#[path = "../report.rs"]
mod report;

mod by_hand;
#[path = "../indexing/letters.rs"]
mod letters;
mod process;

use kafka::{Kafka, Options};
use letters::Size;
use process::Process;
use report::{judged, line, per_second};

const PARTITIONS: i32 = 4;
/// Where they all come from, and go back to.
const ORIGIN: &str = "orders";
const USUAL: &str = "orders-dlt";
const MANY: &str = "many-dlt";
const BESIDE: &str = "beside-dlt";
/// Of the million: the plan does not look into them.
const SMALL: Size = Size { value: 200, stack_trace: 400 };
/// Dead letters that arrive each second while a million is planned.
const ARRIVING: usize = 5_000;

/// Redrive replays at least this share of what the loop by hand does.
const SHARE: f64 = 0.5;
/// Planning a million.
const PLANNED: Duration = Duration::from_mins(1);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let number = |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("a broker");
    for topic in [ORIGIN, USUAL, MANY, BESIDE, "by-hand"] {
        kafka.create_topic(topic, PARTITIONS, &[]).await;
    }
    let (records, on_postgres) = (number("REDRIVE_BENCH_RECORDS", 100_000), number("REDRIVE_BENCH_POSTGRES_LETTERS", 30_000));
    if records > 0 {
        sent(&kafka, records, on_postgres.min(records)).await;
    }
    let many = number("REDRIVE_BENCH_LETTERS", 1_000_000);
    if many > 0 {
        a_million(&kafka, many).await;
    }
    report::end();
}

/// Messages per second, items written, on both engines.
async fn sent(kafka: &Kafka, records: usize, on_postgres: usize) {
    report::head(&format!("Replaying {records} dead letters of 4.6 KB"));
    let brokers = kafka.bootstrap();
    blocking(move || letters::produce(&brokers, USUAL, PARTITIONS, 0..records, letters::USUAL)).await;
    let brokers = kafka.bootstrap();
    let hand = per_second(records, blocking(move || by_hand::replay(&brokers, USUAL, "by-hand", PARTITIONS, records)).await);
    let (replayed, peak) = replay(kafka, records, None).await;
    let ratio = replayed / hand;
    let (measured, baseline) = (format!("{replayed:.0}/s"), format!("{hand:.0}/s by hand, nothing kept"));
    judged(&format!("replayed, SQLite, ratio {ratio:.2}"), &measured, &baseline, &format!("{SHARE} of by hand"), ratio >= SHARE);
    line("memory while replaying", &format!("{peak} MiB"), "");
    if on_postgres > 0 {
        let database = postgres::database().await;
        let (replayed, _) = replay(kafka, records, Some(database.url())).await;
        line(&format!("replayed, PostgreSQL, ratio {:.2}", replayed / hand), &format!("{replayed:.0}/s"), &baseline);
    }
}

async fn replay(kafka: &Kafka, records: usize, store: Option<&str>) -> (f64, u64) {
    let process = Process::start(kafka, &[USUAL], store).await;
    process.until_indexed(records as u64).await;
    let mut peak = 0;
    let job = process.plan(USUAL).await;
    let plan = job.until_planned(&mut peak).await;
    let replayed = job.run(&plan, &mut peak).await;
    process.stop().await;
    (replayed, peak)
}

/// A job of a million.
async fn a_million(kafka: &Kafka, many: usize) {
    report::head(&format!("A job of {many}, {ARRIVING} dead letters arriving each second while it is planned"));
    let brokers = kafka.bootstrap();
    blocking(move || letters::produce(&brokers, MANY, PARTITIONS, 0..many, SMALL)).await;
    let process = Process::start(kafka, &[MANY, BESIDE], None).await;
    process.until_indexed(many as u64).await;
    let (arriving, ended) = arrive(kafka, many);
    process.until_indexed(many as u64 + 1).await;
    let before = (process.indexed().await, waited_longer(&process).await);
    let (mut peak, begun) = (0, Instant::now());
    let job = process.plan(MANY).await;
    let plan = job.until_planned(&mut peak).await;
    let took = begun.elapsed();
    ended.store(true, Ordering::Relaxed);
    arriving.await.expect("no panic");
    let (stalled, beside) = (waited_longer(&process).await - before.1, process.indexed().await - before.0);
    judged("planned", &format!("{took:.1?}"), &format!("{beside} indexed beside it"), "60 s", took <= PLANNED);
    judged("waits of indexing for the writer above 200 ms", &stalled.to_string(), "", "0", stalled == 0);
    judged("memory while planning", &format!("{peak} MiB"), "", "200 MiB", peak < 200);
    let mut peak = 0;
    let replayed = job.run(&plan, &mut peak).await;
    line("sent", &format!("{replayed:.0}/s"), "");
    judged("memory while sending", &format!("{peak} MiB"), "", "200 MiB", peak < 200);
    process.stop().await;
}

/// Dead letters go on arriving on another topic until the flag is set.
fn arrive(kafka: &Kafka, from: usize) -> (tokio::task::JoinHandle<()>, Arc<AtomicBool>) {
    let (brokers, ended) = (kafka.bootstrap(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&ended);
    let arriving = tokio::task::spawn_blocking(move || {
        let mut number = from;
        while !until.load(Ordering::Relaxed) {
            let begun = Instant::now();
            letters::produce(&brokers, BESIDE, PARTITIONS, number..number + ARRIVING / 2, SMALL);
            number += ARRIVING / 2;
            std::thread::sleep(Duration::from_millis(500).saturating_sub(begun.elapsed()));
        }
    });
    (arriving, ended)
}

/// Batches of the indexer that have waited more than 200 ms for the store's writer.
async fn waited_longer(process: &Process) -> u64 {
    let all = process.metric("redrive_store_writer_wait_seconds_count{by=\"indexing\"}").await;
    all - process.metric("redrive_store_writer_wait_seconds_bucket{by=\"indexing\",le=\"0.2\"}").await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
