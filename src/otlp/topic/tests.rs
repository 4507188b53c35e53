use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent};
use prost::Message as _;

use super::*;

const JSON: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
    "spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1"}]}]}]}"#;

fn protobuf(name: &str) -> Vec<u8> {
    let span = Sent { trace_id: vec![1; 16], span_id: vec![2; 8], start_time_unix_nano: 1, name: name.to_owned(), ..Sent::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }.encode_to_vec()
}

fn record(topic: &str, offset: i64, value: Option<&[u8]>) -> Record {
    Record {
        topic: topic.into(),
        partition: 0,
        offset,
        timestamp: None,
        timestamp_kind: None,
        key: None,
        value: value.map(|value| value.to_vec().into()),
        headers: Vec::new(),
    }
}

#[test]
fn the_encoding_is_found_out() {
    let spans = |value: &[u8]| decode_as(OtlpEncoding::Auto, value).map(|batch| batch.spans.len());
    assert_eq!(spans(JSON.as_bytes()), Ok(1));
    assert_eq!(spans(format!(" \r\n\t{JSON}").as_bytes()), Ok(1));
    // Names of every length, so that the first part of one of them is 123 bytes long.
    for length in 0..200 {
        let value = protobuf(&"n".repeat(length));
        assert_eq!(spans(&value), Ok(1), "{length}");
    }
    assert!((0..200).any(|length| protobuf(&"n".repeat(length)).starts_with(b"\n{")), "the trap is there");
    assert!(spans(b"neither").is_err());
    assert!(decode_as(OtlpEncoding::Json, &protobuf("n")).is_err() && decode_as(OtlpEncoding::Proto, JSON.as_bytes()).is_err());
}

#[test]
fn what_cannot_be_decoded_is_counted_and_costs_nothing_else() {
    let topics = [
        OtlpTopic { topic: "proto".into(), encoding: OtlpEncoding::Proto },
        OtlpTopic { topic: "auto".into(), encoding: OtlpEncoding::Auto },
    ];
    let no_id = JSON.replace("eee19b7ec3c1b174", "");
    let records = [
        record("auto", 0, Some(JSON.as_bytes())),
        record("proto", 7, Some(JSON.as_bytes())),
        record("auto", 2, Some(b"4111-1111")),
        record("auto", 3, None),
        record("auto", 4, Some(b"")),
        record("auto", 5, Some(no_id.as_bytes())),
        record("proto", 8, Some(&protobuf("last"))),
    ];
    let decoded = decode_all(&topics, &records);
    assert_eq!((decoded.spans.len(), decoded.records, decoded.undecodable, decoded.rejected), (2, 5, 2, 1));
    let complaint = decoded.complaint.expect("something was wrong");
    assert_eq!((complaint.topic.as_str(), complaint.offset), ("proto", 7));
    assert!(!complaint.reason.contains("4111"));
}

#[test]
fn a_batch_ends_after_its_last_record_or_later_where_the_bus_says_so() {
    let place = |topic: &str| TopicPartition { topic: topic.into(), partition: 0 };
    let next = HashMap::from([(place("a"), 9)]);
    let ends = ends(&next, &[record("a", 3, None), record("b", 4, None), record("b", 5, None)]);
    assert_eq!(ends, HashMap::from([(place("a"), 9), (place("b"), 6)]));
}
