//! "Nothing came back" can only be said once every dead-letter topic where it would have come back was read past the end that it had then.

use std::collections::{BTreeSet, HashMap};

use super::{ReplayBus, Replays};
use crate::model::bus::TopicRole;
use crate::model::names::TopicPartition;
use crate::model::partition_problem::PartitionProblemKind;
use crate::model::replay::{Replay, Route};
use crate::model::{BusId, Timestamp, TopicName};
use crate::store::StoreError;

/// Ends of the dead-letter topics that matter, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Barrier {
    /// When they were read.
    pub(super) at: Timestamp,
    /// Our id of each partition with its end.
    ends: Vec<(i64, i64)>,
    /// The first topic whose end could not be read, and why.
    unreadable: Option<String>,
}

impl Barrier {
    /// Reads the ends now.
    pub(super) async fn raise(replays: &Replays, bus: &ReplayBus, replay: &Replay, routes: &[Route]) -> Result<Self, StoreError> {
        let at = Timestamp::now();
        let store = replays.store();
        let mut names: BTreeSet<TopicName> = BTreeSet::new();
        for route in routes {
            if let (Some(group), Some(target)) = (&route.consumer_group, &route.target) {
                names.extend(store.list_topics_of_failures(&replay.bus, group, target).await?);
            }
        }
        let topics = store.list_stored_topics(&replay.bus).await?;
        let mut partitions: HashMap<TopicPartition, i64> = HashMap::new();
        for topic in topics.iter().filter(|topic| topic.generation.role == TopicRole::DeadLetter && names.contains(&topic.generation.topic))
        {
            for partition in &topic.partitions {
                partitions.insert(TopicPartition { topic: topic.generation.topic.clone(), partition: partition.partition }, partition.id);
            }
        }
        let asked: Vec<TopicPartition> = partitions.keys().cloned().collect();
        let mut barrier = Self { at, ends: Vec::new(), unreadable: None };
        match bus.bus.offsets(&asked).await {
            Ok(offsets) => {
                for (partition, id) in &partitions {
                    match offsets.get(partition) {
                        Some(offsets) => barrier.ends.push((*id, offsets.end)),
                        None => barrier.unreadable = Some(format!("the dead-letter topic {} cannot be read", partition.topic)),
                    }
                }
            }
            Err(error) => barrier.unreadable = Some(format!("the dead-letter topics cannot be read: {error}")),
        }
        Ok(barrier)
    }

    /// Whether indexing has passed every end.
    pub(super) async fn is_passed(&self, replays: &Replays) -> Result<bool, StoreError> {
        Ok(self.unreadable.is_none() && self.lagging(replays).await?.is_empty())
    }

    /// Why nobody can tell now whether it will be passed: an end that could not be read, or records before one that cannot.
    pub(super) async fn obstacle(&self, replays: &Replays, bus: &BusId) -> Result<Option<String>, StoreError> {
        if self.unreadable.is_some() {
            return Ok(self.unreadable.clone());
        }
        let lagging = self.lagging(replays).await?;
        if lagging.is_empty() {
            return Ok(None);
        }
        let problems = replays.store().list_partition_problems(Some(bus), None).await?;
        let hit =
            problems.iter().find(|problem| problem.kind == PartitionProblemKind::Unreadable && lagging.contains(&problem.partition_id));
        Ok(hit.map(|problem| format!("the dead-letter topic {} cannot be read: {}", problem.topic, problem.reason)))
    }

    /// Partitions that are not indexed up to their end of then, by our id.
    async fn lagging(&self, replays: &Replays) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<i64> = self.ends.iter().map(|(id, _)| *id).collect();
        let positions = replays.store().list_positions(&ids).await?;
        let next: HashMap<i64, i64> = positions.into_iter().map(|position| (position.partition_id, position.next)).collect();
        let lags = self.ends.iter().filter(|(id, end)| next.get(id).is_none_or(|next| next < end));
        Ok(lags.map(|(id, _)| *id).collect())
    }
}
