//! What is watched and when last: what an empty list answers, so that nothing found is not taken for nothing looked at.

use super::super::super::view::freshness::Freshness;
use super::super::super::view::number::counted;
use super::super::super::view::time::age;
use crate::model::bus::TopicRole;
use crate::model::{BusId, BusState, Timestamp};
use crate::store::topics::TopicFilter;
use crate::store::{Store, StoreError};

/// What an empty list says.
#[derive(Debug)]
pub(in crate::web::pages) struct Watched {
    /// What it means that there is nothing.
    pub(in crate::web::pages) state: Looked,
    /// Such as "11 dead-letter topics on 2 buses are watched; the last look was 6 s ago."
    pub(in crate::web::pages) sentence: String,
}

/// Whether anybody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web::pages) enum Looked {
    /// Every bus, lately.
    Lately,
    /// Not every bus, or not lately.
    Before,
    /// No bus is configured.
    Nowhere,
}

impl Watched {
    /// Whether nothing found means that there is nothing.
    pub(in crate::web::pages) fn is_well(&self) -> bool {
        self.state == Looked::Lately
    }

    /// Whether there is no bus to look at.
    pub(in crate::web::pages) fn is_nowhere(&self) -> bool {
        self.state == Looked::Nowhere
    }

    /// Of these buses; none means all.
    pub(in crate::web::pages) async fn load(store: &Store, buses: &[BusId], now: Timestamp) -> Result<Self, StoreError> {
        let states: Vec<_> = store.list_buses().await?.into_iter().filter(|bus| buses.is_empty() || buses.contains(&bus.id)).collect();
        let filter = TopicFilter { role: Some(TopicRole::DeadLetter), ..TopicFilter::default() };
        let mut topics = 0;
        for bus in &states {
            topics += store.list_topics(&bus.id, &filter).await?.len() as u64;
        }
        let topics = counted(topics, "dead-letter topic", "dead-letter topics");
        let on = counted(states.len() as u64, "bus", "buses");
        let sentence = match states.iter().map(|bus| bus.sampled_at).min() {
            None => "No bus is configured, so nothing is watched.".to_owned(),
            Some(None) => format!("{topics} on {on} watched so far; not every bus has been read yet."),
            Some(Some(at)) => format!("{topics} on {on} watched; the last look was {} ago.", age(at, now)),
        };
        let is_stale = |bus: &BusState| Freshness::of(bus, now).is_stale();
        let state = match states.as_slice() {
            [] => Looked::Nowhere,
            states if states.iter().any(is_stale) => Looked::Before,
            _ => Looked::Lately,
        };
        Ok(Self { state, sentence })
    }
}
