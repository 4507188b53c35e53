//! Sends orders to a Kafka, as any service would, until it is interrupted or has sent so many:
//!
//! `cargo run --example publisher [HOST:PORT] [NUMBER]` (127.0.0.1:9092, without end)
//!
//! Every fifth order has something that the subscriber beside it cannot bill. Together they show dead letters on a Kafka of one's own.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

const ORDERS: &str = "example.orders";
const DEAD_LETTERS: &str = "example.orders-dlt";
const PARTITIONS: i32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bus = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let number = arguments.next().map(|number| number.parse()).transpose().context("the second argument is a number of orders")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &bus).set("enable.idempotence", "true");
    create_topics(&config).await.with_context(|| format!("creating topics on {bus}"))?;
    let producer: FutureProducer = config.create()?;
    println!("sending orders to {ORDERS} on {bus}; Ctrl C ends it");
    for order in 0..number.unwrap_or(u64::MAX) {
        let key = format!("order-{order}");
        let record = FutureRecord::to(ORDERS).key(&key).payload(payload_of(order));
        producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error).context("sending an order")?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Both topics with as many partitions: a dead letter goes to the partition that its message came from.
async fn create_topics(config: &ClientConfig) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topics = [ORDERS, DEAD_LETTERS].map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)));
    for created in admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)))).await? {
        match created {
            Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => anyhow::bail!("{topic}: {error}"),
        }
    }
    Ok(())
}

/// An order; some are wrong.
fn payload_of(order: u64) -> &'static str {
    match order % 20 {
        4 | 14 => r#"{"customer":4711,"total":"84.90","currency":"EUR","card":null}"#,
        9 => r#"{"customer":4711,"total":"84,90","currency":"EUR","card":"tok_1"}"#,
        19 => r#"{"customer":4711,"total":"84.90","curr"#,
        _ => r#"{"customer":4711,"total":"84.90","currency":"EUR","card":"tok_1"}"#,
    }
}
