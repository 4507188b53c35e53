use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::samples::plain;
use super::wire::{DamagedSpans, decode, decode_outline, encode};
use super::*;

fn unboxed(spans: &[Box<Span>]) -> Vec<Span> {
    spans.iter().map(|span| (**span).clone()).collect()
}

fn bytes_of(spans: &[Span]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(spans, &mut out);
    out
}

#[test]
fn ids_are_hex_of_their_length_in_either_case_and_never_zero() {
    let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!("4BF92F3577B34DA6A3CE929D0E0E4736".parse(), Ok(id));
    assert_eq!("00f067aa0ba902b7".parse::<SpanId>().unwrap().to_string(), "00f067aa0ba902b7");
    for wrong in [
        "",
        "00f067aa0ba902b",
        "00f067aa0ba902b70",
        "0000000000000000",
        "00f067aa0ba902bg",
        "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    ] {
        assert_eq!(wrong.parse::<SpanId>(), Err(NotAnId { digits: 16 }), "{wrong}");
    }
    assert_eq!(TraceId::from_bytes(&[1; 8]), None);
}

#[test]
fn numbers_are_read_from_whatever_libraries_write() {
    for value in [Value::Int(42), Value::Double(42.0), Value::from("42"), Value::from(" 42 "), Value::from("42.0")] {
        assert_eq!(value.as_int(), Some(42), "{value:?}");
    }
    for value in [Value::Double(4.2), Value::Double(f64::NAN), Value::Double(1e300), Value::from("none"), Value::Empty, Value::Bool(true)] {
        assert_eq!(value.as_int(), None, "{value:?}");
    }
    assert_eq!(Value::from("9223372036854775807").as_int(), Some(i64::MAX));
    assert_eq!((Value::from("True").as_bool(), Value::from(true).as_bool(), Value::Int(1).as_bool()), (Some(true), Some(true), None));
}

#[test]
fn a_span_failed_when_its_status_says_so_or_an_error_left_it() {
    let mut span = plain();
    assert!(!span.failed());
    span.exception = Some(SpanException::default());
    assert!(!span.failed(), "an exception that was handled is none");
    span.error_type = Some("timeout".to_owned());
    assert!(span.failed());
    span.status = SpanStatus::Ok;
    assert!(!span.failed(), "the service knows better");
    span.status = SpanStatus::Error;
    assert!(span.failed());
}

#[test]
fn times_are_told_to_the_millisecond_and_durations_exactly() {
    let span = plain();
    assert_eq!(span.duration(), Duration::from_millis(100));
    assert_eq!(span.started_at().as_millis(), 1_700_000_000_123);
    assert_eq!(span.ended_at().as_millis(), 1_700_000_000_223);
}

#[test]
fn spans_of_one_process_share_what_they_shared_after_they_were_stored() {
    let resource: Attributes = Arc::from([("service.name".into(), Value::from("orders"))]);
    let spans: Vec<Span> = (1..=100).map(|n| Span { span_id: SpanId([n; 8]), resource: Arc::clone(&resource), ..plain() }).collect();
    let bytes = bytes_of(&spans);
    assert!(bytes.len() < 100 * 60, "{} bytes for 100 spans", bytes.len());
    let read = decode(&bytes).unwrap();
    assert_eq!(unboxed(&read), spans);
    assert!(Arc::ptr_eq(&read[0].resource, &read[99].resource) && Arc::ptr_eq(&read[0].service, &read[99].service));
}

#[test]
fn numbers_that_are_none_come_back_as_such() {
    let span = Span { attributes: vec![("n".into(), Value::Double(f64::NAN))], ..plain() };
    let read = decode(&bytes_of(&[span])).unwrap();
    assert!(matches!(read[0].attributes[0].1, Value::Double(number) if number.is_nan()));
}

#[test]
fn values_deeper_than_the_receivers_take_are_cut_and_still_read() {
    let deep = (0..100).fold(Value::Int(1), |value, _| Value::List(vec![value]));
    let read = decode(&bytes_of(&[Span { attributes: vec![("deep".into(), deep)], ..plain() }])).unwrap();
    let mut depth = 0;
    let mut value = &read[0].attributes[0].1;
    while let Value::List(values) = value {
        (depth, value) = (depth + 1, &values[0]);
    }
    assert_eq!((depth, value), (Value::MAX_DEPTH, &Value::Empty));
}

#[test]
fn another_version_and_trailing_bytes_are_refused() {
    let mut bytes = bytes_of(&[plain()]);
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(DamagedSpans));
    bytes.pop();
    bytes[0] = 2;
    assert_eq!(decode(&bytes), Err(DamagedSpans));
    assert_eq!(decode(&[]), Err(DamagedSpans));
    assert_eq!(decode(&bytes_of(&[])), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn every_span_comes_back_as_it_was(spans in proptest::collection::vec(samples::span(), 0..5)) {
        prop_assert_eq!(decode(&bytes_of(&spans)).map(|read| unboxed(&read)), Ok(spans));
    }

    #[test]
    fn an_outline_is_the_span_without_what_nobody_counts_by(mut spans in proptest::collection::vec(samples::span(), 0..5)) {
        let bytes = bytes_of(&spans);
        spans.iter_mut().for_each(Span::reduce_to_outline);
        for span in &spans {
            prop_assert!(span.attributes.is_empty() && span.resource.is_empty() && span.events.is_empty());
        }
        prop_assert_eq!(decode_outline(&bytes).map(|read| unboxed(&read)), Ok(spans));
    }

    #[test]
    fn an_outline_refuses_what_the_whole_refuses(span in samples::span(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes_of(&[span]);
        let index = at.index(bytes.len());
        bytes[index] = byte;
        prop_assert_eq!(decode_outline(&bytes).is_ok(), decode(&bytes).is_ok());
    }

    #[test]
    fn a_cut_is_noticed(span in samples::span(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&[span]);
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), Err(DamagedSpans));
    }

    #[test]
    fn damage_never_panics(span in samples::span(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes_of(&[span]);
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let _ = decode(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        bytes.insert(0, 1);
        let _ = decode(&bytes);
    }
}
