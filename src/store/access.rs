//! Users, sessions and API tokens. Secrets come in as hashes only.

use super::error::{contradiction, taken};
use super::rows::clean;
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

/// How a change of a user ended. An active administrator remains, whichever instances change users at the same time: such changes
/// wait for each other on one row, because each statement alone would still see the administrator that another is taking away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOutcome {
    /// It was made.
    Done,
    /// There is no such user.
    NotFound,
    /// It would have taken away the last active administrator; nothing was changed.
    LastAdmin,
}

impl UserOutcome {
    const fn of(changed: u64, known: i64) -> Self {
        match (changed, known) {
            (0, 0) => Self::NotFound,
            (0, _) => Self::LastAdmin,
            _ => Self::Done,
        }
    }
}

statements! {
    const ADD_USER = "insert into users (username, username_key, password_hash, role, created_at) values ($1, $2, $3, $4, $5) returning id";
    const LIST_USERS = "select id, username, role, created_at, last_login_at, disabled_at from users order by username_key";
    const HAS_USERS = "select count(*) from (select 1 as one from users limit 1) u";
    const FIND_USER = "select id, username, role, created_at, last_login_at, disabled_at, password_hash from users where username_key = $1";
    const ONE_AT_A_TIME = "update installation set id = id where id = 1";
    const UPDATE_USER = "update users set password_hash = coalesce($2, password_hash), role = coalesce($3, role), \
        disabled_at = case when $4 then $5 else disabled_at end where id = $1 and (\
        role <> $6 or disabled_at is not null or (coalesce($3, role) = $6 and case when $4 then $5 else disabled_at end is null) \
        or exists (select 1 from users o where o.id <> $1 and o.role = $6 and o.disabled_at is null))";
    const IS_USER = "select count(*) from users where id = $1";
    const END_SESSIONS = "delete from sessions where user_id = $1";
    const DELETE_USER = "delete from users where id = $1 and (role <> $2 or disabled_at is not null \
        or exists (select 1 from users o where o.id <> $1 and o.role = $2 and o.disabled_at is null))";
    const LOGIN = "update users set last_login_at = $2 where id = $1";
    const ADD_SESSION = "insert into sessions (secret_hash, user_id, created_at, last_seen_at) values ($1, $2, $3, $3)";
    const FIND_SESSION = "select u.id, u.username, u.role, u.created_at, u.last_login_at, u.disabled_at, s.created_at as began_at, \
        s.last_seen_at from sessions s join users u on u.id = s.user_id where s.secret_hash = $1 and u.disabled_at is null";
    const TOUCH_SESSION = "update sessions set last_seen_at = $2 where secret_hash = $1 and last_seen_at < $2";
    const DELETE_SESSION = "delete from sessions where secret_hash = $1";
    const PRUNE_SESSIONS = "delete from sessions where created_at < $1 or last_seen_at < $2";
    const ADD_TOKEN = "insert into tokens (name, secret_hash, role, created_at, created_by, expires_at) values ($1, $2, $3, $4, $5, $6) \
        returning id";
    const LIST_TOKENS = "select id, name, role, created_at, created_by, expires_at, last_used_at, revoked_at from tokens \
        order by created_at desc, id desc";
    const FIND_TOKEN = "select id, name, role, created_at, created_by, expires_at, last_used_at, revoked_at from tokens \
        where secret_hash = $1";
    const TOUCH_TOKEN = "update tokens set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)";
    const REVOKE_TOKEN = "update tokens set revoked_at = $2 where id = $1 and revoked_at is null";
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: i64,
    username: String,
    role: i16,
    created_at: i64,
    last_login_at: Option<i64>,
    disabled_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct UserWithHash {
    #[sqlx(flatten)]
    user: UserRow,
    password_hash: String,
}

#[derive(sqlx::FromRow)]
struct SessionWithUser {
    #[sqlx(flatten)]
    user: UserRow,
    began_at: i64,
    last_seen_at: i64,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: i64,
    name: String,
    role: i16,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

fn role(code: i16) -> Result<Role, StoreError> {
    Role::from_code(code).ok_or_else(|| contradiction(format!("role {code}")))
}

impl UserRow {
    fn into_user(self) -> Result<User, StoreError> {
        Ok(User {
            id: self.id,
            username: self.username,
            role: role(self.role)?,
            created_at: Timestamp::from_millis(self.created_at),
            last_login_at: self.last_login_at.map(Timestamp::from_millis),
            disabled_at: self.disabled_at.map(Timestamp::from_millis),
        })
    }
}

impl TokenRow {
    fn into_token(self) -> Result<Token, StoreError> {
        Ok(Token {
            id: self.id,
            name: self.name,
            role: role(self.role)?,
            created_at: Timestamp::from_millis(self.created_at),
            created_by: self.created_by,
            expires_at: self.expires_at.map(Timestamp::from_millis),
            last_used_at: self.last_used_at.map(Timestamp::from_millis),
            revoked_at: self.revoked_at.map(Timestamp::from_millis),
        })
    }
}

/// What makes two names the same user.
fn username_key(username: &str) -> String {
    clean(username).to_lowercase()
}

impl Store {
    /// Adds a user; [`StoreError::Taken`] for a name in use (ignoring case).
    pub async fn add_user(&self, username: &str, password_hash: &str, role: Role, now: Timestamp) -> Result<User, StoreError> {
        let (username, key) = (clean(username), username_key(username));
        let added: Result<Option<(i64,)>, sqlx::Error> = returned!(
            self,
            sqlx::query_as(ADD_USER).bind(&username).bind(&key).bind(password_hash).bind(role.code()).bind(now.as_millis())
        );
        let (id,) = added.map_err(|error| taken(error, "username"))?.ok_or_else(|| contradiction("user without an id"))?;
        Ok(User { id, username, role, created_at: now, last_login_at: None, disabled_at: None })
    }
    /// All users by name.
    pub async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = read!(self, |pool| sqlx::query_as(LIST_USERS).fetch_all(pool).await?)?;
        rows.into_iter().map(UserRow::into_user).collect()
    }
    /// Whether there is any user at all: first start otherwise.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(HAS_USERS).fetch_one(pool).await?)?;
        Ok(count > 0)
    }
    /// A user with the password hash, by name ignoring case.
    pub async fn find_user(&self, username: &str) -> Result<Option<(User, String)>, StoreError> {
        let key = username_key(username);
        let row: Option<UserWithHash> = read!(self, |pool| sqlx::query_as(FIND_USER).bind(&key).fetch_optional(pool).await?)?;
        row.map(|row| Ok((row.user.into_user()?, row.password_hash))).transpose()
    }
    /// Changes password, role or the disabled mark (`Some(None)` enables); ends the user's sessions.
    pub async fn update_user(
        &self,
        id: i64,
        password_hash: Option<&str>,
        role: Option<Role>,
        disabled_at: Option<Option<Timestamp>>,
    ) -> Result<UserOutcome, StoreError> {
        let (role, disabling, disabled_at) = (role.map(Role::code), disabled_at.is_some(), disabled_at.flatten().map(Timestamp::as_millis));
        Ok(in_transaction!(self, |tx| {
            sqlx::query(ONE_AT_A_TIME).execute(&mut *tx).await?;
            let query = sqlx::query(UPDATE_USER).bind(id).bind(password_hash).bind(role).bind(disabling).bind(disabled_at);
            let changed = query.bind(Role::Admin.code()).execute(&mut *tx).await?.rows_affected();
            let (known,): (i64,) = sqlx::query_as(IS_USER).bind(id).fetch_one(&mut *tx).await?;
            if changed > 0 {
                sqlx::query(END_SESSIONS).bind(id).execute(&mut *tx).await?;
            }
            UserOutcome::of(changed, known)
        }))
    }
    /// Deletes a user and the sessions.
    pub async fn delete_user(&self, id: i64) -> Result<UserOutcome, StoreError> {
        Ok(in_transaction!(self, |tx| {
            sqlx::query(ONE_AT_A_TIME).execute(&mut *tx).await?;
            let deleted = sqlx::query(DELETE_USER).bind(id).bind(Role::Admin.code()).execute(&mut *tx).await?.rows_affected();
            let (known,): (i64,) = sqlx::query_as(IS_USER).bind(id).fetch_one(&mut *tx).await?;
            UserOutcome::of(deleted, known)
        }))
    }
    /// Notes a login.
    pub async fn record_login(&self, user_id: i64, now: Timestamp) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(LOGIN).bind(user_id).bind(now.as_millis()).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Starts a session under the hash of its secret.
    pub async fn add_session(&self, secret_hash: &[u8], user_id: i64, now: Timestamp) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(ADD_SESSION)
            .bind(secret_hash)
            .bind(user_id)
            .bind(now.as_millis())
            .execute(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }
    /// A session by the hash of its secret, with its user; disabled users have none.
    pub async fn find_session(&self, secret_hash: &[u8]) -> Result<Option<SessionRow>, StoreError> {
        let row: Option<SessionWithUser> = read!(self, |pool| sqlx::query_as(FIND_SESSION).bind(secret_hash).fetch_optional(pool).await?)?;
        row.map(|row| {
            Ok(SessionRow {
                user: row.user.into_user()?,
                created_at: Timestamp::from_millis(row.began_at),
                last_seen_at: Timestamp::from_millis(row.last_seen_at),
            })
        })
        .transpose()
    }
    /// Notes that it was used.
    pub async fn touch_session(&self, secret_hash: &[u8], now: Timestamp) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(TOUCH_SESSION).bind(secret_hash).bind(now.as_millis()).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Ends a session.
    pub async fn delete_session(&self, secret_hash: &[u8]) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(DELETE_SESSION).bind(secret_hash).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Ends sessions begun before `absolute` or last used before `idle`; answers how many.
    pub async fn prune_sessions(&self, absolute: Timestamp, idle: Timestamp) -> Result<u64, StoreError> {
        let (absolute, idle) = (absolute.as_millis(), idle.as_millis());
        let ended = write_one!(self, |pool| sqlx::query(PRUNE_SESSIONS)
            .bind(absolute)
            .bind(idle)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(ended)
    }
    /// Adds a token under the hash of its secret; [`StoreError::Taken`] for the name of a token that is not revoked.
    pub async fn add_token(
        &self,
        name: &str,
        secret_hash: &[u8],
        role: Role,
        created_by: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Token, StoreError> {
        let (name, created_by) = (clean(name), clean(created_by));
        let added: Result<Option<(i64,)>, sqlx::Error> = returned!(
            self,
            sqlx::query_as(ADD_TOKEN)
                .bind(&name)
                .bind(secret_hash)
                .bind(role.code())
                .bind(now.as_millis())
                .bind(&created_by)
                .bind(expires_at.map(Timestamp::as_millis))
        );
        let (id,) = added.map_err(|error| taken(error, "name"))?.ok_or_else(|| contradiction("token without an id"))?;
        Ok(Token { id, name, role, created_at: now, created_by, expires_at, last_used_at: None, revoked_at: None })
    }
    /// All tokens, newest first, revoked ones included.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, StoreError> {
        let rows: Vec<TokenRow> = read!(self, |pool| sqlx::query_as(LIST_TOKENS).fetch_all(pool).await?)?;
        rows.into_iter().map(TokenRow::into_token).collect()
    }
    /// A token by the hash of its secret, whatever its state.
    pub async fn find_token(&self, secret_hash: &[u8]) -> Result<Option<Token>, StoreError> {
        let row: Option<TokenRow> = read!(self, |pool| sqlx::query_as(FIND_TOKEN).bind(secret_hash).fetch_optional(pool).await?)?;
        row.map(TokenRow::into_token).transpose()
    }
    /// Notes that it was used.
    pub async fn touch_token(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        write_one!(self, |pool| sqlx::query(TOUCH_TOKEN).bind(id).bind(now.as_millis()).execute(pool).await.map(|_| ()))?;
        Ok(())
    }
    /// Revokes it; `false`: no such token, or revoked before.
    pub async fn revoke_token(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        let revoked = write_one!(self, |pool| sqlx::query(REVOKE_TOKEN)
            .bind(id)
            .bind(now.as_millis())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(revoked > 0)
    }
}
