//! Which traces outlive the hot time, and what goes when.

use std::collections::HashSet;

use super::{pack, unpack};
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::model::span::{Span, TraceId, wire};
use crate::model::trace::KeepReasons;
use crate::store::{Store, StoreError};

statements! {
    const KEEP = "insert into trace_keeps (trace_id, reasons, kept_at) values ($1, $2, $3) \
        on conflict (trace_id) do update set reasons = trace_keeps.reasons | excluded.reasons";
    // 64: linked.
    const KEEP_LINKED = "insert into trace_keeps (trace_id, reasons, kept_at) \
        select t.trace_id, 64, cast($2 as bigint) from (select to_trace as trace_id from span_links where from_trace = $1 \
        union select from_trace from span_links where to_trace = $1 limit 1000) t where t.trace_id <> $1 \
        on conflict (trace_id) do update set reasons = trace_keeps.reasons | 64";
    // 31: the reasons that draw linked traces along.
    const KEEP_LINKED_BY = "insert into trace_keeps (trace_id, reasons, kept_at) \
        select t.trace_id, 64, cast($2 as bigint) from (select l.to_trace as trace_id from span_links l \
        join trace_keeps k on k.trace_id = l.from_trace where l.chunk_id = $1 and (k.reasons & 31) <> 0 and l.to_trace <> l.from_trace \
        union select l.from_trace from span_links l join trace_keeps k on k.trace_id = l.to_trace \
        where l.chunk_id = $1 and (k.reasons & 31) <> 0 and l.to_trace <> l.from_trace) t where true \
        on conflict (trace_id) do update set reasons = trace_keeps.reasons | 64";
    const OLDEST = "select id, received_at, spans, bytes from span_chunks order by id limit 1";
    const KEPT_IN = "select t.trace_id from span_traces t join trace_keeps k on k.trace_id = t.trace_id where t.chunk_id = $1";
    const ADD_KEPT = "insert into kept_spans (trace_id, chunk_id, spans, bytes) values ($1, $2, $3, $4) on conflict (trace_id, chunk_id) do nothing";
    const DROP_CHUNK = "delete from span_chunks where id = $1";
    const DROP_TRACES = "delete from span_traces where chunk_id = $1";
    const DROP_NOTED = "delete from noted_spans where chunk_id = $1 \
        and not exists (select 1 from trace_keeps k where k.trace_id = noted_spans.trace_id)";
    const DROP_LINKS = "delete from span_links where chunk_id = $1 \
        and not exists (select 1 from trace_keeps k where k.trace_id = span_links.from_trace)";
    const LOSE = "insert into span_losses (what, spans, last_at) values ($1, $2, $3) \
        on conflict (what) do update set spans = span_losses.spans + excluded.spans, last_at = excluded.last_at";
    const LOSSES = "select what, spans, last_at from span_losses order by what";
    const OLDEST_KEPT = "select trace_id, kept_at from trace_keeps order by kept_at limit $1";
    const SPANS_OF_KEPT = "select coalesce(cast(sum(spans) as bigint), 0) from kept_spans where trace_id = $1";
    const FORGET = "delete from trace_keeps where trace_id = $1";
    const FORGET_SPANS = "delete from kept_spans where trace_id = $1";
    // What a hot chunk holds goes with the chunk.
    const FORGET_NOTED = "delete from noted_spans where trace_id = $1 \
        and not exists (select 1 from span_chunks c where c.id = noted_spans.chunk_id)";
    const FORGET_LINKS = "delete from span_links where from_trace = $1 \
        and not exists (select 1 from span_chunks c where c.id = span_links.chunk_id)";
    const USED = "select coalesce(cast(sum(length(bytes)) as bigint), 0), coalesce(cast(sum(spans) as bigint), 0), \
        coalesce(min(received_at), 0) from span_chunks";
    const USED_KEPT = "select coalesce(cast(sum(length(bytes)) as bigint), 0), coalesce(cast(sum(spans) as bigint), 0), (select count(*) from trace_keeps) from kept_spans";
}

/// Bytes that indexes and narrow rows take beside a byte of chunk, about; the limit is for all of it.
const BESIDE: u64 = 2;

