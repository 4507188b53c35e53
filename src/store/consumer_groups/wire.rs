//! A group's partitions of one topic, as JSON in one column: they are always read and written together.

use crate::model::lag::{GroupOffset, GroupStatus, Look, TimeLagMillis, Verdict};
use crate::model::{Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::error::contradiction;

/// A look: time, committed, end.
type Seen = (i64, i64, i64);

#[derive(serde::Serialize, serde::Deserialize)]
struct Partition {
    /// Number.
    n: i32,
    /// Committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<i64>,
    /// Log start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<i64>,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<i64>,
    /// Last stable offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<i64>,
    /// Offsets that are no records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<i64>,
    /// Whether the lag is an upper bound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    a: bool,
    /// Lag in time: least, most, estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<(i64, Option<i64>, Option<i64>)>,
    /// Whether the bus was asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    b: bool,
    /// Moved at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<i64>,
    /// Status.
    u: i16,
    /// Since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    f: Option<i64>,
    /// Evidence.
    w: String,
    /// Two looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<(Seen, Seen)>,
}

/// Writes what [`read()`] reads.
pub(super) fn write(offsets: &[&GroupOffset]) -> String {
    let partitions: Vec<Partition> = offsets.iter().map(|offset| of(offset)).collect();
    serde_json::to_string(&partitions).expect("numbers and texts are JSON")
}

/// Partitions of a topic.
pub(super) fn read(topic: &str, text: &str) -> Result<Vec<GroupOffset>, StoreError> {
    let partitions: Vec<Partition> =
        serde_json::from_str(text).map_err(|error| contradiction(format!("partitions of a group: {error}")))?;
    partitions.into_iter().map(|partition| into_offset(topic, partition)).collect()
}

fn of(offset: &GroupOffset) -> Partition {
    let look = |look: Look| (look.at.as_millis(), look.committed, look.end);
    Partition {
        n: offset.partition,
        c: offset.committed,
        s: offset.log_start,
        e: offset.end,
        l: offset.last_stable,
        x: offset.not_records,
        a: offset.at_most,
        t: offset.time_lag.map(|lag| (lag.min, lag.max, lag.estimate)),
        b: offset.time_lag.is_some_and(|lag| lag.looked_up),
        m: offset.moved_at.map(Timestamp::as_millis),
        u: offset.verdict.status.code(),
        f: offset.verdict.since.map(Timestamp::as_millis),
        w: offset.verdict.evidence.clone(),
        k: offset.verdict.looks.map(|(first, last)| (look(first), look(last))),
    }
}

fn into_offset(topic: &str, partition: Partition) -> Result<GroupOffset, StoreError> {
    let look = |(at, committed, end): Seen| Look { at: Timestamp::from_millis(at), committed, end };
    Ok(GroupOffset {
        topic: TopicName::new(topic),
        partition: partition.n,
        committed: partition.c,
        log_start: partition.s,
        end: partition.e,
        last_stable: partition.l,
        not_records: partition.x,
        at_most: partition.a,
        time_lag: partition.t.map(|(min, max, estimate)| TimeLagMillis { min, max, estimate, looked_up: partition.b }),
        moved_at: partition.m.map(Timestamp::from_millis),
        verdict: Verdict {
            status: status(partition.u)?,
            since: partition.f.map(Timestamp::from_millis),
            evidence: partition.w,
            looks: partition.k.map(|(first, last)| (look(first), look(last))),
        },
    })
}

pub(super) fn status(code: i16) -> Result<GroupStatus, StoreError> {
    GroupStatus::from_code(code).ok_or_else(|| contradiction(format!("status {code} of a consumer group")))
}
