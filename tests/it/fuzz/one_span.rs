//! One damaged span between two that are in order: it costs itself and nobody else.

use proptest::prop_assert;
use proptest::test_runner::TestCaseResult;
use prost::Message as _;
use serde_json::{Value, json};

use super::mutation::{Corpus, varint};
use super::otlp::{Answered, JSON, PROTOBUF, Receiver, span};
use super::{alone, storm};

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// The spans of a request, each with a length that is right whatever is in it.
fn framed(spans: &[&[u8]]) -> Vec<u8> {
    let spans: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
    field(1, &field(2, &spans))
}

/// The two are kept; of the one between them it is said that it was rejected, or it is kept as something.
fn costs_itself(answered: &Answered) -> TestCaseResult {
    let Answered { status, kept, rejected, message } = answered;
    prop_assert!(*status == 200, "{status}: {message}");
    prop_assert!(kept.first().is_some_and(|name| name == "first") && kept.last().is_some_and(|name| name == "last"), "{kept:?}");
    prop_assert!(kept.len() + usize::try_from(*rejected).expect("not negative") == 3, "{kept:?}, {rejected} rejected: {message}");
    prop_assert!((*rejected == 0) == message.is_empty(), "{rejected} rejected: {message}");
    Ok(())
}

#[test]
fn a_damaged_span_in_protobuf_costs_itself_alone() {
    alone("fuzz::one_span::a_damaged_span_in_protobuf_costs_itself_alone", || {
        let receiver = Receiver::start();
        let (first, last) = (span("first").encode_to_vec(), span("last").encode_to_vec());
        let corpus = Corpus::new([span("between").encode_to_vec()], [&b"\x0a"[..], b"\x80", b"\x2a\x02\x0a\x00", b"\x4a\x00"]);
        storm(&corpus, |bytes| costs_itself(&receiver.send(PROTOBUF, false, &framed(&[&first, bytes, &last]))?));
    });
}

/// What may stand in a span's field: legal or out of range, but never of another type than the specification has it.
fn odd(key: usize, choice: u8) -> (&'static str, Value) {
    let choice = usize::from(choice);
    let one_of = |values: Vec<Value>| values[choice % values.len()].clone();
    let deep = |levels| (0..levels).fold(json!({"intValue": "7"}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
    let fields = [
        ("traceId", one_of(vec![json!(""), Value::Null, json!("00"), json!("0".repeat(32)), json!("ab".repeat(40))])),
        ("spanId", one_of(vec![json!(""), Value::Null, json!("0000000000000000"), json!("AB"), json!("cd".repeat(9))])),
        ("parentSpanId", one_of(vec![json!(""), Value::Null, json!("ab"), json!("0".repeat(16))])),
        ("startTimeUnixNano", one_of(vec![Value::Null, json!("0"), json!(u64::MAX), json!("18446744073709551615"), json!(1)])),
        ("endTimeUnixNano", one_of(vec![Value::Null, json!("0"), json!(u64::MAX), json!(1)])),
        ("name", one_of(vec![Value::Null, json!(""), json!("\u{0}\u{202e}"), json!("n".repeat(5_000))])),
        ("kind", one_of(vec![Value::Null, json!(0), json!(77), json!(-1), json!(i32::MAX)])),
        ("status", one_of(vec![Value::Null, json!({}), json!({"code": 99}), json!({"message": null})])),
        ("flags", one_of(vec![Value::Null, json!(0), json!(u32::MAX)])),
        (
            "attributes",
            one_of(vec![
                Value::Null,
                json!([]),
                json!([{}, {"key": null, "value": null}, {"value": {}}]),
                json!([{"key": "a", "value": deep(choice % 38)}]),
                json!([{"key": "a", "value": {"doubleValue": "-Infinity"}}, {"key": "a", "value": {"kvlistValue": {}}}]),
            ]),
        ),
        ("events", one_of(vec![Value::Null, json!([]), json!([{}, {"name": "exception", "attributes": null}])])),
        ("links", one_of(vec![Value::Null, json!([]), json!([{}, {"traceId": "ab"}, {"attributes": null}])])),
        ("unknown", one_of(vec![json!([[{"a": [null]}]]), json!("x"), json!(1e300)])),
        ("droppedLinksCount", one_of(vec![Value::Null, json!(0), json!("7"), json!(u32::MAX)])),
    ];
    fields[key % fields.len()].clone()
}

#[test]
fn an_odd_span_in_json_costs_itself_alone() {
    alone("fuzz::one_span::an_odd_span_in_json_costs_itself_alone", || {
        let receiver = Receiver::start();
        let span = |name: &str| {
            json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": name,
                "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000"})
        };
        // Each pair of bytes is a field and what it becomes.
        let every: Vec<u8> = (0_u8..14).flat_map(|key| [key, key.wrapping_mul(3)]).collect();
        storm(&Corpus::new([vec![0, 0], every, vec![9, 37, 9, 33]], [[9_u8, 3], [3, 2]]), |bytes| {
            let mut between = span("between");
            for pair in bytes.chunks_exact(2).take(64) {
                let (key, value) = odd(usize::from(pair[0]), pair[1]);
                between[key] = value;
            }
            let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span("first"), between, span("last")]}]}]});
            costs_itself(&receiver.send(JSON, false, body.to_string().as_bytes())?)
        });
    });
}
