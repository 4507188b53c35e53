//! Traces: searched by what their spans did, one whole, and kept on request.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, LimitParam, Operator, Path, Query, TimeParam, Viewer};
use crate::model::span::{Attribute, Operation, Span, TraceId, Value};
use crate::model::trace::{KeepReasons, NotedSpan, TraceFilter, TraceLink};
use crate::model::{AuditEntry, Timestamp};
use crate::store::spans::keep::SpanLoss;
use crate::store::spans::read::StoredTrace;
use crate::traces::critical::{by_span, critical_path, length};

mod kept;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(detail)).routes(routes!(pin)).merge(kept::routes())
}

/// Spans of a trace that a list looks at.
const SPANS_OF_ROW: u32 = 200;

/// Restricts a search. Every field narrows it.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct TracesQuery {
    /// Bus that has the topic which a span touched; spans that name another cluster are left out.
    pub(in crate::web) bus: Option<String>,
    /// Service of a span, exact.
    pub(in crate::web) service: Option<String>,
    /// Topic that a span touched, exact.
    pub(in crate::web) topic: Option<String>,
    /// Consumer group as the instrumentation names it, exact.
    pub(in crate::web) consumer_group: Option<String>,
    /// `create`, `send`, `receive`, `process`, `settle`.
    pub(in crate::web) operation: Option<String>,
    /// `failed`: only spans that failed. `ok`: only traces in which no noted span failed.
    pub(in crate::web) outcome: Option<String>,
    /// Spans that took at least so long: `250ms`, `2s`.
    pub(in crate::web) at_least: Option<String>,
    /// Start of the range, inclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(in crate::web) from: Option<TimeParam>,
    /// End of the range, exclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(in crate::web) to: Option<TimeParam>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub(in crate::web) cursor: Option<CursorParam>,
    /// Matching spans at most, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    pub(in crate::web) limit: Option<LimitParam>,
}

impl TracesQuery {
    /// What to search for; names the field that cannot be read.
    pub(in crate::web) fn filter(&self) -> Result<TraceFilter, Error> {
        let operation =
            self.operation.as_deref().map(|word| word.parse::<Operation>().map_err(|error| Error::field("operation", error.to_string())));
        let failed = match self.outcome.as_deref() {
            None | Some("") => None,
            Some("failed") => Some(true),
            Some("ok") => Some(false),
            Some(_) => return Err(Error::field("outcome", "outcome should be \"failed\", \"ok\" or be left out")),
        };
        let at_least = self.at_least.as_deref().map(|text| {
            let duration = crate::config::values::parse_duration(text.trim());
            let micros = duration.and_then(|duration| i64::try_from(duration.as_micros()).ok());
            micros.ok_or_else(|| Error::field("at_least", "at_least should be a duration such as \"250ms\" or \"2s\""))
        });
        if self.from.zip(self.to).is_some_and(|(from, to)| from.0 >= to.0) {
            return Err(Error::field("from", "from lies before to"));
        }
        let text = |value: &Option<String>| value.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(TraceFilter {
            bus: text(&self.bus),
            service: text(&self.service),
            topic: text(&self.topic),
            consumer_group: text(&self.consumer_group),
            operation: operation.transpose()?,
            failed,
            at_least_us: at_least.transpose()?,
            from: self.from.map(|time| time.0),
            to: self.to.map(|time| time.0),
        })
    }
}

/// A trace as a search finds it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::web) struct TraceRow {
    /// Its id, 32 hexadecimal digits.
    pub(in crate::web) trace_id: String,
    /// When its first noted span started.
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::web) started_at: Timestamp,
    /// From the start of the first to the end of the last noted span.
    pub(in crate::web) duration_seconds: f64,
    /// Name of its first noted span.
    pub(in crate::web) name: String,
    /// Services in it, in the order of names.
    pub(in crate::web) services: Vec<String>,
    /// Topics in it, in the order of names.
    pub(in crate::web) topics: Vec<String>,
    /// Spans that touched a message, failed or began the trace; 200 at most.
    pub(in crate::web) noted_spans: usize,
    /// Spans that match the search.
    pub(in crate::web) matching_spans: usize,
    /// Whether one of them failed.
    pub(in crate::web) failed: bool,
}

/// A page of what a search has found.
#[derive(Debug)]
pub(in crate::web) struct Found {
    /// Traces, the one with the newest matching span first.
    pub(in crate::web) items: Vec<TraceRow>,
    /// Where the next page begins.
    pub(in crate::web) next_cursor: Option<String>,
    /// Everything that started at this time or later was looked at.
    pub(in crate::web) searched_back_to: Option<Timestamp>,
}

/// What a search has found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TraceList {
    /// Traces, the one with the newest matching span first.
    items: Vec<TraceRow>,
    /// Where the next page begins.
    next_cursor: Option<String>,
    /// Everything that started at this time or later was looked at.
    #[schema(value_type = Option<String>, format = DateTime)]
    searched_back_to: Option<Timestamp>,
    /// What is missing or not exact in traces and in the figures of spans, since Redrive began.
    losses: Vec<SpanLossShape>,
}

