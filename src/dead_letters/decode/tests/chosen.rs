//! Several failures, several conventions, several traces on one record: which one counts.

use super::{Written, decode, expect, seen};

#[test]
fn spring_appends_so_the_last_origin_counts() {
    let headers: [Written<'_>; 9] = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", b"\0\0\0\0"),
        ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\x05"),
        ("kafka_dlt-original-consumer-group", b"old-group"),
        ("kafka_dlt-exception-fqcn", b"shop.NoStock"),
        ("kafka_dlt-exception-message", b"again no stock"),
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", b"\0\0\0\x01"),
        ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\x09"),
    ];
    let expected = expect("spring_kafka", "orders/1/9", Some("shop.NoStock"), Some("again no stock"), None);
    assert_eq!(seen(&decode("orders.DLT", &headers)), expected, "the group of the older failure is not taken over");
}

#[test]
fn connect_and_streams_append_whole_sets() {
    let connect = |offset: &'static [u8], class: &'static [u8]| -> [Written<'static>; 5] {
        [
            ("__connect.errors.topic", b"orders"),
            ("__connect.errors.partition", b"0"),
            ("__connect.errors.offset", offset),
            ("__connect.errors.connector.name", b"sink"),
            ("__connect.errors.exception.class.name", class),
        ]
    };
    let headers = [connect(b"5", b"a.Old"), connect(b"9", b"a.New")].concat();
    assert_eq!(seen(&decode("dlq", &headers)), expect("kafka_connect", "orders/0/9", Some("a.New"), None, Some("connect-sink")));

    let streams = |offset: &'static [u8], class: &'static [u8]| -> [Written<'static>; 4] {
        [
            ("__streams.errors.exception", class),
            ("__streams.errors.topic", b"orders"),
            ("__streams.errors.partition", b"0"),
            ("__streams.errors.offset", offset),
        ]
    };
    let headers = [streams(b"5", b"a.Old"), streams(b"9", b"a.New")].concat();
    assert_eq!(seen(&decode("dlq", &headers)), expect("kafka_streams", "orders/0/9", Some("a.New"), None, None));
}

#[test]
fn smallrye_prepends_so_the_first_set_counts_and_lends_nothing_from_older_ones() {
    let headers: [Written<'_>; 12] = [
        ("dead-letter-exception-class-name", b"shop.New"),
        ("dead-letter-reason", b"new"),
        ("dead-letter-topic", b"orders"),
        ("dead-letter-partition", b"0"),
        ("dead-letter-offset", b"9"),
        ("dead-letter-exception-class-name", b"java.util.concurrent.CompletionException"),
        ("dead-letter-reason", b"old"),
        ("dead-letter-cause-class-name", b"shop.OldCause"),
        ("dead-letter-cause", b"old cause"),
        ("dead-letter-topic", b"orders"),
        ("dead-letter-partition", b"0"),
        ("dead-letter-offset", b"5"),
    ];
    assert_eq!(seen(&decode("dlt", &headers)), expect("smallrye", "orders/0/9", Some("shop.New"), Some("new"), None));
}

const SPRING: [Written<'static>; 4] = [
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", b"\0\0\0\0"),
    ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\x07"),
    ("kafka_dlt-exception-fqcn", b"shop.FromSpring"),
];

fn connect(topic: &'static [u8], offset: &'static [u8]) -> [Written<'static>; 4] {
    [
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", offset),
        ("__connect.errors.exception.class.name", b"shop.FromConnect"),
    ]
}

#[test]
fn every_convention_is_kept_and_the_newest_origin_leads() {
    let newer = decode("dlq", &[&SPRING[..], &connect(b"orders", b"8")].concat());
    assert_eq!(newer.convention.as_str(), "kafka_connect");
    assert_eq!(newer.matched.iter().map(super::super::Convention::as_str).collect::<Vec<_>>(), ["spring_kafka", "kafka_connect"]);
    let older = decode("dlq", &[&SPRING[..], &connect(b"orders", b"6")].concat());
    assert_eq!(older.convention.as_str(), "spring_kafka", "offsets of one partition decide, not the order of headers");
    let elsewhere = decode("dlq", &[&SPRING[..], &connect(b"orders.DLT", b"0")].concat());
    assert_eq!(elsewhere.convention.as_str(), "kafka_connect", "appended later");
    let named = decode("orders-dlt", &[&connect(b"payments", b"0")[..], &SPRING].concat());
    assert_eq!(named.convention.as_str(), "spring_kafka", "the topic is named after its origin");
}

#[test]
fn the_newest_valid_trace_counts() {
    let a: Written<'_> = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let b: Written<'_> = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    let broken: Written<'_> = ("traceparent", b"00-zz");
    let b3: Written<'_> = ("b3", b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1");
    let first_byte = |headers: &[Written<'_>]| decode("dlq", headers).trace_id.map(|id| id[0]);
    assert_eq!(first_byte(&[a, b]), Some(0x0a));
    assert_eq!(first_byte(&[a, broken]), Some(0x4b));
    assert_eq!(first_byte(&[a, b3]), Some(0x4b));
    assert_eq!(first_byte(&[broken, b3]), Some(0x80));
    assert_eq!(first_byte(&[("X-B3-TraceId", b"80f198ee56343ba8")]), Some(0));
    assert_eq!(first_byte(&[]), None);
}

#[test]
fn wrappers_never_lead_while_a_cause_is_known() {
    let wrapper = b"org.springframework.kafka.listener.ListenerExecutionFailedException";
    let stack = b"org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\
\tat org.springframework.kafka.listener.X.run(X.java:1)\n\
Caused by: java.util.concurrent.CompletionException: java.lang.IllegalStateException: no stock\n\
\t... 3 more\n\
Caused by: java.lang.IllegalStateException: no stock\n\
\tat shop.Stock.reserve(Stock.java:77)\n\
\t... 4 more\n\
Caused by: java.lang.reflect.InvocationTargetException\n\
\t... 9 more\n";
    let headers: [Written<'_>; 4] = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-exception-fqcn", wrapper),
        ("kafka_dlt-exception-cause-fqcn", b"java.util.concurrent.CompletionException"),
        ("kafka_dlt-exception-stacktrace", stack),
    ];
    let failure = decode("orders.DLT", &headers);
    assert_eq!(failure.exception_class.as_deref(), Some("java.lang.IllegalStateException"));
    assert_eq!(failure.message.as_deref(), Some("no stock"));

    let only_wrapper = decode("orders.DLT", &headers[..2]);
    let parts = crate::dead_letters::fingerprint::fingerprint(&only_wrapper, &"orders.DLT".into(), &[]);
    assert_eq!(parts.title, "Failure on orders", "a wrapper alone is no cause");
}

#[test]
fn a_cause_that_the_stack_trace_does_not_reach_is_still_taken() {
    let headers: [Written<'_>; 4] = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-exception-fqcn", b"a.Outer"),
        ("kafka_dlt-exception-cause-fqcn", b"shop.Cause"),
        ("kafka_dlt-exception-stacktrace", b"a.Outer: outer\n\tat org.springframework.kafka.X.run(X.java:1)\n\tat org.spri"),
    ];
    assert_eq!(decode("orders.DLT", &headers).exception_class.as_deref(), Some("shop.Cause"));
}
