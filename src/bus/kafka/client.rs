//! How librdkafka clients are configured: our defaults, then what the operator says, then what carries our guarantees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::ffi::Client;
use super::watch::Watch;
use crate::bus::{BusError, BusSettings};

/// A librdkafka property that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyProblem {
    /// The property.
    pub property: String,
    /// What is wrong and what would be right. Never holds the value.
    pub problem: String,
}

/// Properties that Redrive sets itself, with the reason.
const OURS: &[(&str, &str)] = &[
    ("acks", "Redrive writes with the strongest acknowledgement"),
    ("auto.commit.enable", "positions are kept in the store"),
    ("auto.offset.reset", "a position that retention has overtaken must be noticed, not skipped"),
    ("bootstrap.servers", "it is set by bootstrap_servers of the bus"),
    ("enable.auto.commit", "positions are kept in the store"),
    ("enable.auto.offset.store", "positions are kept in the store"),
    ("enable.idempotence", "Redrive decides it for each producer"),
    ("enable.partition.eof", "positions rely on it"),
    ("group.id", "consumer groups are named by id_prefix"),
    ("group.instance.id", "several instances would exclude each other"),
    ("group.protocol", "the shared indexing relies on the classic protocol"),
    ("isolation.level", "records of open and aborted transactions must not be indexed"),
    ("log.queue", "the logs of the client go to Redrive's own"),
    ("metadata.broker.list", "it is set by bootstrap_servers of the bus"),
    ("offset.store.method", "positions are kept in the store"),
    ("queued.max.messages.kbytes", "memory is bounded by Redrive"),
    ("request.required.acks", "Redrive writes with the strongest acknowledgement"),
    ("transactional.id", "it is named by id_prefix"),
];

/// Our own preferences, which the operator may change.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "redrive"),
    ("socket.keepalive.enable", "true"),
    // An idle connection closed by the broker is not worth a line.
    ("log.connection.close", "false"),
    // 10 s otherwise: too long to notice that a broker is back.
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    ("socket.timeout.ms", "30000"),
    ("allow.auto.create.topics", "false"),
];

/// Checks librdkafka properties without reaching any broker: those that carry a guarantee of ours, those that need another build,
/// unknown names and bad values in librdkafka's own words. Empty = all can be used.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyProblem> {
    let mut problems: Vec<PropertyProblem> = properties
        .iter()
        .filter_map(|(property, value)| {
            let problem = problem_of(property, value)?;
            Some(PropertyProblem { property: property.clone(), problem })
        })
        .collect();
    if problems.is_empty()
        && let Err(words) = try_together(properties)
    {
        problems.push(PropertyProblem { property: blamed(&words, properties), problem: words });
    }
    problems
}

fn problem_of(property: &str, value: &str) -> Option<String> {
    if let Some((_, reason)) = OURS.iter().find(|(ours, _)| *ours == property) {
        return Some(format!("cannot be set here: {reason}"));
    }
    if matches!(property, "sasl.mechanism" | "sasl.mechanisms") && value.eq_ignore_ascii_case("GSSAPI") {
        return Some("GSSAPI (Kerberos) needs a build of librdkafka with libsasl2; this one has PLAIN and SCRAM".to_owned());
    }
    let mut alone = ClientConfig::new();
    alone.set(property, value);
    match alone.create_native_config() {
        Ok(_) => None,
        Err(rdkafka::error::KafkaError::ClientConfig(_, words, _, _)) => Some(without(&words, property, value)),
        Err(_) => Some("is not a text that librdkafka can take".to_owned()),
    }
}

