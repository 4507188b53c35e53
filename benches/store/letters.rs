//! Dead letters of 4.6 KB: a value of 1 KB, Spring headers with a stack trace of 3 KB.

use std::fmt::Write;

use bytes::Bytes;
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::failure_group::FingerprintParts;
use redrive::model::record::TimestampKind;
use redrive::model::{Convention, FailedAtSource, Failure, Fingerprint, GroupName, Header, Origin, Record, Timestamp, TopicName};
use redrive::store::indexing::{Advance, IndexBatch};

/// Time of the first dead letter; the next ones fail 50 ms apart.
pub(crate) const START: i64 = 1_767_225_600_000;
/// Failures: classes, each with frames of its own.
const CAUSES: u64 = 40;
const GROUPS: u64 = 12;

pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// 1 KB of JSON with values of its own, Spring headers, 3 KB of stack trace whose messages differ.
pub(crate) fn letter(number: u64, partition: i32, offset: i64, state: &mut u64) -> NewDeadLetter {
    let cause = random(state) % CAUSES * (random(state) % 3) / 2;
    let class = format!("com.example.shop.failure.Cause{cause}Exception");
    let message = format!("cannot process order {number:09}: customer {:08x} is unknown", random(state));
    let stack_trace = stack_trace(cause, &class, &message);
    let value = value(number, state);
    let failed_at = Timestamp::from_millis(START + (number * 50) as i64 + (random(state) % 400) as i64);
    let failure = failure(cause, (partition, offset), failed_at, &class, &message, &stack_trace);
    NewDeadLetter {
        record: Record {
            topic: "orders.DLT".into(),
            partition,
            offset,
            timestamp: Some(failed_at),
            timestamp_kind: Some(TimestampKind::CreateTime),
            key: Some(Bytes::from(format!("{number:09}"))),
            value: Some(Bytes::from(value)),
            headers: headers(&failure, stack_trace),
        },
        failure,
        fingerprint: FingerprintParts {
            fingerprint: Fingerprint { version: 1, hash: cause },
            title: format!("{class}: cannot process order"),
            parts: vec![class],
        },
        failed_at,
        failed_at_source: FailedAtSource::Record,
        arrived_at: failed_at,
        backlog: false,
        resolved: None,
        custody_problem: None,
    }
}

fn stack_trace(cause: u64, class: &str, message: &str) -> String {
    let mut frames = String::with_capacity(3_000);
    for line in 0..34 {
        let _ = writeln!(frames, "\tat com.example.shop.cause{cause}.Handler{line}.process(Handler{line}.java:1{line:02})");
    }
    format!(
        "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n{frames}Caused by: {class}: {message}\n\t... 24 more\n"
    )
}

fn value(number: u64, state: &mut u64) -> String {
    let mut value = format!("{{\"order\":\"{number:09}\",\"customer\":\"{:08x}\",\"lines\":[", random(state));
    while value.len() < 960 {
        let (sku, quantity, price) = (random(state) % 100_000, random(state) % 9, random(state) % 500);
        let _ = write!(value, "{{\"sku\":\"SKU-{sku:05}\",\"quantity\":{quantity},\"price\":{price}.99}},");
    }
    value.push_str("{}]}");
    value
}

fn failure(cause: u64, (partition, offset): (i32, i64), failed_at: Timestamp, class: &str, message: &str, stack_trace: &str) -> Failure {
    Failure {
        convention: Convention::built_in("spring_kafka"),
        matched: vec![Convention::built_in("spring_kafka")],
        origin: Origin {
            topic: Some(format!("orders-{}", cause % 5).into()),
            partition: Some(partition),
            offset: Some(offset),
            timestamp: Some(failed_at),
        },
        exception_class: Some(class.to_owned()),
        message: Some(message.to_owned()),
        stack_trace: Some(stack_trace.to_owned()),
        stage: None,
        attempts: None,
        consumer_group: Some(format!("service-{}", cause % GROUPS).into()),
        consumer_group_inferred: false,
        failed_at: Some(failed_at),
        record_timestamp_is_failure_time: true,
        original_value: None,
        original_key: None,
        trace_id: None,
        is_pointer: false,
        problem: None,
    }
}

/// Spring's headers for a failure.
fn headers(failure: &Failure, stack_trace: String) -> Vec<Header> {
    let origin = &failure.origin;
    let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
    vec![
        Header::new("kafka_dlt-original-topic", text(origin.topic.as_ref().map(TopicName::as_str))),
        Header::new("kafka_dlt-original-partition", origin.partition.unwrap_or_default().to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-offset", origin.offset.unwrap_or_default().to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-timestamp", origin.timestamp.map_or(0, Timestamp::as_millis).to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-consumer-group", text(failure.consumer_group.as_ref().map(GroupName::as_str))),
        Header::new("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"),
        Header::new("kafka_dlt-exception-cause-fqcn", text(failure.exception_class.as_deref())),
        Header::new("kafka_dlt-exception-message", text(failure.message.as_deref())),
        Header::new("kafka_dlt-exception-stacktrace", stack_trace),
    ]
}

/// Generates batches of four partitions that go on from each other.
pub(crate) struct Feed {
    state: u64,
    number: u64,
    next: [i64; 4],
    partitions: Vec<i64>,
    /// Whether every dead letter names an exception class, an origin topic and a consumer group of its own.
    pub(crate) hostile: bool,
}

impl Feed {
    pub(crate) fn new(partitions: Vec<i64>) -> Self {
        Self { state: 1, number: 0, next: [0; 4], partitions, hostile: false }
    }

    pub(crate) fn batch(&mut self, letters: usize) -> IndexBatch {
        let expected = self.next;
        let mut some = Vec::with_capacity(letters);
        for index in 0..letters {
            let partition = index * 4 / letters;
            let mut letter = letter(self.number, partition as i32, self.next[partition], &mut self.state);
            if self.hostile {
                own_names(&mut letter, self.number);
            }
            some.push((self.partitions[partition], letter));
            self.next[partition] += 1;
            self.number += 1;
        }
        let advances = (0..4).map(|p| Advance { partition_id: self.partitions[p], expected: expected[p], next: self.next[p], gap: None });
        IndexBatch { bus: "prod".into(), advances: advances.collect(), letters: some }
    }
}

/// What somebody can do who may write to a dead-letter topic: names that nobody else has.
fn own_names(letter: &mut NewDeadLetter, number: u64) {
    let failure = &mut letter.failure;
    failure.exception_class = Some(format!("com.example.Hostile{number}Exception"));
    failure.origin.topic = Some(format!("topic-{number}").into());
    failure.consumer_group = Some(format!("group-{number}").into());
    letter.fingerprint.fingerprint = Fingerprint { version: 1, hash: 1_000_000 + number };
    letter.fingerprint.title = format!("Hostile{number}Exception");
}
