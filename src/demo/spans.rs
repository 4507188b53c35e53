//! What the shop's services tell by OpenTelemetry, each with an SDK of its own: most with today's names, shipping with old ones,
//! notifications without their consumer group, fraud scoring in batches with links, and the warehouse connector nothing at all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use super::faults::Fault;
use super::outlet::Place;
use super::styles::Headers;
use crate::model::Timestamp;

/// How often an SDK sends.
const EVERY: Duration = Duration::from_secs(1);
/// Messages of a batch.
const BATCH: usize = 20;
/// A batch waits no longer for more messages.
const BATCH_WAIT: Duration = Duration::from_secs(2);
/// The storefront has no consumer group.
pub(super) const STOREFRONT: &str = "storefront";

/// The names an instrumentation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those of semantic conventions 1.27 and later.
    New,
    /// The same, without the consumer group, as for JavaScript and Python.
    WithoutGroup,
    /// Those of 1.20 and before.
    Old,
}

/// Who is instrumented, and how.
const SERVICES: &[(&str, &str, Names)] = &[
    (STOREFRONT, "storefront", Names::New),
    ("order-service", "order-service", Names::New),
    ("payment-service", "payment-service", Names::New),
    ("payment-service-retry-2000", "payment-service", Names::New),
    ("shipping-service", "shipping-service", Names::Old),
    ("billing-service", "billing-service", Names::New),
    ("notification-service", "notification-service", Names::WithoutGroup),
    (SCORING, "fraud-scoring", Names::New),
];
/// Works in batches.
const SCORING: &str = "fraud-scoring";

/// The SDKs of all services.
#[derive(Debug, Default)]
pub(super) struct Spans {
    tracers: HashMap<&'static str, (SdkTracer, Names)>,
    providers: Vec<SdkTracerProvider>,
    batch: Mutex<Option<Batch>>,
}

/// Messages that are scored together.
#[derive(Debug)]
struct Batch {
    begun: Timestamp,
    topic: String,
    links: Vec<SpanContext>,
    messages: i64,
}

/// A record as its reader knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) group: &'static str,
    pub(super) topic: &'a str,
    pub(super) place: Place,
}

/// A span that is under way; of nothing where the service is not instrumented.
#[derive(Debug, Clone, Default)]
pub(super) struct Working(Option<Context>);