/// Something that is missing or not exact.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SpanLossShape {
    /// `hot`, `kept`: dropped before its time. `uncounted`: dropped before it was in any figure. `topic`: removed from a topic of spans before it was read. `repeats`: repeats were not known
    /// for the whole ten minutes. `unpaired`: taken by a consumer, and the producer's span was not found, so that its time in the broker and
    /// end to end is in no figure. `skewed`: taken before it was sent, as the clocks differ. `unplaced`: on which of several buses is not
    /// known. `crowded`: counted without topic and consumer group. `uncompared`: nobody knows whether it was
    /// slow, as too few of its kind came before it or there are too many kinds.
    what: String,
    /// How many spans (of `topic`: records; of `unpaired` and `skewed`: deliveries); 0 for `repeats`.
    spans: u64,
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
}

impl From<&SpanLoss> for SpanLossShape {
    fn from(loss: &SpanLoss) -> Self {
        Self { what: loss.what.clone(), spans: loss.spans, last_at: loss.last_at }
    }
}

/// Searches; the newest first. A page may be empty and have a cursor while the search goes on.
#[utoipa::path(get, path = "/traces", tag = "traces", params(TracesQuery), responses((status = 200, body = TraceList), (status = 422, body = Problem)))]
async fn list(_: Viewer, State(state): State<WebState>, Query(query): Query<TracesQuery>) -> Result<Json<TraceList>, Error> {
    let found = search(&state, query, 100).await?;
    let losses = state.store().list_span_losses().await?.iter().map(SpanLossShape::from).collect();
    let Found { items, next_cursor, searched_back_to } = found;
    Ok(Json(TraceList { items, next_cursor, searched_back_to, losses }))
}

/// Searches, for a page or the API.
pub(in crate::web) async fn search(state: &WebState, query: TracesQuery, rows: u32) -> Result<Found, Error> {
    let filter = query.filter()?;
    let page = LimitParam::page(query.cursor, query.limit, rows);
    let found = state.store().search_spans(&filter, page.cursor.as_ref(), page.limit).await?;
    let mut order: Vec<(TraceId, usize)> = Vec::new();
    for span in &found.spans {
        match order.iter_mut().find(|(trace, _)| *trace == span.trace_id) {
            Some((_, matching)) => *matching += 1,
            None => order.push((span.trace_id, 1)),
        }
    }
    let mut items = Vec::with_capacity(order.len());
    for (trace, matching) in order {
        let spans = state.store().list_noted_of_trace(trace, SPANS_OF_ROW).await?;
        // One span went well, and another one of the trace did not.
        items.extend(row(&spans, matching).filter(|row| filter.failed.is_none_or(|failed| row.failed == failed)));
    }
    let next_cursor = found.next_cursor.map(|cursor| cursor.to_string());
    Ok(Found { items, next_cursor, searched_back_to: found.searched_back_to })
}

