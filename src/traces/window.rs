//! Spans of the last minutes, as far as pairing needs them: both halves of a message's way rarely come together. Kept by hashes of 64 bits,
//! as there are hundreds of thousands of them.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash};

use foldhash::quality::RandomState;

use crate::model::Timestamp;
use crate::model::span::{Messaging, Span, SpanId, TraceId};
use crate::model::trace::NotedSpan;

use super::bearings::Home;
use super::seen::REMEMBERED;

/// Ids of a span.
pub type SpanKey = (TraceId, SpanId);

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The bus of the topic; `None`: one of several that have a topic of this name, and nobody knows which. Two such are not one place.
    pub home: Option<Home>,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl Place {
    /// Where the record of a span lies, when it tells.
    pub(super) fn of(messaging: &Messaging, home: Option<Home>) -> Option<Self> {
        let (topic, partition, offset) = (messaging.destination.clone()?, messaging.partition?, messaging.offset?);
        Some(Self { home, topic, partition, offset })
    }

    /// Whether it has the same name as another one, be it on another bus.
    pub(super) fn is_named_like(&self, other: &Self) -> bool {
        (&self.topic, self.partition, self.offset) == (&other.topic, other.partition, other.offset)
    }
}

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
    /// Hash of the span that caused it.
    parent: Option<u64>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) role: Role,
    /// For one that took a message: when the message was first sent, as far as known.
    origin: Option<i64>,
    /// For one that took messages: of how many nobody knows yet when they were first sent. One more while it is not counted.
    open: u32,
}

/// When a message was sent, and by which span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Hash of the span that caused it.
    parent: Option<u64>,
    /// Whether spans above it that are not known may still come.
    is_new: bool,
}

impl Known {
    pub(super) const fn sending(&self) -> Sending {
        Sending { start: self.start, end: self.end, parent: self.parent, is_new: true }
    }
}

/// When a message began its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Then, in nanoseconds since the Unix epoch.
    At(i64),
    /// Nobody knows before this span, by its hash, has come or has found its producer.
    After(u64),
}

/// A span in the order of arrival.
#[derive(Debug)]
struct Arrival {
    span: u64,
    place: Option<u64>,
    chunk: i64,
    at: Timestamp,
}

/// Hops that are walked up to find where a message came from.
const MOST_HOPS: usize = 32;

