//! Dead letters in Spring's style with a ledger of what they were, a Redrive that has indexed them, and readers that are not Redrive.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::super::harness::kafka::{Kafka, Outgoing, unique};
use super::super::harness::redrive::{Redrive, Setup, http};

pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// A message as its producer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) partition: i32,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record as a reader found it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) known: Known,
    pub(super) offset: i64,
    pub(super) message_id: String,
    pub(super) attempt: String,
}

/// Topics and the ledger.
pub(crate) struct Scene {
    pub(crate) origin: String,
    pub(crate) dead_letters: String,
    pub(crate) group: String,
    pub(super) partitions: i32,
    /// In the order of their origin, by partition.
    pub(super) ledger: Vec<Known>,
}

impl Scene {
    /// New topics of their own.
    pub(crate) async fn new(kafka: &Kafka, partitions: i32) -> Self {
        let stem = unique("orders");
        kafka.create_topic(&stem, partitions, &[]).await;
        let dead_letters = format!("{stem}-failed");
        kafka.create_topic(&dead_letters, partitions, &[]).await;
        Self { group: format!("{stem}-service"), origin: stem, dead_letters, partitions, ledger: Vec::new() }
    }

    /// Dead letters of `keys` keys, so many each, interleaved; with duplicate, null, empty and binary headers, and null and binary values.
    pub(crate) async fn fail(&mut self, kafka: &Kafka, keys: usize, each: usize) {
        let records = self.failed(keys, each);
        kafka.produce(&records).await;
    }

