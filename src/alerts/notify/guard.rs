//! Where notifications may go: the filter against requests into our own network (SSRF). One function decides when a receiver is saved,
//! when it is tried and when it is sent to; the resolver that the client dials by asks it again, so that the address that was checked is
//! the address that is dialled.
//!
//! Refused is whatever is not global unicast: private, loopback, link-local (where clouds keep their metadata), multicast and reserved
//! networks, and every IPv6 form that carries an IPv4 address. `[notifications] allow_addresses` opens networks and host names; nothing
//! in the browser or the API can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::config::AllowedAddress;

/// Ports of public receivers: http, https, and the other https.
const WEB_PORTS: [(bool, u16); 3] = [(false, 80), (true, 443), (true, 8443)];
/// Ports of public mail servers.
const MAIL_PORTS: [u16; 4] = [25, 465, 587, 2525];

/// Why nothing is sent there, in words for whoever keeps receivers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no address that can be posted to.
    #[error("{0}")]
    Malformed(&'static str),
    /// It lies in a network that receivers may not lie in.
    #[error(
        "{0} is not a public address; an administrator can allow it by notifications.allow_addresses in the configuration, and nowhere else"
    )]
    Private(String),
    /// Public receivers answer on few ports.
    #[error(
        "port {0} is refused: public receivers are reached by https on 443 or 8443, http on 80, mail on 25, 465, 587 or 2525; an administrator can allow others by notifications.allow_addresses"
    )]
    Port(u16),
    /// The name has no address.
    #[error("the host name cannot be resolved: {0}")]
    Unresolved(String),
}

/// How host names become addresses; tests answer for themselves.
#[async_trait::async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a name.
    async fn lookup(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

#[async_trait::async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// What somebody wants to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Host as it is dialled: a name in lower case, or an address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether only what is allowed by the configuration will do: another port, or plain http.
    pub only_allowed: bool,
}

/// Decides where notifications may go. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<Vec<AllowedAddress>>,
    lookup: Arc<dyn Lookup>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Guard {
    /// Allows public addresses, and what the configuration names.
    #[must_use]
    pub fn new(allowed: Vec<AllowedAddress>, lookup: Arc<dyn Lookup>) -> Self {
        Self { allowed: Arc::new(allowed), lookup }
    }

    /// What a URL leads to, as far as its text tells: scheme, port, and its address where it is written as one.
    pub fn read_url(&self, url: &str) -> Result<Destination, Refused> {
        let malformed = Refused::Malformed("url is an address such as https://example.com/hook");
        let parsed = reqwest::Url::parse(url).map_err(|_| malformed.clone())?;
        let https = match parsed.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(Refused::Malformed("url begins with https:// or http://")),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Refused::Malformed("url holds no user name or password; add a header instead"));
        }
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else { return Err(malformed) };
        self.read(host, port, WEB_PORTS.contains(&(https, port)))
    }

    /// What a mail server's name and port lead to.
    pub fn read_mail(&self, host: &str, port: u16) -> Result<Destination, Refused> {
        // Read as the host of a URL, so that every spelling of an address is known by the same rules.
        let malformed = Refused::Malformed("host is the name or address of a mail server, without a port");
        let parsed = reqwest::Url::parse(&format!("http://{host}/")).map_err(|_| malformed.clone())?;
        let plain = parsed.port().is_none() && parsed.username().is_empty() && parsed.password().is_none() && parsed.path() == "/";
        let found = parsed.host_str().filter(|_| plain && parsed.query().is_none() && parsed.fragment().is_none());
        self.read(found.ok_or(malformed)?, port, MAIL_PORTS.contains(&port))
    }

    fn read(&self, host: &str, port: u16, usual: bool) -> Result<Destination, Refused> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let only_allowed = !usual && !self.allows_host(&host);
        if let Ok(address) = host.parse::<IpAddr>() {
            self.admit(&host, address, only_allowed, port)?;
        }
        Ok(Destination { host, port, only_allowed })
    }

    /// The addresses that may be dialled for a destination, of those that its name has now.
    pub async fn resolve(&self, to: &Destination) -> Result<Vec<SocketAddr>, Refused> {
        let found = match to.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.lookup.lookup(&to.host).await.map_err(|error| Refused::Unresolved(error.to_string()))?,
        };
        let mut refused = Refused::Unresolved("it has no address".to_owned());
        let mut admitted = Vec::new();
        for address in found {
            match self.admit(&to.host, address, to.only_allowed, to.port) {
                Ok(()) => admitted.push(SocketAddr::new(address.to_canonical(), to.port)),
                Err(error) => refused = error,
            }
        }
        if admitted.is_empty() { Err(refused) } else { Ok(admitted) }
    }

    /// Whether an address may be dialled for a host.
    fn admit(&self, host: &str, address: IpAddr, only_allowed: bool, port: u16) -> Result<(), Refused> {
        if self.allows_host(host) || self.allows_address(address) {
            return Ok(());
        }
        if !is_public(address) {
            return Err(Refused::Private(address.to_string()));
        }
        if only_allowed { Err(Refused::Port(port)) } else { Ok(()) }
    }

    fn allows_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.allowed.iter().any(|allowed| matches!(allowed, AllowedAddress::Host(name) if name == host))
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, AllowedAddress::Network(network) if network.contains(address)))
    }
}

/// Whether an address is global unicast, by IANA's registries of special-purpose addresses.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(network, prefix)| (bits ^ network.to_bits()) >> (32 - prefix) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let within = |network: Ipv6Addr, prefix: u32| (bits ^ network.to_bits()) >> (128 - prefix) == 0;
    // Only 2000::/3 is given out as global unicast: loopback, mapped and compatible IPv4, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48),
    // site-local fec0::/10, unique local, link-local, multicast and SRv6 (5f00::/16) lie outside of it.
    within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) && !SPECIAL_V6.iter().any(|(network, prefix)| within(*network, *prefix))
}

/// Networks of IPv4 that are not global unicast.
const SPECIAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks within `2000::/3` that are not for receivers: protocol assignments with Teredo and ORCHID, documentation, 6to4, AS112.
const SPECIAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
mod tests;
