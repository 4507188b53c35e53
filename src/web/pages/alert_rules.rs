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
use super::super::view::address::Address;
use super::super::view::alert as words;
use super::super::view::alert::sentence;
use super::super::view::listing::{Column, ShownOrder};
use super::super::view::look::Look;
use super::super::view::number::counted;
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
    columns: Vec<Column>,
    /// What the rows are ordered by, in words.
    order: &'static str,
    /// Where the list is in that order anew, when rows have stayed where they were.
    again: Option<String>,
    rows: Vec<Row>,
    /// Rules that cannot be read, by number and name.
    unreadable: Vec<(i64, String)>,
    may_act: bool,
}

struct Row {
    number: i64,
    /// What a person should see first.
    urgency: u8,
    href: String,
    name: String,
    look: Look,
    severity: Look,
    about: String,
    condition: String,
    fired: u64,
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
    sort: Sort,
    order: ShownOrder,
}

/// What the list is ordered by: those that fire first, names from A, numbers from the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    State,
    Rule,
    Fired,
    LastFired,
}

impl Sort {
    const ALL: [Self; 4] = [Self::State, Self::Rule, Self::Fired, Self::LastFired];

    const fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Rule => "rule",
            Self::Fired => "fired",
            Self::LastFired => "last_fired",
        }
    }

    /// What stands above the column and in what classes of cell, and what is said of the order.
    const fn column(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::State => ("State", "fit", "those that fire first"),
            Self::Rule => ("Rule", "grow", "by name"),
            Self::Fired => ("Fired, 7 d", "num", "those that fired most often first"),
            Self::LastFired => ("Last fired", "num", "the last to fire first"),
        }
    }

    /// The list in this order.
    fn address(self) -> Address {
        let here = Address::new("/alert-rules");
        if self == Self::default() { here } else { here.set("sort", self.word()) }
    }

    /// Rules with the same number stay in the order of their names.
    fn apply(self, rows: &mut [Row]) {
        rows.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number)));
        match self {
            Self::State => rows.sort_by_key(|row| row.urgency),
            Self::Rule => {}
            Self::Fired => rows.sort_by_key(|row| std::cmp::Reverse(row.fired)),
            Self::LastFired => rows.sort_by_key(|row| std::cmp::Reverse(row.last_fired)),
        }
    }
}

fn columns(sort: Sort) -> Vec<Column> {
    let here = sort.address();
    let column = |by: Sort| {
        let (label, class, _) = by.column();
        Column::new(label, class, &here, by.word(), by == sort, by == Sort::default())
    };
    Sort::ALL.map(column).into()
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
            fired: fired.get(&rule.number).copied().unwrap_or(0),
            last_fired: last.get(&rule.number).copied(),
            urgency: urgency(rule, &living),
            ..Row::new(rule, &own, &receivers)
        }
    };
    let mut rows: Vec<Row> = all.iter().map(row).collect();
    query.sort.apply(&mut rows);
    let moved = query.order.keep(&mut rows, |row| &row.href);
    let here = query.sort.address();
    let page = RulesPage {
        live: here.set("order", &ShownOrder::of(rows.iter().map(|row| row.href.as_str())).to_string()).to_string(),
        columns: columns(query.sort),
        order: query.sort.column().2,
        again: moved.then(|| here.to_string()),
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
            number: rule.number,
            urgency: 0,
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
            fired: 0,
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
