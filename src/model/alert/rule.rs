//! What a rule says.

use std::collections::BTreeMap;

use super::{Comparison, GroupBy, Label, NoData, Severity};
use crate::model::Timestamp;
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;

/// Patterns that labels must fit; a label without one may be anything.
pub type Filter = BTreeMap<Label, String>;

/// Use of an error budget, over two windows.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BurnRate {
    /// The share that is to go well, such as 0.999.
    pub objective: f64,
    /// The long window, in milliseconds.
    pub long_ms: u64,
    /// The short window, in milliseconds: it ends the alert soon after the trouble.
    pub short_ms: u64,
    /// The budget is used so many times faster than it may be.
    pub factor: f64,
    /// Fewer events than this in the long window say nothing.
    pub minimum_count: u64,
}

/// What a rule says. Kept as JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// What is watched.
    pub figure: Figure,
    /// Quantile of durations.
    pub quantile: Option<f64>,
    /// Which series.
    pub filter: Filter,
    /// Each combination of these labels has an alert of its own.
    pub by: Vec<Label>,
    /// Over how long rates, shares, durations and events are taken, in milliseconds.
    pub window_ms: u64,
    /// Use of an error budget instead of a plain share.
    pub burn_rate: Option<BurnRate>,
    /// On which side of the threshold it is bad.
    pub comparison: Comparison,
    /// Beyond this it is bad.
    pub threshold: f64,
    /// Once it is bad, it is so until this is passed.
    pub clear_threshold: Option<f64>,
    /// It must be bad for so long, in milliseconds.
    pub for_ms: u64,
    /// It goes on for so long after it was last bad, in milliseconds.
    pub keep_firing_for_ms: u64,
    /// What happens while there is no data.
    pub no_data: NoData,
    /// After so long, in milliseconds.
    pub no_data_after_ms: u64,
    /// How bad it is.
    pub severity: Severity,
    /// Labels of its alerts beside their own.
    pub labels: BTreeMap<String, String>,
    /// Text for people, with placeholders such as `{topic}` and `{value}`.
    pub summary: String,
    /// What to do.
    pub runbook_url: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Who is told, by id.
    pub receivers: Vec<ReceiverId>,
    /// What is told together.
    pub group_by: Vec<GroupBy>,
    /// How long the first notification of a group waits, in milliseconds.
    pub group_wait_ms: u64,
    /// Time between two notifications of a group, in milliseconds.
    pub group_interval_ms: u64,
    /// After this long without change it is told again, in milliseconds.
    pub repeat_interval_ms: u64,
}

/// A rule as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// Our number of it, and its public id.
    pub number: i64,
    /// What people call it.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it says.
    pub terms: Terms,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed or switched.
    pub changed_at: Timestamp,
}
