//! From a record to a row: decoding, time of failure, backlog, the limit of custody. No I/O; runs on a blocking thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::plan::{Plan, Track};
use super::work::BusWork;
use crate::model::dead_letter::NewDeadLetter;
use crate::model::failure_group::FingerprintParts;
use crate::model::names::TopicPartition;
use crate::model::record::TimestampKind;
use crate::model::{FailedAtSource, Failure, Record, Timestamp};

/// A clock may run ahead of ours by this much before we stop believing it.
const CLOCK_AHEAD: Duration = Duration::from_hours(24);
/// Where everything had been read so shortly before, what is read now has arrived now.
const AT_HAND: Duration = Duration::from_secs(10);

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
            letters.push((track.partition_id, letter(work, record, track, now)));
        }
    }
    letters
}

fn letter(work: &BusWork, mut record: Record, track: &Track, now: Timestamp) -> NewDeadLetter {
    let (failure, fingerprint) = decode(work, &record);
    let (failed_at, failed_at_source) = failed_at(&failure, &record, now);
    let arrived_at = arrived_at(&failure, &record, track.caught_up_at, now);
    let backlog = record.offset < track.backlog_below;
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
    NewDeadLetter { record, failure, fingerprint, failed_at, failed_at_source, arrived_at, backlog, resolved: None, custody_problem }
}

/// Decodes. The decoder never panics on any bytes, and is tested for that; should it do so all the same, this one record is stored
/// undecoded and the partition goes on.
fn decode(work: &BusWork, record: &Record) -> (Failure, FingerprintParts) {
    let decoded = catch_unwind(AssertUnwindSafe(|| (work.decode)(record, &record.topic)));
    decoded.unwrap_or_else(|_| {
        tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset, "the decoder failed on this record");
        undecoded(work, record, "The decoder failed on this record; it is kept undecoded.")
    })
}

/// Takes out what was decoded, for a record that the store refuses otherwise.
pub(super) fn strip(work: &BusWork, letter: &mut NewDeadLetter) {
    let record = &letter.record;
    tracing::error!(topic = %record.topic, partition = record.partition, offset = record.offset, "what was decoded could not be stored");
    (letter.failure, letter.fingerprint) =
        undecoded(work, record, "What was decoded from this record could not be stored; it is kept undecoded.");
}

