//! Discord's webhooks: one embed for each alert, nobody is mentioned.

use serde_json::{Value, json};

use super::text::{cut, escaped, line};
use super::{REPEAT, Shipment, heading, link, measured, runbook, since, word};
use crate::model::alert::Severity;
use crate::model::notification::{NotifiedAlert, NotifiedStatus};

/// Longest content.
pub(super) const MAX_CONTENT: usize = 2_000;
/// Embeds at most.
pub(super) const MAX_EMBEDS: usize = 10;
/// Characters of all embeds together.
pub(super) const MAX_TOTAL: usize = 6_000;
/// Longest title of an embed.
pub(super) const MAX_TITLE: usize = 256;
/// Longest value of a field.
pub(super) const MAX_FIELD: usize = 1_024;
/// What begins markdown, a mention or a link.
const SPECIAL: &str = "\\*_~`|<>[]()#-@:";

/// The message.
pub(super) fn body(shipment: &Shipment<'_>) -> String {
    let alerts = &shipment.notification.alerts;
    let chars = if alerts.len() == 1 { 2_000 } else { 300 };
    let (mut embeds, mut total) = (Vec::new(), 0);
    for alert in alerts.iter().take(MAX_EMBEDS) {
        let (embed, size) = embed(alert, chars);
        if total + size > MAX_TOTAL {
            break;
        }
        total += size;
        embeds.push(embed);
    }
    let mut content = safe(&heading(shipment.notification), 1_000);
    if alerts.len() > embeds.len() {
        content = format!("{content}\n{} more alerts are not shown here.", alerts.len() - embeds.len());
    }
    if shipment.may_be_repeat {
        content = format!("{content}\n{REPEAT}");
    }
    json!({ "content": cut(&content, MAX_CONTENT), "embeds": embeds, "allowed_mentions": { "parse": [] } }).to_string()
}

/// One embed, and how much of the total it takes.
fn embed(alert: &NotifiedAlert, chars: usize) -> (Value, usize) {
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let title = safe(&format!("{}: {}", word(alert), alert.rule), MAX_TITLE);
    let description = safe(&alert.summary, chars);
    let mut fields = vec![
        ("Value", format!("{}, {}", safe(&measured(alert), 200), since(alert))),
        ("Labels", safe(&labels.join(", "), chars.min(MAX_FIELD))),
    ];
    if let Some(owner) = &alert.owner {
        fields.push(("Owner", safe(owner, 100)));
    }
    if let Some(url) = runbook(alert, chars.min(MAX_FIELD)) {
        fields.push(("Runbook", url.to_owned()));
    }
    fields.retain(|(_, value)| !value.is_empty());
    let units = |text: &str| text.encode_utf16().count();
    let size = units(&title) + units(&description) + fields.iter().map(|(name, value)| name.len() + units(value)).sum::<usize>();
    let fields: Vec<Value> = fields.into_iter().map(|(name, value)| json!({ "name": name, "value": value, "inline": false })).collect();
    let at = alert.ended_at.unwrap_or(alert.started_at);
    let mut embed = json!({ "title": title, "description": description, "color": color(alert), "fields": fields, "timestamp": at });
    if let Some(url) = link(&alert.url) {
        embed["url"] = url.into();
    }
    (embed, size)
}

const fn color(alert: &NotifiedAlert) -> u32 {
    match (alert.status, alert.severity) {
        (NotifiedStatus::Resolved, _) => 0x2E_CC71,
        (_, Severity::Critical | Severity::Error) => 0xE7_4C3C,
        (_, Severity::Warning) => 0xF1_C40F,
        (_, Severity::Info) => 0x34_98DB,
    }
}

/// Escaping doubles a text at most; it is cut before, so that no escape is torn.
fn safe(text: &str, limit: usize) -> String {
    let whole = escaped(&line(text, limit), SPECIAL);
    if whole.encode_utf16().count() <= limit { whole } else { escaped(&line(text, limit / 2), SPECIAL) }
}
