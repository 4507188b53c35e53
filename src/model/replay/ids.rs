//! Ids of replays and of replayed messages.

use std::fmt;
use std::str::FromStr;

use crate::model::Timestamp;

/// A replay's public id: a `UUIDv7` in its usual form, so that ids sort by time and restored stores never give one twice.
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

/// A `UUIDv7` of this moment.
#[must_use]
pub fn uuid_v7(now: Timestamp) -> uuid::Uuid {
    let millis = now.as_millis().max(0).unsigned_abs();
    let nanos = u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos))
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
