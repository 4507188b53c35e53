//! Dead letters in and out: what arrived in the range beside what became of dead letters in it.

use super::figures::Past;
use super::lede::some;
use super::load::Overview;
use crate::web::view::number::grouped;
use crate::web::view::time;

/// A line of it.
pub(super) struct Line {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// Whether it is a part of the line above.
    pub(super) is_part: bool,
}

/// Both sides.
pub(super) struct InAndOut {
    pub(super) lines: Vec<Line>,
    /// What is not known; empty where all is.
    pub(super) note: String,
}

impl InAndOut {
    pub(super) fn new(figures: &Overview) -> Self {
        let (arrived, out) = (&figures.arrivals, &figures.departures);
        let line = |label, count: u64| Line { label, value: grouped(count), is_part: false };
        let part = |label, count: u64| Line { is_part: true, ..line(label, count) };
        let past = Past::of(figures);
        let mut lines = vec![if past == Past::Never {
            Line { label: "Arrived", value: "unknown".to_owned(), is_part: false }
        } else {
            line("Arrived", arrived.total)
        }];
        if figures.backlog > 0 {
            lines.push(Line { label: "Backlog that failed then", value: some(figures.backlog), is_part: false });
        }
        lines.extend([
            line("Replayed", out.replayed),
            part("resolved", out.resolved),
            part("failed again", out.failed_again),
            line("Discarded", out.discarded),
        ]);
        if out.restored > 0 {
            lines.push(part("taken back", out.restored));
        }
        lines.push(line("Purged from the bus", out.purged));
        let mut notes = Vec::new();
        match past {
            Past::No => {}
            Past::Since(at) => notes.push(format!("What arrived is known until {}.", time::clock(at, figures.now))),
            Past::Never => notes.push("Nothing has been read yet.".to_owned()),
        }
        if let Some(since) = out.since.filter(|_| !out.is_known_since(figures.buckets.from)) {
            notes.push(format!("What became of them is counted since {}.", time::clock(since, figures.now)));
        }
        if out.by_whole_hours {
            notes.push("What became of them is counted by whole hours: the minutes of that time are no longer kept.".to_owned());
        }
        let note = notes.join(" ");
        Self { lines, note }
    }
}
