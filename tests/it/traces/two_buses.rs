//! Two buses with topics of the same names: what happened on one is never told of the other, and what may be of either is left out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{PATIENCE, export, get, nanos, number, post, text};
use crate::harness::kafka::{self, Kafka, Options, Outgoing, unique};
use crate::harness::postgres;
use crate::harness::redrive::{Redrive, Setup, http};
use crate::replay::scene::{section, spring};

fn trace(number: u8) -> String {
    format!("{number:032x}")
}

/// A span about a record of the topic, in a trace of its own: only coordinates can join it with others.
fn span(number_of_trace: u8, operation: &str, topic: &str, offset: i64, seconds_ago: i64, bus: &[Value]) -> Value {
    let mut attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.operation.type", operation),
        text("messaging.operation.name", operation),
        text("messaging.destination.name", topic),
        text("messaging.destination.partition.id", "0"),
        number("messaging.kafka.offset", offset),
    ];
    attributes.extend(bus.iter().cloned());
    json!({
        "traceId": trace(number_of_trace), "spanId": format!("{number_of_trace:016x}"), "name": format!("{operation} {topic}"),
        "kind": if operation == "send" { 4 } else { 5 },
        "startTimeUnixNano": nanos(seconds_ago, 0), "endTimeUnixNano": nanos(seconds_ago, 5), "attributes": attributes,
    })
}

/// Traces that a journey's steps name, and everything it says for them.
async fn journey(redrive: &Redrive, query: &str) -> (BTreeSet<String>, String) {
    let found = get(redrive, &format!("/api/v1/journeys?{query}")).await;
    let steps = found["steps"].as_array().expect("steps");
    let words = |field: &'static str| steps.iter().filter_map(move |step| step[field].as_str()).map(str::to_owned);
    (words("trace_id").collect(), words("evidence").collect::<Vec<_>>().join("\n"))
}

fn traces(numbers: &[u8]) -> BTreeSet<String> {
    numbers.iter().map(|number| trace(*number)).collect()
}

async fn keeps(redrive: &Redrive, number: u8, reason: &str) -> bool {
    let answer = http().get(redrive.url(&format!("/api/v1/traces/{}", trace(number)))).send().await.expect("an answer");
    let found: Value = answer.json().await.expect("JSON");
    found["kept"].as_array().is_some_and(|kept| kept.contains(&json!(reason)))
}

/// The median time in the broker, once there is one.
async fn broker_seconds(redrive: &Redrive, bus: &str, topic: &str) -> Option<f64> {
    let path = format!("/api/v1/series?figure=broker_duration_seconds&bus={bus}&topic={topic}&quantile=0.5");
    let series = get(redrive, &path).await;
    let points = series["series"][0]["points"].as_array().cloned().unwrap_or_default();
    points.iter().find_map(|point| point[1].as_f64())
}

struct Pair<'a> {
    prod: &'a Kafka,
    test: &'a Kafka,
    topic: String,
    dead_letters: String,
    /// What spans say of each bus: the cluster's id on one, the broker's address on the other.
    on_prod: Vec<Value>,
    on_test: Vec<Value>,
    redrive: Redrive,
}

