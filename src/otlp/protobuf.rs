//! OTLP's protobuf, straight into our own form. Not by generated types: one damaged span, or one text that is not UTF-8 (which
//! other receivers take), would cost the whole request there, and every id and name would be allocated twice.

use std::sync::Arc;

use super::Undecodable;
use super::assemble::{Batch, Flaw, Process, RawEvent, RawId, RawLink, RawSpan};
use crate::model::span::{Attribute, Value};
use names::Names;
use wire::{Damaged, Field, Fields};

mod names;
mod wire;

/// How many attributes, events, links and values a request may hold; a span counts as eight. The largest ordinary request of
/// 64 MiB has half as many, and a made-up one cannot ask for more than a few hundred MB of memory.
const MOST_PARTS: usize = 4_000_000;

/// Why decoding of a span stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Damaged,
    TooDeep,
    TooMany,
}

impl From<Damaged> for Stop {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// The spans of an `ExportTraceServiceRequest`, which is also `TracesData`.
pub(super) fn decode(bytes: &[u8]) -> Result<Batch, Undecodable> {
    let mut reading = Reading { left: MOST_PARTS, names: Names::default(), batch: Batch::default() };
    match reading.request(bytes) {
        Ok(()) => Ok(reading.batch),
        Err(Stop::TooMany) => Err(Undecodable::TooMany),
        Err(Stop::TooDeep) => Err(Undecodable::Malformed("an attribute of a resource is nested too deep".to_owned())),
        Err(Stop::Damaged) => Err(Undecodable::Malformed("the body is not a protobuf ExportTraceServiceRequest".to_owned())),
    }
}

struct Reading {
    left: usize,
    names: Names,
    batch: Batch,
}

impl Reading {
    fn request(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for field in Fields(bytes) {
            if let (1, Field::Bytes(resource_spans)) = field? {
                self.resource_spans(resource_spans)?;
            }
        }
        Ok(())
    }

