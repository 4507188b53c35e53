//! What it costs to look at a large bus, and how fast pages of figures answer: a sweep over many partitions and consumer groups of a
//! real Kafka, and pages over a month of history.
//!
//! `cargo bench --bench figures`; `REDRIVE_BENCH_PARTITIONS` (10,000), `REDRIVE_BENCH_GROUPS` (1,000) and `REDRIVE_BENCH_DAYS` (30) set
//! the numbers, 0 leaves a part out. Absolute figures belong to the machine; the ratios are what to compare.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark generates and prints"
)]

#[path = "../../tests/it/harness/kafka.rs"]
#[expect(dead_code, unused_imports, reason = "a benchmark needs a part of what tests need")]
mod kafka;
#[path = "../../tests/it/harness/redrive.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod redrive_process;
#[path = "../report.rs"]
#[expect(dead_code, reason = "not every benchmark prints every kind of line")]
mod report;

#[path = "../store/letters.rs"]
mod letters;

mod history;
mod members;
mod pages;
mod proxy;
mod sweep;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let number = |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let (partitions, groups) = (number("REDRIVE_BENCH_PARTITIONS", 10_000), number("REDRIVE_BENCH_GROUPS", 1_000));
        let days = number("REDRIVE_BENCH_DAYS", 30);
        if partitions > 0 {
            sweep::measure(partitions, groups).await;
        }
        if days > 0 {
            pages::measure(days, groups).await;
        }
        report::end();
    });
}

/// Memory of a process, and the processor time it has used.
#[derive(Debug, Clone, Copy)]
struct Cost {
    mib: u64,
    cpu: std::time::Duration,
}

impl Cost {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("Linux tells it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let after_name = stat.rsplit(") ").next().expect("fields");
        let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        // A hundred ticks a second, on every Linux that there is.
        Self { mib: kib / 1024, cpu: std::time::Duration::from_millis(ticks * 10) }
    }
}
