//! Custody: our own copy of a record, byte for byte. Lists of values with their lengths, compressed; the frames of a stack trace,
//! which thousands of dead letters share, are cut out and stored once.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::thread::LocalKey;

use bytes::Bytes;

use super::StoreError;
use super::error::contradiction;
use crate::model::dead_letter::NewDeadLetter;
use crate::model::{Header, Record};

pub(super) mod frames;
pub(super) mod wire;

use frames::Split;
use wire::{Reader, put, put_optional, put_varint};

/// Fast enough for indexing; higher levels gain a few percent on records of this size.
const LEVEL: i32 = 1;
/// First byte of a body that is stored as it is.
const PLAIN: u8 = 0;
/// First byte of a body that is one zstd frame, after its length as a varint.
const ZSTD: u8 = 1;
/// First byte of a body that is one zstd frame made with [`DICTIONARY`], after its length as a varint.
const ZSTD_DICTIONARY: u8 = 2;

/// What dead letters have in common: names of headers, wrapping exceptions, the shape of their JSON. Trained (`zstd --train`) on bodies
/// of every convention that the demo writes and on the records of `tests/it/fixtures`. Stored bodies need these very bytes for ever: a
/// better dictionary gets a mark of its own beside this one.
const DICTIONARY: &[u8] = include_bytes!("custody/dictionary-1.zdict");
/// Bodies above gain nothing from the dictionary.
const DICTIONARY_BYTES: usize = 16 * 1024;
/// With the dictionary the fastest level packs better than [`LEVEL`] without it.
const DICTIONARY_LEVEL: i32 = -1;

static PACKING: LazyLock<zstd::dict::EncoderDictionary<'static>> =
    LazyLock::new(|| zstd::dict::EncoderDictionary::copy(DICTIONARY, DICTIONARY_LEVEL));
static UNPACKING: LazyLock<zstd::dict::DecoderDictionary<'static>> = LazyLock::new(|| zstd::dict::DecoderDictionary::copy(DICTIONARY));

/// What is kept of a record that is not in custody.
const REMAINS_BYTES: usize = 256 * 1024;

/// A decompressor that a thread keeps.
type Local = LocalKey<RefCell<Option<zstd::bulk::Decompressor<'static>>>>;

thread_local! {
    /// A search unpacks thousands of small bodies; making this state would take longer than unpacking one.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static DICTIONARY_DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What custody holds of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<Header>,
    pub(super) stack_trace: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) problem: Option<String>,
    /// Content of a pointer record's source.
    pub(super) resolved: Option<(Option<Bytes>, Option<Bytes>)>,
}

/// Writes bodies; keeps its buffers and the compressor's state.
pub(super) struct Encoder {
    raw: Vec<u8>,
    packed: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
    with_dictionary: zstd::bulk::Compressor<'static>,
}

impl Encoder {
    pub(super) fn new() -> Result<Self, StoreError> {
        let failed = |error| StoreError::Broken(format!("compressor: {error}"));
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed)?;
        let with_dictionary = zstd::bulk::Compressor::with_prepared_dictionary(&PACKING).map_err(failed)?;
        Ok(Self { raw: Vec::with_capacity(16 * 1024), packed: Vec::new(), compressor, with_dictionary })
    }

    /// The body of a dead letter, uncompressed, without the frames that `split` has found.
    pub(super) fn write(&mut self, letter: &NewDeadLetter, split: Option<&Split<'_>>) -> &[u8] {
        self.raw.clear();
        let out = &mut self.raw;
        let record = &letter.record;
        let kept = Kept::of(record, letter.custody_problem.is_some());
        put_optional(out, record.key.as_deref().filter(|_| kept.key));
        put_optional(out, record.value.as_deref().filter(|_| kept.value));
        let headers = if kept.headers { record.headers.as_slice() } else { &[] };
        put_varint(out, headers.len() as u64);
        for (index, header) in headers.iter().enumerate() {
            put(out, &header.name);
            match (split, &header.value) {
                (_, None) => out.push(0),
                (Some(split), Some(_)) if split.header == index => {
                    out.push(2);
                    put_varint(out, split.messages.len() as u64);
                    split.messages.iter().for_each(|message| put(out, message));
                }
                (_, Some(value)) => {
                    out.push(1);
                    put(out, value);
                }
            }
        }
        put_stack_trace(out, headers, letter.failure.stack_trace.as_deref());
        put_optional(out, letter.failure.stage.as_deref().map(str::as_bytes));
        put_optional(out, letter.failure.problem.as_deref().map(str::as_bytes));
        out.push(u8::from(letter.resolved.is_some()));
        if let Some((key, value)) = &letter.resolved {
            put_optional(out, key.as_deref());
            put_optional(out, value.as_deref());
        }
        &self.raw
    }

    /// What [`Self::write`] wrote last, compressed where that helps.
    pub(super) fn compress(&mut self) -> Result<Vec<u8>, StoreError> {
        if self.raw.len() <= DICTIONARY_BYTES {
            compress_with(&mut self.with_dictionary, ZSTD_DICTIONARY, &self.raw, &mut self.packed)
        } else {
            compress_with(&mut self.compressor, ZSTD, &self.raw, &mut self.packed)
        }
    }
}

