//! API tokens.

use std::time::Duration;

use super::sessions::TOUCH_EVERY;
use super::{Access, AccessError, Identity, Secret, Via, check_name, secret};
use crate::model::access::Token;
use crate::model::{Actor, Role, Timestamp};
use crate::store::StoreError;

/// What every token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "rdv_";

/// A token that was just made. Its secret is shown this once.
#[derive(Debug)]
pub struct NewToken {
    /// What the store keeps.
    pub token: Token,
    /// The secret.
    pub secret: Secret,
}

impl Access {
    /// Makes a token.
    pub async fn add_token(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<NewToken, AccessError> {
        check_name(name)?;
        if expires_at.is_some_and(|end| end <= now) {
            return Err(AccessError::ExpiryInPast);
        }
        let secret = Secret::random(PREFIX);
        let created_by = actor.name.strip_prefix("user:").unwrap_or(&actor.name);
        let token = self.inner.store.add_token(name, &secret.hash(), role, created_by, expires_at, now).await?;
        self.audit(actor, "token.add", &format!("{name} ({role})"), "done", now).await;
        Ok(NewToken { token, secret })
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, actor: &Actor, id: i64, now: Timestamp) -> Result<(), AccessError> {
        let tokens = self.inner.store.list_tokens().await?;
        let token = tokens.into_iter().find(|token| token.id == id).ok_or(AccessError::NotFound("token"))?;
        if self.inner.store.revoke_token(id, now).await? {
            self.audit(actor, "token.revoke", &token.name, "done", now).await;
        }
        Ok(())
    }

    /// Who a token stands for, while it lasts.
    pub async fn find_token(&self, text: &str, now: Timestamp) -> Result<Option<Identity>, StoreError> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let store = &self.inner.store;
        let Some(token) = store.find_token(&secret::hash(text)).await? else { return Ok(None) };
        if token.revoked_at.is_some() || token.expires_at.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        let unused_for = token.last_used_at.map_or(Duration::MAX, |used| used.age_at(now));
        if unused_for >= TOUCH_EVERY
            && let Err(error) = store.touch_token(token.id, now).await
        {
            tracing::warn!(%error, "the use of a token could not be noted");
        }
        Ok(Some(Identity { name: token.name, role: token.role, via: Via::Token }))
    }
}
