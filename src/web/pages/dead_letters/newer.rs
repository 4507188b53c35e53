//! "Show 14 newer": a list never moves what somebody looks at, it says how much has come since.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::super::extract::Partial;
use super::super::super::render::{html_response, part};
use super::super::super::view::address::Address;
use super::super::super::view::number::grouped;
use super::super::super::{Error, WebState, filters};
use crate::model::{DeadLetterFilter, DeadLetterId, Timestamp};

/// The id of the element, by which its refetch is known.
const ID: &str = "newer";

/// The link, or the room for it.
#[derive(Debug, Template)]
#[template(path = "dead_letters/newer.html")]
pub(in crate::web::pages) struct Newer {
    /// Where it asks again.
    fetch: String,
    /// The list from its beginning.
    href: String,
    /// How many have come; empty while none has.
    count: String,
}

impl Newer {
    /// For a list that was just read.
    pub(in crate::web::pages) fn none(here: &Address, newest: Option<DeadLetterId>) -> Self {
        Self::new(here, newest.map_or(0, |id| id.0), 0)
    }

    fn new(here: &Address, newest: i64, count: u64) -> Self {
        let href = here.without(&["cursor", "newest", "select", "shown"]);
        Self {
            fetch: href.and("newest", &newest.to_string()).to_string(),
            href: href.to_string(),
            count: if count == 0 { String::new() } else { grouped(count) },
        }
    }
}

/// Whether only this element is asked for.
pub(in crate::web::pages) fn is_asked(partial: &Partial) -> bool {
    matches!(partial, Partial::Part(id) if id == ID)
}

/// The element with its present count.
pub(in crate::web::pages) async fn answer(
    state: &WebState,
    here: &Address,
    filter: &DeadLetterFilter,
    now: Timestamp,
) -> Result<Response, Error> {
    let newest = here.get("newest").and_then(|id| id.parse().ok()).unwrap_or(0);
    let count = state.store().count_newer(filter, DeadLetterId(newest)).await?;
    let html = part(&Newer::new(here, newest, count), now)?;
    Ok(html_response(StatusCode::OK, html))
}
