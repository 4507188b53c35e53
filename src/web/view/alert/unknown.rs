//! Why nothing is known of an alert's figure at this moment, and what its rule makes of that.

use crate::alerts::rule::{Patterns, labels_of, needs_source};
use crate::model::alert::{Alert, AlertRule, AlertState, Filter, Label, NoData};
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, BusState, Timestamp};
use crate::store::{Store, StoreError};
use crate::web::view::text::short;
use crate::web::view::{alert as words, time};

/// Nothing is known of a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Since when.
    pub since: Timestamp,
    /// Why, in a sentence without its end.
    pub why: String,
    /// What the rule makes of it.
    pub then: String,
}

/// What tells why nothing is known of a figure.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Buses that are configured.
    pub buses: Vec<BusState>,
    /// Figures that cannot be read from the store.
    pub unread: Vec<Figure>,
}

impl Known {
    /// Reads it.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { buses: store.list_buses().await?, unread: store.alert_watching().await?.unread })
    }
}

impl Unknown {
    /// `None` where the figure is known, or the alert is over.
    #[must_use]
    pub fn new(alert: &Alert, rule: Option<&AlertRule>, known: &Known, now: Timestamp) -> Option<Self> {
        let since = alert.standing.missing_since.filter(|_| alert.standing.state != AlertState::Resolved)?;
        let meant: Vec<&BusState> = known.buses.iter().filter(|bus| is_about(alert, rule, &bus.id)).collect();
        let figure = alert.details.figure;
        let why = if known.unread.contains(&figure) {
            "the store does not tell it".to_owned()
        } else {
            why(figure, alert.bus().as_ref(), &meant, now)
        };
        Some(Self { since, why, then: then(rule) })
    }

    /// Since when and why, in a sentence.
    #[must_use]
    pub fn reason(&self, now: Timestamp) -> String {
        format!("No data since {}: {}.", time::clock(self.since, now), self.why)
    }
}

/// Whether an alert's series may come from a bus: the one of its label; without one, of those that its rule's filter names.
pub(in crate::web) fn is_about(alert: &Alert, rule: Option<&AlertRule>, bus: &BusId) -> bool {
    if let Some(named) = alert.bus() {
        return named == *bus;
    }
    let pattern = rule.and_then(|rule| rule.terms.filter.get_key_value(&Label::Bus));
    let of_bus = pattern.map(|(label, pattern)| Filter::from([(*label, pattern.clone())]));
    of_bus.is_none_or(|filter| Patterns::new(&filter).is_some_and(|patterns| patterns.fit(&Labels::bus(bus))))
}

/// `meant` are the buses that it may come from; one of several is not to blame for what none of them has sampled.
fn why(figure: Figure, bus: Option<&BusId>, meant: &[&BusState], now: Timestamp) -> String {
    let of_bus = labels_of(figure).contains(&Label::Bus);
    match (bus, meant) {
        _ if figure.is_of_spans() => "no spans arrive of it".to_owned(),
        (_, [state]) if of_bus && state.failing_since.is_some() => failing(figure, state, now),
        (Some(bus), []) if of_bus => format!("{} is configured no more", short(bus.as_str(), 80)),
        _ => "nobody has sampled it".to_owned(),
    }
}

fn failing(figure: Figure, state: &BusState, now: Timestamp) -> String {
    let error = state.error.as_deref().map_or_else(String::new, |error| format!(" ({})", short(error, 200)));
    let since = state.failing_since.map_or_else(String::new, |since| format!(" since {}", time::clock(since, now)));
    let letters = needs_source(figure) && figure != Figure::ConsumerGroupStatusSeconds;
    let unseen = if letters { ", so that nobody knows what happens there" } else { "" };
    format!("{} has not answered{since}{error}{unseen}", short(state.id.as_str(), 80))
}

