//! One message's way: sent, in the topic, processed by each consumer group, retried, dead-lettered, replayed, and what came of it. Put
//! together from dead letters, replays and spans, each step with what speaks for it. A part that nobody recorded is left out, not guessed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

pub use super::window::{Place, SpanKey};
use crate::model::Timestamp;
use crate::model::dead_letter::{UnknownWord, words};
use crate::model::span::{Messaging, Operation, Span, SpanId, TraceId};
use crate::traces::bearings::Bearings;

mod joining;
mod steps;

words! {
    /// What happened to the message.
    StepKind {
        /// A service handed it to the bus.
        Sent = "sent" / 0,
        /// It lay in a topic.
        InTopic = "in_topic" / 1,
        /// A consumer group worked on it.
        Processed = "processed" / 2,
        /// It was written to a retry topic.
        Retried = "retried" / 3,
        /// It became a dead letter.
        DeadLettered = "dead_lettered" / 4,
        /// Redrive sent it again.
        Replayed = "replayed" / 5,
        /// What came of it.
        Outcome = "outcome" / 6,
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub kind: StepKind,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in microseconds; for a message in a topic how long it waited, where known.
    pub took_us: Option<i64>,
    /// The service that acted.
    pub service: Option<String>,
    /// The consumer group.
    pub consumer_group: Option<String>,
    /// Topic.
    pub topic: Option<String>,
    /// Partition.
    pub partition: Option<i32>,
    /// Offset.
    pub offset: Option<i64>,
    /// Its span.
    pub span: Option<SpanKey>,
    /// The dead letter.
    pub dead_letter_id: Option<i64>,
    /// The replay.
    pub replay_id: Option<String>,
    /// Whether it went wrong.
    pub failed: bool,
    /// Whether a group processed a replayed message that another group had failed on.
    pub again: bool,
    /// What happened, in words: an exception, a status, an attempt.
    pub text: String,
    /// What speaks for it, in words.
    pub evidence: String,
}

/// A dead letter of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Our id.
    pub id: i64,
    /// Where it lies.
    pub place: Place,
    /// When it failed.
    pub failed_at: Timestamp,
    /// The group that failed.
    pub consumer_group: Option<String>,
    /// The failure in a few words.
    pub failure: String,
    /// Where the message came from: topic, partition and offset, and the record's timestamp.
    pub origin: Option<Place>,
    /// See `origin`.
    pub origin_at: Option<Timestamp>,
    /// Spans that its headers name, in their order.
    pub named: Vec<SpanKey>,
    /// Its status in words, when nothing more will happen, with the time where known.
    pub outcome: Option<(String, Option<Timestamp>, bool)>,
}

/// The message as a replay has sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAgain {
    /// The replay.
    pub replay_id: String,
    /// Its name.
    pub name: String,
    /// The dead letter that was sent.
    pub dead_letter_id: i64,
    /// Where to.
    pub place: Place,
    /// When.
    pub at: Timestamp,
    /// Which replay of the message, from 1.
    pub attempt: i32,
}

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Its dead letters.
    pub letters: Vec<Letter>,
    /// Its replays.
    pub replays: Vec<SentAgain>,
    /// Spans of every trace that may have to do with it.
    pub spans: Vec<Span>,
    /// What the buses tell of consumer groups.
    pub bearings: Bearings,
    /// The record or span that was asked for.
    pub place: Option<Place>,
    /// See `place`.
    pub trace: Option<TraceId>,
}

/// The way of one message, in the order of time.
#[must_use]
pub fn journey(material: &Material) -> Vec<Step> {
    let joined = joining::join(material);
    steps::steps(material, &joined)
}

/// The span that a `traceparent` names: version 00 with any flags, and what later versions keep of it (W3C Trace Context).
#[must_use]
pub fn traceparent(text: &[u8]) -> Option<SpanKey> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex(version) || !hex(flags) || version.eq_ignore_ascii_case("ff") || (version == "00" && parts.next().is_some()) {
        return None;
    }
    Some((TraceId::from_str(trace).ok()?, SpanId::from_str(span).ok()?))
}

/// Where the record of a span lies.
fn place_of(messaging: &Messaging) -> Option<Place> {
    Some((messaging.destination.clone()?, messaging.partition?, messaging.offset?))
}

const fn key(span: &Span) -> SpanKey {
    (span.trace_id, span.span_id)
}

/// What belongs to the message, with what speaks for it.
#[derive(Debug, Default)]
struct Joined<'a> {
    /// Spans that sent it.
    producers: BTreeMap<SpanKey, (&'a Span, &'static str)>,
    /// Spans that took or processed it.
    consumers: BTreeMap<SpanKey, (&'a Span, &'static str)>,
    /// Senders, each with the consumers that name it.
    taken: BTreeMap<SpanKey, BTreeSet<SpanKey>>,
    /// Where it lay, and what speaks for that.
    places: HashMap<Place, &'static str>,
}

/// Names a topic may have when it holds what is to be tried again later.
fn is_retry_of(topic: &str, origins: &HashSet<&str>) -> bool {
    let retry = |rest: &str| rest.to_ascii_lowercase().contains("retry");
    origins.iter().any(|origin| topic.strip_prefix(origin).is_some_and(retry))
}

fn is_consumer(operation: Operation) -> bool {
    matches!(operation, Operation::Receive | Operation::Process)
}

#[cfg(test)]
mod tests;
