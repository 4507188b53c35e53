//! Who reads what when several instances share a store: the bus's own group protocol divides the partitions. Positions stay in the
//! store, and its compare-and-set keeps two instances from taking the same records whatever the group believes.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::Bus;
use crate::model::GroupName;
use crate::model::names::TopicPartition;

/// An instance's part of a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Everything: no other instance can be there.
    All,
    /// These partitions.
    Some(BTreeSet<TopicPartition>),
}

/// Hears of changes of our share.
pub type ShareWatch = watch::Receiver<Share>;

impl Share {
    /// Nothing, as before the group has divided its work.
    #[must_use]
    pub const fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    /// Whether a partition is ours.
    #[must_use]
    pub fn has(&self, partition: &TopicPartition) -> bool {
        match self {
            Self::All => true,
            Self::Some(partitions) => partitions.contains(partition),
        }
    }

    /// What is watched by who is alone on a store: there is nothing to share and no group to join.
    #[must_use]
    pub fn alone() -> ShareWatch {
        watch::Sender::new(Self::All).subscribe()
    }
}

/// Members of our group whose client ids are not among the `known` ones, with their hosts, in the order of names; `None` when the bus
/// does not tell. They belong to a restored copy of our store or to a second installation: each of the two sees only a part.
pub async fn list_strangers(bus: &dyn Bus, group: &GroupName, known: &BTreeSet<String>) -> Option<Vec<String>> {
    let described = bus.describe_groups(std::slice::from_ref(group)).await.ok()?;
    let strangers: BTreeSet<String> = described
        .into_iter()
        .filter_map(|group| group.members.ok())
        .flatten()
        .filter(|member| !known.contains(&member.client_id))
        .map(|member| format!("{} at {}", member.client_id, member.host))
        .collect();
    Some(strangers.into_iter().collect())
}
