//! Rules that everybody starts with: what somebody on call would want to know of any bus. None of them is about backlog: dead letters
//! count when they arrive, not because they lie there.

use std::collections::BTreeMap;

use crate::model::alert::{Comparison, Filter, GroupBy, Label, NoData, Severity, Terms};
use crate::model::figure::Figure;
use crate::model::{Actor, AuditEntry, Timestamp};
use crate::store::alerts::rules::NewRule;

const MINUTE_MS: u64 = 60_000;

/// What a rule says unless told otherwise.
#[must_use]
pub fn usual(figure: Figure, comparison: Comparison, threshold: f64) -> Terms {
    Terms {
        figure,
        quantile: None,
        filter: Filter::new(),
        by: Vec::new(),
        window_ms: 5 * MINUTE_MS,
        burn_rate: None,
        comparison,
        threshold,
        clear_threshold: None,
        for_ms: 0,
        keep_firing_for_ms: 0,
        no_data: NoData::Keep,
        no_data_after_ms: 5 * MINUTE_MS,
        severity: Severity::Warning,
        labels: BTreeMap::new(),
        summary: String::new(),
        runbook_url: None,
        owner: None,
        receivers: Vec::new(),
        group_by: vec![GroupBy::Rule, GroupBy::Bus],
        group_wait_ms: MINUTE_MS / 2,
        group_interval_ms: 5 * MINUTE_MS,
        repeat_interval_ms: 4 * 60 * MINUTE_MS,
    }
}

fn rule(name: &str, severity: Severity, by: &[Label], summary: &str, terms: Terms) -> NewRule {
    let terms = Terms { severity, by: by.to_vec(), summary: summary.to_owned(), ..terms };
    NewRule { name: name.to_owned(), enabled: true, terms }
}

/// What the audit says of them.
#[must_use]
pub fn entry(now: Timestamp) -> AuditEntry {
    AuditEntry {
        id: 0,
        at: now,
        actor: Actor { name: "system".to_owned(), address: None },
        action: "alert_rules.add".to_owned(),
        target: String::new(),
        count: None,
        result: "done".to_owned(),
    }
}

/// The rules, in the order of lists.
#[must_use]
pub fn rules() -> Vec<NewRule> {
    let mut all = letters();
    all.extend(groups());
    all.extend(own());
    all
}

fn letters() -> Vec<NewRule> {
    use Comparison::Above;
    use Label::{Bus, ConsumerGroup, Topic};
    vec![
        rule(
            "New failure group",
            Severity::Error,
            &[Bus, Topic],
            "{value} never seen before on {topic} ({bus})",
            usual(Figure::FailureGroupsNew, Above, 0.0),
        ),
        rule(
            "Failure group returned",
            Severity::Error,
            &[Bus, Topic],
            "{value} that were resolved arrive again on {topic} ({bus})",
            usual(Figure::FailureGroupsReturned, Above, 0.0),
        ),
        rule(
            "Dead letters arrive fast",
            Severity::Error,
            &[Bus, Topic],
            "{value} on {topic} ({bus}), over {threshold}",
            Terms { clear_threshold: Some(2.0), keep_firing_for_ms: 2 * MINUTE_MS, ..usual(Figure::DeadLettersPerMinute, Above, 10.0) },
        ),
        rule(
            "Replays fail again",
            Severity::Warning,
            &[Bus, ConsumerGroup],
            "{value} of what was replayed for {consumer_group} ({bus}) failed again",
            Terms { window_ms: 15 * MINUTE_MS, ..usual(Figure::ReplayFailedAgainRatio, Above, 0.2) },
        ),
    ]
}

fn groups() -> Vec<NewRule> {
    use Comparison::Above;
    use Label::{Bus, ConsumerGroup, Topic};
    vec![
        rule(
            "Consumer group does not read",
            Severity::Error,
            &[Bus, ConsumerGroup],
            "{consumer_group} ({bus}) has messages to read and reads none for {value}",
            Terms {
                filter: Filter::from([(Label::Status, "{stalled,stopped,unassigned,transaction_blocked}".to_owned())]),
                keep_firing_for_ms: MINUTE_MS,
                ..usual(Figure::ConsumerGroupStatusSeconds, Above, 300.0)
            },
        ),
        rule(
            "Consumer group lags",
            Severity::Warning,
            &[Bus, ConsumerGroup],
            "{consumer_group} ({bus}) is {value} behind, over {threshold}",
            Terms {
                clear_threshold: Some(300.0),
                for_ms: 5 * MINUTE_MS,
                keep_firing_for_ms: 2 * MINUTE_MS,
                ..usual(Figure::ConsumerGroupLagSeconds, Above, 900.0)
            },
        ),
        rule(
            "Records lost",
            Severity::Error,
            &[Bus, Topic, ConsumerGroup],
            "{value} of {topic} ({bus}) were removed before {consumer_group} read them",
            Terms { window_ms: 60 * MINUTE_MS, ..usual(Figure::RecordsLost, Above, 0.0) },
        ),
    ]
}

fn own() -> Vec<NewRule> {
    use Comparison::{Above, Below};
    use Label::Bus;
    vec![
        rule(
            "Bus unreachable",
            Severity::Critical,
            &[Bus],
            "{bus} has not answered for {for}",
            Terms { for_ms: MINUTE_MS, ..usual(Figure::BusReachable, Below, 1.0) },
        ),
        rule(
            "Indexing is behind",
            Severity::Warning,
            &[Bus],
            "Dead letters of {bus} are indexed {value} late",
            Terms { for_ms: 5 * MINUTE_MS, ..usual(Figure::IngestDelaySeconds, Above, 300.0) },
        ),
        rule(
            "Store nearly full",
            Severity::Error,
            &[],
            "{value} of the store's room is used",
            Terms { for_ms: 5 * MINUTE_MS, clear_threshold: Some(0.85), ..usual(Figure::StoreUsedRatio, Above, 0.9) },
        ),
        rule(
            "Notifications do not arrive",
            Severity::Error,
            &[],
            "{value} have not taken a notification for {for}",
            Terms { for_ms: 15 * MINUTE_MS, ..usual(Figure::DeliveriesFailing, Above, 0.0) },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::{check, check_name};

    #[test]
    fn the_rules_that_everybody_starts_with_are_fine_and_quiet_about_backlog() {
        for rule in rules() {
            assert_eq!(check(&rule.terms), [], "{}", rule.name);
            assert_eq!(check_name(&rule.name), None);
            assert!(rule.enabled);
            assert!(!matches!(rule.terms.figure, Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds), "{}", rule.name);
        }
    }
}
