//! What happened to a consumer group, for its time line.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::{GroupName, Timestamp, TopicName};

words! {
    /// Kind of event.
    GroupEventKind {
        /// Members came or went, or hold other partitions.
        Rebalanced = "rebalanced" / 0,
        /// Committed offsets were set while nobody read.
        OffsetsSet = "offsets_set" / 1,
        /// Committed offsets went back while somebody read.
        OffsetsBack = "offsets_back" / 2,
        /// Its status changed.
        StatusChanged = "status_changed" / 3,
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEvent {
    /// When it was noticed: at most one sweep after it happened.
    pub at: Timestamp,
    /// What.
    pub kind: GroupEventKind,
    /// To whom.
    pub group: GroupName,
    /// On which topic, where it is about one.
    pub topic: Option<TopicName>,
    /// In words.
    pub detail: String,
}
