//! Alerts: those that are not over, and those that ended lately. What somebody looks at stays where it is while its numbers change; what
//! is new waits behind a link.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::extract::{CursorParam, LimitParam, Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::number::{counted, grouped};
use super::super::view::range::Range;
use super::super::view::text::short;
use super::super::view::{alert as words, time};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::alerts::watching as watched;
use crate::model::alert::{Alert, AlertRule, AlertState, Severity};
use crate::model::{Role, Timestamp};
use crate::store::Store;
use crate::store::alerts::history::OverFilter;
use crate::store::alerts::looks::Watching;

pub(super) mod rows;
pub(super) mod told;

use rows::{OverRow, Row, Sections, ShownAlerts};

/// Alerts that are over on one page.
const ROWS: u32 = 25;
const DAY: Duration = Duration::from_hours(24);

pub(super) fn routes() -> Routes {
    Routes::new().get("/alerts", list)
}

#[derive(Template)]
#[template(path = "alerts/alerts.html", blocks = ["alerts"])]
struct AlertsPage {
    layout: Layout,
    /// Where the list fetches itself: its rows stay where they are.
    live: String,
    /// The list as it would be now.
    fresh: String,
    newer: usize,
    lede: (String, String),
    severities: Vec<(&'static str, &'static str, bool)>,
    rule: Option<RuleChip>,
    sections: Vec<(String, Vec<Row>)>,
    left_out: usize,
    over: Vec<OverRow>,
    over_title: String,
    over_note: String,
    next: Option<String>,
    rules: u64,
    looked_at: Option<Timestamp>,
    /// Why what stands here may not be how it is.
    trouble: Option<Trouble>,
    may_act: bool,
    may_keep: bool,
}

