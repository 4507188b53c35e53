//! Silences: what nobody is told of, until when, and why; a new one with what it would cover.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::silences::parse_id;
use super::super::extract::{Form, Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::listing::ShownOrder;
use super::super::view::look::Look;
use super::super::view::number::counted;
use super::super::view::text::short;
use super::super::view::{alert as words, time};
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::alerts::rows::who;
use super::problem::{Problem, problem_of};
use crate::alerts::keeping::{AlertError, matchers_of};
use crate::alerts::silences::{Matchers, labels_of};
use crate::model::alert::{Alert, AlertState, Matcher, MatcherKind, Silence};
use crate::model::{Role, Timestamp};

mod form;

use form::{Fields, of_matchers};

/// Silences that ended are shown for so long.
const SHOWN: Duration = Duration::from_hours(7 * 24);
/// Alerts of a preview.
const COVERED: usize = 30;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/silences", silences)
        .post("/silences", add)
        .get("/silences/new", new)
        .get("/silences/{id}", show)
        .post("/silences/{id}", change)
        .post("/silences/{id}/end", end)
}

#[derive(Template)]
#[template(path = "silences/silences.html", blocks = ["silences"])]
struct SilencesPage {
    layout: Layout,
    live: String,
    lede: (String, String),
    rows: Vec<Row>,
    may_act: bool,
}

struct Row {
    number: i64,
    href: String,
    look: Look,
    covers: String,
    comment: String,
    by: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
    rest: String,
    covered: usize,
    has_ended: bool,
}

