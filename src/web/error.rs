//! Everything that can keep a request from its answer, and the only place that knows status codes.
//!
//! A handler returns [`Error`]. The outermost layer ([`present`]) turns it into what the client reads: a page, a toast for a part of
//! a page, or `application/problem+json` (RFC 9457) for the API. It does the same for errors that other layers make (timeouts, bodies
//! that are too large, methods that do not exist), so that no client ever sees a bare status.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::WebState;
use super::context::{Audience, RequestContext};
use super::render::CachePolicy;
use crate::access::{AccessError, FirstStartError, LoginError};
use crate::model::Role;
use crate::operations::OpenRecordsError;
use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the request is wrong: 400 for an address that cannot be, 422 for anything with a field.
    #[error("{text}")]
    Invalid {
        /// Status 400, 413, 415 or 422.
        status: StatusCode,
        /// Code for programs.
        code: &'static str,
        /// The field it is about, as the client named it.
        field: Option<String>,
        /// What is wrong and what would be right.
        text: String,
    },
    /// Nobody is logged in.
    #[error("log in first")]
    Unauthenticated,
    /// The role does not allow it.
    #[error("this needs the role {0}")]
    Forbidden(Role),
    /// Another site has sent the request.
    #[error("this request came from another site and was refused")]
    CrossSite,
    /// The request names a host that is not ours.
    #[error("this host name is not served here")]
    WrongHost,
    /// What was asked for does not exist; names its kind.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It contradicts the present state.
    #[error("{text}")]
    Conflict {
        /// Code for programs.
        code: &'static str,
        /// What contradicts.
        text: String,
    },
    /// Too many requests of this kind; wait.
    #[error("too many tries")]
    TooMany(Duration),
    /// A bus did not answer, or refused; nothing was changed.
    #[error("{text}")]
    Bus {
        /// Code for programs.
        code: &'static str,
        /// What happened, in words.
        text: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It took too long.
    #[error("the answer took too long")]
    Timeout,
    /// A fault of ours. The text goes to the log only.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A field that is well formed but wrong: 422.
    pub fn field(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid_field", field: Some(field.into()), text: text.into() }
    }

    /// A request that cannot be served as a whole, with its own code: 422.
    pub fn unprocessable(code: &'static str, text: impl Into<String>) -> Self {
        Self::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code, field: None, text: text.into() }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { status, .. } => *status,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict { .. } | Self::Store(StoreError::Taken(_)) => StatusCode::CONFLICT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Bus { code: "bus_timeout", .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Bus { code: "bus_busy" | "bus_unreachable", .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Bus { .. } => StatusCode::BAD_GATEWAY,
            Self::Store(StoreError::Full(_)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Store(StoreError::Broken(_)) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(_) | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid { code, .. } | Self::Conflict { code, .. } | Self::Bus { code, .. } => code,
            Self::Unauthenticated => "not_logged_in",
            Self::Forbidden(_) => "role_missing",
            Self::CrossSite => "cross_site",
            Self::WrongHost => "wrong_host",
            Self::NotFound(_) => "not_found",
            Self::TooMany(_) => "too_many_tries",
            Self::Store(StoreError::Full(_)) => "store_full",
            Self::Store(StoreError::ReadOnly(_)) => "store_read_only",
            Self::Store(StoreError::Taken(_)) => "taken",
            Self::Store(StoreError::Broken(_)) | Self::Internal(_) => "internal",
            Self::Store(_) => "store_unavailable",
            Self::Timeout => "timeout",
        }
    }

    /// The sentence a person reads. What a database or a library said stays in the log.
    fn sentence(&self) -> String {
        match self {
            Self::Store(StoreError::Full(_)) => "The store is full. Nothing was changed.".to_owned(),
            Self::Store(StoreError::ReadOnly(_)) => "The store is read-only. Nothing was changed.".to_owned(),
            Self::Store(StoreError::Taken(what)) => format!("This {what} is already taken."),
            Self::Store(StoreError::Broken(_)) | Self::Internal(_) => {
                "Redrive failed to answer. The log of this instance says why.".to_owned()
            }
            Self::Store(_) => "The store does not answer. Nothing was changed, and indexing goes on when it is back.".to_owned(),
            Self::Timeout => "The answer took too long, so it was given up.".to_owned(),
            Self::TooMany(wait) => format!("Too many tries. Wait {} s and try again.", wait.as_secs() + 1),
            Self::Forbidden(role) => format!("This needs the role {role}. Ask an administrator of this Redrive."),
            Self::NotFound("page") => "There is no such page. The link may be old, or cut off.".to_owned(),
            Self::NotFound(kind) => format!("There is no such {kind}. It may have been removed by retention, or never have been here."),
            Self::WrongHost => "This Redrive asks for no login, so it answers only to localhost and to its public address.".to_owned(),
            Self::CrossSite => "This request came from another site, so it was refused. Nothing was changed.".to_owned(),
            other => sentence_case(&other.to_string()),
        }
    }

    /// What the presenting layer needs.
    fn failure(&self) -> Failure {
        let field = if let Self::Invalid { field, .. } = self { field.clone() } else { None };
        let retry_after = if let Self::TooMany(wait) = self { Some(wait.as_secs() + 1) } else { None };
        Failure { status: self.status(), code: self.code(), sentence: self.sentence(), field, retry_after }
    }
}

impl From<askama::Error> for Error {
    fn from(error: askama::Error) -> Self {
        Self::Internal(format!("a template failed: {error}"))
    }
}

impl From<OpenRecordsError> for Error {
    fn from(error: OpenRecordsError) -> Self {
        let code = match &error {
            OpenRecordsError::UnknownBus(_) => return Self::NotFound("bus"),
            OpenRecordsError::NotFound(_) => return Self::NotFound("topic or partition on the bus"),
            OpenRecordsError::DeadlineExceeded(_) => "bus_timeout",
            OpenRecordsError::Busy(_) => "bus_busy",
            OpenRecordsError::Unreachable(_) => "bus_unreachable",
            OpenRecordsError::Denied(_) => "bus_denied",
            OpenRecordsError::Unsupported(_) => "bus_unsupported",
            OpenRecordsError::Failed(_) => "bus_failed",
        };
        Self::Bus { code, text: error.to_string() }
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        let text = sentence_case(&error.to_string());
        match error {
            AccessError::Taken(field) => Self::Invalid { status: StatusCode::CONFLICT, code: "taken", field: Some(field.to_owned()), text },
            AccessError::Name => Self::field("name", text),
            AccessError::Password(_) => Self::field("password", text),
            AccessError::WrongPassword => Self::field("current", text),
            AccessError::TooMany(wait) => Self::TooMany(wait),
            AccessError::ExpiryInPast => Self::field("expires_at", text),
            AccessError::NotFound(kind) => Self::NotFound(kind),
            AccessError::LastAdmin => Self::Conflict { code: "last_admin", text },
            AccessError::Store(error) => Self::Store(error),
        }
    }
}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong => Self::Invalid {
                status: StatusCode::UNAUTHORIZED,
                code: "wrong_login",
                field: None,
                text: "Name or password is wrong.".to_owned(),
            },
            LoginError::TooMany(wait) => Self::TooMany(wait),
            LoginError::Store(error) => Self::Store(error),
        }
    }
}

