//! Figures: frames tile time, roll-ups add up to what was written, whoever does them and how often.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, clippy::cast_lossless, reason = "small numbers of tests")]

use std::collections::BTreeMap;

use redrive::metrics::bucket::{Bucket, Point};
use redrive::metrics::histogram::Histogram;
use redrive::model::Timestamp;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::Store;
use redrive::store::figures::NewFrame;
use redrive::store::figures::read::SeriesQuery;
use redrive::store::figures::window::Past;

use super::{START, World, on_both_engines};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

fn topic(name: &str) -> Labels {
    Labels::bus(&"prod".into()).topic(&name.into())
}

fn key(figure: Figure, name: &str) -> SeriesKey {
    SeriesKey { figure, labels: topic(name) }
}

/// One look at two topics, every fifteen seconds: messages, lag and durations that a ledger can tell.
fn points(look: i64) -> Vec<(SeriesKey, Point)> {
    let mut durations = Histogram::new();
    durations.record_many(0.1, look.unsigned_abs() % 3 + 1);
    vec![
        (key(Figure::TopicMessagesPerSecond, "orders"), Point::Count((look % 7) as f64)),
        (key(Figure::TopicMessagesPerSecond, "payments"), Point::Count(10.0)),
        (key(Figure::ConsumerGroupLagMessages, "orders"), Point::Level((look % 11) as f64)),
        (key(Figure::ProcessingDurationSeconds, "orders"), Point::Durations(durations)),
    ]
}

/// Writes looks from `first` to before `end`.
async fn write(store: &Store, source: &str, first: i64, end: i64) {
    for look in first..end {
        let after = (look > 0).then(|| at((look - 1) * 15_000));
        let frame = NewFrame { source, after, taken_at: at(look * 15_000), points: points(look), state: Some(vec![7]), snapshot: false };
        assert!(store.add_frame(frame).await.expect("it is written"), "look {look}");
    }
}

async fn read(store: &Store, figure: Figure, labels: Labels, from: i64, to: i64, step_ms: i64) -> Vec<Vec<Option<Bucket>>> {
    let query = SeriesQuery { figure, labels, from: at(from), to: at(to), step_ms };
    store.read_series(&query).await.expect("it is read").into_iter().map(|series| series.buckets).collect()
}

fn total(buckets: &[Option<Bucket>]) -> f64 {
    buckets.iter().flatten().map(|bucket| if let Bucket::Count { total, .. } = bucket { *total } else { 0.0 }).sum()
}

fn counted(buckets: &[Option<Bucket>]) -> u64 {
    buckets.iter().flatten().map(|bucket| if let Bucket::Durations(durations) = bucket { durations.count() } else { 0 }).sum()
}

async fn roll_up_all(store: &Store, now: Timestamp) {
    while store.roll_up_figures(now).await.expect("it is rolled up") {}
}

on_both_engines! {
    /// Sums, peaks and counts are the same in frames, minutes and hours.
    roll_ups_add_up_to_what_was_written
    /// Twice, side by side, and with a frame that came late.
    a_roll_up_that_is_done_again_changes_nothing_and_what_comes_late_is_added
    /// Two that sample the same bus do not count twice.
    only_one_writer_moves_a_source_on
    /// Frames, minutes and hours end each in their time, and no frame before it was rolled up.
    what_is_past_its_time_goes
    /// A window is the sum of what was written, and hours that were rolled up are read once for it.
    a_window_reads_what_is_rolled_up_once
    /// What pages remember of a range is no more than what is rolled up of it.
    a_range_that_ends_later_is_read_as_if_nothing_were_remembered
    /// Whatever was asked before, and however hours were rolled up since.
    what_is_remembered_is_what_an_instance_reads_that_remembers_nothing
    /// A whole bus in one line, whatever it is read from.
    many_series_are_read_as_one
    /// A day's hours lie in one row, and none is lost there.
    two_instances_roll_up_the_hours_of_a_day_side_by_side
    /// Rows of series do not pile up.
    a_series_goes_a_day_after_its_last_hour_and_comes_back_as_a_new_one
    /// Names of any length and with NUL are kept apart and found again.
    labels_may_be_anything
}

