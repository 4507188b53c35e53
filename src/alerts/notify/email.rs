//! Mail: subject and plain text.

use std::fmt::Write as _;

use super::text::{cut, line};
use super::{REPEAT, Shipment, clock, heading, link, measured, since, word};
use crate::model::receiver::Smtp;

/// Longest subject.
pub(super) const MAX_SUBJECT: usize = 200;
/// Longest text, in bytes; mail servers take much more, people do not.
pub(super) const MAX_TEXT: usize = 100_000;

/// A mail.
#[derive(Clone)]
pub struct Mail {
    /// Server, sender and recipients.
    pub smtp: Smtp,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same for every attempt, so that mail servers can tell a repeat.
    pub message_id: String,
    /// Addresses that have it already.
    pub had_by: Vec<String>,
}

/// The mail about a notification.
pub(super) fn build(smtp: Smtp, shipment: &Shipment<'_>) -> Mail {
    let alerts = &shipment.notification.alerts;
    let mut text = String::new();
    let mut shown = 0;
    for alert in alerts {
        let before = text.len();
        let _ =
            writeln!(text, "{}: {}\n{}\n{}", word(alert), line(&alert.rule, 200), cut(&alert.summary, 4_000), line(&measured(alert), 200));
        for (name, value) in alert.labels.iter().take(50) {
            let _ = writeln!(text, "{}: {}", line(name, 100), line(value, 300));
        }
        let _ = writeln!(text, "{}", since(alert));
        if let Some(at) = alert.ended_at {
            let _ = writeln!(text, "ended: {}", clock(at));
        }
        let links = [("page", Some(alert.url.as_str())), ("runbook", alert.runbook_url.as_deref())];
        for (name, url) in links.into_iter().filter_map(|(name, url)| Some((name, link(url?)?))) {
            let _ = writeln!(text, "{name}: {url}");
        }
        if let Some(owner) = &alert.owner {
            let _ = writeln!(text, "owner: {}", line(owner, 200));
        }
        text.push('\n');
        if text.len() > MAX_TEXT - 1_000 {
            text.truncate(before);
            break;
        }
        shown += 1;
    }
    if alerts.len() > shown {
        let _ = writeln!(text, "{} more alerts are not shown here.", alerts.len() - shown);
    }
    if shipment.may_be_repeat {
        let _ = writeln!(text, "{REPEAT}");
    }
    let host = smtp.from.rsplit('@').next().unwrap_or("redrive").trim_end_matches('>').to_owned();
    let message_id = format!("<{}@{host}>", shipment.id);
    Mail { smtp, subject: line(&heading(shipment.notification), MAX_SUBJECT), text, message_id, had_by: shipment.had_by.to_vec() }
}