/// Remembers spans by id and producers by where their record lies.
#[derive(Debug)]
pub(super) struct Window {
    hasher: RandomState,
    spans: HashMap<u64, Known, foldhash::fast::RandomState>,
    places: HashMap<u64, u64, foldhash::fast::RandomState>,
    order: VecDeque<Arrival>,
    most: usize,
    forgotten_to: i64,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        let hasher = RandomState::default();
        Self { hasher, spans: HashMap::default(), places: HashMap::default(), order: VecDeque::new(), most, forgotten_to: 0 }
    }

    fn hash(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    /// By what a span is known.
    pub(super) fn hash_of(&self, key: SpanKey) -> u64 {
        self.hash(key)
    }

    /// Remembers a span of a chunk that came at `at`; `place` is where the record of a producer lies.
    pub(super) fn add(&mut self, span: &Span, role: Role, place: Option<&Place>, chunk: i64, at: Timestamp) {
        let hash = self.hash((span.trace_id, span.span_id));
        let parent = span.parent.map(|parent| self.hash((span.trace_id, parent)));
        let open = u32::from(role == Role::Took);
        self.spans.insert(hash, Known { parent, start: span.start, end: span.end, role, origin: None, open });
        let place = place.map(|place| self.hash(place));
        if let Some(place) = place {
            self.places.insert(place, hash);
        }
        self.order.push_back(Arrival { span: hash, place, chunk, at });
        if self.order.len() > self.most {
            self.drop_oldest();
        }
    }

    pub(super) fn get(&self, key: SpanKey) -> Option<&Known> {
        self.spans.get(&self.hash(key))
    }

    /// The producer of a record.
    pub(super) fn at(&self, place: &Place) -> Option<&Known> {
        self.places.get(&self.hash(place)).and_then(|span| self.spans.get(span))
    }

    /// Notes when the message that a span took was first sent.
    pub(super) fn set_origin(&mut self, key: SpanKey, origin: i64) {
        let hash = self.hash(key);
        if let Some(known) = self.spans.get_mut(&hash) {
            known.origin = Some(known.origin.map_or(origin, |before| before.min(origin)));
        }
    }

    /// Says that of one more message of a consumer's span nobody knows yet when it was first sent.
    pub(super) fn open(&mut self, span: u64) {
        if let Some(known) = self.spans.get_mut(&span) {
            known.open = known.open.saturating_add(1);
        }
    }

    /// Says that of one of them no more will be known. `true`: it was the last.
    pub(super) fn settle(&mut self, span: u64) -> bool {
        let Some(known) = self.spans.get_mut(&span) else { return true };
        known.open = known.open.saturating_sub(1);
        known.open == 0
    }

    /// A producer's span that was found in the store: what came before it is known or will not come.
    pub(super) fn sending_of(&self, producer: &NotedSpan) -> Sending {
        let start = producer.started_at.as_millis().saturating_mul(1_000_000);
        let end = start.saturating_add(producer.duration_us.saturating_mul(1_000));
        let parent = producer.parent.map(|parent| self.hash((producer.trace_id, parent)));
        Sending { start, end, parent, is_new: false }
    }

    /// The spans that caused a sending, the nearest first, up to one that is not known.
    fn above(&self, sending: &Sending) -> impl Iterator<Item = (u64, Option<&Known>)> {
        let known = |hash: u64| (hash, self.spans.get(&hash));
        let first = sending.parent.map(known);
        std::iter::successors(first, move |(_, span)| span.and_then(|span| span.parent).map(known)).take(MOST_HOPS)
    }

    /// When a message began its way: where its producer itself worked on a message, that one's beginning.
    pub(super) fn origin_of(&self, sending: &Sending) -> Origin {
        for (hash, span) in self.above(sending) {
            match span {
                None if sending.is_new => return Origin::After(hash),
                Some(span) if span.open > 0 => return Origin::After(hash),
                _ => {}
            }
            if let Some(origin) = span.and_then(|span| span.origin) {
                return Origin::At(origin.min(sending.start));
            }
        }
        Origin::At(sending.start)
    }

    /// The same, as far as it is known by now.
    pub(super) fn origin_by_now(&self, sending: &Sending) -> i64 {
        let origin = self.above(sending).find_map(|(_, span)| span?.origin);
        origin.map_or(sending.start, |origin| origin.min(sending.start))
    }

    /// Spans of chunks up to this one are not remembered, or not all: 0 when all are that ever came.
    pub(super) const fn forgotten_to(&self) -> i64 {
        self.forgotten_to
    }

    /// Says that spans of chunks up to this one are not remembered.
    pub(super) fn begin_after(&mut self, chunk: i64) {
        self.forgotten_to = self.forgotten_to.max(chunk);
    }

    /// Forgets what is too old.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|arrival| arrival.at.age_at(now) > REMEMBERED) {
            self.drop_oldest();
        }
        if self.spans.capacity() > 4 * self.spans.len().max(10_000) {
            self.spans.shrink_to(2 * self.spans.len());
            self.places.shrink_to(2 * self.places.len());
            self.order.shrink_to(2 * self.order.len());
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(arrival) = self.order.pop_front() {
            self.forgotten_to = self.forgotten_to.max(arrival.chunk);
            self.spans.remove(&arrival.span);
            if let Some(place) = arrival.place
                && self.places.get(&place) == Some(&arrival.span)
            {
                self.places.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BusId;
    use crate::traces::samples::{SECOND, span};

    #[test]
    fn a_record_of_another_bus_has_another_producer() {
        let place = |bus: &str| Place { home: Some(Home::Bus(BusId::from(bus))), topic: "orders".to_owned(), partition: 3, offset: 7 };
        let mut window = Window::new(2);
        let at = Timestamp::from_millis(1);
        window.add(&span(1, 1, None, 10), Role::Sent, Some(&place("prod")), 1, at);
        window.add(&span(2, 1, None, 20), Role::Sent, Some(&place("test")), 1, at);
        let start = |window: &Window, bus: &str| window.at(&place(bus)).map(|known| known.start / SECOND);
        assert_eq!((start(&window, "prod"), start(&window, "test"), start(&window, "dev")), (Some(10), Some(20), None));
        window.add(&span(3, 1, None, 30), Role::None, None, 2, at);
        assert_eq!((start(&window, "prod"), start(&window, "test")), (None, Some(20)), "the oldest is forgotten, and no other");
    }
}
