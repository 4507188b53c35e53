use super::StepKind::{DeadLettered, InTopic, Outcome, Processed, Replayed, Retried, Sent};
use super::*;
use crate::model::span::{SpanException, SpanStatus};
use crate::traces::samples::{SECOND, linked, of, on, span};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn to(mut span: Span, topic: &str, place: Option<(i32, i64)>) -> Span {
    let messaging = span.messaging.as_deref_mut().expect("it touched a message");
    messaging.destination = Some(topic.to_owned());
    messaging.partition = place.map(|(partition, _)| partition);
    messaging.offset = place.map(|(_, offset)| offset);
    span
}

fn group(mut span: Span, group: &str) -> Span {
    span.messaging.as_deref_mut().expect("it touched a message").consumer_group = Some(group.to_owned());
    span
}

fn failed(mut span: Span, class: &str) -> Span {
    span.status = SpanStatus::Error;
    span.exception = Some(SpanException { class: Some(class.to_owned()), message: None, escaped: true });
    span
}

fn place(topic: &str, partition: i32, offset: i64) -> Place {
    Place { home: Some(Home::Bus(BusId::from("prod"))), topic: topic.to_owned(), partition, offset }
}

/// One bus, which has every topic.
fn one_bus() -> Material {
    let mut bearings = Bearings::default();
    bearings.add_bus(&BusId::from("prod"), None);
    Material { bearings, ..Material::default() }
}

fn letter(named: Vec<SpanKey>) -> Letter {
    Letter {
        id: 1,
        place: place("orders-dlt", 0, 90),
        failed_at: at(30),
        consumer_group: Some("billing".to_owned()),
        failure: "CardDeclined: no".to_owned(),
        origin: Some(place("orders", 3, 7)),
        origin_at: Some(at(11)),
        named,
        outcome: Some(super::Outcome { end: End::Resolved, at: Some(at(200)), text: "resolved".to_owned() }),
    }
}

fn kinds(steps: &[Step]) -> Vec<StepKind> {
    steps.iter().map(|step| step.kind).collect()
}

/// Sent, failed twice, dead-lettered, replayed, processed by the group that failed and by another one.
fn whole() -> Material {
    let sent = to(of(on(span(1, 1, None, 10), Operation::Send, None), "shop"), "orders", Some((3, 7)));
    let first = failed(
        group(to(of(on(span(1, 2, Some(1), 12), Operation::Process, None), "billing"), "orders", Some((3, 7))), "billing"),
        "CardDeclined",
    );
    let second = failed(
        group(to(of(on(span(1, 3, Some(1), 20), Operation::Process, None), "billing"), "orders", Some((3, 7))), "billing"),
        "CardDeclined",
    );
    let lettered = to(of(on(span(1, 4, Some(3), 20), Operation::Send, None), "billing"), "orders-dlt", Some((0, 90)));
    let elsewhere = to(of(on(span(1, 5, Some(2), 12), Operation::Send, None), "billing"), "payments", Some((0, 1)));
    let again = group(to(of(on(span(7, 2, None, 101), Operation::Process, None), "billing"), "orders", Some((3, 50))), "billing");
    let other = group(to(of(on(span(7, 3, None, 102), Operation::Process, None), "stats"), "orders", Some((3, 50))), "stats");
    let stranger = group(to(of(on(span(8, 2, None, 13), Operation::Process, None), "billing"), "orders", Some((3, 8))), "billing");
    Material {
        letters: vec![letter(Vec::new())],
        replays: vec![SentAgain {
            replay_id: "r1".to_owned(),
            name: "declined cards".to_owned(),
            dead_letter_id: 1,
            place: place("orders", 3, 50),
            at: at(100),
            attempt: 1,
        }],
        spans: vec![sent, first, second, lettered, elsewhere, again, other, stranger],
        ..one_bus()
    }
}

