//! Bodies at ordinary and at the largest inputs.

use serde_json::Value;

use super::fixture::{NOW, alert, notification};
use super::*;
use crate::model::receiver::{CustomHeader, Secret, Smtp, SmtpTls};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// Texts that grow when they are escaped, that count twice, or that hold markup.
const TEXTS: &[&str] = &["a", "é", "\u{1F600}", "&", "<", "\"", "\\", "\n", "*", "`", "\u{1}", "<@everyone>[x](https://evil) ", "日本"];

fn endpoint(kind: ReceiverKind) -> Endpoint {
    Endpoint {
        url: (kind != ReceiverKind::Email).then(|| Secret::new("https://hooks.example.com/services/T/B/x")),
        secret: (kind == ReceiverKind::Webhook).then(|| Secret::new(SECRET)),
        routing_key: (kind == ReceiverKind::Pagerduty).then(|| Secret::new("0123456789abcdef0123456789abcdef")),
        smtp: (kind == ReceiverKind::Email).then(|| Smtp {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: SmtpTls::Starttls,
            username: None,
            password: None,
            from: "Redrive <redrive@example.com>".to_owned(),
            to: vec!["oncall@example.com".to_owned()],
        }),
        headers: vec![CustomHeader { name: "x-team".to_owned(), value: Secret::new("payments") }],
        ..Endpoint::default()
    }
}

fn packed(kind: ReceiverKind, notification: &Notification, may_be_repeat: bool) -> Parcel {
    pack(kind, &endpoint(kind), &Shipment { may_be_repeat, ..shipment(notification) }).expect("the receiver is complete")
}

/// A first attempt, by the installation `1a2b`, that bears its id since [`NOW`].
fn shipment(notification: &Notification) -> Shipment<'_> {
    static OURS: std::sync::LazyLock<Installation> = std::sync::LazyLock::new(|| Installation { id: "1a2b".to_owned(), marked_since: NOW });
    Shipment {
        id: "0198",
        notification,
        may_be_repeat: false,
        had_by: &[],
        installation: &OURS,
        at: NOW,
        receiver: "on call",
        external_url: "https://redrive.example.com",
    }
}

fn body(kind: ReceiverKind, notification: &Notification) -> (String, Value) {
    let Parcel::Post(post) = packed(kind, notification, true) else { panic!("{kind} is posted") };
    let value = serde_json::from_str(&post.body).unwrap_or_else(|error| panic!("{kind}: {error}: {}", post.body));
    (post.body, value)
}

fn units(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// Every text repeated to a size that nobody needs, in one alert and in many.
fn largest() -> Vec<Notification> {
    let texts = TEXTS.iter().map(|text| text.repeat(5_000 / text.len() + 1)).collect::<Vec<_>>();
    texts
        .iter()
        .flat_map(|text| [notification(1, text), notification(60, text)])
        .chain([notification(2_000, ""), notification(1, "")])
        .collect()
}

#[test]
fn slack_messages_stay_within_their_limits() {
    for notification in largest() {
        let (text, message) = body(ReceiverKind::Slack, &notification);
        assert!(text.chars().count() < 13_000, "{}", text.chars().count());
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= slack::MAX_BLOCKS && units(&blocks[0]["text"]["text"]) <= slack::MAX_HEADER);
        let sections: Vec<&Value> = blocks.iter().filter(|block| block["type"] == "section").collect();
        assert!(!sections.is_empty() && sections.iter().all(|block| (1..=slack::MAX_SECTION).contains(&units(&block["text"]["text"]))));
        let left_out = notification.alerts.len() - sections.len();
        assert_eq!(text.contains(&format!("{left_out} more alerts")), left_out > 0);
        let foreign = sections.iter().map(|block| &block["text"]["text"]).chain([&message["text"]]);
        let ours = ["<https://redrive.example.com/buses/prod/consumer-groups/billing|", "<https://runbooks.example.com/lag|"];
        let foreign =
            foreign.into_iter().map(|text| ours.iter().fold(text.as_str().unwrap().to_owned(), |text, ours| text.replace(ours, "")));
        assert!(foreign.into_iter().all(|text| !text.contains('<')), "no mention gets through");
    }
}