fn row(spans: &[NotedSpan], matching: usize) -> Option<TraceRow> {
    let first = spans.first()?;
    let end = |span: &NotedSpan| span.started_at.as_millis().saturating_mul(1_000).saturating_add(span.duration_us);
    let last = spans.iter().map(end).max()?;
    let names = |of: fn(&NotedSpan) -> Option<&String>| -> Vec<String> {
        spans.iter().filter_map(of).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    };
    Some(TraceRow {
        trace_id: first.trace_id.to_string(),
        started_at: first.started_at,
        duration_seconds: seconds(last.saturating_sub(first.started_at.as_millis().saturating_mul(1_000))),
        name: first.name.clone(),
        services: names(|span| Some(&span.service)),
        topics: names(|span| span.topic.as_ref()),
        noted_spans: spans.len(),
        matching_spans: matching,
        failed: spans.iter().any(|span| span.failed),
    })
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a trace")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// One span.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SpanShape {
    span_id: String,
    parent_span_id: Option<String>,
    service: String,
    name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer`, `unspecified`.
    kind: &'static str,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Nanoseconds since the Unix epoch.
    start_unix_nano: String,
    duration_seconds: f64,
    /// For how long the trace's end waited for this span's own work: its time on the critical path.
    critical_seconds: f64,
    failed: bool,
    status_message: String,
    error_type: Option<String>,
    /// What it did with messages.
    messaging: Option<MessagingShape>,
    /// As sent, values as text.
    attributes: Vec<(String, String)>,
    /// Of the sending process.
    resource: Vec<(String, String)>,
    events: Vec<EventShape>,
    links: Vec<LinkShape>,
}

/// What a span did with messages, whichever names its instrumentation used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MessagingShape {
    system: String,
    operation: &'static str,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    consumer_group: Option<String>,
}

/// Something that happened during a span.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EventShape {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    name: String,
    attributes: Vec<(String, String)>,
}

/// A link between spans.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LinkShape {
    /// The span that names the other.
    from_trace_id: String,
    from_span_id: String,
    /// The span that is named.
    to_trace_id: String,
    to_span_id: String,
}

/// One trace.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TraceShape {
    trace_id: String,
    /// Spans in the order of their start.
    spans: Vec<SpanShape>,
    /// Whether the trace has more spans than these: they came in more pieces than are read for one trace.
    truncated: bool,
    /// Links to other traces and from them.
    links: Vec<LinkShape>,
    /// Why it is kept beyond the time of all spans: `failed`, `slow`, `dead_lettered`, `replayed`, `pinned`, `baseline`, `linked`.
    kept: Vec<&'static str>,
    /// Ids of dead letters whose headers name it.
    dead_letters: Vec<String>,
}

/// One trace with all of its spans.
#[utoipa::path(get, path = "/traces/{trace_id}", tag = "traces", params(("trace_id" = String, Path, description = "Id of the trace.")), responses((status = 200, body = TraceShape), (status = 404, body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<TraceShape>, Error> {
    let (id, trace) = find(&state, &id).await?;
    let links = trace.links_from.iter().chain(&trace.links_to).map(LinkShape::from).collect();
    let kept = trace.kept.map_or_else(Vec::new, |(reasons, _)| reasons.words());
    let dead_letters = state.store().list_letters_of_trace(id).await?.iter().map(ToString::to_string).collect();
    let critical = by_span(&critical_path(&trace.spans));
    let waited_for = |span: &Span| critical.get(&span.span_id).map_or(0, |segments| length(segments));
    let spans = trace.spans.iter().map(|span| SpanShape::new(span, waited_for(span))).collect();
    Ok(Json(TraceShape { trace_id: id.to_string(), spans, truncated: trace.truncated, links, kept, dead_letters }))
}

/// A trace by the id in a path.
pub(in crate::web) async fn find(state: &WebState, id: &str) -> Result<(TraceId, StoredTrace), Error> {
    let id: TraceId = id.parse().map_err(|_| Error::NotFound("trace"))?;
    let trace = state.store().find_trace(id).await?;
    if trace.spans.is_empty() {
        return Err(Error::NotFound("trace"));
    }
    Ok((id, trace))
}

/// Keeps a trace beyond the time of all spans, with those that are linked with it.
#[utoipa::path(post, path = "/traces/{trace_id}/pin", tag = "traces", params(("trace_id" = String, Path, description = "Id of the trace.")), responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn pin(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    pin_trace(&state, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pins, for a page or the API.
pub(in crate::web) async fn pin_trace(state: &WebState, caller: &super::super::extract::Caller, id: &str) -> Result<(), Error> {
    let (id, _) = find(state, id).await?;
    state.store().keep_traces(&[(id, KeepReasons::PINNED)], caller.now).await?;
    let entry = AuditEntry {
        id: 0,
        at: caller.now,
        actor: caller.actor.clone(),
        action: "trace.pin".to_owned(),
        target: id.to_string(),
        count: Some(1),
        result: "done".to_owned(),
    };
    state.store().record_audit(&entry).await?;
    state.changes().publish(crate::lifecycle::changes::Noun::Audit);
    Ok(())
}

impl From<&TraceLink> for LinkShape {
    fn from(link: &TraceLink) -> Self {
        Self {
            from_trace_id: link.from.0.to_string(),
            from_span_id: link.from.1.to_string(),
            to_trace_id: link.to.0.to_string(),
            to_span_id: link.to.1.to_string(),
        }
    }
}

impl SpanShape {
    /// With its time on the critical path, in nanoseconds.
    fn new(span: &Span, critical: i64) -> Self {
        let from = (span.trace_id, span.span_id);
        let messaging = span.messaging.as_deref().map(|messaging| MessagingShape {
            system: messaging.system.to_string(),
            operation: messaging.operation.as_str(),
            topic: messaging.destination.clone(),
            partition: messaging.partition,
            offset: messaging.offset,
            consumer_group: messaging.consumer_group.clone(),
        });
        Self {
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
            service: span.service.to_string(),
            name: span.name.clone(),
            kind: span.kind.as_str(),
            started_at: span.started_at(),
            start_unix_nano: span.start.to_string(),
            duration_seconds: span.duration().as_secs_f64(),
            critical_seconds: seconds(critical.div_euclid(1_000)),
            failed: span.failed(),
            status_message: span.status_message.clone(),
            error_type: span.error_type.clone(),
            messaging,
            attributes: shown(&span.attributes),
            resource: shown(&span.resource),
            events: span
                .events
                .iter()
                .map(|event| EventShape {
                    at: Timestamp::from_millis(event.at.div_euclid(1_000_000)),
                    name: event.name.clone(),
                    attributes: shown(&event.attributes),
                })
                .collect(),
            links: span.links.iter().map(|link| LinkShape::from(&TraceLink { from, to: (link.trace_id, link.span_id) })).collect(),
        }
    }
}

/// Attributes as text.
pub(in crate::web) fn shown(attributes: &[Attribute]) -> Vec<(String, String)> {
    attributes.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Map(values) => {
            format!("{{{}}}", values.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect::<Vec<_>>().join(", "))
        }
    }
}
