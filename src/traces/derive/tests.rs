use super::*;
use crate::metrics::histogram::Histogram;
use crate::model::figure::Figure;
use crate::model::span::SpanStatus;
use crate::model::{BusId, GroupName};
use crate::traces::samples::{SECOND, linked, of, on, span};

mod hops;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn durations(points: &[(SeriesKey, Point)], figure: Figure) -> Histogram {
    let mut sum = Histogram::new();
    for (_, point) in points.iter().filter(|(key, _)| key.figure == figure) {
        let Point::Durations(histogram) = point else { panic!("{figure} is no duration") };
        sum.merge(histogram);
    }
    sum
}

fn count(points: &[(SeriesKey, Point)], figure: Figure) -> f64 {
    let counts = points.iter().filter(|(key, _)| key.figure == figure);
    counts.map(|(_, point)| if let Point::Count(count) = point { *count } else { f64::NAN }).sum()
}

/// Sent from 10 to 11, processed from 15 to 16: four seconds in the broker, six from end to end.
fn halves() -> Vec<(&'static str, Span, Span)> {
    let sent = |place| on(span(1, 1, None, 10), Operation::Send, place);
    let taken = |trace, parent, place| of(on(span(trace, 2, parent, 15), Operation::Process, place), "billing");
    vec![
        ("child", sent(None), taken(1, Some(1), None)),
        ("link", sent(None), linked(taken(2, None, None), &[(1, 1)])),
        ("child and link", sent(None), linked(taken(1, Some(1), None), &[(1, 1)])),
        ("link given twice", sent(None), linked(taken(2, None, None), &[(1, 1), (1, 1)])),
        ("coordinates", sent(Some((3, 7))), taken(2, None, Some((3, 7)))),
        ("child of a span that never comes, and coordinates", sent(Some((3, 7))), taken(2, Some(77), Some((3, 7)))),
        ("child of a span of its own, and coordinates", sent(Some((3, 7))), taken(2, Some(9), Some((3, 7)))),
    ]
}

#[test]
fn the_halves_of_a_message_s_way_are_one_pair_in_whichever_order_they_come() {
    for (how, sent, taken) in halves() {
        for order in ["together", "consumer first", "producer first"] {
            let mut derivation = Derivation::default();
            // A poll of the consumer's own, where the case has one.
            let poll = of(on(span(2, 9, None, 14), Operation::Receive, None), "billing");
            derivation.take_chunk(1, &[poll], at(15));
            match order {
                "together" => derivation.take_chunk(1, &[taken.clone(), sent.clone()], at(16)),
                "consumer first" => {
                    derivation.take_chunk(1, std::slice::from_ref(&taken), at(16));
                    derivation.take_chunk(1, std::slice::from_ref(&sent), at(60));
                }
                _ => {
                    derivation.take_chunk(1, std::slice::from_ref(&sent), at(16));
                    derivation.take_chunk(1, std::slice::from_ref(&taken), at(60));
                }
            }
            let points = derivation.take_points();
            let (broker, whole) = (durations(&points, Figure::BrokerDurationSeconds), durations(&points, Figure::EndToEndDurationSeconds));
            assert_eq!((broker.count(), whole.count()), (1, 1), "{how}, {order}");
            assert!((broker.sum() - 4.0).abs() < 1e-9 && (whole.sum() - 6.0).abs() < 1e-9, "{how}, {order}");
            assert_eq!(durations(&points, Figure::PublishDurationSeconds).count(), 1, "{how}, {order}");
            assert_eq!(derivation.take_counts().paired, 1, "{how}, {order}");
        }
    }
}

#[test]
fn every_delivery_is_paired_waits_or_is_counted_as_unpaired() {
    let taken = |trace, parent, place| of(on(span(trace, 2, parent, 15), Operation::Process, place), "billing");
    let poll = of(on(span(5, 9, None, 14), Operation::Receive, None), "billing");
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[poll], at(15));
    let spans = [
        on(span(1, 1, None, 10), Operation::Send, None),
        taken(1, Some(1), None),
        // Nothing names a producer; a parent that is none; one that comes too late; one that never comes; the coordinates alone.
        taken(2, None, None),
        taken(5, Some(9), None),
        taken(6, Some(1), None),
        taken(7, Some(1), None),
        taken(8, None, Some((3, 7))),
    ];
    derivation.take_chunk(2, &spans, at(16));
    let counts = derivation.take_counts();
    assert_eq!((counts.paired, counts.unpaired), (1, 2), "three wait");
    derivation.take_chunk(3, &[on(span(6, 1, None, 10), Operation::Send, None)], at(600));
    derivation.take_chunk::<Span>(4, &[], at(617));
    let counts = derivation.take_counts();
    assert_eq!((counts.paired, counts.unpaired), (1, 2), "ten minutes later two are given up");
    assert_eq!(derivation.take_counts().unpaired, 0);
}