impl Page for AlertsPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "alerts").then(|| part(&self.as_alerts(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl AlertsPage {
    fn is_filtered(&self) -> bool {
        self.rule.is_some() || self.severities.iter().any(|(.., chosen)| *chosen)
    }
}

/// The rule that the list is of.
struct RuleChip {
    name: String,
    /// Its editor; none of a rule that is gone.
    href: Option<String>,
    /// The list of all rules' alerts.
    without: String,
}

/// Rules do not know everything.
struct Trouble {
    tone: &'static str,
    what: String,
    then: &'static str,
}

impl Trouble {
    fn new(watching: &Watching, now: Timestamp) -> Option<Self> {
        if watching.is_overdue(now) {
            let then = "What stands here is what was known then: what fires or ends meanwhile shows when they are looked at again.";
            return Some(Self { tone: "bad", what: watched::words(watching, now), then });
        }
        let unread: Vec<&str> = watching.unread.iter().map(|figure| words::figure(*figure)).collect();
        let then = "Rules on that know nothing until it can be read again; other rules are looked at.";
        (!unread.is_empty()).then(|| Self { tone: "warn", what: format!("Cannot be read: {}.", unread.join(", ")), then })
    }
}

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AlertsQuery {
    bus: Option<String>,
    severity: Option<Severity>,
    rule: Option<i64>,
    range: Option<String>,
    cursor: Option<CursorParam>,
    order: Option<ShownAlerts>,
}

impl AlertsQuery {
    fn address(&self) -> Address {
        let rule = self.rule.map(|rule| rule.to_string());
        let pairs = [("bus", self.bus.as_deref()), ("severity", self.severity.map(Severity::as_str)), ("rule", rule.as_deref())];
        let address = pairs.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let address = address.fold(Address::new("/alerts"), |address, (name, value)| address.and(name, value));
        self.range.as_ref().map_or(address.clone(), |range| address.and("range", range))
    }

    fn range(&self) -> Result<(Range, Duration), Error> {
        let Some(word) = self.range.as_deref() else { return Ok((Range::Last(DAY), DAY)) };
        match Range::last(word) {
            Some(Range::Last(length)) => Ok((Range::Last(length), length)),
            _ => Err(Error::field("range", "range is a length of time such as 24h or 30d")),
        }
    }

    fn wants(&self, alert: &Alert, layout: &Layout) -> bool {
        let of_bus = layout.bus.as_ref().is_none_or(|bus| alert.bus().is_none_or(|of| of == *bus));
        of_bus && self.severity.is_none_or(|severity| severity == alert.details.severity) && self.rule.is_none_or(|rule| rule == alert.rule)
    }
}

async fn list(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(mut query): Query<AlertsQuery>,
) -> Result<Response, Error> {
    let store = state.store();
    // Where nothing is shown nothing can move: what is new comes at once.
    query.order = query.order.filter(|order| order.numbers().next().is_some());
    let (now, here) = (layout.now, query.address());
    let (range, length) = query.range()?;
    let rules: HashMap<i64, AlertRule> = store.list_alert_rules().await?.into_iter().map(|rule| (rule.number, rule)).collect();
    let (living, shown) = alerts(store, &query, &layout).await?;
    let newer = query.order.as_ref().map_or(0, |order| living.iter().filter(|alert| !order.has(alert.number)).count());
    let sections = query.order.as_ref().map_or_else(|| Sections::of(shown.clone(), now), |order| order.place(&shown));
    let show_bus = layout.buses.len() > 1 && layout.bus.is_none();
    let told = told::Told::load(store, &shown).await?;
    let filter = OverFilter { from: range.bounds(now).0, rule: query.rule, severity: query.severity, bus: layout.bus.clone() };
    let over = store.list_over_alerts(&filter, &LimitParam::page(query.cursor.clone(), None, ROWS)).await?;
    let ended = (
        store.count_over_alerts(layout.bus.as_ref(), now.minus(length), now).await?,
        store.count_over_alerts(layout.bus.as_ref(), now.minus(length * 2), now.minus(length)).await?,
    );
    let watching = store.alert_watching().await?;
    let page = AlertsPage {
        live: here.set("order", &sections.order()).to_string(),
        newer,
        lede: lede(&living, watching.is_overdue(now), now),
        severities: Severity::ALL
            .iter()
            .map(|one| (one.as_str(), words::severity(*one, true).word, query.severity == Some(*one)))
            .collect(),
        rule: query.rule.map(|rule| rule_chip(rule, &rules, &here)),
        left_out: sections.left_out(),
        sections: sections.rows(|alert| Row::new(alert, rules.get(&alert.rule), &told, show_bus, now)),
        over: over.items.iter().map(|alert| OverRow::new(alert, show_bus)).collect(),
        over_title: format!("Resolved in {}", range.words()),
        over_note: if query.severity.is_some() || query.rule.is_some() { String::new() } else { beside(ended) },
        next: over.next_cursor.map(|cursor| here.and("cursor", &cursor.to_string()).to_string()),
        fresh: here.to_string(),
        rules: watching.rules,
        looked_at: watching.looked_at,
        trouble: Trouble::new(&watching, now),
        may_act: layout.may(Role::Operator),
        may_keep: layout.may(Role::Admin),
        layout: layout.titled(Section::Alerts, "Alerts"),
    };
    render(&page, &partial)
}

/// Those that are not over, and with them those that were when the page was made.
async fn alerts(store: &Store, query: &AlertsQuery, layout: &Layout) -> Result<(Vec<Alert>, Vec<Alert>), Error> {
    let mut living = store.list_living_alerts().await?;
    living.retain(|alert| alert.standing.state != AlertState::Inactive && query.wants(alert, layout));
    let mut shown = living.clone();
    if let Some(order) = &query.order {
        let gone: Vec<i64> = order.numbers().filter(|number| !living.iter().any(|alert| alert.number == *number)).collect();
        shown.retain(|alert| order.has(alert.number));
        shown.extend(store.list_these_alerts(&gone).await?);
    }
    Ok((living, shown))
}

fn rule_chip(number: i64, rules: &HashMap<i64, AlertRule>, here: &Address) -> RuleChip {
    let rule = rules.get(&number);
    RuleChip {
        name: rule.map_or_else(|| format!("rule {number}"), |rule| short(&rule.name, 80)),
        href: rule.map(|rule| format!("/alert-rules/{}", rule.number)),
        without: here.without(&["rule"]).to_string(),
    }
}

/// "2 alerts fire, one of them is acknowledged." and who waits for somebody.
fn lede(living: &[Alert], is_overdue: bool, now: Timestamp) -> (String, String) {
    let firing: Vec<&Alert> = living.iter().filter(|alert| alert.standing.state == AlertState::Firing && !alert.is_muted()).collect();
    let open: Vec<&&Alert> = firing.iter().filter(|alert| !alert.is_acknowledged(now)).collect();
    let muted = living.iter().filter(|alert| alert.standing.state.is_firing() && alert.is_muted()).count() as u64;
    let taken = firing.len() - open.len();
    let quiet =
        if muted > 0 { format!(" {} without telling anybody.", counted(muted, "alert fires", "alerts fire")) } else { String::new() };
    let first = match (firing.len(), taken) {
        (0, _) if is_overdue => return ("Nothing fires, as far as is known.".to_owned(), quiet),
        (0, _) => return ("Nothing fires.".to_owned(), format!("{}{quiet}", waiting(living))),
        (1, 1) => "1 alert fires and is acknowledged.".to_owned(),
        (1, _) => "1 alert fires.".to_owned(),
        (many, 0) => format!("{} alerts fire, and nobody has them yet.", grouped(many as u64)),
        (many, taken) if many == taken => format!("{} alerts fire, all acknowledged.", grouped(many as u64)),
        (many, 1) => format!("{} alerts fire, one of them is acknowledged.", grouped(many as u64)),
        (many, taken) => format!("{} alerts fire, {taken} of them are acknowledged.", grouped(many as u64)),
    };
    let oldest = open.iter().filter_map(|alert| Some((alert.standing.started_at?, *alert))).min_by_key(|(at, _)| *at);
    let rest = oldest.map_or_else(String::new, |(at, alert)| {
        format!("{} has waited for somebody for {}.", short(&alert.details.rule, 80), time::age(at, now))
    });
    (first, format!("{rest}{quiet}"))
}

fn waiting(living: &[Alert]) -> String {
    let pending = living.iter().filter(|alert| alert.standing.state == AlertState::Pending).count() as u64;
    let recovering = living.iter().filter(|alert| alert.standing.state == AlertState::Recovering).count() as u64;
    match (pending, recovering) {
        (0, 0) => String::new(),
        (pending, 0) => format!("{} soon, if it stays like this.", counted(pending, "alert may fire", "alerts may fire")),
        (0, recovering) => format!("{} recovering.", counted(recovering, "alert is", "alerts are")),
        (pending, recovering) => format!("{pending} may fire soon, {recovering} recover."),
    }
}

/// How that compares with the time before.
fn beside((now, before): (u64, u64)) -> String {
    let number = grouped(now);
    match (now, before) {
        (0, 0) => String::new(),
        (now, 0) => format!("{}, none in the time before", grouped(now)),
        (now, before) if now == before => format!("{number}, as many as in the time before"),
        (now, before) if now * 2 <= before => format!("{number}, {} in the time before", grouped(before)),
        (now, before) if now > before => format!("{number}, {} more than in the time before", grouped(now - before)),
        (now, before) => format!("{number}, {} fewer than in the time before", grouped(before - now)),
    }
}
