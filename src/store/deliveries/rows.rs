//! How rows become deliveries and attempts.

use std::time::Duration;

use super::super::StoreError;
use super::super::error::contradiction;
use super::super::receivers::kind;
use crate::model::Timestamp;
use crate::model::delivery::{Attempt, Delivery, DeliveryState};
use crate::model::receiver::ReceiverId;

macro_rules! delivery_sql {
    ($tail:expr) => {
        concat!(
            "select number, id, receiver_id, receiver_name, kind, title, notification, state, created_at, next_at, give_up_at, attempts, epoch, \
             uncertain, had_by, ended_at, last_at, last_status, last_error from deliveries d ",
            $tail
        )
    };
}
pub(super) use delivery_sql;

#[derive(sqlx::FromRow)]
pub(super) struct DeliveryRow {
    pub(super) number: i64,
    id: String,
    receiver_id: i64,
    receiver_name: String,
    kind: i16,
    title: String,
    notification: String,
    pub(super) state: i16,
    created_at: i64,
    next_at: i64,
    give_up_at: i64,
    pub(super) attempts: i32,
    pub(super) epoch: i64,
    uncertain: bool,
    had_by: Option<String>,
    ended_at: Option<i64>,
    last_at: Option<i64>,
    last_status: Option<i32>,
    last_error: Option<String>,
}

impl DeliveryRow {
    pub(super) fn into_delivery(self) -> Result<Delivery, StoreError> {
        let state = DeliveryState::from_code(self.state).ok_or_else(|| contradiction(format!("delivery state {}", self.state)))?;
        let notification = serde_json::from_str(&self.notification)
            .map_err(|error| contradiction(format!("the notification of delivery {}: {error}", self.id)))?;
        let had_by = self.had_by.as_deref().map_or_else(|| Ok(Vec::new()), serde_json::from_str);
        let had_by = had_by.map_err(|error| contradiction(format!("who has delivery {}: {error}", self.id)))?;
        Ok(Delivery {
            number: self.number,
            id: self.id,
            receiver: ReceiverId(self.receiver_id),
            receiver_name: self.receiver_name,
            kind: kind(self.kind)?,
            notification,
            title: self.title,
            state,
            created_at: Timestamp::from_millis(self.created_at),
            next_at: Timestamp::from_millis(self.next_at),
            give_up_at: Timestamp::from_millis(self.give_up_at),
            attempts: self.attempts.unsigned_abs(),
            epoch: self.epoch,
            uncertain: self.uncertain,
            had_by,
            ended_at: self.ended_at.map(Timestamp::from_millis),
            last_at: self.last_at.map(Timestamp::from_millis),
            last_status: self.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: self.last_error,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct AttemptRow {
    attempt: i32,
    started_at: i64,
    took_ms: i64,
    status: Option<i32>,
    answer: Option<String>,
    error: Option<String>,
    next_at: Option<i64>,
}

impl AttemptRow {
    pub(super) fn into_attempt(self) -> Attempt {
        Attempt {
            number: self.attempt.unsigned_abs(),
            started_at: Timestamp::from_millis(self.started_at),
            took: Duration::from_millis(self.took_ms.unsigned_abs()),
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            answer: self.answer,
            error: self.error,
            next_at: self.next_at.map(Timestamp::from_millis),
        }
    }
}