/// How many spans lie where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanUsage {
    /// Bytes of hot chunks, with what lies beside them, about.
    pub hot_bytes: u64,
    /// Spans in hot chunks.
    pub hot_spans: u64,
    /// When the oldest hot chunk was written.
    pub hot_since: Option<Timestamp>,
    /// Bytes of kept traces, about.
    pub kept_bytes: u64,
    /// Spans of kept traces.
    pub kept_spans: u64,
    /// Traces that are kept for a reason, those whose spans are still hot included.
    pub kept_traces: u64,
}

/// What is not there, or not right, because there was too much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLoss {
    /// `hot` or `kept`: dropped before its time, to stay within the limit. `topic`: removed from a topic of spans before it was read.
    /// `repeats`: repeated spans were not known for the whole ten minutes.
    pub what: String,
    /// How many spans (of a topic: records) so far; 0 for `repeats`.
    pub spans: u64,
    /// When the last ones went.
    pub last_at: Timestamp,
}

impl Store {
    /// Keeps traces beyond the hot time, with those that are linked with them. Repeating it changes nothing.
    pub async fn keep_traces(&self, keeps: &[(TraceId, KeepReasons)], now: Timestamp) -> Result<(), StoreError> {
        if keeps.is_empty() {
            return Ok(());
        }
        in_transaction!(self, |tx| {
            for (trace, reasons) in keeps {
                let id = trace.0.as_slice();
                sqlx::query(KEEP).bind(id).bind(reasons.code()).bind(now.as_millis()).execute(&mut *tx).await?;
                if reasons.draws_linked() {
                    sqlx::query(KEEP_LINKED).bind(id).bind(now.as_millis()).execute(&mut *tx).await?;
                }
            }
        });
        Ok(())
    }

    /// Keeps traces that a chunk's links tie to kept ones.
    pub async fn keep_linked_by(&self, chunk: i64, now: Timestamp) -> Result<(), StoreError> {
        touched!(self, sqlx::query(KEEP_LINKED_BY).bind(chunk).bind(now.as_millis()));
        Ok(())
    }

    /// Lets the oldest chunk go when it was written before `before`, or, with `early`, in any case; what it holds of kept traces stays.
    /// `false`: there was none to go. Failpoint `spans.expire` lies in the middle.
    pub async fn expire_span_chunk(&self, before: Timestamp, early: bool, now: Timestamp) -> Result<bool, StoreError> {
        let oldest: Option<(i64, i64, i32, Vec<u8>)> = read!(self, |pool| sqlx::query_as(OLDEST).fetch_optional(pool).await?)?;
        let Some((id, received_at, count, bytes)) = oldest.filter(|(_, at, ..)| early || *at < before.as_millis()) else {
            return Ok(false);
        };
        let kept: Vec<(Vec<u8>,)> = read!(self, |pool| sqlx::query_as(KEPT_IN).bind(id).fetch_all(pool).await?)?;
        let wanted: HashSet<TraceId> = kept.iter().filter_map(|(trace,)| TraceId::from_bytes(trace)).collect();
        let rows = if wanted.is_empty() { Vec::new() } else { packed(id, bytes, wanted).await };
        let lost = early && received_at >= before.as_millis();
        in_transaction!(self, |tx| {
            if sqlx::query(DROP_CHUNK).bind(id).execute(&mut *tx).await?.rows_affected() == 1 {
                for (trace, spans, bytes) in &rows {
                    sqlx::query(ADD_KEPT).bind(trace.0.as_slice()).bind(id).bind(spans).bind(bytes).execute(&mut *tx).await?;
                }
                failpoint::pass("spans.expire");
                for statement in [DROP_TRACES, DROP_NOTED, DROP_LINKS] {
                    sqlx::query(statement).bind(id).execute(&mut *tx).await?;
                }
                if lost {
                    sqlx::query(LOSE).bind("hot").bind(i64::from(count)).bind(now.as_millis()).execute(&mut *tx).await?;
                }
            }
        });
        self.size_changed();
        Ok(true)
    }

