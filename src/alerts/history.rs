//! What was recorded, as a rule would have read it: one reading per series and look.

use std::collections::HashMap;

use super::rule::{Patterns, Reading, is_windowed, needs_source, parts_of, windows};
use super::trying::{Heard, Recorded, Trial, run};
use crate::metrics::bucket::Bucket;
use crate::model::alert::Terms;
use crate::model::figure::{Figure, Labels};
use crate::model::quantity::duration;
use crate::model::{DeadLetterFilter, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::figures::read::SeriesQuery;
use crate::store::{Store, StoreError};

/// Looks of one trial at most.
pub const MOST_LOOKS: usize = 3_000;

/// Which time a rule is tried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Time between two looks, in milliseconds: at least a minute.
    pub step_ms: i64,
}

impl Range {
    /// The moments at which the rule would have looked.
    #[must_use]
    pub fn looks(&self) -> Vec<Timestamp> {
        let end = |step: i64| Timestamp::from_millis(self.from.as_millis().saturating_add(step.saturating_mul(self.step_ms)));
        let length = self.to.as_millis().saturating_sub(self.from.as_millis()).max(0);
        (1..=length / self.step_ms.max(1)).take(MOST_LOOKS).map(end).collect()
    }
}

/// Looks of a trial when nobody says how many: one a minute of a day.
const USUAL_LOOKS: i64 = 1_440;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Time between two looks over a time of this length, both in milliseconds: a minute for a day, and hours beyond ten days, since
/// minutes are not kept for so long.
#[must_use]
pub const fn usual_step(length_ms: i64) -> i64 {
    let minutes = length_ms / USUAL_LOOKS / MINUTE_MS;
    match minutes {
        ..=1 => MINUTE_MS,
        2..15 => minutes * MINUTE_MS,
        _ => (length_ms / USUAL_LOOKS + HOUR_MS - 1) / HOUR_MS * HOUR_MS,
    }
}

/// How far a trial with so long between two looks differs from what a rule sees that looks all the time; `None` when it does not.
#[must_use]
pub fn coarse(terms: &Terms, step_ms: i64) -> Option<String> {
    let step = step_ms.unsigned_abs();
    if step_ms <= MINUTE_MS {
        return None;
    }
    let said = duration(step);
    let shortest = windows(terms).into_iter().min();
    let how = match shortest {
        None => "each look has the worst value of that time, so what was short seems longer".to_owned(),
        Some(window) if window < step => {
            format!("its window of {} is {said} here, so short peaks are flattened and may be missed", duration(window))
        }
        Some(_) => "what lasted shorter than that may be missed".to_owned(),
    };
    let waits = terms.for_ms > 0 && terms.for_ms < step;
    let wait = if waits { format!("; its wait of {} takes one look more", duration(terms.for_ms)) } else { String::new() };
    Some(format!("Looked at coarsely, every {said}: {how}{wait}. The rule itself looks all the time."))
}

/// Says what a rule would have done. Levels show the worst of each step.
pub async fn try_rule(store: &Store, terms: &Terms, range: Range) -> Result<Trial, StoreError> {
    Ok(run(terms, &range.looks(), &recorded(store, terms, range).await?, &heard(store, terms, range).await?))
}

/// When buses answered, for figures of which silence would look like calm.
pub async fn heard(store: &Store, terms: &Terms, range: Range) -> Result<Heard, StoreError> {
    if !needs_source(terms.figure) {
        return Ok(Heard::default());
    }
    let mut heard = Heard::default();
    for one in store.read_series(&query(Figure::BusReachable, range, 1)).await? {
        let Some(bus) = one.labels.bus else { continue };
        // A look may fall between two samples: the step before speaks for it.
        let answered = one.buckets.windows(2).map(|two| two[1].as_ref().or(two[0].as_ref()).is_some_and(answers));
        heard.0.insert(bus, answered.collect());
    }
    Ok(heard)
}

fn answers(bucket: &Bucket) -> bool {
    matches!(bucket, Bucket::Level { last, .. } if *last > 0.5)
}

/// What a rule would have read: of each series that its filter lets through one reading per look.
pub async fn recorded(store: &Store, terms: &Terms, range: Range) -> Result<Vec<Recorded>, StoreError> {
    let looks = range.looks().len();
    let Some(patterns) = Patterns::new(&terms.filter) else { return Ok(Vec::new()) };
    let mut series = match windows(terms)[..] {
        [] => levels(store, terms, range, looks).await?,
        [window] => windowed(store, terms, range, window, looks).await?,
        [long, short, ..] => {
            let long = windowed(store, terms, range, long, looks).await?;
            burning(long, windowed(store, terms, range, short, looks).await?)
        }
    };
    series.retain(|(labels, _)| patterns.fit(labels));
    Ok(series)
}

