//! One message's way: sent, in the topic, processed by each consumer group, retried, dead-lettered, replayed, and what came of it. Put
//! together from dead letters, replays and spans, each step with what speaks for it. A part that nobody recorded is left out, not guessed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

pub use super::window::{Place, SpanKey};
use crate::model::dead_letter::{UnknownWord, words};
use crate::model::span::{Operation, Span, SpanId, TraceId};
use crate::model::{BusId, Timestamp};
use crate::traces::bearings::{Bearings, Home, may_be_one};

mod joining;
mod records;
mod steps;

pub use records::records;

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
    /// The bus, where it is known and watched.
    pub bus: Option<BusId>,
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
    /// Of an outcome: which.
    pub end: Option<End>,
    /// Whether a group processed a replayed message that another group had failed on.
    pub again: bool,
    /// What happened, in words: an exception, a status, an attempt.
    pub text: String,
    /// What speaks for it, in words.
    pub evidence: String,
}

/// How a dead letter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its group processed the replayed message.
    Resolved,
    /// It came back after its replay.
    FailedAgain,
    /// It was replayed, and nobody knows yet what came of it.
    Replayed,
    /// A person has set it aside.
    Discarded,
}

/// What became of a dead letter, as far as nothing more will happen by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// When, where known.
    pub at: Option<Timestamp>,
    /// In words; of a discard by whom and why.
    pub text: String,
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
    /// Where the message came from, on the same bus, and the record's timestamp.
    pub origin: Option<Place>,
    /// See `origin`.
    pub origin_at: Option<Timestamp>,
    /// Spans that its headers name, in their order.
    pub named: Vec<SpanKey>,
    /// What became of it; `None`: it is open, or in a running replay.
    pub outcome: Option<Outcome>,
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
    /// Spans of other traces that name the coordinates of one of its records, but not on which of several buses that was.
    pub doubtful: Vec<(Place, SpanKey)>,
    /// What the buses tell of topics and consumer groups.
    pub bearings: Bearings,
    /// The record or span that was asked for.
    pub place: Option<Place>,
    /// See `place`.
    pub trace: Option<TraceId>,
}

impl Material {
    /// Whether one of the dead letters lies on a topic of this name, on a bus that may be this one.
    fn is_letter_topic(&self, topic: &str, home: Option<&Home>) -> bool {
        self.letters.iter().any(|letter| letter.place.topic == topic && may_be_one(letter.place.home.as_ref(), home))
    }
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
    /// On which bus the spans were that touched a message, where it is known.
    homes: HashMap<SpanKey, Home>,
    /// Spans that name the coordinates of one of its records and may have been on another bus.
    doubtful: BTreeMap<Place, BTreeSet<SpanKey>>,
}

impl Joined<'_> {
    /// Where the record of a span lies, as far as the span tells.
    fn told_place(&self, span: &Span) -> Option<Place> {
        Place::of(span.messaging.as_deref()?, self.homes.get(&key(span)).cloned())
    }

    /// The same of a span that is known to be about the message: where only its bus is not told, it is that of the message's record of
    /// these coordinates.
    fn place(&self, span: &Span) -> Option<Place> {
        let told = self.told_place(span)?;
        if told.home.is_some() {
            return Some(told);
        }
        let mut there = self.places.keys().filter(|place| place.home.is_some() && place.is_named_like(&told));
        match (there.next(), there.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => Some(told),
        }
    }

    /// Whether a record that is known to be the message's lies where the span says.
    fn is_there(&self, place: Option<&Place>) -> bool {
        place.is_some_and(|place| place.home.is_some() && self.places.contains_key(place))
    }
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
