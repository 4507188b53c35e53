//! Rules, receivers and what lies in the outbox.

use redrive::alerts::defaults::usual;
use redrive::model::alert::{Alert, AlertState, Comparison, Label, Severity, Terms};
use redrive::model::delivery::{Delivery, DeliveryFilter};
use redrive::model::figure::Figure;
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::model::{Actor, AuditEntry, PageRequest, Timestamp};
use redrive::store::Store;
use redrive::store::alerts::AlertFilter;
use redrive::store::alerts::rules::NewRule;
use redrive::store::receivers::SealedReceiver;

pub(super) fn entry(action: &str) -> AuditEntry {
    let actor = Actor { name: "user:ann".to_owned(), address: None };
    AuditEntry {
        id: 0,
        at: Timestamp::now(),
        actor,
        action: action.to_owned(),
        target: String::new(),
        count: None,
        result: "done".to_owned(),
    }
}

/// A receiver that nobody can reach: what counts here is what lies in the outbox.
pub(super) async fn receiver(store: &Store, name: &str) -> ReceiverId {
    receiver_of(store, name, ReceiverKind::Webhook).await
}

/// The same of a kind.
pub(super) async fn receiver_of(store: &Store, name: &str, kind: ReceiverKind) -> ReceiverId {
    let key = match store.find_sealing_key().await.expect("the store is readable") {
        Some(key) => key,
        None => store.claim_sealing_key("test").await.expect("a key is claimed"),
    };
    let sealed = SealedReceiver { name, kind, host: "192.0.2.1", sealed: b"nothing", key_id: &key };
    store.add_receiver(sealed, &entry("receivers.add")).await.expect("the receiver is kept").id
}

/// A critical rule without any waiting.
pub(super) fn terms(figure: Figure, comparison: Comparison, threshold: f64, by: &[Label], receivers: &[ReceiverId]) -> Terms {
    Terms { severity: Severity::Critical, by: by.to_vec(), receivers: receivers.to_vec(), ..usual(figure, comparison, threshold) }
}

pub(super) async fn add_rule(store: &Store, name: &str, terms: Terms) -> i64 {
    let rule = NewRule { name: name.to_owned(), enabled: true, terms };
    store.add_alert_rule(&rule, &entry("alert_rules.add")).await.expect("the rule is kept").number
}

/// Alerts of a rule, newest first, those that are over included.
pub(super) async fn alerts_of(store: &Store, rule: i64) -> Vec<Alert> {
    let filter = AlertFilter { rule: Some(rule), ..AlertFilter::default() };
    store.list_alerts(&filter, &PageRequest::first(100)).await.expect("alerts are read").items
}

pub(super) async fn states_of(store: &Store, rule: i64) -> Vec<AlertState> {
    alerts_of(store, rule).await.into_iter().map(|alert| alert.standing.state).collect()
}

/// Everything that was ever put into the outbox, oldest first.
pub(super) async fn outbox(store: &Store) -> Vec<Delivery> {
    let mut all = store.list_deliveries(&DeliveryFilter::default(), &PageRequest::first(100)).await.expect("the outbox is read").items;
    all.reverse();
    all
}
