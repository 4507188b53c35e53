//! Spans: as they came, in compressed chunks for a short time; by name, place and link for those who search; and whole traces for
//! longer when there is a reason ([`keep`]).
//!
//! A chunk's id counts commits over all instances, so that whoever works through chunks by id misses none ([`Store::list_span_outlines`]).

use std::sync::{Mutex, PoisonError};

use fresh::Outline;
use keys::Runs;

use super::indexing::id_list;
use super::{Store, StoreError};
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::model::span::{Span, Spans, wire};
use crate::model::trace::{NotedSpan, TraceLink, duration_us};

pub(in crate::store) mod fresh;
pub mod hot;
pub mod keep;
pub(in crate::store) mod keys;
pub mod letters;
pub mod read;
pub mod search;

/// Every statement about spans.
pub(super) const ALL: [&[(&str, &str)]; 7] =
    [STATEMENTS, hot::STATEMENTS, keep::STATEMENTS, keys::STATEMENTS, letters::STATEMENTS, read::STATEMENTS, search::STATEMENTS];

statements! {
    const TICK = "update span_clock set last = last + $1 where id = 1 returning last";
    const LAST = "select last from span_clock where id = 1";
    const ADD_CHUNK = "insert into span_chunks (id, received_at, spans, noted, oldest_start, newest_start, longest_us, failed, traces, bytes) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    const NEXT = "select id, received_at from span_chunks where id > $1 order by id limit $2";
    const FIRST_SINCE = "select coalesce(min(id), 0) from span_chunks where received_at >= $1";
}

/// Spans of one chunk at most.
const CHUNK: usize = 1_024;
/// zstd's fastest: chunks are short-lived.
const LEVEL: i32 = 1;
/// A chunk is refused above this size when it is read: it was damaged.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// Spans ready to be written.
#[derive(Debug, Default)]
pub struct EncodedSpans {
    chunks: Vec<EncodedChunk>,
    /// What is counted of each chunk's spans.
    outlines: Vec<Outline>,
}

#[derive(Debug)]
struct EncodedChunk {
    spans: i32,
    bytes: Vec<u8>,
    keys: Vec<i64>,
    /// Ids of its traces, one after the other.
    traces: Vec<u8>,
    noted: Noted,
}

/// What a search must know of a chunk before it reads it.
#[derive(Debug)]
struct Noted {
    count: i32,
    /// Milliseconds since the Unix epoch; newest before oldest when there is none.
    oldest_start: i64,
    newest_start: i64,
    longest_us: i64,
    failed: bool,
}

/// A chunk as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanChunk {
    /// Its number in the order of commits.
    pub id: i64,
    /// When it was written.
    pub received_at: Timestamp,
    /// Its spans.
    pub spans: Spans,
}

impl EncodedSpans {
    /// Groups spans by trace, packs them, and notes what is searched for. Busy for some microseconds a span: not for an async thread.
    pub fn new(mut spans: Spans) -> Result<Self, StoreError> {
        // Cached: the ids lie far from each other.
        spans.sort_by_cached_key(|span| span.trace_id);
        let mut chunks = Vec::with_capacity(spans.len().div_ceil(CHUNK));
        let mut sizes = Vec::with_capacity(chunks.capacity());
        let mut raw = Vec::new();
        for some in spans.chunks(CHUNK) {
            raw.clear();
            wire::encode(some, &mut raw);
            sizes.push(raw.len());
            chunks.push(EncodedChunk {
                spans: i32::try_from(some.len()).unwrap_or(i32::MAX),
                bytes: pack(&raw)?,
                keys: keys::keys_of(some),
                traces: some.chunk_by(|one, other| one.trace_id == other.trace_id).flat_map(|of_trace| of_trace[0].trace_id.0).collect(),
                noted: Noted::of(some),
            });
        }
        Ok(Self { chunks, outlines: outlines_of(spans, sizes) })
    }

    /// How many spans.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.spans.unsigned_abs())).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

impl Noted {
    fn of(spans: &[Box<Span>]) -> Self {
        let mut noted = Self { count: 0, oldest_start: i64::MAX, newest_start: i64::MIN, longest_us: 0, failed: false };
        for span in spans.iter().filter(|span| NotedSpan::is_of(span)) {
            let started_at = span.started_at().as_millis();
            noted.count += 1;
            noted.oldest_start = noted.oldest_start.min(started_at);
            noted.newest_start = noted.newest_start.max(started_at);
            noted.longest_us = noted.longest_us.max(duration_us(span));
            noted.failed |= span.failed();
        }
        noted
    }
}

/// Outlines by chunk, of which these are the sizes.
fn outlines_of(spans: Spans, sizes: Vec<usize>) -> Vec<Outline> {
    let mut spans = spans.into_iter().map(|mut span| {
        span.reduce_to_outline();
        span
    });
    sizes.into_iter().map(|bytes| Outline { spans: spans.by_ref().take(CHUNK).collect(), bytes }).collect()
}

fn links_of(spans: &[Box<Span>]) -> impl Iterator<Item = TraceLink> {
    spans.iter().flat_map(|span| {
        let from = (span.trace_id, span.span_id);
        span.links.iter().map(move |link| TraceLink { from, to: (link.trace_id, link.span_id) })
    })
}

/// Bytes of spans, compressed, after their length.
fn pack(raw: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(raw, LEVEL)
        .map(|packed| [&(raw.len() as u64).to_le_bytes(), packed.as_slice()].concat())
        .map_err(|error| StoreError::Broken(format!("compressor: {error}")))
}

type Decode = fn(&[u8]) -> Result<Spans, wire::DamagedSpans>;

/// The spans of [`pack`]ed bytes.
fn unpack_with(bytes: &[u8], decode: Decode) -> Result<Spans, StoreError> {
    let damaged = || StoreError::Broken("stored spans are damaged".to_owned());
    let (length, packed) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= MOST_BYTES).ok_or_else(damaged)?;
    let raw = zstd::bulk::decompress(packed, length).map_err(|_| damaged())?;
    decode(&raw).map_err(|_| damaged())
}

