//! Marks on drawings: what happened, numbered in the order of time, with a legend in words below. Many of one kind close to each other
//! are one mark, and where there are too many, those that explain least are left out: a rebalance before a reset or an alert.

use super::address::segment;
use super::alert::about;
use super::number::{counted, grouped};
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening};
use crate::model::purge::PurgeState;
use crate::model::replay::ReplayState;
use crate::model::{BusId, GroupName, Timestamp};
use crate::store::failure_groups::Buckets;

/// Marks of one page: more would hide the lines.
const MOST: usize = 9;
/// Of the width: what is closer than this is told together.
const CLOSE: i64 = 24;

/// A mark of a drawing and a line of its legend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// When; of several, the first.
    pub at: Timestamp,
    /// From 1 on, in the order of time.
    pub number: usize,
    /// In words.
    pub text: String,
    /// Where more is told.
    pub href: String,
}

/// Marks, and how many are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// In the order of time.
    pub shown: Vec<Marked>,
    /// Happenings that have no mark.
    pub left_out: u64,
}

/// Happenings that are told together.
struct Bundle<'a> {
    all: Vec<&'a Happening>,
}

impl Marks {
    /// The marks of a drawing over this time; happenings come in the order of time.
    #[must_use]
    pub fn of(happenings: &[Happening], buckets: Buckets) -> Self {
        let close = (buckets.to.as_millis() - buckets.from.as_millis()) / CLOSE;
        let mut bundles: Vec<Bundle<'_>> = Vec::new();
        for happening in happenings.iter().filter(|happening| happening.at >= buckets.from && happening.at < buckets.to) {
            let near = |bundle: &&mut Bundle<'_>| {
                let first = bundle.all[0];
                same(first, happening) && happening.at.as_millis() - first.at.as_millis() < close
            };
            match bundles.iter_mut().rev().find(near) {
                Some(bundle) => bundle.all.push(happening),
                None => bundles.push(Bundle { all: vec![happening] }),
            }
        }
        let mut least: Vec<usize> = (0..bundles.len()).collect();
        least.sort_by_key(|place| (std::cmp::Reverse(weight(bundles[*place].all[0])), std::cmp::Reverse(bundles[*place].all[0].at)));
        let kept: std::collections::BTreeSet<usize> = least.into_iter().take(MOST).collect();
        let (mut shown, mut left_out) = (Vec::new(), 0);
        for (place, bundle) in bundles.iter().enumerate() {
            if kept.contains(&place) {
                let (text, href) = (words(&bundle.all), href(bundle.all[0]));
                shown.push(Marked { at: bundle.all[0].at, number: shown.len() + 1, text, href });
            } else {
                left_out += bundle.all.len() as u64;
            }
        }
        Self { shown, left_out }
    }
}

/// One happening in words, and the page that tells more.
#[must_use]
pub fn told(happening: &Happening) -> (String, String) {
    (words(&[happening]), href(happening))
}

/// How much it explains.
const fn weight(happening: &Happening) -> u8 {
    match &happening.what {
        Happened::ToGroup { kind: GroupEventKind::OffsetsSet | GroupEventKind::OffsetsBack, .. } => 3,
        Happened::AlertFired { .. } | Happened::PurgeStarted { .. } | Happened::PurgeEnded { .. } => 2,
        Happened::ReplayStarted { .. } | Happened::ReplayEnded { .. } => 1,
        Happened::ToGroup { .. } => 0,
    }
}

/// Whether two are told together when they are close: of one replay or purge, or the same of one group, or rebalances of any.
fn same(a: &Happening, b: &Happening) -> bool {
    if a.bus != b.bus {
        return false;
    }
    match (&a.what, &b.what) {
        (Happened::ReplayStarted { id, .. }, Happened::ReplayEnded { id: other, .. })
        | (Happened::PurgeStarted { id, .. }, Happened::PurgeEnded { id: other, .. }) => id == other,
        (Happened::AlertFired { rule, .. }, Happened::AlertFired { rule: other, .. }) => rule == other,
        (Happened::ToGroup { kind: GroupEventKind::Rebalanced, .. }, Happened::ToGroup { kind: GroupEventKind::Rebalanced, .. }) => true,
        (Happened::ToGroup { kind, group, .. }, Happened::ToGroup { kind: other, group: of, .. }) => kind == other && group == of,
        _ => false,
    }
}

