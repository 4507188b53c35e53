//! Alerts: the rules, what they found, who took note, and what is kept silent. How they move is told by the room `alerts`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::figure::Figure;
use super::receiver::ReceiverId;
use super::{BusId, Timestamp};

mod group;
mod rule;
mod silence;

pub use group::{Group, Told};
pub use rule::{AlertRule, BurnRate, Filter, Terms};
pub use silence::{Matcher, MatcherKind, Silence};

words! {
    /// How bad it is.
    Severity {
        /// Somebody must act now.
        Critical = "critical" / 0,
        /// Something is broken.
        Error = "error" / 1,
        /// Something will break.
        Warning = "warning" / 2,
        /// Worth knowing.
        Info = "info" / 3,
    }
}

words! {
    /// How a value is compared with a threshold.
    Comparison {
        /// More than.
        Above = ">" / 0,
        /// At least.
        AtLeast = ">=" / 1,
        /// Less than.
        Below = "<" / 2,
        /// At most.
        AtMost = "<=" / 3,
    }
}

impl Comparison {
    /// Whether a value is on the bad side of a threshold. What is no number never is.
    #[must_use]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }

    /// Whether larger values are the worse ones.
    #[must_use]
    pub const fn is_upwards(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

words! {
    /// What happens while there is no data, after the time that the rule grants.
    NoData {
        /// The alert keeps its state.
        Keep = "keep" / 0,
        /// It is an alert, with the same labels.
        Alert = "alert" / 1,
        /// All is well.
        Ok = "ok" / 2,
    }
}

words! {
    /// A label by which alerts are told apart, filtered and grouped.
    Label {
        /// Bus.
        Bus = "bus" / 0,
        /// Topic.
        Topic = "topic" / 1,
        /// Consumer group.
        ConsumerGroup = "consumer_group" / 2,
        /// Service.
        Service = "service" / 3,
        /// Operation of a span.
        Operation = "operation" / 4,
        /// Fingerprint of a failure group.
        Fingerprint = "fingerprint" / 5,
        /// Status of a consumer group.
        Status = "status" / 6,
    }
}

words! {
    /// Which alerts are told in one notification.
    GroupBy {
        /// Those of one rule.
        Rule = "rule" / 0,
        /// Those of one bus.
        Bus = "bus" / 1,
        /// Those of one topic.
        Topic = "topic" / 2,
        /// Those of one consumer group.
        ConsumerGroup = "consumer_group" / 3,
    }
}

words! {
    /// Where an alert stands.
    AlertState {
        /// All is well; kept only where the rule wants to hear when data is missing.
        Inactive = "inactive" / 0,
        /// The condition holds, but not for long enough.
        Pending = "pending" / 1,
        /// It is an alert.
        Firing = "firing" / 2,
        /// The condition is over, but not for long enough.
        Recovering = "recovering" / 3,
        /// It is over.
        Resolved = "resolved" / 4,
    }
}

impl AlertState {
    /// Whether people are to know of it now.
    #[must_use]
    pub const fn is_firing(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering)
    }
}

words! {
    /// Why an alert fires without a value that says so.
    Cause {
        /// There is no data.
        NoData = "no_data" / 1,
        /// The figure cannot be read.
        Error = "error" / 2,
    }
}

/// Where one alert stands in time. Times of waiting move with the clock: `now` minus one of them is what was really observed.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// Its state.
    pub state: AlertState,
    /// Set while it fires without a value.
    pub cause: Option<Cause>,
    /// Since when the condition holds.
    pub pending_since: Option<Timestamp>,
    /// When it fired.
    pub started_at: Option<Timestamp>,
    /// Since when the condition is over.
    pub recovering_since: Option<Timestamp>,
    /// Since when there is no data.
    pub missing_since: Option<Timestamp>,
    /// Since when nobody can tell how it is; waiting stands still.
    pub unknown_since: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// When it was last looked at.
    pub last_eval: Timestamp,
    /// The last value seen.
    pub last_value: Option<f64>,
}

/// What the alert's rule said when it was last looked at: an alert outlives its rule until everybody was told.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Details {
    /// Name of the rule.
    pub rule: String,
    /// What is watched.
    pub figure: Figure,
    /// Quantile of durations.
    pub quantile: Option<f64>,
    /// How bad.
    pub severity: Severity,
    /// The threshold.
    pub threshold: f64,
    /// The unit of value and threshold.
    pub unit: String,
    /// Text for people.
    pub summary: String,
    /// What to do.
    pub runbook_url: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Receivers, by id.
    pub receivers: Vec<ReceiverId>,
    /// With what it is told together.
    pub group_by: Vec<GroupBy>,
    /// How long the first notification of a group waits, in milliseconds.
    pub group_wait_ms: u64,
    /// Time between two notifications of a group, in milliseconds.
    pub group_interval_ms: u64,
    /// After this long without change it is told again, in milliseconds.
    pub repeat_interval_ms: u64,
}

/// Somebody has taken note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub note: String,
    /// Until when it counts; `None`: until the alert is over.
    pub expires_at: Option<Timestamp>,
}

impl Acknowledgement {
    /// Whether it still counts.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// One alert, from pending to resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Our number of it, and its public id.
    pub number: i64,
    /// Number of its rule.
    pub rule: i64,
    /// The same for the same rule and labels, for ever: 16 hexadecimal digits.
    pub fingerprint: String,
    /// What it is about, with the labels of the rule.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub standing: Standing,
    /// What the rule said.
    pub details: Details,
    /// Who has taken note.
    pub acknowledgement: Option<Acknowledgement>,
    /// When somebody first took note.
    pub first_acknowledged_at: Option<Timestamp>,
    /// The silence that covers it.
    pub silenced_by: Option<i64>,
    /// The alert that explains it, so that nobody is told of this one; 0 until that has a number.
    pub inhibited_by: Option<i64>,
}

impl Alert {
    /// Whether nobody is to be told of it now.
    #[must_use]
    pub const fn is_muted(&self) -> bool {
        self.silenced_by.is_some() || self.inhibited_by.is_some()
    }

    /// Whether somebody has it in hand.
    #[must_use]
    pub fn is_acknowledged(&self, now: Timestamp) -> bool {
        self.acknowledgement.as_ref().is_some_and(|acknowledgement| acknowledgement.counts(now))
    }

    /// Its bus.
    #[must_use]
    pub fn bus(&self) -> Option<BusId> {
        self.labels.get("bus").map(|bus| BusId::new(bus.as_str()))
    }
}
