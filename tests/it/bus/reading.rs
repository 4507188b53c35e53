//! The indexer's reader: positions, markers, gaps, bytes.

use redrive::bus::{Bus, ReaderEvent};
use redrive::model::record::TimestampKind;
use redrive::model::{Record, Timestamp};

use super::{bus, limits, place, read_until};
use crate::harness::kafka::{Outgoing, shared};

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or(b"<null>")).into_owned()).collect()
}

#[tokio::test]
async fn assigned_partitions_are_read_from_their_positions() {
    let kafka = shared();
    let topic = kafka.topic("reading", 2, &[]).await;
    let written: Vec<Outgoing> =
        (0..5).map(|n| Outgoing::to(&topic).partition(n % 2).value(format!("v{n}")).timestamp(1_000 + i64::from(n))).collect();
    kafka.produce(&written).await;

    let mut reader = bus().open_reader(4 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 1), (place(&topic, 1), 0)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| b.records.len() >= 4).await;
    let mut found = values(&read.records);
    found.sort();
    assert_eq!(found, ["v1", "v2", "v3", "v4"]);
    assert_eq!((read.next[&place(&topic, 0)], read.next[&place(&topic, 1)]), (3, 2));
    assert_eq!(read.events, []);
    let first = read.records.iter().find(|r| r.value.as_deref() == Some(b"v2")).unwrap();
    assert_eq!((first.timestamp, first.timestamp_kind), (Some(Timestamp::from_millis(1_002)), Some(TimestampKind::CreateTime)));

    // Nothing more: an empty batch after the wait, and then what arrives later.
    assert!(reader.next_batch(limits()).await.unwrap().records.is_empty());
    kafka.produce(&[Outgoing::to(&topic).partition(0).value("late")]).await;
    let read = read_until(reader.as_mut(), |b| !b.records.is_empty()).await;
    assert_eq!((values(&read.records), read.next[&place(&topic, 0)]), (vec!["late".to_owned()], 4));
}

#[tokio::test]
async fn next_passes_markers_and_aborted_records() {
    let kafka = shared();
    let topic = kafka.topic("reading", 1, &[]).await;
    let record = |value: &str| Outgoing::to(&topic).partition(0).value(value);
    kafka.produce_committed(&[record("a"), record("b")]).await;
    kafka.produce_aborted(&[record("x"), record("y"), record("z")]).await;

    let mut reader = bus().open_reader(4 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 0)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| b.next.get(&place(&topic, 0)) == Some(&7)).await;
    assert_eq!(values(&read.records), ["a", "b"], "two records, a marker, three aborted records, a marker");

    // Records of an open transaction are not read, and what follows waits for it.
    let open = kafka.begin_transaction(&crate::harness::kafka::unique("tx"), &[record("open")]).await;
    kafka.produce(&[record("after")]).await;
    assert!(reader.next_batch(limits()).await.unwrap().records.is_empty());
    open.commit().await;
    let read = read_until(reader.as_mut(), |b| b.next.get(&place(&topic, 0)) == Some(&10)).await;
    assert_eq!(values(&read.records), ["open", "after"]);
}

#[tokio::test]
async fn a_position_below_the_log_start_is_an_event_and_reading_goes_on_where_told() {
    let kafka = shared();
    let topic = kafka.topic("reading", 2, &[]).await;
    let written: Vec<Outgoing> = (0..10).map(|n| Outgoing::to(&topic).partition(0).value(format!("v{n}"))).collect();
    kafka.produce(&written).await;
    kafka.produce(&[Outgoing::to(&topic).partition(1).value("other")]).await;
    kafka.delete_records(&topic, 0, 6).await;

    let mut reader = bus().open_reader(4 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 2), (place(&topic, 1), 0)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| !b.events.is_empty() && !b.records.is_empty()).await;
    assert_eq!(read.events, [ReaderEvent::PositionOutOfRange { partition: place(&topic, 0), position: 2 }]);
    assert_eq!(values(&read.records), ["other"], "the other partition is read on");

    reader.assign(vec![(place(&topic, 0), 6)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| b.records.len() >= 4).await;
    assert_eq!((read.records[0].offset, read.next[&place(&topic, 0)]), (6, 10));
}

