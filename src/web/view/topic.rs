//! Words about topics.

use std::time::Duration;

use super::time::duration_words;
use crate::model::bus::{TopicGeneration, TopicRole};

/// The word of addresses and of the API.
#[must_use]
pub const fn role_word(role: TopicRole) -> &'static str {
    match role {
        TopicRole::Ordinary => "ordinary",
        TopicRole::DeadLetter => "dead_letter",
        TopicRole::Retry => "retry",
    }
}

/// A role as a field of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleWord {
    /// An ordinary topic.
    Ordinary,
    /// Holds dead letters.
    DeadLetter,
    /// Holds records that wait for another try.
    Retry,
}

impl RoleWord {
    /// The role.
    #[must_use]
    pub const fn role(self) -> TopicRole {
        match self {
            Self::Ordinary => TopicRole::Ordinary,
            Self::DeadLetter => TopicRole::DeadLetter,
            Self::Retry => TopicRole::Retry,
        }
    }
}

/// What is done with old records: `compact`, `delete, 7 d`. Without the time where the topic keeps the broker's default.
#[must_use]
pub fn cleanup_words(topic: &TopicGeneration) -> String {
    let default = if topic.compacted { "compact" } else { "delete" };
    let policy = topic.config.get("cleanup.policy").map_or(default, String::as_str).replace(',', ", ");
    if !policy.contains("delete") {
        return policy;
    }
    match topic.config.get("retention.ms").and_then(|millis| millis.parse::<i64>().ok()) {
        None => policy,
        Some(millis) => match u64::try_from(millis) {
            Ok(millis) => format!("{policy}, {}", duration_words(Duration::from_millis(millis))),
            Err(_) => format!("{policy}, kept for ever"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn cleanup_is_told_as_far_as_it_is_known() {
        let cases = [
            (&[][..], false, "delete"),
            (&[], true, "compact"),
            (&[("retention.ms", "604800000")], false, "delete, 7 d"),
            (&[("retention.ms", "-1")], false, "delete, kept for ever"),
            (&[("cleanup.policy", "compact"), ("retention.ms", "1")], true, "compact"),
            (&[("cleanup.policy", "compact,delete"), ("retention.ms", "90000")], true, "compact, delete, 1 min 30 s"),
            (&[("retention.ms", "soon")], false, "delete"),
        ];
        for (config, compacted, expected) in cases {
            let topic = TopicGeneration {
                id: 1,
                bus: "prod".into(),
                topic: "orders".into(),
                topic_id: None,
                role: TopicRole::Ordinary,
                internal: false,
                first_seen_at: Timestamp::from_millis(0),
                gone_at: None,
                compacted,
                transactional: false,
                config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                replication_factor: 3,
            };
            assert_eq!(cleanup_words(&topic), expected, "{config:?}");
        }
    }
}
