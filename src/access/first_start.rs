//! The first administrator: whoever can read the terminal or log of the first start may make one, once.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::{Access, AccessError, Secret, secret, stranger};
use crate::config::AuthMode;
use crate::model::access::User;
use crate::model::{Role, Timestamp};
use crate::store::StoreError;

/// The code of this process's first start, while it is wanted.
#[derive(Debug, Default)]
pub(super) struct FirstStart {
    code: Mutex<Option<Secret>>,
}

/// Why no first administrator was made.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// There are users already.
    #[error("there is an administrator already")]
    Over,
    /// The code is not the one that was printed.
    #[error("this is not the code that was printed when Redrive started")]
    WrongCode,
    /// Too many tries.
    #[error("too many tries")]
    TooMany(std::time::Duration),
    /// Name or password is refused, or the store failed.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<StoreError> for FirstStartError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

impl Access {
    /// Makes the one-time code when there is no user yet, to be printed (not logged) with the address of `/first-start`.
    /// `None` when it is not wanted.
    pub async fn begin_first_start(&self) -> Result<Option<Secret>, StoreError> {
        if self.inner.mode == AuthMode::None || self.has_users().await? {
            return Ok(None);
        }
        let mut code = self.inner.first_start.code.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(code.get_or_insert_with(|| Secret::random("")).clone()))
    }

    /// Makes the first administrator; the code ends with it.
    pub async fn finish_first_start(
        &self,
        code: &str,
        username: &str,
        password: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<User, FirstStartError> {
        self.inner.limits.check("first start", address).map_err(FirstStartError::TooMany)?;
        let _one_at_a_time = self.inner.starting.lock().await;
        if self.has_users().await? {
            return Err(FirstStartError::Over);
        }
        if !self.is_first_start_code(code) {
            self.audit(&stranger(address), "user.first_start", "", "denied: wrong code", now).await;
            return Err(FirstStartError::WrongCode);
        }
        let actor = crate::model::Actor { name: format!("user:{username}"), address: address.map(|a| a.to_string()) };
        let user = self.add_user(&actor, username, password, Role::Admin, now).await?;
        self.inner.first_start.code.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(user)
    }

    fn is_first_start_code(&self, code: &str) -> bool {
        let expected = self.inner.first_start.code.lock().unwrap_or_else(PoisonError::into_inner);
        expected.as_ref().is_some_and(|expected| secret::same_hash(&expected.hash(), &secret::hash(code.trim())))
    }
}
