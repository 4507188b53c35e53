//! Keeps receivers: checks them, seals how they are reached, and opens it again only to send, to try or to change.

use serde_json::{Value, json};

use super::notify::guard::Guard;
use super::notify::verify::{self, Problem};
use crate::access::{Vault, VaultError};
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::receiver::{Endpoint, Receiver, ReceiverId, ReceiverKind, Secret, SmtpTls};
use crate::model::{Actor, AuditEntry, Timestamp};
use crate::store::receivers::SealedReceiver;
use crate::store::{Store, StoreError};

/// What can go wrong when receivers are kept.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// A field is missing or wrong.
    #[error(transparent)]
    Invalid(#[from] Problem),
    /// There is no such receiver.
    #[error("there is no such receiver")]
    NotFound,
    /// Its secrets cannot be opened.
    #[error(transparent)]
    Vault(VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ReceiverError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(_) => Self::Invalid(Problem { field: "name", text: "another receiver has this name".to_owned() }),
            error => Self::Store(error),
        }
    }
}

impl From<VaultError> for ReceiverError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => Self::Store(error),
            error => Self::Vault(error),
        }
    }
}

/// What a receiver is saved with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverTerms {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ReceiverKind,
    /// How it is reached. When a receiver is changed, secrets that are left out stay as they are.
    pub endpoint: Endpoint,
    /// What does not stay though it is left out.
    pub remove: Vec<Removable>,
}

/// What a person can take away from a receiver without a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removable {
    /// Both secrets: posts are unsigned from now on.
    Secret,
    /// The old secret: the change-over has ended.
    PreviousSecret,
    /// The headers.
    Headers,
}

/// Keeps receivers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receivers {
    store: Store,
    vault: Vault,
    guard: Guard,
    changes: Changes,
}

impl Receivers {
    /// Keeps receivers in a store.
    #[must_use]
    pub const fn new(store: Store, vault: Vault, guard: Guard, changes: Changes) -> Self {
        Self { store, vault, guard, changes }
    }

    /// Adds a receiver.
    pub async fn add(&self, terms: ReceiverTerms, actor: &Actor, now: Timestamp) -> Result<Receiver, ReceiverError> {
        let host = verify::check(terms.kind, &terms.endpoint, &self.guard).await?;
        let sealed = self.seal(&terms.endpoint);
        let receiver = self.store.add_receiver(self.row(&terms, &host, &sealed), &entry("receivers.add", "", actor, now)).await?;
        self.changes.publish(Noun::Deliveries);
        Ok(receiver)
    }

    /// Replaces a receiver. What is secret and left out stays, as long as the kind stays and, for what would be sent to the receiver, the
    /// host too: a secret never follows to an address that somebody else has entered.
    pub async fn change(&self, id: ReceiverId, terms: ReceiverTerms, actor: &Actor, now: Timestamp) -> Result<Receiver, ReceiverError> {
        let (before, known) = self.open(id).await?;
        let mut terms = terms;
        if before.kind == terms.kind {
            terms.endpoint = kept(without(known, &terms.remove), terms.endpoint)?;
        }
        let host = verify::check(terms.kind, &terms.endpoint, &self.guard).await?;
        let sealed = self.seal(&terms.endpoint);
        let about = format!("/receivers/{id} ({})", terms.name);
        let row = self.row(&terms, &host, &sealed);
        if !self.store.change_receiver(id, row, &entry("receivers.change", &about, actor, now)).await? {
            return Err(ReceiverError::NotFound);
        }
        self.changes.publish(Noun::Deliveries);
        self.find(id).await
    }

    /// Removes a receiver; rules name it no more.
    pub async fn remove(&self, id: ReceiverId, actor: &Actor, now: Timestamp) -> Result<(), ReceiverError> {
        let receiver = self.find(id).await?;
        let about = format!("/receivers/{id} ({})", receiver.name);
        if !self.store.remove_receiver(id, &entry("receivers.delete", &about, actor, now)).await? {
            return Err(ReceiverError::NotFound);
        }
        self.changes.publish(Noun::Deliveries);
        self.changes.publish(Noun::Alerts);
        Ok(())
    }

