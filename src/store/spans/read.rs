//! Traces, whole or by what is searched for.

use std::collections::HashSet;

use super::{ChunkRow, unpack_all};
use crate::model::span::{Operation, Span, SpanId, TraceId, wire};
use crate::model::trace::{KeepReasons, NotedSpan, TraceFilter, TraceLink};
use crate::model::{Cursor, Timestamp};
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

statements! {
    const CHUNKS_OF_TRACE = "select c.id, c.received_at, c.bytes from span_traces t join span_chunks c on c.id = t.chunk_id \
        where t.trace_id = $1 order by c.id limit 200";
    const KEPT_OF_TRACE = "select chunk_id, cast(0 as bigint), bytes from kept_spans where trace_id = $1 order by chunk_id limit 2000";
    const KEEP_OF_TRACE = "select reasons, kept_at from trace_keeps where trace_id = $1";
    const LINKS_FROM = "select from_trace, from_span, to_trace, to_span from span_links where from_trace = $1 limit 1000";
    const LINKS_TO = "select from_trace, from_span, to_trace, to_span from span_links where to_trace = $1 limit 1000";
    const NOTED_OF_TRACE = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group from noted_spans where trace_id = $1 order by started_at limit $2";
    const NOTED = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group from noted_spans where trace_id = $1 and span_id = $2";
    const NOTED_AT = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group from noted_spans where topic = $1 and partition = $2 and record_offset = $3 \
        order by started_at limit 200";
    const SCANNED = "select coalesce(min(s.started_at), 0), count(*) from (select started_at from noted_spans \
        where started_at <= $1 and started_at >= $2 order by started_at desc limit $3) s";
    const SEARCH = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group from noted_spans where started_at <= $1 and started_at >= $2 \
        and (cast($3 as text) is null or service = $3) and (cast($4 as text) is null or topic = $4) \
        and (cast($5 as text) is null or consumer_group = $5) and (cast($6 as smallint) is null or operation = $6) \
        and (failed or not $7) and duration_us >= $8 and (cast($10 as text) is null or topic in \
            (select g.topic from topic_generations g join buses b on b.id = g.bus_id where b.bus = cast($10 as text))) order by started_at desc, trace_id, span_id limit $9";
    const SERVICES = "select distinct service from (select service from noted_spans order by started_at desc limit 20000) s order by service limit 200";
}

/// Spans that one search looks at before it says how far it came.
const SCAN: i64 = 50_000;

