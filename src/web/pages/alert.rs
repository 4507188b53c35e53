//! One alert: what, since when, how bad, what happened just before, the way to the cause, and who has it.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::alerts::parse_id;
use super::super::causes::Scope;
use super::super::extract::{Form, Operator, Partial, Path, Viewer};
use super::super::render::{Page, part, render_with};
use super::super::router::Routes;
use super::super::view::alert::unknown::{Known, Unknown};
use super::super::view::alert::way::{Way, ways};
use super::super::view::delivery::DeliveryRow;
use super::super::view::lines::LineChart;
use super::super::view::look::Look;
use super::super::view::marks::Marks;
use super::super::view::text::short;
use super::super::view::{alert as words, time};
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::alerts::rows::{OverRow, condition, value, who};
use super::alerts::told::Told;
use super::problem::{Problem, problem_of};
use crate::alerts::inhibition::explains;
use crate::alerts::keeping::AlertError;
use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::{Role, Timestamp};
use crate::store::{Store, StoreError};

mod before;
mod chart;

use before::Before;

/// Earlier alerts and deliveries shown.
const EARLIER: u32 = 8;
const DELIVERIES: u32 = 10;
/// Muted alerts shown.
const MUTED: usize = 50;

pub(super) fn routes() -> Routes {
    Routes::new().get("/alerts/{id}", show).post("/alerts/{id}/acknowledge", acknowledge).post("/alerts/{id}/take-back", take_back)
}

#[derive(Template)]
#[template(path = "alert/alert.html", blocks = ["head", "course", "told"])]
struct AlertPage {
    layout: Layout,
    number: i64,
    name: String,
    look: Look,
    severity: Look,
    summary: String,
    lede: String,
    value: String,
    condition: String,
    since: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    lasted: String,
    looked_at: Timestamp,
    taken: Option<Taken>,
    silenced_by: Option<i64>,
    explained: Option<Explained>,
    /// Since when and why nothing is known of it, and what its rule makes of that.
    unknown: Option<(String, String)>,
    /// Alerts that are told to nobody because of this one.
    mutes: Vec<Other>,
    /// How many there are beyond these.
    more_mutes: usize,
    ways: Vec<Way>,
    chart: LineChart,
    marks: Marks,
    before: Vec<Before>,
    before_title: String,
    nothing_before: String,
    deliveries: Vec<DeliveryRow>,
    tells_nobody: bool,
    earlier: Vec<OverRow>,
    about: Vec<(String, String)>,
    rule: Option<(i64, String)>,
    /// What is said where there is none.
    without_rule: &'static str,
    runbook: Option<String>,
    form: AcknowledgeForm,
    problem: Problem,
    is_over: bool,
    may_act: bool,
}

/// Another alert.
struct Other {
    number: i64,
    name: String,
    about: String,
}

impl Other {
    fn new(alert: &Alert) -> Self {
        Self { number: alert.number, name: short(&alert.details.rule, 100), about: words::about(&alert.labels, true) }
    }
}

/// Another alert explains it, so that nobody is told.
struct Explained {
    /// None where that alert has no number yet, or is gone.
    by: Option<Other>,
}

impl Explained {
    async fn load(store: &Store, alert: &Alert) -> Result<Option<Self>, StoreError> {
        let Some(number) = alert.inhibited_by else { return Ok(None) };
        let other = if number > 0 { store.find_alert(number).await? } else { None };
        Ok(Some(Self { by: other.as_ref().map(Other::new) }))
    }
}

/// Who has it.
struct Taken {
    by: String,
    at: Timestamp,
    note: String,
    until: Option<Timestamp>,
}

