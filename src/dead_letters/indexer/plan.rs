//! What is read from where: the partitions of living dead-letter topics that are ours, with their stored positions, each compared with
//! the topic's id and with what the bus still holds.

use std::collections::{BTreeSet, HashMap};

use super::Setback;
use super::work::{BusWork, Context, Said};
use crate::bus::{BusError, PartitionOffsets, Share};
use crate::lifecycle::changes::Noun;
use crate::model::bus::TopicRole;
use crate::model::names::TopicPartition;
use crate::model::{BusId, Timestamp, TopicName};
use crate::store::indexing::{Advance, IndexBatch, IndexOutcome};

/// Where one partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Track {
    /// The store's id of the partition.
    pub(super) partition_id: i64,
    /// Next offset to read.
    pub(super) next: i64,
    /// Offsets below are backlog.
    pub(super) backlog_below: i64,
    /// What is still to be read came to the topic after this moment, as far as is known.
    pub(super) caught_up_at: Option<Timestamp>,
    /// Whether reading waits at the end for what comes.
    pub(super) at_end: bool,
}

impl Track {
    /// Takes what a poll says that began at `asked_at` and goes on at `next`: at which offset it met the end, or that there was trouble.
    pub(super) fn polled(&mut self, next: i64, ended: Option<i64>, troubled: bool, asked_at: Timestamp) {
        self.at_end = ended.is_some_and(|end| end >= next) || (self.at_end && next <= self.next && !troubled);
        if self.at_end {
            self.caught_up_at = self.caught_up_at.max(Some(asked_at));
        }
    }
}

/// What one assignment reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Partitions with their positions.
    pub(super) tracks: HashMap<TopicPartition, Track>,
    /// Topic ids under which they are read; `None` where the bus tells none.
    pub(super) topic_ids: HashMap<TopicName, Option<String>>,
    /// The store's ids of everything that is ours to read, partitions that have to wait included.
    pub(super) ours: BTreeSet<i64>,
    /// Whether partitions had to be left out for now, so that a new plan is due even if nothing is heard.
    pub(super) incomplete: bool,
}

impl Plan {
    /// What the reader is given.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.tracks.iter().map(|(partition, track)| (partition.clone(), track.next)).collect()
    }
}

/// Refuses to index when the addresses lead to another cluster than the one whose positions are stored under this bus's id.
pub(super) async fn check_cluster(context: &Context, work: &BusWork) -> Result<(), Setback> {
    let Some(cluster_id) = work.bus.metadata().await?.cluster_id else {
        return Ok(());
    };
    match context.store.claim_cluster(work.id(), &cluster_id).await? {
        Ok(()) => Ok(()),
        Err(stored) => Err(Setback::Refused(another_cluster(work.id(), &stored, &cluster_id))),
    }
}

/// Why a bus is refused, as the sampler and the indexer say it.
#[must_use]
pub fn another_cluster(bus: &BusId, stored: &str, found: &str) -> String {
    format!(
        "bus {bus} leads to cluster {found}, but what is stored under this id came from cluster {stored}; \
         give the new cluster a [[bus]] id of its own, or correct bootstrap_servers"
    )
}

/// The store's ids of the partitions that are ours to read now. Cheap; tells whether a plan is still right.
pub(super) async fn list_ours(context: &Context, bus: &BusId, share: &Share) -> Result<BTreeSet<i64>, Setback> {
    Ok(list_candidates(context, bus, share).await?.into_iter().map(|candidate| candidate.partition_id).collect())
}

/// Makes a plan. Gaps that it finds are stored before it answers.
pub(super) async fn make(context: &Context, work: &BusWork, share: &Share, said: &mut Said) -> Result<Plan, Setback> {
    let candidates = list_candidates(context, work.id(), share).await?;
    let mut plan = Plan { ours: candidates.iter().map(|candidate| candidate.partition_id).collect(), ..Plan::default() };
    if candidates.is_empty() {
        return Ok(plan);
    }
    let present = present_topic_ids(work, &candidates).await?;
    let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.partition_id).collect();
    let positions: HashMap<i64, _> = context.store.list_positions(&ids).await?.into_iter().map(|p| (p.partition_id, p)).collect();
    let partitions: Vec<TopicPartition> = candidates.iter().map(|candidate| candidate.partition.clone()).collect();
    let asked_at = Timestamp::now();
    let offsets = work.bus.offsets(&partitions).await?;
    for candidate in candidates {
        let topic = &candidate.partition.topic;
        let Some(topic_id) = same_generation(present.as_ref(), topic, candidate.topic_id) else {
            // The store does not know yet that this topic is gone or has begun again.
            plan.incomplete = true;
            work.signals.ask_for_sweep();
            continue;
        };
        let Some(position) = positions.get(&candidate.partition_id) else { continue };
        let mut track = Track {
            partition_id: position.partition_id,
            next: position.next,
            backlog_below: position.backlog_below,
            caught_up_at: position.caught_up_at,
            at_end: false,
        };
        if let Some(offsets) = offsets.get(&candidate.partition)
            && !align(context, work, &candidate.partition, &mut track, *offsets, said).await?
        {
            plan.incomplete = true;
            continue;
        }
        if offsets.get(&candidate.partition).is_some_and(|offsets| offsets.end == track.next) {
            track.caught_up_at = track.caught_up_at.max(Some(asked_at));
        }
        plan.topic_ids.insert(topic.clone(), topic_id);
        plan.tracks.insert(candidate.partition, track);
    }
    Ok(plan)
}

