//! One sweep over a large bus: how long, how much processor, memory and how many requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::StreamExt;

use crate::Cost;
use crate::kafka::{Kafka, Options, Outgoing};
use crate::members::Members;
use crate::proxy::{self, Counts, Proxy};
use crate::redrive_process::{Redrive, Setup};
use crate::report::{self, judged, line};

const PARTITIONS_EACH: usize = 100;
/// Of each consumer group.
const READ: usize = 10;
const RECORDS: i64 = 5;
/// Sweeps that are measured, after the first.
const SWEEPS: u64 = 4;
/// Each fifteen seconds.
const PERIOD: Duration = Duration::from_secs(15);

const LASTS: Duration = Duration::from_secs(3);
const CPU: Duration = Duration::from_secs(1);
const MEMORY: u64 = 150;

pub(crate) async fn measure(partitions: usize, groups: usize) {
    report::head(&format!(
        "A sweep over {partitions} partitions and {groups} consumer groups of {READ} partitions, three of four with a member, one broker"
    ));
    let proxy = Proxy::start();
    let options = Options {
        properties: vec![
            ("advertised.listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{}", proxy.port)),
            // Thousands of partitions in one small process.
            ("log.index.size.max.bytes".to_owned(), "4096".to_owned()),
            ("log.retention.check.interval.ms".to_owned(), "600000".to_owned()),
            ("offsets.topic.num.partitions".to_owned(), "50".to_owned()),
        ],
        ..Options::default()
    };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&options)).await.expect("a broker");
    let port = kafka.bootstrap().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    proxy.lead_to(port);
    let topics = partitions.div_ceil(PARTITIONS_EACH);
    fill(&kafka, topics, groups, port).await;

    let redrive =
        Setup::new().without_login().bus("bench", &kafka.bootstrap()).environment("REDRIVE__HTTP__METRICS_PUBLIC", "true").start().await;
    let begun = Instant::now();
    until_sweeps(&redrive, 1).await;
    line("first sweep, with everything it writes", &format!("{:.1?}", begun.elapsed()), "");
    // The second still writes what the first could not judge.
    until_sweeps(&redrive, 2).await;
    let (first, cost, counts) = (sweeps(&redrive).await, Cost::of(redrive.pid()), proxy.counts());
    let begun = Instant::now();
    let mut peak = cost.mib;
    let mut moved = 0;
    while sweeps(&redrive).await.0 < first.0 + SWEEPS {
        peak = peak.max(Cost::of(redrive.pid()).mib);
        // Something is written and read all the time.
        moved += 1;
        go_on(&kafka, topics, groups, moved).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (last, spent, asked) = (sweeps(&redrive).await, Cost::of(redrive.pid()).cpu.saturating_sub(cost.cpu), proxy.counts());
    let mean = Duration::from_secs_f64((last.1 - first.1) / (last.0 - first.0) as f64);
    let all: u64 = asked.values().sum::<u64>() - counts.values().sum::<u64>();
    let by_hand = round_trips(port, (all / SWEEPS) as usize);
    judged("a sweep lasts", &format!("{mean:.2?}"), &format!("{by_hand:.2?}, as many empty requests"), "3 s", mean <= LASTS);
    let each = spent.div_f64(begun.elapsed().as_secs_f64() / PERIOD.as_secs_f64());
    judged("processor time in 15 s, glances included", &format!("{each:.2?}"), "", "1 s", each <= CPU);
    judged("memory, highest", &format!("{peak} MiB"), "", "150 MB", peak <= MEMORY);
    line("requests per 15 s", &(all / SWEEPS).to_string(), &words(&counts, &asked));
    let mut redrive = redrive;
    redrive.stop().await;
}

