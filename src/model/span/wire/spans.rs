//! Spans, their events, links and what they did on a bus.

use std::borrow::Cow;

use super::DamagedSpans;
use super::read::Reader;
use super::values::{read_all, write_all};
use super::write::Writer;
use crate::model::span::{
    Dropped, LinkCoordinates, Messaging, Operation, Span, SpanEvent, SpanException, SpanId, SpanKind, SpanLink, SpanStatus, TraceId,
};

pub(super) fn write<'a>(writer: &mut Writer<'a, '_>, span: &'a Span) {
    writer.raw(&span.trace_id.0);
    writer.raw(&span.span_id.0);
    writer.flag(span.parent.is_some());
    if let Some(parent) = span.parent {
        writer.raw(&parent.0);
    }
    writer.byte(span.parent_remote.map_or(0, |remote| 1 + u8::from(remote)));
    writer.name(&span.service);
    writer.optional_name(span.service_instance.as_deref());
    writer.name(&span.scope);
    writer.name(&span.name);
    writer.byte(small(span.kind.code()));
    writer.signed(span.start);
    writer.signed(span.end.wrapping_sub(span.start));
    writer.flag(span.ended_before_start);
    write_outcome(writer, span);
    write_all(writer, &span.attributes, 0);
    writer.resource(&span.resource);
    writer.count(span.events.len());
    for event in &span.events {
        writer.signed(event.at.wrapping_sub(span.start));
        writer.name(&event.name);
        write_all(writer, &event.attributes, 0);
    }
    writer.count(span.links.len());
    for link in &span.links {
        write_link(writer, link);
    }
    for dropped in [span.dropped.attributes, span.dropped.events, span.dropped.links] {
        writer.unsigned(u64::from(dropped));
    }
    writer.flag(span.messaging.is_some());
    if let Some(messaging) = &span.messaging {
        write_messaging(writer, messaging);
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Span, DamagedSpans> {
    let (trace_id, span_id) = read_ids(reader)?;
    let parent = reader.optional(|reader| SpanId::from_bytes(&reader.array::<8>()?).ok_or(DamagedSpans))?;
    let parent_remote = match reader.byte()? {
        0 => None,
        1 => Some(false),
        2 => Some(true),
        _ => return Err(DamagedSpans),
    };
    let (service, service_instance) = (reader.shared()?, reader.optional(Reader::shared)?);
    let (scope, name) = (reader.shared()?, reader.name()?.to_owned());
    let kind = SpanKind::from_code(i16::from(reader.byte()?)).ok_or(DamagedSpans)?;
    let start = reader.signed()?;
    Ok(Span {
        trace_id,
        span_id,
        parent,
        parent_remote,
        service,
        service_instance,
        scope,
        name,
        kind,
        start,
        end: start.wrapping_add(reader.signed()?),
        ended_before_start: reader.flag()?,
        status: SpanStatus::from_code(i16::from(reader.byte()?)).ok_or(DamagedSpans)?,
        status_message: reader.text()?.to_owned(),
        error_type: reader.optional_name()?,
        exception: reader.optional(read_exception)?,
        attributes: read_all(reader, 0)?,
        resource: reader.resource()?,
        events: read_events(reader, start)?,
        links: reader.many(read_link)?,
        dropped: Dropped { attributes: reader.small()?, events: reader.small()?, links: reader.small()? },
        messaging: reader.optional(read_messaging)?.map(Box::new),
    })
}

fn read_ids(reader: &mut Reader<'_>) -> Result<(TraceId, SpanId), DamagedSpans> {
    let trace_id = TraceId::from_bytes(&reader.array::<16>()?).ok_or(DamagedSpans)?;
    let span_id = SpanId::from_bytes(&reader.array::<8>()?).ok_or(DamagedSpans)?;
    Ok((trace_id, span_id))
}

fn write_outcome<'a>(writer: &mut Writer<'a, '_>, span: &'a Span) {
    writer.byte(small(span.status.code()));
    writer.text(&span.status_message);
    writer.optional_name(span.error_type.as_deref());
    writer.flag(span.exception.is_some());
    if let Some(exception) = &span.exception {
        writer.optional_name(exception.class.as_deref());
        writer.optional_text(exception.message.as_deref());
        writer.flag(exception.escaped);
    }
}

fn read_exception(reader: &mut Reader<'_>) -> Result<SpanException, DamagedSpans> {
    Ok(SpanException { class: reader.optional_name()?, message: reader.optional_text()?, escaped: reader.flag()? })
}

/// An outline has none.
fn read_events(reader: &mut Reader<'_>, start: i64) -> Result<Vec<SpanEvent>, DamagedSpans> {
    if !reader.is_outline() {
        return reader.many(|reader| read_event(reader, start));
    }
    for _ in 0..reader.count()? {
        reader.signed()?;
        reader.name()?;
        read_all(reader, 0)?;
    }
    Ok(Vec::new())
}

fn read_event(reader: &mut Reader<'_>, start: i64) -> Result<SpanEvent, DamagedSpans> {
    let at = start.wrapping_add(reader.signed()?);
    Ok(SpanEvent { at, name: reader.name()?.to_owned(), attributes: read_all(reader, 0)? })
}

fn write_link<'a>(writer: &mut Writer<'a, '_>, link: &'a SpanLink) {
    writer.raw(&link.trace_id.0);
    writer.raw(&link.span_id.0);
    write_all(writer, &link.attributes, 0);
    writer.optional_name(link.coordinates.destination.as_deref());
    writer.optional_signed(link.coordinates.partition.map(i64::from));
    writer.optional_signed(link.coordinates.offset);
    writer.optional_text(link.coordinates.message_id.as_deref());
}