    /// Lets the oldest kept trace go when it has been kept since before `before`, or, with `early`, in any case. `false`: none was to go.
    pub async fn expire_kept_traces(&self, before: Timestamp, early: bool, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> = read!(self, |pool| sqlx::query_as(OLDEST_KEPT).bind(i64::from(limit)).fetch_all(pool).await?)?;
        let due: Vec<(Vec<u8>, i64)> = rows.into_iter().filter(|(_, at)| early || *at < before.as_millis()).collect();
        in_transaction!(self, |tx| {
            for (trace, kept_at) in &due {
                let (spans,): (i64,) = sqlx::query_as(SPANS_OF_KEPT).bind(trace).fetch_one(&mut *tx).await?;
                for statement in [FORGET, FORGET_SPANS, FORGET_NOTED, FORGET_LINKS] {
                    sqlx::query(statement).bind(trace).execute(&mut *tx).await?;
                }
                if early && *kept_at >= before.as_millis() && spans > 0 {
                    sqlx::query(LOSE).bind("kept").bind(spans).bind(now.as_millis()).execute(&mut *tx).await?;
                }
            }
        });
        Ok(due.len() as u64)
    }

    /// What spans take.
    pub async fn span_usage(&self) -> Result<SpanUsage, StoreError> {
        let (bytes, spans, since): (i64, i64, i64) = read!(self, |pool| sqlx::query_as(USED).fetch_one(pool).await?)?;
        let (kept_bytes, kept_spans, kept_traces): (i64, i64, i64) = read!(self, |pool| sqlx::query_as(USED_KEPT).fetch_one(pool).await?)?;
        Ok(SpanUsage {
            hot_bytes: bytes.unsigned_abs() * BESIDE,
            hot_spans: spans.unsigned_abs(),
            hot_since: (since > 0).then(|| Timestamp::from_millis(since)),
            kept_bytes: kept_bytes.unsigned_abs() * BESIDE,
            kept_spans: kept_spans.unsigned_abs(),
            kept_traces: kept_traces.unsigned_abs(),
        })
    }

    /// Says what was lost outside the store, see [`SpanLoss::what`].
    pub async fn note_span_loss(&self, what: &'static str, spans: i64, now: Timestamp) -> Result<(), StoreError> {
        touched!(self, sqlx::query(LOSE).bind(what).bind(spans).bind(now.as_millis()));
        Ok(())
    }

    /// What was lost so far.
    pub async fn list_span_losses(&self) -> Result<Vec<SpanLoss>, StoreError> {
        let rows: Vec<(String, i64, i64)> = read!(self, |pool| sqlx::query_as(LOSSES).fetch_all(pool).await?)?;
        let loss =
            |(what, spans, at): (String, i64, i64)| SpanLoss { what, spans: spans.unsigned_abs(), last_at: Timestamp::from_millis(at) };
        Ok(rows.into_iter().map(loss).collect())
    }
}

type Packed = Vec<(TraceId, i32, Vec<u8>)>;

/// What a chunk holds of the wanted traces. A damaged chunk must go like any other: nothing of it can be kept.
async fn packed(chunk: i64, bytes: Vec<u8>, wanted: HashSet<TraceId>) -> Packed {
    let rows = tokio::task::spawn_blocking(move || by_trace(&bytes, &wanted)).await;
    match rows.map_err(|error| error.to_string()).and_then(|rows| rows.map_err(|error| error.to_string())) {
        Ok(rows) => rows,
        Err(reason) => {
            tracing::error!(chunk, reason, "spans of kept traces are lost");
            Vec::new()
        }
    }
}

/// Packs, one by one, what a chunk holds of the wanted traces.
fn by_trace(bytes: &[u8], wanted: &HashSet<TraceId>) -> Result<Packed, StoreError> {
    let spans: Vec<Span> = unpack(bytes)?.into_iter().filter(|span| wanted.contains(&span.trace_id)).collect();
    let mut rows = Vec::with_capacity(wanted.len());
    let mut raw = Vec::new();
    // A chunk's spans lie in the order of their traces.
    for some in spans.chunk_by(|one, other| one.trace_id == other.trace_id) {
        raw.clear();
        wire::encode(some, &mut raw);
        rows.push((some[0].trace_id, i32::try_from(some.len()).unwrap_or(i32::MAX), pack(&raw)?));
    }
    Ok(rows)
}
