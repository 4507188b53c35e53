//! Ids of replays and of replayed messages.

use std::fmt;
use std::str::FromStr;

use crate::model::Timestamp;
use crate::model::public_id::{public_id, uuid_v7};

public_id! {
    /// A replay's public id.
    ReplayId
}

/// A message's id over all of its replays: `UUIDv7`, given at the first replay (header `redrive-message-id`).
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
