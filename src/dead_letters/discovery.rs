//! Which topics hold dead letters: by name patterns, by an explicit list, and by KIP-1191's topic configuration.
//! Retry topics are recognised; what waits in them is not dead.

use std::collections::{BTreeMap, HashSet};

use crate::model::TopicName;
use crate::model::bus::TopicRole;

pub mod glob;

use glob::Glob;
pub use glob::InvalidPattern;

/// Names that frameworks give to dead-letter topics unless told otherwise, and names that people commonly give. Case is ignored.
pub const DEFAULT_PATTERNS: &[&str] = &[
    // Spring Kafka: `.DLT` up to 3.2, `-dlt` from 3.3, `-invalid-dlt` by exception routing.
    "*{.,-,_}dlt",
    // Spring Cloud Stream: error.<topic>.<group>
    "error.*.*",
    // SmallRye: dead-letter-topic-<channel>
    "dead-letter-topic-*",
    "wolverine-dead-letter-queue",
    // Brighter's template is <topic>.dlq; Connect and KIP-1191 have dlq- and dlq. in their manuals.
    "*{.,-,_}dlq",
    "dlq{.,-,_}*",
    "*{.,-,_}dead-letter{,s}",
    "*{.,-,_}dead_letter{,s}",
    "*{.,-,_}deadletter{,s}",
    "*{.,-,_}dead-letter-{queue,topic}",
    "*{.,-,_}poison",
    "poison{_,-}queue",
];

/// Names of topics whose records wait for another try.
const RETRY_PATTERNS: &[&str] = &["*{.,-,_}retry"];

/// Topic configuration of KIP-1191 that marks dead-letter topics of share groups.
const SHARE_GROUP_CONFIG: &str = "errors.deadletterqueue.group.enable";

/// Tells dead-letter topics from others. Built once per bus.
#[derive(Debug, Clone)]
pub struct Discovery {
    patterns: Vec<Glob>,
    retry: Vec<Glob>,
    topics: HashSet<TopicName>,
    exclude: Vec<Glob>,
}

impl Discovery {
    /// Adds a bus's configured patterns, topics and exclusions to the defaults.
    ///
    /// # Errors
    /// When a pattern cannot be understood; the error names it.
    pub fn new(patterns: &[String], topics: &[TopicName], exclude: &[String]) -> Result<Self, InvalidPattern> {
        let read = |patterns: &[String]| patterns.iter().map(|pattern| Glob::new(pattern)).collect::<Result<Vec<_>, _>>();
        let built_in = |patterns: &[&str]| {
            patterns.iter().map(|pattern| Glob::new(pattern).map(Glob::ignoring_case)).collect::<Result<Vec<_>, InvalidPattern>>()
        };
        let mut all = built_in(DEFAULT_PATTERNS)?;
        all.extend(read(patterns)?);
        Ok(Self { patterns: all, retry: built_in(RETRY_PATTERNS)?, topics: topics.iter().cloned().collect(), exclude: read(exclude)? })
    }

    /// The role of a topic, by its name and what is known of its configuration.
    ///
    /// An exclusion beats everything, the explicit list beats the name, and a retry topic is never a dead-letter topic by pattern.
    #[must_use]
    pub fn role(&self, topic: &TopicName, config: &BTreeMap<String, String>) -> TopicRole {
        let name = topic.as_str();
        if self.exclude.iter().any(|glob| glob.matches(name)) || (name.starts_with("__") && !self.topics.contains(topic)) {
            return TopicRole::Ordinary;
        }
        if self.topics.contains(topic) || config.get(SHARE_GROUP_CONFIG).is_some_and(|value| value == "true") {
            return TopicRole::DeadLetter;
        }
        if self.is_retry(name) {
            return TopicRole::Retry;
        }
        if self.patterns.iter().any(|glob| glob.matches(name)) { TopicRole::DeadLetter } else { TopicRole::Ordinary }
    }

