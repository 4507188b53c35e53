//! Alerts: what fires, what fired, and who has taken note.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::causes::{self, Scope};
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, Json as Body, LimitParam, Operator, Path, Query, TimeParam, Viewer};
use super::happenings::HappeningShape;
use crate::alerts::inhibition::explains;
use crate::model::Timestamp;
use crate::model::alert::{Alert, AlertState, Severity};
use crate::store::alerts::AlertFilter;
use crate::store::{Store, StoreError};

mod shape;

use shape::{AlertDetail, AlertList, FiguresList, FiguresShape};
pub(in crate::web) use shape::{AlertShape, Beside};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(figures)).routes(routes!(detail)).routes(routes!(acknowledge, take_back))
}

/// An alert's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::NotFound("alert"))
}

/// What lists show unless told.
const ACTIVE: &[AlertState] = &[AlertState::Pending, AlertState::Firing, AlertState::Recovering];

/// Restricts the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AlertQuery {
    /// `pending`, `firing`, `recovering`, `resolved`; any of those given, all but `resolved` unless told.
    #[param(value_type = Vec<String>)]
    state: Vec<AlertState>,
    /// Id of a rule.
    rule: Option<String>,
    /// `critical`, `error`, `warning` or `info`.
    #[param(value_type = Option<String>)]
    severity: Option<Severity>,
    /// Of this rule about the same: the `fingerprint` of one of them. With `state` it tells what fired earlier.
    fingerprint: Option<String>,
    /// Of this bus.
    bus: Option<String>,
    /// Of this topic.
    topic: Option<String>,
    /// Of this consumer group.
    consumer_group: Option<String>,
    /// Not over before this.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<TimeParam>,
    /// Fired before this.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<TimeParam>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Alerts at most, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Lists alerts, newest first: those that are not over, unless told.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(AlertQuery), responses((status = 200, body = AlertList), (status = 422, body = Problem)))]
async fn list(viewer: Viewer, State(state): State<WebState>, Query(query): Query<AlertQuery>) -> Result<Json<AlertList>, Error> {
    if query.state.contains(&AlertState::Inactive) {
        return Err(Error::field("state", "state is pending, firing, recovering or resolved"));
    }
    let rule = query.rule.as_deref().map(|id| id.parse().map_err(|_| Error::field("rule", "rule is the id of a rule"))).transpose()?;
    let filter = AlertFilter {
        states: if query.state.is_empty() { ACTIVE.to_vec() } else { query.state },
        rule,
        severity: query.severity,
        fingerprint: query.fingerprint,
        bus: query.bus,
        topic: query.topic,
        consumer_group: query.consumer_group,
        from: query.from.map(|time| time.0),
        to: query.to.map(|time| time.0),
    };
    let page = state.store().list_alerts(&filter, &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let base = state.base_url();
    let beside = Beside::load(state.store(), &page.items).await?;
    let items = page.items.into_iter().map(|alert| AlertShape::new(alert, &beside, &base, viewer.now)).collect();
    let watching = state.store().alert_watching().await?;
    Ok(Json(AlertList {
        items,
        next_cursor: page.next_cursor.map(|cursor| cursor.to_string()),
        looked_at: watching.looked_at,
        unread_figures: watching.unread.iter().map(|figure| figure.as_str()).collect(),
    }))
}

/// A range of time.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RangeQuery {
    /// Beginning, inclusive; 30 days before `to` unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<TimeParam>,
    /// End, exclusive; now unless told.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<TimeParam>,
}

/// How often each rule fired in a range of time, and how long it took until somebody took note and until it was over.
#[utoipa::path(get, path = "/alerts/figures", tag = "alerts", params(RangeQuery), responses((status = 200, body = FiguresList), (status = 422, body = Problem)))]
async fn figures(viewer: Viewer, State(state): State<WebState>, Query(query): Query<RangeQuery>) -> Result<Json<FiguresList>, Error> {
    let to = query.to.map_or(viewer.now, |to| to.0);
    let from = query.from.map_or_else(|| to.minus(Duration::from_hours(30 * 24)), |from| from.0);
    if from >= to {
        return Err(Error::field("from", "from lies before to"));
    }
    let items = state.store().alert_figures(from, to).await?.into_iter().map(FiguresShape::new).collect();
    Ok(Json(FiguresList { items, next_cursor: None }))
}

/// One alert, with what changed just before it.
#[utoipa::path(get, path = "/alerts/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the alert.")),
    responses((status = 200, body = AlertDetail), (status = 404, body = Problem)))]
async fn detail(viewer: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<AlertDetail>, Error> {
    let alert = state.alerts().find_alert(parse_id(&id)?).await?;
    let (base, before) = (state.base_url(), before(&state, &alert, viewer.now).await?);
    let mutes = mutes(state.store(), &alert).await?;
    Ok(Json(AlertDetail { alert: AlertShape::of_one(state.store(), alert, &base, viewer.now).await?, mutes, before }))
}

/// Alerts that it explains.
async fn mutes(store: &Store, alert: &Alert) -> Result<Vec<String>, Error> {
    if !explains(alert.details.figure) {
        return Ok(Vec::new());
    }
    let living = store.list_living_alerts().await?;
    Ok(living.iter().filter(|other| other.inhibited_by == Some(alert.number)).map(|other| other.number.to_string()).collect())
}

/// What may have caused it.
async fn before(state: &WebState, alert: &Alert, now: Timestamp) -> Result<Vec<HappeningShape>, Error> {
    let store = state.store();
    let rule = match store.find_alert_rule(alert.rule).await {
        Err(StoreError::Broken(_)) => None,
        rule => rule?,
    };
    let scope = Scope::of(store, alert, rule.as_ref()).await?;
    let Some(bus) = scope.one() else { return Ok(Vec::new()) };
    let base = state.base_url();
    let found = causes::load(store, alert, bus, now).await?;
    Ok(found.iter().map(|listed| HappeningShape::new(listed, bus, &base)).collect())
}

/// Somebody takes note.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AcknowledgeBody {
    /// What others should know.
    #[serde(default)]
    note: String,
    /// Until when it counts; until the alert is over unless told. After that receivers are told again.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeParam>,
}

/// Takes note of an alert: nobody is told of it again, as long as that counts.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", tag = "alerts", params(("id" = String, Path, description = "Id of the alert.")), request_body = AcknowledgeBody,
    responses((status = 200, body = AlertShape), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn acknowledge(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    body: Option<Body<AcknowledgeBody>>,
) -> Result<Json<AlertShape>, Error> {
    let body = body.map(|Body(body)| body).unwrap_or_default();
    let expires_at = body.expires_at.map(|time| time.0);
    let alert = state.alerts().acknowledge(parse_id(&id)?, &body.note, expires_at, &caller.actor, caller.now).await?;
    Ok(Json(AlertShape::of_one(state.store(), alert, &state.base_url(), caller.now).await?))
}

/// Takes an acknowledgement back: receivers are told again.
#[utoipa::path(delete, path = "/alerts/{id}/acknowledge", tag = "alerts", params(("id" = String, Path, description = "Id of the alert.")),
    responses((status = 200, body = AlertShape), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn take_back(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<AlertShape>, Error> {
    let alert = state.alerts().take_back(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(Json(AlertShape::of_one(state.store(), alert, &state.base_url(), caller.now).await?))
}
