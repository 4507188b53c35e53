//! What receivers are sent: a body for each kind within its documented limits, built from a notification without any I/O; and the one
//! place that posts it ([`courier`]) through a filter of addresses ([`guard`]).
//!
//! Limits and names of fields: the kinds' own documentation, of 2026.

use crate::model::notification::{Installation, Notification, NotifiedAlert, NotifiedStatus, Reason};
use crate::model::quantity::{duration_words, number_in_words};
use crate::model::receiver::{Endpoint, ReceiverKind};
use crate::model::{Timestamp, alert::Severity};

pub mod alertmanager;
pub mod courier;
mod discord;
mod email;
pub mod guard;
pub mod ladder;
mod pagerduty;
mod slack;
mod smtp;
mod teams;
mod text;
pub mod verify;
pub mod webhook;

pub use email::Mail;
pub use pagerduty::URL as PAGERDUTY_URL;

/// What one delivery is about.
#[derive(Debug, Clone, Copy)]
pub struct Shipment<'a> {
    /// The delivery's id, the same for every attempt: `webhook-id`.
    pub id: &'a str,
    /// What is told.
    pub notification: &'a Notification,
    /// Whether an attempt before this one may have arrived, though nobody knows: said to receivers that cannot tell by themselves.
    pub may_be_repeat: bool,
    /// Addresses that have this mail already.
    pub had_by: &'a [String],
    /// Who tells.
    pub installation: &'a Installation,
    /// When this attempt is made.
    pub at: Timestamp,
    /// Name of the receiver.
    pub receiver: &'a str,
    /// How people reach Redrive; may be empty.
    pub external_url: &'a str,
}

/// What is handed to the courier.
#[derive(Clone)]
pub enum Parcel {
    /// An HTTP POST.
    Post(Post),
    /// A mail.
    Mail(Mail),
}

/// An HTTP POST of JSON.
#[derive(Clone)]
pub struct Post {
    /// Where to. Secret.
    pub url: String,
    /// Headers beside the content's type. Secret.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The receiver lacks something that its kind needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the receiver has no {0}; enter it again")]
pub struct Incomplete(pub &'static str);

/// Builds what a receiver of this kind is sent.
pub fn pack(kind: ReceiverKind, endpoint: &Endpoint, shipment: &Shipment<'_>) -> Result<Parcel, Incomplete> {
    if kind == ReceiverKind::Email {
        let smtp = endpoint.smtp.clone().ok_or(Incomplete("mail server"))?;
        return Ok(Parcel::Mail(email::build(smtp, shipment)));
    }
    let url = match (&endpoint.url, kind) {
        (Some(url), _) => url.expose().to_owned(),
        (None, ReceiverKind::Pagerduty) => pagerduty::URL.to_owned(),
        (None, _) => return Err(Incomplete("url")),
    };
    let mut headers: Vec<(String, String)> =
        endpoint.headers.iter().map(|header| (header.name.clone(), header.value.expose().to_owned())).collect();
    let body = match kind {
        ReceiverKind::Webhook => {
            let body = webhook::body(shipment);
            headers.extend(webhook::headers(endpoint, shipment, &body)?);
            body
        }
        ReceiverKind::Slack => slack::body(shipment),
        ReceiverKind::Teams => teams::body(shipment),
        ReceiverKind::Discord => discord::body(shipment),
        ReceiverKind::Pagerduty => pagerduty::body(endpoint.routing_key.as_ref().ok_or(Incomplete("routing key"))?, shipment),
        ReceiverKind::Alertmanager if alertmanager::is_api(&url) => {
            alertmanager::push(shipment.notification.alerts.iter(), shipment.installation, shipment.at)
        }
        ReceiverKind::Alertmanager => alertmanager::webhook(shipment),
        ReceiverKind::Email => return Err(Incomplete("url")),
    };
    Ok(Parcel::Post(Post { url, headers, body }))
}

/// Where a group stands.
fn standing(notification: &Notification) -> NotifiedStatus {
    notification.standing()
}

/// The worst severity among alerts that have not ended, or among all.
fn worst(notification: &Notification) -> Severity {
    let open = notification.alerts.iter().filter(|alert| alert.status != NotifiedStatus::Resolved).map(|alert| alert.severity).min();
    open.or_else(|| notification.alerts.iter().map(|alert| alert.severity).min()).unwrap_or(Severity::Info)
}

/// The heading: how it stands, what, and how many more.
fn heading(notification: &Notification) -> String {
    let word = match standing(notification) {
        NotifiedStatus::Firing => "Firing",
        NotifiedStatus::Acknowledged => "Acknowledged",
        NotifiedStatus::Resolved => "Resolved",
    };
    let rule = notification.lead().map_or("", |alert| alert.rule.as_str());
    let more = notification.alerts.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let test = if notification.reason == Reason::Test { "Test: " } else { "" };
    format!("{test}{word}: {rule}{more}")
}

/// One alert's figure in words: `12,345 messages, threshold 10,000 messages`; `25 %, threshold 20 %`.
fn measured(alert: &NotifiedAlert) -> String {
    let value = alert.value.map_or_else(|| "no data".to_owned(), |value| number_in_words(value, &alert.unit));
    format!("{value}, threshold {}", number_in_words(alert.threshold, &alert.unit))
}

/// Since when, by a clock that is the same for everybody, and of what is over how long it lasted: whoever is told again sees that it is
/// not new. `since 2026-11-30 02:43 UTC`; `since 2026-11-30 02:43 UTC, lasted 31 min`.
fn since(alert: &NotifiedAlert) -> String {
    let since = format!("since {}", clock(alert.started_at));
    match alert.ended_at {
        Some(at) => format!("{since}, lasted {}", duration_words(alert.started_at.age_at(at))),
        None => since,
    }
}

/// `2026-11-30 02:43 UTC`.
fn clock(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.get(..5).unwrap_or(time))
}

/// One alert in a word: how bad it is while it fires and nobody has it.
const fn word(alert: &NotifiedAlert) -> &'static str {
    match alert.status {
        NotifiedStatus::Firing => alert.severity.as_str(),
        status => status.as_str(),
    }
}

/// What to do about an alert, where its address is no longer than this.
fn runbook(alert: &NotifiedAlert, longest: usize) -> Option<&str> {
    alert.runbook_url.as_deref().and_then(link).filter(|url| url.len() <= longest)
}

/// A link that a chat can show; relative and other addresses are none.
fn link(url: &str) -> Option<&str> {
    let fits = url.len() <= 2_000 && !url.chars().any(|c| c.is_whitespace() || c.is_control() || "<>|\"".contains(c));
    (fits && (url.starts_with("https://") || url.starts_with("http://"))).then_some(url)
}

/// What is said when a post may be a repeat.
const REPEAT: &str = "This may be a repeat: an earlier try ended before its answer was known.";

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
