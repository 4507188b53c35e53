//! Replays: plan, start, steer, look.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, Json as Body, LimitParam, Operator, Path, Query, Viewer};
use super::selection::SelectionBody;
use crate::config::values::parse_duration;
use crate::model::replay::{Canary, ItemResult, OnFailed, Partitioner, ReplayId, ReplaySettings, ReplayState, SkipReason, Undecided};
use crate::model::{BusId, PageRequest, TopicName};
use crate::operations::replay::{PlanRequest, ReplayError};
use crate::store::replays::{ItemFilter, ReplayFilter};

mod shape;

pub(in crate::web::api) use shape::LetterReplayItem;
pub(in crate::web) use shape::duration;
use shape::{ItemList, ReplayItemShape, ReplayList, ReplayShape, RouteShapes};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(list, plan))
        .routes(routes!(detail, change, remove))
        .routes(routes!(items))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(check))
}

/// A plan to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    /// Which dead letters; a filter without `status` means the open ones.
    selection: SelectionBody,
    /// Another target than each origin topic.
    #[schema(value_type = Option<String>)]
    target: Option<TopicName>,
    /// `origin` (the default) or `murmur2`.
    #[schema(value_type = Option<String>)]
    partitioner: Option<Partitioner>,
    /// Messages per second; 100 unless told, null is as fast as it goes.
    #[serde(default = "default_rate")]
    rate: Option<u32>,
    /// Send a few first and go on only if they do not fail again.
    canary: Option<CanaryBody>,
    /// Stop when a larger share has failed again; 0.05 unless told, null is never.
    #[serde(default = "default_failed_again_limit")]
    failed_again_limit: Option<f64>,
    /// Stop when the target group is further behind; 10,000 unless told, null is never.
    #[serde(default = "default_lag_limit")]
    lag_limit: Option<u64>,
    /// Replays of one message at most; 3 unless told.
    attempt_limit: Option<u32>,
    /// `skip_key` (the default) or `continue`.
    #[schema(value_type = Option<String>)]
    on_failed: Option<OnFailed>,
    /// Whether replayed and resolved ones are sent again.
    #[serde(default)]
    again: bool,
    /// What it is called.
    name: Option<String>,
}

/// The first few of a replay.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CanaryBody {
    /// How many.
    count: u32,
    /// How long they settle, such as `60s`.
    settle: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
pub(super) const fn default_rate() -> Option<u32> {
    Some(100)
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
const fn default_failed_again_limit() -> Option<f64> {
    Some(0.05)
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
pub(super) const fn default_lag_limit() -> Option<u64> {
    Some(10_000)
}

impl PlanBody {
    fn settings(&self) -> Result<ReplaySettings, Error> {
        let canary = self.canary.as_ref().map(CanaryBody::parse).transpose()?;
        let settings = ReplaySettings {
            target: self.target.clone(),
            partitioner: self.partitioner.unwrap_or(Partitioner::Origin),
            rate: self.rate,
            canary,
            failed_again_limit: self.failed_again_limit,
            lag_limit: self.lag_limit,
            attempt_limit: self.attempt_limit.unwrap_or(3),
            on_failed: self.on_failed.unwrap_or(OnFailed::SkipKey),
            again: self.again,
            accepted: (0, 0),
        };
        check_settings(&settings)?;
        Ok(settings)
    }
}

impl CanaryBody {
    pub(super) fn parse(&self) -> Result<Canary, Error> {
        let settle = self.settle.as_deref().unwrap_or("60s");
        let settle =
            parse_duration(settle).ok_or_else(|| Error::field("canary.settle", "canary.settle is a length of time such as 60s"))?;
        Ok(Canary { count: self.count, settle_ms: u64::try_from(settle.as_millis()).unwrap_or(u64::MAX) })
    }
}

/// Bounds of what a person may decide; 422 with the field otherwise.
pub(in crate::web) fn check_settings(settings: &ReplaySettings) -> Result<(), Error> {
    check_rate(settings.rate)?;
    if settings.canary.is_some_and(|canary| canary.count == 0 || canary.count > 100_000) {
        return Err(Error::field("canary.count", "canary.count is a number from 1 to 100,000"));
    }
    if settings.canary.is_some_and(|canary| canary.settle_ms > 24 * 3_600_000) {
        return Err(Error::field("canary.settle", "canary.settle is a day at most"));
    }
    if settings.failed_again_limit.is_some_and(|limit| !(0.0..=1.0).contains(&limit)) {
        return Err(Error::field("failed_again_limit", "failed_again_limit is a share from 0 to 1"));
    }
    if !(1..=1_000).contains(&settings.attempt_limit) {
        return Err(Error::field("attempt_limit", "attempt_limit is a number from 1 to 1,000"));
    }
    if settings.target.as_ref().is_some_and(|target| !is_topic(target.as_str())) {
        return Err(Error::field("target", "target is the name of a topic: letters, digits, dots, underscores and hyphens"));
    }
    Ok(())
}

pub(in crate::web) fn check_rate(rate: Option<u32>) -> Result<(), Error> {
    if rate.is_some_and(|rate| !(1..=1_000_000).contains(&rate)) {
        return Err(Error::field("rate", "rate is a number of messages per second from 1 to 1,000,000, or null"));
    }
    Ok(())
}

fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        let text = error.to_string();
        match error {
            ReplayError::NotFound => Self::NotFound("replay"),
            ReplayError::WrongState { .. } => Self::Conflict { code: "wrong_state", text },
            ReplayError::WarningsNotAccepted(_) => Self::unprocessable("warnings_not_accepted", text),
            ReplayError::EmptySelection => Self::unprocessable("empty_selection", text),
            ReplayError::NothingToSend => Self::unprocessable("nothing_to_send", text),
            ReplayError::Blocked(_) => Self::unprocessable("blocked", text),
            ReplayError::SeveralBuses(_) => Self::unprocessable("several_buses", text),
            ReplayError::UnknownBus(_) => Self::field("selection.filter.bus", text),
            ReplayError::UndecidedMissing => Self::field("undecided", text),
            ReplayError::Store(error) => Self::Store(error),
        }
    }
}

