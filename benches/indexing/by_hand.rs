//! The baselines: what librdkafka, and librdkafka with SQLite, do with nothing of ours in between.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, QueryBuilder, SqliteConnection};

/// Reads every record and touches nothing.
pub(crate) fn consume(brokers: &str, topic: &str, partitions: i32, records: usize) -> Duration {
    let consumer = consumer(brokers, topic, partitions);
    let begun = Instant::now();
    for _ in 0..records {
        next(&consumer);
    }
    begun.elapsed()
}

/// Reads records, keeps their headers, groups them by exception, and inserts them into a table with three indexes, as durably as
/// Redrive does.
pub(crate) async fn index(brokers: &str, topic: &str, partitions: i32, records: usize) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("by-hand.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    for statement in [
        "CREATE TABLE letters (id INTEGER PRIMARY KEY, partition INTEGER, offset INTEGER, at INTEGER, fingerprint INTEGER, \
         exception TEXT, headers BLOB, value BLOB, UNIQUE (partition, offset))",
        "CREATE INDEX by_fingerprint ON letters (fingerprint, at)",
        "CREATE INDEX by_time ON letters (at)",
        "CREATE INDEX by_exception ON letters (exception)",
    ] {
        sqlx::query(statement).execute(&mut connection).await.expect("a table");
    }
    let consumer = consumer(brokers, topic, partitions);
    let begun = Instant::now();
    let mut done = 0;
    while done < records {
        let count = (records - done).min(2_000);
        let rows: Vec<Row> = (0..count).map(|_| row(&next(&consumer))).collect();
        insert(&mut connection, rows).await;
        done += count;
    }
    begun.elapsed()
}

struct Row {
    partition: i32,
    offset: i64,
    at: i64,
    fingerprint: i64,
    exception: String,
    headers: Vec<u8>,
    value: Vec<u8>,
}

fn row(message: &BorrowedMessage<'_>) -> Row {
    let (mut headers, mut exception) = (Vec::new(), String::new());
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let value = header.value.unwrap_or_default();
        if header.key.ends_with("cause-fqcn") {
            exception = String::from_utf8_lossy(value).into_owned();
        }
        headers.extend_from_slice(header.key.as_bytes());
        headers.push(0);
        headers.extend_from_slice(&u32::try_from(value.len()).expect("small").to_le_bytes());
        headers.extend_from_slice(value);
    }
    let hash = exception.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Row {
        partition: message.partition(),
        offset: message.offset(),
        at: message.timestamp().to_millis().unwrap_or(0),
        fingerprint: hash.cast_signed(),
        exception,
        headers,
        value: message.payload().unwrap_or_default().to_vec(),
    }
}

async fn insert(connection: &mut SqliteConnection, rows: Vec<Row>) {
    let mut transaction = connection.begin().await.expect("a transaction");
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut query = QueryBuilder::new("INSERT INTO letters (partition, offset, at, fingerprint, exception, headers, value) ");
        query.push_values(rows.by_ref().take(200), |mut row, r| {
            row.push_bind(r.partition).push_bind(r.offset).push_bind(r.at).push_bind(r.fingerprint);
            row.push_bind(r.exception).push_bind(r.headers).push_bind(r.value);
        });
        query.build().execute(&mut *transaction).await.expect("rows are inserted");
    }
    transaction.commit().await.expect("committed");
}

fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => return message.expect("no error"),
            None => assert!(Instant::now() < deadline, "no record in time"),
        }
    }
}

fn consumer(brokers: &str, topic: &str, partitions: i32) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "by-hand")
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "131072")
        .set("fetch.message.max.bytes", "4194304")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("valid");
    }
    consumer.assign(&list).expect("assigned");
    consumer
}
