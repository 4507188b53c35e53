//! The consumer groups of a topic, with their lag on this topic alone.

use super::super::super::view::address::segment;
use super::super::super::view::group::{self, GroupState};
use super::super::super::view::listing::ShownOrder;
use super::super::super::{Error, WebState};
use crate::model::{BusId, TopicName};

/// Rows that keep their place while their numbers change.
const KEPT: usize = 300;

/// A consumer group with commits on the topic.
#[derive(Debug)]
pub(super) struct GroupRow {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) state: GroupState,
    pub(super) members: Option<u32>,
    pub(super) lag: Option<u64>,
    pub(super) deleted: u64,
    pub(super) partitions: u32,
}

/// The groups with the most to read first, then by name; those that are shown already stay where they are.
pub(super) async fn list(state: &WebState, bus: &BusId, topic: &TopicName, order: &ShownOrder) -> Result<Vec<GroupRow>, Error> {
    let groups = state.store().list_consumer_groups(bus, None, Some(topic.as_str())).await?;
    let mut rows: Vec<GroupRow> = groups
        .into_iter()
        .map(|group| GroupRow {
            href: format!("/buses/{}/consumer-groups/{}", segment(bus.as_str()), segment(group.name.as_str())),
            state: group::state(&group.state, &group.kind),
            name: group.name.to_string(),
            members: group.members,
            lag: group.lag_messages,
            deleted: group.deleted_messages,
            partitions: group.partitions,
        })
        .collect();
    rows.sort_by(|a, b| b.lag.cmp(&a.lag).then_with(|| a.name.cmp(&b.name)));
    order.keep(&mut rows, |row| row.name.as_str());
    Ok(rows)
}

/// The order in which they are shown.
pub(super) fn shown(rows: &[GroupRow]) -> ShownOrder {
    ShownOrder::of(rows.iter().take(KEPT).map(|row| row.name.as_str()))
}
