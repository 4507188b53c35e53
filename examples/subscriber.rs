//! Bills the orders that the publisher beside it sends, and gives up on those it cannot bill as Spring Kafka does: after three attempts
//! the message goes to `example.orders-dlt`, same key, value and partition, with the headers of Spring's
//! `DeadLetterPublishingRecoverer`.
//!
//! `cargo run --example subscriber [HOST:PORT]` (127.0.0.1:9092)

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

const ORDERS: &str = "example.orders";
const GROUP: &str = "example-billing";
const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Why an order cannot be billed, as a Java service would say it.
struct Failure {
    class: &'static str,
    message: String,
    frame: &'static str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bus = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bus)
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .create()?;
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &bus).set("enable.idempotence", "true").create()?;
    consumer.subscribe(&[ORDERS])?;
    println!("{GROUP} reads {ORDERS} on {bus}; Ctrl C ends it");
    loop {
        let order = match consumer.recv().await {
            Ok(order) => order,
            Err(error) => {
                println!("waiting: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if let Some(failure) = try_to_bill(order.payload().unwrap_or_default()).await {
            println!("giving up on {} / {} / {}: {}: {}", ORDERS, order.partition(), order.offset(), failure.class, failure.message);
            dead_letter(&producer, &order, &failure).await.context("writing a dead letter")?;
        }
        // Only now is the message done with: billed, or safe on the dead-letter topic.
        consumer.commit_message(&order, CommitMode::Async)?;
    }
}

async fn try_to_bill(order: &[u8]) -> Option<Failure> {
    for _ in 1..ATTEMPTS {
        bill(order).err()?;
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
    bill(order).err()
}

fn bill(order: &[u8]) -> Result<(), Failure> {
    let order: serde_json::Value = serde_json::from_slice(order).map_err(|error| Failure {
        class: "com.fasterxml.jackson.core.io.JsonEOFException",
        message: format!("Unexpected end-of-input: {error}"),
        frame: "com.example.billing.OrderReader.read(OrderReader.java:31)",
    })?;
    let total = order["total"].as_str().unwrap_or_default();
    if total.parse::<f64>().is_err() {
        let frame = "com.example.billing.Invoice.total(Invoice.java:57)";
        return Err(Failure { class: "java.lang.NumberFormatException", message: format!("For input string: \"{total}\""), frame });
    }
    if order["card"].is_null() {
        let message = "Cannot invoke \"CardToken.charge()\" because \"token\" is null".to_owned();
        let frame = "com.example.billing.CardCharger.charge(CardCharger.java:88)";
        return Err(Failure { class: "java.lang.NullPointerException", message, frame });
    }
    Ok(())
}

async fn dead_letter(producer: &FutureProducer, order: &BorrowedMessage<'_>, failure: &Failure) -> anyhow::Result<()> {
    let topic = format!("{ORDERS}-dlt");
    let mut record = FutureRecord::<[u8], [u8]>::to(&topic).partition(order.partition()).headers(headers(order, failure));
    record.key = order.key();
    record.payload = order.payload();
    producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
    Ok(())
}

/// What the framework adds: where the message came from, and why it failed.
fn headers(order: &BorrowedMessage<'_>, failure: &Failure) -> OwnedHeaders {
    let Failure { class, message, frame } = failure;
    let listener = "org.springframework.kafka.listener.ListenerExecutionFailedException";
    let stack_trace = format!(
        "{listener}: Listener method 'onOrder' threw exception\n\
         \tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.doInvokeOnMessage(KafkaMessageListenerContainer.java:2896)\n\
         Caused by: {class}: {message}\n\tat {frame}\n\
         \tat com.example.billing.OrderListener.onOrder(OrderListener.java:42)\n\
         \tat java.base/java.lang.reflect.Method.invoke(Method.java:580)\n\t... 9 more\n"
    );
    let timestamp = order.timestamp().to_millis().unwrap_or_default();
    let text = |headers: OwnedHeaders, key, value: &str| headers.insert(Header { key, value: Some(value) });
    let number = |headers: OwnedHeaders, key, value: &[u8]| headers.insert(Header { key, value: Some(value) });
    let headers = text(OwnedHeaders::new(), "kafka_dlt-exception-fqcn", listener);
    let headers = text(headers, "kafka_dlt-exception-cause-fqcn", class);
    let headers = text(headers, "kafka_dlt-exception-message", message);
    let headers = text(headers, "kafka_dlt-exception-stacktrace", &stack_trace);
    let headers = text(headers, "kafka_dlt-original-topic", ORDERS);
    let headers = number(headers, "kafka_dlt-original-partition", &order.partition().to_be_bytes());
    let headers = number(headers, "kafka_dlt-original-offset", &order.offset().to_be_bytes());
    let headers = number(headers, "kafka_dlt-original-timestamp", &timestamp.to_be_bytes());
    let headers = text(headers, "kafka_dlt-original-timestamp-type", "CreateTime");
    text(headers, "kafka_dlt-original-consumer-group", GROUP)
}
