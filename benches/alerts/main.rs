//! What it costs to look at many rules: a thousand of them over ten thousand series, from the newest samples to what is written. And how
//! soon a dead letter is told: from the record on a real Kafka to the webhook. What comes of every look is known before, and checked.
//!
//! `cargo bench --bench alerts`; `REDRIVE_BENCH_RULES` (1,000) and `REDRIVE_BENCH_SERIES` (10,000) set the numbers. The processor time
//! of the whole process is measured, so that more cores make nothing look better.

#![expect(clippy::cast_precision_loss, reason = "a benchmark generates and prints")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redrive::alerts::defaults::usual;
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{Comparison, Filter, Label, NoData, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::{Actor, AuditEntry, BusKind, Timestamp};
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;
use redrive::store::{Store, StoreSettings};

#[path = "../report.rs"]
#[expect(dead_code, reason = "not every benchmark prints every kind of line")]
mod report;

#[path = "../../tests/it/harness/kafka.rs"]
#[expect(dead_code, unused_imports, reason = "a benchmark needs a part of what tests need")]
mod kafka;
#[path = "../../tests/it/harness/redrive.rs"]
#[expect(dead_code, reason = "a benchmark needs a part of what tests need")]
mod redrive_process;

mod arrival;
mod windows;

/// Rules may take so much of a core.
const AIM: Duration = Duration::from_secs(1);
/// Looks of an hour.
const HOUR: usize = 240;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let number = |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        measure(number("REDRIVE_BENCH_RULES", 1_000), number("REDRIVE_BENCH_SERIES", 10_000)).await;
        windows::measure().await;
        arrival::measure().await;
        report::end();
    });
}

async fn measure(rules: usize, series: usize) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) };
    let store = Store::open(&settings).await.expect("it opens");
    store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let mut now = Timestamp::from_millis(1_767_225_600_000);
    add_rules(&store, rules, now).await;
    let mut evaluator = Evaluator::new("");
    let mut after = None;
    let mut looks = Vec::new();
    for round in 0..6 {
        now = now.plus(Duration::from_secs(15));
        after = Some(sample(&store, series, round, after, now).await);
        looks.push(timed_look(&mut evaluator, &store, now).await);
    }
    for round in 6..HOUR {
        now = now.plus(Duration::from_secs(15));
        after = Some(sample(&store, series, round, after, now).await);
    }
    // Nothing is in memory then: neither rules nor what came lately.
    let restarted = timed_look(&mut Evaluator::new(""), &Store::open_beside(&settings).await.expect("it opens"), now).await;
    assert!(store.list_living_alerts().await.expect("alerts are read").is_empty(), "nothing is beyond any threshold");
    let told = timed_alert(&mut evaluator, &store, (rules, series), after, now).await;
    report::head(&format!("{rules} rules over {series} series of lag"));
    let judge = |name: &str, (took, cpu): (Duration, Duration)| {
        let measured = format!("{} ms, {} ms of a core", took.as_millis(), cpu.as_millis());
        report::judged(name, &measured, "-", "1 s of a core", cpu <= AIM);
    };
    judge("the first look, with all rules and series new", looks[0]);
    let worst = looks[1..].iter().max_by_key(|(_, cpu)| *cpu).expect("there are some");
    judge("a look with new samples of every series, worst of 5", *worst);
    judge("the first look after a restart, with an hour of samples", restarted);
    judge("a look in which one group is beyond every threshold", told);
}

/// One series goes beyond all thresholds: every rule that is about its group has exactly one alert, and no other rule has.
async fn timed_alert(
    evaluator: &mut Evaluator,
    store: &Store,
    (rules, series): (usize, usize),
    after: Option<Timestamp>,
    now: Timestamp,
) -> (Duration, Duration) {
    let now = now.plus(Duration::from_secs(15));
    let value = |number: usize| Point::Level(if number == 7 { 1e13 } else { 1.0 });
    let points = (0..series).map(|number| (lag(number, series), value(number))).collect();
    let frame = NewFrame { source: "bus:prod", after, taken_at: now, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    let took = timed_look(evaluator, store, now).await;
    let found: BTreeSet<String> = store.list_living_alerts().await.expect("alerts").into_iter().map(|alert| alert.details.rule).collect();
    // The group's own name begins other names, where there are a thousand groups and more.
    let about = |number: &usize| number.is_multiple_of(10) || "group-007".starts_with(&format!("group-{number:03}"));
    let meant: BTreeSet<String> = (0..rules).filter(about).map(|number| format!("Rule {number}")).collect();
    assert_eq!(found, meant, "what fires is what is meant to");
    took
}

/// A sample of every series.
async fn sample(store: &Store, series: usize, round: usize, after: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let points = (0..series).map(|number| (lag(number, series), Point::Level((number * 7 + round) as f64))).collect();
    let frame = NewFrame { source: "bus:prod", after, taken_at: now, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    now
}

/// What a look takes: time, and time of a processor.
async fn timed_look(evaluator: &mut Evaluator, store: &Store, now: Timestamp) -> (Duration, Duration) {
    let (begun, cpu) = (Instant::now(), processor_time());
    evaluator.look(store, None, true, now).await.expect("a look");
    (begun.elapsed(), processor_time().saturating_sub(cpu))
}

/// Every rule in ten is about all groups, the others about some of them; nothing fires.
async fn add_rules(store: &Store, rules: usize, now: Timestamp) {
    let rules: Vec<NewRule> = (0..rules)
        .map(|number| {
            let filter = if number % 10 == 0 { "*".to_owned() } else { format!("group-{number:03}*") };
            let terms = Terms {
                filter: Filter::from([(Label::ConsumerGroup, filter)]),
                by: vec![Label::Bus, Label::Topic, Label::ConsumerGroup],
                // They must know what was there before.
                no_data: if number % 20 == 0 { NoData::Alert } else { NoData::Keep },
                ..usual(Figure::ConsumerGroupLagMessages, Comparison::Above, 1e12 + number as f64)
            };
            NewRule { name: format!("Rule {number}"), enabled: true, terms }
        })
        .collect();
    store.add_first_alert_rules(&rules, &entry(now)).await.expect("kept");
}

/// What the audit says of the benchmark.
fn entry(at: Timestamp) -> AuditEntry {
    let actor = Actor { name: "bench".to_owned(), address: None };
    AuditEntry { id: 0, at, actor, action: "add".to_owned(), target: String::new(), count: None, result: String::new() }
}

fn lag(number: usize, series: usize) -> SeriesKey {
    let (group, topic) = (number % (series / 10).max(1), number / (series / 10).max(1));
    let labels = Labels::bus(&"prod".into()).topic(&format!("topic-{topic}").into()).consumer_group(&format!("group-{group:03}").into());
    SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }
}

/// What this process has used of its processors so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let fields = stat.rsplit(") ").next().expect("fields");
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
