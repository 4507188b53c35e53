//! Figures from every span, before anything is thrown away: counts, failures, time to publish, time in the broker, time to process, and
//! from the first sending to the end of processing. Producer and consumer are paired by link, by parent, or by where the record lies.
//!
//! Spans come in the order of chunks, whoever received them, so both halves of a message's way meet here; a half that is older than the
//! window is looked up by the caller ([`Derivation::take_unknown`], [`Derivation::pair_with`]).

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::BuildHasher as _;

use super::bearings::{Bearings, Home};
use super::seen::Seen;
use super::tally::{Tags, Tally};
pub use super::window::Place;
use super::window::{Known, Origin, Role, Sending, SpanKey, Window};
use foldhash::quality::RandomState;

use crate::metrics::bucket::Point;
use crate::model::BusId;
use crate::model::Timestamp;
use crate::model::figure::SeriesKey;
use crate::model::span::{Messaging, Operation, Span, TraceId};
use crate::model::trace::{KeepReasons, NotedSpan};

mod delivery;
mod held;
mod keeping;

pub use delivery::Delivery;
use delivery::{Source, Waiting};
use held::Held;
use keeping::Keeping;

/// Spans that repeats are known of.
const MOST_SEEN: usize = 2_000_000;
/// Spans that pairing remembers.
const MOST_REMEMBERED: usize = 250_000;
/// Deliveries that wait for their producer's span, the newest.
const MOST_WAITING: usize = 40_000;
/// Deliveries whose time from end to end waits for the hops before, the newest.
const MOST_HELD: usize = 20_000;
/// Services with topics that are known to have process spans.
const MOST_PROCESSORS: usize = 20_000;
/// Clocks of two machines may differ by so much before it is said.
const SKEW_NS: i64 = 1_000_000;

/// Counts what spans tell.
#[derive(Debug)]
pub struct Derivation {
    seen: Seen,
    window: Window,
    tally: Tally,
    waiting: Waiting,
    held: Held,
    /// Service and topic of process spans: there a receive span is not a second delivery.
    processors: HashSet<u64>,
    hasher: RandomState,
    keeping: Keeping,
    bearings: Bearings,
    unknown: Vec<Delivery>,
    keeps: Vec<(TraceId, KeepReasons)>,
    delivered: Vec<(TraceId, Place)>,
    /// Whether a span could not be placed on a bus or with a group since the last bearings.
    lost: bool,
    counts: Counts,
}

/// Records that were delivered since the last question, at most.
const MOST_DELIVERED: usize = 20_000;

/// What happened on the way, for our own metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans counted.
    pub spans: u64,
    /// Spans that had come before.
    pub repeated: u64,
    /// Deliveries whose producer was found.
    pub paired: u64,
    /// Deliveries that were given up without their producer: its span never came, lies further back than is kept, or there were too many
    /// to look for. Their time in the broker and from end to end is in no figure.
    pub unpaired: u64,
    /// Pairs in which the message seems to have been taken before it was sent.
    pub skewed: u64,
    /// Spans of which nobody knows on which of several buses they were.
    pub unplaced: u64,
    /// Spans that were counted without topic and consumer group, as there were too many sets of labels.
    pub crowded: u64,
    /// Spans of which nobody knows whether they were slow: fewer than 200 of their topic, consumer group and operation came before them, or
    /// there were too many combinations of these.
    pub uncompared: u64,
}

impl Default for Derivation {
    fn default() -> Self {
        Self {
            seen: Seen::new(MOST_SEEN),
            window: Window::new(MOST_REMEMBERED),
            tally: Tally::default(),
            waiting: Waiting::new(MOST_WAITING),
            held: Held::new(MOST_HELD),
            processors: HashSet::new(),
            hasher: RandomState::default(),
            keeping: Keeping::default(),
            bearings: Bearings::default(),
            unknown: Vec::new(),
            keeps: Vec::new(),
            delivered: Vec::new(),
            lost: false,
            counts: Counts::default(),
        }
    }
}

impl Derivation {
    /// What the buses' metadata tells from now on.
    pub fn set_bearings(&mut self, bearings: Bearings) {
        self.bearings = bearings;
        self.lost = false;
    }

