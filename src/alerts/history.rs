//! What was recorded, as a rule would have read it: one reading per series and look.
//!
//! [`looks`] says which time is looked at, how often, and what is not seen between two looks (pure); [`samples`] reads so that each look
//! finds what a rule would have seen.

use std::collections::HashMap;

use super::rule::{Patterns, Reading, is_windowed, needs_source, parts_of, windows};
use super::trying::{Heard, Recorded, Trial, run};
use crate::metrics::bucket::Bucket;
use crate::model::alert::Terms;
use crate::model::figure::{Figure, FigureKind, Labels};
use crate::model::{DeadLetterFilter, Timestamp};
use crate::store::arrivals::Buckets;
use crate::store::failure_group_events::FailureGroupEvent;
use crate::store::figures::letters::Arrived;
use crate::store::figures::read::{SeriesBuckets, SeriesQuery};
use crate::store::{Store, StoreError};

mod looks;
mod samples;

pub use looks::{MOST_LOOKS, Range, SAMPLE_MS, can_see_samples, coarse, usual_step};

/// Readings of one trial at most: of each series one per look and per step of a window before the first. Some hundred MB at the worst.
const MOST_READINGS: usize = 3_000_000;
/// A histogram is so much more than a number.
const DURATIONS: usize = 20;

/// Why a rule could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum NotTried {
    /// So many series were recorded that it watches, and so many readings of each would be needed.
    #[error("it watches {series} series, and {looks} looks at each of them are too many")]
    TooMuch {
        /// Series that its filter lets through, at least.
        series: usize,
        /// Looks at each.
        looks: usize,
    },
    /// Another trial runs, and goes on.
    #[error("another trial is running")]
    Busy,
    /// It was given up.
    #[error("it took too long")]
    TooLong,
    /// What was recorded cannot be read.
    #[error(transparent)]
    Unread(#[from] StoreError),
}

/// Says what a rule would have done. Levels show the worst of each step.
pub async fn try_rule(store: &Store, terms: &Terms, range: Range) -> Result<Trial, NotTried> {
    Ok(run(terms, &range.looks(), &recorded(store, terms, range).await?, &heard(store, terms, range).await?))
}

/// When buses answered, for figures of which silence would look like calm.
pub async fn heard(store: &Store, terms: &Terms, range: Range) -> Result<Heard, NotTried> {
    if !needs_source(terms.figure) {
        return Ok(Heard::default());
    }
    let mut heard = Heard::default();
    // A look may fall between two samples: the steps before speak for it.
    let before = samples::carried(range.step_ms).max(1);
    for one in samples::read(store, &query(Figure::BusReachable, range, before), &|_| true).await? {
        let Some(bus) = one.labels.bus else { continue };
        let answered = one.buckets.windows(before + 1).map(|some| some.iter().rev().find_map(Option::as_ref).is_some_and(answers));
        heard.0.insert(bus, answered.collect());
    }
    Ok(heard)
}

fn answers(bucket: &Bucket) -> bool {
    matches!(bucket, Bucket::Level { last, .. } if *last > 0.5)
}

/// What a rule would have read: of each series that its filter lets through one reading per look.
pub async fn recorded(store: &Store, terms: &Terms, range: Range) -> Result<Vec<Recorded>, NotTried> {
    let Some(patterns) = Patterns::new(&terms.filter) else { return Ok(Vec::new()) };
    let past = Past { store, patterns: &patterns, range, looks: range.looks().len() };
    match windows(terms)[..] {
        [] => past.levels(terms).await,
        [window] => past.windowed(terms.figure, window).await,
        [long, short, ..] => {
            let long = past.windowed(terms.figure, long).await?;
            Ok(burning(long, past.windowed(terms.figure, short).await?))
        }
    }
}

/// What is read of the past: the series that a filter lets through, over a range.
struct Past<'a> {
    store: &'a Store,
    patterns: &'a Patterns,
    range: Range,
    looks: usize,
}

