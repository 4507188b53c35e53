//! Series of a few of thousands: those that lead, found from what all of them came to, which is kept in memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, Timestamp};
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesBuckets;
use crate::store::{Store, StoreError};
use crate::web::pages::consumer_group::history::query;
use crate::web::view::lines::{MOST, Named, added_up, numbers};

/// Series that are read step by step to find those with the most in the range itself, which may cut its first hour.
const CANDIDATES: usize = 24;

/// Numbers of a series per step.
pub(super) type Values = Vec<Option<f64>>;

/// Series by what they are about.
pub(super) type ByKey<K> = BTreeMap<K, Vec<SeriesBuckets>>;

/// What a series leads by.
pub(super) type Weight = fn(&Bucket) -> f64;

/// The highest level, or the rate.
pub(super) fn most(bucket: &Bucket) -> f64 {
    bucket.value(0.5).unwrap_or_default()
}

/// How far a level rose above its lowest.
pub(super) fn growth(bucket: &Bucket) -> f64 {
    if let Bucket::Level { min, last, .. } = bucket { last - min } else { 0.0 }
}

/// All series of a figure on a bus, for figures of which there are few.
pub(super) async fn all(store: &Store, figure: Figure, bus: &BusId, buckets: Buckets) -> Result<Vec<Values>, StoreError> {
    let found = store.read_series(&query(figure, Labels::bus(bus), buckets)).await?;
    Ok(found.into_iter().map(|series| numbers(figure, &series, 0.5)).collect())
}

/// Series of those that lead over the whole hours of the range by any of the weights, and of those named.
pub(super) async fn leading<K: Ord + Clone + Send + Sync>(
    store: &Store,
    of: (Figure, &BusId, Buckets),
    key: impl Fn(&Labels) -> Option<K> + Send + Sync,
    mut wanted: BTreeSet<K>,
    weights: &[Weight],
) -> Result<ByKey<K>, StoreError> {
    let (figure, bus, buckets) = of;
    let totals = store.read_totals(figure, bus, buckets.from, &key).await?;
    for weight in weights {
        let mut sizes: BTreeMap<&K, f64> = BTreeMap::new();
        for (key, total) in &totals {
            *sizes.entry(key).or_default() += weight(total);
        }
        wanted.extend(first(sizes, CANDIDATES).into_iter().cloned());
    }
    named(store, of, key, &wanted).await
}

/// Series of those named.
pub(super) async fn named<K: Ord + Send + Sync>(
    store: &Store,
    (figure, bus, buckets): (Figure, &BusId, Buckets),
    key: impl Fn(&Labels) -> Option<K> + Send + Sync,
    wanted: &BTreeSet<K>,
) -> Result<ByKey<K>, StoreError> {
    let query = query(figure, Labels::bus(bus), buckets);
    let found = store.read_series_where(&query, |labels| key(labels).is_some_and(|key| wanted.contains(&key))).await?;
    let mut by_key: ByKey<K> = BTreeMap::new();
    for series in found {
        if let Some(key) = key(&series.labels) {
            by_key.entry(key).or_default().push(series);
        }
    }
    Ok(by_key)
}

/// What series show, added up by key.
pub(super) fn added<K: Ord>(by_key: ByKey<K>) -> BTreeMap<K, Values> {
    by_key.into_iter().map(|(key, series)| (key, sum_of(&series, |bucket| bucket.value(0.5)))).collect()
}

fn sum_of(series: &[SeriesBuckets], number: impl Fn(&Bucket) -> Option<f64>) -> Values {
    let steps = series.iter().map(|series| series.buckets.len()).max().unwrap_or_default();
    let all: Vec<Values> =
        series.iter().map(|series| series.buckets.iter().map(|bucket| bucket.as_ref().and_then(&number)).collect()).collect();
    added_up(&all, steps)
}

/// The lag of a consumer group, step by step.
#[derive(Debug)]
pub(super) struct Lag {
    /// The highest of each step: what is drawn.
    pub(super) highest: Values,
    /// What it was at the end of each step.
    last: Values,
}

impl Lag {
    /// Of the lag on each of its topics.
    pub(super) fn of(series: &[SeriesBuckets]) -> Self {
        let last = |bucket: &Bucket| if let Bucket::Level { last, .. } = bucket { Some(*last) } else { None };
        Self { highest: sum_of(series, |bucket| bucket.value(0.5)), last: sum_of(series, last) }
    }

    /// How much more it is at the end of the newest known step than at the end of the oldest; negative is less.
    pub(super) fn grew(&self) -> Option<f64> {
        grew(&self.last)
    }
}

/// The first few keys by size, without those that have none.
pub(super) fn first<K: Ord>(sizes: BTreeMap<K, f64>, few: usize) -> Vec<K> {
    let mut sizes: Vec<(K, f64)> = sizes.into_iter().filter(|(_, size)| *size > 0.0).collect();
    sizes.sort_by(|(a, some), (b, other)| other.total_cmp(some).then_with(|| a.cmp(b)));
    sizes.into_iter().take(few).map(|(key, _)| key).collect()
}

