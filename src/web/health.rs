//! For machines that watch us: liveness, readiness, metrics.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::WebState;
use super::error::Error;
use super::extract::Viewer;
use crate::model::Timestamp;
use crate::store::{Store, StoreError};
use crate::telemetry::figures::{self, Part, QUANTILES, Sample};
use crate::telemetry::metrics::CONTENT_TYPE;

/// A sample older than this is none: a scrape must not go on showing what nobody has seen for minutes.
const NEWEST: std::time::Duration = std::time::Duration::from_mins(2);

/// Whether this instance can do its work.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

/// Why not.
#[derive(Debug, Serialize)]
struct Reason {
    code: &'static str,
    text: String,
}

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// `GET /health/ready`: 200, or 503 with every reason. A bus that is down is none: its own data is stale, the rest works.
pub(super) async fn ready(State(state): State<WebState>) -> Response {
    let reasons = state.lifecycle().readiness().reasons();
    let mut reasons: Vec<Reason> = reasons.into_iter().map(|(code, text)| Reason { code, text }).collect();
    if state.lifecycle().soft().is_cancelled() {
        reasons.push(Reason { code: "shutdown", text: "This instance is ending.".to_owned() });
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// `GET /metrics`: Prometheus text, for viewers unless the configuration says for everybody; with `bus_figures` the newest sample of
/// every series of the buses too, quantiles of durations, and what tables know of the last minutes, read from the store.
pub(super) async fn metrics(State(state): State<WebState>, mut parts: Parts) -> Result<Response, Error> {
    if !state.config().http.metrics_public {
        Viewer::from_request_parts(&mut parts, &state).await?;
    }
    let mut text = state.metrics().encode();
    if state.config().http.bus_figures {
        text.push_str(&figures::encode(bus_figures(state.store(), Timestamp::now()).await?));
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

async fn bus_figures(store: &Store, now: Timestamp) -> Result<Vec<Sample>, StoreError> {
    let mut newest = store.newest_samples(now.minus(NEWEST)).await?;
    newest.retain(|(key, _)| !key.figure.is_few());
    newest.extend(store.recent_samples(now).await?);
    let mut samples: Vec<Sample> = newest.into_iter().map(|(key, value)| Sample { key, part: Part::Value, value }).collect();
    for (key, histogram) in store.recent_durations(now).await? {
        let sample = |part, value| Sample { key: key.clone(), part, value };
        let quantile = |(word, share): (&'static str, f64)| Some(sample(Part::Quantile(word), histogram.quantile(share)?));
        samples.extend(QUANTILES.into_iter().filter_map(quantile));
        #[expect(clippy::cast_precision_loss, reason = "messages of some minutes")]
        samples.push(sample(Part::Measured, histogram.count() as f64));
    }
    Ok(samples)
}
