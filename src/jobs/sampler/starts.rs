//! Where indexing of a partition begins, and what on it is backlog.
//!
//! What was there when the bus was first read, or before its topic became a dead-letter topic, is backlog. What appears between two
//! sweeps is not: its first record may be the start of an incident, so it is read from offset 0.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::bus::PartitionOffsets;
use crate::model::Timestamp;
use crate::model::bus::TopicRole;
use crate::store::StoreError;
use crate::store::indexing::PartitionPosition;
use crate::store::topics::StoredTopic;

/// Gives a position to each partition of a dead-letter topic that has none. `before` are the topics as stored before this sweep, `last`
/// is when the bus was last swept to the end. Answers whether any was started.
pub(super) async fn record(
    context: &Context,
    topics: &[StoredTopic],
    before: &[StoredTopic],
    last: Option<Timestamp>,
    offsets: &HashMap<i64, PartitionOffsets>,
) -> Result<bool, StoreError> {
    let starts = find(topics, before, last, offsets);
    if !starts.is_empty() {
        context.store.start_positions(&starts).await?;
    }
    Ok(!starts.is_empty())
}

fn find(
    topics: &[StoredTopic],
    before: &[StoredTopic],
    last: Option<Timestamp>,
    offsets: &HashMap<i64, PartitionOffsets>,
) -> Vec<PartitionPosition> {
    let known: HashSet<i64> = before.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.id)).collect();
    let mut starts = Vec::new();
    for topic in topics.iter().filter(|topic| topic.generation.role == TopicRole::DeadLetter) {
        // Seen for the first time by this sweep, or by one that did not come to its end.
        let new_topic = last.is_some_and(|last| topic.generation.first_seen_at > last);
        for partition in topic.partitions.iter().filter(|partition| partition.next.is_none()) {
            // A partition whose offsets cannot be read now is started by a later sweep.
            let Some(offsets) = offsets.get(&partition.id) else { continue };
            let appeared = new_topic || (last.is_some() && !known.contains(&partition.id));
            let (next, backlog_below) = if appeared { (0, 0) } else { (offsets.log_start, offsets.end) };
            starts.push(PartitionPosition { partition_id: partition.id, next, backlog_below });
        }
    }
    starts
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

    const NOON: Timestamp = Timestamp::from_millis(1_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000);

    fn topic(role: TopicRole, first_seen_at: Timestamp, partitions: &[(i64, Option<i64>)]) -> StoredTopic {
        let partitions = partitions.iter().zip(0..).map(|((id, next), partition)| PartitionState {
            id: *id,
            generation_id: 1,
            partition,
            log_start: None,
            end: None,
            last_stable: None,
            next: *next,
            had_records: false,
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
                first_seen_at,
                gone_at: None,
                compacted: false,
                config: BTreeMap::new(),
                replication_factor: 1,
            },
            partitions: partitions.collect(),
        }
    }

    fn offsets(of: &[(i64, i64, i64)]) -> HashMap<i64, PartitionOffsets> {
        of.iter().map(|(id, log_start, end)| (*id, PartitionOffsets { log_start: *log_start, end: *end, last_stable: None })).collect()
    }

    fn start(partition_id: i64, next: i64, backlog_below: i64) -> PartitionPosition {
        PartitionPosition { partition_id, next, backlog_below }
    }

    #[test]
    fn everything_on_a_bus_read_for_the_first_time_is_backlog() {
        let now = [topic(TopicRole::DeadLetter, NOON, &[(7, None)])];
        assert_eq!(find(&now, &[], None, &offsets(&[(7, 5, 40)])), [start(7, 5, 40)]);
    }

    #[test]
    fn a_topic_that_appears_between_two_sweeps_has_no_backlog_and_is_read_from_0() {
        let now = [topic(TopicRole::DeadLetter, LATER, &[(7, None)])];
        assert_eq!(find(&now, &[], Some(NOON), &offsets(&[(7, 5, 40)])), [start(7, 0, 0)]);
        // The sweep that saw it first came to no end: it is stored already, and still new.
        assert_eq!(find(&now, &now, Some(NOON), &offsets(&[(7, 5, 40)])), [start(7, 0, 0)]);
    }

    #[test]
    fn a_topic_that_becomes_a_dead_letter_topic_has_backlog() {
        let before = [topic(TopicRole::Ordinary, NOON, &[(7, None)])];
        let now = [topic(TopicRole::DeadLetter, NOON, &[(7, None)])];
        assert_eq!(find(&now, &before, Some(NOON), &offsets(&[(7, 5, 40)])), [start(7, 5, 40)]);
    }

    #[test]
    fn an_added_partition_has_no_backlog_and_started_ones_are_left_alone() {
        let before = [topic(TopicRole::DeadLetter, NOON, &[(7, Some(12))])];
        let now = [topic(TopicRole::DeadLetter, NOON, &[(7, Some(12)), (8, None)])];
        assert_eq!(find(&now, &before, Some(NOON), &offsets(&[(7, 0, 12), (8, 0, 3)])), [start(8, 0, 0)]);
    }

    #[test]
    fn a_partition_without_offsets_waits_and_other_roles_are_not_read() {
        let now = [topic(TopicRole::DeadLetter, NOON, &[(7, None)]), topic(TopicRole::Retry, NOON, &[(9, None)])];
        assert_eq!(find(&now, &[], None, &offsets(&[(9, 0, 3)])), []);
    }
}
