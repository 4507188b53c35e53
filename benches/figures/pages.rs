//! How fast pages of figures answer over a month of history, from the first byte asked to the last received.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Cost;
use crate::history::{self, BUS, TOPICS, group_name};
use crate::redrive_process::{Redrive, Setup};
use crate::report::{self, judged, line};

/// Ninety-nine times of a hundred.
const AIM: Duration = Duration::from_millis(20);
const ASKED: usize = 100;

/// "A few GB" for a month.
const MONTH_BYTES: u64 = 3_000_000_000;
/// Consumer groups of that month.
const MONTH_GROUPS: usize = 200;

pub(crate) async fn measure(days: usize, groups: usize) {
    report::head(&format!("{days} days of history of {TOPICS} topics; pages' median / 99th percentile"));
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (bytes, what) = fill(&folder.path().join("month.db"), days, MONTH_GROUPS).await;
    judged(&format!("on the disk, {MONTH_GROUPS} groups"), &format!("{} MB", bytes / 1_000_000), &what, "3 GB", bytes <= MONTH_BYTES);
    drop(folder);
    // Nobody listens there, and the store is told that somebody answers: what is measured is what pages read.
    let mut redrive = Setup::new().without_login().bus(BUS, "127.0.0.1:9").prepare();
    let (bytes, what) = fill(&redrive.folder().join("redrive.db"), days, groups).await;
    line(&format!("on the disk, {groups} groups"), &format!("{} MB", bytes / 1_000_000), &what);
    redrive.start().await;
    let answering = history::bulk::Answering::of(&redrive.folder().join("redrive.db")).await;
    let client = reqwest::Client::new();
    let live = ask(&client, &redrive, "/health/live").await;
    let baseline = format!("{} of an empty answer", short(&live));
    let group = group_name(10);
    let groups_page = format!("/buses/{BUS}/consumer-groups");
    let series = format!("/api/v1/series?bus={BUS}&figure=");
    let month = Duration::from_hours(24 * days as u64 - 1);
    let from = redrive::model::Timestamp::now().minus(month);
    for (name, path) in [
        ("overview, an hour", "/".to_owned()),
        ("overview, a day", "/?range=24h".to_owned()),
        ("overview, a week", "/?range=7d".to_owned()),
        ("overview, a month", "/?range=30d".to_owned()),
        ("consumer groups, an hour", groups_page.clone()),
        ("one consumer group, an hour", format!("{groups_page}/{group}")),
        ("one consumer group, a month", format!("{groups_page}/{group}?range=30d")),
        ("topics, an hour", format!("/buses/{BUS}/topics")),
        ("alerts", "/alerts".to_owned()),
        ("series of one group, an hour", format!("{series}consumer_group_lag_messages&consumer_group={group}")),
        ("series of one group, a month", format!("{series}consumer_group_lag_messages&consumer_group={group}&from={from}")),
        ("series of the bus, a month", format!("{series}bus_messages_per_second&from={from}")),
    ] {
        let spent = ask(&client, &redrive, &path).await;
        judged(name, &short(&spent), &baseline, "20 ms p99", percentile(&spent, 99) <= AIM);
    }
    drop(answering);
    line("memory afterwards", &format!("{} MiB", Cost::of(redrive.pid()).mib), "");
    redrive.stop().await;
}

/// Fills a store; its bytes on the disk, and those of its rows in words.
async fn fill(file: &Path, days: usize, groups: usize) -> (u64, String) {
    let begun = Instant::now();
    history::fill(file, days, groups).await;
    let took = begun.elapsed();
    let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
    let rows = history::bulk::bytes_of(file).await;
    println!("{groups} groups written in {took:.0?}");
    (bytes, format!("{rows} MB"))
}

async fn ask(client: &reqwest::Client, redrive: &Redrive, path: &str) -> Vec<Duration> {
    let mut spent = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let begun = Instant::now();
        let answer = client.get(redrive.url(path)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.expect("a body");
        spent.push(begun.elapsed());
    }
    spent.sort_unstable();
    spent
}

fn percentile(sorted: &[Duration], share: usize) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) * share / 100).copied().unwrap_or_default()
}

fn short(sorted: &[Duration]) -> String {
    let millis = |share| percentile(sorted, share).as_secs_f64() * 1e3;
    format!("{:.1} / {:.1} ms", millis(50), millis(99))
}
