//! What a span did on a message bus, in our own words, whichever names its instrumentation used.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::model::dead_letter::{UnknownWord, words};

words! {
    /// What a span does with messages.
    Operation {
        /// Makes a message that is sent later or in a batch.
        Create = "create" / 0,
        /// Hands messages to the bus.
        Send = "send" / 1,
        /// Takes messages from the bus.
        Receive = "receive" / 2,
        /// Works on messages.
        Process = "process" / 3,
        /// Commits or acknowledges.
        Settle = "settle" / 4,
        /// Something else, or not said.
        Other = "other" / 5,
    }
}

/// What a span did on a message bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messaging {
    /// `kafka`, `rabbitmq`, `aws_sqs`, ...; `unknown` when nothing tells.
    pub system: Cow<'static, str>,
    /// What it did.
    pub operation: Operation,
    /// Topic or queue.
    pub destination: Option<String>,
    /// Partition, where the span is about one.
    pub partition: Option<i32>,
    /// Offset, where the span is about one message.
    pub offset: Option<i64>,
    /// Consumer group, where the instrumentation knows it.
    pub consumer_group: Option<String>,
    /// The client's id on the bus.
    pub client_id: Option<String>,
    /// The message's id, not ours.
    pub message_id: Option<String>,
    /// The id that ties messages of one conversation.
    pub conversation_id: Option<String>,
    /// Whether the span names the message's key, which it must not when the key is null.
    pub key_present: bool,
    /// Whether the message has no value.
    pub tombstone: bool,
    /// How many messages the span is about, where it is about a batch; may be 0.
    pub batch_count: Option<u64>,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The broker, as the client names it.
    pub broker: Option<String>,
    /// Size of the message's value.
    pub body_size_bytes: Option<u64>,
    /// How long the message waited in the topic, as the instrumentation says.
    pub queue_time_ms: Option<i64>,
}

impl Messaging {
    /// Of this system and operation, and nothing else known.
    #[must_use]
    pub const fn new(system: Cow<'static, str>, operation: Operation) -> Self {
        Self {
            system,
            operation,
            destination: None,
            partition: None,
            offset: None,
            consumer_group: None,
            client_id: None,
            message_id: None,
            conversation_id: None,
            key_present: false,
            tombstone: false,
            batch_count: None,
            cluster_id: None,
            broker: None,
            body_size_bytes: None,
            queue_time_ms: None,
        }
    }
}

/// Which message a link is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkCoordinates {
    /// Topic or queue.
    pub destination: Option<String>,
    /// Partition.
    pub partition: Option<i32>,
    /// Offset.
    pub offset: Option<i64>,
    /// The message's id.
    pub message_id: Option<String>,
}
