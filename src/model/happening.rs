//! What happened on a bus at one moment, for the marks on drawings: acts of people and of policies, alerts, and what consumer groups
//! did.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::group_event::GroupEventKind;
use super::purge::PurgeState;
use super::replay::ReplayState;
use super::{BusId, GroupName, Timestamp, TopicName};

words! {
    /// Kind of happening, for lists.
    HappeningKind {
        /// A replay began to send.
        ReplayStarted = "replay_started" / 0,
        /// A replay ended.
        ReplayEnded = "replay_ended" / 1,
        /// A purge began to cut.
        PurgeStarted = "purge_started" / 2,
        /// A purge ended.
        PurgeEnded = "purge_ended" / 3,
        /// An alert fired.
        AlertFired = "alert_fired" / 4,
        /// Members of a consumer group came or went, or hold other partitions.
        Rebalanced = "rebalanced" / 5,
        /// Committed offsets were set while nobody read.
        OffsetsSet = "offsets_set" / 6,
        /// Committed offsets went back while somebody read.
        OffsetsBack = "offsets_back" / 7,
        /// The status of a consumer group changed.
        StatusChanged = "status_changed" / 8,
        /// A failure group was never seen before.
        FailureGroupNew = "failure_group_new" / 9,
        /// A failure group was resolved and arrives again.
        FailureGroupReturned = "failure_group_returned" / 10,
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// On which bus.
    pub bus: BusId,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A replay began to send.
    ReplayStarted {
        /// Its public id.
        id: String,
        /// What a person calls it.
        name: String,
    },
    /// A replay ended.
    ReplayEnded {
        /// Its public id.
        id: String,
        /// What a person calls it.
        name: String,
        /// How.
        state: ReplayState,
        /// Messages sent.
        sent: u64,
    },
    /// A purge began to cut.
    PurgeStarted {
        /// Its public id.
        id: String,
        /// Its topic.
        topic: TopicName,
    },
    /// A purge ended.
    PurgeEnded {
        /// Its public id.
        id: String,
        /// Its topic.
        topic: TopicName,
        /// How.
        state: PurgeState,
    },
    /// An alert fired.
    AlertFired {
        /// Its number.
        number: i64,
        /// Name of its rule.
        rule: String,
        /// What it is about.
        labels: BTreeMap<String, String>,
    },
    /// Something happened to a consumer group.
    ToGroup {
        /// What.
        kind: GroupEventKind,
        /// The group.
        group: GroupName,
        /// On which topic, where it is about one.
        topic: Option<TopicName>,
        /// In words.
        detail: String,
    },
}
