//! Alerts that another one explains: where a bus does not answer, nobody is told that its groups lag.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rule::needs_source;
use crate::model::BusId;
use crate::model::alert::{Alert, AlertState, Cause};
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;

/// Alerts of buses that do not answer, by bus. One that is pending explains already: else what it explains would be told first.
///
/// Whoever would be told of an alert must be told of the one that explains it: a cause of which they never hear explains nothing to them.
#[derive(Debug, Clone, Default)]
pub struct Explanations {
    by_bus: BTreeMap<BusId, Vec<(i64, BTreeSet<ReceiverId>)>>,
    receivers: BTreeSet<ReceiverId>,
}

impl Explanations {
    /// Those among these alerts. `buses`: the one bus that an alert is about, by fingerprint, where its labels do not say so; `receivers`:
    /// those that there are.
    #[must_use]
    pub fn new(alerts: &[Alert], buses: &HashMap<String, BusId>, receivers: &BTreeSet<ReceiverId>) -> Self {
        let mut by_bus: BTreeMap<BusId, Vec<(i64, BTreeSet<ReceiverId>)>> = BTreeMap::new();
        for alert in alerts {
            let is_one = explains(alert.details.figure)
                && matches!(alert.standing.state, AlertState::Pending | AlertState::Firing | AlertState::Recovering);
            if is_one && let Some(bus) = bus_of(alert, buses) {
                let told = alert.details.receivers.iter().copied().collect();
                by_bus.entry(bus).or_default().push((alert.number, told));
            }
        }
        Self { by_bus, receivers: receivers.clone() }
    }

    /// The alert that explains another.
    #[must_use]
    pub fn of(&self, alert: &Alert, buses: &HashMap<String, BusId>) -> Option<i64> {
        let figure = alert.details.figure;
        let is_silence = alert.standing.cause == Some(Cause::NoData) && needs_source(figure);
        if !is_explained(figure) && !is_silence {
            return None;
        }
        let told = alert.details.receivers.iter().filter(|id| self.receivers.contains(*id));
        let causes = self.by_bus.get(&bus_of(alert, buses)?)?;
        causes.iter().find(|(_, hear)| told.clone().all(|id| hear.contains(id))).map(|(number, _)| *number)
    }
}

fn bus_of(alert: &Alert, buses: &HashMap<String, BusId>) -> Option<BusId> {
    alert.bus().or_else(|| buses.get(&alert.fingerprint).cloned())
}

/// Whether alerts of a figure can explain others.
#[must_use]
pub const fn explains(figure: Figure) -> bool {
    matches!(figure, Figure::BusReachable)
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

    /// Nobody is there to be told.
    const NOBODY: BTreeSet<ReceiverId> = BTreeSet::new();

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
            assert_eq!(Explanations::new(&[down(state)], &HashMap::new(), &NOBODY).of(&lag, &HashMap::new()), explained, "{state}");
        }
        let none = HashMap::new();
        let explanations = Explanations::new(&[down(AlertState::Firing)], &none, &NOBODY);
        assert_eq!(explanations.of(&alert(3, Figure::ConsumerGroupLagMessages, &[("bus", "test")]), &none), None);
        assert_eq!(explanations.of(&alert(4, Figure::ConsumerGroupLagMessages, &[]), &none), None);
        assert_eq!(explanations.of(&alert(5, Figure::DeadLettersPerMinute, &[("bus", "prod")]), &none), None);
        let mut silent = alert(6, Figure::DeadLettersPerMinute, &[("bus", "prod")]);
        silent.standing.cause = Some(Cause::NoData);
        assert_eq!(explanations.of(&silent, &none), Some(1), "it says no more than that the bus is silent");
        assert_eq!(explanations.of(&down(AlertState::Firing), &none), None, "nothing explains itself");
    }

    #[test]
    fn neither_needs_to_name_the_bus_that_it_is_about() {
        let mut down = alert(1, Figure::BusReachable, &[]);
        down.standing.state = AlertState::Firing;
        let lag = alert(2, Figure::ConsumerGroupLagSeconds, &[("consumer_group", "billing")]);
        let about = |down_on: &str, lag_on: &str| {
            let buses = [(&down, down_on), (&lag, lag_on)];
            buses.map(|(alert, bus)| (alert.fingerprint.clone(), BusId::from(bus))).into_iter().collect::<HashMap<_, _>>()
        };
        assert_ne!(down.fingerprint, lag.fingerprint);
        for (buses, explained) in [(about("prod", "prod"), Some(1)), (about("prod", "test"), None), (HashMap::new(), None)] {
            assert_eq!(Explanations::new(std::slice::from_ref(&down), &buses, &NOBODY).of(&lag, &buses), explained);
        }
    }

    #[test]
    fn a_cause_of_which_somebody_never_hears_explains_nothing_to_them() {
        let down = |number, to: &[i64]| {
            let mut down = alert(number, Figure::BusReachable, &[("bus", "prod")]);
            down.details.receivers = to.iter().map(|id| ReceiverId(*id)).collect();
            down
        };
        let explained = |downs: &[Alert], to: &[i64]| {
            let mut lag = alert(9, Figure::ConsumerGroupLagMessages, &[("bus", "prod")]);
            lag.details.receivers = to.iter().map(|id| ReceiverId(*id)).collect();
            let (none, known) = (HashMap::new(), BTreeSet::from([ReceiverId(1), ReceiverId(2)]));
            Explanations::new(downs, &none, &known).of(&lag, &none)
        };
        assert_eq!(explained(&[down(1, &[])], &[1]), None, "nobody hears that the bus is down");
        assert_eq!(explained(&[down(1, &[3])], &[1]), None, "the receiver was deleted");
        assert_eq!(explained(&[down(1, &[2])], &[1]), None, "others hear of it");
        assert_eq!(explained(&[down(1, &[2])], &[1, 2]), None, "one of them does not hear of it");
        assert_eq!(explained(&[down(1, &[1, 2])], &[1]), Some(1));
        assert_eq!(explained(&[down(1, &[1])], &[1, 3]), Some(1), "of the two one was deleted");
        assert_eq!(explained(&[down(1, &[]), down(2, &[1])], &[1]), Some(2), "the one that is told");
        assert_eq!(explained(&[down(1, &[])], &[]), Some(1), "nobody is told of either");
    }
}
