//! Samples one by one: what a rule on a level sees. Between two samples the newest counts, for as long as it is fresh.

use std::collections::{BTreeMap, HashMap};

use super::looks::MINUTE_MS;
use crate::metrics::bucket::{Bucket, Point};
use crate::model::figure::{Figure, Labels};
use crate::store::figures::read::{SeriesBuckets, SeriesQuery};
use crate::store::{Store, StoreError};

/// A source that has not looked for so long is silent.
const FRESH_MS: i64 = 60_000;
/// Steps that are read at once: looks of all series lie in one frame, and are read with those that are wanted.
const AT_ONCE: usize = 120;

/// For so many steps after its own a sample counts where its source has not looked again.
pub(super) fn carried(step_ms: i64) -> usize {
    usize::try_from(FRESH_MS / step_ms.max(1) - 1).unwrap_or(0)
}

/// Reads series that are wanted; those by the sample in parts.
pub(super) async fn read(
    store: &Store,
    query: &SeriesQuery,
    wanted: &(impl Fn(&Labels) -> bool + Send + Sync),
) -> Result<Vec<SeriesBuckets>, StoreError> {
    if query.step_ms >= MINUTE_MS {
        return store.read_series_where(query, wanted).await;
    }
    let total = query.steps();
    let mut all: BTreeMap<Labels, Vec<Option<Bucket>>> = BTreeMap::new();
    for first in (0..total).step_by(AT_ONCE) {
        let part = SeriesQuery { from: query.time_of(first), to: query.time_of((first + AT_ONCE).min(total)), ..query.clone() };
        for one in store.read_series_where(&part, wanted).await? {
            let steps = all.entry(one.labels).or_insert_with(|| vec![None; total]);
            for (step, bucket) in steps.iter_mut().skip(first).zip(one.buckets) {
                *step = bucket;
            }
        }
    }
    Ok(all.into_iter().map(|(labels, buckets)| SeriesBuckets { labels, buckets }).collect())
}

/// Lets samples count until their source looks again, for so many steps at most.
pub(super) async fn carry(store: &Store, query: &SeriesQuery, series: &mut [SeriesBuckets], most: usize) -> Result<(), StoreError> {
    let mut looked: HashMap<String, Vec<bool>> = HashMap::new();
    for (source, at) in store.list_frame_times(query.from, query.to).await? {
        let step = (at.as_millis() - query.from.as_millis()) / query.step_ms.max(1);
        let steps = looked.entry(source).or_insert_with(|| vec![false; query.steps()]);
        if let Some(step) = usize::try_from(step).ok().and_then(|step| steps.get_mut(step)) {
            *step = true;
        }
    }
    for one in series {
        let source = source_of(query.figure, &one.labels);
        fill(&mut one.buckets, looked.get(&source).map_or(&[], Vec::as_slice), most);
    }
    Ok(())
}

/// Whose looks tell a level.
fn source_of(figure: Figure, labels: &Labels) -> String {
    match (figure, &labels.bus) {
        (
            Figure::SampleAgeSeconds
            | Figure::IngestDelaySeconds
            | Figure::StoreUsedRatio
            | Figure::DeadLettersOpen
            | Figure::DeadLettersOldestOpenSeconds,
            _,
        )
        | (_, None) => "letters".to_owned(),
        (_, Some(bus)) => format!("bus:{bus}"),
    }
}

fn fill(steps: &mut [Option<Bucket>], looked: &[bool], most: usize) {
    let mut newest: Option<(usize, f64)> = None;
    for (at, step) in steps.iter_mut().enumerate() {
        match (step.as_ref(), newest) {
            (Some(Bucket::Level { last, .. }), _) => newest = Some((at, *last)),
            // Its source has looked, and it was not there any more.
            (None, _) if looked.get(at).copied().unwrap_or(false) => newest = None,
            (None, Some((since, last))) if at - since <= most => *step = Some(Bucket::of(Point::Level(last), 0)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_until_its_source_looks_again_or_is_silent() {
        let level = |value: f64| Some(Bucket::of(Point::Level(value), 0));
        let filled = |steps: &[Option<f64>], looked: &[usize]| {
            let mut buckets: Vec<Option<Bucket>> = steps.iter().map(|value| value.and_then(level)).collect();
            let looked: Vec<bool> = (0..steps.len()).map(|at| looked.contains(&at)).collect();
            fill(&mut buckets, &looked, carried(15_000));
            buckets.iter().map(|bucket| bucket.as_ref().and_then(|bucket| bucket.value(0.5))).collect::<Vec<_>>()
        };
        let seven = Some(7.0);
        assert_eq!(filled(&[None, seven, None, None, None, None], &[1]), [None, seven, seven, seven, seven, None], "for a minute in all");
        assert_eq!(filled(&[seven, None, None], &[0, 2]), [seven, seven, None], "gone");
        assert_eq!((carried(15_000), carried(60_000), carried(3_600_000)), (3, 0, 0));
    }
}
