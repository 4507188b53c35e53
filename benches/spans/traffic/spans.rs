//! The spans about one message, with the attributes that instrumentations write.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::{BATCH, Message, Service};

const INTERNAL_MS: u64 = 1_000_000;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;
const FAILED: i32 = 2;
/// Partitions of a topic.
const PARTITIONS: usize = 6;

/// Which trace of a message: that of its sending, of its shipping, of its audit.
pub(crate) fn trace_id(message: Message, which: u64) -> [u8; 16] {
    let number = message.0 as u64 * 8 + which;
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mixed(number).to_be_bytes());
    id[8..].copy_from_slice(&mixed(number ^ 0xa5a5_0000_0000).to_be_bytes());
    id
}

/// The span of this place in the message's way.
pub(crate) fn span_id(message: Message, place: u64) -> [u8; 8] {
    mixed((message.0 as u64 * 16 + place) ^ 0x5a5a_0000_0000_0000).to_be_bytes()
}

/// A number that looks random (`SplitMix64`).
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A request that writes an order and sends a message about it.
pub(super) fn shop(message: Message, at: u64) -> Vec<Span> {
    let topic = message.topic();
    let server = vec![
        text("http.request.method", "POST"),
        text("url.scheme", "https"),
        text("url.path", &format!("/api/customers/{}/orders", message.0 % 9_973)),
        text("http.route", "/api/customers/{customer}/orders"),
        int("http.response.status_code", 201),
        text("server.address", "shop.example.com"),
        int("server.port", 443),
        text("client.address", &format!("10.3.{}.{}", message.0 % 251, message.0 % 241)),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        text("network.protocol.version", "1.1"),
    ];
    let sending = vec![
        text("messaging.system", "kafka"),
        text("messaging.operation.name", "send"),
        text("messaging.operation.type", "send"),
        text("messaging.destination.name", &topic),
        text("messaging.destination.partition.id", &partition(message).to_string()),
        int("messaging.kafka.offset", message.0 as i64),
        text("messaging.kafka.message.key", &format!("order-{}", message.0)),
        text("messaging.client.id", "shop-producer-1"),
        text("server.address", "kafka-1.example.com"),
        int("server.port", 9_092),
    ];
    let root = span(message, 0, 1, None, "POST /api/customers/{customer}/orders", SERVER, at, server);
    let insert = span(message, 0, 2, Some(1), "INSERT shop.orders", CLIENT, at + INTERNAL_MS, database("INSERT", "orders"));
    let sent = span(message, 0, 3, Some(1), &format!("send {topic}"), PRODUCER, at + 5 * INTERNAL_MS, sending);
    vec![root, insert, sent]
}

/// In the trace of the sending, with names of some years ago; now and then it fails.
pub(super) fn billing(message: Message, at: u64) -> Vec<Span> {
    let topic = message.topic();
    let mut attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.operation", "process"),
        text("messaging.destination.name", &topic),
        text("messaging.kafka.consumer.group", "billing"),
        int("messaging.kafka.destination.partition", partition(message)),
        int("messaging.kafka.message.offset", message.0 as i64),
        text("messaging.kafka.message.key", &format!("order-{}", message.0)),
        text("messaging.client_id", "billing-consumer-1"),
        int("messaging.message.payload_size_bytes", 612),
        int("thread.id", 41),
        text("thread.name", "org.springframework.kafka.KafkaListenerEndpointContainer#0-0-C-1"),
    ];
    let begun = at + 30 * INTERNAL_MS;
    let failed = message.fails();
    if failed {
        attributes.push(text("error.type", "java.net.SocketTimeoutException"));
    }
    let mut taken = span(message, 0, 4, Some(3), &format!("{topic} process"), CONSUMER, begun, attributes);
    if failed {
        taken.status = Some(Status { message: "the bank did not answer".to_owned(), code: FAILED });
        taken.events = vec![exception(begun + 2 * INTERNAL_MS)];
    }
    let update = span(message, 0, 5, Some(4), "UPDATE billing.invoices", CLIENT, begun + INTERNAL_MS, database("UPDATE", "invoices"));
    vec![taken, update]
}

