//! What may have caused an alert: what happened on its bus just before it began, for its page and for the API.

use std::time::Duration;

use crate::model::alert::Alert;
use crate::model::happening::{Happened, HappeningKind};
use crate::model::{PageRequest, Timestamp, TopicName};
use crate::store::happenings::listed::{HappeningFilter, Listed};
use crate::store::{Store, StoreError};

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
/// its topic, where it has one. Nothing of an alert without a bus.
pub(super) async fn load(store: &Store, alert: &Alert, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
    let Some(bus) = alert.bus() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for filter in filters(alert, now) {
        found.extend(store.list_happened(&bus, &filter, &PageRequest::first(MOST_EACH)).await?.items);
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
