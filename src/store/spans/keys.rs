//! By what hot chunks are found: hashes of traces, of records and of what is linked. A hash names chunks to look into, never the spans
//! themselves, so that two of the same hash cost a look and nothing else.
//!
//! Rows of chunks that came after each other share a bucket, and new ones fall into the newest: the pages that a write touches stay few,
//! however many spans are hot. A look goes through all buckets; [`Runs`] tells when the next one begins.

use crate::model::span::{Span, TraceId};
use crate::model::trace::noted_text;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    /// Bound: bucket, chunk, its keys.
    const ADD = "insert into span_keys (bucket, key, chunk_id) select cast($1 as bigint), cast(value as bigint), cast($2 as bigint) \
        from json_each(cast($3 as text))";
    const CHUNKS = "with recursive buckets(n) as (select min(bucket) from span_keys where bucket <= $2 union all \
        select (select min(k.bucket) from span_keys k where k.bucket > b.n and k.bucket <= $2) from buckets b where b.n is not null) \
        select distinct c.id from buckets b cross join (select cast(value as bigint) as key from json_each(cast($1 as text))) w \
        cross join span_keys k cross join span_chunks c where k.bucket = b.n and k.key = w.key and k.chunk_id <= $2 and c.id = k.chunk_id \
        order by c.id desc limit $3";
    /// Removes at most `$2` keys and one of the oldest bucket, when it lies before bucket `$1`.
    const DROP_STALE = "delete from span_keys where bucket = (select min(bucket) from span_keys) and bucket < $1 and key <= coalesce( \
        (select key from span_keys where bucket = (select min(bucket) from span_keys) order by key limit 1 offset $2), 9223372036854775807)";
}

/// A bucket ends with this many spans: a megabyte, in which a write finds its place fast.
const SPANS_OF_BUCKET: u64 = 65_536;
/// Or when chunks have come so far from its first one: where few spans come, chunks are small.
const CHUNKS_OF_BUCKET: i64 = 256;
/// Chunks that one look finds at most, the newest, and so many more for each thing that is wanted.
const MOST_CHUNKS: i64 = 200;
const MORE_CHUNKS: i64 = 20;
/// Chunks that one trace is put together from, the newest.
pub(super) const CHUNKS_OF_TRACE: usize = 220;
/// Keys of chunks that are gone, removed with each chunk that goes: more than a chunk has.
pub(super) const STALE_STEP: i64 = 8_192;

/// Which buckets a process writes into. A bucket's number is the id of its first chunk, so that instances have buckets of their own.
#[derive(Debug, Default)]
pub(in crate::store) struct Runs {
    bucket: i64,
    spans: u64,
}

impl Runs {
    /// The bucket of the next chunk.
    pub(super) const fn bucket_of(&mut self, chunk: i64, spans: u64) -> i64 {
        if self.spans == 0 || self.spans >= SPANS_OF_BUCKET || chunk < self.bucket || chunk - self.bucket >= CHUNKS_OF_BUCKET {
            *self = Self { bucket: chunk, spans: 0 };
        }
        self.spans += spans;
        self.bucket
    }
}

/// Buckets before this one hold no chunk that is still there when `chunk` is the oldest.
pub(super) const fn stale_before(chunk: i64) -> i64 {
    chunk - CHUNKS_OF_BUCKET
}

/// By what chunks are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// Spans of a trace.
    Trace(TraceId),
    /// Noted spans about a record: topic, partition and offset.
    Record(&'a str, i32, i64),
    /// Spans that are linked to a trace.
    LinkedTo(TraceId),
}

impl Wanted<'_> {
    /// The hash: FNV-1a, spread over all bits. It is kept in the store and never changes.
    pub(super) fn key(self) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |bytes: &[u8]| bytes.iter().for_each(|byte| hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        match self {
            Self::Trace(trace) => take(&trace.0),
            Self::Record(topic, partition, offset) => {
                take(topic.as_bytes());
                take(&partition.to_le_bytes());
                take(&offset.to_le_bytes());
            }
            Self::LinkedTo(trace) => {
                take(b"to");
                take(&trace.0);
            }
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash ^ (hash >> 31)).cast_signed()
    }
}

/// Keys of a chunk, each once, ascending: the order in which they are written costs least. `spans` lie in the order of their traces.
pub(super) fn keys_of(spans: &[Box<Span>]) -> Vec<i64> {
    let traces = spans.chunk_by(|one, other| one.trace_id == other.trace_id).map(|some| Wanted::Trace(some[0].trace_id).key());
    let links = spans.iter().flat_map(|span| span.links.iter()).map(|link| Wanted::LinkedTo(link.trace_id).key());
    let records = spans.iter().filter_map(|span| {
        let messaging = span.messaging.as_deref()?;
        let topic = noted_text(messaging.destination.as_deref()?);
        Some(Wanted::Record(&topic, messaging.partition?, messaging.offset?).key())
    });
    let mut keys: Vec<i64> = traces.chain(links).chain(records).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl Store {
    /// Hot chunks that hold what is wanted, newest first.
    pub(super) async fn span_chunks_with(&self, wanted: &[Wanted<'_>]) -> Result<Vec<i64>, StoreError> {
        let most = MOST_CHUNKS + MORE_CHUNKS * i64::try_from(wanted.len()).unwrap_or(0);
        self.span_chunks_up_to(i64::MAX, wanted, most).await
    }

    /// Hot chunks up to one that hold what is wanted, the newest `most`.
    pub(super) async fn span_chunks_up_to(&self, last: i64, wanted: &[Wanted<'_>], most: i64) -> Result<Vec<i64>, StoreError> {
        if wanted.is_empty() || last <= 0 {
            return Ok(Vec::new());
        }
        let keys = id_list(&wanted.iter().map(|wanted| wanted.key()).collect::<Vec<_>>());
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(CHUNKS).bind(&keys).bind(last).bind(most).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_what_is_wanted_apart_and_stay_as_they_are() {
        let trace = TraceId([7; 16]);
        let keys = [Wanted::Trace(trace), Wanted::LinkedTo(trace), Wanted::Record("orders", 3, 17), Wanted::Record("orders", 17, 3)];
        let keys: Vec<i64> = keys.map(Wanted::key).to_vec();
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        // Stores that were written yesterday are read today.
        assert_eq!(keys[0], -5_316_122_176_348_533_089);
    }

    #[test]
    fn a_bucket_ends_when_it_is_full_or_reaches_too_far() {
        let mut runs = Runs::default();
        assert_eq!([1, 2, 9, 10].map(|chunk| runs.bucket_of(chunk, 16_384)), [1, 1, 1, 1]);
        assert_eq!(runs.bucket_of(18, 10), 18, "full");
        assert_eq!([19, 273, 274].map(|chunk| runs.bucket_of(chunk, 1)), [18, 18, 274]);
        // A commit that failed has taken an id that is given again.
        assert_eq!(runs.bucket_of(200, 1), 200);
    }
}
