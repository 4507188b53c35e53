//! Login, logout, and who a request's cookie belongs to.

use std::net::IpAddr;
use std::time::Duration;

use super::{Access, Identity, MAX_PASSWORD_BYTES, SESSION_ABSOLUTE, SESSION_IDLE, Secret, Via, secret, stranger};
use crate::model::access::User;
use crate::model::{Actor, Timestamp};
use crate::store::{Store, StoreError};

/// The last use of a session or token is noted once a minute, so that reading pages does not write.
pub(super) const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// Somebody has logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub user: User,
    /// What the cookie holds.
    pub session: Secret,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Name or password is wrong, or the user is disabled; the person is not told which.
    #[error("name or password is wrong")]
    Wrong,
    /// Too many tries; wait this long.
    #[error("too many tries")]
    TooMany(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Access {
    /// Logs in with a fresh session; the session the browser had before ends.
    pub async fn log_in(
        &self,
        username: &str,
        password: &str,
        address: Option<IpAddr>,
        previous: Option<&str>,
        now: Timestamp,
    ) -> Result<LoggedIn, LoginError> {
        let claimed = claimed_name(username);
        if let Err(wait) = self.inner.limits.check(&claimed, address) {
            if self.inner.limits.is_worth_recording() {
                self.audit(&stranger(address), "session.login", &claimed, "denied: too many tries", now).await;
            }
            return Err(LoginError::TooMany(wait));
        }
        let store = &self.inner.store;
        let found = store.find_user(username).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let right = password.len() <= MAX_PASSWORD_BYTES && self.inner.hasher.verify(password, hash).await;
        let Some(user) = user.filter(|user| right && user.disabled_at.is_none()) else {
            self.audit(&stranger(address), "session.login", &claimed, "denied: name or password is wrong", now).await;
            return Err(LoginError::Wrong);
        };
        if let Some(previous) = previous {
            store.delete_session(&secret::hash(previous)).await?;
        }
        let session = Secret::random("");
        store.add_session(&session.hash(), user.id, now).await?;
        store.record_login(user.id, now).await?;
        let actor = Actor { name: format!("user:{}", user.username), address: address.map(|a| a.to_string()) };
        self.audit(&actor, "session.login", &user.username, "done", now).await;
        Ok(LoggedIn { user, session })
    }

    /// Ends a session. One that does not exist has ended.
    pub async fn log_out(&self, session: &str, actor: &Actor, now: Timestamp) -> Result<(), StoreError> {
        self.inner.store.delete_session(&secret::hash(session)).await?;
        self.audit(actor, "session.logout", actor.name.strip_prefix("user:").unwrap_or(&actor.name), "done", now).await;
        Ok(())
    }

    /// Who a session belongs to, while it lasts.
    pub async fn find_session(&self, session: &str, now: Timestamp) -> Result<Option<Identity>, StoreError> {
        let hash = secret::hash(session);
        let store: &Store = &self.inner.store;
        let Some(row) = store.find_session(&hash).await? else { return Ok(None) };
        let ended = row.created_at.age_at(now) >= SESSION_ABSOLUTE || row.last_seen_at.age_at(now) >= SESSION_IDLE;
        if ended || row.user.disabled_at.is_some() {
            store.delete_session(&hash).await?;
            return Ok(None);
        }
        if row.last_seen_at.age_at(now) >= TOUCH_EVERY
            && let Err(error) = store.touch_session(&hash, now).await
        {
            // Reading goes on while the store cannot be written.
            tracing::warn!(%error, "the use of a session could not be noted");
        }
        Ok(Some(Identity { name: row.user.username, role: row.user.role, via: Via::Session }))
    }
}

/// A name as somebody typed it, safe to keep in the audit: a password typed into the wrong field can be long and odd.
fn claimed_name(username: &str) -> String {
    username.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::claimed_name;

    #[test]
    fn a_claimed_name_is_cut_and_cleaned() {
        assert_eq!(claimed_name("ma\0ra\n"), "mara");
        assert_eq!(claimed_name(&"x".repeat(1000)).len(), 64);
    }
}
