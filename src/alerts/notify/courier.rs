//! Posts parcels: one deadline over everything from the name's look-up to the end of the answer, no redirects, no proxy, and of the
//! answer as much as the log keeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::{Destination, Guard, Refused};
use super::{Parcel, Post, ladder, smtp};
use crate::model::Timestamp;

/// The deadline of one attempt.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// So long after it an attempt is given up from outside. The client has ended by itself before, and knows whether an answer had begun.
const GRACE: Duration = Duration::from_secs(1);
/// So much of an answer is read.
pub const MAX_ANSWER: usize = 4 * 1024;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it means for the delivery.
    pub verdict: Verdict,
    /// Status of the answer, HTTP's or the mail server's.
    pub status: Option<u16>,
    /// The answer, cut; our own secrets in it are hidden.
    pub answer: Option<String>,
    /// What went wrong, in words without secrets.
    pub error: Option<String>,
    /// How long the receiver asks us to wait.
    pub retry_after: Option<Duration>,
    /// Addresses that have the mail, when others have not.
    pub had_by: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// What an attempt means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// It has not arrived.
    Failed,
    /// It may have arrived: no answer came.
    Unknown,
    /// The receiver says that it is gone for good (410).
    Gone,
}

/// Posts parcels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Courier {
    guard: Guard,
    deadline: Duration,
    /// Clients that dial public addresses and allowed ones, and allowed ones only.
    public: reqwest::Client,
    allowed: reqwest::Client,
}

impl Courier {
    /// A courier that goes only where the guard lets it.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(guard: Guard, deadline: Duration) -> Result<Self, reqwest::Error> {
        let client = |only_allowed| {
            reqwest::Client::builder()
                .user_agent(concat!("Redrive/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .pool_idle_timeout(Duration::from_secs(5))
                .timeout(deadline)
                .dns_resolver(Arc::new(Dialler { guard: guard.clone(), only_allowed }))
                .build()
        };
        Ok(Self { public: client(false)?, allowed: client(true)?, guard, deadline })
    }

    /// Who decides where it goes.
    #[must_use]
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Makes one attempt.
    pub async fn send(&self, parcel: &Parcel) -> Outcome {
        let began = Instant::now();
        let mut outcome = match parcel {
            Parcel::Post(post) => {
                let outcome = tokio::time::timeout(self.deadline + GRACE, self.post(post)).await;
                outcome.unwrap_or_else(|_| Outcome::lost(format!("no answer within {} s", self.deadline.as_secs())))
            }
            Parcel::Mail(mail) => smtp::send(&self.guard, mail, self.deadline).await,
        };
        outcome.took = began.elapsed();
        let secrets = secrets(parcel);
        outcome.answer = outcome.answer.map(|text| cut(hidden(text, &secrets)));
        outcome.error = outcome.error.map(|text| cut(hidden(text, &secrets)));
        outcome
    }

    async fn post(&self, post: &Post) -> Outcome {
        let to = match self.guard.read_url(&post.url) {
            Ok(to) => to,
            Err(refused) => return Outcome::failed(refused.to_string()),
        };
        let client = if to.only_allowed { &self.allowed } else { &self.public };
        let mut request = client.post(&post.url).header("content-type", "application/json").body(post.body.clone());
        for (name, value) in &post.headers {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(response) => answered(response).await,
            Err(error) => self.not_answered(&error, &to).await,
        }
    }

    /// What kept an answer away. Where the name leads is asked once more, for words that help.
    async fn not_answered(&self, error: &reqwest::Error, to: &Destination) -> Outcome {
        if error.is_builder() {
            return Outcome::failed("a header or the url cannot be sent as it is; enter it again".to_owned());
        }
        if error.is_connect() {
            // The resolver knows no port; the guard names it when it is asked once more.
            let refused = refusal(error).filter(|refused| !matches!(refused, Refused::Port(_)));
            let words = match refused {
                Some(refused) => refused.to_string(),
                None => match self.guard.resolve(to).await {
                    Err(refused) => refused.to_string(),
                    Ok(_) if error.is_timeout() => "no connection within the deadline".to_owned(),
                    Ok(_) => format!("no connection: {}", refused_certificate(error).unwrap_or_else(|| innermost(error))),
                },
            };
            return Outcome::failed(words);
        }
        if error.is_timeout() {
            return Outcome::lost(format!("no answer within {} s", self.deadline.as_secs()));
        }
        Outcome::lost(format!("the connection broke before an answer: {}", innermost(error)))
    }
}

impl Outcome {
    fn new(verdict: Verdict, status: Option<u16>, answer: Option<String>, error: Option<String>) -> Self {
        Self { verdict, status, answer, error, retry_after: None, had_by: Vec::new(), took: Duration::ZERO }
    }