async fn roll_ups_add_up_to_what_was_written(world: World) {
    let store = &world.store;
    // Two hours and a quarter.
    write(store, "bus:prod", 0, 540).await;
    let ledger: f64 = (0..540).map(|look| (look % 7) as f64).sum();
    let spans: u64 = (0..540_u64).map(|look| look % 3 + 1).sum();
    let check = async |when: &str| {
        for (step, from) in [(15_000, 0), (MINUTE, 0), (5 * MINUTE, 0), (HOUR, 0)] {
            let orders = read(store, Figure::TopicMessagesPerSecond, topic("orders"), from, 3 * HOUR, step).await;
            assert_eq!(orders.len(), 1);
            assert_eq!(orders[0].len() as i64, 3 * HOUR / step);
            assert!((total(&orders[0]) - ledger).abs() < 1e-6, "{when}, step {step}: {} beside {ledger}", total(&orders[0]));
            let durations = read(store, Figure::ProcessingDurationSeconds, topic("orders"), from, 3 * HOUR, step).await;
            assert_eq!(counted(&durations[0]), spans, "{when}, step {step}");
            let lag = read(store, Figure::ConsumerGroupLagMessages, topic("orders"), from, 3 * HOUR, step).await;
            let highest = lag[0].iter().flatten().filter_map(|bucket| bucket.value(0.5)).fold(0.0, f64::max);
            assert!((highest - 10.0).abs() < 1e-9, "{when}, step {step}: the peak stays");
        }
    };
    check("before").await;
    roll_up_all(store, at(2 * HOUR + 15 * MINUTE)).await;
    check("after").await;
    let both = read(store, Figure::TopicMessagesPerSecond, Labels::bus(&"prod".into()), 0, 3 * HOUR, HOUR).await;
    assert_eq!(both.len(), 2);
    let rate = both[1][1].as_ref().and_then(|bucket| bucket.value(0.5)).expect("an hour of payments");
    assert!((rate - 10.0 / 15.0).abs() < 1e-9, "{rate}");
    // A part of an hour, by the minute.
    let part = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 30 * MINUTE, 40 * MINUTE, MINUTE).await;
    assert!((total(&part[0]) - 400.0).abs() < 1e-9, "{}", total(&part[0]));
}

async fn a_roll_up_that_is_done_again_changes_nothing_and_what_comes_late_is_added(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 240).await;
    let now = at(3 * HOUR);
    let (one, other) = tokio::join!(store.roll_up_figures(now), store.roll_up_figures(now));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    roll_up_all(store, now).await;
    let hour = async || {
        let rows = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 0, HOUR, HOUR).await;
        let bus = "prod".into();
        let totals = store.read_totals(Figure::TopicMessagesPerSecond, &bus, at(0), |labels| labels.topic.clone()).await.expect("read");
        let all: Vec<Option<Bucket>> =
            totals.into_iter().filter(|(topic, _)| topic.as_str() == "payments").map(|(_, bucket)| Some(bucket)).collect();
        assert!((total(&all) - total(&rows[0])).abs() < 1e-9, "sums and steps tell the same: {} {}", total(&all), total(&rows[0]));
        total(&rows[0])
    };
    assert!((hour().await - 2_400.0).abs() < 1e-9);
    // What was read is remembered, and forgotten with the next roll-up. An instance that was frozen writes a frame of the hour that is already rolled up.
    let late = NewFrame { source: "spans:frozen", after: None, taken_at: at(30 * MINUTE), points: points(3), state: None, snapshot: false };
    assert!(store.add_frame(late).await.expect("it is written"));
    roll_up_all(store, now).await;
    assert!((hour().await - 2_410.0).abs() < 1e-9, "{}", hour().await);
    assert!(!store.roll_up_figures(now).await.expect("nothing is due"));
}

async fn only_one_writer_moves_a_source_on(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 3).await;
    let (taken_at, state) = store.figure_source("bus:prod").await.expect("it is read").expect("it is there");
    assert_eq!((taken_at, state), (at(30_000), Some(vec![7])));
    let frame =
        |taken_at| NewFrame { source: "bus:prod", after: Some(at(30_000)), taken_at, points: points(3), state: None, snapshot: false };
    let (one, other) = tokio::join!(store.add_frame(frame(at(45_000))), store.add_frame(frame(at(46_000))));
    let written = [one, other].into_iter().filter(|written| matches!(written, Ok(true))).count();
    assert_eq!(written, 1);
    let first = NewFrame { source: "bus:prod", after: None, taken_at: at(60_000), points: points(4), state: None, snapshot: false };
    assert!(!store.add_frame(first).await.expect("an answer"), "a source begins once");
    let rows = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 0, HOUR, HOUR).await;
    assert!((total(&rows[0]) - 40.0).abs() < 1e-9, "three looks and one of the two: {}", total(&rows[0]));
}

