//! How rows become domain values.

use bytes::Bytes;

use super::StoreError;
use super::error::contradiction;
use super::presence::{Ground, presence};
use crate::model::dead_letter::DeadLetterSummary;
use crate::model::{BusId, Convention, DeadLetterId, FailedAtSource, Fingerprint, GroupName, Origin, Status, Timestamp, TopicName};

/// Text for a text column: PostgreSQL knows no NUL there. Names and messages that must survive exactly are bytes instead.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Bytes that are text as far as possible.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What a list shows of dead letters, over `d`, `p`, `g`, `f`, `fg` and `b`.
macro_rules! summary_sql {
    ($tail:literal) => {
        concat!(
            "select d.id, b.bus, g.topic, p.number, d.record_offset, d.record_timestamp, d.failed_at, d.failed_at_source, d.indexed_at, \
             d.backlog, f.convention, d.status, d.attempts, fg.version, fg.hash, f.origin_topic, d.origin_partition, d.origin_offset, \
             d.origin_timestamp, f.consumer_group, f.inferred, f.exception_class, d.message, d.trace_id, d.key_prefix, d.key_size, \
             d.value_size, d.custody_problem, p.purged_below, p.log_start, g.gone_at, g.compacted, d.facet_id \
             from dead_letters d join facets f on f.id = d.facet_id join failure_groups fg on fg.id = f.failure_group_id \
             join partitions p on p.id = d.partition_id join topic_generations g on g.id = p.generation_id \
             join buses b on b.id = g.bus_id ",
            $tail
        )
    };
}
pub(super) use summary_sql;

/// A row of [`summary_sql`].
#[derive(sqlx::FromRow)]
pub(super) struct SummaryRow {
    pub(super) id: i64,
    bus: String,
    topic: String,
    number: i32,
    record_offset: i64,
    record_timestamp: Option<i64>,
    pub(super) failed_at: i64,
    failed_at_source: i16,
    indexed_at: i64,
    backlog: bool,
    convention: String,
    status: i16,
    attempts: Option<i32>,
    version: i16,
    hash: i64,
    origin_topic: Option<Vec<u8>>,
    origin_partition: Option<i32>,
    origin_offset: Option<i64>,
    origin_timestamp: Option<i64>,
    consumer_group: Option<Vec<u8>>,
    inferred: bool,
    exception_class: Option<Vec<u8>>,
    message: Option<Vec<u8>>,
    trace_id: Option<Vec<u8>>,
    key_prefix: Option<Vec<u8>>,
    key_size: i64,
    value_size: Option<i64>,
    custody_problem: Option<String>,
    purged_below: Option<i64>,
    log_start: Option<i64>,
    gone_at: Option<i64>,
    compacted: bool,
}

/// A stored status.
pub(super) fn status(code: i16) -> Result<Status, StoreError> {
    Status::from_code(code).ok_or_else(|| contradiction(format!("status {code}")))
}

/// A stored fingerprint.
pub(super) fn fingerprint(version: i16, hash: i64) -> Result<Fingerprint, StoreError> {
    let version = u8::try_from(version).map_err(|_| contradiction(format!("fingerprint version {version}")))?;
    Ok(Fingerprint { version, hash: hash.cast_unsigned() })
}

impl SummaryRow {
    pub(super) fn into_summary(self) -> Result<DeadLetterSummary, StoreError> {
        let ground =
            Ground { purged_below: self.purged_below, gone: self.gone_at.is_some(), compacted: self.compacted, log_start: self.log_start };
        let source = self.failed_at_source;
        Ok(DeadLetterSummary {
            id: DeadLetterId(self.id),
            bus: BusId::new(self.bus),
            topic: TopicName::new(self.topic),
            partition: self.number,
            offset: self.record_offset,
            timestamp: self.record_timestamp.map(Timestamp::from_millis),
            failed_at: Timestamp::from_millis(self.failed_at),
            failed_at_source: FailedAtSource::from_code(source).ok_or_else(|| contradiction(format!("source of time {source}")))?,
            indexed_at: Timestamp::from_millis(self.indexed_at),
            backlog: self.backlog,
            convention: Convention::named(self.convention),
            status: status(self.status)?,
            presence: presence(self.record_offset, &ground),
            attempts: self.attempts,
            fingerprint: fingerprint(self.version, self.hash)?,
            origin: Origin {
                topic: self.origin_topic.map(|name| TopicName::new(text(name))),
                partition: self.origin_partition,
                offset: self.origin_offset,
                timestamp: self.origin_timestamp.map(Timestamp::from_millis),
            },
            consumer_group: self.consumer_group.map(|name| GroupName::new(text(name))),
            consumer_group_inferred: self.inferred,
            exception_class: self.exception_class.map(text),
            exception_message: self.message.map(text),
            trace_id: self.trace_id.map(|id| hex(&id)),
            key: self.key_prefix.map(Bytes::from),
            key_size_bytes: self.key_size.unsigned_abs(),
            value_size_bytes: self.value_size.map(i64::unsigned_abs),
            custody_problem: self.custody_problem,
        })
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
