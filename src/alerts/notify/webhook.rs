//! The generic webhook: our own JSON, one alert each, signed as Standard Webhooks 1.0.0 says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::text::{cut, line};
use super::{Incomplete, Shipment};
use crate::model::notification::{NotifiedAlert, NotifiedStatus, Reason};
use crate::model::receiver::{Endpoint, Secret};
use crate::model::{Timestamp, alert::Severity};

/// The specification recommends bodies below 20 kB.
pub const MAX_BYTES: usize = 20_000;
/// What secrets begin with.
pub const PREFIX: &str = "whsec_";

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    status: NotifiedStatus,
    reason: Reason,
    fingerprint: &'a str,
    rule: String,
    severity: Severity,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_zero")]
    labels_left_out: usize,
    value: Option<f64>,
    threshold: f64,
    unit: String,
    summary: String,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    url: String,
    runbook_url: Option<String>,
    owner: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The body of the first alert; the outbox holds one delivery for each.
pub(super) fn body(shipment: &Shipment<'_>) -> String {
    let Some(alert) = shipment.notification.alerts.first() else { return "{}".to_owned() };
    // Ever less of long texts, until it fits; what is left out is counted.
    for (labels, chars) in [(64, 2_000), (64, 500), (32, 200), (8, 100), (0, 40)] {
        let text = serde_json::to_string(&whole(shipment, alert, labels, chars)).unwrap_or_default();
        if text.len() <= MAX_BYTES {
            return text;
        }
    }
    String::new()
}

fn whole<'a>(shipment: &Shipment<'a>, alert: &'a NotifiedAlert, labels: usize, chars: usize) -> Body<'a> {
    // Two types of events there are: what somebody has in hand fires still.
    let status = if alert.status == NotifiedStatus::Resolved { NotifiedStatus::Resolved } else { NotifiedStatus::Firing };
    let kept = alert.labels.iter().take(labels).map(|(name, value)| (line(name, chars.min(200)), line(value, chars)));
    let data = Data {
        status,
        reason: shipment.notification.reason,
        fingerprint: &alert.fingerprint,
        rule: line(&alert.rule, chars.min(500)),
        severity: alert.severity,
        labels: kept.collect(),
        labels_left_out: alert.labels.len().saturating_sub(labels),
        value: alert.value,
        threshold: alert.threshold,
        unit: line(&alert.unit, 40),
        summary: cut(&alert.summary, chars),
        started_at: alert.started_at,
        ended_at: alert.ended_at,
        url: if alert.url.len() <= chars * 2 { alert.url.clone() } else { String::new() },
        runbook_url: alert.runbook_url.clone().filter(|url| url.len() <= chars * 2),
        owner: alert.owner.as_deref().map(|owner| line(owner, chars.min(200))),
    };
    let kind = if status == NotifiedStatus::Resolved { "alert.resolved" } else { "alert.firing" };
    Body { r#type: kind, timestamp: shipment.notification.at, data }
}

/// `webhook-id`, `webhook-timestamp`, and a signature by each secret: two while they are changed over.
pub(super) fn headers(endpoint: &Endpoint, shipment: &Shipment<'_>, body: &str) -> Result<Vec<(String, String)>, Incomplete> {
    let seconds = shipment.at.as_millis().div_euclid(1_000);
    let mut headers = vec![("webhook-id".to_owned(), shipment.id.to_owned()), ("webhook-timestamp".to_owned(), seconds.to_string())];
    let mut signatures = Vec::new();
    for secret in [&endpoint.secret, &endpoint.previous_secret].into_iter().flatten() {
        let key = key(secret).ok_or(Incomplete("usable secret"))?;
        signatures.push(sign(&key, shipment.id, seconds, body));
    }
    if !signatures.is_empty() {
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    Ok(headers)
}

/// The bytes of a secret: 24 to 64, as base64 after the prefix.
#[must_use]
pub fn key(secret: &Secret) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

/// A new secret, of 32 random bytes.
#[must_use]
pub fn new_secret(random: [u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", STANDARD.encode(random)))
}

fn sign(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