async fn what_is_past_its_time_goes(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 300).await;
    let late = at(80 * HOUR);
    assert_eq!(store.prune_frames(late, 500).await.expect("it ends"), 0, "nothing is rolled up");
    roll_up_all(store, at(HOUR + 2 * MINUTE)).await;
    assert_eq!(store.prune_frames(late, 500).await.expect("it ends"), 240, "the second hour is not over");
    let sums = async |step| {
        let rows = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 0, HOUR, step).await;
        rows.first().map_or(0.0, |row| total(row))
    };
    assert!((sums(MINUTE).await - 2_400.0).abs() < 1e-9);
    assert_eq!(store.prune_figure_minutes(late, 500).await.expect("it ends"), 4);
    assert!(sums(MINUTE).await.abs() < 1e-9);
    assert!((sums(HOUR).await - 2_400.0).abs() < 1e-9, "hours stay");
    assert_eq!(store.prune_figure_hours(late, 500).await.expect("it ends"), 4);
    assert!(sums(HOUR).await.abs() < 1e-9);
}

async fn a_range_that_ends_later_is_read_as_if_nothing_were_remembered(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 300).await;
    roll_up_all(store, at(HOUR + 2 * MINUTE)).await;
    for (first, then) in [(62, 64), (70, 61), (66, 30), (61, 75)] {
        for minutes in [first, then, first] {
            let rows = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 0, minutes * MINUTE, MINUTE).await;
            assert_eq!(rows[0].len() as i64, minutes, "a bucket for each step");
            let looks = (minutes * 4).min(300);
            assert!((total(&rows[0]) - 10.0 * looks as f64).abs() < 1e-9, "{minutes} minutes: {}", total(&rows[0]));
        }
    }
}

/// What pages read of twelve days that end at an hour: steps, steps of all series in one, and sums.
async fn pages(store: &Store, hour: i64) -> Vec<(String, Vec<Option<Bucket>>)> {
    let (bus, mut told) = ("prod".into(), Vec::new());
    for figure in [Figure::TopicMessagesPerSecond, Figure::ConsumerGroupLagMessages, Figure::ProcessingDurationSeconds] {
        // Steps that are even, a range within what is rolled up, a beginning that fits no step, and one step of many days.
        for (from, to, step) in [(-60, 1, HOUR), (-8 * 24, 1, 3 * HOUR), (-48, -24, 4 * HOUR), (-25, 1, 30 * MINUTE), (-221, 1, 222 * HOUR)]
        {
            let step_ms = step;
            let even = |hour: i64| if step_ms <= 4 * HOUR { (hour * HOUR).div_euclid(step_ms) * step_ms } else { hour * HOUR };
            let query = SeriesQuery { figure, labels: Labels::bus(&bus), from: at(even(hour + from)), to: at(even(hour + to)), step_ms };
            for series in store.read_series(&query).await.expect("it is read") {
                told.push((format!("{:?} {from} {step_ms}", series.labels), series.buckets));
            }
            if figure != Figure::ConsumerGroupLagMessages {
                told.push((format!("{figure} {from} {step_ms}"), store.read_merged(&query).await.expect("it is read")));
            }
        }
        for from in [-300, -200, -30, -1] {
            let totals =
                store.read_totals(figure, &bus, at((hour + from) * HOUR), |labels| labels.topic.clone()).await.expect("it is read");
            told.extend(totals.into_iter().map(|(topic, bucket)| (format!("{figure} {topic} {from}"), vec![Some(bucket)])));
        }
    }
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

async fn what_is_remembered_is_what_an_instance_reads_that_remembers_nothing(world: World) {
    let store = &world.store;
    let look = async |source, number: i64, taken_at, after| {
        let frame = NewFrame { source, after, taken_at, points: points(number), state: None, snapshot: false };
        assert!(store.add_frame(frame).await.expect("it is written"));
    };
    let half = |number: i64| at(number * 30 * MINUTE + 7_000);
    let mut written = 0;
    for hours in [290, 291, 292, 300, 301, 330] {
        for number in written..hours * 2 {
            look("bus:prod", number, half(number), (number > 0).then(|| half(number - 1))).await;
        }
        written = hours * 2;
        // What the last hours say is not rolled up yet, and then it is.
        for rolled in [hours - 1, hours] {
            roll_up_all(store, at(rolled * HOUR + 2 * MINUTE)).await;
            let beside = world.beside().await;
            let (told, expected) = (pages(store, hours).await, pages(&beside, hours).await);
            assert!(told.len() > 40, "{}", told.len());
            assert_eq!(told, expected, "{rolled} of {hours} hours");
            assert_eq!(pages(store, hours).await, told, "once more");
        }
        if hours == 292 {
            // Of an hour, and of a day, that were rolled up and read long ago.
            look("spans:frozen", 5, at(250 * HOUR), None).await;
            look("spans:asleep", 5, at(40 * HOUR), None).await;
        }
    }
}

async fn many_series_are_read_as_one(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 300).await;
    let one = async |figure, minutes: i64, step_ms| {
        let query = SeriesQuery { figure, labels: Labels::bus(&"prod".into()), from: at(0), to: at(minutes * MINUTE), step_ms };
        let all = store.read_merged(&query).await.expect("it is read");
        assert_eq!(all.len() as i64, minutes * MINUTE / step_ms, "a bucket for each step");
        all
    };
    let messages = async |minutes, step_ms| total(&one(Figure::TopicMessagesPerSecond, minutes, step_ms).await);
    let durations = async |minutes, step_ms| counted(&one(Figure::ProcessingDurationSeconds, minutes, step_ms).await);
    // Of both topics, and of every look.
    let expected = |minutes: i64| {
        let looks = (0..(minutes * 4).min(300)).map(|look| (10.0 + (look % 7) as f64, look.unsigned_abs() % 3 + 1));
        looks.fold((0.0, 0), |(messages, durations), (some, more)| (messages + some, durations + more))
    };
    for is_rolled in [false, true] {
        if is_rolled {
            roll_up_all(store, at(HOUR + 2 * MINUTE)).await;
        }
        // Looks, minutes and what is remembered of them; ranges that end before, at and after what is rolled up.
        for (minutes, step_ms) in [(75, 15_000), (75, MINUTE), (75, MINUTE), (60, MINUTE), (30, MINUTE), (80, 10 * MINUTE), (62, MINUTE)] {
            let (told, measured) = (messages(minutes, step_ms).await, durations(minutes, step_ms).await);
            let (sent, processed) = expected(minutes);
            assert!((told - sent).abs() < 1e-9, "{minutes} minutes by {step_ms} ms: {told} and not {sent}");
            assert_eq!(measured, processed, "{minutes} minutes by {step_ms} ms");
        }
    }
    let nobody =
        SeriesQuery { figure: Figure::BrokerDurationSeconds, labels: Labels::default(), from: at(0), to: at(HOUR), step_ms: MINUTE };
    assert_eq!(store.read_merged(&nobody).await.expect("it is read"), vec![None; 60]);
}

