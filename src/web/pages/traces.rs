//! Traces: how long messages take and where, and a search for those that failed or took long.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::traces::{TraceRow, TracesQuery, search};
use super::super::extract::{CursorParam, LimitParam, Partial, Query, TimeParam, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::lines::{LineChart, Named, Unit, seconds};
use super::super::view::marks::{Marked, Marks};
use super::super::view::number::{counted, grouped, size};
use super::super::view::period::{Period, PeriodQuery};
use super::super::view::quantiles::{QUANTILES, quantile_of};
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, filters};
use super::consumer_group::history::query as series_of;
use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels};
use crate::model::span::TraceId;
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::Store;
use crate::store::happenings::About;
use crate::store::spans::keep::{SpanLoss, SpanUsage};

pub(super) fn routes() -> Routes {
    Routes::new().get("/traces", traces)
}

/// Matching spans of a page.
const ROWS: u32 = 50;

/// The search, and the time it is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PageQuery {
    q: Option<String>,
    service: Option<String>,
    topic: Option<String>,
    consumer_group: Option<String>,
    operation: Option<String>,
    outcome: Option<String>,
    at_least: Option<String>,
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<CursorParam>,
    /// Read by the frame.
    bus: Option<String>,
}

/// A part of the search that can be taken away.
struct Chip {
    name: &'static str,
    value: String,
    remove: String,
}

struct Row {
    href: String,
    name: String,
    place: String,
    started_at: Timestamp,
    took: String,
    services: String,
    spans: String,
    failed: bool,
}

#[derive(Template)]
#[template(path = "traces/page.html", blocks = ["traces"])]
struct TracesPage {
    layout: Layout,
    lede: (String, String),
    kept: String,
    losses: Vec<String>,
    /// What readers of the figures should know, and need do nothing about.
    asides: Vec<String>,
    period: Period,
    chips: Vec<Chip>,
    services: Vec<String>,
    service: String,
    topic: String,
    consumer_group: String,
    at_least: String,
    outcome: String,
    charts: Vec<LineChart>,
    marks: Marks,
    rows: Vec<Row>,
    next: Option<String>,
    searched_back_to: Option<Timestamp>,
    has_any: bool,
}

impl Page for TracesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "traces").then(|| part(&self.as_traces(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn traces(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<PageQuery>,
) -> Result<Response, Error> {
    if let Some(id) = query.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        let id: TraceId = id.parse().map_err(|_| Error::field("q", "a trace id has 32 hexadecimal digits"))?;
        return Ok(Redirect::to(&format!("/traces/{id}")).into_response());
    }
    let (store, now) = (state.store(), layout.now);
    let here = address(&query);
    let period = PeriodQuery { range: query.range.clone(), from: query.from.clone(), to: query.to.clone() }.read(&here, now)?;
    let wanted = TracesQuery {
        bus: layout.bus.as_ref().map(|bus| bus.as_str().to_owned()),
        service: query.service.clone(),
        topic: query.topic.clone(),
        consumer_group: query.consumer_group.clone(),
        operation: query.operation.clone(),
        outcome: query.outcome.clone(),
        at_least: query.at_least.clone(),
        from: Some(TimeParam(period.buckets.from)),
        to: query.to.as_ref().filter(|to| !to.is_empty()).map(|_| TimeParam(period.buckets.to)),
        cursor: query.cursor.clone(),
        limit: None::<LimitParam>,
    };
    let found = search(&state, wanted, ROWS).await?;
    let labels = labels(&query, layout.bus.as_ref());
    let marks = marks(store, &labels, &period).await?;
    let (charts, share) = figures(store, labels, &period, &marks.shown).await?;
    let (usage, losses) = (store.span_usage().await?, store.list_span_losses().await?);
    let full = period.pairs.iter().fold(here.clone(), |here, (name, value)| here.set(name, value));
    let page = TracesPage {
        lede: lede(share, &usage),
        kept: kept(&usage),
        losses: losses.iter().filter_map(|loss| loss_words(loss, now)).collect(),
        asides: losses.iter().filter(|loss| loss.last_at >= period.buckets.from).filter_map(|loss| aside(loss, now)).collect(),
        chips: chips(&query, &full),
        services: store.list_span_services().await?,
        service: query.service.unwrap_or_default(),
        topic: query.topic.unwrap_or_default(),
        consumer_group: query.consumer_group.unwrap_or_default(),
        at_least: query.at_least.unwrap_or_default(),
        outcome: query.outcome.unwrap_or_default(),
        charts,
        marks,
        rows: found.items.iter().map(Row::new).collect(),
        next: found.next_cursor.map(|cursor| full.set("cursor", &cursor).to_string()),
        searched_back_to: found.searched_back_to.filter(|at| *at > period.buckets.from),
        has_any: usage.hot_spans + usage.kept_spans > 0,
        period,
        layout: layout.titled(Section::Traces, "Traces"),
    };
    render(&page, &partial)
}

impl PageQuery {
    /// What narrows the search, as the address names it.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let pairs = [
            ("service", &self.service),
            ("topic", &self.topic),
            ("consumer_group", &self.consumer_group),
            ("operation", &self.operation),
            ("outcome", &self.outcome),
            ("at_least", &self.at_least),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref().filter(|value| !value.is_empty())?)))
    }
}

