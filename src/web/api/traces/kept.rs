//! What is kept of spans, what was dropped, and the services that sent them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::super::WebState;
use super::super::super::error::Error;
use super::super::super::extract::Viewer;
use super::SpanLossShape;
use crate::model::Timestamp;
use crate::store::spans::keep::SpanUsage;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(usage)).routes(routes!(services))
}

/// What is kept of spans, and what is missing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SpanUsageShape {
    /// Spans kept whole, whatever their trace.
    hot_spans: u64,
    /// Bytes that these take with their indexes, about.
    hot_bytes: u64,
    /// When the oldest of these was received: everything since then is there.
    #[schema(value_type = Option<String>, format = DateTime)]
    hot_since: Option<Timestamp>,
    /// Traces kept longer for a reason, those whose spans are still kept whole included.
    kept_traces: u64,
    /// Spans of traces that are kept longer, those that are still kept whole not included.
    kept_spans: u64,
    /// Bytes that these take, about.
    kept_bytes: u64,
    /// Beyond this the oldest go first: `[retention] spans_max_bytes`.
    max_bytes: u64,
    /// What is missing, or counted twice, because there was too much of it; empty when nothing is.
    losses: Vec<SpanLossShape>,
}

/// What is kept of spans, and what was dropped.
#[utoipa::path(get, path = "/traces/usage", tag = "traces", responses((status = 200, body = SpanUsageShape)))]
async fn usage(_: Viewer, State(state): State<WebState>) -> Result<Json<SpanUsageShape>, Error> {
    let SpanUsage { hot_bytes, hot_spans, hot_since, kept_bytes, kept_spans, kept_traces } = state.store().span_usage().await?;
    let losses = state.store().list_span_losses().await?.iter().map(SpanLossShape::from).collect();
    let max_bytes = state.config().retention.spans_max_bytes;
    Ok(Json(SpanUsageShape { hot_spans, hot_bytes, hot_since, kept_traces, kept_spans, kept_bytes, max_bytes, losses }))
}

/// Services that sent spans.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ServiceList {
    /// Their names, in order.
    items: Vec<String>,
    /// Always null: those that lists offer are answered at once.
    next_cursor: Option<String>,
}

/// Services whose spans came in lately or are kept, by name, 200 at most: what `service` can be.
#[utoipa::path(get, path = "/traces/services", tag = "traces", responses((status = 200, body = ServiceList)))]
async fn services(_: Viewer, State(state): State<WebState>) -> Result<Json<ServiceList>, Error> {
    Ok(Json(ServiceList { items: state.store().list_span_services().await?, next_cursor: None }))
}
