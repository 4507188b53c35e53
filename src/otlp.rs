//! Spans from services: OTLP over gRPC, over HTTP, and from Kafka topics. The only room that names OTLP's protobufs.
//!
//! Whatever the way in, spans become [`crate::model::span::Span`]: ids and times checked, old and new attribute names brought
//! together (`aliases`), one bad span costing only itself. Then they are handed to an [`Intake`], and the sender is told only after
//! that has kept them for good. Decoding runs on blocking threads, and the bytes in flight are bounded: whoever comes when all is
//! full is asked to come again, and no one's spans wait in memory without an end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::model::span::Spans;

mod aliases;
mod assemble;
mod budget;
mod grpc;
mod http;
mod intake;
mod json;
mod listen;
mod protobuf;
mod receiver;
mod refusal;
mod topic;

pub use intake::StoreIntake;
pub use listen::{CannotListen, Listeners, listen};
pub use topic::{TopicContext, TopicSource, spawn_topics};

/// Where spans go.
pub trait Intake: Send + Sync {
    /// Keeps spans. Returns when they are written for good; until then the sender holds them and will send them again. The future is
    /// dropped when the sender goes away; what it had begun may be kept or not, as the spans will come again.
    fn keep(&self, spans: Spans) -> BoxFuture<'_, Result<Kept, Refused>>;
}

/// Spans were kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// What the sender should know although all went well.
    pub warning: Option<String>,
}

/// Spans were not kept, and should be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is more than can be written at present.
    Full {
        /// When to come again.
        retry_after: Duration,
    },
    /// They cannot be kept at present, for this reason.
    Unavailable(String),
}

/// How spans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// JSON.
    Json,
}

/// Why bytes are not spans.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Undecodable {
    /// They are not what they claim to be.
    Malformed(String),
    /// They hold more parts than a request may.
    TooMany,
}

fn decode(bytes: &[u8], encoding: Encoding) -> Result<assemble::Batch, Undecodable> {
    match encoding {
        Encoding::Protobuf => protobuf::decode(bytes),
        Encoding::Json => json::decode(bytes),
    }
}

impl fmt::Debug for dyn Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intake")
    }
}

/// Where spans go, shared by the ways in.
pub type SharedIntake = Arc<dyn Intake>;
