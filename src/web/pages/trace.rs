//! One trace: its spans as a waterfall, one of them in full, and the ways to other traces and to the message's journey.

use std::collections::{HashMap, HashSet};

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::journeys::bus_of;
use super::super::api::traces::{find, pin_trace, shown};
use super::super::extract::{Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::lines::seconds;
use super::super::view::number::{counted, grouped};
use super::super::view::text::short;
use super::super::view::timeline::{Bar, Timeline};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::span::{Span, SpanId, SpanKind, TraceId};
use crate::model::{BusId, Role, Timestamp};
use crate::store::spans::read::StoredTrace;
use crate::traces::critical::{Segment, by_span, critical_path, length};
use crate::traces::journey::records;

pub(super) fn routes() -> Routes {
    Routes::new().get("/traces/{trace_id}", page).post("/traces/{trace_id}/pin", pin)
}

/// Spans drawn at once.
const MOST: usize = 500;
/// Other traces named.
const MOST_OTHERS: usize = 20;
/// Deepest step that is drawn indented.
const DEEPEST: usize = 12;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PageQuery {
    /// The span that is shown in full.
    span: Option<String>,
    fold: Option<u8>,
}

struct Row {
    href: String,
    is_chosen: bool,
    indent: usize,
    icon: &'static str,
    tone: &'static str,
    service: String,
    name: String,
    took: String,
    bar: Bar,
    /// Where it lies on the critical path.
    critical: Vec<Bar>,
    /// How long, in words; empty when it does not.
    critical_took: String,
}

/// A span in full.
struct Chosen {
    name: String,
    service: String,
    kind: &'static str,
    started_at: Timestamp,
    took: String,
    failed: bool,
    failure: String,
    /// Of its record, or of its trace where it does not tell of one.
    journey: Option<Way>,
    facts: Vec<(String, String)>,
    events: Vec<(String, Vec<(String, String)>)>,
}

/// The way to a journey, and whose it is.
struct Way {
    href: String,
    words: String,
}

/// Another trace.
struct Other {
    href: String,
    id: String,
    word: &'static str,
}

#[derive(Template)]
#[template(path = "trace/page.html")]
struct TracePage {
    layout: Layout,
    id: String,
    journey: Way,
    lede: (String, String),
    /// What its end waited for most.
    slowest: Option<String>,
    line: Timeline,
    rows: Vec<Row>,
    more: usize,
    /// Whether not all of its spans were read.
    is_truncated: bool,
    chosen: Option<Chosen>,
    others: Vec<Other>,
    more_others: u64,
    letters: Vec<String>,
    kept: Vec<&'static str>,
    may_pin: bool,
    fold_href: String,
    is_folded: bool,
}

impl Page for TracePage {
    fn part(&self, _: &str, _: Timestamp) -> Option<askama::Result<String>> {
        None
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn page(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Error> {
    let (trace, stored) = find(&state, &id).await?;
    let letters = state.store().list_letters_of_trace(trace).await?;
    let is_folded = query.fold != Some(0);
    let chosen: Option<SpanId> = query.span.as_deref().and_then(|span| span.parse().ok());
    let full = chosen.and_then(|chosen| stored.spans.iter().find(|span| span.span_id == chosen));
    let bus = match full.and_then(|span| span.messaging.as_deref()) {
        Some(messaging) => bus_of(state.store(), messaging).await?,
        None => None,
    };
    let kept = stored.kept.map_or_else(Vec::new, |(reasons, _)| reasons.words());
    let line = Timeline::new(&stored.spans.iter().map(micros).collect::<Vec<_>>(), is_folded);
    let ordered = in_order(&stored.spans);
    let path = critical_path(&stored.spans);
    let critical = by_span(&path);
    let on_path = |span: &Span| critical.get(&span.span_id).map_or(&[][..], Vec::as_slice);
    let (others, more_others) = others(trace, &stored);
    let page = TracePage {
        id: trace.to_string(),
        journey: Way::of_trace(trace, &stored.spans),
        lede: lede(&stored.spans),
        slowest: slowest(&stored.spans, &path, &critical),
        rows: ordered.iter().take(MOST).map(|(span, depth)| Row::new(span, *depth, &line, chosen, on_path(span))).collect(),
        more: stored.spans.len().saturating_sub(MOST),
        is_truncated: stored.truncated,
        chosen: full.map(|span| Chosen::new(span, Way::of_span(span, bus.as_ref(), &stored.spans))),
        others,
        more_others,
        letters: letters.iter().map(ToString::to_string).collect(),
        may_pin: layout.may(Role::Operator) && !kept.contains(&"pinned"),
        kept,
        fold_href: format!("/traces/{trace}{}", if is_folded { "?fold=0" } else { "" }),
        is_folded,
        line,
        layout: layout.titled(Section::Traces, format!("Trace {}", &trace.to_string()[..8])).crumb("Traces", "/traces"),
    };
    render(&page, &partial)
}

async fn pin(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    pin_trace(&state, &caller, &id).await?;
    Ok(Redirect::to(&format!("/traces/{id}")).into_response())
}

fn micros(span: &Span) -> (i64, i64) {
    (span.start.div_euclid(1_000), span.end.div_euclid(1_000))
}

/// Each span after the one that caused it, with its depth; those whose cause is not there begin anew.
fn in_order(spans: &[Span]) -> Vec<(&Span, usize)> {
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let mut children: HashMap<Option<SpanId>, Vec<&Span>> = HashMap::new();
    for span in spans {
        let parent = span.parent.filter(|parent| known.contains(parent) && *parent != span.span_id);
        children.entry(parent).or_default().push(span);
    }
    let mut ordered = Vec::with_capacity(spans.len());
    let mut waiting: Vec<(&Span, usize)> = children.remove(&None).unwrap_or_default().into_iter().rev().map(|span| (span, 0)).collect();
    while let Some((span, depth)) = waiting.pop() {
        ordered.push((span, depth));
        let below = children.remove(&Some(span.span_id)).unwrap_or_default();
        waiting.extend(below.into_iter().rev().map(|span| (span, depth + 1)));
    }
    // Spans that name each other as their cause belong to nobody; they are shown all the same.
    let mut rest: Vec<&Span> = children.into_values().flatten().collect();
    rest.sort_by_key(|span| span.start);
    ordered.extend(rest.into_iter().map(|span| (span, 0)));
    ordered
}

fn lede(spans: &[Span]) -> (String, String) {
    let services: HashSet<&str> = spans.iter().map(|span| span.service.as_ref()).collect();
    let failed = spans.iter().filter(|span| span.failed()).count() as u64;
    let (start, end) = (spans.iter().map(|span| span.start).min().unwrap_or(0), spans.iter().map(|span| span.end).max().unwrap_or(0));
    let took = words(end - start);
    let first = if failed > 0 { format!("{} failed.", counted(failed, "span", "spans")) } else { "Nothing failed.".to_owned() };
    let rest =
        format!("{} of {} in {took}.", counted(spans.len() as u64, "span", "spans"), counted(services.len() as u64, "service", "services"));
    (first, rest)
}

/// What its end waited for most: a span's own work, or the time between two spans, in which the message lay somewhere. Nothing where one
/// span is all.
fn slowest(spans: &[Span], path: &[Segment], critical: &HashMap<SpanId, Vec<Segment>>) -> Option<String> {
    let named = |id: SpanId| {
        let span = spans.iter().find(|span| span.span_id == id)?;
        Some(format!("{} of {}", short(&span.name, 80), short(&span.service, 60)))
    };
    let (worker, worked) = critical.iter().map(|(id, segments)| (*id, length(segments))).max_by_key(|(id, length)| (*length, *id))?;
    // The last comes first.
    let gaps = path.iter().zip(path.iter().skip(1)).map(|(later, earlier)| (later.span, later.from - earlier.to));
    match gaps.max_by_key(|(_, gap)| *gap) {
        Some((next, gap)) if gap > worked => Some(format!("The longest wait was before {}: {}.", named(next)?, words(gap))),
        _ if critical.len() > 1 => Some(format!("Its end waited longest for {}: {}.", named(worker)?, words(worked))),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a trace")]
fn words(nanoseconds: i64) -> String {
    seconds(nanoseconds as f64 / 1e9)
}

/// The first few other traces, and how many more there are.
fn others(trace: TraceId, stored: &StoredTrace) -> (Vec<Other>, u64) {
    let mut seen = HashSet::from([trace]);
    let from = stored.links_from.iter().map(|link| (link.to.0, link.to.1, "linked from here"));
    let to = stored.links_to.iter().map(|link| (link.from.0, link.from.1, "links to this one"));
    let mut all: Vec<Other> = from
        .chain(to)
        .filter(|(other, ..)| seen.insert(*other))
        .map(|(other, span, word)| Other { href: format!("/traces/{other}?span={span}"), id: other.to_string()[..8].to_owned(), word })
        .collect();
    let more = all.len().saturating_sub(MOST_OTHERS);
    all.truncate(MOST_OTHERS);
    (all, more as u64)
}

impl Row {
    /// What the drawing says to whoever does not see it.
    fn label(&self) -> String {
        if self.critical_took.is_empty() {
            self.name.clone()
        } else {
            format!("{}, {} of it on the critical path", self.name, self.critical_took)
        }
    }

    fn new(span: &Span, depth: usize, line: &Timeline, chosen: Option<SpanId>, critical: &[Segment]) -> Self {
        let (from, to) = micros(span);
        let icon = match span.kind {
            _ if span.failed() => "circle-x",
            SpanKind::Producer => "send",
            SpanKind::Consumer => "users",
            SpanKind::Server => "plug",
            SpanKind::Client => "arrow-up-right",
            _ => "circle-dot",
        };
        Self {
            href: format!("?span={}#span", span.span_id),
            is_chosen: chosen == Some(span.span_id),
            indent: depth.min(DEEPEST),
            icon,
            tone: if span.failed() { "bad" } else { "" },
            service: short(&span.service, 60),
            name: short(&span.name, 120),
            took: seconds(span.duration().as_secs_f64()),
            bar: line.bar(from, to),
            critical: critical.iter().map(|one| line.bar(one.from.div_euclid(1_000), one.to.div_euclid(1_000))).collect(),
            critical_took: if critical.is_empty() { String::new() } else { words(length(critical)) },
        }
    }
}

impl Way {
    /// To the journey of the record that a span names on this bus; where it names none, or nobody knows on which bus, to its trace's.
    fn of_span(span: &Span, bus: Option<&BusId>, spans: &[Span]) -> Option<Self> {
        let messaging = span.messaging.as_deref()?;
        let place = messaging.destination.as_deref().zip(messaging.partition).zip(messaging.offset);
        let Some((bus, ((topic, partition), offset))) = bus.zip(place) else { return Some(Self::of_trace(span.trace_id, spans)) };
        let here = Address::new("/journeys").and("bus", bus.as_str()).and("topic", topic);
        let here = here.and("partition", &partition.to_string()).and("offset", &offset.to_string());
        Some(Self { href: here.to_string(), words: "Journey of this message".to_owned() })
    }

    fn of_trace(trace: TraceId, spans: &[Span]) -> Self {
        let records = records(spans);
        let several = if records > 1 { format!(", {} records", grouped(records as u64)) } else { String::new() };
        Self { href: format!("/journeys?trace_id={trace}"), words: format!("Journey of this trace{several}") }
    }
}

impl Chosen {
    fn new(span: &Span, journey: Option<Way>) -> Self {
        let messaging = span.messaging.as_deref();
        let exception = span.exception.as_ref();
        let failure = [
            exception.and_then(|exception| exception.class.clone()).or_else(|| span.error_type.clone()),
            exception.and_then(|exception| exception.message.clone()).or_else(|| Some(span.status_message.clone())),
        ];
        let mut facts: Vec<(String, String)> = Vec::new();
        if let Some(messaging) = messaging {
            let number = |number: Option<i64>| number.map(|number| grouped(number.unsigned_abs()));
            let known = [
                ("topic", messaging.destination.clone()),
                ("partition", number(messaging.partition.map(i64::from))),
                ("offset", number(messaging.offset)),
                ("consumer group", messaging.consumer_group.clone()),
                ("operation", Some(messaging.operation.as_str().to_owned())),
            ];
            facts.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), short(&value?, 300)))));
        }
        let as_text = |attributes: Vec<(String, String)>| {
            attributes.into_iter().map(|(name, value)| (short(&name, 120), short(&value, 2_000))).collect::<Vec<_>>()
        };
        facts.extend(as_text(shown(&span.attributes)));
        facts.extend(as_text(shown(&span.resource)));
        Self {
            name: short(&span.name, 200),
            service: short(&span.service, 120),
            kind: span.kind.as_str(),
            started_at: span.started_at(),
            took: seconds(span.duration().as_secs_f64()),
            failed: span.failed(),
            failure: short(&failure.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": "), 500),
            journey,
            facts,
            events: span.events.iter().take(50).map(|event| (short(&event.name, 120), as_text(shown(&event.attributes)))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trace::TraceLink;

    #[test]
    fn other_traces_beyond_those_that_are_named_are_counted_once_each() {
        let span = |number: u8| (TraceId::from_bytes(&[number; 16]).unwrap(), SpanId::from_bytes(&[number; 8]).unwrap());
        let stored = |from: u8, to: u8| StoredTrace {
            spans: Vec::new(),
            links_from: (2..2 + from).chain(2..3).map(|other| TraceLink { from: span(1), to: span(other) }).collect(),
            links_to: (100..100 + to).map(|other| TraceLink { from: span(other), to: span(1) }).collect(),
            kept: None,
            truncated: false,
        };
        for (from, to, named, more) in [(2, 3, 5, 0), (12, 8, 20, 0), (12, 11, 20, 3), (25, 0, 20, 5)] {
            let (others, left) = others(span(1).0, &stored(from, to));
            assert_eq!((others.len(), left), (named, more), "{from} from here, {to} to here");
        }
    }
}
