//! Planning: one frozen cut per partition, never beyond what is indexed nor the end.

use std::collections::{BTreeSet, HashMap};

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::{PATIENCE, PurgeError, Purges, Told, entry, topic_id, within};
use crate::bus::{PartitionOffsets, ReadFrom};
use crate::model::bus::{PartitionState, TopicRole, TopicSummary};
use crate::model::names::TopicPartition;
use crate::model::purge::{Below, CutResult, Purge, PurgeId, PurgePartition, PurgeScope, PurgeState};
use crate::model::{Actor, BusId, Timestamp, TopicName};
use crate::operations::{OpenRecordsError, RecordLimit};
use crate::store::purges::NewPurge;

/// Positions that are looked up by time at once.
const AT_ONCE: usize = 4;

/// What a person wants to purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRequest {
    /// The bus.
    pub bus: BusId,
    /// The dead-letter topic.
    pub topic: TopicName,
    /// Up to where.
    pub wanted: Wanted,
}

/// Up to where a topic is to be purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything that is indexed.
    Indexed,
    /// What was written before this time.
    Before(Timestamp),
    /// Partitions with the first offset that stays.
    Offsets(Vec<(i32, i64)>),
}

impl Wanted {
    const fn scope(&self) -> PurgeScope {
        match self {
            Self::Indexed => PurgeScope::Indexed,
            Self::Before(time) => PurgeScope::Before(*time),
            Self::Offsets(_) => PurgeScope::Offsets,
        }
    }
}

fn field(name: impl Into<String>, text: impl Into<String>) -> PurgeError {
    PurgeError::Field { field: name.into(), text: text.into() }
}

impl Purges {
    /// Freezes the cuts of a purge and checks them. Nothing is deleted.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn plan(&self, request: &PlanRequest, actor: &Actor, now: Timestamp) -> Result<Purge, PurgeError> {
        let deadline = Instant::now() + PATIENCE;
        let (topic, known) = self.known(request).await?;
        let topic_id = self.living_id(request, &topic, deadline).await?;
        let partitions = self.cuts(request, &known, deadline).await?;
        if partitions.iter().all(|cut| cut.records() == 0) {
            return Err(PurgeError::Empty);
        }
        let id = PurgeId::new(now);
        let mut purge = Purge {
            number: 0,
            id: id.clone(),
            bus: request.bus.clone(),
            topic: request.topic.clone(),
            generation_id: topic.generation.id,
            topic_id,
            scope: request.wanted.scope(),
            state: PurgeState::Planned,
            state_reason: None,
            state_text: None,
            cancel_asked_by: None,
            planned_by: actor.clone(),
            started_by: None,
            checks: Vec::new(),
            checked_at: now,
            created_at: now,
            started_at: None,
            ended_at: None,
            partitions,
        };
        self.assess(&mut purge, deadline).await?;
        let audit = entry(&purge, actor, "purges.plan", Some(purge.records()), "done", now);
        let new = NewPurge {
            id,
            generation_id: purge.generation_id,
            topic_id: purge.topic_id,
            scope: purge.scope,
            actor: actor.clone(),
            checks: purge.checks,
            partitions: purge.partitions,
        };
        let purge = self.store.add_purge(&new, &audit, now).await?;
        self.changed();
        Ok(purge)
    }

    /// The topic as the store knows it: living, and one for dead letters.
    async fn known(&self, request: &PlanRequest) -> Result<(TopicSummary, Vec<PartitionState>), PurgeError> {
        self.bus(&request.bus)?;
        let found = self.store.find_topic(&request.bus, &request.topic).await?;
        let known = found.filter(|(topic, _)| topic.generation.gone_at.is_none());
        let (topic, partitions) = known.ok_or_else(|| field("topic", format!("the bus {} has no topic {}", request.bus, request.topic)))?;
        if topic.generation.role != TopicRole::DeadLetter {
            return Err(PurgeError::NotDeadLetterTopic(request.topic.clone()));
        }
        Ok((topic, partitions))
    }

    /// The topic's id on the bus, which must be the one that was indexed.
    async fn living_id(&self, request: &PlanRequest, topic: &TopicSummary, deadline: Instant) -> Result<Option<String>, PurgeError> {
        let name = &request.topic;
        match (topic_id(self.bus(&request.bus)?, name, deadline).await?, &topic.generation.topic_id) {
            (Told::Gone, _) => Err(PurgeError::GenerationChanged(format!("the topic {name} is gone"))),
            (Told::Id(now), Some(known)) if now != *known => {
                Err(PurgeError::GenerationChanged(format!("the topic {name} was just deleted and created again; plan again in a moment")))
            }
            (Told::Id(now), _) => Ok(Some(now)),
            (Told::Nothing, known) => Ok(known.clone()),
        }
    }

    /// One cut per partition.
    async fn cuts(&self, request: &PlanRequest, known: &[PartitionState], deadline: Instant) -> Result<Vec<PurgePartition>, PurgeError> {
        let asked = asked(request, known)?;
        let place = |partition: i32| TopicPartition { topic: request.topic.clone(), partition };
        let places: Vec<TopicPartition> = asked.iter().map(|state| place(state.partition)).collect();
        let offsets = within(deadline, self.bus(&request.bus)?.offsets(&places)).await?.map_err(OpenRecordsError::from)?;
        if offsets.is_empty() {
            return Err(OpenRecordsError::Unreachable("no partition has told its offsets".to_owned()).into());
        }
        if let Some(partition) = named_and_silent(&request.wanted, &places, &offsets) {
            let text = format!("partition {partition} has not told its offsets: try again, or leave it out");
            return Err(OpenRecordsError::Unreachable(text).into());
        }
        let wanted: HashMap<i32, i64> = match &request.wanted {
            Wanted::Indexed => HashMap::new(),
            Wanted::Offsets(cuts) => cuts.iter().copied().collect(),
            Wanted::Before(time) => {
                let told: Vec<TopicPartition> = places.iter().filter(|place| offsets.contains_key(*place)).cloned().collect();
                within(deadline, self.positions(&request.bus, told, *time)).await??
            }
        };
        let mut cuts = Vec::with_capacity(asked.len());
        for state in asked {
            let Some(now) = offsets.get(&place(state.partition)) else { continue };
            cuts.push(cut(state, *now, wanted.get(&state.partition).copied()));
        }
        Ok(cuts)
    }

    /// The first offset at or after a time in each partition.
    async fn positions(&self, bus: &BusId, places: Vec<TopicPartition>, time: Timestamp) -> Result<HashMap<i32, i64>, PurgeError> {
        let limit = RecordLimit::new(1).unwrap_or_default();
        let find = |place: TopicPartition| async move {
            let read = self.operations.read_records(bus, &place, ReadFrom::Time(time), limit).await?;
            Ok::<_, PurgeError>((place.partition, read.records.first().map_or(read.next, |record| record.offset)))
        };
        stream::iter(places.into_iter().map(find)).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// The first partition that a person named and that has not told its offsets: nothing that was named is left out in silence.
fn named_and_silent(wanted: &Wanted, places: &[TopicPartition], told: &HashMap<TopicPartition, PartitionOffsets>) -> Option<i32> {
    let Wanted::Offsets(_) = wanted else { return None };
    places.iter().find(|place| !told.contains_key(*place)).map(|place| place.partition)
}

/// The partitions that a person means.
fn asked<'a>(request: &PlanRequest, known: &'a [PartitionState]) -> Result<Vec<&'a PartitionState>, PurgeError> {
    let Wanted::Offsets(cuts) = &request.wanted else { return Ok(known.iter().collect()) };
    if cuts.is_empty() {
        return Err(field("partitions", "partitions names at least one partition, or is left out"));
    }
    let mut seen = BTreeSet::new();
    let mut asked = Vec::with_capacity(cuts.len());
    for (partition, offset) in cuts {
        let state = known.iter().find(|state| state.partition == *partition);
        let state = state.ok_or_else(|| field("partitions", format!("{} has no partition {partition}", request.topic)))?;
        if !seen.insert(*partition) {
            return Err(field("partitions", format!("partition {partition} is named twice")));
        }
        if *offset < 0 {
            return Err(field("partitions", format!("the offset of partition {partition} is the first one that stays, from 0 on")));
        }
        asked.push(state);
    }
    asked.sort_by_key(|state| state.partition);
    Ok(asked)
}

