//! Receivers of notifications. Secrets are taken and never given back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Admin, Json as Body, Path, Viewer};
use super::deliveries::{DeliveryDetail, detail_of};
use crate::access::VaultError;
use crate::alerts::delivery::DeliveryError;
use crate::alerts::receivers::{ReceiverError, ReceiverTerms, Removable};
use crate::model::Timestamp;
use crate::model::receiver::{CustomHeader, Endpoint, Receiver, ReceiverId, ReceiverKind, Secret, Smtp, SmtpTls};
use crate::store::deliveries::Arrived;

/// What arrived is counted so far back.
const WEEK: std::time::Duration = std::time::Duration::from_hours(7 * 24);

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(detail, replace, remove))
        .routes(routes!(test))
        .routes(routes!(tell_untold))
}

/// A receiver.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReceiverBody {
    /// What it is called.
    name: String,
    /// `webhook`, `slack`, `teams`, `discord`, `pagerduty`, `alertmanager` or `email`.
    #[schema(value_type = String)]
    kind: ReceiverKind,
    /// Where it is posted to; PagerDuty has its own unless told. An Alertmanager's API ends in `/api/v2/alerts`; any other address of
    /// that kind is posted the body of Alertmanager's webhooks.
    #[schema(value_type = Option<String>)]
    url: Option<Secret>,
    /// `whsec_` and 24 to 64 bytes in base64, for a webhook. Without one posts are unsigned. A new one leaves the old one as
    /// `previous_secret`, and posts carry both signatures until that is removed.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// The secret before.
    #[schema(value_type = Option<String>)]
    previous_secret: Option<Secret>,
    /// PagerDuty's integration key.
    #[schema(value_type = Option<String>)]
    routing_key: Option<Secret>,
    smtp: Option<SmtpBody>,
    /// Headers beside ours.
    #[serde(default)]
    headers: Vec<HeaderBody>,
    /// When a receiver is replaced, secrets that are left out stay; these do not: `secret`, `previous_secret`, `headers`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    remove: Vec<Removable>,
}

/// A mail server.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SmtpBody {
    host: String,
    port: u16,
    /// `starttls`, `tls` or `none`.
    #[schema(value_type = String)]
    tls: SmtpTls,
    username: Option<String>,
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    from: String,
    to: Vec<String>,
}

/// A header.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HeaderBody {
    name: String,
    #[schema(value_type = String)]
    value: Secret,
}

impl ReceiverBody {
    fn parse(self) -> Result<ReceiverTerms, Error> {
        let smtp = self.smtp.map(|smtp| Smtp {
            host: smtp.host,
            port: smtp.port,
            tls: smtp.tls,
            username: smtp.username,
            password: smtp.password,
            from: smtp.from,
            to: smtp.to,
        });
        let endpoint = Endpoint {
            url: self.url,
            secret: self.secret,
            previous_secret: self.previous_secret,
            routing_key: self.routing_key,
            smtp,
            headers: self.headers.into_iter().map(|header| CustomHeader { name: header.name, value: header.value }).collect(),
        };
        Ok(ReceiverTerms { name: parse_name(&self.name)?, kind: self.kind, endpoint, remove: self.remove })
    }
}

/// A name that was checked.
pub(in crate::web) fn parse_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::field("name", "name has 1 to 100 characters"));
    }
    Ok(name.to_owned())
}

/// A receiver as it may be seen.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReceiverShape {
    id: String,
    name: String,
    #[schema(value_type = String)]
    kind: ReceiverKind,
    /// Host of its URL or mail server; the rest of a URL is a secret.
    host: String,
    /// Whether it has failed for a day, or said that it is gone. It is never switched off.
    flagged: bool,
    /// Since when every attempt failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// When it answered 410.
    #[schema(value_type = Option<String>, format = DateTime)]
    gone_at: Option<Timestamp>,
    /// The last success.
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
    /// Deliveries to it that were made in the last seven days.
    deliveries_last_week: u64,
    /// Those of them that arrived.
    delivered_last_week: u64,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

/// Receivers of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReceiverList {
    items: Vec<ReceiverShape>,
    next_cursor: Option<String>,
}

impl ReceiverShape {
    fn new(receiver: Receiver, arrived: &[Arrived], now: Timestamp) -> Self {
        let arrived = arrived.iter().find(|arrived| arrived.receiver == receiver.id);
        Self {
            deliveries_last_week: arrived.map_or(0, |arrived| arrived.made),
            delivered_last_week: arrived.map_or(0, |arrived| arrived.delivered),
            flagged: receiver.is_flagged(now),
            id: receiver.id.to_string(),
            name: receiver.name,
            kind: receiver.kind,
            host: receiver.host,
            failing_since: receiver.failing_since,
            gone_at: receiver.gone_at,
            delivered_at: receiver.delivered_at,
            created_by: receiver.created_by,
            created_at: receiver.created_at,
            changed_at: receiver.changed_at,
        }
    }
}

