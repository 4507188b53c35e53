//! Conventions of frameworks on the JVM.

use super::{Written, decode, expect, record, seen};
use crate::dead_letters::conventions::removed_headers;
use crate::dead_letters::decode::Decoder;
use crate::model::{Convention, Header, Timestamp};

const PARTITION: &[u8] = b"\0\0\0\x03";
const OFFSET: &[u8] = b"\0\0\0\0\0\0\0\x2a";
const MILLIS: &[u8] = b"\0\0\x01\xa2\x09\x6a\xa7\x96";
const MILLIS_SHORT: &[u8] = b"\x01\xa2\x09\x6a\xa7\x96";
const AT: Timestamp = Timestamp::from_millis(0x01a2_096a_a796);
const WRAPPER: &[u8] = b"org.springframework.kafka.listener.ListenerExecutionFailedException";

#[test]
fn spring_key_failures_have_no_value_exception_headers() {
    let failure = decode(
        "typed-dlt",
        &[
            ("kafka_dlt-key-exception-fqcn", b"org.springframework.kafka.support.serializer.DeserializationException"),
            ("kafka_dlt-exception-cause-fqcn", b"org.springframework.kafka.support.serializer.DeserializationException"),
            ("kafka_dlt-key-exception-message", b"failed to deserialize"),
            ("kafka_dlt-original-topic", b"typed"),
            ("kafka_dlt-original-partition", PARTITION),
            ("kafka_dlt-original-offset", OFFSET),
            ("kafka_dlt-original-timestamp", MILLIS),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"typed-service"),
            ("kafka_deliveryAttempt", b"\0\0\0\x03"),
        ],
    );
    let class = Some("org.springframework.kafka.support.serializer.DeserializationException");
    assert_eq!(seen(&failure), expect("spring_kafka", "typed/3/42", class, Some("failed to deserialize"), Some("typed-service")));
    assert_eq!((failure.origin.timestamp, failure.attempts), (Some(AT), Some(3)));
}

#[test]
fn spring_without_a_stack_trace_takes_the_direct_cause() {
    let failure = decode(
        "orders.DLT",
        &[
            ("kafka_dlt-exception-fqcn", WRAPPER),
            ("kafka_dlt-exception-cause-fqcn", b"shop.NoStock"),
            ("kafka_dlt-exception-message", b"Listener method 'void shop.A.b()' threw exception; no stock for sku 7"),
            ("kafka_dlt-original-topic", b"orders"),
        ],
    );
    assert_eq!(seen(&failure), expect("spring_kafka", "orders/?/?", Some("shop.NoStock"), Some("no stock for sku 7"), None));
}

#[test]
fn spring_retry_topics_count_attempts_and_keep_the_first_origin() {
    let hop = |attempts: &'static [u8]| -> [Written<'static>; 3] {
        [
            ("retry_topic-original-timestamp", MILLIS_SHORT),
            ("retry_topic-attempts", attempts),
            ("retry_topic-backoff-timestamp", b"\x01\xa2\x09\x6a\xb1\x00"),
        ]
    };
    let mut headers: Vec<Written<'_>> = vec![
        ("kafka_original-topic", b"orders"),
        ("kafka_original-partition", PARTITION),
        ("kafka_original-offset", OFFSET),
        ("kafka_original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"orders-service"),
        ("kafka_exception-fqcn", WRAPPER),
        ("kafka_exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_exception-message", b"Listener failed; no stock"),
    ];
    headers.extend(hop(b"\0\0\0\x02"));
    headers.extend(hop(b"\0\0\0\x03"));
    headers.extend(hop(b"\0\0\0\x04"));
    let failure = decode("orders-dlt", &headers);
    assert_eq!(
        seen(&failure),
        expect("spring_retry", "orders/3/42", Some("java.lang.IllegalStateException"), Some("no stock"), Some("orders-service"))
    );
    assert_eq!(failure.attempts, Some(3), "the header names the attempt that would come next");
    assert_eq!(failure.origin.timestamp, Some(AT), "read from six bytes");

    headers.retain(|(name, _)| !name.starts_with("retry_topic-attempts"));
    headers.push(("retry_topic-attempts", b"\x04"));
    assert_eq!(decode("orders-dlt", &headers).attempts, Some(3), "one byte in older versions");
}

