//! Receivers and deliveries as pages show them.

use std::time::Duration;

use super::look::Look;
use super::text::short;
use super::time;
use crate::model::Timestamp;
use crate::model::alert::Severity;
use crate::model::delivery::{Attempt, Delivery, DeliveryState};
use crate::model::notification::{NotifiedAlert, NotifiedStatus, Reason};
use crate::model::receiver::{Receiver, ReceiverKind};

const fn look(word: &'static str, icon: &'static str, tone: &'static str) -> Look {
    Look { word, icon, tone }
}

/// How far a delivery is.
#[must_use]
pub const fn state(state: DeliveryState) -> Look {
    match state {
        DeliveryState::Waiting => look("Waiting", "clock", "busy"),
        DeliveryState::Sending => look("Sending", "send", "busy"),
        DeliveryState::Delivered => look("Delivered", "circle-check", "ok"),
        DeliveryState::Failed => look("Retrying", "rotate-ccw", "warn"),
        DeliveryState::GivenUp => look("Gave up", "circle-x", "bad"),
        DeliveryState::Superseded => look("Superseded", "circle-slash", "idle"),
    }
}

/// Whether a receiver answers.
#[must_use]
pub fn receiver(receiver: &Receiver, now: Timestamp) -> Look {
    match (receiver.gone_at, receiver.failing_since, receiver.delivered_at) {
        (Some(_), ..) => look("Gone", "unplug", "bad"),
        (_, Some(_), _) if receiver.is_flagged(now) => look("Failing for a day", "circle-x", "bad"),
        (_, Some(_), _) => look("Last one failed", "rotate-ccw", "warn"),
        (_, _, Some(at)) if at < receiver.changed_at => look("Changed since the last one", "circle-dashed", "idle"),
        (_, _, Some(_)) => look("Last one delivered", "circle-check", "ok"),
        _ => look("Nothing delivered yet", "circle-dashed", "idle"),
    }
}

/// A kind by its name.
#[must_use]
pub const fn kind(kind: ReceiverKind) -> &'static str {
    match kind {
        ReceiverKind::Webhook => "Webhook",
        ReceiverKind::Slack => "Slack",
        ReceiverKind::Teams => "Microsoft Teams",
        ReceiverKind::Discord => "Discord",
        ReceiverKind::Pagerduty => "PagerDuty",
        ReceiverKind::Alertmanager => "Alertmanager",
        ReceiverKind::Email => "E-mail",
    }
}

/// How an alert stood when it was told.
#[must_use]
pub const fn alert(alert: &NotifiedAlert) -> Look {
    match (alert.status, alert.severity) {
        (NotifiedStatus::Resolved, _) => look("Resolved", "circle-check", "ok"),
        (NotifiedStatus::Acknowledged, _) => look("Acknowledged", "eye", "busy"),
        (_, Severity::Critical) => look("Critical", "octagon-x", "bad"),
        (_, Severity::Error) => look("Error", "circle-alert", "bad"),
        (_, Severity::Warning) => look("Warning", "triangle-alert", "warn"),
        (_, Severity::Info) => look("Info", "info", "idle"),
    }
}

/// Why it was told, in words.
#[must_use]
pub const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::First => "first notification",
        Reason::NewAlerts => "new alerts",
        Reason::SomeResolved => "some resolved",
        Reason::AllResolved => "all resolved",
        Reason::Repeat => "still firing",
        Reason::Acknowledged => "acknowledged",
        Reason::Test => "test",
    }
}

/// One row of a list.
#[derive(Debug)]
pub struct DeliveryRow {
    /// Its page.
    pub href: String,
    /// How far it is.
    pub look: Look,
    /// The first alert in words.
    pub title: String,
    /// Why it was told, and how many alerts.
    pub about: String,
    /// To whom.
    pub receiver: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The last answer.
    pub answer: String,
    /// When it is tried next, in words.
    pub next: Option<String>,
    /// When it was made.
    pub at: Timestamp,
}

impl DeliveryRow {
    /// A delivery as a row.
    #[must_use]
    pub fn new(delivery: &Delivery, now: Timestamp) -> Self {
        let more = delivery.notification.alerts.len();
        let about = reason(delivery.notification.reason);
        let waits = matches!(delivery.state, DeliveryState::Waiting | DeliveryState::Failed);
        let wait = Duration::from_millis(delivery.next_at.as_millis().saturating_sub(now.as_millis()).max(0).unsigned_abs());
        let next =
            if wait < Duration::from_secs(1) { "next try now".to_owned() } else { format!("next try in {}", time::duration_words(wait)) };
        let last = delivery.last_error.clone().or_else(|| delivery.last_status.map(|status| status.to_string()));
        Self {
            href: format!("/deliveries/{}", delivery.id),
            look: state(delivery.state),
            title: if delivery.title.is_empty() { "Notification".to_owned() } else { short(&delivery.title, 200) },
            about: if more > 1 { format!("{about}, {more} alerts") } else { about.to_owned() },
            receiver: short(&delivery.receiver_name, 100),
            attempts: delivery.attempts,
            answer: last.map(|text| short(&text, 300)).unwrap_or_default(),
            next: (waits && delivery.ended_at.is_none()).then_some(next),
            at: delivery.created_at,
        }
    }
}

/// One attempt of the log.
#[derive(Debug)]
pub struct AttemptRow {
    /// Counts from 1.
    pub number: u32,
    /// Tone.
    pub tone: &'static str,
    /// Icon.
    pub icon: &'static str,
    /// What came of it.
    pub words: String,
    /// How long it took.
    pub took: String,
    /// When.
    pub at: Timestamp,
}

impl From<&Attempt> for AttemptRow {
    fn from(attempt: &Attempt) -> Self {
        let failed = attempt.error.is_some();
        let answered = attempt.status.map_or_else(|| "delivered".to_owned(), |status| format!("{status}, delivered"));
        Self {
            number: attempt.number,
            tone: if failed { "bad" } else { "ok" },
            icon: if failed { "circle-x" } else { "circle-check" },
            words: attempt.error.as_deref().map_or(answered, |error| short(error, 300)),
            took: time::duration_words(attempt.took),
            at: attempt.started_at,
        }
    }
}
