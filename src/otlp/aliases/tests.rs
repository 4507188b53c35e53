use std::collections::BTreeSet;

use super::table::ALIASES;
use super::*;
use crate::model::span::Operation::{Create, Other, Process, Receive, Send, Settle};
use crate::model::span::SpanKind::{Client, Consumer, Internal, Producer, Server};

type Attributes<'a> = &'a [(&'a str, Value)];

fn text(text: &str) -> Value {
    Value::from(text)
}

fn read(name: &str, kind: SpanKind, attributes: Attributes) -> Option<Messaging> {
    let attributes: Vec<Attribute> = attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Known::of(&attributes).messaging(name, kind)
}

fn messaging(name: &str, kind: SpanKind, attributes: Attributes) -> Messaging {
    read(name, kind, attributes).expect("did something on a bus")
}

/// What is expected, on top of nothing.
fn expected(operation: Operation, fill: impl FnOnce(&mut Messaging)) -> Messaging {
    let mut messaging = Messaging::new(Cow::Borrowed("kafka"), operation);
    messaging.destination = Some("orders".to_owned());
    fill(&mut messaging);
    messaging
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be missing")]
fn owned(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn no_name_stands_for_two_things() {
    let names: Vec<&str> = ALIASES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(ALIASES.len(), Field::COUNT);
}

#[test]
fn java_agent_with_its_usual_old_names() {
    let shared = [
        ("messaging.system", text("kafka")),
        ("messaging.destination.name", text("orders")),
        ("messaging.destination.partition.id", text("3")),
        ("messaging.kafka.message.offset", Value::Int(42)),
        ("messaging.client_id", text("producer-1")),
    ];
    let sent = [&shared[..], &[("messaging.operation", text("publish")), ("messaging.kafka.message.key", text("k"))]].concat();
    assert_eq!(
        messaging("orders publish", Producer, &sent),
        expected(Send, |m| {
            (m.partition, m.offset, m.key_present, m.client_id) = (Some(3), Some(42), true, owned("producer-1"));
        })
    );
    let more = [
        ("messaging.operation", text("process")),
        ("messaging.kafka.consumer.group", text("billing")),
        ("messaging.message.body.size", Value::Int(512)),
        ("messaging.kafka.message.tombstone", Value::Bool(true)),
        ("kafka.record.queue_time_ms", Value::Int(17)),
        ("messaging.batch.message_count", Value::Int(0)),
    ];
    assert_eq!(
        messaging("orders process", Consumer, &[&shared[..], &more].concat()),
        expected(Process, |m| {
            (m.partition, m.offset, m.client_id) = (Some(3), Some(42), owned("producer-1"));
            (m.consumer_group, m.body_size_bytes, m.tombstone) = (owned("billing"), Some(512), true);
            (m.queue_time_ms, m.batch_count) = (Some(17), Some(0));
        })
    );
}

#[test]
fn java_agent_with_the_new_names() {
    let shared = [
        ("messaging.system", text("kafka")),
        ("messaging.destination.name", text("orders")),
        ("messaging.consumer.group.name", text("billing")),
        ("messaging.client.id", text("consumer-1")),
    ];
    for (name, kind, operation_name, operation_type, operation) in [
        ("send orders", Producer, "send", "send", Send),
        ("poll orders", Client, "poll", "receive", Receive),
        ("process orders", Consumer, "process", "process", Process),
        ("commit orders", Client, "commit", "settle", Settle),
        ("create orders", Producer, "create", "create", Create),
    ] {
        let more = [("messaging.operation.name", text(operation_name)), ("messaging.operation.type", text(operation_type))];
        let all = [&shared[..], &more, &[("messaging.kafka.offset", Value::Int(7))]].concat();
        assert_eq!(
            messaging(name, kind, &all),
            expected(operation, |m| {
                (m.consumer_group, m.client_id, m.offset) = (owned("billing"), owned("consumer-1"), Some(7));
            }),
            "{name}"
        );
    }
}

#[test]
fn spring_micrometer_with_placeholders_and_numbers_as_text() {
    let found = messaging(
        "orders process",
        Consumer,
        &[
            ("messaging.system", text("kafka")),
            ("messaging.operation", text("process")),
            ("messaging.source.name", text("orders")),
            ("messaging.source.kind", text("topic")),
            ("messaging.kafka.source.partition", text("1")),
            ("messaging.kafka.message.offset", text("99")),
            ("messaging.kafka.consumer.group", text("none")),
            ("messaging.kafka.client_id", text("none")),
            ("messaging.consumer.id", text("billing - consumer-billing-1")),
            ("messaging.message.id", text("")),
        ],
    );
    assert_eq!(found, expected(Process, |m| (m.partition, m.offset, m.consumer_group) = (Some(1), Some(99), owned("billing"))));
}

#[test]
fn python_confluent_kafka_has_the_offset_in_the_id_only() {
    let found = messaging(
        "orders process",
        Consumer,
        &[
            ("messaging.system", text("kafka")),
            ("messaging.destination", text("orders")),
            ("messaging.destination_kind", text("queue")),
            ("messaging.operation", text("process")),
            ("messaging.kafka.partition", Value::Int(2)),
            ("messaging.message.id", text("orders.2.11")),
        ],
    );
    assert_eq!(found, expected(Process, |m| (m.partition, m.offset, m.message_id) = (Some(2), Some(11), owned("orders.2.11"))));
    assert_eq!(read("recv", Consumer, &[]), None, "its poll says nothing at all");
}

#[test]
fn python_kafka_has_no_operation_and_a_list_of_brokers_in_text() {
    let attributes = [
        ("messaging.system", text("kafka")),
        ("messaging.destination", text("orders")),
        ("messaging.kafka.partition", Value::Int(2)),
        ("messaging.url", text("[\"kafka-1:9092\", \"kafka-2:9092\"]")),
    ];
    let same = |m: &mut Messaging| (m.partition, m.broker) = (Some(2), owned("kafka-1:9092"));
    assert_eq!(messaging("orders send", Producer, &attributes), expected(Send, same));
    assert_eq!(messaging("orders receive", Consumer, &attributes), expected(Receive, same));
}

#[test]
fn python_aiokafka_mixes_generations() {
    let found = messaging(
        "orders send",
        Producer,
        &[
            ("messaging.system", text("kafka")),
            ("server.address", text("[\"kafka:9092\"]")),
            ("messaging.client.id", text("aiokafka-1")),
            ("messaging.destination.name", text("orders")),
            ("messaging.destination.partition.id", text("0")),
            ("messaging.kafka.message.key", text("")),
            ("messaging.operation.name", text("send")),
            ("messaging.operation.type", text("publish")),
            ("messaging.kafka.message.offset", Value::Int(5)),
            ("messaging.message.id", text("orders.0.5")),
        ],
    );
    assert_eq!(
        found,
        expected(Send, |m| {
            (m.partition, m.offset, m.broker, m.client_id) = (Some(0), Some(5), owned("kafka:9092"), owned("aiokafka-1"));
            (m.key_present, m.message_id) = (true, owned("orders.0.5"));
        })
    );
}

#[test]
fn kafkajs_writes_offsets_as_text_and_knows_the_cluster() {
    let shared = [("messaging.system", text("kafka")), ("messaging.destination.name", text("orders"))];
    let more = [
        ("messaging.operation.name", text("process")),
        ("messaging.operation.type", text("process")),
        ("messaging.destination.partition.id", text("4")),
        ("messaging.kafka.offset", text("1234")),
        ("messaging.kafka.message.key", text("k")),
        ("messaging.kafka.cluster.id", text("MkU3OEVBNTcwNTJENDM2Qk")),
    ];
    assert_eq!(
        messaging("process orders", Consumer, &[&shared[..], &more].concat()),
        expected(Process, |m| {
            (m.partition, m.offset, m.key_present, m.cluster_id) = (Some(4), Some(1234), true, owned("MkU3OEVBNTcwNTJENDM2Qk"));
        })
    );
    let poll = [("messaging.operation.name", text("poll")), ("messaging.batch.message_count", Value::Double(3.0))];
    assert_eq!(messaging("poll orders", Client, &[&shared[..], &poll].concat()), expected(Receive, |m| m.batch_count = Some(3)));
}

#[test]
fn dotnet_confluent_kafka_with_the_names_of_1_45() {
    let found = messaging(
        "poll orders",
        Client,
        &[
            ("messaging.system.name", text("kafka")),
            ("messaging.operation.name", text("poll")),
            ("messaging.destination.name", text("orders")),
            ("messaging.consumer.group.name", text("billing")),
            ("kafka.offset", Value::Int(8)),
            ("kafka.message.key", text("k")),
            ("kafka.message.tombstone", Value::Bool(true)),
            ("kafka.cluster.id", text("c")),
            ("server.address", text("kafka")),
            ("server.port", Value::Int(9092)),
        ],
    );
    assert_eq!(
        found,
        expected(Receive, |m| {
            (m.consumer_group, m.offset, m.key_present, m.tombstone) = (owned("billing"), Some(8), true, true);
            (m.cluster_id, m.broker) = (owned("c"), owned("kafka:9092"));
        })
    );
}

#[test]
fn dotnet_auto_instrumentation_with_the_names_of_1_23() {
    let found = messaging(
        "orders publish",
        Producer,
        &[
            ("messaging.system", text("kafka")),
            ("messaging.operation", text("publish")),
            ("messaging.destination.name", text("orders")),
            ("messaging.client_id", text("rdkafka")),
            ("messaging.kafka.destination.partition", Value::Int(6)),
            ("messaging.kafka.message.offset", Value::Int(1)),
        ],
    );
    assert_eq!(found, expected(Send, |m| (m.partition, m.offset, m.client_id) = (Some(6), Some(1), owned("rdkafka"))));
}

#[test]
fn kotel_in_both_ages() {
    let consumed = [
        ("messaging.system", text("kafka")),
        ("messaging.source.kind", text("topic")),
        ("messaging.source.name", text("orders")),
        ("messaging.operation", text("receive")),
        ("messaging.kafka.source.partition", Value::Int(9)),
        ("messaging.kafka.message.offset", Value::Int(12)),
        ("messaging.kafka.consumer.group", text("billing")),
    ];
    assert_eq!(
        messaging("orders receive", Consumer, &consumed),
        expected(Receive, |m| (m.partition, m.offset, m.consumer_group) = (Some(9), Some(12), owned("billing")))
    );
    let old = [
        ("messaging.system", text("kafka")),
        ("messaging.destination", text("orders")),
        ("messaging.kafka.partition", Value::Int(9)),
        ("messaging.message_id", text("77")),
    ];
    assert_eq!(
        messaging("orders process", Consumer, &old),
        expected(Process, |m| (m.partition, m.offset, m.message_id) = (Some(9), Some(77), owned("77")))
    );
}

#[test]
fn the_shop_of_the_opentelemetry_demo_by_hand_with_sarama() {
    let found = messaging(
        "orders publish",
        Producer,
        &[
            ("peer.service", text("kafka")),
            ("messaging.system", text("kafka")),
            ("messaging.operation", text("publish")),
            ("messaging.destination.name", text("orders")),
            ("messaging.kafka.destination.partition", Value::Int(0)),
            ("messaging.kafka.producer.success", Value::Bool(true)),
            ("messaging.kafka.producer.duration_ms", Value::Int(3)),
            ("messaging.kafka.message.offset", Value::Int(10)),
        ],
    );
    assert_eq!(found, expected(Send, |m| (m.partition, m.offset) = (Some(0), Some(10))));
}

#[test]
fn two_generations_on_one_span_are_one_and_the_newer_wins_in_any_order() {
    let mut attributes = vec![
        ("messaging.kafka.message.offset", Value::Int(1)),
        ("messaging.operation", text("publish")),
        ("messaging.kafka.offset", Value::Int(2)),
        ("messaging.operation.type", text("process")),
        ("messaging.destination", text("older")),
        ("messaging.destination.name", text("orders")),
        ("kafka.offset", Value::Int(3)),
        ("messaging.system", text("kafka")),
    ];
    let wanted = expected(Process, |m| m.offset = Some(3));
    assert_eq!(messaging("x", Client, &attributes), wanted);
    attributes.reverse();
    assert_eq!(messaging("x", Client, &attributes), wanted);
}

#[test]
fn a_spans_name_tells_what_attributes_do_not() {
    let system = [("messaging.system", text("kafka"))];
    for (name, kind, operation, destination) in [
        ("orders publish", Producer, Send, Some("orders")),
        ("send orders", Producer, Send, Some("orders")),
        ("orders.dlt process", Consumer, Process, Some("orders.dlt")),
        ("poll", Client, Receive, None),
        ("commit", Client, Settle, None),
        ("GET /orders", Client, Other, None),
        ("handle the order", Consumer, Process, None),
        ("handle the order", Producer, Send, None),
        ("", Server, Other, None),
    ] {
        let found = messaging(name, kind, &system);
        assert_eq!((found.operation, found.destination.as_deref()), (operation, destination), "{name} {kind}");
    }
}

#[test]
fn a_span_that_did_nothing_on_a_bus_says_nothing_of_it() {
    for attributes in [&[("server.address", text("db")), ("error.type", text("timeout"))][..], &[("messaging.system", text("none"))], &[]] {
        assert_eq!(read("orders process", Internal, attributes), None);
    }
}

#[test]
fn other_systems_and_systems_that_nobody_names() {
    let sqs = messaging("send queue", Producer, &[("messaging.system", text("aws_sqs")), ("messaging.message.id", text("1"))]);
    assert_eq!((sqs.system.as_ref(), sqs.offset), ("aws_sqs", None), "an id of SQS is no offset");
    let kafka = messaging("x", Consumer, &[("messaging.kafka.consumer.group", text("billing"))]);
    assert_eq!(kafka.system, "kafka");
    let unknown = messaging("x", Consumer, &[("messaging.destination.name", text("orders"))]);
    assert_eq!(unknown.system, "unknown");
}

#[test]
fn what_makes_no_sense_is_missing() {
    let found = messaging(
        "orders process",
        Consumer,
        &[
            ("messaging.system", text("kafka")),
            ("messaging.destination.partition.id", text("-1")),
            ("messaging.kafka.offset", text("many")),
            ("messaging.batch.message_count", Value::Int(-2)),
            ("messaging.message.id", text("payments.1.2")),
            ("messaging.destination.name", text("orders")),
            ("messaging.consumer.id", text("consumer-1")),
            ("messaging.client.id", Value::Empty),
            ("messaging.kafka.cluster.id", Value::List(Vec::new())),
        ],
    );
    assert_eq!(found, expected(Process, |m| m.message_id = owned("payments.1.2")));
}

#[test]
fn a_link_tells_which_message_it_is_about() {
    let attributes = |pairs: Attributes| -> Vec<Attribute> { pairs.iter().map(|(name, value)| ((*name).into(), value.clone())).collect() };
    let java = attributes(&[
        ("messaging.destination.name", text("orders")),
        ("messaging.destination.partition.id", text("1")),
        ("messaging.kafka.offset", Value::Int(2)),
    ]);
    let found = Known::of(&java).coordinates();
    assert_eq!((found.destination.as_deref(), found.partition, found.offset), (Some("orders"), Some(1), Some(2)));
    let python = attributes(&[("messaging.message.id", text("orders.v1.1.2"))]);
    let found = Known::of(&python).coordinates();
    assert_eq!((found.destination.as_deref(), found.partition, found.offset), (Some("orders.v1"), Some(1), Some(2)));
    assert_eq!(Known::of(&[]).coordinates(), LinkCoordinates::default());
}
