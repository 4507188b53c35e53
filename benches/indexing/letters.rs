//! Dead letters as Spring writes them.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// Different causes; every record has its own order number in message and stack trace, as in life.
const CAUSES: [&str; 12] = [
    "java.lang.IllegalStateException",
    "java.net.SocketTimeoutException",
    "shop.InventoryException",
    "shop.PaymentDeclinedException",
    "java.lang.NullPointerException",
    "org.springframework.dao.DuplicateKeyException",
    "com.fasterxml.jackson.core.JsonParseException",
    "shop.CustomerNotFoundException",
    "java.util.concurrent.TimeoutException",
    "org.hibernate.StaleObjectStateException",
    "java.lang.IllegalArgumentException",
    "shop.AddressException",
];

/// Bytes of value and stack trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) value: usize,
    pub(crate) stack_trace: usize,
}

/// A value of 1 KB, headers with a stack trace of 3 KB.
pub(crate) const USUAL: Size = Size { value: 1_000, stack_trace: 3_000 };

/// Writes some, numbered, and gives the number of bytes. They come from the topic `orders` and the partition of their number.
pub(crate) fn produce(brokers: &str, topic: &str, partitions: i32, numbers: Range<usize>, size: Size) -> usize {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "131072")
        .create()
        .expect("a producer");
    let value = value(size);
    let mut bytes = 0;
    for (number, partition) in numbers.zip((0..partitions).cycle()) {
        let (key, headers) = (format!("order-{number}"), headers(number, partition, size));
        bytes += value.len() + key.len() + headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        let native = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value).headers(native);
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            std::thread::sleep(Duration::from_millis(2));
            record = back;
        }
    }
    producer.flush(Duration::from_mins(5)).expect("everything is written");
    bytes
}

fn value(size: Size) -> String {
    let mut value = String::from("{\"items\":[");
    while value.len() < size.value {
        let length = value.len();
        let _ = write!(value, "{{\"sku\":\"SKU-{length}\",\"quantity\":{}}},", length % 7);
    }
    value + "null]}"
}

fn headers(number: usize, partition: i32, size: Size) -> Vec<(&'static str, Vec<u8>)> {
    let class = CAUSES[number % CAUSES.len()];
    let message = format!("order {number} failed for customer c-{}: no answer after {} ms", number % 977, number % 5_000);
    let offset = i64::try_from(number).expect("small").to_be_bytes();
    vec![
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException".to_vec()),
        ("kafka_dlt-exception-cause-fqcn", class.as_bytes().to_vec()),
        ("kafka_dlt-exception-message", format!("Listener failed; {message}").into_bytes()),
        ("kafka_dlt-exception-stacktrace", stack_trace(class, &message, size).into_bytes()),
        ("kafka_dlt-original-topic", b"orders".to_vec()),
        ("kafka_dlt-original-partition", partition.to_be_bytes().to_vec()),
        ("kafka_dlt-original-offset", offset.to_vec()),
        ("kafka_dlt-original-timestamp", 1_795_454_334_656_i64.to_be_bytes().to_vec()),
        ("kafka_dlt-original-timestamp-type", b"CreateTime".to_vec()),
        ("kafka_dlt-original-consumer-group", b"order-service".to_vec()),
        ("traceparent", format!("00-{number:032x}-{number:016x}-01").into_bytes()),
    ]
}

fn stack_trace(class: &str, message: &str, size: Size) -> String {
    let mut text = format!("org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed; {message}\n");
    for line in 0..size.stack_trace / 200 {
        let _ = writeln!(
            text,
            "\tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.step{line}(KafkaMessageListenerContainer.java:{})",
            1_000 + line
        );
    }
    let _ = writeln!(text, "Caused by: {class}: {message}");
    for line in 0..6 {
        let _ = writeln!(text, "\tat shop.orders.{}Handler.handle{line}(OrderHandler.java:{})", class.len(), 40 + line);
    }
    while text.len() < size.stack_trace {
        let length = text.len();
        let _ = writeln!(text, "\tat java.base/java.util.concurrent.ThreadPoolExecutor.run{length}(ThreadPoolExecutor.java:{length})");
    }
    text
}
