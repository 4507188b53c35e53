//! The fields of one matched row, read and put together.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;

use crate::dead_letters::conventions::{Encoding, FIELDS, Field};
use crate::model::{Failure, GroupName, Header, Origin, Record, Timestamp, TopicName};

use super::compiled::{CompiledRow, CompiledRule, Order, Resolved};
use super::exception::{Told, root_cause};
use super::{MAX_MESSAGE_BYTES, MAX_STACK_TRACE_BYTES, MAX_WORD_BYTES, value};

/// What one convention says about a dead letter.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    row: &'a CompiledRow,
    slots: [Option<Slot<'a>>; FIELDS],
    origin: Origin,
    failed_at: Option<Timestamp>,
    attempts: Option<i64>,
    last_header: usize,
    problems: String,
}

#[derive(Debug, Clone, Copy)]
struct Slot<'a> {
    value: &'a Bytes,
    rule: &'a CompiledRule,
}

impl<'a> Fields<'a> {
    pub(super) fn read(row: &'a CompiledRow, resolved: &Resolved, headers: &'a [Header]) -> Self {
        let mut fields = Self {
            row,
            slots: [None; FIELDS],
            origin: Origin::default(),
            failed_at: None,
            attempts: None,
            last_header: resolved.iter().flatten().copied().max().unwrap_or(0),
            problems: String::new(),
        };
        let text_of = |rule: usize| resolved.get(rule).copied().flatten().and_then(|header| headers[header].value.as_deref());
        for (rule, header) in row.rules.iter().zip(resolved) {
            let (Some(field), Some(value)) = (rule.field, header.and_then(|header| headers[header].value.as_ref())) else { continue };
            if let Some((other, text, equal)) = rule.only_if
                && (text_of(other) == Some(text.as_bytes())) != equal
            {
                continue;
            }
            let filled = &mut fields.slots[field as usize];
            if filled.is_none() && !(value.is_empty() && is_name(field)) {
                *filled = Some(Slot { value, rule });
            }
        }
        fields.read_coordinates();
        fields
    }

    fn read_coordinates(&mut self) {
        self.origin.topic = self.text(Field::OriginTopic, usize::MAX).map(|topic| TopicName::new(topic.into_owned()));
        if let Some(number) = self.number(Field::OriginPartition) {
            let partition = i32::try_from(number);
            if partition.is_err() {
                self.problem(Field::OriginPartition, "is not a partition");
            }
            self.origin.partition = partition.ok().filter(|partition| *partition >= 0);
        }
        self.origin.offset = self.number(Field::OriginOffset).filter(|offset| *offset >= 0);
        self.origin.timestamp = self.time(Field::OriginTimestamp);
        self.failed_at = self.time(Field::FailedAt);
        self.attempts = match self.number(Field::Attempts) {
            Some(attempts) => Some(attempts),
            None => self.number(Field::NextAttempt).map(|next| next.saturating_sub(1)),
        };
    }

    /// Whether this convention wrote later than the other: by offset in the same partition, by times, by which origin the
    /// dead-letter topic is named after, by the order of headers.
    pub(super) fn is_newer_than(&self, other: &Self, dead_letter_topic: &str) -> bool {
        let (a, b) = (&self.origin, &other.origin);
        let (newer, older) = match (a, b) {
            _ if a.topic.is_some() && a.topic == b.topic && a.partition == b.partition && a.offset != b.offset => (a.offset, b.offset),
            _ => {
                let when = |fields: &Self| fields.failed_at.or(fields.origin.timestamp).map(Timestamp::as_millis);
                match (when(self), when(other)) {
                    (Some(x), Some(y)) => (Some(x), Some(y)),
                    _ => (None, None),
                }
            }
        };
        if newer != older {
            return newer > older;
        }
        let named = |origin: &Origin| origin.topic.as_ref().is_some_and(|topic| dead_letter_topic.contains(topic.as_str()));
        if named(a) != named(b) {
            return named(a);
        }
        let told = |origin: &Origin| (origin.topic.is_some(), origin.offset.is_some());
        if told(a) != told(b) {
            return told(a) > told(b);
        }
        let prepends = |fields: &Self| matches!(fields.row.order, Order::FirstSet(_));
        if prepends(self) == prepends(other) { self.last_header > other.last_header } else { prepends(self) }
    }

