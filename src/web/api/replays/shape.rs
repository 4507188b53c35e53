//! Replays and their items as the API shows them.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::model::replay::{Canary, Check, Replay, ReplayItem, Route};
use crate::model::{BusId, Timestamp};
use crate::store::replays::LetterReplay;

/// A replay.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReplayShape {
    id: String,
    name: String,
    #[schema(value_type = String)]
    bus: BusId,
    /// `planning`, `planned`, `running`, `paused`, `completed`, `cancelled` or `failed`.
    state: &'static str,
    /// Why it stands there.
    state_reason: Option<&'static str>,
    /// The reason in words, where there is more to say.
    state_text: Option<String>,
    /// `exactly_once` or `at_least_once`.
    delivery: &'static str,
    /// Items; the counts below add up to it.
    total: u64,
    waiting: u64,
    skipped: u64,
    failed: u64,
    sent: u64,
    consumed: u64,
    resolved: u64,
    failed_again: u64,
    unknown: u64,
    /// Every item ever sent.
    sent_total: u64,
    checks: Vec<CheckShape>,
    /// When the checks were run.
    #[schema(value_type = Option<String>, format = DateTime)]
    checked_at: Option<Timestamp>,
    /// Where its items go.
    targets: Vec<TargetShape>,
    /// The consumer groups that failed, with the time their results need to settle.
    consumer_groups: Vec<GroupShape>,
    /// Messages per second; null is as fast as it goes.
    rate: Option<u32>,
    canary: Option<CanaryShape>,
    failed_again_limit: Option<f64>,
    lag_limit: Option<u64>,
    attempt_limit: u32,
    partitioner: &'static str,
    on_failed: &'static str,
    again: bool,
    /// Another target than each origin topic.
    target: Option<String>,
    planned_by: String,
    started_by: Option<String>,
    /// The policy that has planned it.
    policy_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Until when outcomes are watched; null before it ends and when that is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    watch_until: Option<Timestamp>,
}

/// One check of a plan.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CheckShape {
    code: String,
    /// `blocked`, `warning` or `passed`.
    level: &'static str,
    count: u64,
    text: String,
    /// With `items?result=skipped&reason=`: the items behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// A target topic.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TargetShape {
    topic: String,
    partitions: i32,
    items: u64,
}

/// A consumer group.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct GroupShape {
    consumer_group: Option<String>,
    inferred: bool,
    items: u64,
    settle: String,
}

/// The first few.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CanaryShape {
    count: u32,
    settle: String,
    passed: bool,
}

/// Replays of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReplayList {
    pub(super) items: Vec<ReplayShape>,
    pub(super) next_cursor: Option<String>,
}

impl ReplayShape {
    pub(super) fn new(replay: Replay, routes: &[Route]) -> Self {
        let (counts, settings) = (replay.counts, replay.settings);
        Self {
            id: replay.id.to_string(),
            name: replay.name,
            bus: replay.bus,
            state: replay.state.as_str(),
            state_reason: replay.state_reason.map(crate::model::replay::StateReason::as_str),
            state_text: replay.state_text,
            delivery: replay.delivery.as_str(),
            total: counts.total(),
            waiting: counts.waiting,
            skipped: counts.skipped,
            failed: counts.failed,
            sent: counts.sent,
            consumed: counts.consumed,
            resolved: counts.resolved,
            failed_again: counts.failed_again,
            unknown: counts.unknown,
            sent_total: replay.sent_total,
            checks: replay.checks.into_iter().map(CheckShape::from).collect(),
            checked_at: replay.checked_at,
            targets: targets(routes),
            consumer_groups: groups(routes),
            rate: settings.rate,
            canary: settings.canary.map(|canary| CanaryShape::new(canary, replay.canary_passed)),
            failed_again_limit: settings.failed_again_limit,
            lag_limit: settings.lag_limit,
            attempt_limit: settings.attempt_limit,
            partitioner: settings.partitioner.as_str(),
            on_failed: settings.on_failed.as_str(),
            again: settings.again,
            target: settings.target.map(|target| target.to_string()),
            planned_by: replay.planned_by.name,
            started_by: replay.started_by,
            policy_id: replay.policy_id.map(|id| id.to_string()),
            created_at: replay.created_at,
            started_at: replay.started_at,
            ended_at: replay.ended_at,
            watch_until: replay.watch_until,
        }
    }
}

