//! Frameworks' ways of writing failure headers, as data. A row of [`table::TABLE`] says by which headers a convention is known,
//! what each header means and how it is encoded, and where the newest failure stands when a message failed several times.
//! The decoder only walks rows; a new framework is a new row, and teams add their own through [`mapping::Mapping`].

use crate::model::Convention;

pub mod mapping;
pub mod table;
pub mod wrappers;

pub use mapping::Mapping;

/// What a header tells about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Topic the message came from.
    OriginTopic,
    /// Its partition there; negative means unknown.
    OriginPartition,
    /// Its offset there; negative means unknown.
    OriginOffset,
    /// Timestamp of the source record.
    OriginTimestamp,
    /// Class of the exception that the framework caught, often a wrapper.
    ExceptionClass,
    /// Class of that exception's direct cause.
    CauseClass,
    /// Message of the exception that was caught.
    Message,
    /// Message of the direct cause.
    CauseMessage,
    /// Stack trace as text.
    StackTrace,
    /// Processing stage or handler.
    Stage,
    /// Deliveries before it was given up.
    Attempts,
    /// The number of the delivery that would have come next: one more than there were.
    NextAttempt,
    /// Consumer group that failed.
    ConsumerGroup,
    /// Kafka Connect connector; its consumer group is `connect-` and this name.
    Connector,
    /// When it failed.
    FailedAt,
    /// The original value, byte for byte.
    OriginalValue,
    /// The original key, byte for byte.
    OriginalKey,
}

/// Number of variants of [`Field`]; slots of the decoder.
pub(crate) const FIELDS: usize = Field::OriginalKey as usize + 1;

/// How a header's value is written.
///
/// Numbers are read as the convention says first, then by length (4 or 8 bytes, big-endian), then as decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As the field needs it: text for names and messages, any understood number for numbers, any understood time for times.
    Auto,
    /// UTF-8.
    Text,
    /// Decimal digits as text.
    Decimal,
    /// Big-endian signed 32-bit integer.
    #[serde(alias = "int32")]
    BeInt32,
    /// Big-endian signed 64-bit integer.
    #[serde(alias = "int64")]
    BeInt64,
    /// Big-endian IEEE 754 double.
    Float64,
    /// `BigInteger.toByteArray()`: big-endian two's complement, as short as possible.
    BigInteger,
    /// Big-endian signed 32-bit integer, or one unsigned byte in older versions.
    BeInt32OrByte,
    /// ISO-8601 time; epoch milliseconds as text are understood too.
    Iso8601,
    /// Decimal milliseconds since the Unix epoch.
    EpochMillis,
    /// Decimal ticks of 100 ns since the year 1, UTC (.NET).
    DotNetTicks,
    /// A URI whose last path segment is the name.
    Uri,
    /// Raw bytes.
    Bytes,
    /// Text up to the word ` in `, as in `Shop.NoStock in Shop.Inventory`.
    TextBeforeIn,
}

/// Which occurrence of a header counts when it is there several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// The one in the newest set of the row, see [`Newest`].
    NewestSet,
    /// The first in the record.
    First,
    /// The last in the record.
    Last,
}

/// Where the newest failure stands when a message was sent back with all its headers and failed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// Each failure appends a set that begins with this header: the last set counts.
    LastSet {
        /// First header of a set.
        begins: &'static str,
    },
    /// Each failure prepends a set that begins with this header: the first set counts.
    FirstSet {
        /// First header of a set.
        begins: &'static str,
    },
    /// The framework overwrites its headers: there is one set.
    Single,
}

/// Meaning of one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Exact header name.
    pub header: &'static str,
    /// What it tells; `None` when it only belongs to the convention.
    pub field: Option<Field>,
    /// How it is written.
    pub encoding: Encoding,
    /// Which occurrence counts.
    pub occurrence: Occurrence,
    /// Only read when this header has exactly this text (`true`) or anything else, nothing included (`false`).
    pub only_if: Option<(&'static str, &'static str, bool)>,
}

/// One way of writing failure headers. Rows with the same slug are one convention to people.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The slug.
    pub slug: &'static str,
    /// Known by any of these groups of headers, each of which must be there completely.
    pub markers: &'static [&'static [&'static str]],
    /// Not this one when any of these headers is there.
    pub unless: &'static [&'static str],
    /// Where the newest failure stands.
    pub newest: Newest,
    /// Whether the record's own timestamp is the time of death; some keep the source record's.
    pub record_timestamp_is_failure_time: bool,
    /// Headers in order of preference: the first one present gives a field.
    pub rules: &'static [Rule],
    /// How the dead-letter topic's name tells the consumer group: `{topic}` is the origin topic, `{group}` the group.
    pub group_in_topic_name: Option<&'static str>,
    /// Whether a dead letter without key and value points to the source record instead of holding a copy.
    pub may_be_pointer: bool,
}

/// The exact names of the headers that a built-in convention writes: what a replay removes. Names of configured mappings are
/// known to [`super::decode::Decoder::removed_headers`].
#[must_use]
pub fn removed_headers(convention: &Convention) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table::TABLE
        .iter()
        .filter(|row| row.slug == convention.as_str())
        .flat_map(|row| row.rules.iter().map(|rule| rule.header))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a slug is one of the built-in table.
#[must_use]
pub fn is_built_in(slug: &str) -> bool {
    table::TABLE.iter().any(|row| row.slug == slug)
}