/// A replay's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<ReplayId, Error> {
    ReplayId::parse(text).ok_or(Error::NotFound("replay"))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Bus.
    #[param(value_type = Option<String>)]
    bus: Option<BusId>,
    /// Id of the policy that has planned it.
    policy_id: Option<String>,
    /// State; may be repeated.
    #[param(value_type = Vec<String>)]
    state: Vec<ReplayState>,
    /// Where the page begins.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Rows, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Lists replays, newest first.
#[utoipa::path(get, path = "/replays", tag = "replays", params(ListQuery),
    responses((status = 200, body = ReplayList), (status = 422, body = Problem)))]
async fn list(_: Viewer, State(state): State<WebState>, Query(query): Query<ListQuery>) -> Result<Json<ReplayList>, Error> {
    let policy_id =
        query.policy_id.map(|id| id.parse().map_err(|_| Error::field("policy_id", "policy_id is the id of a policy"))).transpose()?;
    let filter = ReplayFilter { bus: query.bus, states: query.state, policy_id };
    let page = state.store().list_replays(&filter, &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let items = page.items.into_iter().map(|replay| ReplayShape::new(replay, &[])).collect();
    Ok(Json(ReplayList { items, next_cursor: page.next_cursor.map(|cursor| cursor.to_string()) }))
}

/// Plans a replay: freezes its scope and checks it. 201 when the plan is ready, 202 while it is still being made.
#[utoipa::path(post, path = "/replays", tag = "replays", request_body = PlanBody,
    responses((status = 201, body = ReplayShape), (status = 202, body = ReplayShape), (status = 422, body = Problem)))]
async fn plan(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Body(body): Body<PlanBody>,
) -> Result<(StatusCode, Json<ReplayShape>), Error> {
    let settings = body.settings()?;
    let name = body.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|name| name.chars().count() > 200) {
        return Err(Error::field("name", "name has 200 characters at most"));
    }
    let request = PlanRequest { selection: body.selection.parse(caller.now)?, name, settings, policy_id: None };
    let replay = state.replays().plan(request, &caller.actor, caller.now).await?;
    let status = if replay.state == ReplayState::Planning { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, shown(&state, replay).await?))
}

/// One replay.
#[utoipa::path(get, path = "/replays/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")),
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ReplayShape>, Error> {
    let replay = state.replays().find(&parse_id(&id)?).await?;
    shown(&state, replay).await
}

async fn shown(state: &WebState, replay: crate::model::replay::Replay) -> Result<Json<ReplayShape>, Error> {
    let routes = state.store().list_routes(replay.number).await?;
    Ok(Json(ReplayShape::new(replay, &routes)))
}

