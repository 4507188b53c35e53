//! The words of a replay: states, reasons, results.

use std::fmt;
use std::str::FromStr;

use crate::model::dead_letter::{UnknownWord, words};

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
