//! What changed, for live pages: a noun and nothing else, so that a browser fetches the parts it shows.
//!
//! Whoever writes to the store publishes the noun afterwards. With several instances on one store, a job carries the nouns through
//! the store's revisions: it takes [`Changes::take_unsent`] there, and tells what came from others by [`Changes::relay`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::sync::broadcast;

/// How many changes a slow page may lag behind before it is told that it missed some. A page that missed some fetches everything.
const CAPACITY: usize = 256;

/// Something that pages show and that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// Dead letters and their failure groups: new ones, another status, gaps.
    DeadLetters,
    /// The state of a bus: reached or not, capabilities.
    Buses,
    /// Topics, partitions and their offsets.
    Topics,
    /// Consumer groups and their committed offsets.
    ConsumerGroups,
    /// The audit.
    Audit,
    /// Replays and their items.
    Replays,
    /// Purges and their partitions.
    Purges,
    /// Receivers and deliveries of notifications.
    Deliveries,
    /// Alerts, their rules and silences.
    Alerts,
}

impl Noun {
    /// Every noun.
    pub const ALL: &'static [Self] = &[
        Self::DeadLetters,
        Self::Buses,
        Self::Topics,
        Self::ConsumerGroups,
        Self::Audit,
        Self::Replays,
        Self::Purges,
        Self::Deliveries,
        Self::Alerts,
    ];

    /// The word used in the event stream and in the store's revisions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::Buses => "buses",
            Self::Topics => "topics",
            Self::ConsumerGroups => "consumer_groups",
            Self::Audit => "audit",
            Self::Replays => "replays",
            Self::Purges => "purges",
            Self::Deliveries => "deliveries",
            Self::Alerts => "alerts",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells pages what changed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    sender: broadcast::Sender<Noun>,
    unsent: Arc<AtomicU16>,
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

impl Changes {
    /// Nothing has changed yet and nobody listens.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), unsent: Arc::new(AtomicU16::new(0)) }
    }

    /// Says that this instance changed something of this noun. Never waits; nobody need be listening.
    pub fn publish(&self, noun: Noun) {
        self.unsent.fetch_or(noun.bit(), Ordering::AcqRel);
        self.relay(noun);
    }

    /// Says that another instance changed something of this noun.
    pub fn relay(&self, noun: Noun) {
        // An error only means that no page is open.
        let _ = self.sender.send(noun);
    }

    /// Listens from now on. A receiver that falls behind gets `Lagged`: everything may have changed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Noun> {
        self.sender.subscribe()
    }

    /// The nouns published here since the last call, for the other instances.
    #[must_use]
    pub fn take_unsent(&self) -> Vec<Noun> {
        let bits = self.unsent.swap(0, Ordering::AcqRel);
        Noun::ALL.iter().copied().filter(|noun| bits & noun.bit() != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, Noun};

    #[tokio::test]
    async fn every_page_hears_a_change_and_the_other_instances_are_told_once() {
        let changes = Changes::new();
        let (mut first, mut second) = (changes.subscribe(), changes.subscribe());
        changes.publish(Noun::Topics);
        changes.clone().publish(Noun::Topics);
        changes.relay(Noun::Audit);
        for page in [&mut first, &mut second] {
            assert_eq!([page.recv().await, page.recv().await, page.recv().await], [Ok(Noun::Topics), Ok(Noun::Topics), Ok(Noun::Audit)]);
        }
        assert_eq!(changes.take_unsent(), [Noun::Topics], "what came from others is not sent back");
        assert_eq!(changes.take_unsent(), []);
    }

    #[test]
    fn every_noun_has_a_bit_and_a_word_of_its_own() {
        let changes = Changes::new();
        for noun in Noun::ALL {
            changes.publish(*noun);
            assert_eq!(changes.take_unsent(), [*noun]);
        }
        let words: std::collections::BTreeSet<&str> = Noun::ALL.iter().map(|noun| noun.as_str()).collect();
        assert_eq!(words.len(), Noun::ALL.len());
    }
}