/// Everything that is known of one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrace {
    /// Its spans in the order of their start, each once.
    pub spans: Vec<Span>,
    /// Its links to other traces.
    pub links_from: Vec<TraceLink>,
    /// Links of other traces to it.
    pub links_to: Vec<TraceLink>,
    /// Why it is kept, and since when.
    pub kept: Option<(KeepReasons, Timestamp)>,
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSpans {
    /// Spans, newest first.
    pub spans: Vec<NotedSpan>,
    /// Where to go on; `None` at the end.
    pub next_cursor: Option<Cursor>,
    /// Everything that started at this time or later was looked at.
    pub searched_back_to: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct NotedRow {
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
}

impl NotedRow {
    fn into_span(self) -> Option<NotedSpan> {
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
        let mut rows: Vec<ChunkRow> = read!(self, |pool| sqlx::query_as(CHUNKS_OF_TRACE).bind(id).fetch_all(pool).await?)?;
        let kept: Vec<ChunkRow> = read!(self, |pool| sqlx::query_as(KEPT_OF_TRACE).bind(id).fetch_all(pool).await?)?;
        rows.extend(kept);
        let mut seen = HashSet::new();
        let chunks = unpack_all(rows, wire::decode).await?;
        let mut spans: Vec<Span> =
            chunks.into_iter().flat_map(|chunk| chunk.spans).filter(|span| span.trace_id == trace && seen.insert(span.span_id)).collect();
        spans.sort_by_key(|span| (span.start, span.end, span.span_id));
        let keep: Option<(i32, i64)> = read!(self, |pool| sqlx::query_as(KEEP_OF_TRACE).bind(id).fetch_optional(pool).await?)?;
        Ok(StoredTrace {
            spans,
            links_from: self.list_trace_links(LINKS_FROM, trace).await?,
            links_to: self.list_trace_links(LINKS_TO, trace).await?,
            kept: keep.map(|(reasons, at)| (KeepReasons::from_code(reasons), Timestamp::from_millis(at))),
        })
    }

    async fn list_trace_links(&self, statement: &'static str, trace: TraceId) -> Result<Vec<TraceLink>, StoreError> {
        let rows: Vec<LinkRow> = read!(self, |pool| sqlx::query_as(statement).bind(trace.0.as_slice()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(link).collect())
    }

    /// Links of a trace to others, and of others to it.
    pub async fn list_links_of_trace(&self, trace: TraceId) -> Result<Vec<TraceLink>, StoreError> {
        let mut links = self.list_trace_links(LINKS_FROM, trace).await?;
        links.extend(self.list_trace_links(LINKS_TO, trace).await?);
        Ok(links)
    }

    /// The noted spans of a trace in the order of their start, at most `limit`.
    pub async fn list_noted_of_trace(&self, trace: TraceId, limit: u32) -> Result<Vec<NotedSpan>, StoreError> {
        let rows: Vec<NotedRow> =
            read!(self, |pool| { sqlx::query_as(NOTED_OF_TRACE).bind(trace.0.as_slice()).bind(i64::from(limit)).fetch_all(pool).await? })?;
        Ok(rows.into_iter().filter_map(NotedRow::into_span).collect())
    }

    /// One noted span.
    pub async fn find_noted_span(&self, trace: TraceId, span: SpanId) -> Result<Option<NotedSpan>, StoreError> {
        let row: Option<NotedRow> =
            read!(self, |pool| { sqlx::query_as(NOTED).bind(trace.0.as_slice()).bind(span.0.as_slice()).fetch_optional(pool).await? })?;
        Ok(row.and_then(NotedRow::into_span))
    }

    /// Spans about one record.
    pub async fn list_noted_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<NotedSpan>, StoreError> {
        let topic = clean(topic);
        let rows: Vec<NotedRow> =
            read!(self, |pool| sqlx::query_as(NOTED_AT).bind(&topic).bind(partition).bind(offset).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(NotedRow::into_span).collect())
    }

    /// Noted spans that match, newest first. Looks at a bounded number of them and says how far it came.
    pub async fn search_spans(&self, filter: &TraceFilter, cursor: Option<&Cursor>, limit: u32) -> Result<FoundSpans, StoreError> {
        let newest = cursor.map_or_else(|| filter.to.map_or(i64::MAX, |to| to.as_millis() - 1), |cursor| cursor.key);
        let shown = cursor.map_or(0, |cursor| usize::try_from(cursor.id).unwrap_or(0));
        let oldest = filter.from.map_or(i64::MIN, Timestamp::as_millis);
        let (reached, scanned): (i64, i64) =
            read!(self, |pool| sqlx::query_as(SCANNED).bind(newest).bind(oldest).bind(SCAN).fetch_one(pool).await?)?;
        let reached = if scanned < SCAN { oldest } else { reached };
        let most = i64::from(limit) + i64::try_from(shown).unwrap_or(0) + 1;
        let text = |value: &Option<String>| value.as_deref().map(clean);
        let (service, topic, group) = (text(&filter.service), text(&filter.topic), text(&filter.consumer_group));
        let bus = text(&filter.bus);
        let rows: Vec<NotedRow> = read!(self, |pool| {
            sqlx::query_as(SEARCH)
                .bind(newest)
                .bind(reached)
                .bind(&service)
                .bind(&topic)
                .bind(&group)
                .bind(filter.operation.map(Operation::code))
                .bind(filter.failed)
                .bind(filter.at_least_us.unwrap_or(0))
                .bind(most)
                .bind(&bus)
                .fetch_all(pool)
                .await?
        })?;
        // Of the millisecond where the page before ended, some were shown there.
        let mut spans: Vec<NotedSpan> = rows.into_iter().skip(shown).filter_map(NotedRow::into_span).collect();
        let more = spans.len() > limit as usize;
        spans.truncate(limit as usize);
        let next_cursor = if let Some(last) = spans.last().filter(|_| more) {
            let at = last.started_at.as_millis();
            let of_it = spans.iter().filter(|span| span.started_at == last.started_at).count() + if at == newest { shown } else { 0 };
            Some(Cursor { key: at, id: i64::try_from(of_it).unwrap_or(i64::MAX) })
        } else if scanned >= SCAN {
            Some(Cursor { key: reached - 1, id: 0 })
        } else {
            None
        };
        let searched_back_to = if more { spans.last().map(|span| span.started_at) } else { Some(Timestamp::from_millis(reached)) };
        Ok(FoundSpans { spans, next_cursor, searched_back_to: searched_back_to.filter(|at| at.as_millis() > i64::MIN) })
    }

    /// Services that were seen lately, for the filter's menu.
    pub async fn list_span_services(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(SERVICES).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(service,)| service).collect())
    }
}
