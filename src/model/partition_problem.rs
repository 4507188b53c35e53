//! What keeps a partition from being used.

use super::bus::TopicRole;
use super::{BusId, Timestamp, TopicName};

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionProblemKind {
    /// No broker leads it: nobody can write to it or read from it. Found by the sampler.
    Leaderless,
    /// Its log start and end cannot be read, so its figures grow old. Found by the sampler.
    OffsetsUnread,
    /// Its records cannot be read: an access rule, for example. Found by the indexer; the sampler finds out when it is over.
    Unreadable,
    /// Its log ends before the position up to which it was indexed, which is waited for. Found by the sampler.
    EndsEarly,
}

impl PartitionProblemKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Leaderless, Self::OffsetsUnread, Self::Unreadable, Self::EndsEarly];

    /// Its number in the store.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Leaderless => 0,
            Self::OffsetsUnread => 1,
            Self::Unreadable => 2,
            Self::EndsEarly => 3,
        }
    }

    /// The kind of a number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaderless => "leaderless",
            Self::OffsetsUnread => "offsets_unread",
            Self::Unreadable => "unreadable",
            Self::EndsEarly => "ends_early",
        }
    }
}

/// A partition with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProblem {
    /// Our id of the partition.
    pub partition_id: i64,
    /// Its bus.
    pub bus: BusId,
    /// Its topic.
    pub topic: TopicName,
    /// What that topic is.
    pub role: TopicRole,
    /// Number of the partition.
    pub partition: i32,
    /// What kind of problem.
    pub kind: PartitionProblemKind,
    /// Why, in the words of whoever found it; empty where the kind says it all.
    pub reason: String,
    /// When it was first seen.
    pub since: Timestamp,
}
