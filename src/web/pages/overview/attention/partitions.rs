//! Partitions that cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attention, MAX_OF_A_KIND, few};
use crate::model::bus::TopicRole;
use crate::model::partition_problem::PartitionProblemKind;
use crate::model::{BusId, TopicName};
use crate::web::view::address::Address;
use crate::web::view::number::counted;
use crate::web::view::partition_problem::TopicProblem;
use crate::web::view::text::short;

/// The worst first, and of those alike the ones of dead-letter topics; those that are too many in one row of each bus.
pub(super) fn partitions(problems: &[TopicProblem]) -> Vec<Attention> {
    let mut all: Vec<&TopicProblem> = problems.iter().collect();
    all.sort_by_key(|problem| (is_merely_old(problem), problem.role != TopicRole::DeadLetter));
    let rest = all.split_off(all.len().min(MAX_OF_A_KIND));
    let mut rows: Vec<Attention> = all.into_iter().map(one).collect();
    let mut by_bus: BTreeMap<&BusId, Vec<&TopicProblem>> = BTreeMap::new();
    for problem in rest {
        by_bus.entry(&problem.bus).or_default().push(problem);
    }
    rows.extend(by_bus.into_iter().map(|(bus, problems)| more(bus, &problems)));
    rows
}

/// Figures that are merely old do no harm yet.
fn is_merely_old(problem: &TopicProblem) -> bool {
    problem.kind == PartitionProblemKind::OffsetsUnread
}

const fn tone(is_merely_old: bool) -> &'static str {
    if is_merely_old { "warn" } else { "bad" }
}

fn one(problem: &TopicProblem) -> Attention {
    Attention {
        tone: tone(is_merely_old(problem)),
        what: format!("{} on {}", problem.headline(), short(problem.topic.as_str(), 120)),
        evidence: match problem.reason.as_str() {
            "" => format!("{}: {}", problem.numbers(), problem.meaning()),
            reason => format!("{}: {reason}. {}", problem.numbers(), problem.meaning()),
        },
        place: short(problem.bus.as_str(), 80),
        since: Some(problem.since),
        href: problem.href(),
        action: "See topic",
        severity: None,
    }
}

fn more(bus: &BusId, problems: &[&TopicProblem]) -> Attention {
    let mut seen = BTreeSet::new();
    let topics: Vec<&TopicName> = problems.iter().map(|problem| &problem.topic).filter(|topic| seen.insert(*topic)).collect();
    let are_merely_old = problems.iter().all(|problem| is_merely_old(problem));
    let count = topics.len() as u64;
    let topics_of = if problems.iter().all(|problem| problem.role == TopicRole::DeadLetter) {
        counted(count, "more dead-letter topic", "more dead-letter topics")
    } else {
        counted(count, "more topic", "more topics")
    };
    let what = if are_merely_old { "do not tell their offsets" } else { "cannot be used" };
    Attention {
        tone: tone(are_merely_old),
        what: format!("Partitions of {topics_of} {what}"),
        evidence: few(topics.iter().map(|topic| short(topic.as_str(), 120)).collect(), ", "),
        place: short(bus.as_str(), 80),
        since: problems.iter().map(|problem| problem.since).min(),
        href: Address::new("/topics").and("bus", bus.as_str()).to_string(),
        action: "See topics",
        severity: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use PartitionProblemKind::{Leaderless, OffsetsUnread, Unreadable};

    fn problem(bus: &str, topic: &str, role: TopicRole, kind: PartitionProblemKind, since: i64) -> TopicProblem {
        let (bus, topic) = (bus.into(), topic.into());
        TopicProblem { bus, topic, role, kind, partitions: vec![0], reason: String::new(), since: Timestamp::from_millis(since) }
    }

    fn said(rows: &[Attention]) -> Vec<(&str, &str)> {
        rows.iter().map(|row| (row.tone, row.what.as_str())).collect()
    }

    #[test]
    fn what_has_no_leader_is_worse_than_old_figures_and_dead_letter_topics_come_first() {
        let problems = [
            problem("one", "old", TopicRole::DeadLetter, OffsetsUnread, 1),
            problem("one", "orders", TopicRole::Ordinary, Leaderless, 2),
            problem("one", "orders-dlt", TopicRole::DeadLetter, Unreadable, 3),
        ];
        let expected = [
            ("bad", "1 partition cannot be read on orders-dlt"),
            ("bad", "1 partition has no leader on orders"),
            ("warn", "1 partition does not tell its offsets on old"),
        ];
        assert_eq!(said(&partitions(&problems)), expected);
        assert_eq!(partitions(&problems)[1].evidence, "0: Nobody can write to it or read from it until a broker with a copy is back.");
    }

    #[test]
    fn what_is_left_over_is_told_bus_by_bus() {
        let leaderless = |bus, topic, role, since| problem(bus, topic, role, Leaderless, since);
        let mut problems: Vec<_> = ["a-dlt", "b-dlt", "c-dlt"].map(|topic| leaderless("one", topic, TopicRole::DeadLetter, 1)).into();
        problems.push(leaderless("one", "d-dlt", TopicRole::DeadLetter, 2));
        problems.extend(["u", "v", "w", "x", "y", "z"].map(|topic| leaderless("two", topic, TopicRole::Ordinary, 3)));
        problems.push(problem("two", "u", TopicRole::Ordinary, OffsetsUnread, 4));
        problems.push(problem("three", "r-retry", TopicRole::Retry, OffsetsUnread, 5));
        let rows = partitions(&problems);
        let more = [
            ("bad", "Partitions of 1 more dead-letter topic cannot be used"),
            ("warn", "Partitions of 1 more topic do not tell their offsets"),
            ("bad", "Partitions of 6 more topics cannot be used"),
        ];
        assert_eq!(said(&rows[3..]), more);
        assert_eq!((rows[5].evidence.as_str(), rows[5].href.as_str()), ("u, v, w, x, y and 1 more", "/topics?bus=two"));
        assert_eq!(rows[5].since, Some(Timestamp::from_millis(3)));
    }
}
