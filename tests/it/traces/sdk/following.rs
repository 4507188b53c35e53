//! Every message of a ledger followed through Redrive: its journey, its spans, and the figures they add up to.

use redrive::model::figure::Figure;
use serde_json::Value;

use super::figures::{Durations, Of, seconds};
use super::ledger::{Ledger, Sent};
use super::scene::{Scene, Told, kinds};

/// Two services that exchange messages on a topic.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) topic: String,
    pub(super) shop: String,
    pub(super) billing: String,
    pub(super) group: String,
}

impl Services {
    pub(super) fn on(topic: &str) -> Self {
        let name = |role| format!("{topic}-{role}");
        Self { topic: topic.to_owned(), shop: name("shop"), billing: name("biller"), group: name("billing") }
    }

    pub(super) fn shop_alone(&self) -> Of<'_> {
        Of { service: &self.shop, topic: &self.topic, group: None }
    }

    /// The consumer, counted for this group.
    pub(super) fn billing_for<'a>(&'a self, group: Option<&'a str>) -> Of<'a> {
        Of { service: &self.billing, topic: &self.topic, group }
    }
}

/// A service that took messages.
#[derive(Debug)]
pub(super) struct Consumer<'a> {
    pub(super) of: Of<'a>,
    pub(super) ledger: &'a Ledger,
    /// Whether its spans last while a message is handled and fail with it; else they are over before.
    pub(super) processes: bool,
    /// Whether its group is known by the bus's metadata only.
    pub(super) by_metadata: bool,
}

impl Scene {
    /// Follows all messages of a producer by their coordinates, and compares the figures of both sides with their spans.
    pub(super) async fn follow(&self, sent: &Ledger, shop: &str, consumers: &[Consumer<'_>]) {
        self.follow_all(&[(sent, shop)], consumers).await;
    }

    /// The same with several producers, each with its service.
    pub(super) async fn follow_all(&self, producers: &[(&Ledger, &str)], consumers: &[Consumer<'_>]) {
        let topic = consumers[0].of.topic;
        let mut durations: Vec<Durations> = consumers.iter().map(|_| Durations::default()).collect();
        for (sent, shop) in producers {
            let mut publish = Vec::new();
            for message in &sent.sent {
                let (span, taken) = self.follow_one(message, shop, consumers).await;
                publish.push(seconds(span.end - span.start));
                for ((consumer, durations), taken) in consumers.iter().zip(&mut durations).zip(taken) {
                    let add = if consumer.processes { Durations::add } else { Durations::add_taken };
                    for taken in &taken {
                        add(durations, &span, taken);
                    }
                }
            }
            self.assert_durations(Figure::PublishDurationSeconds, Of { service: shop, topic, group: None }, &publish).await;
        }
        for (consumer, durations) in consumers.iter().zip(&durations) {
            self.assert_consumed(consumer.of, durations).await;
        }
    }

    /// One message's journey: the span that sent it, and of each consumer the spans that took it.
    pub(super) async fn follow_one(&self, message: &Sent, shop: &str, consumers: &[Consumer<'_>]) -> (Told, Vec<Vec<Told>>) {
        let topic = consumers[0].of.topic;
        let steps = self.journey(topic, message.partition, message.offset).await;
        let all: usize = consumers.iter().map(|consumer| consumer.ledger.attempts()[message.id.as_str()].len()).sum();
        let expected: Vec<&str> = ["sent", "in_topic"].into_iter().chain(std::iter::repeat_n("processed", all)).collect();
        assert_eq!(kinds(&steps), expected, "{steps:#?}");
        assert_eq!((steps[0]["service"].as_str(), steps[0]["topic"].as_str()), (Some(shop), Some(topic)), "{}", steps[0]);
        let sent = self.span_of(&steps[0]).await;
        sent.assert_within(message.began, message.ended);
        let mut taken = Vec::new();
        for consumer in consumers {
            let by = |step: &&Value| step["kind"] == "processed" && step["service"] == consumer.of.service;
            let steps: Vec<&Value> = steps.iter().filter(by).collect();
            taken.push(self.taken(message, consumer, &steps).await);
        }
        let first = taken.iter().flatten().map(|span| span.start).min().expect("somebody took it");
        let lay = steps[1]["duration_seconds"].as_f64().expect("how long it lay there");
        assert!((lay - seconds(first - sent.end).max(0.0)).abs() < 0.002, "{}: {lay}", steps[1]);
        let place = (steps[1]["partition"].as_i64(), steps[1]["offset"].as_i64());
        assert_eq!(place, (Some(message.partition.into()), Some(message.offset)), "{}", steps[1]);
        (sent, taken)
    }

    /// The spans of a consumer's attempts on a message, in their order.
    async fn taken(&self, message: &Sent, consumer: &Consumer<'_>, steps: &[&Value]) -> Vec<Told> {
        let attempts = &consumer.ledger.attempts()[message.id.as_str()];
        assert_eq!(steps.len(), attempts.len(), "{steps:#?}");
        let mut spans = Vec::new();
        for (step, handled) in steps.iter().zip(attempts) {
            assert_eq!(step["consumer_group"].as_str(), consumer.of.group, "{step}");
            let evidence = step["evidence"].as_str().expect("evidence");
            assert_eq!(evidence.ends_with("consumer group by the bus's metadata"), consumer.by_metadata, "{step}");
            let place = (step["partition"].as_i64(), step["offset"].as_i64());
            assert_eq!(place, (Some(handled.partition.into()), Some(handled.offset)), "{step}");
            let span = self.span_of(step).await;
            let failed = handled.failed && consumer.processes;
            assert_eq!(step["failed"].as_bool(), Some(failed), "{step}");
            if failed {
                assert!(step["text"].as_str().is_some_and(|text| text.ends_with(&exception(&message.id))), "{step}");
                assert_failure(&span, &message.id);
            }
            if consumer.processes {
                span.assert_around(handled);
            } else {
                span.assert_before(handled);
            }
            spans.push(span);
        }
        spans
    }

    /// Spans with which a service sent messages, in the order of their start.
    pub(super) async fn sent_spans(&self, shop: &str) -> Vec<Told> {
        let mut spans = Vec::new();
        for id in self.traces(&format!("service={shop}&operation=send")).await {
            let trace = self.trace(&id).await;
            let mut sent = trace.into_iter().find(|span| span.value["service"] == shop).expect("it is in the trace");
            sent.value["trace_id"] = Value::String(id);
            spans.push(sent);
        }
        spans.sort_by_key(|span| span.start);
        spans
    }
}

fn exception(id: &str) -> String {
    format!("CardDeclined: card of {id} declined")
}

/// That a span failed and says with which exception.
pub(super) fn assert_failure(span: &Told, id: &str) {
    assert_eq!(span.value["failed"], Value::Bool(true), "{span:?}");
    let text = span.value.to_string();
    assert!(text.contains("CardDeclined") && text.contains(&format!("card of {id} declined")), "{span:?}");
}
