//! The store at a million dead letters, beside a hand-made loop of plain inserts in the same run.
//!
//! `cargo bench --bench store`; `REDRIVE_BENCH_LETTERS` sets the number, `REDRIVE_BENCH_URL` a PostgreSQL database instead of SQLite.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "a benchmark generates and prints"
)]

use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redrive::model::bus::TopicRole;
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::failure_group::FingerprintParts;
use redrive::model::record::TimestampKind;
use redrive::model::{
    BusId, BusKind, Convention, DeadLetterFilter, FailedAtSource, Failure, Fingerprint, Header, Origin, PageRequest, Record, Status,
    Timestamp,
};
use redrive::store::failure_groups::{Buckets, FailureGroupSort};
use redrive::store::indexing::{Advance, IndexBatch, PartitionPosition};
use redrive::store::topics::{SeenOffsets, SeenTopic};
use redrive::store::{Store, StoreSettings};
use sqlx::Connection;

const START: i64 = 1_767_225_600_000;
const BATCH: usize = 2_000;
const BASELINE_LETTERS: usize = 100_000;
/// Failures of the generator: classes, each with frames of its own.
const CAUSES: u64 = 40;
const GROUPS: u64 = 12;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// 1 KB of JSON with values of its own, Spring headers, 3 KB of stack trace whose messages differ.
fn letter(number: u64, partition: i32, offset: i64, state: &mut u64) -> NewDeadLetter {
    let cause = random(state) % CAUSES * (random(state) % 3) / 2;
    let group = format!("service-{}", cause % GROUPS);
    let class = format!("com.example.shop.failure.Cause{cause}Exception");
    let message = format!("cannot process order {number:09}: customer {:08x} is unknown", random(state));
    let mut frames = String::with_capacity(3_000);
    for line in 0..34 {
        let _ = writeln!(frames, "\tat com.example.shop.cause{cause}.Handler{line}.process(Handler{line}.java:1{line:02})");
    }
    let stack_trace = format!(
        "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n{frames}Caused by: {class}: {message}\n\t... 24 more\n"
    );
    let mut value = format!("{{\"order\":\"{number:09}\",\"customer\":\"{:08x}\",\"lines\":[", random(state));
    while value.len() < 960 {
        let (sku, quantity, price) = (random(state) % 100_000, random(state) % 9, random(state) % 500);
        let _ = write!(value, "{{\"sku\":\"SKU-{sku:05}\",\"quantity\":{quantity},\"price\":{price}.99}},");
    }
    value.push_str("{}]}");
    let failed_at = Timestamp::from_millis(START + (number * 50) as i64 + (random(state) % 400) as i64);
    let headers = vec![
        Header::new("kafka_dlt-original-topic", format!("orders-{}", cause % 5)),
        Header::new("kafka_dlt-original-partition", partition.to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-offset", offset.to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-timestamp", failed_at.as_millis().to_be_bytes().to_vec()),
        Header::new("kafka_dlt-original-consumer-group", group.clone()),
        Header::new("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"),
        Header::new("kafka_dlt-exception-cause-fqcn", class.clone()),
        Header::new("kafka_dlt-exception-message", message.clone()),
        Header::new("kafka_dlt-exception-stacktrace", stack_trace.clone()),
    ];
    NewDeadLetter {
        record: Record {
            topic: "orders.DLT".into(),
            partition,
            offset,
            timestamp: Some(failed_at),
            timestamp_kind: Some(TimestampKind::CreateTime),
            key: Some(Bytes::from(format!("{number:09}"))),
            value: Some(Bytes::from(value)),
            headers,
        },
        failure: Failure {
            convention: Convention::built_in("spring_kafka"),
            matched: vec![Convention::built_in("spring_kafka")],
            origin: Origin {
                topic: Some(format!("orders-{}", cause % 5).into()),
                partition: Some(partition),
                offset: Some(offset),
                timestamp: Some(failed_at),
            },
            exception_class: Some(class.clone()),
            message: Some(message.clone()),
            stack_trace: Some(stack_trace),
            stage: None,
            attempts: None,
            consumer_group: Some(group.into()),
            consumer_group_inferred: false,
            failed_at: Some(failed_at),
            record_timestamp_is_failure_time: true,
            original_value: None,
            original_key: None,
            trace_id: None,
            is_pointer: false,
            problem: None,
        },
        fingerprint: FingerprintParts {
            fingerprint: Fingerprint { version: 1, hash: cause },
            title: format!("{class}: cannot process order"),
            parts: vec![class],
        },
        failed_at,
        failed_at_source: FailedAtSource::Record,
        backlog: false,
        resolved: None,
        custody_problem: None,
    }
}

