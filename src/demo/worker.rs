//! A service at work: reads with its consumer group, goes on or gives up, and commits what is done.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use tokio_util::sync::CancellationToken;

use crate::model::Timestamp;

use super::Shop;
use super::faults::Fault;
use super::orders::Order;
use super::outlet::{Letter, Place};
use super::services::{Service, Task};
use super::spans::{Taken, Working};
use super::styles::{Headers, Source, Style, spring_retry};

/// Wait after the bus did not answer.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(super) async fn run(shop: Arc<Shop>, service: &'static Service, soft: CancellationToken) -> anyhow::Result<()> {
    let consumer = subscribe(&shop, service)?;
    loop {
        let message = tokio::select! {
            () = soft.cancelled() => break,
            message = consumer.recv() => message,
        };
        let worked = match &message {
            Ok(message) => tokio::select! {
                () = soft.cancelled() => break,
                worked = work_until_done(&shop, service, message) => worked,
            },
            Err(error) => Err(anyhow::anyhow!("{error}")),
        };
        match (worked, message) {
            (Ok(()), Ok(message)) => consumer.store_offset_from_message(&message).unwrap_or_else(|error| {
                tracing::debug!(group = service.group, %error, "the partition went to another member");
            }),
            (Err(error), _) => {
                tracing::debug!(group = service.group, %error, "the bus does not answer the demo; it goes on");
                tokio::time::sleep(AFTER_ERROR).await;
            }
            (Ok(()), Err(_)) => {}
        }
    }
    // What was done is done; a commit that does not arrive is made up for at the next start.
    let _ = consumer.commit_consumer_state(CommitMode::Async);
    Ok(())
}

fn subscribe(shop: &Shop, service: &Service) -> anyhow::Result<StreamConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &shop.bootstrap_servers)
        .set("group.id", service.group)
        .set("client.id", service.group)
        .set("auto.offset.reset", "latest")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "1000")
        .set("fetch.wait.max.ms", "250")
        .set("queued.max.messages.kbytes", "1024");
    let consumer: StreamConsumer = config.create()?;
    consumer.subscribe(&[service.topic])?;
    Ok(consumer)
}

/// A message is only done when what follows from it has arrived.
async fn work_until_done(shop: &Shop, service: &Service, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
    let headers = headers_of(message);
    wait_until_due(&headers).await;
    tokio::time::sleep(service.pace).await;
    let value = message.payload().unwrap_or_default();
    let order: Option<Order> = serde_json::from_slice(value).ok();
    let again = headers.iter().any(|(name, _)| name == "retry_topic-attempts" || name == "redrive-attempt");
    let taken =
        Taken { group: service.group, topic: message.topic(), place: Place { partition: message.partition(), offset: message.offset() } };
    let working = shop.spans.process(taken, &headers);
    let task = Task { value, order: order.as_ref(), open_for: shop.open_for(), chance: chance(message), again, fixed: shop.fixed.is_on() };
    loop {
        let done = (service.work)(&task);
        let arrived = match &done {
            Ok(next) => go_on(shop, service, message, (&headers, &working), next).await,
            Err(fault) => give_up(shop, service, message, (headers.clone(), &working), fault).await,
        };
        match arrived {
            Ok(()) => {
                working.ended(done.err().as_ref());
                return Ok(());
            }
            Err(error) => {
                tracing::debug!(group = service.group, %error, "what follows did not arrive; trying again");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn go_on(
    shop: &Shop,
    service: &Service,
    message: &BorrowedMessage<'_>,
    (headers, working): (&Headers, &Working),
    next: &[&str],
) -> anyhow::Result<()> {
    let kept: Headers = headers.iter().filter(|(name, _)| name == "content-type" || name == "traceparent").cloned().collect();
    for topic in next {
        let mut headers = kept.clone();
        let sending = shop.spans.send(service.group, topic, working, &mut headers);
        let letter =
            Letter { topic, partition: None, key: message.key(), value: message.payload(), headers: owned(&headers), timestamp_ms: None };
        sending.arrived(shop.outlet.write(letter).await?);
    }
    Ok(())
}

async fn give_up(
    shop: &Shop,
    service: &Service,
    message: &BorrowedMessage<'_>,
    (mut headers, working): (Headers, &Working),
    fault: &Fault,
) -> anyhow::Result<()> {
    let now = Timestamp::now().as_millis();
    let timestamp_ms = message.timestamp().to_millis().unwrap_or(now);
    let source = Source {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms,
        group: service.told_group,
        listener: service.listener,
        failed_at_ms: now,
    };
    let (topic, partition) = if let Some((retry, delay)) = service.retry {
        let due = i64::try_from(delay.as_millis()).unwrap_or(0) + now;
        spring_retry(&mut headers, fault, &source, Some(due));
        (retry, None)
    } else {
        service.style.dress(&mut headers, fault, &source);
        (service.dead_letters, service.style.keeps_partition().then(|| partition_of(service, message, &headers)))
    };
    let sending = shop.spans.send(service.group, topic, working, &mut headers);
    let letter = Letter {
        topic,
        partition,
        key: message.key(),
        value: message.payload(),
        headers: owned(&headers),
        timestamp_ms: (service.style.keeps_timestamp()).then_some(timestamp_ms),
    };
    sending.arrived(shop.outlet.write(letter).await?);
    Ok(())
}

/// The partition of the first topic; a retry topic may have fewer.
fn partition_of(service: &Service, message: &BorrowedMessage<'_>, headers: &Headers) -> i32 {
    let first = headers.iter().find(|(name, _)| name == "kafka_original-partition").and_then(|(_, value)| value.as_deref());
    let first = first.filter(|_| service.style == Style::SpringRetry).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    first.unwrap_or_else(|| message.partition())
}

/// Spring holds a message of a retry topic back until its time has come.
async fn wait_until_due(headers: &Headers) {
    let due = headers.iter().rev().find(|(name, _)| name == "retry_topic-backoff-timestamp").and_then(|(_, value)| value.as_deref());
    let Some(due) = due.map(|bytes| bytes.iter().fold(0_i64, |number, &byte| (number << 8) | i64::from(byte))) else { return };
    let wait = u64::try_from(due - Timestamp::now().as_millis()).unwrap_or(0).min(10_000);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}

fn headers_of(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else { return Headers::new() };
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

pub(super) fn owned(headers: &Headers) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |owned, (name, value)| owned.insert(Header { key: name, value: value.as_ref() }))
}

/// The same for every try of the same message.
fn chance(message: &BorrowedMessage<'_>) -> u64 {
    let key = message.key().unwrap_or_default();
    key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)) % 1_000
}
