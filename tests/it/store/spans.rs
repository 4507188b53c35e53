//! Spans: found by trace, place, link and search; kept for a reason or gone with their time; in the order of commits.

use std::sync::Arc;
use std::time::Duration;

use redrive::model::Timestamp;
use redrive::model::span::{LinkCoordinates, Messaging, Operation, Span, SpanId, SpanKind, SpanLink, SpanStatus, TraceId};
use redrive::model::trace::{KeepReasons, TraceFilter};
use redrive::store::Store;
use redrive::store::spans::EncodedSpans;
use redrive::store::spans::hot::Producer;

use crate::harness::spans::bare;

use super::{START, World, on_both_engines};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + seconds * 1_000)
}

pub(super) fn trace(number: u32) -> TraceId {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    TraceId(id)
}

/// A processing span of `orders`, partition 3, with the trace's number as its offset.
pub(super) fn processed(number: u32, id: u8, second: i64) -> Span {
    let mut messaging = Messaging::new("kafka".into(), Operation::Process);
    messaging.destination = Some("orders".to_owned());
    messaging.partition = Some(3);
    messaging.offset = Some(i64::from(number));
    messaging.consumer_group = Some("billing".to_owned());
    Span {
        parent: Some(SpanId([200; 8])),
        service: Arc::from(if number.is_multiple_of(2) { "even" } else { "odd" }),
        name: "orders process".to_owned(),
        kind: SpanKind::Consumer,
        start: at(second).as_millis() * 1_000_000,
        end: at(second).as_millis() * 1_000_000 + 5_000_000,
        attributes: vec![("nul\0in".into(), "a\0b".into())],
        messaging: Some(Box::new(messaging)),
        ..bare(trace(number), SpanId([id; 8]))
    }
}

/// A span that touches nothing and did not fail.
fn inner(number: u32, id: u8, second: i64) -> Span {
    Span { messaging: None, ..processed(number, id, second) }
}

fn linked(mut span: Span, to: u32) -> Span {
    span.links.push(SpanLink {
        trace_id: trace(to),
        span_id: SpanId([1; 8]),
        attributes: Vec::new(),
        coordinates: LinkCoordinates::default(),
    });
    span
}

pub(super) async fn add(store: &Store, spans: Vec<Span>, now: Timestamp) {
    store
        .add_spans(EncodedSpans::new(spans.into_iter().map(Box::new).collect()).expect("they are packed"), now)
        .await
        .expect("they are written");
}

async fn expire_all(store: &Store, before: Timestamp) {
    while store.expire_span_chunk(before, i64::MAX, false, at(10_000)).await.expect("it goes") {}
}

on_both_engines! {
    a_trace_is_put_together_from_all_its_chunks_each_span_once
    spans_are_found_by_place_and_search_page_by_page
    chunks_are_read_in_the_order_of_commits
    kept_traces_and_those_linked_with_them_outlive_their_chunks
    what_goes_before_its_time_is_said
    a_trace_that_is_forgotten_leaves_only_what_is_hot
    letters_and_replays_meet_traces
    a_search_over_hot_and_kept_spans_of_any_order_finds_each_once
    work_of_a_group_is_found_by_the_topic_that_it_alone_reads
    producers_are_found_in_older_chunks
    producers_of_thousands_of_messages_are_found_at_once
    what_a_span_tells_of_its_bus_stays_with_it
    letters_of_two_buses_with_topics_of_one_name_are_told_apart
}

async fn a_trace_is_put_together_from_all_its_chunks_each_span_once(world: World) {
    let store = &world.store;
    let whole = vec![processed(1, 1, 10), inner(1, 2, 11), linked(processed(1, 3, 12), 9)];
    add(store, vec![whole[0].clone(), processed(2, 1, 10)], at(20)).await;
    add(store, vec![whole[2].clone(), whole[1].clone()], at(21)).await;
    // Its sender did not hear the answer.
    add(store, vec![whole[0].clone()], at(22)).await;
    let found = store.find_trace(trace(1)).await.expect("it is read");
    assert_eq!(found.spans, whole);
    assert_eq!(found.links_from.iter().map(|link| link.to).collect::<Vec<_>>(), [(trace(9), SpanId([1; 8]))]);
    assert_eq!(found.kept, None);
    let other = store.find_trace(trace(9)).await.expect("it is read");
    assert!(other.spans.is_empty());
    assert_eq!(other.links_to.iter().map(|link| link.from).collect::<Vec<_>>(), [(trace(1), SpanId([3; 8]))]);
}