impl From<FirstStartError> for Error {
    fn from(error: FirstStartError) -> Self {
        match error {
            FirstStartError::Over => Self::NotFound("page"),
            FirstStartError::WrongCode => Self::field("code", sentence_case(&error.to_string())),
            FirstStartError::TooMany(wait) => Self::TooMany(wait),
            FirstStartError::Access(error) => error.into(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!(error = %self, code = self.code(), "a request failed");
        }
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self.failure());
        response
    }
}

/// An error on its way out, still without a form.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) sentence: String,
    pub(super) field: Option<String>,
    retry_after: Option<u64>,
}

impl Failure {
    /// For a status that some layer answered without saying more.
    fn of_status(status: StatusCode) -> Self {
        let (code, sentence) = match status {
            StatusCode::NOT_FOUND => ("not_found", "There is no such page."),
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "This address does not answer to this method."),
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The request is too large."),
            StatusCode::SERVICE_UNAVAILABLE => ("timeout", "The answer took too long, so it was given up."),
            StatusCode::URI_TOO_LONG => ("too_long", "The address is too long."),
            status if status.is_client_error() => ("bad_request", "The request cannot be understood."),
            _ => ("internal", "Redrive failed to answer. The log of this instance says why."),
        };
        Self { status, code, sentence: sentence.to_owned(), field: None, retry_after: None }
    }
}

