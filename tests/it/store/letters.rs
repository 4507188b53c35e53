//! Dead letters for tests.

use bytes::Bytes;
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::failure_group::FingerprintParts;
use redrive::model::record::TimestampKind;
use redrive::model::{Convention, FailedAtSource, Failure, Fingerprint, GroupName, Header, Origin, Record, Timestamp, TopicName};
use redrive::store::Store;
use redrive::store::indexing::{Advance, IndexBatch, IndexOutcome};

/// A dead letter with nothing unusual about it.
pub(crate) fn letter(offset: i64, failed_at: Timestamp) -> NewDeadLetter {
    let stack_trace = stack_trace(&format!("order {offset} is broken"));
    NewDeadLetter {
        record: Record {
            topic: TopicName::from("orders.DLT"),
            partition: 0,
            offset,
            timestamp: Some(failed_at),
            timestamp_kind: Some(TimestampKind::CreateTime),
            key: Some(Bytes::from(format!("order-{offset}"))),
            value: Some(Bytes::from(format!("{{\"order\":{offset},\"customer\":\"Customer {offset}\"}}"))),
            headers: vec![
                Header::new("kafka_dlt-exception-stacktrace", stack_trace.clone()),
                Header::new("kafka_dlt-original-topic", "orders"),
            ],
        },
        failure: Failure {
            convention: Convention::built_in("spring_kafka"),
            matched: vec![Convention::built_in("spring_kafka")],
            origin: Origin { topic: Some(TopicName::from("orders")), partition: Some(1), offset: Some(offset), timestamp: None },
            exception_class: Some("com.example.BrokenOrder".to_owned()),
            message: Some(format!("order {offset} is broken")),
            stack_trace: Some(stack_trace),
            stage: None,
            attempts: Some(3),
            consumer_group: Some(GroupName::from("billing")),
            consumer_group_inferred: false,
            failed_at: Some(failed_at),
            record_timestamp_is_failure_time: true,
            original_value: None,
            original_key: None,
            trace_id: None,
            is_pointer: false,
            problem: None,
        },
        fingerprint: fingerprint(1, "com.example.BrokenOrder"),
        failed_at,
        failed_at_source: FailedAtSource::Record,
        arrived_at: failed_at,
        backlog: false,
        resolved: None,
        custody_problem: None,
    }
}

/// A fingerprint with parts.
pub(crate) fn fingerprint(hash: u64, class: &str) -> FingerprintParts {
    FingerprintParts {
        fingerprint: Fingerprint { version: 1, hash },
        title: format!("{class}: number {hash}"),
        parts: vec![class.to_owned(), "frame".to_owned()],
    }
}

/// A stack trace whose frames are always the same.
pub(crate) fn stack_trace(message: &str) -> String {
    let frames = "\tat com.example.billing.Worker.run(Worker.java:42)\n".repeat(30);
    format!("com.example.BrokenOrder: {message}\n{frames}Caused by: java.io.IOException: {message}\n\t... 12 more\n")
}

/// Indexes dead letters of one partition from where it stands.
pub(crate) async fn index(store: &Store, partition_id: i64, letters: Vec<NewDeadLetter>, now: Timestamp) {
    let position = store.list_positions(&[partition_id]).await.expect("positions").pop().expect("started");
    let next = letters.last().map_or(position.next, |letter| letter.record.offset + 1);
    let advances = vec![Advance { partition_id, expected: position.next, next, gap: None }];
    let count = letters.len() as u64;
    let letters = letters.into_iter().map(|letter| (partition_id, letter)).collect();
    let batch = IndexBatch { bus: "prod".into(), advances, letters };
    assert_eq!(store.record_index_batch(batch, now).await.expect("written"), IndexOutcome::Written(count));
}