    pub(super) fn into_failure(mut self, record: &Record, dead_letter_topic: &TopicName) -> Failure {
        let stack = self.text(Field::StackTrace, MAX_STACK_TRACE_BYTES);
        let (class, cause) = (self.text(Field::ExceptionClass, MAX_WORD_BYTES), self.text(Field::CauseClass, MAX_WORD_BYTES));
        let (message, cause_message) = (self.text(Field::Message, MAX_MESSAGE_BYTES), self.text(Field::CauseMessage, MAX_MESSAGE_BYTES));
        let (exception_class, message) = root_cause(&Told {
            class: class.as_deref(),
            cause: cause.as_deref(),
            message: message.as_deref(),
            cause_message: cause_message.as_deref(),
            stack: stack.as_deref(),
        });
        let (consumer_group, consumer_group_inferred) = self.consumer_group(dead_letter_topic);
        let (original_key, original_value) = self.original();
        Failure {
            convention: self.row.convention.clone(),
            matched: Vec::new(),
            exception_class,
            message,
            consumer_group,
            consumer_group_inferred,
            failed_at: self.failed_at,
            record_timestamp_is_failure_time: self.row.record_timestamp_is_failure_time,
            original_value,
            original_key,
            attempts: self.attempts.filter(|n| *n >= 0).map(|attempts| i32::try_from(attempts).unwrap_or(i32::MAX)),
            trace_id: None,
            is_pointer: self.row.may_be_pointer && record.key.is_none() && record.value.is_none(),
            stack_trace: stack.map(Cow::into_owned),
            stage: self.text(Field::Stage, MAX_WORD_BYTES).map(Cow::into_owned),
            origin: self.origin,
            problem: (!self.problems.is_empty()).then_some(self.problems),
        }
    }

    /// The original key and value, where headers hold them.
    pub(super) fn original(&self) -> (Option<Bytes>, Option<Bytes>) {
        let bytes = |field: Field| self.slots[field as usize].map(|slot| slot.value.clone());
        (bytes(Field::OriginalKey), bytes(Field::OriginalValue))
    }

    fn consumer_group(&mut self, dead_letter_topic: &TopicName) -> (Option<GroupName>, bool) {
        if let Some(group) = self.text(Field::ConsumerGroup, usize::MAX) {
            return (Some(GroupName::new(group.into_owned())), false);
        }
        if let Some(connector) = self.text(Field::Connector, usize::MAX) {
            return (Some(GroupName::new(format!("connect-{connector}"))), false);
        }
        let group = self.row.group_in_topic_name.and_then(|template| {
            let origin = self.origin.topic.as_ref()?;
            group_in_name(template, origin.as_str(), dead_letter_topic.as_str())
        });
        let inferred = group.is_some();
        (group.map(GroupName::from), inferred)
    }

    /// A field's text, at most so many bytes of it; what was cut is said.
    fn text(&mut self, field: Field, max_bytes: usize) -> Option<Cow<'a, str>> {
        let Slot { value, rule } = self.slots[field as usize]?;
        if value.len() > max_bytes {
            self.say(&rule.header, value.len(), &format!("only the first {max_bytes} were read"));
        }
        let mut end = value.len().min(max_bytes);
        while end < value.len() && end > 0 && value[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        let text = String::from_utf8_lossy(&value[..end]);
        let text = match rule.encoding {
            Encoding::Uri => Cow::Owned(value::name_in_uri(&text).to_owned()),
            Encoding::TextBeforeIn => text.split_once(" in ").map_or_else(|| text.clone(), |(before, _)| Cow::Owned(before.to_owned())),
            _ => text,
        };
        (!text.is_empty()).then_some(text)
    }

    fn number(&mut self, field: Field) -> Option<i64> {
        let Slot { value, rule } = self.slots[field as usize]?;
        let number = value::integer(value, rule.encoding);
        if number.is_none() {
            self.problem(field, "is not a number");
        }
        number
    }

    /// A time; negative ones mean "none" in Kafka.
    fn time(&mut self, field: Field) -> Option<Timestamp> {
        let Slot { value, rule } = self.slots[field as usize]?;
        let time = value::time(value, rule.encoding);
        if time.is_none() {
            self.problem(field, "is not a time");
        }
        time.filter(|time| time.as_millis() >= 0)
    }

    fn problem(&mut self, field: Field, what: &str) {
        if let Some(Slot { value, rule }) = self.slots[field as usize] {
            self.say(&rule.header, value.len(), what);
        }
    }

    /// Names the header and its size, never its content: this text reaches screens and answers of the API.
    fn say(&mut self, header: &str, bytes: usize, what: &str) {
        let separator = if self.problems.is_empty() { "" } else { "; " };
        let unit = if bytes == 1 { "byte" } else { "bytes" };
        // Writing to a String cannot fail.
        let _ = write!(self.problems, "{separator}header {header} ({bytes} {unit}) {what}");
    }
}

/// Empty names say nothing; empty messages and bytes do.
const fn is_name(field: Field) -> bool {
    matches!(
        field,
        Field::OriginTopic
            | Field::ExceptionClass
            | Field::CauseClass
            | Field::ConsumerGroup
            | Field::Connector
            | Field::Stage
            | Field::StackTrace
    )
}

/// The group in a dead-letter topic's name, given the template and the origin topic.
fn group_in_name<'a>(template: &str, origin: &str, name: &'a str) -> Option<&'a str> {
    let (before, rest) = template.split_once("{topic}")?;
    let (between, after) = rest.split_once("{group}")?;
    let group = name.strip_prefix(before)?.strip_prefix(origin)?.strip_prefix(between)?.strip_suffix(after)?;
    (!group.is_empty()).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_in_topic_names() {
        let template = "error.{topic}.{group}";
        assert_eq!(group_in_name(template, "orders.v1", "error.orders.v1.billing.eu"), Some("billing.eu"));
        assert_eq!(group_in_name(template, "orders", "error.orders."), None);
        assert_eq!(group_in_name(template, "orders", "orders-dlq"), None);
    }
}
