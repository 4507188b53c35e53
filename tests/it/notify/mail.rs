//! Mail, by a real conversation with a mail server of the test's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redrive::alerts::receivers::ReceiverTerms;
use redrive::model::Timestamp;
use redrive::model::delivery::DeliveryState;
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::receiver::{Endpoint, ReceiverId, ReceiverKind, Smtp, SmtpTls};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Scene, alert, firing, notification};

/// Takes mails, the first of them with this answer; without TLS. Answers its port and what it was told, line by line.
async fn mail_server(first: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    listen(first, None).await
}

/// Takes mails, inside of TLS from the first byte on.
pub(super) async fn mail_server_behind_tls(acceptor: TlsAcceptor) -> (u16, Arc<Mutex<Vec<String>>>) {
    listen("250 taken", Some(acceptor)).await
}

#[expect(clippy::disallowed_methods, reason = "a server of the test's own, outside of what is tested")]
async fn listen(first: &'static str, acceptor: Option<TlsAcceptor>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = listener.local_addr().expect("an address").port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&told);
    tokio::spawn(async move {
        let mut answer = first;
        while let Ok((stream, _)) = listener.accept().await {
            match &acceptor {
                None => converse(stream, &lines, &mut answer).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, &lines, &mut answer).await;
                    }
                }
            }
        }
    });
    (port, told)
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, lines: &Mutex<Vec<String>>, answer: &mut &'static str) {
    let mut stream = BufReader::new(stream);
    let _ = stream.write_all(b"220 mail.example.com\r\n").await;
    let _ = stream.flush().await;
    let (mut line, mut in_data) = (String::new(), false);
    while stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
        let text = line.trim_end().to_owned();
        line.clear();
        let reply = match (in_data, text.split(' ').next().unwrap_or_default()) {
            (true, ".") => {
                in_data = false;
                std::mem::replace(answer, "250 taken")
            }
            (true, _) => "",
            (false, "EHLO") => "250 mail.example.com",
            (false, "DATA") => {
                in_data = true;
                "354 go on"
            }
            (false, "QUIT") => "221 bye",
            (false, "RCPT") if text.contains("unknown@") => "550 no such mailbox",
            (false, "RCPT") if text.contains("later@") && !lines.lock().unwrap().contains(&text) => "450 not now",
            (false, _) => "250 ok",
        };
        lines.lock().unwrap().push(text);
        if !reply.is_empty() && (stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() || stream.flush().await.is_err()) {
            return;
        }
    }
}

async fn add(scene: &Scene, port: u16, tls: SmtpTls) -> ReceiverId {
    add_to(scene, port, tls, &["ann@example.com", "bob@example.com"]).await
}

async fn add_to(scene: &Scene, port: u16, tls: SmtpTls, to: &[&str]) -> ReceiverId {
    scene.add_terms(terms(&format!("mail {port} {}", to.concat()), port, tls, to)).await
}

