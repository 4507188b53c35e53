//! What libraries put where a plain value was meant.

use std::borrow::Cow;

use crate::model::span::{Operation, Value};

/// Text, also of a number.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Int(_) | Value::Double(_) => value.as_int().map(|number| Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The operation of a word, of any generation.
pub(super) fn operation(word: &str) -> Option<Operation> {
    const WORDS: &[(&str, Operation)] = &[
        ("create", Operation::Create),
        ("send", Operation::Send),
        ("publish", Operation::Send),
        ("produce", Operation::Send),
        ("receive", Operation::Receive),
        ("recv", Operation::Receive),
        ("poll", Operation::Receive),
        ("process", Operation::Process),
        ("consume", Operation::Process),
        ("deliver", Operation::Process),
        ("settle", Operation::Settle),
        ("commit", Operation::Settle),
        ("ack", Operation::Settle),
        ("nack", Operation::Settle),
    ];
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, operation)| *operation)
}

/// Operation and destination in a span's name: `orders publish` as it was until 1.24, `send orders` since, `poll` alone.
pub(super) fn span_name(name: &str) -> Option<(Operation, Option<&str>)> {
    let mut words = name.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let Some(second) = second else { return operation(first).map(|operation| (operation, None)) };
    match operation(second) {
        Some(operation) => Some((operation, Some(first))),
        None => operation(first).map(|operation| (operation, Some(second))),
    }
}

/// Topic, partition and offset in a message's id: `orders.3.42` (Python) or the bare offset (older Go).
pub(super) fn message_id<'a>(id: &'a str, destination: Option<&str>) -> (Option<&'a str>, Option<i32>, Option<i64>) {
    if let Some(offset) = digits(id) {
        return (None, None, Some(offset));
    }
    let parts = || {
        let (rest, offset) = id.rsplit_once('.')?;
        let (topic, partition) = rest.rsplit_once('.')?;
        let same = !topic.is_empty() && destination.is_none_or(|destination| destination == topic);
        same.then_some((topic, i32::try_from(digits(partition)?).ok()?, digits(offset)?))
    };
    parts().map_or((None, None, None), |(topic, partition, offset)| (Some(topic), Some(partition), Some(offset)))
}

/// The broker: an address, the first of a list, or of a JSON list in a text (aiokafka, kafka-python); with its port.
pub(super) fn broker(value: &Value, port: Option<i64>) -> Option<String> {
    let address = match value {
        Value::List(values) => values.iter().find_map(Value::as_str).map(str::to_owned),
        Value::String(text) if text.trim_start().starts_with(['[', '"']) => first_of_json(text),
        Value::String(text) => text.split(',').map(str::trim).find(|part| !part.is_empty()).map(str::to_owned),
        _ => None,
    }?;
    Some(match port {
        Some(port) if !address.contains(':') => format!("{address}:{port}"),
        _ => address,
    })
}

fn first_of_json(text: &str) -> Option<String> {
    match serde_json::from_str(text).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(values) => values.into_iter().find_map(|value| value.as_str().map(str::to_owned)),
        _ => None,
    }
}

/// A number written in digits only, as an offset is.
fn digits(text: &str) -> Option<i64> {
    let only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    only.then(|| text.parse().ok()).flatten()
}
