//! Work on the outbox: who is due, claims by lease and epoch, what came of an attempt.

use std::collections::HashSet;
use std::time::Duration;

use super::super::audit::RecordAudit as _;
use super::super::error::contradiction;
use super::super::replays::json;
use super::super::rows::clean;
use super::super::{Store, StoreError};
use super::rows::{DeliveryRow, delivery_sql};
use super::{DEADLINE, Enqueue as _};
use crate::lifecycle::failpoint;
use crate::model::delivery::{Attempt, Delivery, DeliveryState};
use crate::model::notification::NotifiedAlert;
use crate::model::receiver::ReceiverId;
use crate::model::{AuditEntry, Timestamp};

macro_rules! due {
    () => {
        "ended_at is null and ((state in (0, 3) and next_at <= $1) or (state = 1 and lease_until <= $1))"
    };
}

statements! {
    const DUE_RECEIVERS = concat!("select distinct receiver_id from deliveries where ", due!(), " order by receiver_id");
    /// Of each subject one at a time, the oldest first. What is told of a single alert (a webhook, PagerDuty: kinds 0 and 4) waits until
    /// all before it has ended; what is told of a group goes past what has failed and is not due yet, see [`TOLD_LATER`]. Parts of one
    /// notification to an Alertmanager (kind 5) are of the same moment and do not wait for one another. What was never tried goes before
    /// what has failed.
    const DUE = delivery_sql!(concat!(
        "where d.receiver_id = $2 and ", due!(),
        " and not exists (select 1 from deliveries e where e.receiver_id = d.receiver_id and e.subject = d.subject and e.ended_at is null \
         and (e.created_at <> d.created_at or d.kind <> 5) \
         and ((e.number < d.number and (d.kind in (0, 4) or e.state <> 3 or e.next_at <= $1)) \
           or (e.number > d.number and d.kind not in (0, 4) and e.state = 1 and e.lease_until > $1))) \
         order by attempts, next_at, number limit $3"
    ));
    /// Alerts of a delivery of which later ones about the same group have told, or which have fired anew since and were told so.
    const TOLD_LATER = "select t.fingerprint, t.started_at from delivery_alerts t join deliveries d on d.number = t.delivery \
        where t.delivery = $1 and exists (select 1 from delivery_alerts o join deliveries l on l.number = o.delivery \
            where o.fingerprint = t.fingerprint and o.started_at >= t.started_at and o.delivery > t.delivery \
            and l.receiver_id = d.receiver_id and l.subject = d.subject and l.state = 2)";
    const SUPERSEDE = "update deliveries set state = 5, ended_at = $3, epoch = epoch + 1, last_error = $4 \
        where number = $1 and epoch = $2 and state = 3";
    const CLAIM = "update deliveries set state = 1, epoch = epoch + 1, lease_until = $3, uncertain = $4 where number = $1 and epoch = $2 \
        and ended_at is null";
    const INTERRUPTED = "update deliveries set attempts = attempts + 1 where number = $1";
    const ATTEMPT = "insert into delivery_attempts (delivery, attempt, started_at, took_ms, status, answer, error, next_at) \
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    const MARK = "update deliveries set state = $3, next_at = $4, attempts = attempts + 1, ended_at = $5, uncertain = $6, last_at = $7, \
        last_status = $8, last_error = $9, had_by = $10, lease_until = null where number = $1 and epoch = $2 and state = 1";
    const SUCCEEDED = "update receivers set failing_since = null, gone_at = null, delivered_at = $2 where id = $1";
    const FAILED = "update receivers set failing_since = coalesce(failing_since, $2), gone_at = coalesce(cast($3 as bigint), gone_at) where id = $1";
    const WAS_FAILING = "select count(*) from receivers where id = $1 and failing_since is not null";
    /// A receiver may say to a test, too, that it is gone.
    const GONE = "update receivers set gone_at = $2 where id = $1";
    /// Whoever answers again, or is reached otherwise from now on, is told what waits for it at once.
    const BRING_FORWARD = "update deliveries set next_at = $2 where receiver_id = $1 and ended_at is null and state = 3 and next_at > $2";
    const OVERDUE = "update deliveries set state = 4, ended_at = $1, last_error = coalesce(last_error, $2) \
        where ended_at is null and give_up_at <= $1 and (state in (0, 3) or lease_until <= $1)";
    const RELEASE = "update deliveries set lease_until = $1 where state = 1 and ended_at is null and lease_until > $1";
    const REDELIVER = "update deliveries set state = 0, next_at = $2, give_up_at = $3, ended_at = null, lease_until = null, epoch = epoch + 1, \
        uncertain = (uncertain or state = 2) where id = $1 and state <> 1";
    const RECEIVER_OF = "select receiver_id from deliveries where id = $1";
    const PUSHED = "select alert from pushed_alerts where receiver_id = $1 order by fingerprint";
    const PUSHED_RECEIVERS = "select distinct receiver_id from pushed_alerts order by receiver_id";
    const FORGET_ENDED = "delete from pushed_alerts where ended_at < $1";
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// For the log; its number is counted here.
    pub attempt: Attempt,
    /// How far the delivery is now.
    pub state: DeliveryState,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Whether it may have arrived.
    pub uncertain: bool,
    /// Addresses that have this mail, while others have not.
    pub had_by: Vec<String>,
    /// Whether the receiver said that it is gone.
    pub gone: bool,
    /// When the attempt ended.
    pub at: Timestamp,
}

