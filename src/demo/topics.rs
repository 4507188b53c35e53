//! The shop's topics. Few partitions: the in-process cluster keeps up to 5 MB of each in memory.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

/// One topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) partitions: i32,
}

pub(super) const ORDERS: &str = "shop.orders";
pub(super) const PAYMENTS: &str = "shop.payments";
pub(super) const PAYMENTS_RETRY: &str = "shop.payments-retry-2000";
pub(super) const SHIPMENTS: &str = "shop.shipments";
pub(super) const NOTIFICATIONS: &str = "shop.notifications";

/// Every topic of the shop; dead-letter topics have the names that their frameworks give.
pub(super) static TOPICS: &[Topic] = &[
    Topic { name: ORDERS, partitions: 3 },
    Topic { name: "shop.orders-dlt", partitions: 3 },
    Topic { name: PAYMENTS, partitions: 2 },
    Topic { name: PAYMENTS_RETRY, partitions: 1 },
    Topic { name: "shop.payments-dlt", partitions: 2 },
    Topic { name: SHIPMENTS, partitions: 2 },
    Topic { name: "dead-letter-topic-shop.shipments", partitions: 1 },
    Topic { name: "error.shop.shipments.billing-service", partitions: 2 },
    Topic { name: NOTIFICATIONS, partitions: 1 },
    Topic { name: "shop.notifications.dlq", partitions: 1 },
    Topic { name: "dlq-shop-warehouse-sink", partitions: 1 },
    Topic { name: "shop.fraud-scoring-dlq", partitions: 1 },
];

/// Creates what is missing on a real Kafka, with as many copies as its brokers are told to make.
pub(super) async fn create(bootstrap_servers: &str) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("client.id", "redrive-demo");
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let wanted: Vec<NewTopic<'_>> =
        TOPICS.iter().map(|topic| NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(-1))).collect();
    let deadline = Some(Duration::from_secs(20));
    let options = AdminOptions::new().request_timeout(deadline).operation_timeout(deadline);
    let results = admin.create_topics(&wanted, &options).await.context("the bus does not answer")?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("topic {topic}: {code}"),
        }
    }
    Ok(())
}