    /// Whether newer metadata of the buses may tell more: since the last, a span named a topic or a consumer none of whose buses or groups
    /// was known.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Takes the spans of a chunk that was received at `at`. Chunks come in the order of their ids.
    pub fn take_chunk<S: Borrow<Span>>(&mut self, chunk: i64, spans: &[S], at: Timestamp) {
        self.seen.forget(at);
        self.window.forget(at);
        self.waiting.forget(at);
        self.settle_vain();
        self.release_held(at);
        let fresh: Vec<&Span> = spans.iter().map(Borrow::borrow).filter(|span| self.seen.is_new(span, at)).collect();
        self.counts.spans += fresh.len() as u64;
        self.counts.repeated += (spans.len() - fresh.len()) as u64;
        for span in &fresh {
            self.remember(span, chunk, at);
        }
        for span in &fresh {
            self.count(span, at);
            if role_of(span) == Role::Took || !self.held.is_empty() {
                self.settle((span.trace_id, span.span_id));
            }
        }
        // Those that were waited for.
        for span in fresh.iter().filter(|span| role_of(span) == Role::Sent) {
            let key = (span.trace_id, span.span_id);
            let placed = span.messaging.as_deref().filter(|messaging| messaging.offset.is_some());
            let place = placed.and_then(|messaging| place_of(messaging, self.bearings.home(messaging)));
            for delivery in self.waiting.take(key, place.as_ref()) {
                if let Some(sent) = self.window.get(key).copied() {
                    self.pair_in_window(&delivery, sent);
                }
                self.settle(delivery.consumer);
            }
        }
    }

    fn remember(&mut self, span: &Span, chunk: i64, at: Timestamp) {
        let role = role_of(span);
        let messaging = span.messaging.as_deref();
        let sent = messaging.filter(|sent| role == Role::Sent && sent.offset.is_some());
        let place = sent.and_then(|sent| place_of(sent, self.bearings.home(sent)));
        self.window.add(span, role, place.as_ref(), chunk, at);
        if let Some(messaging) = messaging.filter(|messaging| messaging.operation == Operation::Process)
            && self.processors.len() < MOST_PROCESSORS
        {
            self.processors.insert(self.hasher.hash_one((&*span.service, messaging.destination.as_deref())));
        }
    }

    fn count(&mut self, span: &Span, at: Timestamp) {
        let Some(messaging) = span.messaging.as_deref() else {
            let tags = Tags { bus: None, topic: None, group: None, service: &span.service, operation: None };
            self.keep(span, self.keeping.of_other(span));
            return count_span(&mut self.tally, tags, span);
        };
        let home = self.bearings.home(messaging);
        let bus = home.as_ref().and_then(Home::bus);
        let topic = messaging.destination.as_deref();
        let consumes = matches!(messaging.operation, Operation::Receive | Operation::Process | Operation::Settle);
        let known = messaging.consumer_group.as_deref();
        let inferred = || Some(self.bearings.group(bus?, topic?, messaging.client_id.as_deref())?.as_str());
        let group = if consumes { known.or_else(inferred) } else { None };
        let read = || bus.zip(topic).is_some_and(|(bus, topic)| self.bearings.has_reader(bus, topic));
        self.lost |= self.bearings.may_be_on(messaging) && (bus.is_none() || (consumes && group.is_none() && !read()));
        self.counts.unplaced += u64::from(home.is_none());
        let tags =
            Tags { bus: bus.map(crate::model::BusId::as_str), topic, group, service: &span.service, operation: Some(messaging.operation) };
        count_span(&mut self.tally, tags, span);
        let seconds = span.duration().as_secs_f64();
        match messaging.operation {
            Operation::Send => self.tally.of(tags).publish.record(seconds),
            Operation::Process => self.tally.of(tags).processing.record(seconds),
            _ => {}
        }
        // Most producers do not know where their record lies: the bus's name is copied where it counts.
        let place = messaging.offset.and_then(|_| place_of(messaging, home.clone()));
        let is_delivery = self.is_delivery(span, messaging);
        if is_delivery
            && self.delivered.len() < MOST_DELIVERED
            && let Some(place) = &place
        {
            self.delivered.push((span.trace_id, place.clone()));
        }
        let reasons = self.keeping.of_message(span, messaging, tags, at);
        let deliveries = if is_delivery { Delivery::all_of(span, messaging, place, tags, at) } else { Vec::new() };
        // Where nothing names a producer, none can be found. A poll may have brought nothing.
        self.counts.unpaired += u64::from(messaging.operation == Operation::Process && deliveries.is_empty());
        self.keep(span, reasons);
        for delivery in deliveries {
            self.deliver(delivery);
        }
    }

