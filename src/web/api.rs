//! The HTTP API, version 1: one module per noun, each with its routes relative to `/api/v1`.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;

use super::WebState;
use super::extract::Viewer;

mod access;
pub(super) mod alert_rules;
pub(super) mod alerts;
mod audit;
mod buses;
mod consumer_groups;
mod dead_letters;
pub(super) mod deliveries;
pub(super) mod discards;
mod failure_groups;
pub(super) mod happenings;
pub(super) mod journeys;
mod overview;
pub(super) mod purges;
pub(super) mod receivers;
mod records;
pub(super) mod replay_policies;
pub(super) mod replays;
pub(super) mod selection;
mod series;
pub(super) mod silences;
mod topics;
pub(super) mod traces;
pub(super) mod unasked;

/// All routes of the API.
pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .merge(access::routes())
        .merge(audit::routes())
        .routes(utoipa_axum::routes!(super::sse::events))
        .merge(overview::routes())
        .merge(failure_groups::routes())
        .merge(dead_letters::routes())
        .merge(discards::routes())
        .merge(buses::routes())
        .merge(topics::routes())
        .merge(series::routes())
        .merge(records::routes())
        .merge(consumer_groups::routes())
        .merge(happenings::routes())
        .merge(replays::routes())
        .merge(replay_policies::routes())
        .merge(receivers::routes())
        .merge(deliveries::routes())
        .merge(purges::routes())
        .merge(alert_rules::routes())
        .merge(alerts::routes())
        .merge(silences::routes())
        .merge(traces::routes())
        .merge(journeys::routes())
}

/// `GET /api/v1/openapi.json`: this API, described.
pub(super) async fn description(_: Viewer) -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}