/// A problem as RFC 9457 has it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong, and what would be right.
    detail: String,
    /// Tells problems apart; never changes within a version of the API.
    code: &'static str,
    /// The field of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Names this request in the log.
    request_id: String,
}

/// Gives every error its form. The outermost layer but for the request's own context.
pub(super) async fn present(State(state): State<WebState>, context: RequestContext, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let asked = head.clone();
    let response = next.run(Request::from_parts(head, body)).await;
    let status = response.status();
    let bare = status.is_client_error() || status.is_server_error();
    let has_form = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    if !bare || has_form {
        return response;
    }
    let failure = response.extensions().get::<Failure>().cloned().unwrap_or_else(|| Failure::of_status(status));
    let mut answer = match Audience::of(&asked) {
        Audience::Program => problem(&failure, &context),
        audience if failure.status == StatusCode::UNAUTHORIZED => to_login(audience, &asked),
        Audience::Fragment => super::pages::error::toast(&failure, &context),
        Audience::Person => super::pages::error::page(&state, asked, &failure, &context).await,
    };
    // What a layer below had to say stays: Allow, and cookies that end.
    for name in [header::ALLOW, header::SET_COOKIE] {
        answer.headers_mut().extend(response.headers().get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
    if let Some(seconds) = failure.retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer.extensions_mut().insert(CachePolicy::NoStore);
    answer
}

fn problem(failure: &Failure, context: &RequestContext) -> Response {
    let problem = Problem {
        kind: "about:blank",
        title: failure.status.canonical_reason().unwrap_or("Error").to_owned(),
        status: failure.status.as_u16(),
        detail: failure.sentence.clone(),
        code: failure.code,
        field: failure.field.clone(),
        request_id: context.id().to_owned(),
    };
    let mut response = (failure.status, axum::Json(problem)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if failure.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Sends a person to the login and back again afterwards.
fn to_login(audience: Audience, asked: &axum::http::request::Parts) -> Response {
    if audience == Audience::Fragment {
        let current = asked.headers.get("hx-current-url").and_then(|url| url.to_str().ok()).and_then(path_of_url).unwrap_or("/");
        let mut headers = HeaderMap::new();
        if let Ok(target) = HeaderValue::from_str(&login_address(current)) {
            headers.insert("hx-redirect", target);
        }
        return (StatusCode::UNAUTHORIZED, headers).into_response();
    }
    let target = asked.uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let target = if asked.method.is_safe() { target } else { "/" };
    Redirect::to(&login_address(target)).into_response()
}

fn login_address(back: &str) -> String {
    if back == "/" { "/login".to_owned() } else { format!("/login?next={}", super::address::encode(back)) }
}

pub(super) fn path_of_url(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|slash| &rest[slash..])
}

/// Error texts begin small so that they can follow a colon; a sentence does not, and ends with a full stop.
pub(super) fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase).into_iter().flatten();
    let sentence: String = first.chain(chars).collect();
    if sentence.ends_with(['.', '!', '?']) { sentence } else { format!("{sentence}.") }
}

#[cfg(test)]
mod tests {
    use super::{Error, login_address, path_of_url, sentence_case};
    use crate::store::StoreError;

    #[test]
    fn what_a_database_said_is_not_shown() {
        let failure = Error::Store(StoreError::Broken("no such column: secret".to_owned())).failure();
        assert!(!failure.sentence.contains("secret"), "{}", failure.sentence);
        assert_eq!(failure.status.as_u16(), 500);
    }

    #[test]
    fn the_login_leads_back_to_what_was_asked_for() {
        assert_eq!(login_address("/dead-letters?q=a&b=c"), "/login?next=%2Fdead-letters%3Fq%3Da%26b%3Dc");
        assert_eq!(path_of_url("https://redrive.example/topics?bus=prod"), Some("/topics?bus=prod"));
    }

    #[test]
    fn errors_read_as_sentences() {
        assert_eq!(sentence_case("there is no such user"), "There is no such user.");
    }
}