async fn spans_are_found_by_place_and_search_page_by_page(world: World) {
    let store = &world.store;
    let mut spans: Vec<Span> = (0..100).map(|number| processed(number, 1, i64::from(number) / 10)).collect();
    spans.extend((0..100).map(|number| inner(number, 2, 500)));
    spans[40].status = SpanStatus::Error;
    spans[41].end = spans[41].start + 3_000_000_000;
    add(store, spans, at(600)).await;
    let there = store.list_noted_at("orders", 3, 17).await.expect("it is read");
    assert_eq!(there.iter().map(|span| span.trace_id).collect::<Vec<_>>(), [trace(17)]);
    assert!(store.list_noted_at("orders", 4, 17).await.expect("it is read").is_empty());
    let search = async |filter: TraceFilter, limit: u32| {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.search_spans(&filter, cursor.as_ref(), limit).await.expect("it is read");
            found.extend(page.spans.into_iter().map(|span| span.trace_id));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break found,
            }
        }
    };
    let all = search(TraceFilter::default(), 7).await;
    assert_eq!(all.len(), 100, "ten of each second, and none is shown twice or left out between pages");
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    let even = TraceFilter { service: Some("even".to_owned()), consumer_group: Some("billing".to_owned()), ..TraceFilter::default() };
    assert_eq!(search(even, 100).await.len(), 50);
    assert_eq!(search(TraceFilter { failed: Some(true), ..TraceFilter::default() }, 100).await, [trace(40)]);
    assert_eq!(search(TraceFilter { at_least_us: Some(1_000_000), ..TraceFilter::default() }, 100).await, [trace(41)]);
    let range = TraceFilter { from: Some(at(2)), to: Some(at(4)), ..TraceFilter::default() };
    assert_eq!(search(range, 100).await.len(), 20);
    assert!(search(TraceFilter { topic: Some("none".to_owned()), ..TraceFilter::default() }, 100).await.is_empty());
    world.dead_letter_topic("prod", "orders", 4).await;
    world.dead_letter_topic("test", "payments", 4).await;
    assert_eq!(search(TraceFilter { bus: Some("prod".to_owned()), ..TraceFilter::default() }, 7).await.len(), 100);
    assert!(search(TraceFilter { bus: Some("test".to_owned()), ..TraceFilter::default() }, 7).await.is_empty());
    assert_eq!(store.list_span_services().await.expect("they are read"), ["even", "odd"]);
}

