//! `[otlp]`: where services send spans.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::read::Section;
use super::values::{parse_listen, parse_size};

/// Addresses and limits of the span receivers.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// OTLP over gRPC; `None` where it is off.
    pub grpc_listen: Option<SocketAddr>,
    /// OTLP over HTTP; `None` where it is off.
    pub http_listen: Option<SocketAddr>,
    /// Bearer token that senders must give.
    pub token: Option<String>,
    /// Largest request, as sent and unpacked.
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

/// An address to listen on; loopback where it is not given, nothing where it is empty.
fn listen(section: &Section<'_>, key: &'static str, port: u16) -> Option<SocketAddr> {
    let expected = format!("an address with port, such as \"127.0.0.1:{port}\" or \"0.0.0.0:{port}\", or empty");
    let fallback = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    section.parsed(key, &expected, fallback, |text| if text.is_empty() { Some(None) } else { parse_listen(text).map(Some) })
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
