use proptest::prelude::*;

use super::*;
use crate::model::span::{Span, SpanKind, SpanStatus, samples};

/// A request with one span of these fields beside ids and times.
fn request(fields: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"billing"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"kafkajs"}},"spans":[{{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000{fields}}}]}}]}}]}}"#
    )
}

fn one(fields: &str) -> Span {
    let mut batch = decode(request(fields).as_bytes()).unwrap_or_else(|error| panic!("{fields}: {error:?}"));
    *batch.spans.pop().unwrap_or_else(|| panic!("{fields}: {:?}", batch.reasons()))
}

fn value(json: &str) -> Value {
    one(&format!(r#","attributes":[{{"key":"a","value":{json}}}]"#)).attributes.remove(0).1
}

fn refused(body: &str) -> String {
    match decode(body.as_bytes()) {
        Err(Undecodable::Malformed(reason)) => reason,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_span_as_an_sdk_writes_it() {
    let span = one(r#","parentSpanId":"eee19b7ec3c1b173","name":"process orders","kind":5,"flags":769,
        "status":{"code":2,"message":"no"},"droppedAttributesCount":1,"droppedEventsCount":2,"droppedLinksCount":"3",
        "attributes":[{"key":"messaging.system","value":{"stringValue":"kafka"}},{"key":"messaging.kafka.offset","value":{"intValue":"42"}}],
        "events":[{"timeUnixNano":"1544712660500000000","name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"E"}}]}],
        "links":[{"traceId":"5b8efff798038103d269b633813fc60d","spanId":"eee19b7ec3c1b175","traceState":"",
                  "attributes":[{"key":"messaging.kafka.offset","value":{"intValue":7}}],"flags":1}]"#);
    assert_eq!(span.trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!((span.service.as_ref(), span.scope.as_ref(), span.name.as_str()), ("billing", "kafkajs", "process orders"));
    assert_eq!((span.kind, span.status, span.status_message.as_str()), (SpanKind::Consumer, SpanStatus::Error, "no"));
    assert_eq!(span.parent.map(|id| id.to_string()).as_deref(), Some("eee19b7ec3c1b173"));
    assert_eq!(span.parent_remote, Some(true));
    assert_eq!((span.start, span.end), (1_544_712_660_000_000_000, 1_544_712_661_000_000_000));
    assert_eq!((span.dropped.attributes, span.dropped.events, span.dropped.links), (1, 2, 3));
    assert_eq!(span.messaging.as_ref().and_then(|messaging| messaging.offset), Some(42));
    assert_eq!(span.exception.and_then(|exception| exception.class).as_deref(), Some("E"));
    assert_eq!((span.links[0].coordinates.offset, span.events[0].at), (Some(7), 1_544_712_660_500_000_000));
}

#[test]
fn what_is_legal_and_odd_is_taken() {
    for fields in [
        r#","attributes":null,"links":null,"events":null,"parentSpanId":null,"status":null,"name":null,"kind":null,"flags":null"#,
        r#","status":{},"attributes":[],"links":[],"events":[]"#,
        r#","status":{"code":null,"message":null}"#,
        r#","parentSpanId":"","traceState":null"#,
        r#","parentSpanId":"0000000000000000""#,
        r#","attributes":[{"key":"a"},{"key":"b","value":null},{"key":"c","value":{}},{"value":{"intValue":1}},{}]"#,
        r#","attributes":[{"key":"a","value":{"arrayValue":{}}},{"key":"b","value":{"kvlistValue":{}}}]"#,
        r#","attributes":[{"key":"a","value":{"arrayValue":{"values":null}}},{"key":"b","value":{"kvlistValue":null}}]"#,
        r#","attributes":[{"key":"a","value":{"arrayValue":{"values":[{},null,{"stringValue":null}]}}}]"#,
        r#","attributes":[{"key":"a","value":{"stringValue":"x","later":{"deep":[1,{"b":null}]}}}]"#,
        r#","unknown":{"attributes":[[[{"a":"b"}]]]},"another":"\ud800""#,
        r#","name":"half a pair: \ud83d""#,
        r#","kind":77,"status":{"code":9}"#,
        r#","kind":3.0,"flags":1e2"#,
        r#","events":[{}],"links":[{}]"#,
        r#","deprecated_snake_case":1,"trace_id":5"#,
    ] {
        let span = one(fields);
        assert_eq!(span.parent, None, "{fields}");
    }
}

#[test]
fn requests_with_nothing_in_them_are_requests() {
    for body in [
        "{}",
        "null",
        " {\n}\t",
        r#"{"resourceSpans":[]}"#,
        r#"{"resourceSpans":null}"#,
        r#"{"resourceSpans":[{}]}"#,
        r#"{"resourceSpans":[{"resource":null,"scopeSpans":null,"schemaUrl":null}]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[{"scope":null,"spans":null}]}]}"#,
        r#"{"resource_spans":[{"scope_spans":[{"spans":[1]}]}],"unknown":[[]]}"#,
    ] {
        let batch = decode(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        assert_eq!((batch.spans.len(), batch.rejected()), (0, 0), "{body}");
    }
}

#[test]
fn values_in_every_form_of_proto3_json() {
    assert_eq!(value(r#"{"intValue":"-9223372036854775808"}"#), Value::Int(i64::MIN));
    assert_eq!(value(r#"{"intValue":9223372036854775807}"#), Value::Int(i64::MAX));
    assert_eq!(value(r#"{"intValue":1e3}"#), Value::Int(1_000));
    assert_eq!(value(r#"{"doubleValue":1.5}"#), Value::Double(1.5));
    assert_eq!(value(r#"{"doubleValue":"1.5"}"#), Value::Double(1.5));
    assert_eq!(value(r#"{"doubleValue":3}"#), Value::Double(3.0));
    assert_eq!(value(r#"{"doubleValue":"Infinity"}"#), Value::Double(f64::INFINITY));
    assert_eq!(value(r#"{"doubleValue":"-Infinity"}"#), Value::Double(f64::NEG_INFINITY));
    assert!(matches!(value(r#"{"doubleValue":"NaN"}"#), Value::Double(number) if number.is_nan()));
    assert_eq!(value(r#"{"boolValue":false}"#), Value::Bool(false));
    for base64 in ["+/8=", "+/8", "-_8=", "-_8"] {
        assert_eq!(value(&format!(r#"{{"bytesValue":"{base64}"}}"#)), Value::Bytes(vec![0xfb, 0xff]), "{base64}");
    }
    assert_eq!(value(r#"{"stringValue":"\u00e9\ud83d\ude00"}"#), Value::from("\u{e9}\u{1f600}"));
    assert_eq!(value(r#"{"arrayValue":{"values":[{"intValue":1},{}]}}"#), Value::List(vec![Value::Int(1), Value::Empty]));
    assert_eq!(
        value(r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}"#),
        Value::Map(vec![("k".into(), Value::Bool(true))])
    );
    assert_eq!(value(r#"{"stringValue":null,"intValue":5}"#), Value::Int(5), "null is not there");
}

#[test]
fn what_the_specification_forbids_is_refused() {
    for (fields, reason) in [
        (r#","kind":"SPAN_KIND_SERVER""#, "not its name"),
        (r#","kind":"3""#, "not its name"),
        (r#","status":{"code":"STATUS_CODE_ERROR"}"#, "not its name"),
        (r#","parentSpanId":"7uGbfsPBsXM=""#, "id in hex"),
        (r#","parentSpanId":"eee19b7ec3c1b17""#, "id in hex"),
        (r#","name":5"#, "invalid type"),
        (r#","name":["a"]"#, "invalid type"),
        (r#","attributes":{}"#, "invalid type"),
        (r#","attributes":[5]"#, "invalid type"),
        (r#","attributes":[{"key":"a","value":"text"}]"#, "invalid type"),
        (r#","attributes":[{"key":"a","value":{"intValue":1.5}}]"#, "64-bit number"),
        (r#","attributes":[{"key":"a","value":{"intValue":"9223372036854775808"}}]"#, "64-bit number"),
        (r#","attributes":[{"key":"a","value":{"doubleValue":"inf"}}]"#, "expected a number"),
        (r#","attributes":[{"key":"a","value":{"boolValue":"yes"}}]"#, "invalid type"),
        (r#","attributes":[{"key":"a","value":{"bytesValue":"%"}}]"#, "base64"),
        (r#","droppedAttributesCount":-1"#, "unsigned"),
        (r#","startTimeUnixNano":"soon""#, "unsigned"),
        (r#","status":"ok""#, "invalid type"),
        (",", "line"),
    ] {
        let text = refused(&request(fields));
        assert!(text.contains(reason), "{fields}: {text}");
    }
    for body in ["", " ", "[]", "5", "\"text\"", "{", "{\"resourceSpans\":[", "{}{}", "{\"resourceSpans\":NaN}", "{'a':1}", "{\"a\":\u{0}}"]
    {
        assert!(refused(body).starts_with("the body is not OTLP's JSON: "), "{body}");
    }
    assert!(matches!(decode(&[0xff, 0xfe]), Err(Undecodable::Malformed(_))));
}

#[test]
fn a_refusal_says_where_and_quotes_nothing() {
    let text = refused(&request(r#","attributes":{"card":"4111-1111"},"name":"4111-1111""#));
    assert!(text.contains("line 3 column") && !text.contains("4111"), "{text}");
    let text = refused("{\"resourceSpans\": \"4111-1111\"}");
    assert!(!text.contains("4111"), "{text}");
}

#[test]
fn an_id_that_is_hex_of_another_length_costs_its_span_only() {
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"5b8efff7","spanId":"eee19b7ec3c1b174","startTimeUnixNano":1},
        {"traceId":"0x5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","startTimeUnixNano":1},
        {"spanId":"eee19b7ec3c1b174","startTimeUnixNano":1}, null]}]}]}"#;
    let batch = decode(body.as_bytes()).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected()), (1, 3));
}

#[test]
fn depth_has_an_end() {
    let nested = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        request(&format!(r#","attributes":[{{"key":"a","value":{open}{{"intValue":1}}{close}}}]"#))
    };
    assert_eq!(decode(nested(32).as_bytes()).unwrap().spans.len(), 1);
    assert_eq!(decode(nested(33).as_bytes()).unwrap().rejected(), 1);
    assert!(refused(&nested(60)).contains("recursion limit"));
    // Passed over without following.
    let unknown = format!(r#","unknown":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(one(&unknown).name, "");
}

#[test]
fn a_request_of_more_objects_than_memory_should_hold_is_too_large() {
    let body = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(MOST_OBJECTS));
    assert_eq!(decode(body.as_bytes()).unwrap_err(), Undecodable::TooMany);
}

/// JSON of a value as an exporter writes it.
fn json(value: &Value) -> serde_json::Value {
    use base64::Engine as _;
    match value {
        Value::Empty => serde_json::json!({}),
        Value::String(text) => serde_json::json!({"stringValue": text}),
        Value::Bool(truth) => serde_json::json!({"boolValue": truth}),
        Value::Int(number) => serde_json::json!({"intValue": number.to_string()}),
        Value::Double(number) if number.is_infinite() => {
            serde_json::json!({"doubleValue": if *number > 0.0 { "Infinity" } else { "-Infinity" }})
        }
        // As text, which is read to the last bit.
        Value::Double(number) => serde_json::json!({"doubleValue": number.to_string()}),
        Value::Bytes(bytes) => serde_json::json!({"bytesValue": base64::prelude::BASE64_STANDARD.encode(bytes)}),
        Value::List(values) => serde_json::json!({"arrayValue": {"values": values.iter().map(json).collect::<Vec<_>>()}}),
        Value::Map(values) => {
            let values: Vec<_> = values.iter().map(|(key, value)| serde_json::json!({"key": key, "value": json(value)})).collect();
            serde_json::json!({"kvlistValue": {"values": values}})
        }
    }
}

proptest! {
    #[test]
    fn every_value_is_read_as_it_was_written(sent in samples::value()) {
        prop_assert_eq!(value(&json(&sent).to_string()), sent);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn damage_never_panics(sent in samples::value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = request(&format!(r#","attributes":[{{"key":"a","value":{}}}]"#, json(&sent))).into_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let _ = decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes);
    }
}