async fn two_instances_roll_up_the_hours_of_a_day_side_by_side(world: World) {
    let other = world.beside().await;
    write(&world.store, "bus:prod", 0, 6 * 240).await;
    let now = at(7 * HOUR);
    tokio::join!(roll_up_all(&world.store, now), roll_up_all(&other, now));
    let rows = read(&world.store, Figure::TopicMessagesPerSecond, topic("payments"), 0, 6 * HOUR, HOUR).await;
    let hours: Vec<f64> = rows[0].iter().map(|bucket| total(std::slice::from_ref(bucket))).collect();
    assert!(hours.len() == 6 && hours.iter().all(|hour| (hour - 2_400.0).abs() < 1e-9), "{hours:?}");
}

async fn a_series_goes_a_day_after_its_last_hour_and_comes_back_as_a_new_one(world: World) {
    let store = &world.store;
    write(store, "bus:prod", 0, 240).await;
    let known = async || {
        let rows = read(store, Figure::TopicMessagesPerSecond, topic("payments"), 0, HOUR, HOUR).await;
        rows.first().map_or(0.0, |row| total(row))
    };
    // Marked before anything is rolled up, as nothing but frames tells of it.
    store.mark_silent_series(at(HOUR)).await.expect("marked");
    assert_eq!(store.prune_series(at(2 * HOUR), 500).await.expect("it ends"), 0, "frames wait to be rolled up");
    roll_up_all(store, at(3 * HOUR)).await;
    assert_eq!(store.prune_series(at(2 * HOUR), 500).await.expect("it ends"), 0, "it has hours");
    assert!((known().await - 2_400.0).abs() < 1e-9);
    let late = at(80 * HOUR);
    assert_eq!(store.prune_figure_minutes(late, 500).await.expect("it ends"), 4);
    assert_eq!(store.prune_figure_hours(late, 500).await.expect("it ends"), 4);
    // One that is marked and written again stays.
    let restarted = world.beside().await;
    let again = NewFrame { source: "again", after: None, taken_at: at(95 * HOUR), points: points(10), state: None, snapshot: false };
    let orders: Vec<_> = again.points.iter().filter(|(key, _)| key.labels == topic("orders")).cloned().collect();
    assert!(restarted.add_frame(NewFrame { points: orders, ..again }).await.expect("it is written"));
    assert_eq!(restarted.prune_series(at(80 * HOUR), 500).await.expect("it ends"), 1, "payments only");
    assert_eq!(known().await.total_cmp(&0.0), std::cmp::Ordering::Equal);
    let more = NewFrame { source: "more", after: None, taken_at: at(96 * HOUR), points: points(11), state: None, snapshot: false };
    assert!(restarted.add_frame(more).await.expect("it is written"));
    roll_up_all(&restarted, at(99 * HOUR)).await;
    let both = read(&restarted, Figure::TopicMessagesPerSecond, Labels::bus(&"prod".into()), 94 * HOUR, 98 * HOUR, HOUR).await;
    assert_eq!(both.iter().map(|row| total(row)).sum::<f64>().total_cmp(&17.0), std::cmp::Ordering::Equal, "3 and 4, and 10");
}

