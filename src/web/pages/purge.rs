//! One purge: what is lost and for whom, the way to confirm it, and what became of each partition.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::purges::{parse_id, purges};
use super::super::error::sentence_case;
use super::super::extract::{Admin, Form, Partial, Path, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::address::{Address, segment};
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::purge as view;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, filters};
use super::purges::scope;
use crate::model::purge::{CutResult, Purge, PurgeState, WITHOUT_CUSTODY};
use crate::model::replay::{Check, CheckLevel};
use crate::model::{Role, Timestamp};
use crate::operations::purge::Confirmation;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/purges/{id}", purge)
        .post("/purges/{id}/start", start)
        .post("/purges/{id}/cancel", cancel)
        .post("/purges/{id}/check", check)
}

#[derive(Template)]
#[template(path = "purge/purge.html", blocks = ["purge"])]
struct PurgePage {
    layout: Layout,
    purge: Purge,
    look: Look,
    state: String,
    scope: String,
    groups: Vec<CheckGroup>,
    rows: Vec<Row>,
    losses: Vec<(String, u64)>,
    topic_href: String,
    below_href: String,
    export_href: String,
    rest: Vec<String>,
    typed: String,
    acknowledged: String,
    accepted: Vec<String>,
    problem: Option<(String, String)>,
}

/// Checks of one level.
struct CheckGroup {
    title: &'static str,
    tone: &'static str,
    icon: &'static str,
    checks: Vec<CheckRow>,
}