    /// One receiver.
    pub async fn find(&self, id: ReceiverId) -> Result<Receiver, ReceiverError> {
        self.store.find_receiver(id).await?.ok_or(ReceiverError::NotFound)
    }

    /// One receiver, and how it is reached.
    pub async fn open(&self, id: ReceiverId) -> Result<(Receiver, Endpoint), ReceiverError> {
        let receiver = self.find(id).await?;
        let sealed = self.store.find_sealed(id).await?.ok_or(ReceiverError::NotFound)?;
        let plain = self.vault.unseal(ABOUT, &sealed)?;
        let endpoint = serde_json::from_slice(&plain).map_err(|_| ReceiverError::Vault(VaultError::Damaged))?;
        Ok((receiver, endpoint))
    }

    fn seal(&self, endpoint: &Endpoint) -> Vec<u8> {
        self.vault.seal(ABOUT, plain(endpoint).to_string().as_bytes())
    }

    fn row<'a>(&'a self, terms: &'a ReceiverTerms, host: &'a str, sealed: &'a [u8]) -> SealedReceiver<'a> {
        SealedReceiver { name: &terms.name, kind: terms.kind, host, sealed, key_id: self.vault.key_id() }
    }
}

/// What sealed bytes are.
const ABOUT: &str = "receiver";

pub(super) fn entry(action: &str, target: &str, actor: &Actor, now: Timestamp) -> AuditEntry {
    AuditEntry {
        id: 0,
        at: now,
        actor: actor.clone(),
        action: action.to_owned(),
        target: target.to_owned(),
        count: None,
        result: "done".to_owned(),
    }
}

/// The new endpoint with the old one's secrets where it has none of its own.
fn kept(old: Endpoint, new: Endpoint) -> Result<Endpoint, Problem> {
    let same_place = new.url.is_none() || new.url == old.url || place(new.url.as_ref()) == place(old.url.as_ref());
    let headers = if new.headers.is_empty() && same_place { old.headers } else { new.headers };
    let smtp = match (old.smtp, new.smtp) {
        (Some(old), Some(mut new)) => {
            let same = (&old.host, old.port, &old.username) == (&new.host, new.port, &new.username) && new.tls != SmtpTls::None;
            if new.password.is_none() && new.username.is_some() {
                if !same && old.password.is_some() {
                    return Err(Problem {
                        field: "smtp.password",
                        text: "enter the password again: it is not sent to another server".to_owned(),
                    });
                }
                new.password = old.password;
            }
            Some(new)
        }
        (old, new) => new.or(old),
    };
    // A secret that signs is not sent, and a new one begins the change-over from the old.
    let (secret, previous_secret) = match (new.secret, new.previous_secret) {
        (Some(secret), None) if old.secret.as_ref().is_some_and(|old| *old != secret) => (Some(secret), old.secret),
        (Some(secret), previous) => (Some(secret), previous.or(old.previous_secret)),
        (None, previous) => (old.secret, previous.or(old.previous_secret)),
    };
    let routing_key = if same_place { new.routing_key.or(old.routing_key) } else { new.routing_key };
    Ok(Endpoint { url: new.url.or(old.url), secret, previous_secret, routing_key, smtp, headers })
}

fn without(mut endpoint: Endpoint, remove: &[Removable]) -> Endpoint {
    for what in remove {
        match what {
            Removable::Secret => (endpoint.secret, endpoint.previous_secret) = (None, None),
            Removable::PreviousSecret => endpoint.previous_secret = None,
            Removable::Headers => endpoint.headers.clear(),
        }
    }
    endpoint
}

/// Scheme and authority of a URL.
fn place(url: Option<&Secret>) -> Option<&str> {
    let url = url?.expose();
    let authority = url.find("://").map_or(0, |at| at + 3);
    Some(&url[..url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at)])
}

