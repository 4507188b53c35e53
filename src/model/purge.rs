//! Purges: the beginning of each partition of a dead-letter topic is deleted from the bus, up to a cut that the plan has frozen.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::public_id::public_id;
use super::replay::{Check, CheckLevel};
use super::{Actor, BusId, GroupName, Timestamp, TopicName};

public_id! {
    /// A purge's public id.
    PurgeId
}

words! {
    /// Where a purge stands.
    PurgeState {
        /// Frozen and checked; waits for a person.
        Planned = "planned" / 0,
        /// Deletes, or waits for the bus.
        Running = "running" / 1,
        /// Every cut was made.
        Completed = "completed" / 2,
        /// Ended with partitions that still hold their records.
        Failed = "failed" / 3,
        /// Ended by a person, or a plan that nobody started.
        Cancelled = "cancelled" / 4,
    }
}

words! {
    /// Why a purge stands where it stands.
    PurgeReason {
        /// A person asked for it.
        ByPerson = "by_person" / 0,
        /// A plan that nobody started within a day.
        Expired = "expired" / 1,
        /// The bus does not answer; goes on by itself.
        BusUnreachable = "bus_unreachable" / 2,
        /// An access rule of the bus forbids it.
        PermissionDenied = "permission_denied" / 3,
        /// The topic is gone or began again.
        GenerationChanged = "generation_changed" / 4,
        /// The bus refused it for another reason.
        Refused = "refused" / 5,
    }
}

words! {
    /// What became of one partition's cut.
    CutResult {
        /// Not made.
        Waiting = "waiting" / 0,
        /// Made: the log begins at the cut.
        Done = "done" / 1,
        /// Refused; the records are still there.
        Failed = "failed" / 2,
    }
}

/// How the cuts were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeScope {
    /// Everything that was indexed.
    Indexed,
    /// What was written before this time.
    Before(Timestamp),
    /// Below offsets that a person gave.
    Offsets,
}

/// A consumer group that has not read what lies below a cut.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupLoss {
    /// The group.
    pub group: GroupName,
    /// Its committed offset.
    pub committed: i64,
    /// How many records it would never read, at most.
    pub records: u64,
}

/// One partition of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgePartition {
    /// Number, from 0.
    pub partition: i32,
    /// Our id of the partition.
    pub partition_id: i64,
    /// First offset the bus held when it was planned.
    pub start: i64,
    /// First offset that stays.
    pub cut: i64,
    /// End (high watermark) when it was planned.
    pub end: i64,
    /// What lies below the cut.
    pub below: Below,
    /// Consumer groups that have not read what lies below the cut.
    pub losses: Vec<GroupLoss>,
    /// What became of it.
    pub result: CutResult,
    /// Why it failed, in words.
    pub error: Option<String>,
}

impl PurgePartition {
    /// Offsets below the cut: at most this many records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.cut.saturating_sub(self.start).unsigned_abs()
    }
}

/// What lies below a cut, as far as the store knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Below {
    /// Dead letters.
    pub letters: u64,
    /// Open ones among them.
    pub open: u64,
    /// Replaying ones among them.
    pub replaying: u64,
    /// Records whose content Redrive does not hold.
    pub without_custody: u64,
}

impl Below {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            letters: self.letters + other.letters,
            open: self.open + other.open,
            replaying: self.replaying + other.replaying,
            without_custody: self.without_custody + other.without_custody,
        }
    }
}

/// A purge as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Our number in the store.
    pub number: i64,
    /// Its public id.
    pub id: PurgeId,
    /// Its bus.
    pub bus: BusId,
    /// The dead-letter topic.
    pub topic: TopicName,
    /// Our id of the topic generation it was planned for.
    pub generation_id: i64,
    /// Topic id of that generation, where the bus tells it.
    pub topic_id: Option<String>,
    /// How the cuts were chosen.
    pub scope: PurgeScope,
    /// Where it stands.
    pub state: PurgeState,
    /// Why.
    pub state_reason: Option<PurgeReason>,
    /// The reason in words.
    pub state_text: Option<String>,
    /// Who asked for its end while it ran.
    pub cancel_asked_by: Option<String>,
    /// Who planned it.
    pub planned_by: Actor,
    /// Who started it.
    pub started_by: Option<Actor>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// When.
    pub checked_at: Timestamp,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its cuts, by number.
    pub partitions: Vec<PurgePartition>,
}

/// Name of the check that is not ticked but acknowledged by number.
pub const WITHOUT_CUSTODY: &str = "without_custody";

impl Purge {
    /// What lies below all cuts.
    #[must_use]
    pub fn below(&self) -> Below {
        self.partitions.iter().fold(Below::default(), |sum, partition| sum.plus(partition.below))
    }

    /// Offsets below all cuts: at most this many records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(PurgePartition::records).sum()
    }

    /// Offsets below the cuts that were made.
    #[must_use]
    pub fn purged(&self) -> u64 {
        self.partitions.iter().filter(|partition| partition.result == CutResult::Done).map(PurgePartition::records).sum()
    }

    /// Partitions with this result.
    #[must_use]
    pub fn count(&self, result: CutResult) -> usize {
        self.partitions.iter().filter(|partition| partition.result == result).count()
    }

    /// Why it cannot be started at all, in words.
    #[must_use]
    pub fn blocked(&self) -> Option<&str> {
        let blocks = |check: &&Check| check.level == CheckLevel::Blocked && check.code != WITHOUT_CUSTODY;
        self.checks.iter().find(blocks).map(|check| check.text.as_str())
    }

    /// Codes of the warnings that a person must accept.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|check| check.level == CheckLevel::Warning).map(|check| check.code.as_str())
    }

    /// Records without custody below all cuts, to be acknowledged by number.
    #[must_use]
    pub fn without_custody(&self) -> u64 {
        self.below().without_custody
    }
}