impl Past<'_> {
    /// Reads series, when there are not too many.
    async fn read(&self, query: &SeriesQuery) -> Result<Vec<SeriesBuckets>, NotTried> {
        let fit = |labels: &Labels| self.patterns.fit(labels);
        let weight = if query.figure.kind() == FigureKind::Durations { DURATIONS } else { 1 };
        let most = MOST_READINGS / (query.steps() * weight).max(1);
        let known = self.store.series_of(query.figure).await?.iter().filter(|(_, labels)| fit(labels)).count();
        if known > most {
            // Many of them may be long gone.
            let whole = SeriesQuery { step_ms: query.to.as_millis() - query.from.as_millis(), ..query.clone() };
            let series = self.store.read_series_where(&whole, fit).await?.len();
            if series > most {
                return Err(NotTried::TooMuch { series, looks: query.steps() });
            }
        }
        Ok(samples::read(self.store, query, &fit).await?)
    }

    async fn levels(&self, terms: &Terms) -> Result<Vec<Recorded>, NotTried> {
        let before = samples::carried(self.range.step_ms);
        let query = query(terms.figure, self.range, before);
        let mut series = self.read(&query).await?;
        if before > 0 {
            samples::carry(self.store, &query, &mut series, before).await?;
        }
        let worst = |bucket: &Bucket| match bucket {
            Bucket::Level { max, .. } if terms.comparison.is_upwards() => Some(Reading::Number(*max)),
            Bucket::Level { min, .. } => Some(Reading::Number(*min)),
            other => Reading::of(terms.figure, other),
        };
        let read =
            |buckets: Vec<Option<Bucket>>| buckets.iter().skip(before).take(self.looks).map(|bucket| worst(bucket.as_ref()?)).collect();
        Ok(series.into_iter().map(|one| (one.labels, read(one.buckets))).collect())
    }

    async fn windowed(&self, figure: Figure, window_ms: u64) -> Result<Vec<Recorded>, NotTried> {
        let (range, looks) = (self.range, self.looks);
        let window = i64::try_from(window_ms).unwrap_or(i64::MAX);
        // Steps that belong to one window; those before the range belong to its first looks.
        let step = range.step_ms.max(1);
        let steps = usize::try_from((window / step).max(1)).unwrap_or(1);
        // What is sampled is looked at in whole steps, as when the rule is evaluated.
        let sampled = usize::try_from((window.saturating_add(step - 1) / step).max(1)).unwrap_or(1);
        match figure {
            Figure::DeadLettersPerMinute | Figure::FailureGroupsNew | Figure::FailureGroupsReturned => {
                let counts = self.counts(figure, steps).await?;
                let minutes = number(steps as u64) * number(range.step_ms.max(1).unsigned_abs()) / 60_000.0;
                let per = if figure == Figure::DeadLettersPerMinute { minutes } else { 1.0 };
                let read = |counts: Vec<u64>| sliding(&counts, steps, looks, |sum: u64| Some(Reading::Number(number(sum) / per)));
                Ok(counts.into_iter().map(|(labels, counts)| (labels, read(counts))).collect())
            }
            _ => {
                if let Some((all, failed)) = parts_of(figure) {
                    return self.shares(all, failed, sampled).await;
                }
                debug_assert!(is_windowed(figure));
                let series = self.read(&query(figure, range, sampled - 1)).await?;
                let read = |buckets: &[Option<Bucket>]| merged(buckets, sampled, looks, |bucket| Reading::of(figure, bucket));
                Ok(series.into_iter().map(|one| (one.labels, read(&one.buckets))).collect())
            }
        }
    }

    async fn shares(&self, all: Figure, failed: Figure, steps: usize) -> Result<Vec<Recorded>, NotTried> {
        let (range, looks) = (self.range, self.looks);
        let all = self.read(&query(all, range, steps - 1)).await?;
        let failed = self.read(&query(failed, range, steps - 1)).await?;
        let failed: HashMap<Labels, Vec<Option<Bucket>>> = failed.into_iter().map(|one| (one.labels, one.buckets)).collect();
        let share = |one: SeriesBuckets| {
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

    /// Counts per step, `steps - 1` of them from before the range.
    async fn counts(&self, figure: Figure, steps: usize) -> Result<Vec<(Labels, Vec<u64>)>, NotTried> {
        let query = query(figure, self.range, steps - 1);
        let mut counts: HashMap<Labels, Vec<u64>> = HashMap::new();
        let total = query.steps();
        // The store answers up to 400 buckets at once.
        for first in (0..total).step_by(400) {
            let some = (total - first).min(400);
            let buckets =
                Buckets { from: query.time_of(first), to: query.time_of(first + some), count: u32::try_from(some).unwrap_or(400) };
            for (labels, part) in self.counted(figure, buckets).await? {
                let all = counts.entry(labels).or_insert_with(|| vec![0; total]);
                for (bucket, count) in part {
                    if let Some(sum) = all.get_mut(first + bucket as usize) {
                        *sum += count;
                    }
                }
                if counts.len().saturating_mul(total) > MOST_READINGS {
                    return Err(NotTried::TooMuch { series: counts.len(), looks: total });
                }
            }
        }
        Ok(counts.into_iter().collect())
    }

    async fn counted(&self, figure: Figure, buckets: Buckets) -> Result<Vec<Arrived>, StoreError> {
        let event = match figure {
            Figure::FailureGroupsNew => FailureGroupEvent::New,
            Figure::FailureGroupsReturned => FailureGroupEvent::Returned,
            _ => return self.store.list_arrived(&DeadLetterFilter::default(), buckets, |labels| self.patterns.fit(labels)).await,
        };
        let series = self.store.failure_group_series(event, None, None, buckets).await?;
        let fitting = series.into_iter().filter(|(labels, _)| self.patterns.fit(labels));
        Ok(fitting.map(|(labels, counts)| (labels, (0..).zip(counts).collect())).collect())
    }
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

fn query(figure: Figure, range: Range, before: usize) -> SeriesQuery {
    let before = i64::try_from(before).unwrap_or(0).saturating_mul(range.step_ms);
    let from = Timestamp::from_millis(range.from.as_millis().saturating_sub(before));
    SeriesQuery { figure, labels: Labels::default(), from, to: range.to, step_ms: range.step_ms.max(1) }
}

/// Sums of the last `steps` of each look.
fn sliding(counts: &[u64], steps: usize, looks: usize, read: impl Fn(u64) -> Option<Reading>) -> Vec<Option<Reading>> {
    let mut sums = Vec::with_capacity(counts.len() + 1);
    sums.push(0);
    for count in counts {
        sums.push(sums.last().copied().unwrap_or(0) + count);
    }
    let until = |step: usize| sums.get(step).or(sums.last()).copied().unwrap_or(0);
    (0..looks).map(|look| read(until(look + steps) - until(look))).collect()
}

/// The last `steps` buckets of each look in one. In blocks of so many steps: a window is the end of one block and the beginning of the
/// next, so that each bucket is added twice, however long the window.
fn merged<T>(buckets: &[Option<Bucket>], steps: usize, looks: usize, read: impl Fn(&Bucket) -> Option<T>) -> Vec<Option<T>> {
    let (steps, count) = (steps.max(1), buckets.len());
    let mut begins: Vec<Option<Bucket>> = Vec::with_capacity(count);
    for (at, bucket) in buckets.iter().enumerate() {
        let mut sum = if at % steps == 0 { None } else { begins.last().cloned().flatten() };
        if let Some(bucket) = bucket {
            bucket.add_to(&mut sum);
        }
        begins.push(sum);
    }
    let mut ends: Vec<Option<Bucket>> = buckets.to_vec();
    for at in (1..count).rev().filter(|at| at % steps != 0) {
        if let Some(later) = ends[at].clone() {
            later.add_to(&mut ends[at - 1]);
        }
    }
    let total = |look: usize| {
        let last = (look + steps).min(count).checked_sub(1).filter(|last| *last >= look)?;
        if look.is_multiple_of(steps) {
            return read(begins[last].as_ref()?);
        }
        let mut sum = ends[look].clone();
        if last / steps != look / steps
            && let Some(beginning) = &begins[last]
        {
            beginning.add_to(&mut sum);
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

    #[test]
    fn windows_of_any_length_come_to_what_is_in_them() {
        let buckets: Vec<Option<Bucket>> =
            (0..23_u32).map(|at| (at % 4 != 2).then(|| Bucket::of(Point::Count(f64::from(at * at)), 60_000))).collect();
        for steps in 1..=24 {
            let looks = 24;
            let plain = (0..looks).map(|look| {
                let some = buckets.iter().skip(look).take(steps).flatten();
                some.map(Bucket::count).reduce(|sum, count| sum + count)
            });
            assert_eq!(merged(&buckets, steps, looks, |bucket| Some(bucket.count())), plain.collect::<Vec<_>>(), "{steps} steps");
        }
    }
}
