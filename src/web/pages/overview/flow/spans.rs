//! Failed spans of topics and consumer groups: candidates from sums in memory, exact counts of the few that are shown.

use std::collections::{BTreeMap, BTreeSet};

use super::series::first;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, GroupName, TopicName};
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::SeriesBuckets;
use crate::store::{Store, StoreError};
use crate::web::pages::consumer_group::history::query;

/// Names with the most failed spans that are counted exactly.
const CANDIDATES: usize = 12;
/// A share of fewer spans says little: one of one is no outage.
const ENOUGH: f64 = 20.0;

/// How many of how many spans failed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::web) struct Share {
    pub(in crate::web) failed: f64,
    pub(in crate::web) spans: f64,
}

impl Share {
    /// From 0 to 1; `None` where there was no span.
    pub(in crate::web) fn ratio(self) -> Option<f64> {
        (self.spans > 0.0).then(|| self.failed / self.spans)
    }

    /// What it is ranked by.
    pub(super) fn rank(self) -> f64 {
        if self.spans < ENOUGH { 0.0 } else { self.ratio().unwrap_or_default() }
    }
}

/// Topics and consumer groups of a bus by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) topics: BTreeSet<TopicName>,
    pub(super) groups: BTreeSet<GroupName>,
}

/// Exact counts by name.
#[derive(Debug, Default)]
pub(super) struct Shares {
    pub(super) topics: BTreeMap<TopicName, Share>,
    pub(super) groups: BTreeMap<GroupName, Share>,
}

/// Those with the most failed spans.
pub(super) async fn failing(store: &Store, bus: &BusId, buckets: Buckets) -> Result<Names, StoreError> {
    let key = |labels: &Labels| Some((labels.topic.clone(), labels.consumer_group.clone()));
    let totals = store.read_totals(Figure::SpanErrorsPerSecond, bus, buckets.from, key).await?;
    let (mut topics, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for ((topic, group), failed) in totals {
        if let Some(topic) = topic {
            *topics.entry(topic).or_default() += failed.count();
        }
        if let Some(group) = group {
            *groups.entry(group).or_default() += failed.count();
        }
    }
    Ok(Names { topics: first(topics, CANDIDATES).into_iter().collect(), groups: first(groups, CANDIDATES).into_iter().collect() })
}

/// Spans of these in the range.
pub(super) async fn count(store: &Store, bus: &BusId, buckets: Buckets, names: &Names) -> Result<Shares, StoreError> {
    let mut shares = Shares::default();
    for figure in [Figure::SpansPerSecond, Figure::SpanErrorsPerSecond] {
        let wanted = |labels: &Labels| {
            labels.topic.as_ref().is_some_and(|topic| names.topics.contains(topic))
                || labels.consumer_group.as_ref().is_some_and(|group| names.groups.contains(group))
        };
        for series in store.read_series_where(&query(figure, Labels::bus(bus), buckets), wanted).await? {
            shares.add(figure, &series, names);
        }
    }
    Ok(shares)
}

impl Shares {
    fn add(&mut self, figure: Figure, series: &SeriesBuckets, names: &Names) {
        let count: f64 = series.buckets.iter().flatten().map(crate::metrics::bucket::Bucket::count).sum();
        let add = |share: &mut Share| {
            *(if figure == Figure::SpansPerSecond { &mut share.spans } else { &mut share.failed }) += count;
        };
        if let Some(topic) = series.labels.topic.as_ref().filter(|topic| names.topics.contains(topic)) {
            add(self.topics.entry(topic.clone()).or_default());
        }
        if let Some(group) = series.labels.consumer_group.as_ref().filter(|group| names.groups.contains(group)) {
            add(self.groups.entry(group.clone()).or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_very_few_spans_ranks_nothing_and_one_of_none_is_none() {
        let share = |failed, spans| Share { failed, spans };
        assert_eq!((share(1.0, 1.0).rank(), share(1.0, 1.0).ratio()), (0.0, Some(1.0)));
        assert_eq!((share(5.0, 50.0).rank(), share(0.0, 0.0).ratio()), (0.1, None));
    }
}