async fn labels_may_be_anything(world: World) {
    let store = &world.store;
    let long = "ä".repeat(3_000);
    let names = ["", "a\0b", "a'b\"c", &long, "a b"];
    let points = names.iter().zip(1..).map(|(name, count)| (key(Figure::TopicMessagesPerSecond, name), Point::Count(f64::from(count))));
    let frame = NewFrame { source: "bus:prod", after: None, taken_at: at(0), points: points.collect(), state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    let query =
        SeriesQuery { figure: Figure::TopicMessagesPerSecond, labels: Labels::default(), from: at(0), to: at(15_000), step_ms: 15_000 };
    let rows = store.read_series(&query).await.expect("it is read");
    let found: BTreeMap<usize, f64> =
        rows.iter().map(|row| (row.labels.topic.as_ref().map_or(0, |topic| topic.as_str().chars().count()), total(&row.buckets))).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    let again = SeriesQuery { labels: topic(&long), ..query };
    assert_eq!(store.read_series(&again).await.expect("it is read").len(), 1);
}

async fn a_window_reads_what_is_rolled_up_once(world: World) {
    let store = &world.store;
    let looks_of = |hours: i64| hours * HOUR / 15_000;
    write(store, "bus:prod", 0, looks_of(4)).await;
    roll_up_all(store, at(4 * HOUR + 15 * MINUTE)).await;
    let figures = [Figure::TopicMessagesPerSecond, Figure::ConsumerGroupLagMessages, Figure::ProcessingDurationSeconds];
    let mut pasts = [Past::default(), Past::default(), Past::default()];
    // Of each figure as many series as there are, whatever is asked how often.
    let expected = [2, 1, 1];
    for step in 0..40 {
        let end = looks_of(4) + step;
        if step > 0 {
            write(store, "bus:prod", end - 1, end).await;
        }
        for (figure, past) in figures.iter().zip(&mut pasts) {
            let query = SeriesQuery { figure: *figure, labels: Labels::default(), from: at(HOUR), to: at(5 * HOUR), step_ms: 4 * HOUR };
            let mut found = store.read_window(&query, past).await.expect("it is read");
            let whole = store.read_series(&query).await.expect("it is read");
            let mut whole: Vec<(Labels, Bucket)> = whole.into_iter().map(|one| (one.labels.clone(), one.total().expect("a sum"))).collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            whole.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, whole, "{figure}, step {step}");
        }
    }
    assert_eq!(pasts.each_ref().map(Past::reads), expected, "forty windows, and hours were read once");
    // Another window, and hours that were rolled up since.
    let query = |from: i64| SeriesQuery {
        figure: figures[0],
        labels: Labels::default(),
        from: at(from),
        to: at(from + 4 * HOUR),
        step_ms: 4 * HOUR,
    };
    store.read_window(&query(2 * HOUR), &mut pasts[0]).await.expect("it is read");
    assert_eq!(pasts[0].reads(), 4);
    write(store, "bus:prod", looks_of(4) + 39, looks_of(6)).await;
    roll_up_all(store, at(6 * HOUR + 15 * MINUTE)).await;
    let found = store.read_window(&query(2 * HOUR), &mut pasts[0]).await.expect("it is read");
    assert_eq!((pasts[0].reads(), found.iter().map(|(_, bucket)| bucket.count()).fold(0.0, f64::max)), (6, 4.0 * 240.0 * 10.0));
}
