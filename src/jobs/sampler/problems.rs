//! What keeps partitions from being used: those that nobody leads, whose offsets cannot be read, or whose log ends before what was
//! read; and whether what the indexer could not read can be read again. Written only when it changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::bus::{PartitionOffsets, ReadFrom};
use crate::dead_letters::indexer::{BusWork, Context};
use crate::lifecycle::changes::Noun;
use crate::model::Timestamp;
use crate::model::bus::PartitionState;
use crate::model::names::TopicPartition;
use crate::model::partition_problem::PartitionProblemKind::{self, EndsEarly, Leaderless, OffsetsUnread, Unreadable};
use crate::store::StoreError;
use crate::store::topics::StoredTopic;

/// Partitions that are tried again in one sweep: each may take a request's whole deadline.
const TRIED_AGAIN: usize = 8;

/// What the store was told last, by kind.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: HashMap<PartitionProblemKind, Vec<(i64, String)>>,
}

impl Problems {
    /// Compares what was seen with what the store knows.
    pub(super) async fn look(
        &mut self,
        context: &Context,
        work: &BusWork,
        topics: &[StoredTopic],
        offsets: &HashMap<i64, PartitionOffsets>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let all: Vec<i64> = topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| partition.id)).collect();
        let partitions = || topics.iter().flat_map(|topic| &topic.partitions);
        let leaderless = partitions().filter(|p| p.leader.is_none()).map(|p| (p.id, String::new())).collect();
        let unread = partitions().filter(|p| p.leader.is_some() && !offsets.contains_key(&p.id)).map(|p| (p.id, String::new())).collect();
        let mut changed = self.tell(context, &all, Leaderless, leaderless, now).await?;
        changed |= self.tell(context, &all, OffsetsUnread, unread, now).await?;
        changed |= self.tell(context, &all, EndsEarly, partitions().filter_map(|p| ends_early(p, offsets)).collect(), now).await?;
        changed |= try_again(context, work, topics, now).await?;
        if changed {
            context.changes.publish(Noun::Topics);
            context.changes.publish(Noun::Buses);
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        context: &Context,
        all: &[i64],
        kind: PartitionProblemKind,
        found: Vec<(i64, String)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.told.get(&kind) == Some(&found) {
            return Ok(false);
        }
        context.store.record_partition_problems(all, kind, &found, now).await?;
        self.told.insert(kind, found);
        Ok(true)
    }
}

/// The position is older than the offsets beside it, so only a log that was cut ends before it.
fn ends_early(partition: &PartitionState, offsets: &HashMap<i64, PartitionOffsets>) -> Option<(i64, String)> {
    let (next, end) = (partition.next?, offsets.get(&partition.id)?.end);
    (end < next).then(|| (partition.id, format!("the log ends at offset {end}, and was read up to {next}")))
}

/// Reads one record where the indexer could not go on. Whether that works again is only known by trying: the reader is not told.
async fn try_again(context: &Context, work: &BusWork, topics: &[StoredTopic], now: Timestamp) -> Result<bool, StoreError> {
    let known = context.store.list_partition_problems(Some(work.id()), None).await?;
    let unreadable: HashSet<i64> = known.iter().filter(|problem| problem.kind == Unreadable).map(|problem| problem.partition_id).collect();
    let mut places = BTreeMap::new();
    for topic in topics {
        for partition in topic.partitions.iter().filter(|partition| unreadable.contains(&partition.id)) {
            let place = TopicPartition { topic: topic.generation.topic.clone(), partition: partition.partition };
            places.insert(partition.id, (place, partition.next));
        }
    }
    let tries = places.iter().take(TRIED_AGAIN).map(|(id, (place, next))| async move {
        let from = next.map_or(ReadFrom::Newest, ReadFrom::Offset);
        work.bus.read(place, from, 1).await.is_ok().then_some(*id)
    });
    let readable: Vec<i64> = futures::future::join_all(tries).await.into_iter().flatten().collect();
    if readable.is_empty() {
        return Ok(false);
    }
    context.store.record_partition_problems(&readable, Unreadable, &[], now).await?;
    Ok(true)
}
