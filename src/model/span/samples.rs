//! Spans for tests.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A span with nothing but what every span has.
pub(crate) fn plain() -> Span {
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent: None,
        parent_remote: None,
        service: "orders".into(),
        service_instance: None,
        scope: "".into(),
        name: "orders process".to_owned(),
        kind: SpanKind::Consumer,
        start: 1_700_000_000_123_456_789,
        end: 1_700_000_000_223_456_789,
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

/// Any value, a few levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        "\\PC{0,20}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        // NaN equals nothing, not even itself; the table of cases has it.
        any::<f64>().prop_filter("is a number", |number| !number.is_nan()).prop_map(Value::Double),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec(("[a-c.]{0,3}".prop_map(Arc::from), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    proptest::collection::vec(("[a-e.]{0,4}".prop_map(Arc::from), value()), 0..5)
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    any::<[u8; 16]>().prop_filter_map("not zero", |bytes| TraceId::from_bytes(&bytes))
}

fn span_id() -> impl Strategy<Value = SpanId> {
    any::<[u8; 8]>().prop_filter_map("not zero", |bytes| SpanId::from_bytes(&bytes))
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{0,8}")
}

fn messaging() -> impl Strategy<Value = Messaging> {
    let names = (text(), text(), text(), text(), text(), text(), text());
    let numbers = (any::<Option<i32>>(), any::<Option<i64>>(), any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<i64>>());
    (proptest::sample::select(Operation::ALL), names, numbers, any::<(bool, bool)>(), "kafka|aws_sqs").prop_map(
        |(operation, names, numbers, flags, system)| Messaging {
            system: system.into(),
            operation,
            destination: names.0,
            partition: numbers.0,
            offset: numbers.1,
            consumer_group: names.1,
            client_id: names.2,
            message_id: names.3,
            conversation_id: names.4,
            key_present: flags.0,
            tombstone: flags.1,
            batch_count: numbers.2,
            cluster_id: names.5,
            broker: names.6,
            body_size_bytes: numbers.3,
            queue_time_ms: numbers.4,
        },
    )
}

fn link() -> impl Strategy<Value = SpanLink> {
    (trace_id(), span_id(), attributes(), text(), any::<Option<i32>>(), any::<Option<i64>>(), text()).prop_map(
        |(trace_id, span_id, attributes, destination, partition, offset, message_id)| SpanLink {
            trace_id,
            span_id,
            attributes,
            coordinates: LinkCoordinates { destination, partition, offset, message_id },
        },
    )
}

fn event() -> impl Strategy<Value = SpanEvent> {
    (any::<i64>(), "[a-c]{0,3}", attributes()).prop_map(|(at, name, attributes)| SpanEvent { at, name, attributes })
}

prop_compose! {
    fn outcome()(
        status in proptest::sample::select(SpanStatus::ALL),
        message in "\\PC{0,8}",
        error_type in text(),
        exception in proptest::option::of((text(), text(), any::<bool>())),
        dropped in any::<(u32, u32, u32)>(),
    ) -> (SpanStatus, String, Option<String>, Option<SpanException>, Dropped) {
        let exception = exception.map(|(class, message, escaped)| SpanException { class, message, escaped });
        (status, message, error_type, exception, Dropped { attributes: dropped.0, events: dropped.1, links: dropped.2 })
    }
}

prop_compose! {
    /// Any span.
    pub(crate) fn span()(
        trace_id in trace_id(),
        span_id in span_id(),
        parent in proptest::option::of(span_id()),
        names in ("[a-c]{0,3}", proptest::option::of("[a-c]{0,3}"), "[a-c]{0,3}", "[a-c ]{0,5}"),
        kind in proptest::sample::select(SpanKind::ALL),
        times in any::<(i64, i64, bool, Option<bool>)>(),
        outcome in outcome(),
        attributes in attributes(),
        resource in attributes(),
        events in proptest::collection::vec(event(), 0..3),
        links in proptest::collection::vec(link(), 0..3),
        messaging in proptest::option::of(messaging()),
    ) -> Span {
        let (status, status_message, error_type, exception, dropped) = outcome;
        Span {
            trace_id,
            span_id,
            parent,
            parent_remote: times.3,
            service: names.0.into(),
            service_instance: names.1.map(Arc::from),
            scope: names.2.into(),
            name: names.3,
            kind,
            start: times.0,
            end: times.1,
            ended_before_start: times.2,
            status,
            status_message,
            error_type,
            exception,
            attributes,
            resource: resource.into(),
            events,
            links,
            dropped,
            messaging: messaging.map(Box::new),
        }
    }
}
