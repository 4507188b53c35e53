//! What is wrong with a rule, field by field.

use std::collections::BTreeSet;

use super::text::{Piece, pieces};
use super::{labels_of, parts_of};
use crate::dead_letters::discovery::glob::Glob;
use crate::model::alert::{BurnRate, Label, Terms};
use crate::model::figure::FigureKind;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Waiting times and windows end here.
const LONGEST_MS: u64 = 30 * DAY_MS;

/// Placeholders of a summary beside labels.
pub const PLACEHOLDERS: &[&str] = &["rule", "value", "threshold", "unit", "severity", "figure", "owner", "quantile", "window", "for"];

/// A field of a rule, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// The field as the API names it, such as `filter.topic`.
    pub field: String,
    /// What is wrong, in words.
    pub text: String,
}

fn problem(field: impl Into<String>, text: impl Into<String>) -> Problem {
    Problem { field: field.into(), text: text.into() }
}

/// What is wrong with a rule's name.
#[must_use]
pub fn check_name(name: &str) -> Option<Problem> {
    let fine = (1..=100).contains(&name.trim().chars().count()) && !name.chars().any(char::is_control);
    (!fine).then(|| problem("name", "name has 1 to 100 characters"))
}

/// Everything that is wrong with a rule.
#[must_use]
pub fn check(terms: &Terms) -> Vec<Problem> {
    let mut found = Vec::new();
    check_quantile(terms, &mut found);
    check_labels(terms, &mut found);
    check_times(terms, &mut found);
    check_thresholds(terms, &mut found);
    if let Some(burn) = terms.burn_rate {
        check_burn_rate(terms, burn, &mut found);
    }
    check_own_labels(terms, &mut found);
    check_words(terms, &mut found);
    found
}

fn check_quantile(terms: &Terms, found: &mut Vec<Problem>) {
    let durations = terms.figure.kind() == FigureKind::Durations;
    match terms.quantile {
        Some(_) if !durations => found.push(problem("quantile", format!("{} has no quantiles; leave it out", terms.figure))),
        Some(quantile) if !(quantile > 0.0 && quantile < 1.0) => {
            found.push(problem("quantile", "quantile is a share between 0 and 1, such as 0.95"));
        }
        _ => {}
    }
}

fn check_labels(terms: &Terms, found: &mut Vec<Problem>) {
    let known = labels_of(terms.figure);
    let names = || match known {
        [] => format!("{} has no labels", terms.figure),
        _ => format!("{} has the labels {}", terms.figure, known.iter().map(|label| label.as_str()).collect::<Vec<_>>().join(", ")),
    };
    for (label, pattern) in &terms.filter {
        let field = format!("filter.{label}");
        if !known.contains(label) {
            found.push(problem(field, names()));
        } else if pattern.len() > 500 {
            found.push(problem(field, "a pattern has 500 characters at most"));
        } else if let Err(error) = Glob::of_names(pattern) {
            found.push(problem(field, format!("{error}; * ? and {{a,b}} are understood")));
        }
    }
    let mut seen = BTreeSet::new();
    for label in &terms.by {
        if !known.contains(label) {
            found.push(problem("by", names()));
        } else if !seen.insert(label) {
            found.push(problem("by", format!("{label} is there twice")));
        }
    }
    let mut seen = BTreeSet::new();
    if !terms.group_by.iter().all(|by| seen.insert(by)) {
        found.push(problem("group_by", "each of rule, bus, topic and consumer_group once at most"));
    }
}

fn check_times(terms: &Terms, found: &mut Vec<Problem>) {
    let mut within = |field: &'static str, value: u64, from: u64, range: &str| {
        if !(from..=LONGEST_MS).contains(&value) {
            found.push(problem(field, format!("{field} is a length of time {range}, such as 5m")));
        }
    };
    within("window", terms.window_ms, MINUTE_MS, "from 1m to 30d");
    within("for", terms.for_ms, 0, "from 0s to 30d");
    within("keep_firing_for", terms.keep_firing_for_ms, 0, "from 0s to 30d");
    within("no_data_after", terms.no_data_after_ms, MINUTE_MS, "from 1m to 30d");
    within("group_wait", terms.group_wait_ms, 0, "from 0s to 30d");
    within("group_interval", terms.group_interval_ms, 0, "from 0s to 30d");
    within("repeat_interval", terms.repeat_interval_ms, MINUTE_MS, "from 1m to 30d");
}

