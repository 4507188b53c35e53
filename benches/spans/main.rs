//! How many spans a second of processor time takes into figures and the store, beside the least that anybody could do with them: decode
//! and count. Afterwards figures and stored traces are compared with what was sent.
//!
//! `cargo bench --bench spans`; `REDRIVE_BENCH_SPANS` sets the number of spans of each round (default 500,000). Absolute figures belong to
//! the machine; the ratios are what to compare.

#![expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a benchmark generates and prints")]

use std::time::{Duration, Instant};

#[path = "../../tests/it/harness/redrive.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod redrive_process;
#[path = "../report.rs"]
mod report;

mod check;
mod cost;
mod send;
mod traffic;

use cost::Cost;
use redrive_process::{Redrive, Setup};
use report::{judged, line};
use traffic::Traffic;

/// Spans that a second of processor time takes.
const AIM: f64 = 100_000.0;
/// Spans that are decoded and counted for the baseline, at least.
const COUNTED: usize = 300_000;

/// How spans are sent.
struct Round {
    who: &'static str,
    spans_per_request: usize,
    senders: usize,
}

const ROUNDS: [Round; 2] =
    [Round { who: "16 SDKs", spans_per_request: 512, senders: 16 }, Round { who: "a collector", spans_per_request: 8_192, senders: 4 }];

fn main() {
    let spans = std::env::var("REDRIVE_BENCH_SPANS").ok().and_then(|text| text.parse().ok()).unwrap_or(500_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for round in ROUNDS {
            run(&round, Traffic::of_about(spans)).await;
        }
        report::end();
    });
}

async fn run(round: &Round, traffic: Traffic) {
    let (size, spans) = (round.spans_per_request, traffic.spans());
    report::head(&format!("{spans} spans by {}, {size} a request {}", round.who, load()));
    let (counted, bytes) = tokio::task::spawn_blocking(move || count_only(traffic, size)).await.expect("no panic");
    let mut redrive = Setup::new()
        .without_login()
        .bus("bench", "127.0.0.1:9")
        .environment("REDRIVE__HTTP__METRICS_PUBLIC", "true")
        .environment("REDRIVE__RETENTION__SPANS_MAX_BYTES", "16GiB")
        .start()
        .await;
    let client = reqwest::Client::new();
    // Until deriving has begun there is no frame that could cover the spans.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, begun) = (Cost::of(redrive.pid()), Instant::now());
    let again = send::all(&client, &redrive.spans_url(), traffic, size, round.senders).await;
    let sent = begun.elapsed();
    until_counted(&client, &redrive, spans).await;
    let (after, lasted) = (Cost::of(redrive.pid()), begun.elapsed());
    let rate = report::per_second(spans, after.cpu.saturating_sub(before.cpu));
    judged(
        &format!("spans per CPU second, {bytes} bytes each"),
        &format!("{rate:.0}/s"),
        &format!("{counted:.0}/s decoded and counted only"),
        "100000/s",
        rate >= AIM,
    );
    line("until answered, and until in the figures", &format!("{sent:.1?}, {lasted:.1?}"), &format!("{again} requests sent again"));
    line("memory, highest", &format!("{} MiB", after.peak_mib), &format!("{} MiB before", before.peak_mib));
    let traces = check::traces(&client, &redrive, traffic).await;
    let answered = check::answered(&client, &redrive).await;
    redrive.stop().await;
    let disk = disk_bytes(&redrive);
    line("on the disk", &format!("{} bytes a span", disk / spans as u64), &format!("{bytes} bytes a span as sent"));
    line("traces fetched, each as it was sent", &traces.to_string(), "");
    let figures = check::figures(&redrive, traffic, &answered).await;
    line("series that count what was sent", &figures.series.to_string(), "");
    line(
        "deliveries paired with their sending",
        &format!("{} of {}", figures.paired, traffic.deliveries()),
        "older than memory: 2,000/s, later",
    );
}

/// The baseline: the messages of the convention's own crate, thrown away. Also the mean size of a span.
fn count_only(traffic: Traffic, size: usize) -> (f64, usize) {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    let bodies: Vec<(bytes::Bytes, usize)> = traffic.requests(size).take(COUNTED.min(traffic.spans()).div_ceil(size)).collect();
    let begun = cost::thread();
    let mut counted = 0;
    while counted < COUNTED {
        for (body, _) in &bodies {
            let request = ExportTraceServiceRequest::decode(body.as_ref()).expect("as encoded");
            counted += request.resource_spans.iter().flat_map(|one| &one.scope_spans).map(|one| one.spans.len()).sum::<usize>();
        }
    }
    let rate = report::per_second(counted, cost::thread().saturating_sub(begun));
    let (bytes, spans) = bodies.iter().fold((0, 0), |(bytes, spans), (body, some)| (bytes + body.len(), spans + some));
    (rate, bytes / spans)
}

/// Waits until every span stands in a frame of figures.
async fn until_counted(client: &reqwest::Client, redrive: &Redrive, spans: usize) {
    let (mut last, mut moved) = (0, Instant::now());
    while last < spans {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let text = client.get(redrive.url("/metrics")).send().await.expect("metrics").text().await.expect("a text");
        let now = text.lines().find_map(|line| line.strip_prefix("redrive_traces_spans_total ")?.parse().ok()).unwrap_or(0);
        if now > last {
            (last, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < Duration::from_mins(2), "no progress at {last} spans\n{}", redrive.log());
    }
    assert_eq!(last, spans, "spans are counted once");
}

fn disk_bytes(redrive: &Redrive) -> u64 {
    let size = |name: &str| std::fs::metadata(redrive.folder().join(name)).map_or(0, |file| file.len());
    size("redrive.db") + size("redrive.db-wal")
}

/// What else this machine does.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("(load {})", text.split(' ').next().unwrap_or_default())
}