impl From<Check> for CheckShape {
    fn from(check: Check) -> Self {
        let reason = check.skip_reason.map(crate::model::replay::SkipReason::as_str);
        Self { code: check.code, level: check.level.as_str(), count: check.count, text: check.text, reason }
    }
}

impl CanaryShape {
    fn new(canary: Canary, passed: bool) -> Self {
        Self { count: canary.count, settle: duration(canary.settle_ms), passed }
    }
}

/// Prometheus style.
pub(in crate::web) fn duration(millis: u64) -> String {
    if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
}

fn targets(routes: &[Route]) -> Vec<TargetShape> {
    let mut targets: BTreeMap<String, (i32, u64)> = BTreeMap::new();
    for route in routes {
        if let Some(topic) = &route.target {
            let target = targets.entry(topic.to_string()).or_default();
            *target = (target.0.max(route.target_partitions), target.1 + route.items);
        }
    }
    targets.into_iter().map(|(topic, (partitions, items))| TargetShape { topic, partitions, items }).collect()
}

fn groups(routes: &[Route]) -> Vec<GroupShape> {
    let mut groups: BTreeMap<(Option<String>, bool), (u64, u64)> = BTreeMap::new();
    for route in routes {
        let name = route.consumer_group.as_ref().map(ToString::to_string);
        let group = groups.entry((name, route.inferred)).or_default();
        *group = (group.0 + route.items, group.1.max(route.settle_ms.unsigned_abs()));
    }
    let shape = |((consumer_group, inferred), (items, settle))| GroupShape { consumer_group, inferred, items, settle: duration(settle) };
    groups.into_iter().map(shape).collect()
}

/// Target topics by route.
pub(super) struct RouteShapes(HashMap<i32, Option<String>>);

impl RouteShapes {
    pub(super) fn new(routes: &[Route]) -> Self {
        Self(routes.iter().map(|route| (route.route, route.target.as_ref().map(ToString::to_string))).collect())
    }
}

/// One item of a replay.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReplayItemShape {
    dead_letter_id: String,
    /// `waiting`, `skipped`, `failed`, `sent`, `consumed`, `resolved`, `failed_again` or `unknown`.
    result: &'static str,
    reason: Option<String>,
    /// Target topic.
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    message_id: String,
    /// Which replay of the message this is.
    attempt: i32,
    /// The dead letter that came back.
    successor_id: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    result_at: Option<Timestamp>,
}

/// Items of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ItemList {
    pub(super) items: Vec<ReplayItemShape>,
    pub(super) next_cursor: Option<String>,
}

impl ReplayItemShape {
    pub(super) fn new(item: ReplayItem, routes: &RouteShapes) -> Self {
        let topic = routes.0.get(&item.route).cloned().flatten();
        Self::at(item, topic)
    }

    fn at(item: ReplayItem, topic: Option<String>) -> Self {
        Self {
            dead_letter_id: item.dead_letter_id.to_string(),
            result: item.result.as_str(),
            reason: item.reason,
            topic,
            partition: item.partition,
            offset: item.offset,
            message_id: item.message_id.to_string(),
            attempt: item.attempt,
            successor_id: item.successor_id.map(|id| id.to_string()),
            sent_at: item.sent_at,
            result_at: item.result_at,
        }
    }
}

/// What one replay did with a dead letter.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::web::api) struct LetterReplayItem {
    replay_id: String,
    name: String,
    planned_by: String,
    #[schema(value_type = String, format = DateTime)]
    planned_at: Timestamp,
    #[serde(flatten)]
    item: ReplayItemShape,
}

impl From<LetterReplay> for LetterReplayItem {
    fn from(replay: LetterReplay) -> Self {
        Self {
            replay_id: replay.replay.to_string(),
            name: replay.name,
            planned_by: replay.planned_by,
            planned_at: replay.created_at,
            item: ReplayItemShape::at(replay.item, replay.target),
        }
    }
}