async fn levels(store: &Store, terms: &Terms, range: Range, looks: usize) -> Result<Vec<Recorded>, StoreError> {
    let query = query(terms.figure, range, 0);
    let worst = |bucket: &Bucket| match bucket {
        Bucket::Level { max, .. } if terms.comparison.is_upwards() => Some(Reading::Number(*max)),
        Bucket::Level { min, .. } => Some(Reading::Number(*min)),
        other => Reading::of(terms.figure, other),
    };
    let series = store.read_series(&query).await?;
    let read = |buckets: Vec<Option<Bucket>>| buckets.iter().take(looks).map(|bucket| worst(bucket.as_ref()?)).collect();
    Ok(series.into_iter().map(|one| (one.labels, read(one.buckets))).collect())
}

async fn windowed(store: &Store, terms: &Terms, range: Range, window_ms: u64, looks: usize) -> Result<Vec<Recorded>, StoreError> {
    let figure = terms.figure;
    let window = i64::try_from(window_ms).unwrap_or(i64::MAX);
    // Steps that belong to one window; those before the range belong to its first looks.
    let step = range.step_ms.max(1);
    let steps = usize::try_from((window / step).max(1)).unwrap_or(1);
    // What is sampled is looked at in whole steps, as when the rule is evaluated.
    let sampled = usize::try_from((window.saturating_add(step - 1) / step).max(1)).unwrap_or(1);
    match figure {
        Figure::DeadLettersPerMinute | Figure::FailureGroupsNew | Figure::FailureGroupsReturned => {
            let counts = counts(store, figure, range, steps).await?;
            let minutes = number(steps as u64) * number(range.step_ms.max(1).unsigned_abs()) / 60_000.0;
            let per = if figure == Figure::DeadLettersPerMinute { minutes } else { 1.0 };
            let read = |counts: Vec<u64>| sliding(&counts, steps, looks, |sum: u64| Some(Reading::Number(number(sum) / per)));
            Ok(counts.into_iter().map(|(labels, counts)| (labels, read(counts))).collect())
        }
        _ => {
            if let Some((all, failed)) = parts_of(figure) {
                return shares(store, all, failed, range, sampled, looks).await;
            }
            debug_assert!(is_windowed(figure));
            let series = store.read_series(&query(figure, range, sampled - 1)).await?;
            let read = |buckets: &[Option<Bucket>]| merged(buckets, sampled, looks, |bucket| Reading::of(figure, bucket));
            Ok(series.into_iter().map(|one| (one.labels, read(&one.buckets))).collect())
        }
    }
}

async fn shares(store: &Store, all: Figure, failed: Figure, range: Range, steps: usize, looks: usize) -> Result<Vec<Recorded>, StoreError> {
    let all = store.read_series(&query(all, range, steps - 1)).await?;
    let failed = store.read_series(&query(failed, range, steps - 1)).await?;
    let failed: HashMap<Labels, Vec<Option<Bucket>>> = failed.into_iter().map(|one| (one.labels, one.buckets)).collect();
    let share = |one: crate::store::figures::read::SeriesBuckets| {
        let count = |buckets: &[Option<Bucket>]| merged(buckets, steps, looks, |bucket| Some(bucket.count()));
        let whole = count(&one.buckets);
        let part = failed.get(&one.labels).map(|buckets| count(buckets));
        let part_at = |at: usize| part.as_ref().and_then(|part| part.get(at).copied().flatten()).unwrap_or(0.0);
        let readings = whole.iter().enumerate().map(|(at, whole)| Some(Reading::Share { part: part_at(at), whole: (*whole)? }));
        let readings = readings.collect();
        (one.labels, readings)
    };
    Ok(all.into_iter().map(share).collect())
}

fn burning(long: Vec<Recorded>, short: Vec<Recorded>) -> Vec<Recorded> {
    let short: HashMap<Labels, Vec<Option<Reading>>> = short.into_iter().collect();
    let parts = |reading: Option<&Reading>| match reading {
        Some(Reading::Share { part, whole }) => (*part, *whole),
        _ => (0.0, 0.0),
    };
    let burn = |(labels, readings): Recorded| {
        let of_short = short.get(&labels);
        let at = |(at, long): (usize, Option<Reading>)| {
            let short = of_short.and_then(|short| short.get(at)).and_then(Option::as_ref);
            long.map(|long| Reading::Burn { long: parts(Some(&long)), short: parts(short) })
        };
        let readings = readings.into_iter().enumerate().map(at).collect();
        (labels, readings)
    };
    long.into_iter().map(burn).collect()
}

