//! `[http]`: where pages and API are served.

use std::net::{Ipv4Addr, SocketAddr};

use super::read::Section;
use super::values::{Network, PublicUrl, parse_listen};

/// Where pages, API, health and metrics are served, and how they are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// How people reach it; `None` where nobody said.
    pub public_url: Option<PublicUrl>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Serves `/metrics` without a token.
    pub metrics_public: bool,
    /// Also serves figures of the buses on `/metrics`.
    pub bus_figures: bool,
}

impl HttpConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let read = Self {
            listen: listen(&section, "listen", 8080),
            public_url: section.parsed("public_url", "a URL such as \"https://redrive.example.com\", or empty", None, |text| {
                if text.is_empty() { Some(None) } else { PublicUrl::parse(text).map(Some) }
            }),
            trusted_proxies: section.list("trusted_proxies", "addresses or networks such as \"10.0.0.0/8\"", Network::parse),
            metrics_public: section.flag("metrics_public", false),
            bus_figures: section.flag("bus_figures", false),
        };
        section.finish();
        read
    }
}

/// An address to listen on; loopback where it is not given.
pub(super) fn listen(section: &Section<'_>, key: &'static str, port: u16) -> SocketAddr {
    let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    section.parsed(key, &format!("an address with port, such as \"127.0.0.1:{port}\" or \"0.0.0.0:{port}\""), fallback, parse_listen)
}
