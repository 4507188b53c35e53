//! Brings every row of the outbox to its receiver, or says that it gave up.
//!
//! A task for each receiver with something due, and never two on one instance, so that one dead receiver delays no other. A delivery is
//! claimed under a lease with an epoch: when its sender dies or stands still, another claims it and sends it again under the same id, so
//! that a receiver which counts distinct ids counts right, and nothing is lost. Whether an attempt may have arrived without our knowing
//! is remembered and said to receivers that have no ids.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::notify::courier::{Courier, Outcome, Verdict};
use super::notify::{Shipment, alertmanager, ladder, pack};
use super::receivers::{ReceiverError, Receivers, entry};
use crate::lifecycle::changes::{Changes, Noun};
use crate::lifecycle::{Lifecycle, failpoint};
use crate::model::delivery::{Attempt, Delivery, DeliveryState};
use crate::model::notification::Installation;
use crate::model::receiver::{Endpoint, Receiver, ReceiverId, ReceiverKind};
use crate::model::{Actor, Timestamp};
use crate::store::deliveries::work::Marked;
use crate::store::{Store, StoreError};

mod pushing;
mod trial;

/// A claim outlives the deadline of an attempt, and the time to write what came of it.
const LEASE: Duration = Duration::from_secs(30);
/// A claim older than this is not used any more: an attempt takes up to 16 s, and whoever stood still may no longer be alone.
const FRESH: Duration = Duration::from_secs(13);

/// What deliveries are made with.
#[derive(Debug, Clone)]
pub struct DeliveryParts {
    /// The outbox.
    pub store: Store,
    /// Receivers and their secrets.
    pub receivers: Receivers,
    /// Who posts.
    pub courier: Courier,
    /// Tells pages.
    pub changes: Changes,
    /// Starts tasks.
    pub life: Lifecycle,
    /// How people reach Redrive; may be empty.
    pub external_url: String,
    /// Whether other instances may work on the same outbox.
    pub shared: bool,
}

/// Sends what the outbox holds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deliveries {
    parts: Arc<DeliveryParts>,
    /// Receivers that a task of this instance works for.
    busy: Arc<Mutex<HashSet<ReceiverId>>>,
    /// Whether what an earlier life of this process had claimed was released.
    begun: Arc<Mutex<bool>>,
    /// Read once.
    installation: Arc<tokio::sync::OnceCell<Installation>>,
}

/// What can go wrong when somebody asks for a delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is no such delivery.
    #[error("there is no such delivery")]
    NotFound,
    /// It is being sent at this moment, or its receiver is gone.
    #[error("it is being sent at this moment, or its receiver was removed; nothing was changed")]
    Busy,
    /// About the receiver.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
}

impl From<StoreError> for DeliveryError {
    fn from(error: StoreError) -> Self {
        Self::Receiver(ReceiverError::Store(error))
    }
}

/// Deliveries to a receiver that are on their way at once. Their subjects differ.
const fn at_once(kind: ReceiverKind) -> u32 {
    if kind.one_per_alert() { 4 } else { 1 }
}

/// Chats slow down or block senders that post faster: Slack takes one message a second, Discord five in two, Teams four.
const fn pause(kind: ReceiverKind) -> Duration {
    match kind {
        ReceiverKind::Slack => Duration::from_secs(1),
        ReceiverKind::Discord | ReceiverKind::Teams => Duration::from_millis(500),
        _ => Duration::ZERO,
    }
}

impl Deliveries {
    /// Nothing is sent before [`Self::go_on`].
    #[must_use]
    pub fn new(parts: DeliveryParts) -> Self {
        Self { parts: Arc::new(parts), busy: Arc::default(), begun: Arc::default(), installation: Arc::default() }
    }

    /// The receivers.
    #[must_use]
    pub fn receivers(&self) -> &Receivers {
        &self.parts.receivers
    }

