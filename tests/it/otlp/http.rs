//! OTLP over HTTP.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use redrive::model::span::{Operation, SpanKind};
use redrive::otlp::{Kept, Refused};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic_types::pb;

use super::receivers::{Receivers, config, gzip, request, span};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn post(receivers: &Receivers, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    Client::new().post(receivers.url()).header("content-type", content_type).body(body)
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("is answered")
}

fn spans(count: usize) -> Vec<u8> {
    request((0..count).map(|_| span("send orders")).collect()).encode_to_vec()
}

const ONE: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
    "spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;

/// Status, content type, and the body as a `google.rpc.Status` of its encoding: code, message.
async fn problem(response: Response) -> (StatusCode, i64, String) {
    let (status, kind) = (response.status(), response.headers()["content-type"].to_str().unwrap().to_owned());
    let body = response.bytes().await.unwrap();
    if kind == PROTOBUF {
        let status_body = pb::Status::decode(body).expect("is a google.rpc.Status");
        return (status, i64::from(status_body.code), status_body.message);
    }
    assert_eq!(kind, JSON);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["details"].is_array());
    (status, body["code"].as_i64().unwrap(), body["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn spans_in_protobuf_are_kept_and_nothing_is_said() {
    let receivers = Receivers::start().await;
    let response = send(post(&receivers, PROTOBUF, spans(2))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(&response.headers()["content-type"], PROTOBUF);
    assert_eq!(ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap().partial_success, None);
    let kept = receivers.intake.spans();
    assert_eq!((kept.len(), kept[0].service.as_ref(), kept[0].kind), (2, "shop", SpanKind::Producer));
    let messaging = kept[0].messaging.as_ref().expect("is about a message");
    assert_eq!((messaging.operation, messaging.destination.as_deref()), (Operation::Send, Some("orders")));
    assert_eq!(receivers.metrics.otlp_spans_total.with_label_values(&["kept"]).get(), 2);
    assert_eq!(receivers.metrics.otlp_requests_total.with_label_values(&["http", "taken"]).get(), 1);
    receivers.end().await;
}

#[tokio::test]
async fn the_example_of_the_specification_is_kept() {
    let receivers = Receivers::start().await;
    let example = include_str!("../fixtures/otlp/trace.json");
    let response = send(post(&receivers, "Application/JSON; charset=utf-8", example)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(&response.headers()["content-type"], JSON);
    assert_eq!(response.text().await.unwrap(), "{}");
    let kept = receivers.intake.spans();
    assert_eq!(
        (kept[0].service.as_ref(), kept[0].scope.as_ref(), kept[0].name.as_str()),
        ("my.service", "my.library", "I'm a server span")
    );
    assert_eq!(kept[0].trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
}

#[tokio::test]
async fn packed_by_gzip_is_the_same() {
    let receivers = Receivers::start().await;
    for (content_type, body) in [(PROTOBUF, spans(3)), (JSON, ONE.as_bytes().to_vec())] {
        let response = send(post(&receivers, content_type, gzip(&body)).header("content-encoding", "gzip")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(receivers.intake.spans().len(), 4);
    // Two members after each other are one stream.
    let body = spans(3);
    let body = [gzip(&body[..20]), gzip(&body[20..])].concat();
    assert_eq!(send(post(&receivers, PROTOBUF, body).header("content-encoding", "gzip")).await.status(), StatusCode::OK);
    assert_eq!(receivers.intake.spans().len(), 7);
}

#[tokio::test]
async fn a_request_without_spans_succeeds_and_keeps_nothing() {
    let receivers = Receivers::start().await;
    for (content_type, body) in [(PROTOBUF, ""), (JSON, "{}"), (JSON, r#"{"resourceSpans":[]}"#)] {
        assert_eq!(send(post(&receivers, content_type, body)).await.status(), StatusCode::OK);
    }
    assert_eq!(receivers.intake.called.available_permits(), 0);
}

#[tokio::test]
async fn bad_spans_are_named_in_a_partial_success() {
    let receivers = Receivers::start().await;
    let mut bad = span("bad");
    bad.trace_id = vec![0; 16];
    let body = request(vec![span("good"), bad]).encode_to_vec();
    let response = send(post(&receivers, PROTOBUF, body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap().partial_success.expect("is said");
    assert_eq!(partial.rejected_spans, 1);
    assert_eq!(partial.error_message, "1 of 2 spans were not taken: 1: trace id is not 16 bytes, or all zero");
    let json = ONE.replace("5b8efff798038103d269b633813fc60c", "5b8e");
    let answer: serde_json::Value = send(post(&receivers, JSON, json)).await.json().await.unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(receivers.intake.spans().len(), 1);
    receivers.intake.answer(Ok(Kept { warning: Some("no consumer group".to_owned()) }));
    let answer: serde_json::Value = send(post(&receivers, JSON, ONE)).await.json().await.unwrap();
    assert_eq!(answer, serde_json::json!({"partialSuccess": {"rejectedSpans": "0", "errorMessage": "no consumer group"}}));
}

#[tokio::test]
async fn what_is_not_otlp_is_a_bad_request_in_its_own_encoding() {
    let receivers = Receivers::start().await;
    let mut cut = spans(5);
    cut.truncate(cut.len() - 7);
    for (content_type, body, packed) in [
        (PROTOBUF, b"hello".to_vec(), false),
        (PROTOBUF, cut, false),
        (JSON, b"{\"resourceSpans\":[".to_vec(), false),
        (JSON, spans(1), false),
        (JSON, b"not gzip".to_vec(), true),
        (PROTOBUF, gzip(&spans(5))[..20].to_vec(), true),
    ] {
        let mut request = post(&receivers, content_type, body);
        if packed {
            request = request.header("content-encoding", "gzip");
        }
        let response = send(request).await;
        assert_eq!(&response.headers()["content-type"], content_type);
        let (status, code, message) = problem(response).await;
        assert_eq!((status, code), (StatusCode::BAD_REQUEST, 3), "{message}");
    }
    let response = send(post(&receivers, PROTOBUF, "hello")).await;
    let status = pb::Status::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");
    assert!(receivers.intake.spans().is_empty());
}

#[tokio::test]
async fn other_methods_paths_types_and_compressions_are_named() {
    let receivers = Receivers::start().await;
    let response = send(Client::new().get(receivers.url())).await;
    assert_eq!(&response.headers()["allow"], "POST");
    assert_eq!(problem(response).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = send(Client::new().post(format!("http://{}/v1/metrics", receivers.http)).body("{}")).await;
    assert_eq!(problem(elsewhere).await.0, StatusCode::NOT_FOUND);
    for content_type in ["text/plain", "application/protobuf+json", ""] {
        let (status, code, message) = problem(send(post(&receivers, content_type, ONE)).await).await;
        assert_eq!((status, code), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3), "{message}");
    }
    let packed = post(&receivers, JSON, ONE).header("content-encoding", "br");
    assert_eq!(problem(send(packed).await).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let plain = post(&receivers, JSON, ONE).header("content-encoding", "identity");
    assert_eq!(send(plain).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let receivers = Receivers::with(Some("s3cret"), 1 << 20).await;
    for authorization in [None, Some("Bearer other"), Some("s3cret"), Some("Basic s3cret"), Some("Bearer"), Some("Bearer s3cret2")] {
        let mut request = post(&receivers, JSON, ONE);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = send(request).await;
        assert_eq!(&response.headers()["www-authenticate"], "Bearer");
        let (status, code, message) = problem(response).await;
        assert_eq!((status, code), (StatusCode::UNAUTHORIZED, 16), "{authorization:?}");
        assert!(!message.contains("s3cret"));
    }
    for authorization in ["Bearer s3cret", "bearer  s3cret "] {
        let response = send(post(&receivers, JSON, ONE).header("authorization", authorization)).await;
        assert_eq!(response.status(), StatusCode::OK, "{authorization}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_sent_and_unpacked() {
    let receivers = Receivers::with(None, 100_000).await;
    let large = spans(2_000);
    assert!(large.len() > 150_000);
    let bomb = gzip(&vec![0; 50 << 20]);
    assert!(bomb.len() < 1 << 20);
    for request in [
        post(&receivers, PROTOBUF, large.clone()),
        post(&receivers, PROTOBUF, gzip(&large)).header("content-encoding", "gzip"),
        post(&receivers, PROTOBUF, bomb[..90_000.min(bomb.len())].to_vec()).header("content-encoding", "gzip"),
    ] {
        let response = send(request).await;
        assert!(response.headers().get("retry-after").is_none(), "the same request will never do");
        let (status, code, message) = problem(response).await;
        assert_eq!((status, code), (StatusCode::PAYLOAD_TOO_LARGE, 8), "{message}");
    }
    assert_eq!(send(post(&receivers, PROTOBUF, spans(700))).await.status(), StatusCode::OK);
    assert!(in_parts(&receivers, &large).await.starts_with("HTTP/1.1 413 "));
    assert!(in_parts(&receivers, &spans(700)).await.starts_with("HTTP/1.1 200 "));
}

/// Sends a body without telling its length, and answers everything that comes back.
async fn in_parts(receivers: &Receivers, body: &[u8]) -> String {
    let mut connection = tokio::net::TcpStream::connect(receivers.http).await.expect("is listening");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("is read");
    for part in body.chunks(10_000) {
        let part = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        connection.write_all(&part).await.expect("is read");
    }
    connection.write_all(b"0\r\n\r\n").await.expect("is read");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("is answered");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_full_intake_says_when_to_come_again() {
    let receivers = Receivers::start().await;
    for (answer, wait) in [
        (Refused::Full { retry_after: Duration::from_secs(7) }, "7"),
        (Refused::Full { retry_after: Duration::from_millis(10) }, "1"),
        (Refused::Unavailable("the store is full".to_owned()), "5"),
    ] {
        receivers.intake.answer(Err(answer));
        for (content_type, body) in [(PROTOBUF, spans(1)), (JSON, ONE.as_bytes().to_vec())] {
            let response = send(post(&receivers, content_type, body)).await;
            assert_eq!(&response.headers()["retry-after"], wait);
            let (status, code, _) = problem(response).await;
            assert_eq!((status, code), (StatusCode::SERVICE_UNAVAILABLE, 14));
        }
    }
    receivers.intake.answer(Ok(Kept::default()));
    assert_eq!(send(post(&receivers, JSON, ONE)).await.status(), StatusCode::OK);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a client of its own")]
async fn spans_are_acknowledged_only_once_they_are_kept_and_what_waits_is_bounded() {
    let receivers = Receivers::with(None, 100_000).await;
    let _closed = receivers.intake.gate.acquire_many(1_000).await.unwrap();
    let waiting = tokio::spawn(send(post(&receivers, PROTOBUF, spans(700))));
    let _ = receivers.intake.called.acquire().await.unwrap();
    assert!(!waiting.is_finished());
    // The first holds more than half of the memory for requests, so a second like it does not fit.
    let second = send(post(&receivers, PROTOBUF, spans(700))).await;
    assert_eq!(&second.headers()["retry-after"], "1");
    assert_eq!(problem(second).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!waiting.is_finished());
    receivers.intake.gate.add_permits(10);
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    assert_eq!(receivers.intake.spans().len(), 700);
    assert_eq!(send(post(&receivers, PROTOBUF, spans(700))).await.status(), StatusCode::OK, "what was held is given back");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a client of its own")]
async fn what_is_under_way_at_the_end_is_finished() {
    let receivers = Receivers::start().await;
    let closed = receivers.intake.gate.acquire_many(1_000).await.unwrap();
    let waiting = tokio::spawn(send(post(&receivers, PROTOBUF, spans(1))));
    let _ = receivers.intake.called.acquire().await.unwrap();
    receivers.lifecycle.soft().cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(Client::new().post(receivers.url()).body("").send().await.is_err(), "nobody else is let in");
    drop(closed);
    assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
    receivers.end().await;
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_key() {
    let receivers = Receivers::start().await;
    let taken = redrive::config::OtlpConfig { http_listen: Some(receivers.http), ..config(None, 1) };
    let error = redrive::otlp::listen(&taken).await.expect_err("is in use").to_string();
    assert_eq!(error, format!("cannot listen on {} (otlp.http_listen)", receivers.http));
    let off = redrive::config::OtlpConfig { http_listen: None, grpc_listen: None, ..config(None, 1) };
    let off = redrive::otlp::listen(&off).await.expect("nothing to take");
    assert_eq!((off.http_address(), off.grpc_address()), (None, None));
}
