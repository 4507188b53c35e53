//! Redrive with both receivers, the shared Kafka, and programs that are run against them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use redrive::store::{Store, StoreSettings};
use serde_json::{Value, json};

use super::super::{export, get, nanos, text};
use super::ledger::{Handled, Ledger};
use crate::harness::kafka::{self, Kafka, unique};
use crate::harness::redrive::{PATIENCE, Redrive, Setup, free_address, http};
use crate::replay::scene::section;

/// Messages of each producer.
pub(super) const COUNT: usize = 12;
/// The clocks that an SDK and its program read may differ by so much: one is set right now and then, the other only counts on.
const CLOCKS: i64 = 50_000_000;

/// How a program exports.
#[derive(Debug, Clone, Copy)]
pub(super) enum Export {
    Grpc,
    Protobuf,
    Json,
}

/// Everything around the programs of a test.
pub(super) struct Scene {
    pub(super) kafka: &'static Kafka,
    pub(super) redrive: Redrive,
    pub(super) store: Store,
    grpc: SocketAddr,
    http: SocketAddr,
}

/// A span as the API tells it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) value: Value,
}

impl Scene {
    /// With topics, each of a stem and the groups that read it (`TOPIC-GROUP`), once Redrive knows them where it counts spans. Topics with
    /// a stem that ends in `-dlt` are for dead letters.
    pub(super) async fn start<const N: usize>(topics: [(&str, &[&str]); N]) -> (Self, [String; N]) {
        let (kafka, grpc, http) = (kafka::shared(), free_address(), free_address());
        let mut names = topics.map(|(stem, _)| unique(stem));
        for (topic, (_, groups)) in names.iter_mut().zip(topics) {
            kafka.create_topic(topic, 2, &[]).await;
            for group in groups {
                kafka.commit(&format!("{topic}-{group}"), &[(topic, 0, 0), (topic, 1, 0)]).await;
            }
        }
        let otlp = format!("[otlp]\ngrpc_listen = \"{grpc}\"\nhttp_listen = \"{http}\"\n");
        let letters: Vec<&str> = names.iter().map(String::as_str).filter(|topic| topic.contains("-dlt-")).collect();
        let setup = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section(&letters));
        let redrive = setup.tables(&otlp).start().await;
        let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
        let settings = StoreSettings { url, max_bytes: None, read_timeout: PATIENCE };
        let store = Store::open_beside(&settings).await.expect("the store opens");
        let scene = Self { kafka, redrive, store, grpc, http };
        for (topic, (_, groups)) in names.iter().zip(topics) {
            scene.until_read_by(topic, groups.len()).await;
        }
        scene.until_known(&names, &topics.map(|(_, groups)| groups)).await;
        (scene, names)
    }

    async fn until_read_by(&self, topic: &str, readers: usize) {
        let groups = format!("/api/v1/buses/prod/consumer-groups?topic={topic}");
        self.redrive
            .wait_until("the groups are seen", PATIENCE, async || {
                let answer = http().get(self.redrive.url(&groups)).send().await.expect("an answer");
                let groups: Value = answer.json().await.expect("JSON");
                groups["items"].as_array().is_some_and(|items| items.len() == readers)
            })
            .await;
    }

    /// Sends spans that name no group, until they are counted for the only group that reads their topic, or for none of several.
    async fn until_known(&self, topics: &[String], groups: &[&[&str]]) {
        let mut number = 0;
        self.redrive
            .wait_until("groups are known where spans are counted", PATIENCE, async || {
                number += 1;
                let probes: Vec<Value> = topics.iter().enumerate().map(|(at, topic)| probe(topic, number * 100 + at)).collect();
                let body = export(&format!("probe-{number:03}"), &probes);
                let sent = http().post(format!("http://{}/v1/traces", self.http)).json(&body).send().await;
                assert_eq!(sent.expect("an answer").status(), 200);
                tokio::time::sleep(Duration::from_millis(400)).await;
                for (topic, groups) in topics.iter().zip(groups) {
                    let wanted = if let [only] = groups { json!(format!("{topic}-{only}")) } else { Value::Null };
                    let counted = get(&self.redrive, &format!("/api/v1/series?figure=spans_per_second&bus=prod&topic={topic}")).await;
                    let labels = counted["series"].as_array().expect("series").iter().map(|series| &series["labels"]);
                    let last = labels.max_by_key(|labels| labels["service"].to_string());
                    if last.is_none_or(|labels| labels["consumer_group"] != wanted) {
                        return false;
                    }
                }
                true
            })
            .await;
    }

    /// Runs an act of a program to its end, as a service.
    pub(super) async fn run(&self, mut command: Command, act: &str, topic: &str, service: &str, export: Export) -> Ledger {
        let (protocol, address) = match export {
            Export::Grpc => ("grpc", self.grpc),
            Export::Protobuf => ("http/protobuf", self.http),
            Export::Json => ("http/json", self.http),
        };
        command
            .arg(act)
            .env("BOOTSTRAP_SERVERS", self.kafka.bootstrap())
            .env("TOPIC", topic)
            .env("OTEL_SERVICE_NAME", service)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            // What the machine has set is another application's.
            .env_remove("OTEL_RESOURCE_ATTRIBUTES");
        if !command.get_envs().any(|(name, _)| name == "COUNT") {
            command.env("COUNT", COUNT.to_string());
        }
        Ledger::of(command).await
    }

    /// Waits until so many spans of a service are counted.
    pub(super) async fn until_counted(&self, service: &str, spans: usize) {
        self.redrive.wait_until("the spans are counted", PATIENCE, async || self.spans(service).await >= spans).await;
        assert_eq!(self.spans(service).await, spans, "{service}");
    }

    /// The journey of a record, by its coordinates.
    pub(super) async fn journey(&self, topic: &str, partition: i32, offset: i64) -> Vec<Value> {
        let path = format!("/api/v1/journeys?bus=prod&topic={topic}&partition={partition}&offset={offset}");
        get(&self.redrive, &path).await["steps"].as_array().expect("steps").clone()
    }

    /// The journey of a trace.
    pub(super) async fn journey_of(&self, trace: &str) -> Vec<Value> {
        get(&self.redrive, &format!("/api/v1/journeys?trace_id={trace}")).await["steps"].as_array().expect("steps").clone()
    }

    /// The journey of a dead letter.
    pub(super) async fn journey_of_letter(&self, id: &str) -> Vec<Value> {
        get(&self.redrive, &format!("/api/v1/journeys?dead_letter={id}")).await["steps"].as_array().expect("steps").clone()
    }

    /// Ids of the traces that a search finds, the first first.
    pub(super) async fn traces(&self, query: &str) -> Vec<String> {
        let found = get(&self.redrive, &format!("/api/v1/traces?limit=500&{query}")).await;
        let items = found["items"].as_array().expect("items").iter().rev();
        items.map(|item| item["trace_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Every span of a trace.
    pub(super) async fn trace(&self, trace: &str) -> Vec<Told> {
        let told = get(&self.redrive, &format!("/api/v1/traces/{trace}")).await;
        let spans = told["spans"].as_array().expect("spans");
        spans.iter().map(Told::new).collect()
    }

    /// The span of a step.
    pub(super) async fn span_of(&self, step: &Value) -> Told {
        let spans = self.trace(step["trace_id"].as_str().expect("the step has a span")).await;
        spans.into_iter().find(|span| span.value["span_id"] == step["span_id"]).expect("the span is in its trace")
    }
}

impl Told {
    #[expect(clippy::cast_possible_truncation, reason = "nanoseconds of a span")]
    fn new(value: &Value) -> Self {
        let start: i64 = value["start_unix_nano"].as_str().expect("a start").parse().expect("a number");
        let length = (value["duration_seconds"].as_f64().expect("a duration") * 1e9).round() as i64;
        Self { start, end: start + length, value: value.clone() }
    }

    /// That it lies between two times.
    pub(super) fn assert_within(&self, from: i64, to: i64) {
        assert!(from - CLOCKS <= self.start && self.end <= to + CLOCKS, "not between {from} and {to}: {self:?}");
    }

    /// That it lasted while a message was handled.
    pub(super) fn assert_around(&self, handled: &Handled) {
        assert!(self.start <= handled.began + CLOCKS && handled.ended <= self.end + CLOCKS, "not around {handled:?}: {self:?}");
    }

    /// That it was over when a message was handled.
    pub(super) fn assert_before(&self, handled: &Handled) {
        assert!(self.end <= handled.began + CLOCKS, "not before {handled:?}: {self:?}");
    }
}

/// A span as a consumer without a group would send it.
fn probe(topic: &str, number: usize) -> Value {
    json!({
        "traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number + 1), "name": "process", "kind": 5,
        "startTimeUnixNano": nanos(1, 0), "endTimeUnixNano": nanos(1, 1),
        "attributes": [text("messaging.system", "kafka"), text("messaging.destination.name", topic)],
    })
}

/// Kinds of steps.
pub(super) fn kinds(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["kind"].as_str().expect("a kind")).collect()
}
