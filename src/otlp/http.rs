//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, plain or gzip. Errors are a `google.rpc.Status` in the request's encoding.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::StreamExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use tonic::Code;

use super::Encoding;
use super::receiver::{Receiver, Taken};
use super::refusal::Refusal;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(super) fn router(receiver: Arc<Receiver>) -> Router {
    Router::new().route("/v1/traces", post(traces).fallback(wrong_method)).fallback(unknown_path).with_state(receiver)
}

async fn traces(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let encoding = encoding(&parts.headers);
    let mut body = body.into_data_stream();
    let ended = take(&receiver, &parts.headers, encoding, &mut body).await;
    receiver.count("http", &ended);
    // A sender that is still writing would see a broken connection instead of the answer.
    if ended.is_err() {
        drain(&mut body, receiver.max_bytes).await;
    }
    match ended {
        Ok(taken) => success(&taken, encoding.unwrap_or(Encoding::Protobuf)),
        Err(refusal) => refused(&refusal, encoding.unwrap_or(Encoding::Json)),
    }
}

type Parts = axum::body::BodyDataStream;

async fn take(receiver: &Receiver, headers: &HeaderMap, encoding: Option<Encoding>, body: &mut Parts) -> Result<Taken, Refusal> {
    receiver.admit(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes))?;
    let encoding = encoding.ok_or(Refusal::ContentType)?;
    let gzip = is_gzip(headers)?;
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > receiver.max_bytes) {
        return Err(Refusal::too_large(receiver.max_bytes));
    }
    let body = receiver.collect(body, 0).await?;
    receiver.work(body, gzip, encoding).await
}

/// Reads on for a moment and forgets, at most as much as a request may have.
async fn drain(body: &mut Parts, max_bytes: u64) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(part)) = body.next().await {
            read += part.len() as u64;
            if read > max_bytes {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), reading).await;
}

/// By the content type, whose parameters say nothing here.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(PROTOBUF) {
        Some(Encoding::Protobuf)
    } else if kind.eq_ignore_ascii_case(JSON) {
        Some(Encoding::Json)
    } else {
        None
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(false) };
    match value.as_bytes().trim_ascii() {
        b"" => Ok(false),
        value if value.eq_ignore_ascii_case(b"identity") => Ok(false),
        value if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") => Ok(true),
        _ => Err(Refusal::Compression),
    }
}

fn success(taken: &Taken, encoding: Encoding) -> Response {
    match encoding {
        Encoding::Protobuf => answer(StatusCode::OK, PROTOBUF, message(taken).encode_to_vec()),
        Encoding::Json => {
            let body = match &taken.message {
                None if taken.rejected == 0 => serde_json::json!({}),
                // 64-bit numbers are text in proto3 JSON.
                message => serde_json::json!({"partialSuccess": {
                    "rejectedSpans": taken.rejected.to_string(),
                    "errorMessage": message.as_deref().unwrap_or_default(),
                }}),
            };
            answer(StatusCode::OK, JSON, body.to_string())
        }
    }
}

/// `partial_success` is left out when there is nothing to say.
pub(super) fn message(taken: &Taken) -> ExportTraceServiceResponse {
    if taken.rejected == 0 && taken.message.is_none() {
        return ExportTraceServiceResponse { partial_success: None };
    }
    let rejected_spans = i64::try_from(taken.rejected).unwrap_or(i64::MAX);
    let error_message = taken.message.clone().unwrap_or_default();
    ExportTraceServiceResponse { partial_success: Some(ExportTracePartialSuccess { rejected_spans, error_message }) }
}

fn refused(refusal: &Refusal, encoding: Encoding) -> Response {
    let status = match refusal {
        Refusal::Token => StatusCode::UNAUTHORIZED,
        Refusal::ContentType | Refusal::Compression => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::Later(..) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = problem(status, refusal, encoding);
    if let Some(wait) = refusal.retry_after() {
        // Whole seconds, never zero.
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn problem(status: StatusCode, refusal: &Refusal, encoding: Encoding) -> Response {
    match encoding {
        Encoding::Protobuf => answer(status, PROTOBUF, refusal.status_bytes()),
        Encoding::Json => {
            let details = match refusal {
                Refusal::Later(wait, _) => serde_json::json!([{
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}.{:03}s", wait.as_secs(), wait.subsec_millis()),
                }]),
                Refusal::Malformed(text) => serde_json::json!([{
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "body", "description": text}],
                }]),
                _ => serde_json::json!([]),
            };
            answer(
                status,
                JSON,
                serde_json::json!({"code": refusal.code() as i32, "message": refusal.message(), "details": details}).to_string(),
            )
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body.into()).into_response()
}

async fn wrong_method() -> Response {
    let mut response = plain_problem(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "spans are sent by POST");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn unknown_path() -> Response {
    plain_problem(StatusCode::NOT_FOUND, Code::NotFound, "spans are sent to /v1/traces")
}

/// For a request whose encoding is not known.
fn plain_problem(status: StatusCode, code: Code, message: &str) -> Response {
    answer(status, JSON, serde_json::json!({"code": code as i32, "message": message, "details": []}).to_string())
}
