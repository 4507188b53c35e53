//! The built-in rows. Names and encodings are those observed on running frameworks, else those of their sources.

use super::Encoding::{
    BeInt32, BeInt32OrByte, BeInt64, BigInteger, Bytes, Decimal, DotNetTicks, EpochMillis, Iso8601, Text, TextBeforeIn, Uri,
};
use super::Field::{
    Attempts, CauseClass, CauseMessage, Connector, ConsumerGroup, ExceptionClass, FailedAt, Message, NextAttempt, OriginOffset,
    OriginPartition, OriginTimestamp, OriginTopic, OriginalKey, OriginalValue, StackTrace, Stage,
};
use super::{Encoding, Field, Newest, Occurrence, Row, Rule};

const fn read(header: &'static str, field: Field, encoding: Encoding) -> Rule {
    Rule { header, field: Some(field), encoding, occurrence: Occurrence::NewestSet, only_if: None }
}

const fn text(header: &'static str, field: Field) -> Rule {
    read(header, field, Text)
}

const fn last(header: &'static str, field: Field, encoding: Encoding) -> Rule {
    Rule { occurrence: Occurrence::Last, ..read(header, field, encoding) }
}

const fn first(header: &'static str, field: Field, encoding: Encoding) -> Rule {
    Rule { occurrence: Occurrence::First, ..read(header, field, encoding) }
}

/// A header of the convention that tells nothing by itself.
const fn also(header: &'static str) -> Rule {
    Rule { header, field: None, encoding: Bytes, occurrence: Occurrence::Last, only_if: None }
}

/// What most rows have: nothing special.
const PLAIN: Row = Row {
    slug: "",
    markers: &[],
    unless: &[],
    newest: Newest::Single,
    record_timestamp_is_failure_time: true,
    rules: &[],
    group_in_topic_name: None,
    may_be_pointer: false,
};

/// Every built-in convention. The order breaks ties between conventions that tell nothing about which is newer.
pub static TABLE: &[Row] = &[
    SPRING_KAFKA,
    SPRING_RETRY,
    SPRING_CLOUD_STREAM,
    KAFKA_CONNECT,
    KAFKA_STREAMS,
    SMALLRYE,
    SMALLRYE_DELAYED_RETRY,
    SHARE_GROUP,
    MICRONAUT,
    WOLVERINE,
    MASSTRANSIT,
    BRIGHTER,
    SILVERBACK,
    WATERMILL,
    KARAFKA,
    DLQ_HEADERS,
    X_ORIGINAL,
    ARROYO,
];

/// Spring Kafka's `DeadLetterPublishingRecoverer`, 2.8 to 4.1. Exception headers are replaced, `original-*` are appended.
/// A failing key is told by `key-exception-*`, except its cause, which has the name without `key-`.
const SPRING_KAFKA: Row = Row {
    slug: "spring_kafka",
    markers: &[&["kafka_dlt-original-topic"]],
    newest: Newest::LastSet { begins: "kafka_dlt-original-topic" },
    rules: &[
        text("kafka_dlt-original-topic", OriginTopic),
        read("kafka_dlt-original-partition", OriginPartition, BeInt32),
        read("kafka_dlt-original-offset", OriginOffset, BeInt64),
        read("kafka_dlt-original-timestamp", OriginTimestamp, BeInt64),
        also("kafka_dlt-original-timestamp-type"),
        text("kafka_dlt-original-consumer-group", ConsumerGroup),
        last("kafka_dlt-exception-fqcn", ExceptionClass, Text),
        last("kafka_dlt-key-exception-fqcn", ExceptionClass, Text),
        last("kafka_dlt-exception-cause-fqcn", CauseClass, Text),
        last("kafka_dlt-exception-message", Message, Text),
        last("kafka_dlt-key-exception-message", Message, Text),
        last("kafka_dlt-exception-stacktrace", StackTrace, Text),
        last("kafka_dlt-key-exception-stacktrace", StackTrace, Text),
        last("kafka_deliveryAttempt", Attempts, BeInt32),
        also("springDeserializerExceptionKey"),
        also("springDeserializerExceptionValue"),
    ],
    ..PLAIN
};

