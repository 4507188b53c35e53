//! The form of a rule: what a browser sends, and what it shows. [`reading`] makes a rule of it, [`menus`] are the choices it offers,
//! [`problems`] what is wrong with it, field by field.

use serde::Deserialize;

use crate::alerts::defaults::usual;
use crate::alerts::rule::{labels_of, parts_of};
use crate::model::alert::{AlertRule, BurnRate, Comparison, Label, Terms};
use crate::model::figure::Figure;
use crate::web::view::alert as words;

mod menus;
mod problems;
mod reading;

pub(in crate::web::pages) use problems::Problems;

/// Every field as its text. Boxes that are not ticked are not sent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::web::pages) struct Fields {
    /// What the button does: `save`, `try`, or `figure` where another figure was chosen.
    pub(in crate::web::pages) act: String,
    /// The time that is tried.
    pub(in crate::web::pages) range: String,
    pub(in crate::web::pages) name: String,
    pub(in crate::web::pages) figure: String,
    pub(in crate::web::pages) quantile: String,
    pub(in crate::web::pages) filter_bus: String,
    pub(in crate::web::pages) filter_topic: String,
    pub(in crate::web::pages) filter_consumer_group: String,
    pub(in crate::web::pages) filter_service: String,
    pub(in crate::web::pages) filter_operation: String,
    pub(in crate::web::pages) filter_fingerprint: String,
    pub(in crate::web::pages) filter_status: String,
    pub(in crate::web::pages) by: Vec<String>,
    pub(in crate::web::pages) window: String,
    pub(in crate::web::pages) burn: bool,
    pub(in crate::web::pages) objective: String,
    pub(in crate::web::pages) long: String,
    pub(in crate::web::pages) short: String,
    pub(in crate::web::pages) minimum_count: String,
    pub(in crate::web::pages) comparison: String,
    pub(in crate::web::pages) threshold: String,
    pub(in crate::web::pages) clear_threshold: String,
    #[serde(rename = "for")]
    pub(in crate::web::pages) wait: String,
    pub(in crate::web::pages) keep_firing_for: String,
    pub(in crate::web::pages) no_data: String,
    pub(in crate::web::pages) no_data_after: String,
    pub(in crate::web::pages) severity: String,
    pub(in crate::web::pages) labels: String,
    pub(in crate::web::pages) summary: String,
    pub(in crate::web::pages) runbook_url: String,
    pub(in crate::web::pages) owner: String,
    pub(in crate::web::pages) receivers: Vec<String>,
    pub(in crate::web::pages) group_by: Vec<String>,
    pub(in crate::web::pages) group_wait: String,
    pub(in crate::web::pages) group_interval: String,
    pub(in crate::web::pages) repeat_interval: String,
    pub(in crate::web::pages) enabled: bool,
}

impl Fields {
    /// What is proposed for a new rule about a figure.
    pub(in crate::web::pages) fn proposed(figure: Figure) -> Self {
        let by = labels_of(figure).iter().copied().filter(|label| matches!(label, Label::Bus | Label::Topic | Label::ConsumerGroup));
        let (comparison, threshold) = match figure {
            Figure::BusReachable => (Comparison::Below, 1.0),
            Figure::FailureGroupsNew | Figure::FailureGroupsReturned | Figure::RecordsLost | Figure::DeliveriesFailing => {
                (Comparison::Above, 0.0)
            }
            _ => match figure.unit() {
                "ratio" => (Comparison::Above, 0.05),
                "seconds" => (Comparison::Above, 300.0),
                "messages" => (Comparison::Above, 1_000.0),
                _ => (Comparison::Above, 10.0),
            },
        };
        let terms = Terms { by: by.collect(), ..usual(figure, comparison, threshold) };
        Self::of("", true, &terms)
    }

    /// A rule as the form shows it.
    pub(in crate::web::pages) fn of_rule(rule: &AlertRule) -> Self {
        Self::of(&rule.name, rule.enabled, &rule.terms)
    }

    fn of(name: &str, enabled: bool, terms: &Terms) -> Self {
        let filter = |label| terms.filter.get(&label).cloned().unwrap_or_default();
        let burn = terms.burn_rate.unwrap_or(BurnRate {
            objective: 0.999,
            long_ms: 3_600_000,
            short_ms: 300_000,
            factor: 14.4,
            minimum_count: 100,
        });
        let unit = words::unit(terms);
        Self {
            act: String::new(),
            range: "24h".to_owned(),
            name: name.to_owned(),
            figure: terms.figure.as_str().to_owned(),
            quantile: terms.quantile.map_or_else(|| "0.95".to_owned(), |quantile| quantile.to_string()),
            filter_bus: filter(Label::Bus),
            filter_topic: filter(Label::Topic),
            filter_consumer_group: filter(Label::ConsumerGroup),
            filter_service: filter(Label::Service),
            filter_operation: filter(Label::Operation),
            filter_fingerprint: filter(Label::Fingerprint),
            filter_status: filter(Label::Status),
            by: terms.by.iter().map(|label| label.as_str().to_owned()).collect(),
            window: duration(terms.window_ms),
            burn: terms.burn_rate.is_some(),
            objective: number(burn.objective * 100.0),
            long: duration(burn.long_ms),
            short: duration(burn.short_ms),
            minimum_count: burn.minimum_count.to_string(),
            comparison: terms.comparison.as_str().to_owned(),
            threshold: shown(terms.burn_rate.map_or(terms.threshold, |burn| burn.factor), unit),
            clear_threshold: terms.clear_threshold.map_or_else(String::new, |clear| shown(clear, unit)),
            wait: duration(terms.for_ms),
            keep_firing_for: duration(terms.keep_firing_for_ms),
            no_data: terms.no_data.as_str().to_owned(),
            no_data_after: duration(terms.no_data_after_ms),
            severity: terms.severity.as_str().to_owned(),
            labels: terms.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n"),
            summary: terms.summary.clone(),
            runbook_url: terms.runbook_url.clone().unwrap_or_default(),
            owner: terms.owner.clone().unwrap_or_default(),
            receivers: terms.receivers.iter().map(ToString::to_string).collect(),
            group_by: terms.group_by.iter().map(|by| by.as_str().to_owned()).collect(),
            group_wait: duration(terms.group_wait_ms),
            group_interval: duration(terms.group_interval_ms),
            repeat_interval: duration(terms.repeat_interval_ms),
            enabled,
        }
    }

