//! Old and new names of the semantic conventions for messaging meet here: one table, and what our words are made of.
//!
//! The conventions are still in development and every library follows another version of them; with `messaging/dup` two
//! generations arrive on one span. The first name of a row that has a value wins. A value may come as a number, a double or text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::model::span::{Attribute, LinkCoordinates, Messaging, Operation, SpanKind, Value};

mod table;
mod values;

use table::{ALIASES, Field};

/// What the placeholder of Micrometer says where there is no value.
const NONE: &str = "none";

/// Where each name stands in the table.
static INDEX: LazyLock<HashMap<&'static str, (Field, usize), RandomState>> = LazyLock::new(|| {
    let names =
        |&(field, names): &(Field, &'static [&'static str])| names.iter().enumerate().map(move |(rank, name)| (*name, (field, rank)));
    ALIASES.iter().flat_map(names).collect()
});

/// First letters of the table's names: most attributes are told apart by theirs, without a look into the index.
static FIRST: LazyLock<[bool; 256]> = LazyLock::new(|| {
    let mut first = [false; 256];
    INDEX.keys().filter_map(|name| name.bytes().next()).for_each(|byte| first[usize::from(byte)] = true);
    first
});

/// The attributes that the table knows, each by the best of its names.
pub(super) struct Known<'a> {
    found: [Option<(usize, &'a Value)>; Field::COUNT],
    kafka: bool,
}

impl<'a> Known<'a> {
    pub(super) fn of(attributes: &'a [Attribute]) -> Self {
        let mut known = Self { found: [None; Field::COUNT], kafka: false };
        for (name, value) in attributes {
            let may_be_known = name.bytes().next().is_some_and(|byte| FIRST[usize::from(byte)]);
            let Some(&(field, rank)) = may_be_known.then(|| INDEX.get(&**name)).flatten() else { continue };
            if !has_value(field, value) {
                continue;
            }
            known.kafka |= name.contains("kafka");
            let slot = &mut known.found[field as usize];
            if slot.is_none_or(|(other, _)| rank < other) {
                *slot = Some((rank, value));
            }
        }
        known
    }

    /// `error.type`.
    pub(super) fn error_type(&self) -> Option<String> {
        self.owned(Field::ErrorType)
    }

    /// What the span did on a bus; `None` when nothing says that it did anything.
    pub(super) fn messaging(&self, name: &str, kind: SpanKind) -> Option<Messaging> {
        if !Field::TELLING.iter().any(|field| self.found[*field as usize].is_some()) {
            return None;
        }
        let named = values::span_name(name);
        let system = self.system();
        let LinkCoordinates { destination, partition, offset, message_id } = self.coordinates_on(&system);
        Some(Messaging {
            operation: self.operation().or(named.map(|(operation, _)| operation)).unwrap_or_else(|| by_kind(kind)),
            destination: destination.or_else(|| named.and_then(|(_, destination)| destination).map(str::to_owned)),
            partition,
            offset,
            consumer_group: self.consumer_group(),
            client_id: self.owned(Field::ClientId),
            message_id,
            conversation_id: self.owned(Field::ConversationId),
            key_present: self.value(Field::Key).is_some(),
            tombstone: self.value(Field::Tombstone).and_then(Value::as_bool).unwrap_or(false),
            batch_count: self.count(Field::BatchCount),
            cluster_id: self.owned(Field::ClusterId),
            broker: self.value(Field::Broker).and_then(|value| values::broker(value, self.int(Field::BrokerPort))),
            body_size_bytes: self.count(Field::BodySize),
            queue_time_ms: self.int(Field::QueueTime),
            system,
        })
    }

    /// Which message a link is about.
    pub(super) fn coordinates(&self) -> LinkCoordinates {
        self.coordinates_on(&self.system())
    }

    fn coordinates_on(&self, system: &str) -> LinkCoordinates {
        let message_id = self.owned(Field::MessageId);
        let destination = self.owned(Field::Destination);
        // Some instrumentations of Kafka have no other place for the offset than the message's id.
        let told =
            message_id.as_deref().filter(|_| matches!(system, "kafka" | UNKNOWN)).map(|id| values::message_id(id, destination.as_deref()));
        let (topic, partition, offset) = told.unwrap_or_default();
        LinkCoordinates {
            partition: self.int(Field::Partition).and_then(|number| i32::try_from(number).ok()).or(partition),
            offset: self.int(Field::Offset).or(offset),
            destination: destination.or_else(|| topic.map(str::to_owned)),
            message_id,
        }
    }

    fn system(&self) -> Cow<'static, str> {
        match self.text(Field::System).as_deref() {
            Some("kafka") => Cow::Borrowed("kafka"),
            Some(other) => Cow::Owned(other.to_owned()),
            None if self.kafka => Cow::Borrowed("kafka"),
            None => Cow::Borrowed(UNKNOWN),
        }
    }

    fn operation(&self) -> Option<Operation> {
        [Field::OperationType, Field::OperationOld, Field::OperationName]
            .into_iter()
            .find_map(|field| self.text(field).and_then(|word| values::operation(&word)))
    }

    fn consumer_group(&self) -> Option<String> {
        // Spring's listeners: "group - client".
        let prefix = || self.text(Field::ConsumerId)?.split_once(" - ").map(|(group, _)| group.to_owned());
        self.owned(Field::ConsumerGroup).or_else(|| prefix().filter(|group| !group.is_empty() && group != NONE))
    }

    fn value(&self, field: Field) -> Option<&'a Value> {
        self.found[field as usize].map(|(_, value)| value)
    }

    fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.value(field).and_then(values::text)
    }

    fn owned(&self, field: Field) -> Option<String> {
        self.text(field).map(Cow::into_owned)
    }

    fn int(&self, field: Field) -> Option<i64> {
        self.value(field).and_then(Value::as_int).filter(|number| *number >= 0)
    }

    fn count(&self, field: Field) -> Option<u64> {
        self.int(field).and_then(|number| u64::try_from(number).ok())
    }
}

/// The system where nothing names one.
const UNKNOWN: &str = "unknown";

/// Placeholders and empty texts are no values; only a key may be empty.
fn has_value(field: Field, value: &Value) -> bool {
    match value {
        Value::Empty => false,
        Value::String(text) => text != NONE && (field == Field::Key || !text.trim().is_empty()),
        _ => true,
    }
}

const fn by_kind(kind: SpanKind) -> Operation {
    match kind {
        SpanKind::Producer => Operation::Send,
        SpanKind::Consumer => Operation::Process,
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests;