#[test]
fn a_message_s_whole_way_is_told_in_the_order_of_time() {
    let steps = journey(&whole());
    let expected = [Sent, InTopic, Processed, Processed, DeadLettered, InTopic, Replayed, Processed, Processed, Outcome];
    assert_eq!(kinds(&steps), expected, "{steps:#?}");
    assert_eq!(steps[1].took_us, Some(1_000_000), "sent at 11, taken at 12");
    assert_eq!((steps[2].text.as_str(), steps[2].failed), ("CardDeclined", true));
    assert_eq!(steps[3].text, "attempt 2: CardDeclined");
    let again: Vec<(&str, bool)> =
        steps[7..9].iter().map(|step| (step.consumer_group.as_deref().unwrap_or_default(), step.again)).collect();
    assert_eq!(again, [("billing", false), ("stats", true)], "another group has processed it a second time");
    assert!(steps.iter().all(|step| !step.evidence.is_empty()), "each step says what speaks for it");
    assert!(steps.iter().all(|step| step.topic.as_deref() != Some("payments")), "what it led to is another message");
    assert!(steps.iter().all(|step| step.offset != Some(8)), "another message of the same topic is not part of it");
}

#[test]
fn a_discard_is_an_outcome_at_its_own_time_and_never_at_a_replay_s() {
    let discarded = |at| super::Outcome { end: End::Discarded, at, text: "discarded by mara: test data".to_owned() };
    let mut material = Material { spans: Vec::new(), ..whole() };
    material.letters[0].outcome = Some(discarded(Some(at(300))));
    let steps = journey(&material);
    let last = steps.last().expect("steps");
    assert_eq!((last.kind, last.at, last.end, last.failed), (Outcome, at(300), Some(End::Discarded), false));
    assert_eq!((last.text.as_str(), last.evidence.as_str()), ("discarded by mara: test data", "the discard"));
    material.letters[0].outcome = Some(discarded(None));
    assert!(!kinds(&journey(&material)).contains(&Outcome), "when it was is not known any more");
}

#[test]
fn without_any_span_the_bus_s_own_truth_remains() {
    let material = Material { spans: Vec::new(), ..whole() };
    assert_eq!(kinds(&journey(&material)), [InTopic, DeadLettered, InTopic, Replayed, Outcome]);
}

#[test]
fn the_producer_is_found_by_whatever_names_it() {
    let sent = |place| to(of(on(span(1, 1, None, 10), Operation::Send, None), "shop"), "orders", place);
    let taken = |parent, place| to(of(on(span(2, 2, parent, 12), Operation::Process, None), "billing"), "orders", place);
    let by_link = linked(taken(None, Some((3, 7))), &[(1, 1)]);
    let cases: Vec<(&str, Vec<Span>, Letter)> = vec![
        ("coordinates", vec![sent(Some((3, 7)))], letter(Vec::new())),
        ("a link of its consumer", vec![sent(None), by_link], letter(Vec::new())),
        (
            "the first of two traceparents",
            vec![sent(None)],
            letter(vec![(TraceId([1; 16]), SpanId([1; 8])), (TraceId([9; 16]), SpanId([9; 8]))]),
        ),
        (
            "the last of two traceparents",
            vec![sent(None)],
            letter(vec![(TraceId([9; 16]), SpanId([9; 8])), (TraceId([1; 16]), SpanId([1; 8]))]),
        ),
    ];
    for (how, spans, letter) in cases {
        let steps = journey(&Material { letters: vec![letter], spans, ..one_bus() });
        let sent: Vec<_> = steps.iter().filter(|step| step.kind == Sent).collect();
        assert_eq!(sent.len(), 1, "{how}: {steps:#?}");
        assert_eq!(sent[0].service.as_deref(), Some("shop"), "{how}");
    }
}

#[test]
fn retry_topics_are_steps_of_the_way() {
    let sent = to(of(on(span(1, 1, None, 10), Operation::Send, None), "shop"), "orders", Some((3, 7)));
    let taken = failed(to(of(on(span(1, 2, Some(1), 12), Operation::Process, None), "billing"), "orders", Some((3, 7))), "Timeout");
    let retried = to(of(on(span(1, 3, Some(2), 12), Operation::Send, None), "billing"), "orders-retry-0", Some((0, 4)));
    let later = failed(to(of(on(span(1, 4, Some(3), 25), Operation::Process, None), "billing"), "orders-retry-0", Some((0, 4))), "Timeout");
    let steps = journey(&Material { letters: vec![letter(Vec::new())], spans: vec![sent, taken, retried, later], ..one_bus() });
    assert_eq!(kinds(&steps), [Sent, InTopic, Processed, Retried, InTopic, Processed, DeadLettered, Outcome], "{steps:#?}");
}