fn read_link(reader: &mut Reader<'_>) -> Result<SpanLink, DamagedSpans> {
    let (trace_id, span_id) = read_ids(reader)?;
    let attributes = read_all(reader, 0)?;
    let coordinates = LinkCoordinates {
        destination: reader.optional_name()?,
        partition: read_partition(reader)?,
        offset: reader.optional(Reader::signed)?,
        message_id: reader.optional_text()?,
    };
    Ok(SpanLink { trace_id, span_id, attributes, coordinates })
}

fn write_messaging<'a>(writer: &mut Writer<'a, '_>, messaging: &'a Messaging) {
    writer.name(&messaging.system);
    writer.byte(small(messaging.operation.code()));
    writer.optional_name(messaging.destination.as_deref());
    writer.optional_signed(messaging.partition.map(i64::from));
    writer.optional_signed(messaging.offset);
    writer.optional_name(messaging.consumer_group.as_deref());
    writer.optional_name(messaging.client_id.as_deref());
    writer.optional_text(messaging.message_id.as_deref());
    writer.optional_text(messaging.conversation_id.as_deref());
    writer.flag(messaging.key_present);
    writer.flag(messaging.tombstone);
    writer.optional_signed(messaging.batch_count.map(u64::cast_signed));
    writer.optional_name(messaging.cluster_id.as_deref());
    writer.optional_name(messaging.broker.as_deref());
    writer.optional_signed(messaging.body_size_bytes.map(u64::cast_signed));
    writer.optional_signed(messaging.queue_time_ms);
}

fn read_messaging(reader: &mut Reader<'_>) -> Result<Messaging, DamagedSpans> {
    let system = match reader.name()? {
        "kafka" => Cow::Borrowed("kafka"),
        other => Cow::Owned(other.to_owned()),
    };
    Ok(Messaging {
        system,
        operation: Operation::from_code(i16::from(reader.byte()?)).ok_or(DamagedSpans)?,
        destination: reader.optional_name()?,
        partition: read_partition(reader)?,
        offset: reader.optional(Reader::signed)?,
        consumer_group: reader.optional_name()?,
        client_id: reader.optional_name()?,
        message_id: reader.detail()?,
        conversation_id: reader.detail()?,
        key_present: reader.flag()?,
        tombstone: reader.flag()?,
        batch_count: reader.optional(Reader::signed)?.map(i64::cast_unsigned),
        cluster_id: reader.optional_name()?,
        broker: reader.optional_name()?,
        body_size_bytes: reader.optional(Reader::signed)?.map(i64::cast_unsigned),
        queue_time_ms: reader.optional(Reader::signed)?,
    })
}

fn read_partition(reader: &mut Reader<'_>) -> Result<Option<i32>, DamagedSpans> {
    reader.optional(|reader| i32::try_from(reader.signed()?).map_err(|_| DamagedSpans))
}

/// The codes of kinds, statuses and operations are below ten.
fn small(code: i16) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}
