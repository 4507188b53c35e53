//! Cluster, topics, offsets and configurations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::left;
use super::ffi::{ByName, ConfigValue, Failure, TopicDescription};
use super::leaders::Wanted;
use super::{Shared, names};
use crate::bus::{BusError, Metadata, PartitionOffsets, TopicMetadata, TopicRights};
use crate::model::names::TopicPartition;
use crate::model::{Timestamp, TopicName};

/// Look-ups inside librdkafka's lists are linear.
const PARTITIONS_PER_CALL: usize = 500;
const TOPICS_PER_CALL: usize = 500;

const DESCRIBE_TOPICS: &str = "describing topics";
pub(super) const NEEDS_DESCRIBE: &str = "DESCRIBE on the topics";

impl Shared {
    pub(super) fn metadata(&self) -> Result<Metadata, BusError> {
        let deadline = self.deadline();
        let act = "reading the cluster's metadata";
        let explain = |failure: &Failure| self.explain(act, "DESCRIBE on the cluster", failure);
        let listed = self.client.topic_names(left(deadline)).map_err(|f| explain(&f))?;
        let (cluster_id, brokers) = self.client.describe_cluster(left(deadline)).map_err(|f| explain(&f))?;
        let listed: BTreeSet<TopicName> = listed.into_iter().map(TopicName::new).collect();
        let described = self.describe(&names::topics(&listed)).map_err(|f| explain(&f))?;
        let topics = described.into_iter().filter_map(|(name, topic)| self.topic_metadata(&name, topic)).collect();
        Ok(Metadata { cluster_id, brokers, topics })
    }

    fn topic_metadata(&self, name: &str, topic: Result<TopicDescription, Failure>) -> Option<TopicMetadata> {
        let metadata = |error| TopicMetadata {
            topic: TopicName::new(name),
            topic_id: None,
            partitions: BTreeMap::new(),
            replication_factor: 0,
            internal: false,
            error,
        };
        match topic {
            Ok(topic) => Some(TopicMetadata {
                topic_id: topic.topic_id,
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                internal: topic.internal || matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state"),
                ..metadata(None)
            }),
            // Deleted since it was listed.
            Err(Failure { code: Code::UnknownTopicOrPartition | Code::UnknownTopic, .. }) => None,
            Err(failure) => Some(metadata(Some(self.explain("describing the topic", "DESCRIBE on the topic", &failure).to_string()))),
        }
    }

    pub(super) fn topic_ids(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        let mut ids: HashMap<TopicName, Option<String>> = topics.iter().map(|t| (t.clone(), None)).collect();
        let described = self.describe(&names::topics(topics)).map_err(|f| self.explain(DESCRIBE_TOPICS, NEEDS_DESCRIBE, &f))?;
        let mut refused = None;
        for (name, topic) in described {
            match topic {
                Ok(TopicDescription { topic_id: Some(id), .. }) => drop(ids.insert(name.into(), Some(id))),
                Ok(_) => return Err(BusError::Unsupported("the brokers do not tell topic ids (KIP-516)".to_owned())),
                Err(Failure { code: Code::UnknownTopicOrPartition | Code::UnknownTopic, .. }) => {}
                Err(failure) => {
                    ids.remove(&TopicName::from(name));
                    refused = Some(failure);
                }
            }
        }
        match refused {
            Some(failure) if ids.is_empty() => Err(self.explain(DESCRIBE_TOPICS, NEEDS_DESCRIBE, &failure)),
            _ => Ok(ids),
        }
    }