async fn chunks_are_read_in_the_order_of_commits(world: World) {
    let store = &world.store;
    let writers = (0..8_u32).map(|writer| async move {
        for round in 0..5 {
            add(store, vec![processed(writer * 100 + round, 1, 1)], at(i64::from(round))).await;
        }
    });
    // A reader that goes on from the last chunk it saw misses none, however the writers overtake each other.
    let reader = async {
        let (mut cursor, mut seen) = (0, 0);
        while seen < 40 {
            let chunks = store.list_span_outlines(cursor, 3).await.expect("they are read");
            seen += chunks.iter().map(|chunk| chunk.spans.len()).sum::<usize>();
            cursor = chunks.last().map_or(cursor, |chunk| chunk.id);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        cursor
    };
    let (_, cursor) = tokio::time::timeout(Duration::from_secs(60), async { futures::join!(futures::future::join_all(writers), reader) })
        .await
        .expect("none is missed");
    assert_eq!(cursor, store.last_span_chunk().await.expect("it is read"));
    let many: Vec<Span> = (0..3_000).map(|number| processed(number, 9, 1)).collect();
    add(store, many, at(50)).await;
    let chunks = store.list_span_outlines(cursor, 10).await.expect("they are read");
    assert_eq!(chunks.iter().map(|chunk| chunk.spans.len()).collect::<Vec<_>>(), [1_024, 1_024, 952]);
    // What was in memory when it was written is the same as what whoever comes later, or another instance, reads.
    assert_eq!(store.list_span_outlines(cursor, 10).await.expect("they are read"), chunks);
    assert!(chunks.iter().flat_map(|chunk| &chunk.spans).all(|span| span.attributes.is_empty() && span.messaging.is_some()));
}

async fn kept_traces_and_those_linked_with_them_outlive_their_chunks(world: World) {
    let store = &world.store;
    // 1 fails and is linked with 2; 3 links to 1 in a later chunk; 4 is ordinary; 5 is linked with 4.
    add(
        store,
        vec![linked(processed(1, 1, 10), 2), processed(2, 1, 9), processed(4, 1, 10), inner(1, 2, 10), linked(processed(5, 1, 10), 4)],
        at(20),
    )
    .await;
    store.keep_traces(&[(trace(1), KeepReasons::FAILED), (trace(4), KeepReasons::BASELINE)], at(21)).await.expect("they are kept");
    store.keep_traces(&[(trace(1), KeepReasons::SLOW)], at(22)).await.expect("it is kept");
    add(store, vec![linked(processed(3, 1, 30), 1), processed(6, 1, 30)], at(40)).await;
    let last = store.last_span_chunk().await.expect("it is read");
    store.keep_linked_by(&[last], at(41)).await.expect("they are kept");
    expire_all(store, at(1_000)).await;
    let mut left = Vec::new();
    for number in 1..=6 {
        let found = store.find_trace(trace(number)).await.expect("it is read");
        left.push((number, found.spans.len(), found.kept.map(|(reasons, _)| reasons)));
    }
    let linked = Some(KeepReasons::LINKED);
    let expected = [
        (1, 2, Some(KeepReasons::FAILED | KeepReasons::SLOW)),
        (2, 1, linked),
        (3, 1, linked),
        (4, 1, Some(KeepReasons::BASELINE)),
        (5, 0, None),
        (6, 0, None),
    ];
    assert_eq!(left, expected);
    let noted: Vec<TraceId> =
        store.search_spans(&TraceFilter::default(), None, 100).await.expect("it is read").spans.iter().map(|span| span.trace_id).collect();
    assert_eq!(noted.len(), 4, "those that are gone are not found: {noted:?}");
    assert_eq!(store.list_noted_at("orders", 3, 1).await.expect("it is read").len(), 1);
    // Their time ends too.
    assert_eq!(store.expire_kept_traces(at(5_000), false, 100, at(10_000)).await.expect("they go"), 4);
    assert!(store.find_trace(trace(1)).await.expect("it is read").spans.is_empty());
    assert!(store.search_spans(&TraceFilter::default(), None, 100).await.expect("it is read").spans.is_empty());
    assert!(store.list_span_losses().await.expect("they are read").is_empty(), "nothing went before its time");
}

async fn what_goes_before_its_time_is_said(world: World) {
    let store = &world.store;
    add(store, (0..10).map(|number| processed(number, 1, 10)).collect(), at(20)).await;
    store.keep_traces(&[(trace(1), KeepReasons::FAILED)], at(20)).await.expect("it is kept");
    let usage = store.span_usage().await.expect("it is read");
    assert_eq!((usage.hot_spans, usage.kept_spans, usage.hot_since), (10, 0, Some(at(20))));
    assert!(!store.expire_span_chunk(at(20), i64::MAX, false, at(30)).await.expect("none is old"));
    assert!(store.expire_span_chunk(at(20), i64::MAX, true, at(30)).await.expect("it goes early"));
    assert_eq!(store.expire_kept_traces(at(0), true, 10, at(31)).await.expect("it goes early"), 1);
    let losses: Vec<(String, u64)> =
        store.list_span_losses().await.expect("they are read").into_iter().map(|loss| (loss.what, loss.spans)).collect();
    assert_eq!(losses, [("hot".to_owned(), 10), ("kept".to_owned(), 1)]);
    let usage = store.span_usage().await.expect("it is read");
    assert_eq!((usage.hot_spans, usage.kept_spans, usage.hot_since), (0, 0, None));
}

async fn a_trace_that_is_forgotten_leaves_only_what_is_hot(world: World) {
    let store = &world.store;
    add(store, vec![linked(processed(1, 1, 10), 2)], at(20)).await;
    store.keep_traces(&[(trace(1), KeepReasons::FAILED)], at(20)).await.expect("it is kept");
    expire_all(store, at(21)).await;
    add(store, vec![processed(1, 2, 30)], at(40)).await;
    assert_eq!(store.expire_kept_traces(at(50), false, 10, at(60)).await.expect("its time has come"), 2, "and that of the linked one");
    let noted: Vec<SpanId> = store.list_noted_of_trace(trace(1), 10).await.expect("it is read").iter().map(|span| span.span_id).collect();
    assert_eq!(noted, [SpanId([2; 8])]);
    let found = store.find_trace(trace(1)).await.expect("it is read");
    assert_eq!((found.spans.len(), found.links_from.len()), (1, 0));
}

async fn letters_and_replays_meet_traces(world: World) {
    let store = &world.store;
    assert_eq!(store.newest_letter_number().await.expect("it is read"), 0);
    assert!(store.list_traced_letters(0, at(100), 10).await.expect("they are read").is_empty());
    assert!(!store.is_replayed_record(&"prod".into(), "orders", 3, 1).await.expect("it is read"));
    assert!(!store.has_hot_spans(trace(1)).await.expect("it is read"));
    add(store, vec![processed(1, 1, 10)], at(20)).await;
    assert!(store.has_hot_spans(trace(1)).await.expect("it is read"));
    assert!(store.list_letters_of_trace(trace(1)).await.expect("they are read").is_empty());
    assert!(store.list_letters_about(&"prod".into(), "orders", 3, 1).await.expect("they are read").is_empty());
    assert!(store.list_letters_sent_to(&"prod".into(), "orders", 3, 1).await.expect("they are read").is_empty());
}

async fn a_search_over_hot_and_kept_spans_of_any_order_finds_each_once(world: World) {
    let store = &world.store;
    // Chunks overlap in time: spans come long after they began, and each one that failed comes twice.
    let mut expected = Vec::new();
    for chunk in 0..40_u32 {
        let of_chunk = (0..10).map(|n| chunk * 10 + n).map(|number| {
            let mut span = processed(number, 1, i64::from(number * 7_919 % 1_000));
            if number.is_multiple_of(9) {
                span.status = SpanStatus::Error;
            }
            span
        });
        let mut spans: Vec<Span> = of_chunk.collect();
        expected.extend(spans.iter().map(|span| (span.started_at(), span.trace_id, span.failed())));
        let kept: Vec<_> = spans.iter().filter(|span| span.failed()).map(|span| (span.trace_id, KeepReasons::FAILED)).collect();
        spans.extend(spans.iter().filter(|span| span.failed()).cloned().collect::<Vec<_>>());
        add(store, spans, at(2_000 + i64::from(chunk))).await;
        store.keep_traces(&kept, at(2_000)).await.expect("they are kept");
    }
    let search = async |filter: &TraceFilter, limit: u32| {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.search_spans(filter, cursor.as_ref(), limit).await.expect("it is read");
            assert!(page.spans.len() <= limit as usize);
            found.extend(page.spans.into_iter().map(|span| (span.started_at, span.trace_id, span.failed)));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break found,
            }
        }
    };
    expected.sort_by(|one, other| (other.0, one.1).cmp(&(one.0, other.1)));
    for limit in [7, 50, 1_000] {
        assert_eq!(search(&TraceFilter::default(), limit).await, expected, "{limit} a page");
    }
    // Half of the chunks go; what failed in them stays.
    let gone: Vec<TraceId> = (0..200_u32).filter(|number| !number.is_multiple_of(9)).map(trace).collect();
    for _ in 0..20 {
        assert!(store.expire_span_chunk(at(9_000), i64::MAX, false, at(9_000)).await.expect("it goes"));
    }
    expected.retain(|(_, trace, _)| !gone.contains(trace));
    for limit in [7, 1_000] {
        assert_eq!(search(&TraceFilter::default(), limit).await, expected, "{limit} a page");
    }
    expected.retain(|(.., failed)| *failed);
    let failed = TraceFilter { failed: Some(true), from: Some(at(100)), to: Some(at(900)), ..TraceFilter::default() };
    expected.retain(|(started_at, ..)| (at(100)..at(900)).contains(started_at));
    assert_eq!(search(&failed, 3).await, expected);
}