fn address(query: &PageQuery) -> Address {
    let bus = query.bus.as_deref().map(|bus| ("bus", bus));
    query.given().chain(bus).fold(Address::new("/traces"), |address, (name, value)| address.and(name, value))
}

fn chips(query: &PageQuery, here: &Address) -> Vec<Chip> {
    let words = |name: &'static str| match name {
        "consumer_group" => "consumer group",
        "at_least" => "at least",
        other => other,
    };
    let chip = |(name, value)| Chip { name: words(name), value: short(value, 80), remove: here.without(&[name]).to_string() };
    query.given().map(chip).collect()
}

fn labels(query: &PageQuery, bus: Option<&BusId>) -> Labels {
    let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    Labels {
        bus: bus.cloned(),
        topic: text(&query.topic).map(TopicName::new),
        consumer_group: text(&query.consumer_group).map(GroupName::new),
        service: text(&query.service),
        operation: text(&query.operation),
        ..Labels::default()
    }
}

/// What happened meanwhile to what is searched for: on its bus or on all, to its topic and its consumer group.
async fn marks(store: &Store, labels: &Labels, period: &Period) -> Result<Marks, Error> {
    let topics: Vec<&str> = labels.topic.iter().map(TopicName::as_str).collect();
    let about = match (&labels.consumer_group, &labels.topic) {
        (Some(group), _) => About::Group(group, &topics),
        (None, Some(topic)) => About::Topic(topic),
        (None, None) => About::Bus,
    };
    let buses = match &labels.bus {
        Some(bus) => vec![bus.clone()],
        None => store.list_buses().await?.into_iter().map(|bus| bus.id).collect(),
    };
    let mut happened = Vec::new();
    for bus in &buses {
        happened.extend(store.list_happenings(bus, about, period.buckets.from, period.buckets.to).await?);
    }
    happened.sort_by_key(|happening| happening.at);
    Ok(Marks::of(&happened, period.buckets))
}

/// Drawings of durations, and how many of how many spans failed.
async fn figures(store: &Store, labels: Labels, period: &Period, marks: &[Marked]) -> Result<(Vec<LineChart>, Option<(f64, f64)>), Error> {
    let buckets = period.buckets;
    let read = async |figure| store.read_merged(&series_of(figure, labels.clone(), buckets)).await;
    let whole = read(Figure::EndToEndDurationSeconds).await?;
    let (publish, broker, processing) = (
        read(Figure::PublishDurationSeconds).await?,
        read(Figure::BrokerDurationSeconds).await?,
        read(Figure::ProcessingDurationSeconds).await?,
    );
    let (spans, failed) = (total(&read(Figure::SpansPerSecond).await?), total(&read(Figure::SpanErrorsPerSecond).await?));
    let quantiles = QUANTILES.map(|(label, quantile)| Named::new(label, quantile_of(&whole, quantile)));
    let parts = [("time in broker", &broker), ("processing", &processing), ("publish", &publish)]
        .map(|(label, all)| Named::new(label, quantile_of(all, 0.95)));
    let charts = vec![
        LineChart::new("end-to-end", "From sending to processed", Unit::Seconds, buckets, quantiles.into(), marks),
        LineChart::new("parts", "Where the time goes, p95", Unit::Seconds, buckets, parts.into(), marks),
    ];
    Ok((charts, (spans > 0.0).then_some((failed, spans))))
}

/// How many were counted in all.
fn total(all: &[Option<Bucket>]) -> f64 {
    all.iter().flatten().map(Bucket::count).sum()
}

