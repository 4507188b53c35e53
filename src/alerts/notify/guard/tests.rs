//! The table of addresses and tricks.

use super::*;
use crate::config::values::Network;

/// Answers every name with the same addresses.
struct Fixed(Vec<IpAddr>);

#[async_trait::async_trait]
impl Lookup for Fixed {
    async fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

fn guard(allowed: Vec<AllowedAddress>, answers: &[&str]) -> Guard {
    Guard::new(allowed, Arc::new(Fixed(answers.iter().map(|address| address.parse().unwrap()).collect())))
}

const PRIVATE: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450::1",
    "3ffe::1",
];

#[tokio::test]
async fn only_global_unicast_is_reached_by_name_and_by_address() {
    for address in PRIVATE {
        let name = guard(Vec::new(), &[address]);
        let to = name.read_url("https://hooks.example.com/x").unwrap();
        assert!(matches!(name.resolve(&to).await, Err(Refused::Private(_))), "{address} by name");
        let literal = if address.contains(':') { format!("https://[{address}]/x") } else { format!("https://{address}/x") };
        assert!(matches!(name.read_url(&literal), Err(Refused::Private(_))), "{literal}");
        assert!(matches!(name.read_mail(literal.split('/').nth(2).unwrap(), 25), Err(Refused::Private(_))), "mail to {address}");
    }
    for address in PUBLIC {
        let name = guard(Vec::new(), &[address]);
        let to = name.read_url("https://hooks.example.com/x").unwrap();
        assert_eq!(name.resolve(&to).await.unwrap().len(), 1, "{address}");
    }
}

#[test]
fn every_spelling_of_an_address_is_known() {
    let guard = guard(Vec::new(), &[]);
    let spelled = [
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0177.0.0.01/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://１２７.０.０.１/",
        "https://127。0。0。1/",
        "https://%31%32%37.0.0.1/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:127.0.0.1]/",
        "https://[::7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https:\\\\127.0.0.1\\",
        "https://169.254.169.254/latest/meta-data",
        "https://0/",
    ];
    for url in spelled {
        assert!(matches!(guard.read_url(url), Err(Refused::Private(_))), "{url}: {:?}", guard.read_url(url));
    }
    for host in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]"] {
        assert!(matches!(guard.read_mail(host, 587), Err(Refused::Private(_))), "{host}");
    }
}

#[test]
fn what_is_no_plain_web_address_is_refused() {
    let guard = guard(Vec::new(), &[]);
    for url in
        ["", "hook", "ftp://example.com/", "file:///etc/passwd", "https://", "gopher://example.com", "https://a b/", "unix:/x", "//x"]
    {
        assert!(matches!(guard.read_url(url), Err(Refused::Malformed(_))), "{url}");
    }
    assert!(matches!(guard.read_url("https://user:word@example.com/"), Err(Refused::Malformed(_))));
    for host in ["", "a b", "example.com:25", "example.com/x", "user@example.com", "example.com?x", "example.com#x"] {
        assert!(matches!(guard.read_mail(host, 25), Err(Refused::Malformed(_))), "{host}");
    }
}

#[tokio::test]
async fn public_receivers_have_the_usual_ports() {
    let name = guard(Vec::new(), &["8.8.8.8"]);
    for url in ["http://example.com/", "https://example.com/", "https://example.com:8443/"] {
        let to = name.read_url(url).unwrap();
        assert!(name.resolve(&to).await.is_ok(), "{url}");
    }
    for url in ["https://example.com:22/", "http://example.com:443/", "https://example.com:80/", "http://example.com:9093/"] {
        let to = name.read_url(url).unwrap();
        assert!(matches!(name.resolve(&to).await, Err(Refused::Port(_))), "{url}");
        let literal = url.replace("example.com", "8.8.8.8");
        assert!(matches!(name.read_url(&literal), Err(Refused::Port(_))), "{literal}");
    }
    for (port, fine) in [(25, true), (465, true), (587, true), (2525, true), (22, false), (80, false), (6379, false)] {
        let to = name.read_mail("mail.example.com", port).unwrap();
        assert_eq!(name.resolve(&to).await.is_ok(), fine, "{port}");
    }
}

#[tokio::test]
async fn the_configuration_allows_networks_and_names_and_nothing_beside() {
    let network = AllowedAddress::Network(Network::parse("10.1.0.0/16").unwrap());
    let inside = guard(vec![network.clone()], &["10.1.2.3"]);
    let to = inside.read_url("http://alertmanager:9093/api/v2/alerts").unwrap();
    assert_eq!(inside.resolve(&to).await.unwrap(), ["10.1.2.3:9093".parse().unwrap()]);
    assert!(inside.read_url("http://10.1.0.9:9093/").is_ok());
    assert!(inside.read_url("http://[::ffff:10.1.0.9]:9093/").is_ok());
    assert!(matches!(inside.read_url("http://10.2.0.9:9093/"), Err(Refused::Private(_))));
    let beside = guard(vec![network], &["10.2.0.1", "8.8.8.8", "10.1.2.3"]);
    let to = beside.read_url("https://mixed.example.com/").unwrap();
    let dialled: Vec<String> = beside.resolve(&to).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(dialled, ["8.8.8.8:443", "10.1.2.3:443"], "only what may be dialled is");

    let name = guard(vec![AllowedAddress::Host("mattermost".to_owned())], &["172.20.0.5"]);
    let to = name.read_url("http://MATTERMOST:8065/hooks/x").unwrap();
    assert_eq!(name.resolve(&to).await.unwrap(), ["172.20.0.5:8065".parse().unwrap()]);
    let other = name.read_url("http://mattermost.example.com/hooks/x").unwrap();
    assert!(matches!(name.resolve(&other).await, Err(Refused::Private(_))));
}
