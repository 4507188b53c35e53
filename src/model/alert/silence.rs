//! Silences: alerts that nobody is told of for a while.

use std::fmt;
use std::str::FromStr;

use crate::model::Timestamp;
use crate::model::dead_letter::{UnknownWord, words};

words! {
    /// How a label is compared.
    MatcherKind {
        /// Is the same.
        Equal = "=" / 0,
        /// Is not the same.
        NotEqual = "!=" / 1,
        /// All of it fits the regular expression.
        Matches = "=~" / 2,
        /// It does not fit.
        MatchesNot = "!~" / 3,
    }
}

/// One condition on a label. `rule` and `severity` are labels too; a label that is not there is empty.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// Name of the label.
    pub label: String,
    /// How it is compared.
    pub operator: MatcherKind,
    /// With what.
    pub value: String,
}

/// Alerts that fit all matchers are told to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Our number of it, and its public id.
    pub number: i64,
    /// What it covers.
    pub matchers: Vec<Matcher>,
    /// Why.
    pub comment: String,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

impl Silence {
    /// Whether it is in force.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }
}
