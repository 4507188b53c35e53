//! Why nothing is known of an alert's figure at this moment, and what its rule makes of that.

use crate::alerts::rule::{labels_of, needs_source};
use crate::model::alert::{Alert, AlertRule, AlertState, Label, NoData};
use crate::model::figure::Figure;
use crate::model::{BusId, BusState, Timestamp};
use crate::web::view::text::short;
use crate::web::view::{alert as words, time};

/// Nothing is known of a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown {
    /// Since when, and why.
    pub(super) reason: String,
    /// What the rule makes of it.
    pub(super) then: String,
}

impl Unknown {
    /// `None` where the figure is known, or the alert is over. `buses` are those that are configured.
    pub(super) fn new(alert: &Alert, rule: Option<&AlertRule>, buses: &[BusState], now: Timestamp) -> Option<Self> {
        let since = alert.standing.missing_since.filter(|_| alert.standing.state != AlertState::Resolved)?;
        let why = why(alert.details.figure, alert.bus().as_ref(), buses, now);
        let reason = format!("No data since {}: {why}.", time::clock(since, now));
        Some(Self { reason, then: then(rule) })
    }
}

fn why(figure: Figure, bus: Option<&BusId>, buses: &[BusState], now: Timestamp) -> String {
    let of_bus = labels_of(figure).contains(&Label::Bus) && !is_of_spans(figure);
    let meant = buses.iter().filter(|state| of_bus && bus.is_none_or(|bus| *bus == state.id));
    if let Some((state, since)) = meant.filter_map(|state| Some((state, state.failing_since?))).min_by_key(|(_, since)| *since) {
        let error = state.error.as_deref().map_or_else(String::new, |error| format!(" ({})", short(error, 200)));
        let since = time::clock(since, now);
        let letters = needs_source(figure) && figure != Figure::ConsumerGroupStatusSeconds;
        let unseen = if letters { ", so that nobody knows what happens there" } else { "" };
        return format!("{} has not answered since {since}{error}{unseen}", short(state.id.as_str(), 80));
    }
    match bus {
        _ if is_of_spans(figure) => "no spans arrive of it".to_owned(),
        Some(bus) if of_bus && !buses.iter().any(|state| state.id == *bus) => {
            format!("{} is configured no more", short(bus.as_str(), 80))
        }
        _ => "nobody has sampled it".to_owned(),
    }
}

const fn is_of_spans(figure: Figure) -> bool {
    matches!(
        figure,
        Figure::SpansPerSecond
            | Figure::SpansErrorRatio
            | Figure::SpanErrorsPerSecond
            | Figure::PublishDurationSeconds
            | Figure::BrokerDurationSeconds
            | Figure::ProcessingDurationSeconds
            | Figure::EndToEndDurationSeconds
    )
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

    #[test]
    fn silence_has_a_reason_and_the_rule_says_what_it_makes_of_it() {
        let said = |figure, labels: &[(&str, &str)], buses: &[BusState]| {
            let mut alert = alert(1, figure, labels);
            alert.standing.missing_since = Some(NOW);
            Unknown::new(&alert, None, buses, NOW).map(|unknown| unknown.reason.split_once(": ").expect("a reason").1.to_owned())
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
        assert_eq!(Unknown::new(&over, None, &both, NOW), None, "all is known");
        (over.standing.missing_since, over.standing.state) = (Some(NOW), AlertState::Resolved);
        assert_eq!(Unknown::new(&over, None, &both, NOW), None);
    }
}
