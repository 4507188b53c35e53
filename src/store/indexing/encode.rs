//! What of indexing needs no database: bodies, signatures, and the sums of a batch, away from the asynchronous threads.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::{Advance, IndexBatch};
use crate::model::dead_letter::NewDeadLetter;
use crate::model::record::TimestampKind;
use crate::model::replay::{MessageId, ReplayId};
use crate::model::{Header, Timestamp};
use crate::store::StoreError;
use crate::store::caches::Key;
use crate::store::custody::{self, Encoder, frames, wire};
use crate::store::rows::clean;
use crate::store::search::signature::Builder;
use crate::store::usage::ROW_BYTES;

/// Dead letters of one search block at most.
const BLOCK_LETTERS: usize = 64;
/// Bytes of one search block, about, at most.
const BLOCK_BYTES: usize = 256 * 1024;
/// Characters of a message that lists show.
const MESSAGE_CHARS: usize = 1_000;
/// Bytes of a key that lists show.
const KEY_BYTES: usize = 256;

/// A batch that only has to be written.
#[derive(Debug)]
pub struct EncodedBatch {
    pub(in crate::store) advances: Vec<Advance>,
    pub(in crate::store) parts: Vec<Part>,
}

impl EncodedBatch {
    /// How many dead letters it holds.
    #[must_use]
    pub fn letters(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }
}

/// What one thread has encoded of a batch.
#[derive(Debug, Default)]
pub(in crate::store) struct Part {
    pub(in crate::store) rows: Vec<LetterRow>,
    pub(in crate::store) frames: HashMap<Key, FramesDraft>,
    pub(in crate::store) groups: BTreeMap<(i16, i64), GroupDraft>,
    pub(in crate::store) facets: Vec<FacetDraft>,
    pub(in crate::store) blocks: Vec<BlockDraft>,
}

/// A row of dead letters and of custody, without the ids that only the database gives.
#[derive(Debug)]
pub(in crate::store) struct LetterRow {
    pub(in crate::store) facet: usize,
    pub(in crate::store) failed_at: i64,
    pub(in crate::store) partition_id: i64,
    pub(in crate::store) record_offset: i64,
    pub(in crate::store) origin_partition: Option<i32>,
    pub(in crate::store) origin_offset: Option<i64>,
    pub(in crate::store) origin_timestamp: Option<i64>,
    pub(in crate::store) record_timestamp: Option<i64>,
    pub(in crate::store) timestamp_kind: Option<i16>,
    pub(in crate::store) failed_at_source: i16,
    pub(in crate::store) backlog: bool,
    pub(in crate::store) attempts: Option<i32>,
    pub(in crate::store) trace_id: Option<[u8; 16]>,
    pub(in crate::store) message: Option<Vec<u8>>,
    pub(in crate::store) key_prefix: Option<bytes::Bytes>,
    pub(in crate::store) key_size: i64,
    pub(in crate::store) value_size: Option<i64>,
    pub(in crate::store) custody_problem: Option<String>,
    pub(in crate::store) frames: Option<Key>,
    pub(in crate::store) body: Vec<u8>,
    pub(in crate::store) returned: Option<Returned>,
}

/// What the headers of a replayed message tell when it comes back as a dead letter.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Returned {
    pub(in crate::store) message_id: [u8; 16],
    pub(in crate::store) attempt: i32,
    pub(in crate::store) replay_id: Option<String>,
}

impl Returned {
    fn read(headers: &[Header]) -> Option<Self> {
        let text = |name: &str| {
            let header = headers.iter().rev().find(|header| header.name == name.as_bytes())?;
            std::str::from_utf8(header.value.as_deref()?).ok()
        };
        let message_id = text("redrive-message-id")?.parse::<MessageId>().ok()?.0;
        let attempt = text("redrive-attempt")?.parse().ok().filter(|attempt| *attempt > 0)?;
        let replay_id = text("redrive-replay-id").and_then(ReplayId::parse).map(|id| id.to_string());
        Some(Self { message_id, attempt, replay_id })
    }
}

