//! Journeys as pages and API tell them: whose journey it is, what of it was left out, and how it ended.

use std::sync::Arc;

use redrive::model::span::{LinkCoordinates, Messaging, Operation, Span, SpanId, SpanKind, SpanLink, TraceId};
use redrive::store::spans::EncodedSpans;
use serde_json::json;

use crate::harness::letters::{Failing, Seeded};
use crate::harness::spans::bare;

/// A span of a trace, about a record of a topic.
fn span(trace: u8, id: u8, operation: Operation, topic: &str, offset: Option<i64>) -> Span {
    let mut messaging = Messaging::new("kafka".into(), operation);
    messaging.destination = Some(topic.to_owned());
    (messaging.partition, messaging.offset) = (offset.map(|_| 0), offset);
    let sends = operation == Operation::Send;
    Span {
        service: Arc::from(if sends { "shop" } else { "billing" }),
        name: format!("{topic} {}", operation.as_str()),
        kind: if sends { SpanKind::Producer } else { SpanKind::Consumer },
        start: i64::from(id) * 1_000_000_000,
        end: i64::from(id) * 1_000_000_000 + 5_000_000,
        messaging: Some(Box::new(messaging)),
        ..bare(TraceId([trace; 16]), SpanId([id; 8]))
    }
}

fn child(mut span: Span, parent: u8) -> Span {
    span.parent = Some(SpanId([parent; 8]));
    span
}

fn in_cluster(mut span: Span, cluster: &str) -> Span {
    span.messaging.as_mut().expect("it touched a message").cluster_id = Some(cluster.to_owned());
    span
}

async fn add(shop: &Seeded, spans: Vec<Span>) {
    let spans = EncodedSpans::new(spans.into_iter().map(Box::new).collect()).expect("they are packed");
    shop.store.add_spans(spans, shop.now).await.expect("they are written");
}

#[tokio::test]
async fn a_span_leads_to_the_journey_of_its_own_message_on_its_own_bus() {
    let shop = Seeded::new().await.bus("prod", &["orders", "shared"]).await.bus("test", &["shared"]).await;
    // One request sent two messages, and reached a topic of which nobody knows the bus, and one of a bus that is told.
    let taken = |id, topic, offset| child(span(1, id, Operation::Process, topic, Some(offset)), 1);
    let spans = vec![
        span(1, 1, Operation::Send, "orders", None),
        span(1, 2, Operation::Send, "orders", None),
        taken(3, "orders", 7),
        taken(4, "shared", 9),
        in_cluster(taken(5, "shared", 10), "cluster-test"),
        span(2, 6, Operation::Send, "orders", None),
    ];
    add(&shop, spans).await;
    let app = shop.app();
    let of_span = async |trace: u8, id: u8| {
        let page = app.get(&format!("/traces/{}?span={}", TraceId([trace; 16]), SpanId([id; 8]))).await;
        let part = page.text().split_once("id=\"span\"").expect("the span is shown").1.split_once("</span></div>").expect("its head").0;
        let href = part.split_once("<a class=\"btn btn-quiet\" href=\"").expect("a link").1.split_once('"').expect("its end").0;
        let words = part.rsplit_once("</svg>").map_or(part, |(_, words)| words).split('<').next().unwrap_or_default().to_owned();
        (href.replace("&amp;", "&").replace("&#38;", "&"), words)
    };
    let of_trace = format!("/journeys?trace_id={}", TraceId([1; 16]));
    let own = |bus: &str, topic: &str, offset: i64| {
        (format!("/journeys?bus={bus}&topic={topic}&partition=0&offset={offset}"), "Journey of this message".to_owned())
    };
    assert_eq!(of_span(1, 3).await, own("prod", "orders", 7), "only one bus has the topic");
    assert_eq!(of_span(1, 5).await, own("test", "shared", 10), "the span names the cluster");
    let whole = (of_trace.clone(), "Journey of this trace, 4 records".to_owned());
    assert_eq!(of_span(1, 1).await, whole, "it does not say where its record lies");
    assert_eq!(of_span(1, 4).await, whole, "two buses have the topic");
    assert_eq!(of_span(2, 6).await.1, "Journey of this trace", "it is one message's");

    let steps = app.get(&own("prod", "orders", 7).0.replace("/journeys", "/api/v1/journeys")).await.json()["steps"].clone();
    let offsets: Vec<_> = steps.as_array().expect("steps").iter().filter_map(|step| step["offset"].as_i64()).collect();
    assert!(!offsets.is_empty() && offsets.iter().all(|offset| *offset == 7), "{steps:#}");
    let words = app.get(&of_trace).await.words();
    assert!(words.contains("Journey of trace 01010101") && words.contains("Its trace holds 4 records"), "{words}");
    let words = app.get(&format!("/journeys?trace_id={}", TraceId([2; 16]))).await.words();
    assert!(!words.contains("records"), "{words}");
}