struct Feed {
    state: u64,
    number: u64,
    next: [i64; 4],
    partitions: Vec<i64>,
}

impl Feed {
    fn batch(&mut self, letters: usize) -> IndexBatch {
        let expected = self.next;
        let mut some = Vec::with_capacity(letters);
        for index in 0..letters {
            let partition = index * 4 / letters;
            some.push((self.partitions[partition], letter(self.number, partition as i32, self.next[partition], &mut self.state)));
            self.next[partition] += 1;
            self.number += 1;
        }
        let advances = (0..4).map(|p| Advance { partition_id: self.partitions[p], expected: expected[p], next: self.next[p], gap: None });
        IndexBatch { bus: "prod".into(), advances: advances.collect(), letters: some }
    }
}

fn main() -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
}

async fn run() -> Outcome<()> {
    let letters: usize = std::env::var("REDRIVE_BENCH_LETTERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir_in(std::env::var("REDRIVE_BENCH_FOLDER").unwrap_or_else(|_| "target".to_owned()))?;
    let url = std::env::var("REDRIVE_BENCH_URL").unwrap_or_else(|_| format!("sqlite:{}", folder.path().join("store.db").display()));
    let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) };
    if settings.url.starts_with("sqlite:") {
        baseline(&folder.path().join("baseline.db")).await?;
    }
    let opening = Instant::now();
    let store = Store::open(&settings).await?;
    println!("open an empty store: {:?}", opening.elapsed());
    let partitions = prepare(&store).await?;
    let mut feed = Feed { state: 1, number: 0, next: [0; 4], partitions };
    index(&store, &mut feed, letters).await?;
    let usage = store.usage().await?;
    println!(
        "size: {} MB, {:.0} bytes per dead letter, {:?}",
        usage.used_bytes >> 20,
        usage.used_bytes as f64 / letters as f64,
        usage.rows
    );
    read(&store, letters as u64).await?;
    prune(&store, &mut feed).await?;
    store.close().await;
    drop(store);
    let opening = Instant::now();
    Store::open(&settings).await?.close().await;
    println!("open and close it again: {:?}", opening.elapsed());
    Ok(())
}

/// What a team would write in an afternoon: consume, insert many rows per statement, commit. Bytes as they are, one unique index.
async fn baseline(path: &std::path::Path) -> Outcome<()> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    let table = "create table letters (id integer primary key, topic text, part integer, pos bigint, failed_at bigint, class text, \
        message text, key blob, value blob, headers blob, unique (part, pos))";
    sqlx::query(table).execute(&mut connection).await?;
    let mut feed = Feed { state: 1, number: 0, next: [0; 4], partitions: vec![1, 2, 3, 4] };
    let mut spent = Duration::ZERO;
    for _ in 0..BASELINE_LETTERS / BATCH {
        let batch = feed.batch(BATCH);
        let began = Instant::now();
        let mut tx = connection.begin().await?;
        for some in batch.letters.chunks(500) {
            let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(
                "insert into letters (topic, part, pos, failed_at, class, message, key, value, headers) ",
            );
            query.push_values(some, |mut row, (partition, letter)| {
                let headers: Vec<u8> = letter
                    .record
                    .headers
                    .iter()
                    .flat_map(|header| header.name.iter().chain(header.value.iter().flatten()).copied())
                    .collect();
                row.push_bind("orders.DLT")
                    .push_bind(*partition)
                    .push_bind(letter.record.offset)
                    .push_bind(letter.failed_at.as_millis())
                    .push_bind(letter.failure.exception_class.clone())
                    .push_bind(letter.failure.message.clone())
                    .push_bind(letter.record.key.as_deref().map(<[u8]>::to_vec))
                    .push_bind(letter.record.value.as_deref().map(<[u8]>::to_vec))
                    .push_bind(headers);
            });
            query.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        spent += began.elapsed();
    }
    let size = std::fs::metadata(path)?.len();
    println!("hand-made inserts: {:.0} per second, {} bytes each", per_second(BASELINE_LETTERS, spent), size / BASELINE_LETTERS as u64);
    Ok(())
}