struct CheckRow {
    count: String,
    text: String,
    href: Option<(String, &'static str)>,
}

struct Row {
    partition: i32,
    start: String,
    cut: String,
    end: String,
    percent: u64,
    records: String,
    open: String,
    losses: String,
    look: Look,
    error: Option<String>,
}

impl Page for PurgePage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "purge").then(|| part(&self.as_purge(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl PurgePage {
    fn new(layout: Layout, purge: Purge) -> Self {
        let topic_href = format!("/buses/{}/topics/{}", segment(purge.bus.as_str()), segment(purge.topic.as_str()));
        let letters = Address::new("/dead-letters").and("bus", purge.bus.as_str()).and("topic", purge.topic.as_str());
        let export = Address::new("/api/v1/dead-letters/export").and("bus", purge.bus.as_str()).and("topic", purge.topic.as_str());
        let left = purge.partitions.iter().filter(|cut| cut.result != CutResult::Done && cut.records() > 0);
        Self {
            look: view::state(&purge),
            state: view::state_words(&purge),
            scope: scope(&purge),
            groups: check_groups(&purge, &letters),
            rows: purge.partitions.iter().map(|cut| Row::new(cut, purge.state)).collect(),
            losses: view::losses(&purge),
            rest: left.map(|cut| format!("{}:{}", cut.partition, cut.cut)).collect(),
            below_href: letters.set("status", "all").to_string(),
            export_href: export.to_string(),
            layout: layout.crumb("Purges", "/purges").titled(Section::Purges, format!("Purge {}", short(purge.topic.as_str(), 80))),
            topic_href,
            typed: String::new(),
            acknowledged: String::new(),
            accepted: Vec::new(),
            problem: None,
            purge,
        }
    }

    fn may_act(&self) -> bool {
        self.layout.may(Role::Admin)
    }

    fn is_plan(&self) -> bool {
        self.purge.state == PurgeState::Planned
    }

    fn is_running(&self) -> bool {
        self.purge.state == PurgeState::Running
    }

    fn is_over(&self) -> bool {
        !self.is_plan() && !self.is_running()
    }

    fn warnings(&self) -> Vec<&Check> {
        self.purge.checks.iter().filter(|check| check.level == CheckLevel::Warning).collect()
    }

    /// Why it cannot be started, in words.
    fn blocked(&self) -> Option<&str> {
        self.purge.blocked()
    }

    fn without_custody(&self) -> u64 {
        self.purge.without_custody()
    }

    fn accepts(&self, code: &str) -> bool {
        self.accepted.iter().any(|accepted| accepted == code)
    }

    /// What is wrong with a field of the confirmation.
    fn problem_of(&self, field: &str) -> Option<&str> {
        self.problem.as_ref().filter(|(name, _)| name == field).map(|(_, text)| text.as_str())
    }

    fn general_problem(&self) -> Option<&str> {
        self.problem.as_ref().filter(|(name, _)| !["confirm", "without_custody"].contains(&name.as_str())).map(|(_, text)| text.as_str())
    }

    /// Who loses what, for the last line of the table.
    fn lost(&self) -> String {
        match self.losses.as_slice() {
            [] => "none".to_owned(),
            losses => {
                let records = grouped(losses.iter().map(|(_, records)| records).sum());
                format!("{records} on {}", counted(losses.len() as u64, "group", "groups"))
            }
        }
    }

    fn counts_of_checks(&self) -> String {
        let count = |level| self.purge.checks.iter().filter(|check| check.level == level).count();
        let named = [(CheckLevel::Blocked, "blocked"), (CheckLevel::Warning, "warned"), (CheckLevel::Passed, "passed")];
        let told = named.into_iter().map(|(level, word)| (count(level), word)).filter(|(count, _)| *count > 0);
        told.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    fn in_all(&self) -> u64 {
        self.purge.partitions.iter().map(|cut| cut.end.saturating_sub(cut.start).max(0).unsigned_abs()).sum()
    }

    fn person(&self) -> String {
        short(self.purge.planned_by.name.trim_start_matches("user:"), 80)
    }
}

impl Row {
    fn new(cut: &crate::model::purge::PurgePartition, state: PurgeState) -> Self {
        let all = cut.end.saturating_sub(cut.start).max(1).unsigned_abs();
        let losses: Vec<String> =
            cut.losses.iter().map(|loss| format!("{}: {}", short(loss.group.as_str(), 80), grouped(loss.records))).collect();
        Self {
            partition: cut.partition,
            start: grouped(cut.start.unsigned_abs()),
            cut: grouped(cut.cut.unsigned_abs()),
            end: grouped(cut.end.unsigned_abs()),
            percent: (cut.records().saturating_mul(100) / all).min(100),
            records: grouped(cut.records()),
            open: grouped(cut.below.open),
            losses: losses.join(", "),
            look: view::cut(cut.result, state),
            error: cut.error.as_deref().map(|error| short(error, 300)),
        }
    }
}

fn check_groups(purge: &Purge, letters: &Address) -> Vec<CheckGroup> {
    let looks = [
        (CheckLevel::Blocked, "Blocked", "bad", "octagon-x"),
        (CheckLevel::Warning, "Warned", "warn", "triangle-alert"),
        (CheckLevel::Passed, "Passed", "ok", "check"),
    ];
    let groups = looks.into_iter().map(|(level, title, tone, icon)| CheckGroup {
        title,
        tone,
        icon,
        checks: purge.checks.iter().filter(|check| check.level == level).map(|check| check_row(check, purge, letters)).collect(),
    });
    groups.filter(|group| !group.checks.is_empty()).collect()
}

fn check_row(check: &Check, purge: &Purge, letters: &Address) -> CheckRow {
    let counted = ["open", "replaying", "not_in_store", WITHOUT_CUSTODY].contains(&check.code.as_str()) && check.count > 0;
    let href = match check.code.as_str() {
        "open" | "replaying" if check.count > 0 => Some((letters.set("status", &check.code).to_string(), "See them")),
        WITHOUT_CUSTODY if check.count > 0 => Some((letters.set("status", "all").to_string(), "See the topic's")),
        "consumer_groups" if check.count > 0 => Some((
            format!("/buses/{}/topics/{}?tab=consumer_groups", segment(purge.bus.as_str()), segment(purge.topic.as_str())),
            "See lag",
        )),
        _ => None,
    };
    CheckRow { count: if counted { grouped(check.count) } else { String::new() }, text: check.text.clone(), href }
}

async fn purge(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let purge = purges(&state).find(&parse_id(&id)?).await?;
    render(&PurgePage::new(layout, purge), &partial)
}

/// What a person has typed and ticked.
#[derive(Deserialize)]
struct StartForm {
    #[serde(default)]
    confirm: String,
    #[serde(default)]
    accept: Vec<String>,
    #[serde(default)]
    without_custody: String,
}

async fn start(
    Admin(caller): Admin,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(form): Form<StartForm>,
) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    // What is no number is no acknowledgement, and the form says so.
    let without_custody = Some(form.without_custody.replace([',', ' '], "")).filter(|text| !text.is_empty());
    let given = Confirmation {
        confirm: form.confirm.trim().to_owned(),
        accept: form.accept,
        without_custody: without_custody.map(|text| text.parse().unwrap_or(u64::MAX)),
    };
    let refused = match purges(&state).start(&id, &given, &caller.actor, caller.now).await {
        Ok(_) => return Ok(Redirect::to(&format!("/purges/{id}")).into_response()),
        Err(error) => Error::from(error),
    };
    let (status, field, text) = match refused {
        Error::Invalid { status, field, text, .. } => (status, field.unwrap_or_default(), text),
        Error::Conflict { text, .. } => (StatusCode::CONFLICT, String::new(), text),
        other => return Err(other),
    };
    let purge = purges(&state).find(&id).await?;
    let page = PurgePage {
        typed: given.confirm,
        accepted: given.accept,
        acknowledged: form.without_custody,
        problem: Some((field, sentence_case(&text))),
        ..PurgePage::new(layout, purge)
    };
    render_with(status, &page, &Partial::Full)
}

async fn cancel(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    purges(&state).cancel(&id, &caller.actor, caller.now).await?;
    Ok(Redirect::to(&format!("/purges/{id}")).into_response())
}

async fn check(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = parse_id(&id)?;
    purges(&state).check(&id, caller.now).await?;
    Ok(Redirect::to(&format!("/purges/{id}")).into_response())
}
