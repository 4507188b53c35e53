//! A message that came to a consumer, and those whose producer has not been seen yet.

use std::collections::{HashMap, VecDeque};

use crate::model::Timestamp;
use crate::model::span::{Messaging, Operation, Span};
use crate::traces::seen::REMEMBERED;
use crate::traces::tally::Tags;
use crate::traces::window::{Place, SpanKey};

/// What names the producer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A link or the parent.
    Span(SpanKey),
    /// The record's coordinates.
    Place(Place),
}

/// One message that came to one consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub(super) consumer: SpanKey,
    pub(super) source: Source,
    /// The record's coordinates, where the span is about one record and nobody doubts on which bus.
    pub(super) place: Option<Place>,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Whether the consumer's span is the processing.
    pub(super) processed: bool,
    bus: Option<String>,
    topic: Option<String>,
    group: Option<String>,
    service: String,
    operation: Operation,
    at: Timestamp,
}

impl Delivery {
    /// The messages that a consumer's span is about: one for each link; else the one that its parent or its coordinates name.
    pub(super) fn all_of(span: &Span, messaging: &Messaging, place: Option<Place>, tags: Tags<'_>, at: Timestamp) -> Vec<Self> {
        let one = span.links.len() < 2;
        let by = |source| Self {
            consumer: (span.trace_id, span.span_id),
            source,
            place: place.clone().filter(|_| one),
            start: span.start,
            end: span.end,
            processed: messaging.operation == Operation::Process,
            bus: tags.bus.map(str::to_owned),
            topic: tags.topic.map(str::to_owned),
            group: tags.group.map(str::to_owned),
            service: tags.service.to_owned(),
            operation: messaging.operation,
            at,
        };
        if !span.links.is_empty() {
            let mut keys: Vec<SpanKey> = span.links.iter().map(|link| (link.trace_id, link.span_id)).collect();
            keys.sort_unstable();
            keys.dedup();
            return keys.into_iter().map(|key| by(Source::Span(key))).collect();
        }
        let parent = span.parent.map(|parent| Source::Span((span.trace_id, parent)));
        parent.or_else(|| place.clone().map(Source::Place)).map(by).into_iter().collect()
    }

    /// The ids of the producer's span, where they are known.
    #[must_use]
    pub const fn producer(&self) -> Option<SpanKey> {
        match &self.source {
            Source::Span(key) => Some(*key),
            Source::Place(_) => None,
        }
    }

    /// Topic, partition and offset, where the consumer's span is about one record.
    #[must_use]
    pub fn place(&self) -> Option<(&str, i32, i64)> {
        self.place.as_ref().map(|place| (place.topic.as_str(), place.partition, place.offset))
    }

    /// The record, where it is not what names the producer already.
    const fn other_place(&self) -> Option<&Place> {
        match self.source {
            Source::Span(_) => self.place.as_ref(),
            Source::Place(_) => None,
        }
    }

    /// When its span came.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn tags(&self) -> Tags<'_> {
        Tags {
            bus: self.bus.as_deref(),
            topic: self.topic.as_deref(),
            group: self.group.as_deref(),
            service: &self.service,
            operation: Some(self.operation),
        }
    }
}

/// Deliveries whose producer has not been seen.
#[derive(Debug)]
pub(super) struct Waiting {
    by_source: HashMap<Source, Vec<Delivery>>,
    /// Those that wait for a span and name the record too: where that span never comes, the record's producer may.
    places: HashMap<Place, Vec<(Source, SpanKey)>>,
    /// In the order of time; those that wait no longer are left in it for a while.
    order: VecDeque<(Source, SpanKey, Timestamp)>,
    count: usize,
    most: usize,
    /// Those that waited in vain since the last time.
    given_up: u64,
    /// Their spans.
    vain: Vec<SpanKey>,
    /// Up to this time others may have paired those that wait.
    doubtful_to: Option<Timestamp>,
}

impl Waiting {
    pub(super) fn new(most: usize) -> Self {
        let (by_source, places, order) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { by_source, places, order, count: 0, most, given_up: 0, vain: Vec::new(), doubtful_to: None }
    }

    /// Adds one. Where too many wait, the one that has waited longest waits no more: most producers come within seconds, and some are not
    /// instrumented and never come.
    pub(super) fn add(&mut self, delivery: Delivery) {
        if self.order.len() >= 2 * self.most {
            self.tidy();
        }
        while self.count >= self.most && self.give_up_oldest() {}
        self.count += 1;
        self.order.push_back((delivery.source.clone(), delivery.consumer, delivery.at));
        if let Some(place) = delivery.other_place() {
            self.places.entry(place.clone()).or_default().push((delivery.source.clone(), delivery.consumer));
        }
        self.by_source.entry(delivery.source.clone()).or_default().push(delivery);
    }

    /// `false`: nothing waits. Those that wait no longer are passed over.
    fn give_up_oldest(&mut self) -> bool {
        let Some((source, consumer, at)) = self.order.pop_front() else { return false };
        let is_ours = self.doubtful_to.is_none_or(|doubtful| at > doubtful);
        if self.remove(&source, consumer).is_some() {
            self.given_up += u64::from(is_ours);
            self.vain.push(consumer);
        }
        true
    }

    /// Spans of those that have waited in vain since the last time, each as often as it waited.
    pub(super) fn take_vain(&mut self) -> Vec<SpanKey> {
        std::mem::take(&mut self.vain)
    }

