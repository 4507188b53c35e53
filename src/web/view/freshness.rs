//! How fresh what we know of a bus is. Pages never wait for a bus; they say how old their figures are and why.

use std::time::Duration;

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
    /// Samples were missed.
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
}

impl Freshness {
    /// Judges a bus at a time.
    #[must_use]
    pub fn of(bus: &BusState, now: Timestamp) -> Self {
        let condition = match bus.sampled_at {
            None => Condition::Never,
            Some(at) if bus.error.is_some() && at.age_at(now) >= GONE_AFTER => Condition::Unreachable,
            Some(at) if at.age_at(now) >= STALE_AFTER => Condition::Stale,
            Some(_) => Condition::Fresh,
        };
        Self { bus: bus.id.to_string(), condition, sampled_at: bus.sampled_at, failing_since: bus.failing_since, error: bus.error.clone() }
    }

    /// Whether figures must be shown as old ones.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.condition != Condition::Fresh
    }

    /// Whether the bus does not answer.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.condition == Condition::Unreachable || (self.condition == Condition::Never && self.error.is_some())
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
        };
        Freshness::of(&state, now)
    }

    #[test]
    fn age_and_failure_make_the_condition() {
        let cases = [
            (Some(6), None, Condition::Fresh, false),
            (Some(6), Some("refused"), Condition::Fresh, false),
            (Some(50), None, Condition::Stale, false),
            (Some(50), Some("refused"), Condition::Stale, false),
            (Some(600), None, Condition::Stale, false),
            (Some(60), Some("refused"), Condition::Unreachable, true),
            (None, None, Condition::Never, false),
            (None, Some("refused"), Condition::Never, true),
        ];
        for (sampled, error, condition, unreachable) in cases {
            let freshness = bus(sampled, error);
            assert_eq!(freshness.condition, condition, "{sampled:?} {error:?}");
            assert_eq!(freshness.is_unreachable(), unreachable, "{sampled:?} {error:?}");
        }
    }
}
