//! What stands in figures and store afterwards, against what was sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use redrive::metrics::bucket::Bucket;
use redrive::model::Timestamp;
use redrive::model::figure::{Figure, Labels};
use redrive::store::figures::read::SeriesQuery;
use redrive::store::{Store, StoreSettings};
use serde_json::Value;

use crate::redrive_process::Redrive;
use crate::traffic::{BATCH, Message, Service, Traffic, span_id, trace_id};

/// Messages whose traces are fetched.
const FETCHED: usize = 200;
const DAY_MS: i64 = 86_400_000;

/// Service, topic, consumer group and operation; empty where it has none.
type Key = [String; 4];

/// What `/series` answered, and when it was asked.
pub(crate) struct Answered {
    from: Timestamp,
    to: Timestamp,
    rates: BTreeMap<Key, Vec<Option<f64>>>,
}

/// What was found right.
pub(crate) struct Right {
    pub(crate) series: usize,
    pub(crate) paired: u64,
}

/// Fetches traces of messages here and there and compares each with what was sent; how many.
pub(crate) async fn traces(client: &reqwest::Client, redrive: &Redrive, traffic: Traffic) -> usize {
    let mut fetched = 0;
    for number in 0..FETCHED {
        // A prime step meets every topic and place of a batch.
        let message = Message(number * 7_919 % traffic.messages());
        let sent = traffic.spans_of(message);
        for (which, links) in [(0, 2), (1, 1)] {
            let id = trace_id(message, which);
            let of_trace: BTreeMap<String, _> =
                sent.iter().filter(|(_, span)| span.trace_id == id).map(|(sender, span)| (hex(&span.span_id), (sender, span))).collect();
            let url = redrive.url(&format!("/api/v1/traces/{}", hex(&id)));
            let answer = client.get(&url).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{url}: {}", answer.status());
            let trace: Value = answer.json().await.expect("JSON");
            let found = trace["spans"].as_array().expect("spans");
            assert_eq!(found.len(), of_trace.len(), "{trace}");
            for span in found {
                let ((service, _), sent) = &of_trace[span["span_id"].as_str().expect("an id")];
                assert_eq!(span["name"], sent.name);
                assert_eq!(span["service"], service.name());
                assert_eq!(span["start_unix_nano"], sent.start_time_unix_nano.to_string());
                assert_eq!(span["attributes"].as_array().expect("attributes").len(), sent.attributes.len());
                assert_eq!(span["events"].as_array().expect("events").len(), sent.events.len());
                assert_eq!(span["resource"].as_array().expect("attributes").len(), 10);
            }
            assert_eq!(trace["links"].as_array().expect("links").len(), links, "{trace}");
            fetched += 1;
        }
        assert_eq!(sent.iter().filter(|(_, span)| span.span_id == span_id(message, 3)).count(), 1);
    }
    fetched
}

/// Asks for spans per second, a day in one step.
pub(crate) async fn answered(client: &reqwest::Client, redrive: &Redrive) -> Answered {
    let to = Timestamp::now();
    let from = to.minus(Duration::from_hours(1));
    let url = redrive.url(&format!("/api/v1/series?figure=spans_per_second&step=1d&from={from}&to={to}"));
    let answer: Value = client.get(&url).send().await.expect("an answer").json().await.expect("JSON");
    let rates = answer["series"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(|one| {
        let label = |name: &str| one["labels"][name].as_str().unwrap_or_default().to_owned();
        let points = one["points"].as_array().expect("points").iter().map(|point| point[1].as_f64()).collect();
        (["service", "topic", "consumer_group", "operation"].map(label), points)
    });
    Answered { from: Timestamp::from_millis(from.as_millis().div_euclid(DAY_MS) * DAY_MS), to, rates: rates.collect() }
}

/// Compares counts in the store, and what `/series` made of them, with what was sent.
pub(crate) async fn figures(redrive: &Redrive, traffic: Traffic, answered: &Answered) -> Right {
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) };
    let store = Store::open(&settings).await.expect("the store that Redrive has left");
    let (spans, failed, kinds) = expected(traffic);
    let stored = read(&store, Figure::SpansPerSecond, answered).await;
    assert_eq!(totals(&stored), spans, "spans");
    let rates: BTreeMap<Key, Vec<Option<f64>>> =
        stored.iter().map(|(key, buckets)| (key.clone(), buckets.iter().map(|bucket| bucket.as_ref()?.value(0.5)).collect())).collect();
    assert!(same(&rates, &answered.rates), "/series answers what the store holds: {:?} and not {rates:?}", answered.rates);
    assert_eq!(totals(&read(&store, Figure::SpanErrorsPerSecond, answered).await), failed, "failed spans");
    for (figure, operation) in [(Figure::PublishDurationSeconds, "send"), (Figure::ProcessingDurationSeconds, "process")] {
        let wanted: BTreeMap<Key, u64> = kinds.iter().filter(|(key, _)| key[3] == operation).map(|(k, n)| (k.clone(), *n)).collect();
        assert_eq!(totals(&read(&store, figure, answered).await), wanted, "{figure}");
    }
    let paired = totals(&read(&store, Figure::BrokerDurationSeconds, answered).await).values().sum();
    store.close().await;
    Right { series: 2 * stored.len() + kinds.len(), paired }
}