    fn keep(&mut self, span: &Span, reasons: KeepReasons) {
        if !reasons.is_empty() {
            self.keeps.push((span.trace_id, reasons));
        }
    }

    /// A message is delivered once, however many spans its service makes of it.
    fn is_delivery(&self, span: &Span, messaging: &Messaging) -> bool {
        match messaging.operation {
            Operation::Process => true,
            Operation::Receive => !self.processors.contains(&self.hasher.hash_one((&*span.service, messaging.destination.as_deref()))),
            _ => false,
        }
    }

    fn deliver(&mut self, mut delivery: Delivery) {
        if let Source::Span(key) = &delivery.source
            && self.window.get(*key).is_some_and(|known| known.role != Role::Sent)
        {
            // Its parent is a poll or the like: only the record's coordinates can tell who sent it.
            let Some(place) = delivery.place.clone() else {
                self.counts.unpaired += 1;
                return;
            };
            delivery.source = Source::Place(place);
        }
        let by_place = || delivery.place.as_ref().and_then(|place| self.window.at(place));
        let known = match &delivery.source {
            Source::Span(key) => self.window.get(*key).or_else(by_place),
            Source::Place(_) => by_place(),
        };
        if let Some(known) = known.copied() {
            self.pair_in_window(&delivery, known);
        } else {
            self.window.open(self.window.hash_of(delivery.consumer));
            self.waiting.add(delivery.clone());
            self.settle_vain();
            self.unknown.push(delivery);
        }
    }

    fn pair_in_window(&mut self, delivery: &Delivery, sent: Known) {
        if sent.role == Role::Sent {
            self.pair(delivery, sent.sending());
        }
    }

    fn pair(&mut self, delivery: &Delivery, sending: Sending) {
        let waited = delivery.start.saturating_sub(sending.end);
        self.counts.paired += 1;
        self.counts.skewed += u64::from(waited < -SKEW_NS);
        self.tally.of(delivery.tags()).broker.record(seconds(waited));
        match self.window.origin_of(&sending) {
            Origin::At(origin) => self.end(delivery, origin),
            Origin::After(span) => {
                self.window.open(self.window.hash_of(delivery.consumer));
                self.held.add(span, delivery.clone(), sending);
                self.release_due();
            }
        }
    }

    /// Notes that a delivery's message began its way then.
    fn end(&mut self, delivery: &Delivery, origin: i64) {
        if delivery.processed {
            self.tally.of(delivery.tags()).end_to_end.record(seconds(delivery.end.saturating_sub(origin)));
        }
        self.window.set_origin(delivery.consumer, origin);
    }

    /// One thing less is open of a span: when it was the last, those that are held for it go on, and those held for them.
    fn settle(&mut self, span: SpanKey) {
        let mut settling = vec![self.window.hash_of(span)];
        while let Some(span) = settling.pop() {
            if !self.window.settle(span) {
                continue;
            }
            for (number, unsure) in self.held.take(span) {
                match self.window.origin_of(&unsure.sending) {
                    Origin::At(origin) => {
                        self.end(&unsure.delivery, origin);
                        settling.push(self.window.hash_of(unsure.delivery.consumer));
                    }
                    Origin::After(other) => self.held.hold_on(number, unsure, other),
                }
            }
        }
    }

    fn settle_vain(&mut self) {
        for consumer in self.waiting.take_vain() {
            self.settle(consumer);
        }
    }