type ChunkRow = (i64, i64, Vec<u8>);

/// Works through rows on a thread that may be busy for a while.
async fn unpack_all<T: Send + 'static>(
    rows: Vec<ChunkRow>,
    unpack: impl Fn(ChunkRow) -> Result<T, StoreError> + Send + 'static,
) -> Result<Vec<T>, StoreError> {
    let work = move || rows.into_iter().map(unpack).collect();
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Broken(format!("unpacking spans: {error}")))?
}

fn whole((id, received_at, bytes): ChunkRow) -> Result<SpanChunk, StoreError> {
    Ok(SpanChunk { id, received_at: Timestamp::from_millis(received_at), spans: unpack_with(&bytes, wire::decode)? })
}

fn outline((id, received_at, bytes): ChunkRow) -> Result<SpanChunk, StoreError> {
    Ok(SpanChunk { id, received_at: Timestamp::from_millis(received_at), spans: unpack_with(&bytes, wire::decode_outline)? })
}

impl Store {
    /// Writes spans, all or none. When it returns they are on the disk. Failpoints `spans.before_commit` and `spans.after_commit`.
    pub async fn add_spans(&self, mut spans: EncodedSpans, now: Timestamp) -> Result<(), StoreError> {
        if spans.is_empty() {
            return Ok(());
        }
        self.check_fullness().await?;
        let outlines = std::mem::take(&mut spans.outlines);
        let first = write_on!(self, add(spans, &self.inner.caches.span_runs, now));
        failpoint::pass("spans.after_commit");
        self.inner.caches.fresh_chunks.add(first, outlines);
        Ok(())
    }

    /// The next chunks after one, in the order of their commits, at most `limit`: without any attributes, for those who count. What this
    /// process has just written is not read again.
    pub async fn list_span_outlines(&self, after: i64, limit: u32) -> Result<Vec<SpanChunk>, StoreError> {
        self.inner.caches.fresh_chunks.ask();
        let next: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(NEXT).bind(after).bind(i64::from(limit)).fetch_all(pool).await?)?;
        let (mut chunks, mut missing) = (Vec::with_capacity(next.len()), Vec::new());
        for (id, received_at) in next {
            match self.inner.caches.fresh_chunks.take(id) {
                Some(spans) => chunks.push(SpanChunk { id, received_at: Timestamp::from_millis(received_at), spans }),
                None => missing.push(id),
            }
        }
        chunks.extend(unpack_all(self.packed_chunks(&missing).await?, outline).await?);
        chunks.sort_unstable_by_key(|chunk| chunk.id);
        self.remember_links(&chunks);
        Ok(chunks)
    }

    /// The newest chunk's id; 0 before the first.
    pub async fn last_span_chunk(&self) -> Result<i64, StoreError> {
        let (last,): (i64,) = read!(self, |pool| sqlx::query_as(LAST).fetch_one(pool).await?)?;
        Ok(last)
    }

    /// The first chunk that was written at `since` or later, of those that are still there; 0 when there is none.
    pub async fn first_span_chunk_since(&self, since: Timestamp) -> Result<i64, StoreError> {
        let (first,): (i64,) = read!(self, |pool| sqlx::query_as(FIRST_SINCE).bind(since.as_millis()).fetch_one(pool).await?)?;
        Ok(first)
    }
}

engines! {
    pub(in crate::store) async fn add(tx: &mut Connection, spans: EncodedSpans, runs: &Mutex<Runs>, now: Timestamp) -> Result<i64, StoreError> {
        let count = i64::try_from(spans.chunks.len()).unwrap_or(i64::MAX);
        // The row stays locked until the commit: ids are in the order of commits.
        let (last,): (i64,) = sqlx::query_as(TICK).bind(count).fetch_one(&mut *tx).await?;
        let now = now.as_millis();
        let first = last - count + 1;
        for (id, chunk) in (first..).zip(spans.chunks) {
            sqlx::query(ADD_CHUNK)
                .bind(id)
                .bind(now)
                .bind(chunk.spans)
                .bind(chunk.noted.count)
                .bind(chunk.noted.oldest_start)
                .bind(chunk.noted.newest_start)
                .bind(chunk.noted.longest_us)
                .bind(chunk.noted.failed)
                .bind(chunk.traces)
                .bind(chunk.bytes)
                .execute(&mut *tx)
                .await?;
            let bucket = runs.lock().unwrap_or_else(PoisonError::into_inner).bucket_of(id, u64::from(chunk.spans.unsigned_abs()));
            sqlx::query(keys::ADD).bind(bucket).bind(id).bind(id_list(&chunk.keys)).execute(&mut *tx).await?;
        }
        failpoint::pass("spans.before_commit");
        Ok(first)
    }
}
