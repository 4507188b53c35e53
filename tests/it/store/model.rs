//! A naive model of dead letters: everything in a list, every answer by looking at all of it.

use redrive::model::dead_letter::{NewDeadLetter, StatusCounts};
use redrive::model::{BusId, DeadLetterFilter, DeadLetterId, Presence, Status, Timestamp};

/// What the model remembers of a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: DeadLetterId,
    pub(crate) bus: BusId,
    pub(crate) topic: String,
    pub(crate) letter: NewDeadLetter,
    pub(crate) status: Status,
    pub(crate) presence: Presence,
}

/// Random numbers that are the same in every run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub(crate) fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        let index = self.below(values.len() as u64);
        &values[usize::try_from(index).expect("an index")]
    }

    /// A number of milliseconds, or whatever else is signed.
    pub(crate) fn millis(&mut self, limit: i64) -> i64 {
        self.below(limit.unsigned_abs()).cast_signed()
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn any<T: PartialEq>(wanted: &[T], value: Option<&T>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
}

impl Known {
    pub(crate) fn matches(&self, filter: &DeadLetterFilter) -> bool {
        let failure = &self.letter.failure;
        any(&filter.bus, Some(&self.bus))
            && any(&filter.topic, Some(&self.topic.as_str().into()))
            && any(&filter.origin_topic, failure.origin.topic.as_ref())
            && any(&filter.consumer_group, failure.consumer_group.as_ref())
            && any(&filter.exception_class, failure.exception_class.as_ref())
            && any(&filter.fingerprint, Some(&self.letter.fingerprint.fingerprint))
            && any(&filter.convention, Some(&failure.convention.as_str().to_owned()))
            && any(&filter.status, Some(&self.status))
            && any(&filter.presence, Some(&self.presence))
            && filter.from.is_none_or(|from| self.letter.failed_at >= from)
            && filter.to.is_none_or(|to| self.letter.failed_at < to)
            && filter.q.as_deref().is_none_or(|q| q.split_whitespace().all(|word| self.holds(word)))
    }

    fn holds(&self, word: &str) -> bool {
        let letter = &self.letter;
        let record = &letter.record;
        let texts = [letter.failure.exception_class.as_deref(), letter.failure.message.as_deref(), letter.failure.stack_trace.as_deref()];
        let bytes = [record.key.as_deref(), record.value.as_deref()];
        let headers = record.headers.iter().filter_map(|header| header.value.as_deref());
        let all = texts.into_iter().flatten().map(str::as_bytes).chain(bytes.into_iter().flatten()).chain(headers);
        let word = word.to_lowercase();
        all.into_iter().any(|text| String::from_utf8_lossy(text).to_lowercase().contains(&word))
    }
}

/// Those that match, newest first.
pub(crate) fn list<'a>(all: &'a [Known], filter: &DeadLetterFilter) -> Vec<&'a Known> {
    let mut matching: Vec<&Known> = all.iter().filter(|known| known.matches(filter)).collect();
    matching.sort_by_key(|known| std::cmp::Reverse((known.letter.failed_at, known.id)));
    matching
}

pub(crate) fn counts<'a>(matching: impl IntoIterator<Item = &'a Known>) -> StatusCounts {
    let mut counts = StatusCounts::default();
    matching.into_iter().for_each(|known| *counts.of_mut(known.status) += 1);
    counts
}

/// Arrivals of those that match, whatever their status and presence, per bucket.
pub(crate) fn arrivals(all: &[Known], filter: &DeadLetterFilter, from: Timestamp, width_ms: i64, count: usize) -> Vec<u64> {
    let filter = DeadLetterFilter { status: Vec::new(), presence: Vec::new(), from: None, to: None, ..filter.clone() };
    let mut buckets = vec![0; count];
    for known in all.iter().filter(|known| known.matches(&filter) && !known.letter.backlog) {
        let minute = known.letter.failed_at.as_millis().div_euclid(60_000) * 60_000;
        let bucket = (minute - from.as_millis()).div_euclid(width_ms);
        if let Some(bucket) = usize::try_from(bucket).ok().and_then(|bucket| buckets.get_mut(bucket)) {
            *bucket += 1;
        }
    }
    buckets
}