    /// Says that everything that came until `now` was taken: deliveries that have waited long enough for the hops before them are measured
    /// from the first hop that is known.
    pub fn release_held(&mut self, now: Timestamp) {
        self.held.set_time(now);
        self.release_due();
    }

    fn release_due(&mut self) {
        while let Some(unsure) = self.held.take_due() {
            let origin = self.window.origin_by_now(&unsure.sending);
            self.end(&unsure.delivery, origin);
            self.settle(unsure.delivery.consumer);
        }
    }

    /// Deliveries whose producer is not in the window: it may be in the store, or come later.
    pub fn take_unknown(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.unknown)
    }

    /// Chunks up to this one may hold producers that are not remembered here any more; 0: there are none.
    #[must_use]
    pub const fn forgotten_to(&self) -> i64 {
        self.window.forgotten_to()
    }

    /// Says that what came in chunks up to this one is not known here.
    pub fn begin_after(&mut self, chunk: i64) {
        self.window.begin_after(chunk);
    }

    /// Says that everything so far was counted before, by whoever derived then.
    pub fn was_counted(&mut self) {
        self.waiting.doubt();
    }

    /// Whether a delivery's producer has not come yet.
    #[must_use]
    pub fn is_waiting(&self, delivery: &Delivery) -> bool {
        self.waiting.has(delivery)
    }

    /// Pairs a delivery with a producer that was found in the store, unless it came meanwhile.
    pub fn pair_with(&mut self, delivery: &Delivery, producer: &NotedSpan) {
        if producer.operation != Operation::Send || !self.waiting.give_up(delivery) {
            return;
        }
        self.pair(delivery, self.window.sending_of(producer));
        self.settle(delivery.consumer);
    }

    /// Whether a noted span is about a record of this bus, as far as it tells its coordinates.
    #[must_use]
    pub fn is_on(&self, bus: &BusId, span: &NotedSpan) -> bool {
        self.bearings.bus(span) == Some(bus)
    }

    /// Whether a noted span, which names the coordinates of a delivery's record, was on the same bus.
    #[must_use]
    pub fn is_at_home(&self, delivery: &Delivery, span: &NotedSpan) -> bool {
        delivery.place.as_ref().is_some_and(|place| self.bearings.home(span) == place.home)
    }

    /// Samples since the last time.
    pub fn take_points(&mut self) -> Vec<(SeriesKey, Point)> {
        self.tally.take()
    }

    /// Traces that are to be kept, since the last time.
    pub fn take_keeps(&mut self) -> Vec<(TraceId, KeepReasons)> {
        std::mem::take(&mut self.keeps)
    }

    /// Records that were processed since the last time, or taken by who tells of nothing more, with the trace; some may have been replayed.
    pub fn take_delivered(&mut self) -> Vec<(TraceId, Place)> {
        std::mem::take(&mut self.delivered)
    }

    /// What happened since the last time.
    pub fn take_counts(&mut self) -> Counts {
        let crowded = self.tally.take_crowded();
        let uncompared = self.keeping.take_uncompared();
        let counts = std::mem::take(&mut self.counts);
        Counts { crowded, uncompared, unpaired: counts.unpaired + self.waiting.take_given_up(), ..counts }
    }

    /// How far back repeated spans are known: ten minutes, or less where there are too many.
    #[must_use]
    pub fn repeats_known_for(&self, now: Timestamp) -> std::time::Duration {
        self.seen.window(now)
    }
}

fn count_span(tally: &mut Tally, tags: Tags<'_>, span: &Span) {
    let counts = tally.of(tags);
    counts.spans += 1;
    counts.failed += u64::from(span.failed());
}

fn role_of(span: &Span) -> Role {
    match span.messaging.as_deref().map(|messaging| messaging.operation) {
        Some(Operation::Send | Operation::Create) => Role::Sent,
        Some(Operation::Receive | Operation::Process) => Role::Took,
        _ => Role::None,
    }
}

/// Where the record of a span lies, when there is no doubt on which bus.
fn place_of(messaging: &Messaging, home: Option<Home>) -> Option<Place> {
    home.and_then(|home| Place::of(messaging, Some(home)))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a span's life")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests;
