//! Discarding dead letters with a reason, taking it back, and how far an act is.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::discards::{discards, parse_id, parse_reason};
use super::super::api::selection::audit_target;
use super::super::extract::{Form, Operator, Partial, Path, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::filter::{ListQuery, Reading, api_query};
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::query::{Pairs, problems};
use super::super::{Error, Layout, Section, WebState, address, cookies, filters};
use crate::model::discard::{Discard, DiscardKind, DiscardState, Reason};
use crate::model::{DeadLetterId, Role, Selection, Status, Timestamp};
use crate::operations::discard::Restore;

/// Parameters of this page and not of the list that was selected from.
const OWN_NAMES: &[&str] = &["id", "select", "shown", "newest"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/dead-letters/discard", ask)
        .post("/dead-letters/discard", discard)
        .post("/dead-letters/restore", restore)
        .get("/discards/{id}", act)
}

/// Asks for the reason.
#[derive(Template)]
#[template(path = "discard/ask.html")]
struct AskPage {
    layout: Layout,
    /// Open dead letters that are selected; `None` when only a search would tell.
    open: Option<u64>,
    /// Selected ones that are not open.
    others: u64,
    ids: Vec<DeadLetterId>,
    filter: Option<String>,
    see_href: Option<String>,
    back: String,
    reason: String,
    problem: Option<String>,
}

impl Page for AskPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl AskPage {
    /// Counts what a selection holds.
    async fn new(state: &WebState, layout: Layout, selection: &Selection, back: String) -> Result<Self, Error> {
        let (open, others, ids, filter) = match selection {
            Selection::Ids(ids) => {
                let open = state.store().count_with_status(ids, Status::Open).await?;
                (Some(open), (ids.len() as u64).saturating_sub(open), ids.clone(), None)
            }
            Selection::Filter(filter) => (state.store().count_dead_letters(filter).await?, 0, Vec::new(), Some(filter)),
        };
        Ok(Self {
            see_href: filter.map(|filter| api_query("/dead-letters", filter).to_string()),
            filter: filter.map(|filter| api_query("", filter).query()),
            layout: layout.crumb("Dead letters", "/failure-groups").titled(Section::DeadLetters, "Discard"),
            open,
            others,
            ids,
            back,
            reason: String::new(),
            problem: None,
        })
    }

    fn may_discard(&self) -> bool {
        self.layout.may(Role::Operator)
    }

    /// The number is on the button.
    fn what(&self) -> String {
        self.open.map_or_else(|| "all that match".to_owned(), |open| counted(open, "dead letter", "dead letters"))
    }
}

async fn ask(_: Viewer, State(state): State<WebState>, layout: Layout, headers: HeaderMap, Pairs(pairs): Pairs) -> Result<Response, Error> {
    let given = |name: &str| pairs.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let ids = given("id");
    let selection = if ids.is_empty() {
        let query = ListQuery::parse(&pairs, Reading::Page, OWN_NAMES, layout.now).map_err(problems)?;
        let mut filter = query.filter;
        // Only open ones can be discarded: the number on the button is theirs.
        let none_open = !filter.status.is_empty() && !filter.status.contains(&Status::Open);
        if !none_open {
            filter.status = vec![Status::Open];
        }
        Selection::Filter(Box::new(filter))
    } else {
        Selection::Ids(parse_ids(&ids)?)
    };
    let back = came_from(&headers).unwrap_or_else(|| back_to(&selection));
    let page = AskPage::new(&state, layout, &selection, back).await?;
    render(&page, &Partial::Full)
}

/// The page of ours that a person came from.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let (_, rest) = headers.get(header::REFERER)?.to_str().ok()?.split_once("://")?;
    let path = rest.find('/').map(|slash| &rest[slash..])?;
    let lists = (path.starts_with("/dead-letters") && !path.starts_with("/dead-letters/discard")) || path.starts_with("/buses/");
    (lists && address::is_local(path)).then(|| path.replace("?select=all&", "?").replace("&select=all", ""))
}

/// Where a person came from, as far as the selection tells.
fn back_to(selection: &Selection) -> String {
    match selection {
        Selection::Ids(ids) => match ids.as_slice() {
            [id] => format!("/dead-letters/{id}"),
            _ => "/dead-letters".to_owned(),
        },
        Selection::Filter(filter) => api_query("/dead-letters", filter).to_string(),
    }
}

fn parse_ids(ids: &[String]) -> Result<Vec<DeadLetterId>, Error> {
    let mut parsed = Vec::with_capacity(ids.len());
    for id in ids {
        parsed.push(id.parse().map_err(|_| Error::field("id", "id must be the id of a dead letter, a whole number"))?);
    }
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed)
}

/// What a form selects: ids, or the query of a list of the API.
#[derive(Deserialize)]
struct SelectionForm {
    #[serde(default)]
    id: Vec<String>,
    filter: Option<String>,
    #[serde(default)]
    reason: String,
    discard_id: Option<String>,
    back: Option<String>,
}

impl SelectionForm {
    fn selection(&self, status: Status, now: Timestamp) -> Result<Selection, Error> {
        let Some(filter) = &self.filter else { return parse_ids(&self.id).map(Selection::Ids) };
        let pairs = address::pairs(filter.trim_start_matches('?'));
        let query = ListQuery::parse(&pairs, Reading::Api, &[], now).map_err(problems)?;
        Ok(Selection::of_filter_for(query.filter, status))
    }

