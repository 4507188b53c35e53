//! Automatic replay policies: what an administrator has decided about dead letters that are replayed without a person, and where a
//! policy stands.

use std::time::Duration;

use super::replay::{Canary, OnFailed};
use super::{Actor, DeadLetterFilter, Timestamp};

mod hours;

pub use hours::{Hours, InvalidHours, Weekday};

/// What an administrator has decided. Kept as JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// Which dead letters: of one bus, open ones.
    pub filter: DeadLetterFilter,
    /// How long a dead letter waits before its first replay, in milliseconds.
    pub first_delay_ms: u64,
    /// Each later replay of the same message waits this many times longer.
    pub factor: f64,
    /// Replays of one message at most.
    pub attempt_limit: u32,
    /// Larger shares of repeated failures open the circuit breaker.
    pub failed_again_limit: f64,
    /// How long an open breaker waits before it tries a canary, in milliseconds; doubled each time in a row.
    pub cool_down_ms: u64,
    /// Openings in a row after which the policy gives up.
    pub give_up_after: u32,
    /// When it may replay; `None` is always.
    pub hours: Option<Hours>,
    /// Messages sent within any 24 hours at most.
    pub daily_limit: u64,
    /// Messages per second; `None` is as fast as it goes.
    pub rate: Option<u32>,
    /// The first few of each run.
    pub canary: Canary,
    /// A run stops when the target group is further behind, in messages.
    pub lag_limit: Option<u64>,
    /// What happens to later messages of a key that failed.
    pub on_failed: OnFailed,
    /// Whether it takes dead letters that are there already when it is switched on.
    pub existing: bool,
    /// Warnings of a plan that are accepted beforehand, by code.
    pub accept: Vec<String>,
}

/// A delay never grows beyond this.
const LONGEST: Duration = Duration::from_hours(7 * 24);

impl Terms {
    /// How long a message waits that was replayed `attempts` times.
    #[must_use]
    pub fn delay(&self, attempts: u32) -> Duration {
        grown(Duration::from_millis(self.first_delay_ms), self.factor, attempts)
    }

    /// How long the breaker stays open after it has opened `times` in a row.
    #[must_use]
    pub fn cool_down(&self, times: u32) -> Duration {
        grown(Duration::from_millis(self.cool_down_ms), 2.0, times.saturating_sub(1))
    }
}

fn grown(first: Duration, factor: f64, times: u32) -> Duration {
    let seconds = first.as_secs_f64() * factor.powi(i32::try_from(times).unwrap_or(i32::MAX));
    if seconds.is_finite() && seconds < LONGEST.as_secs_f64() { Duration::from_secs_f64(seconds.max(0.0)) } else { LONGEST }
}

/// A policy as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Our number of it, and its public id.
    pub number: i64,
    /// What a person calls it; its runs have the same name.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What was decided.
    pub terms: Terms,
    /// Dead letters above this id are its business.
    pub watch_from: i64,
    /// How often the circuit breaker has opened in a row; 0: it is closed.
    pub opened: u32,
    /// Until when it stays open; after that a canary is tried.
    pub open_until: Option<Timestamp>,
    /// Since when it has given up.
    pub gave_up_at: Option<Timestamp>,
    /// Why the breaker opened or the policy gave up, in words.
    pub text: Option<String>,
    /// Results of runs planned before this count no more.
    pub counted_from: Timestamp,
    /// The run of which it was decided last whether it went well, by our number.
    pub judged: i64,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When the terms were last changed, or it was switched.
    pub changed_at: Timestamp,
}

/// Where the circuit breaker of a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Replays go out.
    Closed,
    /// Nothing goes out until then.
    Open(Timestamp),
    /// A canary goes out; the breaker closes when it comes through.
    HalfOpen,
}

impl Policy {
    /// Where the circuit breaker stands.
    #[must_use]
    pub fn breaker(&self, now: Timestamp) -> Breaker {
        match self.open_until {
            _ if self.opened == 0 => Breaker::Closed,
            Some(until) if until > now => Breaker::Open(until),
            _ => Breaker::HalfOpen,
        }
    }

    /// Whether its terms allow replays at this time of the week.
    #[must_use]
    pub fn is_in_hours(&self, now: Timestamp) -> bool {
        self.terms.hours.as_ref().is_none_or(|hours| hours.contain(now))
    }

    /// The name under which it acts in the audit and as planner of its runs.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { name: format!("policy:{}", self.name), address: None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Terms;
    use crate::model::DeadLetterFilter;
    use crate::model::replay::{Canary, OnFailed};

    #[test]
    fn delays_grow_by_the_factor_and_end_at_a_week() {
        let terms = Terms {
            filter: DeadLetterFilter::default(),
            first_delay_ms: 60_000,
            factor: 3.0,
            attempt_limit: 3,
            failed_again_limit: 0.2,
            cool_down_ms: 600_000,
            give_up_after: 3,
            hours: None,
            daily_limit: 1_000,
            rate: Some(50),
            canary: Canary { count: 5, settle_ms: 60_000 },
            lag_limit: None,
            on_failed: OnFailed::SkipKey,
            existing: false,
            accept: Vec::new(),
        };
        assert_eq!([0, 1, 2].map(|n| terms.delay(n).as_secs()), [60, 180, 540]);
        assert_eq!(terms.delay(900), Duration::from_hours(7 * 24));
        assert_eq!([1, 2, 3].map(|n| terms.cool_down(n).as_secs()), [600, 1_200, 2_400]);
    }
}
