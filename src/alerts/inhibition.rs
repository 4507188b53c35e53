//! Alerts that another one explains: where a bus does not answer, nobody is told that its groups lag.

use std::collections::BTreeMap;

use crate::model::BusId;
use crate::model::alert::{Alert, AlertState};
use crate::model::figure::Figure;

/// Alerts of buses that do not answer, by bus. One that is pending explains already: else what it explains would be told first.
#[derive(Debug, Clone, Default)]
pub struct Explanations(BTreeMap<BusId, i64>);

impl Explanations {
    /// Those among these alerts.
    pub fn new<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Self {
        let mut explanations = BTreeMap::new();
        for alert in alerts {
            let is_one = alert.details.figure == Figure::BusReachable
                && matches!(alert.standing.state, AlertState::Pending | AlertState::Firing | AlertState::Recovering);
            if is_one && let Some(bus) = alert.bus() {
                explanations.entry(bus).or_insert(alert.number);
            }
        }
        Self(explanations)
    }

    /// The alert that explains another.
    #[must_use]
    pub fn of(&self, alert: &Alert) -> Option<i64> {
        if !is_explained(alert.details.figure) {
            return None;
        }
        self.0.get(&alert.bus()?).copied()
    }
}

/// Figures that mean little while the bus does not answer.
const fn is_explained(figure: Figure) -> bool {
    matches!(
        figure,
        Figure::ConsumerGroupLagMessages
            | Figure::ConsumerGroupLagSeconds
            | Figure::ConsumerGroupMessagesPerSecond
            | Figure::ConsumerGroupStatusSeconds
            | Figure::TopicMessagesPerSecond
            | Figure::BusMessagesPerSecond
            | Figure::SampleAgeSeconds
            | Figure::IngestDelaySeconds
            | Figure::RecordsLost
    )
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::alert;
    use super::*;

    #[test]
    fn a_bus_that_does_not_answer_explains_its_lag_and_nothing_else() {
        let down = |state| {
            let mut down = alert(1, Figure::BusReachable, &[("bus", "prod")]);
            down.standing.state = state;
            down
        };
        let lag = alert(2, Figure::ConsumerGroupLagMessages, &[("bus", "prod"), ("consumer_group", "billing")]);
        for (state, explained) in [
            (AlertState::Inactive, None),
            (AlertState::Pending, Some(1)),
            (AlertState::Firing, Some(1)),
            (AlertState::Recovering, Some(1)),
            (AlertState::Resolved, None),
        ] {
            assert_eq!(Explanations::new(&[down(state)]).of(&lag), explained, "{state}");
        }
        let explanations = Explanations::new(&[down(AlertState::Firing)]);
        assert_eq!(explanations.of(&alert(3, Figure::ConsumerGroupLagMessages, &[("bus", "test")])), None);
        assert_eq!(explanations.of(&alert(4, Figure::ConsumerGroupLagMessages, &[])), None);
        assert_eq!(explanations.of(&alert(5, Figure::DeadLettersPerMinute, &[("bus", "prod")])), None);
        assert_eq!(explanations.of(&down(AlertState::Firing)), None, "nothing explains itself");
    }
}
