//! What was decoded from a dead letter's headers.

use bytes::Bytes;

use super::{GroupName, Timestamp, TopicName};

/// A framework's way of writing failure headers, by its slug such as `spring_kafka`.
/// Configured mappings have slugs of their own; `unknown` is a dead letter without any failure header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Convention(std::borrow::Cow<'static, str>);

impl Convention {
    /// A dead letter in whose headers no convention was recognised.
    pub const UNKNOWN: Self = Self(std::borrow::Cow::Borrowed("unknown"));

    /// A convention of the built-in table.
    #[must_use]
    pub const fn built_in(slug: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(slug))
    }

    /// A convention from the configuration or the store.
    pub fn named(slug: impl Into<String>) -> Self {
        Self(std::borrow::Cow::Owned(slug.into()))
    }

    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a dead letter came from, as far as its headers tell. Every part can be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Source topic.
    pub topic: Option<TopicName>,
    /// Source partition; negative numbers that frameworks write for "none" become `None`.
    pub partition: Option<i32>,
    /// Source offset; negative numbers become `None`.
    pub offset: Option<i64>,
    /// Timestamp of the source record.
    pub timestamp: Option<Timestamp>,
}

/// A failure decoded from the headers of a dead letter. Text from headers that is not UTF-8 is kept with U+FFFD; the raw bytes
/// stay in custody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The convention that told most: the one with the newest origin.
    pub convention: Convention,
    /// All conventions whose marker header was found, the leading one included; replay removes the headers of all.
    pub matched: Vec<Convention>,
    /// Where the dead letter came from.
    pub origin: Origin,
    /// Class a person wants to see: the root cause, never a wrapper when the cause is known.
    pub exception_class: Option<String>,
    /// Message of that exception, without the wrappers' prefixes; not normalised.
    pub message: Option<String>,
    /// Stack trace as written.
    pub stack_trace: Option<String>,
    /// Processing stage (Kafka Connect) or handler (Watermill).
    pub stage: Option<String>,
    /// Deliveries or attempts before it was given up.
    pub attempts: Option<i32>,
    /// Consumer group that failed.
    pub consumer_group: Option<GroupName>,
    /// Whether the group was inferred (topic name, configuration, bus metadata) instead of written in a header.
    /// `connect-` + connector name counts as written.
    pub consumer_group_inferred: bool,
    /// Time of the failure as a header tells it; `None` when the record's timestamp must do.
    pub failed_at: Option<Timestamp>,
    /// Whether the record's timestamp is the time of death under this convention (it is the source's for Connect and Streams).
    pub record_timestamp_is_failure_time: bool,
    /// Original value bytes, where the framework put them into a header; replay sends these.
    pub original_value: Option<Bytes>,
    /// Original key bytes, where the framework put them into a header.
    pub original_key: Option<Bytes>,
    /// Trace id, 16 bytes, from the newest valid `traceparent`, else B3.
    pub trace_id: Option<[u8; 16]>,
    /// Whether key and value must be read from the origin (a KIP-1191 pointer record).
    pub is_pointer: bool,
    /// What could not be read, in words, such as a partition header of 3 bytes; the dead letter is stored all the same.
    pub problem: Option<String>,
}