async fn work_of_a_group_is_found_by_the_topic_that_it_alone_reads(world: World) {
    use super::consumer_groups::{group, offset};
    let store = &world.store;
    world.dead_letter_topic("prod", "orders", 4).await;
    let unnamed = |number: u32, operation| {
        let mut span = processed(number, 1, 10);
        let messaging = span.messaging.as_mut().expect("it touches a message");
        (messaging.consumer_group, messaging.operation) = (None, operation);
        span
    };
    let spans = vec![processed(1, 1, 10), unnamed(2, Operation::Process), unnamed(3, Operation::Send)];
    add(store, spans, at(20)).await;
    store.keep_traces(&[(trace(2), KeepReasons::PINNED)], at(20)).await.expect("it is kept");
    let of = async |name: &str| {
        let filter = TraceFilter { consumer_group: Some(name.to_owned()), ..TraceFilter::default() };
        let found = store.search_spans(&filter, None, 10).await.expect("it is read");
        found.spans.into_iter().map(|span| span.trace_id).collect::<Vec<_>>()
    };
    let bus = "prod".into();
    assert_eq!((of("billing").await, of("shipping").await), (vec![trace(1)], vec![]));
    store.record_consumer_groups(&bus, &[group("shipping", &[(0, 4)])], Some(&["shipping".into()]), START).await.expect("recorded");
    assert_eq!((of("billing").await, of("shipping").await), (vec![trace(1)], vec![trace(2)]));
    expire_all(store, at(1_000)).await;
    assert_eq!(of("shipping").await, [trace(2)], "when its chunk is gone too");
    let both =
        [group("shipping", &[(0, 4)]), redrive::store::consumer_groups::SeenGroup { offsets: vec![offset(1, 5)], ..group("audit", &[]) }];
    store.record_consumer_groups(&bus, &both, Some(&["shipping".into(), "audit".into()]), START).await.expect("recorded");
    assert!(of("shipping").await.is_empty(), "it may be of either");
}

