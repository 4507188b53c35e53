//! From what an encoding held to spans of our own: ids, times, exceptions, and what it says about messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::aliases::Known;
use crate::model::span::{
    Attribute, Attributes, Dropped, Span, SpanEvent, SpanException, SpanId, SpanKind, SpanLink, SpanStatus, Spans, TraceId, Value,
    attribute,
};

/// Spans that arrived together, and why others with them were not taken.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) spans: Spans,
    rejected: BTreeMap<Flaw, u64>,
}

/// Why a span is not taken. The order is that of the answer's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    TraceId,
    SpanId,
    ParentId,
    Start,
    Depth,
    Bytes,
}

impl Flaw {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "trace id is not 16 bytes, or all zero",
            Self::SpanId => "span id is not 8 bytes, or all zero",
            Self::ParentId => "parent span id is not 8 bytes",
            Self::Start => "start time is missing, or beyond the year 2262",
            Self::Depth => "an attribute's value is nested more than 32 levels deep",
            Self::Bytes => "the span's bytes are damaged",
        }
    }
}

impl Batch {
    pub(super) fn take(&mut self, span: Result<Span, Flaw>) {
        match span {
            Ok(span) => self.spans.push(Box::new(span)),
            Err(flaw) => *self.rejected.entry(flaw).or_default() += 1,
        }
    }

    /// How many spans were not taken.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Why, for the sender; `None` when all were taken.
    pub(super) fn reasons(&self) -> Option<String> {
        if self.rejected.is_empty() {
            return None;
        }
        let mut text = format!("{} of {} spans were not taken", self.rejected(), self.rejected() + self.spans.len() as u64);
        for (position, (flaw, count)) in self.rejected.iter().enumerate() {
            let _ = write!(text, "{} {count}: {}", if position == 0 { ":" } else { ";" }, flaw.as_str());
        }
        Some(text)
    }
}

/// The process that spans come from.
#[derive(Debug, Clone)]
pub(super) struct Process {
    attributes: Attributes,
    service: Arc<str>,
    instance: Option<Arc<str>>,
}

impl Process {
    pub(super) fn new(attributes: Vec<Attribute>) -> Self {
        let text = |name| attribute(&attributes, name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Self {
            // What SDKs write themselves when nobody named the service.
            service: text("service.name").unwrap_or("unknown_service").into(),
            instance: text("service.instance.id").map(Arc::from),
            attributes: attributes.into(),
        }
    }
}

/// An id as sent, of whatever length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawId {
    length: usize,
    bytes: [u8; 16],
}

impl RawId {
    pub(super) fn new(sent: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let known = sent.len().min(bytes.len());
        bytes[..known].copy_from_slice(&sent[..known]);
        Self { length: sent.len(), bytes }
    }

    fn trace(&self) -> Option<TraceId> {
        if self.length == 16 { TraceId::from_bytes(&self.bytes) } else { None }
    }

    fn span(&self) -> Option<SpanId> {
        if self.length == 8 { SpanId::from_bytes(&self.bytes[..8]) } else { None }
    }

    /// Nothing, or zeros in the place of nothing.
    fn parent(&self) -> Result<Option<SpanId>, Flaw> {
        if self.length == 0 || self.length == 8 { Ok(self.span()) } else { Err(Flaw::ParentId) }
    }
}

/// A span as an encoding held it.
#[derive(Debug, Default)]
pub(super) struct RawSpan {
    pub(super) trace_id: RawId,
    pub(super) span_id: RawId,
    pub(super) parent: RawId,
    pub(super) flags: u32,
    pub(super) name: String,
    pub(super) kind: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<Attribute>,
    pub(super) events: Vec<RawEvent>,
    pub(super) links: Vec<RawLink>,
    pub(super) dropped: Dropped,
    pub(super) status_code: i64,
    pub(super) status_message: String,
}

/// An event as an encoding held it.
#[derive(Debug, Default)]
pub(super) struct RawEvent {
    pub(super) at: u64,
    pub(super) name: String,
    pub(super) attributes: Vec<Attribute>,
}

/// A link as an encoding held it.
#[derive(Debug, Default)]
pub(super) struct RawLink {
    pub(super) trace_id: RawId,
    pub(super) span_id: RawId,
    pub(super) attributes: Vec<Attribute>,
}

impl RawSpan {
    /// The span, or why it is none.
    pub(super) fn finish(self, process: &Process, scope: &Arc<str>) -> Result<Span, Flaw> {
        let trace_id = self.trace_id.trace().ok_or(Flaw::TraceId)?;
        let span_id = self.span_id.span().ok_or(Flaw::SpanId)?;
        let parent = self.parent.parent()?;
        let start = i64::try_from(self.start).ok().filter(|start| *start > 0).ok_or(Flaw::Start)?;
        let end = i64::try_from(self.end).unwrap_or(i64::MAX);
        let kind = kind(self.kind);
        let known = Known::of(&self.attributes);
        let (messaging, error_type) = (known.messaging(&self.name, kind), known.error_type());
        let (links, broken_links) = links(self.links);
        Ok(Span {
            trace_id,
            span_id,
            parent,
            parent_remote: parent.and(remote(self.flags)),
            service: Arc::clone(&process.service),
            service_instance: process.instance.clone(),
            scope: Arc::clone(scope),
            kind,
            start,
            end: end.max(start),
            ended_before_start: end < start,
            status: status(self.status_code),
            status_message: self.status_message,
            error_type,
            exception: exception(&self.events),
            messaging: messaging.map(Box::new),
            name: self.name,
            attributes: self.attributes,
            resource: Arc::clone(&process.attributes),
            events: self.events.into_iter().map(RawEvent::finish).collect(),
            links,
            dropped: Dropped { links: self.dropped.links.saturating_add(broken_links), ..self.dropped },
        })
    }
}

impl RawEvent {
    fn finish(self) -> SpanEvent {
        SpanEvent { at: i64::try_from(self.at).unwrap_or(i64::MAX), name: self.name, attributes: self.attributes }
    }
}

/// Links that lead somewhere, and how many do not.
fn links(raw: Vec<RawLink>) -> (Vec<SpanLink>, u32) {
    let sent = raw.len();
    let link = |raw: RawLink| {
        let (trace_id, span_id) = raw.trace_id.trace().zip(raw.span_id.span())?;
        let coordinates = Known::of(&raw.attributes).coordinates();
        Some(SpanLink { trace_id, span_id, attributes: raw.attributes, coordinates })
    };
    let links: Vec<SpanLink> = raw.into_iter().filter_map(link).collect();
    let broken = u32::try_from(sent - links.len()).unwrap_or(u32::MAX);
    (links, broken)
}

/// The last exception: the one that ended it, when it was tried again inside.
fn exception(events: &[RawEvent]) -> Option<SpanException> {
    let event = events.iter().rev().find(|event| event.name == "exception")?;
    let text = |name| attribute(&event.attributes, name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let escaped = attribute(&event.attributes, "exception.escaped").and_then(Value::as_bool).unwrap_or(false);
    Some(SpanException { class: text("exception.type"), message: text("exception.message"), escaped })
}

/// Flags bit 8: known whether the parent is remote; bit 9: it is.
const fn remote(flags: u32) -> Option<bool> {
    if flags & 0x100 == 0 { None } else { Some(flags & 0x200 != 0) }
}

const fn kind(number: i64) -> SpanKind {
    match number {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

const fn status(number: i64) -> SpanStatus {
    match number {
        1 => SpanStatus::Ok,
        2 => SpanStatus::Error,
        _ => SpanStatus::Unset,
    }
}