/// Some combinations are only refused when a client is made, such as a key without its certificate. No server is named, so
/// nothing is connected to.
fn try_together(properties: &BTreeMap<String, String>) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config.extend(properties.iter().map(|(k, v)| (k.clone(), v.clone())));
    let uses_oauth =
        ["sasl.mechanism", "sasl.mechanisms"].iter().any(|p| config.get(p).is_some_and(|v| v.eq_ignore_ascii_case("OAUTHBEARER")));
    if uses_oauth && config.get("enable.sasl.oauthbearer.unsecure.jwt") != Some("true") {
        return Err("OAUTHBEARER tokens are fetched by libcurl, which this build of librdkafka does not have".to_owned());
    }
    Client::new(&config, false, Arc::new(Watch::silent()))
        .map(drop)
        .map_err(|words| properties.iter().filter(|(key, _)| is_secret(key)).fold(words, |words, (_, secret)| hidden(&words, secret)))
}

/// The property that librdkafka's words are about, as far as they tell.
fn blamed(words: &str, properties: &BTreeMap<String, String>) -> String {
    let named = properties.keys().filter(|p| words.contains(p.as_str())).max_by_key(|p| p.len());
    let mechanism = || properties.keys().find(|p| p.starts_with("sasl.mechanism") && words.contains("SASL"));
    let mechanism = mechanism().or_else(|| properties.keys().find(|p| p.starts_with("sasl.mechanism") && words.contains("OAUTHBEARER")));
    named.or(mechanism).or_else(|| properties.keys().next()).cloned().unwrap_or_default()
}

fn without(words: &str, property: &str, value: &str) -> String {
    if is_secret(property) { hidden(words, value) } else { words.to_owned() }
}

fn hidden(words: &str, secret: &str) -> String {
    if secret.is_empty() { words.to_owned() } else { words.replace(secret, "[hidden]") }
}

fn is_secret(property: &str) -> bool {
    ["password", "secret", ".pem", ".key", "username", "token", "jaas"].iter().any(|part| property.contains(part))
}

/// The configuration that every client of a bus starts from.
pub(super) fn base(settings: &BusSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    for (property, value) in DEFAULTS {
        config.set(*property, *value);
    }
    config.extend(settings.client.iter().map(|(k, v)| (k.clone(), v.clone())));
    config.set("bootstrap.servers", &settings.bootstrap_servers);
    config
}

/// A client for questions and administrative acts. It joins no group; but without a `group.id` librdkafka (2.12, issue 5040) ends the
/// process as soon as a broker answers that it does not coordinate, or no longer, a group whose offsets were asked for.
pub(super) fn asking(settings: &BusSettings) -> ClientConfig {
    let mut config = base(settings);
    config.set("group.id", format!("{}reader", settings.id_prefix));
    config.set("enable.auto.commit", "false");
    config
}

/// A consumer that reads assigned partitions in committed isolation and notices everything that is not a record.
/// `group.id` only makes the consumer's queue available; it never joins or commits.
pub(super) fn reading(settings: &BusSettings, memory_bytes: usize) -> ClientConfig {
    let mut config = base(settings);
    let kibibytes = (memory_bytes / 1024).clamp(64, 2_097_151);
    let number = |property: &str, otherwise: usize| config.get(property).and_then(|v| v.parse().ok()).unwrap_or(otherwise);
    // librdkafka wants message.max.bytes <= fetch.max.bytes < receive.message.max.bytes; its own defaults stand here.
    let (message, receive) = (number("message.max.bytes", 1_000_000), number("receive.message.max.bytes", 100_000_000));
    let fetch = (memory_bytes / 4).min(16 * 1024 * 1024).min(receive.saturating_sub(512)).max(message);
    let defaults = [
        ("fetch.wait.max.ms", "250".to_owned()),
        // After the queue was full: 1 s otherwise, which would starve a fast reader with little memory.
        ("fetch.queue.backoff.ms", "10".to_owned()),
        ("fetch.max.bytes", fetch.to_string()),
        ("max.partition.fetch.bytes", (fetch / 2).clamp(64 * 1024, 1024 * 1024).to_string()),
    ];
    for (property, value) in defaults {
        if config.get(property).is_none() {
            config.set(property, value);
        }
    }
    config.set("queued.max.messages.kbytes", kibibytes.to_string());
    config.set("group.id", format!("{}reader", settings.id_prefix));
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "error");
    config
}

