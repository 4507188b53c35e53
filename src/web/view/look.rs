//! The one place that owns words, icons and tones of states. Tones: `bad` needs a person now, `warn` soon, `ok`, `busy`, `idle`.

use crate::model::{Capability, FailedAtSource, Presence, Status};

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The word.
    pub word: &'static str,
    /// Name of the icon in the sprite.
    pub icon: &'static str,
    /// Value of `data-tone`.
    pub tone: &'static str,
}

const fn look(word: &'static str, icon: &'static str, tone: &'static str) -> Look {
    Look { word, icon, tone }
}

/// A status of a dead letter.
#[must_use]
pub const fn status(status: Status) -> Look {
    match status {
        Status::Open => look("Open", "circle-dot", "warn"),
        Status::Replaying => look("Replaying", "refresh-cw", "busy"),
        Status::Replayed => look("Replayed", "redo-2", "idle"),
        Status::Resolved => look("Resolved", "circle-check", "ok"),
        Status::FailedAgain => look("Failed again", "circle-x", "bad"),
        Status::Discarded => look("Discarded", "archive", "idle"),
    }
}

/// Whether the bus still holds a record.
#[must_use]
pub const fn presence(presence: Presence) -> Look {
    match presence {
        Presence::OnBroker => look("On broker", "database", "idle"),
        Presence::Expired => look("Expired", "hourglass", "idle"),
        Presence::Purged => look("Purged", "trash-2", "idle"),
        Presence::TopicDeleted => look("Topic deleted", "circle-slash", "idle"),
        Presence::Unknown => look("Unknown", "circle-question-mark", "idle"),
    }
}

/// Presence in a sentence.
#[must_use]
pub const fn presence_words(presence: Presence) -> &'static str {
    match presence {
        Presence::OnBroker => "The bus still holds the record.",
        Presence::Expired => "The broker's retention has removed the record.",
        Presence::Purged => "A purge has removed the record from the bus.",
        Presence::TopicDeleted => "Its topic is gone or was created anew.",
        Presence::Unknown => "The topic is compacted, or the bus has not been reached: nobody can tell.",
    }
}

/// Where the time of a failure comes from, in words.
#[must_use]
pub const fn failed_at_source(source: FailedAtSource) -> &'static str {
    match source {
        FailedAtSource::Header => "from a header",
        FailedAtSource::Record => "from the record",
        FailedAtSource::Indexed => "time of indexing, nothing tells when it failed",
    }
}

/// What somebody would do with a capability.
#[must_use]
pub const fn capability_words(capability: Capability) -> &'static str {
    match capability {
        Capability::ListGroups => "List consumer groups",
        Capability::DescribeGroups => "See the members of consumer groups",
        Capability::DeleteRecords => "Delete records",
        Capability::Transactions => "Write in transactions",
        Capability::ReadConfigs => "Read topic configurations",
        Capability::RandomRead => "Open records at any position",
        Capability::OffsetsForTimes => "Find records by time",
        Capability::TopicIds => "Tell a re-created topic by its id",
    }
}

/// A convention's name for people; configured mappings go by their own.
#[must_use]
pub fn convention(slug: &str) -> &str {
    match slug {
        "spring_kafka" => "Spring Kafka",
        "spring_retry" => "Spring Kafka retry topics",
        "spring_cloud_stream" => "Spring Cloud Stream",
        "kafka_connect" => "Kafka Connect",
        "kafka_streams" => "Kafka Streams",
        "share_group" => "Share group",
        "smallrye" => "SmallRye",
        "micronaut" => "Micronaut",
        "wolverine" => "Wolverine",
        "masstransit" => "MassTransit",
        "brighter" => "Brighter",
        "silverback" => "Silverback",
        "watermill" => "Watermill",
        "karafka" => "Karafka",
        "arroyo" => "Arroyo",
        "unknown" => "No known failure header",
        other => other,
    }
}

/// A field of a filter for people.
#[must_use]
pub fn field(name: &str) -> &str {
    match name {
        "topic" => "dead-letter topic",
        "origin_topic" => "origin",
        "consumer_group" => "consumer group",
        "exception_class" => "exception",
        "fingerprint" => "failure group",
        other => other,
    }
}

/// The last part of a class name: `NullPointerException` of `java.lang.NullPointerException`.
#[must_use]
pub fn short_class(class: &str) -> &str {
    crate::dead_letters::fingerprint::short(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_shape() {
        let mut icons: Vec<_> = Status::ALL.iter().map(|s| status(*s).icon).collect();
        icons.sort_unstable();
        icons.dedup();
        assert_eq!(icons.len(), Status::ALL.len());
    }

    #[test]
    fn classes_are_shortened_without_losing_them() {
        for (class, short) in [
            ("java.lang.NullPointerException", "NullPointerException"),
            ("System.InvalidOperationException", "InvalidOperationException"),
            ("std::io::Error", "Error"),
            ("KeyError", "KeyError"),
            ("com.acme.Outer$Inner", "Inner"),
            ("", ""),
        ] {
            assert_eq!(short_class(class), short);
        }
    }
}
