//! From page to answer.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::extract::Partial;
use crate::model::Timestamp;

/// A page that can also render its parts.
pub trait Page: Template {
    /// The part with this id, for a swap; `None` when there is none, and the whole page is sent.
    /// With `blocks = ["rows"]` in the template attribute: `match id { "rows" => Some(part(&self.as_rows(), now)), _ => None }`.
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        let _ = (id, now);
        None
    }

    /// The time that relative times are counted from: the layout's.
    fn now(&self) -> Timestamp;
}

/// Renders a template with what filters need to know.
pub fn part(template: &impl Template, now: Timestamp) -> askama::Result<String> {
    template.render_with_values(&Now(now))
}

/// What filters may ask for: the time under `now`.
struct Now(Timestamp);

impl askama::Values for Now {
    fn get_value<'a>(&'a self, key: &str) -> Option<&'a dyn std::any::Any> {
        (key == "now").then_some(&self.0)
    }
}

/// Answers with the page, or with the part that was asked for.
pub fn render<P: Page>(page: &P, partial: &Partial) -> Result<Response, Error> {
    render_with(StatusCode::OK, page, partial)
}

/// [`render`] with another status: 422 for a form with errors.
pub fn render_with<P: Page>(status: StatusCode, page: &P, partial: &Partial) -> Result<Response, Error> {
    let now = page.now();
    let fragment = if let Partial::Part(id) = partial { page.part(id, now) } else { None };
    let html = fragment.unwrap_or_else(|| part(page, now))?;
    Ok(html_response(status, html))
}

/// HTML as an answer that is not kept: pages hold payloads and belong to one person.
pub(super) fn html_response(status: StatusCode, html: String) -> Response {
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::VARY, HeaderValue::from_static("HX-Request, HX-Target, Cookie"));
    response.extensions_mut().insert(CachePolicy::NoStore);
    response
}

/// How long an answer may be kept. Put into the answer's extensions; a layer turns it into headers. Without one: [`Self::NoStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy {
    /// For ever: the address holds the content's hash.
    Immutable,
    /// Kept, but asked about each time.
    Revalidate,
    /// Not at all.
    NoStore,
}

impl CachePolicy {
    pub(super) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Revalidate => "no-cache",
            Self::NoStore => "no-store",
        })
    }
}
