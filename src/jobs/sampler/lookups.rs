//! Look-ups for alert rules on lag in time. Samples give a bound; where a rule's threshold lies inside of it, the bus is asked where the
//! log had come to that long ago, and the bound ends at the threshold. One question per threshold, whatever the number of groups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::groups::LookedGroup;
use super::lag::Lags;
use super::{Context, Said};
use crate::alerts::rule::Patterns;
use crate::dead_letters::indexer::BusWork;
use crate::model::alert::AlertRule;
use crate::model::figure::{Figure, Labels};
use crate::model::names::TopicPartition;
use crate::model::{BusId, Timestamp};
use crate::store::StoreError;

/// Partitions asked for in one sweep, each threshold counted: brokers read an index for each, maybe from a cold disk.
const MOST: usize = 2_000;
/// A sweep waits so long for all of them.
const PATIENCE: Duration = Duration::from_secs(3);

/// What rules watch.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    version: Option<(i64, i64, i64)>,
    rules: Vec<Watched>,
    /// Where the last sweep stopped asking, when it could not ask for all.
    last: Option<Question>,
    said: Said,
}

/// Thresholds of one rule, and whom it watches.
#[derive(Debug)]
struct Watched {
    patterns: Patterns,
    thresholds: BTreeSet<Duration>,
}

/// A threshold and a partition.
type Question = (Duration, TopicPartition);

impl Lookups {
    /// Asks for what rules leave open of these groups, with ends read at `now`. A failure costs the precision of this sweep alone.
    pub(super) async fn ask(
        &mut self,
        context: &Context,
        work: &BusWork,
        lags: &mut Lags,
        groups: &[LookedGroup],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.refresh(context).await?;
        let mut questions = self.questions(work.id(), lags, groups, now);
        let wanted = questions.len();
        if wanted > MOST {
            // Those that had to wait come first.
            let waited = questions.iter().position(|question| Some(question) > self.last.as_ref()).unwrap_or(0);
            questions.rotate_left(waited);
            questions.truncate(MOST);
            self.last = questions.last().cloned();
            questions.sort_unstable();
        }
        let answered = if questions.is_empty() { 0 } else { self.put(work, lags, &questions, now).await };
        let label = [work.id().as_str()];
        context.metrics.sampler_time_lookups_total.with_label_values(&label).inc_by(answered as u64);
        context.metrics.sampler_time_lookups_skipped_total.with_label_values(&label).inc_by((wanted - answered) as u64);
        if answered < wanted && self.said.is_news("skipped") {
            tracing::warn!(bus = %work.id(), wanted, answered, "not every lag in time near a rule's threshold could be looked up");
        }
        Ok(())
    }

    async fn refresh(&mut self, context: &Context) -> Result<(), StoreError> {
        let version = context.store.alert_rules_version().await?;
        if self.version != Some(version) {
            self.rules = watched(&context.store.list_alert_rules().await?);
            self.version = Some(version);
        }
        Ok(())
    }

    /// Without repetition, in order.
    fn questions(&self, bus: &BusId, lags: &Lags, groups: &[LookedGroup], now: Timestamp) -> Vec<Question> {
        let mut questions = BTreeSet::new();
        for group in groups.iter().filter(|_| !self.rules.is_empty()) {
            for of_topic in group.committed.chunk_by(|(a, _), (b, _)| a.topic == b.topic) {
                let labels = Labels::bus(bus).topic(&of_topic[0].0.topic).consumer_group(&group.name);
                let rules = self.rules.iter().filter(|rule| rule.patterns.fit(&labels));
                let thresholds: BTreeSet<Duration> = rules.flat_map(|rule| rule.thresholds.iter().copied()).collect();
                for (threshold, (place, committed)) in thresholds.iter().flat_map(|t| of_topic.iter().map(move |place| (*t, place))) {
                    if lags.leaves_open(&group.name, (place, *committed), threshold, now) {
                        questions.insert((threshold, place.clone()));
                    }
                }
            }
        }
        questions.into_iter().collect()
    }

    /// Asks, and has the answers taken; how many there were.
    async fn put(&mut self, work: &BusWork, lags: &mut Lags, questions: &[Question], now: Timestamp) -> usize {
        let (mut answered, deadline) = (0, Instant::now() + PATIENCE);
        for same in questions.chunk_by(|(a, _), (b, _)| a == b) {
            let threshold = same[0].0;
            let places: Vec<TopicPartition> = same.iter().map(|(_, place)| place.clone()).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, work.bus.offsets_at(&places, now.minus(threshold))).await {
                Ok(Ok(found)) => {
                    answered += found.len();
                    for (place, first) in found {
                        lags.learn(&place, threshold, first);
                    }
                }
                Ok(Err(error)) => {
                    if self.said.is_news(&error.to_string()) {
                        tracing::warn!(bus = %work.id(), %error, "lag in time could not be looked up");
                    }
                }
                Err(_) => break,
            }
        }
        answered
    }
}

/// Thresholds of the rules on lag in time that are switched on, in whole milliseconds: between two of these nothing is decided otherwise.
fn watched(rules: &[AlertRule]) -> Vec<Watched> {
    let on_lag = rules.iter().filter(|rule| rule.enabled && rule.terms.figure == Figure::ConsumerGroupLagSeconds);
    let watched = on_lag.filter_map(|rule| {
        let seconds = [Some(rule.terms.threshold), rule.terms.clear_threshold];
        let thresholds: BTreeSet<Duration> = seconds.into_iter().flatten().filter_map(threshold).collect();
        Some(Watched { patterns: Patterns::new(&rule.terms.filter)?, thresholds })
    });
    watched.collect()
}

fn threshold(seconds: f64) -> Option<Duration> {
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    let whole = Duration::from_millis(u64::try_from(exact.as_millis()).ok()?);
    (!whole.is_zero()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::defaults::usual;
    use crate::model::alert::{Comparison, Label, Terms};

    #[test]
    fn only_rules_on_lag_in_time_that_are_switched_on_are_watched_with_both_thresholds() {
        let rule = |enabled, terms: Terms| AlertRule {
            number: 1,
            name: "r".to_owned(),
            enabled,
            terms,
            created_by: "user:ann".to_owned(),
            created_at: Timestamp::from_millis(0),
            changed_at: Timestamp::from_millis(0),
        };
        let lag = |threshold| usual(Figure::ConsumerGroupLagSeconds, Comparison::Above, threshold);
        let filtered = Terms { filter: [(Label::ConsumerGroup, "bill*".to_owned())].into(), clear_threshold: Some(0.5), ..lag(900.0) };
        let found = watched(&[
            rule(true, filtered),
            rule(false, lag(1.0)),
            rule(true, usual(Figure::ConsumerGroupLagMessages, Comparison::Above, 5.0)),
            rule(true, lag(0.0)),
        ]);
        let thresholds: Vec<Vec<u128>> = found.iter().map(|rule| rule.thresholds.iter().map(Duration::as_millis).collect()).collect();
        assert_eq!(thresholds, [vec![500, 900_000], vec![]]);
        let fits = |group: &str| found[0].patterns.fit(&Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&group.into()));
        assert!(fits("billing") && !fits("shipping"));
        let odd = [f64::NAN, -1.0, 1e300, 0.000_4, 0.001_9].map(|seconds| threshold(seconds).map(|found| found.as_millis()));
        assert_eq!(odd, [None, None, None, None, Some(1)]);
    }
}