    fn back(&self) -> Option<String> {
        self.back.clone().filter(|back| address::is_local(back))
    }
}

async fn discard(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    Form(form): Form<SelectionForm>,
) -> Result<Response, Error> {
    let selection = form.selection(Status::Open, caller.now)?;
    let back = form.back().unwrap_or_else(|| back_to(&selection));
    let Ok(reason) = parse_reason(&form.reason) else { return refuse(&state, layout, &selection, back, form.reason).await };
    let target = audit_target(&selection);
    let act = discards(&state).discard(selection, reason, target, caller.actor, caller.now).await?;
    Ok(told(&state, &act, &back))
}

/// The form again, with what is wrong.
async fn refuse(state: &WebState, layout: Layout, selection: &Selection, back: String, reason: String) -> Result<Response, Error> {
    let problem = format!("Say why, in 1 to {} characters.", Reason::MAX_CHARS);
    let page = AskPage { reason, problem: Some(problem), ..AskPage::new(state, layout, selection, back).await? };
    render_with(StatusCode::UNPROCESSABLE_ENTITY, &page, &Partial::Full)
}

async fn restore(Operator(caller): Operator, State(state): State<WebState>, Form(form): Form<SelectionForm>) -> Result<Response, Error> {
    let (what, target, back) = if let Some(id) = &form.discard_id {
        let id = parse_id(id)?;
        let target = format!("discard_id={id}");
        let back = format!("/discards/{id}");
        (Restore::Discard(id), target, back)
    } else {
        let selection = form.selection(Status::Discarded, caller.now)?;
        let (target, back) = (audit_target(&selection), back_to(&selection));
        (Restore::Selection(selection), target, back)
    };
    let act = discards(&state).restore(what, target, caller.actor, caller.now).await?;
    Ok(told(&state, &act, &form.back().unwrap_or(back)))
}

/// Back to where the act was asked, with what became of it and the way to take it back; to its own page while it goes on.
fn told(state: &WebState, act: &Discard, back: &str) -> Response {
    if act.state == DiscardState::Running {
        return Redirect::to(&format!("/discards/{}", act.id)).into_response();
    }
    let changed = counted(act.changed, "dead letter", "dead letters");
    let skipped = |why: &str| if act.skipped == 0 { String::new() } else { format!("; {} {why}", grouped(act.skipped)) };
    let mut response = Redirect::to(back).into_response();
    let flash = match act.kind {
        DiscardKind::Discard if act.changed > 0 => {
            let text = format!("{changed} discarded{}", skipped("not open and left alone"));
            state.cookies().set_flash_with_undo(&text, act.id.as_str())
        }
        DiscardKind::Discard => state.cookies().set_flash("Nothing was discarded: none of them is open"),
        DiscardKind::Restore => state.cookies().set_flash(&format!("{changed} open again{}", skipped("left alone"))),
    };
    cookies::set(&mut response, flash);
    response
}

/// How far an act is.
#[derive(Template)]
#[template(path = "discard/act.html", blocks = ["act"])]
struct ActPage {
    layout: Layout,
    act: Discard,
}

impl Page for ActPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "act").then(|| part(&self.as_act(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl ActPage {
    fn is_discard(&self) -> bool {
        self.act.kind == DiscardKind::Discard
    }

    fn is_running(&self) -> bool {
        self.act.state == DiscardState::Running
    }

    fn look(&self) -> Look {
        let look = |word, icon, tone| Look { word, icon, tone };
        match self.act.state {
            DiscardState::Running => look("Running", "refresh-cw", "busy"),
            DiscardState::Stopped => look("Taken back before its end", "circle-slash", "idle"),
            DiscardState::Completed if self.act.undone.is_some() => look("Taken back", "rotate-ccw", "idle"),
            DiscardState::Completed => look("Completed", "circle-check", "ok"),
        }
    }

    fn title(&self) -> String {
        let what = if self.is_discard() { "Discard" } else { "Restore" };
        format!("{what} of {}", counted(self.act.total, "dead letter", "dead letters"))
    }

    /// Whether somebody may take it back now.
    fn can_be_undone(&self) -> bool {
        self.is_discard() && self.act.undone.is_none() && (self.act.changed > 0 || self.is_running())
    }

    fn may_act(&self) -> bool {
        self.layout.may(Role::Operator)
    }

    /// The list that was selected from, where the audit's words are its address.
    fn scope_href(&self) -> Option<&str> {
        let target = self.act.target.as_str();
        (target.starts_with("/dead-letters?") && !target.contains("q=%E2%80%A6")).then_some(target)
    }

    /// Percent that is done, for the meter.
    fn percent(&self) -> u64 {
        (self.act.changed + self.act.skipped).saturating_mul(100) / self.act.total.max(1)
    }
}

async fn act(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let act = discards(&state).find(&parse_id(&id)?).await?.ok_or(Error::NotFound("discard"))?;
    let title = if act.kind == DiscardKind::Discard { "Discard" } else { "Restore" };
    let layout = layout.crumb("Dead letters", "/failure-groups").titled(Section::DeadLetters, title);
    render(&ActPage { layout, act }, &partial)
}
