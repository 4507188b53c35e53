//! Replays: a job publishes dead letters again. Its states, its items' results, and what it is told to do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::dead_letter::{UnknownWord, words};
use super::{Actor, BusId, DeadLetterId, GroupName, Timestamp, TopicName};

/// A replay's public id: a UUIDv7 in its usual form, so that ids sort by time and restored stores never give one twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayId(String);

impl ReplayId {
    /// A new one.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(uuid_v7(now).hyphenated().to_string())
    }

    /// The text; `None` when it is no UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(|id| Self(id.hyphenated().to_string()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUIDv7 of this moment.
#[must_use]
pub fn uuid_v7(now: Timestamp) -> uuid::Uuid {
    let millis = now.as_millis().max(0).unsigned_abs();
    let nanos = u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos))
}

/// A message's id over all of its replays: UUIDv7, given at the first replay (header `redrive-message-id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A new one.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(uuid_v7(now).into_bytes())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::try_parse(text).map(|id| Self(id.into_bytes()))
    }
}

words! {
    /// Where a replay stands.
    ReplayState {
        /// Its scope is being frozen.
        Planning = "planning" / 0,
        /// Frozen and checked; waits for a person.
        Planned = "planned" / 1,
        /// Sends, or waits for a reason of its own.
        Running = "running" / 2,
        /// Sends nothing until it is resumed.
        Paused = "paused" / 3,
        /// Everything that could be sent was sent.
        Completed = "completed" / 4,
        /// Ended by a person, or a plan that nobody started.
        Cancelled = "cancelled" / 5,
        /// Cannot go on.
        Failed = "failed" / 6,
    }
}

impl ReplayState {
    /// Whether nothing more will be sent.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }

    /// Whether the design knows this step.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Planning, Self::Planned | Self::Failed | Self::Cancelled)
                | (Self::Planned, Self::Running | Self::Cancelled)
                | (Self::Running, Self::Paused | Self::Completed | Self::Cancelled | Self::Failed)
                | (Self::Paused, Self::Running | Self::Cancelled | Self::Failed)
        )
    }
}

words! {
    /// Why a replay stands where it stands.
    StateReason {
        /// A person asked for it.
        ByPerson = "by_person" / 0,
        /// A plan that nobody started within a day.
        Expired = "expired" / 1,
        /// Too many of those sent have failed again.
        FailedAgainLimit = "failed_again_limit" / 2,
        /// The target's consumer group is too far behind.
        LagLimit = "lag_limit" / 3,
        /// The bus does not answer; goes on by itself.
        BusUnreachable = "bus_unreachable" / 4,
        /// An access rule of the bus forbids it.
        PermissionDenied = "permission_denied" / 5,
        /// The target topic is gone or began again.
        TargetGone = "target_gone" / 6,
        /// The store takes no writes; goes on by itself.
        StoreFull = "store_full" / 7,
        /// The process that sent it has ended; goes on by itself.
        Shutdown = "shutdown" / 8,
        /// Whether the last batch was sent cannot be found out; a person decides.
        ProgressUnknown = "progress_unknown" / 9,
        /// Waits until another job of this instance has ended.
        WaitingForSlot = "waiting_for_slot" / 10,
        /// The first few were sent; waits whether they fail again.
        CanarySettling = "canary_settling" / 11,
    }
}

impl StateReason {
    /// Whether a pause for this reason ends without a person.
    #[must_use]
    pub const fn resumes_by_itself(self) -> bool {
        matches!(self, Self::BusUnreachable | Self::StoreFull | Self::Shutdown)
    }
}

words! {
    /// What became of one item of a replay.
    ItemResult {
        /// Not sent yet.
        Waiting = "waiting" / 0,
        /// Will not be sent, see the reason.
        Skipped = "skipped" / 1,
        /// The bus refused it, see the reason.
        Failed = "failed" / 2,
        /// On the target topic.
        Sent = "sent" / 3,
        /// The consumer group has read past it.
        Consumed = "consumed" / 4,
        /// Consumed, and nothing came back within the settle time.
        Resolved = "resolved" / 5,
        /// Came back as another dead letter.
        FailedAgain = "failed_again" / 6,
        /// Nobody can tell, see the reason.
        Unknown = "unknown" / 7,
    }
}

