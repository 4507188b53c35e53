//! A policy as the API shows it.

use serde::Serialize;

use super::super::super::view::filter::api_query;
use super::super::replays::duration;
use crate::model::policy::Hours;
use crate::model::{BusId, Timestamp};
use crate::operations::policy::{PolicyReport, Standing};

/// Policies of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PolicyList {
    pub(super) items: Vec<PolicyShape>,
    pub(super) next_cursor: Option<String>,
}

/// A policy.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PolicyShape {
    id: String,
    name: String,
    #[schema(value_type = Option<String>)]
    bus: Option<BusId>,
    /// The query of `/dead-letters` that it is about.
    filter: String,
    enabled: bool,
    /// `off`, `watching`, `running`, `settling`, `open`, `half_open`, `outside_hours`, `daily_limit` or `gave_up`.
    state: &'static str,
    /// Why the breaker opened, or the policy gave up.
    state_text: Option<String>,
    /// Until when the breaker is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    open_until: Option<Timestamp>,
    /// How often it has opened in a row.
    opened: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    gave_up_at: Option<Timestamp>,
    first_delay: String,
    factor: f64,
    attempt_limit: u32,
    failed_again_limit: f64,
    cool_down: String,
    give_up_after: u32,
    hours: Option<HoursShape>,
    daily_limit: u64,
    rate: Option<u32>,
    canary: CanaryShape,
    lag_limit: Option<u64>,
    on_failed: &'static str,
    existing: bool,
    accept: Vec<String>,
    /// Its newest run.
    replay_id: Option<String>,
    runs: u64,
    sent: u64,
    resolved: u64,
    failed_again: u64,
    /// Sent within the last 24 hours.
    sent_today: u64,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

/// Hours of the week.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HoursShape {
    days: Vec<String>,
    from: String,
    to: String,
    time_zone: String,
}

/// The first few of each run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReplayPolicyCanary)]
struct CanaryShape {
    count: u32,
    settle: String,
}

impl PolicyShape {
    pub(super) fn new(report: PolicyReport) -> Self {
        let PolicyReport { policy, standing, run, totals, sent_today } = report;
        let terms = policy.terms;
        Self {
            id: policy.number.to_string(),
            name: policy.name,
            bus: terms.filter.bus.first().cloned(),
            filter: api_query("/dead-letters", &terms.filter).to_string(),
            enabled: policy.enabled,
            state: standing.as_str(),
            state_text: policy.text,
            open_until: if let Standing::Open(until) = standing { Some(until) } else { None },
            opened: policy.opened,
            gave_up_at: policy.gave_up_at,
            first_delay: duration(terms.first_delay_ms),
            factor: terms.factor,
            attempt_limit: terms.attempt_limit,
            failed_again_limit: terms.failed_again_limit,
            cool_down: duration(terms.cool_down_ms),
            give_up_after: terms.give_up_after,
            hours: terms.hours.as_ref().map(HoursShape::new),
            daily_limit: terms.daily_limit,
            rate: terms.rate,
            canary: CanaryShape { count: terms.canary.count, settle: duration(terms.canary.settle_ms) },
            lag_limit: terms.lag_limit,
            on_failed: terms.on_failed.as_str(),
            existing: terms.existing,
            accept: terms.accept,
            replay_id: run.map(|run| run.id.to_string()),
            runs: totals.runs,
            sent: totals.sent,
            resolved: totals.resolved,
            failed_again: totals.failed_again,
            sent_today,
            created_by: policy.created_by,
            created_at: policy.created_at,
            changed_at: policy.changed_at,
        }
    }
}

impl HoursShape {
    fn new(hours: &Hours) -> Self {
        let (from, to, time_zone) = (hours.from().to_owned(), hours.to().to_owned(), hours.time_zone().to_owned());
        Self { days: hours.days().to_vec(), from, to, time_zone }
    }
}