/// Frames of stack traces that are to be stored once.
#[derive(Debug)]
pub(in crate::store) struct FramesDraft {
    pub(in crate::store) body: Vec<u8>,
    pub(in crate::store) uses: i64,
}

/// What a batch tells of a failure group.
#[derive(Debug)]
pub(in crate::store) struct GroupDraft {
    pub(in crate::store) title: String,
    pub(in crate::store) parts: Vec<String>,
    pub(in crate::store) class: Option<String>,
    pub(in crate::store) message: Option<Vec<u8>>,
    pub(in crate::store) first: i64,
    pub(in crate::store) last: i64,
}

/// What a batch tells of a facet.
#[derive(Debug)]
pub(in crate::store) struct FacetDraft {
    pub(in crate::store) key: Key,
    pub(in crate::store) partition_id: i64,
    pub(in crate::store) convention: String,
    pub(in crate::store) origin_topic: Option<String>,
    pub(in crate::store) consumer_group: Option<String>,
    pub(in crate::store) inferred: bool,
    pub(in crate::store) class: Option<String>,
    pub(in crate::store) group: (i16, i64),
    pub(in crate::store) letters: i64,
    /// See [`crate::store::usage::ROW_BYTES`].
    pub(in crate::store) bytes: i64,
    pub(in crate::store) first: i64,
    pub(in crate::store) last: i64,
    /// Dead letters without backlog, by the minute of their arrival.
    pub(in crate::store) arrivals: BTreeMap<i64, i64>,
}

/// The signature of some rows of a part.
#[derive(Debug)]
pub(in crate::store) struct BlockDraft {
    pub(in crate::store) rows: Range<usize>,
    pub(in crate::store) oldest: i64,
    pub(in crate::store) newest: i64,
    pub(in crate::store) signature: Vec<u8>,
}

/// Encodes a batch on blocking threads, in parts when it is large. `generations` are the topic generations of its partitions.
pub(super) async fn encode(batch: IndexBatch, generations: HashMap<i64, i64>) -> Result<EncodedBatch, StoreError> {
    let IndexBatch { advances, mut letters, .. } = batch;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let share = letters.len().div_ceil(threads).max(4 * BLOCK_LETTERS);
    let generations = std::sync::Arc::new(generations);
    let mut tasks = Vec::new();
    while !letters.is_empty() {
        let rest = letters.split_off(share.min(letters.len()));
        let some = std::mem::replace(&mut letters, rest);
        let generations = std::sync::Arc::clone(&generations);
        tasks.push(tokio::task::spawn_blocking(move || PartEncoder::new(&generations)?.encode(&some)));
    }
    let mut parts = Vec::with_capacity(tasks.len());
    for task in tasks {
        parts.push(task.await.map_err(|error| StoreError::Broken(format!("encoding: {error}")))??);
    }
    Ok(EncodedBatch { advances, parts })
}

struct PartEncoder<'a> {
    generations: &'a HashMap<i64, i64>,
    part: Part,
    facet_numbers: HashMap<Key, usize>,
    /// Frames seen in this part with their keys, newest last: neighbours are nearly always the same.
    seen: Vec<(Vec<u8>, Key)>,
    encoder: Encoder,
    builder: Builder,
    block: OpenBlock,
}

#[derive(Default)]
struct OpenBlock {
    start: usize,
    bytes: usize,
    oldest: i64,
    newest: i64,
    frames: Vec<Key>,
}

impl<'a> PartEncoder<'a> {
    fn new(generations: &'a HashMap<i64, i64>) -> Result<Self, StoreError> {
        Ok(Self {
            generations,
            part: Part::default(),
            facet_numbers: HashMap::new(),
            seen: Vec::new(),
            encoder: Encoder::new()?,
            builder: Builder::new(),
            block: OpenBlock::default(),
        })
    }