words! {
    /// Why an item is skipped.
    SkipReason {
        /// Another item of this plan is the same message, and newer.
        Duplicate = "duplicate" / 0,
        /// Its status allows no replay.
        Status = "status" / 1,
        /// Another job holds it.
        OtherReplay = "other_replay" / 2,
        /// It was replayed before, and `again` was not set.
        AlreadyReplayed = "already_replayed" / 3,
        /// No header tells where it came from, and no target was given.
        OriginUnknown = "origin_unknown" / 4,
        /// The target topic is not there.
        TargetMissing = "target_missing" / 5,
        /// Its content is not in custody.
        NoCustody = "no_custody" / 6,
        /// Larger than the target topic takes.
        TooLarge = "too_large" / 7,
        /// Replayed too often already.
        AttemptLimit = "attempt_limit" / 8,
        /// An earlier message of the same key could not be sent.
        AfterFailed = "after_failed" / 9,
        /// Its status changed between plan and sending.
        Changed = "changed" / 10,
        /// Retention removed it between plan and sending.
        Gone = "gone" / 11,
        /// The job ended before.
        JobEnded = "job_ended" / 12,
        /// The access rules of its target forbid writing.
        NotAllowed = "not_allowed" / 13,
    }
}

words! {
    /// What a replay promises to consumers that read committed.
    Delivery {
        /// Each message once.
        ExactlyOnce = "exactly_once" / 0,
        /// Each message at least once; a duplicate has the same `redrive-message-id` and `redrive-attempt`.
        AtLeastOnce = "at_least_once" / 1,
    }
}

words! {
    /// What happens to later messages of a key whose message could not be sent.
    OnFailed {
        /// They are skipped.
        SkipKey = "skip_key" / 0,
        /// They are sent all the same.
        Continue = "continue" / 1,
    }
}

words! {
    /// How the target partition is found.
    Partitioner {
        /// The origin's partition where that is known to be right, else murmur2.
        Origin = "origin" / 0,
        /// Always as the Java client's default partitioner.
        Murmur2 = "murmur2" / 1,
    }
}

words! {
    /// How much a check matters.
    CheckLevel {
        /// These items are skipped.
        Blocked = "blocked" / 0,
        /// A person must accept it.
        Warning = "warning" / 1,
        /// Fine.
        Passed = "passed" / 2,
    }
}

words! {
    /// What a person has asked a job to do.
    Request {
        /// Send nothing more for now.
        Pause = "pause" / 0,
        /// End.
        Cancel = "cancel" / 1,
    }
}

words! {
    /// What a person has decided about a batch of which nobody can tell whether it was sent.
    Undecided {
        /// Its items become unknown.
        Skip = "skip" / 0,
        /// They are sent, perhaps again.
        Send = "send" / 1,
    }
}

/// The first few that are sent to see whether they fail again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Canary {
    /// How many.
    pub count: u32,
    /// How long nothing may come back after they were consumed, in milliseconds.
    pub settle_ms: u64,
}

/// What a person has decided about a replay. Kept as JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ReplaySettings {
    /// Another target than each origin topic.
    pub target: Option<TopicName>,
    /// How the partition is found.
    pub partitioner: Partitioner,
    /// Messages per second; `None` = as fast as it goes.
    pub rate: Option<u32>,
    /// Send a few first.
    pub canary: Option<Canary>,
    /// Stops when a larger share of those consumed has failed again; `None` = never.
    pub failed_again_limit: Option<f64>,
    /// Stops while the target group is further behind, in messages; `None` = never.
    pub lag_limit: Option<u64>,
    /// Replays of one message at most.
    pub attempt_limit: u32,
    /// What happens to later messages of a key.
    pub on_failed: OnFailed,
    /// Whether replayed and resolved ones are sent again.
    pub again: bool,
    /// Repeated failures, and results in all, that a person has accepted by saying "go on": they count in no limit any more.
    #[serde(default)]
    pub accepted: (u64, u64),
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self {
            target: None,
            partitioner: Partitioner::Origin,
            rate: Some(100),
            canary: Some(Canary { count: 15, settle_ms: 60_000 }),
            failed_again_limit: Some(0.05),
            lag_limit: Some(10_000),
            attempt_limit: 3,
            on_failed: OnFailed::SkipKey,
            again: false,
            accepted: (0, 0),
        }
    }
}

