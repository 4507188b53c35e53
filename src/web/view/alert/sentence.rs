//! A rule in one sentence, as somebody would explain it to a colleague.

use std::collections::BTreeMap;

use super::{comparison, figure, label, millis, unit, value};
use crate::alerts::rule::is_windowed;
use crate::model::alert::{Label, NoData, Severity, Terms};
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;
use crate::web::view::text::short;

/// What a rule does. `receivers` are names by id.
#[must_use]
pub fn rule(terms: &Terms, receivers: &BTreeMap<ReceiverId, String>) -> String {
    let mut said = format!("{} {} when {}.", kind(terms.severity), scope(terms), when(terms));
    for more in [clears(terms), silent(terms), Some(told(terms, receivers))].into_iter().flatten() {
        said.push(' ');
        said.push_str(&more);
    }
    said
}

const fn kind(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical alert",
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Info => "Information",
    }
}

fn scope(terms: &Terms) -> String {
    let by: Vec<String> = terms.by.iter().map(|by| label(*by).to_lowercase()).collect();
    let each = match by.as_slice() {
        [] => "for all together".to_owned(),
        [one] => format!("for each {one}"),
        [first @ .., last] => format!("for each {} and {last}", first.join(", ")),
    };
    let filter: Vec<String> =
        terms.filter.iter().map(|(name, pattern)| format!("{} {}", label(*name).to_lowercase(), short(pattern, 80))).collect();
    if filter.is_empty() { each } else { format!("{each} of {}", filter.join(", ")) }
}

fn when(terms: &Terms) -> String {
    let wait = if terms.for_ms > 0 { format!(" for {}", millis(terms.for_ms)) } else { String::new() };
    if let Some(burn) = terms.burn_rate {
        return format!(
            "the error budget of {} is used more than {} times too fast, over {} and over {} alike{wait}; fewer than {} events say nothing",
            value(burn.objective, "ratio"),
            value(burn.factor, ""),
            millis(burn.long_ms),
            millis(burn.short_ms),
            burn.minimum_count
        );
    }
    if terms.figure == Figure::BusReachable {
        return format!("the bus does not answer{wait}");
    }
    let over = if is_windowed(terms.figure) { format!(", over the last {},", millis(terms.window_ms)) } else { String::new() };
    let quantile = terms.quantile.map_or_else(String::new, |share| format!(" (quantile {share})"));
    let name = figure(terms.figure);
    let name = format!("{}{}", name[..1].to_lowercase(), &name[1..]);
    format!("\"{name}\"{quantile}{over} is {} {}{wait}", comparison(terms.comparison), value(terms.threshold, unit(terms)))
}

fn clears(terms: &Terms) -> Option<String> {
    let clear = terms.clear_threshold.map(|clear| format!("at {}", value(clear, unit(terms))));
    let keep = (terms.keep_firing_for_ms > 0).then(|| format!("after {} of calm", millis(terms.keep_firing_for_ms)));
    match (clear, keep) {
        (None, None) => None,
        (clear, keep) => Some(format!("Clears {}.", clear.into_iter().chain(keep).collect::<Vec<_>>().join(" "))),
    }
}

fn silent(terms: &Terms) -> Option<String> {
    let after = millis(terms.no_data_after_ms);
    match terms.no_data {
        NoData::Keep => None,
        NoData::Alert => Some(format!("Fires as well after {after} without data.")),
        NoData::Ok => Some(format!("Counts {after} without data as well.")),
    }
}

fn told(terms: &Terms, receivers: &BTreeMap<ReceiverId, String>) -> String {
    let names: Vec<String> = terms.receivers.iter().filter_map(|id| receivers.get(id)).map(|name| short(name, 60)).collect();
    match names.as_slice() {
        [] => "Tells nobody: it only shows here.".to_owned(),
        names => format!("Tells {}.", names.join(", ")),
    }
}

/// What patterns restrict a rule to, in few words; empty when they do not.
#[must_use]
pub fn restricted(filter: &BTreeMap<Label, String>) -> String {
    filter.values().map(|pattern| short(pattern, 60)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::defaults::{rules, usual};
    use crate::model::alert::Comparison;

    #[test]
    fn a_rule_is_explained_in_one_sentence() {
        let terms = Terms {
            by: vec![Label::Bus, Label::Topic],
            filter: BTreeMap::from([(Label::Topic, "payments.*".to_owned())]),
            clear_threshold: Some(0.5),
            keep_firing_for_ms: 600_000,
            for_ms: 120_000,
            severity: Severity::Critical,
            receivers: vec![ReceiverId(1)],
            ..usual(Figure::DeadLettersPerMinute, Comparison::Above, 2.5)
        };
        let receivers = BTreeMap::from([(ReceiverId(1), "payments on call".to_owned())]);
        assert_eq!(
            rule(&terms, &receivers),
            "Critical alert for each bus and topic of topic payments.* when \"dead letters per minute\", over the last 5 min, is above \
             2.5 per min for 2 min. Clears at 0.5 per min after 10 min of calm. Tells payments on call."
        );
    }

    #[test]
    fn every_rule_of_the_first_start_can_be_explained() {
        for rule in rules() {
            let said = super::rule(&rule.terms, &BTreeMap::new());
            assert!(said.ends_with("it only shows here."), "{said}");
        }
    }
}
