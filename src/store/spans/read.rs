//! Traces, whole or by what is known of one of their spans.

use std::collections::HashSet;

use super::hot::Producer;
use super::keep::hex_list;
use super::keys::{CHUNKS_OF_TRACE, Wanted};
use super::{ChunkRow, unpack_all, whole};
use crate::model::Timestamp;
use crate::model::span::{Operation, Span, SpanId, TraceId};
use crate::model::trace::{KeepReasons, NotedSpan, TraceLink, noted_text};
use crate::store::indexing::{id_list, text_list};
use crate::store::{Store, StoreError};

statements! {
    const KEPT_OF_TRACE = "select chunk_id, cast(0 as bigint), bytes from kept_spans where trace_id = $1 order by chunk_id limit $2";
    const KEEP_OF_TRACE = "select reasons, kept_at from trace_keeps where trace_id = $1";
    const LINKS = "select from_trace, from_span, to_trace, to_span from span_links where from_trace = $1 \
        union select from_trace, from_span, to_trace, to_span from span_links where to_trace = $1 limit 2000";
    const NOTED_OF_TRACE = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where trace_id = $1 order by started_at limit $2";
    const NOTED = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where trace_id = $1 and span_id = $2";
    const NOTED_AT = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where topic = $1 and partition = $2 and record_offset = $3 \
        order by started_at limit $4";
    /// Senders among kept spans: by trace, or by topic and offset (of any partition).
    const SENDERS = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where operation = 1 and trace_id in (select unhex(value) from json_each(cast($1 as text))) \
        union select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where operation = 1 and topic in (select value from json_each(cast($2 as text))) \
        and record_offset in (select cast(value as bigint) from json_each(cast($3 as text))) limit 20000";
}

/// Pieces that one kept trace is put together from, the oldest; each held what one chunk had of it.
const MOST_KEPT: usize = 2_000;
/// Links of a trace that are told, each way.
const MOST_LINKS: usize = 1_000;
/// Spans about one record that are told, the earliest.
const MOST_AT: i64 = 200;

/// Everything that is known of one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrace {
    /// Its spans in the order of their start, each once.
    pub spans: Vec<Span>,
    /// Whether it has more spans than these: they came in more pieces than are read for one trace.
    pub truncated: bool,
    /// Its links to other traces.
    pub links_from: Vec<TraceLink>,
    /// Links of other traces to it.
    pub links_to: Vec<TraceLink>,
    /// Why it is kept, and since when.
    pub kept: Option<(KeepReasons, Timestamp)>,
}

#[derive(sqlx::FromRow)]
pub(super) struct NotedRow {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
    parent_id: Option<Vec<u8>>,
    started_at: i64,
    duration_us: i64,
    operation: i16,
    failed: bool,
    service: String,
    name: String,
    topic: String,
    partition: Option<i32>,
    record_offset: Option<i64>,
    consumer_group: String,
    cluster_id: String,
    broker: String,
}

impl NotedRow {
    pub(super) fn into_span(self) -> Option<NotedSpan> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        Some(NotedSpan {
            trace_id: TraceId::from_bytes(&self.trace_id)?,
            span_id: SpanId::from_bytes(&self.span_id)?,
            parent: self.parent_id.and_then(|parent| SpanId::from_bytes(&parent)),
            started_at: Timestamp::from_millis(self.started_at),
            duration_us: self.duration_us,
            operation: Operation::from_code(self.operation).unwrap_or(Operation::Other),
            failed: self.failed,
            service: self.service,
            name: self.name,
            topic: some(self.topic),
            partition: self.partition,
            offset: self.record_offset,
            consumer_group: some(self.consumer_group),
            cluster_id: some(self.cluster_id),
            broker: some(self.broker),
        })
    }
}

type LinkRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn link((from_trace, from_span, to_trace, to_span): LinkRow) -> Option<TraceLink> {
    let end = |trace: &[u8], span: &[u8]| Some((TraceId::from_bytes(trace)?, SpanId::from_bytes(span)?));
    Some(TraceLink { from: end(&from_trace, &from_span)?, to: end(&to_trace, &to_span)? })
}

impl Store {
    /// A trace with its links; without spans when none is there, or none any more.
    pub async fn find_trace(&self, trace: TraceId) -> Result<StoredTrace, StoreError> {
        let id = trace.0.as_slice();
        // One more than is read tells that there are more.
        let mut hot = self.span_chunks_up_to(i64::MAX, &[Wanted::Trace(trace)], with_one_more(CHUNKS_OF_TRACE)).await?;
        let is_more_hot = hot.len() > CHUNKS_OF_TRACE;
        hot.truncate(CHUNKS_OF_TRACE);
        let mut rows = self.packed_chunks(&hot).await?;
        rows.sort_unstable_by_key(|(id, ..)| *id);
        // After the hot ones: a chunk that goes meanwhile leaves its spans here.
        let most = with_one_more(MOST_KEPT);
        let mut kept: Vec<ChunkRow> = read!(self, |pool| sqlx::query_as(KEPT_OF_TRACE).bind(id).bind(most).fetch_all(pool).await?)?;
        let truncated = is_more_hot || kept.len() > MOST_KEPT;
        kept.truncate(MOST_KEPT);
        rows.extend(kept);
        let mut seen = HashSet::new();
        let chunks = unpack_all(rows, whole).await?;
        let of_trace = chunks.into_iter().flat_map(|chunk| chunk.spans).filter(|span| span.trace_id == trace && seen.insert(span.span_id));
        let mut spans: Vec<Span> = of_trace.map(|span| *span).collect();
        spans.sort_by_key(|span| (span.start, span.end, span.span_id));
        let keep: Option<(i32, i64)> = read!(self, |pool| sqlx::query_as(KEEP_OF_TRACE).bind(id).fetch_optional(pool).await?)?;
        let (links_from, links_to) = self.list_links_of_trace(trace).await?.into_iter().partition(|link| link.from.0 == trace);
        Ok(StoredTrace {
            spans,
            truncated,
            links_from,
            links_to,
            kept: keep.map(|(reasons, at)| (KeepReasons::from_code(reasons), Timestamp::from_millis(at))),
        })
    }