impl ReplaySettings {
    /// The canary's settle time.
    #[must_use]
    pub fn settle(&self) -> Option<Duration> {
        self.canary.map(|canary| Duration::from_millis(canary.settle_ms))
    }
}

/// One check of a plan. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Check {
    /// Names it, such as `target_missing`; also what `accept` repeats.
    pub code: String,
    /// How much it matters.
    pub level: CheckLevel,
    /// Items it is about.
    pub count: u64,
    /// What was found, in words.
    pub text: String,
    /// The skipped items behind it, for the drill-down; `None` when it is about no particular items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<SkipReason>,
}

/// Where items of a job go and who failed on them: one per distinct target and consumer group. Items refer to it by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its number within the job, from 0.
    pub route: i32,
    /// Target topic; `None` when it is unknown: such items are skipped.
    pub target: Option<TopicName>,
    /// Topic id of the target when it was planned, where the bus tells it.
    pub target_topic_id: Option<String>,
    /// Partitions of the target when it was planned.
    pub target_partitions: i32,
    /// Records from this time on keep the partition of their origin: the target is the origin topic, and as far as our history tells its
    /// partition count has not changed since. `None`: never.
    pub partition_kept_from: Option<Timestamp>,
    /// Consumer group that failed; `None` = unknown.
    pub consumer_group: Option<GroupName>,
    /// Whether that was inferred.
    pub inferred: bool,
    /// Settle time of this group, as measured when the job was started.
    pub settle_ms: i64,
    /// Items on it.
    pub items: u64,
}

/// Items by present result; together they are the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "each field is the count of the result of its name")]
pub struct ResultCounts {
    pub waiting: u64,
    pub skipped: u64,
    pub failed: u64,
    pub sent: u64,
    pub consumed: u64,
    pub resolved: u64,
    pub failed_again: u64,
    pub unknown: u64,
}

impl ResultCounts {
    /// All together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.waiting + self.skipped + self.failed + self.sent + self.consumed + self.resolved + self.failed_again + self.unknown
    }

    /// The count of one result.
    pub const fn of_mut(&mut self, result: ItemResult) -> &mut u64 {
        match result {
            ItemResult::Waiting => &mut self.waiting,
            ItemResult::Skipped => &mut self.skipped,
            ItemResult::Failed => &mut self.failed,
            ItemResult::Sent => &mut self.sent,
            ItemResult::Consumed => &mut self.consumed,
            ItemResult::Resolved => &mut self.resolved,
            ItemResult::FailedAgain => &mut self.failed_again,
            ItemResult::Unknown => &mut self.unknown,
        }
    }

    /// The count of one result.
    #[must_use]
    pub const fn of(&self, result: ItemResult) -> u64 {
        let mut counts = *self;
        *counts.of_mut(result)
    }
}

/// A batch that may be in flight: written before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// First position.
    pub from: i64,
    /// Position after the last: what the bus holds as progress once the batch is committed.
    pub to: i64,
    /// End offsets of the target partitions before it was sent: topic, partition, offset. A recovered batch is found from there on.
    pub ends: Vec<(String, i32, i64)>,
}

