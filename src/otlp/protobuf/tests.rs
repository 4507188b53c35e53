use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent, Status};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::model::span::{Attribute, Dropped, Span, SpanKind, SpanStatus, samples};

fn key_value(name: &str, value: &Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(sent_value(value)), ..KeyValue::default() }
}

fn sent_value(value: &Value) -> AnyValue {
    use any_value::Value as Sent;
    let value = match value {
        Value::Empty => None,
        Value::String(text) => Some(Sent::StringValue(text.clone())),
        Value::Bool(truth) => Some(Sent::BoolValue(*truth)),
        Value::Int(number) => Some(Sent::IntValue(*number)),
        Value::Double(number) => Some(Sent::DoubleValue(*number)),
        Value::Bytes(bytes) => Some(Sent::BytesValue(bytes.clone())),
        Value::List(values) => Some(Sent::ArrayValue(ArrayValue { values: values.iter().map(sent_value).collect() })),
        Value::Map(values) => Some(Sent::KvlistValue(KeyValueList { values: attributes(values) })),
    };
    AnyValue { value }
}

fn attributes(attributes: &[Attribute]) -> Vec<KeyValue> {
    attributes.iter().map(|(name, value)| key_value(name, value)).collect()
}

/// A span as an SDK sends it.
fn sent(span: &Span) -> Sent {
    Sent {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span.parent.map(|id| id.0.to_vec()).unwrap_or_default(),
        flags: span.parent_remote.map_or(1, |remote| 0x101 | u32::from(remote) << 9),
        name: span.name.clone(),
        kind: i32::from(span.kind.code()),
        start_time_unix_nano: span.start.unsigned_abs(),
        end_time_unix_nano: span.end.unsigned_abs(),
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped.attributes,
        events: span
            .events
            .iter()
            .map(|event| Event {
                time_unix_nano: event.at.unsigned_abs(),
                name: event.name.clone(),
                attributes: attributes(&event.attributes),
                dropped_attributes_count: 0,
            })
            .collect(),
        dropped_events_count: span.dropped.events,
        links: span
            .links
            .iter()
            .map(|link| Link {
                trace_id: link.trace_id.0.to_vec(),
                span_id: link.span_id.0.to_vec(),
                attributes: attributes(&link.attributes),
                trace_state: "vendor=1".to_owned(),
                ..Link::default()
            })
            .collect(),
        dropped_links_count: span.dropped.links,
        status: Some(Status { message: span.status_message.clone(), code: i32::from(span.status.code()) }),
        trace_state: "vendor=1".to_owned(),
    }
}

fn request(resource: &[Attribute], scope: &str, spans: Vec<Sent>) -> Vec<u8> {
    let scope = InstrumentationScope { name: scope.to_owned(), version: "1".to_owned(), ..InstrumentationScope::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: attributes(resource), ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: "s".to_owned() }],
            schema_url: "s".to_owned(),
        }],
    }
    .encode_to_vec()
}

/// A field of bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

/// A request with these spans, as bytes that no encoder would write.
fn by_hand(spans: &[&[u8]]) -> Vec<u8> {
    let scope_spans: Vec<u8> = spans.iter().flat_map(|span| field(0x12, span)).collect();
    field(0x0a, &field(0x12, &scope_spans))
}

/// A span that is in order.
fn plain() -> Sent {
    Sent { trace_id: vec![1; 16], span_id: vec![2; 8], start_time_unix_nano: 10, end_time_unix_nano: 30, ..Sent::default() }
}

fn one(span: Sent) -> Result<Span, String> {
    let mut batch = decode(&request(&[], "", vec![span])).expect("is a request");
    batch.spans.pop().map(|span| *span).ok_or_else(|| batch.reasons().expect("says why"))
}

