//! What the indexer and the sampler of one bus share: the bus, its rules, and the signals between them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::bus::Bus;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::Changes;
use crate::model::bus::TopicRole;
use crate::model::failure_group::FingerprintParts;
use crate::model::{BusId, Failure, GroupName, Record, TopicName};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// What every background task is given. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The store.
    pub store: Store,
    /// Where changes are told.
    pub changes: Changes,
    /// The process's life: cancellation and readiness.
    pub life: Lifecycle,
    /// What is counted.
    pub metrics: Metrics,
    /// Who we are among the instances on this store.
    pub instance: Instance,
}

/// This process among those that share its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Client id: on the bus's group members, in the store's instances and as holder of leases. New at every start.
    pub client_id: Arc<str>,
    /// Whether other instances may work on the same store. Never on SQLite, which one process holds alone.
    pub shared: bool,
}

impl Instance {
    /// A new instance on the store of this URL.
    #[must_use]
    pub fn new(store_url: &str) -> Self {
        let client_id = format!("redrive-{}", uuid::Uuid::new_v4().simple());
        Self { client_id: client_id.into(), shared: !store_url.starts_with("sqlite") }
    }
}

/// Decodes a record of a dead-letter topic and gives its fingerprint. Pure; runs on blocking threads.
pub type Decode = dyn Fn(&Record, &TopicName) -> (Failure, FingerprintParts) + Send + Sync;

/// Tells a topic's role from its name and configuration. Pure.
pub type Role = dyn Fn(&TopicName, &BTreeMap<String, String>) -> TopicRole + Send + Sync;

/// How often a bus is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Metadata, all offsets, all groups.
    pub full: Duration,
    /// Offsets of dead-letter topics and of active consumer groups.
    pub quick: Duration,
    /// Topic configurations.
    pub configs: Duration,
}

impl Default for Periods {
    fn default() -> Self {
        Self { full: Duration::from_secs(15), quick: Duration::from_secs(5), configs: Duration::from_mins(5) }
    }
}

/// One bus with everything its sampler and its indexer need.
pub struct BusWork {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The decoder with the configured mappings.
    pub decode: Box<Decode>,
    /// Discovery of dead-letter topics.
    pub role: Box<Role>,
    /// Groups to sample by name where they cannot be listed.
    pub consumer_groups: Vec<GroupName>,
    /// Prefix of our own groups, which are hidden.
    pub id_prefix: String,
    /// Records above are stored without content.
    pub max_record_bytes: usize,
    /// How often it is sampled.
    pub periods: Periods,
    /// Between sampler and indexer.
    pub signals: Signals,
}

impl fmt::Debug for BusWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusWork").field("bus", self.id()).finish_non_exhaustive()
    }
}

impl BusWork {
    /// The bus's id.
    #[must_use]
    pub fn id(&self) -> &BusId {
        self.bus.id()
    }
}

/// What sampler and indexer of one bus tell each other.
#[derive(Debug)]
pub struct Signals {
    /// Counts sweeps that changed what there is to index.
    topics: watch::Sender<u64>,
    /// Asks for a full sweep now, because the indexer saw something that the store does not know yet.
    sweep: Notify,
}

impl Default for Signals {
    fn default() -> Self {
        Self { topics: watch::Sender::new(0), sweep: Notify::new() }
    }
}

impl Signals {
    /// Says that there are other topics or partitions to index than before.
    pub fn topics_changed(&self) {
        self.topics.send_modify(|count| *count += 1);
    }

    /// Hears of [`Self::topics_changed`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.topics.subscribe()
    }

    /// Asks the sampler to look at once.
    pub fn ask_for_sweep(&self) {
        self.sweep.notify_one();
    }

    /// Waits until somebody asks for a sweep.
    pub async fn sweep_asked(&self) {
        self.sweep.notified().await;
    }
}

/// Waits that grow from try to try, up to a limit.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Starts with `first`, doubles up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, first, longest }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// Begins again with the first wait, after something went well.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Keeps a log readable while something goes wrong again and again: the same text is news once a minute.
#[derive(Debug, Default)]
pub struct Said {
    at: HashMap<String, Instant>,
}

impl Said {
    const AGAIN: Duration = Duration::from_mins(1);
    const CAPACITY: usize = 1_000;

    /// Whether this text should be logged now.
    pub fn is_news(&mut self, text: &str) -> bool {
        if self.at.get(text).is_some_and(|at| at.elapsed() < Self::AGAIN) {
            return false;
        }
        if self.at.len() >= Self::CAPACITY {
            self.at.clear();
        }
        self.at.insert(text.to_owned(), Instant::now());
        true
    }
}

/// Waits, or returns at once with `false` when the process is to end.
pub async fn pause(life: &Lifecycle, wait: Duration) -> bool {
    tokio::select! {
        () = life.soft().cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Duration, Instance};

    #[test]
    fn waits_double_up_to_the_limit_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<u64> = (0..5).map(|_| backoff.next_wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.next_wait().as_secs(), 1);
    }

    #[test]
    fn an_instance_shares_its_store_on_postgresql_only_and_has_an_id_of_its_own() {
        let (alone, shared) = (Instance::new("sqlite:redrive.db"), Instance::new("postgres://user@host/redrive"));
        assert!(!alone.shared && shared.shared);
        assert_ne!(alone.client_id, shared.client_id);
    }
}