#[test]
fn a_batch_is_said_to_be_one() {
    let sent = to(of(on(span(1, 1, None, 10), Operation::Send, None), "shop"), "orders", Some((3, 7)));
    let mut batch =
        linked(to(of(on(span(5, 2, None, 12), Operation::Process, None), "billing"), "orders", None), &[(1, 1), (2, 1), (3, 1)]);
    batch.end = batch.start + 2 * SECOND;
    let steps = journey(&Material { letters: vec![letter(Vec::new())], spans: vec![sent, failed(batch, "Broken")], ..one_bus() });
    let processed = steps.iter().find(|step| step.kind == Processed).expect("by link");
    assert_eq!((processed.text.as_str(), processed.evidence.as_str()), ("in a batch of 3 messages: Broken", "span link"));
}

#[test]
fn a_traceparent_of_version_00_is_read_with_any_flags() {
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let named = Some((trace.parse().expect("an id"), span.parse().expect("an id")));
    for flags in ["00", "01", "03", "ff"] {
        assert_eq!(traceparent(format!("00-{trace}-{span}-{flags}").as_bytes()), named, "{flags}");
    }
    assert_eq!(traceparent(format!("cc-{trace}-{span}-01-more").as_bytes()), named, "a later version");
    let wrong = [
        format!("ff-{trace}-{span}-01"),
        format!("00-{trace}-{span}-01-more"),
        format!("00-{trace}-{span}"),
        format!("00-{}-{span}-01", "0".repeat(32)),
        String::new(),
    ];
    for text in wrong {
        assert_eq!(traceparent(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn clocks_that_differ_are_said() {
    let sent = to(of(on(span(1, 1, None, 20), Operation::Send, None), "shop"), "orders", Some((3, 7)));
    let taken = to(of(on(span(1, 2, Some(1), 15), Operation::Process, None), "billing"), "orders", Some((3, 7)));
    let steps = journey(&Material { letters: vec![letter(Vec::new())], spans: vec![sent, taken], ..one_bus() });
    let waited = steps.iter().find(|step| step.kind == InTopic).expect("it lay there");
    assert_eq!((waited.took_us, waited.text.as_str()), (Some(0), "clocks differ: taken 6000 ms before it was sent"));
}

/// What most instrumentations of producers cannot know: where the record came to lie.
#[test]
fn a_message_lay_in_its_topic_also_when_its_sender_does_not_say_where() {
    let sent = || to(of(on(span(1, 1, None, 10), Operation::Send, None), "shop"), "orders", None);
    let taken = |id, at, place| to(of(on(span(1, id, Some(1), at), Operation::Process, None), "billing"), "orders", place);
    let trace = |spans| Material { trace: Some(TraceId([1; 16])), spans, ..one_bus() };

    let steps = journey(&trace(vec![sent(), taken(2, 14, Some((3, 7))), taken(3, 20, Some((3, 7)))]));
    assert_eq!(kinds(&steps), [Sent, InTopic, Processed, Processed], "{steps:#?}");
    assert_eq!((steps[1].at, steps[1].offset, steps[1].took_us), (at(11), Some(7), Some(3_000_000)), "until it was first taken");

    let steps = journey(&trace(vec![sent(), taken(2, 14, Some((3, 7))), taken(3, 60, Some((3, 50)))]));
    assert_eq!(kinds(&steps), [Sent, InTopic, Processed, Processed], "sent again by a stranger: nobody knows when. {steps:#?}");
    assert_eq!(steps[1].offset, Some(7));

    let steps = journey(&trace(vec![sent(), taken(2, 14, None)]));
    assert_eq!(kinds(&steps), [Sent, InTopic, Processed], "{steps:#?}");
    assert_eq!((steps[1].topic.as_deref(), steps[1].offset, steps[1].took_us), (Some("orders"), None, Some(3_000_000)));
}

#[test]
fn a_group_that_no_span_names_comes_from_the_bus() {
    let taken = |id, service| to(of(on(span(1, id, None, 14), Operation::Process, None), service), "orders", Some((3, 7)));
    let named = group(taken(2, "stats"), "stats");
    let mut material = Material { place: Some(place("orders", 3, 7)), spans: vec![taken(1, "billing"), named], ..one_bus() };
    let bus = BusId::from("prod");
    material.bearings.add_topic(&bus, &"orders".into(), None);
    material.bearings.add_group(&bus, &"orders".into(), &"billing-group".into(), std::iter::empty());
    let groups = |material: &Material| {
        let steps = journey(material);
        let processed = steps.into_iter().filter(|step| step.kind == Processed);
        processed.map(|step| (step.consumer_group.unwrap_or_default(), step.evidence.contains("metadata"))).collect::<Vec<_>>()
    };
    assert_eq!(groups(&material), [("billing-group".to_owned(), true), ("stats".to_owned(), false)]);
    material.bearings.add_group(&bus, &"orders".into(), &"stats".into(), std::iter::empty());
    assert_eq!(groups(&material), [(String::new(), false), ("stats".to_owned(), false)], "one of two is not guessed");
}

/// Two buses with the topics of the message, and what happened to a record of the same coordinates on the other one.
fn mirrored(cluster_of_others: Option<&str>) -> Material {
    let mut material = whole();
    for bus in ["prod", "test"] {
        let id = BusId::from(bus);
        material.bearings = if bus == "prod" { Bearings::default() } else { material.bearings };
        material.bearings.add_bus(&id, Some(&format!("cluster-{bus}")));
        for topic in ["orders", "orders-dlt", "payments"] {
            material.bearings.add_topic(&id, &topic.into(), Some(4));
        }
    }
    let in_cluster = |mut span: Span, cluster: Option<&str>| {
        let messaging = span.messaging.as_deref_mut().expect("it touched a message");
        messaging.cluster_id = cluster.map(|bus| format!("cluster-{bus}"));
        span
    };
    material.spans = material.spans.into_iter().map(|span| in_cluster(span, Some("prod"))).collect();
    let stranger = |trace, place| {
        let taken = group(to(of(on(span(trace, 9, None, 13), Operation::Process, None), "tests"), "orders", Some(place)), "tests");
        in_cluster(taken, cluster_of_others)
    };
    let sent = in_cluster(to(of(on(span(20, 1, None, 5), Operation::Send, None), "tester"), "orders", Some((3, 7))), cluster_of_others);
    material.spans.extend([stranger(20, (3, 7)), stranger(21, (3, 50)), sent]);
    material
}

#[test]
fn a_record_of_the_same_coordinates_on_another_bus_is_another_message() {
    let expected = journey(&whole());
    let steps = journey(&mirrored(Some("test")));
    assert_eq!(steps, expected, "spans of the other bus do not enter");
    assert!(steps.iter().filter(|step| step.topic.is_some()).all(|step| step.bus == Some(BusId::from("prod"))), "{steps:#?}");
}

#[test]
fn a_span_that_may_be_of_either_bus_is_left_out_and_that_is_said() {
    let mut material = mirrored(None);
    material.doubtful = vec![(place("orders", 3, 7), (TraceId([33; 16]), SpanId([1; 8])))];
    let (steps, expected) = (journey(&material), journey(&whole()));
    assert_eq!(kinds(&steps), kinds(&expected), "{steps:#?}");
    assert!(steps.iter().all(|step| !matches!(step.service.as_deref(), Some("tests" | "tester"))), "{steps:#?}");
    let said: Vec<_> = steps.iter().filter(|step| step.evidence.contains("left out")).map(|step| (step.kind, step.offset)).collect();
    assert_eq!(said, [(InTopic, Some(7)), (InTopic, Some(50))]);
    assert!(steps[1].evidence.contains("left out: 3 spans of the same"), "{}", steps[1].evidence);
    assert!(steps[5].evidence.contains("left out: 1 span of the same"), "{}", steps[5].evidence);
}

#[test]
fn a_span_that_something_else_ties_to_the_message_shares_its_record_s_bus() {
    // The consumers of the failure name no cluster, but the letter's headers and links name them.
    let mut material = mirrored(Some("test"));
    material.letters[0].named = vec![(TraceId([1; 16]), SpanId([1; 8]))];
    for span in &mut material.spans[..3] {
        span.messaging.as_deref_mut().expect("it touched a message").cluster_id = None;
    }
    let (steps, expected) = (journey(&material), journey(&whole()));
    assert_eq!(kinds(&steps), kinds(&expected), "the record is one step, whoever tells of it: {steps:#?}");
    assert_eq!((steps[1].bus.as_ref(), steps[1].took_us), (Some(&BusId::from("prod")), Some(1_000_000)));
    assert!(steps.iter().all(|step| !step.evidence.contains("left out")));
}