fn undecoded(work: &BusWork, record: &Record, problem: &str) -> (Failure, FingerprintParts) {
    let bare = Record { headers: Vec::new(), key: None, value: None, ..record.clone() };
    let (failure, fingerprint) = (work.decode)(&bare, &record.topic);
    (Failure { problem: Some(problem.to_owned()), ..failure }, fingerprint)
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

/// When it came to the dead-letter topic. That is now where reading had just been at the end: what headers and producers say of a time
/// does not matter then. After a pause it is the record's own time, between the moment up to which everything had been read and now; a
/// timestamp that the framework has taken over from the source says nothing, unless the broker has set it.
fn arrived_at(failure: &Failure, record: &Record, caught_up_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let since = caught_up_at.filter(|at| *at <= now);
    if since.is_some_and(|at| at.age_at(now) < AT_HAND) {
        return now;
    }
    let telling = failure.record_timestamp_is_failure_time || record.timestamp_kind == Some(TimestampKind::LogAppendTime);
    let told = record.timestamp.filter(|at| telling && at.as_millis() > 0);
    told.map_or(now, |at| at.clamp(since.unwrap_or(at).min(now), now))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;

    use super::super::fixture;
    use super::{Plan, Track, arrived_at, letters};
    use crate::model::names::TopicPartition;
    use crate::model::{FailedAtSource, Header, Record, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_000);

    fn plan() -> Plan {
        let partition = TopicPartition { topic: "orders.DLT".into(), partition: 0 };
        Plan {
            tracks: HashMap::from([(partition, Track { partition_id: 7, next: 5, backlog_below: 6, caught_up_at: None, at_end: false })]),
            ..Plan::default()
        }
    }

    fn record(offset: i64) -> Record {
        fixture::record("orders.DLT", 0, offset)
    }

    #[test]
    fn only_planned_records_from_the_position_on_become_letters_and_older_ones_are_backlog() {
        let other = fixture::record("other.DLT", 0, 9);
        let letters = letters(&fixture::work(), &plan(), vec![record(4), record(5), other, record(6)], NOW);
        let found: Vec<(i64, i64, bool)> = letters.iter().map(|(id, letter)| (*id, letter.record.offset, letter.backlog)).collect();
        assert_eq!(found, [(7, 5, true), (7, 6, false)]);
    }

    #[test]
    fn the_time_of_failure_is_the_headers_else_the_records_else_now_and_must_be_possible() {
        let at = Timestamp::from_millis;
        let cases = [
            (Some(at(1_759_000_000_000)), true, at(1_759_000_000_000), FailedAtSource::Header),
            (None, true, at(1_758_000_000_000), FailedAtSource::Record),
            (None, false, NOW, FailedAtSource::Indexed),
            (Some(at(-1)), true, at(1_758_000_000_000), FailedAtSource::Record),
            (Some(at(i64::MAX)), false, NOW, FailedAtSource::Indexed),
        ];
        for (header, record_tells, expected, source) in cases {
            let mut work = fixture::work();
            work.decode = Box::new(move |_, _| {
                let (mut failure, parts) = fixture::failure();
                failure.failed_at = header;
                failure.record_timestamp_is_failure_time = record_tells;
                (failure, parts)
            });
            let letters = letters(&work, &plan(), vec![record(5)], NOW);
            assert_eq!((letters[0].1.failed_at, letters[0].1.failed_at_source), (expected, source), "{header:?} {record_tells}");
        }
    }

    #[test]
    fn it_has_arrived_now_where_everything_was_read_and_else_when_its_record_says() {
        use crate::model::record::TimestampKind::{self, CreateTime, LogAppendTime};
        const HOUR: i64 = 3_600_000;
        let ago = |millis: i64| Timestamp::from_millis(NOW.as_millis() - millis);
        // Everything was read so long ago; the record's time and whose it is; whether the framework writes it at death; when it arrived.
        let cases: [(Option<i64>, i64, TimestampKind, bool, i64); 11] = [
            // Just read to the end: neither a timestamp of six hours ago nor one of the next day says anything.
            (Some(200), 6 * HOUR, CreateTime, true, 0),
            (Some(9_000), 6 * HOUR, LogAppendTime, true, 0),
            (Some(200), -20 * HOUR, CreateTime, true, 0),
            // After an outage of an hour the record's own time, inside of the outage.
            (Some(HOUR), HOUR / 2, CreateTime, true, HOUR / 2),
            (Some(HOUR), HOUR / 2, LogAppendTime, false, HOUR / 2),
            (Some(HOUR), 6 * HOUR, CreateTime, true, HOUR),
            (Some(HOUR), -HOUR, CreateTime, true, 0),
            // Kept from the source record: it says nothing of the arrival.
            (Some(HOUR), HOUR / 2, CreateTime, false, 0),
            // Nobody knows since when: a new topic, or an older store.
            (None, 6 * HOUR, CreateTime, true, 6 * HOUR),
            (None, -HOUR, CreateTime, true, 0),
            // Our own clock was set back.
            (Some(-HOUR), 2 * HOUR, CreateTime, true, 2 * HOUR),
        ];
        for (case, (read, written, kind, at_death, expected)) in cases.into_iter().enumerate() {
            let record = Record { timestamp: Some(ago(written)), timestamp_kind: Some(kind), ..record(5) };
            let (mut failure, _) = fixture::failure();
            failure.record_timestamp_is_failure_time = at_death;
            assert_eq!(arrived_at(&failure, &record, read.map(ago), NOW), ago(expected), "case {case}");
        }
        let without = Record { timestamp: None, ..record(5) };
        assert_eq!(arrived_at(&fixture::failure().0, &without, Some(ago(HOUR)), NOW), NOW);
    }

    #[test]
    fn reading_is_at_the_end_until_something_comes_or_nobody_can_tell() {
        let at = Timestamp::from_millis;
        let mut track = Track { partition_id: 7, next: 5, backlog_below: 0, caught_up_at: None, at_end: false };
        let mut polled = |next, ended, troubled, asked| {
            track.polled(next, ended, troubled, at(asked));
            track.next = next;
            (track.at_end, track.caught_up_at.map(Timestamp::as_millis))
        };
        assert_eq!(polled(7, None, false, 1), (false, None), "there may be more");
        assert_eq!(polled(9, Some(9), false, 2), (true, Some(2)));
        assert_eq!(polled(9, None, false, 3), (true, Some(3)), "still nothing");
        assert_eq!(polled(9, None, true, 4), (false, Some(3)), "nobody can tell what came since");
        assert_eq!(polled(9, None, false, 5), (false, Some(3)));
        assert_eq!(polled(11, Some(10), false, 6), (false, Some(3)), "more has come after the end");
        assert_eq!(polled(11, Some(11), false, 7), (true, Some(7)));
        assert_eq!(polled(11, None, false, 6), (true, Some(7)), "the clock was set back");
        assert_eq!(polled(12, None, false, 8), (false, Some(7)));
    }

    #[test]
    fn a_record_above_the_limit_is_kept_without_content_and_says_so() {
        let mut work = fixture::work();
        work.max_record_bytes = 10;
        let mut large = record(5);
        large.value = Some(Bytes::from_static(b"more than ten bytes"));
        large.headers = vec![Header::new("h", "v")];
        let letters = letters(&work, &plan(), vec![large, record(6)], NOW);
        let (large, small) = (&letters[0].1, &letters[1].1);
        assert_eq!((&large.record.value, large.record.headers.len()), (&None, 0));
        assert!(large.custody_problem.as_ref().is_some_and(|text| text.contains("21 bytes") && text.contains("max_record_bytes")));
        assert_eq!((small.record.value.as_deref(), &small.custody_problem), (Some(b"value".as_slice()), &None));
    }

    #[test]
    fn a_record_on_which_the_decoder_panics_is_kept_undecoded_and_the_next_one_is_read() {
        let mut work = fixture::work();
        work.decode = Box::new(|record, _| {
            assert_ne!(record.value.as_deref(), Some(b"bad".as_slice()), "a decoder's mistake");
            fixture::failure()
        });
        let mut bad = record(5);
        bad.value = Some(Bytes::from_static(b"bad"));
        let letters = letters(&work, &plan(), vec![bad, record(6)], NOW);
        assert!(letters[0].1.failure.problem.is_some());
        assert_eq!(letters[0].1.record.value.as_deref(), Some(b"bad".as_slice()), "custody has it all the same");
        assert_eq!((letters[1].1.record.offset, &letters[1].1.failure.problem), (6, &None));
    }
}
