//! One alert rule: the editor with its trial, what it did, and who changed it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::alert_rules::parse_id;
use super::super::extract::{Admin, Form, LimitParam, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render_with};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::view::number::counted;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::alert_rules::form::Fields;
use super::alert_rules::state as state_of;
use super::alerts::rows::{OverRow, who};
use crate::alerts::evaluation::most_alerts;
use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::figure::Figure;
use crate::model::{AuditEntry, Role, Timestamp};
use crate::store::alerts::AlertFilter;

pub(super) mod editor;

use editor::{Act, ActQuery, Editor};

/// Alerts and changes of its history.
const ALERTS: u32 = 15;
const CHANGES: u32 = 10;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/alert-rules/{id}", show)
        .post("/alert-rules/{id}", change)
        .post("/alert-rules/{id}/switch", switch)
        .post("/alert-rules/{id}/delete", delete)
}

#[derive(Template)]
#[template(path = "alert_rule/alert_rule.html", blocks = ["head", "editor", "history"])]
struct RulePage {
    layout: Layout,
    rule: AlertRule,
    look: Look,
    lede: String,
    editor: Editor,
    history: Vec<OverRow>,
    all_href: String,
    changes: Vec<ChangeRow>,
    may_act: bool,
}

/// Who changed the rule, and how.
struct ChangeRow {
    at: Timestamp,
    who: String,
    what: &'static str,
}

impl Page for RulePage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "editor" => Some(part(&self.as_editor(), now)),
            "history" => Some(part(&self.as_history(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleQuery {
    range: Option<String>,
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
    Query(query): Query<RuleQuery>,
) -> Result<Response, Error> {
    let rule = state.alerts().find_rule(parse_id(&id)?).await?;
    let mut fields = Fields::of_rule(&rule);
    fields.range = query.range.unwrap_or(fields.range);
    // Parts that fetch themselves show no trial.
    let act = if matches!(&partial, Partial::Part(id) if id != "editor") { Act::Glance } else { Act::Show };
    let editor = Editor::new(&state, Some(&rule), fields, act, layout.now).await?;
    answer(&state, layout, &partial, rule, StatusCode::OK, editor).await
}

async fn answer(
    state: &WebState,
    layout: Layout,
    partial: &Partial,
    rule: AlertRule,
    status: StatusCode,
    editor: Editor,
) -> Result<Response, Error> {
    let store = state.store();
    let living = store.list_living_alerts().await?;
    let own: Vec<&Alert> = living.iter().filter(|alert| alert.rule == rule.number).collect();
    let filter = AlertFilter { rule: Some(rule.number), states: SHOWN.to_vec(), ..AlertFilter::default() };
    let history = store.list_alerts(&filter, &LimitParam::page(None, None, ALERTS)).await?;
    let changes = store.list_alert_rule_changes(rule.number, CHANGES).await?;
    let name = short(&rule.name, 100);
    let page = RulePage {
        look: state_of(&rule, &own),
        lede: lede(&rule, &own, &editor),
        history: history.items.iter().map(|alert| OverRow::new(alert, layout.buses.len() > 1)).collect(),
        all_href: format!("/alerts?rule={}&range=30d", rule.number),
        changes: changes.iter().map(ChangeRow::new).collect(),
        may_act: layout.may(Role::Admin),
        editor,
        layout: layout.crumb("Alerts", "/alerts").crumb("Rules", "/alert-rules").titled(Section::Alerts, name),
        rule,
    };
    render_with(status, &page, partial)
}

/// What the history shows: alerts that fired or may.
const SHOWN: &[AlertState] = &[AlertState::Pending, AlertState::Firing, AlertState::Recovering, AlertState::Resolved];

fn lede(rule: &AlertRule, own: &[&Alert], editor: &Editor) -> String {
    let firing = own.iter().filter(|alert| alert.standing.state.is_firing()).count() as u64;
    match (editor.is_edited, firing) {
        (true, 0) => "Edited, not saved. Nothing changes until you save.".to_owned(),
        (true, firing) => {
            format!("Edited, not saved. Nothing changes for {} until you save.", counted(firing, "alert that fires", "alerts that fire"))
        }
        (false, _) if !rule.enabled => "Switched off: nothing is watched.".to_owned(),
        (false, 0) => editor.words.clone(),
        (false, firing) => {
            format!("{}. {}{}", counted(firing, "alert fires now", "alerts fire now"), fullness(rule.terms.figure, own.len()), editor.words)
        }
    }
}

/// What is said of a rule that has as many alerts as it may.
fn fullness(figure: Figure, alerts: usize) -> &'static str {
    if alerts < most_alerts(figure) {
        return "";
    }
    "One rule has no more than these: what else it would tell is missing. Make one alert for more together. "
}

impl RulePage {
    /// Whether the changes go back to the beginning.
    fn has_beginning(&self) -> bool {
        self.changes.iter().any(|change| change.what == ADDED)
    }
}

/// What the audit says of a new rule.
const ADDED: &str = "added it";

impl ChangeRow {
    fn new(entry: &AuditEntry) -> Self {
        let what = match entry.action.as_str() {
            "alert_rules.add" => ADDED,
            "alert_rules.switch_on" => "switched it on",
            "alert_rules.switch_off" => "switched it off",
            _ => "changed it",
        };
        Self { at: entry.at, who: who(&entry.actor.name), what }
    }
}

async fn change(
    Admin(caller): Admin,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
    Query(query): Query<ActQuery>,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    let number = parse_id(&id)?;
    let saved = state.alerts().find_rule(number).await?;
    let act = Act::of(&query, &fields);
    let mut editor = Editor::new(&state, Some(&saved), fields, act, layout.now).await?;
    let Some(rule) = editor.checked(&state.alerts(), act).await? else {
        let status = if editor.problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        return answer(&state, layout, &partial, saved, status, editor).await;
    };
    state.alerts().change_rule(number, &rule, &caller.actor, caller.now).await?;
    Ok(back(&state, &format!("/alert-rules/{number}"), "Rule saved"))
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
    let number = parse_id(&id)?;
    state.alerts().switch_rule(number, form.enabled, &caller.actor, caller.now).await?;
    let said = if form.enabled { "Rule switched on" } else { "Rule switched off; its alerts end" };
    Ok(back(&state, &format!("/alert-rules/{number}"), said))
}

async fn delete(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    state.alerts().remove_rule(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(back(&state, "/alert-rules", "Rule deleted; its alerts end"))
}

fn back(state: &WebState, to: &str, message: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_has_as_many_alerts_as_it_may_says_so() {
        assert_eq!(fullness(Figure::DeadLettersOpen, 999), "");
        assert!(fullness(Figure::DeadLettersOpen, 1_000).starts_with("One rule has no more than these"));
        assert_eq!(fullness(Figure::ConsumerGroupLagMessages, 5_000), "", "names of groups are the bus's own");
    }
}