fn then(rule: Option<&AlertRule>) -> String {
    let Some(terms) = rule.map(|rule| &rule.terms) else { return String::new() };
    let after = words::millis(terms.no_data_after_ms);
    match terms.no_data {
        NoData::Keep => "The alert stays as it is until somebody knows better, as its rule wants it.".to_owned(),
        NoData::Alert => format!("Its rule alerts of that, too, after {after}."),
        NoData::Ok => format!("After {after} its rule takes that for good."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::tests::alert;
    use crate::model::{BusKind, Capabilities};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn bus(id: &str, failing: bool) -> BusState {
        BusState {
            id: id.into(),
            kind: BusKind::Kafka,
            cluster_id: None,
            sampled_at: Some(NOW),
            error: failing.then(|| "no broker answers".to_owned()),
            failing_since: failing.then_some(NOW),
            brokers: 3,
            capabilities: Capabilities::default(),
            addresses: Vec::new(),
            untracked_groups: 0,
        }
    }

    fn known(buses: &[BusState]) -> Known {
        Known { buses: buses.to_vec(), unread: Vec::new() }
    }

    #[test]
    fn silence_has_a_reason_and_the_rule_says_what_it_makes_of_it() {
        let said = |figure, labels: &[(&str, &str)], buses: &[BusState]| {
            let mut alert = alert(1, figure, labels);
            alert.standing.missing_since = Some(NOW);
            let unknown = Unknown::new(&alert, None, &known(buses), NOW)?;
            Some(unknown.reason(NOW).split_once(": ").expect("a reason").1.to_owned())
        };
        let (down, up) = (bus("prod", true), bus("test", false));
        let both = [down, up];
        let of = |bus| [("bus", bus), ("topic", "orders.DLT")];
        assert_eq!(
            said(Figure::DeadLettersPerMinute, &of("prod"), &both).as_deref().map(|text| text.replace("00:00:00", "T")),
            Some("prod has not answered since T (no broker answers), so that nobody knows what happens there.".to_owned())
        );
        assert_eq!(said(Figure::ConsumerGroupLagMessages, &of("test"), &both).as_deref(), Some("nobody has sampled it."));
        assert_eq!(said(Figure::ConsumerGroupLagMessages, &of("gone"), &both).as_deref(), Some("gone is configured no more."));
        assert_eq!(said(Figure::SpansErrorRatio, &of("prod"), &both).as_deref(), Some("no spans arrive of it."));
        assert_eq!(said(Figure::StoreUsedRatio, &[], &both).as_deref(), Some("nobody has sampled it."));
        let mut over = alert(1, Figure::DeadLettersPerMinute, &of("prod"));
        let unread = Known { unread: vec![Figure::RecordsLost], ..known(&both) };
        over.standing.missing_since = Some(NOW);
        assert_eq!(
            Unknown::new(&over, None, &unread, NOW).map(|unknown| unknown.why),
            Unknown::new(&over, None, &known(&both), NOW).map(|unknown| unknown.why)
        );
        over.details.figure = Figure::RecordsLost;
        assert_eq!(Unknown::new(&over, None, &unread, NOW).expect("nothing is known").why, "the store does not tell it");
        over.standing.missing_since = None;
        assert_eq!(Unknown::new(&over, None, &known(&both), NOW), None, "all is known");
        (over.standing.missing_since, over.standing.state) = (Some(NOW), AlertState::Resolved);
        assert_eq!(Unknown::new(&over, None, &known(&both), NOW), None);
    }

    #[test]
    fn no_bus_is_blamed_for_what_another_may_have_left_unsaid() {
        let (down, up) = (bus("prod", true), bus("test", false));
        let mut alert = alert(1, Figure::ConsumerGroupLagMessages, &[("consumer_group", "billing")]);
        alert.standing.missing_since = Some(NOW);
        let said = |filter: Option<&str>, buses: &[BusState]| {
            let filter = filter.map(|pattern| (Label::Bus, pattern.to_owned())).into_iter().collect();
            let rule = AlertRule {
                number: 1,
                name: "Lag".to_owned(),
                enabled: true,
                terms: crate::model::alert::Terms {
                    filter,
                    ..crate::alerts::defaults::usual(Figure::ConsumerGroupLagMessages, crate::model::alert::Comparison::Above, 1_000.0)
                },
                created_by: "user:mara".to_owned(),
                created_at: NOW,
                changed_at: NOW,
            };
            Unknown::new(&alert, Some(&rule), &known(buses), NOW).expect("nothing is known").reason(NOW)
        };
        let both = [down.clone(), up];
        assert!(said(None, &both).ends_with(": nobody has sampled it."), "it may be on the other bus: {}", said(None, &both));
        assert!(said(Some("te*"), &both).ends_with(": nobody has sampled it."), "the filter names the one that answers");
        assert!(said(Some("prod"), &both).contains(": prod has not answered since"), "the filter names it: {}", said(Some("prod"), &both));
        assert!(said(Some("pr*"), &both).contains(": prod has not answered since"), "a pattern names it");
        assert!(said(Some("*"), &both).ends_with(": nobody has sampled it."), "a pattern that names both");
        assert!(said(None, std::slice::from_ref(&down)).contains(": prod has not answered since"), "there is no other");
    }
}