async fn prepare(store: &Store) -> Outcome<Vec<i64>> {
    let bus = BusId::from("prod");
    store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await?;
    let topic = SeenTopic {
        topic: "orders.DLT".into(),
        topic_id: Some("id".to_owned()),
        role: TopicRole::DeadLetter,
        internal: false,
        replication_factor: 1,
        compacted: false,
        config: std::collections::BTreeMap::new(),
        partitions: (0..4).map(|number| (number, Some(1))).collect(),
    };
    let stored = store.record_topics(&bus, &[topic], Timestamp::from_millis(START)).await?;
    let ids: Vec<i64> = stored[0].partitions.iter().map(|partition| partition.id).collect();
    let starts: Vec<_> = ids.iter().map(|id| PartitionPosition { partition_id: *id, next: 0, backlog_below: 0 }).collect();
    store.start_positions(&starts).await?;
    let offsets: Vec<_> =
        ids.iter().map(|id| SeenOffsets { partition_id: *id, log_start: 1_000, end: 10_000_000, last_stable: None }).collect();
    store.record_offsets(&offsets, Timestamp::from_millis(START)).await?;
    Ok(ids)
}

/// Encodes and writes one after the other, then overlapped; generating is not counted where it does not overlap.
async fn index(store: &Store, feed: &mut Feed, letters: usize) -> Outcome<()> {
    let now = Timestamp::from_millis(START);
    let (mut encoding, mut writing) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    while done < letters {
        let batch = feed.batch(BATCH.min(letters - done));
        done += batch.letters.len();
        let began = Instant::now();
        let encoded = store.encode_index_batch(batch).await?;
        encoding += began.elapsed();
        let began = Instant::now();
        store.record_encoded_batch(encoded, now).await?;
        writing += began.elapsed();
        if done % 200_000 == 0 {
            println!("  {done}: encode {:.0}/s, write {:.0}/s", per_second(done, encoding), per_second(done, writing));
        }
    }
    println!(
        "indexed: {:.0} per second one after the other; encoding alone {:.0}, writing alone {:.0}",
        per_second(letters, encoding + writing),
        per_second(letters, encoding),
        per_second(letters, writing)
    );
    Ok(())
}

async fn read(store: &Store, letters: u64) -> Outcome<()> {
    let any = DeadLetterFilter::default();
    let open = DeadLetterFilter { status: vec![Status::Open], ..any.clone() };
    let class = |n: u64| vec![format!("com.example.shop.failure.Cause{n}Exception")];
    let filters = [
        ("all", any.clone()),
        ("open", open.clone()),
        ("one bus", DeadLetterFilter { bus: vec!["prod".into()], ..open.clone() }),
        ("one topic", DeadLetterFilter { topic: vec!["orders.DLT".into()], ..open.clone() }),
        ("one consumer group", DeadLetterFilter { consumer_group: vec!["service-3".into()], ..open.clone() }),
        ("one class", DeadLetterFilter { exception_class: class(7), ..open.clone() }),
        ("one origin", DeadLetterFilter { origin_topic: vec!["orders-2".into()], ..open.clone() }),
        ("one group, all statuses", DeadLetterFilter { fingerprint: vec![Fingerprint { version: 1, hash: 5 }], ..any.clone() }),
        ("nothing matches", DeadLetterFilter { consumer_group: vec!["nobody".into()], ..open.clone() }),
        ("discarded", DeadLetterFilter { status: vec![Status::Discarded], ..any.clone() }),
        (
            "an hour",
            DeadLetterFilter {
                from: Some(Timestamp::from_millis(START + 3_600_000)),
                to: Some(Timestamp::from_millis(START + 7_200_000)),
                ..open.clone()
            },
        ),
        ("on the broker", DeadLetterFilter { presence: vec![redrive::model::Presence::OnBroker], ..open.clone() }),
    ];
    for (name, filter) in &filters {
        measure(&format!("list, {name}"), || async {
            store.list_dead_letters(filter, &PageRequest::first(50), 1_000).await.map(|page| page.items.len())
        })
        .await?;
    }
    for (name, filter) in &filters {
        measure(&format!("count, {name}"), || async { store.count_dead_letters(filter).await.map(|count| count.unwrap_or(0) as usize) })
            .await?;
    }
    let end = START + (letters * 50) as i64;
    let buckets = Buckets { from: Timestamp::from_millis(end - 86_400_000), to: Timestamp::from_millis(end), count: 48 };
    measure("failure groups", || async {
        let groups = store.list_failure_groups(&open, FailureGroupSort::Open, buckets, &PageRequest::first(50)).await;
        groups.map(|page| page.items.len())
    })
    .await?;
    let hour = DeadLetterFilter { from: Some(Timestamp::from_millis(end - 3_600_000)), ..open.clone() };
    measure("failure groups of an hour", || async {
        let groups = store.list_failure_groups(&hour, FailureGroupSort::LastSeen, buckets, &PageRequest::first(50)).await;
        groups.map(|page| page.items.len())
    })
    .await?;
    measure("arrivals of a day", || async { store.list_arrivals(&any, buckets).await.map(|arrivals| arrivals.per_bucket.len()) }).await?;
    let newest = store.newest_dead_letter().await?.ok_or("empty")?;
    let middle = redrive::model::DeadLetterId(newest.0 / 2);
    measure("one dead letter", || async { store.find_dead_letter(middle, &open).await.map(|found| usize::from(found.is_some())) }).await?;
    for (name, q) in [
        ("without a match", "zanzibar-crocodile"),
        ("whose only match is the oldest", "000000000"),
        ("that matches everything", "customer"),
        ("of a rare number", "000500123"),
        ("too short for signatures, without a match", "~~~"),
    ] {
        search(store, name, q).await?;
    }
    Ok(())
}

