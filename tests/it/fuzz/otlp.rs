//! Requests of OTLP over HTTP: protobuf, JSON, and both packed by gzip.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent, Status};
use proptest::prop_assert;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use prost::Message as _;
use redrive::config::OtlpConfig;
use redrive::lifecycle::Lifecycle;
use redrive::model::span::Spans;
use redrive::otlp::{Intake, Kept, Refused, listen};
use redrive::telemetry::Metrics;
use tokio::runtime::Runtime;
use tonic_types::pb;

use super::mutation::Corpus;
use super::{alone, storm};

pub(super) const PROTOBUF: &str = "application/x-protobuf";
pub(super) const JSON: &str = "application/json";

/// Names of the spans of one request that were kept.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Intake for Names {
    fn keep(&self, spans: Spans) -> BoxFuture<'_, Result<Kept, Refused>> {
        self.0.lock().expect("not poisoned").extend(spans.iter().map(|span| span.name.clone()));
        Box::pin(std::future::ready(Ok(Kept::default())))
    }
}

/// What a request came to.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) kept: Vec<String>,
    pub(super) rejected: i64,
    pub(super) message: String,
}

/// A receiver, and somebody who sends to it.
pub(super) struct Receiver {
    runtime: Runtime,
    client: reqwest::Client,
    url: String,
    names: Arc<Names>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let names = Arc::new(Names::default());
        let address = runtime.block_on(async {
            let any_port = "127.0.0.1:0".parse().expect("an address");
            let config = OtlpConfig { grpc_listen: None, http_listen: Some(any_port), token: None, max_bytes: 1 << 20 };
            let listeners = listen(&config).await.expect("a free port");
            let address = listeners.http_address().expect("is on");
            listeners.serve(Arc::clone(&names) as Arc<dyn Intake>, Metrics::new(), &Lifecycle::new());
            address
        });
        Self { runtime, client: reqwest::Client::new(), url: format!("http://{address}/v1/traces"), names }
    }

    /// Sends a body. The answer must be in the request's encoding, and be one that a sender understands.
    pub(super) fn send(&self, content_type: &str, gzip: bool, body: &[u8]) -> Result<Answered, TestCaseError> {
        self.names.0.lock().expect("not poisoned").clear();
        let mut request = self.client.post(&self.url).header("content-type", content_type).body(body.to_vec());
        if gzip {
            request = request.header("content-encoding", "gzip");
        }
        let (status, kind, body) = self.runtime.block_on(async {
            let answer = request.send().await.expect("is answered");
            let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
            (answer.status().as_u16(), kind, answer.bytes().await.expect("the whole answer"))
        });
        prop_assert!(kind == content_type, "answered in {kind}");
        let kept = std::mem::take(&mut *self.names.0.lock().expect("not poisoned"));
        let (rejected, message) = match (status, content_type) {
            (200, PROTOBUF) => {
                let said = ExportTraceServiceResponse::decode(body).expect("is an answer").partial_success.unwrap_or_default();
                (said.rejected_spans, said.error_message)
            }
            (200, _) => {
                let said: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
                let said = &said["partialSuccess"];
                let rejected = said["rejectedSpans"].as_str().map_or(0, |count| count.parse().expect("a number"));
                (rejected, said["errorMessage"].as_str().unwrap_or_default().to_owned())
            }
            (_, PROTOBUF) => (0, pb::Status::decode(body).expect("is a google.rpc.Status").message),
            _ => {
                let said: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
                (0, said["message"].as_str().unwrap_or_default().to_owned())
            }
        };
        Ok(Answered { status, kept, rejected, message })
    }
}

