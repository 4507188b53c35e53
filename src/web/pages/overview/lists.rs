//! The lists of the first page that keep their order while it fetches itself.

use super::flow::{Drawn, Flow, GroupRow, TopicRow};
use crate::web::view::listing::ShownOrder;

/// Drawings and lists, taken out of what was read.
pub(super) struct Lists {
    pub(super) drawn: Vec<Drawn>,
    pub(super) busiest_topics: Vec<TopicRow>,
    pub(super) worst_topics: Vec<TopicRow>,
    pub(super) busiest_groups: Vec<GroupRow>,
    pub(super) worst_groups: Vec<GroupRow>,
}

impl Lists {
    pub(super) fn take(flow: &mut Flow) -> Self {
        Self {
            drawn: std::mem::take(&mut flow.drawn),
            busiest_topics: std::mem::take(&mut flow.busiest_topics),
            worst_topics: std::mem::take(&mut flow.worst_topics),
            busiest_groups: std::mem::take(&mut flow.busiest_groups),
            worst_groups: std::mem::take(&mut flow.worst_groups),
        }
    }

    /// Rows that were shown stay where they are.
    pub(super) fn keep(&mut self, order: &ShownOrder) {
        for topics in [&mut self.busiest_topics, &mut self.worst_topics] {
            order.keep(topics, |row| &row.key);
        }
        for groups in [&mut self.busiest_groups, &mut self.worst_groups] {
            order.keep(groups, |row| &row.key);
        }
    }

    /// Names of all rows.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let topics = self.busiest_topics.iter().chain(&self.worst_topics).map(|row| row.key.as_str());
        topics.chain(self.busiest_groups.iter().chain(&self.worst_groups).map(|row| row.key.as_str()))
    }
}