/// Whether a topic that was fetched or assigned under `expected` still has that id; `None` when it has not, else the id to go on with.
#[expect(clippy::option_option, reason = "outside: whether it is the same topic; inside: whether the bus tells ids")]
pub(super) fn same_generation(
    present: Option<&HashMap<TopicName, Option<String>>>,
    topic: &TopicName,
    expected: Option<String>,
) -> Option<Option<String>> {
    let Some(present) = present else { return Some(expected) };
    match (present.get(topic).cloned().flatten(), expected) {
        (None, _) => None,
        (Some(found), Some(expected)) if found != expected => None,
        (Some(found), _) => Some(Some(found)),
    }
}

/// The present ids of topics; `None` where the bus tells no ids.
pub(super) async fn topic_ids<'a>(
    work: &BusWork,
    topics: impl Iterator<Item = &'a TopicName>,
) -> Result<Option<HashMap<TopicName, Option<String>>>, BusError> {
    let topics: BTreeSet<&TopicName> = topics.collect();
    let topics: Vec<TopicName> = topics.into_iter().cloned().collect();
    match work.bus.topic_ids(&topics).await {
        Ok(ids) => Ok(Some(ids)),
        Err(BusError::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Candidate {
    partition_id: i64,
    partition: TopicPartition,
    topic_id: Option<String>,
}

async fn list_candidates(context: &Context, bus: &BusId, share: &Share) -> Result<Vec<Candidate>, Setback> {
    let mut candidates = Vec::new();
    for topic in context.store.list_stored_topics(bus).await? {
        if topic.generation.role != TopicRole::DeadLetter {
            continue;
        }
        for state in topic.partitions.iter().filter(|state| state.next.is_some()) {
            let partition = TopicPartition { topic: topic.generation.topic.clone(), partition: state.partition };
            if share.has(&partition) {
                candidates.push(Candidate { partition_id: state.id, partition, topic_id: topic.generation.topic_id.clone() });
            }
        }
    }
    Ok(candidates)
}

async fn present_topic_ids(work: &BusWork, candidates: &[Candidate]) -> Result<Option<HashMap<TopicName, Option<String>>>, BusError> {
    topic_ids(work, candidates.iter().map(|candidate| &candidate.partition.topic)).await
}

/// Compares a position with what the bus holds. Answers whether the partition can be read now.
async fn align(
    context: &Context,
    work: &BusWork,
    partition: &TopicPartition,
    track: &mut Track,
    offsets: PartitionOffsets,
    said: &mut Said,
) -> Result<bool, Setback> {
    if offsets.end < track.next {
        // An unclean leader election has cut the log. What is written between its end and our position cannot be told from what was
        // there before, so we wait until the log has grown past it.
        if said.is_news(&format!("{partition:?} ends")) {
            tracing::warn!(bus = %work.id(), topic = %partition.topic, partition = partition.partition, position = track.next,
                end = offsets.end, "the log ends before our position; this partition waits");
        }
        return Ok(false);
    }
    if track.next < offsets.log_start {
        record_gap(context, work, partition, track, offsets.log_start).await?;
    }
    Ok(true)
}

/// Stores that the bus has removed what we had not read, and goes on after it.
async fn record_gap(context: &Context, work: &BusWork, partition: &TopicPartition, track: &mut Track, to: i64) -> Result<(), Setback> {
    let gap = (track.next, to);
    let advance = Advance { partition_id: track.partition_id, expected: track.next, next: to, gap: Some(gap) };
    let batch = IndexBatch { bus: work.id().clone(), advances: vec![advance], letters: Vec::new() };
    match context.store.record_index_batch(batch, Timestamp::now()).await? {
        IndexOutcome::Written(_) => {
            tracing::warn!(bus = %work.id(), topic = %partition.topic, partition = partition.partition, from = gap.0, to = gap.1,
                "the bus removed records before they were read");
            let count = u64::try_from(gap.1 - gap.0).unwrap_or(0);
            context.metrics.indexer_gap_offsets_total.with_label_values(&[work.id().as_str()]).inc_by(count);
            context.changes.publish(Noun::DeadLetters);
            track.next = to;
            Ok(())
        }
        IndexOutcome::Superseded(_) => Err(Setback::Refused("another instance has moved these positions on".into())),
    }
}