/// Spring's `@RetryableTopic`: `kafka_original-*` stays that of the first topic; the `retry_topic-*` triple is appended per hop.
const SPRING_RETRY: Row = Row {
    slug: "spring_retry",
    markers: &[&["kafka_original-topic"]],
    newest: Newest::Single,
    rules: &[
        last("kafka_original-topic", OriginTopic, Text),
        last("kafka_original-partition", OriginPartition, BeInt32),
        last("kafka_original-offset", OriginOffset, BeInt64),
        last("kafka_original-timestamp", OriginTimestamp, BeInt64),
        last("retry_topic-original-timestamp", OriginTimestamp, BigInteger),
        also("kafka_original-timestamp-type"),
        last("kafka_dlt-original-consumer-group", ConsumerGroup, Text),
        last("kafka_exception-fqcn", ExceptionClass, Text),
        last("kafka_key-exception-fqcn", ExceptionClass, Text),
        last("kafka_exception-cause-fqcn", CauseClass, Text),
        last("kafka_exception-message", Message, Text),
        last("kafka_key-exception-message", Message, Text),
        last("kafka_exception-stacktrace", StackTrace, Text),
        last("kafka_key-exception-stacktrace", StackTrace, Text),
        last("retry_topic-attempts", NextAttempt, BeInt32OrByte),
        also("retry_topic-backoff-timestamp"),
        also("kafka_deliveryAttempt"),
        also("springDeserializerExceptionKey"),
        also("springDeserializerExceptionValue"),
    ],
    ..PLAIN
};

/// Spring Cloud Stream's Kafka binder. The class header is always a wrapper; the topic's name holds the group.
const SPRING_CLOUD_STREAM: Row = Row {
    slug: "spring_cloud_stream",
    markers: &[&["x-original-topic", "x-exception-fqcn"], &["x-original-topic", "x-original-timestamp-type"]],
    newest: Newest::LastSet { begins: "x-original-topic" },
    rules: &[
        text("x-original-topic", OriginTopic),
        read("x-original-partition", OriginPartition, BeInt32),
        read("x-original-offset", OriginOffset, BeInt64),
        read("x-original-timestamp", OriginTimestamp, BeInt64),
        also("x-original-timestamp-type"),
        last("x-exception-fqcn", ExceptionClass, Text),
        last("x-exception-message", Message, Text),
        last("x-exception-stacktrace", StackTrace, Text),
    ],
    group_in_topic_name: Some("error.{topic}.{group}"),
    ..PLAIN
};

/// Kafka Connect sinks with context headers. The letter keeps the source record's timestamp.
const KAFKA_CONNECT: Row = Row {
    slug: "kafka_connect",
    markers: &[&["__connect.errors.topic"]],
    newest: Newest::LastSet { begins: "__connect.errors.topic" },
    record_timestamp_is_failure_time: false,
    rules: &[
        text("__connect.errors.topic", OriginTopic),
        read("__connect.errors.partition", OriginPartition, Decimal),
        read("__connect.errors.offset", OriginOffset, Decimal),
        text("__connect.errors.connector.name", Connector),
        also("__connect.errors.task.id"),
        text("__connect.errors.stage", Stage),
        also("__connect.errors.class.name"),
        text("__connect.errors.exception.class.name", ExceptionClass),
        text("__connect.errors.exception.message", Message),
        text("__connect.errors.exception.stacktrace", StackTrace),
    ],
    ..PLAIN
};

/// Kafka Streams, KIP-1034. No group anywhere; the letter keeps the source record's timestamp.
const KAFKA_STREAMS: Row = Row {
    slug: "kafka_streams",
    markers: &[&["__streams.errors.topic"], &["__streams.errors.exception"]],
    newest: Newest::LastSet { begins: "__streams.errors.exception" },
    record_timestamp_is_failure_time: false,
    rules: &[
        text("__streams.errors.exception", ExceptionClass),
        text("__streams.errors.message", Message),
        text("__streams.errors.stacktrace", StackTrace),
        text("__streams.errors.topic", OriginTopic),
        read("__streams.errors.partition", OriginPartition, Decimal),
        read("__streams.errors.offset", OriginOffset, Decimal),
    ],
    ..PLAIN
};

/// `SmallRye` and Quarkus, dead-letter queue. Sets are prepended. After a deserialization failure the original bytes are in headers.
const SMALLRYE: Row = Row {
    slug: "smallrye",
    markers: &[&["dead-letter-reason"], &["dead-letter-topic", "dead-letter-offset"]],
    newest: Newest::FirstSet { begins: "dead-letter-exception-class-name" },
    rules: &[
        text("dead-letter-exception-class-name", ExceptionClass),
        text("dead-letter-reason", Message),
        text("dead-letter-cause-class-name", CauseClass),
        text("dead-letter-cause", CauseMessage),
        text("dead-letter-topic", OriginTopic),
        read("dead-letter-partition", OriginPartition, Decimal),
        read("dead-letter-offset", OriginOffset, Decimal),
        first("deserialization-failure-value-data", OriginalValue, Bytes),
        first("deserialization-failure-key-data", OriginalKey, Bytes),
        Rule { only_if: Some(("deserialization-failure-key", "true", true)), ..first("deserialization-failure-data", OriginalKey, Bytes) },
        Rule {
            only_if: Some(("deserialization-failure-key", "true", false)),
            ..first("deserialization-failure-data", OriginalValue, Bytes)
        },
        also("deserialization-failure-deserializer"),
        also("deserialization-failure-topic"),
        also("deserialization-failure-reason"),
        also("deserialization-failure-cause"),
        also("deserialization-failure-dlq"),
        also("deserialization-failure-key"),
    ],
    ..PLAIN
};

