//! The frozen scope of a replay, small enough to be sorted in memory: a million dead letters are 24 MB.

use std::collections::HashMap;

use crate::model::DeadLetterId;
use crate::store::replays::planning::DraftKey;

/// Where a dead letter stands in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: DeadLetterId,
    offset: i64,
    partition: i32,
    /// Twice the topic's number in [`Scope::topics`], plus one where the place is the origin's.
    topic: u32,
}

impl Place {
    /// Whether both come from the same record, as far as their headers tell.
    pub(super) fn has_origin_of(&self, other: &Self) -> bool {
        let known = self.topic % 2 == 1;
        known && (self.topic, self.partition, self.offset) == (other.topic, other.partition, other.offset)
    }
}

/// Everything that is selected.
#[derive(Debug, Default)]
pub(super) struct Scope {
    topics: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
    places: Vec<Place>,
}

impl Scope {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn add(&mut self, keys: Vec<DraftKey>) {
        for key in keys {
            let number = if let Some(number) = self.numbers.get(&key.topic) {
                *number
            } else {
                // Plans hold five million dead letters at most, and so many topics.
                let number = u32::try_from(self.topics.len()).unwrap_or(u32::MAX / 2);
                self.topics.push(key.topic.clone());
                self.numbers.insert(key.topic, number);
                number
            };
            let topic = number * 2 + u32::from(key.has_origin);
            self.places.push(Place { id: key.id, offset: key.offset, partition: key.partition, topic });
        }
    }

    /// In the order of sending: (origin topic, partition, offset), else the dead letter's own place. Of one place the newest comes last.
    pub(super) fn into_order(self) -> Vec<Place> {
        let mut by_name: Vec<usize> = (0..self.topics.len()).collect();
        by_name.sort_unstable_by(|a, b| self.topics[*a].cmp(&self.topics[*b]));
        let mut ranks = vec![0_usize; self.topics.len()];
        for (rank, number) in by_name.into_iter().enumerate() {
            ranks[number] = rank;
        }
        let mut places = self.places;
        places.sort_unstable_by_key(|place| (ranks[place.topic as usize / 2], place.partition, place.offset, place.id));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64, topic: &str, has_origin: bool, partition: i32, offset: i64) -> DraftKey {
        DraftKey { id: DeadLetterId(id), topic: topic.into(), has_origin, partition, offset }
    }

    #[test]
    fn the_order_is_by_topic_name_partition_offset_and_age() {
        let mut scope = Scope::default();
        scope.add(vec![key(1, "b", true, 0, 5), key(2, "b", false, 0, 4), key(3, "a", true, 1, 9)]);
        scope.add(vec![key(5, "b", true, 0, 5), key(4, "a", true, 0, 10), key(6, "b", false, 0, 5)]);
        assert_eq!(scope.len(), 6);
        let places = scope.into_order();
        assert_eq!(places.iter().map(|place| place.id.0).collect::<Vec<_>>(), [4, 3, 2, 1, 5, 6]);
        assert!(places[3].has_origin_of(&places[4]), "two dead letters of one record");
        assert!(!places[4].has_origin_of(&places[5]), "where one only knows its own place they may be of two");
        assert_eq!(size_of::<Place>(), 24);
    }
}
