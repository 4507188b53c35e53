//! Which spans are about this message: by coordinates, by link, by parent, by what headers name; round after round until nothing joins.

use std::collections::{HashMap, HashSet};

use super::{Joined, Material, is_consumer, is_retry_of, key};
use crate::model::span::{Messaging, Operation, Span};
use crate::traces::bearings::may_be_one;
use crate::traces::window::{Place, SpanKey};

/// Hops from a span up to the one that processed the message.
const MOST_HOPS: usize = 32;
/// Rounds; each retry takes two.
const MOST_ROUNDS: usize = 40;

const SAME_PLACE: &str = "span with the same topic, partition and offset";
const LINK: &str = "span link";
const PARENT: &str = "parent span";
const HEADER: &str = "traceparent in the dead letter's headers";
const WITHIN: &str = "sent while the message was processed";
const ASKED: &str = "the trace that was asked for";

pub(super) fn join(material: &Material) -> Joined<'_> {
    let spans: HashMap<SpanKey, &Span> = material.spans.iter().map(|span| (key(span), span)).collect();
    let touching: Vec<(&Span, &Messaging)> = material.spans.iter().filter_map(|span| Some((span, span.messaging.as_deref()?))).collect();
    let homes = touching.iter().filter_map(|(span, messaging)| Some((key(span), material.bearings.home(*messaging)?))).collect();
    let mut joined = Joined { homes, ..Joined::default() };
    places(material, &mut joined);
    named(material, &spans, &mut joined);
    for _ in 0..MOST_ROUNDS {
        let before = (joined.producers.len(), joined.consumers.len(), joined.places.len());
        for (span, messaging) in &touching {
            if messaging.operation == Operation::Send {
                sender(span, messaging, &spans, material, &mut joined);
            } else if is_consumer(messaging.operation) {
                consumer(span, messaging, &spans, &mut joined);
            }
        }
        if before == (joined.producers.len(), joined.consumers.len(), joined.places.len()) {
            break;
        }
    }
    doubts(material, &touching, &mut joined);
    joined
}

/// Notes which spans name a record of the message, but not its bus, and were not joined by anything else.
fn doubts(material: &Material, touching: &[(&Span, &Messaging)], joined: &mut Joined<'_>) {
    // The same record, told by one span with its bus and by another without.
    let told: Vec<Place> = joined.places.keys().filter(|place| place.home.is_some()).cloned().collect();
    joined.places.retain(|place, _| place.home.is_some() || !told.iter().any(|known| known.is_named_like(place)));
    let unknown = touching.iter().filter(|(span, _)| !joined.homes.contains_key(&key(span)));
    let here = unknown.filter_map(|(span, _)| {
        let named = joined.told_place(span)?;
        Some((told.iter().find(|place| place.is_named_like(&named))?.clone(), key(span)))
    });
    let elsewhere = material.doubtful.iter().cloned();
    let is_joined = |span: &SpanKey| joined.producers.contains_key(span) || joined.consumers.contains_key(span);
    let all: Vec<(Place, SpanKey)> = here.chain(elsewhere).filter(|(_, span)| !is_joined(span)).collect();
    for (place, span) in all {
        joined.doubtful.entry(place).or_default().insert(span);
    }
}

fn places(material: &Material, joined: &mut Joined<'_>) {
    let mut add = |place: &Place, evidence| {
        joined.places.entry(place.clone()).or_insert(evidence);
    };
    if let Some(place) = &material.place {
        add(place, "the record that was asked for");
    }
    for letter in &material.letters {
        if let Some(origin) = &letter.origin {
            add(origin, "headers of the dead letter");
        }
        add(&letter.place, "the dead letter's own record");
    }
    for replay in &material.replays {
        add(&replay.place, "the replay's own record");
    }
}

/// Spans that headers name, and those of the trace that was asked for.
fn named<'a>(material: &Material, spans: &HashMap<SpanKey, &'a Span>, joined: &mut Joined<'a>) {
    let headers = material.letters.iter().flat_map(|letter| &letter.named).map(|key| (*key, HEADER));
    let asked = material.trace.into_iter().flat_map(|trace| spans.keys().filter(move |key| key.0 == trace)).map(|key| (*key, ASKED));
    for (named, evidence) in headers.chain(asked) {
        let Some(span) = spans.get(&named) else { continue };
        match span.messaging.as_deref().map(|messaging| messaging.operation) {
            Some(Operation::Send) => {
                joined.producers.entry(named).or_insert((span, evidence));
            }
            Some(operation) if is_consumer(operation) => {
                joined.consumers.entry(named).or_insert((span, evidence));
            }
            _ => {}
        }
    }
}

