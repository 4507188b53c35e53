//! Which traces outlive the hot time, and what goes when.

use std::collections::{HashMap, HashSet};

use super::{ChunkRow, keys, links_of, pack, unpack_all, unpack_with};
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::model::span::{Spans, TraceId, wire};
use crate::model::trace::{KeepReasons, NotedSpan, TraceLink};
use crate::store::dialect::bulk::Bulk as _;
use crate::store::figures::SPANS;
use crate::store::indexing::text_list;
use crate::store::{Store, StoreError};

statements! {
    /// Bound: ids in hex, reasons, time, the reasons with which a trace's time begins anew.
    const KEEP = "insert into trace_keeps (trace_id, reasons, kept_at) select unhex(value), cast($2 as integer), cast($3 as bigint) \
        from json_each(cast($1 as text)) where true on conflict (trace_id) do update set reasons = trace_keeps.reasons | excluded.reasons, \
        kept_at = case when (excluded.reasons & cast($4 as integer)) <> 0 and excluded.kept_at > trace_keeps.kept_at \
        then excluded.kept_at else trace_keeps.kept_at end";
    const KEPT_AMONG = "select trace_id, reasons from trace_keeps where trace_id in (select unhex(value) from json_each(cast($1 as text)))";
    const LINKED_TO_KEPT = "select from_trace, to_trace from span_links where from_trace in (select unhex(value) from json_each(cast($1 as text))) \
        union select from_trace, to_trace from span_links where to_trace in (select unhex(value) from json_each(cast($1 as text)))";
    const OLDEST = "select id, received_at, spans, traces from span_chunks order by id limit 1";
    const BYTES = "select id, received_at, bytes from span_chunks where id = $1";
    const ADD_KEPT = "insert into kept_spans (trace_id, chunk_id, spans, bytes) values ($1, $2, $3, $4) on conflict (trace_id, chunk_id) do nothing";
    const DROP_CHUNK = "delete from span_chunks where id = $1";
    const LOSE = "insert into span_losses (what, spans, last_at) values ($1, $2, $3) \
        on conflict (what) do update set spans = span_losses.spans + excluded.spans, last_at = excluded.last_at";
    const LOSSES = "select what, spans, last_at from span_losses order by what";
    const OLDEST_KEPT = "select trace_id, kept_at from trace_keeps order by kept_at limit $1";
    const SPANS_OF_KEPT = "select coalesce(cast(sum(spans) as bigint), 0) from kept_spans where trace_id = $1";
    const FORGET = "delete from trace_keeps where trace_id = $1";
    const FORGET_SPANS = "delete from kept_spans where trace_id = $1";
    const FORGET_NOTED = "delete from noted_spans where trace_id = $1";
    const FORGET_LINKS = "delete from span_links where from_trace = $1";
    const USED = "select coalesce(cast(sum(length(bytes)) as bigint), 0), coalesce(cast(sum(spans) as bigint), 0), \
        coalesce(min(received_at), 0) from span_chunks";
    const USED_KEPT = "select coalesce(cast(sum(length(bytes)) as bigint), 0), coalesce(cast(sum(spans) as bigint), 0), (select count(*) from trace_keeps) from kept_spans";
}

/// Bytes that indexes and narrow rows take beside a byte of chunk, about; the limit is for all of it.
const BESIDE: u64 = 2;

/// Traces that one kept trace draws along.
const MOST_LINKED: usize = 1_000;

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
    /// `hot` or `kept`: dropped before its time, to stay within the limit; `uncounted`: dropped for it before it was in any figure. `topic`: removed from a topic of spans before it was read.
    /// `repeats`: repeated spans were not known for the whole ten minutes. Of figures: `unpaired`, `skewed`, `unplaced`, `crowded`, `uncompared`,
    /// see [`crate::traces::derive::Counts`].
    pub what: String,
    /// How many spans (of a topic: records; `unpaired`, `skewed`: deliveries) so far; 0 for `repeats`.
    pub spans: u64,
    /// When the last ones went.
    pub last_at: Timestamp,
}

