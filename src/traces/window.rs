//! Spans of the last minutes, as far as pairing needs them: both halves of a message's way rarely come together.

use std::collections::{HashMap, VecDeque};

use crate::model::Timestamp;
use crate::model::span::{Span, SpanId, TraceId};

use super::seen::REMEMBERED;

/// Ids of a span.
pub type SpanKey = (TraceId, SpanId);

/// Where a record lies: topic, partition, offset.
pub type Place = (String, i32, i64);

/// What a span did with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Handed them to the bus.
    Sent,
    /// Took or processed them.
    Took,
    /// Nothing.
    None,
}

/// What is remembered of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) parent: Option<SpanId>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) role: Role,
    /// For one that took a message: when the message was first sent, as far as known.
    pub(super) origin: Option<i64>,
}

/// Hops that are walked up to find where a message came from.
const MOST_HOPS: usize = 32;

/// Remembers spans by id and producers by where their record lies.
#[derive(Debug)]
pub(super) struct Window {
    spans: HashMap<SpanKey, Known>,
    places: HashMap<Place, SpanKey>,
    order: VecDeque<(SpanKey, Option<Place>, Timestamp)>,
    most: usize,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        Self { spans: HashMap::new(), places: HashMap::new(), order: VecDeque::new(), most }
    }

    /// Remembers a span; `place` is where the record of a producer lies.
    pub(super) fn add(&mut self, span: &Span, role: Role, place: Option<Place>, at: Timestamp) {
        let key = (span.trace_id, span.span_id);
        self.spans.insert(key, Known { parent: span.parent, start: span.start, end: span.end, role, origin: None });
        if let Some(place) = &place {
            self.places.insert(place.clone(), key);
        }
        self.order.push_back((key, place, at));
        if self.order.len() > self.most {
            self.drop_oldest();
        }
    }

    pub(super) fn get(&self, key: SpanKey) -> Option<&Known> {
        self.spans.get(&key)
    }

    /// The producer of a record.
    pub(super) fn at(&self, place: &Place) -> Option<SpanKey> {
        self.places.get(place).copied()
    }

    /// Notes when the message that a span took was first sent.
    pub(super) fn set_origin(&mut self, key: SpanKey, origin: i64) {
        if let Some(known) = self.spans.get_mut(&key) {
            known.origin = Some(known.origin.map_or(origin, |before| before.min(origin)));
        }
    }

    /// When the message that a producer sent began its way: where the producer itself worked on a message, that one's beginning.
    pub(super) fn origin_of(&self, producer: SpanKey) -> Option<i64> {
        let sent = self.spans.get(&producer)?;
        let mut parent = sent.parent;
        for _ in 0..MOST_HOPS {
            let Some(above) = parent.and_then(|parent| self.spans.get(&(producer.0, parent))) else { break };
            if let Some(origin) = above.origin {
                return Some(origin.min(sent.start));
            }
            parent = above.parent;
        }
        Some(sent.start)
    }

    /// Forgets what is too old.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(.., at)| at.age_at(now) > REMEMBERED) {
            self.drop_oldest();
        }
        if self.spans.capacity() > 4 * self.spans.len().max(10_000) {
            self.spans.shrink_to(2 * self.spans.len());
            self.places.shrink_to(2 * self.places.len());
            self.order.shrink_to(2 * self.order.len());
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((key, place, _)) = self.order.pop_front() {
            self.spans.remove(&key);
            if let Some(place) = place
                && self.places.get(&place) == Some(&key)
            {
                self.places.remove(&place);
            }
        }
    }
}
