//! What happened on a bus at one moment, for the marks on drawings: acts of people and of policies, alerts, and what consumer groups
//! did.

use std::collections::BTreeMap;

use super::group_event::GroupEventKind;
use super::purge::PurgeState;
use super::replay::ReplayState;
use super::{BusId, GroupName, Timestamp, TopicName};

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
