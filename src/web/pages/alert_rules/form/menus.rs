//! What the form of a rule offers to choose from, and what it says beside its fields.

use super::Fields;
use crate::alerts::evaluation::is_sampled;
use crate::alerts::rule::{is_windowed, labels_of, parts_of};
use crate::model::alert::{Comparison, GroupBy, Label, NoData, Severity};
use crate::model::figure::{Figure, FigureKind};
use crate::model::receiver::{Receiver, ReceiverId};
use crate::web::view::alert as words;

/// A choice of a menu: word, label, whether it is chosen.
pub(in crate::web::pages) type Choice = (&'static str, &'static str, bool);

/// Figures in the order of the menu, by what they are about.
const FIGURES: &[(&str, &[Figure])] = &[
    (
        "Dead letters",
        &[
            Figure::DeadLettersPerMinute,
            Figure::DeadLettersOpen,
            Figure::DeadLettersOldestOpenSeconds,
            Figure::FailureGroupsNew,
            Figure::FailureGroupsReturned,
            Figure::DeadLettersResolveSeconds,
        ],
    ),
    ("Replays", &[Figure::ReplayFailedAgainRatio, Figure::ReplayOutcomes, Figure::ReplayFailures]),
    (
        "Consumer groups",
        &[
            Figure::ConsumerGroupLagMessages,
            Figure::ConsumerGroupLagSeconds,
            Figure::ConsumerGroupStatusSeconds,
            Figure::ConsumerGroupMessagesPerSecond,
            Figure::RecordsLost,
        ],
    ),
    ("Topics and buses", &[Figure::TopicMessagesPerSecond, Figure::BusMessagesPerSecond, Figure::BusReachable]),
    (
        "Traces",
        &[
            Figure::SpansErrorRatio,
            Figure::EndToEndDurationSeconds,
            Figure::ProcessingDurationSeconds,
            Figure::BrokerDurationSeconds,
            Figure::PublishDurationSeconds,
            Figure::SpansPerSecond,
            Figure::SpanErrorsPerSecond,
        ],
    ),
    ("Redrive itself", &[Figure::IngestDelaySeconds, Figure::SampleAgeSeconds, Figure::StoreUsedRatio, Figure::DeliveriesFailing]),
];

impl Fields {
    /// Figures by what they are about.
    pub(in crate::web::pages) fn figures(&self) -> Vec<(&'static str, Vec<Choice>)> {
        let choice = |figure: &Figure| (figure.as_str(), words::figure(*figure), *figure == self.chosen_figure());
        FIGURES.iter().map(|(about, figures)| (*about, figures.iter().map(choice).collect())).collect()
    }

    /// Fields of the filter: name, label, value.
    pub(in crate::web::pages) fn filters(&self) -> Vec<(String, &'static str, &str)> {
        let field = |label: &Label| (format!("filter_{label}"), words::label(*label), self.filter(*label));
        labels_of(self.chosen_figure()).iter().map(field).collect()
    }

    /// Labels that may have an alert each.
    pub(in crate::web::pages) fn bys(&self) -> Vec<Choice> {
        let chosen = |label: &Label| self.by.iter().any(|by| by == label.as_str());
        labels_of(self.chosen_figure()).iter().map(|label| (label.as_str(), words::label(*label), chosen(label))).collect()
    }

    pub(in crate::web::pages) fn comparisons(&self) -> Vec<Choice> {
        Comparison::ALL.iter().map(|one| (one.as_str(), words::comparison(*one), self.comparison == one.as_str())).collect()
    }

    pub(in crate::web::pages) fn severities(&self) -> Vec<Choice> {
        Severity::ALL.iter().map(|one| (one.as_str(), words::severity(*one, true).word, self.severity == one.as_str())).collect()
    }

    pub(in crate::web::pages) fn silences(&self) -> Vec<Choice> {
        let label = |one: NoData| match one {
            NoData::Keep => "Keep the last state",
            NoData::Alert => "Fire",
            NoData::Ok => "Count as well",
        };
        NoData::ALL.iter().map(|one| (one.as_str(), label(*one), self.no_data == one.as_str())).collect()
    }

    pub(in crate::web::pages) fn groupings(&self) -> Vec<Choice> {
        let label = |one: GroupBy| match one {
            GroupBy::Rule => "Rule",
            GroupBy::Bus => "Bus",
            GroupBy::Topic => "Topic",
            GroupBy::ConsumerGroup => "Consumer group",
        };
        GroupBy::ALL.iter().map(|one| (one.as_str(), label(*one), self.group_by.iter().any(|by| by == one.as_str()))).collect()
    }

    /// Whether a receiver is ticked.
    pub(in crate::web::pages) fn tells(&self, receiver: &Receiver) -> bool {
        self.receivers.iter().any(|id| id.parse() == Ok::<ReceiverId, _>(receiver.id))
    }

    /// Whether the figure is taken over a window.
    pub(in crate::web::pages) fn has_window(&self) -> bool {
        is_windowed(self.chosen_figure())
    }

    /// Whether long windows are not read with every look, so that the rule may be late.
    pub(in crate::web::pages) fn may_be_late(&self) -> bool {
        self.has_window() && is_sampled(self.chosen_figure())
    }

    pub(in crate::web::pages) fn has_quantile(&self) -> bool {
        self.chosen_figure().kind() == FigureKind::Durations
    }

    /// Whether there can be an error budget.
    pub(in crate::web::pages) fn has_budget(&self) -> bool {
        parts_of(self.chosen_figure()).is_some()
    }

    /// The unit behind thresholds.
    pub(in crate::web::pages) fn unit(&self) -> &'static str {
        match self.chosen_figure().unit() {
            _ if self.burn => "times too fast",
            "ratio" => "%",
            // It stands in the number, such as 5m.
            "seconds" => "",
            "boolean" => "1 answers, 0 does not",
            "dead letters/min" => "per minute",
            "messages/s" | "spans/s" => "per second",
            other => other,
        }
    }

    /// Placeholders that stand for something in the text.
    pub(in crate::web::pages) fn placeholders(&self) -> String {
        let own = labels_of(self.chosen_figure()).iter().map(|label| label.as_str());
        own.chain(["value", "threshold", "rule", "for"]).map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_offered_once() {
        let offered: Vec<Figure> = FIGURES.iter().flat_map(|(_, figures)| figures.iter().copied()).collect();
        for figure in Figure::ALL {
            assert_eq!(offered.iter().filter(|one| *one == figure).count(), 1, "{figure}");
        }
    }
}
