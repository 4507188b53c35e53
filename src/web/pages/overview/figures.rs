//! The figures of the first page. Of a bus that is silent they say up to when they are true, and never show what nobody knows as zero.

use super::flow::Flow;
use super::lede::some;
use super::load::Overview;
use crate::model::Timestamp;
use crate::model::bus::Gap;
use crate::store::departures::Departures;
use crate::web::view::address::Address;
use crate::web::view::freshness::{Condition, Freshness};
use crate::web::view::lines::decimal;
use crate::web::view::number::{counted, grouped, size};
use crate::web::view::range::Range;
use crate::web::view::time;

/// A figure in the strip.
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) note: String,
    pub(super) href: String,
}

const UNKNOWN: &str = "unknown";
const NOTHING_READ: &str = "nothing has been read yet";

/// Whether some bus says nothing about the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Past {
    No,
    /// One was last read then, the others later.
    Since(Timestamp),
    /// None was ever read.
    Never,
}

impl Past {
    pub(in crate::web) fn of(figures: &Overview) -> Self {
        if figures.buses.iter().all(|bus| bus.state.sampled_at.is_none()) {
            return Self::Never;
        }
        let past = figures.buses.iter().filter(|bus| Freshness::of(&bus.state, figures.now).is_past());
        past.filter_map(|bus| bus.state.sampled_at).min().map_or(Self::No, Self::Since)
    }

    /// Up to when everything was read; `None` for now.
    pub(in crate::web) fn until(self) -> Option<Timestamp> {
        match self {
            Self::No => None,
            Self::Since(at) => Some(at),
            Self::Never => Some(Timestamp::from_millis(0)),
        }
    }
}

/// The strip of figures under what needs attention.
pub(super) fn strip(figures: &Overview, range: Range, here: &Address) -> Vec<Figure> {
    let arrivals = &figures.arrivals;
    let usage = &figures.usage;
    let open_list = here.without(&["range", "from", "to"]);
    let past = Past::of(figures);
    let reachable = figures.buses.iter().filter(|bus| Freshness::of(&bus.state, figures.now).condition == Condition::Fresh).count();
    let (used, unit) = size(usage.used_bytes).split_once(' ').map(|(n, u)| (n.to_owned(), u.to_owned())).unwrap_or_default();
    let mut strip = vec![
        figure(
            format!("Arrived in {}", range.words()),
            if past == Past::Never { UNKNOWN.to_owned() } else { grouped(arrivals.total) },
            match (past, figures.backlog) {
                (Past::Since(at), _) => format!("as far as was read, until {}", time::clock(at, figures.now)),
                (Past::Never, _) => NOTHING_READ.to_owned(),
                (Past::No, 0) => format!("{} in the same time before", grouped(arrivals.before)),
                (Past::No, backlog) => format!("and {} of backlog", some(backlog)),
            },
            here.at("/dead-letters").and("status", "all").to_string(),
        ),
        dealt_with(figures, range, here),
        figure(
            "Open dead letters".to_owned(),
            grouped(figures.counts.open),
            format!("of {} kept", grouped(figures.counts.total())),
            open_list.at("/failure-groups").to_string(),
        ),
        figure(
            "Buses connected".to_owned(),
            format!("{reachable} of {}", figures.buses.len()),
            match past {
                Past::Never => NOTHING_READ.to_owned(),
                _ => counted(
                    figures.buses.iter().map(|b| b.dead_letter_topics).sum(),
                    "dead-letter topic watched",
                    "dead-letter topics watched",
                ),
            },
            "#buses".to_owned(),
        ),
        lost(figures, past),
        Figure {
            unit,
            ..figure(
                "Stored".to_owned(),
                used,
                usage.max_bytes.map_or_else(|| "no limit set".to_owned(), |max| format!("of {}", size(max))),
                "#stored".to_owned(),
            )
        },
    ];
    strip.splice(3..3, flowing(&figures.flow, past, figures.now));
    strip
}

/// Dead letters that were replayed or discarded and not taken back, whenever they had arrived.
fn dealt_with(figures: &Overview, range: Range, here: &Address) -> Figure {
    let out = &figures.departures;
    let note = match out.since.filter(|_| !out.is_known_since(figures.buckets.from)) {
        Some(since) => format!("counted since {}", time::clock(since, figures.now)),
        None if out.replayed + out.discarded == 0 => "none replayed or discarded".to_owned(),
        None => dealt_with_words(out),
    };
    figure(format!("Dealt with in {}", range.words()), grouped(out.total()), note, format!("{}#arrivals", here.at("/")))
}

/// What became of them, in words: `9 replayed (2 failed again), 3 discarded, 1 taken back`.
fn dealt_with_words(out: &Departures) -> String {
    let again = if out.failed_again > 0 { format!(" ({} failed again)", grouped(out.failed_again)) } else { String::new() };
    let back = if out.restored > 0 { format!(", {} taken back", grouped(out.restored)) } else { String::new() };
    let hours = if out.by_whole_hours { "; by whole hours" } else { "" };
    format!("{} replayed{again}, {} discarded{back}{hours}", grouped(out.replayed), grouped(out.discarded))
}

/// What the buses removed before it was read.
fn lost(figures: &Overview, past: Past) -> Figure {
    let lost: u64 = figures.gaps.iter().map(Gap::offsets).sum();
    figure(
        "Lost before reading".to_owned(),
        if past == Past::Never { UNKNOWN.to_owned() } else { grouped(lost) },
        if let Past::Since(at) = past {
            format!("known until {}", time::clock(at, figures.now))
        } else if past == Past::Never {
            NOTHING_READ.to_owned()
        } else if lost == 0 {
            "no gaps".to_owned()
        } else {
            format!("at most, in {}{}", counted(figures.gaps.len() as u64, "gap", "gaps"), if figures.more_gaps { " and more" } else { "" })
        },
        "#gaps".to_owned(),
    )
}

const fn figure(label: String, value: String, note: String, href: String) -> Figure {
    Figure { label, value, unit: String::new(), note, href }
}

/// What flows over the buses.
fn flowing(flow: &Flow, past: Past, now: Timestamp) -> [Figure; 2] {
    let before = flow
        .rate
        .1
        .map_or_else(|| "mean, nothing to compare with".to_owned(), |before| format!("mean; {} in the same time before", decimal(before)));
    [
        figure(
            "Messages per second".to_owned(),
            flow.rate.0.map_or_else(|| "no sample".to_owned(), decimal),
            before,
            "#throughput-panel".to_owned(),
        ),
        figure(
            "Groups to look at".to_owned(),
            if past == Past::No { format!("{} of {}", flow.troubled.len(), flow.all_groups) } else { UNKNOWN.to_owned() },
            match past {
                Past::No => "stalled, stopped, falling behind, set back".to_owned(),
                Past::Since(at) => format!("last seen at {}", time::clock(at, now)),
                Past::Never => NOTHING_READ.to_owned(),
            },
            "#groups-behind".to_owned(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_again_or_was_taken_back_is_named() {
        let out = Departures { replayed: 9, failed_again: 2, discarded: 3, restored: 1, by_whole_hours: true, ..Departures::default() };
        assert_eq!(dealt_with_words(&out), "9 replayed (2 failed again), 3 discarded, 1 taken back; by whole hours");
        let plain = Departures { replayed: 9, discarded: 3, ..Departures::default() };
        assert_eq!((dealt_with_words(&plain).as_str(), out.total()), ("9 replayed, 3 discarded", 11));
    }
}