#[test]
fn spring_cloud_stream_tells_the_group_by_its_topic_name() {
    let stack = b"org.springframework.messaging.MessagingException: error occurred in message handler [o.s.F$1@2d37882b]\n\
\tat org.springframework.integration.support.utils.IntegrationUtils.wrapInHandlingExceptionIfNecessary(IntegrationUtils.java:191)\n\
Caused by: org.springframework.core.retry.RetryException: Retry policy exhausted\n\
\tat org.springframework.core.retry.RetryTemplate.execute(RetryTemplate.java:150)\n\
\tSuppressed: java.lang.IllegalArgumentException: an earlier attempt\n\
\t\tat shop.Billing.charge(Billing.java:9)\n\
\tCaused by: java.io.IOException: of the earlier attempt\n\
\t\t... 9 more\n\
Caused by: shop.CardDeclined: card declined\n\
\tat shop.Billing.charge(Billing.java:31)\n\
\t... 12 more\n";
    let headers: [Written<'_>; 7] = [
        ("x-original-topic", b"orders.v1"),
        ("x-original-partition", PARTITION),
        ("x-original-offset", OFFSET),
        ("x-original-timestamp", MILLIS),
        ("x-original-timestamp-type", b"CreateTime"),
        ("x-exception-fqcn", b"org.springframework.messaging.MessagingException"),
        ("x-exception-stacktrace", stack),
    ];
    let failure = decode("error.orders.v1.billing", &headers);
    let expected = expect("spring_cloud_stream", "orders.v1/3/42", Some("shop.CardDeclined"), Some("card declined"), Some("billing"));
    assert_eq!(seen(&failure), expected);
    assert!(failure.consumer_group_inferred);
    assert_eq!(decode("billing-dlq", &headers).consumer_group, None);
    assert_eq!(failure.matched, [Convention::built_in("spring_cloud_stream")], "not the hand-made style as well");
}

#[test]
fn kafka_streams_may_have_null_messages_and_no_origin() {
    let mut letter = record(&[
        ("__streams.errors.exception", b"java.lang.NullPointerException"),
        ("__streams.errors.stacktrace", b"java.lang.NullPointerException\n\tat shop.Enrich.apply(Enrich.java:5)\n"),
        ("__streams.errors.partition", b"-1"),
        ("__streams.errors.offset", b"-1"),
    ]);
    letter.headers.insert(1, Header { name: "__streams.errors.message".into(), value: None });
    letter.headers.insert(3, Header { name: "__streams.errors.topic".into(), value: None });
    let failure = Decoder::new(&[]).decode(&letter, &"orders-dlq".into());
    assert_eq!(seen(&failure), expect("kafka_streams", "?/?/?", Some("java.lang.NullPointerException"), None, None));
    assert_eq!(failure.problem, None, "a punctuator has no origin");
    assert!(!failure.record_timestamp_is_failure_time);
}

#[test]
fn smallrye_shows_the_cause_of_a_wrapper() {
    let failure = decode(
        "dead-letter-topic-orders",
        &[
            ("dead-letter-exception-class-name", b"java.util.concurrent.CompletionException"),
            ("dead-letter-reason", b"shop.NoStock: no stock"),
            ("dead-letter-cause-class-name", b"shop.NoStock"),
            ("dead-letter-cause", b"no stock"),
            ("dead-letter-topic", b"orders"),
            ("dead-letter-partition", b"3"),
            ("dead-letter-offset", b"42"),
        ],
    );
    assert_eq!(seen(&failure), expect("smallrye", "orders/3/42", Some("shop.NoStock"), Some("no stock"), None));
    assert!(failure.record_timestamp_is_failure_time);
}

