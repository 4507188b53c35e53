//! Figures of services, against durations and counts that are known.

#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "small numbers of tests")]

use redrive::metrics::bucket::Bucket;
use redrive::model::figure::{Figure, Labels};
use redrive::model::{GroupName, Timestamp, TopicName};
use redrive::store::figures::read::{SeriesBuckets, SeriesQuery};

use super::super::get;
use super::scene::{Scene, Told};

/// What a service did on a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) service: &'a str,
    pub(super) topic: &'a str,
    /// The group that its spans are counted for.
    pub(super) group: Option<&'a str>,
}

/// Durations of messages, in seconds.
#[derive(Debug, Default)]
pub(super) struct Durations {
    pub(super) broker: Vec<f64>,
    pub(super) processing: Vec<f64>,
    pub(super) end_to_end: Vec<f64>,
}

impl Durations {
    /// Adds a message that was taken by one span and processed until its end.
    pub(super) fn add(&mut self, sent: &Told, processed: &Told) {
        self.add_taken(sent, processed);
        self.processing.push(seconds(processed.end - processed.start));
        self.end_to_end.push(seconds(processed.end - sent.start));
    }

    /// Adds a message of which only the taking is known.
    pub(super) fn add_taken(&mut self, sent: &Told, taken: &Told) {
        self.broker.push(seconds(taken.start - sent.end));
    }
}

pub(super) fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

impl Scene {
    /// Spans of a service, counted.
    pub(super) async fn spans(&self, service: &str) -> usize {
        count(&self.series(Figure::SpansPerSecond, Labels::default().service(service)).await)
    }

    async fn series(&self, figure: Figure, labels: Labels) -> Vec<SeriesBuckets> {
        let now = Timestamp::now().as_millis();
        let (from, to) = (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 60_000));
        self.store.read_series(&SeriesQuery { figure, labels, from, to, step_ms: 1_000 }).await.expect("it is read")
    }

    /// That a service's spans of an operation are counted for its group, and so many of them failed.
    pub(super) async fn assert_spans(&self, of: Of<'_>, operation: &str, spans: usize, failed: usize) {
        let labels = Labels::default().service(of.service).topic(&TopicName::from(of.topic)).operation(operation);
        for (figure, expected) in [(Figure::SpansPerSecond, spans), (Figure::SpanErrorsPerSecond, failed)] {
            let series = self.series(figure, labels.clone()).await;
            assert_group(&series, of);
            assert_eq!(count(&series), expected, "{figure} of {of:?}, {operation}");
        }
        let ratio = self.number("spans_error_ratio", of, &format!("&operation={operation}")).await;
        assert!((ratio - failed as f64 / spans as f64).abs() < 1e-9, "{of:?}, {operation}: {ratio}");
    }

    /// That a figure holds these durations and no others.
    pub(super) async fn assert_durations(&self, figure: Figure, of: Of<'_>, expected: &[f64]) {
        let series = self.series(figure, Labels::default().service(of.service).topic(&TopicName::from(of.topic))).await;
        assert_eq!(count(&series), expected.len(), "{figure} of {of:?}");
        if expected.is_empty() {
            return;
        }
        assert_group(&series, of);
        let sum: f64 = series.iter().flat_map(|one| &one.buckets).flatten().map(sum).sum();
        let wanted: f64 = expected.iter().sum();
        assert!((sum - wanted).abs() < 1e-5 * expected.len() as f64, "{figure} of {of:?}: {sum} in all, not {wanted}");
        let mut sorted = expected.to_vec();
        sorted.sort_by(f64::total_cmp);
        for quantile in [0.01, 0.5, 1.0] {
            let rank = (quantile * sorted.len() as f64).ceil() as usize;
            let told = self.number(figure.as_str(), of, &format!("&quantile={quantile}")).await;
            let known = sorted[rank.max(1) - 1];
            assert!((told - known).abs() <= 0.025 * known.abs() + 1e-5, "{figure} of {of:?}, {quantile}: {told}, not {known}");
        }
    }

    /// All durations of a consumer.
    pub(super) async fn assert_consumed(&self, of: Of<'_>, durations: &Durations) {
        self.assert_durations(Figure::BrokerDurationSeconds, of, &durations.broker).await;
        self.assert_durations(Figure::ProcessingDurationSeconds, of, &durations.processing).await;
        self.assert_durations(Figure::EndToEndDurationSeconds, of, &durations.end_to_end).await;
    }

    /// The one number that the API gives for a whole figure.
    async fn number(&self, figure: &str, of: Of<'_>, more: &str) -> f64 {
        let group = of.group.map(|group| format!("&consumer_group={group}")).unwrap_or_default();
        let (topic, service) = (of.topic, of.service);
        let path = format!("/api/v1/series?figure={figure}&bus=prod&topic={topic}&service={service}{group}&step=300d{more}");
        let answer = get(&self.redrive, &path).await;
        let [one] = answer["series"].as_array().expect("series").as_slice() else { panic!("{path}: {answer}") };
        let numbers: Vec<f64> = one["points"].as_array().expect("points").iter().filter_map(|point| point[1].as_f64()).collect();
        let [number] = numbers[..] else { panic!("{path}: {answer}") };
        number
    }
}

fn assert_group(series: &[SeriesBuckets], of: Of<'_>) {
    for one in series {
        let group = one.labels.consumer_group.as_ref().map(GroupName::as_str);
        assert_eq!((group, one.labels.bus.as_ref().map(ToString::to_string).as_deref()), (of.group, Some("prod")), "{of:?}");
    }
}

fn count(series: &[SeriesBuckets]) -> usize {
    series.iter().flat_map(|one| &one.buckets).flatten().map(Bucket::count).sum::<f64>().round() as usize
}

fn sum(bucket: &Bucket) -> f64 {
    if let Bucket::Durations(durations) = bucket { durations.sum() } else { f64::NAN }
}
