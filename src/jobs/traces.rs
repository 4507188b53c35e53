//! From received spans to figures and kept traces. Spans lie in the store in the order of their commits, whoever received them; the one
//! instance that derives works through them, and writes with each frame of samples how far it came: after a crash, or when another takes
//! over, spans are counted on from there, none twice and none left out.

use std::collections::HashMap;
use std::time::Duration;

use super::{Context, Run};
use crate::model::Timestamp;
use crate::model::span::TraceId;
use crate::model::trace::{KeepReasons, NotedSpan};
use crate::store::StoreError;
use crate::store::figures::{NewFrame, SPANS};
use crate::store::spans::SpanChunk;
use crate::store::spans::hot::Producer;
use crate::traces::bearings::{Bearings, Home};
use crate::traces::derive::{Delivery, Derivation};

/// Time between two frames.
const FRAME_EVERY: Duration = Duration::from_secs(10);
/// Chunks that are worked through at a time.
const CHUNKS: u32 = 8;
/// So far back spans are read again after a start, to know repeats and halves.
const REMEMBERED: Duration = Duration::from_mins(10);
/// How often the buses' metadata is read for it.
const BEARINGS_EVERY: Duration = Duration::from_secs(30);
/// How soon it is read again for a span that could not be placed; twice that when it was of no use, and so on.
const BEARINGS_SOON: Duration = Duration::from_secs(2);
/// Before that, its producer's span has time to come: SDKs send every few seconds.
const LOOK_UP_DELAY: Duration = Duration::from_secs(10);
/// Deliveries that are remembered for that: those of a consumer group far behind, 2,000 a second from one frame to the next.
const UNKNOWN: usize = 40_000;
/// Dead letters looked at in one run.
const LETTERS: u32 = 1_000;
/// A dead letter's spans come a while after it: SDKs send every few seconds.
const LETTER_DELAY: Duration = Duration::from_secs(20);

/// Where deriving stands.
#[derive(Debug)]
pub(super) struct Deriver {
    derivation: Derivation,
    /// Deliveries whose producer had not been seen when they came. Most come within seconds: older chunks are searched for the others.
    unknown: Vec<Delivery>,
    /// Chunks up to this one were taken.
    cursor: i64,
    /// When the last frame was taken; `None` before the first.
    framed_at: Option<Timestamp>,
    bearings_at: Option<Timestamp>,
    /// After this time it is read again when a span could not be placed.
    bearings_soon: Duration,
    /// Dead letters up to this one were looked at.
    letter: i64,
}

/// Takes what came in since the last run.
pub(super) async fn derive(run: &Run) -> anyhow::Result<()> {
    let mut place = run.deriver.lock().await;
    let context = &run.context;
    let mut deriver = match place.take() {
        Some(deriver) => deriver,
        None => Deriver::begin(context, Timestamp::now()).await?,
    };
    // Whatever fails on the way, the next run begins where the last frame ended.
    if deriver.run(context).await? {
        *place = Some(deriver);
    }
    Ok(())
}

impl Deriver {
    /// Goes on from the last frame, with the memory of what came shortly before it.
    async fn begin(context: &Context, now: Timestamp) -> Result<Self, StoreError> {
        let store = &context.store;
        let (framed_at, cursor) = match store.figure_source(SPANS).await? {
            Some((at, state)) => {
                let state = state.as_deref().and_then(|state| <[u8; 8]>::try_from(state).ok());
                let damaged = || StoreError::Broken("the place kept with the figures of spans is damaged".to_owned());
                (Some(at), i64::from_le_bytes(state.ok_or_else(damaged)?))
            }
            None => (None, 0),
        };
        let letter = store.newest_letter_number().await?.saturating_sub(i64::from(LETTERS));
        let mut deriver = Self {
            derivation: Derivation::default(),
            unknown: Vec::new(),
            cursor,
            framed_at,
            bearings_at: None,
            bearings_soon: BEARINGS_SOON,
            letter,
        };
        let first = store.first_span_chunk_since(now.minus(REMEMBERED)).await?;
        let remembers = first > 0 && first <= cursor;
        deriver.derivation.begin_after(if remembers { first - 1 } else { cursor });
        if remembers {
            deriver.take_bearings(context, now).await?;
            deriver.remember(context, first - 1).await?;
        }
        Ok(deriver)
    }

    /// Reads spans again that are counted already.
    async fn remember(&mut self, context: &Context, mut after: i64) -> Result<(), StoreError> {
        loop {
            let mut chunks = context.store.list_span_outlines(after, CHUNKS).await?;
            chunks.retain(|chunk| chunk.id <= self.cursor);
            let Some(last) = chunks.last() else { break };
            after = last.id;
            self.take(chunks).await?;
            // They are in the frames of then.
            drop((self.derivation.take_points(), self.derivation.take_keeps(), self.derivation.take_unknown()));
            drop((self.derivation.take_delivered(), self.derivation.take_counts()));
        }
        // Those that had waited long enough by then, too.
        if let Some(framed_at) = self.framed_at {
            self.derivation.release_held(framed_at);
            drop(self.derivation.take_points());
        }
        self.derivation.was_counted();
        Ok(())
    }

