//! OTLP's JSON, read tolerantly: what proto3 JSON and the specification of OTLP allow must not cost a batch, whichever library
//! wrote it. Null is the default, 64-bit numbers may be text, hex may be upper case, unknown fields are ignored at any depth, and
//! text may hold half a surrogate pair (JavaScript cuts long attributes so). Names of enums and base64 ids are against the
//! specification and refused.

use std::sync::Arc;

use serde::de::MapAccess;

use super::Undecodable;
use super::assemble::{Batch, Flaw, Process, RawEvent, RawLink, RawSpan};
use crate::model::span::{Attribute, Value};
use object::{Message, Object, objects, read};
use scalars::{Base64, Double, Enumeration, Hex, Signed, Text, Unsigned};

mod object;
mod scalars;

/// Objects that a request may hold, as everything that takes memory is one: see the limit of the protobuf decoder.
const MOST_OBJECTS: usize = 4_000_000;

/// The spans of an `ExportTraceServiceRequest`, which is also `TracesData`.
pub(super) fn decode(bytes: &[u8]) -> Result<Batch, Undecodable> {
    if memchr::memchr_iter(b'{', bytes).count() > MOST_OBJECTS {
        return Err(Undecodable::TooMany);
    }
    let Object(request): Object<Request> = serde_json::from_slice(bytes)
        .map_err(|error| Undecodable::Malformed(format!("the body is not OTLP's JSON: {}", reason(&error))))?;
    let mut batch = Batch::default();
    for resource_spans in request.resource_spans {
        let process = Process::new(resource_spans.resource.attributes);
        for scope_spans in resource_spans.scope_spans {
            let scope: Arc<str> = scope_spans.scope.name.into();
            for span in scope_spans.spans {
                batch.take(if is_too_deep(&span) { Err(Flaw::Depth) } else { span.finish(&process, &scope) });
            }
        }
    }
    Ok(batch)
}

/// What is wrong and where. The parser quotes texts that it did not expect; they may be contents, and go no further.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(['"', '`']).next().unwrap_or_default().trim_end();
    let what = what.split(" at line ").next().unwrap_or_default();
    format!("{what}, line {} column {}", error.line(), error.column())
}

#[derive(Debug, Default)]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Debug, Default)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Debug, Default)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Default)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<RawSpan>,
}

#[derive(Debug, Default)]
struct Scope {
    name: String,
}

#[derive(Debug, Default)]
struct Status {
    message: String,
    code: i64,
}

#[derive(Debug, Default)]
struct KeyValue {
    key: String,
    value: Any,
}

/// `AnyValue`.
#[derive(Debug)]
struct Any(Value);

impl Default for Any {
    fn default() -> Self {
        Self(Value::Empty)
    }
}

/// `ArrayValue`.
#[derive(Debug, Default)]
struct Array {
    values: Vec<Any>,
}

/// `KeyValueList`.
#[derive(Debug, Default)]
struct Pairs {
    values: Vec<Attribute>,
}

impl Message for Request {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "resourceSpans" => self.resource_spans = objects(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for ResourceSpans {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "resource" => self.resource = map.next_value::<Object<_>>()?.0,
            "scopeSpans" => self.scope_spans = objects(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Resource {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "attributes" => self.attributes = attributes(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for ScopeSpans {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "scope" => self.scope = map.next_value::<Object<_>>()?.0,
            "spans" => self.spans = objects(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Scope {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "name" => self.name = read::<Text, _>(map)?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for RawSpan {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "traceId" => self.trace_id = read::<Hex, _>(map)?.0,
            "spanId" => self.span_id = read::<Hex, _>(map)?.0,
            "parentSpanId" => self.parent = read::<Hex, _>(map)?.0,
            "flags" => self.flags = small(read(map)?),
            "name" => self.name = read::<Text, _>(map)?.0,
            "kind" => self.kind = read::<Enumeration, _>(map)?.0,
            "startTimeUnixNano" => self.start = read::<Unsigned, _>(map)?.0,
            "endTimeUnixNano" => self.end = read::<Unsigned, _>(map)?.0,
            "attributes" => self.attributes = attributes(map)?,
            "droppedAttributesCount" => self.dropped.attributes = small(read(map)?),
            "events" => self.events = objects(map)?,
            "droppedEventsCount" => self.dropped.events = small(read(map)?),
            "links" => self.links = objects(map)?,
            "droppedLinksCount" => self.dropped.links = small(read(map)?),
            "status" => {
                let status = map.next_value::<Object<Status>>()?.0;
                (self.status_code, self.status_message) = (status.code, status.message);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for RawEvent {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "timeUnixNano" => self.at = read::<Unsigned, _>(map)?.0,
            "name" => self.name = read::<Text, _>(map)?.0,
            "attributes" => self.attributes = attributes(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for RawLink {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "traceId" => self.trace_id = read::<Hex, _>(map)?.0,
            "spanId" => self.span_id = read::<Hex, _>(map)?.0,
            "attributes" => self.attributes = attributes(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Status {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "message" => self.message = read::<Text, _>(map)?.0,
            "code" => self.code = read::<Enumeration, _>(map)?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for KeyValue {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "key" => self.key = read::<Text, _>(map)?.0,
            "value" => self.value = map.next_value::<Object<_>>()?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Any {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        let value = match key {
            "stringValue" => map.next_value::<Option<Text>>()?.map(|text| Value::String(text.0)),
            "boolValue" => map.next_value::<Option<bool>>()?.map(Value::Bool),
            "intValue" => map.next_value::<Option<Signed>>()?.map(|number| Value::Int(number.0)),
            "doubleValue" => map.next_value::<Option<Double>>()?.map(|number| Value::Double(number.0)),
            "bytesValue" => map.next_value::<Option<Base64>>()?.map(|bytes| Value::Bytes(bytes.0)),
            "arrayValue" => map.next_value::<Option<Object<Array>>>()?.map(|array| list(array.0)),
            "kvlistValue" => map.next_value::<Option<Object<Pairs>>>()?.map(|pairs| Value::Map(pairs.0.values)),
            _ => return Ok(false),
        };
        if let Some(value) = value {
            self.0 = value;
        }
        Ok(true)
    }
}

impl Message for Array {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "values" => self.values = objects(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Pairs {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "values" => self.values = attributes(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn attributes<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<Attribute>, A::Error> {
    let pairs: Vec<KeyValue> = objects(map)?;
    Ok(pairs.into_iter().map(|pair| (pair.key.into(), pair.value.0)).collect())
}

fn list(array: Array) -> Value {
    Value::List(array.values.into_iter().map(|value| value.0).collect())
}

fn small(number: Unsigned) -> u32 {
    u32::try_from(number.0).unwrap_or(u32::MAX)
}

/// The parser stops at 128 levels of JSON, a little deeper than our values may be.
fn is_too_deep(span: &RawSpan) -> bool {
    let all = |attributes: &[Attribute]| attributes.iter().any(|(_, value)| is_deeper(value, Value::MAX_DEPTH));
    all(&span.attributes) || span.events.iter().any(|event| all(&event.attributes)) || span.links.iter().any(|link| all(&link.attributes))
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::List(values) => levels == 0 || values.iter().any(|value| is_deeper(value, levels - 1)),
        Value::Map(values) => levels == 0 || values.iter().any(|(_, value)| is_deeper(value, levels - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
