//! One replay: the plan before it starts, and how it goes afterwards.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::replays::parse_id;
use super::super::error::sentence_case;
use super::super::extract::{CursorParam, Form, LimitParam, Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::letter_row::KeyView;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::replay::{self as view, FunnelStep};
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, address, cookies, filters};
use crate::model::replay::{CheckLevel, Delivery, ItemResult, Replay, ReplayState, SkipReason, StateReason, Undecided};
use crate::model::{Role, Timestamp};
use crate::operations::replay::ReplayError;
use crate::store::replays::ItemFilter;
use crate::store::replays::outcome::SideEffect;

mod items;
mod parts;
mod start;

use items::{ItemRow, Tab, tabs};
use parts::{CheckGroup, Event, Target, check_groups, lede, scope, settings_words, targets};
use start::StartForm;

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
#[template(path = "replay/replay.html", blocks = ["head", "body", "rail", "below"])]
struct ReplayPage {
    layout: Layout,
    replay: Replay,
    /// Where its parts are fetched.
    here: String,
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
    events: Vec<Event>,
    side_effects: Vec<SideEffect>,
    settings: Vec<(&'static str, String)>,
    scope_href: Option<String>,
    form: StartForm,
    problem: Option<String>,
}

impl Page for ReplayPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "body" => Some(part(&self.as_body(), now)),
            "rail" => Some(part(&self.as_rail(), now)),
            "below" => Some(part(&self.as_below(), now)),
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

    fn several_targets(&self) -> bool {
        self.targets.windows(2).any(|two| two[0].topic != two[1].topic)
    }

    /// Whether it can still change by itself.
    const fn is_live(&self) -> bool {
        !self.replay.state.is_final() || self.replay.watch_until.is_some()
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
    /// Nothing is answered while it still stands there: what a person has begun to fill in stays.
    unless: Option<ReplayState>,
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
    if query.unless == Some(replay.state) && matches!(partial, Partial::Part(_)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    render(&page(&state, layout, replay, query).await?, &partial)
}

async fn page(state: &WebState, layout: Layout, replay: Replay, query: ShowQuery) -> Result<ReplayPage, Error> {
    let store = state.store();
    let routes = store.list_routes(replay.number).await?;
    let filter = ItemFilter { result: query.result, reason: query.reason.map(|reason| reason.as_str().to_owned()) };
    let found = store.list_replay_items(replay.number, &filter, &LimitParam::page(query.cursor.clone(), None, ITEMS)).await?;
    let own = format!("/replays/{}", replay.id);
    let with = |name: &'static str, value: &str| {
        let named = [("result", query.result.map_or("", ItemResult::as_str)), ("reason", query.reason.map_or("", SkipReason::as_str))];
        format!("{own}{}", address::query(named.into_iter().chain([(name, value)])))
    };
    let next = found.next_cursor.map(|cursor| with("cursor", &cursor.to_string()));
    let here = if replay.state == ReplayState::Planned {
        with("unless", ReplayState::Planned.as_str())
    } else {
        with("cursor", &query.cursor.as_ref().map_or_else(String::new, |cursor| cursor.0.to_string()))
    };
    let side_effects = if replay.sent_total > 0 { store.list_side_effects(replay.id.as_str(), 20).await? } else { Vec::new() };
    let name = short(&replay.name, 120);
    Ok(ReplayPage {
        look: view::state(&replay),
        reason: view::reason_words(&replay),
        may_act: layout.may(Role::Operator),
        lede: lede(&replay),
        groups: check_groups(&replay.checks, &own),
        warnings: replay.checks.iter().filter(|check| check.level == CheckLevel::Warning).count() as u64,
        blocked: replay
            .checks
            .iter()
            .find(|c| c.level == CheckLevel::Blocked && c.skip_reason.is_none() && c.count > 0)
            .map(|c| c.text.clone()),
        targets: targets(&replay, &routes),
        funnel: view::funnel(&replay),
        tabs: tabs(&replay, query.result, &own),
        items: items::rows(store, &found.items, &routes).await?,
        next,
        here,
        events: store.list_replay_events(&replay.id).await?.into_iter().map(Event::from).collect(),
        side_effects,
        settings: settings_words(&replay, &routes),
        scope_href: scope(&replay),
        form: StartForm::of(&replay.settings),
        problem: None,
        layout: layout
            .crumb(replay.bus.as_str(), format!("/{}", address::query([("bus", replay.bus.as_str())])))
            .crumb("Replays", "/replays")
            .titled(Section::Replays, name),
        replay,
    })
}

/// Takes the settings of the form, then starts. Every warning is accepted with one tick, and each is named beside it.
async fn start(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(mut form): Form<StartForm>,
) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    let replay = state.replays().find(&id).await?;
    let Some(settings) = form.settings(&replay.settings) else {
        let page = page(&state, layout, replay, ShowQuery::default()).await?;
        let problem = Some("A field is not right; nothing was sent.".to_owned());
        return render_with(StatusCode::UNPROCESSABLE_ENTITY, &ReplayPage { form, problem, ..page }, &Partial::Full);
    };
    let warnings = replay.checks.iter().filter(|check| check.level == CheckLevel::Warning).map(|check| check.code.clone());
    let accept: Vec<String> = if form.accept { warnings.collect() } else { Vec::new() };
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
                other => sentence_case(&other.to_string()),
            };
            let fresh = state.replays().find(&id).await?;
            let page = page(&state, layout, fresh, ShowQuery::default()).await?;
            render_with(StatusCode::UNPROCESSABLE_ENTITY, &ReplayPage { form, problem: Some(problem), ..page }, &Partial::Full)
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

async fn rate(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(mut form): Form<StartForm>,
) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    let Some(settings) = form.rate_alone() else {
        let page = page(&state, layout, state.replays().find(&id).await?, ShowQuery::default()).await?;
        return render_with(StatusCode::UNPROCESSABLE_ENTITY, &ReplayPage { form, ..page }, &Partial::Full);
    };
    let replay = state.replays().set_rate(&id, settings.rate, &caller.actor, caller.now).await?;
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
