//! Every way to write a forbidden address, with the words by which it is refused. The witness listens on every address of this machine:
//! it sees no connection at all for what is refused, and one for each of the same ways where the configuration allows them.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redrive::alerts::notify::courier::{Courier, Outcome, Verdict};
use redrive::alerts::notify::guard::{Guard, Lookup, SystemLookup};
use redrive::alerts::notify::{Mail, Parcel, Post};
use redrive::config::AllowedAddress;
use redrive::model::receiver::{Smtp, SmtpTls};

use crate::harness::notify::{Answer, Receiver};

/// What a hostile name server answers; other names it does not know.
struct Names;

#[async_trait::async_trait]
impl Lookup for Names {
    async fn lookup(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let addresses: &[&str] = match host.trim_end_matches('.') {
            "loopback.example.com" => &["127.0.0.1"],
            "six.example.com" => &["::1"],
            "mapped.example.com" => &["::ffff:127.0.0.1"],
            "nat64.example.com" => &["64:ff9b::7f00:1"],
            "metadata.example.com" => &["169.254.169.254"],
            "several.example.com" => &["10.0.0.1", "127.0.0.1"],
            _ => return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such name")),
        };
        Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
    }
}

/// Why something is refused.
#[derive(Debug, Clone)]
enum Why {
    /// It leads to this address.
    Private(String),
    /// It is no host, or says more than where to.
    Malformed(&'static str),
    /// It is another host than it seems, which nobody knows.
    Unresolved,
}

impl Why {
    fn of(address: &str) -> Self {
        Self::Private(address.parse::<IpAddr>().expect("an address").to_string())
    }

