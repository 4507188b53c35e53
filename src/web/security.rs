//! Headers of every answer, requests from other sites, and hosts that are not ours.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::WebState;
use super::error::Error;
use super::render::CachePolicy;
use crate::config::AuthMode;
use crate::config::values::PublicUrl;

/// Nothing but our own files, and nothing inline: what a record holds can never become a script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
];

/// Puts the security headers and the cache policy on every answer.
pub(super) async fn headers(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let had_flash = state.cookies().flash(request.headers()).is_some();
    let mut response = next.run(request).await;
    let policy = response.extensions().get::<CachePolicy>().copied().unwrap_or(CachePolicy::NoStore);
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    // The message was shown, so it ends; unless the answer sets a new one.
    if had_flash && is_page && !response.headers().contains_key(header::SET_COOKIE) {
        super::cookies::set(&mut response, state.cookies().clear_flash());
    }
    let headers = response.headers_mut();
    protect(headers);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, policy.header());
    }
    if state.https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// Puts the security headers on one answer.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// Without login, only the names of this machine and of the public address are served: another name that leads here is an attack by
/// DNS rebinding.
pub(super) async fn check_host(State(state): State<WebState>, request: Request, next: Next) -> Response {
    if state.access().mode() == AuthMode::None && !is_ours(&request, state.config().http.public_url.as_ref().map(PublicUrl::host)) {
        return Error::WrongHost.into_response();
    }
    next.run(request).await
}

fn is_ours(request: &Request, public_host: Option<&str>) -> bool {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().cloned().or_else(|| named?.parse::<Authority>().ok());
    let Some(authority) = authority else { return false };
    let host = authority.host().to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") || public_host.is_some_and(|public| host == public.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::is_ours;
    use axum::body::Body;
    use axum::http::Request;

    fn asks(host: Option<&str>) -> Request<Body> {
        let request = Request::builder().uri("/");
        host.map_or_else(|| Request::builder().uri("/"), |host| request.header("host", host)).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_foreign_name_for_this_machine_is_refused() {
        for ours in ["localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080", "redrive.example:443"] {
            assert!(is_ours(&asks(Some(ours)), Some("redrive.example")), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]", "", "user@localhost@evil.example"] {
            assert!(!is_ours(&asks(Some(foreign)), Some("redrive.example")), "{foreign}");
        }
        assert!(!is_ours(&asks(None), None));
        assert!(!is_ours(&asks(Some("redrive.example")), None));
    }
}
