//! Alerts as pages show them: words, icons and tones of states and severities, what figures are called, values and conditions in words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lines::{Unit, decimal, seconds};
use super::look::Look;
use super::number::with_commas;
use super::text::short;
use super::time::duration_words;
use crate::model::alert::{Alert, AlertState, Cause, Comparison, Label, Severity, Terms};
use crate::model::figure::Figure;

pub mod sentence;
pub mod unknown;
pub use crate::alerts::way;

const fn look(word: &'static str, icon: &'static str, tone: &'static str) -> Look {
    Look { word, icon, tone }
}

/// The tone of what fires: red where a person is needed now.
const fn tone(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::Error => "bad",
        Severity::Warning => "warn",
        Severity::Info => "busy",
    }
}

/// Where an alert stands. What nobody is told of says so.
#[must_use]
pub const fn state(alert: &Alert) -> Look {
    let firing = alert.standing.state.is_firing();
    match alert.standing.state {
        AlertState::Firing | AlertState::Pending if alert.silenced_by.is_some() => look("Silenced", "bell-off", "idle"),
        AlertState::Firing | AlertState::Pending if alert.inhibited_by.is_some() => look("Explained", "bell-off", "idle"),
        _ if firing && matches!(alert.standing.cause, Some(Cause::NoData)) => {
            look("No data", "circle-question-mark", tone(alert.details.severity))
        }
        _ if firing && matches!(alert.standing.cause, Some(Cause::Error)) => {
            look("Cannot be read", "circle-question-mark", tone(alert.details.severity))
        }
        AlertState::Firing => look("Firing", "bell-ring", tone(alert.details.severity)),
        AlertState::Pending => look("Pending", "timer", "warn"),
        AlertState::Recovering => look("Recovering", "trending-down", "busy"),
        AlertState::Resolved => look("Resolved", "circle-check", "ok"),
        AlertState::Inactive => look("Inactive", "circle", "idle"),
    }
}

/// How bad it is; without a colour where it is over.
#[must_use]
pub const fn severity(severity: Severity, living: bool) -> Look {
    let (word, icon) = match severity {
        Severity::Critical => ("Critical", "octagon-x"),
        Severity::Error => ("Error", "circle-x"),
        Severity::Warning => ("Warning", "triangle-alert"),
        Severity::Info => ("Info", "info"),
    };
    look(word, icon, if living { tone(severity) } else { "idle" })
}

/// What a figure is called.
#[must_use]
pub const fn figure(figure: Figure) -> &'static str {
    match figure {
        Figure::TopicMessagesPerSecond => "Messages written to a topic",
        Figure::ConsumerGroupLagMessages => "Lag in messages",
        Figure::ConsumerGroupLagSeconds => "Lag in time",
        Figure::ConsumerGroupMessagesPerSecond => "Messages read by a consumer group",
        Figure::ConsumerGroupStatusSeconds => "Time in a status of a consumer group",
        Figure::DeadLettersPerMinute => "Dead letters per minute",
        Figure::DeadLettersOpen => "Open dead letters",
        Figure::DeadLettersOldestOpenSeconds => "Age of the oldest open dead letter",
        Figure::FailureGroupsNew => "New failure groups",
        Figure::FailureGroupsReturned => "Failure groups that returned",
        Figure::ReplayFailedAgainRatio => "Replayed messages that failed again",
        Figure::RecordsLost => "Records removed before they were read",
        Figure::SpansPerSecond => "Spans",
        Figure::SpansErrorRatio => "Failed spans",
        Figure::PublishDurationSeconds => "Time to publish",
        Figure::BrokerDurationSeconds => "Time in the broker",
        Figure::ProcessingDurationSeconds => "Time to process",
        Figure::EndToEndDurationSeconds => "Time end to end",
        Figure::BusReachable => "Bus answers",
        Figure::SampleAgeSeconds => "Age of the newest sample",
        Figure::IngestDelaySeconds => "How far indexing is behind",
        Figure::StoreUsedRatio => "Room used in the store",
        Figure::DeliveriesFailing => "Receivers that nothing reaches",
        Figure::BusMessagesPerSecond => "Messages written to a bus",
        Figure::SpanErrorsPerSecond => "Failed spans per second",
        Figure::ReplayOutcomes => "Replayed messages with an outcome",
        Figure::ReplayFailures => "Replayed messages that failed again, counted",
        Figure::DeadLettersResolveSeconds => "Time to resolve a dead letter",
    }
}

/// What a label is called.
#[must_use]
pub const fn label(label: Label) -> &'static str {
    match label {
        Label::Bus => "Bus",
        Label::Topic => "Topic",
        Label::ConsumerGroup => "Consumer group",
        Label::Service => "Service",
        Label::Operation => "Operation",
        Label::Fingerprint => "Failure group",
        Label::Status => "Status",
    }
}

/// The unit of a rule's values, as the store names it.
#[must_use]
pub const fn unit(terms: &Terms) -> &'static str {
    if terms.burn_rate.is_some() { "times the error budget" } else { terms.figure.unit() }
}

