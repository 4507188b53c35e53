//! A replayed message has a trace of its own, whose span links to the trace in which it was sent first.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::json;

use super::super::harness::kafka::{self, unique};
use super::super::harness::redrive::{PATIENCE, Setup};
use super::scene::{Known, Scene, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_replayed_message_links_to_where_it_came_from() {
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let sink = Arc::clone(&received);
    let export = post(async move |body: Bytes| {
        sink.lock().unwrap().extend_from_slice(&body);
        ([("content-type", "application/grpc"), ("grpc-status", "0")], "")
    });
    let collector = Router::new().route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", export);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let lifecycle = redrive::lifecycle::Lifecycle::new();
    lifecycle.spawn_short(async move { drop(axum::serve(listener, collector).await) });

    let kafka = kafka::shared();
    let scene = Scene::new(kafka, 1).await;
    let known = Known { partition: 0, key: Some(b"k".to_vec()), value: Some(b"v".to_vec()), headers: Vec::new() };
    let first = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    kafka.produce(&[scene.dead_letter(&known, 1).header("traceparent", first)]).await;
    let setup = scene.setup(kafka, Setup::new()).environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let mut redrive = setup.start().await;
    scene.until_indexed(&redrive, 1).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    start(&redrive, &plan).await;
    until(&redrive, &plan, "it is sent", |replay| replay["state"] == "completed").await;
    let (original, fresh) = tokio::task::spawn_blocking({
        let topic = scene.origin.clone();
        move || contexts(kafka, &topic)
    })
    .await
    .expect("no panic");
    assert_eq!(original, first, "the first context stays with the message");
    assert_ne!(fresh.get(3..35), first.get(3..35), "the trace is a new one");
    assert!(redrive.stop().await.success(), "{}", redrive.log());
    let bytes = received.lock().unwrap().clone();
    let holds = |hex: &str| {
        let id: Vec<u8> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect();
        bytes.windows(id.len()).any(|window| window == id)
    };
    assert!(holds(&fresh[3..35]) && holds(&fresh[36..52]), "the collector has the span that the message names");
    assert!(holds(&first[3..35]) && holds(&first[36..52]), "and its link to the first one");
}

/// The original and the fresh context of the one message on a topic.
fn contexts(kafka: &kafka::Kafka, topic: &str) -> (String, String) {
    let consumer: BaseConsumer =
        kafka.client().set("group.id", unique("reader")).set("auto.offset.reset", "earliest").create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    let begun = std::time::Instant::now();
    let message = loop {
        assert!(begun.elapsed() < PATIENCE, "nothing arrived");
        if let Some(message) = consumer.poll(std::time::Duration::from_millis(200)) {
            break message.expect("a message").detach();
        }
    };
    let value = |name: &str| {
        let found = message.headers().into_iter().flat_map(Headers::iter).find(|header| header.key == name).and_then(|header| header.value);
        String::from_utf8(found.expect("the header is there").to_vec()).expect("text")
    };
    (value("redrive-original-traceparent"), value("traceparent"))
}