#[tokio::test]
async fn a_discarded_dead_letter_s_journey_ends_with_who_discarded_it_when_and_why() {
    let mut shop = Seeded::new().await.bus("prod", &["orders-dlt"]).await;
    shop.index("prod", vec![Failing::spring("orders-dlt", "billing", "com.acme.Broken", "no").ago(90)]).await;
    let app = shop.app();
    let open = app.get("/journeys?dead_letter=1").await.words();
    assert!(open.contains("It is a dead letter, and was not replayed."), "{open}");
    let body = json!({"selection": {"ids": ["1"]}, "reason": "known bad input"});
    let discarded = app.post_json("/api/v1/dead-letters/discard", body).await.json();
    assert_eq!(discarded["changed"], 1, "{discarded}");
    let journey = app.get("/api/v1/journeys?dead_letter=1").await.json();
    let last = journey["steps"].as_array().expect("steps").last().expect("one").clone();
    assert_eq!((&last["kind"], &last["failed"], &last["dead_letter_id"]), (&json!("outcome"), &json!(false), &json!("1")), "{journey:#}");
    assert_eq!((&last["text"], &last["evidence"]), (&json!("discarded by local: known bad input"), &json!("the discard")), "{last:#}");
    assert_eq!(journey["truncated"], json!(null));
    let at = last["at"].as_str().expect("a time").replace('T', " ").replace('Z', " UTC");
    let words = app.get("/journeys?dead_letter=1").await.words();
    assert!(words.contains(&format!("Discarded {at}, by local: known bad input.")), "{at}: {words}");
    assert!(!words.contains("was not replayed") && !words.contains("There is more than is told here"), "{words}");
}

#[tokio::test]
async fn a_trace_of_more_pieces_than_are_read_says_so_wherever_it_is_told() {
    let shop = Seeded::new().await.bus("prod", &["orders-dlt"]).await;
    let app = shop.app();
    let id = TraceId([1; 16]);
    let piece = |number: i64| Span { start: number, end: number + 1, ..span(1, 3, Operation::Process, "orders", Some(number)) };
    for number in 1..=221_i64 {
        let mut one = piece(number);
        one.span_id.0 = number.to_be_bytes();
        add(&shop, vec![one]).await;
        if number < 220 {
            continue;
        }
        let is_cut = number > 220;
        let trace = app.get(&format!("/api/v1/traces/{id}")).await.json();
        assert_eq!((&trace["truncated"], trace["spans"].as_array().map(Vec::len)), (&json!(is_cut), Some(220)), "{number}");
        let page = app.get(&format!("/traces/{id}")).await.words();
        assert_eq!(page.contains("This trace has more spans than are told here"), is_cut, "{number}: {page}");
        let journey = app.get(&format!("/api/v1/journeys?trace_id={id}")).await.json();
        let nothing = if is_cut { json!(1) } else { json!(null) };
        assert_eq!(journey["truncated"]["parted_traces"], nothing, "{number}: {}", journey["truncated"]);
        let words = app.get(&format!("/journeys?trace_id={id}")).await.words();
        assert_eq!(words.contains("Left out, at least: 1 part of a trace."), is_cut, "{number}: {words}");
    }
}

#[tokio::test]
async fn what_a_journey_has_no_room_for_is_said() {
    let mut shop = Seeded::new().await.bus("prod", &["orders-dlt"]).await;
    // The same record came back fifteen times, and was taken in a batch with thirty others.
    let failing = (0..15).map(|n| Failing::spring("orders-dlt", "billing", "com.acme.Broken", "no").ago(90 + n));
    shop.index("prod", failing.collect()).await;
    let mut batch = span(200, 9, Operation::Process, "orders", None);
    let link = |trace| SpanLink {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([1; 8]),
        attributes: Vec::new(),
        coordinates: LinkCoordinates::default(),
    };
    batch.links = (1..=30).map(link).collect();
    let senders = (1..=30).map(|trace| span(trace, 1, Operation::Send, "orders", None));
    add(&shop, senders.chain([batch]).collect()).await;
    let app = shop.app();
    let of_letter = app.get("/api/v1/journeys?dead_letter=1").await.json()["truncated"].clone();
    assert_eq!(of_letter["dead_letters"], 3, "{of_letter}");
    let of_batch = format!("trace_id={}", TraceId([200; 16]));
    let truncated = app.get(&format!("/api/v1/journeys?{of_batch}")).await.json()["truncated"].clone();
    assert_eq!(truncated, json!({"dead_letters": 0, "traces": 7, "parted_traces": 0, "spans": 0, "topics": 0}), "24 of 31 were read");
    let words = app.get(&format!("/journeys?{of_batch}")).await.words();
    let said = "There is more than is told here. Left out, at least: 7 traces. A journey is put together from 12 dead letters, 24 traces, \
                5,000 spans and 12 topics at most.";
    assert!(words.contains(said), "{words}");
    let alone = app.get(&format!("/api/v1/journeys?trace_id={}", TraceId([1; 16]))).await.json();
    assert_eq!(alone["truncated"], json!(null), "what else was in the batch are other messages: {alone:#}");
    let kinds: Vec<_> = alone["steps"].as_array().expect("steps").iter().filter_map(|step| step["kind"].as_str()).collect();
    assert_eq!(kinds, ["sent", "in_topic", "processed"], "the batch took it: {alone:#}");
}
