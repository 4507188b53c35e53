//! PagerDuty, Events API version 2: trigger, acknowledge, resolve, with one dedup key for an alert's whole life.

use serde_json::{Value, json};

use super::text::{cut, line};
use super::{Shipment, clock, link};
use crate::model::notification::{NotifiedAlert, NotifiedStatus};
use crate::model::receiver::Secret;

/// Where events go, unless the receiver says otherwise (the EU has its own).
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Events larger than this are refused.
pub(super) const MAX_BYTES: usize = 512 * 1024;
/// Longest summary.
pub(super) const MAX_SUMMARY: usize = 1_024;
/// Longest dedup key.
const MAX_DEDUP_KEY: usize = 255;

/// The event of the first alert; the outbox holds one delivery for each.
pub(super) fn body(routing_key: &Secret, shipment: &Shipment<'_>) -> String {
    let Some(alert) = shipment.notification.alerts.first() else { return "{}".to_owned() };
    // One service may be told by several installations.
    let mark = shipment.installation.mark(alert).map(|id| format!("{id}-")).unwrap_or_default();
    let dedup_key = line(&format!("{mark}{}", alert.fingerprint), MAX_DEDUP_KEY);
    let action = match alert.status {
        NotifiedStatus::Firing => "trigger",
        NotifiedStatus::Acknowledged => "acknowledge",
        NotifiedStatus::Resolved => "resolve",
    };
    let mut event = json!({ "routing_key": routing_key.expose(), "event_action": action, "dedup_key": dedup_key });
    if alert.status != NotifiedStatus::Firing {
        return event.to_string();
    }
    event["client"] = "Redrive".into();
    if let Some(url) = link(shipment.external_url) {
        event["client_url"] = url.into();
    }
    event["links"] = links(alert);
    event["payload"] = payload(alert, shipment);
    event["payload"]["custom_details"] = details(alert, shipment);
    let whole = event.to_string();
    if whole.len() <= MAX_BYTES {
        return whole;
    }
    event["payload"]["custom_details"] = json!({ "left_out": format!("{} labels, too long for one event", alert.labels.len()) });
    event.to_string()
}

fn links(alert: &NotifiedAlert) -> Value {
    let open = link(&alert.url).map(|url| json!({ "href": url, "text": "Open in Redrive" }));
    let runbook = alert.runbook_url.as_deref().and_then(link).map(|url| json!({ "href": url, "text": "Runbook" }));
    open.into_iter().chain(runbook).collect()
}

fn payload(alert: &NotifiedAlert, shipment: &Shipment<'_>) -> Value {
    let label = |name: &str| alert.labels.get(name).map(|value| line(value, 255));
    let summary = if alert.summary.is_empty() { &alert.rule } else { &alert.summary };
    json!({
        "summary": cut(summary, MAX_SUMMARY),
        "source": label("bus").unwrap_or_else(|| "redrive".to_owned()),
        "severity": alert.severity.as_str(),
        "timestamp": alert.started_at,
        "component": label("topic").or_else(|| label("service")),
        "group": label("consumer_group"),
        "class": line(&alert.rule, 255),
        "custom_details": { "reason": shipment.notification.reason },
    })
}

fn details(alert: &NotifiedAlert, shipment: &Shipment<'_>) -> Value {
    json!({
        "labels": alert.labels,
        "value": alert.value,
        "threshold": alert.threshold,
        "unit": alert.unit,
        "since": clock(alert.started_at),
        "owner": alert.owner,
        "url": alert.url,
        "runbook_url": alert.runbook_url,
        "reason": shipment.notification.reason,
    })
}
