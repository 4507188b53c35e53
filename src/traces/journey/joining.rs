//! Which spans are about this message: by coordinates, by link, by parent, by what headers name; round after round until nothing joins.

use std::collections::{HashMap, HashSet};

use super::{Joined, Material, is_consumer, is_retry_of, key, place_of};
use crate::model::span::{Messaging, Operation, Span};
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
    let mut joined = Joined::default();
    places(material, &mut joined);
    named(material, &spans, &mut joined);
    let letter_topics: HashSet<&str> = material.letters.iter().map(|letter| letter.place.0.as_str()).collect();
    for _ in 0..MOST_ROUNDS {
        let before = (joined.producers.len(), joined.consumers.len(), joined.places.len());
        for (span, messaging) in &touching {
            if messaging.operation == Operation::Send {
                sender(span, messaging, &spans, &letter_topics, &mut joined);
            } else if is_consumer(messaging.operation) {
                consumer(span, messaging, &spans, &mut joined);
            }
        }
        if before == (joined.producers.len(), joined.consumers.len(), joined.places.len()) {
            break;
        }
    }
    joined
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

fn sender<'a>(
    span: &'a Span,
    messaging: &Messaging,
    spans: &HashMap<SpanKey, &'a Span>,
    letter_topics: &HashSet<&str>,
    joined: &mut Joined<'a>,
) {
    let place = place_of(messaging);
    if !joined.producers.contains_key(&key(span)) {
        let at_place = place.as_ref().is_some_and(|place| joined.places.contains_key(place));
        let goes_on = || {
            let topic = messaging.destination.as_deref()?;
            let origins: HashSet<&str> = joined.places.keys().map(|(topic, ..)| topic.as_str()).collect();
            let carried = letter_topics.contains(topic) || is_retry_of(topic, &origins);
            (carried && is_within(span, spans, joined)).then_some(WITHIN)
        };
        let evidence = if at_place { Some(SAME_PLACE) } else { goes_on() };
        let Some(evidence) = evidence else { return };
        joined.producers.insert(key(span), (span, evidence));
    }
    if let Some(place) = place {
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
    let place = place_of(messaging);
    if !joined.consumers.contains_key(&key(span)) {
        let sent_there = |key: &SpanKey| joined.producers.get(key).is_some_and(|(sender, _)| same_topic(sender, messaging));
        let linked_place = span.links.iter().any(|link| {
            let of_link = &link.coordinates;
            let topic = of_link.destination.clone().or_else(|| messaging.destination.clone());
            let partition = of_link.partition.or(messaging.partition);
            topic
                .zip(partition)
                .zip(of_link.offset)
                .is_some_and(|((topic, partition), offset)| joined.places.contains_key(&(topic, partition, offset)))
        });
        let evidence = if place.as_ref().is_some_and(|place| joined.places.contains_key(place)) || linked_place {
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
    if let Some(place) = place {
        joined.places.entry(place).or_insert("span of its consumer");
    }
    let evidence = if links.is_empty() { PARENT } else { LINK };
    for from in links.into_iter().chain(parent) {
        if let Some(sender) = spans.get(&from).filter(|sender| same_topic(sender, messaging)) {
            joined.producers.entry(from).or_insert((sender, evidence));
            joined.taken.entry(from).or_default().insert(key(span));
        }
    }
}

/// Whether a span sent to the topic that a consumer's span is about.
fn same_topic(sender: &Span, consumer: &Messaging) -> bool {
    sender.messaging.as_deref().is_some_and(|sent| {
        sent.operation == Operation::Send
            && (sent.destination == consumer.destination || sent.destination.is_none() || consumer.destination.is_none())
    })
}
