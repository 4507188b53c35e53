//! Stack traces that differ in their messages only share their frames: the indented lines are cut out and stored once.

use super::wire::{Reader, put};
use crate::model::Header;

/// Fewer bytes of frames than this stay where they are.
const WORTHWHILE_BYTES: usize = 256;

/// A header value, cut into lines that are indented (frames) and those between them (messages).
pub(in crate::store) struct Split<'a> {
    /// Which header.
    pub(in crate::store) header: usize,
    /// What stands before, between and after the runs of frames.
    pub(in crate::store) messages: Vec<&'a [u8]>,
    /// The runs of frames with their lengths: what others share.
    pub(in crate::store) frames: Vec<u8>,
}

/// Cuts the header with the most frames, when there is one that has enough.
pub(in crate::store) fn split(headers: &[Header]) -> Option<Split<'_>> {
    let candidates = headers.iter().enumerate().filter_map(|(index, header)| Some((index, header.value.as_deref()?)));
    let (header, value) = candidates.filter(|(_, value)| may_have_frames(value)).max_by_key(|(_, value)| value.len())?;
    let mut messages = Vec::with_capacity(4);
    let mut frames = Vec::with_capacity(value.len() + 8);
    let (mut start, mut at, mut in_frames) = (0, 0, false);
    while at < value.len() {
        let indented = matches!(value[at], b'\t' | b' ');
        if indented != in_frames {
            cut(&mut messages, &mut frames, &value[start..at], in_frames);
            (start, in_frames) = (at, indented);
        }
        at = memchr::memchr(b'\n', &value[at..]).map_or(value.len(), |end| at + end + 1);
    }
    cut(&mut messages, &mut frames, &value[start..], in_frames);
    if in_frames {
        messages.push(&[]);
    }
    (frames.len() >= WORTHWHILE_BYTES).then_some(Split { header, messages, frames })
}

fn may_have_frames(value: &[u8]) -> bool {
    let mut lines = memchr::memchr_iter(b'\n', value);
    value.len() >= WORTHWHILE_BYTES && lines.any(|end| matches!(value.get(end + 1), Some(b'\t' | b' ')))
}

fn cut<'a>(messages: &mut Vec<&'a [u8]>, frames: &mut Vec<u8>, run: &'a [u8], in_frames: bool) {
    if in_frames {
        put(frames, run);
    } else {
        messages.push(run);
    }
}

/// Puts messages (from `reader`) and frames together again.
pub(in crate::store) fn join(reader: &mut Reader<'_>, frames: &[u8]) -> Option<Vec<u8>> {
    let mut frames = Reader::new(frames);
    let mut value = Vec::with_capacity(frames.rest().len() + 256);
    let messages = reader.varint()?;
    for number in 0..messages {
        value.extend_from_slice(reader.bytes()?);
        if number + 1 < messages {
            value.extend_from_slice(frames.bytes()?);
        }
    }
    frames.rest().is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::custody::wire::put_varint;

    fn round_trip(value: &[u8]) -> Option<Vec<u8>> {
        let headers = [Header::new("stack", value.to_vec())];
        let split = split(&headers)?;
        let mut out = Vec::new();
        put_varint(&mut out, split.messages.len() as u64);
        split.messages.iter().for_each(|message| put(&mut out, message));
        Some(join(&mut Reader::new(&out), &split.frames).expect("what was cut can be joined"))
    }

    #[test]
    fn two_messages_share_their_frames() {
        let frames = "\tat com.example.Worker.step(Worker.java:17)\n".repeat(20);
        let trace = |id: u32| format!("java.lang.IllegalStateException: order {id}\n{frames}Caused by: boom {id}\n\t... 20 more");
        let (first, second) = ([Header::new("s", trace(1))], [Header::new("s", trace(2))]);
        let (first, second) = (split(&first).expect("has frames"), split(&second).expect("has frames"));
        assert_eq!(first.frames, second.frames);
        assert_ne!(first.messages, second.messages);
        assert_eq!(round_trip(trace(7).as_bytes()).expect("has frames"), trace(7).as_bytes());
    }

    proptest! {
        #[test]
        fn what_was_cut_is_joined_byte_for_byte(lines in prop::collection::vec("[ \t]{0,2}[a-z\r\u{0}]{0,40}", 0..60), end in any::<bool>()) {
            let mut value = lines.join("\n");
            if end { value.push('\n'); }
            if let Some(again) = round_trip(value.as_bytes()) {
                prop_assert_eq!(again, value.as_bytes());
            }
        }
    }
}
