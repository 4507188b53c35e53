//! Names that may come from headers, where anything can stand, as librdkafka takes them.

use std::ffi::CString;

use rdkafka::{Offset, TopicPartitionList};

use crate::bus::BusError;
use crate::model::names::TopicPartition;
use crate::model::{GroupName, TopicName};

/// Whether a topic of this name can exist (Kafka's `Topic.validate`). Others are "not there" without asking.
pub(super) fn is_topic(topic: &TopicName) -> bool {
    let name = topic.as_str();
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Topics that can exist, for the native calls.
pub(super) fn topics<'a>(topics: impl IntoIterator<Item = &'a TopicName>) -> Vec<CString> {
    topics.into_iter().filter(|t| is_topic(t)).filter_map(|t| CString::new(t.as_str()).ok()).collect()
}

/// A group's name for the native calls.
pub(super) fn group(group: &GroupName) -> Result<CString, BusError> {
    CString::new(group.as_str()).map_err(|_| BusError::NotFound(format!("no consumer group can be named {:?}", group.as_str())))
}

/// A list with one specification for every partition; partitions that cannot exist are left out.
pub(super) fn list<'a>(partitions: impl IntoIterator<Item = (&'a TopicPartition, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        if is_topic(&partition.topic) && partition.partition >= 0 {
            // Only an offset that has no number is refused, and none of ours is.
            let _ = list.add_partition_offset(partition.topic.as_str(), partition.partition, offset);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_topic_can_have_are_left_out() {
        for name in ["", ".", "..", "a b", "nul\0", "ä", &"x".repeat(250)] {
            assert!(!is_topic(&name.into()), "{name:?}");
        }
        for name in ["orders.DLT", "a", "__consumer_offsets", "A-1_b.c", &"x".repeat(249)] {
            assert!(is_topic(&name.into()), "{name:?}");
        }
        let partition = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        let (good, nul, negative) = (partition("a", 0), partition("nul\0", 0), partition("a", -1));
        assert_eq!(list([(&good, Offset::End), (&nul, Offset::End), (&negative, Offset::End)]).count(), 1);
    }
}