    /// The records of [`Scene::fail`], written into the ledger and nowhere else yet.
    pub(super) fn failed(&mut self, keys: usize, each: usize) -> Vec<Outgoing> {
        let mut records = Vec::new();
        let mut offsets: HashMap<i32, i64> = HashMap::new();
        for round in 0..each {
            for key in 0..keys {
                let number = round * keys + key;
                let partition = i32::try_from(key).expect("few keys") % self.partitions;
                let offset = offsets.entry(partition).or_insert(100);
                let value = match number % 7 {
                    0 => None,
                    1 => Some(vec![0, 255, 254, u8::try_from(number % 251).expect("a byte"), 0]),
                    _ => Some(format!(r#"{{"order":{number},"key":{key}}}"#).into_bytes()),
                };
                let headers = vec![
                    ("tenant".to_owned(), Some(format!("t{}", number % 3).into_bytes())),
                    ("tag".to_owned(), Some(b"first".to_vec())),
                    ("tag".to_owned(), None),
                    ("tag".to_owned(), Some(vec![])),
                    ("bin".to_owned(), Some(vec![0xff, 0, 0x80, u8::try_from(number % 256).expect("a byte")])),
                ];
                let known = Known { partition, key: Some(format!("key-{key}").into_bytes()), value, headers };
                records.push(self.dead_letter(&known, *offset));
                *offset += 1;
                self.ledger.push(known);
            }
        }
        records
    }

    /// As Spring Kafka writes it.
    pub(super) fn dead_letter(&self, known: &Known, offset: i64) -> Outgoing {
        let mut record = Outgoing::to(self.dead_letters.as_str()).partition(known.partition);
        record.key.clone_from(&known.key);
        record.value.clone_from(&known.value);
        record.headers.clone_from(&known.headers);
        spring(record, &self.origin, known.partition, offset, &self.group)
    }

    /// A Redrive without login on this broker, that reads only the dead-letter topic of this scene.
    pub(crate) fn setup(&self, kafka: &Kafka, setup: Setup) -> Setup {
        setup.without_login().bus_with("prod", &kafka.bootstrap(), &section(&[&self.dead_letters]))
    }

    /// Waits until everything in the ledger is indexed.
    pub(crate) async fn until_indexed(&self, redrive: &Redrive, count: usize) {
        let path = format!("/api/v1/failure-groups?bus=prod&topic={}", self.dead_letters);
        redrive
            .wait_until("all dead letters are indexed", PATIENCE, async || {
                let Some(groups) = try_get(redrive, &path).await else { return false };
                let open: u64 = groups["items"].as_array().into_iter().flatten().filter_map(|group| group["counts"]["open"].as_u64()).sum();
                open >= count as u64
            })
            .await;
    }

    /// Waits until the configuration of the origin topic has been read.
    pub(super) async fn until_limit_known(&self, redrive: &Redrive) {
        let path = format!("/api/v1/buses/prod/topics/{}", self.origin);
        let known = async || try_get(redrive, &path).await.is_some_and(|topic| topic["config"]["max.message.bytes"].is_string());
        redrive.wait_until("the topic's limit is known", PATIENCE, known).await;
    }

    /// Plans a replay of everything open on the dead-letter topic.
    pub(super) async fn plan(&self, redrive: &Redrive, more: &Value) -> Value {
        let mut body = json!({"selection": {"filter": {"bus": "prod", "topic": self.dead_letters}}, "rate": null});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, replay) = post(redrive, "/api/v1/replays", &body).await;
        assert!(status == 201 || status == 202, "{status} {replay}");
        until(redrive, &replay, "it is planned", |replay| replay["state"] != "planning").await
    }

    /// Every record of the target, compared with the ledger: each once, byte for byte, the order of each key kept.
    pub(super) fn compare(&self, kafka: &Kafka) {
        self.compare_on(&kafka.client());
    }

    /// The same, with any client.
    pub(super) fn compare_on(&self, client: &ClientConfig) {
        let committed = read_with(client, &self.origin, self.partitions, "read_committed");
        assert_eq!(committed.len(), self.ledger.len(), "as many as there were");
        let mut by_key: BTreeMap<Vec<u8>, Vec<&Known>> = BTreeMap::new();
        for known in &self.ledger {
            by_key.entry(known.key.clone().unwrap_or_default()).or_default().push(known);
        }
        let mut seen_by_key: BTreeMap<Vec<u8>, Vec<&Known>> = BTreeMap::new();
        let mut ids = std::collections::HashSet::new();
        for seen in &committed {
            assert!(ids.insert(seen.message_id.clone()), "a message came twice: {}", seen.message_id);
            assert_eq!(seen.attempt, "1");
            seen_by_key.entry(seen.known.key.clone().unwrap_or_default()).or_default().push(&seen.known);
        }
        assert!(by_key == seen_by_key, "keys, values, headers, partitions or the order of a key differ");
        let mut repeats: HashMap<(String, String), Known> = HashMap::new();
        for seen in read_with(client, &self.origin, self.partitions, "read_uncommitted") {
            let before = repeats.insert((seen.message_id.clone(), seen.attempt.clone()), seen.known.clone());
            assert!(before.is_none_or(|before| before == seen.known), "a repeat is the same message");
        }
        assert_eq!(repeats.len(), self.ledger.len(), "repeats are known by message id and attempt");
    }
}

/// Only these dead-letter topics.
pub(crate) fn section(topics: &[&str]) -> String {
    let list = topics.iter().map(|topic| format!("{topic:?}")).collect::<Vec<_>>().join(", ");
    format!("id_prefix = \"redrive-\"\n[bus.dead_letters]\ntopics = [{list}]\n")
}

/// Adds what Spring Kafka's recoverer writes.
pub(crate) fn spring(record: Outgoing, topic: &str, partition: i32, offset: i64, group: &str) -> Outgoing {
    record
        .header("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException")
        .header("kafka_dlt-exception-cause-fqcn", "com.example.CardDeclined")
        .header("kafka_dlt-exception-message", "Listener method threw exception; card declined")
        .header(
            "kafka_dlt-exception-stacktrace",
            "com.example.CardDeclined: card declined\n\tat com.example.Payments.charge(Payments.java:42)\n",
        )
        .header("kafka_dlt-original-topic", topic)
        .header("kafka_dlt-original-partition", partition.to_be_bytes().to_vec())
        .header("kafka_dlt-original-offset", offset.to_be_bytes().to_vec())
        .header("kafka_dlt-original-timestamp", redrive::model::Timestamp::now().as_millis().to_be_bytes().to_vec())
        .header("kafka_dlt-original-timestamp-type", "CreateTime")
        .header("kafka_dlt-original-consumer-group", group)
}

/// Reads a whole topic as it stands now. Our own headers are taken out and told apart.
pub(super) fn read(kafka: &Kafka, topic: &str, partitions: i32, isolation: &str) -> Vec<Seen> {
    read_with(&kafka.client(), topic, partitions, isolation)
}

fn read_with(client: &ClientConfig, topic: &str, partitions: i32, isolation: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", unique("reader"))
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("an assignment");
    let (mut seen, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(PATIENCE).expect("the reader is answered") {
            Ok(message) => seen.push(seen_of(&message)),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

fn seen_of(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let mut headers = Vec::new();
    let (mut message_id, mut attempt) = (String::new(), String::new());
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let text = || String::from_utf8(header.value.unwrap_or_default().to_vec()).expect("text");
        match header.key {
            "redrive-message-id" => message_id = text(),
            "redrive-attempt" => attempt = text(),
            "redrive-replay-id" | "redrive-consumer-group" | "traceparent" => {}
            name => headers.push((name.to_owned(), header.value.map(<[u8]>::to_vec))),
        }
    }
    let known = Known {
        partition: message.partition(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    };
    Seen { known, offset: message.offset(), message_id, attempt }
}

/// An answer, unless the process is away.
pub(super) async fn try_get(redrive: &Redrive, path: &str) -> Option<Value> {
    let response = http().get(redrive.url(path)).send().await.ok()?;
    response.json().await.ok()
}

pub(crate) async fn get(redrive: &Redrive, path: &str) -> Value {
    try_get(redrive, path).await.expect("an answer")
}

pub(super) async fn post(redrive: &Redrive, path: &str, body: &Value) -> (u16, Value) {
    let response = http().post(redrive.url(path)).json(body).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// An act on a replay, such as `pause`.
pub(super) async fn act(redrive: &Redrive, replay: &Value, verb: &str, body: &Value) -> (u16, Value) {
    post(redrive, &format!("/api/v1/replays/{}/{verb}", replay["id"].as_str().expect("an id")), body).await
}

/// Starts a plan with all of its warnings accepted.
pub(super) async fn start(redrive: &Redrive, replay: &Value) -> Value {
    let checks = replay["checks"].as_array().expect("checks");
    let accept: Vec<&Value> = checks.iter().filter(|check| check["level"] == "warning").map(|check| &check["code"]).collect();
    let (status, started) = act(redrive, replay, "start", &json!({ "accept": accept })).await;
    assert_eq!(status, 200, "{started}");
    started
}

pub(super) async fn find(redrive: &Redrive, replay: &Value) -> Option<Value> {
    try_get(redrive, &format!("/api/v1/replays/{}", replay["id"].as_str().expect("an id"))).await
}

/// Waits for something about a replay.
pub(super) async fn until(redrive: &Redrive, replay: &Value, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let (mut last, begun) = (replay.clone(), std::time::Instant::now());
    loop {
        if let Some(found) = find(redrive, replay).await {
            last = found;
        }
        if holds(&last) {
            return last;
        }
        redrive.assert_running();
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} still not: {what}\n{last:#}\n{}", redrive.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
