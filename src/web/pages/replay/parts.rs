//! What the page of one replay is made of.

use super::super::super::address;
use super::super::super::view::filter::api_query;
use super::super::super::view::look::Look;
use super::super::super::view::number::{counted, grouped};
use super::super::super::view::replay as view;
use super::super::super::view::text::short;
use crate::model::replay::{Check, CheckLevel, Delivery, ItemResult, Replay, ReplayItem, ReplayState, Route, SkipReason};
use crate::model::{Selection, Timestamp};

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

pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) count: String,
    pub(super) href: String,
    pub(super) current: bool,
}

pub(super) struct ItemRow {
    pub(super) look: Look,
    pub(super) letter_href: String,
    pub(super) letter: String,
    pub(super) place: String,
    pub(super) successor: Option<(String, String)>,
    pub(super) note: String,
    pub(super) at: Option<Timestamp>,
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
            "{} of {} sent, {} resolved, {} failed again.",
            grouped(replay.sent_total),
            grouped(counts.total()),
            grouped(counts.resolved),
            grouped(counts.failed_again)
        ),
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

pub(super) fn tabs(replay: &Replay, current: Option<ItemResult>, here: &str) -> Vec<Tab> {
    let all = Tab { label: "All", count: grouped(replay.counts.total()), href: format!("{here}#items"), current: current.is_none() };
    let of = |result: &ItemResult| {
        let count = replay.counts.of(*result);
        (count > 0 || current == Some(*result)).then(|| Tab {
            label: view::result(*result).word,
            count: grouped(count),
            href: format!("{here}?result={result}#items"),
            current: current == Some(*result),
        })
    };
    std::iter::once(all).chain(ItemResult::ALL.iter().filter_map(of)).collect()
}

impl ItemRow {
    pub(super) fn new(item: &ReplayItem, routes: &[Route]) -> Self {
        let topic = routes.iter().find(|route| route.route == item.route).and_then(|route| route.target.as_ref());
        let place = match (topic, item.partition, item.offset) {
            (Some(topic), Some(partition), Some(offset)) => format!("{} / {partition} / {offset}", short(topic.as_str(), 80)),
            (Some(topic), ..) => short(topic.as_str(), 80),
            _ => String::new(),
        };
        Self {
            look: view::result(item.result),
            letter_href: format!("/dead-letters/{}", item.dead_letter_id),
            letter: item.dead_letter_id.to_string(),
            place,
            successor: item.successor_id.map(|id| (format!("/dead-letters/{id}"), id.to_string())),
            note: item.reason.as_deref().map_or_else(String::new, |reason| reason_of_item(reason, item.result)),
            at: item.result_at,
        }
    }
}

fn reason_of_item(reason: &str, result: ItemResult) -> String {
    let words = match reason.parse::<SkipReason>() {
        Ok(SkipReason::Duplicate) if result == ItemResult::Skipped => "an older copy of a message in this replay",
        Ok(SkipReason::Status) => "its status allows no replay",
        Ok(SkipReason::OtherReplay) => "in another replay",
        Ok(SkipReason::AlreadyReplayed) => "replayed before",
        Ok(SkipReason::OriginUnknown) => "no header tells where it came from",
        Ok(SkipReason::TargetMissing) => "its target topic is not there",
        Ok(SkipReason::NoCustody) => "its content is not in custody",
        Ok(SkipReason::TooLarge) => "larger than the target takes",
        Ok(SkipReason::AttemptLimit) => "replayed as often as the limit allows",
        Ok(SkipReason::AfterFailed) => "after a message of its key that could not be sent",
        Ok(SkipReason::Changed) => "its status changed after the plan was made",
        Ok(SkipReason::Gone) => "removed by retention",
        Ok(SkipReason::JobEnded) => "the replay ended before",
        Ok(SkipReason::NotAllowed) => "writing to its target is not allowed",
        _ => return short(reason, 300),
    };
    words.to_owned()
}

pub(super) fn settings_words(replay: &Replay, routes: &[Route]) -> Vec<(&'static str, String)> {
    let settings = &replay.settings;
    let never = || "never".to_owned();
    let settle = routes.iter().filter(|route| route.consumer_group.is_some()).map(|route| route.settle_ms).max();
    let mut words = vec![
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