async fn producers_are_found_in_older_chunks(world: World) {
    let store = &world.store;
    let sent = |number: u32| {
        let mut span = processed(number, 4, 5);
        span.messaging.as_mut().expect("it touches a message").operation = Operation::Send;
        span
    };
    add(store, vec![sent(1), processed(2, 4, 6)], at(20)).await;
    let first = store.last_span_chunk().await.expect("it is read");
    add(store, vec![sent(3)], at(21)).await;
    let wanted = [
        Producer { span: Some((trace(1), SpanId([4; 8]))), record: None },
        Producer { span: Some((trace(1), SpanId([5; 8]))), record: Some(("orders", 3, 1)) },
        Producer { span: None, record: Some(("orders", 3, 2)) },
        Producer { span: None, record: Some(("orders", 3, 3)) },
    ];
    let found = async |last: i64| {
        let found = store.find_producers(&wanted, last, |_, _| true).await.expect("they are read");
        assert!(found.left.is_empty(), "there is room for four");
        found.producers.into_iter().map(|span| span.map(|span| span.trace_id)).collect::<Vec<_>>()
    };
    assert_eq!(
        found(first).await,
        [Some(trace(1)), Some(trace(1)), None, None],
        "a consumer is no producer, and newer chunks are not read"
    );
    assert_eq!(found(i64::MAX).await, [Some(trace(1)), Some(trace(1)), None, Some(trace(3))]);
    assert_eq!(found(0).await, [None; 4]);
    // Of those whose chunk is gone, kept ones are found.
    store.keep_traces(&[(trace(1), KeepReasons::PINNED), (trace(2), KeepReasons::PINNED)], at(22)).await.expect("they are kept");
    expire_all(store, at(1_000)).await;
    assert_eq!(found(i64::MAX).await, [Some(trace(1)), Some(trace(1)), None, None]);
}

/// What a consumer group far behind leaves from one frame of figures to the next.
async fn producers_of_thousands_of_messages_are_found_at_once(world: World) {
    let store = &world.store;
    let (sent, never) = (20_000, 4_000);
    let sender = |number: u32| {
        let mut span = processed(number, 4, 5);
        span.messaging.as_mut().expect("it touches a message").operation = Operation::Send;
        span
    };
    for first in (0..sent).step_by(5_000) {
        add(store, (first..first + 5_000).map(sender).collect(), at(20)).await;
    }
    // One that never came stands between five that did; half are known by their ids, half by their records alone.
    let wanted: Vec<Producer<'_>> = (0..sent + never)
        .map(|number| {
            let number = if number % 6 == 5 { sent + number } else { number / 6 * 5 + number % 6 };
            let span = number.is_multiple_of(2).then(|| (trace(number), SpanId([4; 8])));
            Producer { span, record: span.is_none().then_some(("orders", 3, i64::from(number))) }
        })
        .collect();
    let found = store.find_producers(&wanted, i64::MAX, |_, _| true).await.expect("they are read");
    let missing = |index: usize| index % 6 == 5;
    for (index, producer) in found.producers.iter().enumerate() {
        assert_eq!(producer.is_none(), missing(index), "{index}");
    }
    assert!(found.left.iter().all(|index| missing(*index)), "what was found is not looked for again");
    let left = found.left.len();
    assert!((500..4_000).contains(&left), "not all that never came were asked for: {left}");
}