/// What may be changed while it runs.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// Messages per second; null is as fast as it goes.
    #[serde(deserialize_with = "required")]
    rate: Option<u32>,
}

/// A field that must be there, and may be null.
fn required<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)
}

/// Changes the rate.
#[utoipa::path(patch, path = "/replays/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")), request_body = ChangeBody,
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<ChangeBody>,
) -> Result<Json<ReplayShape>, Error> {
    check_rate(body.rate)?;
    let replay = state.replays().set_rate(&parse_id(&id)?, body.rate, &caller.actor, caller.now).await?;
    shown(&state, replay).await
}

/// Removes a plan that was never started.
#[utoipa::path(delete, path = "/replays/{id}", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn remove(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.replays().remove(&parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ItemsQuery {
    /// Present result.
    #[param(value_type = Option<String>)]
    result: Option<ItemResult>,
    /// With `result=skipped`: the reason.
    #[param(value_type = Option<String>)]
    reason: Option<SkipReason>,
    /// Where the page begins.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Rows, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Items of a replay, in the order of sending.
#[utoipa::path(get, path = "/replays/{id}/items", tag = "replays", params(("id" = String, Path, description = "Id of the replay."), ItemsQuery),
    responses((status = 200, body = ItemList), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn items(
    _: Viewer,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<ItemList>, Error> {
    let replay = state.replays().find(&parse_id(&id)?).await?;
    let filter = ItemFilter { result: query.result, reason: query.reason.map(|reason| reason.as_str().to_owned()) };
    let page: PageRequest = LimitParam::page(query.cursor, query.limit, 100);
    let routes = RouteShapes::new(&state.store().list_routes(replay.number).await?);
    let page = state.store().list_replay_items(replay.number, &filter, &page).await?;
    let items = page.items.into_iter().map(|item| ReplayItemShape::new(item, &routes)).collect();
    Ok(Json(ItemList { items, next_cursor: page.next_cursor.map(|cursor| cursor.to_string()) }))
}

/// Which warnings a person accepts.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct StartBody {
    /// Codes of the plan's warnings.
    #[serde(default)]
    accept: Vec<String>,
}

/// Starts a plan.
#[utoipa::path(post, path = "/replays/{id}/start", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")), request_body = StartBody,
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn start(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    body: Option<Body<StartBody>>,
) -> Result<Json<ReplayShape>, Error> {
    let accept = body.map(|Body(body)| body.accept).unwrap_or_default();
    let replay = state.replays().start(&parse_id(&id)?, &accept, &caller.actor, caller.now).await?;
    shown(&state, replay).await
}

/// Pauses a running replay; the state changes when the batch in flight has ended.
#[utoipa::path(post, path = "/replays/{id}/pause", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")),
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn pause(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ReplayShape>, Error> {
    let replay = state.replays().pause(&parse_id(&id)?, &caller.actor, caller.now).await?;
    shown(&state, replay).await
}

/// A decision about the batch in flight.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    /// After `progress_unknown`: `skip` or `send`.
    #[schema(value_type = Option<String>)]
    undecided: Option<Undecided>,
}

/// Lets a paused replay go on. The body may be left out, except after `progress_unknown`.
#[utoipa::path(post, path = "/replays/{id}/resume", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")), request_body = ResumeBody,
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn resume(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    body: Option<Body<ResumeBody>>,
) -> Result<Json<ReplayShape>, Error> {
    let undecided = body.and_then(|Body(body)| body.undecided);
    let replay = state.replays().resume(&parse_id(&id)?, undecided, &caller.actor, caller.now).await?;
    shown(&state, replay).await
}

/// Ends a plan or a replay. What was sent stays sent; what waits is open again.
#[utoipa::path(post, path = "/replays/{id}/cancel", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")),
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn cancel(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ReplayShape>, Error> {
    let replay = state.replays().cancel(&parse_id(&id)?, &caller.actor, caller.now).await?;
    shown(&state, replay).await
}

/// Runs the checks of a plan again.
#[utoipa::path(post, path = "/replays/{id}/check", tag = "replays", params(("id" = String, Path, description = "Id of the replay.")),
    responses((status = 200, body = ReplayShape), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn check(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ReplayShape>, Error> {
    let replay = state.replays().check(&parse_id(&id)?, caller.now).await?;
    shown(&state, replay).await
}
