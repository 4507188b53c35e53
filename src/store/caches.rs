//! Ids of rows that indexing needs again and again. Only committed ids enter; a row that was removed meanwhile is noticed by the
//! update of its counter, which then touches nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use super::consumer_groups::LivingGroups;
use super::figures::directory::Directory;
use super::figures::ended::SeriesIds;
use super::figures::hot::Hot;
use super::figures::merged::MergedKey;
use super::figures::rolled::{Steps, StepsKey};
use super::figures::totals::{TotalsKey, TotalsOf};
use super::spans::fresh::FreshChunks;
use super::spans::hot::{HotChunk, Links};
use super::spans::keys::Runs;
use crate::model::BusId;

/// Hash of a facet's combination or of a stack trace's frames.
pub(super) type Key = [u8; 16];

/// Keeps what was used lately: a full young generation becomes the old one, and what is found in the old one is young again.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(key.clone(), value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// A [`Recent`] that many tasks share.
#[derive(Debug)]
pub(super) struct Cache<K, V>(Mutex<Recent<K, V>>);

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Mutex::new(Recent::new(capacity)))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// Remembers values that have been committed.
    pub(super) fn extend(&self, values: impl IntoIterator<Item = (K, V)>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.into_iter().for_each(|(key, value)| recent.insert(key, value));
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.young.clear();
        recent.old.clear();
    }
}

/// A failure group's key: our id of the bus, version, hash.
pub(super) type GroupKey = (i64, i16, i64);

/// All caches of the store.
#[derive(Debug)]
pub(super) struct Caches {
    /// Facets by the hash of their combination.
    pub(super) facets: Cache<Key, i64>,
    /// Failure groups.
    pub(super) groups: Cache<GroupKey, i64>,
    /// Stack traces by the hash of their frames.
    pub(super) stack_traces: Cache<Key, i64>,
    /// Partition id to (bus id, generation id, topic).
    pub(super) partitions: Cache<i64, (i64, i64, String)>,
    /// Bodies of stack traces, uncompressed, for reading.
    pub(super) frames: Cache<i64, std::sync::Arc<[u8]>>,
    /// What was written a moment ago and is to be counted.
    pub(super) fresh_chunks: FreshChunks,
    /// Where keys of spans are written.
    pub(super) span_runs: Mutex<Runs>,
    /// What hot chunks of spans hold for searches, by chunk.
    pub(super) hot_spans: Cache<i64, std::sync::Arc<HotChunk>>,
    /// Links of such chunks.
    pub(super) span_links: Cache<i64, Links>,
    /// Series of figures.
    pub(super) series: SeriesIds,
    /// All series by figure.
    pub(super) directory: Directory,
    /// What is not rolled up yet.
    pub(super) hot: Hot,
    /// Whole hours of many series in one.
    pub(super) totals: Cache<TotalsKey, TotalsOf>,
    /// Steps of series in rolled up hours.
    pub(super) rolled_steps: Cache<StepsKey, Steps>,
    /// The same of many series in one.
    pub(super) merged_steps: Cache<MergedKey, Steps>,
    /// Living consumer groups by bus.
    pub(super) consumer_groups: Cache<BusId, LivingGroups>,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            facets: Cache::new(8_192),
            groups: Cache::new(8_192),
            stack_traces: Cache::new(4_096),
            partitions: Cache::new(16_384),
            frames: Cache::new(128),
            fresh_chunks: FreshChunks::default(),
            span_runs: Mutex::default(),
            hot_spans: Cache::new(16),
            span_links: Cache::new(128),
            series: SeriesIds::new(65_536),
            directory: Directory::default(),
            hot: Hot::default(),
            totals: Cache::new(192),
            rolled_steps: Cache::new(8_192),
            merged_steps: Cache::new(256),
            consumer_groups: Cache::new(16),
        }
    }

    /// Forgets ids of rows that can be removed.
    pub(super) fn clear_ids(&self) {
        self.facets.clear();
        self.groups.clear();
        self.stack_traces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut recent = Recent::new(10);
        for n in 0..100 {
            recent.insert(n, n);
            assert_eq!(recent.get(&0), Some(0), "used every time, so it stays");
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!(recent.get(&50), None);
    }
}
