//! What hot chunks hold for those who search: their noted spans and links, without attributes. What was looked at lately stays in memory;
//! a chunk never changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::keys::Wanted;
use super::{ChunkRow, SpanChunk, links_of, unpack_all, unpack_with};
use crate::model::span::{Operation, Span, SpanId, TraceId, wire};
use crate::model::trace::{NotedSpan, TraceLink, noted_text};
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError};

statements! {
    const BYTES = "select id, received_at, bytes from span_chunks where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Chunks that are unpacked at a time: a megabyte or two each.
const AT_A_TIME: usize = 8;

/// What a producer's span is looked for by.
#[derive(Debug, Clone, Copy)]
pub struct Producer<'a> {
    /// Its ids, where they are known.
    pub span: Option<(TraceId, SpanId)>,
    /// Topic, partition and offset of the record, where they are known.
    pub record: Option<(&'a str, i32, i64)>,
}

/// Chunks that one search for producers looks into: a tenth of a second of work for each hundred.
const PRODUCER_CHUNKS: usize = 512;
/// Producers that are asked for by key at a time. A key is looked for in each bucket, which costs more than to read a chunk; and messages
/// that a group reads one after the other were sent one after the other, so that the chunks of a few hold the producers of most.
const ASKED_AT_ONCE: usize = 250;
/// Producers that one search asks for by key at most.
const MOST_ASKED: usize = 3_000;

/// What a search for producers has found.
#[derive(Debug, Default)]
pub struct FoundProducers {
    /// The producers, in the order of the question.
    pub producers: Vec<Option<NotedSpan>>,
    /// Those of the question that were not found and not looked for everywhere, as there were too many.
    pub left: Vec<usize>,
}

/// A hot chunk, as far as searches go.
#[derive(Debug)]
pub(in crate::store) struct HotChunk {
    /// Its noted spans, in the order of their traces.
    pub(super) spans: Vec<NotedSpan>,
    /// Its links.
    pub(super) links: Links,
}

/// Links of a chunk.
pub(in crate::store) type Links = Arc<[TraceLink]>;

impl HotChunk {
    fn of(spans: &[Box<Span>]) -> Self {
        Self { spans: spans.iter().filter_map(|span| NotedSpan::of(span)).collect(), links: links_of(spans).collect() }
    }
}

impl Store {
    /// Chunks as they are stored, of those that are still there.
    pub(super) async fn packed_chunks(&self, ids: &[i64]) -> Result<Vec<ChunkRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let list = id_list(ids);
        read!(self, |pool| sqlx::query_as(BYTES).bind(&list).fetch_all(pool).await?)
    }

    /// Hot chunks by id, each once; those that have gone meanwhile are left out.
    pub(super) async fn hot_chunks(&self, ids: &[i64]) -> Result<Vec<(i64, Arc<HotChunk>)>, StoreError> {
        let cache = &self.inner.caches.hot_spans;
        let (mut found, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match cache.get(id) {
                Some(chunk) => found.push((*id, chunk)),
                None => missing.push(*id),
            }
        }
        for some in missing.chunks(AT_A_TIME) {
            let rows = self.packed_chunks(some).await?;
            let chunks =
                unpack_all(rows, |(id, _, bytes)| Ok((id, Arc::new(HotChunk::of(&unpack_with(&bytes, wire::decode_outline)?))))).await?;
            cache.extend(chunks.iter().cloned());
            found.extend(chunks);
        }
        Ok(found)
    }

    /// Remembers the links of chunks that are being counted: most traces that are kept are of them.
    pub(super) fn remember_links(&self, chunks: &[SpanChunk]) {
        self.inner.caches.span_links.extend(chunks.iter().map(|chunk| (chunk.id, links_of(&chunk.spans).collect())));
    }

    /// Links of hot chunks; of those that are still there.
    pub(super) async fn links_of_chunks(&self, ids: &[i64]) -> Result<Vec<Links>, StoreError> {
        let cache = &self.inner.caches.span_links;
        let (mut links, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match cache.get(id) {
                Some(of_chunk) => links.push(of_chunk),
                None => missing.push(*id),
            }
        }
        let read: Vec<(i64, Links)> =
            self.hot_chunks(&missing).await?.into_iter().map(|(id, chunk)| (id, Arc::clone(&chunk.links))).collect();
        links.extend(read.iter().map(|(_, of_chunk)| Arc::clone(of_chunk)));
        cache.extend(read);
        Ok(links)
    }

    /// Noted spans of hot chunks that hold what is wanted, of those that `matches`; each once.
    pub(super) async fn hot_spans(
        &self,
        wanted: &[Wanted<'_>],
        matches: impl Fn(&NotedSpan) -> bool,
    ) -> Result<Vec<NotedSpan>, StoreError> {
        let chunks = self.hot_chunks(&self.span_chunks_with(wanted).await?).await?;
        let mut seen = HashSet::new();
        let spans = chunks.iter().flat_map(|(_, chunk)| chunk.spans.iter());
        Ok(spans.filter(|span| matches(span) && seen.insert((span.trace_id, span.span_id))).cloned().collect())
    }

    /// Links of hot chunks from and to the given traces, each once.
    pub(super) async fn hot_links(&self, traces: &HashSet<TraceId>) -> Result<HashSet<TraceLink>, StoreError> {
        let wanted: Vec<Wanted<'_>> = traces.iter().flat_map(|trace| [Wanted::Trace(*trace), Wanted::LinkedTo(*trace)]).collect();
        let of_chunks = self.links_of_chunks(&self.span_chunks_with(&wanted).await?).await?;
        let links = of_chunks.iter().flat_map(|links| links.iter());
        Ok(links.filter(|link| traces.contains(&link.from.0) || traces.contains(&link.to.0)).copied().collect())
    }

    /// Spans of producers, each by its ids or else by its record, in hot chunks up to `last` and among kept traces; when `last` is 0 no chunk
    /// ever came that the asker does not know. `is_on_bus` tells of one of the producers, by its place in the question, whether a span that
    /// names the record's coordinates was on the record's bus. A few are asked for by key, and everybody is looked for in the chunks that
    /// hold them, until all were found or asked for. Looks into a bounded number of chunks and rows.
    pub async fn find_producers(
        &self,
        producers: &[Producer<'_>],
        last: i64,
        is_on_bus: impl Fn(usize, &NotedSpan) -> bool + Sync,
    ) -> Result<FoundProducers, StoreError> {
        let mut search = ProducerSearch::of(producers);
        if last <= 0 || producers.is_empty() {
            return Ok(FoundProducers { producers: search.found, left: Vec::new() });
        }
        let topics: Vec<_> = producers.iter().map(|producer| producer.record.map(|(topic, ..)| noted_text(topic))).collect();
        let (mut unasked, mut asked): (Vec<usize>, Vec<usize>) = ((0..producers.len()).collect(), Vec::new());
        let (mut opened, mut cut) = (HashSet::new(), Vec::new());
        while !unasked.is_empty() && asked.len() < MOST_ASKED && opened.len() < PRODUCER_CHUNKS {
            let some = spread(&mut unasked, ASKED_AT_ONCE);
            let wanted: Vec<Wanted<'_>> = some.iter().flat_map(|index| wanted(&producers[*index], topics[*index].as_deref())).collect();
            let most = i64::try_from(PRODUCER_CHUNKS).unwrap_or(i64::MAX);
            let mut ids = self.span_chunks_up_to(last, &wanted, most).await?;
            ids.retain(|id| opened.len() < PRODUCER_CHUNKS && opened.insert(*id));
            // A few at a time: all of them would take tens of megabytes.
            for some in ids.chunks(AT_A_TIME) {
                self.hot_chunks(some).await?.iter().flat_map(|(_, chunk)| &chunk.spans).for_each(|span| search.take(span, &is_on_bus));
            }
            let round = if opened.len() < PRODUCER_CHUNKS { &mut asked } else { &mut cut };
            round.extend(some);
            unasked.retain(|index| search.found[*index].is_none());
        }
        asked.retain(|index| search.found[*index].is_none());
        let missing: Vec<Producer<'_>> = asked.iter().map(|index| producers[*index]).collect();
        self.list_kept_senders(&missing).await?.iter().for_each(|span| search.take(span, &is_on_bus));
        // Where there was no room for more chunks, those of the last round may lie in others.
        let left = unasked.into_iter().chain(cut).filter(|index| search.found[*index].is_none()).collect();
        Ok(FoundProducers { producers: search.found, left })
    }
}

/// By what a producer is found, with the topic as it is noted.
fn wanted<'a>(producer: &Producer<'_>, topic: Option<&'a str>) -> impl Iterator<Item = Wanted<'a>> + use<'a> {
    let span = producer.span.map(|(trace, _)| Wanted::Trace(trace));
    let record = topic.zip(producer.record).map(|(topic, (_, partition, offset))| Wanted::Record(topic, partition, offset));
    span.into_iter().chain(record)
}

/// Takes out this many, as far from each other as can be.
fn spread(all: &mut Vec<usize>, most: usize) -> Vec<usize> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    let taken = all.iter().copied().step_by(step).collect();
    let mut place = 0;
    all.retain(|_| {
        place += 1;
        (place - 1) % step != 0
    });
    taken
}