#[test]
fn smallrye_deserialization_failures_carry_the_original_bytes() {
    let headers: [Written<'_>; 9] = [
        ("dead-letter-exception-class-name", b"org.apache.kafka.common.errors.RecordDeserializationException"),
        ("dead-letter-reason", b"Error deserializing VALUE for partition orders-3 at offset 42."),
        ("dead-letter-topic", b"orders"),
        ("dead-letter-partition", b"3"),
        ("dead-letter-offset", b"42"),
        ("deserialization-failure-deserializer", b"io.quarkus.kafka.client.serialization.ObjectMapperDeserializer"),
        ("deserialization-failure-topic", b"orders"),
        ("deserialization-failure-reason", b"Unexpected end-of-input"),
        ("deserialization-failure-value-data", b"{\"id\":1,\xff\0"),
    ];
    let failure = decode("dead-letter-topic-orders", &headers);
    assert_eq!(failure.original_value.as_deref(), Some(&b"{\"id\":1,\xff\0"[..]));
    assert_eq!(failure.original_key, None);

    let of_key: Vec<Written<'_>> =
        [&headers[..8], &[("deserialization-failure-key", b"true"), ("deserialization-failure-data", b"\x01\x02")]].concat();
    let failure = decode("dead-letter-topic-orders", &of_key);
    assert_eq!((failure.original_key.as_deref(), failure.original_value), (Some(&b"\x01\x02"[..]), None));
}

#[test]
fn smallrye_delayed_retries_lead_back_to_the_real_source() {
    let failure = decode(
        "dead-letter-topic-orders",
        &[
            ("delayed-retry-exception-class-name", b"shop.StillNoStock"),
            ("delayed-retry-reason", b"still no stock"),
            ("delayed-retry-topic", b"orders_20000"),
            ("delayed-retry-partition", b"0"),
            ("delayed-retry-offset", b"7"),
            ("delayed-retry-exception-class-name", b"shop.NoStock"),
            ("delayed-retry-reason", b"no stock"),
            ("delayed-retry-cause-class-name", b"java.io.IOException"),
            ("delayed-retry-cause", b"first time only"),
            ("delayed-retry-topic", b"orders"),
            ("delayed-retry-partition", b"3"),
            ("delayed-retry-offset", b"42"),
            ("delayed-retry-original-timestamp", b"1795454334656"),
            ("delayed-retry-first-processing-timestamp", b"1795454334657"),
            ("delayed-retry-count", b"2"),
        ],
    );
    assert_eq!(seen(&failure), expect("smallrye", "orders/3/42", Some("shop.StillNoStock"), Some("still no stock"), None));
    assert_eq!((failure.attempts, failure.origin.timestamp), (Some(2), Some(Timestamp::from_millis(1_795_454_334_656))));
}

#[test]
fn share_groups_leave_a_pointer_unless_records_are_copied() {
    let headers: [Written<'_>; 6] = [
        ("__dlq.errors.topic", b"orders"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"42"),
        ("__dlq.errors.group", b"orders-share"),
        ("__dlq.errors.delivery.count", b"5"),
        ("__dlq.errors.message", b"Offset delivery count exceeded the threshold."),
    ];
    let mut letter = record(&headers);
    let decoder = Decoder::new(&[]);
    let copied = decoder.decode(&letter, &"dlq.orders".into());
    let message = Some("Offset delivery count exceeded the threshold.");
    assert_eq!(seen(&copied), expect("share_group", "orders/3/42", None, message, Some("orders-share")));
    assert!(!copied.is_pointer);
    assert_eq!(copied.attempts, Some(5));
    (letter.key, letter.value) = (None, None);
    assert!(decoder.decode(&letter, &"dlq.orders".into()).is_pointer);
}

#[test]
fn micronaut_keeps_the_source_timestamp() {
    let failure = decode(
        "orders-dlq",
        &[
            ("micronaut-kafka-original-topic", b"orders"),
            ("micronaut-kafka-original-partition", b"3"),
            ("micronaut-kafka-original-offset", b"42"),
            ("micronaut-kafka-exception-class", b"shop.NoStock"),
            ("micronaut-kafka-exception-message", b"no stock"),
        ],
    );
    assert_eq!(seen(&failure), expect("micronaut", "orders/3/42", Some("shop.NoStock"), Some("no stock"), None));
    assert!(!failure.record_timestamp_is_failure_time);
}

#[test]
fn replays_know_the_exact_names_to_remove() {
    let names = removed_headers(&Convention::built_in("spring_retry"));
    assert!(names.contains(&"retry_topic-backoff-timestamp") && names.contains(&"kafka_dlt-original-consumer-group"));
    assert!(!names.contains(&"__TypeId__") && !names.contains(&"traceparent"));
    let names = removed_headers(&Convention::built_in("smallrye"));
    assert!(names.contains(&"dead-letter-reason") && names.contains(&"delayed-retry-count"), "both ways of writing");
    assert!(removed_headers(&Convention::UNKNOWN).is_empty());
}
