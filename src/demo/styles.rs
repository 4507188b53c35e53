//! Headers as frameworks write them on dead letters: names, encodings and order.

use super::faults::Fault;
use super::traces;

/// Headers in order.
pub(super) type Headers = Vec<(String, Option<Vec<u8>>)>;

/// Whose way of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    SpringKafka,
    SpringRetry,
    SpringCloudStream,
    Connect,
    Streams,
    SmallRye,
    Wolverine,
}

/// Where a message that fails was read, by whom, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) group: &'a str,
    /// The listener method, the connector's name, or nothing.
    pub(super) listener: &'a str,
    pub(super) failed_at_ms: i64,
}

const LISTENER_FAILED: &str = "org.springframework.kafka.listener.ListenerExecutionFailedException";

impl Style {
    /// Connect and Streams keep the source record's timestamp on the letter.
    pub(super) const fn keeps_timestamp(self) -> bool {
        matches!(self, Self::Connect | Self::Streams)
    }

    /// Spring writes to the partition the message came from.
    pub(super) const fn keeps_partition(self) -> bool {
        matches!(self, Self::SpringKafka | Self::SpringRetry | Self::SpringCloudStream)
    }

    /// Adds what this framework adds when it gives a message up.
    pub(super) fn dress(self, headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
        match self {
            Self::SpringKafka => spring_kafka(headers, fault, source),
            Self::SpringRetry => spring_retry(headers, fault, source, None),
            Self::SpringCloudStream => spring_cloud_stream(headers, fault, source),
            Self::Connect => connect(headers, fault, source),
            Self::Streams => streams(headers, fault, source),
            Self::SmallRye => smallrye(headers, fault, source),
            Self::Wolverine => wolverine(headers, fault, source),
        }
    }
}

fn text(headers: &mut Headers, name: &str, value: &str) {
    headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
}

fn bytes(headers: &mut Headers, name: &str, value: impl Into<Vec<u8>>) {
    headers.push((name.to_owned(), Some(value.into())));
}

fn spring_kafka(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    let message = format!("Listener method '{}' threw exception; {}", source.listener, fault.outer_message());
    text(headers, "kafka_dlt-exception-fqcn", LISTENER_FAILED);
    text(headers, "kafka_dlt-exception-cause-fqcn", fault.outer_class());
    text(headers, "kafka_dlt-exception-message", &message);
    text(headers, "kafka_dlt-exception-stacktrace", &traces::spring(fault, source.listener));
    text(headers, "kafka_dlt-original-topic", source.topic);
    bytes(headers, "kafka_dlt-original-partition", source.partition.to_be_bytes());
    bytes(headers, "kafka_dlt-original-offset", source.offset.to_be_bytes());
    bytes(headers, "kafka_dlt-original-timestamp", source.timestamp_ms.to_be_bytes());
    text(headers, "kafka_dlt-original-timestamp-type", "CreateTime");
    text(headers, "kafka_dlt-original-consumer-group", source.group);
}

/// `backoff` is when the retry is due, on the way to a retry topic; `None` on the way to the dead-letter topic.
pub(super) fn spring_retry(headers: &mut Headers, fault: &Fault, source: &Source<'_>, backoff: Option<i64>) {
    if !headers.iter().any(|(name, _)| name == "kafka_original-topic") {
        text(headers, "kafka_original-topic", source.topic);
        bytes(headers, "kafka_original-partition", source.partition.to_be_bytes());
        bytes(headers, "kafka_original-offset", source.offset.to_be_bytes());
        bytes(headers, "kafka_original-timestamp", source.timestamp_ms.to_be_bytes());
        text(headers, "kafka_original-timestamp-type", "CreateTime");
        text(headers, "kafka_dlt-original-consumer-group", source.group);
    }
    headers.retain(|(name, _)| !name.starts_with("kafka_exception-"));
    text(headers, "kafka_exception-fqcn", LISTENER_FAILED);
    text(headers, "kafka_exception-cause-fqcn", fault.outer_class());
    text(headers, "kafka_exception-message", &format!("Listener failed; {}", fault.outer_message()));
    text(headers, "kafka_exception-stacktrace", &traces::spring_retry(fault, source.failed_at_ms));
    let hops = headers.iter().filter(|(name, _)| name == "retry_topic-attempts").count();
    let attempts = i32::try_from(hops).unwrap_or(0) + 2;
    bytes(headers, "retry_topic-original-timestamp", shortest(source.timestamp_ms));
    bytes(headers, "retry_topic-attempts", attempts.to_be_bytes());
    bytes(headers, "retry_topic-backoff-timestamp", shortest(backoff.unwrap_or(source.failed_at_ms)));
}

