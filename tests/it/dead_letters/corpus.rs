//! Dead letters as other people's frameworks write them: mixed conventions, sizes and bytes, each of them unlike any other.

use std::fmt::Write as _;

use super::super::harness::kafka::Outgoing;

/// The ways of writing failure headers that a corpus goes through in turn.
const STYLES: [fn(Outgoing, usize) -> Outgoing; 9] =
    [spring, spring_cloud_stream, connect, streams, smallrye, retry, x_original, bare, odd];

/// So many dead letters for a topic, numbered from `first`, spread over its partitions.
pub(super) fn letters(topic: &str, partitions: i32, first: usize, count: usize) -> Vec<Outgoing> {
    (first..first + count).map(|number| letter(topic, partitions, number)).collect()
}

/// The dead letter of a number. The value (or, without one, a header) carries topic and number, so that no two are alike.
pub(super) fn letter(topic: &str, partitions: i32, number: usize) -> Outgoing {
    let partition = i32::try_from(number % 7).expect("small") % partitions;
    let record = Outgoing::to(topic).partition(partition).timestamp(1_760_000_000_000 + i64::try_from(number).expect("small") * 10);
    let record = match number % 11 {
        0 => record,
        1 => record.key(vec![0, 159, 146, 150]),
        _ => record.key(format!("order-{}", number % 1_000)),
    };
    let record = match number % 13 {
        // A tombstone: only the header tells it from others.
        0 => record.header("number", format!("{topic}/{number}")),
        1 => record.value([format!("{topic}/{number}/").into_bytes(), vec![0, 255, 254, 128, 10], vec![7; number % 500]].concat()),
        2 => record.value(format!("{topic}/{number} {}", "Grüße <script>alert(1)</script> ".repeat(200))),
        _ => record.value(format!(r#"{{"topic":"{topic}","number":{number},"amount":"{}"}}"#, "9".repeat(number % 300))),
    };
    STYLES[number % STYLES.len()](record, number)
}

fn trace(number: usize) -> String {
    let mut text = format!("com.example.orders.OrderException: order {number} cannot be placed\n");
    for line in 0..25 {
        let (step, at) = (number % 40, line + number % 9);
        let _ = writeln!(text, "\tat com.example.orders.step{step}.Handler{line}.handle(Handler{line}.java:{at})");
    }
    text
}

fn spring(record: Outgoing, number: usize) -> Outgoing {
    record
        .header("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException")
        .header("kafka_dlt-exception-cause-fqcn", format!("com.example.orders.Failure{}", number % 40))
        .header("kafka_dlt-exception-message", format!("Listener method 'x' threw exception; order {number} has no stock"))
        .header("kafka_dlt-exception-stacktrace", trace(number))
        .header("kafka_dlt-original-topic", "orders")
        .header("kafka_dlt-original-partition", i32::try_from(number % 12).expect("small").to_be_bytes())
        .header("kafka_dlt-original-offset", i64::try_from(number).expect("small").to_be_bytes())
        .header("kafka_dlt-original-timestamp", 1_759_000_000_000_i64.to_be_bytes())
        .header("kafka_dlt-original-timestamp-type", "CreateTime")
        .header("kafka_dlt-original-consumer-group", "orders-service")
}

fn spring_cloud_stream(record: Outgoing, number: usize) -> Outgoing {
    record
        .header("x-original-topic", "payments")
        .header("x-original-partition", 3_i32.to_be_bytes())
        .header("x-original-offset", i64::try_from(number).expect("small").to_be_bytes())
        .header("x-original-timestamp", 1_759_000_000_000_i64.to_be_bytes())
        .header("x-original-timestamp-type", "CreateTime")
        .header("x-exception-fqcn", "org.springframework.messaging.MessagingException")
        .header("x-exception-message", format!("error occurred in message handler [X$1@{number:08x}]"))
        .header("x-exception-stacktrace", trace(number))
}

fn connect(record: Outgoing, number: usize) -> Outgoing {
    let header = |name: &str| format!("__connect.errors.{name}");
    record
        .header(header("topic"), "invoices")
        .header(header("partition"), "0")
        .header(header("offset"), number.to_string())
        .header(header("connector.name"), format!("warehouse-{}", number % 3))
        .header(header("task.id"), "0")
        .header(header("stage"), "VALUE_CONVERTER")
        .header(header("class.name"), "org.apache.kafka.connect.json.JsonConverter")
        .header(header("exception.class.name"), "org.apache.kafka.connect.errors.DataException")
        .header(header("exception.message"), "Converting byte[] to Kafka Connect data failed: ")
        .header(header("exception.stacktrace"), trace(number))
}

fn streams(record: Outgoing, number: usize) -> Outgoing {
    let header = |name: &str| format!("__streams.errors.{name}");
    record
        .header(header("exception"), "java.lang.ArithmeticException")
        .header(header("message"), "/ by zero")
        .header(header("stacktrace"), trace(number))
        .header(header("topic"), "clicks")
        .header(header("partition"), "-1")
        .header(header("offset"), "-1")
}

fn smallrye(record: Outgoing, number: usize) -> Outgoing {
    record
        .header("dead-letter-exception-class-name", "com.example.Refused")
        .header("dead-letter-reason", format!("refused: {}", number % 5))
        .header("dead-letter-topic", "shipments")
        .header("dead-letter-partition", "1")
        .header("dead-letter-offset", number.to_string())
        .header("trace", "kept")
        .null_header("nothing")
}

fn retry(record: Outgoing, number: usize) -> Outgoing {
    record
        .header("kafka_exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException")
        .header("kafka_exception-cause-fqcn", "com.example.Timeout")
        .header("kafka_exception-message", "Listener failed; took too long")
        .header("kafka_exception-stacktrace", trace(number))
        .header("kafka_original-topic", "mails")
        .header("kafka_original-partition", [0, 0, 1])
        .header("kafka_original-offset", i64::try_from(number).expect("small").to_be_bytes())
        .header("kafka_dlt-original-consumer-group", "mailer")
        .header("retry_topic-attempts", 3_i32.to_be_bytes())
        .header("retry_topic-attempts", 4_i32.to_be_bytes())
}

fn x_original(record: Outgoing, number: usize) -> Outgoing {
    record.header("x-original-topic", "search").header("x-exception-message", format!("no shard {}", number % 3))
}

fn bare(record: Outgoing, _number: usize) -> Outgoing {
    record
}

/// Names and values that break what is not careful: duplicates, empty names, nulls, invalid UTF-8, control characters, long texts.
fn odd(record: Outgoing, number: usize) -> Outgoing {
    record
        .header("", "empty name")
        .header("twice", "1")
        .header("twice", "2")
        .header("kafka_dlt-original-topic", [b"or\0ders-\x01\xff".as_slice(), b"<b>"].concat())
        .header("kafka_dlt-original-consumer-group", [0xc3, 0x28, 0, 10])
        .header("kafka_dlt-exception-message", vec![0xff; number % 100])
        .header("kafka_dlt-exception-stacktrace", "\u{0}".repeat(number % 10))
        .null_header("kafka_dlt-exception-fqcn")
        .header("long", "x".repeat(number % 3_000))
}
