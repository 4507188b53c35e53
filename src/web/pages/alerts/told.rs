//! Who was told of alerts, by the newest deliveries.

use std::time::Duration;

use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::delivery::{Delivery, DeliveryFilter, DeliveryState};
use crate::model::{PageRequest, Timestamp};
use crate::store::{Store, StoreError};
use crate::web::view::look::Look;
use crate::web::view::time;

/// So many of the newest deliveries are looked through; of what was told before them only the deliveries' page knows.
const NEWEST: u32 = 200;

/// The newest deliveries.
#[derive(Debug, Default)]
pub(in crate::web::pages) struct Told {
    deliveries: Vec<Delivery>,
}

impl Told {
    /// Reads them, if anybody is to be told of these alerts.
    pub(in crate::web::pages) async fn load(store: &Store, alerts: &[Alert]) -> Result<Self, StoreError> {
        if alerts.iter().all(|alert| alert.details.receivers.is_empty()) {
            return Ok(Self::default());
        }
        Ok(Self { deliveries: store.list_deliveries(&DeliveryFilter::default(), &PageRequest::first(NEWEST)).await?.items })
    }

    /// Deliveries that told of an alert, the newest first.
    pub(in crate::web::pages) fn of<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = &'a Delivery> {
        let since = alert.standing.started_at.or(alert.standing.pending_since);
        let about = move |delivery: &&Delivery| {
            since.is_none_or(|since| delivery.notification.at >= since)
                && delivery.notification.alerts.iter().any(|told| told.fingerprint == alert.fingerprint)
        };
        self.deliveries.iter().filter(about)
    }

    /// Who was told, in few words, with a look where there is something to tell.
    pub(in crate::web::pages) fn words(&self, alert: &Alert, rule: Option<&AlertRule>, now: Timestamp) -> (Option<Look>, String) {
        let plain = |text: &str| (None, text.to_owned());
        if let (AlertState::Pending, Some(since), Some(rule)) = (alert.standing.state, alert.standing.pending_since, rule) {
            let at = since.plus(Duration::from_millis(rule.terms.for_ms));
            return (None, format!("fires at {}", time::clock(at, now)));
        }
        if alert.silenced_by.is_some() {
            return plain("silenced");
        }
        if alert.inhibited_by.is_some() {
            return plain("explained by another alert");
        }
        if alert.details.receivers.is_empty() {
            return plain("shows here only");
        }
        let all: Vec<&Delivery> = self.of(alert).collect();
        let count = |state: DeliveryState| all.iter().filter(|delivery| delivery.state == state).count();
        let (made, delivered) = (all.len(), count(DeliveryState::Delivered));
        let look = |icon, tone| Some(Look { word: "", icon, tone });
        if made == 0 {
            return plain("nobody told yet");
        }
        if count(DeliveryState::GivenUp) > 0 {
            return (look("circle-x", "bad"), format!("{delivered} of {made}, {} given up", count(DeliveryState::GivenUp)));
        }
        if count(DeliveryState::Failed) > 0 {
            let next = all.iter().filter(|delivery| delivery.state == DeliveryState::Failed).map(|delivery| delivery.next_at).min();
            let next = next.map(|at| now.age_at(at)).filter(|wait| wait.as_secs() > 0);
            let next = next.map_or_else(|| "next try now".to_owned(), |wait| format!("next try in {}", time::duration_words(wait)));
            return (look("rotate-ccw", "warn"), format!("{delivered} of {made}, {next}"));
        }
        if delivered < made {
            return (look("send", "busy"), format!("{delivered} of {made} delivered"));
        }
        (look("circle-check", "ok"), format!("{delivered} of {made} delivered"))
    }
}