/// Topics with some records, and groups of which every second one is behind. Three of four have a member.
async fn fill(kafka: &Kafka, topics: usize, groups: usize, port: u16) {
    for topic in 0..topics {
        kafka.create_topic(&name(topic), PARTITIONS_EACH as i32, &[]).await;
    }
    for topic in 0..topics {
        let records: Vec<Outgoing> = (0..PARTITIONS_EACH as i32)
            .flat_map(|partition| (0..RECORDS).map(move |_| Outgoing::to(name(topic)).partition(partition).value("x")))
            .collect();
        kafka.produce(&records).await;
    }
    futures::stream::iter(0..groups)
        .for_each_concurrent(8, async |group| {
            let at = if group.is_multiple_of(2) { RECORDS } else { RECORDS - 2 };
            commit(kafka, topics, group, at).await;
        })
        .await;
    let mut members = Members::connect(port);
    for group in (0..groups).filter(|group| has_member(*group)) {
        members.join(&group_name(group), &name(group % topics), partitions_of(group, topics));
    }
}

fn has_member(group: usize) -> bool {
    !group.is_multiple_of(4)
}

fn partitions_of(group: usize, topics: usize) -> std::ops::Range<i32> {
    let first = (group / topics * READ % PARTITIONS_EACH) as i32;
    first..first + READ as i32
}

async fn commit(kafka: &Kafka, topics: usize, group: usize, at: i64) {
    let topic = name(group % topics);
    let offsets: Vec<(&str, i32, i64)> = partitions_of(group, topics).map(|partition| (topic.as_str(), partition, at)).collect();
    kafka.commit(&group_name(group), &offsets).await;
}

/// One record on each of ten partitions, and a group without members that reads on: some hundred records and fifty commits a sweep.
async fn go_on(kafka: &Kafka, topics: usize, groups: usize, round: usize) {
    let topic = name(round % topics);
    let records: Vec<Outgoing> = (0..READ as i32).map(|partition| Outgoing::to(topic.as_str()).partition(partition).value("x")).collect();
    kafka.produce(&records).await;
    let alone: Vec<usize> = (0..groups).filter(|group| !has_member(*group)).collect();
    if let Some(group) = alone.get(round % alone.len().max(1)) {
        commit(kafka, topics, *group, RECORDS - round as i64 % 3).await;
    }
}

fn group_name(group: usize) -> String {
    format!("group-{group:04}")
}

fn name(topic: usize) -> String {
    format!("events-{topic:03}")
}

/// Sweeps that have ended, and the seconds that they took together.
async fn sweeps(redrive: &Redrive) -> (u64, f64) {
    let text = reqwest::get(redrive.url("/metrics")).await.expect("an answer").text().await.expect("a text");
    let number = |what: &str| {
        let name = format!("redrive_sampler_sweep_duration_seconds_{what}{{bus=\"bench\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    (number("count") as u64, number("sum"))
}

async fn until_sweeps(redrive: &Redrive, count: u64) {
    let begun = Instant::now();
    while sweeps(redrive).await.0 < count {
        assert!(begun.elapsed() < Duration::from_mins(3), "{}", redrive.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The baseline: so many of the smallest requests there are, one after the other on one connection.
fn round_trips(port: u16, count: usize) -> Duration {
    // ApiVersions version 0: correlation id 1, client id null.
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let mut broker = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
    broker.set_nodelay(true).expect("a socket");
    let begun = Instant::now();
    let mut answer = Vec::new();
    for _ in 0..count {
        broker.write_all(&REQUEST).expect("sent");
        let mut length = [0_u8; 4];
        broker.read_exact(&mut length).expect("answered");
        answer.resize(u32::from_be_bytes(length) as usize, 0);
        broker.read_exact(&mut answer).expect("answered");
    }
    begun.elapsed()
}

/// The most frequent kinds.
fn words(before: &Counts, after: &Counts) -> String {
    let mut kinds: Vec<(u64, i16)> =
        after.iter().map(|(key, count)| ((count - before.get(key).copied().unwrap_or(0)) / SWEEPS, *key)).collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    let words: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).take(6).map(|(count, key)| format!("{count} {}", proxy::name(*key))).collect();
    words.join(", ")
}