/// The cut of one partition: what is wished, but never beyond what is indexed, because dead letters that nobody has seen would go.
fn cut(state: &PartitionState, now: PartitionOffsets, wanted: Option<i64>) -> PurgePartition {
    let most = state.next.unwrap_or(now.log_start).min(now.end);
    PurgePartition {
        partition: state.partition,
        partition_id: state.id,
        start: now.log_start,
        cut: wanted.unwrap_or(most).min(most).max(now.log_start),
        end: now.end,
        below: Below::default(),
        losses: Vec::new(),
        result: CutResult::Waiting,
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{HashMap, PartitionOffsets, PartitionState, TopicPartition, Wanted, cut, named_and_silent};

    fn state(next: Option<i64>) -> PartitionState {
        PartitionState {
            id: 1,
            generation_id: 1,
            partition: 0,
            log_start: None,
            end: None,
            last_stable: None,
            next,
            had_records: false,
            purged_below: None,
            leader: Some(1),
        }
    }

    #[test]
    fn a_partition_that_was_named_is_not_left_out_in_silence() {
        let place = |partition| TopicPartition { topic: "orders.DLT".into(), partition };
        let told = HashMap::from([(place(0), PartitionOffsets { log_start: 0, end: 9, last_stable: None })]);
        let named = Wanted::Offsets(vec![(0, 5), (1, 5)]);
        assert_eq!(named_and_silent(&named, &[place(0), place(1)], &told), Some(1));
        assert_eq!(named_and_silent(&named, &[place(0)], &told), None);
        assert_eq!(named_and_silent(&Wanted::Indexed, &[place(0), place(1)], &told), None, "of all, those that are silent are left out");
    }

    #[test]
    fn a_cut_is_never_beyond_what_is_indexed_nor_outside_of_the_log() {
        let now = PartitionOffsets { log_start: 10, end: 100, last_stable: None };
        for (next, wanted, expected) in [
            (Some(80), None, 80),
            (Some(80), Some(50), 50),
            (Some(80), Some(90), 80),
            (Some(80), Some(900), 80),
            (Some(80), Some(3), 10),
            (Some(120), None, 100),
            (Some(5), None, 10),
            (None, None, 10),
            (None, Some(50), 10),
        ] {
            let cut = cut(&state(next), now, wanted);
            assert_eq!((cut.start, cut.cut, cut.end), (10, expected, 100), "{next:?} {wanted:?}");
        }
    }
}
