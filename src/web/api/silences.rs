//! Silences: alerts that nobody is told of for a while.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Json as Body, Operator, Path, Query, TimeParam, Viewer};
use super::alerts::{AlertShape, Beside};
use crate::model::Timestamp;
use crate::model::alert::{Matcher, MatcherKind, Silence};
use crate::store::alerts::silences::NewSilence;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(preview)).routes(routes!(detail, replace, end))
}

/// A silence's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::NotFound("silence"))
}

/// One condition on a label. `rule` and `severity` are labels too; a label that is not there is empty.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MatcherShape {
    /// Name of the label.
    label: String,
    /// `=`, `!=`, `=~` (all of it fits the regular expression) or `!~`.
    #[schema(value_type = String)]
    operator: MatcherKind,
    /// What it is compared with.
    value: String,
}

/// A silence.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SilenceBody {
    /// Alerts that fit all of these are covered.
    matchers: Vec<MatcherShape>,
    /// Why.
    comment: String,
    /// From when; now unless told.
    #[schema(value_type = Option<String>, format = DateTime)]
    starts_at: Option<TimeParam>,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    ends_at: TimeParam,
}

/// Matchers to be looked at.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewBody {
    /// Alerts that fit all of these are covered.
    matchers: Vec<MatcherShape>,
}

/// A silence as it is kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SilenceShape {
    id: String,
    matchers: Vec<MatcherShape>,
    comment: String,
    /// `pending`, `active` or `ended`.
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Silences of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SilenceList {
    items: Vec<SilenceShape>,
    next_cursor: Option<String>,
}

/// Alerts that matchers cover now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PreviewShape {
    /// How many.
    count: usize,
    /// The first hundred.
    items: Vec<AlertShape>,
}

impl MatcherShape {
    fn read(matchers: Vec<Self>) -> Vec<Matcher> {
        matchers.into_iter().map(|one| Matcher { label: one.label.trim().to_owned(), operator: one.operator, value: one.value }).collect()
    }
}

impl SilenceBody {
    fn parse(self, now: Timestamp) -> NewSilence {
        NewSilence {
            matchers: MatcherShape::read(self.matchers),
            comment: self.comment.trim().to_owned(),
            starts_at: self.starts_at.map_or(now, |time| time.0),
            ends_at: self.ends_at.0,
        }
    }
}

impl SilenceShape {
    fn new(silence: Silence, now: Timestamp) -> Self {
        let state = if silence.is_active(now) {
            "active"
        } else if silence.ends_at <= now {
            "ended"
        } else {
            "pending"
        };
        let matchers = silence.matchers.into_iter();
        Self {
            id: silence.number.to_string(),
            matchers: matchers.map(|one| MatcherShape { label: one.label, operator: one.operator, value: one.value }).collect(),
            comment: silence.comment,
            state,
            starts_at: silence.starts_at,
            ends_at: silence.ends_at,
            created_by: silence.created_by,
            created_at: silence.created_at,
        }
    }
}

/// Restricts the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SilenceQuery {
    /// Also those that ended since then; only those that have not ended unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    ended_since: Option<TimeParam>,
}

/// Lists silences that have not ended, oldest first.
#[utoipa::path(get, path = "/silences", tag = "alerts", params(SilenceQuery), responses((status = 200, body = SilenceList), (status = 422, body = Problem)))]
async fn list(viewer: Viewer, State(state): State<WebState>, Query(query): Query<SilenceQuery>) -> Result<Json<SilenceList>, Error> {
    let silences = state.store().list_silences(query.ended_since.map_or(viewer.now, |time| time.0)).await?;
    let items = silences.into_iter().map(|silence| SilenceShape::new(silence, viewer.now)).collect();
    Ok(Json(SilenceList { items, next_cursor: None }))
}

/// Adds a silence.
#[utoipa::path(post, path = "/silences", tag = "alerts", request_body = SilenceBody,
    responses((status = 201, body = SilenceShape), (status = 422, body = Problem)))]
async fn add(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Body(body): Body<SilenceBody>,
) -> Result<(StatusCode, Json<SilenceShape>), Error> {
    let silence = state.alerts().add_silence(&body.parse(caller.now), &caller.actor, caller.now).await?;
    Ok((StatusCode::CREATED, Json(SilenceShape::new(silence, caller.now))))
}

/// Says which alerts matchers would cover now. Nothing is kept.
#[utoipa::path(post, path = "/silences/preview", tag = "alerts", request_body = PreviewBody,
    responses((status = 200, body = PreviewShape), (status = 422, body = Problem)))]
async fn preview(viewer: Viewer, State(state): State<WebState>, Body(body): Body<PreviewBody>) -> Result<Json<PreviewShape>, Error> {
    let mut covered = state.alerts().preview(&MatcherShape::read(body.matchers)).await?;
    let (count, base) = (covered.len(), state.base_url());
    covered.truncate(100);
    let beside = Beside::load(state.store(), &covered).await?;
    let items = covered.into_iter().map(|alert| AlertShape::new(alert, &beside, &base, viewer.now)).collect();
    Ok(Json(PreviewShape { count, items }))
}

/// One silence.
#[utoipa::path(get, path = "/silences/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the silence.")),
    responses((status = 200, body = SilenceShape), (status = 404, body = Problem)))]
async fn detail(viewer: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<SilenceShape>, Error> {
    Ok(Json(SilenceShape::new(state.alerts().find_silence(parse_id(&id)?).await?, viewer.now)))
}

/// Replaces a silence.
#[utoipa::path(put, path = "/silences/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the silence.")), request_body = SilenceBody,
    responses((status = 200, body = SilenceShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn replace(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<SilenceBody>,
) -> Result<Json<SilenceShape>, Error> {
    let silence = state.alerts().change_silence(parse_id(&id)?, &body.parse(caller.now), &caller.actor, caller.now).await?;
    Ok(Json(SilenceShape::new(silence, caller.now)))
}

/// Ends a silence now; that it was there stays in the history.
#[utoipa::path(delete, path = "/silences/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the silence.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn end(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.alerts().end_silence(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}