async fn search(store: &Store, name: &str, q: &str) -> Outcome<()> {
    let filter = DeadLetterFilter { status: vec![Status::Open], q: Some(q.to_owned()), ..DeadLetterFilter::default() };
    let began = Instant::now();
    let (mut cursor, mut first, mut answers, mut found) = (None, None, 0, 0);
    loop {
        let page = store.list_dead_letters(&filter, &PageRequest { cursor, limit: 50 }, 700).await?;
        first.get_or_insert(began.elapsed());
        answers += 1;
        found += page.items.len();
        cursor = page.next_cursor;
        if cursor.is_none() || found >= 50 {
            break;
        }
    }
    println!("search {name}: first answer {:?}, {answers} answers, {found} found in {:?}", first.unwrap_or_default(), began.elapsed());
    Ok(())
}

/// Retention beside indexing: how long a batch waits at most.
async fn prune(store: &Store, feed: &mut Feed) -> Outcome<()> {
    let filter = DeadLetterFilter { fingerprint: vec![Fingerprint { version: 1, hash: 5 }], ..DeadLetterFilter::default() };
    let page = store.list_dead_letters(&filter, &PageRequest::first(1_000), 1_000).await?;
    let ids: Vec<_> = page.items.iter().map(|item| item.id).collect();
    store.change_status(&ids, Status::Open, Status::Resolved, Timestamp::from_millis(START)).await?;
    let batches: Vec<IndexBatch> = (0..20).map(|_| feed.batch(200)).collect();
    let pruning = async {
        let began = Instant::now();
        let mut removed = 0;
        loop {
            match store.prune_dead_letters(Timestamp::from_millis(START + 1), 200).await? {
                0 => return Ok::<_, redrive::store::StoreError>((removed, began.elapsed())),
                some => removed += some,
            }
        }
    };
    let indexing = async {
        let mut longest = Duration::ZERO;
        for batch in batches {
            let began = Instant::now();
            store.record_index_batch(batch, Timestamp::from_millis(START)).await?;
            longest = longest.max(began.elapsed());
        }
        Ok::<_, redrive::store::StoreError>(longest)
    };
    let ((removed, spent), longest) = tokio::try_join!(pruning, indexing)?;
    println!("retention: {removed} removed in {spent:?}; a batch of 200 took at most {longest:?} meanwhile");
    Ok(())
}

async fn measure<F, R>(name: &str, mut act: F) -> Outcome<()>
where
    F: FnMut() -> R,
    R: Future<Output = Result<usize, redrive::store::StoreError>>,
{
    let mut times = Vec::new();
    let mut answer = 0;
    let began = Instant::now();
    while times.len() < 100 && (times.len() < 3 || began.elapsed() < Duration::from_secs(3)) {
        let began = Instant::now();
        answer = act().await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{name}: median {:?}, 99th {:?} ({answer})", at(50), at(99));
    Ok(())
}

fn per_second(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}
