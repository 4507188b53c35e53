//! Dead letters, one by one.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::extract::{Partial, Viewer};
use super::super::render::{Page, html_response, part, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::filter::{ListQuery, Reading, api_query};
use super::super::view::filter_bar::FilterBar;
use super::super::view::letter_row::{KeyView, LetterRow};
use super::super::view::number::{counted, grouped};
use super::super::view::query::{Pairs, problems};
use super::super::view::time::exact;
use super::super::{Error, Layout, Section, WebState, filters};
use super::failure_groups::Tabs;
use crate::model::{DeadLetterFilter, Role, Status, Timestamp};
use crate::store::dead_letters::DeadLetterPage;
use newer::Newer;
use watched::Watched;

pub(super) mod newer;
pub(super) mod watched;

/// Rows of a page.
const ROWS: u32 = 50;
/// How long a search looks before the page shows what it has.
const SCAN_MILLIS: u64 = 400;
const PATH: &str = "/dead-letters";
/// Id of the row with which a search goes on.
const MORE: &str = "more";

pub(super) fn routes() -> Routes {
    Routes::new().get(PATH, dead_letters)
}

#[derive(Template)]
#[template(path = "dead_letters/dead_letters.html")]
struct DeadLettersPage {
    layout: Layout,
    lede: (String, String),
    tabs: Tabs,
    bar: FilterBar,
    rows: Rows,
    first: Option<String>,
    selection: Selection,
    newer: Newer,
    watched: Option<Watched>,
}

/// The rows and how the list goes on; also what a search fetches when it goes on by itself.
#[derive(Template)]
#[template(path = "dead_letters/rows.html")]
struct Rows {
    rows: Vec<LetterRow>,
    show_bus: bool,
    checked: bool,
    /// Where the list goes on.
    next: Option<String>,
    search: Option<Search>,
}

/// How far a search has come.
struct Search {
    back_to: String,
    is_complete: bool,
    /// Goes on without being asked: the page is not full yet.
    by_itself: bool,
    shown: u64,
    trailing: String,
}

/// What the bar over selected rows offers.
#[expect(clippy::struct_excessive_bools, reason = "each says whether one button is there")]
struct Selection {
    /// Number of matching dead letters; empty when only a search would tell.
    matching: String,
    is_all: bool,
    all_href: String,
    none_href: String,
    export_all_href: String,
    may_export: bool,
    /// What matches, as a replay selects it.
    filter: String,
    /// Where all that match are discarded; restored, by the query that selects them.
    discard_all_href: String,
    restore_filter: String,
    /// Whether the list may hold open ones, discarded ones, and any others.
    with_open: bool,
    with_discarded: bool,
    with_others: bool,
}

impl Page for DeadLettersPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn dead_letters(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Pairs(pairs): Pairs,
) -> Result<Response, Error> {
    let query = ListQuery::parse(&pairs, Reading::Page, &[], layout.now).map_err(problems)?;
    let here = Address::new(PATH).with_pairs(&pairs);
    if newer::is_asked(&partial) {
        return newer::answer(&state, &here, &query.filter, layout.now).await;
    }
    let store = state.store();
    let page = store.list_dead_letters(&query.filter, &query.page(ROWS), SCAN_MILLIS).await?;
    let rows = Rows::new(page, &here, &query, state.config().buses.len() > 1);
    if matches!(&partial, Partial::Part(id) if id == MORE) {
        return Ok(html_response(StatusCode::OK, part(&rows, layout.now)?));
    }
    let count = store.count_dead_letters(&query.filter).await?;
    let choices = store.list_filter_choices(&query.filter.bus).await?;
    let newest = store.newest_dead_letter().await?;
    let nothing = rows.rows.is_empty() && rows.next.is_none();
    let bar = FilterBar::new(&here, PATH, &choices, query.range);
    let shown = DeadLettersPage {
        lede: lede(count, &rows, &query, bar.is_filtered),
        tabs: Tabs::new(&here, None, count.filter(|_| query.filter.status == [Status::Open])),
        first: query.cursor.is_some().then(|| here.without(&["cursor", "shown"]).to_string()),
        selection: Selection::new(&here, &query, count, layout.may(Role::Operator)),
        newer: Newer::none(&here, newest),
        watched: if nothing { Some(Watched::load(store, &query.filter.bus, layout.now).await?) } else { None },
        rows,
        bar,
        layout: layout
            .crumb("Dead letters", here.at("/failure-groups").without(&["cursor", "select", "shown"]).to_string())
            .titled(Section::DeadLetters, "All"),
    };
    render(&shown, &partial)
}

impl Rows {
    fn new(page: DeadLetterPage, here: &Address, query: &ListQuery, show_bus: bool) -> Self {
        let shown = here.get("shown").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) + page.items.len() as u64;
        let searches = query.filter.q.is_some() || !query.filter.presence.is_empty();
        let back_to = page.searched_back_to.or_else(|| page.items.last().map(|letter| letter.failed_at));
        let full = page.items.len() as u64 >= u64::from(ROWS) || shown >= u64::from(ROWS);
        let next = page.next_cursor.map(|cursor| {
            let next = here.without(&["select", "newest"]).set("cursor", &cursor.to_string());
            // A page that is full ends here; the next begins to count anew.
            if searches && !full { next.set("shown", &shown.to_string()) } else { next.without(&["shown"]) }
        });
        let search = (searches && (query.filter.q.is_some() || next.is_some())).then(|| Search {
            back_to: back_to.map(|at| exact(at)[..19].to_owned()).unwrap_or_default(),
            is_complete: next.is_none(),
            by_itself: next.is_some() && !full,
            shown,
            trailing: if page.not_yet_searchable == 0 { String::new() } else { grouped(page.not_yet_searchable) },
        });
        Self {
            rows: page.items.iter().map(|letter| LetterRow::new(letter, here)).collect(),
            show_bus,
            checked: here.get("select") == Some("all"),
            next: next.map(|next| next.to_string()),
            search,
        }
    }
}

