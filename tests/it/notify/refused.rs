//! Where nothing is ever posted to. The test's own server is the witness: it must not even be connected to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redrive::alerts::notify::courier::{Courier, Verdict};
use redrive::alerts::notify::guard::{Guard, Lookup, SystemLookup};
use redrive::alerts::notify::{Parcel, Post};
use redrive::alerts::receivers::{ReceiverError, ReceiverTerms};
use redrive::config::AllowedAddress;
use redrive::model::Timestamp;
use redrive::model::receiver::{Endpoint, ReceiverKind, Secret, Smtp, SmtpTls};

use super::{Scene, actor};
use crate::harness::notify::{Answer, Receiver};

fn post(url: &str) -> Parcel {
    Parcel::Post(Post { url: url.to_owned(), headers: Vec::new(), body: "{}".to_owned() })
}

fn courier(allowed: Vec<AllowedAddress>, lookup: Arc<dyn Lookup>) -> Courier {
    Courier::new(Guard::new(allowed, lookup), Duration::from_secs(2)).expect("a client can be made")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_loopback_is_connected_to() {
    let witness = Receiver::start(Vec::new()).await;
    let courier = courier(Vec::new(), Arc::new(SystemLookup));
    let port = witness.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
    ];
    for host in hosts {
        let outcome = courier.send(&post(&format!("http://{host}:{port}/"))).await;
        assert_eq!(outcome.verdict, Verdict::Failed, "{host}: {outcome:?}");
        assert_eq!(outcome.status, None, "{host}");
    }
    assert_eq!(witness.connections(), 0);
    let allowed = vec![AllowedAddress::parse("127.0.0.0/8").expect("a network")];
    let allowing = Courier::new(Guard::new(allowed, Arc::new(SystemLookup)), Duration::from_secs(2)).expect("a client");
    assert_eq!(allowing.send(&post(&witness.url("/"))).await.verdict, Verdict::Delivered);
    assert_eq!(witness.connections(), 1, "the witness can be reached where it is allowed");
}

/// A public address first, loopback from then on: what a hostile name server answers.
struct Rebinding {
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Lookup for Rebinding {
    async fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![if first { "93.184.215.14" } else { "127.0.0.1" }.parse().expect("an address")])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_between_check_and_dial_leads_nowhere() {
    // Allowed by port only for the witness's network, so that nothing but the address is in the way.
    let witness = Receiver::start(Vec::new()).await;
    let lookup = Arc::new(Rebinding { asked: AtomicUsize::new(0) });
    let guard = Guard::new(Vec::new(), lookup.clone());
    let to = guard.read_url("http://rebinding.example.com/").expect("a fine address");
    assert!(guard.resolve(&to).await.is_ok(), "when it was saved it was public");
    let courier = Courier::new(guard, Duration::from_secs(2)).expect("a client");
    for url in ["http://rebinding.example.com/".to_owned(), format!("http://rebinding.example.com:{}/", witness.port())] {
        let outcome = courier.send(&post(&url)).await;
        assert_eq!(outcome.verdict, Verdict::Failed, "{outcome:?}");
        assert!(outcome.error.as_deref().is_some_and(|words| words.contains("127.0.0.1 is not a public address")), "{outcome:?}");
    }
    assert!(lookup.asked.load(Ordering::SeqCst) > 1, "it is asked again for every dial");
    assert_eq!(witness.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_not_even_to_allowed_addresses() {
    let witness = Receiver::start(Vec::new()).await;
    let headers: &'static str = Box::leak(format!("location: {}\r\n", witness.url("/")).into_boxed_str());
    let codes = [301, 302, 303, 307, 308];
    let hop = Receiver::start(codes.iter().map(|code| Answer::Status(*code, headers, String::new())).collect()).await;
    let allowed = vec![AllowedAddress::parse("127.0.0.0/8").expect("a network")];
    let courier = courier(allowed, Arc::new(SystemLookup));
    for code in codes {
        let outcome = courier.send(&post(&hop.url("/"))).await;
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Failed, Some(code)));
    }
    assert_eq!(witness.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_when_sent_cannot_be_saved() {
    let scene = Scene::new().await;
    let refused = async |kind: ReceiverKind, endpoint: Endpoint| {
        let terms = ReceiverTerms { name: "x".to_owned(), kind, endpoint, remove: Vec::new() };
        match scene.deliveries.receivers().add(terms, &actor(), Timestamp::now()).await {
            Err(ReceiverError::Invalid(problem)) => problem.field,
            other => panic!("{other:?}"),
        }
    };
    let url = |text: &str| Endpoint { url: Some(Secret::new(text)), ..Endpoint::default() };
    for text in
        ["http://10.0.0.1/", "https://[::ffff:169.254.169.254]/", "https://8.8.8.8:22/", "ftp://example.com/", "https://u:p@example.com/"]
    {
        assert_eq!(refused(ReceiverKind::Webhook, url(text)).await, "url", "{text}");
    }
    let smtp = Smtp {
        host: "192.168.1.1".to_owned(),
        port: 25,
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "redrive@example.com".to_owned(),
        to: vec!["ann@example.com".to_owned()],
    };
    let mail = |smtp: Smtp| Endpoint { smtp: Some(smtp), ..Endpoint::default() };
    assert_eq!(refused(ReceiverKind::Email, mail(smtp.clone())).await, "smtp.host");
    assert_eq!(refused(ReceiverKind::Email, mail(Smtp { host: "3232235777".to_owned(), ..smtp.clone() })).await, "smtp.host");
    assert_eq!(refused(ReceiverKind::Email, mail(Smtp { host: "127.0.0.1".to_owned(), to: Vec::new(), ..smtp })).await, "smtp.to");
    assert_eq!(refused(ReceiverKind::Pagerduty, Endpoint::default()).await, "routing_key");
    assert_eq!(refused(ReceiverKind::Slack, Endpoint::default()).await, "url");
    assert_eq!(refused(ReceiverKind::Alertmanager, url("http://127.0.0.1:9093/")).await, "url");
    let signed = Endpoint { secret: Some(Secret::new("whsec_short")), ..url("http://127.0.0.1:9/") };
    assert_eq!(refused(ReceiverKind::Webhook, signed).await, "secret");
}