impl From<ReceiverError> for Error {
    fn from(error: ReceiverError) -> Self {
        match error {
            ReceiverError::Invalid(problem) => Self::field(problem.field, problem.text),
            ReceiverError::NotFound => Self::NotFound("receiver"),
            ReceiverError::Vault(error @ VaultError::Damaged) => Self::Conflict { code: "secrets_unreadable", text: error.to_string() },
            ReceiverError::Vault(error) => Self::Internal(error.to_string()),
            ReceiverError::Store(error) => Self::Store(error),
        }
    }
}

impl From<DeliveryError> for Error {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::NotFound => Self::NotFound("delivery"),
            DeliveryError::Busy => Self::Conflict { code: "wrong_state", text: error.to_string() },
            DeliveryError::Receiver(error) => error.into(),
        }
    }
}

/// A receiver's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<ReceiverId, Error> {
    text.parse().map_err(|_| Error::NotFound("receiver"))
}

/// Lists receivers by name.
#[utoipa::path(get, path = "/receivers", tag = "alerts", responses((status = 200, body = ReceiverList)))]
async fn list(viewer: Viewer, State(state): State<WebState>) -> Result<Json<ReceiverList>, Error> {
    let receivers = state.store().list_receivers().await?;
    let arrived = state.store().count_arrived(viewer.now.minus(WEEK)).await?;
    let items = receivers.into_iter().map(|receiver| ReceiverShape::new(receiver, &arrived, viewer.now)).collect();
    Ok(Json(ReceiverList { items, next_cursor: None }))
}

/// Adds a receiver.
#[utoipa::path(post, path = "/receivers", tag = "alerts", request_body = ReceiverBody,
    responses((status = 201, body = ReceiverShape), (status = 422, body = Problem)))]
async fn add(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Body(body): Body<ReceiverBody>,
) -> Result<(StatusCode, Json<ReceiverShape>), Error> {
    let receiver = state.deliveries().receivers().add(body.parse()?, &caller.actor, caller.now).await?;
    Ok((StatusCode::CREATED, Json(ReceiverShape::new(receiver, &[], caller.now))))
}

/// One receiver.
#[utoipa::path(get, path = "/receivers/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the receiver.")),
    responses((status = 200, body = ReceiverShape), (status = 404, body = Problem)))]
async fn detail(viewer: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ReceiverShape>, Error> {
    let receiver = state.deliveries().receivers().find(parse_id(&id)?).await?;
    let arrived = state.store().count_arrived(viewer.now.minus(WEEK)).await?;
    Ok(Json(ReceiverShape::new(receiver, &arrived, viewer.now)))
}

/// Replaces a receiver; secrets that are left out stay, as long as its kind and its host do.
#[utoipa::path(put, path = "/receivers/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the receiver.")),
    request_body = ReceiverBody, responses((status = 200, body = ReceiverShape), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn replace(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Body(body): Body<ReceiverBody>,
) -> Result<Json<ReceiverShape>, Error> {
    let receiver = state.deliveries().receivers().change(parse_id(&id)?, body.parse()?, &caller.actor, caller.now).await?;
    let arrived = state.store().count_arrived(caller.now.minus(WEEK)).await?;
    Ok(Json(ReceiverShape::new(receiver, &arrived, caller.now)))
}

/// Removes a receiver; what has not reached it is given up.
#[utoipa::path(delete, path = "/receivers/{id}", tag = "alerts", params(("id" = String, Path, description = "Id of the receiver.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    state.deliveries().receivers().remove(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test on the way of real notifications, once, and answers what came of it.
#[utoipa::path(post, path = "/receivers/{id}/test", tag = "alerts", params(("id" = String, Path, description = "Id of the receiver.")),
    responses((status = 200, body = DeliveryDetail), (status = 404, body = Problem)))]
async fn test(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<DeliveryDetail>, Error> {
    let delivery = state.deliveries().test(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(Json(detail_of(&state, delivery).await?))
}

/// How many rules changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ToldRules {
    /// Rules that tell the receiver from now on.
    rules: u64,
}

/// Lets every rule that tells nobody tell this receiver.
#[utoipa::path(post, path = "/receivers/{id}/rules", tag = "alerts", params(("id" = String, Path, description = "Id of the receiver.")),
    responses((status = 200, body = ToldRules), (status = 404, body = Problem)))]
async fn tell_untold(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<ToldRules>, Error> {
    let receiver = state.deliveries().receivers().find(parse_id(&id)?).await?;
    let rules = state.alerts().tell_untold(receiver.id, &caller.actor, caller.now).await?;
    Ok(Json(ToldRules { rules }))
}
