//! What changed on the bus just before an alert: rebalances, offsets that were set, replays, purges, other alerts, and failure groups
//! that were new. The newest first: what came last explains most.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::alert::Alert;
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening};
use crate::store::failure_group_events::{FailureGroupEvent, FailureGroupNews};
use crate::store::failure_groups::Buckets;
use crate::store::happenings::listed::Listed;
use crate::store::{Store, StoreError};
use crate::web::causes;
use crate::web::view::address::segment;
use crate::web::view::marks::Marks;
use crate::web::view::text::short;
use crate::web::view::time;

/// Lines shown.
const MOST: usize = 12;
/// Failure groups among them.
const MOST_GROUPS: usize = 8;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) at: Timestamp,
    pub(super) icon: &'static str,
    pub(super) text: String,
    pub(super) href: String,
    /// How long before the alert, in words.
    pub(super) distance: String,
}

pub(super) fn title(alert: &Alert, now: Timestamp) -> String {
    format!("{} before {}", time::duration_words(causes::BEFORE), time::clock(causes::began(alert, now), now))
}

pub(super) async fn load(store: &Store, alert: &Alert, now: Timestamp) -> Result<Vec<Before>, StoreError> {
    let Some(bus) = alert.bus() else { return Ok(Vec::new()) };
    let began = causes::began(alert, now);
    let (mut happened, mut lines) = (Vec::new(), Vec::new());
    for listed in causes::load(store, alert, now).await? {
        match listed {
            Listed::Happening(one) => happened.push(one),
            Listed::FailureGroup(news) if lines.len() < MOST_GROUPS => lines.push(failure_group(&news, bus.as_str())),
            Listed::FailureGroup(_) => {}
        }
    }
    happened.sort_by_key(|one| one.at);
    lines.extend(marked(&happened, Buckets { from: began.minus(causes::BEFORE), to: began.plus(causes::AFTER), count: 32 }));
    for line in &mut lines {
        line.distance = distance(line.at, began);
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    lines.truncate(MOST);
    Ok(lines)
}

/// Those that are told together on drawings are told together here.
fn marked(happened: &[Happening], buckets: Buckets) -> Vec<Before> {
    // Of several at one moment the page that is linked tells which it is.
    let icon = |at: Timestamp, href: &str| match happened.iter().find(|one| one.at == at) {
        _ if href.starts_with("/alerts/") => "bell",
        Some(one) => icon(&one.what),
        None => "history",
    };
    let marks = Marks::of(happened, buckets).shown;
    let line = |mark: crate::web::view::marks::Marked| Before {
        icon: icon(mark.at, &mark.href),
        at: mark.at,
        text: mark.text,
        href: mark.href,
        distance: String::new(),
    };
    marks.into_iter().map(line).collect()
}

const fn icon(what: &Happened) -> &'static str {
    match what {
        Happened::ReplayStarted { .. } | Happened::ReplayEnded { .. } => "redo-2",
        Happened::PurgeStarted { .. } | Happened::PurgeEnded { .. } => "scissors",
        Happened::ToGroup { kind: GroupEventKind::OffsetsSet | GroupEventKind::OffsetsBack, .. } => "rewind",
        Happened::ToGroup { .. } => "users",
        Happened::AlertFired { .. } => "bell",
    }
}

fn failure_group(news: &FailureGroupNews, bus: &str) -> Before {
    let (icon, word) = match news.event {
        FailureGroupEvent::New => ("inbox", "New failure group"),
        FailureGroupEvent::Returned => ("rotate-ccw", "Failure group returned"),
    };
    Before {
        at: news.at,
        icon,
        text: format!("{word}: {} on {}", short(&news.title, 120), short(news.topic.as_str(), 120)),
        href: format!("/buses/{}/failure-groups/{}", segment(bus), news.fingerprint),
        distance: String::new(),
    }
}

fn distance(at: Timestamp, began: Timestamp) -> String {
    if at > began {
        return format!("{} after", time::duration_words(began.age_at(at)));
    }
    match at.age_at(began) {
        none if none.as_secs() == 0 => "at that moment".to_owned(),
        some => format!("{} before", time::duration_words(Duration::from_secs(some.as_secs()))),
    }
}
