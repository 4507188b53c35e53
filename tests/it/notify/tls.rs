//! Receivers behind TLS, by a real process: whose certificate holds is told, and to anybody else nothing is sent.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::SECRET;
use super::mail::mail_server_behind_tls;
use crate::harness::notify::Receiver;
use crate::harness::redrive::{Redrive, Setup};
use crate::harness::tls::{Authority, Term};

fn setup() -> Setup {
    Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]")
}

/// A Redrive that trusts an authority of the test's own.
async fn trusting(authority: &Authority, folder: &TempDir) -> Redrive {
    let file = folder.path().join("authorities.pem");
    std::fs::write(&file, authority.pem()).expect("the scratch folder can be written");
    setup().environment("SSL_CERT_FILE", &file.display().to_string()).start().await
}

/// Adds a receiver and has it tested; the delivery that came of it, with its log.
async fn told(redrive: &Redrive, admin: &reqwest::Client, receiver: Value) -> Value {
    let json = async |answer: reqwest::Response| {
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let added = json(admin.post(redrive.url("/api/v1/receivers")).json(&receiver).send().await.expect("an answer")).await;
    let id = added["id"].as_str().expect("an id");
    json(admin.post(redrive.url(&format!("/api/v1/receivers/{id}/test"))).send().await.expect("an answer")).await
}

fn hook(name: &str, receiver: &Receiver) -> Value {
    json!({ "name": name, "kind": "webhook", "url": receiver.secure_url("/hook"), "secret": SECRET })
}

fn mail(name: &str, port: u16) -> Value {
    let smtp = json!({ "host": "localhost", "port": port, "tls": "tls", "from": "redrive@example.com", "to": ["ann@example.com"] });
    json!({ "name": name, "kind": "email", "smtp": smtp })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_holds_is_told_and_with_any_other_nothing_is_sent() {
    let (ours, stranger, folder) = (Authority::new("Our authority"), Authority::new("A stranger"), tempfile::tempdir().expect("a folder"));
    let redrive = trusting(&ours, &folder).await;
    let admin = redrive.client("admin");
    let good = Receiver::behind_tls(ours.server("localhost", Term::Current)).await;
    let delivery = told(&redrive, &admin, hook("good", &good)).await;
    assert_eq!((delivery["state"].as_str(), delivery["last_status"].as_u64()), (Some("delivered"), Some(200)), "{delivery}");
    assert_eq!(good.requests().iter().map(|request| request.line.as_str()).collect::<Vec<_>>(), ["POST /hook HTTP/1.1"]);
    assert_eq!(good.requests()[0].id(), delivery["id"].as_str().expect("an id"));
    let cases = [
        ("unknown", stranger.server("localhost", Term::Current), "its authority is not trusted here"),
        ("expired", ours.server("localhost", Term::Expired), "it has expired"),
        ("another name", ours.server("other.example.com", Term::Current), "it is for another name than that in the url"),
    ];
    for (name, acceptor, words) in cases {
        let receiver = Receiver::behind_tls(acceptor).await;
        let delivery = told(&redrive, &admin, hook(name, &receiver)).await;
        let error = delivery["log"][0]["error"].as_str().unwrap_or_default();
        let expected = format!("no connection: the receiver's certificate is refused, and nothing was sent: {words}");
        assert!(error.starts_with(&expected), "{name}: {delivery}");
        assert_eq!((&delivery["log"][0]["status"], &delivery["uncertain"]), (&Value::Null, &json!(false)), "{delivery}");
        assert_eq!((receiver.requests().len(), receiver.connections()), (0, 1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_where_the_environment_names_it_and_nowhere_else() {
    let (ours, folder) = (Authority::new("Our authority"), tempfile::tempdir().expect("a folder"));
    let server = || ours.server("localhost", Term::Current);
    let receiver = Receiver::behind_tls(server()).await;
    let (port, lines) = mail_server_behind_tls(server()).await;
    for (redrive, state) in [(setup().start().await, "given_up"), (trusting(&ours, &folder).await, "delivered")] {
        let admin = redrive.client("admin");
        for body in [hook("hook", &receiver), mail("mail", port)] {
            let delivery = told(&redrive, &admin, body).await;
            assert_eq!(delivery["state"], state, "{delivery}");
        }
        let sent = (receiver.requests().len(), lines.lock().unwrap().iter().filter(|line| line.starts_with("MAIL")).count());
        assert_eq!(sent, if state == "delivered" { (1, 1) } else { (0, 0) });
    }
}
