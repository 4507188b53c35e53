//! The consumer group that a dead letter's headers do not name: inferred when exactly one group reads the origin topic.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{BusId, GroupName, TopicName};
use crate::store::{Store, StoreError};

/// How long what we know of readers holds.
const FRESH: Duration = Duration::from_mins(1);

/// Knows which single group reads a topic. Looked up all at once: names of origin topics come from headers, and a lookup for each
/// would let whoever writes them slow us down.
#[derive(Debug, Default)]
pub(super) struct Origins {
    loaded: Option<Instant>,
    /// `None`: several.
    sole: HashMap<TopicName, Option<GroupName>>,
}

impl Origins {
    /// Looks again who reads what, when that is due.
    pub(super) async fn refresh(&mut self, store: &Store, bus: &BusId) -> Result<(), StoreError> {
        if self.loaded.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let groups = store.list_consumer_groups(bus, None, None).await?;
        self.sole = sole_readers(groups.into_iter().map(|group| (group.name, group.topics)));
        self.loaded = Some(Instant::now());
        Ok(())
    }

    /// The one group that reads the topic; `None` when there are several or none.
    pub(super) fn sole_group(&self, topic: &TopicName) -> Option<GroupName> {
        self.sole.get(topic).cloned().flatten()
    }
}

fn sole_readers(groups: impl Iterator<Item = (GroupName, Vec<String>)>) -> HashMap<TopicName, Option<GroupName>> {
    let mut sole: HashMap<TopicName, Option<GroupName>> = HashMap::new();
    for (group, topics) in groups {
        for topic in topics {
            sole.entry(topic.into()).and_modify(|readers| *readers = None).or_insert_with(|| Some(group.clone()));
        }
    }
    sole
}

#[cfg(test)]
mod tests {
    use super::sole_readers;

    #[test]
    fn a_topic_with_two_readers_or_none_tells_nothing() {
        let groups = [("billing", vec!["orders", "payments"]), ("mail", vec!["orders"]), ("audit", vec!["orders"])];
        let groups = groups.map(|(group, topics)| (group.into(), topics.into_iter().map(str::to_owned).collect()));
        let sole = sole_readers(groups.into_iter());
        let of = |topic: &str| sole.get(&topic.into()).cloned().flatten();
        assert_eq!((of("payments"), of("orders"), of("unknown")), (Some("billing".into()), None, None));
    }
}