fn terms(name: &str, port: u16, tls: SmtpTls, to: &[&str]) -> ReceiverTerms {
    let smtp = Smtp {
        host: "localhost".to_owned(),
        port,
        tls,
        username: None,
        password: None,
        from: "Redrive <redrive@example.com>".to_owned(),
        to: to.iter().map(|address| (*address).to_owned()).collect(),
    };
    let endpoint = Endpoint { smtp: Some(smtp), ..Endpoint::default() };
    ReceiverTerms { name: name.to_owned(), kind: ReceiverKind::Email, endpoint, remove: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_tried_again_under_the_same_message_id() {
    let scene = Scene::new().await;
    let (port, told) = mail_server("451 try later").await;
    let id = add(&scene, port, SmtpTls::None).await;
    let ids = scene.tell(&firing(1), &[id]).await;
    let delivered = scene.until(&ids[0], DeliveryState::Delivered, Duration::from_hours(2)).await;
    assert_eq!((delivered.attempts, delivered.last_status), (2, Some(250)));
    let log = scene.world.store.list_attempts(delivered.number).await.unwrap();
    assert_eq!(log[0].status, Some(451));
    let lines = told.lock().unwrap().clone();
    let message_id = format!("Message-ID: <{}@example.com>", ids[0]);
    assert_eq!(lines.iter().filter(|line| **line == message_id).count(), 2, "{lines:#?}");
    assert!(lines.iter().any(|line| line == "Subject: Firing: Consumer group stalled"));
    assert!(lines.iter().any(|line| line == "RCPT TO:<bob@example.com>") && lines.iter().any(|line| line.contains("12,345 messages")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_protection_that_was_chosen_nothing_is_sent() {
    let scene = Scene::new().await;
    let (port, told) = mail_server("250 taken").await;
    for tls in [SmtpTls::Starttls, SmtpTls::Tls] {
        let id = add(&scene, port, tls).await;
        let ids = scene.tell(&firing(1), &[id]).await;
        scene.until(&ids[0], DeliveryState::Failed, Duration::ZERO).await;
        scene.deliveries.receivers().remove(id, &super::actor(), redrive::model::Timestamp::now()).await.unwrap();
    }
    assert!(!told.lock().unwrap().iter().any(|line| line.starts_with("MAIL") || line.contains("billing")));
}

/// How often an address was named to the server.
fn named(told: &Mutex<Vec<String>>, address: &str) -> usize {
    let line = format!("RCPT TO:<{address}>");
    told.lock().unwrap().iter().filter(|text| **text == line).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_takes_the_mail_from_nobody_and_whoever_has_it_gets_no_second_one() {
    let scene = Scene::new().await;
    let (port, told) = mail_server("250 taken").await;
    let id = add_to(&scene, port, SmtpTls::None, &["ann@example.com", "later@example.com"]).await;
    let ids = scene.tell(&firing(1), &[id]).await;
    let failed = scene.until(&ids[0], DeliveryState::Failed, Duration::ZERO).await;
    let error = failed.last_error.clone().expect("an error");
    assert!(error.contains("refused later@example.com") && error.contains("the other addresses have the mail"), "{error}");
    assert_eq!((failed.last_status, failed.uncertain), (Some(450), false));
    let delivered = scene.until(&ids[0], DeliveryState::Delivered, Duration::from_hours(2)).await;
    assert_eq!(delivered.attempts, 2);
    assert_eq!((named(&told, "ann@example.com"), named(&told, "later@example.com")), (1, 2));

    let id = add_to(&scene, port, SmtpTls::None, &["unknown@example.com", "cid@example.com"]).await;
    let ids = scene.tell(&firing(2), &[id]).await;
    let failed = scene.until(&ids[0], DeliveryState::Failed, Duration::ZERO).await;
    assert_eq!((failed.last_status, named(&told, "cid@example.com")), (Some(550), 1), "never green while one has not got it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_for_ever_holds_up_no_later_mail_and_the_others_have_each_mail_once() {
    let mut scene = Scene::new().await;
    let (port, told) = mail_server("250 taken").await;
    let id = scene.add_terms(terms("on call", port, SmtpTls::None, &["unknown@example.com", "cid@example.com"])).await;
    let first = scene.tell(&firing(1), &[id]).await;
    scene.until(&first[0], DeliveryState::Failed, Duration::ZERO).await;
    let begun = std::time::Instant::now();
    let second = scene.tell(&notification(Reason::AllResolved, vec![alert(1, NotifiedStatus::Resolved)]), &[id]).await;
    let failed = scene.until(&second[0], DeliveryState::Failed, Duration::ZERO).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(scene.find(&first[0]).await.attempts, 1, "before the first one is tried again");
    assert_eq!((named(&told, "cid@example.com"), failed.had_by.as_slice()), (2, ["cid@example.com".to_owned()].as_slice()));

    scene.restart();
    let begun = std::time::Instant::now();
    while scene.find(&first[0]).await.attempts < 2 || scene.find(&second[0]).await.attempts < 2 {
        assert!(begun.elapsed() < Duration::from_secs(40), "they are not tried again");
        // Past the first wait of the ladder, and not past the second.
        scene.deliveries.go_on(Timestamp::now().plus(Duration::from_secs(7))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(named(&told, "unknown@example.com") >= 4);

    let corrected = terms("on call", port, SmtpTls::None, &["cid@example.com"]);
    scene.deliveries.receivers().change(id, corrected, &super::actor(), Timestamp::now()).await.unwrap();
    for delivery in [&first[0], &second[0]] {
        scene.until(delivery, DeliveryState::Delivered, Duration::ZERO).await;
    }
    assert_eq!(named(&told, "cid@example.com"), 2, "who has a mail is not sent it again, whoever tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_was_handed_has_not_arrived() {
    let scene = Scene::new().await;
    // A port that nobody listens on, and a server that says nothing at all.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let closed = {
        let short = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        port(&short)
    };
    for port in [closed, port(&listener)] {
        let id = add(&scene, port, SmtpTls::None).await;
        let ids = scene.tell(&firing(1), &[id]).await;
        let failed = scene.until(&ids[0], DeliveryState::Failed, Duration::ZERO).await;
        assert!(!failed.uncertain, "it cannot have arrived: {failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_cut() {
    let scene = Scene::new().await;
    let long: &'static str = Box::leak(format!("{}250 taken", "250-all is well and the queue is empty\r\n".repeat(300)).into_boxed_str());
    let (port, _) = mail_server(long).await;
    let id = add(&scene, port, SmtpTls::None).await;
    let ids = scene.tell(&firing(1), &[id]).await;
    let delivered = scene.until(&ids[0], DeliveryState::Delivered, Duration::ZERO).await;
    let log = scene.world.store.list_attempts(delivered.number).await.unwrap();
    assert_eq!(log[0].answer.as_deref().map(str::len), Some(redrive::alerts::notify::courier::MAX_ANSWER));
}
