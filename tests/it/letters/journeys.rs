//! Journeys as pages and API tell them: whose journey it is, what of it was left out, and how it ended.

use std::sync::Arc;

use redrive::model::span::{Messaging, Operation, Span, SpanId, SpanKind, TraceId};
use redrive::store::spans::EncodedSpans;

use crate::harness::letters::Seeded;
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
