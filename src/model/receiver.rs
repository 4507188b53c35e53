//! Receivers of notifications: where they are, how they are spoken to, and the secrets that this takes.

use std::fmt;
use std::str::FromStr;

use super::Timestamp;
use super::dead_letter::{UnknownWord, words};

/// Our id of a receiver; in the API a text of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ReceiverId(pub i64);

impl fmt::Display for ReceiverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ReceiverId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

words! {
    /// How a receiver is spoken to.
    ReceiverKind {
        /// Our own JSON, signed as Standard Webhooks 1.0.0 says.
        Webhook = "webhook" / 0,
        /// An incoming webhook of Slack, or of what is compatible with it.
        Slack = "slack" / 1,
        /// A workflow of Microsoft Teams.
        Teams = "teams" / 2,
        /// A webhook of Discord.
        Discord = "discord" / 3,
        /// Events API version 2 of PagerDuty.
        Pagerduty = "pagerduty" / 4,
        /// An Alertmanager's API, or whatever takes the body of its webhooks.
        Alertmanager = "alertmanager" / 5,
        /// A mail server.
        Email = "email" / 6,
    }
}

impl ReceiverKind {
    /// Whether a receiver of this kind can tell a repeated post from a new one: by `webhook-id`, by `dedup_key`, or since it takes
    /// states and not messages.
    #[must_use]
    pub const fn knows_repeats(self) -> bool {
        matches!(self, Self::Webhook | Self::Pagerduty | Self::Alertmanager)
    }

    /// Whether a receiver of this kind can be told that somebody has taken note of an alert: PagerDuty has an event for it, people read
    /// of it in chats and mails. A generic webhook knows firing and resolved alone.
    #[must_use]
    pub const fn knows_acknowledgements(self) -> bool {
        !matches!(self, Self::Webhook)
    }

    /// Whether every alert of a notification is a delivery of its own.
    #[must_use]
    pub const fn one_per_alert(self) -> bool {
        matches!(self, Self::Webhook | Self::Pagerduty)
    }
}

/// Text that must not be seen: neither `Debug` nor `Serialize` shows it.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever sends or seals it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A receiver as the store lists it. How it is reached is sealed and opened only to send, to test or to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Our id.
    pub id: ReceiverId,
    /// What a person calls it; unique.
    pub name: String,
    /// How it is spoken to.
    pub kind: ReceiverKind,
    /// Host of its URL or mail server, and nothing else of it: paths of chat webhooks are secrets.
    pub host: String,
    /// Since when every attempt has failed; `None` after a success.
    pub failing_since: Option<Timestamp>,
    /// When it said that it is gone (HTTP 410); `None` after a success.
    pub gone_at: Option<Timestamp>,
    /// The last success.
    pub delivered_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

impl Receiver {
    /// Whether a person must look at it: it has failed for a day, or said that it is gone.
    #[must_use]
    pub fn is_flagged(&self, now: Timestamp) -> bool {
        self.gone_at.is_some() || self.failing_since.is_some_and(|since| since.age_at(now) >= FLAGGED_AFTER)
    }
}

/// A receiver is flagged when it has failed for so long.
pub const FLAGGED_AFTER: std::time::Duration = std::time::Duration::from_hours(24);

/// How a receiver is reached: what its kind needs, and nothing else. Sealed as a whole in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Where it is posted to; every kind but e-mail has one.
    pub url: Option<Secret>,
    /// Key of the signature of a generic webhook: `whsec_` and base64 of 24 to 64 bytes.
    pub secret: Option<Secret>,
    /// The key before, while receivers change over: posts carry both signatures.
    pub previous_secret: Option<Secret>,
    /// Integration key of PagerDuty.
    pub routing_key: Option<Secret>,
    /// Mail server and addresses.
    pub smtp: Option<Smtp>,
    /// Headers beside ours.
    pub headers: Vec<CustomHeader>,
}

/// A header that a person adds; often a token.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Name or address of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Login name; `None` sends without login.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// Plain first, then `STARTTLS`, without which nothing is sent.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: for a relay on a trusted network. Never with a password.
    None,
}
