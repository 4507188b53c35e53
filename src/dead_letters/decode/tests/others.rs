//! Conventions of frameworks beside the JVM.

use super::{decode, expect, seen};
use crate::model::Timestamp;

#[test]
fn wolverine() {
    let failure = decode(
        "wolverine-dead-letter-queue",
        &[
            ("exception-type", b"System.InvalidOperationException"),
            ("exception-message", b"no stock"),
            ("exception-stack", b"   at Shop.Orders.OrderHandler.Handle(PlaceOrder command) in /src/Orders/OrderHandler.cs:line 42\n"),
            ("failed-at", b"1795454334656"),
            ("original-destination", b"kafka://topic/orders"),
            ("original-partition", b"3"),
            ("original-offset", b"42"),
        ],
    );
    assert_eq!(seen(&failure), expect("wolverine", "orders/3/42", Some("System.InvalidOperationException"), Some("no stock"), None));
    assert_eq!(failure.failed_at.map(Timestamp::as_millis), Some(1_795_454_334_656));
}

#[test]
fn wolverine_after_kafka_retries() {
    let failure = decode(
        "wolverine-dead-letter-queue",
        &[
            ("wolverine-kafka-retry-source", b"orders"),
            ("wolverine-kafka-retry-tier", b"orders.retry.5s"),
            ("wolverine-kafka-retry-attempt", b"3"),
            ("wolverine-kafka-retry-first-failed", b"639310858360000000"),
            ("wolverine-kafka-retry-exception-type", b"System.TimeoutException"),
            ("wolverine-kafka-retry-exception-message", b"timed out"),
        ],
    );
    assert_eq!(seen(&failure), expect("wolverine", "orders/?/?", Some("System.TimeoutException"), Some("timed out"), None));
    assert_eq!(failure.attempts, Some(3));
    assert_eq!(failure.failed_at.map(Timestamp::to_rfc3339).as_deref(), Some("2026-11-24T02:57:16.000Z"));
}

#[test]
fn masstransit() {
    let failure = decode(
        "orders_error",
        &[
            ("MT-Reason", b"fault"),
            ("MT-Fault-ExceptionType", b"InvalidOperationException"),
            ("MT-Fault-Message", b"no stock"),
            ("MT-Fault-Timestamp", b"2026-11-24T02:57:16.1234567Z"),
            ("MT-Fault-InputAddress", b"rabbitmq://broker/shop/orders?durable=true"),
            ("MT-Fault-ConsumerType", b"Shop.OrderConsumer"),
            ("MT-Fault-RetryCount", b"5"),
        ],
    );
    assert_eq!(seen(&failure), expect("masstransit", "orders/?/?", Some("InvalidOperationException"), Some("no stock"), None));
    assert_eq!((failure.attempts, failure.stage.as_deref()), (Some(5), Some("Shop.OrderConsumer")));
    assert_eq!(failure.failed_at.map(Timestamp::to_rfc3339).as_deref(), Some("2026-11-24T02:57:16.123Z"));
}

#[test]
fn brighter() {
    let failure = decode(
        "orders.dlq",
        &[
            ("OriginalTopic", b"orders"),
            ("OriginalType", b"MT_COMMAND"),
            ("RejectionReason", b"DeliveryError"),
            ("RejectionMessage", b"no stock"),
            ("RejectionTimestamp", b"2026-11-24T02:57:16.1234567+00:00"),
            ("HandledCount", b"3"),
        ],
    );
    assert_eq!(seen(&failure), expect("brighter", "orders/?/?", None, Some("no stock"), None));
    assert_eq!((failure.attempts, failure.stage.as_deref()), (Some(3), Some("DeliveryError")));
}

#[test]
fn silverback() {
    let failure = decode(
        "orders-dlq",
        &[
            ("x-source-topic", b"orders"),
            ("x-source-partition", b"3"),
            ("x-source-offset", b"42"),
            ("x-source-timestamp", b"2026-11-24T02:57:16Z"),
            ("x-source-consumer-group-id", b"orders-service"),
            ("x-failed-attempts", b"4"),
            ("x-failure-reason", b"Shop.NoStockException in Shop.Inventory"),
        ],
    );
    assert_eq!(seen(&failure), expect("silverback", "orders/3/42", Some("Shop.NoStockException"), None, Some("orders-service")));
    assert_eq!(failure.origin.timestamp.map(Timestamp::to_rfc3339).as_deref(), Some("2026-11-24T02:57:16.000Z"));
}

#[test]
fn watermill() {
    let failure = decode(
        "poison_queue",
        &[
            ("reason_poisoned", b"cannot reserve: no stock"),
            ("topic_poisoned", b"orders"),
            ("handler_poisoned", b"reserve_stock"),
            ("subscriber_poisoned", b"kafka.Subscriber"),
        ],
    );
    assert_eq!(seen(&failure), expect("watermill", "orders/?/?", None, Some("cannot reserve: no stock"), None));
    assert_eq!(failure.stage.as_deref(), Some("reserve_stock"));
}

#[test]
fn karafka() {
    let failure = decode(
        "orders_dlq",
        &[
            ("source_topic", b"orders"),
            ("source_partition", b"3"),
            ("source_offset", b"42"),
            ("source_consumer_group", b"orders-service"),
            ("source_attempts", b"2"),
            ("source_trace_id", b"8a7d6c5b"),
        ],
    );
    assert_eq!(seen(&failure), expect("karafka", "orders/3/42", None, None, Some("orders-service")));
    assert_eq!(failure.attempts, Some(2));
}

#[test]
fn arroyo_names_no_topic() {
    let headers: [super::Written<'_>; 4] =
        [("original_partition", b"1"), ("original_offset", b"5"), ("original_partition", b"3"), ("original_offset", b"42")];
    assert_eq!(seen(&decode("events-dlq", &headers)), expect("arroyo", "?/3/42", None, None, None));
}

#[test]
fn dlq_headers_of_outboxes() {
    let failure = decode(
        "orders-dlq",
        &[
            ("dlq-reason", b"no stock"),
            ("dlq-error-class", b"NoStockError"),
            ("dlq-original-topic", b"orders"),
            ("dlq-failed-at", b"2026-11-24T02:57:16.123Z"),
            ("dlq-attempts", b"5"),
            ("dlq-stack", b"NoStockError: no stock for sku 7\n    at reserve (/app/src/stock.js:12:9)\n"),
        ],
    );
    assert_eq!(seen(&failure), expect("dlq_headers", "orders/?/?", Some("NoStockError"), Some("no stock for sku 7"), None));
    assert_eq!(failure.attempts, Some(5));
}

#[test]
fn hand_made_original_headers() {
    let failure = decode(
        "orders-dlq",
        &[
            ("x-original-topic", b"orders"),
            ("x-original-partition", b"3"),
            ("x-original-offset", b"\0\0\0\0\0\0\0\x2a"),
            ("x-exception-class", b"NoStock"),
            ("x-error-message", b"no stock"),
        ],
    );
    assert_eq!(seen(&failure), expect("x_original", "orders/3/42", Some("NoStock"), Some("no stock"), None));
}