/// `SmallRye`'s delayed retry topics: prepended per hop, so the last set names the real source and the first the newest failure.
const SMALLRYE_DELAYED_RETRY: Row = Row {
    slug: "smallrye",
    markers: &[&["delayed-retry-reason"], &["delayed-retry-topic", "delayed-retry-count"]],
    unless: &["dead-letter-reason"],
    newest: Newest::FirstSet { begins: "delayed-retry-exception-class-name" },
    rules: &[
        text("delayed-retry-exception-class-name", ExceptionClass),
        text("delayed-retry-reason", Message),
        text("delayed-retry-cause-class-name", CauseClass),
        text("delayed-retry-cause", CauseMessage),
        last("delayed-retry-topic", OriginTopic, Text),
        last("delayed-retry-partition", OriginPartition, Decimal),
        last("delayed-retry-offset", OriginOffset, Decimal),
        first("delayed-retry-original-timestamp", OriginTimestamp, EpochMillis),
        also("delayed-retry-first-processing-timestamp"),
        first("delayed-retry-count", Attempts, Decimal),
    ],
    ..PLAIN
};

/// Share groups, KIP-1191. By default a pointer: key and value must be read from the source.
const SHARE_GROUP: Row = Row {
    slug: "share_group",
    markers: &[&["__dlq.errors.topic"]],
    rules: &[
        text("__dlq.errors.topic", OriginTopic),
        read("__dlq.errors.partition", OriginPartition, Decimal),
        read("__dlq.errors.offset", OriginOffset, Decimal),
        text("__dlq.errors.group", ConsumerGroup),
        read("__dlq.errors.delivery.count", Attempts, Decimal),
        text("__dlq.errors.message", Message),
    ],
    may_be_pointer: true,
    ..PLAIN
};

/// Micronaut Kafka 5.8 and later. The letter keeps the source record's timestamp.
const MICRONAUT: Row = Row {
    slug: "micronaut",
    markers: &[&["micronaut-kafka-original-topic"]],
    record_timestamp_is_failure_time: false,
    rules: &[
        text("micronaut-kafka-original-topic", OriginTopic),
        read("micronaut-kafka-original-partition", OriginPartition, Decimal),
        read("micronaut-kafka-original-offset", OriginOffset, Decimal),
        text("micronaut-kafka-exception-class", ExceptionClass),
        text("micronaut-kafka-exception-message", Message),
    ],
    ..PLAIN
};

/// Wolverine's dead-letter queue, with the headers of its Kafka retry tiers.
const WOLVERINE: Row = Row {
    slug: "wolverine",
    markers: &[&["exception-type", "failed-at"], &["exception-type", "original-destination"], &["wolverine-kafka-retry-source"]],
    rules: &[
        text("wolverine-kafka-retry-source", OriginTopic),
        read("original-destination", OriginTopic, Uri),
        read("original-partition", OriginPartition, Decimal),
        read("original-offset", OriginOffset, Decimal),
        text("exception-type", ExceptionClass),
        text("wolverine-kafka-retry-exception-type", ExceptionClass),
        text("exception-message", Message),
        text("wolverine-kafka-retry-exception-message", Message),
        text("exception-stack", StackTrace),
        read("failed-at", FailedAt, EpochMillis),
        read("wolverine-kafka-retry-attempt", Attempts, Decimal),
        read("wolverine-kafka-retry-first-failed", FailedAt, DotNetTicks),
        also("wolverine-kafka-retry-tier"),
    ],
    ..PLAIN
};

/// `MassTransit` fault headers, as they reach Kafka through bridges.
const MASSTRANSIT: Row = Row {
    slug: "masstransit",
    markers: &[&["MT-Fault-ExceptionType"], &["MT-Fault-Message"]],
    rules: &[
        text("MT-Fault-ExceptionType", ExceptionClass),
        text("MT-Fault-Message", Message),
        text("MT-Fault-StackTrace", StackTrace),
        read("MT-Fault-Timestamp", FailedAt, Iso8601),
        read("MT-Fault-InputAddress", OriginTopic, Uri),
        text("MT-Fault-ConsumerType", Stage),
        read("MT-Fault-RetryCount", Attempts, Decimal),
        also("MT-Fault-MessageType"),
        also("MT-Reason"),
        also("MT-Redelivery-Count"),
        also("MT-Host-MachineName"),
        also("MT-Host-ProcessName"),
        also("MT-Host-ProcessId"),
        also("MT-Host-Assembly"),
        also("MT-Host-AssemblyVersion"),
        also("MT-Host-MassTransitVersion"),
        also("MT-Host-FrameworkVersion"),
        also("MT-Host-OperatingSystemVersion"),
    ],
    ..PLAIN
};

