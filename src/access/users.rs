//! Local users, and the rule that one administrator remains.

use super::{Access, AccessError, check_name, password};
use crate::model::access::User;
use crate::model::{Actor, Role, Timestamp};
use crate::store::access::UserOutcome;

/// What changes about a user; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// New password.
    pub password: Option<String>,
    /// New role.
    pub role: Option<Role>,
    /// Whether they are kept from logging in.
    pub disabled: Option<bool>,
}

impl Access {
    /// Adds a user.
    pub async fn add_user(&self, actor: &Actor, username: &str, password: &str, role: Role, now: Timestamp) -> Result<User, AccessError> {
        check_name(username)?;
        password::check(password)?;
        let hash = self.inner.hasher.hash(password).await;
        let user = self.inner.store.add_user(username, &hash, role, now).await?;
        self.audit(actor, "user.add", &format!("{username} ({role})"), "done", now).await;
        Ok(user)
    }

    /// Changes a user and ends their sessions.
    pub async fn change_user(&self, actor: &Actor, id: i64, change: UserChange, now: Timestamp) -> Result<User, AccessError> {
        if let Some(password) = &change.password {
            password::check(password)?;
        }
        let user = self.get_user(id).await?;
        let hash = match &change.password {
            Some(password) => Some(self.inner.hasher.hash(password).await),
            None => None,
        };
        let disabled_at = change.disabled.map(|disabled| disabled.then_some(user.disabled_at.unwrap_or(now)));
        made(self.inner.store.update_user(id, hash.as_deref(), change.role, disabled_at).await?)?;
        self.audit(actor, "user.change", &describe(&user.username, &change), "done", now).await;
        self.get_user(id).await
    }

    /// Changes one's own password, after proof of the present one; ends all of one's sessions.
    pub async fn change_own_password(
        &self,
        actor: &Actor,
        username: &str,
        current: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        password::check(password)?;
        self.inner.limits.check(username, None).map_err(AccessError::TooMany)?;
        let (user, hash) = self.inner.store.find_user(username).await?.ok_or(AccessError::NotFound("user"))?;
        let right = current.len() <= password::MAX_PASSWORD_BYTES && self.inner.hasher.verify(current, Some(hash)).await;
        if !right {
            self.audit(actor, "user.change", username, "denied: the present password is wrong", now).await;
            return Err(AccessError::WrongPassword);
        }
        let hash = self.inner.hasher.hash(password).await;
        made(self.inner.store.update_user(user.id, Some(&hash), None, None).await?)?;
        self.audit(actor, "user.change", &format!("{username} (new password)"), "done", now).await;
        Ok(())
    }

    /// Deletes a user and ends their sessions.
    pub async fn delete_user(&self, actor: &Actor, id: i64, now: Timestamp) -> Result<(), AccessError> {
        let user = self.get_user(id).await?;
        made(self.inner.store.delete_user(id).await?)?;
        self.audit(actor, "user.delete", &user.username, "done", now).await;
        Ok(())
    }

    /// One user.
    pub async fn get_user(&self, id: i64) -> Result<User, AccessError> {
        let users = self.inner.store.list_users().await?;
        users.into_iter().find(|user| user.id == id).ok_or(AccessError::NotFound("user"))
    }
}

fn made(outcome: UserOutcome) -> Result<(), AccessError> {
    match outcome {
        UserOutcome::Done => Ok(()),
        UserOutcome::NotFound => Err(AccessError::NotFound("user")),
        UserOutcome::LastAdmin => Err(AccessError::LastAdmin),
    }
}

/// What changed, in words, without the password.
fn describe(username: &str, change: &UserChange) -> String {
    let parts = [
        change.password.as_ref().map(|_| "new password".to_owned()),
        change.role.map(|role| format!("role {role}")),
        change.disabled.map(|disabled| if disabled { "disabled" } else { "enabled" }.to_owned()),
    ];
    let words: Vec<String> = parts.into_iter().flatten().collect();
    if words.is_empty() { username.to_owned() } else { format!("{username} ({})", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{UserChange, describe};
    use crate::model::Role;

    #[test]
    fn the_audit_says_what_changed_but_no_password() {
        let change = UserChange { password: Some("hunter22".to_owned()), role: Some(Role::Operator), disabled: Some(true) };
        assert_eq!(describe("mara", &change), "mara (new password, role operator, disabled)");
        assert_eq!(describe("mara", &UserChange::default()), "mara");
    }
}
