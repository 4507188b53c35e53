//! Where indexing of a partition begins, and what on it is backlog.
//!
//! What was there when the bus was first read, or before its topic became a dead-letter topic, is backlog. What appears between two
//! sweeps is not: its first record may be the start of an incident, so it is read from offset 0, and what is missing from there is a gap.

use std::collections::HashMap;

use super::Context;
use crate::bus::PartitionOffsets;
use crate::model::bus::TopicRole;
use crate::model::{BusId, Timestamp};
use crate::store::StoreError;
use crate::store::indexing::PartitionPosition;
use crate::store::topics::StoredTopic;

/// Gives a position to each partition of a dead-letter topic that has none; `asked_at` is before its offsets were read. Answers whether
/// any was started.
pub(super) async fn record(
    context: &Context,
    bus: &BusId,
    topics: &[StoredTopic],
    offsets: &HashMap<i64, PartitionOffsets>,
    asked_at: Timestamp,
) -> Result<bool, StoreError> {
    let mut starts = find(topics, offsets);
    if !starts.is_empty() {
        // What appeared since was not there at the sweep before; what was there is backlog, and the rest comes after this one began.
        let before = context.store.find_bus(bus).await?.and_then(|bus| bus.sampled_at);
        for start in &mut starts {
            start.caught_up_at = if start.backlog_below == 0 { before } else { Some(asked_at) };
        }
    }
    if !starts.is_empty() {
        context.store.start_positions(&starts).await?;
    }
    Ok(!starts.is_empty())
}

fn find(topics: &[StoredTopic], offsets: &HashMap<i64, PartitionOffsets>) -> Vec<PartitionPosition> {
    let dead_letter = topics.iter().filter(|topic| topic.generation.role == TopicRole::DeadLetter);
    let unread = dead_letter.flat_map(|topic| &topic.partitions).filter(|partition| partition.next.is_none());
    let starts = unread.filter_map(|partition| {
        // A partition whose offsets cannot be read now is started by a later sweep.
        let offsets = offsets.get(&partition.id)?;
        let (next, backlog_below) = if partition.had_records { (offsets.log_start, offsets.end) } else { (0, 0) };
        Some(PartitionPosition { partition_id: partition.id, next, backlog_below, caught_up_at: None })
    });
    starts.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::find;
    use crate::bus::PartitionOffsets;
    use crate::model::Timestamp;
    use crate::model::bus::{PartitionState, TopicGeneration, TopicRole};
    use crate::store::indexing::PartitionPosition;
    use crate::store::topics::StoredTopic;

    fn topic(role: TopicRole, partitions: &[(i64, Option<i64>, bool)]) -> StoredTopic {
        let partitions = partitions.iter().zip(0..).map(|((id, next, had_records), partition)| PartitionState {
            id: *id,
            generation_id: 1,
            partition,
            log_start: None,
            end: None,
            last_stable: None,
            next: *next,
            had_records: *had_records,
            purged_below: None,
            leader: Some(1),
        });
        StoredTopic {
            generation: TopicGeneration {
                id: 1,
                bus: "prod".into(),
                topic: "orders.DLT".into(),
                topic_id: None,
                role,
                internal: false,
                first_seen_at: Timestamp::from_millis(1_000),
                gone_at: None,
                compacted: false,
                transactional: false,
                config: BTreeMap::new(),
                replication_factor: 1,
            },
            partitions: partitions.collect(),
        }
    }

    #[test]
    fn what_was_there_before_is_backlog_and_what_appears_is_read_from_its_beginning() {
        let offsets = PartitionOffsets { log_start: 5, end: 40, last_stable: None };
        let offsets = HashMap::from([(7, offsets), (8, offsets), (9, offsets), (11, offsets)]);
        let topics = [
            // Read already; there before; appeared since; not readable at present.
            topic(TopicRole::DeadLetter, &[(7, Some(12), true), (8, None, true), (9, None, false), (10, None, false)]),
            topic(TopicRole::Retry, &[(11, None, false)]),
        ];
        let start = |partition_id, next, backlog_below| PartitionPosition { partition_id, next, backlog_below, caught_up_at: None };
        assert_eq!(find(&topics, &offsets), [start(8, 5, 40), start(9, 0, 0)]);
    }
}
