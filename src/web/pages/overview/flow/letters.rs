//! Dead letters that arrived, by the topic they came from and by the consumer group that failed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{BusId, GroupName, TopicName};
use crate::store::arrival_sources::ArrivalSource;
use crate::store::failure_groups::Buckets;
use crate::store::{Store, StoreError};

/// Arrivals under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) letters: u64,
    /// Facets they belong to.
    facets: Vec<i64>,
}

/// Arrivals of some buses.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// By origin topic; where that is not known, by the dead-letter topic.
    pub(super) topics: BTreeMap<(BusId, TopicName), Arrived>,
    pub(super) groups: BTreeMap<(BusId, GroupName), Arrived>,
    /// By the dead-letter topic in which they arrived.
    held: BTreeMap<(BusId, TopicName), u64>,
}

/// Facets of a topic that its bars are drawn from, those with the most arrivals.
const FACETS: usize = 256;

impl Letters {
    pub(super) async fn load(store: &Store, buses: &[BusId], buckets: Buckets) -> Result<Self, StoreError> {
        let mut letters = Self::default();
        // No bus is none here, and all of them to the store.
        if buses.is_empty() {
            return Ok(letters);
        }
        for source in store.list_arrival_sources(buses, buckets).await? {
            letters.add(source);
        }
        Ok(letters)
    }

    fn add(&mut self, source: ArrivalSource) {
        let count = |arrived: &mut Arrived| {
            arrived.letters += source.letters;
            arrived.facets.push(source.facet);
        };
        *self.held.entry((source.bus.clone(), source.topic.clone())).or_default() += source.letters;
        count(self.topics.entry((source.bus.clone(), source.origin_topic.unwrap_or(source.topic))).or_default());
        if let Some(group) = source.consumer_group {
            count(self.groups.entry((source.bus, group)).or_default());
        }
    }

    pub(super) fn of_topic(&self, bus: &BusId, topic: &TopicName) -> u64 {
        self.topics.get(&(bus.clone(), topic.clone())).map_or(0, |arrived| arrived.letters)
    }

    /// Arrivals in a dead-letter topic; `None` where none came, or it is another topic.
    pub(super) fn held(&self, bus: &BusId, topic: &TopicName) -> Option<u64> {
        self.held.get(&(bus.clone(), topic.clone())).copied()
    }

    /// Arrivals of groups that are not among these.
    pub(super) fn unlisted(&self, listed: &BTreeSet<(&BusId, &GroupName)>) -> u64 {
        self.groups.iter().filter(|((bus, group), _)| !listed.contains(&(bus, group))).map(|(_, arrived)| arrived.letters).sum()
    }

    pub(super) fn of_group(&self, bus: &BusId, group: &GroupName) -> u64 {
        self.groups.get(&(bus.clone(), group.clone())).map_or(0, |arrived| arrived.letters)
    }

    /// The names on a bus with the most, at most `few`.
    pub(super) fn most<K: Ord + Clone>(of: &BTreeMap<(BusId, K), Arrived>, bus: &BusId, few: usize) -> Vec<K> {
        let mut all: Vec<(&K, u64)> =
            of.iter().filter(|((of, _), _)| of == bus).map(|((_, name), arrived)| (name, arrived.letters)).collect();
        all.sort_by_key(|(name, letters)| (std::cmp::Reverse(*letters), *name));
        all.into_iter().take(few).map(|(name, _)| name.clone()).collect()
    }

    /// Arrivals of some topics over time, in their order.
    pub(super) async fn over_time(
        &self,
        store: &Store,
        topics: &[(BusId, TopicName)],
        buckets: Buckets,
    ) -> Result<Vec<Vec<u64>>, StoreError> {
        let mut places: HashMap<i64, usize> = HashMap::new();
        for (place, topic) in topics.iter().enumerate() {
            let facets = self.topics.get(topic).into_iter().flat_map(|arrived| arrived.facets.iter().take(FACETS));
            places.extend(facets.map(|facet| (*facet, place)));
        }
        let mut facets: Vec<i64> = places.keys().copied().collect();
        facets.sort_unstable();
        let mut counts = vec![vec![0; buckets.count as usize]; topics.len()];
        for (facet, bucket, letters) in store.list_arrivals_of(&facets, buckets).await? {
            if let Some(place) = places.get(&facet) {
                counts[*place][bucket] += letters;
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_counts_where_it_came_from_and_where_nobody_knows_that_where_it_lies() {
        let source = |facet, origin: Option<&str>, group: Option<&str>, letters| ArrivalSource {
            facet,
            bus: "prod".into(),
            topic: "orders-dlt".into(),
            origin_topic: origin.map(Into::into),
            consumer_group: group.map(Into::into),
            letters,
        };
        let mut letters = Letters::default();
        for one in [source(1, Some("orders"), Some("billing"), 5), source(2, Some("orders"), Some("mail"), 7), source(3, None, None, 2)] {
            letters.add(one);
        }
        let bus = BusId::from("prod");
        assert_eq!((letters.of_topic(&bus, &"orders".into()), letters.of_topic(&bus, &"orders-dlt".into())), (12, 2));
        assert_eq!((letters.of_group(&bus, &"mail".into()), letters.of_group(&"other".into(), &"mail".into())), (7, 0));
        assert_eq!(Letters::most(&letters.groups, &bus, 1), ["mail".into()]);
        assert_eq!((letters.held(&bus, &"orders-dlt".into()), letters.held(&bus, &"orders".into())), (Some(14), None));
        let mail = GroupName::from("mail");
        assert_eq!(letters.unlisted(&BTreeSet::from([(&bus, &mail)])), 5, "those of billing, which nobody lists");
    }
}
