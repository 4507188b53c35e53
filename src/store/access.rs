//! Users, sessions and API tokens. Secrets come in as hashes only.

use super::{Store, StoreError};
use crate::model::access::{Token, User};
use crate::model::{Role, Timestamp};

/// A session with its user, as a request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// User.
    pub user: User,
    /// When it began (login).
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
}

impl Store {
    /// Adds a user; [`StoreError::Taken`] for a name in use (ignoring case).
    pub async fn add_user(&self, _username: &str, _password_hash: &str, _role: Role, _now: Timestamp) -> Result<User, StoreError> {
        unimplemented!()
    }
    /// All users by name.
    pub async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        unimplemented!()
    }
    /// Whether there is any user at all: first start otherwise.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        unimplemented!()
    }
    /// A user with the password hash, by name ignoring case.
    pub async fn find_user(&self, _username: &str) -> Result<Option<(User, String)>, StoreError> {
        unimplemented!()
    }
    /// Changes password, role or the disabled mark (`Some(None)` enables); ends the user's sessions. `false`: no such user.
    /// Refuses, with `Ok(false)`, nothing else: the rule "one admin must remain" is checked by `access` inside [`Self::count_active_admins`].
    pub async fn update_user(
        &self,
        _id: i64,
        _password_hash: Option<&str>,
        _role: Option<Role>,
        _disabled_at: Option<Option<Timestamp>>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    /// Deletes a user and the sessions. `false`: no such user.
    pub async fn delete_user(&self, _id: i64) -> Result<bool, StoreError> {
        unimplemented!()
    }
    /// Users that are admin and not disabled.
    pub async fn count_active_admins(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Notes a login.
    pub async fn record_login(&self, _user_id: i64, _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Starts a session under the hash of its secret.
    pub async fn add_session(&self, _secret_hash: &[u8], _user_id: i64, _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// A session by the hash of its secret, with its user; disabled users have none.
    pub async fn find_session(&self, _secret_hash: &[u8]) -> Result<Option<SessionRow>, StoreError> {
        unimplemented!()
    }
    /// Notes that it was used.
    pub async fn touch_session(&self, _secret_hash: &[u8], _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Ends a session.
    pub async fn delete_session(&self, _secret_hash: &[u8]) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Ends sessions begun before `absolute` or last used before `idle`; answers how many.
    pub async fn prune_sessions(&self, _absolute: Timestamp, _idle: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
    /// Adds a token under the hash of its secret; [`StoreError::Taken`] for the name of a token that is not revoked.
    pub async fn add_token(
        &self,
        _name: &str,
        _secret_hash: &[u8],
        _role: Role,
        _created_by: &str,
        _expires_at: Option<Timestamp>,
        _now: Timestamp,
    ) -> Result<Token, StoreError> {
        unimplemented!()
    }
    /// All tokens, newest first, revoked ones included.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, StoreError> {
        unimplemented!()
    }
    /// A token by the hash of its secret, whatever its state.
    pub async fn find_token(&self, _secret_hash: &[u8]) -> Result<Option<Token>, StoreError> {
        unimplemented!()
    }
    /// Notes that it was used.
    pub async fn touch_token(&self, _id: i64, _now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Revokes it; `false`: no such token, or revoked before.
    pub async fn revoke_token(&self, _id: i64, _now: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
