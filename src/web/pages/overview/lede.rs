//! What the first page says in sentences: what is wrong, and why nothing is where that is so.

use super::load::Overview;
use crate::store::dead_letters::count::MOST_BACKLOG_COUNTED;
use crate::web::view::freshness::{Condition, Freshness};
use crate::web::view::group_row::name_and_message;
use crate::web::view::number::{counted, grouped};
use crate::web::view::range::Range;
use crate::web::view::text::short;
use crate::web::view::time;

/// What stands where nothing needs a person.
pub(super) struct Calm {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) strong: &'static str,
    pub(super) text: String,
}

/// The sentence under the title.
pub(super) struct Lede {
    pub(super) strong: String,
    pub(super) rest: String,
}

impl Lede {
    pub(super) fn new(figures: &Overview, range: Range) -> Self {
        let when = range.words();
        let watched = watched(figures);
        if let Some(bus) = figures.buses.iter().find(|bus| Freshness::of(&bus.state, figures.now).is_unreachable()) {
            let name = short(bus.state.id.as_str(), 80);
            let strong = match bus.state.failing_since {
                Some(since) if bus.state.sampled_at.is_some() => format!("{name} has not answered for {}.", time::age(since, figures.now)),
                _ => format!("{name} was never reached."),
            };
            let rest = match bus.state.sampled_at {
                Some(at) => format!(
                    "What is shown of it is that of {}; dead letters in custody are complete up to then.",
                    time::clock(at, figures.now)
                ),
                None => "Redrive keeps trying; nothing is known of it yet.".to_owned(),
            };
            return Self { strong, rest };
        }
        let (arrived, backlog, open) = (figures.arrivals.total, figures.backlog, figures.counts.open);
        let letters = |count| counted(count, "dead letter", "dead letters");
        if arrived > 0 {
            let rest = most_of_them(figures).unwrap_or(watched);
            let rest = if backlog == 0 { rest } else { format!("{}. {rest}", more_backlog(backlog)) };
            return Self { strong: format!("{} arrived in {when}.", letters(arrived)), rest };
        }
        if backlog > 0 {
            let strong = format!("Nothing arrived in {when}, but {} of backlog failed then.", some(backlog));
            return Self { strong, rest: format!("Backlog was there before Redrive looked and is in no arrival figure. {watched}") };
        }
        if open > 0 {
            return Self { strong: format!("Nothing failed in {when}."), rest: format!("{} wait from before. {watched}", letters(open)) };
        }
        Self { strong: "Nothing waits.".to_owned(), rest: watched }
    }
}

/// A count of backlog, which is not counted to its end.
pub(super) fn some(backlog: u64) -> String {
    if backlog < MOST_BACKLOG_COUNTED { grouped(backlog) } else { format!("{} or more", grouped(MOST_BACKLOG_COUNTED)) }
}

fn more_backlog(backlog: u64) -> String {
    let were = if backlog == 1 { "was" } else { "were" };
    format!("{} more from that time {were} there before Redrive looked", some(backlog))
}

/// Why nothing needs a person, and what is there nevertheless.
pub(super) fn calm(figures: &Overview, range: Range) -> Calm {
    let when = range.words();
    if figures.buses.iter().any(|bus| Freshness::of(&bus.state, figures.now).condition == Condition::Never) {
        let text = "What needs you stands here as soon as its brokers have answered for the first time; that takes seconds.".to_owned();
        return Calm { tone: "idle", icon: "hourglass", strong: "Not everything has been read yet", text };
    }
    let failed = figures.arrivals.total + figures.backlog;
    let failed = match failed {
        0 => format!("nothing failed in {when}"),
        _ => format!("no dead letter that failed in {when} is open"),
    };
    let before = match figures.counts.open {
        0 => String::new(),
        open => format!(" {} open from before.", counted(open, "dead letter is", "dead letters are")),
    };
    let text = format!("Every bus answers, {failed}, and no record was lost.{before} This page goes on looking.");
    Calm { tone: "ok", icon: "circle-check", strong: "Nothing needs you now", text }
}

/// "214 of them failed with `NullPointerException` in payment-service, first seen 33 min ago."
fn most_of_them(figures: &Overview) -> Option<String> {
    let group = figures.groups.first().filter(|_| figures.groups_are_recent)?;
    let (name, _, _) = name_and_message(group);
    let place = match group.consumer_groups.first() {
        Some((Some(consumer_group), _, _)) => format!(" in {}", short(consumer_group, 80)),
        _ => String::new(),
    };
    Some(format!("{} open with {name}{place}, first seen {} ago.", grouped(group.counts.open), time::age(group.first_seen, figures.now)))
}

/// "11 dead-letter topics on 2 buses are watched, the last look was 6 s ago."
fn watched(figures: &Overview) -> String {
    let topics: u64 = figures.buses.iter().map(|bus| bus.dead_letter_topics).sum();
    let buses = counted(figures.buses.len() as u64, "bus", "buses");
    let topics = counted(topics, "dead-letter topic", "dead-letter topics");
    match figures.buses.iter().map(|bus| bus.state.sampled_at).min().flatten() {
        Some(at) => format!("{topics} on {buses} watched, the last look was {} ago.", time::age(at, figures.now)),
        None => format!("Redrive is reading {buses} for the first time."),
    }
}
