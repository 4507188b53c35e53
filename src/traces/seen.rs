//! Which spans were counted already: senders repeat a batch when its answer was lost.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::model::Timestamp;
use crate::model::span::Span;

/// How long a span is remembered, as long as there are not too many.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// Remembers the last spans by a hash of 64 bits: of two million, one in 10^13 new ones would be taken for known.
#[derive(Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    known: HashSet<u64, foldhash::fast::RandomState>,
    order: VecDeque<(u64, Timestamp)>,
    most: usize,
    /// When the oldest one was forgotten because there were too many; the window was shorter then.
    cut_at: Option<Timestamp>,
}

impl Seen {
    pub(super) fn new(most: usize) -> Self {
        Self { hasher: RandomState::default(), known: HashSet::default(), order: VecDeque::new(), most, cut_at: None }
    }

    /// Whether this span comes for the first time.
    pub(super) fn is_new(&mut self, span: &Span, at: Timestamp) -> bool {
        let hash = self.hasher.hash_one((span.trace_id, span.span_id));
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back((hash, at));
        if self.order.len() > self.most
            && let Some((oldest, seen_at)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            if seen_at.age_at(at) < REMEMBERED {
                self.cut_at = Some(at);
            }
        }
        true
    }

    /// Forgets what is too old.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some((hash, _)) = self.order.front().filter(|(_, at)| at.age_at(now) > REMEMBERED).copied() {
            self.order.pop_front();
            self.known.remove(&hash);
        }
        if self.known.capacity() > 4 * self.known.len().max(10_000) {
            self.known.shrink_to(2 * self.known.len());
            self.order.shrink_to(2 * self.order.len());
        }
    }

    /// How far back repeats are known now.
    pub(super) fn window(&self, now: Timestamp) -> Duration {
        match self.cut_at.filter(|cut| cut.age_at(now) < REMEMBERED) {
            Some(_) => self.order.front().map_or(Duration::ZERO, |(_, at)| at.age_at(now)).min(REMEMBERED),
            None => REMEMBERED,
        }
    }
}
