//! Whether a receiver can be saved: what its kind needs, and where it leads.

use super::guard::{Guard, Refused};
use super::{pagerduty, smtp, webhook};
use crate::model::receiver::{Endpoint, ReceiverKind, Secret, Smtp, SmtpTls};

/// Longest URL and header value.
const MAX_TEXT: usize = 2_000;
/// Headers and recipients at most.
const MAX_LIST: usize = 20;
/// Headers that are ours, or the connection's.
const OWN_HEADERS: &[&str] =
    &["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect", "keep-alive"];

/// A field of a receiver that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// Its name in the API.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Problem {
    fn new(field: &'static str, text: impl Into<String>) -> Self {
        Self { field, text: text.into() }
    }
}

/// Checks a receiver's endpoint. Answers the host, which is all of it that may be shown.
pub async fn check(kind: ReceiverKind, endpoint: &Endpoint, guard: &Guard) -> Result<String, Problem> {
    check_parts(kind, endpoint)?;
    let (field, to) = match (&endpoint.smtp, &endpoint.url) {
        (Some(smtp), _) if kind == ReceiverKind::Email => ("smtp.host", guard.read_mail(&smtp.host, smtp.port)),
        (_, Some(url)) => ("url", guard.read_url(url.expose())),
        (_, None) => ("url", guard.read_url(pagerduty::URL)),
    };
    let to = to.map_err(|refused| Problem::new(field, refused.to_string()))?;
    match guard.resolve(&to).await {
        // A name that does not exist yet may do so when it is sent to; it is checked again then.
        Ok(_) | Err(Refused::Unresolved(_)) => Ok(to.host),
        Err(refused) => Err(Problem::new(field, refused.to_string())),
    }
}

fn check_parts(kind: ReceiverKind, endpoint: &Endpoint) -> Result<(), Problem> {
    let unused = |field, given: bool| if given { Err(Problem::new(field, format!("{kind} has no {field}"))) } else { Ok(()) };
    let is_webhook = kind == ReceiverKind::Webhook;
    unused("secret", endpoint.secret.is_some() && !is_webhook)?;
    unused("previous_secret", endpoint.previous_secret.is_some() && !is_webhook)?;
    unused("routing_key", endpoint.routing_key.is_some() && kind != ReceiverKind::Pagerduty)?;
    unused("smtp", endpoint.smtp.is_some() && kind != ReceiverKind::Email)?;
    unused("url", endpoint.url.is_some() && kind == ReceiverKind::Email)?;
    unused("headers", !endpoint.headers.is_empty() && kind == ReceiverKind::Email)?;
    check_url(kind, endpoint.url.as_ref())?;
    for (field, secret) in [("secret", &endpoint.secret), ("previous_secret", &endpoint.previous_secret)] {
        if secret.as_ref().is_some_and(|secret| webhook::key(secret).is_none()) {
            return Err(Problem::new(field, format!("{field} is whsec_ followed by 24 to 64 bytes in base64")));
        }
    }
    if endpoint.previous_secret.is_some() && endpoint.secret.is_none() {
        return Err(Problem::new("previous_secret", "previous_secret stands beside a secret"));
    }
    if kind == ReceiverKind::Pagerduty {
        let fits = |key: &Secret| key.expose().len() == 32 && key.expose().bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !endpoint.routing_key.as_ref().is_some_and(fits) {
            return Err(Problem::new("routing_key", "routing_key is the integration key of 32 letters and digits"));
        }
    }
    if kind == ReceiverKind::Email {
        check_smtp(endpoint.smtp.as_ref().ok_or_else(|| Problem::new("smtp", "email needs smtp"))?)?;
    }
    check_headers(endpoint)
}

fn check_url(kind: ReceiverKind, url: Option<&Secret>) -> Result<(), Problem> {
    let Some(url) = url else {
        let optional = matches!(kind, ReceiverKind::Email | ReceiverKind::Pagerduty);
        return if optional { Ok(()) } else { Err(Problem::new("url", format!("{kind} needs a url"))) };
    };
    if url.expose().len() > MAX_TEXT {
        return Err(Problem::new("url", format!("url has {MAX_TEXT} characters at most")));
    }
    let path = url.expose().splitn(4, '/').nth(3).unwrap_or_default();
    if kind == ReceiverKind::Alertmanager && path.is_empty() {
        let text = "url is an Alertmanager's API, which ends in /api/v2/alerts, or the whole address of what takes its webhooks";
        return Err(Problem::new("url", text));
    }
    Ok(())
}

fn check_headers(endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.headers.len() > MAX_LIST {
        return Err(Problem::new("headers", format!("{MAX_LIST} headers at most")));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    for header in &endpoint.headers {
        let name = header.name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 100 || !name.chars().all(token) {
            return Err(Problem::new("headers", "a header's name has 1 to 100 letters, digits and dashes"));
        }
        if OWN_HEADERS.contains(&name.as_str()) || name.starts_with("webhook-") || name.starts_with("proxy-") {
            return Err(Problem::new("headers", format!("{name} is set by Redrive and cannot be replaced")));
        }
        let value = header.value.expose();
        if value.len() > MAX_TEXT || !value.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
            return Err(Problem::new("headers", format!("the value of {name} is one line of {MAX_TEXT} plain characters at most")));
        }
    }
    Ok(())
}

fn check_smtp(smtp: &Smtp) -> Result<(), Problem> {
    if smtp.port == 0 {
        return Err(Problem::new("smtp.port", "smtp.port is a number from 1 to 65535"));
    }
    if smtp.username.is_some() != smtp.password.is_some() {
        return Err(Problem::new("smtp.password", "a login has username and password"));
    }
    if smtp.password.is_some() && smtp.tls == SmtpTls::None {
        return Err(Problem::new("smtp.tls", "a password is never sent without TLS: choose starttls or tls"));
    }
    if !smtp::is_mail_address(&smtp.from) {
        return Err(Problem::new("smtp.from", "smtp.from is a mail address"));
    }
    if smtp.to.is_empty() || smtp.to.len() > MAX_LIST {
        return Err(Problem::new("smtp.to", format!("smtp.to has 1 to {MAX_LIST} mail addresses")));
    }
    match smtp.to.iter().find(|to| !smtp::is_mail_address(to)) {
        Some(_) => Err(Problem::new("smtp.to", "smtp.to holds mail addresses")),
        None => Ok(()),
    }
}
