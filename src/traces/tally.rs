//! Counts and durations by labels, until the next frame takes them.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use crate::metrics::bucket::Point;
use crate::metrics::histogram::Histogram;
use crate::model::figure::{Figure, Labels, SeriesKey};
use crate::model::span::Operation;
use crate::model::{BusId, GroupName, TopicName};

/// Sets of labels between two frames; what comes beyond is added up as service `(other)` of its bus.
const MOST: usize = 2_000;
const OTHER: &str = "(other)";

/// Labels of a span, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tags<'a> {
    pub(super) bus: Option<&'a str>,
    pub(super) topic: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    pub(super) service: &'a str,
    pub(super) operation: Option<Operation>,
}

impl Tags<'_> {
    fn labels(&self) -> Labels {
        Labels {
            bus: self.bus.map(BusId::from),
            topic: self.topic.map(TopicName::from),
            consumer_group: self.group.map(GroupName::from),
            service: Some(self.service.to_owned()),
            operation: self.operation.map(|operation| operation.as_str().to_owned()),
            ..Labels::default()
        }
    }
}

/// What was counted for one set of labels.
#[derive(Debug)]
pub(super) struct Counts {
    labels: Labels,
    pub(super) spans: u64,
    pub(super) failed: u64,
    pub(super) publish: Histogram,
    pub(super) broker: Histogram,
    pub(super) processing: Histogram,
    pub(super) end_to_end: Histogram,
}

/// Counts by labels.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hasher: RandomState,
    counts: HashMap<u64, Counts, foldhash::fast::RandomState>,
    /// Spans that were added up as others.
    crowded: u64,
}

impl Tally {
    /// The counts of a set of labels.
    pub(super) fn of(&mut self, tags: Tags<'_>) -> &mut Counts {
        let tags = if self.counts.len() < MOST || self.counts.contains_key(&self.hasher.hash_one(tags)) {
            tags
        } else {
            Tags { topic: None, group: None, service: OTHER, ..tags }
        };
        self.counts.entry(self.hasher.hash_one(tags)).or_insert_with(|| Counts {
            labels: tags.labels(),
            spans: 0,
            failed: 0,
            publish: Histogram::new(),
            broker: Histogram::new(),
            processing: Histogram::new(),
            end_to_end: Histogram::new(),
        })
    }

    /// Spans since the last time that were added up as service `(other)`.
    pub(super) fn take_crowded(&mut self) -> u64 {
        std::mem::take(&mut self.crowded)
    }

    /// Everything counted since the last time, as samples.
    pub(super) fn take(&mut self) -> Vec<(SeriesKey, Point)> {
        let mut points = Vec::with_capacity(self.counts.len() * 3);
        for (_, counts) in self.counts.drain() {
            if counts.labels.service.as_deref() == Some(OTHER) {
                self.crowded += counts.spans;
            }
            let key = |figure| SeriesKey { figure, labels: counts.labels.clone() };
            if counts.spans > 0 {
                points.push((key(Figure::SpansPerSecond), count(counts.spans)));
                // A share needs its zeros too.
                points.push((key(Figure::SpanErrorsPerSecond), count(counts.failed)));
            }
            let durations = [
                (Figure::PublishDurationSeconds, counts.publish),
                (Figure::BrokerDurationSeconds, counts.broker),
                (Figure::ProcessingDurationSeconds, counts.processing),
                (Figure::EndToEndDurationSeconds, counts.end_to_end),
            ];
            for (figure, histogram) in durations {
                if histogram.count() > 0 {
                    points.push((SeriesKey { figure, labels: counts.labels.clone() }, Point::Durations(histogram)));
                }
            }
        }
        self.counts.shrink_to(256);
        points
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
const fn count(value: u64) -> Point {
    Point::Count(value as f64)
}
