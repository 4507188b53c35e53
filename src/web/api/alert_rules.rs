//! Alert rules, and what they would have done.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Admin, Json as Body, LimitParam, Path, Query, Viewer};
use crate::alerts::keeping::AlertError;
use crate::model::Timestamp;
use crate::model::alert::AlertRule;

mod body;
mod shape;
mod trying;

pub(in crate::web) use body::RuleBody;
use shape::{ChangeList, RuleList, RuleShape, UnreadableShape};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(detail, replace, switch, remove))
        .routes(routes!(changes))
        .routes(routes!(trying::try_rule))
}

impl From<AlertError> for Error {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::NotFound(what) => Self::NotFound(what),
            AlertError::Invalid(problem) => Self::field(problem.field, problem.text),
            AlertError::WrongState(text) => Self::Conflict { code: "wrong_state", text: text.to_owned() },
            AlertError::Store(error) => Self::Store(error),
        }
    }
}

/// A rule's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::NotFound("alert rule"))
}

/// A rule with what it did.
async fn shape_of(state: &WebState, rule: AlertRule) -> Result<RuleShape, Error> {
    let fired = state.store().last_fired().await?.into_iter().find(|(number, _)| *number == rule.number);
    Ok(RuleShape::new(rule, fired.map(|(_, at)| at)))
}

/// Lists rules, oldest first.
#[utoipa::path(get, path = "/alert-rules", tag = "alerts", responses((status = 200, body = RuleList)))]
async fn list(_: Viewer, State(state): State<WebState>) -> Result<Json<RuleList>, Error> {
    let (rules, unreadable) = state.store().read_alert_rules().await?;
    let fired: HashMap<i64, Timestamp> = state.store().last_fired().await?.into_iter().collect();
    let shape = |rule: AlertRule| {
        let last = fired.get(&rule.number).copied();
        RuleShape::new(rule, last)
    };
    let unreadable = unreadable.into_iter().map(|rule| UnreadableShape { id: rule.number.to_string(), name: rule.name }).collect();
    Ok(Json(RuleList { items: rules.into_iter().map(shape).collect(), next_cursor: None, unreadable }))
}

/// Adds a rule.
#[utoipa::path(post, path = "/alert-rules", tag = "alerts", request_body = RuleBody,
    responses((status = 201, body = RuleShape), (status = 422, body = Problem)))]
async fn add(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Body(body): Body<RuleBody>,
) -> Result<(StatusCode, Json<RuleShape>), Error> {
    let rule = state.alerts().add_rule(&body.parse()?, &caller.actor, caller.now).await?;
    Ok((StatusCode::CREATED, Json(RuleShape::new(rule, None))))
}

/// One rule.
#[utoipa::path(get, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")),
    responses((status = 200, body = RuleShape), (status = 404, body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<RuleShape>, Error> {
    let rule = state.alerts().find_rule(parse_id(&id)?).await?;
    Ok(Json(shape_of(&state, rule).await?))
}

/// Restricts the list of changes.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChangesQuery {
    /// Changes at most, from 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Who changed a rule, and how, the newest first.
#[utoipa::path(get, path = "/alert-rules/{id}/changes", tag = "alerts",
    params(("id" = String, Path, description = "Id of the rule."), ChangesQuery),
    responses((status = 200, body = ChangeList), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn changes(
    _: Viewer,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<ChangeList>, Error> {
    let rule = state.alerts().find_rule(parse_id(&id)?).await?;
    let changes = state.store().list_alert_rule_changes(rule.number, query.limit.map_or(100, |limit| limit.0)).await?;
    Ok(Json(ChangeList { items: changes.into_iter().map(Into::into).collect(), next_cursor: None }))
}

/// Replaces a rule. Alerts that fire go on with it, as far as their labels stay.
#[utoipa::path(put, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")), request_body = RuleBody,
    responses((status = 200, body = RuleShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn replace(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<RuleBody>,
) -> Result<Json<RuleShape>, Error> {
    let rule = state.alerts().change_rule(parse_id(&id)?, &body.parse()?, &caller.actor, caller.now).await?;
    Ok(Json(shape_of(&state, rule).await?))
}

/// The switch of a rule.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RuleSwitch {
    /// Off ends its alerts.
    enabled: bool,
}

/// Switches a rule on or off.
#[utoipa::path(patch, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")), request_body = RuleSwitch,
    responses((status = 200, body = RuleShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn switch(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<RuleSwitch>,
) -> Result<Json<RuleShape>, Error> {
    let rule = state.alerts().switch_rule(parse_id(&id)?, body.enabled, &caller.actor, caller.now).await?;
    Ok(Json(shape_of(&state, rule).await?))
}

/// Removes a rule and ends its alerts; what they were stays in the history.
#[utoipa::path(delete, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.alerts().remove_rule(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}
