//! What handlers take from a request. Each extractor answers a malformed request with an [`Error`](crate::web::Error) that names the field, and each
//! handler takes one of [`Viewer`], [`Operator`] and [`Admin`]: whoever gets it has been recognised and is allowed.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

mod body;
mod fields;
mod permission;
mod time;

pub use body::{Form, Json};
pub use fields::{Path, Query, from_pairs};
pub use permission::{Admin, Caller, Operator, Viewer};
pub use time::{CursorParam, LimitParam, RoleParam, TimeParam};

/// Whether the whole page is wanted, or the part of it that a swap asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// The page.
    Full,
    /// The element with this id.
    Part(String),
}

impl<S: Send + Sync> FromRequestParts<S> for Partial {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let target = parts.headers.get("hx-target").and_then(|id| id.to_str().ok());
        Ok(match target {
            Some(id) if is_fragment(&parts.headers) => Self::Part(id.to_owned()),
            _ => Self::Full,
        })
    }
}

/// Whether a script asks for a part of a page. Boosted links and the way back through the history want the whole page.
pub(super) fn is_fragment(headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).is_some_and(|value| value == "true");
    says("hx-request") && !says("hx-boosted") && !says("hx-history-restore-request")
}

#[cfg(test)]
mod tests {
    use super::is_fragment;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn only_a_swap_gets_a_fragment() {
        let headers = |names: &[&'static str]| -> HeaderMap {
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("true"))).collect()
        };
        assert!(is_fragment(&headers(&["hx-request"])));
        for whole in [&[][..], &["hx-request", "hx-boosted"], &["hx-request", "hx-history-restore-request"]] {
            assert!(!is_fragment(&headers(whole)));
        }
    }
}
