//! confluent-kafka, kafka-python and aiokafka: old names and new ones, links and parents, and groups that nobody names.

use redrive::model::figure::Figure;
use serde_json::Value;

use super::super::get;
use super::figures::{Durations, Of, seconds};
use super::following::{Consumer, Services, assert_failure};
use super::ledger::Ledger;
use super::scene::{COUNT, Export, Scene, Told, kinds};
use crate::harness::redrive::{PATIENCE, http};
use crate::harness::sdk;

#[tokio::test(flavor = "multi_thread")]
async fn services_in_python_are_understood() {
    let (one, two): (&[&str], &[&str]) = (&["billing"], &["billing", "others"]);
    let (scene, [polls, letters, dead_letters, batches, kafka_python, aiokafka, aiokafka_batches]) = Scene::start([
        ("confluent", one),
        ("confluent-letters", one),
        ("confluent-dlt", &[]),
        ("confluent-batches", one),
        ("kafka-python", two),
        ("aiokafka", two),
        ("aiokafka-batches", one),
    ])
    .await;
    tokio::join!(
        confluent_polls(&scene, &polls),
        confluent_writes_letters(&scene, &letters, &dead_letters),
        confluent_takes_batches(&scene, &batches),
        kafka_python_iterates(&scene, &kafka_python),
        aiokafka_takes_one(&scene, &aiokafka),
        aiokafka_takes_many(&scene, &aiokafka_batches),
    );
}

/// Runs both halves of a program, one after the other.
async fn exchange(scene: &Scene, services: &Services, program: &str, consume: &str, exports: [Export; 2]) -> (Ledger, Ledger) {
    let sent = scene.run(sdk::python(program), "produce", &services.topic, &services.shop, exports[0]).await;
    let mut consumer = sdk::python(program);
    consumer.env("GROUP", &services.group);
    let taken = scene.run(consumer, consume, &services.topic, &services.billing, exports[1]).await;
    assert_eq!((sent.sent.len(), taken.handled.len(), taken.failures()), (COUNT, COUNT, COUNT / 4));
    (sent, taken)
}

/// Old names, a link to the producer, the offset in the message's id only; the group by the bus's metadata.
async fn confluent_polls(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "with_confluent_kafka", "consume", [Export::Grpc, Export::Protobuf]).await;
    scene.until_counted(&services.shop, COUNT).await;
    // Each message has a span `recv` beside the one around its handling.
    scene.until_counted(&services.billing, 2 * COUNT).await;
    let consumer = Consumer { of: services.billing_for(Some(&services.group)), ledger: &taken, processes: true, by_metadata: true };
    scene.follow(&sent, &services.shop, &[consumer]).await;
    scene.assert_spans(services.shop_alone(), "send", COUNT, 0).await;
    scene.assert_spans(services.billing_for(Some(&services.group)), "process", COUNT, taken.failures()).await;
    let failed = scene.traces(&format!("outcome=failed&topic={topic}&service={}", services.billing)).await;
    assert_eq!(failed.len(), taken.failures());
    // The instrumentation does not name the group; it alone reads the topic.
    assert_eq!(scene.traces(&format!("outcome=failed&consumer_group={}", services.group)).await, failed);
}

