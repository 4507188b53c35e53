//! Alert rules: all of them, and a new one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::extract::{Admin, Form, Partial, Query, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::alert as words;
use super::super::view::alert::sentence;
use super::super::view::listing::ShownOrder;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::alert_rule::editor::{Act, ActQuery, Editor};
use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;
use crate::model::{Role, Timestamp};
use crate::store::Store;

pub(super) mod form;
pub(super) mod trial;

use form::Fields;

/// What fired is counted so far back.
const WEEK: Duration = Duration::from_hours(7 * 24);

pub(super) fn routes() -> Routes {
    Routes::new().get("/alert-rules", rules).post("/alert-rules", add).get("/alert-rules/new", new)
}

#[derive(Template)]
#[template(path = "alert_rules/alert_rules.html", blocks = ["rules"])]
struct RulesPage {
    layout: Layout,
    /// Where the list fetches itself: its rows stay where they are.
    live: String,
    lede: (String, String),
    rows: Vec<Row>,
    /// Rules that cannot be read, by number and name.
    unreadable: Vec<(i64, String)>,
    may_act: bool,
}

struct Row {
    href: String,
    name: String,
    look: Look,
    severity: Look,
    about: String,
    condition: String,
    fired: String,
    last_fired: Option<Timestamp>,
    receivers: String,
}

