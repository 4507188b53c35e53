//! Dead letters in and out: what arrived in the range beside what became of dead letters in it.

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
        let mut lines = vec![line("Arrived", arrived.total)];
        if figures.backlog > 0 {
            lines.push(Line { label: "Backlog found", value: some(figures.backlog), is_part: false });
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
        let since = out.since.filter(|_| !out.is_known_since(figures.buckets.from));
        let note =
            since.map_or_else(String::new, |since| format!("What became of them is counted since {}.", time::clock(since, figures.now)));
        Self { lines, note }
    }
}
