//! People, programs and what they may do.

use super::Timestamp;
use super::dead_letter::{UnknownWord, words};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a user or token may do; each role includes the ones before it.
    Role {
        /// Reads everything, decoded and raw.
        Viewer = "viewer" / 0,
        /// Also plans, replays, discards, exports, acknowledges and silences.
        Operator = "operator" / 1,
        /// Also purges and keeps rules, receivers, users, tokens and settings.
        Admin = "admin" / 2,
    }
}

/// Who does something: what the audit shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `user:NAME`, `token:NAME`, `cli` or `system`.
    pub name: String,
    /// Address the request came from; `None` for the command line and the system.
    pub address: Option<String>,
}

/// A local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Our id.
    pub id: i64,
    /// Login name, unique ignoring case.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// When they were added.
    pub created_at: Timestamp,
    /// Last login.
    pub last_login_at: Option<Timestamp>,
    /// Set when they may no longer log in.
    pub disabled_at: Option<Timestamp>,
}

/// An API token; its secret is only ever stored as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Our id.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// One act in the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Our id; 0 before it is stored.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What, as `noun.verb`: `user.add`, `session.login`, `dead_letters.export`.
    pub action: String,
    /// On what: a name, an id or a filter in its URL form. Never payloads or secrets.
    pub target: String,
    /// How many things it touched, where that applies.
    pub count: Option<u64>,
    /// How it ended: `done`, `denied`, `failed: <reason>`.
    pub result: String,
}