/// In a trace of its own, with today's names and a link.
pub(super) fn shipping(message: Message, at: u64) -> Vec<Span> {
    let topic = message.topic();
    let mut attributes = consumed(&topic, "process", "shipping");
    attributes.extend([
        text("messaging.destination.partition.id", &partition(message).to_string()),
        int("messaging.kafka.offset", message.0 as i64),
        text("messaging.kafka.message.key", &format!("order-{}", message.0)),
    ]);
    let asking = vec![
        text("http.request.method", "GET"),
        text("url.full", &format!("https://carrier.example.com/v2/quotes/{}", message.0)),
        text("server.address", "carrier.example.com"),
        int("server.port", 443),
        int("http.response.status_code", 200),
        text("network.protocol.version", "2"),
        text("network.peer.address", "192.0.2.17"),
        int("network.peer.port", 443),
    ];
    let begun = at + 40 * INTERNAL_MS;
    let mut taken = span(message, 1, 6, None, &format!("process {topic}"), CONSUMER, begun, attributes);
    taken.links = vec![link(message)];
    vec![taken, span(message, 1, 7, Some(6), "GET", CLIENT, begun + INTERNAL_MS, asking)]
}

/// About the batch that ends with this message.
pub(super) fn audit(message: Message, at: u64) -> Span {
    let topic = message.topic();
    let mut attributes = consumed(&topic, "receive", "audit");
    attributes.push(int("messaging.batch.message_count", BATCH as i64));
    let mut taken = span(message, 2, 8, None, &format!("receive {topic}"), CONSUMER, at + 60 * INTERNAL_MS, attributes);
    taken.links = (message.0 + 1 - BATCH..=message.0).map(|number| link(Message(number))).collect();
    taken
}

pub(super) fn resource(service: Service, instance: usize) -> Vec<KeyValue> {
    let name = service.name();
    vec![
        text("service.name", name),
        text("service.namespace", "shop"),
        text("service.version", "4.17.2"),
        text("service.instance.id", &format!("{name}-7c9d8b6f5-{instance}")),
        text("k8s.pod.name", &format!("{name}-7c9d8b6f5-{instance}")),
        text("k8s.namespace.name", "production"),
        text("host.name", &format!("node-{instance}.example.com")),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.51.0"),
    ]
}

pub(super) const fn scope(service: Service) -> &'static str {
    match service {
        Service::Shop => "io.opentelemetry.kafka-clients-2.6",
        Service::Billing => "io.opentelemetry.spring-kafka-2.7",
        Service::Shipping | Service::Audit => "io.opentelemetry.kafka-clients-common-0.11",
    }
}

fn consumed(topic: &str, operation: &str, group: &str) -> Vec<KeyValue> {
    vec![
        text("messaging.system", "kafka"),
        text("messaging.operation.name", operation),
        text("messaging.operation.type", operation),
        text("messaging.destination.name", topic),
        text("messaging.consumer.group.name", group),
        text("messaging.client.id", &format!("{group}-consumer-1")),
        text("server.address", "kafka-1.example.com"),
        int("server.port", 9_092),
    ]
}

fn database(operation: &str, table: &str) -> Vec<KeyValue> {
    vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", "shop"),
        text("db.operation.name", operation),
        text("db.collection.name", table),
        text("db.query.text", &format!("{operation} {table} SET state = ?, changed_at = ? WHERE id = ?")),
        text("server.address", "postgres.example.com"),
        int("server.port", 5_432),
        int("thread.id", 87),
        text("thread.name", "http-nio-8080-exec-7"),
    ]
}

fn exception(at: u64) -> Event {
    let frame = |line: i32| format!("\n\tat com.example.billing.Step{line}.run(Step{line}.java:{})", 31 + line);
    let stack = (0..20).map(frame).collect::<Vec<_>>().concat();
    let attributes = vec![
        text("exception.type", "java.net.SocketTimeoutException"),
        text("exception.message", "the bank did not answer within 2 s"),
        text("exception.stacktrace", &format!("java.net.SocketTimeoutException: the bank did not answer within 2 s{stack}")),
    ];
    Event { time_unix_nano: at, name: "exception".to_owned(), attributes, ..Event::default() }
}

fn link(message: Message) -> Link {
    Link { trace_id: trace_id(message, 0).to_vec(), span_id: span_id(message, 3).to_vec(), ..Link::default() }
}

const fn partition(message: Message) -> i64 {
    (message.0 / BATCH % PARTITIONS) as i64
}

#[expect(clippy::too_many_arguments, reason = "a span has as many parts")]
fn span(message: Message, trace: u64, place: u64, parent: Option<u64>, name: &str, kind: i32, at: u64, attributes: Vec<KeyValue>) -> Span {
    let lasts = 500_000 + mixed(message.0 as u64 * 16 + place) % (8 * INTERNAL_MS);
    Span {
        trace_id: trace_id(message, trace).to_vec(),
        span_id: span_id(message, place).to_vec(),
        parent_span_id: parent.map(|parent| span_id(message, parent).to_vec()).unwrap_or_default(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: at,
        end_time_unix_nano: at + lasts,
        attributes,
        flags: 0x101,
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    pair(key, any_value::Value::IntValue(value))
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
