//! How fast dead letters are indexed, beside the least that anybody could do by hand, in the same run on the same broker.
//!
//! `cargo bench --bench indexing`; `REDRIVE_BENCH_RECORDS` sets the number of dead letters (default 60,000). Absolute figures
//! belong to the machine; the ratios are what to compare.

use std::time::{Duration, Instant};

#[path = "../../tests/it/harness/kafka.rs"]
#[expect(dead_code, unused_imports, reason = "a benchmark needs a part of what tests need")]
mod kafka;
#[path = "../../tests/it/harness/redrive.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod redrive_process;
#[path = "../report.rs"]
mod report;

mod by_hand;
mod letters;

use kafka::{Kafka, Options};
use redrive::bus::kafka::KafkaBus;
use redrive::bus::{BatchLimits, Bus, BusSettings};
use redrive::model::BusKind;
use redrive::model::names::TopicPartition;
use redrive_process::{Redrive, Setup};
use report::{judged, line, per_second};

const TOPIC: &str = "orders-dlt";
const PARTITIONS: i32 = 4;

/// Redrive indexes at least this share of what the loop by hand does.
const SHARE: f64 = 0.6;

fn main() {
    let records = std::env::var("REDRIVE_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000_usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(records));
}

async fn run(records: usize) {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("a broker");
    report::head(&format!("Indexing {records} dead letters from Kafka {}", load()));
    idle(&kafka).await;

    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let brokers = kafka.bootstrap();
    let bytes = blocking(move || letters::produce(&brokers, TOPIC, PARTITIONS, 0..records, letters::USUAL)).await;

    let brokers = kafka.bootstrap();
    let consumed = per_second(records, blocking(move || by_hand::consume(&brokers, TOPIC, PARTITIONS, records)).await);
    let begun = Instant::now();
    read(&kafka, records).await;
    let reader = per_second(records, begun.elapsed());
    let figure = format!("read, {} bytes each, ratio {:.2}", bytes / records, reader / consumed);
    line(&figure, &format!("{reader:.0}/s"), &format!("{consumed:.0}/s consumed"));
    let hand = per_second(records, by_hand::index(&kafka.bootstrap(), TOPIC, PARTITIONS, records).await);
    let by_hand = memory_of(std::process::id(), "VmRSS");
    let (indexed, peak) = index(&kafka, records).await;
    let ratio = indexed / hand;
    let aim = format!("{SHARE} of by hand");
    judged(&format!("indexed, ratio {ratio:.2}"), &format!("{indexed:.0}/s"), &format!("{hand:.0}/s by hand"), &aim, ratio >= SHARE);
    judged("memory while indexing", &format!("{peak} MiB"), &format!("{by_hand} MiB, the loop by hand"), "200 MiB", peak < 200);
    println!("load at the end {}", load());
    report::end();
}

/// What else this machine does.
fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .map(|text| format!("(load {})", text.split(' ').next().unwrap_or_default()))
        .unwrap_or_default()
}

/// Start and memory of a Redrive that has nothing to do; the baseline is the same binary that only says its version.
async fn idle(kafka: &Kafka) {
    let begun = Instant::now();
    let version = std::process::Command::new(env!("CARGO_BIN_EXE_redrive")).arg("--version").output();
    assert!(version.expect("the binary starts").status.success());
    let bare = begun.elapsed();
    let mut process = setup(kafka).prepare();
    let begun = Instant::now();
    process.start().await;
    let took = begun.elapsed();
    judged(
        "start to listening, asked every 50 ms",
        &format!("{took:.0?}"),
        &format!("{bare:.0?}, --version"),
        "200 ms",
        took < Duration::from_millis(200),
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = memory(&process, "VmRSS");
    judged("memory idle", &format!("{idle} MiB"), "", "60 MiB", idle < 60);
}

/// Redrive's own reader without anything behind it.
async fn read(kafka: &Kafka, records: usize) {
    let bus = KafkaBus::connect(BusSettings {
        id: "bench".into(),
        kind: BusKind::Kafka,
        bootstrap_servers: kafka.bootstrap(),
        id_prefix: "redrive-".to_owned(),
        client: std::collections::BTreeMap::new(),
        request_timeout: Duration::from_secs(30),
    })
    .expect("a bus");
    let mut reader = bus.open_reader(16 << 20).await.expect("a reader");
    let all = (0..PARTITIONS).map(|partition| (TopicPartition { topic: TOPIC.into(), partition }, 0)).collect();
    reader.assign(all).await.expect("assigned");
    let limits = BatchLimits { records: 2_000, bytes: 8 << 20, wait: Duration::from_millis(200) };
    let mut read = 0;
    while read < records {
        read += reader.next_batch(limits).await.expect("a batch").records.len();
    }
}

/// The real binary on the same topic, from the first dead letter in the store to the last.
async fn index(kafka: &Kafka, records: usize) -> (f64, u64) {
    let process = setup(kafka).start().await;
    let client = reqwest::Client::new();
    let (mut first, mut last) = (None, (Instant::now(), 0));
    let mut peak = 0;
    while last.1 < records {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = (Instant::now(), indexed(&client, &process).await);
        if now.1 > last.1 {
            last = now;
            first = first.or(Some(now));
        }
        peak = peak.max(memory(&process, "VmRSS"));
        assert!(last.0.elapsed() < Duration::from_secs(90), "no progress at {} dead letters\n{}", last.1, process.log());
    }
    let (begun, already) = first.expect("there was progress");
    (per_second(records - already, last.0 - begun), peak)
}

fn setup(kafka: &Kafka) -> Setup {
    Setup::new().without_login().bus("bench", &kafka.bootstrap()).environment("REDRIVE__HTTP__METRICS_PUBLIC", "true")
}

async fn indexed(client: &reqwest::Client, process: &Redrive) -> usize {
    let text = client.get(process.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    let line = text.lines().find(|l| l.starts_with("redrive_indexer_dead_letters_total{"));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// A figure of the process's memory in MiB.
fn memory(process: &Redrive, name: &str) -> u64 {
    memory_of(process.pid(), name)
}

fn memory_of(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|l| l.starts_with(name)).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