#[test]
fn a_batch_says_of_which_process_and_instrumentation_its_spans_are() {
    let resource = [("service.name".into(), Value::from("billing")), ("service.instance.id".into(), Value::from("pod-1"))];
    let batch = decode(&request(&resource, "kafka-clients", vec![plain(), plain()])).unwrap();
    for span in &batch.spans {
        assert_eq!((&*span.service, span.service_instance.as_deref(), &*span.scope), ("billing", Some("pod-1"), "kafka-clients"));
        assert_eq!(*span.resource, resource);
        assert!(Arc::ptr_eq(&span.resource, &batch.spans[0].resource));
    }
    assert_eq!(one(plain()).unwrap().service.as_ref(), "unknown_service");
}

#[test]
fn a_resource_behind_its_spans_is_still_theirs() {
    let resource = ResourceSpans {
        resource: Some(Resource { attributes: attributes(&[("service.name".into(), Value::from("late"))]), ..Resource::default() }),
        ..ResourceSpans::default()
    };
    let spans =
        ResourceSpans { scope_spans: vec![ScopeSpans { spans: vec![plain()], ..ScopeSpans::default() }], ..ResourceSpans::default() };
    let mut inner = spans.encode_to_vec();
    inner.extend(resource.encode_to_vec());
    let mut bytes = vec![0x0a, u8::try_from(inner.len()).unwrap()];
    bytes.extend(inner);
    assert_eq!(decode(&bytes).unwrap().spans[0].service.as_ref(), "late");
}

#[test]
fn one_bad_span_costs_itself_only_and_the_sender_hears_why() {
    let spans = vec![
        plain(),
        Sent { trace_id: vec![0; 16], ..plain() },
        Sent { trace_id: vec![1; 8], ..plain() },
        Sent { span_id: Vec::new(), ..plain() },
        Sent { parent_span_id: vec![1; 3], ..plain() },
        Sent { start_time_unix_nano: 0, ..plain() },
        Sent { start_time_unix_nano: u64::MAX, ..plain() },
        plain(),
    ];
    let batch = decode(&request(&[], "", spans)).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected()), (2, 6));
    assert_eq!(
        batch.reasons().unwrap(),
        "6 of 8 spans were not taken: 2: trace id is not 16 bytes, or all zero; 1: span id is not 8 bytes, or all zero; \
         1: parent span id is not 8 bytes; 2: start time is missing, or beyond the year 2262"
    );
}

#[test]
fn damage_inside_of_a_span_costs_that_span_only() {
    let mut damaged = plain().encode_to_vec();
    damaged.extend([0x4a, 0x7f]);
    let good = plain().encode_to_vec();
    let bytes = by_hand(&[&good, &damaged, &good]);
    let batch = decode(&bytes).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected()), (2, 1));
    assert!(batch.reasons().unwrap().ends_with("1: the span's bytes are damaged"));
}

#[test]
fn text_that_is_not_utf_8_is_shown_as_well_as_it_can_be() {
    let mut span = plain().encode_to_vec();
    span.extend([0x2a, 3, b'a', 0xff, b'b']);
    let bytes = by_hand(&[&span]);
    assert_eq!(decode(&bytes).unwrap().spans[0].name, "a\u{fffd}b");
}

#[test]
fn an_end_before_the_start_is_taken_and_marked() {
    let span = one(Sent { end_time_unix_nano: 5, ..plain() }).unwrap();
    assert_eq!((span.start, span.end, span.ended_before_start), (10, 10, true));
    let span = one(plain()).unwrap();
    assert_eq!((span.start, span.end, span.ended_before_start), (10, 30, false));
}

#[test]
fn a_parent_of_zeros_is_none_and_a_broken_link_is_counted_as_dropped() {
    let links = vec![
        Link { trace_id: vec![1; 16], span_id: vec![0; 8], ..Link::default() },
        Link { trace_id: vec![1; 16], span_id: vec![3; 8], ..Link::default() },
    ];
    let span = one(Sent { parent_span_id: vec![0; 8], links, dropped_links_count: 2, ..plain() }).unwrap();
    assert_eq!((span.parent, span.links.len()), (None, 1));
    assert_eq!(span.dropped, Dropped { links: 3, ..Dropped::default() });
}

