//! A record as the bus holds it, byte for byte.

use bytes::Bytes;

use super::{Timestamp, TopicName};

/// One record header. Names are bytes: a client may write names that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name as written.
    pub name: Bytes,
    /// Value as written; `None` is a null value, which Kafka tells from an empty one.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }
}

/// What a record's timestamp means (KIP-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampKind {
    /// Set by the producer.
    CreateTime,
    /// Set by the broker at append.
    LogAppendTime,
}

/// A record read from a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic it was read from.
    pub topic: TopicName,
    /// Partition it was read from.
    pub partition: i32,
    /// Offset within the partition.
    pub offset: i64,
    /// The record's timestamp; `None` when the record has none.
    pub timestamp: Option<Timestamp>,
    /// What the timestamp means; `None` when there is none.
    pub timestamp_kind: Option<TimestampKind>,
    /// Key; `None` is a null key.
    pub key: Option<Bytes>,
    /// Value; `None` is a null value (a tombstone on compacted topics).
    pub value: Option<Bytes>,
    /// Headers in stored order, duplicates kept.
    pub headers: Vec<Header>,
}

impl Record {
    /// Bytes of key, value and headers together.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len)).sum();
        headers + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}
