//! OTLP over gRPC: `TraceService/Export`, one message in, one message out.
//!
//! Tonic's own server would unpack and decode on the threads that serve everybody, and answers what is too large with a code that
//! OTLP's clients take for "send it again". A call of one message is a frame of five bytes and the message, so it is read here and
//! goes the same way as HTTP's; statuses, their details and the answer's frame are tonic's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::codec::{BufferSettings, EncodeBody, SingleMessageCompressionOverride};
use tonic_prost::ProstEncoder;

use super::Encoding;
use super::http::message;
use super::receiver::{Receiver, Taken};
use super::refusal::Refusal;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Before each message: whether it is packed, and its length.
const FRAME: usize = 5;

pub(super) fn router(receiver: Arc<Receiver>) -> Router {
    Router::new().route(EXPORT, post(export)).fallback(unknown).with_state(receiver)
}

async fn export(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_grpc = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let ended = take(&receiver, &parts.headers, body).await;
    receiver.count("grpc", &ended);
    match ended {
        Ok(taken) => success(&taken),
        Err(refusal) => refused(&refusal),
    }
}

async fn take(receiver: &Receiver, headers: &HeaderMap, body: Body) -> Result<Taken, Refusal> {
    receiver.admit(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes))?;
    let encoding = headers.get("grpc-encoding").map_or(&b"identity"[..], HeaderValue::as_bytes);
    if encoding != b"identity" && encoding != b"gzip" {
        return Err(Refusal::Compression);
    }
    let received = receiver.collect(body.into_data_stream(), FRAME as u64).await?;
    let packed = frame(received.bytes(), encoding == b"gzip")?;
    receiver.work(received.without_first(FRAME), packed, Encoding::Protobuf).await
}

/// Whether the message is packed; an error when there is not exactly one message.
fn frame(call: &[u8], may_be_packed: bool) -> Result<bool, Refusal> {
    let wrong = |text: &str| Err(Refusal::Malformed(text.to_owned()));
    let Some((head, message)) = call.split_first_chunk::<FRAME>() else { return wrong("the call holds no message") };
    let [flag, length @ ..] = *head;
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return wrong("the call does not hold exactly one message");
    }
    match flag {
        0 => Ok(false),
        1 if may_be_packed => Ok(true),
        _ => wrong("the message is marked as packed, but the call does not say how"),
    }
}

fn success(taken: &Taken) -> Response {
    let encoder = ProstEncoder::<ExportTraceServiceResponse>::new(BufferSettings::default());
    let messages = futures::stream::iter([Ok(message(taken))]);
    let body = EncodeBody::new_server(encoder, messages, None, SingleMessageCompressionOverride::default(), None);
    ([(CONTENT_TYPE, "application/grpc")], Body::new(body)).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = refusal.status().into_http::<Body>();
    if *refusal == Refusal::Compression {
        response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    }
    response
}

async fn unknown() -> Response {
    tonic::Status::unimplemented("Redrive takes traces: TraceService/Export").into_http::<Body>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_never_panic(call in proptest::collection::vec(any::<u8>(), 0..40), may_be_packed in any::<bool>()) {
            let taken = frame(&call, may_be_packed).is_ok();
            prop_assert!(!taken || (call.len() >= FRAME && call[0] <= 1));
        }

        /// A call of one whole message whose flag is allowed is taken, and nothing else.
        #[test]
        fn a_frame_is_taken_exactly_when_its_length_matches_and_its_flag_is_allowed(
            flag in prop_oneof![0..3_u8, any::<u8>()],
            message in proptest::collection::vec(any::<u8>(), 0..300),
            told in prop_oneof![Just(None), (0..300_u32).prop_map(Some), any::<u32>().prop_map(Some)],
            missing in prop_oneof![Just(0_usize), 0..10_usize],
            may_be_packed in any::<bool>(),
        ) {
            let length = told.unwrap_or_else(|| u32::try_from(message.len()).unwrap());
            let mut call = vec![flag];
            call.extend(length.to_be_bytes());
            call.extend(&message);
            call.truncate(call.len() - missing.min(call.len()));
            let is_whole = call.len() >= FRAME && call.len() - FRAME == usize::try_from(length).unwrap();
            let expected = match flag {
                0 if is_whole => Some(false),
                1 if is_whole && may_be_packed => Some(true),
                _ => None,
            };
            prop_assert_eq!(frame(&call, may_be_packed).ok(), expected);
        }
    }
}