fn words(all: &[&Happening]) -> String {
    match (&all[0].what, all.last().map(|last| &last.what)) {
        (Happened::ReplayStarted { name, .. }, Some(Happened::ReplayEnded { state, sent, .. })) if all.len() > 1 => {
            format!("Replay {name} started and {}, {} sent", ended(*state), counted(*sent, "message", "messages"))
        }
        (Happened::PurgeStarted { topic, .. }, Some(Happened::PurgeEnded { state, .. })) if all.len() > 1 => {
            format!("Purge of {topic} started and {}", purged(*state))
        }
        (Happened::ReplayStarted { name, .. }, _) => format!("Replay {name} started"),
        (Happened::ReplayEnded { name, state, sent, .. }, _) => {
            format!("Replay {name} {}, {} sent", ended(*state), counted(*sent, "message", "messages"))
        }
        (Happened::PurgeStarted { topic, .. }, _) => format!("Purge of {topic} started"),
        (Happened::PurgeEnded { topic, state, .. }, _) => format!("Purge of {topic} {}", purged(*state)),
        (Happened::AlertFired { rule, labels, .. }, _) if all.len() == 1 => format!("Alert: {rule} ({})", about(labels, false)),
        (Happened::AlertFired { rule, .. }, _) => format!("{} alerts: {rule}", all.len()),
        (Happened::ToGroup { kind, group, detail, .. }, _) => to_group(*kind, group, detail, all),
    }
}

fn to_group(kind: GroupEventKind, group: &GroupName, detail: &str, all: &[&Happening]) -> String {
    let mut groups: Vec<&GroupName> =
        all.iter().filter_map(|one| if let Happened::ToGroup { group, .. } = &one.what { Some(group) } else { None }).collect();
    groups.sort_unstable();
    groups.dedup();
    let times = grouped(all.len() as u64);
    match (kind, all.len(), groups.len()) {
        (GroupEventKind::Rebalanced, 1, _) => format!("{group} rebalanced: {detail}"),
        (GroupEventKind::Rebalanced, _, 1) => format!("{group} rebalanced {times} times"),
        (GroupEventKind::Rebalanced, _, some) => format!("{times} rebalances of {some} consumer groups"),
        (GroupEventKind::OffsetsSet, 1, _) => format!("Offsets of {group} set by hand: {detail}"),
        (GroupEventKind::OffsetsSet, ..) => format!("Offsets of {group} set by hand {times} times"),
        (GroupEventKind::OffsetsBack, 1, _) => format!("Offsets of {group} went back: {detail}"),
        (GroupEventKind::OffsetsBack, ..) => format!("Offsets of {group} went back {times} times"),
        (GroupEventKind::StatusChanged, ..) => format!("{group}: {detail}"),
    }
}

const fn ended(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Completed => "ended",
        ReplayState::Cancelled => "was cancelled",
        ReplayState::Failed => "failed",
        ReplayState::Planning | ReplayState::Planned | ReplayState::Running | ReplayState::Paused => "goes on",
    }
}

const fn purged(state: PurgeState) -> &'static str {
    match state {
        PurgeState::Completed => "ended",
        PurgeState::Failed => "ended with partitions that keep their records",
        PurgeState::Cancelled => "was cancelled",
        PurgeState::Planned | PurgeState::Running => "goes on",
    }
}

