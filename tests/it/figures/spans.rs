//! Figures of spans that are killed, repeated, and derived by two instances: every span is counted once.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of tests")]

use std::sync::Arc;
use std::time::Duration;

use redrive::metrics::bucket::Bucket;
use redrive::model::Timestamp;
use redrive::model::figure::{Figure, Labels};
use redrive::model::span::{Messaging, Operation, Span, SpanId, SpanKind, SpanStatus, TraceId};
use redrive::store::figures::read::SeriesQuery;
use redrive::store::spans::EncodedSpans;
use redrive::store::{Store, StoreSettings};

use crate::harness::postgres;
use crate::harness::redrive::{Redrive, Setup, ended_by_signal};
use crate::harness::spans::bare;

/// Messages of the ledger: each is one span that sends and one that processes, a second apart, and takes three from end to end.
const MESSAGES: u32 = 3_000;
const PATIENCE: Duration = Duration::from_secs(90);

fn trace(number: u32) -> TraceId {
    let mut id = [9; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    TraceId(id)
}

fn span(number: u32, operation: Operation, start: i64) -> Span {
    let mut messaging = Messaging::new("kafka".into(), operation);
    messaging.destination = Some("orders".to_owned());
    let sends = operation == Operation::Send;
    Span {
        parent: (!sends).then_some(SpanId([1; 8])),
        service: Arc::from(if sends { "shop" } else { "billing" }),
        kind: if sends { SpanKind::Producer } else { SpanKind::Consumer },
        start: start * 1_000_000_000,
        end: (start + 1) * 1_000_000_000,
        status: if number.is_multiple_of(10) && !sends { SpanStatus::Error } else { SpanStatus::Unset },
        messaging: Some(Box::new(messaging)),
        ..bare(trace(number), SpanId([if sends { 1 } else { 2 }; 8]))
    }
}

fn sent(number: u32) -> Span {
    span(number, Operation::Send, 1_000)
}

fn processed(number: u32) -> Span {
    span(number, Operation::Process, 1_002)
}

async fn open(url: &str) -> Store {
    let settings = StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) };
    Store::open_beside(&settings).await.expect("the store opens")
}

async fn add(store: &Store, spans: Vec<Span>) {
    store
        .add_spans(EncodedSpans::new(spans.into_iter().map(Box::new).collect()).expect("they are packed"), Timestamp::now())
        .await
        .expect("they are written");
}

/// What is written of a figure: how many, and for durations their sum in seconds.
async fn written(store: &Store, figure: Figure) -> (u64, f64) {
    let now = Timestamp::now();
    let from = now.minus(Duration::from_hours(1));
    let query =
        SeriesQuery { figure, labels: Labels::default(), from, to: Timestamp::from_millis(now.as_millis() + 60_000), step_ms: 1_000 };
    let (mut count, mut sum) = (0.0, 0.0);
    for bucket in store.read_series(&query).await.expect("it is read").iter().flat_map(|series| &series.buckets).flatten() {
        count += bucket.count();
        if let Bucket::Durations(durations) = bucket {
            sum += durations.sum();
        }
    }
    (count.round() as u64, sum)
}

/// Every figure, compared with the ledger.
async fn assert_counted_once(store: &Store) {
    let messages = u64::from(MESSAGES);
    assert_eq!(written(store, Figure::SpansPerSecond).await.0, 2 * messages, "spans");
    assert_eq!(written(store, Figure::SpanErrorsPerSecond).await.0, messages / 10, "failures");
    for (figure, seconds) in [
        (Figure::PublishDurationSeconds, 1.0),
        (Figure::ProcessingDurationSeconds, 1.0),
        (Figure::BrokerDurationSeconds, 1.0),
        (Figure::EndToEndDurationSeconds, 3.0),
    ] {
        let (count, sum) = written(store, figure).await;
        assert_eq!(count, messages, "{figure}");
        assert!((sum - seconds * f64::from(MESSAGES)).abs() < 1e-3, "{figure}: {sum}");
    }
}

async fn until_counted(redrive: &Redrive, store: &Store, spans: u64) {
    redrive.wait_until("all spans are counted", PATIENCE, async || written(store, Figure::SpansPerSecond).await.0 >= spans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_counted_once_however_often_the_process_dies_in_a_frame_and_its_senders_repeat_them() {
    let mut redrive = Setup::new().prepare();
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    Store::open(&StoreSettings { url: url.clone(), max_bytes: None, read_timeout: PATIENCE }).await.expect("a new store").close().await;
    let parts = 5;
    for part in 0..parts {
        // The halves of a message come in different parts, and what came before comes again with the next.
        let store = open(&url).await;
        let (from, to) = (part * MESSAGES / parts, (part + 1) * MESSAGES / parts);
        let before = if part == 0 { 0..0 } else { (part - 1) * MESSAGES / parts..from };
        add(&store, before.clone().map(processed).chain(before.map(sent)).chain((from..to).map(sent)).collect()).await;
        store.close().await;
        redrive.set_environment("REDRIVE_FAILPOINT", Some("figures.frame=1"));
        redrive.spawn();
        assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, 9), "it dies while it writes samples");
    }
    let store = open(&url).await;
    add(&store, ((parts - 1) * MESSAGES / parts..MESSAGES).map(processed).collect()).await;
    store.close().await;
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let store = open(&url).await;
    until_counted(&redrive, &store, 2 * u64::from(MESSAGES)).await;
    // A while later nothing was added to it.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_counted_once(&store).await;
    redrive.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_count_each_span_once_also_when_one_is_killed() {
    let database = postgres::database().await;
    let mut one = Setup::new().store(database.url()).start().await;
    let two = Setup::new().store(database.url()).start().await;
    let store = open(database.url()).await;
    for part in 0..6 {
        let (from, to) = (part * MESSAGES / 6, (part + 1) * MESSAGES / 6);
        add(&store, (from..to).map(processed).collect()).await;
        if part == 3 {
            one.kill().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        add(&store, (from..to).map(sent).collect()).await;
    }
    until_counted(&two, &store, 2 * u64::from(MESSAGES)).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_counted_once(&store).await;
}