    /// `orders-retry`, `orders-retry-0`, `orders-retry-1000` (Spring), `orders.retry.5s` (Wolverine).
    fn is_retry(&self, name: &str) -> bool {
        if self.retry.iter().any(|glob| glob.matches(name)) {
            return true;
        }
        let last = |separator: char| name.rsplit_once(separator);
        let numbered = last('-').is_some_and(|(before, after)| {
            before.to_ascii_lowercase().ends_with("-retry") && !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit())
        });
        let tier = last('.').is_some_and(|(before, after)| {
            before.to_ascii_lowercase().ends_with(".retry") && after.bytes().next().is_some_and(|b| b.is_ascii_digit())
        });
        numbered || tier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(topic: &str) -> TopicRole {
        Discovery::new(&[], &[], &[]).unwrap().role(&topic.into(), &BTreeMap::new())
    }

    #[test]
    fn names_of_frameworks_are_known() {
        for topic in [
            "orders.DLT",
            "orders-dlt",
            "orders-invalid-dlt",
            "orders-retry-dlt",
            "error.orders.billing",
            "dead-letter-topic-payments",
            "wolverine-dead-letter-queue",
            "orders.dlq",
            "orders-dlq",
            "orders_DLQ",
            "dlq-connect-sink",
            "dlq.orders",
            "orders.dead-letter",
            "orders-dead-letters",
            "orders-dead-letter-queue",
            "poison_queue",
        ] {
            assert_eq!(role(topic), TopicRole::DeadLetter, "{topic}");
        }
    }

    #[test]
    fn retry_topics_are_never_dead_letters() {
        for topic in
            ["orders-retry", "orders-retry-0", "orders-retry-10000", "orders.retry.5s", "orders.retry", "dead-letter-topic-orders-retry"]
        {
            assert_eq!(role(topic), TopicRole::Retry, "{topic}");
        }
        let discovery = Discovery::new(&["*".to_owned()], &[], &[]).unwrap();
        assert_eq!(discovery.role(&"orders-retry-1000".into(), &BTreeMap::new()), TopicRole::Retry);
    }

    #[test]
    fn everything_else_is_ordinary() {
        for topic in ["orders", "error.orders", "errors", "dlt", "retrying-orders", "__consumer_offsets", "__dlq", "orders-retry-policy"] {
            assert_eq!(role(topic), TopicRole::Ordinary, "{topic}");
        }
    }

    #[test]
    fn teams_add_name_and_exclude() {
        let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let discovery =
            Discovery::new(&words(&["failed.*"]), &["parking-lot".into(), "jobs-retry".into()], &words(&["test.*", "failed.noise"]))
                .unwrap();
        let role = |topic: &str| discovery.role(&topic.into(), &BTreeMap::new());
        assert_eq!(role("failed.orders"), TopicRole::DeadLetter);
        assert_eq!(role("parking-lot"), TopicRole::DeadLetter);
        assert_eq!(role("jobs-retry"), TopicRole::DeadLetter, "named explicitly");
        assert_eq!(role("failed.noise"), TopicRole::Ordinary);
        assert_eq!(role("test.orders-dlt"), TopicRole::Ordinary);
        assert_eq!(Discovery::new(&[], &[], &words(&["ok", "a b"])).unwrap_err().pattern, "a b");
    }

    #[test]
    fn share_groups_mark_their_topics_by_configuration() {
        let discovery = Discovery::new(&[], &[], &["excluded".to_owned()]).unwrap();
        let config = BTreeMap::from([(SHARE_GROUP_CONFIG.to_owned(), "true".to_owned())]);
        assert_eq!(discovery.role(&"anything".into(), &config), TopicRole::DeadLetter);
        assert_eq!(discovery.role(&"excluded".into(), &config), TopicRole::Ordinary);
        let off = BTreeMap::from([(SHARE_GROUP_CONFIG.to_owned(), "false".to_owned())]);
        assert_eq!(discovery.role(&"anything".into(), &off), TopicRole::Ordinary);
    }
}
