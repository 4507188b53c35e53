//! Automatic replay policies: all of them, and a new one.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Admin, Form, Partial, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::policy as view;
use super::super::view::query::Pairs;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::problem::{Problem, problem_of};
use crate::model::{Role, Timestamp};
use crate::operations::policy::{PolicyReport, Standing};

pub(super) mod form;

use form::Fields;

pub(super) fn routes() -> Routes {
    Routes::new().get("/replay-policies", policies).post("/replay-policies", add).get("/replay-policies/new", new)
}

#[derive(Template)]
#[template(path = "replay_policies/replay_policies.html", blocks = ["policies"])]
struct PoliciesPage {
    layout: Layout,
    lede: (String, String),
    rows: Vec<Row>,
    may_act: bool,
}

struct Row {
    href: String,
    name: String,
    look: Look,
    why: String,
    bus: String,
    runs: String,
    sent: String,
    resolved: String,
    failed_again: String,
    has_failed: bool,
    ran_at: Option<Timestamp>,
}

impl Page for PoliciesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "policies").then(|| part(&self.as_policies(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "replay_policies/new.html")]
struct NewPage {
    layout: Layout,
    fields: Fields,
    problem: Problem,
    letters_href: String,
}

impl Page for NewPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn policies(_: Viewer, State(state): State<WebState>, layout: Layout, partial: Partial) -> Result<Response, Error> {
    let mut reports = Vec::new();
    for policy in state.store().list_policies().await? {
        if layout.bus.is_none() || policy.terms.filter.bus.first() == layout.bus.as_ref() {
            reports.push(state.policies().report(policy, layout.now).await?);
        }
    }
    let lede = lede(&reports);
    let rows = reports.iter().map(Row::new).collect();
    let may_act = layout.may(Role::Admin);
    let layout = layout.crumb("Replays", "/replays").titled(Section::Replays, "Replay policies");
    render(&PoliciesPage { layout, lede, rows, may_act }, &partial)
}

fn lede(reports: &[PolicyReport]) -> (String, String) {
    let on = reports.iter().filter(|report| report.policy.enabled).count() as u64;
    let gave_up = reports.iter().filter(|report| report.standing == Standing::GaveUp).count() as u64;
    let first = match on {
        0 => "No policy is switched on.".to_owned(),
        on => format!("{} switched on.", counted(on, "policy is", "policies are")),
    };
    let rest = if gave_up > 0 { format!("{} given up and needs you.", counted(gave_up, "has", "have")) } else { String::new() };
    (first, rest)
}

impl Row {
    fn new(report: &PolicyReport) -> Self {
        let totals = report.totals;
        Self {
            href: format!("/replay-policies/{}", report.policy.number),
            name: short(&report.policy.name, 100),
            look: view::standing(report.standing),
            why: short(report.policy.text.as_deref().filter(|_| report.policy.enabled).unwrap_or_default(), 200),
            bus: report.policy.terms.filter.bus.first().map(|bus| short(bus.as_str(), 60)).unwrap_or_default(),
            runs: grouped(totals.runs),
            sent: grouped(totals.sent),
            resolved: grouped(totals.resolved),
            failed_again: grouped(totals.failed_again),
            has_failed: totals.failed_again > 0,
            ran_at: report.run.as_ref().map(|run| run.created_at),
        }
    }
}

/// The address has the filter: that of a failure group, or of a list.
async fn new(_: Admin, State(state): State<WebState>, layout: Layout, Pairs(pairs): Pairs) -> Result<Response, Error> {
    let mut filter = Address::default().with_pairs(&pairs).without(&["name", "status", "cursor", "limit", "sort"]);
    if let ([only], None) = (state.config().buses.as_slice(), filter.get("bus")) {
        filter = filter.set("bus", only.id.as_str());
    }
    let name = pairs.iter().find(|(name, _)| name == "name").map(|(_, value)| short(value, 80)).unwrap_or_default();
    let fields = Fields::proposed(&name, &filter.query());
    answer(layout, StatusCode::OK, fields, Problem::default())
}

fn answer(layout: Layout, status: StatusCode, fields: Fields, problem: Problem) -> Result<Response, Error> {
    let letters_href = format!("/dead-letters?{}", fields.filter.trim_start_matches('?'));
    let layout = layout.crumb("Replays", "/replays").crumb("Policies", "/replay-policies").titled(Section::Replays, "New policy");
    render_with(status, &NewPage { layout, fields, problem, letters_href }, &Partial::Full)
}

async fn add(Admin(caller): Admin, State(state): State<WebState>, layout: Layout, Form(fields): Form<Fields>) -> Result<Response, Error> {
    let added = async {
        let (name, terms) = fields.parse(caller.now)?;
        Ok::<_, Error>(state.policies().add(&name, false, &terms, &caller.actor, caller.now).await?)
    };
    match added.await {
        Ok(policy) => {
            let mut response = Redirect::to(&format!("/replay-policies/{}", policy.number)).into_response();
            cookies::set(&mut response, state.cookies().set_flash("Policy saved. It is switched off until you switch it on"));
            Ok(response)
        }
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer(layout, status, fields, problem)
        }
    }
}