impl Store {
    /// Receivers that something is due for.
    pub async fn list_due_receivers(&self, now: Timestamp) -> Result<Vec<ReceiverId>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(DUE_RECEIVERS).bind(now.as_millis()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| ReceiverId(id)).collect())
    }

    /// Claims at most `limit` due deliveries to a receiver, for as long as `lease`. One whose claim ran out without an answer being
    /// written is marked as uncertain, and its interrupted attempt is logged. What has failed before is without the alerts of which later
    /// messages of its group have told; when none is left, it has ended and is answered as superseded.
    pub async fn claim_deliveries(
        &self,
        receiver: ReceiverId,
        limit: u32,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(write_on!(self, claim(receiver, limit, lease, now)))
    }

    /// Writes what came of an attempt; `false` when somebody else has claimed the delivery since, and nothing was written but the log. A
    /// test that failed is no failure of what is told: it is in its log alone.
    pub async fn mark_delivery(&self, delivery: &Delivery, marked: &Marked) -> Result<bool, StoreError> {
        Ok(write_on!(self, mark(delivery, marked)))
    }

    /// Gives up what could not be delivered in time. Answers how many.
    pub async fn give_up_deliveries(&self, now: Timestamp) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(OVERDUE).bind(now.as_millis()).bind("it could not be delivered within a day")))
    }

    /// Ends every claim: for the only instance on a store, at its start, when nobody else can hold one.
    pub async fn release_deliveries(&self, now: Timestamp) -> Result<(), StoreError> {
        touched!(self, sqlx::query(RELEASE).bind(now.as_millis()));
        Ok(())
    }

    /// Has a delivery tried again from the beginning, under the same id; `false` when it is being sent just now, or its receiver is gone.
    pub async fn redeliver(&self, id: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        Ok(write_on!(self, again(id, entry)))
    }

    /// Receivers that alerts are kept for, to be pushed again.
    pub async fn list_pushed_receivers(&self) -> Result<Vec<ReceiverId>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(PUSHED_RECEIVERS).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| ReceiverId(id)).collect())
    }

    /// The alerts that are kept for a receiver.
    pub async fn list_pushed(&self, receiver: ReceiverId) -> Result<Vec<NotifiedAlert>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(PUSHED).bind(receiver.0).fetch_all(pool).await?)?;
        let alert = |(text,): (String,)| serde_json::from_str(&text).map_err(|error| contradiction(format!("a pushed alert: {error}")));
        rows.into_iter().map(alert).collect()
    }

    /// Forgets alerts that ended before `before`.
    pub async fn forget_pushed(&self, before: Timestamp) -> Result<(), StoreError> {
        touched!(self, sqlx::query(FORGET_ENDED).bind(before.as_millis()));
        Ok(())
    }

    /// Says whether a receiver answered, apart from any delivery: regular pushes have none.
    pub async fn note_receiver(&self, receiver: ReceiverId, answered: bool, now: Timestamp) -> Result<(), StoreError> {
        write_on!(self, note(receiver, answered, false, now));
        Ok(())
    }
}

