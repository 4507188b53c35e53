//! Automatic replay policies.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Admin, Json as Body, Path, Viewer};
use super::replays::{CanaryBody, check_rate};
use super::selection::SelectionBody;
use crate::config::values::parse_duration;
use crate::model::policy::{Hours, Terms, Weekday};
use crate::model::replay::{Canary, OnFailed};
use crate::model::{DeadLetterFilter, Selection, Status, Timestamp};
use crate::operations::policy::PolicyError;

mod shape;

use shape::{PolicyList, PolicyShape};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(detail, replace, switch, remove))
}

/// A policy: dead letters that are replayed without a person.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    /// What it is called; its runs have the same name.
    name: String,
    /// Which dead letters: a filter of one bus. Only open ones are replayed.
    selection: SelectionBody,
    /// Whether it is switched on; off unless told.
    #[serde(default)]
    enabled: bool,
    /// How long a dead letter waits before its first replay; `5m` unless told.
    first_delay: Option<String>,
    /// Each later replay of a message waits this many times longer; 2 unless told.
    factor: Option<f64>,
    /// Replays of one message at most; 3 unless told.
    attempt_limit: Option<u32>,
    /// A larger share of repeated failures opens the circuit breaker; 0.2 unless told.
    failed_again_limit: Option<f64>,
    /// How long an open breaker waits before it tries a canary, doubled each time in a row; `15m` unless told.
    cool_down: Option<String>,
    /// Openings in a row after which the policy gives up; 3 unless told.
    give_up_after: Option<u32>,
    /// When it may replay; always when left out.
    hours: Option<HoursBody>,
    /// Messages sent within any 24 hours at most; 1,000 unless told.
    daily_limit: Option<u64>,
    /// Messages per second; 100 unless told, null is as fast as it goes.
    #[serde(default = "super::replays::default_rate")]
    rate: Option<u32>,
    /// The first few of each run; 10 that settle for `60s` unless told.
    canary: Option<CanaryBody>,
    /// A run stops when the target group is further behind; 10,000 unless told, null is never.
    #[serde(default = "super::replays::default_lag_limit")]
    lag_limit: Option<u64>,
    /// `skip_key` (the default) or `continue`.
    #[schema(value_type = Option<String>)]
    on_failed: Option<OnFailed>,
    /// Whether it takes dead letters that are there already when it is switched on.
    #[serde(default)]
    existing: bool,
    /// Codes of warnings of a plan that are accepted beforehand. Another warning makes the policy give up.
    #[serde(default)]
    accept: Vec<String>,
}

/// Hours of the week.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HoursBody {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; the days on which they begin.
    days: Vec<String>,
    /// Such as `08:00`.
    from: String,
    /// Such as `18:00`; at or before `from`: on the next day.
    to: String,
    /// Name of the IANA table such as `Europe/Berlin`; `UTC` unless told.
    time_zone: Option<String>,
}

impl PolicyBody {
    fn parse(self, now: Timestamp) -> Result<(String, Terms), Error> {
        let name = parse_name(&self.name)?;
        let Selection::Filter(filter) = self.selection.parse(now)? else {
            return Err(Error::field("selection.ids", "a policy has a filter: it is about dead letters that are not there yet"));
        };
        let canary = self.canary.as_ref().map(CanaryBody::parse).transpose()?;
        let terms = Terms {
            filter: *filter,
            first_delay_ms: millis("first_delay", self.first_delay.as_deref().unwrap_or("5m"))?,
            factor: self.factor.unwrap_or(2.0),
            attempt_limit: self.attempt_limit.unwrap_or(3),
            failed_again_limit: self.failed_again_limit.unwrap_or(0.2),
            cool_down_ms: millis("cool_down", self.cool_down.as_deref().unwrap_or("15m"))?,
            give_up_after: self.give_up_after.unwrap_or(3),
            hours: self.hours.map(HoursBody::parse).transpose()?,
            daily_limit: self.daily_limit.unwrap_or(1_000),
            rate: self.rate,
            canary: canary.unwrap_or(Canary { count: 10, settle_ms: 60_000 }),
            lag_limit: self.lag_limit,
            on_failed: self.on_failed.unwrap_or(OnFailed::SkipKey),
            existing: self.existing,
            accept: self.accept,
        };
        Ok((name, check_terms(terms)?))
    }
}