/// Counts per step, `steps - 1` of them from before the range.
async fn counts(store: &Store, figure: Figure, range: Range, steps: usize) -> Result<Vec<(Labels, Vec<u64>)>, StoreError> {
    let query = query(figure, range, steps - 1);
    let mut counts: HashMap<Labels, Vec<u64>> = HashMap::new();
    let total = query.steps();
    // The store answers up to 400 buckets at once.
    for first in (0..total).step_by(400) {
        let some = (total - first).min(400);
        let buckets = Buckets { from: query.time_of(first), to: query.time_of(first + some), count: u32::try_from(some).unwrap_or(400) };
        let read = match figure {
            Figure::FailureGroupsNew => store.failure_group_series(FailureGroupEvent::New, None, None, buckets).await?,
            Figure::FailureGroupsReturned => store.failure_group_series(FailureGroupEvent::Returned, None, None, buckets).await?,
            _ => store.arrival_series(&DeadLetterFilter::default(), buckets).await?,
        };
        for (labels, part) in read {
            let all = counts.entry(labels).or_insert_with(|| vec![0; total]);
            for (sum, count) in all.iter_mut().skip(first).zip(part) {
                *sum += count;
            }
        }
    }
    Ok(counts.into_iter().collect())
}

fn query(figure: Figure, range: Range, before: usize) -> SeriesQuery {
    let before = i64::try_from(before).unwrap_or(0).saturating_mul(range.step_ms);
    let from = Timestamp::from_millis(range.from.as_millis().saturating_sub(before));
    SeriesQuery { figure, labels: Labels::default(), from, to: range.to, step_ms: range.step_ms.max(1) }
}

/// Sums of the last `steps` of each look.
fn sliding(counts: &[u64], steps: usize, looks: usize, read: impl Fn(u64) -> Option<Reading>) -> Vec<Option<Reading>> {
    (0..looks).map(|look| read(counts.iter().skip(look).take(steps).sum())).collect()
}

/// The last `steps` buckets of each look in one.
fn merged<T>(buckets: &[Option<Bucket>], steps: usize, looks: usize, read: impl Fn(&Bucket) -> Option<T>) -> Vec<Option<T>> {
    let total = |look: usize| {
        let mut sum = None;
        for bucket in buckets.iter().skip(look).take(steps).flatten() {
            bucket.add_to(&mut sum);
        }
        read(&sum?)
    };
    (0..looks).map(total).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and lengths of time")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bucket::Point;

    #[test]
    fn coarse_looks_say_so() {
        use crate::alerts::defaults::usual;
        use crate::model::alert::Comparison;
        let day = 24 * HOUR_MS;
        for (days, step) in [(1, MINUTE_MS), (7, 7 * MINUTE_MS), (14, 14 * MINUTE_MS), (30, HOUR_MS), (90, 2 * HOUR_MS)] {
            assert_eq!(usual_step(days * day), step, "{days} days");
        }
        assert_eq!(usual_step(0), MINUTE_MS);
        let terms = |figure| usual(figure, Comparison::Above, 1.0);
        assert_eq!(coarse(&terms(Figure::DeadLettersPerMinute), MINUTE_MS), None, "as a rule looks");
        let said = |figure, step| coarse(&terms(figure), step).expect("it is coarse");
        assert!(said(Figure::ConsumerGroupLagMessages, HOUR_MS).contains("every 1h: each look has the worst value"));
        assert!(said(Figure::DeadLettersPerMinute, HOUR_MS).contains("its window of 5m is 1h here"));
        let waiting = Terms { for_ms: 120_000, ..terms(Figure::ConsumerGroupLagMessages) };
        assert!(coarse(&waiting, 7 * MINUTE_MS).expect("it is coarse").contains("its wait of 2m takes one look more"));
    }

    #[test]
    fn a_look_sees_its_window_and_a_range_has_its_looks() {
        let at = Timestamp::from_millis;
        let range = Range { from: at(0), to: at(180_000), step_ms: 60_000 };
        assert_eq!(range.looks(), [at(60_000), at(120_000), at(180_000)]);
        let sum = |sum: u64| Some(Reading::Number(number(sum)));
        // Two steps of before, for a window of three.
        assert_eq!(sliding(&[1, 2, 4, 8, 16], 3, 3, sum), [sum(7), sum(14), sum(28)]);
        let rate = |count: f64| Some(Bucket::of(Point::Count(count), 60_000));
        let totals = merged(&[rate(1.0), None, rate(4.0)], 2, 2, |bucket| Some(bucket.count()));
        assert_eq!(totals, [Some(1.0), Some(4.0)]);
    }
}