fn compress_with(
    compressor: &mut zstd::bulk::Compressor<'static>,
    mark: u8,
    raw: &[u8],
    packed: &mut Vec<u8>,
) -> Result<Vec<u8>, StoreError> {
    packed.clear();
    packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
    compressor.compress_to_buffer(raw, packed).map_err(|error| StoreError::Broken(format!("compression: {error}")))?;
    let (mark, content) = if packed.len() + 4 < raw.len() { (mark, packed.as_slice()) } else { (PLAIN, raw) };
    let mut body = Vec::with_capacity(content.len() + 6);
    body.push(mark);
    if mark != PLAIN {
        put_varint(&mut body, raw.len() as u64);
    }
    body.extend_from_slice(content);
    Ok(body)
}

/// Compresses something else of ours, such as frames.
pub(super) fn compress(raw: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(|error| StoreError::Broken(format!("compressor: {error}")))?;
    compress_with(&mut compressor, ZSTD, raw, &mut Vec::new())
}

/// Undoes [`compress`].
pub(super) fn decompress(body: &[u8]) -> Result<Vec<u8>, StoreError> {
    match body.split_first() {
        Some((&PLAIN, raw)) => Ok(raw.to_vec()),
        Some((mark @ (&ZSTD | &ZSTD_DICTIONARY), packed)) => {
            let mut reader = Reader::new(packed);
            let length = reader.varint().and_then(|length| usize::try_from(length).ok()).ok_or_else(|| contradiction("custody"))?;
            let unpacked = if *mark == ZSTD {
                unpack(&DECOMPRESSOR, zstd::bulk::Decompressor::new, reader.rest(), length)
            } else {
                let prepared = || zstd::bulk::Decompressor::with_prepared_dictionary(&UNPACKING);
                unpack(&DICTIONARY_DECOMPRESSOR, prepared, reader.rest(), length)
            };
            unpacked.map_err(|error| contradiction(format!("custody: {error}")))
        }
        _ => Err(contradiction("custody")),
    }
}

/// One frame, by the thread's own decompressor.
fn unpack(
    kept: &'static Local,
    make: impl FnOnce() -> std::io::Result<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    length: usize,
) -> std::io::Result<Vec<u8>> {
    kept.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(make()?),
        };
        decompressor.decompress(frame, length)
    })
}

/// The parts of a record that are kept although it is not in custody: what is small.
struct Kept {
    key: bool,
    value: bool,
    headers: bool,
}

impl Kept {
    fn of(record: &Record, problem: bool) -> Self {
        let mut left = if problem { REMAINS_BYTES } else { usize::MAX };
        let mut keep = |size: usize| {
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        };
        let headers = keep(record.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len)).sum());
        let key = keep(record.key.as_ref().map_or(0, Bytes::len));
        let value = keep(record.value.as_ref().map_or(0, Bytes::len));
        Self { key, value, headers }
    }
}

/// A stack trace is nearly always the value of a header: then the number of that header is enough.
fn put_stack_trace(out: &mut Vec<u8>, headers: &[Header], stack_trace: Option<&str>) {
    let Some(text) = stack_trace else { return out.push(0) };
    if let Some(index) = headers.iter().position(|header| header.value.as_deref() == Some(text.as_bytes())) {
        out.push(1);
        put_varint(out, index as u64);
    } else {
        out.push(2);
        put(out, text.as_bytes());
    }
}

