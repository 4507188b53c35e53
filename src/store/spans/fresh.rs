//! Outlines of chunks that this process has written a moment ago: it counts most of them itself, and need not read, unpack and decode for
//! it what it just had in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::span::Span;

/// Spans that wait here at most: some hundred bytes each. What is too much is read from the store.
const MOST: usize = 49_152;
/// What nobody has asked for after this time is not waited for: another instance counts.
const PATIENCE: Duration = Duration::from_secs(15);

/// Chunks by their ids.
#[derive(Debug, Default)]
pub(in crate::store) struct FreshChunks(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    chunks: BTreeMap<i64, (Instant, Vec<Span>)>,
    spans: usize,
}

impl FreshChunks {
    /// Adds committed chunks with ids from `first` on, as many as there is room for.
    pub(super) fn add(&self, first: i64, chunks: Vec<Vec<Span>>) {
        let now = Instant::now();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.chunks.first_key_value().is_some_and(|(_, (since, _))| now.duration_since(*since) > PATIENCE) {
            waiting.drop_first();
        }
        for (id, spans) in (first..).zip(chunks) {
            if waiting.spans + spans.len() > MOST {
                break;
            }
            waiting.spans += spans.len();
            waiting.chunks.insert(id, (now, spans));
        }
    }

    /// Takes a chunk out, and those before it: whoever counts has passed them.
    pub(super) fn take(&self, id: i64) -> Option<Vec<Span>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.chunks.first_key_value().is_some_and(|(first, _)| *first < id) {
            waiting.drop_first();
        }
        let (_, spans) = waiting.chunks.remove(&id)?;
        waiting.spans -= spans.len();
        Some(spans)
    }
}

impl Waiting {
    fn drop_first(&mut self) {
        if let Some((_, (_, spans))) = self.chunks.pop_first() {
            self.spans -= spans.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::samples::plain;

    #[test]
    fn a_chunk_is_taken_once_and_what_was_passed_goes() {
        let fresh = FreshChunks::default();
        fresh.add(5, vec![vec![plain()], vec![plain(), plain()], vec![plain()]]);
        assert_eq!(fresh.take(6).map(|spans| spans.len()), Some(2));
        assert_eq!((fresh.take(6), fresh.take(5)), (None, None));
        assert_eq!(fresh.take(7).map(|spans| spans.len()), Some(1));
        assert_eq!(fresh.0.lock().unwrap().spans, 0);
    }

    #[test]
    fn there_are_never_too_many_and_those_that_came_first_stay() {
        let fresh = FreshChunks::default();
        for id in 0..100 {
            fresh.add(id, vec![vec![plain(); 1_024]]);
        }
        assert_eq!(fresh.0.lock().unwrap().spans, MOST);
        assert!(fresh.take(0).is_some() && fresh.take(99).is_none());
        assert_eq!(fresh.0.lock().unwrap().spans, 0, "all others were passed");
    }
}
