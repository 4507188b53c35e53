//! Slack's incoming webhooks, and what is compatible with them. A message cannot be changed later: "resolved" is a new one.

use serde_json::{Value, json};

use super::text::{cut, line};
use super::{REPEAT, Shipment, heading, link, measured, runbook, since, word};
use crate::model::notification::NotifiedAlert;

/// Longest header.
pub(super) const MAX_HEADER: usize = 150;
/// Longest text of a section.
pub(super) const MAX_SECTION: usize = 3_000;
/// Blocks at most.
pub(super) const MAX_BLOCKS: usize = 50;
/// Messages above about 13,000 characters fail as a whole, whatever their parts (slackapi/bolt-js issue 2509).
pub(super) const MAX_MESSAGE: usize = 12_000;
/// Characters of one alert in a message about several.
const SHARE: usize = 1_200;
/// Longest address behind an alert's name: a section has room for no longer one beside its text.
const MAX_LINK: usize = 400;

/// The message.
pub(super) fn body(shipment: &Shipment<'_>) -> String {
    let alerts = &shipment.notification.alerts;
    let title = heading(shipment.notification);
    let mut blocks = vec![json!({ "type": "header", "text": { "type": "plain_text", "text": line(&title, MAX_HEADER) } })];
    let limit = if alerts.len() == 1 { MAX_SECTION } else { SHARE };
    let (mut shown, mut size) = (0, 0);
    for alert in alerts {
        let block = json!({ "type": "section", "text": { "type": "mrkdwn", "text": section(alert, limit) } });
        size += block.to_string().chars().count() + 1;
        // Room for the heading, twice, and for what is said at the end.
        if size > MAX_MESSAGE - 6_000 && shown > 0 || blocks.len() + 4 > MAX_BLOCKS {
            break;
        }
        blocks.push(block);
        shown += 1;
    }
    if alerts.len() > shown {
        blocks.push(context(&format!("{} more alerts are not shown here.", alerts.len() - shown)));
    }
    if shipment.may_be_repeat {
        blocks.push(context(REPEAT));
    }
    if let Some(actions) = actions(shipment.notification.lead()) {
        blocks.push(actions);
    }
    json!({ "text": escaped_line(&title, 500), "blocks": blocks }).to_string()
}

fn section(alert: &NotifiedAlert, limit: usize) -> String {
    let word = word(alert);
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let owner = alert.owner.as_ref().map_or_else(String::new, |owner| format!("\nOwner: {}", escaped_line(owner, 100)));
    // Escaping makes text up to five times longer, so each part is cut after it.
    let name = escaped_line(&alert.rule, limit / 6);
    let head = match link(&alert.url).map(|url| url.replace('&', "&amp;")).filter(|url| url.len() <= MAX_LINK && !name.trim().is_empty()) {
        Some(url) => format!("*{word}* <{url}|{name}>\n"),
        None => format!("*{word}* {name}\n"),
    };
    // Of a single alert the button leads there.
    let runbook = runbook(alert, MAX_LINK).filter(|_| limit < MAX_SECTION);
    let runbook = runbook.map_or_else(String::new, |url| format!("\n<{}|Runbook>", url.replace('&', "&amp;")));
    let facts = format!("\n{}, {}{owner}{runbook}", escaped_line(&measured(alert), 200), since(alert));
    let summary = escaped(&cut(&alert.summary, limit), limit / 3);
    let labels = escaped_line(&labels.join(", "), limit / 5);
    format!("{head}{summary}{facts}\n{labels}")
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": text }] })
}

fn actions(alert: Option<&NotifiedAlert>) -> Option<Value> {
    let button = |text: &str, url: &str| json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "url": url });
    let alert = alert?;
    let open = link(&alert.url).map(|url| button("Open in Redrive", url));
    let runbook = alert.runbook_url.as_deref().and_then(link).map(|url| button("Runbook", url));
    let elements: Vec<Value> = open.into_iter().chain(runbook).collect();
    (!elements.is_empty()).then(|| json!({ "type": "actions", "elements": elements }))
}

/// Slack's three entities; nothing is torn where it is cut. The asterisk and its like only change how text looks.
fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut units = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece: &str = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => c.encode_utf8(&mut buffer),
        };
        units += piece.encode_utf16().count();
        if units >= limit {
            out.push('…');
            return out;
        }
        out.push_str(piece);
    }
    out
}

fn escaped_line(text: &str, limit: usize) -> String {
    escaped(&line(text, limit), limit)
}