/// Why a delivery is superseded.
const TOLD_SINCE: &str = "later messages have arrived and say how these alerts stand";

/// What the log says of an attempt whose end nobody wrote.
const NOT_KNOWN: &str = "interrupted: the process ended or stood still before the answer was written";

engines! {
    pub(super) async fn claim(tx: &mut Connection, receiver: ReceiverId, limit: u32, lease: Duration, now: Timestamp) -> Result<Vec<Delivery>, StoreError> {
        // What is due may wait for what was before it: then nothing is written, and nobody is waited for.
        if due(tx, receiver, limit, now).await?.is_empty() {
            return Ok(Vec::new());
        }
        tx.take_receiver(receiver).await?;
        let rows = due(tx, receiver, limit, now).await?;
        let mut claimed = Vec::new();
        for row in rows {
            let mut delivery = row.into_delivery()?;
            // What a person has sent again, and by that given more time, is sent as it was.
            let by_hand = delivery.give_up_at > delivery.created_at.plus(DEADLINE);
            let may_be_told = delivery.state == DeliveryState::Failed && !delivery.kind.one_per_alert() && !by_hand;
            if may_be_told && is_told_since(tx, &mut delivery).await? {
                if supersede(tx, &mut delivery, now).await? {
                    claimed.push(delivery);
                }
                continue;
            }
            let interrupted = delivery.state == DeliveryState::Sending;
            let uncertain = delivery.uncertain || interrupted;
            let query = sqlx::query(CLAIM).bind(delivery.number).bind(delivery.epoch).bind(now.plus(lease).as_millis()).bind(uncertain);
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                continue;
            }
            if interrupted {
                let attempt = i32::try_from(delivery.attempts + 1).unwrap_or(i32::MAX);
                let query = sqlx::query(ATTEMPT).bind(delivery.number).bind(attempt).bind(now.as_millis()).bind(0_i64);
                let query = query.bind(None::<i32>).bind(None::<String>).bind(NOT_KNOWN).bind(now.as_millis());
                query.execute(&mut *tx).await?;
                sqlx::query(INTERRUPTED).bind(delivery.number).execute(&mut *tx).await?;
                delivery.attempts += 1;
            }
            delivery.epoch += 1;
            delivery.uncertain = uncertain;
            delivery.state = DeliveryState::Sending;
            claimed.push(delivery);
        }
        Ok(claimed)
    }

    async fn due(tx: &mut Connection, receiver: ReceiverId, limit: u32, now: Timestamp) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(sqlx::query_as(DUE).bind(now.as_millis()).bind(receiver.0).bind(i64::from(limit)).fetch_all(&mut *tx).await?)
    }

    /// Leaves out what later messages have told, so that none of an alert that is over says that it fires. Answers whether nothing is left.
    async fn is_told_since(tx: &mut Connection, delivery: &mut Delivery) -> Result<bool, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(TOLD_LATER).bind(delivery.number).fetch_all(&mut *tx).await?;
        let told: HashSet<(String, i64)> = rows.into_iter().collect();
        let is_told = |alert: &NotifiedAlert| told.contains(&(clean(&alert.fingerprint), alert.started_at.as_millis().max(0)));
        delivery.notification.alerts.retain(|alert| !is_told(alert));
        Ok(!told.is_empty() && delivery.notification.alerts.is_empty())
    }

    async fn supersede(tx: &mut Connection, delivery: &mut Delivery, now: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(SUPERSEDE).bind(delivery.number).bind(delivery.epoch).bind(now.as_millis()).bind(TOLD_SINCE);
        let touched = query.execute(&mut *tx).await?.rows_affected();
        (delivery.state, delivery.ended_at) = (DeliveryState::Superseded, Some(now));
        Ok(touched > 0)
    }

    pub(super) async fn mark(tx: &mut Connection, delivery: &Delivery, marked: &Marked) -> Result<bool, StoreError> {
        tx.take_receiver(delivery.receiver).await?;
        let attempt = &marked.attempt;
        let ended = matches!(marked.state, DeliveryState::Delivered | DeliveryState::GivenUp).then_some(marked.at.as_millis());
        let touched = sqlx::query(MARK)
            .bind(delivery.number)
            .bind(delivery.epoch)
            .bind(marked.state.code())
            .bind(marked.next_at.as_millis())
            .bind(ended)
            .bind(marked.uncertain)
            .bind(attempt.started_at.as_millis())
            .bind(attempt.status.map(i32::from))
            .bind(attempt.error.as_deref().map(clean))
            .bind(if marked.had_by.is_empty() { None } else { Some(clean(&json(&marked.had_by)?)) })
            .execute(&mut *tx)
            .await?
            .rows_affected();
        sqlx::query(ATTEMPT)
            .bind(delivery.number)
            .bind(i32::try_from(delivery.attempts + 1).unwrap_or(i32::MAX))
            .bind(attempt.started_at.as_millis())
            .bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
            .bind(attempt.status.map(i32::from))
            .bind(attempt.answer.as_deref().map(clean))
            .bind(attempt.error.as_deref().map(clean))
            .bind(attempt.next_at.map(Timestamp::as_millis))
            .execute(&mut *tx)
            .await?;
        let delivered = marked.state == DeliveryState::Delivered;
        if delivered || !delivery.is_test() {
            note(tx, delivery.receiver, delivered, marked.gone, marked.at).await?;
        } else if marked.gone {
            sqlx::query(GONE).bind(delivery.receiver.0).bind(marked.at.as_millis()).execute(&mut *tx).await?;
        }
        failpoint::pass("deliveries.before_mark");
        Ok(touched > 0)
    }

    pub(super) async fn note(tx: &mut Connection, receiver: ReceiverId, answered: bool, gone: bool, now: Timestamp) -> Result<(), StoreError> {
        if !answered {
            let gone = gone.then_some(now.as_millis());
            sqlx::query(FAILED).bind(receiver.0).bind(now.as_millis()).bind(gone).execute(&mut *tx).await?;
            return Ok(());
        }
        let (failing,): (i64,) = sqlx::query_as(WAS_FAILING).bind(receiver.0).fetch_one(&mut *tx).await?;
        sqlx::query(SUCCEEDED).bind(receiver.0).bind(now.as_millis()).execute(&mut *tx).await?;
        if failing > 0 {
            sqlx::query(BRING_FORWARD).bind(receiver.0).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        Ok(())
    }

    pub(super) async fn again(tx: &mut Connection, id: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        let found: Option<(i64,)> = sqlx::query_as(RECEIVER_OF).bind(clean(id)).fetch_optional(&mut *tx).await?;
        let Some((receiver,)) = found else { return Ok(false) };
        if tx.take_receiver(ReceiverId(receiver)).await?.is_none() {
            return Ok(false);
        }
        let give_up_at = entry.at.plus(DEADLINE).as_millis();
        let touched = sqlx::query(REDELIVER).bind(clean(id)).bind(entry.at.as_millis()).bind(give_up_at).execute(&mut *tx).await?.rows_affected();
        if touched > 0 {
            tx.record_audit(entry).await?;
        }
        Ok(touched > 0)
    }
}
