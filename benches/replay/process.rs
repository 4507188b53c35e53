//! A running Redrive, asked as a program would.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kafka::Kafka;
use crate::redrive_process::{Redrive, Setup};

const PATIENCE: Duration = Duration::from_mins(10);

/// A process with its client.
pub(crate) struct Process {
    redrive: Redrive,
    client: reqwest::Client,
}

impl Process {
    /// Starts one that reads these dead-letter topics.
    pub(crate) async fn start(kafka: &Kafka, topics: &[&str], store: Option<&str>) -> Self {
        let topics: Vec<String> = topics.iter().map(|topic| format!("{topic:?}")).collect();
        // A prefix for each: they share one Kafka.
        let prefix = crate::kafka::unique("bench");
        let lines = format!("id_prefix = \"{prefix}-\"\n[bus.dead_letters]\ntopics = [{}]\n", topics.join(", "));
        let setup =
            store.map_or_else(Setup::new, |url| Setup::new().store(url)).without_login().bus_with("bench", &kafka.bootstrap(), &lines);
        let redrive = setup.environment("REDRIVE__HTTP__METRICS_PUBLIC", "true").start().await;
        Self { redrive, client: reqwest::Client::new() }
    }

    pub(crate) async fn stop(mut self) {
        self.redrive.stop().await;
    }

    /// Memory that it takes, in MiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.redrive.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("Linux tells it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
    }

    /// A counter of `/metrics`, or a bucket of a histogram; 0 before it counts.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let answer = self.client.get(self.redrive.url("/metrics")).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.trim().parse().expect("a number"))
    }

    pub(crate) async fn indexed(&self) -> u64 {
        self.metric("redrive_indexer_dead_letters_total{bus=\"bench\"}").await
    }

    /// Waits until so many are indexed.
    pub(crate) async fn until_indexed(&self, count: u64) {
        let begun = Instant::now();
        while self.indexed().await < count {
            assert!(begun.elapsed() < PATIENCE, "{}", self.redrive.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Plans a replay of a topic's dead letters, as fast as it goes.
    pub(crate) async fn plan(&self, topic: &str) -> Job<'_> {
        let body = json!({
            "selection": {"filter": {"bus": "bench", "topic": topic}},
            "rate": null, "canary": null, "lag_limit": null, "failed_again_limit": null,
        });
        let answer = self.client.post(self.redrive.url("/api/v1/replays")).json(&body).send().await.expect("an answer");
        let job: Value = answer.json().await.expect("JSON");
        Job { process: self, id: job["id"].as_str().unwrap_or_else(|| panic!("no id in {job}")).to_owned() }
    }
}

/// A replay.
pub(crate) struct Job<'a> {
    process: &'a Process,
    id: String,
}

impl Job<'_> {
    pub(crate) async fn look(&self) -> Value {
        let url = self.process.redrive.url(&format!("/api/v1/replays/{}", self.id));
        let answer = self.process.client.get(url).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Waits until it is planned; the time that this took since it was asked for is the caller's to tell.
    pub(crate) async fn until_planned(&self, peak: &mut u64) -> Value {
        loop {
            let job = self.look().await;
            *peak = self.process.memory().max(*peak);
            match job["state"].as_str() {
                Some("planning") => tokio::time::sleep(Duration::from_millis(50)).await,
                Some("planned") => return job,
                other => panic!("{other:?}: {job}\n{}", self.process.redrive.log()),
            }
        }
    }

    /// Starts it with its warnings accepted and waits for its end; answers messages per second from the first that was sent on.
    pub(crate) async fn run(&self, plan: &Value, peak: &mut u64) -> f64 {
        let warnings = plan["checks"].as_array().into_iter().flatten().filter(|check| check["level"] == "warning");
        let accept: Vec<&Value> = warnings.map(|check| &check["code"]).collect();
        let url = self.process.redrive.url(&format!("/api/v1/replays/{}/start", self.id));
        let answer = self.process.client.post(url).json(&json!({ "accept": accept })).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        let (mut first, mut last) = (None, (Instant::now(), 0));
        loop {
            let job = self.look().await;
            *peak = self.process.memory().max(*peak);
            let sent = job["sent_total"].as_u64().expect("a number");
            if sent > last.1 {
                last = (Instant::now(), sent);
                first = first.or(Some(last));
            }
            match job["state"].as_str() {
                Some("running") => {}
                Some("completed") => break,
                other => panic!("{other:?}: {job}\n{}", self.process.redrive.log()),
            }
            assert!(last.0.elapsed() < PATIENCE, "no progress: {job}\n{}", self.process.redrive.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (begun, already) = first.expect("something was sent");
        crate::report::per_second(usize::try_from(last.1 - already).expect("small"), last.0 - begun)
    }
}