    /// What we may do on topics. Whoever may read, write or delete may also describe: where that is refused, so is all.
    pub(super) fn topic_rights(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, TopicRights>, BusError> {
        let mut all = HashMap::with_capacity(topics.len());
        for some in names::topics(topics).chunks(TOPICS_PER_CALL) {
            let told = self.client.topic_rights(some, left(self.deadline()));
            for (name, rights) in told.map_err(|f| self.explain("asking for access rules", NEEDS_DESCRIBE, &f))? {
                let none = TopicRights { read: Some(false), write: Some(false), delete: Some(false) };
                match rights {
                    Ok(rights) => drop(all.insert(name.into(), rights)),
                    Err(Failure { code: Code::TopicAuthorizationFailed, .. }) => drop(all.insert(name.into(), none)),
                    Err(_) => {}
                }
            }
        }
        Ok(all)
    }

    /// One topic, asked for no longer than this; `None` when nobody answers.
    pub(super) fn describe_one(&self, topic: &TopicName, timeout: Duration) -> Option<Result<TopicDescription, Failure>> {
        self.client.describe_topics(&names::topics([topic]), timeout).ok()?.pop().map(|(_, topic)| topic)
    }

    pub(super) fn describe(&self, topics: &[CString]) -> Result<ByName<TopicDescription>, Failure> {
        self.describe_within(self.settings.request_timeout, topics)
    }

    /// The same, each request with this deadline.
    pub(super) fn describe_within(&self, time: Duration, topics: &[CString]) -> Result<ByName<TopicDescription>, Failure> {
        let mut described = Vec::with_capacity(topics.len());
        for some in topics.chunks(TOPICS_PER_CALL) {
            described.extend(self.client.describe_topics(some, time)?);
        }
        Ok(described)
    }

    /// Log start, end, last stable offset, in this order: what is written meanwhile is then never taken for an open transaction.
    pub(super) fn offsets(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        let mut all = HashMap::with_capacity(partitions.len());
        for some in partitions.chunks(PARTITIONS_PER_CALL) {
            let log_starts = self.list_offsets(some, Offset::Beginning, false)?;
            if log_starts.is_empty() {
                continue;
            }
            let ends = self.list_offsets(some, Offset::End, false)?;
            let stable = self.list_offsets(some, Offset::End, true)?;
            for (partition, end) in ends {
                let Some(log_start) = log_starts.get(&partition).copied() else { continue };
                let last_stable = stable.get(&partition).map(|stable| (*stable).min(end));
                all.insert(partition, PartitionOffsets { log_start, end, last_stable });
            }
        }
        if !all.is_empty() {
            self.watch.answered();
        }
        Ok(all)
    }

    /// First offsets of a time; `None` where nothing is as new.
    pub(super) fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time: Timestamp,
    ) -> Result<HashMap<TopicPartition, Option<i64>>, BusError> {
        let mut all = HashMap::with_capacity(partitions.len());
        // Negative numbers of a specification have a meaning of their own.
        let wanted = Wanted { offset: Offset::Offset(time.as_millis().max(0)), committed: false };
        for some in partitions.chunks(PARTITIONS_PER_CALL) {
            let found = self.ask_offsets(some, wanted)?;
            all.extend(found.into_iter().map(|(partition, offset)| (partition, (offset >= 0).then_some(offset))));
        }
        Ok(all)
    }

    /// One kind of offset for many partitions; those that cannot be told, or have none of a time, are left out.
    pub(super) fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        wanted: Offset,
        committed: bool,
    ) -> Result<HashMap<TopicPartition, i64>, BusError> {
        let mut told = self.ask_offsets(partitions, Wanted { offset: wanted, committed })?;
        told.retain(|_, offset| *offset >= 0);
        Ok(told)
    }

    pub(super) fn topic_configs(&self, topics: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        let explain = |failure: &Failure| self.explain("reading topic configurations", "DESCRIBE_CONFIGS on the topics", failure);
        let (mut all, mut refused) = (HashMap::new(), None);
        for some in names::topics(topics).chunks(TOPICS_PER_CALL) {
            for (name, values) in self.client.describe_configs(some, left(self.deadline())).map_err(|f| explain(&f))? {
                match values {
                    Ok(values) => drop(all.insert(TopicName::from(name), values.into_iter().filter_map(of_interest).collect())),
                    Err(failure) => refused = Some(failure),
                }
            }
        }
        match refused {
            Some(failure) if all.is_empty() && failure.code == Code::TopicAuthorizationFailed => Err(explain(&failure)),
            _ => Ok(all),
        }
    }
}

/// What Kafka's own default of `max.message.bytes` is.
const DEFAULT_MAX_MESSAGE_BYTES: &str = "1048588";

/// What was set on the topic; and wherever they were set compaction, which changes what may be missing from a log, and the size of the
/// largest batch, which a replay must keep to.
fn of_interest(config: ConfigValue) -> Option<(String, String)> {
    let ConfigValue { name, value, of_topic } = config;
    let value = value?;
    let telling = match name.as_str() {
        "cleanup.policy" => value.contains("compact"),
        "max.message.bytes" => value != DEFAULT_MAX_MESSAGE_BYTES,
        _ => false,
    };
    (of_topic || telling).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_sets_for_all_its_topics_is_known_where_it_matters() {
        let config = |name: &str, value: &str, of_topic| ConfigValue { name: name.to_owned(), value: Some(value.to_owned()), of_topic };
        let cases = [
            (config("max.message.bytes", "10485760", false), true),
            (config("max.message.bytes", "1048588", false), false),
            (config("max.message.bytes", "1048588", true), true),
            (config("cleanup.policy", "compact,delete", false), true),
            (config("cleanup.policy", "delete", false), false),
            (config("retention.ms", "60000", true), true),
            (config("retention.ms", "60000", false), false),
        ];
        for (given, told) in cases {
            assert_eq!(of_interest(given).is_some(), told);
        }
    }
}