impl HoursBody {
    fn parse(self) -> Result<Hours, Error> {
        let days = self.days.iter().map(|day| day.parse::<Weekday>().map_err(|error| Error::field("hours.days", error.to_string())));
        let days: Vec<Weekday> = days.collect::<Result<_, _>>()?;
        hours(&days, &self.from, &self.to, self.time_zone.as_deref().unwrap_or("UTC"))
    }
}

/// Hours that were checked; 422 with the field otherwise.
pub(in crate::web) fn hours(days: &[Weekday], from: &str, to: &str, zone: &str) -> Result<Hours, Error> {
    Hours::new(days, from, to, zone).map_err(|error| Error::field(format!("hours.{}", error.field), error.to_string()))
}

/// A name that was checked.
pub(in crate::web) fn parse_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return Err(Error::field("name", "name has 1 to 100 characters"));
    }
    Ok(name.to_owned())
}

/// A length of time in milliseconds: a second to a week.
pub(in crate::web) fn millis(field: &'static str, text: &str) -> Result<u64, Error> {
    let wrong = || Error::field(field, format!("{field} is a length of time from 1s to 7d, such as 5m"));
    let duration = parse_duration(text).ok_or_else(wrong)?;
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if (1_000..=7 * 24 * 3_600_000).contains(&millis) { Ok(millis) } else { Err(wrong()) }
}

/// Bounds of what an administrator may decide; 422 with the field otherwise.
pub(in crate::web) fn check_terms(terms: Terms) -> Result<Terms, Error> {
    check_filter(&terms.filter)?;
    check_rate(terms.rate)?;
    if !(1.0..=10.0).contains(&terms.factor) {
        return Err(Error::field("factor", "factor is a number from 1 to 10"));
    }
    if !(1..=20).contains(&terms.attempt_limit) {
        return Err(Error::field("attempt_limit", "attempt_limit is a number from 1 to 20"));
    }
    if !(0.0..1.0).contains(&terms.failed_again_limit) {
        return Err(Error::field("failed_again_limit", "failed_again_limit is a share from 0 to below 1"));
    }
    if !(1..=20).contains(&terms.give_up_after) {
        return Err(Error::field("give_up_after", "give_up_after is a number from 1 to 20"));
    }
    if !(1..=1_000_000).contains(&terms.daily_limit) {
        return Err(Error::field("daily_limit", "daily_limit is a number from 1 to 1,000,000"));
    }
    if !(1..=1_000).contains(&terms.canary.count) || terms.canary.settle_ms > 3_600_000 {
        return Err(Error::field("canary", "canary.count is a number from 1 to 1,000, and canary.settle an hour at most"));
    }
    if terms.accept.iter().any(|code| !ACCEPTABLE.iter().any(|(known, _)| known == code)) {
        let known = ACCEPTABLE.iter().map(|(code, _)| *code).collect::<Vec<_>>().join(", ");
        return Err(Error::field("accept", format!("accept holds codes of warnings: {known}")));
    }
    Ok(terms)
}

/// Warnings of a plan that can be accepted beforehand, and what they mean.
pub(in crate::web) const ACCEPTABLE: &[(&str, &str)] = &[
    ("other_consumer_groups", "Other consumer groups of the target process the messages once more"),
    ("partition_differs", "Messages may go to another partition than before"),
    ("partition_count", "The target has another number of partitions than the origin"),
    ("at_least_once", "The bus has no transactions: a message may arrive twice"),
    ("write_permission", "It cannot be told whether the consumer groups' results will be seen"),
    ("sent_before", "Some were sent before by another replay"),
];

