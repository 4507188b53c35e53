//! Tries a receiver: a notification about nothing, by the same outbox and the same sender as real ones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Deliveries, DeliveryError};
use crate::alerts::receivers::{ReceiverError, entry};
use crate::lifecycle::changes::Noun;
use crate::model::alert::Severity;
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use crate::model::public_id::uuid_v7;
use crate::model::receiver::{ReceiverId, ReceiverKind};
use crate::model::{Actor, Timestamp};

/// How long somebody waits for the answer: a little longer than one attempt takes.
const PATIENCE: Duration = Duration::from_secs(18);

impl Deliveries {
    /// Sends a test to a receiver and waits for what comes of it. Where a test opens something (an incident), a second one closes it.
    pub async fn test(&self, id: ReceiverId, actor: &Actor, now: Timestamp) -> Result<Delivery, DeliveryError> {
        let receiver = self.parts.receivers.find(id).await?;
        let about = format!("/receivers/{id} ({})", receiver.name);
        self.parts.store.record_audit(&entry("receivers.test", &about, actor, now)).await?;
        let mut told = trial(&self.parts.external_url, now);
        let ids = self.parts.store.enqueue(&told, &[id], now).await?;
        if matches!(receiver.kind, ReceiverKind::Pagerduty | ReceiverKind::Alertmanager) {
            for alert in &mut told.alerts {
                alert.status = NotifiedStatus::Resolved;
                alert.ended_at = Some(now);
            }
            self.parts.store.enqueue(&told, &[id], now).await?;
        }
        self.parts.changes.publish(Noun::Deliveries);
        let first = ids.first().ok_or(DeliveryError::Receiver(ReceiverError::NotFound))?;
        self.wait_for(first).await
    }

    /// Waits until a delivery has ended, at most for one attempt.
    async fn wait_for(&self, id: &str) -> Result<Delivery, DeliveryError> {
        let begun = std::time::Instant::now();
        loop {
            self.go_on(Timestamp::now()).await?;
            let delivery = self.parts.store.find_delivery(id).await?.ok_or(DeliveryError::NotFound)?;
            let ended = matches!(delivery.state, DeliveryState::Delivered | DeliveryState::GivenUp);
            if ended || begun.elapsed() > PATIENCE || self.parts.life.soft().is_cancelled() {
                return Ok(delivery);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A notification that says what it is. Every test is about something else, so that none waits for another or is taken for told.
fn trial(external_url: &str, now: Timestamp) -> Notification {
    let number = uuid_v7(now).as_u128();
    #[expect(clippy::cast_possible_truncation, reason = "the random half of it")]
    let fingerprint = format!("{:016x}", number as u64);
    let alert = NotifiedAlert {
        fingerprint: fingerprint.clone(),
        status: NotifiedStatus::Firing,
        rule: "Test of a receiver".to_owned(),
        severity: Severity::Info,
        labels: BTreeMap::from([("test".to_owned(), "true".to_owned())]),
        value: Some(1.0),
        threshold: 0.0,
        unit: String::new(),
        summary: "This is a test of a receiver of Redrive: nothing is wrong.".to_owned(),
        started_at: now,
        ended_at: None,
        url: if external_url.is_empty() { String::new() } else { format!("{external_url}/receivers") },
        runbook_url: None,
        owner: None,
    };
    let group_key = format!("test/{fingerprint}");
    Notification { group_key, reason: Reason::Test, at: now, group_labels: BTreeMap::new(), alerts: vec![alert] }
}
