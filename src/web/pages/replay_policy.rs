//! One automatic replay policy: where it stands, its runs, and what was decided.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::replay_policies::parse_id;
use super::super::extract::{Admin, Form, Partial, Path, Viewer};
use super::super::render::{Page, part, render_with};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::view::number::grouped;
use super::super::view::policy as view;
use super::super::view::replay as replay_view;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::problem::{Problem, problem_of};
use super::replay_policies::form::Fields;
use crate::model::replay::Replay;
use crate::model::{PageRequest, Role, Timestamp};
use crate::operations::policy::{PolicyReport, Standing};
use crate::store::replays::ReplayFilter;

/// Runs shown.
const RUNS: u32 = 20;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/replay-policies/{id}", show)
        .post("/replay-policies/{id}", change)
        .post("/replay-policies/{id}/switch", switch)
        .post("/replay-policies/{id}/delete", delete)
}

#[derive(Template)]
#[template(path = "replay_policy/replay_policy.html", blocks = ["head", "runs"])]
struct PolicyPage {
    layout: Layout,
    report: PolicyReport,
    look: Look,
    words: String,
    runs: Vec<RunRow>,
    fields: Fields,
    problem: Problem,
    may_act: bool,
    letters_href: String,
}

struct RunRow {
    href: String,
    look: Look,
    total: String,
    sent: String,
    resolved: String,
    failed_again: String,
    has_failed: bool,
    at: Timestamp,
}

impl Page for PolicyPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "runs" => Some(part(&self.as_runs(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl PolicyPage {
    const fn has_given_up(&self) -> bool {
        matches!(self.report.standing, Standing::GaveUp)
    }
}

impl RunRow {
    fn new(replay: &Replay) -> Self {
        let counts = &replay.counts;
        Self {
            href: format!("/replays/{}", replay.id),
            look: replay_view::state(replay),
            total: grouped(counts.total()),
            sent: grouped(replay.sent_total),
            resolved: grouped(counts.resolved),
            failed_again: grouped(counts.failed_again),
            has_failed: counts.failed_again > 0,
            at: replay.created_at,
        }
    }
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    answer(&state, layout, &partial, &id, StatusCode::OK, None, Problem::default()).await
}

async fn answer(
    state: &WebState,
    layout: Layout,
    partial: &Partial,
    id: &str,
    status: StatusCode,
    fields: Option<Fields>,
    problem: Problem,
) -> Result<Response, Error> {
    let policy = state.policies().find(parse_id(id)?).await?;
    let filter = ReplayFilter { policy_id: Some(policy.number), ..ReplayFilter::default() };
    let runs = state.store().list_replays(&filter, &PageRequest::first(RUNS)).await?;
    let saved = Fields::of(&policy.name, &policy.terms);
    let name = short(&policy.name, 100);
    let report = state.policies().report(policy, layout.now).await?;
    let page = PolicyPage {
        look: view::standing(report.standing),
        words: view::words(&report, layout.now),
        runs: runs.items.iter().map(RunRow::new).collect(),
        letters_href: format!("/dead-letters?{}", saved.filter),
        fields: fields.unwrap_or(saved),
        problem,
        may_act: layout.may(Role::Admin),
        report,
        layout: layout.crumb("Replays", "/replays").crumb("Policies", "/replay-policies").titled(Section::Replays, name),
    };
    render_with(status, &page, partial)
}

async fn change(
    Admin(caller): Admin,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    let changed = async {
        let (name, terms) = fields.parse(caller.now)?;
        Ok::<_, Error>(state.policies().change(parse_id(&id)?, &name, &terms, &caller.actor, caller.now).await?)
    };
    match changed.await {
        Ok(_) => Ok(back(&state, &id, "Policy saved")),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer(&state, layout, &Partial::Full, &id, status, Some(fields), problem).await
        }
    }
}

#[derive(Deserialize)]
struct SwitchForm {
    enabled: bool,
}

async fn switch(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Form(form): Form<SwitchForm>,
) -> Result<Response, Error> {
    state.policies().switch(parse_id(&id)?, form.enabled, &caller.actor, caller.now).await?;
    let said = if form.enabled { "Policy switched on" } else { "Policy switched off; its run was cancelled, if it had one" };
    Ok(back(&state, &id, said))
}

async fn delete(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    state.policies().remove(parse_id(&id)?, &caller.actor, caller.now).await?;
    let mut response = Redirect::to("/replay-policies").into_response();
    cookies::set(&mut response, state.cookies().set_flash("Policy deleted"));
    Ok(response)
}

fn back(state: &WebState, id: &str, message: &str) -> Response {
    let mut response = Redirect::to(&format!("/replay-policies/{id}")).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}