/// `BigInteger.toByteArray()` of a number that is not negative.
fn shortest(number: i64) -> Vec<u8> {
    let all = number.to_be_bytes();
    let skip = all.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    all[skip..].to_vec()
}

fn spring_cloud_stream(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    let handler =
        format!("org.springframework.cloud.stream.function.FunctionConfiguration$FunctionToDestinationBinder$1@{:x}", 0x2d37_882b);
    let outer = format!("error occurred in message handler [{handler}]");
    text(headers, "x-original-topic", source.topic);
    bytes(headers, "x-original-partition", source.partition.to_be_bytes());
    bytes(headers, "x-original-offset", source.offset.to_be_bytes());
    bytes(headers, "x-original-timestamp", source.timestamp_ms.to_be_bytes());
    text(headers, "x-original-timestamp-type", "CreateTime");
    text(headers, "x-exception-fqcn", "org.springframework.messaging.MessagingException");
    text(headers, "x-exception-message", &format!("{outer}; {}", fault.outer_message()));
    text(headers, "x-exception-stacktrace", &traces::spring_cloud_stream(fault, &outer));
}

fn connect(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    let converter = fault.stage == "VALUE_CONVERTER";
    let class = if converter { "org.apache.kafka.connect.json.JsonConverter" } else { "io.confluent.connect.jdbc.JdbcSinkTask" };
    for (name, value) in [
        ("topic", source.topic),
        ("partition", &source.partition.to_string()),
        ("offset", &source.offset.to_string()),
        ("connector.name", source.listener),
        ("task.id", "0"),
        ("stage", fault.stage),
        ("class.name", class),
        ("exception.class.name", fault.outer_class()),
        ("exception.message", fault.outer_message()),
        ("exception.stacktrace", &traces::connect(fault)),
    ] {
        text(headers, &format!("__connect.errors.{name}"), value);
    }
}

fn streams(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    text(headers, "__streams.errors.exception", fault.outer_class());
    text(headers, "__streams.errors.message", fault.outer_message());
    text(headers, "__streams.errors.stacktrace", &traces::streams(fault));
    text(headers, "__streams.errors.topic", source.topic);
    text(headers, "__streams.errors.partition", &source.partition.to_string());
    text(headers, "__streams.errors.offset", &source.offset.to_string());
}

/// `SmallRye` puts its headers before those of the source.
fn smallrye(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    let mut own = Headers::new();
    text(&mut own, "dead-letter-exception-class-name", fault.outer_class());
    text(&mut own, "dead-letter-reason", fault.outer_message());
    if fault.outer.is_some() {
        text(&mut own, "dead-letter-cause-class-name", fault.class);
        text(&mut own, "dead-letter-cause", &fault.message);
    }
    text(&mut own, "dead-letter-topic", source.topic);
    text(&mut own, "dead-letter-partition", &source.partition.to_string());
    text(&mut own, "dead-letter-offset", &source.offset.to_string());
    own.append(headers);
    *headers = own;
}

fn wolverine(headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    text(headers, "exception-type", fault.outer_class());
    text(headers, "exception-message", fault.outer_message());
    text(headers, "exception-stack", &traces::dotnet(fault));
    text(headers, "failed-at", &source.failed_at_ms.to_string());
    text(headers, "original-destination", &format!("kafka://topic/{}", source.topic));
    text(headers, "original-partition", &source.partition.to_string());
    text(headers, "original-offset", &source.offset.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_integers_are_as_short_as_possible() {
        assert_eq!(shortest(0), [0]);
        assert_eq!(shortest(0x7f), [0x7f]);
        assert_eq!(shortest(0x80), [0, 0x80]);
        assert_eq!(shortest(0x01a2_096a_a796), [0x01, 0xa2, 0x09, 0x6a, 0xa7, 0x96]);
    }
}
