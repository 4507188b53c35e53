//! Records read from running frameworks, every header in order.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;

use crate::dead_letters::decode::Decoder;
use crate::dead_letters::fingerprint::fingerprint;
use crate::model::record::TimestampKind;
use crate::model::{Failure, Header, Record, Timestamp};

use super::{expect, seen};

const SPRING_KAFKA: &str = include_str!("../../../../tests/it/fixtures/dead_letters/spring_kafka.jsonl");
const KAFKA_CONNECT: &str = include_str!("../../../../tests/it/fixtures/dead_letters/kafka_connect.jsonl");

fn bytes(encoding: &Value, value: &Value) -> Option<Bytes> {
    let text = value.as_str()?;
    Some(match encoding.as_str().unwrap() {
        "utf8" => text.to_owned().into(),
        "hex" => (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>().into(),
        "base64" => base64::engine::general_purpose::STANDARD.decode(text).unwrap().into(),
        other => panic!("encoding {other}"),
    })
}

fn records(lines: &str) -> Vec<Record> {
    let read = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        Record {
            topic: json["topic"].as_str().unwrap().into(),
            partition: json["partition"].as_i64().unwrap().try_into().unwrap(),
            offset: json["offset"].as_i64().unwrap(),
            timestamp: json["timestamp"].as_i64().map(Timestamp::from_millis),
            timestamp_kind: Some(TimestampKind::CreateTime),
            key: bytes(&json["key_encoding"], &json["key"]),
            value: bytes(&json["value_encoding"], &json["value"]),
            headers: json["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|h| Header { name: h[0].as_str().unwrap().to_owned().into(), value: bytes(&h[1], &h[2]) })
                .collect(),
        }
    };
    lines.lines().filter(|line| !line.is_empty()).map(read).collect()
}

fn decoded(lines: &str) -> Vec<(Record, Failure)> {
    let decoder = Decoder::new(&[]);
    records(lines)
        .into_iter()
        .map(|record| {
            let failure = decoder.decode(&record, &record.topic);
            (record, failure)
        })
        .collect()
}

#[test]
fn spring_kafka_tells_root_cause_origin_and_group() {
    let eof = "Unexpected end-of-input within/between Object entries\n at [Source: UNKNOWN; byte offset: #14]";
    let no_stock = Some("inventory service returned 503");
    let illegal = Some("java.lang.IllegalStateException");
    let orders = Some("orders-service");
    let failures = decoded(SPRING_KAFKA);
    let told: Vec<_> = failures.iter().map(|(_, failure)| seen(failure)).collect();
    assert_eq!(
        told,
        [
            expect("spring_kafka", "acc.spring.orders/0/1", illegal, no_stock, orders),
            expect(
                "spring_kafka",
                "acc.spring.orders/1/0",
                Some("java.sql.SQLException"),
                Some("duplicate key value violates unique constraint \"orders_pkey\""),
                orders
            ),
            expect("spring_kafka", "acc.spring.orders/0/4", illegal, no_stock, orders),
            expect(
                "spring_kafka",
                "acc.spring.typed/0/2",
                Some("tools.jackson.core.exc.UnexpectedEndOfInputException"),
                Some(eof),
                Some("typed-service")
            ),
            expect(
                "spring_kafka",
                "acc.spring.typed/0/4",
                Some("org.apache.kafka.common.errors.SerializationException"),
                Some("Size of data received by IntegerDeserializer is not 4"),
                Some("typed-service")
            ),
            expect("spring_kafka", "acc.spring.orders/0/1", illegal, no_stock, orders),
        ]
    );
    for (record, failure) in &failures {
        assert_eq!(failure.problem, None);
        assert!(!failure.consumer_group_inferred);
        assert!(failure.record_timestamp_is_failure_time);
        assert!(failure.origin.timestamp < record.timestamp);
        assert!(failure.stack_trace.as_ref().is_some_and(|stack| stack.len() > 2_500));
    }
    let attempts: Vec<_> = failures.iter().map(|(_, failure)| failure.attempts).collect();
    assert_eq!(attempts, [None, None, None, Some(1), Some(1), None]);
}

#[test]
fn kafka_connect_tells_the_connector_and_keeps_the_time_of_death_open() {
    let failures = decoded(KAFKA_CONNECT);
    let told: Vec<_> = failures.iter().map(|(_, failure)| seen(failure)).collect();
    let eof = "Unexpected end-of-input within/between Object entries\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 21]";
    let group = Some("connect-acc-json-sink");
    assert_eq!(
        told,
        [
            expect("kafka_connect", "acc.connect.orders/0/1", Some("com.fasterxml.jackson.core.io.JsonEOFException"), Some(eof), group),
            expect(
                "kafka_connect",
                "acc.connect.orders/0/4",
                Some("java.lang.NumberFormatException"),
                Some("For input string: \"many\""),
                group
            ),
            expect("unknown", "?/?/?", None, None, None),
        ]
    );
    assert!(failures[..2].iter().all(|(_, f)| !f.record_timestamp_is_failure_time && !f.consumer_group_inferred));
    assert_eq!(failures[0].1.stage.as_deref(), Some("VALUE_CONVERTER"));
    assert_eq!(failures[1].1.stage.as_deref(), Some("TRANSFORMATION"));
}

#[test]
fn the_same_failure_is_one_failure_group() {
    let spring = decoded(SPRING_KAFKA);
    let parts: Vec<_> = spring.iter().map(|(record, failure)| fingerprint(failure, &record.topic, &[])).collect();
    assert_eq!(parts[0], parts[2], "with other headers around it");
    assert_eq!(parts[0], parts[5], "the same record on another topic");
    let distinct: std::collections::BTreeSet<_> = parts.iter().map(|p| p.fingerprint).collect();
    assert_eq!(distinct.len(), 4, "{parts:#?}");
    assert_eq!(parts[0].title, "IllegalStateException in OrderListeners.orders");
    assert_eq!(
        parts[0].parts,
        ["consumer group: orders-service", "exception: java.lang.IllegalStateException", "frame: shop.OrderListeners.orders"]
    );
    assert_eq!(parts[1].title, "SQLException in OrderListeners.orders", "the cause has its frames in common with what wraps it");
    assert_eq!(
        parts[3].parts[1..],
        [
            "exception: tools.jackson.core.exc.UnexpectedEndOfInputException",
            "message: Unexpected end-of-input within/between Object entries at [Source: UNKNOWN; byte offset: #<int>]"
        ],
        "no frame is the application's"
    );
}

#[test]
fn a_connect_letter_without_context_is_grouped_by_its_topic() {
    let (record, failure) = decoded(KAFKA_CONNECT).pop().unwrap();
    let parts = fingerprint(&failure, &record.topic, &[]);
    assert_eq!(parts.parts, ["dead-letter topic: acc.connect.plain.dlq"]);
    assert_eq!(parts.title, "Dead letters of acc.connect.plain.dlq");
}