fn sender<'a>(span: &'a Span, messaging: &Messaging, spans: &HashMap<SpanKey, &'a Span>, material: &Material, joined: &mut Joined<'a>) {
    if !joined.producers.contains_key(&key(span)) {
        let goes_on = || {
            let topic = messaging.destination.as_deref()?;
            let home = joined.homes.get(&key(span));
            let here = joined.places.keys().filter(|place| may_be_one(place.home.as_ref(), home));
            let origins: HashSet<&str> = here.map(|place| place.topic.as_str()).collect();
            let carried = material.is_letter_topic(topic, home) || is_retry_of(topic, &origins);
            (carried && is_within(span, spans, joined)).then_some(WITHIN)
        };
        let at_place = joined.is_there(joined.told_place(span).as_ref());
        let evidence = if at_place { Some(SAME_PLACE) } else { goes_on() };
        let Some(evidence) = evidence else { return };
        joined.producers.insert(key(span), (span, evidence));
    }
    if let Some(place) = joined.place(span) {
        joined.places.entry(place).or_insert("span of its sender");
    }
}

/// Whether a span happened while one of the consumers worked on the message; a batch works on others too.
fn is_within(span: &Span, spans: &HashMap<SpanKey, &Span>, joined: &Joined<'_>) -> bool {
    let mut above = span.parent;
    for _ in 0..MOST_HOPS {
        let Some(parent) = above.map(|parent| (span.trace_id, parent)) else { return false };
        if let Some((consumer, _)) = joined.consumers.get(&parent) {
            return consumer.links.len() < 2;
        }
        above = spans.get(&parent).and_then(|span| span.parent);
    }
    false
}

fn consumer<'a>(span: &'a Span, messaging: &Messaging, spans: &HashMap<SpanKey, &'a Span>, joined: &mut Joined<'a>) {
    let links: Vec<SpanKey> = span.links.iter().map(|link| (link.trace_id, link.span_id)).collect();
    let parent = span.parent.map(|parent| (span.trace_id, parent));
    if !joined.consumers.contains_key(&key(span)) {
        let sent_there = |key: &SpanKey| joined.producers.get(key).is_some_and(|(sender, _)| same_topic(sender, span, joined));
        let home = joined.homes.get(&key(span));
        let linked_place = span.links.iter().any(|link| {
            let of_link = &link.coordinates;
            let topic = of_link.destination.clone().or_else(|| messaging.destination.clone());
            let partition = of_link.partition.or(messaging.partition);
            let place = topic.zip(partition).zip(of_link.offset).map(|((topic, partition), offset)| Place {
                home: home.cloned(),
                topic,
                partition,
                offset,
            });
            joined.is_there(place.as_ref())
        });
        let evidence = if joined.is_there(joined.told_place(span).as_ref()) || linked_place {
            SAME_PLACE
        } else if links.iter().any(sent_there) {
            LINK
        } else if parent.as_ref().is_some_and(sent_there) {
            PARENT
        } else {
            return;
        };
        joined.consumers.insert(key(span), (span, evidence));
    }
    // A batch has other messages' senders beside this one's.
    if links.len() > 1 {
        for from in links.into_iter().filter(|from| joined.producers.contains_key(from)) {
            joined.taken.entry(from).or_default().insert(key(span));
        }
        return;
    }
    if let Some(place) = joined.place(span) {
        joined.places.entry(place).or_insert("span of its consumer");
    }
    let evidence = if links.is_empty() { PARENT } else { LINK };
    for from in links.into_iter().chain(parent) {
        if let Some(sender) = spans.get(&from).filter(|sender| same_topic(sender, span, joined)) {
            joined.producers.entry(from).or_insert((sender, evidence));
            joined.taken.entry(from).or_default().insert(key(span));
        }
    }
}

/// Whether a span sent to the topic that a consumer's span is about.
fn same_topic(sender: &Span, consumer: &Span, joined: &Joined<'_>) -> bool {
    sender.messaging.as_deref().zip(consumer.messaging.as_deref()).is_some_and(|(sent, taken)| {
        sent.operation == Operation::Send
            && (sent.destination == taken.destination || sent.destination.is_none() || taken.destination.is_none())
            && may_be_one(joined.homes.get(&key(sender)), joined.homes.get(&key(consumer)))
    })
}
