//! Spans as bytes, for the store. A version, then spans one after the other; names that return are written once, and so are the
//! attributes of a resource. Integers are LEB128, signed ones zig-zag. Decoding damaged bytes is an error, never a panic.

use std::borrow::Borrow;

use super::{Attributes as Resource, Span, Spans};

mod read;
mod spans;
mod values;
mod write;

/// The first byte. A reader of another version says so and reads nothing.
const VERSION: u8 = 1;

/// Bytes that are no spans of a version we know, or that were damaged since they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored spans are damaged")]
pub struct DamagedSpans;

/// Appends the spans to `out`.
pub fn encode<S: Borrow<Span>>(spans: &[S], out: &mut Vec<u8>) {
    let mut writer = write::Writer::new(out);
    writer.byte(VERSION);
    writer.count(spans.len());
    for span in spans {
        spans::write(&mut writer, span.borrow());
    }
}

/// Reads what [`encode()`] wrote, and nothing after it.
pub fn decode(bytes: &[u8]) -> Result<Spans, DamagedSpans> {
    decode_with(read::Reader::new(bytes))
}

/// The same without what nobody counts or searches by, which is most of the work: attributes of spans, processes and links, events, and
/// ids of messages and conversations.
pub fn decode_outline(bytes: &[u8]) -> Result<Spans, DamagedSpans> {
    decode_with(read::Reader::of_outline(bytes))
}

fn decode_with(mut reader: read::Reader<'_>) -> Result<Spans, DamagedSpans> {
    if reader.byte()? != VERSION {
        return Err(DamagedSpans);
    }
    let spans = reader.many(|reader| spans::read(reader).map(Box::new))?;
    reader.end()?;
    Ok(spans)
}