/// A replay as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Our number of it; items refer to it.
    pub number: i64,
    /// Its public id.
    pub id: ReplayId,
    /// Bus.
    pub bus: BusId,
    /// What a person calls it.
    pub name: String,
    /// Where it stands.
    pub state: ReplayState,
    /// Why.
    pub state_reason: Option<StateReason>,
    /// The reason in words, where there is more to say.
    pub state_text: Option<String>,
    /// What a person has asked for and has not happened yet.
    pub request: Option<Request>,
    /// What a person has decided about the batch in flight.
    pub undecided: Option<Undecided>,
    /// Who planned it.
    pub planned_by: Actor,
    /// Who started it.
    pub started_by: Option<String>,
    /// The policy that it belongs to.
    pub policy_id: Option<i64>,
    /// What was selected, as JSON (see `model::selection`).
    pub selection: String,
    /// What was decided.
    pub settings: ReplaySettings,
    /// What it promises.
    pub delivery: Delivery,
    /// Dead letters up to this id belong to the scope.
    pub upper_id: DeadLetterId,
    /// Random name of its producer and its consumer group, without the prefix: 32 hexadecimal digits.
    pub token: String,
    /// Counts owners.
    pub epoch: i64,
    /// Items by result.
    pub counts: ResultCounts,
    /// Items ever sent.
    pub sent_total: u64,
    /// Position from which on nothing was decided yet.
    pub position: i64,
    /// Items below this position are claimed: their dead letters are `replaying`.
    pub claimed_to: i64,
    /// The batch that may be in flight.
    pub attempt: Option<Attempt>,
    /// Since when the canary is on its way; `None` before, and when there is none.
    pub canary_sent_at: Option<Timestamp>,
    /// Whether the canary came through.
    pub canary_passed: bool,
    /// Checks of the plan, newest run.
    pub checks: Vec<Check>,
    /// When they were run.
    pub checked_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its state last changed.
    pub state_at: Timestamp,
    /// Until when outcomes are watched; `None` before it ends.
    pub watch_until: Option<Timestamp>,
    /// Whether its consumer group on the bus was deleted.
    pub group_deleted: bool,
}

/// One item of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayItem {
    /// Place in the order of sending, from 1.
    pub position: i64,
    /// Which dead letter.
    pub dead_letter_id: DeadLetterId,
    /// What became of it.
    pub result: ItemResult,
    /// Why: a [`SkipReason`]'s word, or the bus's words.
    pub reason: Option<String>,
    /// Its route.
    pub route: i32,
    /// The message's id.
    pub message_id: MessageId,
    /// Which replay of the message this is, from 1.
    pub attempt: i32,
    /// Where it was sent.
    pub partition: Option<i32>,
    /// Where it was sent.
    pub offset: Option<i64>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When the result last changed.
    pub result_at: Option<Timestamp>,
    /// The dead letter that came back.
    pub successor_id: Option<DeadLetterId>,
    /// Hash of the key; `None` for a null key.
    pub key_hash: Option<i64>,
}

/// Something that happened to a replay, for its time line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayEvent {
    /// When.
    pub at: Timestamp,
    /// Who, or `system`.
    pub actor: String,
    /// What, in words: "paused", "rate set to 50 per second".
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::{ReplayState, uuid_v7};
    use crate::model::Timestamp;

    #[test]
    fn states_follow_the_design() {
        use ReplayState::{Cancelled, Completed, Failed, Paused, Planned, Planning, Running};
        let allowed = [
            (Planning, Planned),
            (Planning, Failed),
            (Planning, Cancelled),
            (Planned, Running),
            (Planned, Cancelled),
            (Running, Paused),
            (Running, Completed),
            (Running, Cancelled),
            (Running, Failed),
            (Paused, Running),
            (Paused, Cancelled),
            (Paused, Failed),
        ];
        for from in ReplayState::ALL {
            for to in ReplayState::ALL {
                assert_eq!(from.may_become(*to), allowed.contains(&(*from, *to)), "{from} -> {to}");
            }
            assert!(!from.is_final() || ReplayState::ALL.iter().all(|to| !from.may_become(*to)));
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let (early, late) = (uuid_v7(Timestamp::from_millis(1_000)), uuid_v7(Timestamp::from_millis(1_001)));
        assert!(early < late);
    }
}