/// Reads a body back; `frames` are those that were cut out.
pub(super) fn decode(body: &[u8], frames: Option<&[u8]>) -> Result<Content, StoreError> {
    let raw = Bytes::from(decompress(body)?);
    read(&raw, frames).ok_or_else(|| contradiction("custody"))
}

fn read(raw: &Bytes, frames: Option<&[u8]>) -> Option<Content> {
    let slice = |part: &[u8]| raw.slice_ref(part);
    let mut reader = Reader::new(raw);
    let key = reader.optional()?.map(slice);
    let value = reader.optional()?.map(slice);
    let mut headers = Vec::new();
    for _ in 0..reader.varint()? {
        let name = slice(reader.bytes()?);
        let value = match reader.byte()? {
            0 => None,
            1 => Some(slice(reader.bytes()?)),
            2 => Some(frames::join(&mut reader, frames?)?.into()),
            _ => return None,
        };
        headers.push(Header { name, value });
    }
    let stack_trace = match reader.byte()? {
        0 => None,
        1 => headers.get(usize::try_from(reader.varint()?).ok()?)?.value.clone().map(|value| super::rows::text(value.to_vec())),
        2 => Some(super::rows::text(reader.bytes()?.to_vec())),
        _ => return None,
    };
    let stage = reader.optional()?.map(|stage| super::rows::text(stage.to_vec()));
    let problem = reader.optional()?.map(|problem| super::rows::text(problem.to_vec()));
    let resolved = match reader.byte()? {
        0 => None,
        _ => Some((reader.optional()?.map(slice), reader.optional()?.map(slice))),
    };
    Some(Content { key, value, headers, stack_trace, stage, problem, resolved })
}

/// Visits everything in an uncompressed body that a search looks at, frames excepted. `None`: not a body.
pub(super) fn visit_searchable(raw: &[u8], mut visit: impl FnMut(&[u8])) -> Option<()> {
    let mut reader = Reader::new(raw);
    reader.optional()?.into_iter().for_each(&mut visit);
    reader.optional()?.into_iter().for_each(&mut visit);
    for _ in 0..reader.varint()? {
        reader.bytes()?;
        match reader.byte()? {
            0 => {}
            1 => visit(reader.bytes()?),
            _ => {
                for _ in 0..reader.varint()? {
                    visit(reader.bytes()?);
                }
            }
        }
    }
    match reader.byte()? {
        0 => {}
        1 => drop(reader.varint()?),
        _ => visit(reader.bytes()?),
    }
    reader.optional()?;
    reader.optional()?;
    if reader.byte()? != 0 {
        reader.optional()?.into_iter().for_each(&mut visit);
        reader.optional()?.into_iter().for_each(&mut visit);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn bodies_of_every_mark_are_read_byte_for_byte() {
        let small = b"kafka_dlt-exception-fqcn, order 17, ".repeat(20);
        let large: Vec<u8> = (0..60_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for (raw, mark) in [(small.as_slice(), ZSTD_DICTIONARY), (&large, ZSTD), (b"short", PLAIN), (b"", PLAIN)] {
            let mut encoder = Encoder::new().expect("an encoder");
            encoder.raw = raw.to_vec();
            let body = encoder.compress().expect("compressed");
            assert_eq!(body[0], mark, "{} bytes", raw.len());
            assert_eq!(decompress(&body).expect("a body"), raw);
        }
        // As they were written before there was a dictionary.
        assert_eq!(decompress(&compress(&small).expect("compressed")).expect("a body"), small);
        assert!(decompress(&[3, 0]).is_err() && decompress(&[ZSTD_DICTIONARY, 9, 1, 2]).is_err());
    }

    #[test]
    fn the_dictionary_never_changes() {
        assert_eq!(
            crate::store::rows::hex(&Sha256::digest(DICTIONARY)),
            "a186a94489ec789bb8b7d2e723ca9744a7e3bd528e1587995c12134e25b7d7f8",
            "bodies that are stored need these very bytes"
        );
    }
}
