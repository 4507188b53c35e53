//! What is taken away from a cluster: records below an offset, and consumer groups of ours.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::Offset;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::{self, left};
use super::errors::{again, of_group};
use super::ffi::{Client, Failure, Observer, TopicDescription};
use super::groups::place;
use super::{Shared, names};
use crate::bus::BusError;
use crate::model::names::TopicPartition;
use crate::model::{GroupName, TopicName};

/// Look-ups inside librdkafka's lists are linear.
const PARTITIONS_PER_CALL: usize = 500;

/// Why the brokers answer `POLICY_VIOLATION`.
const COMPACTED: &str = "the topic is compacted, and Kafka deletes records only from topics that are not";

type Cuts = HashMap<TopicPartition, Result<i64, BusError>>;

impl Shared {
    /// Removes the records below each offset. What one partition refuses stops no other.
    pub(super) fn delete_records(&self, cuts: &[(TopicPartition, i64)]) -> Result<Cuts, BusError> {
        let mut all = Cuts::with_capacity(cuts.len());
        let topics: BTreeSet<&TopicName> = cuts.iter().map(|(p, _)| &p.topic).collect();
        let described = self.describe(&names::topics(topics));
        let described = described.map_err(|f| self.explain("deleting records", "DESCRIBE on the topics", &f))?;
        let topics: HashMap<String, Result<TopicDescription, Failure>> = described.into_iter().collect();
        let mut possible = Vec::new();
        for cut in cuts {
            // librdkafka waits for the leaders of all, so that one without a leader would stop the others.
            match self.obstacle(&cut.0, topics.get(cut.0.topic.as_str())) {
                Some(obstacle) => drop(all.insert(cut.0.clone(), Err(obstacle))),
                None => possible.push(cut),
            }
        }
        let mut lacking = None;
        for some in possible.chunks(PARTITIONS_PER_CALL) {
            let list = names::list(some.iter().map(|(partition, below)| (partition, Offset::Offset(*below))));
            let outcomes = self.client.delete_records(&list, left(self.deadline()));
            let outcomes = outcomes.unwrap_or_else(|failure| some.iter().map(|(p, _)| (p.clone(), Err(failure.clone()))).collect());
            for (partition, outcome) in outcomes {
                if let Err(failure) = &outcome
                    && matches!(failure.code, Code::UnsupportedFeature | Code::UnsupportedVersion)
                {
                    lacking = Some(self.refusal(&partition, failure));
                }
                let outcome = outcome.map_err(|failure| self.refusal(&partition, &failure));
                all.insert(partition, outcome);
            }
        }
        // A cluster that lacks the call says so for every partition.
        match lacking {
            Some(error) if !all.values().any(Result::is_ok) => Err(error),
            _ => Ok(all),
        }
    }

    /// Why a partition need not be asked.
    fn obstacle(&self, partition: &TopicPartition, topic: Option<&Result<TopicDescription, Failure>>) -> Option<BusError> {
        let place = place(&partition.topic, partition.partition);
        match topic {
            Some(Ok(topic)) => match topic.partitions.get(&partition.partition) {
                Some(Some(_)) => None,
                Some(None) => Some(BusError::Unreachable(format!("{place} has no leader"))),
                None => Some(BusError::NotFound(format!("{place} does not exist"))),
            },
            Some(Err(failure)) => Some(self.refusal(partition, failure)),
            None => Some(BusError::NotFound(format!("{place} does not exist"))),
        }
    }

    fn refusal(&self, partition: &TopicPartition, failure: &Failure) -> BusError {
        let act = format!("deleting records of {}", place(&partition.topic, partition.partition));
        match failure.code {
            Code::PolicyViolation => BusError::Unsupported(format!("{act}: {COMPACTED}")),
            Code::OffsetOutOfRange => BusError::Other(format!("{act}: it does not reach as far as it was to be cut")),
            _ => self.explain(&act, &format!("DELETE on the topic {}", partition.topic), failure),
        }
    }

    /// Deletes a group; one that is not there is deleted already.
    pub(super) fn delete_group(&self, group: &GroupName) -> Result<(), BusError> {
        if !self.deletes_groups()? {
            return Err(BusError::Unsupported("deleting consumer groups: the brokers do not know this request".to_owned()));
        }
        self.is_there()?;
        let (native, deadline) = (names::group(group)?, self.deadline());
        let delete = |broker, time| self.client.delete_group(&native, broker, time);
        match again(deadline, || self.at_coordinator(&native, deadline, delete).map_err(of_group)) {
            Err(failure) if failure.code != Code::GroupIdNotFound => {
                Err(self.explain(&format!("deleting the group {group}"), &format!("DELETE on the group {group}"), &failure))
            }
            _ => Ok(()),
        }
    }

    /// Whether the brokers know the request. librdkafka 2.12 ends the whole process when it must send it to one that does not
    /// (`rd_kafka_DeleteGroupsRequest` and `rd_kafka_coord_req_fsm` both destroy the reply queue), and tells what a broker knows in
    /// its debug lines only.
    fn deletes_groups(&self) -> Result<bool, BusError> {
        if self.deletes_groups.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let listener = Arc::new(Listener::default());
        let mut config = client::base(&self.settings);
        config.set("debug", "feature");
        config.set_log_level(RDKafkaLogLevel::Debug);
        let client = Client::new(&config, false, Arc::clone(&listener) as _).map_err(BusError::Configuration)?;
        let answered = client.describe_cluster(self.settings.request_timeout);
        answered.map_err(|f| self.explain("asking what the brokers can do", "DESCRIBE on the cluster", &f))?;
        let found = listener.found.load(Ordering::Relaxed);
        self.deletes_groups.store(found, Ordering::Relaxed);
        Ok(found)
    }
}

/// Listens for the line that a broker knows how to delete groups.
#[derive(Default)]
struct Listener {
    found: AtomicBool,
}

impl Observer for Listener {
    fn log(&self, _: i32, facility: &str, text: &str) {
        if facility == "APIVERSION" && text.contains("ApiKey DeleteGroups (42) ") {
            self.found.store(true, Ordering::Relaxed);
        }
    }

    fn error(&self, _: Code, _: &str) {}
}
