//! Messages whose beginning is not sure yet: a hop before theirs still waits for its producer, or for a span between the two. Exporters
//! send each hop when they like; what is measured must not depend on it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::delivery::Delivery;
use crate::model::Timestamp;
use crate::traces::window::Sending;

/// So long spans of the hops before have time to come: SDKs send every few seconds, and older ones are looked up in the store after ten.
/// Not longer: where the first producer sends no spans, nobody's time from end to end is told before.
const PATIENCE: Duration = Duration::from_mins(1);

/// A delivery that was paired, without its time from end to end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unsure {
    pub(super) delivery: Delivery,
    pub(super) sending: Sending,
    /// The span that has to settle first, by its hash.
    on: u64,
    since: Timestamp,
}

/// Those that are held, by the span that they are held for.
#[derive(Debug)]
pub(super) struct Held {
    /// In the order in which they came.
    all: BTreeMap<u64, Unsure>,
    by_span: HashMap<u64, Vec<u64>, foldhash::fast::RandomState>,
    last: u64,
    most: usize,
    /// The newest time that was heard of.
    now: Timestamp,
}

impl Held {
    pub(super) fn new(most: usize) -> Self {
        Self { all: BTreeMap::new(), by_span: HashMap::default(), last: 0, most, now: Timestamp::from_millis(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Holds a delivery until a span has settled.
    pub(super) fn add(&mut self, on: u64, delivery: Delivery, sending: Sending) {
        self.last += 1;
        let since = self.now;
        self.put(self.last, Unsure { delivery, sending, on, since });
    }

    /// Holds one on, for another span; its time does not begin anew.
    pub(super) fn hold_on(&mut self, number: u64, unsure: Unsure, on: u64) {
        self.put(number, Unsure { on, ..unsure });
    }

    fn put(&mut self, number: u64, unsure: Unsure) {
        self.by_span.entry(unsure.on).or_default().push(number);
        self.all.insert(number, unsure);
    }

    /// Those that were held for a span, with their numbers.
    pub(super) fn take(&mut self, span: u64) -> Vec<(u64, Unsure)> {
        let numbers = self.by_span.remove(&span).unwrap_or_default();
        numbers.into_iter().filter_map(|number| Some((number, self.all.remove(&number)?))).collect()
    }

    /// The one that is held longest, when that is long enough or too many are.
    pub(super) fn take_due(&mut self) -> Option<Unsure> {
        let first = self.all.first_entry()?;
        let is_due = first.get().since.age_at(self.now) >= PATIENCE;
        if !is_due && self.all.len() <= self.most {
            return None;
        }
        let (number, unsure) = self.all.pop_first()?;
        if let Some(numbers) = self.by_span.get_mut(&unsure.on) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_span.remove(&unsure.on);
            }
        }
        Some(unsure)
    }

    /// Says what time it is.
    pub(super) fn set_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }
}