/// Taken, or refused as a whole in words; nothing of what is refused is kept.
fn in_order(answered: &Answered) -> TestCaseResult {
    let Answered { status, kept, rejected, message } = answered;
    match status {
        200 => prop_assert!((*rejected == 0) == message.is_empty(), "{rejected} rejected: {message}"),
        400 | 413 => prop_assert!(kept.is_empty() && !message.is_empty(), "{status}: {message}, kept {kept:?}"),
        other => prop_assert!(false, "{other}: {message}"),
    }
    Ok(())
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

/// An array in an array, so many times.
fn nested(levels: usize) -> any_value::Value {
    (0..levels).fold(any_value::Value::IntValue(7), |inner, _| any_value::Value::ArrayValue(ArrayValue { values: vec![any(inner)] }))
}

/// A span that has everything.
pub(super) fn span(name: &str) -> Sent {
    use any_value::Value::{BoolValue, BytesValue, DoubleValue, IntValue, StringValue};
    let text = |key: &str, text: &str| attribute(key, StringValue(text.to_owned()));
    Sent {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        trace_state: "vendor=1".to_owned(),
        flags: 0x301,
        name: name.to_owned(),
        kind: 5,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_100_000_000,
        attributes: vec![
            text("messaging.system", "kafka"),
            text("messaging.destination.name", "orders"),
            text("messaging.message.id", "orders.3.42"),
            attribute("messaging.kafka.offset", IntValue(42)),
            attribute("deep", nested(20)),
            attribute("odd", DoubleValue(f64::NAN)),
            attribute("bytes", BytesValue(vec![0, 255])),
            attribute("true", BoolValue(true)),
        ],
        events: vec![Event {
            time_unix_nano: 1_700_000_000_050_000_000,
            name: "exception".to_owned(),
            attributes: vec![text("exception.type", "E"), text("exception.stacktrace", "E: no\n\tat a.b.C.d(C.java:1)")],
            ..Event::default()
        }],
        links: vec![Link { trace_id: vec![4; 16], span_id: vec![5; 8], attributes: vec![text("x", "y")], ..Link::default() }],
        status: Some(Status { message: "no".to_owned(), code: 2 }),
        ..Sent::default()
    }
}

fn request(spans: Vec<Sent>) -> Vec<u8> {
    let service = attribute("service.name", any_value::Value::StringValue("shop".to_owned()));
    let scope = Some(InstrumentationScope { name: "kafkajs".to_owned(), ..InstrumentationScope::default() });
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes: vec![service], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn protobuf() -> Corpus {
    let deep = Sent { attributes: vec![attribute("deep", nested(3_000))], ..span("deep") };
    let entries = [request(vec![span("a")]), request(vec![span("a"), span("b")]), request(vec![]), request(vec![deep]), Vec::new()];
    // Lengths that go on and on, groups, an array in an array.
    Corpus::new(entries, [&b"\x0a"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x80", b"\x0b", b"\x12\x00", b"\x2a\x02\x0a\x00", b"\xff\xff\xff"])
}

fn json() -> Corpus {
    let example = include_str!("../fixtures/otlp/trace.json");
    let small = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{
        "scope":{"name":"kafkajs"},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","name":"a",
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"kind":5,"status":{"code":2},"attributes":[
        {"key":"a","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"aGk"}},{"key":"c","value":{"intValue":"7"}}],
        "links":[{"traceId":"5b8efff798038103d269b633813fc60d","spanId":"eee19b7ec3c1b175"}],"events":null}]}]}]}"#;
    let tokens = ["{", "[", "\"", "null", "1e999", "\\ud83d", "{\"arrayValue\":{\"values\":[", "{\"a\":", "[[", "\u{0}", ",", "-"];
    Corpus::new([example, small, "{}", r#"{"resourceSpans":null}"#], tokens)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

#[test]
fn protobuf_is_taken_or_refused_in_words() {
    alone("fuzz::otlp::protobuf_is_taken_or_refused_in_words", || {
        let receiver = Receiver::start();
        storm(&protobuf(), |bytes| in_order(&receiver.send(PROTOBUF, false, bytes)?));
    });
}

#[test]
fn json_is_taken_or_refused_in_words() {
    alone("fuzz::otlp::json_is_taken_or_refused_in_words", || {
        let receiver = Receiver::start();
        storm(&json(), |bytes| in_order(&receiver.send(JSON, false, bytes)?));
    });
}

#[test]
fn gzip_is_taken_or_refused_in_words_and_a_bomb_stops_at_the_limit() {
    alone("fuzz::otlp::gzip_is_taken_or_refused_in_words_and_a_bomb_stops_at_the_limit", || {
        let receiver = Receiver::start();
        let (mut entries, bomb) = (Vec::new(), packed(&vec![0; 64 << 20]));
        entries.extend([protobuf(), json()].iter().flat_map(Corpus::entries).map(|entry| packed(entry)));
        let refused = receiver.send(PROTOBUF, true, &bomb).expect("an answer");
        assert_eq!(refused.status, 413, "{}", refused.message);
        // What is damaged unpacks to something else than it was; as which encoding makes no difference to that.
        let seen = std::cell::RefCell::new(BTreeSet::new());
        storm(&Corpus::new(entries, [&b"\x1f\x8b\x08"[..], &bomb[..40], b"\0\0"]), |bytes| {
            let answered = receiver.send(if bytes.len() % 2 == 0 { PROTOBUF } else { JSON }, true, bytes)?;
            seen.borrow_mut().insert(answered.status);
            in_order(&answered)
        });
        assert!(seen.borrow().contains(&200) && seen.borrow().contains(&400), "{seen:?}");
    });
}
