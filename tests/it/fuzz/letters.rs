//! Headers of dead letters: every convention that is known, pointers of share groups, and headers of traces.

use bytes::Bytes;
use proptest::{prop_assert, prop_assert_eq};
use redrive::dead_letters::conventions::table::TABLE;
use redrive::dead_letters::conventions::{Encoding, Row};
use redrive::dead_letters::decode::{Decoder, MAX_STACK_TRACE_BYTES};
use redrive::dead_letters::fingerprint::fingerprint;
use redrive::model::{Header, Record, Timestamp, TopicName};

use super::mutation::Corpus;
use super::{alone, storm};

const TRACE_PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &[u8] = b"java.lang.IllegalStateException: no stock for 7\n\tat com.example.Orders.place(Orders.java:7)\n\
    Caused by: java.io.IOException: 503\n\tat com.example.Stock.ask(Stock.java:12)\n\t... 3 more\n";

/// Headers in one row of bytes: length of the name, name, length of the value and value, again and again. Any bytes are some headers.
fn written(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(u8::try_from(name.len()).expect("short"));
        bytes.extend_from_slice(name);
        bytes.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

fn read(mut bytes: &[u8]) -> Vec<Header> {
    let mut headers = Vec::new();
    let take = |bytes: &mut &[u8], count: usize| {
        let (part, rest) = bytes.split_at(count.min(bytes.len()));
        *bytes = rest;
        Bytes::copy_from_slice(part)
    };
    while let Some((length, rest)) = bytes.split_first() {
        bytes = rest;
        let name = take(&mut bytes, usize::from(*length));
        let length = take(&mut bytes, 2).iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        // The largest length stands for a null value.
        let value = (length < 0xffff).then(|| take(&mut bytes, length));
        headers.push(Header { name, value });
    }
    headers
}

fn record(headers: Vec<Header>) -> Record {
    Record {
        topic: "orders.DLT".into(),
        partition: 0,
        offset: 1,
        timestamp: Some(Timestamp::from_millis(1_760_000_000_000)),
        timestamp_kind: None,
        key: None,
        value: None,
        headers,
    }
}

/// A value as this encoding has it.
fn value(encoding: Encoding, header: &str) -> Vec<u8> {
    match encoding {
        Encoding::BeInt32 | Encoding::BeInt32OrByte => 3_i32.to_be_bytes().to_vec(),
        Encoding::BeInt64 => 42_i64.to_be_bytes().to_vec(),
        Encoding::Float64 => 1_759_000_000_000_f64.to_be_bytes().to_vec(),
        Encoding::Decimal | Encoding::BigInteger => b"7".to_vec(),
        Encoding::EpochMillis => b"1759000000000".to_vec(),
        Encoding::DotNetTicks => b"638000000000000000".to_vec(),
        Encoding::Iso8601 => b"2026-03-01T03:14:20Z".to_vec(),
        Encoding::Uri => b"kafka://host/orders".to_vec(),
        _ if header.to_lowercase().contains("trace") => TRACE.to_vec(),
        _ => b"orders".to_vec(),
    }
}

/// A dead letter with everything that a row knows.
fn entry(row: &Row) -> Vec<u8> {
    let mut headers: Vec<(&[u8], Vec<u8>)> =
        row.rules.iter().map(|rule| (rule.header.as_bytes(), value(rule.encoding, rule.header))).collect();
    for marker in row.markers.iter().flat_map(|group| group.iter()) {
        if headers.iter().all(|(name, _)| *name != marker.as_bytes()) {
            headers.push((marker.as_bytes(), b"1".to_vec()));
        }
    }
    headers.push((b"traceparent", TRACE_PARENT.to_vec()));
    let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    written(&headers)
}

#[test]
fn headers_of_dead_letters_decode_to_something_and_to_the_same_each_time() {
    alone("fuzz::letters::headers_of_dead_letters_decode_to_something_and_to_the_same_each_time", || {
        let (decoder, topic) = (Decoder::new(&[]), TopicName::from("orders.DLT"));
        let names = TABLE.iter().flat_map(|row| row.rules).map(|rule| written(&[(rule.header.as_bytes(), b"\x00\xff")]));
        let corpus = Corpus::new(TABLE.iter().map(entry), names.chain([b"\xff\xff".to_vec(), TRACE.to_vec()]));
        for (row, bytes) in TABLE.iter().zip(corpus.entries()) {
            let failure = decoder.decode(&record(read(bytes)), &topic);
            assert!(failure.matched.iter().any(|found| found.as_str() == row.slug), "{}: {failure:?}", row.slug);
            assert!(failure.trace_id.is_some(), "{}", row.slug);
        }
        storm(&corpus, |bytes| {
            let record = record(read(bytes));
            let failure = decoder.decode(&record, &topic);
            prop_assert_eq!(&decoder.decode(&record, &topic), &failure);
            let carried = decoder.carried(&record.headers, &topic);
            prop_assert_eq!(&carried.matched, &failure.matched, "what a replay takes off is what was found");
            prop_assert_eq!(&carried.original_key, &failure.original_key);
            prop_assert_eq!(&carried.original_value, &failure.original_value);
            prop_assert!(failure.stack_trace.as_ref().is_none_or(|trace| trace.len() <= MAX_STACK_TRACE_BYTES));
            prop_assert!(failure.origin.partition.is_none_or(|partition| partition >= 0), "{:?}", failure.origin);
            prop_assert!(failure.origin.offset.is_none_or(|offset| offset >= 0), "{:?}", failure.origin);
            prop_assert!(failure.problem.as_ref().is_none_or(|problem| !problem.is_empty()));
            let of = |failure| fingerprint(failure, &topic, &["com.example".to_owned()]);
            prop_assert_eq!(format!("{:?}", of(&failure)), format!("{:?}", of(&failure)));
            Ok(())
        });
    });
}

/// Version 00 of the W3C's trace context, read by its grammar.
fn is_trace_parent(value: &[u8]) -> bool {
    let hex = |part: &[u8], length| part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let named = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    matches!(parts[..], [b"00", trace, span, flags] if hex(trace, 32) && named(trace) && hex(span, 16) && named(span) && hex(flags, 2))
}

#[test]
fn a_trace_parent_tells_a_trace_when_the_grammar_says_so_and_never_else() {
    alone("fuzz::letters::a_trace_parent_tells_a_trace_when_the_grammar_says_so_and_never_else", || {
        let (decoder, topic) = (Decoder::new(&[]), TopicName::from("orders.DLT"));
        let odd: [&[u8]; 6] = [
            TRACE_PARENT,
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
            b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            b"00-00000000000000000000000000000001-0000000000000001-00",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        ];
        storm(&Corpus::new(odd, [&b"-"[..], b"0", b"f", b"00-", b"\xc3\xa9"]), |bytes| {
            let told = decoder.decode(&record(vec![Header::new("traceparent", bytes.to_vec())]), &topic).trace_id;
            prop_assert!(told.is_some() == is_trace_parent(bytes), "{told:?}");
            if let Some(told) = told {
                let text: String = told.iter().map(|byte| format!("{byte:02x}")).collect();
                prop_assert_eq!(text.as_bytes(), &bytes[3..35]);
            }
            Ok(())
        });
    });
}
