//! The consumer group that a dead letter's headers do not name: inferred when exactly one group commits on the origin topic.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{BusId, GroupName, TopicName};
use crate::store::{Store, StoreError};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(60);
/// Answers kept; names of origin topics come from headers, so there may be any number of them.
const CAPACITY: usize = 10_000;

/// Remembers which single group reads a topic.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: HashMap<TopicName, (Instant, Option<GroupName>)>,
}

impl Origins {
    /// The one group with commits on the topic; `None` when there are several or none.
    pub(super) async fn sole_group(&mut self, store: &Store, bus: &BusId, topic: &TopicName) -> Result<Option<GroupName>, StoreError> {
        if let Some((at, group)) = self.known.get(topic)
            && at.elapsed() < FRESH
        {
            return Ok(group.clone());
        }
        let mut groups = store.list_consumer_groups(bus, None, Some(topic.as_str())).await?;
        let group = if groups.len() == 1 { groups.pop().map(|group| group.name) } else { None };
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        self.known.insert(topic.clone(), (Instant::now(), group.clone()));
        Ok(group)
    }
}
