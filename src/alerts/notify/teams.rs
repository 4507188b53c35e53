//! Microsoft Teams: the body of a Workflows webhook, with one adaptive card. Foreign text goes into text runs, which know no markdown.

use serde_json::{Value, json};

use super::text::{cut, line};
use super::{REPEAT, Shipment, heading, link, measured, runbook, since, standing, word, worst};
use crate::model::alert::Severity;
use crate::model::notification::{NotifiedAlert, NotifiedStatus};

/// 28 KB are documented; messages above about 21 KB were seen to fail.
pub(super) const MAX_BYTES: usize = 20_000;
/// Characters of the texts of a single alert.
const ALONE: usize = 2_000;
/// Longest address of a runbook beside an alert of several.
const MAX_RUNBOOK: usize = 400;

/// The message.
pub(super) fn body(shipment: &Shipment<'_>) -> String {
    let alerts = &shipment.notification.alerts;
    let chars = if alerts.len() == 1 { ALONE } else { 400 };
    let mut shown: Vec<Value> = Vec::new();
    for alert in alerts {
        shown.push(container(alert, chars));
        if message(shipment, &shown, alerts.len() - shown.len()).len() > MAX_BYTES {
            shown.pop();
            break;
        }
    }
    if shown.is_empty()
        && let Some(alert) = alerts.first()
    {
        shown.push(container(alert, 200));
    }
    message(shipment, &shown, alerts.len() - shown.len())
}

fn message(shipment: &Shipment<'_>, shown: &[Value], left_out: usize) -> String {
    let color = match (standing(shipment.notification), worst(shipment.notification)) {
        (NotifiedStatus::Resolved, _) => "Good",
        (_, Severity::Critical | Severity::Error) => "Attention",
        (_, Severity::Warning) => "Warning",
        (_, Severity::Info) => "Accent",
    };
    let mut body = vec![runs(&[(line(&heading(shipment.notification), 300), "Bolder", color)])];
    body.extend(shown.iter().cloned());
    if left_out > 0 {
        body.push(runs(&[(format!("{left_out} more alerts are not shown here."), "Default", "Default")]));
    }
    if shipment.may_be_repeat {
        body.push(runs(&[(REPEAT.to_owned(), "Default", "Default")]));
    }
    let first = shipment.notification.lead();
    let open = |title: &str, url: &str| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let actions: Vec<Value> = first
        .and_then(|alert| link(&alert.url).map(|url| open("Open in Redrive", url)))
        .into_iter()
        .chain(first.and_then(|alert| alert.runbook_url.as_deref().and_then(link).map(|url| open("Runbook", url))))
        .collect();
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": body,
        "actions": actions,
        "msteams": { "width": "full" },
    });
    let attachment = json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
    json!({ "type": "message", "attachments": [attachment] }).to_string()
}

fn container(alert: &NotifiedAlert, chars: usize) -> Value {
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut title = runs(&[(format!("{} ", word(alert)), "Bolder", "Default"), (line(&alert.rule, chars / 2), "Default", "Default")]);
    if let Some(url) = link(&alert.url) {
        title["inlines"][1]["selectAction"] = json!({ "type": "Action.OpenUrl", "url": url });
    }
    let mut items = vec![
        title,
        runs(&[(cut(&alert.summary, chars), "Default", "Default")]),
        runs(&[(format!("{}, {}", line(&measured(alert), 200), since(alert)), "Default", "Default")]),
        runs(&[(line(&labels.join(", "), chars), "Lighter", "Default")]),
    ];
    if let Some(owner) = &alert.owner {
        items.push(runs(&[(format!("Owner: {}", line(owner, 100)), "Lighter", "Default")]));
    }
    // Of a single alert the button leads there.
    if let Some(url) = runbook(alert, MAX_RUNBOOK).filter(|_| chars < ALONE) {
        let mut there = runs(&[("Runbook".to_owned(), "Default", "Default")]);
        there["inlines"][0]["selectAction"] = json!({ "type": "Action.OpenUrl", "url": url });
        items.push(there);
    }
    json!({ "type": "Container", "separator": true, "items": items })
}

fn runs(parts: &[(String, &str, &str)]) -> Value {
    let run = |(text, weight, color): &(String, &str, &str)| json!({ "type": "TextRun", "text": if text.is_empty() { " " } else { text }, "weight": weight, "color": color });
    json!({ "type": "RichTextBlock", "inlines": parts.iter().map(run).collect::<Vec<_>>() })
}
