//! Consumer groups that somebody should look at, and those of which nothing can be told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Attention, MAX_OF_A_KIND, few};
use crate::model::lag::GroupStatus;
use crate::model::{BusId, Timestamp};
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::web::view::address::{Address, segment};
use crate::web::view::group;
use crate::web::view::number::counted;
use crate::web::view::text::short;

/// What is unknown for a shorter time is about to be known: after a start, or a partition's move.
const UNTOLD_FOR: Duration = Duration::from_mins(3);

/// Groups that need somebody, the worst first; those that are too many in one row of each bus.
pub(super) fn behind(troubled: &[ConsumerGroupSummary]) -> Vec<Attention> {
    let (named, rest) = troubled.split_at(troubled.len().min(MAX_OF_A_KIND));
    let mut rows: Vec<Attention> = named.iter().map(one).collect();
    rows.extend(by_bus(rest).into_iter().map(|(bus, groups)| Attention {
        tone: if groups.iter().any(|group| look(group).tone == "bad") { "bad" } else { "warn" },
        what: counted(groups.len() as u64, "more consumer group needs a look", "more consumer groups need a look"),
        evidence: few(groups.iter().map(|group| format!("{} {}", name(group), look(group).word.to_lowercase())).collect(), ", "),
        since: groups.iter().filter_map(|group| group.standing.since).min(),
        ..list(bus, None)
    }));
    rows
}

/// Groups whose status has been unknown for a while although their bus answers, those with the most to read first; one row of each bus
/// where they are many.
pub(super) fn untold(groups: &[ConsumerGroupSummary], now: Timestamp) -> Vec<Attention> {
    let lasting = |group: &&ConsumerGroupSummary| group.standing.since.is_some_and(|since| since.age_at(now) >= UNTOLD_FOR);
    let lasting: Vec<&ConsumerGroupSummary> = groups.iter().filter(lasting).collect();
    if lasting.len() <= MAX_OF_A_KIND {
        return lasting.into_iter().map(one).collect();
    }
    let row = |(bus, groups): (&BusId, Vec<&ConsumerGroupSummary>)| match groups.as_slice() {
        [only] => one(only),
        groups => Attention {
            what: format!("What {} consumer groups are doing is unknown", groups.len()),
            evidence: few(groups.iter().map(|group| format!("{}: {}", name(group), short(&group.standing.evidence, 160))).collect(), "; "),
            since: groups.iter().filter_map(|group| group.standing.since).min(),
            ..list(bus, Some(GroupStatus::Unknown))
        },
    };
    by_bus(lasting).into_iter().map(row).collect()
}

/// In their order, bus by bus.
fn by_bus<'a>(groups: impl IntoIterator<Item = &'a ConsumerGroupSummary>) -> BTreeMap<&'a BusId, Vec<&'a ConsumerGroupSummary>> {
    let mut by_bus: BTreeMap<&BusId, Vec<&ConsumerGroupSummary>> = BTreeMap::new();
    for group in groups {
        by_bus.entry(&group.bus).or_default().push(group);
    }
    by_bus
}

fn look(group: &ConsumerGroupSummary) -> group::GroupState {
    group::status(group.standing.status, false)
}

fn name(group: &ConsumerGroupSummary) -> String {
    short(group.name.as_str(), 80)
}

fn one(group: &ConsumerGroupSummary) -> Attention {
    let status = look(group);
    Attention {
        tone: if status.tone == "bad" { "bad" } else { "warn" },
        what: format!("Consumer group {}: {}", name(group), status.word.to_lowercase()),
        evidence: short(&group.standing.evidence, 300),
        place: short(group.bus.as_str(), 80),
        since: group.standing.since,
        href: format!("/buses/{}/consumer-groups/{}", segment(group.bus.as_str()), segment(group.name.as_str())),
        action: "See group",
        severity: None,
    }
}