/// Brighter: a reason and a message, no exception class, no partition or offset.
const BRIGHTER: Row = Row {
    slug: "brighter",
    markers: &[&["RejectionReason", "OriginalTopic"]],
    rules: &[
        text("OriginalTopic", OriginTopic),
        text("RejectionReason", Stage),
        text("RejectionMessage", Message),
        read("RejectionTimestamp", FailedAt, Iso8601),
        read("HandledCount", Attempts, Decimal),
        also("OriginalType"),
    ],
    ..PLAIN
};

/// Silverback's move policy: everything but message and stack trace.
const SILVERBACK: Row = Row {
    slug: "silverback",
    markers: &[&["x-failure-reason"]],
    rules: &[
        text("x-source-topic", OriginTopic),
        read("x-source-partition", OriginPartition, Decimal),
        read("x-source-offset", OriginOffset, Decimal),
        read("x-source-timestamp", OriginTimestamp, Iso8601),
        text("x-source-consumer-group-id", ConsumerGroup),
        read("x-failed-attempts", Attempts, Decimal),
        read("x-failure-reason", ExceptionClass, TextBeforeIn),
    ],
    ..PLAIN
};

/// Watermill's poison queue: a message, no class, partition, offset or time.
const WATERMILL: Row = Row {
    slug: "watermill",
    markers: &[&["reason_poisoned"]],
    rules: &[
        text("reason_poisoned", Message),
        text("topic_poisoned", OriginTopic),
        text("handler_poisoned", Stage),
        also("subscriber_poisoned"),
    ],
    ..PLAIN
};

/// Karafka's enhanced dead-letter queue: coordinates and group, nothing about the exception.
const KARAFKA: Row = Row {
    slug: "karafka",
    markers: &[&["source_topic", "source_partition", "source_offset"]],
    rules: &[
        text("source_topic", OriginTopic),
        read("source_partition", OriginPartition, Decimal),
        read("source_offset", OriginOffset, Decimal),
        text("source_consumer_group", ConsumerGroup),
        read("source_attempts", Attempts, Decimal),
        also("source_trace_id"),
    ],
    ..PLAIN
};

/// `dlq-*`, the style of `KafkaJS` outboxes.
const DLQ_HEADERS: Row = Row {
    slug: "dlq_headers",
    markers: &[&["dlq-original-topic"], &["dlq-reason"], &["dlq-error-class"]],
    rules: &[
        text("dlq-original-topic", OriginTopic),
        read("dlq-original-partition", OriginPartition, Decimal),
        read("dlq-original-offset", OriginOffset, Decimal),
        text("dlq-error-class", ExceptionClass),
        text("dlq-reason", Message),
        text("dlq-stack", StackTrace),
        read("dlq-failed-at", FailedAt, Iso8601),
        read("dlq-attempts", Attempts, Decimal),
        text("dlq-consumer-group", ConsumerGroup),
    ],
    ..PLAIN
};

/// Hand-made `x-original-*` headers, unless they are Spring Cloud Stream's.
const X_ORIGINAL: Row = Row {
    slug: "x_original",
    markers: &[&["x-original-topic"]],
    unless: &["x-exception-fqcn", "x-original-timestamp-type"],
    newest: Newest::LastSet { begins: "x-original-topic" },
    rules: &[
        text("x-original-topic", OriginTopic),
        read("x-original-partition", OriginPartition, Decimal),
        read("x-original-offset", OriginOffset, Decimal),
        read("x-original-timestamp", OriginTimestamp, Iso8601),
        last("x-original-consumer-group", ConsumerGroup, Text),
        last("x-exception-class", ExceptionClass, Text),
        last("x-error-class", ExceptionClass, Text),
        last("x-exception-message", Message, Text),
        last("x-error-message", Message, Text),
        last("x-exception-stacktrace", StackTrace, Text),
        last("x-error-stacktrace", StackTrace, Text),
        last("x-failed-at", FailedAt, Iso8601),
        last("x-retry-count", Attempts, Decimal),
    ],
    ..PLAIN
};

/// Sentry's arroyo: appended coordinates without a topic.
const ARROYO: Row = Row {
    slug: "arroyo",
    markers: &[&["original_partition", "original_offset"]],
    newest: Newest::LastSet { begins: "original_partition" },
    rules: &[read("original_partition", OriginPartition, Decimal), read("original_offset", OriginOffset, Decimal)],
    ..PLAIN
};
