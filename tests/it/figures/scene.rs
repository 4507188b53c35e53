//! What the tests of consumer groups share: records by partition, and one group as the API tells it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::kafka::Outgoing;
use crate::harness::redrive::Redrive;

/// A minute of patience, five minutes of trend, and slow machines.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

pub(super) fn records(topic: &str, partition: i32, count: usize) -> Vec<Outgoing> {
    (0..count).map(|n| Outgoing::to(topic).partition(partition).value(format!("v{n}"))).collect()
}

/// A group; null as long as nobody has seen it.
pub(super) async fn group(client: &reqwest::Client, redrive: &Redrive, name: &str) -> Value {
    let url = redrive.url(&format!("/api/v1/buses/prod/consumer-groups/{name}"));
    let answer = client.get(url).send().await.expect("an answer");
    if answer.status() == 200 { answer.json().await.expect("JSON") } else { Value::Null }
}

/// A group, as soon as it is as wanted.
pub(super) async fn until(client: &reqwest::Client, redrive: &Redrive, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = group(client, redrive, name).await;
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name} should be {what}: {found:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub(super) async fn until_status(client: &reqwest::Client, redrive: &Redrive, name: &str, status: &str) -> Value {
    until(client, redrive, name, status, |found| found["status"] == status).await
}

/// A group's position on a partition; null where it has none.
pub(super) fn partition<'a>(group: &'a Value, topic: &str, partition: i32) -> &'a Value {
    let all = group["partitions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|found| found["topic"] == topic && found["partition"] == partition).unwrap_or(&Value::Null)
}

/// The group's page, as text.
pub(super) async fn page(client: &reqwest::Client, redrive: &Redrive, name: &str) -> String {
    let answer = client.get(redrive.url(&format!("/buses/prod/consumer-groups/{name}"))).send().await.expect("a page");
    answer.text().await.expect("text")
}
