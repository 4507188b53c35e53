//! What is answered before the store is open: alive, not ready, and why.

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::error::sentence_case;
use super::render::{html_response, part};
use super::{assets, filters, security};
use crate::lifecycle::Readiness;
use crate::model::Timestamp;

/// Readiness code of a store that is merely being opened; with any other one, something is wrong.
const OPENING: &str = "store_starting";

#[derive(Template)]
#[template(path = "starting/starting.html")]
struct StartingPage {
    /// Whether nothing is wrong yet.
    opening: bool,
    reasons: Vec<String>,
}

/// Answers until `until` is cancelled.
pub async fn serve_starting(listener: TcpListener, readiness: Readiness, until: CancellationToken) -> anyhow::Result<()> {
    let (ready, page) = (readiness.clone(), readiness);
    let router = Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(move || async move { not_ready(&ready) }))
        .route("/static/{*path}", get(assets::serve))
        .fallback(move |headers: HeaderMap| async move { explanation(&page, &headers) });
    Ok(axum::serve(listener, router).with_graceful_shutdown(async move { until.cancelled().await }).await?)
}

fn not_ready(readiness: &Readiness) -> Response {
    let reasons: Vec<_> = readiness.reasons().into_iter().map(|(code, text)| json!({ "code": code, "text": text })).collect();
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reasons": reasons }))).into_response()
}

/// For people a page that asks again by itself, for programs a line.
fn explanation(readiness: &Readiness, headers: &HeaderMap) -> Response {
    let reasons = readiness.reasons();
    let texts: Vec<String> = reasons.iter().map(|(_, text)| sentence_case(text)).collect();
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let opening = reasons.iter().all(|(code, _)| *code == OPENING);
    let page = StartingPage { opening, reasons: texts.clone() };
    let mut answer = match part(&page, Timestamp::now()) {
        Ok(html) if accepts.contains("text/html") => html_response(StatusCode::SERVICE_UNAVAILABLE, html),
        _ => {
            let text = format!("Redrive is starting and will answer as soon as it can: {}\n", texts.join(" "));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    };
    for (name, value) in [(header::RETRY_AFTER, "2"), (header::CACHE_CONTROL, "no-store"), (header::CONNECTION, "close")] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    security::protect(answer.headers_mut());
    answer
}
