//! What is answered before the store is open: alive, not ready, and why.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::Readiness;

/// Answers until `until` is cancelled.
pub async fn serve_starting(listener: TcpListener, readiness: Readiness, until: CancellationToken) -> anyhow::Result<()> {
    let (ready, page) = (readiness.clone(), readiness);
    let router = Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(move || async move { not_ready(&ready) }))
        .fallback(move || async move { explanation(&page) });
    Ok(axum::serve(listener, router).with_graceful_shutdown(async move { until.cancelled().await }).await?)
}

fn not_ready(readiness: &Readiness) -> Response {
    let reasons: Vec<_> = readiness.reasons().into_iter().map(|(code, text)| json!({ "code": code, "text": text })).collect();
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reasons": reasons }))).into_response()
}

fn explanation(readiness: &Readiness) -> Response {
    let reasons: Vec<String> = readiness.reasons().into_iter().map(|(_, text)| text).collect();
    let text = format!("Redrive is starting and will answer as soon as it can: {}\n", reasons.join("; "));
    let headers = [(header::RETRY_AFTER, "2"), (header::CACHE_CONTROL, "no-store"), (header::CONNECTION, "close")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
}