impl Spans {
    /// SDKs that send to this address; without one nobody tells anything.
    pub(super) fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        let mut spans = Self::default();
        let Some(endpoint) = endpoint else { return Ok(spans) };
        for (group, service, names) in SERVICES {
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
            let exporter = exporter.with_context(|| format!("the demo's spans cannot be sent to {endpoint}"))?;
            let config = BatchConfigBuilder::default().with_scheduled_delay(EVERY).build();
            let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
            let resource = Resource::builder().with_service_name(*service).build();
            let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build();
            spans.tracers.insert(group, (provider.tracer("shop"), *names));
            spans.providers.push(provider);
        }
        Ok(spans)
    }

    /// A message is being worked on.
    pub(super) fn process(&self, taken: Taken<'_>, headers: &Headers) -> Working {
        let Some((tracer, names)) = self.tracers.get(taken.group) else { return Working::default() };
        let sent = sent_under(headers);
        if taken.group == SCORING {
            self.score(tracer, taken.topic, sent);
            return Working::default();
        }
        let parent = sent.map_or_else(Context::new, |sent| Context::new().with_remote_span_context(sent));
        let (topic, group) = (taken.topic.to_owned(), taken.group.to_owned());
        let partition = i64::from(taken.place.partition);
        let (name, attributes) = match names {
            Names::New | Names::WithoutGroup => (
                format!("process {topic}"),
                vec![
                    KeyValue::new("messaging.system", "kafka"),
                    KeyValue::new("messaging.operation.name", "process"),
                    KeyValue::new("messaging.operation.type", "process"),
                    KeyValue::new("messaging.destination.name", topic),
                    KeyValue::new("messaging.destination.partition.id", partition.to_string()),
                    KeyValue::new("messaging.kafka.offset", taken.place.offset),
                ],
            ),
            Names::Old => (
                format!("{topic} process"),
                vec![
                    KeyValue::new("messaging.system", "kafka"),
                    KeyValue::new("messaging.operation", "process"),
                    KeyValue::new("messaging.source.name", topic),
                    KeyValue::new("messaging.kafka.source.partition", partition),
                    KeyValue::new("messaging.kafka.message.offset", taken.place.offset),
                    KeyValue::new("messaging.kafka.consumer.group", group.clone()),
                ],
            ),
        };
        let mut attributes = attributes;
        if *names == Names::New {
            attributes.push(KeyValue::new("messaging.consumer.group.name", group.clone()));
        }
        attributes.push(KeyValue::new("messaging.client.id", group));
        let span = tracer.span_builder(name).with_kind(SpanKind::Consumer).with_attributes(attributes);
        Working(Some(Context::new().with_span(tracer.build_with_context(span, &parent))))
    }

    /// Adds a message to the batch that is scored, and scores it when it is full or old.
    fn score(&self, tracer: &SdkTracer, topic: &str, sent: Option<SpanContext>) {
        let mut place = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        let batch = place.get_or_insert_with(|| Batch { begun: now, topic: topic.to_owned(), links: Vec::new(), messages: 0 });
        batch.links.extend(sent);
        batch.messages += 1;
        let old = batch.begun.age_at(now) >= BATCH_WAIT;
        if batch.links.len() < BATCH && !old {
            return;
        }
        let Some(batch) = place.take() else { return };
        let attributes = vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", batch.topic.clone()),
            KeyValue::new("messaging.consumer.group.name", SCORING),
            KeyValue::new("messaging.batch.message_count", batch.messages),
        ];
        let links = batch.links.into_iter().map(|sent| Link::new(sent, Vec::new(), 0)).collect();
        // The model is quick; what takes its time is waiting for enough messages.
        let begun = now.minus(Duration::from_millis(12)).as_millis().unsigned_abs();
        let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(begun);
        let span = tracer.span_builder(format!("process {}", batch.topic)).with_kind(SpanKind::Consumer).with_start_time(begun);
        let span = tracer.build_with_context(span.with_attributes(attributes).with_links(links), &Context::new());
        Context::new().with_span(span).span().end();
    }

    /// A message is being sent, as part of `within`; its headers then name the sending, and nothing else.
    pub(super) fn send(&self, group: &str, topic: &str, within: &Working, headers: &mut Headers) -> Working {
        let Some((tracer, names)) = self.tracers.get(group).filter(|_| group != SCORING) else { return Working::default() };
        let attributes = match names {
            Names::New | Names::WithoutGroup => vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
            ],
            Names::Old => vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation", "publish"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
            ],
        };
        let name = if *names == Names::Old { format!("{topic} publish") } else { format!("send {topic}") };
        let span = tracer.span_builder(name).with_kind(SpanKind::Producer).with_attributes(attributes);
        let parent = within.0.clone().unwrap_or_default();
        let context = Context::new().with_span(tracer.build_with_context(span, &parent));
        let sending = context.span().span_context().clone();
        headers.retain(|(name, _)| name != "traceparent" && name != "tracestate");
        let value = format!("00-{}-{}-{:02x}", sending.trace_id(), sending.span_id(), sending.trace_flags().to_u8());
        headers.push(("traceparent".to_owned(), Some(value.into_bytes())));
        Working(Some(context))
    }
}

impl Working {
    /// The message arrived there.
    pub(super) fn arrived(self, place: Place) {
        if let Some(context) = self.0 {
            let span = context.span();
            span.set_attribute(KeyValue::new("messaging.destination.partition.id", place.partition.to_string()));
            span.set_attribute(KeyValue::new("messaging.kafka.message.offset", place.offset));
            span.end();
        }
    }

    /// It was worked on, with this result.
    pub(super) fn ended(self, fault: Option<&Fault>) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        if let Some(fault) = fault {
            let told = vec![KeyValue::new("exception.type", fault.class), KeyValue::new("exception.message", fault.message.clone())];
            span.add_event("exception", told);
            span.set_status(Status::error(fault.message.clone()));
        }
        span.end();
    }
}

/// The sending that a message's headers name: the last `traceparent`, as Java reads it.
fn sent_under(headers: &Headers) -> Option<SpanContext> {
    let value = headers.iter().rev().find(|(name, _)| name == "traceparent").and_then(|(_, value)| value.as_deref())?;
    let mut parts = std::str::from_utf8(value).ok()?.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}