    fn is_said_by(&self, outcome: &Outcome) -> bool {
        let words = outcome.error.as_deref().unwrap_or_default();
        match self {
            Self::Private(address) => words.starts_with(&format!("{address} is not a public address")),
            Self::Malformed(begin) => words.starts_with(begin),
            Self::Unresolved => words.starts_with("the host name cannot be resolved"),
        }
    }
}

/// A host as somebody writes it, why it is refused, and whether this machine can be reached by it.
type Spelling = (String, Why, bool);

/// Each way to write an address of IPv4.
fn spellings_of(address: Ipv4Addr) -> Vec<Spelling> {
    let ([a, b, c, d], bits) = (address.octets(), address.to_bits());
    let (high, low) = (bits >> 16, bits & 0xffff);
    let reachable = [
        address.to_string(),
        format!("{address}."),
        bits.to_string(),
        format!("0x{bits:x}"),
        format!("0X{bits:X}"),
        format!("0{bits:o}"),
        format!("{a}.{}", bits & 0x00ff_ffff),
        format!("{a}.{b}.{low}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("00{a:o}.{b}.0x{low:x}"),
        format!("%{:02x}{}", address.to_string().as_bytes()[0], &address.to_string()[1..]),
        address.to_string().chars().map(|c| c.to_digit(10).map_or(c, |n| char::from_u32(0xff10 + n).unwrap_or(c))).collect(),
        address.to_string().replace('.', "。"),
    ];
    let mapped = [format!("[::ffff:{address}]"), format!("[::ffff:{high:x}:{low:x}]"), format!("[0:0:0:0:0:FFFF:{address}]")];
    let carried = [
        (format!("[::{address}]"), format!("::{high:x}:{low:x}")),
        (format!("[64:ff9b::{address}]"), format!("64:ff9b::{high:x}:{low:x}")),
        (format!("[64:ff9b::{high:x}:{low:x}]"), format!("64:ff9b::{high:x}:{low:x}")),
        (format!("[64:ff9b:1::{address}]"), format!("64:ff9b:1::{high:x}:{low:x}")),
        (format!("[2002:{high:x}:{low:x}::1]"), format!("2002:{high:x}:{low:x}::1")),
        (format!("[2001:0:{high:x}:{low:x}::1]"), format!("2001:0:{high:x}:{low:x}::1")),
    ];
    let plain = reachable.into_iter().map(|host| (host, Why::of(&address.to_string()), true));
    let mapped = mapped.into_iter().map(|host| (host, Why::of(&format!("::ffff:{address}")), true));
    plain.chain(mapped).chain(carried.into_iter().map(|(host, leads_to)| (host, Why::of(&leads_to), false))).collect()
}

fn spellings() -> Vec<Spelling> {
    let mut all = spellings_of(Ipv4Addr::LOCALHOST);
    let literal = |host: &str, address: &str, reachable| (host.to_owned(), Why::of(address), reachable);
    all.extend([
        literal("127.1", "127.0.0.1", true),
        literal("127.255.255.254", "127.255.255.254", true),
        literal("0", "0.0.0.0", true),
        literal("0.0.0.0", "0.0.0.0", true),
        literal("169.254.169.254", "169.254.169.254", false),
        literal("100.64.0.1", "100.64.0.1", false),
        literal("[::1]", "::1", true),
        literal("[0:0:0:0:0:0:0:1]", "::1", true),
        literal("[::]", "::", true),
        literal("[fc00::1]", "fc00::1", false),
        literal("[fd00:ec2::254]", "fd00:ec2::254", false),
        literal("[fe80::1]", "fe80::1", false),
        literal("[fec0::1]", "fec0::1", false),
        literal("[ff02::1]", "ff02::1", false),
        literal("[5f00::1]", "5f00::1", false),
    ]);
    let name = |host: &str, address: &str, reachable| (host.to_owned(), Why::of(address), reachable);
    all.extend([
        name("loopback.example.com", "127.0.0.1", true),
        name("LoopBack.Example.COM", "127.0.0.1", true),
        name("loopback.example.com.", "127.0.0.1", true),
        name("six.example.com", "::1", true),
        name("mapped.example.com", "::ffff:127.0.0.1", true),
        name("nat64.example.com", "64:ff9b::7f00:1", false),
        name("metadata.example.com", "169.254.169.254", false),
        name("several.example.com", "127.0.0.1", true),
    ]);
    let wrong = |host: &str, begin| (host.to_owned(), Why::Malformed(begin), false);
    let (no_url, no_word) = ("url is an address", "url holds no user name or password");
    all.extend([
        wrong("[fe80::1%25eth0]", no_url),
        wrong("[fe80::1%eth0]", no_url),
        wrong("[::1%25lo]", no_url),
        wrong("[127.0.0.1]", no_url),
        wrong("256.0.0.1", no_url),
        wrong("127.0.0.1.1", no_url),
        wrong("hooks.example.com@127.0.0.1", no_word),
        wrong("hooks.example.com:443@127.0.0.1", no_word),
        wrong(":x@127.0.0.1", no_word),
        wrong("127.0.0.1%40hooks.example.com", no_url),
    ]);
    all.push(("nobody.example.com".to_owned(), Why::Unresolved, false));
    all.extend(own_addresses().into_iter().flat_map(|own| match own {
        IpAddr::V4(own) => spellings_of(own),
        IpAddr::V6(own) => vec![(format!("[{own}]"), Why::of(&own.to_string()), true)],
    }));
    all
}

/// This machine's address in its own network, where that is no public one.
fn own_addresses() -> Vec<IpAddr> {
    let towards = |from: &str, to: &str| {
        let socket = UdpSocket::bind(from).and_then(|socket| socket.connect(to).map(|()| socket)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let found = [towards("0.0.0.0:0", "198.51.100.1:9"), towards("[::]:0", "[2001:db8::1]:9")];
    found.into_iter().flatten().filter(|address| !redrive::alerts::notify::guard::is_public(*address)).collect()
}

fn courier(allowed: &[&str], lookup: Arc<dyn Lookup>) -> Courier {
    let allowed = allowed.iter().map(|text| AllowedAddress::parse(text).expect("an address, a network or a name")).collect();
    Courier::new(Guard::new(allowed, lookup), Duration::from_secs(3)).expect("a client can be made")
}

fn post(url: &str) -> Parcel {
    Parcel::Post(Post { url: url.to_owned(), headers: Vec::new(), body: "{}".to_owned() })
}

fn mail(host: &str, port: u16) -> Parcel {
    let smtp = Smtp {
        host: host.to_owned(),
        port,
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "redrive@example.com".to_owned(),
        to: vec!["ann@example.com".to_owned()],
    };
    Parcel::Mail(Mail { smtp, subject: "x".to_owned(), text: "x".to_owned(), message_id: "<x@example.com>".to_owned(), had_by: Vec::new() })
}

/// Whatever was begun has arrived by then.
async fn seen_by(witness: &Receiver) -> usize {
    tokio::time::sleep(Duration::from_millis(300)).await;
    witness.connections()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_a_forbidden_address_is_refused_with_its_reason_and_nothing_is_dialled() {
    let witness = Receiver::everywhere().await;
    let (port, closed) = (witness.port(), courier(&[], Arc::new(Names)));
    let all = spellings();
    for (host, why, _) in &all {
        for url in [format!("http://{host}:{port}/hook"), format!("https://{host}:{port}/"), format!("http:\\\\{host}:{port}\\")] {
            let outcome = closed.send(&post(&url)).await;
            assert_eq!((outcome.verdict, outcome.status), (Verdict::Failed, None), "{url}: {outcome:?}");
            assert!(why.is_said_by(&outcome), "{url}: {why:?} and not {outcome:?}");
        }
        // Mail goes the same way; user names and such are no hosts there.
        let outcome = closed.send(&mail(host, port)).await;
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Failed, None), "mail to {host}: {outcome:?}");
        assert!(matches!(why, Why::Malformed(_)) || why.is_said_by(&outcome), "mail to {host}: {why:?} and not {outcome:?}");
    }
    assert_eq!(seen_by(&witness).await, 0, "nothing that was refused was dialled");

    // The same ways lead to the witness where they are allowed: it was there to be seen all the time.
    let own: Vec<String> = own_addresses().iter().map(ToString::to_string).collect();
    let allowed: Vec<&str> = ["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"].into_iter().chain(own.iter().map(String::as_str)).collect();
    let open = courier(&allowed, Arc::new(Names));
    let mut dialled = 0;
    for (host, ..) in all.iter().filter(|(.., reachable)| *reachable) {
        let outcome = open.send(&post(&format!("http://{host}:{port}/hook"))).await;
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Delivered, Some(200)), "{host}: {outcome:?}");
        dialled += 1;
    }
    assert!(dialled > 20 && seen_by(&witness).await > 0);
    assert_eq!(witness.requests().len(), dialled, "each of the ways that this machine knows");
    for (host, why, _) in all.iter().filter(|(.., reachable)| !*reachable) {
        let outcome = open.send(&post(&format!("http://{host}:{port}/hook"))).await;
        assert!(why.is_said_by(&outcome), "what is allowed opens nothing beside: {host}: {outcome:?}");
    }
    assert_eq!(witness.requests().len(), dialled);
    eprintln!("{} ways to write a forbidden address, {dialled} of which lead to this machine", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_own_names_are_refused_too() {
    let witness = Receiver::everywhere().await;
    let closed = courier(&[], Arc::new(SystemLookup));
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        let outcome = closed.send(&post(&format!("http://{host}:{}/", witness.port()))).await;
        let words = outcome.error.as_deref().unwrap_or_default();
        assert!(["127.0.0.1 is not", "::1 is not"].iter().any(|begin| words.starts_with(begin)), "{host}: {outcome:?}");
    }
    assert_eq!(seen_by(&witness).await, 0);
    let open = courier(&["localhost"], Arc::new(SystemLookup));
    assert_eq!(open.send(&post(&format!("http://localhost:{}/", witness.port()))).await.verdict, Verdict::Delivered);
    assert_eq!(seen_by(&witness).await, 1, "a name that the configuration allows is dialled");
}

/// A public address whenever it is asked for the first, third, fifth time, and loopback in between.
struct Rebinding {
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Lookup for Rebinding {
    async fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let public = self.asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        Ok(vec![if public { "93.184.215.14" } else { "127.0.0.1" }.parse().expect("an address")])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_dialled_by_the_answer_that_was_checked_and_by_no_other() {
    let witness = Receiver::everywhere().await;
    let lookup = Arc::new(Rebinding { asked: AtomicUsize::new(0) });
    let guard = Guard::new(Vec::new(), lookup.clone());
    let sender = Courier::new(guard.clone(), Duration::from_secs(3)).expect("a client");
    for round in 0..4 {
        // Public when it is looked at, as when a receiver is saved; ours when it is dialled.
        let to = guard.read_url("http://rebinding.example.com/").expect("a fine address");
        let checked = guard.resolve(&to).await.expect("it is public when it is checked");
        assert_eq!(checked, ["93.184.215.14:80".parse().expect("an address")], "a public address may be dialled");
        let outcome = sender.send(&post("http://rebinding.example.com/")).await;
        let words = outcome.error.clone().unwrap_or_default();
        assert!(words.starts_with("127.0.0.1 is not a public address"), "round {round}: {outcome:?}");
        assert_eq!(
            lookup.asked.load(Ordering::SeqCst),
            (round + 1) * 2,
            "one question for each dial, whose answer is the one that is checked"
        );
    }
    assert_eq!(seen_by(&witness).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_leads_anywhere_however_it_is_written() {
    let witness = Receiver::everywhere().await;
    let port = witness.port();
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("//[::1]:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://hooks.example.com@127.0.0.1:{port}/"),
        "/elsewhere".to_owned(),
    ];
    let codes = [301, 302, 303, 307, 308];
    let answers = targets.iter().flat_map(|target| {
        let headers: &'static str = Box::leak(format!("location: {target}\r\nrefresh: 0; url={target}\r\n").into_boxed_str());
        codes.map(|code| Answer::Status(code, headers, String::new()))
    });
    let hop = Receiver::start(answers.collect()).await;
    // Even where the target itself could be posted to.
    let open = courier(&["127.0.0.0/8", "::1"], Arc::new(SystemLookup));
    for (number, code) in targets.iter().flat_map(|_| codes).enumerate() {
        let outcome = open.send(&post(&hop.url("/"))).await;
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Failed, Some(code)), "{outcome:?}");
        assert!(outcome.error.is_some_and(|words| words.contains("redirects are not followed")), "{code}");
        assert_eq!(hop.requests().len(), number + 1, "the hop hears of it once, and nothing more");
    }
    assert_eq!(seen_by(&witness).await, 0);
    assert_eq!(open.send(&post(&format!("http://127.0.0.1:{port}/"))).await.verdict, Verdict::Delivered);
    assert_eq!(seen_by(&witness).await, 1, "it was there all the time");
}
