//! Receivers on ports of their own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent};
use redrive::config::OtlpConfig;
use redrive::lifecycle::Lifecycle;
use redrive::model::span::{Span, Spans};
use redrive::otlp::{Intake, Kept, Refused, listen};
use redrive::telemetry::Metrics;
use tokio::sync::Semaphore;

/// Receivers, what they took, and their end.
pub(super) struct Receivers {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) intake: Arc<Remembering>,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
}

/// An intake that remembers spans and answers as it is told.
pub(super) struct Remembering {
    spans: Mutex<Vec<Span>>,
    answer: Mutex<Result<Kept, Refused>>,
    /// Each call waits for a permit before it answers.
    pub(super) gate: Semaphore,
    /// A permit for each call that has come.
    pub(super) called: Semaphore,
}

impl Intake for Remembering {
    fn keep(&self, spans: Spans) -> BoxFuture<'_, Result<Kept, Refused>> {
        Box::pin(async move {
            self.called.add_permits(1);
            let _through = self.gate.acquire().await;
            let answer = self.answer.lock().unwrap().clone();
            if answer.is_ok() {
                self.spans.lock().unwrap().extend(spans.into_iter().map(|span| *span));
            }
            answer
        })
    }
}

impl Remembering {
    pub(super) fn new() -> Self {
        Self { spans: Mutex::default(), answer: Mutex::new(Ok(Kept::default())), gate: Semaphore::new(1_000), called: Semaphore::new(0) }
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub(super) fn answer(&self, answer: Result<Kept, Refused>) {
        *self.answer.lock().unwrap() = answer;
    }
}

impl Receivers {
    pub(super) async fn start() -> Self {
        Self::with(None, 64 << 20).await
    }

    pub(super) async fn with(token: Option<&str>, max_bytes: u64) -> Self {
        let config = config(token, max_bytes);
        let intake = Arc::new(Remembering::new());
        let (lifecycle, metrics) = (Lifecycle::new(), Metrics::new());
        let listeners = listen(&config).await.expect("free ports");
        let (http, grpc) = (listeners.http_address().expect("is on"), listeners.grpc_address().expect("is on"));
        listeners.serve(Arc::clone(&intake) as Arc<dyn Intake>, metrics.clone(), &lifecycle);
        Self { http, grpc, intake, metrics, lifecycle }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.http)
    }

    /// Ends softly; fails when something is left after a while.
    pub(super) async fn end(&self) {
        self.lifecycle.soft().cancel();
        tokio::time::timeout(Duration::from_secs(10), self.lifecycle.wait()).await.expect("ends");
        assert_eq!(self.lifecycle.cause_of_death(), None);
    }
}

pub(super) fn config(token: Option<&str>, max_bytes: u64) -> OtlpConfig {
    let any_port = Some("127.0.0.1:0".parse().expect("is an address"));
    OtlpConfig { grpc_listen: any_port, http_listen: any_port, token: token.map(str::to_owned), max_bytes }
}

/// A span that is in order.
pub(super) fn span(name: &str) -> Sent {
    Sent {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        kind: 4,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_100_000_000,
        attributes: vec![text("messaging.system", "kafka"), text("messaging.destination.name", "orders")],
        ..Sent::default()
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub(super) fn request(spans: Vec<Sent>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }] }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}
