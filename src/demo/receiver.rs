//! A receiver of the shop's own: takes the generic webhook on a port of this machine, checks its signature with an implementation that
//! is not Redrive's, and keeps what came for the demo's page.

use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use standardwebhooks::Webhook;
use tokio::net::{TcpListener, TcpStream};

use crate::lifecycle::Lifecycle;
use crate::lifecycle::inbox::{Inbox, Posted};
use crate::model::Timestamp;

/// Larger bodies are refused.
const MAX_BYTES: usize = 64 * 1024;
/// A connection may last so long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where the shop is told of alerts.
#[derive(Debug, Clone)]
pub struct DemoReceiver {
    /// Where to post.
    pub url: String,
    /// With which secret to sign.
    pub secret: String,
    /// What came.
    pub inbox: Inbox,
}

impl DemoReceiver {
    /// Listens until the process ends.
    pub(super) async fn start(lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        let secret = format!("whsec_{}", STANDARD.encode(random));
        let receiver = Self { url: format!("http://{}/", listener.local_addr()?), secret, inbox: Inbox::default() };
        let (this, life) = (receiver.clone(), lifecycle.clone());
        lifecycle.spawn("demo: receiver", async move {
            loop {
                let stream = tokio::select! {
                    () = life.soft().cancelled() => return Ok(()),
                    accepted = listener.accept() => accepted,
                };
                match stream {
                    Ok((stream, _)) => life.spawn_short(serve(this.clone(), stream)),
                    Err(error) => tracing::warn!(%error, "the demo's receiver could not take a connection"),
                }
            }
        });
        Ok(receiver)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let (head, body) = request.into_parts();
        let status = if head.method == Method::POST {
            match Limited::new(body, MAX_BYTES).collect().await {
                Ok(body) => self.take(&head.headers, &body.to_bytes()),
                Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
            }
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        let mut response = Response::new(Empty::new());
        *response.status_mut() = status;
        response
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let Ok(told) = serde_json::from_slice::<Told>(body) else { return StatusCode::BAD_REQUEST };
        let verified = Webhook::new(&self.secret).and_then(|webhook| webhook.verify(body, headers));
        let id = headers.get(standardwebhooks::HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let status = if verified.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
        self.inbox.take(Posted {
            at: Timestamp::now(),
            id: id.to_owned(),
            kind: told.kind,
            rule: told.data.rule,
            severity: told.data.severity,
            summary: told.data.summary,
            url: told.data.url,
            problem: verified.err().map(|error| error.to_string()),
            times: 1,
        });
        status
    }
}

/// The generic webhook's body, as far as the shop reads it.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    rule: String,
    severity: String,
    summary: String,
    url: String,
}

async fn serve(receiver: DemoReceiver, stream: TcpStream) {
    let service = service_fn(|request| {
        let receiver = receiver.clone();
        async move { Ok::<_, std::convert::Infallible>(receiver.answer(request).await) }
    });
    // Whoever hangs up or is slow is Redrive's own delivery, which tries again.
    let _ = tokio::time::timeout(DEADLINE, http1::Builder::new().serve_connection(TokioIo::new(stream), service)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receiver: &DemoReceiver, body: &[u8], secret: &str) -> StatusCode {
        let now = Timestamp::now().as_millis() / 1_000;
        let signature = Webhook::new(secret).and_then(|webhook| webhook.sign("msg_1", now, body)).expect("signed");
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", "msg_1".to_owned()), ("webhook-timestamp", now.to_string()), ("webhook-signature", signature)]
        {
            headers.insert(name, value.parse().expect("a header"));
        }
        receiver.take(&headers, body)
    }

    #[test]
    fn only_what_is_signed_with_the_secret_is_taken_as_true() {
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        let receiver = DemoReceiver { url: String::new(), secret: secret.clone(), inbox: Inbox::default() };
        let body = br#"{"type":"alert.firing","data":{"rule":"Lag","severity":"error","summary":"behind","url":"/x","value":1}}"#;
        assert_eq!(told(&receiver, body, &secret), StatusCode::NO_CONTENT);
        assert_eq!(told(&receiver, body, &secret), StatusCode::NO_CONTENT);
        let posts = receiver.inbox.list();
        assert_eq!((posts.len(), posts[0].times, posts[0].rule.as_str(), &posts[0].problem), (1, 2, "Lag", &None));
        assert_eq!(told(&receiver, b"{}", &secret), StatusCode::BAD_REQUEST);
        let forged = DemoReceiver { inbox: Inbox::default(), ..receiver };
        assert_eq!(told(&forged, body, &format!("whsec_{}", STANDARD.encode([8; 32]))), StatusCode::UNAUTHORIZED);
        assert!(forged.inbox.list()[0].problem.is_some());
    }
}