async fn what_a_span_tells_of_its_bus_stays_with_it(world: World) {
    let store = &world.store;
    let sent = |number: u32, cluster: Option<&str>, broker: Option<&str>| {
        let mut span = processed(number, 4, 5);
        let messaging = span.messaging.as_mut().expect("it touches a message");
        (messaging.operation, messaging.offset) = (Operation::Send, Some(77));
        (messaging.cluster_id, messaging.broker) = (cluster.map(str::to_owned), broker.map(str::to_owned));
        span
    };
    world.dead_letter_topic("prod", "orders", 4).await;
    store.claim_cluster(&"prod".into(), "one").await.expect("an answer").expect("it is the first");
    add(store, vec![sent(1, Some("one"), None), sent(2, Some("two"), None), sent(3, None, Some("kafka-3:9092"))], at(20)).await;
    let keeps: Vec<_> = (1..4).map(|number| (trace(number), KeepReasons::PINNED)).collect();
    store.keep_traces(&keeps, at(20)).await.expect("they are kept");
    for place in ["hot", "kept"] {
        let told = store.list_noted_at("orders", 3, 77).await.expect("it is read");
        let told: Vec<_> = told.iter().map(|span| (span.cluster_id.as_deref(), span.broker.as_deref())).collect();
        assert_eq!(told, [(Some("one"), None), (Some("two"), None), (None, Some("kafka-3:9092"))], "{place}");
        let filter = TraceFilter { bus: Some("prod".to_owned()), ..TraceFilter::default() };
        let found = store.search_spans(&filter, None, 10).await.expect("it is read");
        let mut found: Vec<_> = found.spans.into_iter().map(|span| span.trace_id).collect();
        found.sort_unstable();
        assert_eq!(found, [trace(1), trace(3)], "{place}: what names another cluster is of another bus");
        let wanted = [Producer { span: None, record: Some(("orders", 3, 77)) }; 2];
        let clusters = ["one", "two"];
        let is_on_bus = |index: usize, span: &redrive::model::trace::NotedSpan| span.cluster_id.as_deref() == Some(clusters[index]);
        let found = store.find_producers(&wanted, i64::MAX, is_on_bus).await.expect("they are read");
        let found: Vec<_> = found.producers.into_iter().map(|span| span.map(|span| span.trace_id)).collect();
        assert_eq!(found, [Some(trace(1)), Some(trace(2))], "{place}");
        expire_all(store, at(1_000)).await;
    }
}

async fn letters_of_two_buses_with_topics_of_one_name_are_told_apart(world: World) {
    use redrive::model::{BusId, BusKind};
    let store = &world.store;
    let mut of_bus = Vec::new();
    for bus in ["prod", "test"] {
        let partition = world.dead_letter_topic(bus, "orders.DLT", 1).await[0];
        super::letters::index(store, partition, vec![super::letters::letter(5, START)], START).await;
        let letters = store.list_traced_letters(0, at(100), 10).await.expect("they are read");
        of_bus.push((BusId::from(bus), letters.last().expect("it is there").clone()));
    }
    let both: Vec<(BusId, BusKind)> = of_bus.iter().map(|(bus, _)| (bus.clone(), BusKind::Kafka)).collect();
    store.register_buses(&both).await.expect("registered");
    for (bus, letter) in &of_bus {
        assert_eq!(&letter.bus, bus);
        let own = store.list_letters_about(bus, "orders.DLT", 0, 5).await.expect("they are read");
        assert_eq!(own.iter().map(|id| id.0).collect::<Vec<_>>(), [letter.id], "{bus}");
        let (topic, partition, offset) = letter.origin.clone().expect("its headers tell");
        let failed = store.list_letters_about(bus, &topic, partition, offset).await.expect("they are read");
        assert_eq!(failed.iter().map(|id| id.0).collect::<Vec<_>>(), [letter.id], "{bus}");
    }
    assert!(store.list_letters_about(&"dev".into(), "orders.DLT", 0, 5).await.expect("they are read").is_empty());
}
