//! What the page of one replay is made of.

use std::time::Duration;

use super::super::super::address;
use super::super::super::view::filter::api_query;
use super::super::super::view::number::{counted, grouped};
use super::super::super::view::text::short;
use super::super::super::view::time::duration_words;
use crate::model::replay::{Check, CheckLevel, Delivery, Replay, ReplayEvent, ReplayState, Route};
use crate::model::{Selection, Timestamp, TopicName};

/// Checks of one level.
pub(super) struct CheckGroup {
    pub(super) title: String,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) label: &'static str,
    pub(super) checks: Vec<CheckRow>,
}

pub(super) struct CheckRow {
    pub(super) text: String,
    pub(super) count: String,
    pub(super) href: Option<String>,
}

pub(super) struct Target {
    pub(super) topic: String,
    pub(super) href: String,
    pub(super) partitions: i32,
    pub(super) items: String,
    pub(super) by: &'static str,
    pub(super) consumer_group: String,
}

/// Something that happened, as the time line says it.
pub(super) struct Event {
    pub(super) words: String,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

impl From<ReplayEvent> for Event {
    fn from(event: ReplayEvent) -> Self {
        let mut chars = event.text.chars();
        let words = chars.next().map(char::to_uppercase).into_iter().flatten().chain(chars).collect();
        Self { words, by: if event.actor == "system" { "by itself".to_owned() } else { event.actor }, at: event.at }
    }
}

pub(super) fn lede(replay: &Replay) -> String {
    let counts = &replay.counts;
    match replay.state {
        ReplayState::Planning => {
            format!("{} found so far. The scope is frozen: what arrives later is not included.", grouped(counts.total()))
        }
        ReplayState::Planned if counts.waiting == 0 => "Nothing of this plan can be sent; see the checks.".to_owned(),
        ReplayState::Planned => format!(
            "{} would be sent, {} skipped. The scope is frozen: what arrives later is not included.",
            grouped(counts.waiting),
            grouped(counts.skipped)
        ),
        _ => format!(
            "{} of {} sent, {} resolved, {} failed again.{}",
            grouped(replay.sent_total),
            grouped(counts.total()),
            grouped(counts.resolved),
            grouped(counts.failed_again),
            left(replay)
        ),
    }
}

/// How long the rest takes at the rate that is set; nothing where the rate does not decide.
fn left(replay: &Replay) -> String {
    match (replay.state, replay.state_reason, replay.settings.rate) {
        (ReplayState::Running, None, Some(rate)) if replay.counts.waiting > u64::from(rate) => {
            let seconds = replay.counts.waiting / u64::from(rate.max(1));
            format!(" About {} left at {} per second.", duration_words(Duration::from_secs(seconds)), grouped(rate.into()))
        }
        _ => String::new(),
    }
}

pub(super) fn check_groups(checks: &[Check], here: &str) -> Vec<CheckGroup> {
    let levels = [
        (CheckLevel::Blocked, "blocked", "bad", "octagon-x", "Blocked"),
        (CheckLevel::Warning, "warned", "warn", "triangle-alert", "Warned"),
        (CheckLevel::Passed, "passed", "ok", "check", "Passed"),
    ];
    let row = |check: &Check| CheckRow {
        text: short(&check.text, 500),
        count: if check.count > 0 { counted(check.count, "dead letter", "dead letters") } else { String::new() },
        href: check.skip_reason.map(|reason| format!("{here}?result=skipped&reason={reason}#items")),
    };
    let group = |(level, word, tone, icon, label): (CheckLevel, &str, &'static str, &'static str, &'static str)| {
        let checks: Vec<CheckRow> = checks.iter().filter(|check| check.level == level).map(row).collect();
        (!checks.is_empty()).then(|| CheckGroup { title: format!("{} {word}", checks.len()), tone, icon, label, checks })
    };
    levels.into_iter().filter_map(group).collect()
}

pub(super) fn targets(replay: &Replay, routes: &[Route]) -> Vec<Target> {
    let target = |route: &Route| {
        let topic = route.target.as_ref()?.to_string();
        Some(Target {
            href: format!("/buses/{}/topics/{}", address::encode(replay.bus.as_str()), address::encode(&topic)),
            topic: short(&topic, 249),
            partitions: route.target_partitions,
            items: grouped(route.items),
            by: if route.partition_kept_from.is_some() && replay.settings.partitioner == crate::model::replay::Partitioner::Origin {
                "origin, as it was"
            } else {
                "key, Java default (murmur2)"
            },
            consumer_group: route.consumer_group.as_ref().map_or_else(|| "unknown".to_owned(), |group| short(group.as_str(), 120)),
        })
    };
    routes.iter().filter_map(target).take(50).collect()
}

pub(super) fn settings_words(replay: &Replay, routes: &[Route]) -> Vec<(&'static str, String)> {
    let settings = &replay.settings;
    let never = || "never".to_owned();
    let settle = routes.iter().filter(|route| route.consumer_group.is_some()).map(|route| route.settle_ms).max();
    let mut targets: Vec<&str> = routes.iter().filter_map(|route| route.target.as_ref()).map(TopicName::as_str).collect();
    targets.sort_unstable();
    targets.dedup();
    let target = match targets.as_slice() {
        [] => "unknown".to_owned(),
        [one] => short(one, 249),
        [first, rest @ ..] => format!("{} and {} more", short(first, 249), rest.len()),
    };
    let mut words = vec![
        ("Target", target),
        ("Delivery", if replay.delivery == Delivery::ExactlyOnce { "exactly once".to_owned() } else { "at least once".to_owned() }),
        (
            "Canary",
            settings.canary.map_or_else(
                || "none".to_owned(),
                |canary| {
                    format!(
                        "{} first, settle {} s{}",
                        canary.count,
                        canary.settle_ms / 1_000,
                        if replay.canary_passed { ", passed" } else { "" }
                    )
                },
            ),
        ),
        (
            "Stops at failures",
            settings.failed_again_limit.map_or_else(never, |limit| format!("more than {:.0} % fail again", limit * 100.0)),
        ),
        ("Stops at lag", settings.lag_limit.map_or_else(never, |limit| format!("{} messages", grouped(limit)))),
        ("Replays of one message", format!("{} at most", settings.attempt_limit)),
        (
            "After a refusal",
            if settings.on_failed == crate::model::replay::OnFailed::SkipKey {
                "its key's later messages are skipped".to_owned()
            } else {
                "goes on".to_owned()
            },
        ),
    ];
    if let Some(settle) = settle {
        words.push(("Settle time", format!("{} s", settle / 1_000)));
    }
    words.push(("Planned by", short(&replay.planned_by.name, 80)));
    if let Some(by) = &replay.started_by {
        words.push(("Started by", short(by, 80)));
    }
    words
}

/// The dead letters that were selected, as a list.
pub(super) fn scope(replay: &Replay) -> Option<String> {
    match serde_json::from_str(&replay.selection).ok()? {
        Selection::Filter(filter) => Some(
            api_query("/dead-letters", &crate::model::DeadLetterFilter { status: Vec::new(), ..*filter }).set("status", "all").to_string(),
        ),
        Selection::Ids(_) => None,
    }
}
