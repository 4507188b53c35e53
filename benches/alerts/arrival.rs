//! From a dead letter on Kafka to the webhook that tells of it: a real broker, the real binary, and a receiver that answers at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redrive::alerts::defaults::usual;
use redrive::model::Timestamp;
use redrive::model::alert::{Comparison, GroupBy, Label, Severity, Terms};
use redrive::model::figure::Figure;
use redrive::model::receiver::ReceiverId;
use redrive::store::alerts::rules::NewRule;
use redrive::store::{Store, StoreSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::kafka::{Kafka, Options, Outgoing};
use crate::redrive_process::{PATIENCE, Redrive, Setup};
use crate::report;

/// Dead-letter topics, each of which fires once.
const TOPICS: usize = 20;
/// A dead letter is told within this time.
const AIM: Duration = Duration::from_secs(2);

/// When each topic was first told of.
type Told = Arc<Mutex<HashMap<String, Instant>>>;

/// Sends a dead letter to each topic, one after the other, and waits for the webhook about it.
pub(crate) async fn measure() {
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("a broker");
    for number in 0..TOPICS {
        kafka.create_topic(&topic(number), 1, &[]).await;
    }
    // What lies there before is backlog, of which nobody is told; when it is indexed, all topics are read.
    let backlog: Vec<Outgoing> = (0..TOPICS).map(letter).collect();
    kafka.produce(&backlog).await;
    let told = Told::default();
    let url = receiver(Arc::clone(&told)).await;
    let mut redrive = Setup::new()
        .without_login()
        .bus_with("prod", &kafka.bootstrap(), "")
        .tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]")
        .start()
        .await;
    watch(&redrive, &url).await;
    redrive.wait_until("the backlog is indexed", PATIENCE, async || indexed(&redrive).await >= TOPICS).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(told.lock().expect("no panic").is_empty(), "backlog is quiet");

    let mut took = Vec::new();
    for number in 0..TOPICS {
        kafka.produce(&[letter(number)]).await;
        let arrived = Instant::now();
        let name = topic(number);
        redrive.wait_until("the webhook has come", PATIENCE, async || told.lock().expect("no panic").contains_key(&name)).await;
        took.push(told.lock().expect("no panic")[&name].saturating_duration_since(arrived));
    }
    redrive.stop().await;
    took.sort_unstable();
    report::head(&format!("{TOPICS} dead letters, each on a topic that was quiet"));
    let measured = format!("{:.2} s, half of them {:.2} s", took[TOPICS - 1].as_secs_f64(), took[TOPICS / 2].as_secs_f64());
    report::judged("from the record on Kafka to the webhook, slowest", &measured, "-", "2 s", took[TOPICS - 1] < AIM);
}

fn topic(number: usize) -> String {
    format!("paged-{number:02}-dlt")
}

fn letter(number: usize) -> Outgoing {
    Outgoing::to(topic(number))
        .timestamp(Timestamp::now().as_millis())
        .value("{\"order\":1}")
        .header("kafka_dlt-exception-fqcn", "com.example.OutOfStock")
        .header("kafka_dlt-exception-message", "no stock")
        .header("kafka_dlt-original-topic", "orders")
}

async fn indexed(redrive: &Redrive) -> usize {
    let answer = reqwest::get(redrive.url("/api/v1/dead-letters?limit=100")).await.expect("an answer");
    answer.json::<Value>().await.unwrap_or_default()["items"].as_array().map_or(0, Vec::len)
}

/// A critical rule that fires with the first dead letter of a topic, and whom it tells.
async fn watch(redrive: &Redrive, url: &str) {
    let new = json!({ "name": "pager", "kind": "webhook", "url": url });
    let answer = reqwest::Client::new().post(redrive.url("/api/v1/receivers")).json(&new).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let added: Value = answer.json().await.expect("JSON");
    let to: ReceiverId = added["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) };
    let store = Store::open_beside(&settings).await.expect("it opens");
    let terms = Terms {
        severity: Severity::Critical,
        by: vec![Label::Bus, Label::Topic],
        group_by: vec![GroupBy::Rule, GroupBy::Bus, GroupBy::Topic],
        receivers: vec![to],
        ..usual(Figure::DeadLettersPerMinute, Comparison::Above, 0.0)
    };
    let rule = NewRule { name: "Arriving".to_owned(), enabled: true, terms };
    store.add_alert_rule(&rule, &crate::entry(Timestamp::now())).await.expect("kept");
    store.close().await;
}

/// A server that answers every request with 204 and notes which topics it names.
#[expect(clippy::disallowed_methods, reason = "the benchmark's own receiver is in no lifecycle")]
async fn receiver(told: Told) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&told)));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, told: Told) {
    let mut request = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut part).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() < length {
            continue;
        }
        let now = Instant::now();
        for number in (0..TOPICS).filter(|number| body.contains(&topic(*number))) {
            told.lock().expect("no panic").entry(topic(number)).or_insert(now);
        }
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        return;
    }
}
