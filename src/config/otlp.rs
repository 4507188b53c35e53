//! `[otlp]`: where services send spans.

use std::fmt;
use std::net::SocketAddr;

use super::http::listen;
use super::read::Section;
use super::values::parse_size;

/// Addresses and limits of the span receivers.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// OTLP over gRPC.
    pub grpc_listen: SocketAddr,
    /// OTLP over HTTP.
    pub http_listen: SocketAddr,
    /// Bearer token that senders must give.
    pub token: Option<String>,
    /// Largest request.
    pub max_bytes: u64,
}

impl OtlpConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let read = Self {
            grpc_listen: listen(&section, "grpc_listen", 4317),
            http_listen: listen(&section, "http_listen", 4318),
            token: section.secret("token", "token_file"),
            max_bytes: section.parsed("max_bytes", "a size such as \"64MiB\"", 64 << 20, parse_size),
        };
        section.finish();
        read
    }
}

impl fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpConfig")
            .field("grpc_listen", &self.grpc_listen)
            .field("http_listen", &self.http_listen)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("max_bytes", &self.max_bytes)
            .finish()
    }
}
