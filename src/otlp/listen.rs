//! The addresses on which spans arrive.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use super::receiver::Receiver;
use super::{SharedIntake, grpc, http};
use crate::config::OtlpConfig;
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key})")]
pub struct CannotListen {
    address: SocketAddr,
    key: &'static str,
    #[source]
    source: io::Error,
}

/// Addresses that are ours, on which nobody is answered yet.
#[derive(Debug)]
pub struct Listeners {
    config: OtlpConfig,
    grpc: Option<(TcpListener, SocketAddr)>,
    http: Option<(TcpListener, SocketAddr)>,
}

/// Takes the configured addresses, so that one that is in use is told before anything else starts.
pub async fn listen(config: &OtlpConfig) -> Result<Listeners, CannotListen> {
    Ok(Listeners {
        grpc: bind(config.grpc_listen, "otlp.grpc_listen").await?,
        http: bind(config.http_listen, "otlp.http_listen").await?,
        config: config.clone(),
    })
}

async fn bind(address: Option<SocketAddr>, key: &'static str) -> Result<Option<(TcpListener, SocketAddr)>, CannotListen> {
    let Some(address) = address else { return Ok(None) };
    let wrong = |source| CannotListen { address, key, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    tracing::info!(%address, key, "listening for spans");
    Ok(Some((listener, address)))
}

impl Listeners {
    /// Where OTLP over gRPC is taken; `None` where it is off.
    #[must_use]
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|(_, address)| *address)
    }

    /// Where OTLP over HTTP is taken; `None` where it is off.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(_, address)| *address)
    }

    /// Answers until the soft token: then no new requests, and what is under way is finished, at most until the hard token.
    pub fn serve(self, intake: SharedIntake, metrics: Metrics, lifecycle: &Lifecycle) {
        let receiver = Arc::new(Receiver::new(&self.config, intake, metrics));
        if let Some((listener, _)) = self.grpc {
            lifecycle.spawn("otlp_grpc", run(listener, grpc::router(Arc::clone(&receiver)), lifecycle.clone()));
        }
        if let Some((listener, _)) = self.http {
            lifecycle.spawn("otlp_http", run(listener, http::router(receiver), lifecycle.clone()));
        }
    }
}

async fn run(listener: TcpListener, router: Router, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let soft = lifecycle.soft().clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { soft.cancelled().await });
    tokio::select! {
        served = async { serving.await } => Ok(served?),
        () = lifecycle.hard().cancelled() => Ok(()),
    }
}
