//! Spans as the receivers hand them on: one form for OTLP's encodings and for every generation of attribute names.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::Timestamp;
use super::dead_letter::{UnknownWord, words};

pub use ids::{NotAnId, SpanId, TraceId};
pub use messaging::{LinkCoordinates, Messaging, Operation};
pub use value::{Attribute, Attributes, Value, attribute};

mod ids;
mod messaging;
mod value;
pub mod wire;

words! {
    /// What part a span plays in its conversation.
    SpanKind {
        /// Not said.
        Unspecified = "unspecified" / 0,
        /// Work inside of one service.
        Internal = "internal" / 1,
        /// Answers a request.
        Server = "server" / 2,
        /// Makes a request.
        Client = "client" / 3,
        /// Sends a message.
        Producer = "producer" / 4,
        /// Takes a message.
        Consumer = "consumer" / 5,
    }
}

words! {
    /// What a span's service says of its outcome.
    SpanStatus {
        /// Nothing.
        Unset = "unset" / 0,
        /// It went well, even if something in it failed.
        Ok = "ok" / 1,
        /// It failed.
        Error = "error" / 2,
    }
}

/// Spans on their way. They are large, and sorted, divided and handed on: each has a place of its own.
pub type Spans = Vec<Box<Span>>;

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace it belongs to; never zero.
    pub trace_id: TraceId,
    /// Its own id, unique in the trace; never zero.
    pub span_id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Whether the parent ran in another process, as far as the sender says.
    pub parent_remote: Option<bool>,
    /// `service.name`; `unknown_service` when the sender gives none, as SDKs write it themselves.
    pub service: Arc<str>,
    /// `service.instance.id`.
    pub service_instance: Option<Arc<str>>,
    /// Name of the instrumentation; empty when not given.
    pub scope: Arc<str>,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Start: nanoseconds since the Unix epoch by the sender's clock.
    pub start: i64,
    /// End, never before the start.
    pub end: i64,
    /// The sender gave an end before the start; `end` was set to `start`.
    pub ended_before_start: bool,
    /// Status.
    pub status: SpanStatus,
    /// The status in words; often empty.
    pub status_message: String,
    /// `error.type`.
    pub error_type: Option<String>,
    /// The last event `exception`.
    pub exception: Option<SpanException>,
    /// Attributes as sent, in their order.
    pub attributes: Vec<Attribute>,
    /// Attributes of the sending process, shared by its spans.
    pub resource: Attributes,
    /// Events in their order.
    pub events: Vec<SpanEvent>,
    /// Links in their order.
    pub links: Vec<SpanLink>,
    /// What the sender had to leave out.
    pub dropped: Dropped,
    /// What the span did on a message bus; `None` when it did nothing there.
    pub messaging: Option<Box<Messaging>>,
}

/// An exception that a span recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanException {
    /// `exception.type`.
    pub class: Option<String>,
    /// `exception.message`.
    pub message: Option<String>,
    /// Whether it left the span (`exception.escaped`).
    pub escaped: bool,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// When: nanoseconds since the Unix epoch.
    pub at: i64,
    /// Name.
    pub name: String,
    /// Attributes as sent.
    pub attributes: Vec<Attribute>,
}

/// A tie to another span, often of another trace.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanLink {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// Attributes as sent.
    pub attributes: Vec<Attribute>,
    /// Which message the link is about, where the link says so.
    pub coordinates: LinkCoordinates,
}

/// Counts of what a sender left out because of its own limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Attributes.
    pub attributes: u32,
    /// Events.
    pub events: u32,
    /// Links.
    pub links: u32,
}

impl Span {
    /// Forgets what nobody counts or searches by, as [`wire::decode_outline`] leaves it out.
    pub fn reduce_to_outline(&mut self) {
        static NONE: LazyLock<Attributes> = LazyLock::new(|| Arc::from([]));
        self.attributes = Vec::new();
        self.resource = Arc::clone(&NONE);
        self.events = Vec::new();
        self.links.iter_mut().for_each(|link| link.attributes = Vec::new());
        if let Some(messaging) = &mut self.messaging {
            (messaging.message_id, messaging.conversation_id) = (None, None);
        }
    }

    /// When it started, to the millisecond.
    #[must_use]
    pub const fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.start.div_euclid(1_000_000))
    }

    /// When it ended, to the millisecond.
    #[must_use]
    pub const fn ended_at(&self) -> Timestamp {
        Timestamp::from_millis(self.end.div_euclid(1_000_000))
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start).max(0).unsigned_abs())
    }

    /// Whether it failed: its status says so, or it names an error or an exception that left it and the status does not say it went well.
    #[must_use]
    pub fn failed(&self) -> bool {
        match self.status {
            SpanStatus::Error => true,
            SpanStatus::Ok => false,
            SpanStatus::Unset => self.error_type.is_some() || self.exception.as_ref().is_some_and(|exception| exception.escaped),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
