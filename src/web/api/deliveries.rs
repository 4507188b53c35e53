//! Deliveries: what was posted to whom, with which answer.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, LimitParam, Operator, Path, Query, Viewer};
use crate::model::Timestamp;
use crate::model::delivery::{Attempt, Delivery, DeliveryFilter, DeliveryState};
use crate::model::notification::Notification;
use crate::model::receiver::{ReceiverId, ReceiverKind};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(detail)).routes(routes!(redeliver))
}

/// Restricts the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct DeliveryQuery {
    /// Id of a receiver.
    receiver: Option<String>,
    /// `waiting`, `sending`, `delivered`, `failed` (it is tried again), `given_up` or `superseded` (later messages arrived in its place).
    state: Option<String>,
    /// Id of an alert: deliveries that told of it.
    alert: Option<String>,
    /// Id of a rule: deliveries that told of its alerts.
    rule: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Deliveries at most, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Receiver and state as a query names them; nothing and empty is any.
pub(in crate::web) fn parse_filter(receiver: Option<&str>, state: Option<&str>) -> Result<DeliveryFilter, Error> {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let receiver = given(receiver)
        .map(|text| text.parse::<ReceiverId>().map_err(|_| Error::field("receiver", "receiver is the id of a receiver")))
        .transpose()?;
    let state =
        given(state).map(|text| text.parse::<DeliveryState>().map_err(|error| Error::field("state", error.to_string()))).transpose()?;
    Ok(DeliveryFilter { receiver, state, ..DeliveryFilter::default() })
}

/// The number that an id means.
fn number(field: &'static str, id: Option<&str>) -> Result<Option<i64>, Error> {
    let wrong = || Error::field(field, format!("{field} is the id of {}", if field == "alert" { "an alert" } else { "a rule" }));
    id.filter(|id| !id.is_empty()).map(|id| id.parse().map_err(|_| wrong())).transpose()
}

/// A delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeliveryShape {
    /// The receiver's `webhook-id`, the same for every attempt.
    id: String,
    receiver_id: String,
    receiver: String,
    #[schema(value_type = String)]
    kind: ReceiverKind,
    /// `waiting`, `sending`, `delivered`, `failed`, `given_up` or `superseded` (later messages arrived in its place).
    #[schema(value_type = String)]
    state: DeliveryState,
    /// `first`, `new_alerts`, `some_resolved`, `all_resolved`, `repeat`, `acknowledged` or `test`.
    reason: &'static str,
    /// The first alert in words.
    title: String,
    /// How many alerts it is about.
    alerts: usize,
    attempts: u32,
    /// Whether an attempt may have arrived without an answer.
    uncertain: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
    /// When it is given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    give_up_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    last_status: Option<u16>,
    last_error: Option<String>,
}

/// Deliveries of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeliveryList {
    items: Vec<DeliveryShape>,
    next_cursor: Option<String>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryShape,
    /// What was told.
    #[schema(value_type = Object)]
    notification: Notification,
    /// Oldest first.
    log: Vec<AttemptShape>,
}

/// One attempt.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AttemptShape {
    attempt: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    duration_ms: u64,
    status: Option<u16>,
    /// The beginning of the answer, 4 KB at most.
    body: Option<String>,
    error: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
}

impl From<&Delivery> for DeliveryShape {
    fn from(delivery: &Delivery) -> Self {
        let open = delivery.ended_at.is_none();
        Self {
            id: delivery.id.clone(),
            receiver_id: delivery.receiver.to_string(),
            receiver: delivery.receiver_name.clone(),
            kind: delivery.kind,
            state: delivery.state,
            reason: delivery.notification.reason.as_str(),
            title: delivery.title.clone(),
            alerts: delivery.notification.alerts.len(),
            attempts: delivery.attempts,
            uncertain: delivery.uncertain,
            created_at: delivery.created_at,
            next_at: open.then_some(delivery.next_at),
            give_up_at: open.then_some(delivery.give_up_at),
            ended_at: delivery.ended_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error.clone(),
        }
    }
}

impl From<Attempt> for AttemptShape {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.number,
            started_at: attempt.started_at,
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status: attempt.status,
            body: attempt.answer,
            error: attempt.error,
            next_at: attempt.next_at,
        }
    }
}

/// A delivery with its attempts.
pub(super) async fn detail_of(state: &WebState, delivery: Delivery) -> Result<DeliveryDetail, Error> {
    let log = state.store().list_attempts(delivery.number).await?.into_iter().map(AttemptShape::from).collect();
    Ok(DeliveryDetail { delivery: DeliveryShape::from(&delivery), notification: delivery.notification, log })
}

/// Lists deliveries, newest first.
#[utoipa::path(get, path = "/deliveries", tag = "alerts", params(DeliveryQuery),
    responses((status = 200, body = DeliveryList), (status = 422, body = Problem)))]
async fn list(_: Viewer, State(state): State<WebState>, Query(query): Query<DeliveryQuery>) -> Result<Json<DeliveryList>, Error> {
    let filter = DeliveryFilter {
        alert: number("alert", query.alert.as_deref())?,
        rule: number("rule", query.rule.as_deref())?,
        ..parse_filter(query.receiver.as_deref(), query.state.as_deref())?
    };
    let page = state.store().list_deliveries(&filter, &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let items = page.items.iter().map(DeliveryShape::from).collect();
    Ok(Json(DeliveryList { items, next_cursor: page.next_cursor.map(|cursor| cursor.to_string()) }))
}

/// One delivery with its attempts.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the delivery.")),
    responses((status = 200, body = DeliveryDetail), (status = 404, body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<DeliveryDetail>, Error> {
    let delivery = state.store().find_delivery(&id).await?.ok_or(Error::NotFound("delivery"))?;
    Ok(Json(detail_of(&state, delivery).await?))
}

/// Tries a delivery again from the beginning, under the same id.
#[utoipa::path(post, path = "/deliveries/{id}/redeliver", tag = "alerts", params(("id" = String, Path, description = "Id of the delivery.")),
    responses((status = 200, body = DeliveryDetail), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn redeliver(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
) -> Result<Json<DeliveryDetail>, Error> {
    let delivery = state.deliveries().redeliver(&id, &caller.actor, caller.now).await?;
    Ok(Json(detail_of(&state, delivery).await?))
}