fn check_thresholds(terms: &Terms, found: &mut Vec<Problem>) {
    if !terms.threshold.is_finite() {
        found.push(problem("threshold", "threshold is a number"));
    }
    let Some(clear) = terms.clear_threshold else { return };
    let on_the_good_side = if terms.comparison.is_upwards() { clear <= terms.threshold } else { clear >= terms.threshold };
    if !clear.is_finite() || !on_the_good_side {
        let side = if terms.comparison.is_upwards() { "at or below" } else { "at or above" };
        found.push(problem("clear_threshold", format!("clear_threshold lies {side} the threshold, where all is well again")));
    }
}

fn check_burn_rate(terms: &Terms, burn: BurnRate, found: &mut Vec<Problem>) {
    if parts_of(terms.figure).is_none() {
        found.push(problem("burn_rate", "an error budget is used by a share: spans_error_ratio or replay_failed_again_ratio"));
    }
    if !(burn.objective > 0.0 && burn.objective < 1.0) {
        found.push(problem("burn_rate.objective", "objective is a share between 0 and 1, such as 0.999"));
    }
    if !(MINUTE_MS..=LONGEST_MS).contains(&burn.short_ms) {
        found.push(problem("burn_rate.short", "short is a length of time from 1m, such as 5m"));
    }
    if burn.long_ms <= burn.short_ms || burn.long_ms > LONGEST_MS {
        found.push(problem("burn_rate.long", "long is a length of time above short and up to 30d, such as 1h"));
    }
    if !(burn.factor > 0.0 && burn.factor.is_finite()) {
        found.push(problem("burn_rate.factor", "factor is a number above 0, such as 14.4"));
    }
    if !terms.comparison.is_upwards() {
        found.push(problem("comparison", "a budget is used too fast above a factor: > or >="));
    }
}

fn check_own_labels(terms: &Terms, found: &mut Vec<Problem>) {
    if terms.labels.len() > 20 {
        found.push(problem("labels", "20 labels at most"));
    }
    for (name, value) in &terms.labels {
        let field = format!("labels.{name}");
        let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 60;
        if !fine {
            found.push(problem("labels", "a label's name has letters, digits and _, 60 at most, and begins with no digit"));
        } else if name.parse::<Label>().is_ok() || PLACEHOLDERS.contains(&name.as_str()) || name == "alertname" {
            found.push(problem(field, format!("{name} is a label of its own; take another name")));
        } else if value.chars().count() > 200 {
            found.push(problem(field, "a label's value has 200 characters at most"));
        }
    }
}

fn check_words(terms: &Terms, found: &mut Vec<Problem>) {
    if terms.summary.chars().count() > 500 {
        found.push(problem("summary", "summary has 500 characters at most"));
    }
    match pieces(&terms.summary) {
        Err(error) => found.push(problem("summary", format!("summary {error}"))),
        Ok(pieces) => {
            let unknown = pieces.iter().find_map(|piece| match piece {
                Piece::Placeholder(name) if !is_placeholder(terms, name) => Some(*name),
                _ => None,
            });
            if let Some(name) = unknown {
                let known: Vec<&str> = PLACEHOLDERS.iter().copied().chain(labels_of(terms.figure).iter().map(|l| l.as_str())).collect();
                found.push(problem("summary", format!("{{{name}}} stands for nothing; these do: {}", known.join(", "))));
            }
        }
    }
    if let Some(url) = &terms.runbook_url {
        let web = url.starts_with("https://") || url.starts_with("http://");
        if !web || url.len() > 2_000 || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            found.push(problem("runbook_url", "runbook_url begins with https:// or http:// and has 2,000 characters at most"));
        }
    }
    if terms.owner.as_ref().is_some_and(|owner| owner.chars().count() > 100) {
        found.push(problem("owner", "owner has 100 characters at most"));
    }
    let mut seen = BTreeSet::new();
    if terms.receivers.len() > 50 || !terms.receivers.iter().all(|receiver| seen.insert(receiver)) {
        found.push(problem("receivers", "50 receivers at most, each once"));
    }
}

fn is_placeholder(terms: &Terms, name: &str) -> bool {
    PLACEHOLDERS.contains(&name) || name.parse::<Label>().is_ok() || terms.labels.contains_key(name)
}