    /// Starts a task for each receiver with something due that has none here. Returns at once; call it again and again.
    pub async fn go_on(&self, now: Timestamp) -> Result<(), StoreError> {
        if !self.parts.shared && !self.has_begun() {
            self.parts.store.release_deliveries(now).await?;
            *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        for receiver in self.parts.store.list_due_receivers(now).await? {
            if self.begin(receiver) {
                let this = self.clone();
                self.parts.life.spawn_short(async move {
                    let ended = Busy { of: &this, receiver };
                    if let Err(error) = this.serve(receiver, now).await {
                        tracing::warn!(receiver = receiver.0, %error, "deliveries to a receiver pause and go on soon");
                    }
                    drop(ended);
                });
            }
        }
        Ok(())
    }

    async fn installation(&self) -> Result<&Installation, StoreError> {
        self.installation.get_or_try_init(|| self.parts.store.installation()).await
    }

    fn has_begun(&self) -> bool {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, receiver: ReceiverId) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(receiver)
    }

    /// Sends what is due for one receiver, until nothing is, or something failed.
    async fn serve(&self, id: ReceiverId, due_at: Timestamp) -> Result<(), ReceiverError> {
        while !self.parts.life.soft().is_cancelled() {
            // What a receiver is changed to counts from the next delivery on.
            let opened = self.parts.receivers.open(id).await;
            let kind = match &opened {
                Ok((receiver, _)) => receiver.kind,
                Err(ReceiverError::NotFound) => return Ok(()),
                Err(ReceiverError::Store(_)) => return opened.map(drop),
                Err(_) => ReceiverKind::Webhook,
            };
            let now = Timestamp::now();
            let claimed = self.parts.store.claim_deliveries(id, at_once(kind), LEASE, due_at.max(now)).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            failpoint::pass("deliveries.claimed");
            let sending = claimed.iter().map(|delivery| self.deliver(delivery, &opened, now));
            let arrived = futures::future::join_all(sending).await;
            self.parts.changes.publish(Noun::Deliveries);
            // After a failure others get their turn, and this receiver some time.
            if !arrived.into_iter().collect::<Result<Vec<bool>, StoreError>>()?.into_iter().all(|arrived| arrived) {
                return Ok(());
            }
            tokio::time::sleep(pause(kind)).await;
        }
        Ok(())
    }

    /// One attempt, and what came of it written down. Answers whether it arrived.
    async fn deliver(
        &self,
        delivery: &Delivery,
        opened: &Result<(Receiver, Endpoint), ReceiverError>,
        claimed_at: Timestamp,
    ) -> Result<bool, StoreError> {
        if delivery.state == DeliveryState::Superseded {
            tracing::info!(
                delivery = delivery.id,
                receiver = delivery.receiver_name,
                "superseded: later messages tell how its alerts stand"
            );
            return Ok(true);
        }
        let (began, installation) = (Timestamp::now(), self.installation().await?);
        let outcome = match opened {
            // Whoever stood still since the claim may no longer be alone with it.
            _ if claimed_at.age_at(began) > FRESH => {
                tracing::warn!(delivery = delivery.id, "this instance stood still after a claim; the delivery is claimed again");
                return Ok(false);
            }
            Ok((receiver, endpoint)) => self.attempt(delivery, (receiver, endpoint), installation, began).await,
            Err(error) => Outcome::unsent(error.to_string()),
        };
        failpoint::pass("deliveries.sent");
        let marked = judge(delivery, &outcome, began, Timestamp::now(), chance());
        let arrived = marked.state == DeliveryState::Delivered;
        say(delivery, &marked);
        if !self.parts.store.mark_delivery(delivery, &marked).await? {
            tracing::warn!(delivery = delivery.id, "an attempt ended after its claim; another instance has taken the delivery over");
        }
        failpoint::pass("deliveries.after_mark");
        Ok(arrived)
    }

    async fn attempt(&self, delivery: &Delivery, to: (&Receiver, &Endpoint), installation: &Installation, now: Timestamp) -> Outcome {
        let (receiver, endpoint) = to;
        let shipment = Shipment {
            id: &delivery.id,
            notification: &delivery.notification,
            may_be_repeat: delivery.uncertain,
            had_by: &delivery.had_by,
            installation,
            at: now,
            receiver: &receiver.name,
            external_url: &self.parts.external_url,
        };
        match pack(receiver.kind, endpoint, &shipment) {
            Ok(parcel) => self.parts.courier.send(&parcel).await,
            Err(incomplete) => Outcome::unsent(incomplete.to_string()),
        }
    }

