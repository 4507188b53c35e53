//! Permissions as extractors. A handler without one of these answers to everybody; a test knows the few that may.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;

use super::super::WebState;
use super::super::context::RequestContext;
use super::super::error::Error;
use crate::access::Identity;
use crate::model::{Actor, AuditEntry, Role, Timestamp};

/// Somebody who was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who, and what they may do.
    pub identity: Identity,
    /// As the audit names them.
    pub actor: Actor,
    /// When the request came.
    pub now: Timestamp,
}

impl Caller {
    /// Whether they may do what this role may.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.identity.role >= role
    }
}

/// Proof that the caller reads: any role.
#[derive(Debug, Clone)]
pub struct Viewer(pub Caller);

/// Proof that the caller is an operator or an administrator.
#[derive(Debug, Clone)]
pub struct Operator(pub Caller);

/// Proof that the caller is an administrator.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

macro_rules! permission {
    ($($name:ident),+) => { $(
        impl FromRequestParts<WebState> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Error> {
                authorise(parts, state, Role::$name).await.map(Self)
            }
        }

        impl std::ops::Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }
    )+ };
}

permission!(Viewer, Operator, Admin);

async fn authorise(parts: &mut Parts, state: &WebState, needed: Role) -> Result<Caller, Error> {
    let Ok(context) = RequestContext::from_request_parts(parts, state).await;
    let identity = context.identity(state, &parts.headers).await?.ok_or(Error::Unauthenticated)?;
    let caller = Caller { identity: identity.clone(), actor: context.actor(identity), now: context.now() };
    if caller.may(needed) {
        return Ok(caller);
    }
    // An attempt to change something is worth knowing about; a link to a page one may not see is not.
    if !parts.method.is_safe() {
        // Inside the API's nest the prefix is gone from the address.
        let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |original| original.path());
        record_denial(state, &caller, &format!("{} {path}", parts.method), needed).await;
    }
    Err(Error::Forbidden(needed))
}

async fn record_denial(state: &WebState, caller: &Caller, target: &str, needed: Role) {
    let entry = AuditEntry {
        id: 0,
        at: caller.now,
        actor: caller.actor.clone(),
        action: "request.denied".to_owned(),
        target: target.to_owned(),
        count: None,
        result: format!("denied: needs the role {needed}"),
    };
    if let Err(error) = state.store().record_audit(&entry).await {
        tracing::error!(%error, "a denied request could not be recorded in the audit");
    }
}