fn lede(count: Option<u64>, rows: &Rows, query: &ListQuery, is_filtered: bool) -> (String, String) {
    let open_only = query.filter.status == [Status::Open];
    let what = if open_only { "open dead letter" } else { "dead letter" };
    let matching = if is_filtered { " match" } else { "" };
    match count {
        Some(0) if is_filtered => (format!("No {what}s match."), String::new()),
        Some(0) => (format!("No {what}s."), String::new()),
        Some(count) => {
            let matching = if count == 1 && is_filtered { " matches" } else { matching };
            (format!("{}{matching}.", counted(count, what, &format!("{what}s"))), "Newest first by the time they failed.".to_owned())
        }
        None if rows.rows.is_empty() && rows.next.is_none() => (format!("No {what}s match."), String::new()),
        None => {
            (format!("Searching {what}s."), "Newest first; how many match is known when the search has looked at all of them.".to_owned())
        }
    }
}

impl Selection {
    fn new(here: &Address, query: &ListQuery, count: Option<u64>, may_export: bool) -> Self {
        let holds = |status| query.filter.status.is_empty() || query.filter.status.contains(&status);
        let restored = DeadLetterFilter { status: vec![Status::Discarded], ..query.filter.clone() };
        Self {
            matching: count.map(grouped).unwrap_or_default(),
            is_all: here.get("select") == Some("all"),
            all_href: here.set("select", "all").to_string(),
            none_href: here.without(&["select"]).to_string(),
            export_all_href: api_query("/api/v1/dead-letters/export", &query.filter).to_string(),
            may_export,
            filter: api_query("", &query.filter).to_string(),
            discard_all_href: api_query("/dead-letters/discard", &query.filter).to_string(),
            restore_filter: api_query("", &restored).query(),
            with_open: holds(Status::Open),
            with_discarded: holds(Status::Discarded),
            with_others: query.filter.status.len() != 1,
        }
    }
}
