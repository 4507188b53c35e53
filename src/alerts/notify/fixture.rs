//! Notifications to build bodies from: an ordinary one, and the largest and strangest that anybody could make.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::model::alert::Severity;
use crate::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(super) fn alert(number: usize, text: &str) -> NotifiedAlert {
    let labels = [("bus", "prod"), ("consumer_group", "billing"), ("topic", "orders")];
    let mut labels: BTreeMap<String, String> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    if !text.is_empty() {
        let count = if number == 0 { 120 } else { 4 };
        let name = text.chars().take(50).collect::<String>();
        labels.extend((0..count).map(|n| (format!("label {n} {name}"), text.to_owned())));
    }
    let long = |short: &str| if text.is_empty() { short.to_owned() } else { text.to_owned() };
    NotifiedAlert {
        fingerprint: format!("{number:016x}"),
        status: NotifiedStatus::Firing,
        rule: long("Consumer group stalled"),
        severity: Severity::Critical,
        labels,
        value: Some(12_345.0),
        threshold: 10_000.0,
        unit: long("messages"),
        summary: long("billing has not committed on orders for 5 minutes"),
        started_at: NOW,
        ended_at: None,
        url: "https://redrive.example.com/buses/prod/consumer-groups/billing".to_owned(),
        runbook_url: Some("https://runbooks.example.com/lag".to_owned()),
        owner: Some(long("payments")),
    }
}

pub(super) fn notification(alerts: usize, text: &str) -> Notification {
    Notification {
        group_key: "lag/prod".to_owned(),
        reason: Reason::First,
        at: NOW,
        group_labels: BTreeMap::from([("bus".to_owned(), "prod".to_owned())]),
        alerts: (0..alerts).map(|number| alert(number, text)).collect(),
    }
}
