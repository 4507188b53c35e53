//! Replays as pages show them.

use super::chart::Bar;
use super::look::Look;
use super::number::grouped;
use crate::model::replay::{ItemResult, Replay, ReplayState, ResultCounts, StateReason};

/// How a replay's state looks: the word says why where that matters.
#[must_use]
pub fn state(replay: &Replay) -> Look {
    let look = |word, icon, tone| Look { word, icon, tone };
    let troubled = replay.counts.failed + replay.counts.failed_again > 0;
    match (replay.state, replay.state_reason) {
        (ReplayState::Planning, _) => look("Planning", "clock", "busy"),
        (ReplayState::Planned, _) => look("Planned", "clock", "idle"),
        (ReplayState::Running, Some(StateReason::WaitingForSlot)) => look("Waiting for a slot", "clock", "busy"),
        (ReplayState::Running, Some(StateReason::CanarySettling)) => look("Canary settling", "hourglass", "busy"),
        (ReplayState::Running, _) => look("Running", "play", "busy"),
        (ReplayState::Paused, Some(StateReason::FailedAgainLimit | StateReason::LagLimit)) => look("Stopped by itself", "circle-x", "bad"),
        (ReplayState::Paused, Some(StateReason::ProgressUnknown)) => look("Needs a decision", "circle-alert", "bad"),
        (ReplayState::Paused, Some(StateReason::PermissionDenied | StateReason::TargetGone)) => look("Stopped", "circle-x", "bad"),
        (ReplayState::Paused, Some(reason)) if reason.resumes_by_itself() => look("Waits", "clock-alert", "warn"),
        (ReplayState::Paused, _) => look("Paused", "pause", "warn"),
        (ReplayState::Completed, _) if troubled => look("Completed with failures", "circle-alert", "warn"),
        (ReplayState::Completed, _) => look("Completed", "circle-check", "ok"),
        (ReplayState::Cancelled, Some(StateReason::Expired)) => look("Expired", "hourglass", "idle"),
        (ReplayState::Cancelled, _) => look("Cancelled", "circle-slash", "idle"),
        (ReplayState::Failed, _) => look("Failed", "circle-x", "bad"),
    }
}

/// Why it stands there, as a sentence with the next step; empty when there is nothing to say.
#[must_use]
pub fn reason_words(replay: &Replay) -> String {
    let text = replay.state_text.as_deref().unwrap_or_default();
    let with = |words: &str| if text.is_empty() { words.to_owned() } else { format!("{words} {}.", super::text::short(text, 400)) };
    match replay.state_reason {
        None if text.is_empty() => String::new(),
        None => format!("{}.", super::text::short(text, 400)),
        Some(StateReason::ByPerson) if replay.state == ReplayState::Paused => {
            "Paused by a person. Nothing is sent until somebody resumes it.".to_owned()
        }
        Some(StateReason::ByPerson) => "What was sent stays sent; the rest is open again.".to_owned(),
        Some(StateReason::Expired) => "Nobody started this plan within a day. Nothing was sent; plan anew.".to_owned(),
        Some(StateReason::FailedAgainLimit) => with("Too many failed again."),
        Some(StateReason::LagLimit) => with("The target group is too far behind."),
        Some(StateReason::BusUnreachable) => {
            with("The bus does not answer. Nothing is lost, and it goes on by itself when the bus is back.")
        }
        Some(StateReason::PermissionDenied) => with("The bus does not allow it. Grant what is named, then resume."),
        Some(StateReason::TargetGone) => with("The target is not the topic that was planned for. Cancel this and plan anew."),
        Some(StateReason::StoreFull) => with("The store is full. It goes on by itself when there is room."),
        Some(StateReason::Shutdown) => "Redrive was ended. It goes on by itself after the next start.".to_owned(),
        Some(StateReason::ProgressUnknown) => {
            with("Nobody can tell whether the last batch was sent. Decide: skip its messages, or send them, perhaps twice.")
        }
        Some(StateReason::WaitingForSlot) => "Four replays send at the same time; this one begins when one of them ends.".to_owned(),
        Some(StateReason::CanarySettling) => with("Only the first few were sent."),
    }
}

/// How an item's result looks.
#[must_use]
pub const fn result(result: ItemResult) -> Look {
    let (word, icon, tone) = match result {
        ItemResult::Waiting => ("Waiting", "clock", "idle"),
        ItemResult::Skipped => ("Skipped", "circle-slash", "idle"),
        ItemResult::Failed => ("Refused", "circle-x", "bad"),
        ItemResult::Sent => ("Sent", "redo-2", "busy"),
        ItemResult::Consumed => ("Consumed", "hourglass", "busy"),
        ItemResult::Resolved => ("Resolved", "circle-check", "ok"),
        ItemResult::FailedAgain => ("Failed again", "circle-x", "bad"),
        ItemResult::Unknown => ("Unknown", "circle-question-mark", "warn"),
    };
    Look { word, icon, tone }
}

/// A step of the funnel.
#[derive(Debug)]
pub struct FunnelStep {
    /// What it counts.
    pub label: &'static str,
    /// How many, grouped.
    pub count: String,
    /// Share of the whole, in percent.
    pub width: f64,
    /// Its tone.
    pub tone: &'static str,
    /// More about it.
    pub note: String,
}

/// Planned, sent, consumed, resolved, failed again: on one scale.
#[must_use]
pub fn funnel(replay: &Replay) -> Vec<FunnelStep> {
    let counts = &replay.counts;
    let total = counts.total();
    let consumed = counts.consumed + counts.resolved + counts.failed_again;
    let step =
        |label, count: u64, tone, note: String| FunnelStep { label, count: grouped(count), width: percent(count, total), tone, note };
    let waiting = if counts.waiting > 0 { format!("{} waiting", grouped(counts.waiting)) } else { String::new() };
    let settling = if counts.consumed > 0 { format!("{} settling", grouped(counts.consumed)) } else { String::new() };
    vec![
        step("Planned", total, "idle", if counts.skipped > 0 { format!("{} skipped", grouped(counts.skipped)) } else { String::new() }),
        step("Sent", replay.sent_total, "busy", waiting),
        step("Consumed", consumed, "busy", settling),
        step("Resolved", counts.resolved, "ok", String::new()),
        step(
            "Failed again",
            counts.failed_again,
            "bad",
            if counts.failed > 0 { format!("{} refused by the bus", grouped(counts.failed)) } else { String::new() },
        ),
    ]
}

/// Resolved, failed again and on the way, as parts of a meter.
#[must_use]
pub fn outcome(counts: &ResultCounts) -> Vec<(Bar, &'static str)> {
    let total = counts.total();
    let mut x = 0.0;
    let parts = [
        (counts.resolved, "ok", "resolved"),
        (counts.failed_again + counts.failed, "bad", "failed again or refused"),
        (counts.sent + counts.consumed, "busy", "on their way"),
        (counts.unknown, "warn", "unknown"),
    ];
    let mut bars = Vec::new();
    for (count, tone, what) in parts.into_iter().filter(|(count, ..)| *count > 0) {
        let width = percent(count, total).max(0.7);
        bars.push((Bar { x, width, y: 0.0, height: 6.0, hot: false, title: format!("{} {what}", grouped(count)) }, tone));
        x += width;
    }
    bars
}

fn percent(count: u64, total: u64) -> f64 {
    let permille = u32::try_from(count.saturating_mul(1_000) / total.max(1)).unwrap_or(1_000).min(1_000);
    f64::from(permille) / 10.0
}
