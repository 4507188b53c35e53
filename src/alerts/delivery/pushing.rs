//! Alertmanagers are told again and again: they end an alert of which they hear nothing for five minutes.

use super::super::notify::courier::Verdict;
use super::super::notify::{Parcel, Post};
use super::super::receivers::ReceiverError;
use super::{Deliveries, Timestamp, alertmanager};
use crate::model::notification::{NotifiedAlert, parts_of};
use crate::model::receiver::{ReceiverId, ReceiverKind};
use crate::store::StoreError;
use crate::store::deliveries::{MOST_AT_ONCE, MOST_BYTES};

impl Deliveries {
    /// Pushes what fires, and for five minutes what has ended, to every Alertmanager's API. Once a minute.
    pub async fn push_again(&self, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.parts.store;
        store.forget_pushed(now.minus(alertmanager::HELD_FOR)).await?;
        let receivers = store.list_pushed_receivers().await?;
        let pushing = receivers.into_iter().map(|receiver| self.push(receiver, now));
        for pushed in futures::future::join_all(pushing).await {
            match pushed {
                Ok(()) => {}
                Err(ReceiverError::Store(error)) => return Err(error),
                Err(error) => tracing::debug!(%error, "an Alertmanager was not pushed to"),
            }
        }
        Ok(())
    }

    async fn push(&self, id: ReceiverId, now: Timestamp) -> Result<(), ReceiverError> {
        let (receiver, endpoint) = self.parts.receivers.open(id).await?;
        let Some(url) = endpoint.url.filter(|url| receiver.kind == ReceiverKind::Alertmanager && alertmanager::is_api(url.expose())) else {
            return Ok(());
        };
        let headers: Vec<(String, String)> =
            endpoint.headers.iter().map(|header| (header.name.clone(), header.value.expose().to_owned())).collect();
        let pushed = self.parts.store.list_pushed(id).await?;
        let installation = self.installation().await?;
        let body = |alerts: &[NotifiedAlert]| alertmanager::push(alerts.iter(), installation, now);
        let size = |alert: &NotifiedAlert| body(std::slice::from_ref(alert)).len();
        let mut all = true;
        for alerts in parts_of(&pushed, MOST_AT_ONCE, MOST_BYTES, size).into_iter().filter(|alerts| !alerts.is_empty()) {
            let post = Post { url: url.expose().to_owned(), headers: headers.clone(), body: body(alerts) };
            let outcome = self.parts.courier.send(&Parcel::Post(post)).await;
            if outcome.verdict != Verdict::Delivered {
                all = false;
                tracing::debug!(receiver = receiver.name, error = outcome.error, "an Alertmanager did not take what fires");
                // One that refuses a part may take the others; one that does not answer would be waited for again and again.
                if outcome.status.is_none() {
                    break;
                }
            }
        }
        Ok(self.parts.store.note_receiver(id, all, Timestamp::now()).await?)
    }
}
