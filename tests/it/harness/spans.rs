//! Spans as the store takes them, for tests that need no sender.

use std::sync::Arc;

use redrive::model::span::{Dropped, Span, SpanId, SpanKind, SpanStatus, TraceId};

/// A span of these ids that says nothing: the rest is given by whoever needs it.
pub(crate) fn bare(trace_id: TraceId, span_id: SpanId) -> Span {
    Span {
        trace_id,
        span_id,
        parent: None,
        parent_remote: None,
        service: Arc::from(""),
        service_instance: None,
        scope: Arc::from(""),
        name: String::new(),
        kind: SpanKind::Unspecified,
        start: 0,
        end: 0,
        ended_before_start: false,
        status: SpanStatus::Unset,
        status_message: String::new(),
        error_type: None,
        exception: None,
        attributes: Vec::new(),
        resource: Arc::from([]),
        events: Vec::new(),
        links: Vec::new(),
        dropped: Dropped::default(),
        messaging: None,
    }
}