    /// How many have waited in vain since the last time.
    pub(super) fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }

    /// Says that of those that wait nobody knows whether they were paired elsewhere: when they wait in vain, nothing is lost that was not
    /// counted then.
    pub(super) fn doubt(&mut self) {
        self.doubtful_to = self.order.back().map(|(.., at)| *at);
    }

    fn remove(&mut self, source: &Source, consumer: SpanKey) -> Option<Delivery> {
        let waiting = self.by_source.get_mut(source)?;
        let at = waiting.iter().position(|other| other.consumer == consumer)?;
        let delivery = waiting.swap_remove(at);
        self.count -= 1;
        if waiting.is_empty() {
            self.by_source.remove(source);
        }
        self.forget_place(&delivery);
        Some(delivery)
    }

    fn remove_all(&mut self, source: &Source) -> Vec<Delivery> {
        let all = self.by_source.remove(source).unwrap_or_default();
        self.count -= all.len();
        for delivery in &all {
            self.forget_place(delivery);
        }
        all
    }

    fn forget_place(&mut self, delivery: &Delivery) {
        let Some(place) = delivery.other_place() else { return };
        if let Some(waiting) = self.places.get_mut(place) {
            waiting.retain(|(source, consumer)| (source, consumer) != (&delivery.source, &delivery.consumer));
            if waiting.is_empty() {
                self.places.remove(place);
            }
        }
    }

    /// Leaves in the order only those that wait.
    fn tidy(&mut self) {
        let waiting = self.by_source.values().flatten();
        let mut order: Vec<_> = waiting.map(|delivery| (delivery.source.clone(), delivery.consumer, delivery.at)).collect();
        order.sort_by_key(|(.., at)| *at);
        self.order = order.into();
    }

    /// Those that waited for a producer.
    pub(super) fn take(&mut self, producer: SpanKey, place: Option<&Place>) -> Vec<Delivery> {
        if self.by_source.is_empty() {
            return Vec::new();
        }
        let mut found = self.remove_all(&Source::Span(producer));
        if let Some(place) = place {
            found.extend(self.remove_all(&Source::Place(place.clone())));
            for (source, consumer) in self.places.remove(place).unwrap_or_default() {
                found.extend(self.remove(&source, consumer));
            }
        }
        found
    }

    /// Whether one still waits.
    pub(super) fn has(&self, delivery: &Delivery) -> bool {
        self.by_source.get(&delivery.source).is_some_and(|waiting| waiting.iter().any(|other| other.consumer == delivery.consumer))
    }

    /// Takes one out; `false` when it waits no longer.
    pub(super) fn give_up(&mut self, delivery: &Delivery) -> bool {
        self.remove(&delivery.source, delivery.consumer).is_some()
    }

    /// Forgets what has waited for too long.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(.., at)| at.age_at(now) > REMEMBERED) {
            self.give_up_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::{SpanId, TraceId};

    fn delivery(number: u8, at: i64) -> Delivery {
        Delivery {
            consumer: (TraceId([number; 16]), SpanId([2; 8])),
            source: Source::Span((TraceId([number; 16]), SpanId([1; 8]))),
            place: None,
            start: 0,
            end: 0,
            processed: true,
            bus: None,
            topic: None,
            group: None,
            service: "billing".to_owned(),
            operation: Operation::Process,
            at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn those_that_were_paired_or_have_waited_longest_make_room_for_others() {
        let mut waiting = Waiting::new(2);
        for number in 1..100 {
            waiting.add(delivery(number, i64::from(number)));
            assert!(waiting.has(&delivery(number, 0)), "{number} finds room");
            assert_eq!(waiting.take((TraceId([number; 16]), SpanId([1; 8])), None).len(), 1);
        }
        assert!(waiting.order.len() <= 4);
        for (number, at) in [(1, 100), (2, 101), (3, 102)] {
            waiting.add(delivery(number, at));
        }
        let left = [1, 2, 3].map(|number| waiting.has(&delivery(number, 0)));
        assert_eq!((left, waiting.count), ([false, true, true], 2));
        assert!(waiting.give_up(&delivery(3, 102)) && !waiting.give_up(&delivery(1, 100)));
        waiting.add(delivery(1, 103));
        assert!(waiting.has(&delivery(2, 101)) && waiting.has(&delivery(1, 103)), "there was room");
        waiting.forget(Timestamp::from_millis(104 + 700_000));
        assert_eq!((waiting.count, waiting.by_source.len(), waiting.order.len()), (0, 0, 0));
        assert_eq!((waiting.take_given_up(), waiting.take_given_up()), (3, 0), "one had to make room, two waited too long");
        waiting.add(delivery(4, 800_000));
        waiting.doubt();
        waiting.add(delivery(5, 800_001));
        waiting.forget(Timestamp::from_millis(2_000_000));
        assert_eq!(waiting.take_given_up(), 1, "the first may have been paired elsewhere");
    }

    #[test]
    fn one_that_waits_for_a_span_is_found_by_its_record_too_and_once() {
        let mut waiting = Waiting::new(9);
        let home = Some(crate::traces::bearings::Home::Bus("prod".into()));
        let place = Place { home, topic: "orders".to_owned(), partition: 3, offset: 7 };
        let producer = (TraceId([9; 16]), SpanId([9; 8]));
        for number in 1..=3 {
            waiting.add(Delivery { place: Some(place.clone()), ..delivery(number, 1) });
        }
        assert_eq!(waiting.take((TraceId([1; 16]), SpanId([1; 8])), None).len(), 1, "by its span");
        assert!(waiting.give_up(&delivery(2, 1)));
        assert_eq!(waiting.take(producer, Some(&place)).len(), 1, "by the record");
        assert_eq!(waiting.take(producer, Some(&place)).len(), 0);
        assert_eq!((waiting.count, waiting.by_source.len(), waiting.places.len()), (0, 0, 0));
    }
}