/// A dead letter names two contexts, the message's first and its own last, and leads to the failing span all the same.
async fn confluent_writes_letters(scene: &Scene, topic: &str, letters: &str) {
    let services = Services::on(topic);
    let sent = scene.run(sdk::python("with_confluent_kafka"), "produce", topic, &services.shop, Export::Protobuf).await;
    let mut consumer = sdk::python("with_confluent_kafka");
    consumer.env("GROUP", &services.group).env("LETTERS", letters);
    let taken = scene.run(consumer, "consume-with-letters", topic, &services.billing, Export::Grpc).await;
    assert_eq!((sent.sent.len(), taken.failures()), (COUNT, COUNT / 4));
    for letter in scene.kafka.read_all(letters).await {
        let contexts: Vec<_> = letter.headers.iter().filter(|(name, _)| name == "traceparent").collect();
        assert!(contexts.len() == 2 && contexts[0] != contexts[1], "{contexts:?}");
    }
    scene.until_counted(&services.billing, 2 * COUNT + COUNT / 4).await;
    let list = format!("/api/v1/dead-letters?bus=prod&topic={letters}");
    let found = async || get(&scene.redrive, &list).await["items"].as_array().expect("items").clone();
    scene.redrive.wait_until("the dead letters are indexed", PATIENCE, async || found().await.len() == COUNT / 4).await;
    let mut failed: Vec<_> = taken.handled.iter().filter(|handled| handled.failed).collect();
    for letter in found().await {
        let id = letter["id"].as_str().expect("an id");
        let steps = scene.journey_of_letter(id).await;
        assert_eq!(kinds(&steps), ["sent", "in_topic", "processed", "dead_lettered"], "{steps:#?}");
        assert_eq!((steps[0]["service"].as_str(), steps[3]["dead_letter_id"].as_str()), (Some(services.shop.as_str()), Some(id)));
        let place = (steps[1]["partition"].as_i64(), steps[1]["offset"].as_i64());
        let at = failed.iter().position(|handled| place == (Some(handled.partition.into()), Some(handled.offset)));
        let handled = failed.remove(at.expect("each failure once"));
        assert_eq!((steps[2]["failed"].as_bool(), steps[2]["consumer_group"].as_str()), (Some(true), Some(services.group.as_str())));
        let span = scene.span_of(&steps[2]).await;
        span.assert_around(handled);
        assert_failure(&span, &handled.id);
    }
}

/// One span for a whole batch, with a link for each message and without coordinates: its failure is the batch's.
async fn confluent_takes_batches(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "with_confluent_kafka", "consume-batches", [Export::Protobuf, Export::Grpc]).await;
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, 2 * taken.batches.len()).await;
    let batch_of = batches(&taken);
    let (mut durations, mut batch_spans) = (Durations::default(), std::collections::BTreeMap::new());
    for (message, span) in sent.sent.iter().zip(scene.sent_spans(&services.shop).await) {
        span.assert_within(message.began, message.ended);
        let steps = scene.journey_of(span.value["trace_id"].as_str().expect("told with its trace")).await;
        assert_eq!(kinds(&steps), ["sent", "in_topic", "processed"], "{steps:#?}");
        let (batch, size, failed) = batch_of[message.id.as_str()];
        let step = &steps[2];
        assert_eq!((step["consumer_group"].as_str(), step["failed"].as_bool()), (Some(services.group.as_str()), Some(failed)), "{step}");
        let text = step["text"].as_str().expect("a text");
        assert!(size == 1 || text.starts_with(&format!("in a batch of {size} messages")), "{step}");
        assert_eq!((step["offset"].is_null(), step["evidence"].as_str()), (true, Some("span link; consumer group by the bus's metadata")));
        let processed = scene.span_of(step).await;
        durations.add_taken(&span, &processed);
        durations.end_to_end.push(seconds(processed.end - span.start));
        let known = batch_spans.entry(batch).or_insert_with(|| processed.clone());
        assert_eq!(known.value["span_id"], processed.value["span_id"], "one span for the batch");
    }
    assert_eq!(batch_spans.len(), taken.batches.len());
    durations.processing = batch_spans.values().map(|span: &Told| seconds(span.end - span.start)).collect();
    let of = services.billing_for(Some(&services.group));
    scene.assert_consumed(of, &durations).await;
    let failed = batch_of.values().filter(|(.., failed)| *failed).map(|(batch, ..)| batch).collect::<std::collections::BTreeSet<_>>();
    scene.assert_spans(of, "process", taken.batches.len(), failed.len()).await;
}

/// Which batch each message was in, that batch's size, and whether one of it failed.
fn batches(taken: &Ledger) -> std::collections::BTreeMap<&str, (usize, usize, bool)> {
    let mut left = taken.handled.as_slice();
    let mut found = std::collections::BTreeMap::new();
    for (number, size) in taken.batches.iter().enumerate() {
        let (batch, rest) = left.split_at(*size);
        left = rest;
        let failed = batch.iter().any(|handled| handled.failed);
        found.extend(batch.iter().map(|handled| (handled.id.as_str(), (number, *size, failed))));
    }
    found
}