fn check_filter(filter: &DeadLetterFilter) -> Result<(), Error> {
    if filter.bus.len() != 1 {
        return Err(Error::field("selection.filter.bus", "a policy is about one bus: name it"));
    }
    if filter.status != [Status::Open] {
        return Err(Error::field("selection.filter.status", "a policy replays open dead letters; leave status out"));
    }
    Ok(())
}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        let text = error.to_string();
        match error {
            PolicyError::NotFound => Self::NotFound("policy"),
            PolicyError::UnknownBus(_) => Self::field("selection.filter.bus", text),
            PolicyError::Store(error) => Self::Store(error),
        }
    }
}

/// A policy's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::NotFound("policy"))
}

async fn shown(state: &WebState, policy: crate::model::policy::Policy, now: Timestamp) -> Result<Json<PolicyShape>, Error> {
    Ok(Json(PolicyShape::new(state.policies().report(policy, now).await?)))
}

/// Lists policies, oldest first.
#[utoipa::path(get, path = "/replay-policies", tag = "replays", responses((status = 200, body = PolicyList)))]
async fn list(viewer: Viewer, State(state): State<WebState>) -> Result<Json<PolicyList>, Error> {
    let mut items = Vec::new();
    for policy in state.store().list_policies().await? {
        items.push(PolicyShape::new(state.policies().report(policy, viewer.now).await?));
    }
    Ok(Json(PolicyList { items, next_cursor: None }))
}

/// Adds a policy.
#[utoipa::path(post, path = "/replay-policies", tag = "replays", request_body = PolicyBody,
    responses((status = 201, body = PolicyShape), (status = 422, body = Problem)))]
async fn add(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Body(body): Body<PolicyBody>,
) -> Result<(StatusCode, Json<PolicyShape>), Error> {
    let enabled = body.enabled;
    let (name, terms) = body.parse(caller.now)?;
    let policy = state.policies().add(&name, enabled, &terms, &caller.actor, caller.now).await?;
    Ok((StatusCode::CREATED, shown(&state, policy, caller.now).await?))
}

/// One policy.
#[utoipa::path(get, path = "/replay-policies/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the policy.")),
    responses((status = 200, body = PolicyShape), (status = 404, body = Problem)))]
async fn detail(viewer: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<PolicyShape>, Error> {
    let policy = state.policies().find(parse_id(&id)?).await?;
    shown(&state, policy, viewer.now).await
}

/// Replaces a policy. A run that is under way keeps what it began with.
#[utoipa::path(put, path = "/replay-policies/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the policy.")), request_body = PolicyBody,
    responses((status = 200, body = PolicyShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn replace(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<PolicyBody>,
) -> Result<Json<PolicyShape>, Error> {
    let (number, enabled) = (parse_id(&id)?, body.enabled);
    let (name, terms) = body.parse(caller.now)?;
    let mut policy = state.policies().change(number, &name, &terms, &caller.actor, caller.now).await?;
    if policy.enabled != enabled {
        policy = state.policies().switch(number, enabled, &caller.actor, caller.now).await?;
    }
    shown(&state, policy, caller.now).await
}

/// The switch of a policy.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    /// On closes its breaker, also after it has given up; off cancels its run.
    enabled: bool,
}

/// Switches a policy on or off.
#[utoipa::path(patch, path = "/replay-policies/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the policy.")), request_body = SwitchBody,
    responses((status = 200, body = PolicyShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn switch(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<SwitchBody>,
) -> Result<Json<PolicyShape>, Error> {
    let policy = state.policies().switch(parse_id(&id)?, body.enabled, &caller.actor, caller.now).await?;
    shown(&state, policy, caller.now).await
}

/// Removes a policy and cancels its run; runs that have ended stay in the history.
#[utoipa::path(delete, path = "/replay-policies/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the policy.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.policies().remove(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}