impl Store {
    /// Keeps traces beyond the hot time, with those that are linked with them. Repeating it changes nothing, but that the time of one that
    /// somebody pins begins anew.
    pub async fn keep_traces(&self, keeps: &[(TraceId, KeepReasons)], now: Timestamp) -> Result<(), StoreError> {
        let mut by_reasons: HashMap<KeepReasons, HashSet<TraceId>> = HashMap::new();
        for (trace, reasons) in keeps {
            by_reasons.entry(*reasons).or_default().insert(*trace);
        }
        let drawing: HashSet<TraceId> = keeps.iter().filter(|(_, reasons)| reasons.draws_linked()).map(|(trace, _)| *trace).collect();
        let linked = self.linked_with(&drawing).await?;
        by_reasons.entry(KeepReasons::LINKED).or_default().extend(linked);
        self.keep(by_reasons, now).await
    }

    /// Keeps traces that links of these chunks tie to kept ones.
    pub async fn keep_linked_by(&self, chunks: &[i64], now: Timestamp) -> Result<(), StoreError> {
        let links = self.links_of_chunks(chunks).await?;
        let ties = || links.iter().flat_map(|links| links.iter()).map(|link| (link.from.0, link.to.0)).filter(|(from, to)| from != to);
        let kept = self.kept_among(&ties().flat_map(|(from, to)| [from, to]).collect()).await?;
        let draws = |trace: &TraceId| kept.get(trace).is_some_and(|reasons| reasons.draws_linked());
        let linked = ties().filter_map(|(from, to)| match (draws(&from), draws(&to)) {
            (true, false) => Some(to),
            (false, true) => Some(from),
            _ => None,
        });
        self.keep(HashMap::from([(KeepReasons::LINKED, linked.collect())]), now).await
    }

    async fn keep(&self, traces: HashMap<KeepReasons, HashSet<TraceId>>, now: Timestamp) -> Result<(), StoreError> {
        if traces.values().all(HashSet::is_empty) {
            return Ok(());
        }
        in_transaction!(self, |tx| {
            for (reasons, traces) in traces.iter().filter(|(_, traces)| !traces.is_empty()) {
                sqlx::query(KEEP)
                    .bind(hex_list(traces))
                    .bind(reasons.code())
                    .bind(now.as_millis())
                    .bind(KeepReasons::PINNED.code())
                    .execute(&mut *tx)
                    .await?;
            }
        });
        Ok(())
    }

    /// Other traces that are linked with these, either way; of each a bounded number.
    async fn linked_with(&self, traces: &HashSet<TraceId>) -> Result<HashSet<TraceId>, StoreError> {
        if traces.is_empty() {
            return Ok(HashSet::new());
        }
        let hot = self.hot_links(traces).await?.into_iter().map(|link| (link.from.0, link.to.0));
        let list = hex_list(traces);
        let rows: Vec<(Vec<u8>, Vec<u8>)> = read!(self, |pool| sqlx::query_as(LINKED_TO_KEPT).bind(&list).fetch_all(pool).await?)?;
        let kept = rows.iter().filter_map(|(from, to)| TraceId::from_bytes(from).zip(TraceId::from_bytes(to)));
        let of_link = |(from, to): (TraceId, TraceId)| [(from, to), (to, from)];
        let mut others: HashMap<TraceId, HashSet<TraceId>> = HashMap::new();
        for (one, other) in hot.chain(kept).flat_map(of_link).filter(|(one, other)| one != other && traces.contains(one)) {
            let of_one = others.entry(one).or_default();
            if of_one.len() < MOST_LINKED {
                of_one.insert(other);
            }
        }
        Ok(others.into_values().flatten().collect())
    }

    /// Which of these traces are kept, and why.
    async fn kept_among(&self, traces: &HashSet<TraceId>) -> Result<HashMap<TraceId, KeepReasons>, StoreError> {
        if traces.is_empty() {
            return Ok(HashMap::new());
        }
        let list = hex_list(traces);
        let rows: Vec<(Vec<u8>, i32)> = read!(self, |pool| sqlx::query_as(KEPT_AMONG).bind(&list).fetch_all(pool).await?)?;
        Ok(rows.iter().filter_map(|(trace, code)| Some((TraceId::from_bytes(trace)?, KeepReasons::from_code(*code)))).collect())
    }

    /// Chunks up to this one are in the figures; 0 when none is, or nobody knows.
    pub async fn spans_counted_to(&self) -> Result<i64, StoreError> {
        let state = self.figure_source(SPANS).await?.and_then(|(_, state)| state);
        Ok(state.and_then(|state| state.try_into().ok()).map_or(0, i64::from_le_bytes))
    }