impl Page for RulesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "rules").then(|| part(&self.as_rules(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "alert_rules/new.html", blocks = ["editor"])]
struct NewPage {
    layout: Layout,
    editor: Editor,
}

impl Page for NewPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "editor").then(|| part(&self.as_editor(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RulesQuery {
    order: ShownOrder,
}

async fn rules(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<RulesQuery>,
) -> Result<Response, Error> {
    let (store, now) = (state.store(), layout.now);
    let (all, unreadable) = store.read_alert_rules().await?;
    let living = store.list_living_alerts().await?;
    let week = store.alert_figures(now.minus(WEEK), now).await?;
    let fired: HashMap<i64, u64> = week.into_iter().map(|figures| (figures.rule, figures.fired)).collect();
    let last: HashMap<i64, Timestamp> = store.last_fired().await?.into_iter().collect();
    let receivers = names(store).await?;
    let row = |rule: &AlertRule| {
        let own: Vec<&Alert> = living.iter().filter(|alert| alert.rule == rule.number).collect();
        Row {
            fired: grouped(fired.get(&rule.number).copied().unwrap_or(0)),
            last_fired: last.get(&rule.number).copied(),
            ..Row::new(rule, &own, &receivers)
        }
    };
    let mut sorted: Vec<(u8, &AlertRule)> = all.iter().map(|rule| (urgency(rule, &living), rule)).collect();
    sorted.sort_by(|(a, one), (b, other)| (a, &one.name, one.number).cmp(&(b, &other.name, other.number)));
    let mut rows: Vec<Row> = sorted.iter().map(|(_, rule)| row(rule)).collect();
    query.order.keep(&mut rows, |row| &row.href);
    let page = RulesPage {
        live: format!("/alert-rules?order={}", ShownOrder::of(rows.iter().map(|row| row.href.as_str()))),
        lede: lede(&all, &living, &receivers),
        rows,
        unreadable: unreadable.into_iter().map(|rule| (rule.number, short(&rule.name, 100))).collect(),
        may_act: layout.may(Role::Admin),
        layout: layout.crumb("Alerts", "/alerts").titled(Section::Alerts, "Rules"),
    };
    render(&page, &partial)
}

/// Names of receivers by id.
pub(super) async fn names(store: &Store) -> Result<BTreeMap<ReceiverId, String>, Error> {
    Ok(store.list_receivers().await?.into_iter().map(|receiver| (receiver.id, receiver.name)).collect())
}

fn lede(rules: &[AlertRule], living: &[Alert], receivers: &BTreeMap<ReceiverId, String>) -> (String, String) {
    let on: Vec<&AlertRule> = rules.iter().filter(|rule| rule.enabled).collect();
    let fire =
        on.iter().filter(|rule| living.iter().any(|alert| alert.rule == rule.number && alert.standing.state == AlertState::Firing)).count();
    let first = match (on.len() as u64, fire) {
        (0, _) => "No rule is switched on.".to_owned(),
        (on, 0) => format!("{} switched on, none fires.", counted(on, "rule is", "rules are")),
        (on, 1) => format!("{} switched on, 1 of them fires now.", counted(on, "rule is", "rules are")),
        (on, fire) => format!("{} switched on, {fire} of them fire now.", counted(on, "rule is", "rules are")),
    };
    let mute = on.iter().filter(|rule| !rule.terms.receivers.iter().any(|id| receivers.contains_key(id))).count() as u64;
    let rest = match mute {
        0 => String::new(),
        all if all == on.len() as u64 => "None of them tells a receiver: what fires shows here only.".to_owned(),
        some => format!("{} no receiver: what fires shows here only.", counted(some, "tells", "tell").trim()),
    };
    (first, rest)
}

/// What a person should see first.
fn urgency(rule: &AlertRule, living: &[Alert]) -> u8 {
    let states = living.iter().filter(|alert| alert.rule == rule.number).map(|alert| match alert.standing.state {
        AlertState::Firing if !alert.is_muted() => 0,
        AlertState::Pending => 1,
        AlertState::Recovering => 2,
        AlertState::Firing => 3,
        AlertState::Inactive | AlertState::Resolved => 4,
    });
    if rule.enabled { states.min().unwrap_or(4) } else { 5 }
}

/// Where a rule stands: as the alert of it that a person should see first.
pub(super) fn state(rule: &AlertRule, own: &[&Alert]) -> Look {
    if !rule.enabled {
        return Look { word: "Off", icon: "circle-pause", tone: "idle" };
    }
    let urgency = |alert: &&&Alert| urgency(rule, std::slice::from_ref(**alert));
    own.iter().min_by_key(urgency).map_or(Look { word: "Inactive", icon: "circle", tone: "idle" }, |alert| words::state(alert))
}

impl Row {
    fn new(rule: &AlertRule, own: &[&Alert], receivers: &BTreeMap<ReceiverId, String>) -> Self {
        let terms = &rule.terms;
        let restricted = sentence::restricted(&terms.filter);
        let look = state(rule, own);
        let told: Vec<String> = terms.receivers.iter().filter_map(|id| receivers.get(id)).map(|name| short(name, 40)).collect();
        Self {
            href: format!("/alert-rules/{}", rule.number),
            name: short(&rule.name, 100),
            severity: words::severity(terms.severity, look.tone != "idle" && look.tone != "ok"),
            look,
            about: if restricted.is_empty() {
                words::figure(terms.figure).to_owned()
            } else {
                format!("{}, {restricted}", words::figure(terms.figure))
            },
            condition: words::condition(terms),
            fired: String::new(),
            last_fired: None,
            receivers: told.join(", "),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewQuery {
    figure: Option<Figure>,
}

async fn new(_: Admin, State(state): State<WebState>, layout: Layout, Query(query): Query<NewQuery>) -> Result<Response, Error> {
    let fields = Fields::proposed(query.figure.unwrap_or(Figure::DeadLettersPerMinute));
    let editor = Editor::new(&state, None, fields, Act::Show, layout.now).await?;
    answer(layout, StatusCode::OK, editor, &Partial::Full)
}

fn answer(layout: Layout, status: StatusCode, editor: Editor, partial: &Partial) -> Result<Response, Error> {
    let layout = layout.crumb("Alerts", "/alerts").crumb("Rules", "/alert-rules").titled(Section::Alerts, "New rule");
    render_with(status, &NewPage { layout, editor }, partial)
}

async fn add(
    Admin(caller): Admin,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<ActQuery>,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    let act = Act::of(&query, &fields);
    let mut editor = Editor::new(&state, None, fields, act, layout.now).await?;
    let Some(rule) = editor.checked(&state.alerts(), act).await? else {
        let status = if editor.problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        return answer(layout, status, editor, &partial);
    };
    let added = state.alerts().add_rule(&rule, &caller.actor, caller.now).await?;
    let mut response = Redirect::to(&format!("/alert-rules/{}", added.number)).into_response();
    cookies::set(&mut response, state.cookies().set_flash("Rule saved"));
    Ok(response)
}