    /// Links of a trace to others, and of others to it, each once, at most a thousand each way.
    pub async fn list_links_of_trace(&self, trace: TraceId) -> Result<Vec<TraceLink>, StoreError> {
        let mut links = self.hot_links(&HashSet::from([trace])).await?;
        let rows: Vec<LinkRow> = read!(self, |pool| sqlx::query_as(LINKS).bind(trace.0.as_slice()).fetch_all(pool).await?)?;
        links.extend(rows.into_iter().filter_map(link));
        let mut links: Vec<TraceLink> = links.into_iter().collect();
        links.sort_unstable_by_key(|link| (link.from, link.to));
        let (mut from, mut to) = (0, 0);
        links.retain(|link| {
            let count = if link.from.0 == trace { &mut from } else { &mut to };
            *count += 1;
            *count <= MOST_LINKS
        });
        Ok(links)
    }

    /// The noted spans of a trace in the order of their start, at most `limit`.
    pub async fn list_noted_of_trace(&self, trace: TraceId, limit: u32) -> Result<Vec<NotedSpan>, StoreError> {
        let hot = self.hot_spans(&[Wanted::Trace(trace)], |span| span.trace_id == trace).await?;
        let rows: Vec<NotedRow> =
            read!(self, |pool| { sqlx::query_as(NOTED_OF_TRACE).bind(trace.0.as_slice()).bind(i64::from(limit)).fetch_all(pool).await? })?;
        Ok(together(hot, rows, limit as usize))
    }

    /// One noted span.
    pub async fn find_noted_span(&self, trace: TraceId, span: SpanId) -> Result<Option<NotedSpan>, StoreError> {
        let is_it = |noted: &NotedSpan| (noted.trace_id, noted.span_id) == (trace, span);
        if let Some(found) = self.hot_spans(&[Wanted::Trace(trace)], is_it).await?.pop() {
            return Ok(Some(found));
        }
        let row: Option<NotedRow> =
            read!(self, |pool| { sqlx::query_as(NOTED).bind(trace.0.as_slice()).bind(span.0.as_slice()).fetch_optional(pool).await? })?;
        Ok(row.and_then(NotedRow::into_span))
    }

    /// Spans that name these coordinates, of whichever bus, in the order of their start.
    pub async fn list_noted_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<NotedSpan>, StoreError> {
        let topic = noted_text(topic);
        let about =
            |span: &NotedSpan| span.topic.as_deref() == Some(&topic) && span.partition == Some(partition) && span.offset == Some(offset);
        let hot = self.hot_spans(&[Wanted::Record(&topic, partition, offset)], about).await?;
        let rows: Vec<NotedRow> = read!(self, |pool| {
            sqlx::query_as(NOTED_AT).bind(topic.as_ref()).bind(partition).bind(offset).bind(MOST_AT).fetch_all(pool).await?
        })?;
        Ok(together(hot, rows, usize::try_from(MOST_AT).unwrap_or(0)))
    }
}

impl Store {
    /// Spans of kept traces that may be one of these producers.
    pub(super) async fn list_kept_senders(&self, producers: &[Producer<'_>]) -> Result<Vec<NotedSpan>, StoreError> {
        let traces = hex_list(&producers.iter().filter_map(|producer| Some(producer.span?.0)).collect());
        let records = || producers.iter().filter_map(|producer| producer.record);
        let topics: HashSet<String> = records().map(|(topic, ..)| noted_text(topic).into_owned()).collect();
        let topics = text_list(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let offsets: HashSet<i64> = records().map(|(.., offset)| offset).collect();
        let offsets = id_list(&offsets.into_iter().collect::<Vec<_>>());
        let rows: Vec<NotedRow> =
            read!(self, |pool| sqlx::query_as(SENDERS).bind(&traces).bind(&topics).bind(&offsets).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(NotedRow::into_span).collect())
    }
}

fn with_one_more(most: usize) -> i64 {
    i64::try_from(most + 1).unwrap_or(i64::MAX)
}

/// Spans of hot chunks and of kept traces in the order of their start, each once.
fn together(hot: Vec<NotedSpan>, kept: Vec<NotedRow>, limit: usize) -> Vec<NotedSpan> {
    let mut seen = HashSet::new();
    let mut spans: Vec<NotedSpan> = hot.into_iter().chain(kept.into_iter().filter_map(NotedRow::into_span)).collect();
    spans.retain(|span| seen.insert((span.trace_id, span.span_id)));
    spans.sort_by_key(|span| span.started_at);
    spans.truncate(limit);
    spans
}