impl<'a> Pair<'a> {
    async fn new(setup: Setup, prod: &'a Kafka, test: &'a Kafka) -> Self {
        let topic = unique("orders");
        let dead_letters = format!("{topic}-failed");
        for kafka in [prod, test] {
            kafka.create_topic(&topic, 1, &[]).await;
            kafka.create_topic(&dead_letters, 1, &[]).await;
        }
        let lines = section(&[&dead_letters]);
        let setup = setup.without_login().bus_with("prod", &prod.bootstrap(), &lines).bus_with("test", &test.bootstrap(), &lines);
        let redrive = setup.start().await;
        redrive
            .wait_until("both buses have the topic", PATIENCE, async || {
                // While the store is being opened, everything is answered with 503.
                for bus in ["prod", "test"] {
                    let answer = http().get(redrive.url(&format!("/api/v1/buses/{bus}/topics/{topic}"))).send().await.expect("an answer");
                    if answer.status() != 200 {
                        return false;
                    }
                }
                let buses = get(&redrive, "/api/v1/buses").await;
                buses["items"].as_array().is_some_and(|buses| buses.iter().all(|bus| bus["state"] == "reachable"))
            })
            .await;
        let buses = get(&redrive, "/api/v1/buses").await;
        let prods = buses["items"].as_array().expect("buses").iter().find(|bus| bus["id"] == "prod").expect("it is configured");
        let on_prod = vec![text("messaging.kafka.cluster.id", prods["cluster_id"].as_str().expect("an id"))];
        let (host, port) = test.bootstrap().split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).expect("an address");
        let on_test = vec![text("server.address", &host), number("server.port", port.parse().expect("a port"))];
        Self { prod, test, topic, dead_letters, on_prod, on_test, redrive }
    }

    /// Sent and processed on each bus, as the record of the same offset; and processed nobody knows where. Then it fails on both.
    async fn fail(&self) {
        let span = |number, operation, ago, bus: &[Value]| span(number, operation, &self.topic, 7, ago, bus);
        let spans = [
            span(1, "send", 20, &self.on_prod),
            span(2, "process", 18, &self.on_prod),
            span(3, "send", 26, &self.on_test),
            span(4, "process", 18, &self.on_test),
            span(5, "process", 18, &[]),
        ];
        post(&self.redrive, &export("shop", &spans)).await;
        for kafka in [self.prod, self.test] {
            let letter = Outgoing::to(self.dead_letters.as_str()).partition(0).key("k").value("{}");
            kafka.produce(&[spring(letter, &self.topic, 0, 7, "billing")]).await;
        }
    }

    async fn letter(&self, bus: &str) -> String {
        let list = format!("/api/v1/dead-letters?bus={bus}&topic={}", self.dead_letters);
        let is_there = async || get(&self.redrive, &list).await["items"].as_array().is_some_and(|items| items.len() == 1);
        self.redrive.wait_until("the dead letter is indexed", PATIENCE, is_there).await;
        get(&self.redrive, &list).await["items"][0]["id"].as_str().expect("an id").to_owned()
    }

    async fn journeys_are_apart(&self, prod: &str, test: &str) {
        let record = |bus: &str| format!("bus={bus}&topic={}&partition=0&offset=7", self.topic);
        let of_prod = [format!("dead_letter={prod}"), record("prod")];
        let of_test = [format!("dead_letter={test}"), record("test")];
        for (queries, expected) in [(of_prod, traces(&[1, 2])), (of_test, traces(&[3, 4]))] {
            for query in queries {
                let (found, evidence) = journey(&self.redrive, &query).await;
                assert_eq!(found, expected, "{query}: {evidence}");
                assert!(evidence.contains("left out: 1 span of the same coordinates whose bus is not known"), "{evidence}");
            }
        }
    }

    async fn figures_are_apart(&self) {
        for (bus, seconds) in [("prod", 2.0), ("test", 8.0)] {
            let is_there = async || broker_seconds(&self.redrive, bus, &self.topic).await.is_some();
            self.redrive.wait_until("the pair is measured", PATIENCE, is_there).await;
            let measured = broker_seconds(&self.redrive, bus, &self.topic).await.expect("it is there");
            assert!((measured - seconds).abs() < 0.3, "{bus}: {measured}");
        }
        let is_said = async || {
            let losses = get(&self.redrive, "/api/v1/traces?limit=1").await["losses"].clone();
            losses.as_array().expect("a list").iter().any(|loss| loss["what"] == "unplaced" && loss["spans"] == 1)
        };
        self.redrive.wait_until("one span is said to be of an unknown bus", PATIENCE, is_said).await;
        let page = super::page(&self.redrive, "/traces").await;
        assert!(page.contains("Counted without a bus: 1 span so far"), "the page says so too");
    }

    async fn keeps_are_apart(&self) {
        let both = async || keeps(&self.redrive, 2, "dead_lettered").await && keeps(&self.redrive, 4, "dead_lettered").await;
        self.redrive.wait_until("traces of the failure are kept", PATIENCE, both).await;
        assert!(!keeps(&self.redrive, 5, "dead_lettered").await, "nobody knows where it was");
    }

    /// Sends the dead letter again on its bus, and answers where the record lies.
    async fn replay(&self, letter: &str) -> i64 {
        let send = async |path: &str, body: Value| -> Value {
            let answer = http().post(self.redrive.url(path)).json(&body).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.json().await.expect("JSON")
        };
        let plan = send("/api/v1/replays", json!({"selection": {"ids": [letter]}})).await;
        let path = format!("/api/v1/replays/{}", plan["id"].as_str().expect("an id"));
        let is = async |state: &str| get(&self.redrive, &path).await["state"] == state;
        self.redrive.wait_until("it is planned", PATIENCE, async || is("planned").await).await;
        let checks = get(&self.redrive, &path).await["checks"].clone();
        let warnings = checks.as_array().expect("checks").iter().filter(|check| check["level"] == "warning");
        let accept: Vec<Value> = warnings.map(|check| check["code"].clone()).collect();
        send(&format!("{path}/start"), json!({"accept": accept})).await;
        self.redrive.wait_until("it is sent", PATIENCE, async || is("completed").await).await;
        let items = get(&self.redrive, &format!("{path}/items")).await;
        assert_eq!((&items["items"][0]["topic"], &items["items"][0]["partition"]), (&json!(self.topic), &json!(0)), "{items}");
        items["items"][0]["offset"].as_i64().expect("an offset")
    }

    async fn replays_are_apart(&self, letter: &str) {
        let offset = self.replay(letter).await;
        let spans = [
            span(6, "process", &self.topic, offset, 0, &self.on_prod),
            span(7, "process", &self.topic, offset, 0, &self.on_test),
            span(8, "process", &self.topic, offset, 0, &[]),
        ];
        post(&self.redrive, &export("billing", &spans)).await;
        self.redrive.wait_until("the trace is kept", PATIENCE, async || keeps(&self.redrive, 6, "replayed").await).await;
        assert!(!keeps(&self.redrive, 7, "replayed").await && !keeps(&self.redrive, 8, "replayed").await);
        let (found, evidence) = journey(&self.redrive, &format!("dead_letter={letter}")).await;
        assert!(traces(&[1, 2, 6]).is_subset(&found), "{found:?}: {evidence}");
        assert!(found.is_disjoint(&traces(&[3, 4, 5, 7, 8])), "{found:?}: {evidence}");
        // The other bus has a record of these coordinates as well, and no replay has to do with it.
        let answer = http().get(self.redrive.url(&format!("/api/v1/journeys?bus=test&topic={}&partition=0&offset={offset}", self.topic)));
        let other: Value = answer.send().await.expect("an answer").json().await.expect("JSON");
        let kinds: Vec<&str> = other["steps"].as_array().expect("steps").iter().filter_map(|step| step["kind"].as_str()).collect();
        assert!(!kinds.contains(&"replayed") && !kinds.contains(&"dead_lettered"), "{other}");
    }
}

async fn two_buses_stay_apart(setup: Setup) {
    let prod = kafka::shared();
    let test = tokio::task::spawn_blocking(|| Kafka::start(&Options::default())).await.expect("no panic");
    let pair = Pair::new(setup, prod, &test).await;
    pair.fail().await;
    let (of_prod, of_test) = (pair.letter("prod").await, pair.letter("test").await);
    pair.figures_are_apart().await;
    pair.journeys_are_apart(&of_prod, &of_test).await;
    pair.keeps_are_apart().await;
    pair.replays_are_apart(&of_prod).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_letters_and_replays_of_two_buses_do_not_mix_on_sqlite() {
    two_buses_stay_apart(Setup::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_letters_and_replays_of_two_buses_do_not_mix_on_postgres() {
    let database = postgres::database().await;
    two_buses_stay_apart(Setup::new().store(database.url())).await;
}
