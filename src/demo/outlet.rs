//! The producer all parts of the shop write with.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long a record may take to arrive before its service tries again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes to the bus.
#[derive(Clone)]
pub(super) struct Outlet(FutureProducer);

/// A record to write.
pub(super) struct Letter<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: OwnedHeaders,
    /// `None`: the time of writing.
    pub(super) timestamp_ms: Option<i64>,
}

/// Where a record arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl Outlet {
    pub(super) fn new(bootstrap_servers: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "shop")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("queue.buffering.max.kbytes", "8192")
            .set("message.timeout.ms", "30000");
        Ok(Self(config.create()?))
    }

    /// Writes one record and waits until the bus has it.
    pub(super) async fn write(&self, letter: Letter<'_>) -> anyhow::Result<Place> {
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(letter.topic).headers(letter.headers);
        record.partition = letter.partition;
        record.key = letter.key;
        record.payload = letter.value;
        record.timestamp = letter.timestamp_ms;
        let delivered = self.0.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
        Ok(Place { partition: delivered.partition, offset: delivered.offset })
    }
}