/// The same series and numbers, as far as JSON carries them.
fn same(one: &BTreeMap<Key, Vec<Option<f64>>>, other: &BTreeMap<Key, Vec<Option<f64>>>) -> bool {
    let close = |(one, other): (&Option<f64>, &Option<f64>)| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-9,
        (one, other) => one == other,
    };
    one.keys().eq(other.keys()) && one.values().flatten().zip(other.values().flatten()).all(close)
}

type Counts = BTreeMap<Key, u64>;

/// Spans, failed ones, and those that sent or processed.
fn expected(traffic: Traffic) -> (Counts, Counts, Counts) {
    let (mut spans, mut failed, mut kinds) = (Counts::new(), Counts::new(), Counts::new());
    let key = |service: Service, topic: &str, group: &str, operation: &str| {
        [service.name().to_owned(), topic.to_owned(), group.to_owned(), operation.to_owned()]
    };
    let mut add = |key: Key, count: u64, fails: bool| {
        *failed.entry(key.clone()).or_default() += u64::from(fails);
        if matches!(key[3].as_str(), "send" | "process") {
            *kinds.entry(key.clone()).or_default() += count;
        }
        *spans.entry(key).or_default() += count;
    };
    for number in 0..traffic.messages() {
        let message = Message(number);
        let topic = message.topic();
        add(key(Service::Shop, "", "", ""), 2, false);
        add(key(Service::Shop, &topic, "", "send"), 1, false);
        add(key(Service::Billing, &topic, "billing", "process"), 1, message.fails());
        add(key(Service::Billing, "", "", ""), 1, false);
        add(key(Service::Shipping, &topic, "shipping", "process"), 1, false);
        add(key(Service::Shipping, "", "", ""), 1, false);
        if number % BATCH == BATCH - 1 {
            add(key(Service::Audit, &topic, "audit", "receive"), 1, false);
        }
    }
    (spans, failed, kinds)
}

async fn read(store: &Store, figure: Figure, asked: &Answered) -> BTreeMap<Key, Vec<Option<Bucket>>> {
    let query = SeriesQuery { figure, labels: Labels::default(), from: asked.from, to: asked.to, step_ms: DAY_MS };
    let series = store.read_series(&query).await.expect("read");
    let key = |labels: &Labels| {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        [
            text(labels.service.as_deref()),
            text(labels.topic.as_ref().map(redrive::model::TopicName::as_str)),
            text(labels.consumer_group.as_ref().map(redrive::model::GroupName::as_str)),
            text(labels.operation.as_deref()),
        ]
    };
    series.into_iter().map(|one| (key(&one.labels), one.buckets)).collect()
}

#[expect(clippy::cast_sign_loss, reason = "counts")]
fn totals(series: &BTreeMap<Key, Vec<Option<Bucket>>>) -> Counts {
    let total = |buckets: &Vec<Option<Bucket>>| buckets.iter().flatten().map(|bucket| bucket.count() as u64).sum();
    series.iter().map(|(key, buckets)| (key.clone(), total(buckets))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