    /// Has a delivery tried again, under the same id.
    pub async fn redeliver(&self, id: &str, actor: &Actor, now: Timestamp) -> Result<Delivery, DeliveryError> {
        let delivery = self.parts.store.find_delivery(id).await?.ok_or(DeliveryError::NotFound)?;
        let about = format!("/deliveries/{id} ({})", delivery.receiver_name);
        if !self.parts.store.redeliver(id, &entry("deliveries.redeliver", &about, actor, now)).await? {
            return Err(DeliveryError::Busy);
        }
        self.parts.changes.publish(Noun::Deliveries);
        self.go_on(Timestamp::now()).await?;
        self.parts.store.find_delivery(id).await?.ok_or(DeliveryError::NotFound)
    }

    /// Gives up what could not be delivered in time.
    pub async fn give_up(&self, now: Timestamp) -> Result<(), StoreError> {
        let given_up = self.parts.store.give_up_deliveries(now).await?;
        if given_up > 0 {
            tracing::error!(given_up, "deliveries were given up: they did not arrive within a day");
            self.parts.changes.publish(Noun::Deliveries);
        }
        Ok(())
    }
}

/// Ends a receiver's task also when it panics.
struct Busy<'a> {
    of: &'a Deliveries,
    receiver: ReceiverId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.of.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.receiver);
    }
}

/// What an attempt means for its delivery. Pure.
fn judge(delivery: &Delivery, outcome: &Outcome, began: Timestamp, now: Timestamp, chance: f64) -> Marked {
    let attempt = delivery.attempts + 1;
    let next = now.plus(ladder::wait(attempt, chance, outcome.retry_after));
    let arrived = outcome.verdict == Verdict::Delivered;
    let (state, error) = if arrived {
        (DeliveryState::Delivered, None)
    } else {
        let error = outcome.error.clone().unwrap_or_else(|| "it did not arrive".to_owned());
        if delivery.is_test() {
            (DeliveryState::GivenUp, Some(error))
        } else if next > delivery.give_up_at {
            (DeliveryState::GivenUp, Some(format!("{error}; given up, as it did not arrive within a day")))
        } else {
            (DeliveryState::Failed, Some(error))
        }
    };
    let had_by = if outcome.had_by.is_empty() { &delivery.had_by } else { &outcome.had_by };
    Marked {
        attempt: Attempt {
            number: attempt,
            started_at: began,
            took: outcome.took,
            status: outcome.status,
            answer: outcome.answer.clone().filter(|text| !text.is_empty()),
            error,
            next_at: (state == DeliveryState::Failed).then_some(next),
        },
        state,
        next_at: next,
        uncertain: delivery.uncertain || outcome.verdict == Verdict::Unknown,
        had_by: if arrived { Vec::new() } else { had_by.clone() },
        gone: outcome.verdict == Verdict::Gone,
        at: now,
    }
}

/// One line for each attempt that tells something new. Neither address nor body.
fn say(delivery: &Delivery, marked: &Marked) {
    let (id, receiver, attempt) = (&delivery.id, &delivery.receiver_name, marked.attempt.number);
    let error = marked.attempt.error.as_deref().unwrap_or_default();
    match marked.state {
        DeliveryState::Delivered if attempt > 1 => tracing::info!(delivery = id, receiver, attempt, "delivered after failures"),
        DeliveryState::Delivered => tracing::debug!(delivery = id, receiver, "delivered"),
        DeliveryState::GivenUp => tracing::error!(delivery = id, receiver, attempt, error, "a delivery was given up"),
        _ if attempt == 1 => tracing::warn!(delivery = id, receiver, error, "a delivery failed and is tried again"),
        _ => tracing::debug!(delivery = id, receiver, attempt, error, "a delivery failed again"),
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness the wait is that of the ladder.
    getrandom::fill(&mut bytes).map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