#[test]
fn what_waited_when_another_took_over_is_no_loss_of_ours() {
    let (_, _, taken) = halves().swap_remove(0);
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[taken], at(16));
    derivation.was_counted();
    derivation.take_chunk(2, &[of(on(span(3, 2, Some(1), 17), Operation::Process, None), "billing")], at(18));
    derivation.take_chunk::<Span>(3, &[], at(700));
    assert_eq!(derivation.take_counts().unpaired, 1, "the one that came since");
}

#[test]
fn what_is_sent_again_is_counted_once() {
    let mut derivation = Derivation::default();
    let (_, sent, taken) = halves().swap_remove(0);
    for seconds in [16, 17, 300] {
        derivation.take_chunk(1, &[sent.clone(), taken.clone()], at(seconds));
    }
    let points = derivation.take_points();
    assert!((count(&points, Figure::SpansPerSecond) - 2.0).abs() < f64::EPSILON);
    assert_eq!(durations(&points, Figure::BrokerDurationSeconds).count(), 1);
    assert_eq!(derivation.take_counts().repeated, 4);
}

#[test]
fn a_message_that_is_received_and_processed_is_delivered_once() {
    let mut derivation = Derivation::default();
    let sent = on(span(1, 1, None, 10), Operation::Send, None);
    let received = linked(of(on(span(2, 2, None, 12), Operation::Receive, None), "billing"), &[(1, 1)]);
    let processed = linked(of(on(span(2, 3, Some(2), 15), Operation::Process, None), "billing"), &[(1, 1)]);
    derivation.take_chunk(1, &[sent.clone(), received.clone(), processed], at(16));
    assert_eq!(durations(&derivation.take_points(), Figure::BrokerDurationSeconds).count(), 1);
    // Who only receives delivers by that.
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[sent, received], at(16));
    let points = derivation.take_points();
    assert_eq!(durations(&points, Figure::BrokerDurationSeconds).count(), 1);
    assert_eq!(durations(&points, Figure::EndToEndDurationSeconds).count(), 0, "nobody knows when it was processed");
}

#[test]
fn a_record_is_told_to_be_delivered_by_who_only_receives_too() {
    let taken = |id, operation, service| of(on(span(2, id, None, 12), operation, Some((3, i64::from(id)))), service);
    let mut derivation = Derivation::default();
    let spans = [
        taken(1, Operation::Receive, "mailer"),
        taken(2, Operation::Process, "billing"),
        taken(3, Operation::Receive, "billing"),
        taken(4, Operation::Send, "shop"),
        of(on(span(2, 5, None, 12), Operation::Receive, None), "mailer"),
    ];
    derivation.take_chunk(1, &spans, at(16));
    let offsets = |delivered: Vec<(TraceId, Place)>| delivered.into_iter().map(|(_, place)| place.offset).collect::<Vec<_>>();
    assert_eq!(offsets(derivation.take_delivered()), [1, 2], "billing tells by its processing");
    assert!(derivation.take_delivered().is_empty());
}

#[test]
fn a_batch_delivers_each_of_its_messages() {
    let mut derivation = Derivation::default();
    let sent: Vec<Span> = (1..=3).map(|trace| on(span(trace, 1, None, 10), Operation::Send, None)).collect();
    let batch = linked(of(on(span(9, 2, None, 15), Operation::Process, None), "billing"), &[(1, 1), (2, 1), (3, 1)]);
    derivation.take_chunk(1, &sent, at(12));
    derivation.take_chunk(1, &[batch], at(16));
    let points = derivation.take_points();
    assert_eq!(durations(&points, Figure::BrokerDurationSeconds).count(), 3);
    assert_eq!(durations(&points, Figure::ProcessingDurationSeconds).count(), 1);
}

#[test]
fn end_to_end_begins_at_the_first_sending() {
    let mut derivation = Derivation::default();
    let first = on(span(1, 1, None, 10), Operation::Send, None);
    let worker = of(on(span(1, 2, Some(1), 15), Operation::Process, None), "billing");
    let inside = of(span(1, 3, Some(2), 15), "billing");
    let second = of(on(span(1, 4, Some(3), 15), Operation::Send, None), "billing");
    let last = of(on(span(1, 5, Some(4), 40), Operation::Process, None), "mailer");
    derivation.take_chunk(1, &[first, worker, inside, second], at(17));
    drop(derivation.take_points());
    derivation.take_chunk(1, &[last], at(42));
    let points = derivation.take_points();
    assert!((durations(&points, Figure::EndToEndDurationSeconds).sum() - 31.0).abs() < 1e-9, "from 10 to 41");
    assert!((durations(&points, Figure::BrokerDurationSeconds).sum() - 24.0).abs() < 1e-9, "from 16 to 40");
}