#[test]
fn teams_messages_stay_within_their_limits() {
    for notification in largest() {
        let (text, message) = body(ReceiverKind::Teams, &notification);
        assert!(text.len() <= 21_000, "{}", text.len());
        let card = &message["attachments"][0]["content"];
        let shown = card["body"].as_array().unwrap().iter().filter(|part| part["type"] == "Container").count();
        let left_out = notification.alerts.len() - shown;
        assert!(shown > 0);
        assert_eq!(text.contains(&format!("{left_out} more alerts")), left_out > 0);
        assert!(!text.contains("\"TextBlock\""), "foreign text is never read as markdown");
    }
}

#[test]
fn a_group_is_headed_by_what_still_fires_and_leads_to_each_of_its_alerts() {
    let mut told = notification(3, "");
    let named = ["Bus unreachable", "Group lags", "Dead letters arrive"];
    for (alert, name) in told.alerts.iter_mut().zip(named) {
        (alert.rule, alert.url) = (name.to_owned(), format!("https://redrive.example.com/{}?a=1&b=2", name.len()));
    }
    (told.alerts[0].status, told.alerts[0].ended_at) = (NotifiedStatus::Resolved, Some(NOW));
    told.alerts[1].severity = Severity::Warning;
    told.alerts[2].status = NotifiedStatus::Acknowledged;
    assert_eq!(heading(&told), "Firing: Group lags and 2 more");
    let (text, slack) = body(ReceiverKind::Slack, &told);
    let button = slack["blocks"].as_array().unwrap().iter().find(|block| block["type"] == "actions").unwrap();
    assert_eq!(button["elements"][0]["url"], "https://redrive.example.com/10?a=1&b=2", "the button leads to what fires");
    let (teams_text, teams) = body(ReceiverKind::Teams, &told);
    assert_eq!(teams["attachments"][0]["content"]["actions"][0]["url"], "https://redrive.example.com/10?a=1&b=2");
    for (alert, name) in told.alerts.iter().zip(named) {
        assert!(text.contains(&format!("<https://redrive.example.com/{}?a=1&amp;b=2|{name}>", name.len())), "{name}: {text}");
        let linked = format!(r#""selectAction":{{"type":"Action.OpenUrl","url":"{}"}},"text":"{name}""#, alert.url);
        assert!(teams_text.contains(&linked), "{name}: {teams_text}");
    }
    told.alerts[1].status = NotifiedStatus::Resolved;
    assert_eq!(heading(&told), "Acknowledged: Dead letters arrive and 2 more");
    told.alerts[2].status = NotifiedStatus::Resolved;
    assert_eq!(heading(&told), "Resolved: Bus unreachable and 2 more");
}

/// Everything that a receiver reads: of a mail its text, of a post its body.
fn read(kind: ReceiverKind, notification: &Notification) -> String {
    match packed(kind, notification, false) {
        Parcel::Post(post) => post.body,
        Parcel::Mail(mail) => mail.text,
    }
}

#[test]
fn every_receiver_is_told_since_when_and_how_long_it_lasted() {
    let began = NOW.minus(std::time::Duration::from_secs(31 * 60 + 5));
    let mut told = notification(1, "");
    told.reason = Reason::Repeat;
    told.alerts[0].started_at = began;
    for kind in ReceiverKind::ALL {
        let (since, lasted) = match kind {
            ReceiverKind::Slack | ReceiverKind::Teams | ReceiverKind::Discord | ReceiverKind::Email => {
                ("since 2025-12-31 23:28 UTC", Some("since 2025-12-31 23:28 UTC, lasted 31 min 5 s"))
            }
            // It keeps the time of the trigger itself.
            ReceiverKind::Pagerduty => (r#""since":"2025-12-31 23:28 UTC""#, None),
            ReceiverKind::Webhook => (r#""started_at":"2025-12-31T23:28:55.000Z""#, Some(r#""ended_at":"2026-01-01T00:00:00.000Z""#)),
            ReceiverKind::Alertmanager => (r#""startsAt":"2025-12-31T23:28:55.000Z""#, Some(r#""endsAt":"2026-01-01T00:00:00.000Z""#)),
        };
        let said = read(*kind, &told);
        assert!(said.contains(since) && !said.contains("lasted"), "{kind}: {said}");
        let mut over = told.clone();
        (over.alerts[0].status, over.alerts[0].ended_at) = (NotifiedStatus::Resolved, Some(NOW));
        let said = read(*kind, &over);
        assert!(lasted.is_none_or(|lasted| said.contains(lasted)), "{kind}: {said}");
    }
}

#[test]
fn people_are_told_of_each_alert_who_has_it_and_what_to_do() {
    let mut told = notification(3, "");
    told.alerts[1].status = NotifiedStatus::Acknowledged;
    for (number, alert) in told.alerts.iter_mut().enumerate() {
        alert.severity = Severity::Critical;
        alert.runbook_url = Some(format!("https://runbooks.example.com/{number}"));
    }
    for kind in [ReceiverKind::Slack, ReceiverKind::Teams, ReceiverKind::Discord, ReceiverKind::Email] {
        let said = read(kind, &told);
        assert_eq!((said.matches("critical").count(), said.matches("acknowledged").count()), (2, 1), "{kind}: {said}");
        for number in 0..3 {
            assert!(said.contains(&format!("https://runbooks.example.com/{number}")), "{kind}: {said}");
        }
        assert_eq!(said.matches("since 2026-01-01 00:00 UTC").count(), 3, "{kind}: {said}");
    }
}

#[test]
fn discord_messages_stay_within_their_limits() {
    for notification in largest() {
        let (text, message) = body(ReceiverKind::Discord, &notification);
        let embeds = message["embeds"].as_array().unwrap();
        assert!((1..=discord::MAX_EMBEDS).contains(&embeds.len()) && units(&message["content"]) <= discord::MAX_CONTENT);
        let mut total = 0;
        for embed in embeds {
            assert!(units(&embed["title"]) <= discord::MAX_TITLE && units(&embed["description"]) <= 4_096);
            total += units(&embed["title"]) + units(&embed["description"]);
            for field in embed["fields"].as_array().unwrap() {
                assert!((1..=discord::MAX_FIELD).contains(&units(&field["value"])), "{field}");
                total += units(&field["name"]) + units(&field["value"]);
            }
        }
        assert!(total <= discord::MAX_TOTAL, "{total}");
        let left_out = notification.alerts.len() - embeds.len();
        assert_eq!(text.contains(&format!("{left_out} more alerts")), left_out > 0);
        assert_eq!(message["allowed_mentions"]["parse"], serde_json::json!([]));
        assert!(!text.contains("<@"), "no mention gets through");
    }
}

#[test]
fn a_generic_webhook_has_two_types_of_events() {
    for (status, kind, said) in [
        (NotifiedStatus::Firing, "alert.firing", "firing"),
        (NotifiedStatus::Acknowledged, "alert.firing", "firing"),
        (NotifiedStatus::Resolved, "alert.resolved", "resolved"),
    ] {
        let mut told = notification(1, "");
        told.alerts[0].status = status;
        let (_, event) = body(ReceiverKind::Webhook, &told);
        assert_eq!((&event["type"], &event["data"]["status"]), (&kind.into(), &said.into()));
    }
}

#[test]
fn pagerduty_events_stay_within_their_limits() {
    for mut notification in largest() {
        // Labels of a megabyte: details go first.
        for (name, value) in &mut notification.alerts[0].labels {
            if name.starts_with("label 1") {
                *value = value.repeat(4);
            }
        }
        let (text, event) = body(ReceiverKind::Pagerduty, &notification);
        assert!(text.len() <= pagerduty::MAX_BYTES, "{}", text.len());
        assert!((1..=pagerduty::MAX_SUMMARY).contains(&units(&event["payload"]["summary"])));
        assert_eq!(event["dedup_key"], format!("1a2b-{}", notification.alerts[0].fingerprint));
        assert_eq!((&event["event_action"], &event["payload"]["severity"]), (&"trigger".into(), &"critical".into()));
    }
}

#[test]
fn one_incident_is_triggered_acknowledged_and_resolved_by_one_key() {
    let mut told = notification(1, "");
    let mut events = Vec::new();
    for status in [NotifiedStatus::Firing, NotifiedStatus::Acknowledged, NotifiedStatus::Resolved] {
        told.alerts[0].status = status;
        events.push(body(ReceiverKind::Pagerduty, &told).1);
    }
    let of = |name: &str| events.iter().map(|event| event[name].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of("event_action"), ["trigger", "acknowledge", "resolve"]);
    assert_eq!(of("dedup_key"), ["1a2b-0000000000000000"; 3]);
    assert_eq!(of("routing_key")[2], "0123456789abcdef0123456789abcdef");
}

#[test]
fn the_generic_webhook_has_the_documented_body_below_20_kilobytes() {
    for notification in largest() {
        let (text, event) = body(ReceiverKind::Webhook, &notification);
        assert!(!text.is_empty() && text.len() <= webhook::MAX_BYTES, "{}", text.len());
        assert_eq!(event["type"], "alert.firing");
        let kept = event["data"]["labels"].as_object().unwrap().len();
        let left_out = event["data"]["labels_left_out"].as_u64().unwrap_or(0);
        assert!(kept + usize::try_from(left_out).unwrap() >= notification.alerts[0].labels.len() || kept > 0, "{event}");
    }
    let (_, event) = body(ReceiverKind::Webhook, &notification(1, ""));
    let expected = serde_json::json!({
        "type": "alert.firing",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {
            "status": "firing", "reason": "first", "fingerprint": "0000000000000000", "rule": "Consumer group stalled", "severity": "critical",
            "labels": { "bus": "prod", "consumer_group": "billing", "topic": "orders" },
            "value": 12345.0, "threshold": 10000.0, "unit": "messages", "summary": "billing has not committed on orders for 5 minutes",
            "started_at": "2026-01-01T00:00:00.000Z", "ended_at": null,
            "url": "https://redrive.example.com/buses/prod/consumer-groups/billing", "runbook_url": "https://runbooks.example.com/lag",
            "owner": "payments",
        },
    });
    assert_eq!(event, expected);
}

#[test]
fn an_alertmanager_is_told_by_both_of_its_ways() {
    let mut told = notification(alertmanager::MAX_ALERTS + 7, "");
    told.alerts[1].status = NotifiedStatus::Resolved;
    told.alerts[1].ended_at = Some(NOW);
    told.alerts[2].labels.insert("group.name/1".to_owned(), "x".to_owned());
    let (_, hook) = body(ReceiverKind::Alertmanager, &told);
    assert_eq!((&hook["version"], &hook["status"], &hook["truncatedAlerts"]), (&"4".into(), &"firing".into(), &7.into()));
    assert_eq!(hook["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!((&hook["alerts"][1]["status"], &hook["alerts"][1]["endsAt"]), (&"resolved".into(), &"2026-01-01T00:00:00.000Z".into()));
    assert_eq!(hook["commonLabels"]["alertname"], "Consumer group stalled");
    assert_eq!(hook["alerts"][2]["labels"]["group_name_1"], "x", "names that every version takes");
    let pushed: Value = serde_json::from_str(&alertmanager::push(told.alerts.iter().take(2), shipment(&told).installation, NOW)).unwrap();
    assert_eq!((&pushed[0]["endsAt"], &pushed[1]["endsAt"]), (&"2026-01-01T00:05:00.000Z".into(), &"2026-01-01T00:00:00.000Z".into()));
    assert!(alertmanager::is_api("http://am:9093/api/v2/alerts") && alertmanager::is_api("http://am/prefix/api/v2/alerts/?x=1"));
    assert!(!alertmanager::is_api("http://am:9093/hook") && !alertmanager::is_api("http://am:9093/hook?x=/api/v2/alerts"));
    let empty: Value = serde_json::from_str(&body(ReceiverKind::Alertmanager, &notification(0, "")).0).unwrap();
    assert_eq!(empty["alerts"], serde_json::json!([]));
}

#[test]
fn mails_have_a_subject_of_one_line_and_a_bounded_text() {
    for notification in largest() {
        let Parcel::Mail(mail) = packed(ReceiverKind::Email, &notification, true) else { panic!("a mail") };
        assert!(mail.text.len() <= email::MAX_TEXT + 1_000 && mail.subject.encode_utf16().count() <= email::MAX_SUBJECT);
        assert!(!mail.subject.contains(['\n', '\r']), "a header cannot be added");
        assert_eq!(mail.message_id, "<0198@example.com>");
    }
}

#[test]
fn receivers_that_cannot_tell_are_told_of_a_possible_repeat() {
    let told = notification(1, "");
    for kind in ReceiverKind::ALL {
        let said = |may_be_repeat| match packed(*kind, &told, may_be_repeat) {
            Parcel::Post(post) => post.body.contains(REPEAT),
            Parcel::Mail(mail) => mail.text.contains(REPEAT),
        };
        assert_eq!((said(true), said(false)), (!kind.knows_repeats(), false), "{kind}");
    }
}

#[test]
fn a_post_carries_both_signatures_while_secrets_are_changed_over() {
    let told = notification(1, "");
    let old = webhook::new_secret([7; 32]);
    let both = Endpoint { previous_secret: Some(old), ..endpoint(ReceiverKind::Webhook) };
    let Ok(Parcel::Post(post)) = pack(ReceiverKind::Webhook, &both, &shipment(&told)) else { panic!("a post") };
    let header = |name: &str| post.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((header("webhook-id"), header("webhook-timestamp"), header("x-team")), (Some("0198"), Some("1767225600"), Some("payments")));
    let signatures: Vec<&str> = header("webhook-signature").unwrap().split(' ').collect();
    assert!(signatures.len() == 2 && signatures[0] != signatures[1] && signatures.iter().all(|one| one.starts_with("v1,")));
    let broken = Endpoint { secret: Some(Secret::new("whsec_short")), ..endpoint(ReceiverKind::Webhook) };
    assert!(pack(ReceiverKind::Webhook, &broken, &shipment(&told)).is_err());
}

#[test]
fn links_are_only_those_that_a_browser_opens() {
    assert!(link("https://a.example/x").is_some());
    for url in ["", "/alerts/1", "javascript:alert(1)", "https://a|b", "https://a b", "https://a>"] {
        assert!(link(url).is_none(), "{url}");
    }
    let mut told = notification(1, "");
    told.alerts = vec![NotifiedAlert { url: "/alerts/1".to_owned(), runbook_url: None, ..alert(1, "") }];
    assert!(!body(ReceiverKind::Slack, &told).0.contains("button"), "Slack refuses a message with a relative address");
}

#[test]
fn alerts_of_two_installations_are_two_to_receivers_that_know_alerts_by_a_key() {
    let told = notification(1, "");
    let theirs = Installation { id: "3c4d".to_owned(), marked_since: NOW };
    let said = |installation: &Installation, notification: &Notification| {
        let shipment = Shipment { installation, ..shipment(notification) };
        let body = pagerduty::body(&Secret::new("key"), &shipment);
        let pushed = alertmanager::push(notification.alerts.iter(), installation, NOW);
        let posted = alertmanager::webhook(&shipment);
        let [event, pushed, posted] = [body, pushed, posted].map(|text| serde_json::from_str::<Value>(&text).unwrap());
        [event["dedup_key"].clone(), pushed[0]["labels"]["redrive"].clone(), posted["alerts"][0]["labels"]["redrive"].clone()]
    };
    assert_eq!(said(shipment(&told).installation, &told), ["1a2b-0000000000000000", "1a2b", "1a2b"].map(Value::from));
    assert_eq!(said(&theirs, &told), ["3c4d-0000000000000000", "3c4d", "3c4d"].map(Value::from));
    // What was open before receivers were told of installations ends under the key that it began with.
    let mut earlier = told.clone();
    earlier.alerts[0].started_at = NOW.minus(std::time::Duration::from_millis(1));
    earlier.alerts[0].status = NotifiedStatus::Resolved;
    assert_eq!(said(&theirs, &earlier), ["0000000000000000".into(), Value::Null, Value::Null]);
}