impl Page for SilencesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "silences").then(|| part(&self.as_silences(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// The form of a silence, a new one or one that is there.
#[derive(Template)]
#[template(path = "silences/silence.html", blocks = ["silence"])]
struct SilencePage {
    layout: Layout,
    action: String,
    known: Option<Row>,
    fields: Fields,
    problem: Problem,
    /// Active alerts that it covers, of how many.
    covered: Option<Covered>,
    labels: Vec<String>,
    may_act: bool,
}

/// What conditions cover now.
struct Covered {
    alerts: Vec<CoveredRow>,
    count: usize,
    active: usize,
}

struct CoveredRow {
    number: i64,
    name: String,
    about: String,
    look: Look,
    severity: Look,
}

impl Page for SilencePage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "silence").then(|| part(&self.as_silence(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl SilencePage {
    /// The number is on the button.
    fn save_words(&self) -> String {
        match &self.covered {
            Some(covered) if covered.count > 0 => format!("Silence {}", counted(covered.count as u64, "alert", "alerts")),
            _ => "Save silence".to_owned(),
        }
    }

    /// What is wrong with one condition.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn about_line(&self, at: &usize) -> Option<&str> {
        self.problem.about(&format!("value{at}"))
    }
}

impl Covered {
    fn lede(&self) -> String {
        match (self.count, self.active) {
            (_, 0) => "Nothing is active now; it waits for what comes.".to_owned(),
            (0, 1) => "It does not cover the one alert that is active now.".to_owned(),
            (1, 1) => "It covers the one alert that is active now.".to_owned(),
            (0, active) => format!("It covers none of the {} that are active now.", counted(active as u64, "alert", "alerts")),
            (count, active) if count == active => {
                format!("It covers all {} that are active now.", counted(active as u64, "alert", "alerts"))
            }
            (count, active) => format!("It covers {count} of {} that are active now.", counted(active as u64, "alert", "alerts")),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListQuery {
    order: ShownOrder,
}

async fn silences(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<ListQuery>,
) -> Result<Response, Error> {
    let now = layout.now;
    let mut all = state.store().list_silences(now.minus(SHOWN)).await?;
    all.sort_by_key(|silence| (silence.ends_at <= now, !silence.is_active(now), silence.ends_at, silence.number));
    let living = active(&state).await?;
    let mut rows: Vec<Row> = all.iter().map(|silence| Row::new(silence, &living, now)).collect();
    query.order.keep(&mut rows, |row| &row.href);
    let page = SilencesPage {
        live: format!("/silences?order={}", ShownOrder::of(rows.iter().map(|row| row.href.as_str()))),
        lede: lede(&all, &living, now),
        rows,
        may_act: layout.may(Role::Operator),
        layout: layout.crumb("Alerts", "/alerts").titled(Section::Alerts, "Silences"),
    };
    render(&page, &partial)
}

/// Alerts that a silence could cover.
async fn active(state: &WebState) -> Result<Vec<Alert>, Error> {
    let mut living = state.store().list_living_alerts().await?;
    living.retain(|alert| alert.standing.state != AlertState::Inactive);
    Ok(living)
}

fn lede(all: &[Silence], living: &[Alert], now: Timestamp) -> (String, String) {
    let active = all.iter().filter(|silence| silence.is_active(now)).count() as u64;
    let covered = living.iter().filter(|alert| alert.silenced_by.is_some()).count() as u64;
    let first = match active {
        0 => "Nothing is silenced.".to_owned(),
        active => format!("{} in force.", counted(active, "silence is", "silences are")),
    };
    let rest =
        if covered > 0 { format!("{} without telling anybody.", counted(covered, "alert goes on", "alerts go on")) } else { String::new() };
    (first, rest)
}

/// `topic is orders-dlt, severity is not info`.
fn in_words(matchers: &[Matcher]) -> String {
    let one = |matcher: &Matcher| {
        let how = match matcher.operator {
            MatcherKind::Equal => "is",
            MatcherKind::NotEqual => "is not",
            MatcherKind::Matches => "fits",
            MatcherKind::MatchesNot => "does not fit",
        };
        let value = if matcher.value.is_empty() { "empty".to_owned() } else { short(&matcher.value, 120) };
        format!("{} {how} {value}", short(&matcher.label, 60).replace('_', " "))
    };
    matchers.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Row {
    fn new(silence: &Silence, living: &[Alert], now: Timestamp) -> Self {
        let covered =
            Matchers::new(&silence.matchers).map_or(0, |matchers| living.iter().filter(|alert| matchers.cover(&labels_of(alert))).count());
        let has_ended = silence.ends_at <= now;
        let (look, rest) = if has_ended {
            (Look { word: "Ended", icon: "circle", tone: "idle" }, format!("{} ago", time::age(silence.ends_at, now)))
        } else if silence.is_active(now) {
            (Look { word: "In force", icon: "bell-off", tone: "busy" }, format!("{} left", time::age_words(now.age_at(silence.ends_at))))
        } else {
            (
                Look { word: "Scheduled", icon: "clock", tone: "idle" },
                format!("begins in {}", time::age_words(now.age_at(silence.starts_at))),
            )
        };
        Self {
            number: silence.number,
            href: format!("/silences/{}", silence.number),
            look,
            covers: in_words(&silence.matchers),
            comment: short(&silence.comment, 300),
            by: who(&silence.created_by),
            starts_at: silence.starts_at,
            ends_at: silence.ends_at,
            rest,
            covered,
            has_ended,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewQuery {
    /// "Silence this": the alert to begin with.
    alert: Option<i64>,
}

async fn new(_: Operator, State(state): State<WebState>, layout: Layout, Query(query): Query<NewQuery>) -> Result<Response, Error> {
    let matchers = match query.alert {
        Some(number) => matchers_of(&state.alerts().find_alert(number).await?),
        None => Vec::new(),
    };
    answer(&state, layout, &Partial::Full, StatusCode::OK, None, Fields::proposed(&matchers), Problem::default()).await
}

async fn answer(
    state: &WebState,
    layout: Layout,
    partial: &Partial,
    status: StatusCode,
    known: Option<&Silence>,
    fields: Fields,
    problem: Problem,
) -> Result<Response, Error> {
    let living = active(state).await?;
    let covered = Matchers::new(&fields.matchers()).ok().map(|matchers| covered(&matchers, &living));
    let title = known.map_or_else(|| "New silence".to_owned(), |silence| format!("Silence {}", silence.number));
    let page = SilencePage {
        action: known.map_or_else(|| "/silences".to_owned(), |silence| format!("/silences/{}", silence.number)),
        known: known.map(|silence| Row::new(silence, &living, layout.now)),
        labels: labels(&living),
        covered,
        fields,
        problem,
        may_act: layout.may(Role::Operator),
        layout: layout.crumb("Alerts", "/alerts").crumb("Silences", "/silences").titled(Section::Alerts, title),
    };
    render_with(status, &page, partial)
}

fn covered(matchers: &Matchers, living: &[Alert]) -> Covered {
    let all: Vec<&Alert> = living.iter().filter(|alert| matchers.cover(&labels_of(alert))).collect();
    let row = |alert: &&Alert| CoveredRow {
        number: alert.number,
        name: short(&alert.details.rule, 100),
        about: words::about(&alert.labels, true),
        look: words::state(alert),
        severity: words::severity(alert.details.severity, true),
    };
    Covered { alerts: all.iter().take(COVERED).map(row).collect(), count: all.len(), active: living.len() }
}

/// Names of labels that a condition may be about.
fn labels(living: &[Alert]) -> Vec<String> {
    let usual = ["rule", "severity", "bus", "topic", "consumer_group", "service"].map(str::to_owned);
    let seen = living.iter().flat_map(|alert| alert.labels.keys().cloned());
    let mut names: Vec<String> = usual.into_iter().chain(seen).collect();
    let mut known = std::collections::BTreeSet::new();
    names.retain(|name| known.insert(name.clone()));
    names
}

/// What is wrong, in the words of the form.
fn in_form(error: AlertError) -> Error {
    match error {
        AlertError::Invalid(problem) if problem.field.starts_with("matchers") => of_matchers(problem),
        AlertError::Invalid(problem) if problem.field == "comment" => Error::field("comment", "Say why: somebody else will ask."),
        AlertError::Invalid(problem) if problem.field == "ends_at" => {
            Error::field("ends_at", "The end lies in the future and after the beginning.")
        }
        other => other.into(),
    }
}

async fn add(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Form(sent): Form<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let fields = Fields::read(&sent);
    if fields.act == "preview" {
        return preview(&state, layout, &partial, None, fields).await;
    }
    let added = async {
        let silence = fields.parse(caller.now)?;
        state.alerts().add_silence(&silence, &caller.actor, caller.now).await.map_err(in_form)
    };
    match added.await {
        Ok(_) => Ok(back(&state, "/silences", "Silenced; it goes on being looked at")),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer(&state, layout, &partial, status, None, fields, problem).await
        }
    }
}

async fn preview(state: &WebState, layout: Layout, partial: &Partial, known: Option<&Silence>, fields: Fields) -> Result<Response, Error> {
    let (status, problem) = match Matchers::new(&fields.matchers()) {
        Ok(_) => (StatusCode::OK, Problem::default()),
        Err(wrong) => problem_of(of_matchers(wrong))?,
    };
    answer(state, layout, partial, status, known, fields, problem).await
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let silence = state.alerts().find_silence(parse_id(&id)?).await?;
    let fields = Fields::of(&silence);
    answer(&state, layout, &partial, StatusCode::OK, Some(&silence), fields, Problem::default()).await
}

async fn change(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
    Form(sent): Form<BTreeMap<String, String>>,
) -> Result<Response, Error> {
    let known = state.alerts().find_silence(parse_id(&id)?).await?;
    let fields = Fields::read(&sent);
    if fields.act == "preview" {
        return preview(&state, layout, &partial, Some(&known), fields).await;
    }
    let changed = async {
        let silence = fields.parse(caller.now)?;
        state.alerts().change_silence(known.number, &silence, &caller.actor, caller.now).await.map_err(in_form)
    };
    match changed.await {
        Ok(_) => Ok(back(&state, "/silences", "Silence saved")),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer(&state, layout, &partial, status, Some(&known), fields, problem).await
        }
    }
}

async fn end(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    state.alerts().end_silence(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(back(&state, "/silences", "Silence ended; what still fires is told"))
}

fn back(state: &WebState, to: &str, message: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}
