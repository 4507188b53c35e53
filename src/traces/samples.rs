//! Spans for tests of this room.

use std::sync::Arc;

use crate::model::span::samples::plain;
use crate::model::span::{LinkCoordinates, Messaging, Operation, Span, SpanId, SpanKind, SpanLink, TraceId};

/// Nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// A span of one second in a trace; ids from small numbers.
pub(super) fn span(trace: u8, id: u8, parent: Option<u8>, start: i64) -> Span {
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent: parent.map(|parent| SpanId([parent; 8])),
        service: Arc::from("shop"),
        name: String::new(),
        kind: SpanKind::Internal,
        start: start * SECOND,
        end: (start + 1) * SECOND,
        ..plain()
    }
}

/// The same, touching topic `orders`.
pub(super) fn on(mut span: Span, operation: Operation, place: Option<(i32, i64)>) -> Span {
    let mut messaging = Messaging::new("kafka".into(), operation);
    messaging.destination = Some("orders".to_owned());
    messaging.partition = place.map(|(partition, _)| partition);
    messaging.offset = place.map(|(_, offset)| offset);
    span.messaging = Some(Box::new(messaging));
    span
}

/// The same, of another service.
pub(super) fn of(mut span: Span, service: &str) -> Span {
    span.service = Arc::from(service);
    span
}

/// The same, with links.
pub(super) fn linked(mut span: Span, to: &[(u8, u8)]) -> Span {
    let link = |(trace, id): &(u8, u8)| SpanLink {
        trace_id: TraceId([*trace; 16]),
        span_id: SpanId([*id; 8]),
        attributes: Vec::new(),
        coordinates: LinkCoordinates::default(),
    };
    span.links = to.iter().map(link).collect();
    span
}