/// The time of the same length before.
pub(super) fn just_before(buckets: Buckets) -> Buckets {
    let length = buckets.to.as_millis() - buckets.from.as_millis();
    Buckets { from: Timestamp::from_millis(buckets.from.as_millis() - length), to: buckets.from, count: buckets.count }
}

/// The mean of the steps that are known.
pub(super) fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "steps of a drawing")]
    let count = known.len() as f64;
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
}

/// The mean of several series added up.
pub(super) fn mean_of_sum<'a>(all: impl Iterator<Item = &'a Values>, buckets: Buckets) -> Option<f64> {
    let all: Vec<Values> = all.cloned().collect();
    mean(&added_up(&all, buckets.count as usize))
}

/// How much more it is in the newest step than in the oldest that is known; negative is less.
fn grew(values: &[Option<f64>]) -> Option<f64> {
    let mut known = values.iter().flatten();
    let first = known.next()?;
    Some(known.next_back()? - first)
}

/// The highest of its steps.
pub(super) fn peak(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().fold(0.0, f64::max)
}

/// As many lines as a drawing can hold, those with the highest peaks.
pub(super) fn largest(mut named: Vec<Named>) -> Vec<Named> {
    named.sort_by(|a, b| peak(&b.values).total_cmp(&peak(&a.values)).then_with(|| a.label.cmp(&b.label)));
    named.truncate(MOST);
    // By name, so that a line keeps its colour while their numbers change.
    named.sort_by(|a, b| a.label.cmp(&b.label));
    named
}

/// The same of buses, with what the others come to together, so that the drawing tells all.
pub(super) fn largest_buses(mut named: Vec<Named>) -> Vec<Named> {
    if named.len() <= MOST {
        return largest(named);
    }
    named.sort_by(|a, b| peak(&b.values).total_cmp(&peak(&a.values)).then_with(|| a.label.cmp(&b.label)));
    let others: Vec<Values> = named.split_off(MOST - 1).into_iter().map(|named| named.values).collect();
    let steps = others.iter().map(Vec::len).max().unwrap_or_default();
    let together = Named::new(format!("{} other buses", others.len()), added_up(&others, steps)).dashed();
    let mut named = largest(named);
    named.push(together);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_first_known_step_to_the_last() {
        assert_eq!(grew(&[None, Some(40.0), Some(900.0), None, Some(100.0), None]), Some(60.0));
        assert_eq!(grew(&[Some(40.0), Some(10.0)]), Some(-30.0));
        assert_eq!((grew(&[None, Some(40.0)]), grew(&[])), (None, None), "one look tells no growth");
        let bucket = Bucket::Level { samples: 4, sum: 50.0, min: 5.0, max: 40.0, last: 30.0 };
        assert_eq!((most(&bucket), growth(&bucket)), (40.0, 25.0));
    }

    #[test]
    fn a_peak_within_a_step_is_drawn_and_is_no_growth() {
        let level = |max: f64, last: f64| Some(Bucket::Level { samples: 2, sum: max + last, min: last.min(max), max, last });
        let series = |buckets: Vec<Option<Bucket>>| SeriesBuckets { labels: Labels::bus(&"prod".into()), buckets };
        // A burst in the first step that was read by its end, and a second topic that is steady.
        let lag =
            Lag::of(&[series(vec![level(900.0, 0.0), None, level(50.0, 40.0)]), series(vec![level(5.0, 5.0), None, level(5.0, 5.0)])]);
        assert_eq!(lag.highest, [Some(905.0), None, Some(55.0)]);
        assert_eq!(lag.grew(), Some(40.0), "not 850 less");
    }

    #[test]
    fn buses_that_have_no_line_of_their_own_have_one_together() {
        let bus = |(at, rate): (usize, &f64)| {
            let name = char::from(b'a' + u8::try_from(at).expect("few")).to_string();
            Named::new(name, vec![Some(*rate), (*rate > 20.0).then_some(1.0)])
        };
        let buses = |rates: &[f64]| largest_buses(rates.iter().enumerate().map(bus).collect());
        let labels = |named: &[Named]| named.iter().map(|named| named.label.clone()).collect::<Vec<_>>();
        let seven = buses(&[10.0, 70.0, 20.0, 60.0, 30.0, 50.0, 40.0]);
        assert_eq!(labels(&seven), ["b", "d", "f", "g", "3 other buses"]);
        assert_eq!(seven[4].values, [Some(60.0), Some(1.0)]);
        assert!(seven[4].dashed && !seven[3].dashed);
        assert_eq!(labels(&buses(&[1.0, 2.0, 3.0, 4.0, 5.0])), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn those_that_lead_have_something() {
        let sizes = BTreeMap::from([("a", 1.0), ("b", 0.0), ("c", 7.0), ("d", 1.0)]);
        assert_eq!(first(sizes, 2), ["c", "a"]);
    }
}
