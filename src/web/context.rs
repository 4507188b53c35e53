//! What every request carries through the layers: its id, where it comes from, and, once somebody asked, who sent it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::OnceCell;
use tracing::Instrument;

use super::WebState;
use super::error::Error;
use crate::access::{Identity, Via};
use crate::config::AuthMode;
use crate::model::{Actor, Role, Timestamp};

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// A browser that shows a page.
    Person,
    /// A page that fetches a part of itself.
    Fragment,
    /// A program.
    Program,
}

impl Audience {
    pub(super) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        if path.starts_with("/api/") || path.starts_with("/health/") || path == "/metrics" {
            Self::Program
        } else if super::extract::is_fragment(&parts.headers) {
            Self::Fragment
        } else {
            Self::Person
        }
    }
}

/// A request's own data. Cheap to clone; clones share what was found out.
#[derive(Debug, Clone)]
pub struct RequestContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    address: Option<IpAddr>,
    now: Timestamp,
    identity: OnceCell<Option<Identity>>,
}

impl RequestContext {
    /// Names this request in answers and in the log.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where it comes from, behind proxies that we trust.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.inner.address
    }

    /// When it came: the time of everything it does.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.now
    }

    /// Who sent it; looked up once.
    pub(super) async fn identity(&self, state: &WebState, headers: &HeaderMap) -> Result<Option<&Identity>, Error> {
        let found = self.inner.identity.get_or_try_init(|| identify(state, headers, self.now())).await?;
        Ok(found.as_ref())
    }

    /// Who the audit names for an act of this identity.
    pub(super) fn actor(&self, identity: &Identity) -> Actor {
        Actor { name: identity.audit_name(), address: self.address().map(|address| address.to_string()) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().expect("the layer `begin` is the outermost of every route").clone())
    }
}

/// Bearer token before cookie: a program that sends both means the token.
async fn identify(state: &WebState, headers: &HeaderMap, now: Timestamp) -> Result<Option<Identity>, Error> {
    if state.access().mode() == AuthMode::None {
        return Ok(Some(Identity { name: "local".to_owned(), role: Role::Admin, via: Via::Local }));
    }
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let Some(token) = authorization.to_str().ok().and_then(bearer) else { return Ok(None) };
        return Ok(state.access().find_token(token, now).await?);
    }
    match state.cookies().session(headers) {
        Some(session) => Ok(state.access().find_session(&session, now).await?),
        None => Ok(None),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The outermost layer: gives the request its context, its log line and its id header.
pub(super) async fn begin(State(state): State<WebState>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let address =
        client_address(peer, request.headers(), |ip| state.config().http.trusted_proxies.iter().any(|network| network.contains(ip)));
    let inner = Inner { id: new_id(), address, now: Timestamp::now(), identity: OnceCell::new() };
    let context = RequestContext { inner: Arc::new(inner) };
    request.extensions_mut().insert(context.clone());
    // The path names topics and groups; the query can hold what somebody searches for, so it stays out of the log.
    let span = tracing::info_span!("request", id = context.id(), method = %request.method(), path = request.uri().path());
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let begun = std::time::Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (elapsed, status) = (begun.elapsed(), response.status().as_u16());
    span.in_scope(|| tracing::debug!(status, elapsed_ms = elapsed.as_millis(), "answered"));
    let metrics = state.metrics();
    metrics.http_requests_total.with_label_values(&[method_label(&method), &route, &status.to_string()]).inc();
    metrics.http_request_duration_seconds.with_label_values(&[&route]).observe(elapsed.as_secs_f64());
    if let Ok(id) = HeaderValue::from_str(context.id()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Methods are whatever a client writes, and labels are not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The newest address in `X-Forwarded-For` that is not a trusted proxy's, when the connection comes from one.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = peer?;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.join(",").rsplit(',') {
        if !trusted(client) {
            break;
        }
        let Ok(next) = hop.trim().parse::<IpAddr>() else { break };
        client = next.to_canonical();
    }
    Some(client)
}

/// 48 random bits: enough to find one line in a log, short enough to read aloud.
fn new_id() -> String {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_or_else(|_| "unknown".to_owned(), |()| format!("{:012x}", u64::from_be_bytes(bytes) >> 16))
}

#[cfg(test)]
mod tests {
    use super::{bearer, client_address};
    use axum::http::{HeaderMap, HeaderValue};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let proxies = |address: IpAddr| address == ip("10.0.0.1") || address == ip("10.0.0.2");
        let told = forwarded(&["6.6.6.6, 203.0.113.9", "10.0.0.2"]);
        assert_eq!(client_address(Some(ip("10.0.0.1")), &told, proxies), Some(ip("203.0.113.9")), "the claim before it is not believed");
        assert_eq!(client_address(Some(ip("192.0.2.7")), &told, proxies), Some(ip("192.0.2.7")), "strangers speak for themselves");
        assert_eq!(client_address(Some(ip("10.0.0.1")), &forwarded(&["nonsense"]), proxies), Some(ip("10.0.0.1")));
        assert_eq!(client_address(None, &told, proxies), None);
    }

    #[test]
    fn a_bearer_token_is_taken_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer("bearer rdv_x"), Some("rdv_x"));
        assert_eq!(bearer("Basic eDp5"), None);
    }
}
