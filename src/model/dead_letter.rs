//! Dead letters: identity, status, presence, filters and what lists show of them.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::failure_group::FingerprintParts;
use super::{BusId, Convention, Failure, Fingerprint, GroupName, Header, Origin, Record, Timestamp, TopicName};

/// Our own id of a dead letter; ascending in the order of indexing on one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub i64);

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeadLetterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The text names none of the known values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not known; expected one of {expected}")]
pub struct UnknownWord {
    /// What was given.
    pub given: String,
    /// What would be right.
    pub expected: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal / $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of screens.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used in URLs, the API and the interface.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The number kept in the store; never reused.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value of a number kept in the store.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { given: text.chars().take(40).collect(), expected: [$($word),+].join(", ") }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What has been done about a dead letter.
    Status {
        /// Nothing yet.
        Open = "open" / 0,
        /// In a running replay.
        Replaying = "replaying" / 1,
        /// Sent; the outcome is not known yet.
        Replayed = "replayed" / 2,
        /// Consumed, and it did not come back within the settle time.
        Resolved = "resolved" / 3,
        /// Came back; its successor is open.
        FailedAgain = "failed_again" / 4,
        /// Set aside by a person; can be undone.
        Discarded = "discarded" / 5,
    }
}

words! {
    /// Whether the bus still holds the record. Derived from offsets when it is read, so it is as fresh as they are.
    Presence {
        /// The bus holds it.
        OnBroker = "on_broker" / 0,
        /// The broker's retention removed it.
        Expired = "expired" / 1,
        /// A purge removed it.
        Purged = "purged" / 2,
        /// Its topic is gone or was re-created.
        TopicDeleted = "topic_deleted" / 3,
        /// Compacted topic, or the bus has not been reached.
        Unknown = "unknown" / 4,
    }
}

words! {
    /// Where `failed_at` comes from.
    FailedAtSource {
        /// A header of the framework.
        Header = "header" / 0,
        /// The record's own timestamp.
        Record = "record" / 1,
        /// The time we indexed it, because nothing tells the time of death.
        Indexed = "indexed" / 2,
    }
}

/// Dead letters by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "each field is the count of the status of its name")]
pub struct StatusCounts {
    pub open: u64,
    pub replaying: u64,
    pub replayed: u64,
    pub resolved: u64,
    pub failed_again: u64,
    pub discarded: u64,
}

impl StatusCounts {
    /// All of them together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.open + self.replaying + self.replayed + self.resolved + self.failed_again + self.discarded
    }

    /// The count of one status.
    pub const fn of_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Open => &mut self.open,
            Status::Replaying => &mut self.replaying,
            Status::Replayed => &mut self.replayed,
            Status::Resolved => &mut self.resolved,
            Status::FailedAgain => &mut self.failed_again,
            Status::Discarded => &mut self.discarded,
        }
    }
}

/// What a list of dead letters is restricted to. Empty lists restrict nothing; values in one list are alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DeadLetterFilter {
    /// Buses.
    pub bus: Vec<BusId>,
    /// Dead-letter topics.
    pub topic: Vec<TopicName>,
    /// Topics the dead letters came from.
    pub origin_topic: Vec<TopicName>,
    /// Consumer groups that failed, written or inferred.
    pub consumer_group: Vec<GroupName>,
    /// Root-cause classes.
    pub exception_class: Vec<String>,
    /// Fingerprints.
    pub fingerprint: Vec<Fingerprint>,
    /// Conventions.
    pub convention: Vec<String>,
    /// Statuses.
    pub status: Vec<Status>,
    /// Presences.
    pub presence: Vec<Presence>,
    /// Words that must all occur, each as a case-insensitive substring of message, class, key, header values, stack trace or value.
    pub q: Option<String>,
    /// Earliest `failed_at`, inclusive.
    pub from: Option<Timestamp>,
    /// Latest `failed_at`, exclusive.
    pub to: Option<Timestamp>,
}

/// A dead letter as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// Our id.
    pub id: DeadLetterId,
    /// Its bus.
    pub bus: BusId,
    /// Dead-letter topic.
    pub topic: TopicName,
    /// Partition on the dead-letter topic.
    pub partition: i32,
    /// Offset on the dead-letter topic.
    pub offset: i64,
    /// The record's own timestamp.
    pub timestamp: Option<Timestamp>,
    /// When it failed; never missing, see the source.
    pub failed_at: Timestamp,
    /// Where `failed_at` comes from.
    pub failed_at_source: FailedAtSource,
    /// When we stored it.
    pub indexed_at: Timestamp,
    /// Whether it was there before we first read the topic; counts in no arrival figure.
    pub backlog: bool,
    /// The leading convention.
    pub convention: Convention,
    /// What has been done about it.
    pub status: Status,
    /// Whether the bus still holds it.
    pub presence: Presence,
    /// Attempts before it was given up.
    pub attempts: Option<i32>,
    /// Its failure group's key.
    pub fingerprint: Fingerprint,
    /// Where it came from.
    pub origin: Origin,
    /// Consumer group that failed.
    pub consumer_group: Option<GroupName>,
    /// Whether that was inferred.
    pub consumer_group_inferred: bool,
    /// Root-cause class.
    pub exception_class: Option<String>,
    /// Message, cut at 1,000 characters.
    pub exception_message: Option<String>,
    /// Trace id in 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// Key, cut at 256 bytes; `None` is a null key.
    pub key: Option<Bytes>,
    /// Whole length of the key.
    pub key_size_bytes: u64,
    /// Whole length of the value; `None` is a null value.
    pub value_size_bytes: Option<u64>,
    /// Why custody lacks it, in words, when it does (too large, source gone).
    pub custody_problem: Option<String>,
}

/// One dead letter with everything that we keep of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterDetail {
    /// What lists show.
    pub summary: DeadLetterSummary,
    /// Key, whole; `None` is null (or not in custody, see `summary.custody_problem`).
    pub key: Option<Bytes>,
    /// Value, whole; `None` is null (or not in custody).
    pub value: Option<Bytes>,
    /// Headers in stored order.
    pub headers: Vec<Header>,
    /// Stack trace as written.
    pub stack_trace: Option<String>,
    /// Processing stage or handler.
    pub stage: Option<String>,
    /// What could not be decoded, in words.
    pub decode_problem: Option<String>,
    /// The next newer one under the filter it was opened with.
    pub newer: Option<DeadLetterId>,
    /// The next older one under the filter it was opened with.
    pub older: Option<DeadLetterId>,
}

/// A dead letter on its way from the indexer to the store.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// The record as read.
    pub record: Record,
    /// What was decoded.
    pub failure: Failure,
    /// Its fingerprint with its parts.
    pub fingerprint: FingerprintParts,
    /// When it failed.
    pub failed_at: Timestamp,
    /// Where that comes from.
    pub failed_at_source: FailedAtSource,
    /// When it came to the dead-letter topic, as far as is known: the minute in which it counts as arrived, whenever it had failed.
    pub arrived_at: Timestamp,
    /// Whether it counts in no arrival figure.
    pub backlog: bool,
    /// Content of a pointer record's source (KIP-1191), resolved at once: key and value.
    pub resolved: Option<(Option<Bytes>, Option<Bytes>)>,
    /// Why custody holds no content, in words: too large, or the source of a pointer was gone. `None`: custody is complete.
    pub custody_problem: Option<String>,
}
