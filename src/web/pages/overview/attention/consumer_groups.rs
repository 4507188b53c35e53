//! Consumer groups that somebody should look at.

use std::collections::BTreeMap;

use super::{Attention, MAX_OF_A_KIND, few};
use crate::model::BusId;
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::web::view::address::segment;
use crate::web::view::group;
use crate::web::view::number::counted;
use crate::web::view::text::short;

/// Groups that need somebody, the worst first; those that are too many in one row of each bus.
pub(super) fn behind(troubled: &[ConsumerGroupSummary]) -> Vec<Attention> {
    let (named, rest) = troubled.split_at(troubled.len().min(MAX_OF_A_KIND));
    let mut rows: Vec<Attention> = named.iter().map(one).collect();
    rows.extend(by_bus(rest).into_iter().map(|(bus, groups)| Attention {
        tone: if groups.iter().any(|group| look(group).tone == "bad") { "bad" } else { "warn" },
        what: counted(groups.len() as u64, "more consumer group needs a look", "more consumer groups need a look"),
        evidence: few(groups.iter().map(|group| format!("{} {}", name(group), look(group).word.to_lowercase())).collect(), ", "),
        since: groups.iter().filter_map(|group| group.standing.since).min(),
        ..list(bus)
    }));
    rows
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

/// A row that leads to the list of a bus, with the worst first.
fn list(bus: &BusId) -> Attention {
    Attention {
        tone: "warn",
        what: String::new(),
        evidence: String::new(),
        place: short(bus.as_str(), 80),
        since: None,
        href: format!("/buses/{}/consumer-groups", segment(bus.as_str())),
        action: "See groups",
        severity: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Timestamp;
    use crate::model::lag::{GroupStatus, Standing};

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
}
