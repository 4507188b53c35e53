//! What is known about a dead letter beside its content: facts for the rail, and what happened in order.

use super::super::super::view::address::segment;
use super::super::super::view::letter_row::KeyView;
use super::super::super::view::look;
use super::super::super::view::number::{counted, grouped, size};
use super::super::super::view::text::short;
use super::super::super::view::time::{exact, exact_near};
use crate::model::dead_letter::DeadLetterDetail;
use crate::model::discard::{DiscardId, LetterDiscard};
use crate::model::{BusId, FailedAtSource, Timestamp};
use crate::store::replays::LetterReplay;

/// One fact.
pub(super) struct About {
    pub(super) label: &'static str,
    pub(super) value: Fact,
}

/// The forms a fact takes.
pub(super) enum Fact {
    State(look::Look, &'static str),
    Text(String),
    Link(String, String),
    Key(KeyView),
    Code {
        text: String,
        what: &'static str,
    },
    /// A dotted name, which may break after its dots.
    Class(String),
    Time {
        at: Timestamp,
        shown: String,
        note: &'static str,
    },
}

/// One thing that happened, newest first.
pub(super) struct Event {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) what: String,
    pub(super) note: String,
    pub(super) at: Option<Timestamp>,
    pub(super) shown: String,
    /// Where more is to be seen.
    pub(super) href: Option<String>,
}

/// The page of a topic.
pub(super) fn topic_address(bus: &BusId, topic: &str) -> String {
    format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(topic))
}

/// The facts of the rail.
pub(super) fn about(letter: &DeadLetterDetail, now: Timestamp) -> Vec<About> {
    let summary = &letter.summary;
    let fact = |label, value| About { label, value };
    let time = |at, note| Fact::Time { at, shown: exact_near(at, now), note };
    let mut facts = vec![
        fact("Status", Fact::State(look::status(summary.status), "")),
        fact("Presence", Fact::State(look::presence(summary.presence), look::presence_words(summary.presence))),
        fact("Custody", Fact::Text(custody(letter))),
        fact("Key", Fact::Key(KeyView::new(letter.key.as_deref().or(summary.key.as_deref()), summary.key_size_bytes, 200))),
        fact("Dead-letter topic", Fact::Link(short(summary.topic.as_str(), 249), topic_address(&summary.bus, summary.topic.as_str()))),
        fact("Origin", origin(letter)),
        fact("Consumer group", consumer_group(letter)),
        fact("Attempts", Fact::Text(summary.attempts.map_or_else(|| "unknown".to_owned(), |n| n.to_string()))),
        fact("Convention", Fact::Text(short(look::convention(summary.convention.as_str()), 120))),
    ];
    if let Some(stage) = &letter.stage {
        facts.push(fact("Stage", Fact::Text(short(stage, 200))));
    }
    if let Some(class) = &summary.exception_class {
        facts.push(fact("Exception class", Fact::Class(short(class, 300))));
    }
    facts.push(fact("Failed", time(summary.failed_at, look::failed_at_source(summary.failed_at_source))));
    if let Some(at) = summary.timestamp.filter(|at| *at != summary.failed_at) {
        facts.push(fact("Record", time(at, "the record's timestamp")));
    }
    let indexed = if summary.backlog { "was there before Redrive first read the topic" } else { "" };
    facts.push(fact("Indexed", time(summary.indexed_at, indexed)));
    if let Some(trace) = &summary.trace_id {
        facts.push(fact("Trace", Fact::Code { text: short(trace, 64), what: "trace id" }));
    }
    facts.push(fact("Fingerprint", Fact::Code { text: summary.fingerprint.to_string(), what: "fingerprint" }));
    facts
}

fn custody(letter: &DeadLetterDetail) -> String {
    if letter.summary.custody_problem.is_some() {
        return "headers only, the content is not kept".to_owned();
    }
    let headers: usize = letter.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, bytes::Bytes::len)).sum();
    let content = letter.value.as_ref().map_or(0, bytes::Bytes::len) + letter.key.as_ref().map_or(0, bytes::Bytes::len);
    format!("kept whole by Redrive, {}", size((headers + content) as u64))
}

fn origin(letter: &DeadLetterDetail) -> Fact {
    let origin = &letter.summary.origin;
    let Some(topic) = &origin.topic else { return Fact::Text("unknown, no header tells it".to_owned()) };
    let name = short(topic.as_str(), 249);
    let name = match (origin.partition, origin.offset) {
        (Some(partition), Some(offset)) => format!("{name} / {partition} / {}", grouped(offset.unsigned_abs())),
        (Some(partition), None) => format!("{name} / {partition}"),
        _ => name,
    };
    Fact::Link(name, topic_address(&letter.summary.bus, topic.as_str()))
}

