//! Roll-ups that are killed in the middle: what was written is there once, by the minute and by the hour.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers of tests")]

use std::time::Duration;

use redrive::metrics::bucket::{Bucket, Point};
use redrive::model::Timestamp;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::figures::NewFrame;
use redrive::store::figures::read::SeriesQuery;
use redrive::store::{Store, StoreSettings};

use crate::harness::postgres;
use crate::harness::redrive::{Setup, ended_by_signal};

/// Topics of the ledger; more than one transaction of the roll-up.
const TOPICS: i64 = 450;
const FRAMES: i64 = 40;
const PATIENCE: Duration = Duration::from_secs(90);

/// Writes frames of two hours that are over, from a client of the store that is not the server, and answers where they begin.
async fn write(url: &str) -> i64 {
    let store = open(url).await;
    let hour = Timestamp::now().as_millis() / 3_600_000 - 3;
    let begin = hour * 3_600_000;
    let mut after = None;
    for frame in 0..FRAMES {
        let taken_at = Timestamp::from_millis(begin + frame * 180_000);
        let point = |topic: i64| {
            let labels = Labels::bus(&"prod".into()).topic(&format!("t{topic}").into());
            (SeriesKey { figure: Figure::TopicMessagesPerSecond, labels }, Point::Count((topic + frame) as f64))
        };
        let points = (0..TOPICS).map(point).collect();
        let new = NewFrame { source: "bus:elsewhere", after, taken_at, points, state: None, snapshot: false };
        assert!(store.add_frame(new).await.expect("it is written"));
        after = Some(taken_at);
    }
    store.close().await;
    begin
}

#[tokio::test]
async fn a_roll_up_that_is_killed_in_the_middle_counts_everything_once() {
    let mut redrive = Setup::new().prepare();
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let begin = write(&url).await;
    for passes in [1, 3, 4] {
        redrive.set_environment("REDRIVE_FAILPOINT", Some(&format!("figures.rollup={passes}")));
        redrive.spawn();
        assert!(ended_by_signal(redrive.wait_for_exit(Duration::from_secs(60)).await, 9));
    }
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let client = redrive.client("viewer");
    redrive
        .wait_until("the hours are rolled up", Duration::from_secs(60), async || {
            let text = client.get(redrive.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
            text.lines().any(|line| line.contains("job=\"figures\"") && line.contains("result=\"done\"") && !line.ends_with(" 0"))
        })
        .await;
    redrive.stop().await;
    assert_adds_up(&open(&url).await, begin).await;
}

/// Minutes and hours, compared with what was written.
async fn assert_adds_up(store: &Store, begin: i64) {
    assert!(!store.roll_up_figures(Timestamp::now()).await.expect("an answer"), "nothing is left to roll up");
    for step_ms in [60_000, 3_600_000] {
        let (from, to) = (Timestamp::from_millis(begin), Timestamp::from_millis(begin + 7_200_000));
        let query = SeriesQuery { figure: Figure::TopicMessagesPerSecond, labels: Labels::default(), from, to, step_ms };
        let series = store.read_series(&query).await.expect("it is read");
        assert_eq!(series.len() as i64, TOPICS);
        for one in series {
            let topic: i64 = one.labels.topic.as_ref().expect("a topic").as_str()[1..].parse().expect("a number");
            let ledger: i64 = (0..FRAMES).map(|frame| topic + frame).sum();
            let counted = one.buckets.iter().flatten().map(|bucket| if let Bucket::Count { total, .. } = bucket { *total } else { -1.0 });
            assert_eq!(counted.sum::<f64>() as i64, ledger, "t{topic} by {step_ms} ms");
        }
    }
}

/// Whether a process was frozen by its failpoint.
fn is_frozen(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// The first instance stands in the middle of an hour when the second one is up, and never comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_up_that_one_instance_dies_in_is_finished_by_the_other_and_counts_everything_once() {
    let database = postgres::database().await;
    let begin = write(database.url()).await;
    let mut one = Setup::new().store(database.url()).environment("REDRIVE_FAILPOINT", "figures.rollup=2:stop").prepare();
    one.spawn();
    let pid = one.pid();
    one.wait_until("it stands in the middle of a roll-up", PATIENCE, async || is_frozen(pid)).await;
    let written = database.query("select count(*) from figure_minutes").await;
    assert_eq!(written, "400", "two steps of an hour are written, and the last is not");
    assert_eq!(database.query("select count(*) from figure_frames where rolled").await, "0");
    let mut two = Setup::new().store(database.url()).start().await;
    one.kill().await;
    two.wait_until("the other one has finished", PATIENCE, async || {
        database.query("select count(*) from figure_frames where not rolled and source like 'bus:elsewhere'").await == "0"
    })
    .await;
    two.stop().await;
    assert_adds_up(&open(database.url()).await, begin).await;
}

async fn open(url: &str) -> Store {
    let settings = StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) };
    Store::open(&settings).await.expect("the store opens")
}