/// How long the coordinator lets a transaction stand open: a dead owner holds up the target's readers for no longer.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Below it, so that the batch fails while its transaction can still be aborted.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(8);

/// A producer for one owner: idempotent, in transactions when it has a transactional id. What an operator sets for consumers never
/// breaks it, nor does what an idempotent producer refuses.
pub(super) fn writing(settings: &BusSettings, transactional_id: Option<&str>) -> ClientConfig {
    let mut config = base(settings);
    // Other names of what is set below: which of two names wins would be chance.
    let others = ["delivery.timeout.ms", "queue.buffering.max.ms", "message.send.max.retries", "request.required.acks"];
    for other in others.into_iter().chain(["max.in.flight.requests.per.connection", "queue.buffering.backpressure.threshold"]) {
        config.remove(other);
    }
    let least = |property: &str, most: u64| config.get(property).and_then(|v| v.parse().ok()).map_or(most, |v: u64| v.min(most));
    let in_flight = least("max.in.flight", 5);
    // librdkafka refuses more than the transaction's.
    let socket_timeout = least("socket.timeout.ms", 10_000);
    let delivery_timeout = settings.request_timeout.clamp(Duration::from_secs(1), DELIVERY_TIMEOUT);
    if config.get("compression.type").is_none() && config.get("compression.codec").is_none() {
        config.set("compression.type", "lz4");
    }
    let ours = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("retries", "2147483647"),
        // A batch is flushed when it is whole: this only keeps its first records from going alone.
        ("linger.ms", "5"),
        ("delivery.report.only.error", "false"),
        // What is too large is the broker's to say.
        ("message.max.bytes", "1000000000"),
        // A batch is bounded by its owner.
        ("queue.buffering.max.messages", "10000000"),
        ("queue.buffering.max.kbytes", "2147483647"),
        // How long a topic that metadata do not show may be new: 30 s otherwise, beyond every deadline here.
        ("topic.metadata.propagation.max.ms", "2000"),
    ];
    for (property, value) in ours {
        config.set(property, value);
    }
    // librdkafka warns of these whoever sets them, so only where somebody has set them otherwise.
    for (property, value) in [("queuing.strategy", "fifo"), ("enable.gapless.guarantee", "false")] {
        if config.get(property).is_some() {
            config.set(property, value);
        }
    }
    config.set("max.in.flight", in_flight.to_string());
    config.set("socket.timeout.ms", socket_timeout.to_string());
    config.set("message.timeout.ms", delivery_timeout.as_millis().to_string());
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
    }
    config
}

/// Makes a client whose logs are named by the bus.
pub(super) fn make(config: &ClientConfig, report_errors: bool, watch: &Arc<Watch>) -> Result<Client, BusError> {
    Client::new(config, report_errors, Arc::<Watch>::clone(watch)).map_err(BusError::Configuration)
}

/// Runs blocking calls away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BusError> + Send + 'static) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(BusError::Other(format!("a call to librdkafka ended: {error}"))))
}

