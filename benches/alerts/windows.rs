//! Rules over long windows: three days of recorded history, rolled up as a running Redrive does it. Every rule's value is known before
//! it is looked at, and the alerts must be those that it means.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use redrive::alerts::defaults::usual;
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::{BusKind, Timestamp};
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;
use redrive::store::{Store, StoreSettings};
use sqlx::Connection as _;

use crate::{AIM, entry, report, timed_look};

const TOPICS: usize = 1_000;
/// Topics of one rule.
const OF_A_RULE: usize = 10;
/// A frame tells what was written in so many milliseconds.
const FRAME_MS: u64 = 900_000;
const HOUR_MS: u64 = 3_600_000;
const WINDOWS: [(&str, u64); 3] = [("1h", HOUR_MS), ("6h", 6 * HOUR_MS), ("3d", 72 * HOUR_MS)];

/// What a topic writes in a second, at all times.
const fn rate(topic: usize) -> usize {
    topic % 97 + 1
}

/// What the topics of a rule write in a second together.
fn truth(rule: usize) -> f64 {
    (rule * OF_A_RULE..(rule + 1) * OF_A_RULE).map(rate).sum::<usize>() as f64
}

pub(crate) async fn measure() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("redrive.db");
    let settings = StoreSettings { url: format!("sqlite:{}", file.display()), max_bytes: None, read_timeout: Duration::from_mins(1) };
    let store = Store::open(&settings).await.expect("it opens");
    store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let mut now = Timestamp::from_millis(1_767_225_600_000);
    let frames = WINDOWS[2].1 / FRAME_MS + 8;
    let mut after = None;
    for _ in 0..frames {
        now = now.plus(Duration::from_millis(FRAME_MS));
        after = Some(sample(&store, after, now).await);
    }
    while store.roll_up_figures(now).await.expect("an hour is rolled up") {}
    let rules = add_rules(&store, now).await;
    let counted = rows(&file).await;
    report::head(&format!("{} rules over {TOPICS} series and windows of an hour, six hours and three days", rules.len()));
    report::line("rows of frames, minutes and hours", &format!("{counted:?}"), "-");

    let mut evaluator = Evaluator::new("");
    let first = timed_look(&mut evaluator, &store, now).await;
    check(&store, &rules).await;
    let mut looks = Vec::new();
    for _ in 0..5 {
        // Past the time for which three days are read once.
        now = now.plus(Duration::from_mins(1));
        after = Some(sample_of(&store, after, now, 60).await);
        looks.push(timed_look(&mut evaluator, &store, now).await);
        check(&store, &rules).await;
    }
    let between = {
        now = now.plus(Duration::from_secs(1));
        timed_look(&mut evaluator, &store, now).await
    };
    let reading = Instant::now();
    let bare = bare(&file).await;
    let bare = format!("{} rows of hours read in {} ms", bare, reading.elapsed().as_millis());
    let judge = |name: &str, (took, cpu): (Duration, Duration)| {
        let measured = format!("{} ms, {} ms of a core", took.as_millis(), cpu.as_millis());
        report::judged(name, &measured, &bare, "1 s of a core", cpu <= AIM);
    };
    judge("the first look, with everything to read", first);
    judge("a look that reads every window, worst of 5", *looks.iter().max_by_key(|(_, cpu)| *cpu).expect("there are some"));
    judge("a look a second later, long windows kept", between);
}

/// A frame of all topics.
async fn sample(store: &Store, after: Option<Timestamp>, now: Timestamp) -> Timestamp {
    sample_of(store, after, now, FRAME_MS / 1_000).await
}

async fn sample_of(store: &Store, after: Option<Timestamp>, now: Timestamp, seconds: u64) -> Timestamp {
    let point = |number: usize| {
        let labels = Labels::bus(&"prod".into()).topic(&format!("topic-{number:04}").into());
        (SeriesKey { figure: Figure::TopicMessagesPerSecond, labels }, Point::Count(rate(number) as f64 * seconds as f64))
    };
    let points = (0..TOPICS).map(point).collect();
    let frame = NewFrame { source: "bus:prod", after, taken_at: now, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    now
}

/// For each window a rule for every ten topics, every other of which is to fire. Answers names, with the value where it fires.
async fn add_rules(store: &Store, now: Timestamp) -> BTreeMap<String, Option<f64>> {
    let mut expected = BTreeMap::new();
    let mut rules = Vec::new();
    for (window, window_ms) in WINDOWS {
        for number in 0..TOPICS / OF_A_RULE {
            let (name, fires) = (format!("Topics {number:03}? over {window}"), number % 2 == 0);
            let threshold = truth(number) + if fires { -0.5 } else { 0.5 };
            let terms = Terms {
                filter: Filter::from([(Label::Topic, format!("topic-{number:03}?"))]),
                by: vec![Label::Bus],
                window_ms,
                ..usual(Figure::TopicMessagesPerSecond, Comparison::Above, threshold)
            };
            expected.insert(name.clone(), fires.then(|| truth(number)));
            rules.push(NewRule { name, enabled: true, terms });
        }
    }
    assert!(store.add_first_alert_rules(&rules, &entry(now)).await.expect("kept"));
    expected
}

/// Exactly the rules fire that are meant to, each with the rate that there is.
async fn check(store: &Store, expected: &BTreeMap<String, Option<f64>>) {
    let alerts = store.list_living_alerts().await.expect("alerts are read");
    assert!(alerts.iter().all(|alert| alert.standing.state == AlertState::Firing));
    let found: BTreeMap<&str, Option<f64>> = alerts.iter().map(|alert| (alert.details.rule.as_str(), alert.standing.last_value)).collect();
    let meant = expected.iter().filter(|(_, value)| value.is_some()).count();
    assert_eq!((found.len(), alerts.len()), (meant, meant), "each fires once");
    for (rule, value) in found {
        let (value, truth) = (value.expect("a value"), expected[rule].expect("it is meant to fire"));
        assert!((value - truth).abs() < 1e-6 * truth, "{rule}: {value} and not {truth}");
    }
}

/// Rows of frames, minutes and hours.
async fn rows(file: &Path) -> (i64, i64, i64) {
    let mut store = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("connected");
    let query = "select (select count(*) from figure_frames), (select count(*) from figure_minutes), (select count(*) from figure_hours)";
    sqlx::query_as(query).fetch_one(&mut store).await.expect("counted")
}

/// The least that three days cost: their rows of hours, read and thrown away.
async fn bare(file: &Path) -> usize {
    let mut store = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("connected");
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select series_id, buckets from figure_hours").fetch_all(&mut store).await.expect("rows are read");
    rows.len()
}