/// How a drawing writes numbers of this unit.
#[must_use]
pub fn drawn_unit(unit: &str) -> Unit {
    match unit {
        "messages" | "dead letters" => Unit::Messages,
        "seconds" => Unit::Seconds,
        "ratio" => Unit::Ratio,
        "messages/s" => Unit::PerSecond,
        "spans/s" => Unit::Number("spans per second"),
        "dead letters/min" => Unit::Number("dead letters per minute"),
        "failure groups" => Unit::Number("failure groups"),
        "receivers" => Unit::Number("receivers"),
        "boolean" => Unit::Number("1 while it answers"),
        "times the error budget" => Unit::Number("times the error budget"),
        _ => Unit::Number(""),
    }
}

/// A value with its unit: `7.1 per min`, `17 min`, `3,412 messages`, `2.5 %`.
#[must_use]
pub fn value(value: f64, unit: &str) -> String {
    let number = || whole_or_decimal(value);
    match unit {
        "ratio" => format!("{} %", whole_or_decimal(value * 100.0)),
        "seconds" => seconds(value).replace(".0 ", " "),
        "boolean" => if value > 0.5 { "answers" } else { "no answer" }.to_owned(),
        "" => number(),
        "dead letters/min" => format!("{} per min", number()),
        "messages/s" | "spans/s" => format!("{} per s", number()),
        "times the error budget" => format!("{} × budget", number()),
        plural => match number() {
            one if one == "1" => format!("1 {}", plural.trim_end_matches('s')),
            many => format!("{many} {plural}"),
        },
    }
}

fn whole_or_decimal(value: f64) -> String {
    if value.fract() == 0.0 { with_commas(&format!("{value:.0}")) } else { decimal(value).trim_end_matches(".0").to_owned() }
}

/// `above`, `at least`, `below`, `at most`.
#[must_use]
pub const fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Above => "above",
        Comparison::AtLeast => "at least",
        Comparison::Below => "below",
        Comparison::AtMost => "at most",
    }
}

/// When a rule fires, in few words: `above 10 per min for 2 min`.
#[must_use]
pub fn condition(terms: &Terms) -> String {
    let wait = if terms.for_ms == 0 { String::new() } else { format!(" for {}", millis(terms.for_ms)) };
    if terms.figure == Figure::BusReachable && terms.burn_rate.is_none() {
        return if terms.comparison.is_upwards() { format!("answers{wait}") } else { format!("no answer{wait}") };
    }
    let threshold = terms.burn_rate.map_or(terms.threshold, |burn| burn.factor);
    format!("{} {}{wait}", comparison(terms.comparison), value(threshold, unit(terms)))
}

/// A length of time that is kept in milliseconds.
#[must_use]
pub fn millis(millis: u64) -> String {
    duration_words(Duration::from_millis(millis))
}

/// What an alert is about, in the order in which people ask: topic and group before the rest, the bus only among several.
#[must_use]
pub fn about(labels: &BTreeMap<String, String>, show_bus: bool) -> String {
    const FIRST: [&str; 7] = ["bus", "topic", "consumer_group", "service", "operation", "status", "fingerprint"];
    let known = FIRST.iter().filter(|name| show_bus || **name != "bus" || labels.len() == 1).filter_map(|name| labels.get(*name));
    let others = labels.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let own: Vec<String> =
        known.map(|value| short(value, 120)).chain(others.map(|(name, value)| format!("{name} {}", short(value, 60)))).collect();
    if own.is_empty() { "Redrive itself".to_owned() } else { own.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::defaults::usual;

    #[test]
    fn values_are_written_in_their_unit() {
        for (number, unit, words) in [
            (7.1, "dead letters/min", "7.1 per min"),
            (9.0, "dead letters/min", "9 per min"),
            (3412.0, "messages", "3,412 messages"),
            (1.0, "failure groups", "1 failure group"),
            (1020.0, "seconds", "17 min"),
            (300.0, "seconds", "5 min"),
            (0.025, "ratio", "2.5 %"),
            (0.2, "ratio", "20 %"),
            (0.0, "boolean", "no answer"),
            (14.4, "times the error budget", "14.4 × budget"),
        ] {
            assert_eq!(value(number, unit), words);
        }
    }

    #[test]
    fn conditions_say_when_a_rule_fires() {
        let terms = Terms { for_ms: 120_000, ..usual(Figure::DeadLettersPerMinute, Comparison::Above, 10.0) };
        assert_eq!(condition(&terms), "above 10 per min for 2 min");
        assert_eq!(condition(&usual(Figure::BusReachable, Comparison::Below, 1.0)), "no answer");
    }

    #[test]
    fn what_an_alert_is_about_names_the_bus_only_among_several() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let of = labels(&[("bus", "prod"), ("consumer_group", "billing"), ("topic", "orders"), ("team", "x")]);
        assert_eq!(about(&of, false), "orders, billing, team x");
        assert_eq!(about(&of, true), "prod, orders, billing, team x");
        assert_eq!(about(&labels(&[("bus", "prod")]), false), "prod");
        assert_eq!(about(&labels(&[]), true), "Redrive itself");
    }

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Figure::ALL.iter().map(|of| figure(*of)).collect();
        assert_eq!(names.len(), Figure::ALL.len());
    }
}