    /// The same form for another figure: what does not fit it begins anew.
    pub(in crate::web::pages) fn for_figure(mut self) -> Self {
        let figure = self.chosen_figure();
        let proposed = Self::proposed(figure);
        let known = labels_of(figure);
        for label in Label::ALL.iter().filter(|label| !known.contains(label)) {
            self.filter_mut(*label).clear();
        }
        self.by.retain(|by| known.iter().any(|label| label.as_str() == by));
        if self.by.is_empty() {
            self.by = proposed.by;
        }
        self.burn &= parts_of(figure).is_some();
        Self { threshold: proposed.threshold, comparison: proposed.comparison, clear_threshold: String::new(), ..self }
    }

    /// The figure; the usual one where the word is none.
    pub(in crate::web::pages) fn chosen_figure(&self) -> Figure {
        self.figure.parse().unwrap_or(Figure::DeadLettersPerMinute)
    }

    fn filter_mut(&mut self, label: Label) -> &mut String {
        match label {
            Label::Bus => &mut self.filter_bus,
            Label::Topic => &mut self.filter_topic,
            Label::ConsumerGroup => &mut self.filter_consumer_group,
            Label::Service => &mut self.filter_service,
            Label::Operation => &mut self.filter_operation,
            Label::Fingerprint => &mut self.filter_fingerprint,
            Label::Status => &mut self.filter_status,
        }
    }

    fn filter(&self, label: Label) -> &str {
        match label {
            Label::Bus => &self.filter_bus,
            Label::Topic => &self.filter_topic,
            Label::ConsumerGroup => &self.filter_consumer_group,
            Label::Service => &self.filter_service,
            Label::Operation => &self.filter_operation,
            Label::Fingerprint => &self.filter_fingerprint,
            Label::Status => &self.filter_status,
        }
    }
}

/// As a person writes it: the largest unit that divides it.
fn duration(millis: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if millis == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

/// A value as the field of a threshold shows it: percent, or a length of time.
fn shown(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => number(value * 100.0),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds above none")]
        "seconds" if value >= 1.0 && value.fract() == 0.0 => duration((value as u64).saturating_mul(1_000)),
        _ => number(value),
    }
}

/// Without what binary fractions add: 0.2 as percent is 20.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::defaults::rules;
    use crate::alerts::rule::Problem;

    #[test]
    fn every_first_rule_comes_back_from_its_form_as_it_was() {
        for rule in rules() {
            let (read, problems) = Fields::of(&rule.name, rule.enabled, &rule.terms).parse();
            assert!(problems.is_empty(), "{}: {problems:?}", rule.name);
            let usual_quantile = Terms { quantile: read.terms.quantile, ..rule.terms.clone() };
            assert_eq!(read.terms, usual_quantile, "{}", rule.name);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_field_all_at_once() {
        let fields = Fields {
            threshold: "many".to_owned(),
            wait: "soon".to_owned(),
            labels: "team".to_owned(),
            ..Fields::proposed(Figure::DeadLettersPerMinute)
        };
        let (_, problems) = fields.parse();
        for field in ["threshold", "for", "labels"] {
            assert!(problems.about(field).is_some(), "{field}");
        }
        let mut problems = Problems::default();
        problems.extend(vec![Problem { field: "filter.topic".to_owned(), text: "is empty".to_owned() }]);
        assert_eq!(problems.about("filter_topic"), Some("Is empty."));
    }

    #[test]
    fn shares_are_percent_and_times_are_lengths() {
        let share = Fields { threshold: "2.5 %".to_owned(), ..Fields::proposed(Figure::SpansErrorRatio) };
        assert!((share.parse().0.terms.threshold - 0.025).abs() < 1e-9);
        let time = Fields { threshold: "15m".to_owned(), ..Fields::proposed(Figure::ConsumerGroupLagSeconds) };
        assert!((time.parse().0.terms.threshold - 900.0).abs() < 1e-9);
        assert_eq!(Fields::of("", true, &time.parse().0.terms).threshold, "15m");
    }

    #[test]
    fn another_figure_keeps_what_fits_it() {
        let mut fields = Fields {
            filter_topic: "orders*".to_owned(),
            filter_fingerprint: "v1-0f".to_owned(),
            ..Fields::proposed(Figure::DeadLettersPerMinute)
        };
        fields.figure = Figure::ConsumerGroupLagSeconds.as_str().to_owned();
        let fields = fields.for_figure();
        assert_eq!((fields.filter_topic.as_str(), fields.filter_fingerprint.as_str(), fields.threshold.as_str()), ("orders*", "", "5m"));
        assert!(fields.filters().iter().all(|(name, ..)| name != "filter_fingerprint"));
    }
}
