//! How single values are written: durations, sizes, networks, URLs. Pure; every parser answers `None` for what it does not understand.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An address range, such as `10.0.0.0/8` or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Parses an address or an address with the number of its leading bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.trim().parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Some(width), |b| b.trim().parse().ok())?;
        (prefix_bits <= width).then_some(Self { address, prefix_bits })
    }

    /// Whether an address lies in it. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (net, given) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(given)) => (u128::from(net.to_bits()) << 96, u128::from(given.to_bits()) << 96),
            (IpAddr::V6(net), IpAddr::V6(given)) => (net.to_bits(), given.to_bits()),
            _ => return false,
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
        net & mask == given & mask
    }
}

/// How people reach this instance from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    https: bool,
    authority: String,
    path: String,
}

impl PublicUrl {
    /// Parses `http://host[:port][/path]` or https.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
        let path_ok = path.chars().all(|c| c.is_ascii_graphic() && !"?#\"<>".contains(c));
        (!authority.is_empty() && authority.chars().all(plain) && path_ok).then(|| Self {
            https,
            authority: authority.to_ascii_lowercase(),
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Host with port, as a browser sends it in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host without port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.path)
    }
}

/// Parses `90d`, `1h30m`, `1500ms`. Units: ms, s, m, h, d, w; each at most once, larger ones first.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 6] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *factor >= smallest {
            return None;
        }
        smallest = *factor;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = next;
    }
    Some(Duration::from_millis(millis))
}

/// Parses `8MiB`, `64KiB`, `20GiB`, `1TiB`, `1048576`, also with `kB`, `MB`, `GB`, `TB` for powers of ten.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Parses an address with port; `localhost` is `127.0.0.1`.
#[must_use]
pub fn parse_listen(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("localhost:").map_or_else(|| text.parse().ok(), |port| format!("127.0.0.1:{port}").parse().ok())
}

/// Whether a text is `host:port`, comma separated.
#[must_use]
pub fn is_bootstrap_servers(text: &str) -> bool {
    text.split(',').all(|server| {
        let server = server.trim();
        let server = server.split_once("://").map_or(server, |(_, rest)| rest);
        server.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).map_or(!host.contains(':'), |h| h.contains(':'));
            bare && !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|p| p > 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_writes_them() {
        for (text, seconds) in [("90d", 7_776_000), ("15s", 15), ("1h30m", 5_400), ("2w", 1_209_600), ("0s", 0)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("1500ms"), Some(Duration::from_millis(1500)));
        for text in ["", "90", "d", "1.5h", "30m1h", "1h1h", "-1s", "99999999999999999999d", "9999999999999999w", "1 h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_two_and_ten() {
        for (text, bytes) in [("64MiB", 67_108_864), ("8 MiB", 8_388_608), ("1kB", 1_000), ("20GiB", 21_474_836_480), ("512", 512)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "8M", "1.5GiB", "-1", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn networks_contain_what_they_should() {
        let contains = |net: &str, ip: &str| Network::parse(net).unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        for text in ["", "10.0.0.0/33", "ten", "10.0.0.0/x", "::/129"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn public_urls_know_their_parts() {
        let url = PublicUrl::parse("https://Redrive.example.com:8443/ops/").unwrap();
        assert_eq!(
            (url.is_https(), url.authority(), url.host(), url.to_string().as_str()),
            (true, "redrive.example.com:8443", "redrive.example.com", "https://redrive.example.com:8443/ops")
        );
        assert_eq!(PublicUrl::parse("http://[::1]:80").unwrap().host(), "[::1]");
        assert_eq!(PublicUrl::parse("http://[::1]").unwrap().host(), "[::1]");
        for text in ["redrive.example.com", "ftp://x", "https://", "https://user@host", "https://a b", "https://h/?q"] {
            assert_eq!(PublicUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn bootstrap_servers_need_host_and_port() {
        for text in ["kafka:9092", "a:1,b:2", "a:1, b:2", "[::1]:9092", "SASL_SSL://kafka:9093"] {
            assert!(is_bootstrap_servers(text), "{text}");
        }
        for text in ["", "kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "a:1,,b:2", "::1:9092", "my kafka:1"] {
            assert!(!is_bootstrap_servers(text), "{text}");
        }
    }
}
