//! A shop's traffic as its SDKs send it: a message is sent within a request, billed in the same trace, shipped in one of its own with a
//! link, and audited in batches with ten links. Old and new names; one billing in a hundred fails.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

mod spans;

use spans::{resource, scope};
pub(crate) use spans::{span_id, trace_id};

/// Messages that one batch consumer's span is about.
pub(crate) const BATCH: usize = 10;
const TOPICS: usize = 20;
/// Instances of each of the three services.
const INSTANCES: usize = 4;
/// Spans of a batch of messages: seven of each, and one about all.
const SPANS_OF_BATCH: usize = 7 * BATCH + 1;
const FAILS_EVERY: usize = 100;

/// Who sends a span: a service and which of its processes.
type Sender = (Service, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Shop,
    Billing,
    Shipping,
    Audit,
}

impl Service {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Billing => "billing",
            Self::Shipping => "shipping",
            Self::Audit => "audit",
        }
    }
}

/// One message; numbers count from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message(pub(crate) usize);

impl Message {
    /// Messages of a batch are on one topic.
    pub(crate) fn topic(self) -> String {
        format!("orders-{:02}", self.0 / BATCH % TOPICS)
    }

    pub(crate) const fn fails(self) -> bool {
        self.0 % FAILS_EVERY == 37
    }
}

/// Whole batches of messages, and when the first was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    batches: usize,
    begin_ns: u64,
}

impl Traffic {
    pub(crate) fn of_about(spans: usize) -> Self {
        let begin_ns = redrive::model::Timestamp::now().as_millis().unsigned_abs() * 1_000_000;
        Self { batches: spans.div_ceil(SPANS_OF_BATCH), begin_ns }
    }

    pub(crate) const fn spans(self) -> usize {
        self.batches * SPANS_OF_BATCH
    }

    pub(crate) const fn messages(self) -> usize {
        self.batches * BATCH
    }

    /// Each message comes to three consumer groups.
    pub(crate) const fn deliveries(self) -> usize {
        3 * self.messages()
    }

    /// Encoded requests with so many spans, and how many they have: those at the end have fewer.
    pub(crate) fn requests(self, size: usize) -> impl Iterator<Item = (Bytes, usize)> {
        let mut waiting: BTreeMap<Sender, Vec<Span>> = BTreeMap::new();
        let mut next = 0;
        std::iter::from_fn(move || {
            loop {
                let full = waiting.iter().find(|(_, spans)| spans.len() >= size || next == self.messages()).map(|(sender, _)| *sender);
                if let Some(sender) = full {
                    let mut spans = waiting.remove(&sender)?;
                    if spans.len() > size {
                        waiting.insert(sender, spans.split_off(size));
                    }
                    return Some((Bytes::from(request(sender, &mut spans)), spans.len()));
                }
                if next == self.messages() {
                    return None;
                }
                for (sender, span) in self.spans_of(Message(next)) {
                    waiting.entry(sender).or_default().push(span);
                }
                next += 1;
            }
        })
    }

    /// The spans about a message; the last of a batch has that of the whole batch.
    pub(crate) fn spans_of(self, message: Message) -> Vec<(Sender, Span)> {
        let instance = message.0 / BATCH % INSTANCES;
        let at = self.begin_ns + message.0 as u64 * 50_000;
        let of = |service| move |span: Span| ((service, instance), span);
        let mut all: Vec<(Sender, Span)> = spans::shop(message, at).into_iter().map(of(Service::Shop)).collect();
        all.extend(spans::billing(message, at).into_iter().map(of(Service::Billing)));
        all.extend(spans::shipping(message, at).into_iter().map(of(Service::Shipping)));
        if message.0 % BATCH == BATCH - 1 {
            all.push(((Service::Audit, 0), spans::audit(message, at)));
        }
        all
    }
}

fn request((service, instance): Sender, spans: &mut Vec<Span>) -> Vec<u8> {
    let scope = InstrumentationScope { name: scope(service).to_owned(), version: "2.9.0".to_owned(), ..InstrumentationScope::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: std::mem::take(spans), ..ScopeSpans::default() };
    let resource = Resource { attributes: resource(service, instance), ..Resource::default() };
    let of_process = ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    let mut request = ExportTraceServiceRequest { resource_spans: vec![of_process] };
    let bytes = request.encode_to_vec();
    // Given back, so that the caller can count them.
    *spans = std::mem::take(&mut request.resource_spans[0].scope_spans[0].spans);
    bytes
}
