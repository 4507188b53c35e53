//! Alert rules, and what they would have done.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Admin, Json as Body, Path, Viewer};
use crate::alerts::keeping::AlertError;

mod body;
mod shape;
mod trying;

pub(in crate::web) use body::RuleBody;
use shape::{RuleList, RuleShape};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(detail, replace, switch, remove)).routes(routes!(trying::try_rule))
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

/// Lists rules, oldest first.
#[utoipa::path(get, path = "/alert-rules", tag = "alerts", responses((status = 200, body = RuleList)))]
async fn list(_: Viewer, State(state): State<WebState>) -> Result<Json<RuleList>, Error> {
    let rules = state.store().list_alert_rules().await?;
    Ok(Json(RuleList { items: rules.into_iter().map(RuleShape::new).collect(), next_cursor: None }))
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
    Ok((StatusCode::CREATED, Json(RuleShape::new(rule))))
}

/// One rule.
#[utoipa::path(get, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")),
    responses((status = 200, body = RuleShape), (status = 404, body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<RuleShape>, Error> {
    Ok(Json(RuleShape::new(state.alerts().find_rule(parse_id(&id)?).await?)))
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
    Ok(Json(RuleShape::new(rule)))
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
    Ok(Json(RuleShape::new(rule)))
}

/// Removes a rule and ends its alerts; what they were stays in the history.
#[utoipa::path(delete, path = "/alert-rules/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the rule.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.alerts().remove_rule(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}