    /// Lets the oldest chunk go when it was written before `before` and is one of those up to `counted`, which are in the figures, or, with
    /// `early`, in any case; what it holds of kept traces stays. `false`: there was none to go. Failpoint `spans.expire` lies in the middle.
    pub async fn expire_span_chunk(&self, before: Timestamp, counted: i64, early: bool, now: Timestamp) -> Result<bool, StoreError> {
        let oldest: Option<(i64, i64, i32, Vec<u8>)> = read!(self, |pool| sqlx::query_as(OLDEST).fetch_optional(pool).await?)?;
        let Some((id, received_at, count, traces)) = oldest.filter(|(id, at, ..)| early || (*at < before.as_millis() && *id <= counted))
        else {
            return Ok(false);
        };
        let traces = traces.chunks_exact(16).filter_map(TraceId::from_bytes).collect();
        let outliving = self.outliving(id, &traces).await?;
        let lost = if id > counted { Some("uncounted") } else { Some("hot").filter(|_| received_at >= before.as_millis()) };
        in_transaction!(self, |tx| {
            if sqlx::query(DROP_CHUNK).bind(id).execute(&mut *tx).await?.rows_affected() == 1 {
                for (trace, spans, bytes) in &outliving.packed {
                    sqlx::query(ADD_KEPT).bind(trace.0.as_slice()).bind(id).bind(spans).bind(bytes).execute(&mut *tx).await?;
                }
                failpoint::pass("spans.expire");
                tx.insert_noted_spans(id, outliving.noted).await?;
                tx.insert_span_links(id, outliving.links).await?;
                sqlx::query(keys::DROP_STALE).bind(keys::stale_before(id)).bind(keys::STALE_STEP).execute(&mut *tx).await?;
                if let Some(what) = lost {
                    sqlx::query(LOSE).bind(what).bind(i64::from(count)).bind(now.as_millis()).execute(&mut *tx).await?;
                }
            }
        });
        self.size_changed();
        Ok(true)
    }

    /// What a chunk holds of kept traces. A damaged chunk must go like any other: nothing of it can be kept.
    async fn outliving(&self, chunk: i64, traces: &HashSet<TraceId>) -> Result<Outliving, StoreError> {
        let wanted: HashSet<TraceId> = self.kept_among(traces).await?.into_keys().collect();
        if wanted.is_empty() {
            return Ok(Outliving::default());
        }
        let rows: Vec<ChunkRow> = read!(self, |pool| sqlx::query_as(BYTES).bind(chunk).fetch_all(pool).await?)?;
        match unpack_all(rows, move |(_, _, bytes)| Outliving::of(&bytes, &wanted)).await {
            Ok(found) => Ok(found.into_iter().next().unwrap_or_default()),
            Err(reason) => {
                tracing::error!(chunk, %reason, "spans of kept traces are lost");
                Ok(Outliving::default())
            }
        }
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

/// Ids for [`unhex`](https://sqlite.org/lang_corefunc.html#unhex), as a list for `json_each`.
pub(super) fn hex_list(traces: &HashSet<TraceId>) -> String {
    let ids: Vec<String> = traces.iter().map(ToString::to_string).collect();
    text_list(&ids.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What stays of a chunk that goes.
#[derive(Debug, Default)]
struct Outliving {
    /// Trace, number of its spans, and their bytes.
    packed: Vec<(TraceId, i32, Vec<u8>)>,
    noted: Vec<NotedSpan>,
    links: Vec<TraceLink>,
}

impl Outliving {
    /// What a chunk's bytes hold of the wanted traces.
    fn of(bytes: &[u8], wanted: &HashSet<TraceId>) -> Result<Self, StoreError> {
        let spans: Spans = unpack_with(bytes, wire::decode)?.into_iter().filter(|span| wanted.contains(&span.trace_id)).collect();
        let mut packed = Vec::with_capacity(wanted.len());
        let mut raw = Vec::new();
        // A chunk's spans lie in the order of their traces.
        for some in spans.chunk_by(|one, other| one.trace_id == other.trace_id) {
            raw.clear();
            wire::encode(some, &mut raw);
            packed.push((some[0].trace_id, i32::try_from(some.len()).unwrap_or(i32::MAX), pack(&raw)?));
        }
        Ok(Self { packed, noted: spans.iter().filter_map(|span| NotedSpan::of(span)).collect(), links: links_of(&spans).collect() })
    }
}
