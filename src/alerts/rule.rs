//! What a rule means: which series it is about, which of them make one alert, which value they have together, and what is said of it.
//! [`mod@check`] tells what is wrong with a rule before it is kept.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::dead_letters::discovery::glob::Glob;
use crate::model::BusId;
use crate::model::alert::{Details, Filter, Label, Terms};
use crate::model::figure::{Figure, FigureKind, Labels};

mod check;
mod reading;
mod text;

#[cfg(test)]
pub(crate) mod tests;

pub use check::{PLACEHOLDERS, Problem, check, check_name};
pub use reading::{OneWindow, Reading, empties, is_sparse, needs_source, observation, parts_of};
pub use text::summary;

/// The labels that a figure's series have.
#[must_use]
pub const fn labels_of(figure: Figure) -> &'static [Label] {
    use Label::{Bus, ConsumerGroup, Fingerprint, Operation, Service, Status, Topic};
    match figure {
        Figure::TopicMessagesPerSecond | Figure::FailureGroupsNew | Figure::FailureGroupsReturned => &[Bus, Topic],
        Figure::ConsumerGroupLagMessages
        | Figure::ConsumerGroupLagSeconds
        | Figure::ConsumerGroupMessagesPerSecond
        | Figure::RecordsLost => &[Bus, Topic, ConsumerGroup],
        Figure::ConsumerGroupStatusSeconds => &[Bus, Topic, ConsumerGroup, Status],
        Figure::DeadLettersPerMinute | Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds => {
            &[Bus, Topic, ConsumerGroup, Fingerprint]
        }
        Figure::ReplayFailedAgainRatio | Figure::ReplayOutcomes | Figure::ReplayFailures => &[Bus, ConsumerGroup, Fingerprint],
        Figure::SpansPerSecond | Figure::SpansErrorRatio | Figure::SpanErrorsPerSecond => &[Bus, Topic, ConsumerGroup, Service, Operation],
        Figure::PublishDurationSeconds
        | Figure::BrokerDurationSeconds
        | Figure::ProcessingDurationSeconds
        | Figure::EndToEndDurationSeconds => &[Bus, Topic, ConsumerGroup, Service],
        Figure::BusReachable
        | Figure::SampleAgeSeconds
        | Figure::IngestDelaySeconds
        | Figure::BusMessagesPerSecond
        | Figure::DeadLettersResolveSeconds => &[Bus],
        Figure::StoreUsedRatio | Figure::DeliveriesFailing => &[],
    }
}

/// Whether a figure is taken over a window; the others are levels, of which the newest counts.
#[must_use]
pub const fn is_windowed(figure: Figure) -> bool {
    match figure.kind() {
        FigureKind::Ratio => !matches!(figure, Figure::StoreUsedRatio),
        FigureKind::Rate | FigureKind::Durations => true,
        FigureKind::Level => false,
    }
}

/// A label of a series.
#[must_use]
pub fn label_of(labels: &Labels, label: Label) -> Option<&str> {
    match label {
        Label::Bus => labels.bus.as_ref().map(crate::model::BusId::as_str),
        Label::Topic => labels.topic.as_ref().map(crate::model::TopicName::as_str),
        Label::ConsumerGroup => labels.consumer_group.as_ref().map(crate::model::GroupName::as_str),
        Label::Service => labels.service.as_deref(),
        Label::Operation => labels.operation.as_deref(),
        Label::Fingerprint => labels.fingerprint.as_deref(),
        Label::Status => labels.status.as_deref(),
    }
}

/// A filter that is ready to be used.
#[derive(Debug, Clone)]
pub struct Patterns(Vec<(Label, Glob)>);

impl Patterns {
    /// Reads a filter. Patterns that cannot be read fit nothing: [`check()`] keeps them out.
    #[must_use]
    pub fn new(filter: &Filter) -> Option<Self> {
        let patterns = filter.iter().map(|(label, pattern)| Some((*label, Glob::of_names(pattern).ok()?)));
        patterns.collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a series is meant. A label that it has not fits no pattern.
    #[must_use]
    pub fn fit(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(label, glob)| label_of(labels, *label).is_some_and(|value| glob.matches(value)))
    }
}

/// The bus that a filter names, where it names one and no pattern.
#[must_use]
pub fn only_bus(filter: &Filter) -> Option<BusId> {
    let name = filter.get(&Label::Bus)?;
    (!name.is_empty() && !name.contains(['*', '?', '{', '}'])).then(|| BusId::new(name.as_str()))
}

/// The labels of the alert that a series belongs to.
#[must_use]
pub fn alert_labels(by: &[Label], labels: &Labels) -> BTreeMap<String, String> {
    let pair = |label: &Label| Some((label.as_str().to_owned(), label_of(labels, *label)?.to_owned()));
    by.iter().filter_map(pair).collect()
}

/// The same for the same rule and labels, for ever: 16 hexadecimal digits.
#[must_use]
pub fn fingerprint(rule: i64, labels: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(rule.to_be_bytes());
    for (name, value) in labels {
        for part in [name, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Windows of which readings are needed, in milliseconds; none for levels.
#[must_use]
pub fn windows(terms: &Terms) -> Vec<u64> {
    match terms.burn_rate {
        Some(burn) => vec![burn.long_ms, burn.short_ms],
        None if is_windowed(terms.figure) => vec![terms.window_ms],
        None => Vec::new(),
    }
}

/// What an alert keeps of its rule.
#[must_use]
pub fn details(name: &str, terms: &Terms, labels: &BTreeMap<String, String>, value: Option<f64>) -> Details {
    Details {
        rule: name.to_owned(),
        figure: terms.figure,
        quantile: terms.quantile,
        severity: terms.severity,
        threshold: terms.threshold,
        unit: text::unit(terms).to_owned(),
        summary: summary(name, terms, labels, value),
        runbook_url: terms.runbook_url.clone(),
        owner: terms.owner.clone(),
        receivers: terms.receivers.clone(),
        group_by: terms.group_by.clone(),
        group_wait_ms: terms.group_wait_ms,
        group_interval_ms: terms.group_interval_ms,
        repeat_interval_ms: terms.repeat_interval_ms,
    }
}