fn consumer_group(letter: &DeadLetterDetail) -> Fact {
    let summary = &letter.summary;
    let Some(group) = &summary.consumer_group else { return Fact::Text("unknown".to_owned()) };
    let inferred = if summary.consumer_group_inferred { ", inferred" } else { "" };
    let href = format!("/buses/{}/consumer-groups/{}", segment(summary.bus.as_str()), segment(group.as_str()));
    Fact::Link(format!("{}{inferred}", short(group.as_str(), 200)), href)
}

/// What happened, as far as headers and our own index tell, newest first.
pub(super) fn events(letter: &DeadLetterDetail, now: Timestamp) -> Vec<Event> {
    let summary = &letter.summary;
    let event = |tone, icon, what: String, note: String, at: Option<Timestamp>| Event {
        tone,
        icon,
        what,
        note,
        at,
        shown: at.map(|at| exact_near(at, now)).unwrap_or_default(),
        href: None,
    };
    let later = summary.indexed_at.as_millis().saturating_sub(summary.failed_at.as_millis());
    let known = summary.failed_at_source != FailedAtSource::Indexed;
    let lag = if known && (0..86_400_000).contains(&later) {
        format!("{}.{} s after it failed", later / 1_000, later % 1_000 / 100)
    } else {
        String::new()
    };
    let mut events = vec![event("idle", "database", "Copied into custody by Redrive".to_owned(), lag, Some(summary.indexed_at))];
    let place = format!("{} / {} / {}", short(summary.topic.as_str(), 249), summary.partition, grouped(summary.offset.unsigned_abs()));
    let dead_at = summary.timestamp.filter(|at| *at >= summary.failed_at);
    events.push(event("warn", "inbox", format!("Dead-lettered to {place}"), String::new(), dead_at));
    if summary.failed_at_source != FailedAtSource::Indexed {
        let by = summary
            .consumer_group
            .as_ref()
            .map_or_else(|| "Failed".to_owned(), |group| format!("Failed in {}", short(group.as_str(), 120)));
        let attempts = summary.attempts.and_then(|n| u64::try_from(n).ok()).map(|n| format!("after {}", counted(n, "attempt", "attempts")));
        events.push(event("bad", "circle-x", by, attempts.unwrap_or_default(), Some(summary.failed_at)));
    }
    if let Some(topic) = &summary.origin.topic {
        let mut sent = format!("Sent to {}", short(topic.as_str(), 249));
        for part in [summary.origin.partition.map(i64::from), summary.origin.offset].into_iter().flatten() {
            sent.push_str(" / ");
            sent.push_str(&grouped(part.unsigned_abs()));
        }
        events.push(event("idle", "arrow-right", sent, String::new(), summary.origin.timestamp));
    }
    events
}

/// What replays did with it, newest first.
pub(super) fn replay_events(replays: &[LetterReplay], now: Timestamp) -> Vec<Event> {
    let event = |replay: &LetterReplay| {
        let look = super::super::super::view::replay::result(replay.item.result);
        let place = match (&replay.target, replay.item.partition, replay.item.offset) {
            (Some(topic), Some(partition), Some(offset)) => {
                format!(" to {} / {partition} / {}", short(topic, 249), grouped(offset.unsigned_abs()))
            }
            _ => String::new(),
        };
        let at = replay.item.result_at.unwrap_or(replay.created_at);
        Event {
            tone: look.tone,
            icon: look.icon,
            what: format!("{} in replay {}{place}", look.word, short(&replay.name, 80)),
            note: replay.item.successor_id.map_or_else(String::new, |id| format!("it came back as dead letter {id}")),
            at: Some(at),
            shown: exact_near(at, now),
            href: Some(format!("/replays/{}", replay.replay)),
        }
    };
    replays.iter().map(event).collect()
}

/// What people did about it, with their reasons.
pub(super) fn discard_events(discards: &[LetterDiscard], now: Timestamp) -> Vec<Event> {
    let event = |icon, what: String, note: String, at: Timestamp, id: &DiscardId| Event {
        tone: "idle",
        icon,
        what,
        note,
        at: Some(at),
        shown: exact_near(at, now),
        href: Some(format!("/discards/{id}")),
    };
    let mut events = Vec::new();
    for discard in discards {
        if let Some(restore) = &discard.restored {
            let what = format!("Opened again by {}", person(&restore.actor));
            events.push(event("rotate-ccw", what, String::new(), restore.at, &restore.id));
        }
        let what = format!("Discarded by {}", person(&discard.actor));
        events.push(event("archive", what, short(&discard.reason, 500), discard.at, &discard.id));
    }
    events
}

/// A user by name alone.
fn person(actor: &str) -> String {
    short(actor.trim_start_matches("user:"), 80)
}

/// The exact time in the form of a tooltip.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand out references")]
pub(super) fn tooltip(at: &Timestamp) -> String {
    exact(*at)
}
