//! Consumer groups, classic and KIP-848.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rdkafka::{Offset, TopicPartitionList};

use super::client::left;
use super::errors::{again, is_unreachable, of_loading};
use super::ffi::{Failure, Group};
use super::{Shared, names};
use crate::bus::{BusError, GroupDescription, GroupListing};
use crate::model::names::TopicPartition;
use crate::model::{Capability, GroupName, TopicName};

/// librdkafka sends one request per group and puts no bound on how many are under way.
const GROUPS_PER_CALL: usize = 100;
/// A coordinator that is loading is asked again for so long; whoever asks for many groups comes back later.
const LOADING: Duration = Duration::from_secs(2);

impl Shared {
    /// All groups but our own.
    pub(super) fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        let explain = |failure: &Failure| self.explain("listing consumer groups", "DESCRIBE on the cluster or on the groups", failure);
        let (groups, failures) = self.client.list_groups(left(self.deadline())).map_err(|f| explain(&f))?;
        // A part of the brokers' groups would look as if the others had been deleted.
        if let Some(failure) = failures.first() {
            return Err(explain(failure));
        }
        Ok(groups.iter().filter(|g| !self.is_ours(&g.name)).map(listing).collect())
    }

    pub(super) fn describe_groups(&self, groups: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        let act = "describing consumer groups";
        let mut all = Vec::with_capacity(groups.len());
        let named: Vec<_> = groups.iter().filter_map(|g| names::group(g).ok()).collect();
        self.is_there()?;
        for some in named.chunks(GROUPS_PER_CALL) {
            let described = self.describe_at_coordinators(some, self.deadline());
            let described = described.map_err(|f| self.explain(act, "DESCRIBE on the groups", &f))?;
            if let Some(reason) = self.unsupported(act, &described) {
                return Err(reason);
            }
            all.extend(described.into_iter().map(|group| {
                let listing = listing(&group);
                let needs = format!("DESCRIBE on the group {}", group.name);
                let silent = group.members.as_ref().is_err_and(|failure| is_unreachable(failure.code));
                let members = group.members.map_err(|f| self.explain("describing the group", &needs, &f).to_string());
                GroupDescription { listing, members, silent }
            }));
        }
        Ok(all)
    }

    pub(super) fn committed_offsets(&self, group: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        let act = format!("reading the offsets of group {group}");
        let needs = format!("DESCRIBE on the group {group} and on its topics");
        self.is_there()?;
        let group = names::group(group)?;
        let deadline = self.deadline();
        let ready = deadline.min(Instant::now() + LOADING);
        let read = |partitions: Option<&TopicPartitionList>| {
            let offsets = again(ready, || self.offsets_at_coordinator(&group, partitions, deadline).map_err(of_loading));
            offsets.map_err(|f| self.explain(&act, &needs, &f))
        };
        let mut offsets = read(None)?;
        if offsets.is_empty() && self.knows_groups_by_name_alone() {
            offsets = read(Some(&self.everywhere()?))?;
        }
        Ok(offsets.into_iter().filter(|(_, offset)| *offset >= 0).collect())
    }

    /// Whether groups can neither be listed nor described. Such a cluster (librdkafka's own, of which demos are made) answers nothing
    /// either to whoever asks where a group has committed, and has to be asked for each partition.
    fn knows_groups_by_name_alone(&self) -> bool {
        let capabilities = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        [Capability::ListGroups, Capability::DescribeGroups].iter().all(|lacks| capabilities.unavailable.contains_key(lacks))
    }

    fn everywhere(&self) -> Result<TopicPartitionList, BusError> {
        let topics = self.metadata()?.topics;
        let place = |topic: &TopicName, partition: i32| TopicPartition { topic: topic.clone(), partition };
        let places: Vec<TopicPartition> = topics
            .iter()
            .filter(|topic| !topic.internal)
            .flat_map(|of| of.partitions.keys().map(|number| place(&of.topic, *number)))
            .collect();
        Ok(names::list(places.iter().map(|place| (place, Offset::Invalid))))
    }

    /// A cluster that lacks the call says so for every group.
    fn unsupported(&self, act: &str, described: &[Group]) -> Option<BusError> {
        let reasons: Option<Vec<BusError>> =
            described.iter().map(|g| g.members.as_ref().err().map(|f| self.explain(act, "DESCRIBE on the groups", f))).collect();
        reasons?.into_iter().next().filter(|reason| matches!(reason, BusError::Unsupported(_)))
    }

    /// Groups that share our own work are no business of the person on call.
    fn is_ours(&self, group: &str) -> bool {
        group.strip_prefix(self.settings.id_prefix.as_str()).is_some_and(|rest| rest.starts_with("index-") || rest.starts_with("otlp-"))
    }
}

fn listing(group: &Group) -> GroupListing {
    GroupListing { name: GroupName::new(group.name.as_str()), kind: group.kind.to_owned(), state: group.state.clone() }
}

/// Used where a topic must be named in words.
pub(super) fn place(topic: &TopicName, partition: i32) -> String {
    format!("partition {partition} of {topic}")
}