#[test]
fn clocks_that_differ_are_marked_and_not_dropped() {
    let mut derivation = Derivation::default();
    let sent = on(span(1, 1, None, 20), Operation::Send, None);
    let taken = of(on(span(1, 2, Some(1), 15), Operation::Process, None), "billing");
    derivation.take_chunk(1, &[sent, taken], at(21));
    let points = derivation.take_points();
    let broker = durations(&points, Figure::BrokerDurationSeconds);
    assert_eq!((broker.count(), broker.max()), (1, Some(0.0)));
    assert_eq!(derivation.take_counts().skewed, 1);
}

#[test]
fn a_producer_from_the_store_counts_unless_its_span_came_meanwhile() {
    let (_, sent, taken) = halves().swap_remove(1);
    let noted = NotedSpan::of(&sent).expect("it touched a message");
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, std::slice::from_ref(&taken), at(16));
    let unknown = derivation.take_unknown();
    assert_eq!(unknown.iter().map(Delivery::producer).collect::<Vec<_>>(), [Some((sent.trace_id, sent.span_id))]);
    derivation.take_chunk(1, &[sent], at(17));
    derivation.pair_with(&unknown[0], &noted);
    assert_eq!(durations(&derivation.take_points(), Figure::BrokerDurationSeconds).count(), 1, "once");
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[taken], at(16));
    let unknown = derivation.take_unknown();
    derivation.pair_with(&unknown[0], &noted);
    derivation.pair_with(&unknown[0], &noted);
    assert!((durations(&derivation.take_points(), Figure::BrokerDurationSeconds).sum() - 4.0).abs() < 1e-6);
}

#[test]
fn labels_name_bus_topic_group_service_and_operation() {
    let mut derivation = Derivation::default();
    let mut bearings = Bearings::default();
    let prod = BusId::from("prod");
    bearings.add_bus(&prod, None);
    bearings.add_topic(&prod, &"orders".into(), None);
    bearings.add_group(&prod, &"orders".into(), &"billing-group".into(), std::iter::empty());
    derivation.set_bearings(bearings);
    let mut failed = of(on(span(1, 2, None, 15), Operation::Process, None), "billing");
    failed.status = SpanStatus::Error;
    derivation.take_chunk(1, &[failed, span(3, 1, None, 1)], at(16));
    let points = derivation.take_points();
    let errors: Vec<_> = points.iter().filter(|(key, _)| key.figure == Figure::SpanErrorsPerSecond).collect();
    let (key, point) = errors.iter().find(|(key, _)| key.labels.topic.is_some()).expect("of the message");
    assert_eq!(key.labels.consumer_group, Some(GroupName::from("billing-group")), "from the bus's metadata");
    assert_eq!((key.labels.bus.as_ref(), key.labels.operation.as_deref()), (Some(&prod), Some("process")));
    assert!(matches!(point, Point::Count(count) if (*count - 1.0).abs() < f64::EPSILON));
    assert!(errors.iter().any(|(key, _)| key.labels.topic.is_none() && key.labels.service.as_deref() == Some("shop")));
}

#[test]
fn failed_slow_and_ordinary_traces_are_kept() {
    let mut derivation = Derivation::default();
    let mut number = 0_u64;
    let mut process = |derivation: &mut Derivation, seconds: i64, failed: bool, second: i64| {
        number += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id[15] = 1;
        let mut span = on(span(1, 1, None, 10), Operation::Process, None);
        span.trace_id = TraceId(id);
        span.end = span.start + seconds * SECOND;
        span.status = if failed { SpanStatus::Error } else { SpanStatus::Unset };
        derivation.take_chunk(1, &[span], at(second));
        derivation.take_keeps().pop().map_or(KeepReasons::NONE, |(_, reasons)| reasons)
    };
    assert_eq!(process(&mut derivation, 1, false, 0), KeepReasons::BASELINE, "the first of a minute");
    for _ in 0..300 {
        assert_eq!(process(&mut derivation, 1, false, 1), KeepReasons::NONE);
    }
    assert_eq!(process(&mut derivation, 5, false, 2), KeepReasons::SLOW);
    assert_eq!(process(&mut derivation, 1, true, 3), KeepReasons::FAILED);
    assert_eq!(process(&mut derivation, 1, false, 61), KeepReasons::BASELINE);
}

#[test]
fn labels_without_end_are_added_up() {
    let mut derivation = Derivation::default();
    let spans: Vec<Span> = (0..5_000_u32)
        .map(|number| {
            let mut span = of(span(1, 1, None, 1), &format!("service-{number}"));
            span.trace_id.0[..4].copy_from_slice(&number.to_be_bytes());
            span
        })
        .collect();
    derivation.take_chunk(1, &spans, at(1));
    let points = derivation.take_points();
    assert!(points.len() < 4_100, "{}", points.len());
    assert!((count(&points, Figure::SpansPerSecond) - 5_000.0).abs() < f64::EPSILON, "none is lost");
    assert_eq!(derivation.take_counts().crowded, 3_000, "and it is said how many were added up");
    assert_eq!(derivation.take_counts().crowded, 0);
}

