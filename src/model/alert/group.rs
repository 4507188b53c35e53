//! Groups of alerts: what is told together.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::model::receiver::ReceiverId;

/// What was told last of an alert that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It fires.
    Firing,
    /// Somebody has taken note.
    Acknowledged,
}

/// A group of alerts as receivers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Tells it from others, for ever.
    pub key: String,
    /// What its alerts have in common by choice.
    pub labels: BTreeMap<String, String>,
    /// Who is told.
    pub receivers: Vec<ReceiverId>,
    /// Since when something waits to be told.
    pub waiting_since: Option<Timestamp>,
    /// When it was last told of.
    pub notified_at: Option<Timestamp>,
    /// Alerts that were told and are not over, by fingerprint.
    pub told: BTreeMap<String, Told>,
}