impl Page for AlertPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "course" => Some(part(&self.as_course(), now)),
            "told" => Some(part(&self.as_told(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// What somebody says who takes note.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AcknowledgeForm {
    note: String,
    /// A length of time such as `2h`; empty: until the alert is over.
    until: String,
    /// The page of this house to go back to.
    back: String,
}

impl AcknowledgeForm {
    fn expires_at(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let text = self.until.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let length = crate::config::values::parse_duration(text).filter(|length| !length.is_zero());
        let wrong = || Error::field("until", "For how long: a length of time such as 2h, or nothing.");
        length.map(|length| Some(now.plus(length))).ok_or_else(wrong)
    }

    /// Only pages of alerts: an address from outside must lead nowhere else.
    fn back(&self, number: i64) -> String {
        let own = self.back == "/alerts" || self.back.starts_with("/alerts?");
        if own && !self.back.contains(['\\', '\n', '\r']) { self.back.clone() } else { format!("/alerts/{number}") }
    }
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let alert = state.alerts().find_alert(parse_id(&id)?).await?;
    answer(&state, layout, &partial, alert, StatusCode::OK, (AcknowledgeForm::default(), Problem::default())).await
}

async fn answer(
    state: &WebState,
    layout: Layout,
    partial: &Partial,
    alert: Alert,
    status: StatusCode,
    (form, problem): (AcknowledgeForm, Problem),
) -> Result<Response, Error> {
    let (store, now) = (state.store(), layout.now);
    let (rule, without_rule) = rule_of(store, &alert).await?;
    let told = Told::of_one(store, &alert, DELIVERIES).await?;
    let scope = Scope::of(store, &alert, rule.as_ref()).await?;
    let (chart, marks) = chart::load(store, &alert, rule.as_ref(), scope.one(), now).await?;
    let before = before::load(store, &alert, &scope, now).await?;
    let show_bus = layout.buses.len() > 1;
    let earlier = store.list_earlier_alerts(&alert, EARLIER).await?;
    let (mutes, more_mutes) = if explains(alert.details.figure) { muted_by(store, alert.number).await? } else { (Vec::new(), 0) };
    let unknown = Unknown::new(&alert, rule.as_ref(), &Known::load(store).await?, now);
    let name = short(&alert.details.rule, 100);
    let page = AlertPage {
        number: alert.number,
        look: words::state(&alert),
        severity: words::severity(alert.details.severity, alert.standing.state != AlertState::Resolved),
        summary: sentence(&alert.details.summary),
        lede: lede(&alert, rule.as_ref(), now),
        value: value(&alert),
        condition: condition(&alert, rule.as_ref(), now),
        since: alert.standing.started_at.or(alert.standing.pending_since),
        resolved_at: alert.standing.resolved_at,
        lasted: lasted(&alert, now),
        looked_at: alert.standing.last_eval,
        taken: taken(&alert, now),
        silenced_by: alert.silenced_by,
        explained: Explained::load(store, &alert).await?,
        unknown: unknown.map(|unknown| (unknown.reason(now), unknown.then)),
        mutes,
        more_mutes,
        ways: ways(&alert),
        chart,
        marks,
        before_title: before::title(&alert, now),
        nothing_before: before::nothing(&scope, &alert, rule.as_ref()),
        before,
        deliveries: told.of(&alert).map(|delivery| DeliveryRow::new(delivery, now)).collect(),
        tells_nobody: alert.details.receivers.is_empty(),
        earlier: earlier.iter().map(|alert| OverRow::new(alert, show_bus)).collect(),
        about: about(&alert),
        rule: rule.map(|rule| (rule.number, short(&rule.name, 100))),
        without_rule,
        runbook: alert.details.runbook_url.clone(),
        form,
        problem,
        is_over: alert.standing.state == AlertState::Resolved,
        may_act: layout.may(Role::Operator),
        layout: layout.crumb("Alerts", "/alerts").titled(Section::Alerts, name.clone()),
        name,
    };
    render_with(status, &page, partial)
}

/// The alert's rule, and what is said where there is none.
async fn rule_of(store: &Store, alert: &Alert) -> Result<(Option<AlertRule>, &'static str), StoreError> {
    match store.find_alert_rule(alert.rule).await {
        Err(StoreError::Broken(_)) => Ok((None, "cannot be read")),
        rule => Ok((rule?, "deleted since")),
    }
}

/// Alerts that another one explains, so that nobody is told of them: the first, and how many more.
async fn muted_by(store: &Store, number: i64) -> Result<(Vec<Other>, usize), StoreError> {
    let living = store.list_living_alerts().await?;
    let muted: Vec<&Alert> = living.iter().filter(|alert| alert.inhibited_by == Some(number)).collect();
    Ok((muted.iter().take(MUTED).map(|alert| Other::new(alert)).collect(), muted.len().saturating_sub(MUTED)))
}

/// The rule's text with an end.
fn sentence(summary: &str) -> String {
    let text = short(summary, 500);
    if text.is_empty() || text.ends_with(['.', '!', '?', '…']) { text } else { format!("{text}.") }
}

/// "Fires since 02:43:15, for 31 min; nobody has it yet."
fn lede(alert: &Alert, rule: Option<&AlertRule>, now: Timestamp) -> String {
    let standing = &alert.standing;
    let taken = match taken(alert, now) {
        Some(taken) => format!("{} has it since {}.", taken.by, time::clock(taken.at, now)),
        None => "Nobody has it yet.".to_owned(),
    };
    match (standing.state, standing.started_at) {
        (AlertState::Pending, _) => {
            let wait = rule.map(|rule| Duration::from_millis(rule.terms.for_ms));
            let at = standing.pending_since.zip(wait).map(|(since, wait)| since.plus(wait));
            at.map_or_else(|| "It fires if this goes on.".to_owned(), |at| format!("It fires at {} if this goes on.", time::clock(at, now)))
        }
        (AlertState::Resolved, Some(at)) => format!("It fired at {} for {} and is over.", time::clock(at, now), lasted(alert, now)),
        (AlertState::Recovering, Some(at)) => format!("It fired at {} and recovers. {taken}", time::clock(at, now)),
        (_, Some(at)) => format!("It fires since {}. {taken}", time::clock(at, now)),
        _ => String::new(),
    }
}

fn lasted(alert: &Alert, now: Timestamp) -> String {
    let from = alert.standing.started_at.or(alert.standing.pending_since);
    from.map_or_else(String::new, |from| time::duration_words(from.age_at(alert.standing.resolved_at.unwrap_or(now))))
}

fn taken(alert: &Alert, now: Timestamp) -> Option<Taken> {
    let note = alert.acknowledgement.as_ref().filter(|note| note.counts(now))?;
    Some(Taken { by: who(&note.by), at: note.at, note: short(&note.note, 1_000), until: note.expires_at })
}

fn about(alert: &Alert) -> Vec<(String, String)> {
    let name = |label: &String| label.parse().map_or_else(|_| label.clone(), |label| words::label(label).to_owned());
    let mut rows: Vec<(String, String)> = alert.labels.iter().map(|(label, value)| (name(label), short(value, 249))).collect();
    rows.push(("Watches".to_owned(), words::figure(alert.details.figure).to_owned()));
    rows.extend(alert.details.owner.as_ref().map(|owner| ("Owner".to_owned(), short(owner, 100))));
    rows
}

async fn acknowledge(
    Operator(caller): Operator,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(form): Form<AcknowledgeForm>,
) -> Result<Response, Error> {
    let number = parse_id(&id)?;
    let done = async {
        let until = form.expires_at(caller.now)?;
        Ok::<_, Error>(state.alerts().acknowledge(number, &form.note, until, &caller.actor, caller.now).await?)
    };
    match done.await {
        Ok(alert) => Ok(back(&state, &form.back(number), &format!("{} acknowledged", short(&alert.details.rule, 80)))),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            let alert = state.alerts().find_alert(number).await?;
            answer(&state, layout, &Partial::Full, alert, status, (form, problem)).await
        }
    }
}

async fn take_back(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let number = parse_id(&id)?;
    match state.alerts().take_back(number, &caller.actor, caller.now).await {
        Ok(_) => Ok(back(&state, &format!("/alerts/{number}"), "Acknowledgement taken back; who is told hears of it again")),
        // Somebody else was quicker, or it is over: the page says so.
        Err(AlertError::WrongState(_)) => Ok(Redirect::to(&format!("/alerts/{number}")).into_response()),
        Err(error) => Err(error.into()),
    }
}

fn back(state: &WebState, to: &str, message: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}

#[cfg(test)]
mod tests {
    use super::AcknowledgeForm;

    #[test]
    fn the_way_back_leads_to_lists_of_alerts_only() {
        let back = |to: &str| AcknowledgeForm { back: to.to_owned(), ..AcknowledgeForm::default() }.back(7);
        assert_eq!(back("/alerts?severity=error"), "/alerts?severity=error");
        for other in ["", "//evil.example", "/alerts.evil", "https://evil.example", "/alerts?x\\y", "/settings/users"] {
            assert_eq!(back(other), "/alerts/7", "{other}");
        }
    }
}