/// The endpoint with its secrets in the clear: for sealing, and for nothing else.
fn plain(endpoint: &Endpoint) -> Value {
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let smtp = endpoint.smtp.as_ref().map(|smtp| {
        json!({ "host": smtp.host, "port": smtp.port, "tls": smtp.tls, "username": smtp.username, "password": secret(&smtp.password),
            "from": smtp.from, "to": smtp.to })
    });
    let headers: Vec<Value> =
        endpoint.headers.iter().map(|header| json!({ "name": header.name, "value": header.value.expose() })).collect();
    json!({
        "url": secret(&endpoint.url), "secret": secret(&endpoint.secret), "previous_secret": secret(&endpoint.previous_secret),
        "routing_key": secret(&endpoint.routing_key), "smtp": smtp, "headers": headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::receiver::{CustomHeader, Smtp};

    fn whole() -> Endpoint {
        Endpoint {
            url: Some(Secret::new("https://a.example/hook/secret")),
            secret: Some(Secret::new("whsec_one")),
            previous_secret: None,
            routing_key: Some(Secret::new("key")),
            smtp: Some(Smtp {
                host: "mail.example".to_owned(),
                port: 587,
                tls: SmtpTls::Starttls,
                username: Some("redrive".to_owned()),
                password: Some(Secret::new("word")),
                from: "a@example.com".to_owned(),
                to: vec!["b@example.com".to_owned()],
            }),
            headers: vec![CustomHeader { name: "authorization".to_owned(), value: Secret::new("Bearer x") }],
        }
    }

    #[test]
    fn what_is_sealed_is_read_again_and_nothing_else_shows_it() {
        let endpoint = whole();
        assert_eq!(serde_json::from_value::<Endpoint>(plain(&endpoint)).unwrap(), endpoint);
        let debug = format!("{endpoint:?}");
        assert!(!["hook/secret", "whsec", "word\"", "Bearer"].iter().any(|secret| debug.contains(secret)), "{debug}");
    }

    #[test]
    fn what_is_left_out_stays_but_never_follows_to_another_place() {
        assert_eq!(kept(whole(), Endpoint::default()).unwrap(), whole());
        let moved = Endpoint { url: Some(Secret::new("https://evil.example/hook")), ..Endpoint::default() };
        let moved = kept(whole(), moved).unwrap();
        assert_eq!((moved.headers.len(), moved.routing_key), (0, None));
        let same = Endpoint { url: Some(Secret::new("https://a.example/other")), ..Endpoint::default() };
        assert_eq!(kept(whole(), same).unwrap().headers, whole().headers);
        let tricky = Endpoint { url: Some(Secret::new("https://a.example?.evil.example/")), ..Endpoint::default() };
        assert_eq!(place(tricky.url.as_ref()), Some("https://a.example"));
        let mut smtp = whole().smtp;
        if let Some(smtp) = &mut smtp {
            smtp.password = None;
            smtp.host = "evil.example".to_owned();
        }
        assert_eq!(kept(whole(), Endpoint { smtp, ..Endpoint::default() }).unwrap_err().field, "smtp.password");
    }

    #[test]
    fn what_is_taken_away_is_gone() {
        let old = Endpoint { previous_secret: Some(Secret::new("whsec_zero")), ..whole() };
        assert_eq!(without(old.clone(), &[Removable::PreviousSecret]), whole());
        let unsigned = without(old, &[Removable::Secret, Removable::Headers]);
        assert_eq!((unsigned.secret, unsigned.previous_secret, unsigned.headers.len()), (None, None, 0));
    }

    #[test]
    fn a_new_secret_stands_beside_the_old_one() {
        let new = Endpoint { secret: Some(Secret::new("whsec_two")), ..Endpoint::default() };
        let changed = kept(whole(), new).unwrap();
        assert_eq!((changed.secret, changed.previous_secret), (Some(Secret::new("whsec_two")), Some(Secret::new("whsec_one"))));
    }
}