#[test]
fn the_last_exception_counts() {
    let event = |class: &str, escaped: &Value| Event {
        name: "exception".to_owned(),
        attributes: attributes(&[
            ("exception.type".into(), Value::from(class)),
            ("exception.message".into(), Value::from("boom")),
            ("exception.escaped".into(), escaped.clone()),
        ]),
        ..Event::default()
    };
    let events = vec![
        event("First", &Value::Bool(false)),
        event("Last", &Value::from("True")),
        Event { name: "retry".to_owned(), ..Event::default() },
    ];
    let span = one(Sent { events, ..plain() }).unwrap();
    assert!(span.failed());
    let exception = span.exception.expect("there are two");
    assert_eq!((exception.class.as_deref(), exception.message.as_deref(), exception.escaped), (Some("Last"), Some("boom"), true));
}

#[test]
fn numbers_of_enums_that_nobody_knows_are_not_said() {
    let span = one(Sent { kind: 99, status: Some(Status { code: -3, ..Status::default() }), ..plain() }).unwrap();
    assert_eq!((span.kind, span.status), (SpanKind::Unspecified, SpanStatus::Unset));
}

#[test]
fn values_nested_too_deep_cost_the_span() {
    let nested = |levels| (0..levels).fold(Value::Int(1), |value, _| Value::List(vec![value]));
    let span = |levels| Sent { attributes: vec![key_value("deep", &nested(levels))], ..plain() };
    assert!(one(span(32)).is_ok());
    assert!(one(span(33)).unwrap_err().contains("nested more than 32 levels deep"));
    // Thousands of levels fit into a request and would end a thread that followed them.
    let deep = (0..5_000).fold(vec![0x18, 1], |value, _| field(0x2a, &field(0x0a, &value)));
    let mut span = plain().encode_to_vec();
    span.extend(field(0x4a, &field(0x12, &deep)));
    assert_eq!(decode(&by_hand(&[&span])).unwrap().rejected(), 1);
}

#[test]
fn a_request_of_more_parts_than_memory_should_hold_is_too_large() {
    let mut span = plain().encode_to_vec();
    span.extend([0x4a, 0].repeat(MOST_PARTS));
    assert_eq!(decode(&by_hand(&[&span])).unwrap_err(), Undecodable::TooMany);
}

#[test]
fn nothing_is_a_request_without_spans_and_text_is_none() {
    assert!(decode(&[]).unwrap().spans.is_empty());
    assert!(matches!(decode(b"{\"resourceSpans\":[]}").unwrap_err(), Undecodable::Malformed(_)));
}

proptest! {
    /// What the official types write is read as they mean it.
    #[test]
    fn every_span_is_read_as_the_official_types_write_it(span in samples::span(), start in 1..i64::MAX, took in 0..1_000_000_i64) {
        let mut span = span;
        (span.start, span.end) = (start, start.saturating_add(took));
        for event in &mut span.events {
            event.at = event.at.saturating_abs();
        }
        let read = one(sent(&span)).unwrap();
        prop_assert_eq!(&read.attributes, &span.attributes);
        prop_assert_eq!(&read.events, &span.events);
        prop_assert_eq!((read.trace_id, read.span_id, read.parent), (span.trace_id, span.span_id, span.parent));
        prop_assert_eq!((read.start, read.end, read.kind, read.status), (span.start, span.end, span.kind, span.status));
        prop_assert_eq!((&read.name, &read.status_message, read.dropped), (&span.name, &span.status_message, span.dropped));
        prop_assert_eq!(read.parent_remote, span.parent.and(span.parent_remote));
        let links = |span: &Span| span.links.iter().map(|link| (link.trace_id, link.span_id, link.attributes.clone())).collect::<Vec<_>>();
        prop_assert_eq!(links(&read), links(&span));
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn damage_never_panics(span in samples::span(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = request(&span.resource, &span.scope, vec![sent(&span), plain()]);
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let _ = decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes);
    }

    /// Whatever the official decoder takes, ours takes too.
    #[test]
    fn nothing_that_the_official_types_take_is_refused(span in samples::span(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = request(&span.resource, &span.scope, vec![sent(&span)]);
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if ExportTraceServiceRequest::decode(bytes.as_slice()).is_ok() {
            prop_assert!(decode(&bytes).is_ok());
        }
    }
}
