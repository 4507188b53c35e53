//! Who was told of alerts: of many by the newest deliveries, of one by all of its own.

use std::time::Duration;

use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::delivery::{Delivery, DeliveryFilter, DeliveryState};
use crate::model::{PageRequest, Timestamp};
use crate::store::{Store, StoreError};
use crate::web::view::look::Look;
use crate::web::view::time;

/// So many of the newest deliveries are looked through; of what was told before them only the deliveries' page knows, and that is said.
const NEWEST: u32 = 200;

/// The newest deliveries.
#[derive(Debug, Default)]
pub(in crate::web::pages) struct Told {
    deliveries: Vec<Delivery>,
    /// There are more, made at this time or before.
    more_before: Option<Timestamp>,
}

impl Told {
    /// Reads them, if anybody is to be told of these alerts.
    pub(in crate::web::pages) async fn load(store: &Store, alerts: &[Alert]) -> Result<Self, StoreError> {
        if alerts.iter().all(|alert| alert.details.receivers.is_empty()) {
            return Ok(Self::default());
        }
        let page = store.list_deliveries(&DeliveryFilter::default(), &PageRequest::first(NEWEST)).await?;
        let more_before = page.items.last().filter(|_| page.next_cursor.is_some()).map(|oldest| oldest.created_at);
        Ok(Self { deliveries: page.items, more_before })
    }

    /// Reads the newest of those that told of one alert, however many others there are.
    pub(in crate::web::pages) async fn of_one(store: &Store, alert: &Alert, few: u32) -> Result<Self, StoreError> {
        let filter = DeliveryFilter { alert: Some(alert.number), ..DeliveryFilter::default() };
        Ok(Self { deliveries: store.list_deliveries(&filter, &PageRequest::first(few)).await?.items, more_before: None })
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
        let all: Vec<&Delivery> = self.of(alert).filter(|delivery| delivery.state != DeliveryState::Superseded).collect();
        let count = |state: DeliveryState| all.iter().filter(|delivery| delivery.state == state).count();
        let (made, delivered) = (all.len(), count(DeliveryState::Delivered));
        let look = |icon, tone| Some(Look { word: "", icon, tone });
        if made == 0 {
            let since = alert.standing.started_at;
            let unseen = self.more_before.zip(since).is_some_and(|(before, since)| since <= before);
            return plain(if unseen { "not by the newest 200 deliveries" } else { "nobody told yet" });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::tests::alert;
    use crate::model::figure::Figure;
    use crate::model::receiver::ReceiverId;

    #[test]
    fn what_was_told_before_the_newest_deliveries_is_not_denied() {
        let at = Timestamp::from_millis;
        let mut alert = alert(1, Figure::ConsumerGroupLagMessages, &[("bus", "prod")]);
        alert.standing.state = AlertState::Firing;
        alert.standing.started_at = Some(at(5_000));
        alert.details.receivers = vec![ReceiverId(1)];
        let words = |more_before| Told { deliveries: Vec::new(), more_before }.words(&alert, None, at(9_000)).1;
        assert_eq!(words(None), "nobody told yet");
        assert_eq!(words(Some(at(4_000))), "nobody told yet");
        assert_eq!(words(Some(at(6_000))), "not by the newest 200 deliveries");
    }
}
