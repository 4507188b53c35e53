//! What changed on the bus just before an alert: rebalances, offsets that were set, replays, purges, other alerts, and failure groups
//! that were new. The newest first: what came last explains most.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::alert::{Alert, AlertRule, Label};
use crate::model::group_event::GroupEventKind;
use crate::model::happening::{Happened, Happening};
use crate::store::failure_group_events::{FailureGroupEvent, FailureGroupNews};
use crate::store::failure_groups::Buckets;
use crate::store::happenings::listed::Listed;
use crate::store::{Store, StoreError};
use crate::web::causes::{self, Scope};
use crate::web::view::address::segment;
use crate::web::view::marks::Marks;
use crate::web::view::text::short;
use crate::web::view::time;

/// Lines shown.
const MOST: usize = 12;
/// Failure groups among them.
const MOST_GROUPS: usize = 8;

/// Buses named where an alert is over several.
const MOST_BUSES: usize = 8;

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

pub(super) async fn load(store: &Store, alert: &Alert, scope: &Scope, now: Timestamp) -> Result<Vec<Before>, StoreError> {
    let Some(bus) = scope.one() else { return Ok(Vec::new()) };
    let began = causes::began(alert, now);
    let (mut happened, mut lines) = (Vec::new(), Vec::new());
    for listed in causes::load(store, alert, bus, now).await? {
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

/// What is said where nothing is listed.
pub(super) fn nothing(scope: &Scope, alert: &Alert, rule: Option<&AlertRule>) -> String {
    let Scope::Several(buses) = scope else {
        return if scope.one().is_some() { NOTHING_ON_BUS } else { NOTHING_KNOWN }.to_owned();
    };
    let rule = causes::watching_the_same(alert, rule);
    let pattern = rule.and_then(|rule| rule.terms.filter.get(&Label::Bus));
    let of = match (rule, pattern) {
        (None, _) => "its rule, which is gone or says something else now, made one alert for all of them".to_owned(),
        (_, Some(pattern)) => format!("its rule is for every bus that fits {}, and makes one alert for all of them", short(pattern, 80)),
        (_, None) => "its rule is for every bus, and makes one alert for all of them".to_owned(),
    };
    if buses.is_empty() {
        return format!("No bus is configured now that the alert could be about: {of}.");
    }
    let named = buses.iter().take(MOST_BUSES).map(|bus| short(bus.as_str(), 60)).collect::<Vec<_>>().join(", ");
    let more = if buses.len() > MOST_BUSES { format!(" and {} more", buses.len() - MOST_BUSES) } else { String::new() };
    let then = if rule.is_some() { " Tick Bus below \"One alert per\" in the rule, and an alert says which bus it is about." } else { "" };
    format!("The alert is over several buses ({named}{more}), so what happened on one of them is not listed: {of}.{then}")
}

const NOTHING_ON_BUS: &str =
    "No rebalance, no offsets set by hand, no replay, no purge, no other alert and no new failure group on this bus.";
const NOTHING_KNOWN: &str = "The alert is about no bus, so nothing on one can have caused it.";

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