/// A row that leads to the list of a bus, with the worst first or with those of one status.
fn list(bus: &BusId, status: Option<GroupStatus>) -> Attention {
    let address = Address::new(format!("/buses/{}/consumer-groups", segment(bus.as_str())));
    Attention {
        tone: "warn",
        what: String::new(),
        evidence: String::new(),
        place: short(bus.as_str(), 80),
        since: None,
        href: status.into_iter().fold(address, |address, status| address.set("status", status.as_str())).to_string(),
        action: "See groups",
        severity: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lag::Standing;

    const NOW: Timestamp = Timestamp::from_millis(2_000_000_000_000);

    fn group(bus: &str, name: &str, status: GroupStatus, minutes: u64) -> ConsumerGroupSummary {
        ConsumerGroupSummary {
            bus: bus.into(),
            name: name.into(),
            kind: "classic".to_owned(),
            state: "Stable".to_owned(),
            members: Some(1),
            topics: Vec::new(),
            lag_messages: None,
            raw_lag_messages: None,
            deleted_messages: 0,
            time_lag: None,
            partitions: 1,
            open_dead_letters: 0,
            standing: Standing {
                status,
                since: Some(NOW.minus(Duration::from_mins(minutes))),
                evidence: format!("why {name}"),
                ..Standing::default()
            },
            sampled_at: NOW,
        }
    }

    fn said(rows: &[Attention]) -> Vec<(&str, &str, &str, &str, u64)> {
        let minutes = |since: Option<Timestamp>| since.map_or(0, |since| since.age_at(NOW).as_secs() / 60);
        rows.iter().map(|row| (row.tone, row.what.as_str(), row.evidence.as_str(), row.href.as_str(), minutes(row.since))).collect()
    }

    #[test]
    fn groups_beyond_the_first_few_have_a_row_that_leads_to_each_of_their_buses() {
        use GroupStatus::{FallingBehind, Stalled};
        let mut all: Vec<_> = ["a", "b", "c"].map(|name| group("one", name, Stalled, 5)).into();
        all.extend([group("two", "d", Stalled, 9), group("three", "e", FallingBehind, 4), group("two", "f", FallingBehind, 20)]);
        let rows = behind(&all);
        assert_eq!(rows.len(), 5);
        let more = [
            ("warn", "1 more consumer group needs a look", "e falling behind", "/buses/three/consumer-groups", 4),
            ("bad", "2 more consumer groups need a look", "d stalled, f falling behind", "/buses/two/consumer-groups", 20),
        ];
        assert_eq!(said(&rows[3..]), more);
        assert_eq!((rows[3].place.as_str(), rows[4].place.as_str()), ("three", "two"));
        assert_eq!(behind(&all[..3]).len(), 3, "nothing is left over");
    }

    #[test]
    fn groups_of_which_nothing_is_told_for_minutes_are_named_and_many_have_one_row_of_their_bus() {
        use GroupStatus::Unknown;
        let young = group("one", "young", Unknown, 2);
        let few_groups = [group("one", "a", Unknown, 3), young.clone(), group("two", "b", Unknown, 70)];
        let rows = untold(&few_groups, NOW);
        let expected = [
            ("warn", "Consumer group a: unknown", "why a", "/buses/one/consumer-groups/a", 3),
            ("warn", "Consumer group b: unknown", "why b", "/buses/two/consumer-groups/b", 70),
        ];
        assert_eq!(said(&rows), expected);
        let mut many: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(|name| group("one", name, Unknown, 5)).into();
        many.extend([young, group("two", "b", Unknown, 70)]);
        let rows = untold(&many, NOW);
        let evidence = "a: why a; b: why b; c: why c; d: why d; e: why e and 2 more";
        let expected = [
            ("warn", "What 7 consumer groups are doing is unknown", evidence, "/buses/one/consumer-groups?status=unknown", 5),
            ("warn", "Consumer group b: unknown", "why b", "/buses/two/consumer-groups/b", 70),
        ];
        assert_eq!(said(&rows), expected);
    }
}