/// Which producers are looked for, and those that were found, in the order of the question.
struct ProducerSearch {
    by_span: HashMap<(TraceId, SpanId), Vec<usize>>,
    by_record: HashMap<(String, i32, i64), Vec<usize>>,
    found: Vec<Option<NotedSpan>>,
}

impl ProducerSearch {
    fn of(producers: &[Producer<'_>]) -> Self {
        let mut search = Self { by_span: HashMap::new(), by_record: HashMap::new(), found: vec![None; producers.len()] };
        for (index, producer) in producers.iter().enumerate() {
            if let Some(span) = producer.span {
                search.by_span.entry(span).or_default().push(index);
            }
            if let Some((topic, partition, offset)) = producer.record {
                search.by_record.entry((noted_text(topic).into_owned(), partition, offset)).or_default().push(index);
            }
        }
        search
    }

    fn take(&mut self, span: &NotedSpan, is_on_bus: impl Fn(usize, &NotedSpan) -> bool) {
        if span.operation != Operation::Send {
            return;
        }
        let of_span = self.by_span.get(&(span.trace_id, span.span_id)).into_iter().flatten();
        let record = span.topic.clone().zip(span.partition).zip(span.offset).map(|((topic, partition), offset)| (topic, partition, offset));
        let of_record = record.and_then(|record| self.by_record.get(&record)).into_iter().flatten();
        for index in of_span.chain(of_record.filter(|index| is_on_bus(**index, span))) {
            self.found[*index] = Some(span.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_asked_for_lie_far_from_each_other_and_each_is_asked_for_once() {
        let mut all: Vec<usize> = (0..10).collect();
        assert_eq!((spread(&mut all, 3), all.clone()), (vec![0, 4, 8], vec![1, 2, 3, 5, 6, 7, 9]));
        assert_eq!((spread(&mut all, 100), all.len()), (vec![1, 2, 3, 5, 6, 7, 9], 0));
        assert!(spread(&mut all, 3).is_empty());
    }
}
