//! The form of a receiver: what a browser sends, and what it shows. Secrets are not shown again.

use serde::Deserialize;

use super::super::super::Error;
use super::super::super::api::receivers::parse_name;
use super::super::super::view::delivery::kind as kind_name;
use crate::alerts::notify::PAGERDUTY_URL;
use crate::alerts::receivers::{ReceiverTerms, Removable};
use crate::model::receiver::{CustomHeader, Endpoint, Receiver, ReceiverKind, Secret, Smtp, SmtpTls};

/// Every field as its text.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) routing_key: String,
    pub(super) headers: String,
    pub(super) smtp_host: String,
    pub(super) smtp_port: String,
    pub(super) smtp_tls: String,
    pub(super) smtp_username: String,
    smtp_password: String,
    pub(super) smtp_from: String,
    pub(super) smtp_to: String,
    remove: Vec<String>,
}

impl Fields {
    /// What is proposed for a kind.
    pub(super) fn proposed(kind: &str, secret: &str) -> Self {
        let kind = kind.parse().unwrap_or(ReceiverKind::Webhook);
        Self {
            kind: kind.as_str().to_owned(),
            url: if kind == ReceiverKind::Pagerduty { PAGERDUTY_URL.to_owned() } else { String::new() },
            secret: if kind == ReceiverKind::Webhook { secret.to_owned() } else { String::new() },
            smtp_port: "587".to_owned(),
            smtp_tls: "starttls".to_owned(),
            ..Self::default()
        }
    }

    /// What is saved, without its secrets.
    pub(super) fn of(endpoint: Option<Endpoint>, receiver: &Receiver) -> Self {
        let smtp = endpoint.and_then(|endpoint| endpoint.smtp);
        let mut fields = Self { name: receiver.name.clone(), kind: receiver.kind.as_str().to_owned(), ..Self::default() };
        if let Some(smtp) = smtp {
            fields.smtp_host = smtp.host;
            fields.smtp_port = smtp.port.to_string();
            tls_word(smtp.tls).clone_into(&mut fields.smtp_tls);
            fields.smtp_username = smtp.username.unwrap_or_default();
            fields.smtp_from = smtp.from;
            fields.smtp_to = smtp.to.join(", ");
        }
        fields
    }

    /// What a receiver is saved with; 422 with the field otherwise.
    pub(super) fn parse(&self, saved: bool) -> Result<ReceiverTerms, Error> {
        let kind: ReceiverKind = self.kind.parse().map_err(|_| Error::field("kind", "choose a kind"))?;
        let secret = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(Secret::new);
        let endpoint = Endpoint {
            url: secret(&self.url),
            secret: secret(&self.secret),
            previous_secret: None,
            routing_key: secret(&self.routing_key),
            smtp: if kind == ReceiverKind::Email { Some(self.smtp()?) } else { None },
            headers: self.custom_headers()?,
        };
        let remove = if saved { self.remove.iter().filter_map(|word| removable(word)).collect() } else { Vec::new() };
        Ok(ReceiverTerms { name: parse_name(&self.name)?, kind, endpoint, remove })
    }

    fn smtp(&self) -> Result<Smtp, Error> {
        let port = self.smtp_port.trim().parse().map_err(|_| Error::field("smtp.port", "A port is a number from 1 to 65535."))?;
        let username = Some(self.smtp_username.trim().to_owned()).filter(|name| !name.is_empty());
        Ok(Smtp {
            host: self.smtp_host.trim().to_owned(),
            port,
            tls: match self.smtp_tls.as_str() {
                "tls" => SmtpTls::Tls,
                "none" => SmtpTls::None,
                _ => SmtpTls::Starttls,
            },
            password: Some(self.smtp_password.as_str()).filter(|word| !word.is_empty() && username.is_some()).map(Secret::new),
            username,
            from: self.smtp_from.trim().to_owned(),
            to: self.smtp_to.split(',').map(str::trim).filter(|to| !to.is_empty()).map(str::to_owned).collect(),
        })
    }

    fn custom_headers(&self) -> Result<Vec<CustomHeader>, Error> {
        let lines = self.headers.lines().map(str::trim).filter(|line| !line.is_empty());
        let header = |line: &str| {
            let (name, value) = line.split_once(':').ok_or_else(|| Error::field("headers", "A header is a name, a colon and a value."))?;
            Ok(CustomHeader { name: name.trim().to_owned(), value: Secret::new(value.trim()) })
        };
        lines.map(header).collect()
    }

    /// Kinds as word, label and whether it is chosen.
    pub(super) fn kinds(&self) -> Vec<(&'static str, &'static str, bool)> {
        ReceiverKind::ALL.iter().map(|kind| (kind.as_str(), kind_name(*kind), kind.as_str() == self.kind)).collect()
    }

    /// Ways to protect a connection as word, label and whether it is chosen.
    pub(super) fn protections(&self) -> Vec<(&'static str, &'static str, bool)> {
        let all = [
            ("starttls", "STARTTLS, usual on 587"),
            ("tls", "TLS from the first byte, usual on 465"),
            ("none", "None: a relay on a trusted network"),
        ];
        all.into_iter().map(|(word, label)| (word, label, word == self.smtp_tls)).collect()
    }

    pub(super) fn url_label(&self) -> &'static str {
        if self.kind == "pagerduty" { "Address of PagerDuty" } else { "Address (URL)" }
    }

    pub(super) fn url_note(&self) -> &'static str {
        match self.kind.as_str() {
            "slack" => "An incoming webhook of Slack, or of Mattermost and others that take the same. Only its host is shown later.",
            "teams" => "Of a workflow \"When a Teams webhook request is received\". Only its host is shown later.",
            "discord" => "Of a webhook in a channel's integrations. Only its host is shown later.",
            "pagerduty" => "Another one in the EU: events.eu.pagerduty.com",
            "alertmanager" => {
                "An Alertmanager's API ends in /api/v2/alerts: it is pushed to every minute. Any other address is posted the body of Alertmanager's webhooks."
            }
            _ => "Public addresses by https; private ones must be allowed in the configuration. Only the host is shown later.",
        }
    }
}

const fn tls_word(tls: SmtpTls) -> &'static str {
    match tls {
        SmtpTls::Starttls => "starttls",
        SmtpTls::Tls => "tls",
        SmtpTls::None => "none",
    }
}

fn removable(word: &str) -> Option<Removable> {
    match word {
        "secret" => Some(Removable::Secret),
        "previous_secret" => Some(Removable::PreviousSecret),
        "headers" => Some(Removable::Headers),
        _ => None,
    }
}
