//! How fresh what we know of a bus is. Pages never wait for a bus; they say how old their figures are and why.

use std::time::Duration;

use super::super::error::sentence_case;
use crate::model::{BusState, Timestamp};

/// Three missed samples: the age is pointed out.
const STALE_AFTER: Duration = Duration::from_secs(45);
/// From here on a failing bus counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// What the age of the newest sample means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Young enough to be taken for the present.
    Fresh,
    /// The last try failed, or samples were missed.
    Stale,
    /// It does not answer, and has not for a while.
    Unreachable,
    /// It has never been read.
    Never,
}

/// Freshness of one bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Its id.
    pub bus: String,
    /// What its age means.
    pub condition: Condition,
    /// When it was last read.
    pub sampled_at: Option<Timestamp>,
    /// Since when it fails, when it does.
    pub failing_since: Option<Timestamp>,
    /// Why the last try failed, in the words of the bus.
    pub error: Option<String>,
    /// Whether the last sample is so old that it is no longer a matter of a few missed ones.
    is_old: bool,
}

/// How a condition looks, the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The word.
    pub word: &'static str,
    /// The icon.
    pub icon: &'static str,
    /// The tone.
    pub tone: &'static str,
}

impl Freshness {
    /// Judges a bus at a time.
    #[must_use]
    pub fn of(bus: &BusState, now: Timestamp) -> Self {
        let age = bus.sampled_at.map(|at| at.age_at(now));
        let condition = match age {
            None => Condition::Never,
            Some(age) if bus.error.is_some() && age >= GONE_AFTER => Condition::Unreachable,
            Some(age) if bus.error.is_some() || age >= STALE_AFTER => Condition::Stale,
            Some(_) => Condition::Fresh,
        };
        let is_old = age.is_some_and(|age| age >= GONE_AFTER);
        Self {
            bus: bus.id.to_string(),
            condition,
            sampled_at: bus.sampled_at,
            failing_since: bus.failing_since,
            error: bus.error.clone(),
            is_old,
        }
    }

    /// Whether figures must be shown as old ones.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.condition != Condition::Fresh
    }

    /// Why the last try failed, as a sentence that follows "does not answer".
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let error = self.error.as_deref()?;
        Some(sentence_case(error.strip_prefix("the bus did not answer: ").unwrap_or(error)))
    }

    /// Whether what is known is so old that it says nothing about the present.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.is_unreachable() || self.is_old
    }

    /// Whether the bus does not answer.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.condition == Condition::Unreachable || (self.condition == Condition::Never && self.error.is_some())
    }
}

impl Freshness {
    /// Word, icon and tone.
    #[must_use]
    pub fn look(&self) -> Look {
        let (word, icon, tone) = match self.condition {
            Condition::Unreachable => ("Unreachable", "unplug", "bad"),
            Condition::Never if self.error.is_some() => ("Never reached", "unplug", "bad"),
            Condition::Never => ("Connecting", "plug", "idle"),
            Condition::Stale if self.error.is_some() => ("No answer", "clock-alert", "warn"),
            Condition::Stale if self.is_old => ("Stale", "clock-alert", "bad"),
            Condition::Stale => ("Stale", "clock-alert", "warn"),
            Condition::Fresh => ("Connected", "plug-zap", "ok"),
        };
        Look { word, icon, tone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BusKind, Capabilities};

    fn bus(sampled_ago: Option<u64>, error: Option<&str>) -> Freshness {
        let now = Timestamp::from_millis(1_000_000);
        let state = BusState {
            id: "prod".into(),
            kind: BusKind::Kafka,
            cluster_id: None,
            sampled_at: sampled_ago.map(|seconds| now.minus(Duration::from_secs(seconds))),
            error: error.map(str::to_owned),
            failing_since: None,
            brokers: 0,
            capabilities: Capabilities::default(),
            addresses: Vec::new(),
            untracked_groups: 0,
        };
        Freshness::of(&state, now)
    }

    #[test]
    fn age_and_failure_make_the_condition() {
        let cases = [
            (Some(6), None, Condition::Fresh, false, ("Connected", "ok")),
            (Some(6), Some("refused"), Condition::Stale, false, ("No answer", "warn")),
            (Some(50), None, Condition::Stale, false, ("Stale", "warn")),
            (Some(50), Some("refused"), Condition::Stale, false, ("No answer", "warn")),
            (Some(600), None, Condition::Stale, false, ("Stale", "bad")),
            (Some(60), Some("refused"), Condition::Unreachable, true, ("Unreachable", "bad")),
            (None, None, Condition::Never, false, ("Connecting", "idle")),
            (None, Some("refused"), Condition::Never, true, ("Never reached", "bad")),
        ];
        for (sampled, error, condition, unreachable, look) in cases {
            let freshness = bus(sampled, error);
            assert_eq!((freshness.look().word, freshness.look().tone), look, "{sampled:?} {error:?}");
            assert_eq!(freshness.condition, condition, "{sampled:?} {error:?}");
            assert_eq!(freshness.is_unreachable(), unreachable, "{sampled:?} {error:?}");
        }
    }
}
