//! What flows over the buses: throughput, lag, latency, failed spans, lines over time, the busiest and the worst.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Timestamp;
use crate::model::lag::GroupStatus;
use crate::store::failure_groups::Buckets;
use crate::web::pages::overview::Past;
use crate::web::pages::overview::attention::Attention as Item;
use crate::web::pages::overview::flow::{Drawn, Flow, GroupRow, Share, TopicRow};
use crate::web::view::chart::bucket_starts;
use crate::web::view::lines::Named;

/// Something that needs a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewAttention)]
pub(super) struct Attention {
    /// `critical`, `error`, `warning` or `info`.
    severity: &'static str,
    /// What it is.
    text: String,
    /// The numbers behind it.
    evidence: String,
    /// Bus or consumer group; empty where it is about none.
    place: String,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The page that explains it.
    url: String,
}

impl Attention {
    /// `base` is the beginning of its address.
    pub(super) fn new(item: Item, base: &str) -> Self {
        // A place on the first page itself.
        let page = if item.href.starts_with('#') { "/" } else { "" };
        Self {
            severity: item.how_bad().as_str(),
            text: item.what,
            evidence: item.evidence,
            place: item.place,
            since: item.since,
            url: format!("{base}{page}{}", item.href),
        }
    }
}

/// Messages written to all topics.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewThroughput)]
pub(super) struct Throughput {
    /// Mean of the range; null where nothing was sampled.
    messages_per_second: Option<f64>,
    /// Mean of the same time before.
    messages_per_second_before: Option<f64>,
}

/// What consumer groups have left to read, now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewLag)]
pub(super) struct Lag {
    /// Of all groups whose lag is known now; null where it is known of none. Groups of a bus that does not answer are not in it.
    lag_messages: Option<u64>,
    /// Living groups; null where no bus was ever read.
    consumer_groups: Option<u64>,
    /// Groups whose lag is not known now: those of a bus that does not answer too.
    unknown: u64,
    /// Groups that somebody should look at; null where a bus does not answer.
    to_look_at: Option<u64>,
}

/// From sending to the end of processing, of every message seen by spans in the range; null where none was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewLatency)]
pub(super) struct Latency {
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

/// Spans of the range that touched a message of the buses shown. Where an application fails in a span of its own that touches none, the span
/// is not counted here: `/traces?outcome=failed` finds it, and `/series` without a bus counts it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewSpans)]
pub(super) struct Spans {
    /// How many.
    total: f64,
    /// How many of them failed.
    failed: f64,
    /// From 0 to 1; null where there was no span.
    ratio: Option<f64>,
}

/// A drawing of the page: lines over the same steps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewDrawing)]
pub(super) struct Drawing {
    /// `throughput`, `most-lag`, `end-to-end` or `failed-spans`.
    id: &'static str,
    title: &'static str,
    /// `per_second`, `messages`, `seconds` or `ratio`.
    unit: &'static str,
    lines: Vec<Line>,
}

/// A line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewLine)]
pub(super) struct Line {
    label: String,
    /// When a step begins, and its number; null where there was no sample.
    #[schema(value_type = Vec<(String, Option<f64>)>)]
    points: Vec<(Timestamp, Option<f64>)>,
}

/// Topics and consumer groups, at most six of each.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewRanking)]
pub(super) struct Ranking {
    topics: Vec<Topic>,
    consumer_groups: Vec<Group>,
}

/// A topic of the busiest or the worst.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewTopic)]
pub(super) struct Topic {
    bus: String,
    topic: String,
    /// Mean of the range; null where nothing was sampled.
    messages_per_second: Option<f64>,
    /// Dead letters that came from it in the range; of a dead-letter topic those that tell no origin.
    dead_letters: u64,
    /// Dead letters that arrived in it, where it is a dead-letter topic in which some did.
    dead_letters_held: Option<u64>,
    /// Share of the spans that touched its messages that failed; null where none came.
    spans_error_ratio: Option<f64>,
}

/// A consumer group of the busiest or the worst.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewConsumerGroup)]
pub(super) struct Group {
    bus: String,
    group: String,
    /// As in the list of consumer groups; `unknown` where its bus does not answer.
    #[schema(value_type = String)]
    status: GroupStatus,
    /// Why, in words.
    evidence: String,
    /// Now; null where that is not known, and where its bus does not answer.
    lag_messages: Option<u64>,
    /// How much more it is at the end of the range than at its beginning; null where that is not known.
    lag_change_messages: Option<f64>,
    /// What it read, mean of the range.
    messages_per_second: Option<f64>,
    /// That it failed on in the range.
    dead_letters: u64,
    /// Share of the spans that touched its messages that failed; null where none came.
    spans_error_ratio: Option<f64>,
}

/// All of it.
pub(super) struct Parts {
    pub(super) throughput: Throughput,
    pub(super) lag: Lag,
    pub(super) latency: Latency,
    pub(super) spans: Spans,
    pub(super) drawings: Vec<Drawing>,
    pub(super) busiest: Ranking,
    pub(super) worst: Ranking,
}

impl Parts {
    pub(super) fn of(flow: Flow, past: Past, buckets: Buckets) -> Self {
        let Share { failed, spans } = flow.latency.spans;
        Self {
            throughput: Throughput { messages_per_second: flow.rate.0, messages_per_second_before: flow.rate.1 },
            lag: Lag {
                lag_messages: flow.lag.0,
                consumer_groups: (past != Past::Never).then_some(flow.all_groups),
                unknown: flow.lag.1,
                to_look_at: (past == Past::No).then_some(flow.troubled.len() as u64),
            },
            latency: Latency {
                p50_seconds: flow.latency.quantile(0.5),
                p95_seconds: flow.latency.quantile(0.95),
                p99_seconds: flow.latency.quantile(0.99),
            },
            spans: Spans { total: spans, failed, ratio: flow.latency.spans.ratio() },
            drawings: flow.drawn.into_iter().map(|drawn| Drawing::new(drawn, buckets)).collect(),
            busiest: Ranking::new(flow.busiest_topics, flow.busiest_groups),
            worst: Ranking::new(flow.worst_topics, flow.worst_groups),
        }
    }
}

impl Drawing {
    fn new(drawn: Drawn, buckets: Buckets) -> Self {
        let line = |named: Named| Line { label: named.label, points: bucket_starts(buckets).into_iter().zip(named.values).collect() };
        Self { id: drawn.id, title: drawn.title, unit: drawn.unit.word(), lines: drawn.lines.into_iter().map(line).collect() }
    }
}

impl Ranking {
    fn new(topics: Vec<TopicRow>, groups: Vec<GroupRow>) -> Self {
        Self { topics: topics.into_iter().map(Topic::from).collect(), consumer_groups: groups.into_iter().map(Group::from).collect() }
    }
}

impl From<TopicRow> for Topic {
    fn from(row: TopicRow) -> Self {
        Self {
            bus: row.bus.to_string(),
            topic: row.name.to_string(),
            messages_per_second: row.rate,
            dead_letters: row.dead_letters,
            dead_letters_held: row.held,
            spans_error_ratio: row.spans.and_then(Share::ratio),
        }
    }
}

impl From<GroupRow> for Group {
    fn from(row: GroupRow) -> Self {
        Self {
            bus: row.bus.to_string(),
            group: row.name.to_string(),
            status: row.word,
            evidence: row.evidence,
            lag_messages: row.lag.filter(|_| !row.past),
            lag_change_messages: row.grew,
            messages_per_second: row.rate,
            dead_letters: row.dead_letters,
            spans_error_ratio: row.spans.and_then(Share::ratio),
        }
    }
}