/// Two buses with a topic of one name; the second one's cluster is known by its id.
fn two_buses() -> Derivation {
    let mut bearings = Bearings::default();
    for bus in ["prod", "test"] {
        let id = BusId::from(bus);
        bearings.add_bus(&id, Some(&format!("cluster-{bus}")));
        bearings.add_topic(&id, &"orders".into(), Some(4));
    }
    let mut derivation = Derivation::default();
    derivation.set_bearings(bearings);
    derivation
}

fn in_cluster(mut span: Span, bus: Option<&str>) -> Span {
    span.messaging.as_mut().expect("it touched a message").cluster_id = bus.map(|bus| format!("cluster-{bus}"));
    span
}

#[test]
fn one_record_s_coordinates_on_two_buses_are_two_records() {
    let sent = |trace, start, bus| in_cluster(on(span(trace, 1, None, start), Operation::Send, Some((3, 7))), bus);
    let taken = |bus| in_cluster(of(on(span(9, 2, None, 15), Operation::Process, Some((3, 7))), "billing"), bus);
    // Sent on prod until 11 and on test until 13; taken at 15.
    let senders = [sent(1, 10, Some("prod")), sent(2, 12, Some("test"))];
    for (bus, waited) in [(Some("prod"), Some(4.0)), (Some("test"), Some(2.0)), (None, None), (Some("other"), None)] {
        for consumer_first in [false, true] {
            let mut derivation = two_buses();
            let mut chunks = [senders.to_vec(), vec![taken(bus)]];
            if consumer_first {
                chunks.reverse();
            }
            for chunk in &chunks {
                derivation.take_chunk(1, chunk, at(16));
            }
            let broker = durations(&derivation.take_points(), Figure::BrokerDurationSeconds);
            assert_eq!((broker.count(), waited), (u64::from(waited.is_some()), waited.map(|_| broker.sum().round())), "{bus:?}");
            assert_eq!(derivation.take_counts().unplaced, u64::from(bus.is_none()), "{bus:?}");
        }
    }
}

#[test]
fn a_producer_from_the_store_must_be_on_the_same_bus() {
    let sent = |bus| NotedSpan::of(&in_cluster(on(span(1, 1, None, 10), Operation::Send, Some((3, 7))), bus)).expect("it sent");
    let mut derivation = two_buses();
    derivation.take_chunk(1, &[in_cluster(on(span(9, 2, None, 15), Operation::Process, Some((3, 7))), Some("prod"))], at(16));
    let unknown = derivation.take_unknown();
    let is_at_home = [Some("prod"), Some("test"), None].map(|bus| derivation.is_at_home(&unknown[0], &sent(bus)));
    assert_eq!(is_at_home, [true, false, false]);
    let is_on = [Some("prod"), Some("test"), None].map(|bus| derivation.is_on(&BusId::from("prod"), &sent(bus)));
    assert_eq!(is_on, [true, false, false]);
    // By its ids it is known on whichever bus it says it was.
    derivation.take_chunk(1, &[in_cluster(on(span(1, 3, Some(1), 15), Operation::Process, Some((3, 7))), None)], at(16));
    derivation.take_chunk(2, &[in_cluster(on(span(1, 1, None, 10), Operation::Send, Some((3, 7))), None)], at(16));
    assert_eq!(durations(&derivation.take_points(), Figure::BrokerDurationSeconds).count(), 1);
}

#[test]
fn newer_metadata_is_asked_for_only_where_it_may_tell_more() {
    let taken = |id| of(on(span(2, id, None, 15), Operation::Process, None), "billing");
    let bus = BusId::from("prod");
    let with = |groups: &[&str]| {
        let mut bearings = Bearings::default();
        bearings.add_bus(&bus, None);
        bearings.add_topic(&bus, &"orders".into(), None);
        for group in groups {
            bearings.add_group(&bus, &"orders".into(), &GroupName::from(*group), std::iter::empty());
        }
        bearings
    };
    let mut derivation = Derivation::default();
    let mut lost = |bearings, id| {
        derivation.set_bearings(bearings);
        derivation.take_chunk(1, &[taken(id)], at(16));
        derivation.is_lost()
    };
    assert!(!lost(Bearings::default(), 1), "there is no bus to ask");
    assert!(lost(with(&[]), 2), "nobody is known to read the topic");
    assert!(!lost(with(&["billing"]), 3));
    assert!(!lost(with(&["billing", "shipping"]), 4), "two do: which of them will not be told");
}