#[tokio::test]
async fn keys_values_and_headers_are_kept_byte_for_byte() {
    let kafka = shared();
    let topic = kafka.topic("reading", 1, &[]).await;
    let at = |record: Outgoing| record.partition(0);
    kafka
        .produce(&[
            at(Outgoing::to(&topic)),
            at(Outgoing::to(&topic).key("").value("")),
            at(Outgoing::to(&topic)
                .key([0, 255])
                .value([1, 0, 254])
                .header("dup", "1")
                .header("other", [0, 159])
                .header("dup", "2")
                .null_header("null")
                .header("empty", "")),
        ])
        .await;
    kafka.produce_raw_header_names(&topic, 0, b"raw", &[(b"caf\xe9", Some(b"x")), (b"", Some(b"")), (b"\xff\xfe", None)]).await;

    let mut reader = bus().open_reader(4 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 0)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| b.records.len() >= 4).await.records;
    assert_eq!((&read[0].key, &read[0].value), (&None, &None));
    assert_eq!((read[1].key.as_deref(), read[1].value.as_deref()), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!((read[2].key.as_deref(), read[2].value.as_deref()), (Some(&[0, 255][..]), Some(&[1, 0, 254][..])));
    let headers = |n: usize| read[n].headers.iter().map(|h| (h.name.to_vec(), h.value.as_deref().map(<[u8]>::to_vec))).collect::<Vec<_>>();
    let header = |name: &[u8], value: Option<&[u8]>| (name.to_vec(), value.map(<[u8]>::to_vec));
    assert_eq!(
        headers(2),
        [
            header(b"dup", Some(b"1")),
            header(b"other", Some(&[0, 159])),
            header(b"dup", Some(b"2")),
            header(b"null", None),
            header(b"empty", Some(b""))
        ]
    );
    assert_eq!(headers(3), [header(b"caf\xe9", Some(b"x")), header(b"", Some(b"")), header(b"\xff\xfe", None)]);
}

#[tokio::test]
async fn a_compacted_log_is_read_across_its_gaps() {
    let kafka = shared();
    let configs =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("delete.retention.ms", "0")];
    let topic = kafka.topic("compacted", 1, &configs).await;
    let record = |key: &str, n: i64| Outgoing::to(&topic).partition(0).key(key).value(format!("{key}{n}"));
    for n in 0..20 {
        kafka.produce(&[record("a", n), record("b", n)]).await;
    }
    let bus = bus();
    // The last segment is never cleaned, so records keep coming until the first ones are gone.
    let deadline = std::time::Instant::now() + crate::harness::kafka::PATIENCE;
    let mut n = 20;
    let left = loop {
        kafka.produce(&[record("c", n)]).await;
        n += 1;
        let left = bus.read(&place(&topic, 0), redrive::bus::ReadFrom::Offset(0), 1_000).await.unwrap();
        if left.records[0].offset > 30 {
            break left;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "nothing was compacted: {:?}",
            left.records.iter().map(|r| r.offset).collect::<Vec<_>>()
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!((left.log_start, left.next), (0, left.end), "compaction leaves the log start where it was");

    let mut reader = bus.open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 3)]).await.unwrap();
    let read = read_until(reader.as_mut(), |b| b.next.get(&place(&topic, 0)) >= Some(&left.end)).await;
    assert_eq!(read.events, [], "a gap of compaction is no lost position");
    assert!(read.records[0].offset > 30 && values(&read.records).last().unwrap().starts_with('c'));
}

#[tokio::test]
async fn batches_keep_their_limits_and_one_large_record_is_a_batch_of_its_own() {
    let kafka = shared();
    let topic = kafka.topic("reading", 1, &[("max.message.bytes", "3000000")]).await;
    let sizes = [100, 100, 100, 900_000, 100, 2_000];
    let written: Vec<Outgoing> = sizes.iter().map(|size| Outgoing::to(&topic).partition(0).value(vec![b'x'; *size])).collect();
    kafka.produce(&written).await;
    let mut reader = bus().open_reader(1 << 20).await.unwrap();
    reader.assign(vec![(place(&topic, 0), 0)]).await.unwrap();
    let small = redrive::bus::BatchLimits { records: 2, bytes: 1_000, ..limits() };
    let (mut batches, mut next) = (Vec::new(), 0);
    while next < 6 {
        let batch = reader.next_batch(small).await.unwrap();
        if let Some(last) = batch.records.last() {
            next = last.offset + 1;
            assert_eq!(batch.next[&place(&topic, 0)], next, "positions never run ahead of the records");
            batches.push(batch.records.iter().map(Record::size_bytes).collect::<Vec<_>>());
        }
    }
    assert_eq!(batches, [vec![100, 100], vec![100], vec![900_000], vec![100], vec![2_000]]);
}
