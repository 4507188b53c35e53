//! What may have caused an alert: what happened on its bus just before it began, for its page and for the API.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::alerts::rule::{Patterns, labels_of, only_bus, parts_of};
use crate::model::alert::{Alert, AlertRule, Label};
use crate::model::figure::Labels;
use crate::model::happening::{Happened, HappeningKind};
use crate::model::{BusId, PageRequest, Timestamp, TopicName};
use crate::store::happenings::listed::{HappeningFilter, Listed};
use crate::store::{Store, StoreError};
use crate::web::view::alert::unknown::is_about;

/// The buses that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// One, by its labels, by its rule's filter, or because there is no other that it could be about.
    One(BusId),
    /// Several at once, or none that is configured.
    Several(Vec<BusId>),
    /// Its figure is about no bus.
    None,
}

impl Scope {
    /// Where that is one.
    pub(super) const fn one(&self) -> Option<&BusId> {
        if let Self::One(bus) = self { Some(bus) } else { None }
    }

    /// An alert's labels need not name its bus: its rule may make one alert for all buses, or be for a single one.
    pub(super) async fn of(store: &Store, alert: &Alert, rule: Option<&AlertRule>) -> Result<Self, StoreError> {
        let figure = alert.details.figure;
        if let Some(bus) = alert.bus() {
            return Ok(Self::One(bus));
        }
        if !labels_of(figure).contains(&Label::Bus) {
            return Ok(Self::None);
        }
        let rule = watching_the_same(alert, rule);
        if let Some(bus) = rule.and_then(|rule| only_bus(&rule.terms.filter)) {
            return Ok(Self::One(bus));
        }
        let mut buses: Vec<BusId> = store.list_buses().await?.into_iter().map(|bus| bus.id).collect();
        buses.retain(|bus| is_about(alert, rule, bus));
        if buses.len() > 1 {
            let known = store.series_of(parts_of(figure).map_or(figure, |(all, _)| all)).await?;
            let seen = seen_on(alert, rule, known.iter().map(|(_, labels)| labels));
            // Some figures are no series of the store: then nothing is known of where they are.
            if buses.iter().any(|bus| seen.contains(bus)) {
                buses.retain(|bus| seen.contains(bus));
            }
        }
        Ok(if let [bus] = buses.as_slice() { Self::One(bus.clone()) } else { Self::Several(buses) })
    }
}

/// An alert's rule, as long as it has not been changed to watch something else.
pub(super) fn watching_the_same<'a>(alert: &Alert, rule: Option<&'a AlertRule>) -> Option<&'a AlertRule> {
    rule.filter(|rule| rule.terms.figure == alert.details.figure)
}

/// Buses with series that the rule's filter lets through and that the alert is about.
fn seen_on<'a>(alert: &Alert, rule: Option<&AlertRule>, series: impl Iterator<Item = &'a Labels>) -> BTreeSet<BusId> {
    let patterns = rule.and_then(|rule| Patterns::new(&rule.terms.filter));
    let is_about = |labels: &&Labels| {
        patterns.as_ref().is_none_or(|patterns| patterns.fit(labels))
            && labels.pairs().into_iter().all(|(name, value)| alert.labels.get(name).is_none_or(|own| own == value))
    };
    series.filter(is_about).filter_map(|labels| labels.bus.clone()).collect()
}

/// Causes are looked for so long before an alert began,
pub(super) const BEFORE: Duration = Duration::from_mins(30);
/// and so long after: they are often noticed later than what they cause.
pub(super) const AFTER: Duration = Duration::from_mins(2);
/// Of rebalances, of failure groups and of all else.
const MOST_EACH: u32 = 100;

/// When the alert's condition began to hold.
pub(super) fn began(alert: &Alert, now: Timestamp) -> Timestamp {
    alert.standing.pending_since.into_iter().chain(alert.standing.started_at).min().unwrap_or(now)
}

/// The newest first: everything on its bus but itself and the changes of status, which follow from something else; failure groups only of
/// its topic, where it has one.
pub(super) async fn load(store: &Store, alert: &Alert, bus: &BusId, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    for filter in filters(alert, now) {
        found.extend(store.list_happened(bus, &filter, &PageRequest::first(MOST_EACH)).await?.items);
    }
    found.retain(|listed| !is(listed, alert));
    found.sort_by_key(|listed| std::cmp::Reverse(listed.at()));
    Ok(found)
}

fn is(listed: &Listed, alert: &Alert) -> bool {
    matches!(listed, Listed::Happening(one) if matches!(one.what, Happened::AlertFired { number, .. } if number == alert.number))
}

/// Each is read by itself: a storm of one kind must not hide the others.
fn filters(alert: &Alert, now: Timestamp) -> [HappeningFilter; 3] {
    use HappeningKind::{FailureGroupNew, FailureGroupReturned, Rebalanced, StatusChanged};
    let began = began(alert, now);
    let filter =
        |kinds| HappeningFilter { kinds, from: Some(began.minus(BEFORE)), to: Some(began.plus(AFTER)), ..HappeningFilter::default() };
    let apart = [FailureGroupNew, FailureGroupReturned, Rebalanced, StatusChanged];
    let others = HappeningKind::ALL.iter().copied().filter(|kind| !apart.contains(kind)).collect();
    let topic = alert.labels.get("topic").map(|topic| TopicName::from(topic.as_str()));
    let groups = HappeningFilter { topic, ..filter(vec![FailureGroupNew, FailureGroupReturned]) };
    [filter(others), filter(vec![Rebalanced]), groups]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::tests::alert;
    use crate::model::figure::Figure;

    #[test]
    fn failure_groups_of_other_topics_are_no_cause_and_all_else_on_the_bus_may_be() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let mut alert = alert(1, Figure::DeadLettersPerMinute, &[("bus", "prod"), ("topic", "orders")]);
        (alert.standing.pending_since, alert.standing.started_at) = (Some(now.minus(Duration::from_mins(5))), Some(now));
        let [others, rebalances, groups] = filters(&alert, now);
        assert_eq!(groups.topic, Some("orders".into()));
        assert_eq!((others.topic, rebalances.topic), (None, None));
        assert!(others.kinds.contains(&HappeningKind::AlertFired) && !others.kinds.contains(&HappeningKind::StatusChanged));
        assert_eq!(others.kinds.len() + rebalances.kinds.len() + groups.kinds.len() + 1, HappeningKind::ALL.len(), "none is read twice");
        assert_eq!(groups.from, Some(now.minus(Duration::from_mins(35))), "before it was pending");
        assert_eq!(groups.to, Some(now.minus(Duration::from_mins(3))));
        alert.labels.remove("topic");
        assert_eq!(filters(&alert, now)[2].topic, None);
    }
}