/// Old names, a child of the producer that is over before the message is handled, no offset; two groups read the topic, so none is named.
async fn kafka_python_iterates(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "with_kafka_python", "consume", [Export::Protobuf, Export::Protobuf]).await;
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, 2 * COUNT).await;
    let attempts = taken.attempts();
    let mut durations = Durations::default();
    for (message, span) in sent.sent.iter().zip(scene.sent_spans(&services.shop).await) {
        span.assert_within(message.began, message.ended);
        let steps = scene.journey_of(span.value["trace_id"].as_str().expect("told with its trace")).await;
        assert_eq!(kinds(&steps), ["sent", "in_topic", "processed"], "{steps:#?}");
        for step in &steps {
            assert_eq!((step["partition"].as_i64(), step["offset"].is_null()), (Some(message.partition.into()), true), "{step}");
            assert!(step["consumer_group"].is_null() && step["failed"] == Value::Bool(false), "{step}");
        }
        let taken = scene.span_of(&steps[2]).await;
        taken.assert_before(attempts[message.id.as_str()][0]);
        durations.add_taken(&span, &taken);
    }
    let of = services.billing_for(None);
    scene.assert_consumed(of, &durations).await;
    scene.assert_spans(of, "receive", COUNT, 0).await;
    let answer = http().get(scene.redrive.url(&format!("/api/v1/journeys?bus=prod&topic={topic}&partition=0&offset=0"))).send().await;
    assert_eq!(answer.expect("an answer").status(), 404, "nothing says where a record lies");
    failing_spans(scene, &services, &taken, 1).await;
}

/// What the application itself recorded while it handled messages: one span for each, which touched no topic.
async fn failing_spans(scene: &Scene, services: &Services, taken: &Ledger, spans: usize) {
    let traces = scene.traces(&format!("outcome=failed&service={}", services.billing)).await;
    assert_eq!(traces.len(), taken.failures());
    let mut failed: Vec<_> = taken.handled.iter().filter(|handled| handled.failed).collect();
    for id in traces {
        let trace = scene.trace(&id).await;
        assert_eq!(trace.len(), spans, "{trace:#?}");
        let span = trace.iter().find(|span| span.value["name"] == "charge").expect("the application's own span");
        let at = failed.iter().position(|handled| span.value.to_string().contains(&format!("card of {} declined", handled.id)));
        span.assert_around(failed.remove(at.expect("each failure once")));
        assert_eq!(span.value["failed"], Value::Bool(true));
    }
}

/// New names, the group and the offset, although two groups read the topic; the span is over before the message is handled.
async fn aiokafka_takes_one(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "with_aiokafka", "consume", [Export::Protobuf, Export::Grpc]).await;
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, 2 * COUNT).await;
    aiokafka(scene, &services, &sent, &taken, COUNT).await;
    // The application goes on in the message's trace: sent, received, charged.
    failing_spans(scene, &services, &taken, 3).await;
}

/// Spans of the poll, of each partition with links to those of its records, and of the records: each message is one delivery.
async fn aiokafka_takes_many(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "with_aiokafka", "consume-batches", [Export::Grpc, Export::Protobuf]).await;
    let received = COUNT + taken.batches.len() + taken.polls;
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, received + COUNT).await;
    aiokafka(scene, &services, &sent, &taken, received).await;
}

async fn aiokafka(scene: &Scene, services: &Services, sent: &Ledger, taken: &Ledger, received: usize) {
    let of: Of<'_> = services.billing_for(Some(&services.group));
    scene.follow(sent, &services.shop, &[Consumer { of, ledger: taken, processes: false, by_metadata: false }]).await;
    scene.assert_spans(of, "receive", received, 0).await;
    scene.assert_durations(Figure::ProcessingDurationSeconds, of, &[]).await;
    let known = scene.traces(&format!("consumer_group={}&operation=receive", services.group)).await;
    assert!(known.len() >= COUNT, "the instrumentation names the group");
    for handled in taken.handled.iter().filter(|handled| handled.failed) {
        let steps = scene.journey(&services.topic, handled.partition, handled.offset).await;
        let trace = scene.trace(steps[2]["trace_id"].as_str().expect("a trace")).await;
        assert_failure(trace.iter().find(|span| span.value["name"] == "charge").expect("in the same trace"), &handled.id);
    }
}