fn lede(share: Option<(f64, f64)>, usage: &SpanUsage) -> (String, String) {
    let Some((failed, spans)) = share else {
        let rest = if usage.hot_spans + usage.kept_spans == 0 { "Point an OpenTelemetry exporter at Redrive." } else { "" };
        return ("No span was received in this time.".to_owned(), rest.to_owned());
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of spans")]
    let counted_spans = counted(spans.round() as u64, "span", "spans");
    (format!("{:.1} % of {counted_spans} failed.", failed / spans * 100.0), String::new())
}

/// What is kept, in words.
fn kept(usage: &SpanUsage) -> String {
    let hot = format!("{} kept whole", counted(usage.hot_spans, "span", "spans"));
    let traces = format!(
        "{} kept longer: failed, slow, dead-lettered, replayed, pinned, linked with these, and ordinary ones to compare",
        counted(usage.kept_traces, "trace", "traces")
    );
    format!("{hot}; {traces}; {} in all.", size(usage.hot_bytes + usage.kept_bytes))
}

/// What was lost, in words.
fn loss_words(loss: &SpanLoss, now: Timestamp) -> Option<String> {
    let ago = super::super::view::time::relative(loss.last_at, now);
    let lost = grouped(loss.spans);
    let dropped = "dropped before their time to stay within retention.spans_max_bytes";
    Some(match loss.what.as_str() {
        "topic" => format!(
            "{lost} records of topics with spans were removed before they were read, the last {ago}: they are missing in the figures. \
             Redrive was away or behind for longer than those topics keep records."
        ),
        "repeats" => format!(
            "More spans came in than are remembered, the last time {ago}: a batch that was sent again after more than some seconds, but \
             within ten minutes, may be counted twice."
        ),
        "hot" => format!("{lost} spans were {dropped}, the last {ago}. They are counted in the figures."),
        "uncounted" => format!(
            "{lost} spans were dropped before they were counted, to stay within retention.spans_max_bytes, the last {ago}: they are missing \
             in the figures. More came in than was counted at that time."
        ),
        "kept" => format!("{lost} spans of kept traces were {dropped}, the last {ago}. They are counted in the figures."),
        _ => return None,
    })
}

/// What the figures do not know, in words: counted since Redrive began, and told where it happened in the time that is shown.
fn aside(loss: &SpanLoss, now: Timestamp) -> Option<String> {
    let ago = super::super::view::time::relative(loss.last_at, now);
    let spans = counted(loss.spans, "span", "spans");
    Some(match loss.what.as_str() {
        "unpaired" => format!(
            "Taken by a consumer, and the span of their producer was not found: {} so far, the last {ago}. Their time in the broker and from \
             sending to processed is in no figure. The producer sends no spans, or sent the message longer ago than \
             retention.spans keeps all of them, or too many such messages came at once.",
            counted(loss.spans, "message", "messages")
        ),
        "skewed" => format!(
            "Taken before they were sent, by the clocks of two machines: {} so far, the last {ago}. Their time in the broker counts as none, \
             and end to end is off by as much as the clocks.",
            counted(loss.spans, "message", "messages")
        ),
        "unplaced" => format!(
            "Counted without a bus: {spans} so far, the last {ago}. Nothing tells of which of several buses their topic is; such spans are \
             joined by parents and links alone. A cluster id or the broker's address on them would tell."
        ),
        "crowded" => format!(
            "Counted as service (other), without topic and consumer group: {spans} so far, the last {ago}. More kinds of spans came at once \
             than are told apart."
        ),
        "uncompared" => format!(
            "Not known to be slow or not: {spans} so far, the last {ago}. Fewer than 200 of their topic, consumer group and operation came \
             before them since Redrive started, or there are more of these than are compared; the figures have them all."
        ),
        _ => return None,
    })
}

impl Row {
    fn new(trace: &TraceRow) -> Self {
        let list = |names: &[String]| {
            let shown: Vec<String> = names.iter().take(3).map(|name| short(name, 60)).collect();
            let more = names.len().saturating_sub(3);
            if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
        };
        Self {
            href: format!("/traces/{}", trace.trace_id),
            name: short(&trace.name, 120),
            place: list(&trace.topics),
            started_at: trace.started_at,
            took: seconds(trace.duration_seconds),
            services: list(&trace.services),
            spans: grouped(trace.noted_spans as u64),
            failed: trace.failed,
        }
    }
}
