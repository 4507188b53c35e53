//! OTLP over gRPC, by tonic's client and by an SDK.

use std::time::Duration;

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use redrive::otlp::Refused;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::{StatusExt as _, pb};

use super::receivers::{Receivers, request, span};

async fn channel(receivers: &Receivers) -> Channel {
    Endpoint::from_shared(format!("http://{}", receivers.grpc)).unwrap().connect().await.expect("is listening")
}

async fn client(receivers: &Receivers) -> TraceServiceClient<Channel> {
    TraceServiceClient::new(channel(receivers).await)
}

fn spans(count: usize) -> ExportTraceServiceRequest {
    request((0..count).map(|_| span("send orders")).collect())
}

async fn refused(client: &mut TraceServiceClient<Channel>, request: ExportTraceServiceRequest) -> Status {
    client.export(request).await.expect_err("is refused")
}

#[tokio::test]
async fn spans_are_kept_plain_and_packed() {
    let receivers = Receivers::start().await;
    let mut client = client(&receivers).await;
    let answer = client.export(spans(3)).await.expect("is taken").into_inner();
    assert_eq!(answer, ExportTraceServiceResponse { partial_success: None });
    let mut packed = client.clone().send_compressed(CompressionEncoding::Gzip);
    packed.export(spans(500)).await.expect("is taken");
    let kept = receivers.intake.spans();
    assert_eq!((kept.len(), kept[0].service.as_ref()), (503, "shop"));
    client.export(ExportTraceServiceRequest::default()).await.expect("nothing is taken too");
    drop((client, packed));
    receivers.end().await;
}

#[tokio::test]
async fn more_than_four_megabytes_are_taken() {
    let receivers = Receivers::start().await;
    let request = spans(60_000);
    assert!(prost::Message::encoded_len(&request) > 5 << 20);
    client(&receivers).await.export(request).await.expect("is taken");
    assert_eq!(receivers.intake.spans().len(), 60_000);
}

#[tokio::test]
async fn an_sdk_sends_its_spans() {
    let receivers = Receivers::start().await;
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(format!("http://{}", receivers.grpc));
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_batch_exporter(exporter.build().expect("can be built"))
        .with_resource(opentelemetry_sdk::Resource::builder().with_service_name("sdk").build())
        .build();
    provider.tracer("instrumentation").in_span("work", |_| ());
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().expect("everything leaves");
    let kept = receivers.intake.spans();
    assert_eq!((kept.len(), kept[0].service.as_ref(), kept[0].scope.as_ref()), (1, "sdk", "instrumentation"));
    assert_eq!((kept[0].name.as_str(), kept[0].parent), ("work", None));
}

#[tokio::test]
async fn bad_spans_are_named_in_a_partial_success() {
    let receivers = Receivers::start().await;
    let mut bad = span("bad");
    bad.span_id = vec![1; 7];
    let answer = client(&receivers).await.export(request(vec![bad, span("good")])).await.expect("is taken").into_inner();
    let partial = answer.partial_success.expect("is said");
    assert_eq!((partial.rejected_spans, partial.error_message.contains("span id is not 8 bytes")), (1, true));
    assert_eq!(receivers.intake.spans().len(), 1);
}

#[tokio::test]
async fn a_token_comes_as_metadata() {
    let receivers = Receivers::with(Some("s3cret"), 1 << 20).await;
    let mut client = client(&receivers).await;
    let status = refused(&mut client, spans(1)).await;
    assert_eq!((status.code(), status.message().contains("s3cret")), (Code::Unauthenticated, false));
    let mut request = Request::new(spans(1));
    request.metadata_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
    client.export(request).await.expect("is taken");
}

#[tokio::test]
async fn what_is_too_large_is_not_to_be_sent_again() {
    let receivers = Receivers::with(None, 100_000).await;
    let mut client = client(&receivers).await;
    let mut packed = client.clone().send_compressed(CompressionEncoding::Gzip);
    for status in [refused(&mut client, spans(3_000)).await, refused(&mut packed, spans(3_000)).await] {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().is_none());
    }
    client.export(spans(700)).await.expect("fits, and the connection still stands");
}

#[tokio::test]
async fn a_full_intake_says_when_to_come_again() {
    let receivers = Receivers::start().await;
    receivers.intake.answer(Err(Refused::Full { retry_after: Duration::from_millis(1_500) }));
    let status = refused(&mut client(&receivers).await, spans(1)).await;
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_details_retry_info().expect("is said");
    assert_eq!(retry.retry_delay, Some(Duration::from_millis(1_500)));
    receivers.intake.answer(Err(Refused::Unavailable("the store is full".to_owned())));
    let status = refused(&mut client(&receivers).await, spans(1)).await;
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the store is full"));
    assert!(status.get_details_retry_info().is_some());
}

/// Calls a method with a message of another kind: its first field is text.
async fn call(receivers: &Receivers, path: &'static str, text: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel(receivers).await);
    grpc.ready().await.unwrap();
    let message = pb::RequestInfo { request_id: text.to_owned(), ..pb::RequestInfo::default() };
    let codec = tonic_prost::ProstCodec::<pb::RequestInfo, ExportTraceServiceResponse>::default();
    grpc.unary(Request::new(message), path.parse().unwrap(), codec).await.map(|_| ())
}

#[tokio::test]
async fn what_is_not_otlp_is_an_invalid_argument_and_other_methods_are_unknown() {
    let receivers = Receivers::start().await;
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let status = call(&receivers, export, "\u{7f}\u{7f}").await.expect_err("is refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.get_details_bad_request().is_some());
    let metrics = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(call(&receivers, metrics, "").await.expect_err("is unknown").code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_compression_that_is_not_ours_is_named() {
    let receivers = Receivers::start().await;
    let mut request = Request::new(spans(1));
    request.metadata_mut().insert("grpc-encoding", "snappy".parse().unwrap());
    let status = client(&receivers).await.export(request).await.expect_err("is refused");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.metadata().get("grpc-accept-encoding").unwrap(), "identity,gzip");
}
