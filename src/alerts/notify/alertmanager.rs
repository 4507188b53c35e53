//! Alertmanager, both ways: the body that its webhooks have (version 4), for whatever takes that; and pushing alerts to its API.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::{cut, line};
use super::{Shipment, standing};
use crate::model::Timestamp;
use crate::model::notification::{Installation, NotifiedAlert, NotifiedStatus, Reason};
use crate::model::quantity::number_in_words;

/// Path of the API that takes alerts.
const API: &str = "/api/v2/alerts";
/// Alerts in one webhook body; the rest is counted, as Alertmanager does.
pub const MAX_ALERTS: usize = 500;
/// Characters of a label's value or an annotation.
const MAX_TEXT: usize = 4_000;
/// Go's zero time: an end that is not known.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// Whether this address is an Alertmanager's own API; anything else is posted the body of its webhooks.
#[must_use]
pub fn is_api(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/').ends_with(API)
}

#[derive(Serialize)]
struct Body {
    receiver: String,
    status: &'static str,
    alerts: Vec<Alert>,
    #[serde(rename = "groupLabels")]
    group_labels: BTreeMap<String, String>,
    #[serde(rename = "commonLabels")]
    common_labels: BTreeMap<String, String>,
    #[serde(rename = "commonAnnotations")]
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    #[serde(rename = "groupKey")]
    group_key: String,
    #[serde(rename = "truncatedAlerts")]
    truncated_alerts: usize,
    notification_reason: &'static str,
    #[serde(rename = "routeLabels")]
    route_labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Alert {
    status: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: Timestamp,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// The body of a webhook. An acknowledged alert still fires: Alertmanager knows no third state.
pub(super) fn webhook(shipment: &Shipment<'_>) -> String {
    let notification = shipment.notification;
    let alerts: Vec<Alert> = notification.alerts.iter().take(MAX_ALERTS).map(|told| alert(told, shipment.installation)).collect();
    let body = Body {
        receiver: line(shipment.receiver, 200),
        status: if standing(notification) == NotifiedStatus::Resolved { "resolved" } else { "firing" },
        group_labels: notification.group_labels.iter().map(|(name, value)| (label_name(name), line(value, MAX_TEXT))).collect(),
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: shipment.external_url.to_owned(),
        version: "4",
        group_key: line(&notification.group_key, MAX_TEXT),
        truncated_alerts: notification.alerts.len() - alerts.len(),
        notification_reason: reason(notification.reason),
        route_labels: BTreeMap::new(),
        alerts,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn alert(alert: &NotifiedAlert, installation: &Installation) -> Alert {
    let resolved = alert.status == NotifiedStatus::Resolved;
    Alert {
        status: if resolved { "resolved" } else { "firing" },
        labels: labels(alert, installation),
        annotations: annotations(alert),
        starts_at: alert.started_at,
        ends_at: alert.ended_at.filter(|_| resolved).map_or_else(|| NO_END.to_owned(), Timestamp::to_rfc3339),
        generator_url: alert.url.clone(),
        fingerprint: alert.fingerprint.clone(),
    }
}

#[derive(Serialize)]
struct Pushed {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: Timestamp,
    #[serde(rename = "endsAt")]
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

/// A firing alert ends for an Alertmanager that hears nothing of it for so long; it is pushed again every minute.
pub const HELD_FOR: std::time::Duration = std::time::Duration::from_mins(5);

/// The body of a push to the API.
#[must_use]
pub fn push<'a>(alerts: impl Iterator<Item = &'a NotifiedAlert>, installation: &Installation, now: Timestamp) -> String {
    let pushed = alerts.map(|alert| Pushed {
        labels: labels(alert, installation),
        annotations: annotations(alert),
        starts_at: alert.started_at,
        ends_at: if alert.status == NotifiedStatus::Resolved { alert.ended_at.unwrap_or(now) } else { now.plus(HELD_FOR) },
        generator_url: alert.url.clone(),
    });
    serde_json::to_string(&pushed.collect::<Vec<_>>()).unwrap_or_default()
}

/// Alertmanager knows an alert by its labels, so nothing that changes may be one, and one says whose it is: several installations may push to
/// one.
fn labels(alert: &NotifiedAlert, installation: &Installation) -> BTreeMap<String, String> {
    let own = alert.labels.iter().filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<String, String> = own.map(|(name, value)| (label_name(name), line(value, MAX_TEXT))).collect();
    labels.insert("alertname".to_owned(), line(&alert.rule, MAX_TEXT));
    labels.insert("severity".to_owned(), alert.severity.as_str().to_owned());
    if let Some(id) = installation.mark(alert) {
        labels.insert("redrive".to_owned(), id.to_owned());
    }
    labels
}

fn annotations(alert: &NotifiedAlert) -> BTreeMap<String, String> {
    let in_words = |value| number_in_words(value, &alert.unit);
    let all = [
        ("summary", Some(cut(&alert.summary, MAX_TEXT))),
        ("value", alert.value.map(in_words)),
        ("threshold", Some(in_words(alert.threshold))),
        ("runbook_url", alert.runbook_url.clone()),
        ("owner", alert.owner.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A name that every version accepts: letters, digits, underscores, no digit first.
fn label_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).take(200).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

fn common<'a>(mut sets: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let Some(first) = sets.next() else { return BTreeMap::new() };
    sets.fold(first.clone(), |mut common, set| {
        common.retain(|name, value| set.get(name) == Some(value));
        common
    })
}

const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::First | Reason::Test => "first notification",
        Reason::NewAlerts => "new alerts in group",
        Reason::SomeResolved => "some alerts resolved",
        Reason::AllResolved => "all alerts resolved",
        Reason::Repeat => "repeat interval elapsed",
        Reason::Acknowledged => "acknowledged",
    }
}
