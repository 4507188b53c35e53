//! Which partitions are read, and from where.

use std::collections::{BTreeSet, HashMap};

use super::{Setback, TopicContext, TopicSource, ends};
use crate::bus::{BusError, PartitionOffsets, ReadBatch, Share};
use crate::model::bus::PartitionState;
use crate::model::names::TopicPartition;
use crate::model::{Record, Timestamp, TopicName};
use crate::store::otlp_positions::OtlpAdvance;

/// Partitions with their positions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    tracks: HashMap<TopicPartition, Track>,
    ours: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    partition_id: i64,
    next: i64,
}

/// A partition as the store knows it.
struct Candidate {
    partition: TopicPartition,
    state: PartitionState,
    topic_id: Option<String>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// What is ours to read, partitions that have to wait included.
    pub(super) const fn ours(&self) -> &BTreeSet<i64> {
        &self.ours
    }

    pub(super) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.tracks.iter().map(|(partition, track)| (partition.clone(), track.next)).collect()
    }

    /// How far each partition goes with this batch.
    pub(super) fn advances(&self, batch: &ReadBatch) -> Vec<OtlpAdvance> {
        let forward = ends(&batch.next, &batch.records).into_iter().filter_map(|(partition, next)| {
            let track = self.tracks.get(&partition).filter(|track| next > track.next)?;
            Some(OtlpAdvance { partition_id: track.partition_id, expected: track.next, next })
        });
        forward.collect()
    }

    /// Moves the plan on after [`Self::advances`] were stored.
    pub(super) fn advance(&mut self, next: &HashMap<TopicPartition, i64>, records: &[Record]) {
        for (partition, next) in ends(next, records) {
            if let Some(track) = self.tracks.get_mut(&partition) {
                track.next = track.next.max(next);
            }
        }
    }
}

/// Refuses to read when the addresses lead to another cluster than the one whose positions are stored under this bus's id.
pub(super) async fn check_cluster(context: &TopicContext, source: &TopicSource) -> Result<(), Setback> {
    let Some(found) = source.bus.metadata().await?.cluster_id else { return Ok(()) };
    match context.store.claim_cluster(source.bus.id(), &found).await? {
        Ok(()) => Ok(()),
        Err(stored) => Err(Setback::Refused(format!("the bus leads to cluster {found}, but positions are of cluster {stored}"))),
    }
}

/// The store's ids of the partitions that are ours to read now.
pub(super) async fn list_ours(context: &TopicContext, source: &TopicSource, share: &Share) -> Result<BTreeSet<i64>, Setback> {
    Ok(list_candidates(context, source, share).await?.into_iter().map(|candidate| candidate.state.id).collect())
}

/// Makes a plan. A topic that the sampler has not seen yet, or that began again since, waits for the sampler.
pub(super) async fn make(context: &TopicContext, source: &TopicSource, share: &Share) -> Result<Plan, Setback> {
    let candidates = list_candidates(context, source, share).await?;
    let mut ours: BTreeSet<i64> = candidates.iter().map(|candidate| candidate.state.id).collect();
    if candidates.is_empty() {
        return Ok(Plan { ours, ..Plan::default() });
    }
    let present = present_topic_ids(source, &candidates).await?;
    let partitions: Vec<TopicPartition> = candidates.iter().map(|candidate| candidate.partition.clone()).collect();
    let offsets = source.bus.offsets(&partitions).await?;
    let known: Vec<_> = candidates.into_iter().filter(|candidate| is_present(present.as_ref(), candidate)).collect();
    let mut tracks = HashMap::new();
    let starts: Vec<(i64, i64)> = known
        .iter()
        .filter_map(|candidate| Some((candidate.state.id, first(&candidate.state, *offsets.get(&candidate.partition)?))))
        .collect();
    let positions = context.store.start_otlp_positions(&starts).await?;
    for candidate in known {
        let (Some(next), Some(offsets)) = (positions.get(&candidate.state.id), offsets.get(&candidate.partition)) else {
            // Whose leader has not answered is not counted as planned, so that there is another plan soon.
            ours.remove(&candidate.state.id);
            continue;
        };
        let mut track = Track { partition_id: candidate.state.id, next: *next };
        align(context, source, &candidate.partition, &mut track, *offsets).await?;
        tracks.insert(candidate.partition, track);
    }
    Ok(Plan { tracks, ours })
}

/// What was there before we first read the bus is as old as the collector's retention; what came since is read from its beginning.
const fn first(state: &PartitionState, offsets: PartitionOffsets) -> i64 {
    if state.had_records { offsets.end } else { offsets.log_start }
}

/// Moves a position that the bus does not hold to the nearest that it does.
async fn align(
    context: &TopicContext,
    source: &TopicSource,
    partition: &TopicPartition,
    track: &mut Track,
    offsets: PartitionOffsets,
) -> Result<(), Setback> {
    let held = track.next.clamp(offsets.log_start, offsets.end.max(offsets.log_start));
    if held == track.next {
        return Ok(());
    }
    tracing::warn!(bus = %source.bus.id(), topic = %partition.topic, partition = partition.partition, from = track.next, to = held,
        "the bus does not hold the next spans any more; going on with what it holds");
    let advance = OtlpAdvance { partition_id: track.partition_id, expected: track.next, next: held };
    if !context.store.advance_otlp_positions(&[advance]).await? {
        return Err(Setback::Refused("another instance has moved these positions on".to_owned()));
    }
    let lost = held.saturating_sub(track.next);
    if lost > 0 {
        context.store.note_span_loss("topic", lost, Timestamp::now()).await?;
    }
    track.next = held;
    Ok(())
}

async fn list_candidates(context: &TopicContext, source: &TopicSource, share: &Share) -> Result<Vec<Candidate>, Setback> {
    let mut candidates = Vec::new();
    for stored in context.store.list_stored_topics(source.bus.id()).await? {
        let (topic, topic_id) = (stored.generation.topic, stored.generation.topic_id);
        if !source.topics.iter().any(|wanted| wanted.topic == topic) {
            continue;
        }
        for state in stored.partitions {
            let partition = TopicPartition { topic: topic.clone(), partition: state.partition };
            if share.has(&partition) {
                candidates.push(Candidate { partition, state, topic_id: topic_id.clone() });
            }
        }
    }
    Ok(candidates)
}

/// The topics' present ids; `None` where the bus tells none.
async fn present_topic_ids(source: &TopicSource, candidates: &[Candidate]) -> Result<Option<HashMap<TopicName, Option<String>>>, BusError> {
    let topics: BTreeSet<&TopicName> = candidates.iter().map(|candidate| &candidate.partition.topic).collect();
    let topics: Vec<TopicName> = topics.into_iter().cloned().collect();
    match source.bus.topic_ids(&topics).await {
        Ok(ids) => Ok(Some(ids)),
        Err(BusError::Unsupported(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a topic is there, and still the one that the store knows.
fn is_present(present: Option<&HashMap<TopicName, Option<String>>>, candidate: &Candidate) -> bool {
    let Some(present) = present else { return true };
    match (present.get(&candidate.partition.topic).and_then(Option::as_ref), &candidate.topic_id) {
        (None, _) => false,
        (Some(found), Some(stored)) => found == stored,
        (Some(_), None) => true,
    }
}
