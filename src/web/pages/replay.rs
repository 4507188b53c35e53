//! One replay: the plan before it starts, and how it goes afterwards.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::replays::{check_settings, parse_id};
use super::super::extract::{CursorParam, Form, LimitParam, Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::replay::{self as view, FunnelStep};
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, address, cookies, filters};
use super::replays::CANARY;
use crate::model::replay::{
    Canary, CheckLevel, Delivery, ItemResult, Replay, ReplayEvent, ReplaySettings, ReplayState, SkipReason, StateReason, Undecided,
};
use crate::model::{Role, Timestamp};
use crate::operations::replay::ReplayError;
use crate::store::replays::ItemFilter;
use crate::store::replays::outcome::SideEffect;

mod parts;

use parts::{CheckGroup, ItemRow, Tab, Target, check_groups, lede, scope, settings_words, tabs, targets};

/// Items shown.
const ITEMS: u32 = 25;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/replays/{id}", show)
        .post("/replays/{id}/start", start)
        .post("/replays/{id}/pause", pause)
        .post("/replays/{id}/resume", resume)
        .post("/replays/{id}/cancel", cancel)
        .post("/replays/{id}/check", check)
        .post("/replays/{id}/rate", rate)
        .post("/replays/{id}/delete", delete)
}

#[derive(Template)]
#[template(path = "replay/replay.html", blocks = ["head", "body", "rail"])]
struct ReplayPage {
    layout: Layout,
    replay: Replay,
    look: Look,
    reason: String,
    may_act: bool,
    lede: String,
    groups: Vec<CheckGroup>,
    warnings: u64,
    blocked: Option<String>,
    targets: Vec<Target>,
    funnel: Vec<FunnelStep>,
    tabs: Vec<Tab>,
    items: Vec<ItemRow>,
    next: Option<String>,
    events: Vec<ReplayEvent>,
    side_effects: Vec<SideEffect>,
    settings: Vec<(&'static str, String)>,
    scope_href: Option<String>,
    problem: Option<String>,
}

impl Page for ReplayPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "body" => Some(part(&self.as_body(), now)),
            "rail" => Some(part(&self.as_rail(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl ReplayPage {
    const fn is_plan(&self) -> bool {
        matches!(self.replay.state, ReplayState::Planning | ReplayState::Planned)
    }

    fn is_planning(&self) -> bool {
        self.replay.state == ReplayState::Planning
    }

    fn is_running(&self) -> bool {
        self.replay.state == ReplayState::Running
    }

    fn is_paused(&self) -> bool {
        self.replay.state == ReplayState::Paused
    }

    fn is_over(&self) -> bool {
        self.replay.state.is_final()
    }

    fn is_undecided(&self) -> bool {
        self.is_paused() && self.replay.state_reason == Some(StateReason::ProgressUnknown)
    }

    fn exactly_once(&self) -> bool {
        self.replay.delivery == Delivery::ExactlyOnce
    }

    fn sendable(&self) -> String {
        grouped(self.replay.counts.waiting)
    }

    fn rate_words(&self) -> String {
        self.replay.settings.rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| format!("{} per second", grouped(u64::from(rate))))
    }

    fn rate_value(&self) -> String {
        self.replay.settings.rate.map_or_else(String::new, |rate| rate.to_string())
    }

    fn canary_count(&self) -> u32 {
        self.replay.settings.canary.map_or(CANARY, |canary| canary.count)
    }

    fn lag_value(&self) -> String {
        self.replay.settings.lag_limit.map_or_else(|| "10000".to_owned(), |limit| limit.to_string())
    }

    fn failed_value(&self) -> String {
        let percent = self.replay.settings.failed_again_limit.unwrap_or(0.05) * 100.0;
        format!("{percent:.0}")
    }

    fn rest_can_be_replayed(&self) -> bool {
        self.is_over() && self.replay.counts.skipped + self.replay.counts.failed > 0
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ShowQuery {
    result: Option<ItemResult>,
    reason: Option<SkipReason>,
    cursor: Option<CursorParam>,
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Response, Error> {
    let replay = state.replays().find(&parse_id(&id)?).await?;
    render(&page(&state, layout, replay, query).await?, &partial)
}

async fn page(state: &WebState, layout: Layout, replay: Replay, query: ShowQuery) -> Result<ReplayPage, Error> {
    let store = state.store();
    let routes = store.list_routes(replay.number).await?;
    let filter = ItemFilter { result: query.result, reason: query.reason.map(|reason| reason.as_str().to_owned()) };
    let found = store.list_replay_items(replay.number, &filter, &LimitParam::page(query.cursor.clone(), None, ITEMS)).await?;
    let here = format!("/replays/{}", replay.id);
    let next = found.next_cursor.map(|cursor| {
        let cursor = cursor.to_string();
        let pairs = [
            ("result", query.result.map_or("", ItemResult::as_str)),
            ("reason", query.reason.map_or("", SkipReason::as_str)),
            ("cursor", cursor.as_str()),
        ];
        format!("{here}{}", address::query(pairs))
    });
    let side_effects = if replay.sent_total > 0 { store.list_side_effects(replay.id.as_str(), 20).await? } else { Vec::new() };
    let name = short(&replay.name, 120);
    Ok(ReplayPage {
        look: view::state(&replay),
        reason: view::reason_words(&replay),
        may_act: layout.may(Role::Operator),
        lede: lede(&replay),
        groups: check_groups(&replay.checks, &here),
        warnings: replay.checks.iter().filter(|check| check.level == CheckLevel::Warning).count() as u64,
        blocked: replay
            .checks
            .iter()
            .find(|c| c.level == CheckLevel::Blocked && c.skip_reason.is_none() && c.count > 0)
            .map(|c| c.text.clone()),
        targets: targets(&replay, &routes),
        funnel: view::funnel(&replay),
        tabs: tabs(&replay, query.result, &here),
        items: found.items.iter().map(|item| ItemRow::new(item, &routes)).collect(),
        next,
        events: store.list_replay_events(&replay.id).await?,
        side_effects,
        settings: settings_words(&replay, &routes),
        scope_href: scope(&replay),
        problem: None,
        layout: layout.crumb("Replays", "/replays").titled(Section::Replays, name),
        replay,
    })
}

#[derive(Deserialize)]
struct StartForm {
    rate: Option<u32>,
    canary: Option<bool>,
    canary_count: Option<u32>,
    stop_failed: Option<bool>,
    stop_failed_percent: Option<u32>,
    stop_lag: Option<bool>,
    stop_lag_messages: Option<u64>,
    accept: Option<bool>,
}

/// Takes the settings of the form, then starts. Every warning is accepted with one tick, and each is named beside it.
async fn start(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(form): Form<StartForm>,
) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    let replay = state.replays().find(&id).await?;
    let settings = ReplaySettings {
        rate: form.rate,
        canary: form.canary.unwrap_or(false).then(|| Canary { count: form.canary_count.unwrap_or(CANARY), settle_ms: 60_000 }),
        failed_again_limit: form.stop_failed.unwrap_or(false).then(|| f64::from(form.stop_failed_percent.unwrap_or(5)) / 100.0),
        lag_limit: if form.stop_lag.unwrap_or(false) { Some(form.stop_lag_messages.unwrap_or(10_000)) } else { None },
        ..replay.settings.clone()
    };
    check_settings(&settings)?;
    let warnings = replay.checks.iter().filter(|check| check.level == CheckLevel::Warning).map(|check| check.code.clone());
    let accept: Vec<String> = if form.accept.unwrap_or(false) { warnings.collect() } else { Vec::new() };
    let started = async {
        if replay.state == ReplayState::Planned {
            state.store().set_replay_settings(&id, &settings).await?;
        }
        state.replays().start(&id, &accept, &caller.actor, caller.now).await
    };
    match started.await {
        Ok(replay) => {
            Ok(back(&state, &replay, &format!("Replay of {} started", counted(replay.counts.waiting, "dead letter", "dead letters"))))
        }
        Err(error @ (ReplayError::WarningsNotAccepted(_) | ReplayError::Blocked(_) | ReplayError::NothingToSend)) => {
            let problem = match &error {
                ReplayError::WarningsNotAccepted(_) => "Tick that you have read the warnings; nothing was sent.".to_owned(),
                other => other.to_string(),
            };
            let fresh = state.replays().find(&id).await?;
            let page = ReplayPage { problem: Some(problem), ..page(&state, layout, fresh, ShowQuery::default()).await? };
            super::super::render::render_with(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &page, &Partial::Full)
        }
        Err(error) => Err(error.into()),
    }
}

async fn pause(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let replay = state.replays().pause(&parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(back(&state, &replay, if replay.state == ReplayState::Paused { "Paused" } else { "Pausing: the batch in flight ends first" }))
}

#[derive(Deserialize)]
struct ResumeForm {
    undecided: Option<Undecided>,
}

async fn resume(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Form(form): Form<ResumeForm>,
) -> Result<Response, Error> {
    let replay = state.replays().resume(&parse_id(&id)?, form.undecided, &caller.actor, caller.now).await?;
    Ok(back(&state, &replay, "Resumed"))
}

async fn cancel(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let replay = state.replays().cancel(&parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(back(
        &state,
        &replay,
        if replay.state.is_final() { "Cancelled. What was sent stays sent." } else { "Cancelling: the batch in flight ends first" },
    ))
}

async fn check(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let replay = state.replays().check(&parse_id(&id)?, caller.now).await?;
    Ok(back(&state, &replay, "Checked again"))
}

#[derive(Deserialize)]
struct RateForm {
    rate: Option<u32>,
}

async fn rate(
    Operator(caller): Operator,
    State(state): State<WebState>,
    Path(id): Path<String>,
    Form(form): Form<RateForm>,
) -> Result<Response, Error> {
    super::super::api::replays::check_rate(form.rate)?;
    let replay = state.replays().set_rate(&parse_id(&id)?, form.rate, &caller.actor, caller.now).await?;
    Ok(back(&state, &replay, "Rate changed"))
}

async fn delete(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    state.replays().remove(&parse_id(&id)?, &caller.actor, caller.now).await?;
    let mut response = Redirect::to("/replays").into_response();
    cookies::set(&mut response, state.cookies().set_flash("Plan deleted; nothing was sent"));
    Ok(response)
}

fn back(state: &WebState, replay: &Replay, message: &str) -> Response {
    let mut response = Redirect::to(&format!("/replays/{}", replay.id)).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}