    fn encode(mut self, letters: &[(i64, NewDeadLetter)]) -> Result<Part, StoreError> {
        for (partition_id, letter) in letters {
            self.add(*partition_id, letter)?;
        }
        self.end_block();
        Ok(self.part)
    }

    fn add(&mut self, partition_id: i64, letter: &NewDeadLetter) -> Result<(), StoreError> {
        let split = if letter.custody_problem.is_none() { frames::split(&letter.record.headers) } else { None };
        let frames = split.as_ref().map(|split| self.frames_key(&split.frames)).transpose()?;
        let raw = self.encoder.write(letter, split.as_ref());
        self.block.bytes += raw.len();
        let builder = &mut self.builder;
        let visited = custody::visit_searchable(raw, |text| builder.add(text));
        visited.ok_or_else(|| StoreError::Broken("a body was written wrongly".to_owned()))?;
        for text in [&letter.failure.exception_class, &letter.failure.message].into_iter().flatten() {
            self.builder.add(text.as_bytes());
        }
        let body = self.encoder.compress()?;
        if let (Some(key), Some(split)) = (frames, &split)
            && !self.block.frames.contains(&key)
        {
            self.builder.add(&split.frames);
            self.block.frames.push(key);
        }
        let failed_at = letter.failed_at.as_millis();
        if self.block.start == self.part.rows.len() {
            (self.block.oldest, self.block.newest) = (failed_at, failed_at);
        }
        self.block.oldest = self.block.oldest.min(failed_at);
        self.block.newest = self.block.newest.max(failed_at);
        let row = self.row(partition_id, letter, frames, body);
        self.part.rows.push(row);
        if self.part.rows.len() - self.block.start >= BLOCK_LETTERS || self.block.bytes >= BLOCK_BYTES {
            self.end_block();
        }
        Ok(())
    }

    fn end_block(&mut self) {
        let rows = self.block.start..self.part.rows.len();
        let block = std::mem::replace(&mut self.block, OpenBlock { start: rows.end, ..OpenBlock::default() });
        if !rows.is_empty() {
            let signature = self.builder.finish();
            self.part.blocks.push(BlockDraft { rows, oldest: block.oldest, newest: block.newest, signature });
        }
    }

