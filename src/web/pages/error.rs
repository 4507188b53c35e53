//! What a person sees when a request could not be answered.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header::{HOST, REFERER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::context::RequestContext;
use super::super::error::{Failure, path_of_url};
use super::super::render::{html_response, part};
use super::super::{Layout, Section, Theme, WebState, filters};

/// Inside the frame, for whoever is logged in.
#[derive(Template)]
#[template(path = "error/framed.html")]
struct FramedErrorPage {
    layout: Layout,
    error: ErrorView,
}

/// On its own, for everybody else.
#[derive(Template)]
#[template(path = "error/solo.html")]
struct SoloErrorPage {
    theme: Theme,
    error: ErrorView,
}

/// For a part of a page that could not be fetched.
#[derive(Template)]
#[template(path = "error/toast.html")]
struct ErrorToast {
    error: ErrorView,
}

struct ErrorView {
    status: u16,
    title: &'static str,
    sentence: String,
    field: Option<String>,
    request_id: String,
    /// Where to ask again, when that may help and changes nothing.
    again: Option<String>,
    /// The page of ours that led here.
    back: Option<String>,
}

impl ErrorView {
    fn new(failure: &Failure, context: &RequestContext) -> Self {
        Self {
            status: failure.status.as_u16(),
            title: title(failure.status),
            sentence: failure.sentence.clone(),
            field: failure.field.clone(),
            request_id: context.id().to_owned(),
            again: None,
            back: None,
        }
    }

    /// With the ways that lead on from what was asked.
    fn asked(self, failure: &Failure, asked: &Parts) -> Self {
        let passing = failure.status.is_server_error() || failure.status == StatusCode::TOO_MANY_REQUESTS;
        let here = asked.uri.path_and_query().map_or("/", |path| path.as_str());
        let again = (passing && asked.method.is_safe()).then(|| here.to_owned());
        Self { again, back: came_from(asked).filter(|back| back != here), ..self }
    }
}

/// The page of ours that a request came from.
fn came_from(asked: &Parts) -> Option<String> {
    let header = |name| asked.headers.get(name).and_then(|value| value.to_str().ok());
    let (from, host) = (header(REFERER)?, header(HOST)?);
    let (_, rest) = from.split_once("://")?;
    let is_ours = rest.split('/').next().is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    path_of_url(from).filter(|path| is_ours && !path.starts_with("//")).map(str::to_owned)
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => "This request makes no sense here",
        StatusCode::PAYLOAD_TOO_LARGE => "That was too large",
        StatusCode::UNPROCESSABLE_ENTITY => "Something in the request is wrong",
        StatusCode::CONFLICT => "This is not possible now",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::MISDIRECTED_REQUEST => "Not under this name",
        StatusCode::BAD_GATEWAY => "The bus did not answer",
        StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
        StatusCode::INSUFFICIENT_STORAGE => "The store is full",
        status if status.is_server_error() => "Redrive has failed",
        _ => "This did not work",
    }
}

/// A whole page.
pub(in crate::web) async fn page(state: &WebState, mut asked: Parts, failure: &Failure, context: &RequestContext) -> Response {
    let error = ErrorView::new(failure, context).asked(failure, &asked);
    // The frame needs a host that is ours and a person who is known; without them the page stands alone.
    let framed = failure.status != StatusCode::MISDIRECTED_REQUEST;
    let layout = if framed { Layout::from_request_parts(&mut asked, state).await.ok() } else { None };
    let html = match layout {
        Some(layout) => part(&FramedErrorPage { layout: layout.titled(Section::Nowhere, error.title), error }, context.now()),
        None => part(&SoloErrorPage { theme: state.cookies().theme(&asked.headers), error }, context.now()),
    };
    match html {
        Ok(html) => html_response(failure.status, html),
        Err(error) => {
            tracing::error!(%error, "the error page failed");
            failure.status.into_response()
        }
    }
}

/// A toast instead of the part that was asked for.
pub(in crate::web) fn toast(failure: &Failure, context: &RequestContext) -> Response {
    let html = part(&ErrorToast { error: ErrorView::new(failure, context) }, context.now()).unwrap_or_default();
    let mut response = html_response(failure.status, html);
    response.headers_mut().insert("hx-retarget", HeaderValue::from_static("#toasts"));
    response.headers_mut().insert("hx-reswap", HeaderValue::from_static("beforeend"));
    response
}
