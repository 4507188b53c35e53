//! Logs, metrics and own traces.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;

use crate::harness::redrive::{PATIENCE, Setup, http};

#[tokio::test]
async fn logs_are_json_away_from_a_terminal_and_text_when_wished() {
    let redrive = Setup::new().start().await;
    let line = redrive.log().lines().find(|line| line.contains("listening")).map(str::to_owned).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "listening");
    assert_eq!(line["address"], redrive.address().to_string());

    let text = Setup::new().environment("REDRIVE_LOG_FORMAT", "text").start().await;
    let line = text.log().lines().find(|line| line.contains("listening")).map(str::to_owned).unwrap();
    assert!(line.contains("INFO") && !line.starts_with('{'), "{line}");
}

#[tokio::test]
async fn metrics_are_for_viewers_unless_they_are_public() {
    let redrive = Setup::new().start().await;
    let url = redrive.url("/metrics");
    redrive.wait_until("the pages are there", PATIENCE, async || http().get(&url).send().await.unwrap().status() == 401).await;
    let text = redrive.client("viewer").get(&url).send().await.unwrap().text().await.unwrap();
    for name in ["redrive_http_requests_total{", "redrive_build_info{", "process_resident_memory_bytes "] {
        assert!(text.contains(name), "{name} in {text}");
    }
    let public = Setup::new().environment("REDRIVE__HTTP__METRICS_PUBLIC", "true").start().await;
    let url = public.url("/metrics");
    public.wait_until("everybody sees them", PATIENCE, async || http().get(&url).send().await.unwrap().status() == 200).await;
}

#[tokio::test]
async fn own_traces_reach_the_collector_that_is_named() {
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let sink = Arc::clone(&received);
    let export = post(async move |body: Bytes| {
        sink.lock().unwrap().extend_from_slice(&body);
        ([("content-type", "application/grpc"), ("grpc-status", "0")], "")
    });
    let collector = Router::new().route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", export);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let lifecycle = redrive::lifecycle::Lifecycle::new();
    lifecycle.spawn_short(async move { drop(axum::serve(listener, collector).await) });

    let mut redrive = Setup::new().without_login().environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).start().await;
    // Before the store is open, nothing is traced: those answers come from the door keeper.
    let ready = redrive.url("/health/ready");
    redrive.wait_until("it is ready", PATIENCE, async || http().get(&ready).send().await.unwrap().status() == 200).await;
    for _ in 0..5 {
        let _ = http().get(&ready).send().await.unwrap();
    }
    assert!(redrive.stop().await.success(), "{}", redrive.log());
    let bytes = received.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("redrive") && text.contains("service.version") && text.contains("request"), "{} bytes: {text}", bytes.len());
}