fn href(happening: &Happening) -> String {
    let of_group = |bus: &BusId, group: &GroupName| format!("/buses/{}/consumer-groups/{}", segment(bus.as_str()), segment(group.as_str()));
    match &happening.what {
        Happened::ReplayStarted { id, .. } | Happened::ReplayEnded { id, .. } => format!("/replays/{}", segment(id)),
        Happened::PurgeStarted { id, .. } | Happened::PurgeEnded { id, .. } => format!("/purges/{}", segment(id)),
        Happened::AlertFired { number, .. } => format!("/alerts/{number}"),
        Happened::ToGroup { group, .. } => of_group(&happening.bus, group),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hour() -> Buckets {
        let from = Timestamp::from_millis(0);
        Buckets { from, to: from.plus(Duration::from_hours(1)), count: 60 }
    }

    fn happening(seconds: u64, what: Happened) -> Happening {
        Happening { at: Timestamp::from_millis(0).plus(Duration::from_secs(seconds)), bus: "prod".into(), what }
    }

    fn group(kind: GroupEventKind, name: &str) -> Happened {
        Happened::ToGroup { kind, group: name.into(), topic: None, detail: "3 members now".to_owned() }
    }

    fn texts(marks: &Marks) -> Vec<(usize, &str)> {
        marks.shown.iter().map(|mark| (mark.number, mark.text.as_str())).collect()
    }

    #[test]
    fn a_short_replay_is_one_mark_and_a_long_one_two() {
        let started = |id: &str| Happened::ReplayStarted { id: id.to_owned(), name: "nightly".to_owned() };
        let ended = |id: &str, state| Happened::ReplayEnded { id: id.to_owned(), name: "nightly".to_owned(), state, sent: 1_200 };
        let short = [happening(60, started("a")), happening(90, ended("a", ReplayState::Completed))];
        assert_eq!(texts(&Marks::of(&short, hour())), [(1, "Replay nightly started and ended, 1,200 messages sent")]);
        let long = [happening(60, started("a")), happening(900, ended("a", ReplayState::Cancelled)), happening(4_000, started("b"))];
        let marks = Marks::of(&long, hour());
        assert_eq!(texts(&marks), [(1, "Replay nightly started"), (2, "Replay nightly was cancelled, 1,200 messages sent")]);
        assert_eq!(marks.shown[0].href, "/replays/a");
    }

    #[test]
    fn an_alert_is_named_and_several_of_one_rule_are_told_together() {
        let fired = |number, topic: &str| Happened::AlertFired {
            number,
            rule: "Dead letters arrive fast".to_owned(),
            labels: [("bus", "prod"), ("topic", topic)].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let marks = Marks::of(&[happening(60, fired(7, "orders-dlt"))], hour());
        assert_eq!(texts(&marks), [(1, "Alert: Dead letters arrive fast (orders-dlt)")]);
        assert_eq!(marks.shown[0].href, "/alerts/7");
        let several = Marks::of(&[happening(60, fired(7, "orders-dlt")), happening(70, fired(8, "payments-dlt"))], hour());
        assert_eq!(texts(&several), [(1, "2 alerts: Dead letters arrive fast")]);
    }

    #[test]
    fn rebalances_close_to_each_other_are_one_mark_and_give_way_to_resets() {
        let close = [(10, "a"), (20, "b"), (30, "a")].map(|(at, name)| happening(at, group(GroupEventKind::Rebalanced, name)));
        assert_eq!(texts(&Marks::of(&close, hour())), [(1, "3 rebalances of 2 consumer groups")]);
        let mut many: Vec<Happening> = (0..20).map(|n| happening(n * 170, group(GroupEventKind::Rebalanced, "a"))).collect();
        many.push(happening(3_500, group(GroupEventKind::OffsetsSet, "a")));
        let marks = Marks::of(&many, hour());
        assert_eq!((marks.shown.len(), marks.left_out), (MOST, 12));
        assert_eq!(marks.shown[MOST - 1].text, "Offsets of a set by hand: 3 members now");
        assert!(marks.shown.is_sorted_by_key(|mark| mark.at), "in the order of time");
    }
}
