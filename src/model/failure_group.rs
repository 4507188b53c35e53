//! Fingerprints and failure groups.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::StatusCounts;
use super::{BusId, Timestamp};

/// Versioned, deterministic key of a failure. Text form: `v1-` and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Version of the formula.
    pub version: u8,
    /// The hash.
    pub hash: u64,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}-{:016x}", self.version, self.hash)
    }
}

/// The text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint; expected v1- and 16 hexadecimal digits")]
pub struct InvalidFingerprint;

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (version, hash) = text.strip_prefix('v').and_then(|t| t.split_once('-')).ok_or(InvalidFingerprint)?;
        if hash.len() != 16 || hash.bytes().any(|b| !b.is_ascii_digit() && !(b'a'..=b'f').contains(&b)) {
            return Err(InvalidFingerprint);
        }
        Ok(Self {
            version: version.parse().map_err(|_| InvalidFingerprint)?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| InvalidFingerprint)?,
        })
    }
}

/// What a fingerprint was made of, kept beside it so that a person can see why two dead letters share a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintParts {
    /// The key itself.
    pub fingerprint: Fingerprint,
    /// One line for lists: class and message, or what stands in for them.
    pub title: String,
    /// The parts that were hashed, in order, readable.
    pub parts: Vec<String>,
}

/// One failure group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// Bus it belongs to.
    pub bus: BusId,
    /// Its key on that bus.
    pub fingerprint: Fingerprint,
    /// One line: class and message.
    pub title: String,
    /// Root-cause class, where known.
    pub exception_class: Option<String>,
    /// Message of the newest dead letter, where known.
    pub message: Option<String>,
    /// Parts of the fingerprint, readable.
    pub parts: Vec<String>,
    /// Dead letters by status.
    pub counts: StatusCounts,
    /// Earliest `failed_at`.
    pub first_seen: Timestamp,
    /// Latest `failed_at`.
    pub last_seen: Timestamp,
    /// Arrivals (without backlog) per bucket of the asked range, oldest first.
    pub per_bucket: Vec<u64>,
    /// Origin topics, most dead letters first, with their numbers.
    pub origins: Vec<(Option<String>, u64)>,
    /// Consumer groups (name, inferred), most dead letters first, with their numbers.
    pub consumer_groups: Vec<(Option<String>, bool, u64)>,
    /// Dead-letter topics, most dead letters first, with their numbers.
    pub topics: Vec<(String, u64)>,
    /// Conventions that wrote them.
    pub conventions: Vec<String>,
}
