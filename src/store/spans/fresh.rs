//! Outlines of chunks that this process has written a moment ago: it counts most of them itself, and need not read, unpack and decode for
//! it what it just had in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::span::Spans;

/// What waits here at most, in bytes as they are packed. What is too much is read from the store.
const MOST: usize = 48 * 1024 * 1024;
/// Where nobody has asked for so long, another instance counts, and nothing is kept for it here.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is counted of a chunk.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) spans: Spans,
    /// What all of its spans take before they are compressed; the outline takes about as much.
    pub(super) bytes: usize,
}

/// Chunks by their ids.
#[derive(Debug, Default)]
pub(in crate::store) struct FreshChunks(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    chunks: BTreeMap<i64, Outline>,
    bytes: usize,
    /// When chunks were last asked for.
    asked: Option<Instant>,
}

impl FreshChunks {
    /// Says that somebody counts here.
    pub(super) fn ask(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(Instant::now());
    }

    /// Adds committed chunks with ids from `first` on, as many as there is room for.
    pub(super) fn add(&self, first: i64, chunks: Vec<Outline>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.asked.is_none_or(|at| at.elapsed() > PATIENCE) {
            *waiting = Waiting::default();
            return;
        }
        for (id, outline) in (first..).zip(chunks) {
            if waiting.bytes + outline.bytes > MOST {
                break;
            }
            waiting.bytes += outline.bytes;
            waiting.chunks.insert(id, outline);
        }
    }

    /// Takes a chunk out, and those before it: whoever counts has passed them.
    pub(super) fn take(&self, id: i64) -> Option<Spans> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.chunks.first_key_value().is_some_and(|(first, _)| *first < id) {
            waiting.drop_first();
        }
        let outline = waiting.chunks.remove(&id)?;
        waiting.bytes -= outline.bytes;
        Some(outline.spans)
    }
}

impl Waiting {
    fn drop_first(&mut self) {
        if let Some((_, outline)) = self.chunks.pop_first() {
            self.bytes -= outline.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::samples::plain;

    fn outlines(counts: &[usize]) -> Vec<Outline> {
        counts.iter().map(|count| Outline { spans: vec![Box::new(plain()); *count], bytes: count * 1_024 * 1_024 }).collect()
    }

    fn bytes(fresh: &FreshChunks) -> usize {
        fresh.0.lock().unwrap().bytes
    }

    #[test]
    fn a_chunk_is_taken_once_and_what_was_passed_goes() {
        let fresh = FreshChunks::default();
        fresh.ask();
        fresh.add(5, outlines(&[1, 2, 1]));
        assert_eq!(fresh.take(6).map(|spans| spans.len()), Some(2));
        assert_eq!((fresh.take(6), fresh.take(5)), (None, None));
        assert_eq!(fresh.take(7).map(|spans| spans.len()), Some(1));
        assert_eq!(bytes(&fresh), 0);
    }

    #[test]
    fn there_is_never_too_much_and_what_came_first_stays() {
        let fresh = FreshChunks::default();
        fresh.ask();
        for id in 0..100 {
            fresh.add(id, outlines(&[1]));
        }
        assert_eq!(bytes(&fresh), MOST);
        assert!(fresh.take(0).is_some() && fresh.take(99).is_none());
        assert_eq!(bytes(&fresh), 0, "all others were passed");
    }

    #[test]
    fn nothing_is_kept_where_nobody_counts() {
        let fresh = FreshChunks::default();
        fresh.add(1, outlines(&[1]));
        assert_eq!(fresh.take(1), None);
        fresh.ask();
        fresh.add(2, outlines(&[1]));
        fresh.0.lock().unwrap().asked = Instant::now().checked_sub(2 * PATIENCE);
        fresh.add(3, outlines(&[1]));
        assert_eq!((bytes(&fresh), fresh.take(2), fresh.take(3)), (0, None, None), "it has moved to another instance");
    }
}