/// The time that is left until a deadline, at least a moment: librdkafka takes 0 for "do not wait".
pub(super) fn left(deadline: std::time::Instant) -> Duration {
    deadline.saturating_duration_since(std::time::Instant::now()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(properties: &[(&str, &str)]) -> Vec<(String, String)> {
        let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        check_properties(&properties).into_iter().map(|p| (p.property, p.problem)).collect()
    }

    #[test]
    fn ordinary_properties_pass() {
        let ordinary = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.username", "redrive"),
            ("sasl.password", "a secret"),
            ("socket.timeout.ms", "10000"),
        ];
        assert_eq!(problems(&ordinary), []);
        assert_eq!(problems(&[]), []);
    }

    #[test]
    fn what_carries_a_guarantee_is_refused_with_the_reason() {
        for (property, _) in OURS {
            let found = problems(&[(property, "1")]);
            assert!(found.len() == 1 && found[0].1.starts_with("cannot be set here: "), "{property}: {found:?}");
        }
    }

    #[test]
    fn unknown_names_and_bad_values_are_told_in_the_librarys_words() {
        let found = problems(&[("no.such.property", "1"), ("socket.timeout.ms", "soon"), ("sasl.jaas.config", "x")]);
        assert_eq!(found.len(), 3);
        assert!(found[0].1.contains("No such configuration property"), "{found:?}");
        assert!(found[1].1.contains("sasl.jaas.config") || found[2].1.contains("socket.timeout.ms"), "{found:?}");
    }

    #[test]
    fn what_needs_another_build_is_named() {
        let kerberos = problems(&[("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "GSSAPI")]);
        assert!(kerberos[0].0 == "sasl.mechanisms" && kerberos[0].1.contains("libsasl2"), "{kerberos:?}");
        let oauth = problems(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")]);
        assert!(oauth[0].0 == "sasl.mechanism" && oauth[0].1.contains("libcurl"), "{oauth:?}");
    }

    #[test]
    fn a_secret_never_appears_in_a_problem() {
        let found = problems(&[("security.protocol", "SSL"), ("ssl.key.pem", "hunter2-not-a-key")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }

    #[test]
    fn the_operators_choice_wins_over_ours_but_not_over_guarantees() {
        let settings = settings(&[("client.id", "mine"), ("isolation.level", "read_uncommitted")]);
        let config = reading(&settings, 8 << 20);
        assert_eq!(config.get("client.id"), Some("mine"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("queued.max.messages.kbytes"), Some("8192"));
    }

    #[test]
    fn a_reader_can_be_made_whatever_sizes_are_set() {
        let sizes = [("message.max.bytes", "30000000"), ("receive.message.max.bytes", "1500000"), ("client.id", "plain")];
        for (memory_bytes, size) in [0, 1 << 20, 16 << 20, usize::MAX].into_iter().flat_map(|m| sizes.map(|s| (m, s))) {
            let settings = settings(&[size]);
            let made = make(&reading(&settings, memory_bytes), false, &Arc::new(Watch::silent()));
            assert!(made.is_ok(), "{memory_bytes} {size:?}: {:?}", made.err());
        }
    }

    #[test]
    fn a_sender_can_be_made_whatever_is_set_and_keeps_its_guarantees() {
        let set = [
            ("socket.timeout.ms", "60000"),
            ("max.in.flight.requests.per.connection", "1000"),
            ("max.in.flight", "1000"),
            ("retries", "0"),
            ("queuing.strategy", "lifo"),
            ("linger.ms", "900000"),
            ("queue.buffering.max.ms", "800000"),
            ("delivery.timeout.ms", "300000"),
            ("queue.buffering.backpressure.threshold", "10"),
            ("enable.gapless.guarantee", "true"),
            ("delivery.report.only.error", "true"),
            ("transaction.timeout.ms", "60000"),
            ("fetch.max.bytes", "100000"),
            ("session.timeout.ms", "900000"),
            ("compression.codec", "gzip"),
        ];
        for (id, some) in [Some("redrive-1"), None].into_iter().flat_map(|id| [&set[..], &[]].map(|some| (id, some))) {
            let config = writing(&settings(some), id);
            let made = super::super::ffi::Producer::new(&config, Arc::new(Watch::silent()));
            assert!(made.is_ok(), "{:?}", made.err());
            assert_eq!((config.get("acks"), config.get("enable.idempotence")), (Some("all"), Some("true")));
            assert_eq!(config.get("transactional.id"), id);
        }
        assert_eq!(writing(&settings(&set), None).get("compression.codec"), Some("gzip"));
    }

    fn settings(client: &[(&str, &str)]) -> BusSettings {
        BusSettings {
            id: "prod".into(),
            kind: crate::model::BusKind::Kafka,
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            id_prefix: "redrive-".to_owned(),
            client: client.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            request_timeout: Duration::from_secs(10),
        }
    }
}
