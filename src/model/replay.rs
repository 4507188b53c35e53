//! Replays: a job publishes dead letters again. Its states, its items' results, and what it is told to do.

use std::time::Duration;

use super::{Actor, BusId, DeadLetterId, GroupName, Timestamp, TopicName};

mod ids;
mod words;

pub use ids::{MessageId, ReplayId};
pub use words::{CheckLevel, Delivery, ItemResult, OnFailed, Partitioner, ReplayState, Request, SkipReason, StateReason, Undecided};

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
    use super::ReplayState;
    use crate::model::Timestamp;
    use crate::model::public_id::uuid_v7;

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
