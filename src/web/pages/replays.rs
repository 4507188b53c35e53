//! Replays: all of them, and how one is planned from a page.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::extract::{CursorParam, Form, LimitParam, Operator, Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::chart::Bar;
use super::super::view::filter::{ListQuery, Reading};
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::query::problems;
use super::super::view::replay as view;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, address, filters};
use crate::model::replay::{Canary, Replay, ReplaySettings, ReplayState};
use crate::model::{DeadLetterId, Selection, Timestamp, TopicName};
use crate::operations::replay::{PlanRequest, ReplayError};
use crate::store::replays::ReplayFilter;

/// Rows of a page.
const ROWS: u32 = 50;
/// Messages of a canary that pages propose.
pub(super) const CANARY: u32 = 15;

pub(super) fn routes() -> Routes {
    Routes::new().get("/replays", replays).post("/replays", plan)
}

#[derive(Template)]
#[template(path = "replays/replays.html", blocks = ["replays"])]
struct ReplaysPage {
    layout: Layout,
    lede: (String, String),
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    href: String,
    name: String,
    look: Look,
    target: String,
    total: String,
    sent: String,
    outcome: Vec<(Bar, &'static str)>,
    resolved: String,
    failed_again: String,
    has_failed: bool,
    at: Timestamp,
    by: String,
}

impl Page for ReplaysPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "replays").then(|| part(&self.as_replays(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Deserialize)]
struct ReplaysQuery {
    cursor: Option<CursorParam>,
    #[expect(dead_code, reason = "the frame reads it")]
    bus: Option<String>,
}

async fn replays(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<ReplaysQuery>,
) -> Result<Response, Error> {
    let filter = ReplayFilter { bus: layout.bus.clone(), ..ReplayFilter::default() };
    let page = state.store().list_replays(&filter, &LimitParam::page(query.cursor, None, ROWS)).await?;
    let next = page.next_cursor.map(|cursor| {
        let bus = layout.bus.as_ref().map(|bus| ("bus", bus.to_string()));
        format!("/replays{}", address::query(bus.iter().map(|(n, v)| (*n, v.as_str())).chain([("cursor", cursor.to_string().as_str())])))
    });
    let lede = lede(&page.items);
    let rows = page.items.iter().map(Row::new).collect();
    render(&ReplaysPage { layout: layout.titled(Section::Replays, "Replays"), lede, rows, next }, &partial)
}

fn lede(replays: &[Replay]) -> (String, String) {
    let count = |states: &[ReplayState]| replays.iter().filter(|replay| states.contains(&replay.state)).count() as u64;
    let running = count(&[ReplayState::Running]);
    let (planned, paused) = (count(&[ReplayState::Planned, ReplayState::Planning]), count(&[ReplayState::Paused]));
    let first = match running {
        0 => "Nothing is running.".to_owned(),
        running => format!("{} running.", counted(running, "replay is", "replays are")),
    };
    let mut rest = Vec::new();
    if paused > 0 {
        rest.push(format!("{} paused.", counted(paused, "is", "are")));
    }
    if planned > 0 {
        rest.push(format!("{} for a start.", counted(planned, "plan waits", "plans wait")));
    }
    (first, rest.join(" "))
}

impl Row {
    fn new(replay: &Replay) -> Self {
        let counts = &replay.counts;
        Self {
            href: format!("/replays/{}", replay.id),
            name: short(&replay.name, 120),
            look: view::state(replay),
            target: replay.settings.target.as_ref().map_or_else(|| "origin topics".to_owned(), |target| short(target.as_str(), 80)),
            total: grouped(counts.total()),
            sent: grouped(replay.sent_total),
            outcome: view::outcome(counts),
            resolved: grouped(counts.resolved),
            failed_again: grouped(counts.failed_again),
            has_failed: counts.failed_again > 0,
            at: replay.started_at.unwrap_or(replay.created_at),
            by: short(replay.started_by.as_deref().unwrap_or(&replay.planned_by.name).trim_start_matches("user:"), 60),
        }
    }
}

/// What a page selects: ids, or the address of a list.
#[derive(Deserialize)]
struct PlanForm {
    /// Ids of dead letters.
    #[serde(default)]
    id: Vec<DeadLetterId>,
    /// The query of a list of the API.
    filter: Option<String>,
    /// Another plan's selection.
    plan: Option<String>,
    name: Option<String>,
    target: Option<TopicName>,
    again: Option<bool>,
}

/// Plans and leads to the plan.
async fn plan(Operator(caller): Operator, State(state): State<WebState>, Form(form): Form<PlanForm>) -> Result<Response, Error> {
    let selection = match (&form.plan, &form.filter) {
        (Some(plan), _) => {
            let earlier = state.replays().find(&super::super::api::replays::parse_id(plan)?).await?;
            serde_json::from_str(&earlier.selection).map_err(|error| Error::Internal(error.to_string()))?
        }
        (None, Some(filter)) => {
            let query =
                ListQuery::parse(&address::pairs(filter.trim_start_matches('?')), Reading::Api, &[], caller.now).map_err(problems)?;
            Selection::of_filter(query.filter)
        }
        (None, None) if form.id.is_empty() => return Err(ReplayError::EmptySelection.into()),
        (None, None) => Selection::Ids(form.id.clone()),
    };
    let one = matches!(&selection, Selection::Ids(ids) if ids.len() <= CANARY as usize);
    let settings = ReplaySettings {
        target: form.target.clone(),
        canary: (!one).then_some(Canary { count: CANARY, settle_ms: 60_000 }),
        again: form.again.unwrap_or(false),
        ..ReplaySettings::default()
    };
    super::super::api::replays::check_settings(&settings)?;
    let name = form.name.as_deref().map(|name| short(name.trim(), 150)).filter(|name| !name.is_empty());
    let request = PlanRequest { selection, name, settings, policy_id: None };
    let replay = state.replays().plan(request, &caller.actor, caller.now).await?;
    Ok(Redirect::to(&format!("/replays/{}", replay.id)).into_response())
}
