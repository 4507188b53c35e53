//! One replay: the plan before it starts, and how it goes afterwards.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::replays::{check_settings, parse_id};
use super::super::extract::{CursorParam, Form, LimitParam, Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::filter::api_query;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::replay::{self as view, FunnelStep};
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, address, cookies, filters};
use super::replays::CANARY;
use crate::model::replay::{
    Canary, Check, CheckLevel, Delivery, ItemResult, Replay, ReplayEvent, ReplayItem, ReplaySettings, ReplayState, Route, SkipReason,
    StateReason, Undecided,
};
use crate::model::{Role, Selection, Timestamp};
use crate::operations::replay::ReplayError;
use crate::store::replays::ItemFilter;
use crate::store::replays::outcome::SideEffect;

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

/// Checks of one level.
struct CheckGroup {
    title: String,
    tone: &'static str,
    icon: &'static str,
    label: &'static str,
    checks: Vec<CheckRow>,
}

struct CheckRow {
    text: String,
    count: String,
    href: Option<String>,
}

struct Target {
    topic: String,
    href: String,
    partitions: i32,
    items: String,
    by: &'static str,
    consumer_group: String,
}

struct Tab {
    label: &'static str,
    count: String,
    href: String,
    current: bool,
}

struct ItemRow {
    look: Look,
    letter_href: String,
    letter: String,
    place: String,
    successor: Option<(String, String)>,
    note: String,
    at: Option<Timestamp>,
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

fn lede(replay: &Replay) -> String {
    let counts = &replay.counts;
    match replay.state {
        ReplayState::Planning => {
            format!("{} found so far. The scope is frozen: what arrives later is not included.", grouped(counts.total()))
        }
        ReplayState::Planned if counts.waiting == 0 => "Nothing of this plan can be sent; see the checks.".to_owned(),
        ReplayState::Planned => format!(
            "{} would be sent, {} skipped. The scope is frozen: what arrives later is not included.",
            grouped(counts.waiting),
            grouped(counts.skipped)
        ),
        _ => format!(
            "{} of {} sent, {} resolved, {} failed again.",
            grouped(replay.sent_total),
            grouped(counts.total()),
            grouped(counts.resolved),
            grouped(counts.failed_again)
        ),
    }
}

fn check_groups(checks: &[Check], here: &str) -> Vec<CheckGroup> {
    let levels = [
        (CheckLevel::Blocked, "blocked", "bad", "octagon-x", "Blocked"),
        (CheckLevel::Warning, "warned", "warn", "triangle-alert", "Warned"),
        (CheckLevel::Passed, "passed", "ok", "check", "Passed"),
    ];
    let row = |check: &Check| CheckRow {
        text: short(&check.text, 500),
        count: if check.count > 0 { counted(check.count, "dead letter", "dead letters") } else { String::new() },
        href: check.skip_reason.map(|reason| format!("{here}?result=skipped&reason={reason}#items")),
    };
    let group = |(level, word, tone, icon, label): (CheckLevel, &str, &'static str, &'static str, &'static str)| {
        let checks: Vec<CheckRow> = checks.iter().filter(|check| check.level == level).map(row).collect();
        (!checks.is_empty()).then(|| CheckGroup { title: format!("{} {word}", checks.len()), tone, icon, label, checks })
    };
    levels.into_iter().filter_map(group).collect()
}

fn targets(replay: &Replay, routes: &[Route]) -> Vec<Target> {
    let target = |route: &Route| {
        let topic = route.target.as_ref()?.to_string();
        Some(Target {
            href: format!("/buses/{}/topics/{}", address::encode(replay.bus.as_str()), address::encode(&topic)),
            topic: short(&topic, 249),
            partitions: route.target_partitions,
            items: grouped(route.items),
            by: if route.partition_kept_from.is_some() && replay.settings.partitioner == crate::model::replay::Partitioner::Origin {
                "origin, as it was"
            } else {
                "key, Java default (murmur2)"
            },
            consumer_group: route.consumer_group.as_ref().map_or_else(|| "unknown".to_owned(), |group| short(group.as_str(), 120)),
        })
    };
    routes.iter().filter_map(target).take(50).collect()
}

fn tabs(replay: &Replay, current: Option<ItemResult>, here: &str) -> Vec<Tab> {
    let all = Tab { label: "All", count: grouped(replay.counts.total()), href: format!("{here}#items"), current: current.is_none() };
    let of = |result: &ItemResult| {
        let count = replay.counts.of(*result);
        (count > 0 || current == Some(*result)).then(|| Tab {
            label: view::result(*result).word,
            count: grouped(count),
            href: format!("{here}?result={result}#items"),
            current: current == Some(*result),
        })
    };
    std::iter::once(all).chain(ItemResult::ALL.iter().filter_map(of)).collect()
}

impl ItemRow {
    fn new(item: &ReplayItem, routes: &[Route]) -> Self {
        let topic = routes.iter().find(|route| route.route == item.route).and_then(|route| route.target.as_ref());
        let place = match (topic, item.partition, item.offset) {
            (Some(topic), Some(partition), Some(offset)) => format!("{} / {partition} / {offset}", short(topic.as_str(), 80)),
            (Some(topic), ..) => short(topic.as_str(), 80),
            _ => String::new(),
        };
        Self {
            look: view::result(item.result),
            letter_href: format!("/dead-letters/{}", item.dead_letter_id),
            letter: item.dead_letter_id.to_string(),
            place,
            successor: item.successor_id.map(|id| (format!("/dead-letters/{id}"), id.to_string())),
            note: item.reason.as_deref().map_or_else(String::new, |reason| reason_of_item(reason, item.result)),
            at: item.result_at,
        }
    }
}

fn reason_of_item(reason: &str, result: ItemResult) -> String {
    let words = match reason.parse::<SkipReason>() {
        Ok(SkipReason::Duplicate) if result == ItemResult::Skipped => "an older copy of a message in this replay",
        Ok(SkipReason::Status) => "its status allows no replay",
        Ok(SkipReason::OtherReplay) => "in another replay",
        Ok(SkipReason::AlreadyReplayed) => "replayed before",
        Ok(SkipReason::OriginUnknown) => "no header tells where it came from",
        Ok(SkipReason::TargetMissing) => "its target topic is not there",
        Ok(SkipReason::NoCustody) => "its content is not in custody",
        Ok(SkipReason::TooLarge) => "larger than the target takes",
        Ok(SkipReason::AttemptLimit) => "replayed as often as the limit allows",
        Ok(SkipReason::AfterFailed) => "after a message of its key that could not be sent",
        Ok(SkipReason::Changed) => "its status changed after the plan was made",
        Ok(SkipReason::Gone) => "removed by retention",
        Ok(SkipReason::JobEnded) => "the replay ended before",
        Ok(SkipReason::NotAllowed) => "writing to its target is not allowed",
        _ => return short(reason, 300),
    };
    words.to_owned()
}

fn settings_words(replay: &Replay, routes: &[Route]) -> Vec<(&'static str, String)> {
    let settings = &replay.settings;
    let never = || "never".to_owned();
    let settle = routes.iter().filter(|route| route.consumer_group.is_some()).map(|route| route.settle_ms).max();
    let mut words = vec![
        ("Delivery", if replay.delivery == Delivery::ExactlyOnce { "exactly once".to_owned() } else { "at least once".to_owned() }),
        (
            "Canary",
            settings.canary.map_or_else(
                || "none".to_owned(),
                |canary| {
                    format!(
                        "{} first, settle {} s{}",
                        canary.count,
                        canary.settle_ms / 1_000,
                        if replay.canary_passed { ", passed" } else { "" }
                    )
                },
            ),
        ),
        (
            "Stops at failures",
            settings.failed_again_limit.map_or_else(never, |limit| format!("more than {:.0} % fail again", limit * 100.0)),
        ),
        ("Stops at lag", settings.lag_limit.map_or_else(never, |limit| format!("{} messages", grouped(limit)))),
        ("Replays of one message", format!("{} at most", settings.attempt_limit)),
        (
            "After a refusal",
            if settings.on_failed == crate::model::replay::OnFailed::SkipKey {
                "its key's later messages are skipped".to_owned()
            } else {
                "goes on".to_owned()
            },
        ),
    ];
    if let Some(settle) = settle {
        words.push(("Settle time", format!("{} s", settle / 1_000)));
    }
    words.push(("Planned by", short(&replay.planned_by.name, 80)));
    if let Some(by) = &replay.started_by {
        words.push(("Started by", short(by, 80)));
    }
    words
}

/// The dead letters that were selected, as a list.
fn scope(replay: &Replay) -> Option<String> {
    match serde_json::from_str(&replay.selection).ok()? {
        Selection::Filter(filter) => Some(
            api_query("/dead-letters", &crate::model::DeadLetterFilter { status: Vec::new(), ..*filter }).set("status", "all").to_string(),
        ),
        Selection::Ids(_) => None,
    }
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
