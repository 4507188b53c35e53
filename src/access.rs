//! Who may do what: passwords, sessions, roles, API tokens, the first administrator.
//!
//! Used by the web and by the command line. Secrets leave this room once, in the answer that makes them; the store gets hashes only,
//! and nothing here logs one. Every act is recorded in the audit with person and address, refused ones included.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::AuthMode;
use crate::lifecycle::changes::{Changes, Noun};
use crate::model::access::{Token, User};
use crate::model::{Actor, AuditEntry, Role, Timestamp};
use crate::store::{Store, StoreError};

mod first_start;
mod limit;
mod password;
mod secret;
mod sessions;
mod tokens;
mod users;
mod vault;

pub use first_start::FirstStartError;
pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, PasswordProblem};
pub use secret::Secret;
pub use sessions::{LoggedIn, LoginError};
pub use tokens::NewToken;
pub use users::UserChange;
pub use vault::{Vault, VaultError};

/// A session ends after this long without a request.
pub const SESSION_IDLE: Duration = Duration::from_hours(12);
/// A session ends this long after its login, whatever happens.
pub const SESSION_ABSOLUTE: Duration = Duration::from_hours(7 * 24);

/// How a request was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By the cookie of a session.
    Session,
    /// By an API token.
    Token,
    /// By being local, where no login is asked for.
    Local,
}

/// Who sends a request and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name without a prefix: user name, token name, or `local`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they were recognised.
    pub via: Via,
}

impl Identity {
    /// The name as the audit writes it.
    #[must_use]
    pub fn audit_name(&self) -> String {
        match self.via {
            Via::Session => format!("user:{}", self.name),
            Via::Token => format!("token:{}", self.name),
            Via::Local => self.name.clone(),
        }
    }
}

/// What can go wrong when users or tokens are kept.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The name is in use; names the field.
    #[error("{0} is already taken")]
    Taken(&'static str),
    /// The name is empty, too long or holds characters that names may not hold.
    #[error("a name has 1 to 64 letters, digits, dots, dashes, underscores or @, and begins with a letter or digit")]
    Name,
    /// The password is too short or too long.
    #[error("{0}")]
    Password(#[from] PasswordProblem),
    /// The time is not in the future.
    #[error("the end of a token must lie in the future")]
    ExpiryInPast,
    /// There is no such user or token.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The present password, asked for as proof, is another one.
    #[error("this is not the present password")]
    WrongPassword,
    /// Too many tries; wait this long.
    #[error("too many tries")]
    TooMany(Duration),
    /// Nobody could administer Redrive any more.
    #[error("the last administrator cannot be removed, disabled or given another role")]
    LastAdmin,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(_) => Self::Taken("name"),
            other => Self::Store(other),
        }
    }
}

/// Keeps users, sessions and tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    mode: AuthMode,
    hasher: password::Hasher,
    limits: limit::LoginLimits,
    first_start: first_start::FirstStart,
    has_users: AtomicBool,
    /// One first start at a time, so that its code makes one administrator.
    starting: tokio::sync::Mutex<()>,
    changes: Changes,
}

impl Access {
    /// Keeps access in this store, and tells live pages what was recorded in the audit.
    #[must_use]
    pub fn new(store: Store, mode: AuthMode, changes: Changes) -> Self {
        let inner = Inner {
            store,
            mode,
            hasher: password::Hasher::new(),
            limits: limit::LoginLimits::new(),
            first_start: first_start::FirstStart::default(),
            has_users: AtomicBool::new(false),
            starting: tokio::sync::Mutex::new(()),
            changes,
        };
        Self { inner: Arc::new(inner) }
    }

    /// How people are known here.
    #[must_use]
    pub fn mode(&self) -> AuthMode {
        self.inner.mode
    }

    /// Whether a first administrator exists. Once there is one, the store is not asked again.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        if self.inner.has_users.load(Ordering::Acquire) {
            return Ok(true);
        }
        let has = self.inner.store.has_users().await?;
        self.inner.has_users.store(has, Ordering::Release);
        Ok(has)
    }

    /// All users by name.
    pub async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        self.inner.store.list_users().await
    }

    /// All tokens, newest first, revoked ones included.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.store.list_tokens().await
    }

    /// Records an act. A failure to record is logged, with the act but without what was tried, and does not undo the act.
    async fn audit(&self, actor: &Actor, action: &str, target: &str, result: &str, now: Timestamp) {
        let entry = AuditEntry {
            id: 0,
            at: now,
            actor: actor.clone(),
            action: action.to_owned(),
            target: target.to_owned(),
            count: None,
            result: result.to_owned(),
        };
        match self.inner.store.record_audit(&entry).await {
            Ok(()) => self.inner.changes.publish(Noun::Audit),
            Err(error) => tracing::error!(%error, action, "an act could not be recorded in the audit"),
        }
    }
}

/// The actor of somebody who has not been recognised yet.
fn stranger(address: Option<IpAddr>) -> Actor {
    Actor { name: "anonymous".to_owned(), address: address.map(|address| address.to_string()) }
}

/// Checks the name of a user or token.
fn check_name(name: &str) -> Result<(), AccessError> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let begins_well = name.chars().next().is_some_and(char::is_alphanumeric);
    if begins_well && name.chars().count() <= 64 && name.chars().all(legal) { Ok(()) } else { Err(AccessError::Name) }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Via, check_name};
    use crate::model::Role;

    #[test]
    fn names_hold_what_people_write_and_nothing_that_could_mislead() {
        for name in ["mara.lindt", "s-brandt", "ci_cleanup", "ops@example", "Zoë", "7"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", " mara", "-mara", "a b", "a\u{202e}b", "a\0", "a/b", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_audit_tells_users_and_tokens_of_one_name_apart() {
        let named = |via| Identity { name: "ci".to_owned(), role: Role::Viewer, via }.audit_name();
        assert_eq!([named(Via::Session), named(Via::Token), named(Via::Local)], ["user:ci", "token:ci", "ci"]);
    }
}