    pub(super) fn failed(error: String) -> Self {
        Self::new(Verdict::Failed, None, None, Some(error))
    }

    /// Nothing could be sent.
    #[must_use]
    pub fn unsent(error: String) -> Self {
        Self::failed(error)
    }

    pub(super) fn lost(error: String) -> Self {
        Self::new(Verdict::Unknown, None, None, Some(error))
    }

    pub(super) fn delivered(status: Option<u16>, answer: String) -> Self {
        Self::new(Verdict::Delivered, status, Some(answer), None)
    }

    pub(super) fn refused(status: u16, answer: String, error: String) -> Self {
        Self::new(Verdict::Failed, Some(status), Some(answer), Some(error))
    }
}

/// The head decides: a receiver that answered 2xx has the message, however slowly the rest of its answer comes.
async fn answered(response: reqwest::Response) -> Outcome {
    let status = response.status();
    let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|text| ladder::retry_after(text, Timestamp::now()));
    let answer = read(response).await;
    let reason = status.canonical_reason().unwrap_or("unknown status");
    let (verdict, error) = match status.as_u16() {
        200..=299 => (Verdict::Delivered, None),
        410 => (Verdict::Gone, Some("410 Gone: the receiver says that it no longer exists".to_owned())),
        300..=399 => {
            (Verdict::Failed, Some(format!("{} {reason}: redirects are not followed; enter the address it leads to", status.as_u16())))
        }
        code => (Verdict::Failed, Some(format!("{code} {reason}"))),
    };
    Outcome { retry_after: wait, ..Outcome::new(verdict, Some(status.as_u16()), Some(answer), error) }
}

/// The beginning of the answer; the client's deadline ends a slow one.
async fn read(mut response: reqwest::Response) -> String {
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - bytes.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parts of an address that are as long as this are taken for keys.
const KEY_LENGTH: usize = 12;

/// What must not be read in a log, of what was sent: addresses and headers hold keys.
fn secrets(parcel: &Parcel) -> Vec<String> {
    match parcel {
        Parcel::Post(post) => {
            let after_host = post.url.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
            let key = post.body.split("\"routing_key\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
            let headers = post.headers.iter().filter(|(name, _)| !name.starts_with("webhook-")).map(|(_, value)| value.clone());
            let parts: Vec<String> =
                after_host.split(['/', '?', '&', '=']).filter(|part| part.len() >= KEY_LENGTH).map(str::to_owned).collect();
            [post.url.clone(), after_host, key].into_iter().chain(parts).chain(headers).collect()
        }
        Parcel::Mail(mail) => mail.smtp.password.iter().map(|password| password.expose().to_owned()).collect(),
    }
}

fn hidden(text: String, secrets: &[String]) -> String {
    let long = secrets.iter().filter(|secret| secret.len() >= 6);
    long.fold(text, |text, secret| if text.contains(secret.as_str()) { text.replace(secret.as_str(), "***") } else { text })
}

/// As much as the log keeps; no letter is torn.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ANSWER));
    text
}

/// The guard's own refusal inside of a client's error.
fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// Why the receiver's certificate is refused, if that is what went wrong. OpenSSL says so beside its error, and in no cause of its own.
fn refused_certificate(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("certificate verify failed") {
            let reason = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")).map_or("unknown reason", |(_, reason)| reason);
            return Some(format!("the receiver's certificate is refused, and nothing was sent: {}", certificate_words(reason)));
        }
        cause = error.source();
    }
    None
}

/// What OpenSSL says of a certificate, with what to do about it.
fn certificate_words(reason: &str) -> String {
    let words = match reason {
        "certificate has expired" => "it has expired",
        "certificate is not yet valid" => "it is not valid yet; the clock of one of the machines may be wrong",
        "hostname mismatch" | "IP address mismatch" => "it is for another name than that in the url",
        _ if reason.contains("issuer") || reason.contains("self-signed") || reason.contains("self signed") => {
            "its authority is not trusted here; one of your own is named by SSL_CERT_FILE"
        }
        _ => return reason.to_owned(),
    };
    format!("{words} ({reason})")
}

/// The last cause, which says what the system said and no address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if cause.is::<reqwest::Error>() { "unknown reason".to_owned() } else { cause.to_string() }
}

/// Resolves names for a client, and hands out only what may be dialled.
struct Dialler {
    guard: Guard,
    only_allowed: bool,
}

impl reqwest::dns::Resolve for Dialler {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (guard, only_allowed) = (self.guard.clone(), self.only_allowed);
        Box::pin(async move {
            let to = Destination { host: name.as_str().to_ascii_lowercase(), port: 0, only_allowed };
            let found: Vec<SocketAddr> = guard.resolve(&to).await?;
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}
