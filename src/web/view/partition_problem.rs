//! What keeps partitions from being used, in words.

use std::collections::HashMap;

use super::address::segment;
use super::number::counted;
use super::text::short;
use crate::model::bus::TopicRole;
use crate::model::partition_problem::{PartitionProblem, PartitionProblemKind as Kind};
use crate::model::{BusId, Timestamp, TopicName};

/// Partitions named one by one in a sentence.
const NAMED: usize = 8;

/// The same problem of some partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProblem {
    /// The bus.
    pub bus: BusId,
    /// The topic.
    pub topic: TopicName,
    /// What that topic is.
    pub role: TopicRole,
    /// What kind of problem.
    pub kind: Kind,
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// Why, in the words of the bus.
    pub reason: String,
    /// Since when the first of them has it.
    pub since: Timestamp,
}

impl TopicProblem {
    /// Takes what has the same topic and kind together; the longest standing first.
    #[must_use]
    pub fn of(problems: &[PartitionProblem]) -> Vec<Self> {
        let mut list: Vec<Self> = Vec::new();
        let mut places: HashMap<(&BusId, &TopicName, Kind), usize> = HashMap::new();
        for problem in problems {
            let place = *places.entry((&problem.bus, &problem.topic, problem.kind)).or_insert(list.len());
            match list.get_mut(place) {
                Some(known) => {
                    known.partitions.push(problem.partition);
                    known.since = known.since.min(problem.since);
                }
                None => list.push(Self {
                    bus: problem.bus.clone(),
                    topic: problem.topic.clone(),
                    role: problem.role,
                    kind: problem.kind,
                    partitions: vec![problem.partition],
                    reason: short(&problem.reason, 300),
                    since: problem.since,
                }),
            }
        }
        list.sort_by_key(|problem| problem.since);
        list
    }

    /// `2 partitions have no leader`.
    #[must_use]
    pub fn headline(&self) -> String {
        let count = self.partitions.len() as u64;
        let (one, many) = match self.kind {
            Kind::Leaderless => ("partition has no leader", "partitions have no leader"),
            Kind::OffsetsUnread => ("partition does not tell its offsets", "partitions do not tell their offsets"),
            Kind::Unreadable => ("partition cannot be read", "partitions cannot be read"),
            Kind::EndsEarly => ("partition ends before what was read", "partitions end before what was read"),
        };
        counted(count, one, many)
    }

    /// What it means, and what happens next.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        let dead_letters = self.role == TopicRole::DeadLetter;
        match self.kind {
            Kind::Leaderless if dead_letters => {
                "Nobody can write dead letters to it, and none can be read, until a broker with a copy is back."
            }
            Kind::Leaderless => "Nobody can write to it or read from it until a broker with a copy is back.",
            Kind::OffsetsUnread => "Its figures are those of the last answer.",
            Kind::Unreadable => "Dead letters on it are not seen until that is mended; then indexing goes on where it stopped.",
            Kind::EndsEarly => {
                "An unclean leader election has cut its log. Indexing goes on when it has grown past that position; dead letters written until then are not indexed."
            }
        }
    }

    /// `0, 3, 4 and 12 more`.
    #[must_use]
    pub fn numbers(&self) -> String {
        numbers(&self.partitions)
    }

    /// The topic's page.
    #[must_use]
    pub fn href(&self) -> String {
        format!("/buses/{}/topics/{}", segment(self.bus.as_str()), segment(self.topic.as_str()))
    }
}

/// The first few numbers of partitions.
#[must_use]
pub fn numbers(partitions: &[i32]) -> String {
    let shown: Vec<String> = partitions.iter().take(NAMED).map(ToString::to_string).collect();
    let rest = partitions.len() - shown.len();
    if rest > 0 { format!("{} and {rest} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(topic: &str, partition: i32, kind: Kind, since: i64) -> PartitionProblem {
        PartitionProblem {
            partition_id: i64::from(partition),
            bus: "prod".into(),
            topic: topic.into(),
            role: TopicRole::DeadLetter,
            partition,
            kind,
            reason: "not allowed".to_owned(),
            since: Timestamp::from_millis(since),
        }
    }

    #[test]
    fn what_is_the_same_is_said_once_with_the_longest_standing_first() {
        let problems = [
            problem("b", 3, Kind::Unreadable, 9),
            problem("a", 0, Kind::Leaderless, 5),
            problem("b", 4, Kind::Unreadable, 2),
            problem("b", 4, Kind::Leaderless, 7),
        ];
        let said: Vec<_> = TopicProblem::of(&problems).iter().map(|p| (p.topic.to_string(), p.headline(), p.numbers())).collect();
        let expected = [
            ("b", "2 partitions cannot be read", "3, 4"),
            ("a", "1 partition has no leader", "0"),
            ("b", "1 partition has no leader", "4"),
        ];
        assert_eq!(said, expected.map(|(t, h, n)| (t.to_owned(), h.to_owned(), n.to_owned())));
    }

    #[test]
    fn many_partitions_are_not_all_named() {
        assert_eq!(numbers(&(0..11).collect::<Vec<_>>()), "0, 1, 2, 3, 4, 5, 6, 7 and 3 more");
    }
}