    /// `false`: another instance has gone on meanwhile, and this memory is worth nothing.
    async fn run(&mut self, context: &Context) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        // The first frame covers no time yet: what is counted from then on has a rate.
        if self.framed_at.is_none() && !self.frame_when_due(context).await? {
            return Ok(false);
        }
        loop {
            let chunks = context.store.list_span_outlines(self.cursor, CHUNKS).await?;
            let Some(last) = chunks.last().map(|chunk| chunk.id) else {
                self.derivation.release_held(now);
                break;
            };
            // A bus may have thousands of groups: nobody reads them while no spans come.
            self.renew_bearings(context, now).await?;
            let linking: Vec<i64> = chunks.iter().filter(|chunk| has_links(chunk)).map(|chunk| chunk.id).collect();
            self.take(chunks).await?;
            self.keep(context, &linking, now).await?;
            self.note_unknown();
            self.cursor = last;
            if !self.frame_when_due(context).await? {
                return Ok(false);
            }
            if context.life.soft().is_cancelled() {
                break;
            }
        }
        self.keep_dead_lettered(context, now).await?;
        self.frame_when_due(context).await
    }

    /// Counts chunks on a thread that may be busy for a while.
    async fn take(&mut self, chunks: Vec<SpanChunk>) -> Result<(), StoreError> {
        let mut derivation = std::mem::take(&mut self.derivation);
        let work = move || {
            for chunk in &chunks {
                derivation.take_chunk(chunk.id, &chunk.spans, chunk.received_at);
            }
            derivation
        };
        self.derivation =
            tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Broken(format!("counting spans: {error}")))?;
        Ok(())
    }

    /// Writes which traces are kept.
    async fn keep(&mut self, context: &Context, linking: &[i64], now: Timestamp) -> Result<(), StoreError> {
        let store = &context.store;
        let mut keeps = self.derivation.take_keeps();
        let delivered = self.derivation.take_delivered();
        // Only what was replayed lately can be among them.
        let replayed = !delivered.is_empty() && store.any_watched_replay(now).await?;
        for (trace, place) in delivered.into_iter().filter(|_| replayed) {
            if let Some(bus) = place.home.as_ref().and_then(Home::bus)
                && store.is_replayed_record(bus, &place.topic, place.partition, place.offset).await?
            {
                keeps.push((trace, KeepReasons::REPLAYED));
            }
        }
        keeps.sort_unstable_by_key(|(trace, _)| *trace);
        keeps.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                first.1 |= later.1;
            }
            same
        });
        for some in keeps.chunks(500) {
            store.keep_traces(some, now).await?;
        }
        store.keep_linked_by(linking, now).await?;
        Ok(())
    }

    /// Remembers deliveries for [`Self::look_up`].
    fn note_unknown(&mut self) {
        self.unknown.extend(self.derivation.take_unknown());
        if self.unknown.len() > UNKNOWN {
            let derivation = &self.derivation;
            self.unknown.retain(|delivery| derivation.is_waiting(delivery));
            self.unknown.truncate(UNKNOWN);
        }
    }

    /// Looks in the store for producers that came before the memory's time.
    async fn look_up(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        let (mut due, young) =
            std::mem::take(&mut self.unknown).into_iter().partition::<Vec<_>, _>(|one| one.at().age_at(now) >= LOOK_UP_DELAY);
        self.unknown = young;
        due.retain(|delivery| self.derivation.is_waiting(delivery));
        let wanted: Vec<Producer<'_>> =
            due.iter().map(|delivery| Producer { span: delivery.producer(), record: delivery.place() }).collect();
        let derivation = &self.derivation;
        let is_on_bus = |index: usize, span: &NotedSpan| due.get(index).is_some_and(|delivery| derivation.is_at_home(delivery, span));
        let found = context.store.find_producers(&wanted, derivation.forgotten_to(), is_on_bus).await?;
        for (delivery, producer) in due.iter().zip(&found.producers) {
            if let Some(producer) = producer {
                self.derivation.pair_with(delivery, producer);
            }
        }
        // What is too much for one frame waits for the next.
        self.unknown.extend(found.left.iter().filter_map(|index| due.get(*index)).cloned());
        Ok(())
    }

    /// Keeps the traces of dead letters that were indexed a while ago.
    async fn keep_dead_lettered(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        let store = &context.store;
        if self.cursor == 0 {
            return Ok(());
        }
        let letters = store.list_traced_letters(self.letter, now.minus(LETTER_DELAY), LETTERS).await?;
        let Some(last) = letters.last().map(|letter| letter.id) else { return Ok(()) };
        if self.bearings_at.is_none() {
            self.take_bearings(context, now).await?;
        }
        let mut keeps: Vec<(TraceId, KeepReasons)> = Vec::new();
        for letter in letters {
            let mut traces: Vec<TraceId> = letter.trace.into_iter().collect();
            if let Some((topic, partition, offset)) = &letter.origin {
                let named = store.list_noted_at(topic, *partition, *offset).await?;
                let there = named.iter().filter(|span| self.derivation.is_on(&letter.bus, span));
                traces.extend(there.map(|span| span.trace_id));
            }
            traces.sort_unstable();
            traces.dedup();
            for trace in traces {
                if store.has_hot_spans(trace).await? {
                    keeps.push((trace, KeepReasons::DEAD_LETTERED));
                }
            }
        }
        for some in keeps.chunks(500) {
            store.keep_traces(some, now).await?;
        }
        self.letter = last;
        Ok(())
    }

    /// Writes samples and how far they reach. `false`: somebody else did.
    async fn frame_when_due(&mut self, context: &Context) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        if self.framed_at.is_some_and(|at| at.age_at(now) < FRAME_EVERY) {
            return Ok(true);
        }
        self.look_up(context, now).await?;
        let points = self.derivation.take_points();
        let counts = self.derivation.take_counts();
        let frame = NewFrame {
            source: SPANS,
            after: self.framed_at,
            taken_at: now,
            points,
            state: Some(self.cursor.to_le_bytes().to_vec()),
            snapshot: false,
        };
        let written = context.store.add_frame(frame).await?;
        if written {
            self.framed_at = Some(now);
            let metrics = &context.metrics;
            metrics.traces_spans_total.inc_by(counts.spans);
            metrics.traces_repeated_spans_total.inc_by(counts.repeated);
            metrics.traces_paired_total.inc_by(counts.paired);
            metrics.traces_unpaired_total.inc_by(counts.unpaired);
            metrics.traces_skewed_total.inc_by(counts.skewed);
            let unsure = [
                ("unpaired", counts.unpaired),
                ("skewed", counts.skewed),
                ("unplaced", counts.unplaced),
                ("crowded", counts.crowded),
                ("uncompared", counts.uncompared),
            ];
            for (what, count) in unsure.into_iter().filter(|(_, count)| *count > 0) {
                context.store.note_span_loss(what, i64::try_from(count).unwrap_or(i64::MAX), now).await?;
            }
            let known = self.derivation.repeats_known_for(now);
            if known < REMEMBERED {
                context.store.note_span_loss("repeats", 0, now).await?;
            }
            metrics.traces_repeats_known_seconds.set(i64::try_from(known.as_secs()).unwrap_or(i64::MAX));
        }
        Ok(written)
    }

    async fn renew_bearings(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        let lost = self.derivation.is_lost();
        let wait = if lost { self.bearings_soon } else { BEARINGS_EVERY };
        if self.bearings_at.is_some_and(|at| at.age_at(now) < wait) {
            return Ok(());
        }
        self.bearings_soon = if lost { (wait * 2).min(BEARINGS_EVERY) } else { BEARINGS_SOON };
        self.take_bearings(context, now).await
    }

    async fn take_bearings(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        let store = &context.store;
        let mut bearings = Bearings::default();
        for bus in store.list_buses().await? {
            bearings.add_bus(&bus.id, bus.cluster_id.as_deref());
            bus.addresses.iter().for_each(|address| bearings.add_address(&bus.id, address));
            for topic in store.list_stored_topics(&bus.id).await? {
                bearings.add_topic(&bus.id, &topic.generation.topic, Some(topic.partitions.len()));
            }
            let groups = store.list_consumer_groups(&bus.id, None, None).await?;
            let mut readers: HashMap<&str, usize> = HashMap::new();
            for topic in groups.iter().flat_map(|group| &group.topics) {
                *readers.entry(topic.as_str()).or_default() += 1;
            }
            for group in &groups {
                // Clients tell groups apart where a topic has several.
                let shared = group.topics.iter().any(|topic| readers.get(topic.as_str()).is_some_and(|readers| *readers > 1));
                let found = if shared { store.find_consumer_group(&bus.id, &group.name).await? } else { None };
                let members = found.and_then(|group| group.members).unwrap_or_default();
                for topic in &group.topics {
                    let topic = topic.as_str().into();
                    let there = members.iter().filter(|member| member.assignment.iter().any(|(assigned, _)| *assigned == topic));
                    bearings.add_group(&bus.id, &topic, &group.name, there.map(|member| member.client_id.as_str()));
                }
            }
        }
        self.derivation.set_bearings(bearings);
        self.bearings_at = Some(now);
        Ok(())
    }
}

fn has_links(chunk: &SpanChunk) -> bool {
    chunk.spans.iter().any(|span| span.links.iter().any(|link| link.trace_id != span.trace_id))
}
