//! A rule as the API shows it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::replays::duration;
use crate::model::alert::{AlertRule, BurnRate, GroupBy, Label};
use crate::model::{AuditEntry, Timestamp};

/// Rules of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RuleList {
    pub(super) items: Vec<RuleShape>,
    pub(super) next_cursor: Option<String>,
    /// Rules that cannot be read and are not watched: another version wrote them, or they are damaged.
    pub(super) unreadable: Vec<UnreadableShape>,
}

/// A rule that cannot be read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct UnreadableShape {
    pub(super) id: String,
    pub(super) name: String,
}

/// A rule: the fields of its body, all of them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RuleShape {
    id: String,
    name: String,
    figure: &'static str,
    /// The unit of values and thresholds.
    unit: &'static str,
    quantile: Option<f64>,
    filter: BTreeMap<&'static str, String>,
    by: Vec<&'static str>,
    window: String,
    burn_rate: Option<BurnRateShape>,
    comparison: &'static str,
    threshold: f64,
    clear_threshold: Option<f64>,
    r#for: String,
    keep_firing_for: String,
    no_data: &'static str,
    no_data_after: String,
    severity: &'static str,
    labels: BTreeMap<String, String>,
    summary: String,
    runbook_url: Option<String>,
    owner: Option<String>,
    receivers: Vec<String>,
    group_by: Vec<&'static str>,
    group_wait: String,
    group_interval: String,
    repeat_interval: String,
    enabled: bool,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// When an alert of it last fired, as far back as alerts are kept.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_fired_at: Option<Timestamp>,
}

/// Use of an error budget.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BurnRateShape {
    objective: f64,
    long: String,
    short: String,
    factor: f64,
    minimum_count: u64,
}

/// Changes of a rule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChangeList {
    pub(super) items: Vec<ChangeShape>,
    /// Always null: a rule has few; older ones are in the audit.
    pub(super) next_cursor: Option<String>,
}

/// Somebody changed a rule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AlertRuleChange)]
pub(super) struct ChangeShape {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who, such as `user:mara`.
    by: String,
    /// As the audit names it, such as `alert_rules.change`.
    action: String,
}

impl From<AuditEntry> for ChangeShape {
    fn from(entry: AuditEntry) -> Self {
        Self { at: entry.at, by: entry.actor.name, action: entry.action }
    }
}

impl RuleShape {
    pub(super) fn new(rule: AlertRule, last_fired_at: Option<Timestamp>) -> Self {
        let terms = rule.terms;
        Self {
            id: rule.number.to_string(),
            name: rule.name,
            figure: terms.figure.as_str(),
            unit: terms.figure.unit(),
            quantile: terms.quantile,
            filter: terms.filter.into_iter().map(|(label, pattern)| (label.as_str(), pattern)).collect(),
            by: terms.by.into_iter().map(Label::as_str).collect(),
            window: duration(terms.window_ms),
            burn_rate: terms.burn_rate.map(BurnRateShape::new),
            comparison: terms.comparison.as_str(),
            threshold: terms.threshold,
            clear_threshold: terms.clear_threshold,
            r#for: duration(terms.for_ms),
            keep_firing_for: duration(terms.keep_firing_for_ms),
            no_data: terms.no_data.as_str(),
            no_data_after: duration(terms.no_data_after_ms),
            severity: terms.severity.as_str(),
            labels: terms.labels,
            summary: terms.summary,
            runbook_url: terms.runbook_url,
            owner: terms.owner,
            receivers: terms.receivers.iter().map(ToString::to_string).collect(),
            group_by: terms.group_by.into_iter().map(GroupBy::as_str).collect(),
            group_wait: duration(terms.group_wait_ms),
            group_interval: duration(terms.group_interval_ms),
            repeat_interval: duration(terms.repeat_interval_ms),
            enabled: rule.enabled,
            created_by: rule.created_by,
            created_at: rule.created_at,
            changed_at: rule.changed_at,
            last_fired_at,
        }
    }
}

impl BurnRateShape {
    fn new(burn: BurnRate) -> Self {
        Self {
            objective: burn.objective,
            long: duration(burn.long_ms),
            short: duration(burn.short_ms),
            factor: burn.factor,
            minimum_count: burn.minimum_count,
        }
    }
}