    /// The resource may stand behind its spans, so it is looked for first.
    fn resource_spans(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut attributes = Vec::new();
        for field in Fields(bytes) {
            if let (1, Field::Bytes(resource)) = field? {
                self.resource(resource, &mut attributes)?;
            }
        }
        let process = Process::new(attributes);
        for field in Fields(bytes) {
            if let (2, Field::Bytes(scope_spans)) = field? {
                self.scope_spans(scope_spans, &process)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, bytes: &[u8], attributes: &mut Vec<Attribute>) -> Result<(), Stop> {
        for field in Fields(bytes) {
            if let (1, Field::Bytes(attribute)) = field? {
                attributes.push(self.attribute(attribute, 0)?);
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &[u8], process: &Process) -> Result<(), Stop> {
        let mut scope: Arc<str> = Arc::from("");
        for field in Fields(bytes) {
            if let (1, Field::Bytes(sent)) = field? {
                scope = scope_name(sent)?;
            }
        }
        for field in Fields(bytes) {
            if let (2, Field::Bytes(span)) = field? {
                let finished = match self.span(span) {
                    Ok(raw) => raw.finish(process, &scope),
                    Err(Stop::Damaged) => Err(Flaw::Bytes),
                    Err(Stop::TooDeep) => Err(Flaw::Depth),
                    Err(Stop::TooMany) => return Err(Stop::TooMany),
                };
                self.batch.take(finished);
            }
        }
        Ok(())
    }

    fn span(&mut self, bytes: &[u8]) -> Result<RawSpan, Stop> {
        self.spend(8)?;
        let mut span = RawSpan::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(id)) => span.trace_id = RawId::new(id),
                (2, Field::Bytes(id)) => span.span_id = RawId::new(id),
                (4, Field::Bytes(id)) => span.parent = RawId::new(id),
                (5, Field::Bytes(name)) => span.name = text(name),
                (6, Field::Varint(kind)) => span.kind = kind.cast_signed(),
                (7, Field::Fixed64(at)) => span.start = at,
                (8, Field::Fixed64(at)) => span.end = at,
                (9, Field::Bytes(attribute)) => span.attributes.push(self.attribute(attribute, 0)?),
                (10, Field::Varint(count)) => span.dropped.attributes = small(count),
                (11, Field::Bytes(event)) => span.events.push(self.event(event)?),
                (12, Field::Varint(count)) => span.dropped.events = small(count),
                (13, Field::Bytes(link)) => span.links.push(self.link(link)?),
                (14, Field::Varint(count)) => span.dropped.links = small(count),
                (15, Field::Bytes(status)) => read_status(status, &mut span)?,
                (16, Field::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        Ok(span)
    }

    fn event(&mut self, bytes: &[u8]) -> Result<RawEvent, Stop> {
        self.spend(1)?;
        let mut event = RawEvent::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Fixed64(at)) => event.at = at,
                (2, Field::Bytes(name)) => event.name = text(name),
                (3, Field::Bytes(attribute)) => event.attributes.push(self.attribute(attribute, 0)?),
                _ => {}
            }
        }
        Ok(event)
    }

    fn link(&mut self, bytes: &[u8]) -> Result<RawLink, Stop> {
        self.spend(1)?;
        let mut link = RawLink::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(id)) => link.trace_id = RawId::new(id),
                (2, Field::Bytes(id)) => link.span_id = RawId::new(id),
                (4, Field::Bytes(attribute)) => link.attributes.push(self.attribute(attribute, 0)?),
                _ => {}
            }
        }
        Ok(link)
    }

    fn attribute(&mut self, bytes: &[u8], depth: usize) -> Result<Attribute, Stop> {
        self.spend(1)?;
        let (mut name, mut value): (&[u8], Value) = (&[], Value::Empty);
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(sent)) => name = sent,
                (2, Field::Bytes(sent)) => value = self.value(sent, depth)?,
                _ => {}
            }
        }
        Ok((self.names.of(name), value))
    }

    fn value(&mut self, bytes: &[u8], depth: usize) -> Result<Value, Stop> {
        let mut value = Value::Empty;
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(sent)) => value = Value::String(text(sent)),
                (2, Field::Varint(sent)) => value = Value::Bool(sent != 0),
                (3, Field::Varint(sent)) => value = Value::Int(sent.cast_signed()),
                (4, Field::Fixed64(bits)) => value = Value::Double(f64::from_bits(bits)),
                (5, Field::Bytes(list)) => value = Value::List(self.list(list, depth + 1)?),
                (6, Field::Bytes(map)) => value = Value::Map(self.map(map, depth + 1)?),
                (7, Field::Bytes(sent)) => value = Value::Bytes(sent.to_vec()),
                _ => {}
            }
        }
        Ok(value)
    }

    fn list(&mut self, bytes: &[u8], depth: usize) -> Result<Vec<Value>, Stop> {
        not_too_deep(depth)?;
        let mut values = Vec::new();
        for field in Fields(bytes) {
            if let (1, Field::Bytes(value)) = field? {
                self.spend(1)?;
                values.push(self.value(value, depth)?);
            }
        }
        Ok(values)
    }

    fn map(&mut self, bytes: &[u8], depth: usize) -> Result<Vec<Attribute>, Stop> {
        not_too_deep(depth)?;
        let mut values = Vec::new();
        for field in Fields(bytes) {
            if let (1, Field::Bytes(value)) = field? {
                values.push(self.attribute(value, depth)?);
            }
        }
        Ok(values)
    }

    fn spend(&mut self, parts: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(parts).ok_or(Stop::TooMany)?;
        Ok(())
    }
}

fn scope_name(bytes: &[u8]) -> Result<Arc<str>, Stop> {
    let mut name = Arc::from("");
    for field in Fields(bytes) {
        if let (1, Field::Bytes(sent)) = field? {
            name = Arc::from(String::from_utf8_lossy(sent));
        }
    }
    Ok(name)
}

fn read_status(bytes: &[u8], span: &mut RawSpan) -> Result<(), Stop> {
    for field in Fields(bytes) {
        match field? {
            (2, Field::Bytes(message)) => span.status_message = text(message),
            (3, Field::Varint(code)) => span.status_code = code.cast_signed(),
            _ => {}
        }
    }
    Ok(())
}

fn not_too_deep(depth: usize) -> Result<(), Stop> {
    if depth > Value::MAX_DEPTH { Err(Stop::TooDeep) } else { Ok(()) }
}

fn text(bytes: &[u8]) -> String {
    // Nearly always text, and then it is not looked through in pieces.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
