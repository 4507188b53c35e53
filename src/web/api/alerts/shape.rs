//! An alert as the API shows it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::super::super::view::alert::unknown::{Known, Unknown};
use super::super::super::view::alert::way::ways;
use super::super::happenings::HappeningShape;
use super::super::replays::duration;
use crate::model::Timestamp;
use crate::model::alert::{Acknowledgement, Alert, AlertRule, Cause};
use crate::store::alerts::AlertFigures;
use crate::store::{Store, StoreError};

/// Alerts of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AlertList {
    pub(super) items: Vec<AlertShape>,
    pub(super) next_cursor: Option<String>,
    /// When rules were last looked at, to about five seconds; null where they never were. What stands here is what was known then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) looked_at: Option<Timestamp>,
    /// Figures that could not be read then: rules on them know nothing.
    pub(super) unread_figures: Vec<&'static str>,
}

/// An alert.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::web) struct AlertShape {
    id: String,
    rule_id: String,
    rule: String,
    /// The same for the same rule and labels, for ever.
    fingerprint: String,
    /// `pending`, `firing`, `recovering` or `resolved`.
    state: &'static str,
    /// `no_data` or `error` while it fires without a value.
    cause: Option<&'static str>,
    severity: &'static str,
    labels: BTreeMap<String, String>,
    figure: &'static str,
    value: Option<f64>,
    threshold: f64,
    unit: String,
    summary: String,
    runbook_url: Option<String>,
    owner: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pending_since: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    recovering_since: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
    /// When it was last looked at, to about ten seconds.
    #[schema(value_type = String, format = DateTime)]
    evaluated_at: Timestamp,
    /// Since when nothing is known of its figure: `value` is the last that was. Null while it is known, and when the alert is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    no_data_since: Option<Timestamp>,
    /// Why nothing is known of it.
    no_data_reason: Option<String>,
    /// Who has taken note, while it counts.
    acknowledgement: Option<AcknowledgementShape>,
    /// Id of the silence that covers it.
    silenced_by: Option<String>,
    /// Id of the alert that explains it.
    inhibited_by: Option<String>,
    receivers: Vec<String>,
    /// Its page.
    url: String,
    /// Pages that explain it, over the time in which it happened; the best first.
    ways: Vec<WayShape>,
}

/// A page that explains an alert.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WayShape {
    url: String,
    /// What a link to it says.
    text: &'static str,
}

/// One alert, with what happened around its beginning.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AlertDetail {
    #[serde(flatten)]
    pub(super) alert: AlertShape,
    /// Ids of alerts that it explains: nobody is told of them while it goes on.
    pub(super) mutes: Vec<String>,
    /// What happened on its bus from 30 minutes before it began to two minutes after, as far as causes are noticed late; the newest first,
    /// at most 100 each of rebalances, of failure groups (of its topic, where it has one) and of all else. `/buses/{bus}/happenings` has all
    /// of it. Its bus is that of its labels, or the only one that its rule's filter lets through; empty where it is about none, or over
    /// several.
    pub(super) before: Vec<HappeningShape>,
}

/// Somebody has taken note.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AcknowledgementShape {
    by: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    note: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// What shapes of alerts are made of beside the alerts.
#[derive(Debug, Default)]
pub(in crate::web) struct Beside {
    rules: HashMap<i64, AlertRule>,
    known: Known,
}

impl Beside {
    /// Reads it, where something is not known of one of these alerts.
    pub(in crate::web) async fn load(store: &Store, alerts: &[Alert]) -> Result<Self, StoreError> {
        if alerts.iter().all(|alert| alert.standing.missing_since.is_none()) {
            return Ok(Self::default());
        }
        let rules = store.list_alert_rules().await?;
        Ok(Self { rules: rules.into_iter().map(|rule| (rule.number, rule)).collect(), known: Known::load(store).await? })
    }
}

impl AlertShape {
    /// One alert; `base` is the beginning of addresses.
    pub(in crate::web) async fn of_one(store: &Store, alert: Alert, base: &str, now: Timestamp) -> Result<Self, StoreError> {
        let beside = Beside::load(store, std::slice::from_ref(&alert)).await?;
        Ok(Self::new(alert, &beside, base, now))
    }

    /// `base` is the beginning of addresses.
    pub(in crate::web) fn new(alert: Alert, beside: &Beside, base: &str, now: Timestamp) -> Self {
        let unknown = Unknown::new(&alert, beside.rules.get(&alert.rule), &beside.known, now);
        let ways = ways(&alert).into_iter().map(|way| WayShape { url: format!("{base}{}", way.href), text: way.words }).collect();
        let (standing, details) = (alert.standing, alert.details);
        Self {
            id: alert.number.to_string(),
            rule_id: alert.rule.to_string(),
            rule: details.rule,
            fingerprint: alert.fingerprint,
            state: standing.state.as_str(),
            cause: standing.cause.map(Cause::as_str),
            severity: details.severity.as_str(),
            labels: alert.labels,
            figure: details.figure.as_str(),
            value: standing.last_value,
            threshold: details.threshold,
            unit: details.unit,
            summary: details.summary,
            runbook_url: details.runbook_url,
            owner: details.owner,
            pending_since: standing.pending_since,
            started_at: standing.started_at,
            recovering_since: standing.recovering_since,
            resolved_at: standing.resolved_at,
            evaluated_at: standing.last_eval,
            no_data_since: unknown.as_ref().map(|unknown| unknown.since),
            no_data_reason: unknown.map(|unknown| unknown.why),
            acknowledgement: alert.acknowledgement.filter(|note| note.counts(now)).map(AcknowledgementShape::new),
            silenced_by: alert.silenced_by.map(|id| id.to_string()),
            inhibited_by: alert.inhibited_by.filter(|id| *id > 0).map(|id| id.to_string()),
            receivers: details.receivers.iter().map(ToString::to_string).collect(),
            url: format!("{base}/alerts/{}", alert.number),
            ways,
        }
    }
}

impl AcknowledgementShape {
    fn new(note: Acknowledgement) -> Self {
        Self { by: note.by, at: note.at, note: note.note, expires_at: note.expires_at }
    }
}

/// Figures of rules.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FiguresList {
    pub(super) items: Vec<FiguresShape>,
    pub(super) next_cursor: Option<String>,
}

/// What a rule's alerts came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FiguresShape {
    rule_id: String,
    rule: String,
    /// Alerts that fired.
    fired: u64,
    /// Those that somebody has taken note of.
    acknowledged: u64,
    /// The time until then, on average.
    time_to_acknowledge: Option<String>,
    /// Those that are over.
    resolved: u64,
    /// The time until then, on average.
    time_to_resolve: Option<String>,
}

impl FiguresShape {
    pub(super) fn new(figures: AlertFigures) -> Self {
        let length = |time: std::time::Duration| duration(time.as_secs().saturating_mul(1_000));
        Self {
            rule_id: figures.rule.to_string(),
            rule: figures.name,
            fired: figures.fired,
            acknowledged: figures.acknowledged,
            time_to_acknowledge: figures.acknowledge.map(length),
            resolved: figures.resolved,
            time_to_resolve: figures.resolve.map(length),
        }
    }
}
