//! Rows of the first page about the buses themselves: their state, gaps, and what is stored.

use super::load::{Overview, WatchedBus};
use crate::model::bus::Gap;
use crate::model::{BusState, Timestamp};
use crate::web::view::address::{Address, segment};
use crate::web::view::freshness::{Freshness, Look};
use crate::web::view::look::capability_words;
use crate::web::view::number::{grouped, size};
use crate::web::view::text::short;
use crate::web::view::time;

/// A bus.
pub(super) struct BusRow {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) kind: &'static str,
    pub(super) word: &'static str,
    pub(super) icon: &'static str,
    pub(super) tone: &'static str,
    pub(super) evidence: String,
    pub(super) sampled_at: Option<Timestamp>,
    pub(super) stale: bool,
    pub(super) topics: String,
    pub(super) open: String,
    pub(super) open_href: String,
}

/// Records that were gone before they were read.
pub(super) struct GapRow {
    pub(super) bus: String,
    pub(super) topic: String,
    pub(super) href: String,
    pub(super) partition: i32,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) offsets: String,
    pub(super) at: Timestamp,
}

/// What is stored, label and value.
pub(super) fn stored(figures: &Overview) -> Vec<(&'static str, String)> {
    let usage = &figures.usage;
    let mut rows = vec![
        ("Dead letters", grouped(usage.dead_letters)),
        (
            "Without content",
            if usage.without_custody == 0 { "none".to_owned() } else { format!("{}, too large or gone", grouped(usage.without_custody)) },
        ),
        ("Oldest", usage.oldest.map_or_else(|| "nothing yet".to_owned(), |at| format!("{} ago", time::age(at, figures.now)))),
        ("In use", size(usage.used_bytes)),
        ("Limit", usage.max_bytes.map_or_else(|| "none, the disk decides".to_owned(), size)),
    ];
    if let Some(free) = usage.disk_free_bytes {
        rows.push(("Free on disk", size(free)));
    }
    rows.push(("Store", if usage.engine == "postgres" { "PostgreSQL".to_owned() } else { "SQLite".to_owned() }));
    rows
}

impl BusRow {
    pub(super) fn new(bus: &WatchedBus, now: Timestamp) -> Self {
        let state: &BusState = &bus.state;
        let freshness = Freshness::of(state, now);
        let Look { word, icon, tone } = freshness.look();
        let evidence = match (&state.error, state.failing_since) {
            (Some(error), Some(since)) => format!("since {}: {}", time::clock(since, now), short(error, 300)),
            (Some(error), None) => short(error, 300),
            (None, _) if state.capabilities.unavailable.is_empty() => String::new(),
            (None, _) => {
                let lacks: Vec<_> = state.capabilities.unavailable.keys().map(|what| capability_words(*what).to_lowercase()).collect();
                format!("cannot {}", lacks.join(", "))
            }
        };
        let query = Address::new("/topics").and("bus", state.id.as_str());
        Self {
            name: short(state.id.as_str(), 80),
            href: query.to_string(),
            kind: "Kafka",
            word,
            icon,
            tone,
            evidence,
            sampled_at: state.sampled_at,
            stale: freshness.is_stale(),
            topics: if state.sampled_at.is_none() { "unknown".to_owned() } else { grouped(bus.dead_letter_topics) },
            open: grouped(bus.open),
            open_href: query.at("/failure-groups").to_string(),
        }
    }
}

impl GapRow {
    pub(super) fn new(gap: &Gap) -> Self {
        Self {
            bus: short(gap.bus.as_str(), 80),
            topic: short(gap.topic.as_str(), 249),
            href: format!("/buses/{}/topics/{}", segment(gap.bus.as_str()), segment(gap.topic.as_str())),
            partition: gap.partition,
            from: grouped(gap.from_offset.unsigned_abs()),
            to: grouped(gap.to_offset.saturating_sub(1).unsigned_abs()),
            offsets: grouped(gap.offsets()),
            at: gap.at,
        }
    }
}
