//! From a record to a row: decoding, time of failure, backlog, the limit of custody. No I/O; runs on a blocking thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::plan::{Plan, Track};
use super::work::BusWork;
use crate::model::dead_letter::NewDeadLetter;
use crate::model::failure_group::FingerprintParts;
use crate::model::names::TopicPartition;
use crate::model::{FailedAtSource, Failure, Record, Timestamp};

/// A clock may run ahead of ours by this much before we stop believing it.
const CLOCK_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Turns records into dead letters with the store's id of their partition, in the same order. Records of partitions that are not
/// planned, or from before a partition's position, are left out.
pub(super) fn letters(work: &BusWork, plan: &Plan, records: Vec<Record>, now: Timestamp) -> Vec<(i64, NewDeadLetter)> {
    let mut letters = Vec::with_capacity(records.len());
    let mut at: Option<(TopicPartition, Track)> = None;
    for record in records {
        if at.as_ref().is_none_or(|(partition, _)| partition.partition != record.partition || partition.topic != record.topic) {
            let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            at = plan.tracks.get(&partition).map(|track| (partition, *track));
        }
        if let Some((_, track)) = at.as_ref().filter(|(_, track)| record.offset >= track.next) {
            letters.push((track.partition_id, letter(work, record, track.backlog_below, now)));
        }
    }
    letters
}

fn letter(work: &BusWork, mut record: Record, backlog_below: i64, now: Timestamp) -> NewDeadLetter {
    let (failure, fingerprint) = decode(work, &record);
    let (failed_at, failed_at_source) = failed_at(&failure, &record, now);
    let backlog = record.offset < backlog_below;
    let size = record.size_bytes();
    let custody_problem = (size > work.max_record_bytes).then(|| {
        record.key = None;
        record.value = None;
        record.headers = Vec::new();
        format!(
            "The record has {size} bytes, more than custody.max_record_bytes allows ({}); its content is not kept.",
            work.max_record_bytes
        )
    });
    NewDeadLetter { record, failure, fingerprint, failed_at, failed_at_source, backlog, resolved: None, custody_problem }
}

/// Decodes. The decoder never panics on any bytes, and is tested for that; should it do so all the same, this one record is stored
/// undecoded and the partition goes on.
fn decode(work: &BusWork, record: &Record) -> (Failure, FingerprintParts) {
    let decoded = catch_unwind(AssertUnwindSafe(|| (work.decode)(record, &record.topic)));
    decoded.unwrap_or_else(|_| {
        tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset, "the decoder failed on this record");
        let bare = Record { headers: Vec::new(), key: None, value: None, ..record.clone() };
        let (failure, fingerprint) = (work.decode)(&bare, &record.topic);
        let problem = Some("The decoder failed on this record; it is kept undecoded.".to_owned());
        (Failure { problem, ..failure }, fingerprint)
    })
}

/// When it failed: what a header says, else the record's timestamp where the convention writes it at death, else now. A time that cannot
/// be true (before 1970, or ahead of our clock by more than a day) is passed over.
fn failed_at(failure: &Failure, record: &Record, now: Timestamp) -> (Timestamp, FailedAtSource) {
    let believable = |at: &Timestamp| at.as_millis() > 0 && *at <= now.plus(CLOCK_AHEAD);
    if let Some(at) = failure.failed_at.filter(believable) {
        return (at, FailedAtSource::Header);
    }
    match record.timestamp.filter(believable) {
        Some(at) if failure.record_timestamp_is_failure_time => (at, FailedAtSource::Record),
        _ => (now, FailedAtSource::Indexed),
    }
}
