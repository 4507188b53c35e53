//! The trace of a replayed message: a producer span of ours in a trace of its own, with a link to the trace in which the message was sent
//! first. Where no collector is named the context is made up, so that the message's new way is a trace all the same.

use std::fmt::Write as _;
use std::sync::OnceLock;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// From now on replayed messages have spans.
pub(super) fn begin(tracer: SdkTracer) {
    // A second start in one process keeps the first collector.
    let _ = TRACER.set(tracer);
}

/// What a span says of a replayed message.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// The consumer group that failed on it.
    pub consumer_group: Option<&'a str>,
    /// The replay that sends it.
    pub replay_id: &'a str,
    /// The message's id over all replays.
    pub message_id: &'a str,
    /// Value of its first `traceparent`, as its headers have it.
    pub original: Option<&'a [u8]>,
}

/// The `traceparent` under which a message is sent again (W3C Trace Context, version 00, sampled).
#[must_use]
pub fn traceparent(message: Replayed<'_>) -> String {
    TRACER.get().map_or_else(made_up, |tracer| traced(tracer, message))
}

fn traced(tracer: &SdkTracer, message: Replayed<'_>) -> String {
    let mut attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.type", "send"),
        KeyValue::new("messaging.destination.name", message.topic.to_owned()),
        KeyValue::new("redrive.replay_id", message.replay_id.to_owned()),
        KeyValue::new("redrive.message_id", message.message_id.to_owned()),
    ];
    attributes.extend(message.consumer_group.map(|group| KeyValue::new("redrive.consumer_group", group.to_owned())));
    let links = message.original.and_then(parse).map(|original| Link::new(original, Vec::new(), 0)).into_iter().collect();
    let span = tracer.span_builder(format!("send {}", message.topic)).with_kind(SpanKind::Producer).with_attributes(attributes);
    let span = tracer.build_with_context(span.with_links(links), &Context::new());
    let context = Context::new().with_span(span);
    let context = context.span().span_context().clone();
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

/// Reads a `traceparent` of version 00, with any flags.
fn parse(value: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sizes = (version.len(), trace.len(), span.len(), flags.len());
    if version != "00" || sizes != (2, 32, 16, 2) || parts.next().is_some() {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

fn made_up() -> String {
    let mut bytes = [0_u8; 24];
    // Without random bytes the trace would only be shared with another message's.
    let _ = getrandom::fill(&mut bytes);
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    for (place, byte) in bytes.iter().enumerate() {
        if place == 16 {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text.push_str("-01");
    text
}

#[cfg(test)]
mod tests {
    use super::{Replayed, parse, traceparent};

    #[test]
    fn a_context_is_made_up_where_nobody_collects() {
        let message = Replayed { topic: "orders", consumer_group: None, replay_id: "r", message_id: "m", original: None };
        let (one, two) = (traceparent(message), traceparent(message));
        assert_ne!(one, two);
        assert!(parse(one.as_bytes()).is_some() && one.len() == 55, "{one}");
    }

    #[test]
    fn only_a_valid_context_is_linked() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        assert_eq!(parse(good).unwrap().trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        for wrong in [
            &b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..],
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            b"00-0af7-b7ad-01",
            b"\xff",
            b"",
        ] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
