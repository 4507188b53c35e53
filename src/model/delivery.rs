//! Deliveries: one notification on its way to one receiver, with its attempts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Timestamp;
use super::dead_letter::{UnknownWord, words};
use super::notification::{Notification, Reason};
use super::receiver::{ReceiverId, ReceiverKind};

words! {
    /// How far a delivery is.
    DeliveryState {
        /// Not tried yet.
        Waiting = "waiting" / 0,
        /// Being sent.
        Sending = "sending" / 1,
        /// It has arrived.
        Delivered = "delivered" / 2,
        /// The last attempt failed; it is tried again.
        Failed = "failed" / 3,
        /// It did not arrive, and is not tried any more.
        GivenUp = "given_up" / 4,
        /// It did not arrive, and later messages of its group have: they told how each of its alerts stands, and it is not sent any more.
        Superseded = "superseded" / 5,
    }
}

/// A delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Our number of it; ascending in time.
    pub number: i64,
    /// Its public id: the same for every attempt, and the receiver's `webhook-id`.
    pub id: String,
    /// To whom.
    pub receiver: ReceiverId,
    /// The receiver's name when it was made.
    pub receiver_name: String,
    /// How the receiver is spoken to.
    pub kind: ReceiverKind,
    /// What is told.
    pub notification: Notification,
    /// The first alert in words.
    pub title: String,
    /// How far it is.
    pub state: DeliveryState,
    /// When the notification was decided.
    pub created_at: Timestamp,
    /// When it is tried next; of interest while it has not ended.
    pub next_at: Timestamp,
    /// When it is given up.
    pub give_up_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Claims so far; a write with an older number comes too late.
    pub epoch: i64,
    /// Whether an attempt may have arrived without our knowing.
    pub uncertain: bool,
    /// Addresses that have this mail, when others of them have not.
    pub had_by: Vec<String>,
    /// When it ended: delivered, given up or superseded.
    pub ended_at: Option<Timestamp>,
    /// When the last attempt was.
    pub last_at: Option<Timestamp>,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl Delivery {
    /// Whether it only tries a receiver: it is tried once.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.notification.reason == Reason::Test
    }
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Status of the answer.
    pub status: Option<u16>,
    /// The answer, cut to 4 KB.
    pub answer: Option<String>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// When it was to be tried again.
    pub next_at: Option<Timestamp>,
}

/// What a list of deliveries is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To one receiver.
    pub receiver: Option<ReceiverId>,
    /// In one state.
    pub state: Option<DeliveryState>,
    /// Which told of the alert with this number.
    pub alert: Option<i64>,
    /// Which told of alerts of the rule with this number.
    pub rule: Option<i64>,
}
