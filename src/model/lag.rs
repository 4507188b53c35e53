//! How far consumer groups have read: lag, its parts, and what that means.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::{Timestamp, TopicName};

words! {
    /// What a consumer group is doing on a partition, a topic or as a whole. Ordered by how much it needs somebody: the worst part of a
    /// group is the group's.
    GroupStatus {
        /// Nothing of note is left to read.
        CaughtUp = "caught_up" / 0,
        /// Behind, and getting closer.
        CatchingUp = "catching_up" / 1,
        /// What is known is too old or too little.
        Unknown = "unknown" / 2,
        /// The committed offset went back.
        Rewound = "rewound" / 3,
        /// Partitions are assigned and no offset was ever committed.
        NoCommit = "no_commit" / 4,
        /// Behind, and not getting closer.
        FallingBehind = "falling_behind" / 5,
        /// An open transaction holds back what comes next.
        TransactionBlocked = "transaction_blocked" / 6,
        /// The group has members, none of them holds the partition, and there is something to read.
        Unassigned = "unassigned" / 7,
        /// Nobody reads, and there is something to read.
        Stopped = "stopped" / 8,
        /// Somebody holds the partition, and the committed offset does not move although there is something to read.
        Stalled = "stalled" / 9,
        /// Records were deleted before they were read.
        DataLoss = "data_loss" / 10,
    }
}

impl GroupStatus {
    /// Whether somebody should look.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        self >= Self::Rewound
    }
}

/// One look at a group's position: when, committed, end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// Committed offset.
    pub committed: i64,
    /// End of the partition (high watermark).
    pub end: i64,
}

/// A status with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The status.
    pub status: GroupStatus,
    /// Since when, as far as it was watched.
    pub since: Option<Timestamp>,
    /// Why, in words without times.
    pub evidence: String,
    /// The two looks it was read from.
    pub looks: Option<(Look, Look)>,
}

/// Lag in time, in milliseconds: how long ago the next record to read was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLagMillis {
    /// Certainly at least.
    pub min: i64,
    /// Certainly at most; `None` when it is older than what was watched.
    pub max: Option<i64>,
    /// In between.
    pub estimate: Option<i64>,
    /// Whether the bus was asked by time for one of the bounds, as an alert rule's threshold lay between them; else both come of looks.
    pub looked_up: bool,
}

impl TimeLagMillis {
    /// How it is known, in the API's word.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        if self.looked_up { "looked_up" } else { "sampled" }
    }
}

/// A group's position on one partition beside the partition's own offsets, all of the same moment, with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// Topic.
    pub topic: TopicName,
    /// Partition.
    pub partition: i32,
    /// Committed offset; `None` when there is no commit.
    pub committed: Option<i64>,
    /// First offset the bus still holds.
    pub log_start: Option<i64>,
    /// High watermark.
    pub end: Option<i64>,
    /// Last stable offset, where it was read.
    pub last_stable: Option<i64>,
    /// Offsets left to read that are no records (markers of transactions, aborted, compacted); `None` where nobody has counted.
    pub not_records: Option<i64>,
    /// Whether the lag in messages may count offsets that are no records.
    pub at_most: bool,
    /// Lag in time.
    pub time_lag: Option<TimeLagMillis>,
    /// When the committed offset was last seen to move.
    pub moved_at: Option<Timestamp>,
    /// What it means.
    pub verdict: Verdict,
}

impl GroupOffset {
    /// A position of which nothing else is known.
    #[must_use]
    pub fn new(topic: TopicName, partition: i32, committed: Option<i64>) -> Self {
        let verdict = Verdict { status: GroupStatus::Unknown, since: None, evidence: "not looked at yet".to_owned(), looks: None };
        Self {
            topic,
            partition,
            committed,
            log_start: None,
            end: None,
            last_stable: None,
            not_records: None,
            at_most: false,
            time_lag: None,
            moved_at: None,
            verdict,
        }
    }

    /// `end - committed` as Kafka's own tools compute it; `None` without commit or end.
    #[must_use]
    pub fn raw_lag_messages(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }

    /// Records deleted before the group had read them: `max(0, log start - committed)`.
    #[must_use]
    pub fn deleted_messages(&self) -> Option<i64> {
        Some((self.log_start? - self.committed?).max(0))
    }

    /// What there is to read: raw lag without deleted records, and without what is known to be no record.
    #[must_use]
    pub fn lag_messages(&self) -> Option<i64> {
        Some((self.raw_lag_messages()? - self.deleted_messages().unwrap_or(0) - self.not_records.unwrap_or(0)).max(0))
    }
}

/// What a whole group is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The worst of its partitions'.
    pub status: GroupStatus,
    /// Since when, as far as it was watched.
    pub since: Option<Timestamp>,
    /// Why, in words without times.
    pub evidence: String,
    /// No members, and no commit for seven days: stopped, and no error.
    pub parked: bool,
    /// Since when it has had something left to read, whether it gets closer or not; `None` when nothing of note is left.
    pub behind_since: Option<Timestamp>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { status: GroupStatus::Unknown, since: None, evidence: "not looked at yet".to_owned(), parked: false, behind_since: None }
    }
}