    /// The key of frames; stores them when they are new in this part.
    fn frames_key(&mut self, frames: &[u8]) -> Result<Key, StoreError> {
        const REMEMBERED: usize = 32;
        let seen = self.seen.iter().rev().find(|(seen, _)| seen == frames).map(|(_, key)| *key);
        let key = seen.unwrap_or_else(|| {
            let key = key_of(Sha256::digest(frames).as_slice());
            if self.seen.len() >= REMEMBERED {
                self.seen.remove(0);
            }
            self.seen.push((frames.to_vec(), key));
            key
        });
        match self.part.frames.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut draft) => draft.get_mut().uses += 1,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(FramesDraft { body: custody::compress(frames)?, uses: 1 });
            }
        }
        Ok(key)
    }

    fn row(&mut self, partition_id: i64, letter: &NewDeadLetter, frames: Option<Key>, body: Vec<u8>) -> LetterRow {
        let (record, failure) = (&letter.record, &letter.failure);
        let message = failure.message.as_deref().map(|message| cut_chars(message, MESSAGE_CHARS).as_bytes().to_vec());
        let facet = self.facet(partition_id, letter, message.as_deref());
        self.part.facets[facet].bytes += ROW_BYTES + size(body.len());
        LetterRow {
            facet,
            failed_at: letter.failed_at.as_millis(),
            partition_id,
            record_offset: record.offset,
            origin_partition: failure.origin.partition,
            origin_offset: failure.origin.offset,
            origin_timestamp: failure.origin.timestamp.map(Timestamp::as_millis),
            record_timestamp: record.timestamp.map(Timestamp::as_millis),
            timestamp_kind: record.timestamp_kind.map(|kind| match kind {
                TimestampKind::CreateTime => 0,
                TimestampKind::LogAppendTime => 1,
            }),
            failed_at_source: letter.failed_at_source.code(),
            backlog: letter.backlog,
            attempts: failure.attempts,
            trace_id: failure.trace_id,
            message,
            key_prefix: record.key.as_ref().map(|key| key.slice(..key.len().min(KEY_BYTES))),
            key_size: size(record.key.as_ref().map_or(0, bytes::Bytes::len)),
            value_size: record.value.as_ref().map(|value| size(value.len())),
            custody_problem: letter.custody_problem.as_deref().map(clean),
            frames,
            body,
            returned: Returned::read(&record.headers),
        }
    }

    fn facet(&mut self, partition_id: i64, letter: &NewDeadLetter, message: Option<&[u8]>) -> usize {
        let failed_at = letter.failed_at.as_millis();
        let group = self.group(letter, message, failed_at);
        let key = self.facet_key(partition_id, letter, group);
        let facets = &mut self.part.facets;
        let number = *self.facet_numbers.entry(key).or_insert_with(|| {
            let failure = &letter.failure;
            facets.push(FacetDraft {
                key,
                partition_id,
                convention: clean(failure.convention.as_str()),
                origin_topic: failure.origin.topic.as_ref().map(|topic| topic.as_str().to_owned()),
                consumer_group: failure.consumer_group.as_ref().map(|group| group.as_str().to_owned()),
                inferred: failure.consumer_group_inferred,
                class: failure.exception_class.clone(),
                group,
                letters: 0,
                bytes: 0,
                first: failed_at,
                last: failed_at,
                arrivals: BTreeMap::new(),
            });
            facets.len() - 1
        });
        let facet = &mut facets[number];
        facet.letters += 1;
        facet.first = facet.first.min(failed_at);
        facet.last = facet.last.max(failed_at);
        if !letter.backlog {
            *facet.arrivals.entry(letter.arrived_at.as_millis().div_euclid(60_000)).or_default() += 1;
        }
        number
    }

    fn facet_key(&self, partition_id: i64, letter: &NewDeadLetter, group: (i16, i64)) -> Key {
        let failure = &letter.failure;
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(&self.generations.get(&partition_id).copied().unwrap_or_default().to_le_bytes());
        text.extend_from_slice(&group.0.to_le_bytes());
        text.extend_from_slice(&group.1.to_le_bytes());
        text.push(u8::from(failure.consumer_group_inferred));
        wire::put(&mut text, failure.convention.as_str().as_bytes());
        wire::put_optional(&mut text, failure.origin.topic.as_ref().map(|topic| topic.as_str().as_bytes()));
        wire::put_optional(&mut text, failure.consumer_group.as_ref().map(|group| group.as_str().as_bytes()));
        wire::put_optional(&mut text, failure.exception_class.as_ref().map(String::as_bytes));
        key_of(Sha256::digest(&text).as_slice())
    }

    fn group(&mut self, letter: &NewDeadLetter, message: Option<&[u8]>, failed_at: i64) -> (i16, i64) {
        let parts = &letter.fingerprint;
        let id = (i16::from(parts.fingerprint.version), parts.fingerprint.hash.cast_signed());
        let group = self.part.groups.entry(id).or_insert_with(|| GroupDraft {
            title: parts.title.clone(),
            parts: parts.parts.clone(),
            class: letter.failure.exception_class.clone(),
            message: message.map(<[u8]>::to_vec),
            first: failed_at,
            last: failed_at,
        });
        group.first = group.first.min(failed_at);
        if failed_at > group.last {
            group.last = failed_at;
            group.message = message.map(<[u8]>::to_vec);
        }
        id
    }
}

fn key_of(digest: &[u8]) -> Key {
    digest[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn cut_chars(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}
