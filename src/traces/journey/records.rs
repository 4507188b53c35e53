//! How many records a trace tells of. Its journey is that of all of them: a request may send several messages, a batch takes hundreds, and
//! what is sent again by hand stays in the trace of its first failure.

use std::collections::HashSet;

use super::{SpanKey, is_consumer, key};
use crate::model::span::{Messaging, Operation, Span};

/// Records that spans name by coordinates, and those that somebody sent or a batch is linked with and nobody names.
#[must_use]
pub fn records(spans: &[Span]) -> usize {
    let mut named: HashSet<(&str, i32, i64)> = HashSet::new();
    // Senders by their ids: all, those that say where their record lies, and those whose record a consumer names.
    let (mut sent, mut told) = (HashSet::new(), HashSet::new());
    for span in spans {
        let Some(messaging) = span.messaging.as_deref() else { continue };
        if messaging.operation == Operation::Send {
            sent.insert(key(span));
            if let Some(place) = place(messaging) {
                named.insert(place);
                told.insert(key(span));
            }
        } else if is_consumer(messaging.operation) {
            taken(span, messaging, &mut named, &mut sent, &mut told);
        }
    }
    named.len() + sent.difference(&told).count()
}

/// The records that a consumer's span is about: one for each link of a batch, else its own.
fn taken<'a>(
    span: &'a Span,
    messaging: &'a Messaging,
    named: &mut HashSet<(&'a str, i32, i64)>,
    sent: &mut HashSet<SpanKey>,
    told: &mut HashSet<SpanKey>,
) {
    let is_batch = span.links.len() > 1;
    for link in span.links.iter().filter(|_| is_batch) {
        let of_link = &link.coordinates;
        let topic = of_link.destination.as_deref().or(messaging.destination.as_deref());
        let sender = (link.trace_id, link.span_id);
        sent.insert(sender);
        if let Some(((topic, partition), offset)) = topic.zip(of_link.partition.or(messaging.partition)).zip(of_link.offset) {
            named.insert((topic, partition, offset));
            told.insert(sender);
        }
    }
    if let Some(place) = place(messaging).filter(|_| !is_batch) {
        named.insert(place);
        let link = span.links.first().map(|link| (link.trace_id, link.span_id));
        told.extend(link.into_iter().chain(span.parent.map(|parent| (span.trace_id, parent))));
    }
}

fn place(messaging: &Messaging) -> Option<(&str, i32, i64)> {
    Some((messaging.destination.as_deref()?, messaging.partition?, messaging.offset?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::samples::{linked, on, span};

    #[test]
    fn each_record_of_a_trace_is_counted_once_whoever_tells_of_it() {
        let sent = |id, place| on(span(1, id, None, 10), Operation::Send, place);
        let taken = |id, parent, place| on(span(1, id, Some(parent), 12), Operation::Process, place);
        let batch = |place| on(span(1, 9, None, 12), Operation::Process, place);
        let cases: Vec<(&str, Vec<Span>, usize)> = vec![
            ("nothing touched a message", vec![span(1, 1, None, 10)], 0),
            ("sent, and nobody says where", vec![sent(1, None)], 1),
            ("named by its consumers alone", vec![sent(1, None), taken(2, 1, Some((3, 7))), taken(3, 1, Some((3, 7)))], 1),
            ("named by both", vec![sent(1, Some((3, 7))), taken(2, 1, Some((3, 7)))], 1),
            ("one request sent three", vec![sent(1, None), sent(2, None), sent(3, Some((0, 1))), taken(4, 1, Some((3, 7)))], 3),
            ("sent again in the same trace", vec![sent(1, None), taken(2, 1, Some((3, 7))), taken(3, 1, Some((3, 50)))], 2),
            ("a batch of three from elsewhere", vec![linked(batch(Some((3, 7))), &[(2, 1), (3, 1), (4, 1)])], 3),
            ("a batch of two of its own", vec![sent(1, Some((3, 7))), sent(2, None), linked(batch(None), &[(1, 1), (1, 2)])], 2),
        ];
        for (what, spans, expected) in cases {
            assert_eq!(records(&spans), expected, "{what}");
        }
    }
}
