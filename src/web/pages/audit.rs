//! Who did what, when, to how many, with which result.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::extract::{CursorParam, Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::{Error, Layout, Section, WebState, address, filters};
use crate::config::Config;
use crate::model::{AuditEntry, Cursor, PageRequest, Role, Timestamp};
use crate::store::audit::AuditFilter;

mod export;
mod words;

use words::Outcome;

/// Entries of one page.
const ROWS: u32 = 50;
/// Before every entry.
const BEGINNING: Cursor = Cursor { key: 0, id: 0 };

pub(super) fn routes() -> Routes {
    Routes::new().get("/audit", audit).get("/audit/export", export::export)
}

/// How far back the list goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Range {
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    #[default]
    #[serde(rename = "all")]
    All,
}

impl Range {
    const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::All];

    const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::All => "all",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn is(self, other: &Self) -> bool {
        self == *other
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::Month => "30 d",
            Self::All => "All",
        }
    }

    fn from(self, now: Timestamp) -> Option<Timestamp> {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::All => return None,
        };
        Some(now.minus(Duration::from_hours(days * 24)))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AuditQuery {
    actor: Option<String>,
    action: Option<String>,
    range: Range,
    cursor: Option<CursorParam>,
    newer_than: Option<CursorParam>,
}

impl AuditQuery {
    fn filter(&self, now: Timestamp) -> AuditFilter {
        AuditFilter { actor: self.actor.clone(), action: self.action.clone(), from: self.range.from(now), to: None }
    }

    /// This list's address with other values.
    fn address(&self, path: &str, range: Range, extra: (&str, &str)) -> String {
        let (actor, action) = (self.actor.as_deref().unwrap_or_default(), self.action.as_deref().unwrap_or_default());
        let range = if range == Range::All { "" } else { range.word() };
        format!("{path}{}", address::query([("actor", actor), ("action", action), ("range", range), extra]))
    }

    fn is_filtered(&self) -> bool {
        self.actor.is_some() || self.action.is_some() || self.range != Range::All
    }
}

#[derive(Template)]
#[template(path = "audit/audit.html", blocks = ["newer"])]
struct AuditPage {
    layout: Layout,
    rows: Vec<Row>,
    actors: Vec<String>,
    actions: Vec<String>,
    query: AuditQuery,
    /// Newest entry on the page, from which newer ones are counted.
    newest: Cursor,
    newer: usize,
    next: Option<String>,
    kept: String,
}

struct Row {
    at: Timestamp,
    /// `user`, `token` or nothing.
    kind: &'static str,
    who: String,
    act: String,
    target: String,
    target_address: Option<String>,
    count: Option<u64>,
    outcome: Outcome,
    address: String,
}

impl Page for AuditPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "newer").then(|| part(&self.as_newer(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl AuditPage {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn range_address(&self, range: &Range) -> String {
        self.query.address("/audit", *range, ("", ""))
    }

    fn here(&self) -> String {
        self.range_address(&self.query.range)
    }

    fn export_address(&self) -> String {
        self.query.address("/audit/export", self.query.range, ("", ""))
    }

    fn newer_address(&self) -> String {
        self.query.address("/audit", self.query.range, ("newer_than", &self.newest.to_string()))
    }
}

async fn audit(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Error> {
    let request = PageRequest { cursor: query.cursor.clone().map(|cursor| cursor.0), limit: ROWS };
    let page = state.store().list_audit(&query.filter(layout.now), &request).await?;
    let (actors, actions) = state.store().list_audit_choices().await?;
    let newest = query.newer_than.clone().map_or_else(|| page.items.first().map_or(BEGINNING, place), |known| known.0);
    let newer = page.items.iter().map(place).filter(|at| (at.key, at.id) > (newest.key, newest.id)).count();
    let next = page.next_cursor.map(|cursor| query.address("/audit", query.range, ("cursor", &cursor.to_string())));
    let kept = kept_words(state.config());
    let rows = page.items.into_iter().map(Row::from).collect();
    let layout = layout.titled(Section::Audit, "Audit");
    render(&AuditPage { layout, rows, actors, actions, query, newest, newer, next, kept }, &partial)
}

/// Where an entry stands in the list.
fn place(entry: &AuditEntry) -> Cursor {
    Cursor { key: entry.at.as_millis(), id: entry.id }
}

fn kept_words(config: &Config) -> String {
    super::super::view::time::duration_words(config.retention.audit)
}

impl From<AuditEntry> for Row {
    fn from(entry: AuditEntry) -> Self {
        let (kind, who) = match entry.actor.name.split_once(':') {
            Some(("user", name)) => ("user", name.to_owned()),
            Some(("token", name)) => ("token", name.to_owned()),
            _ => ("", entry.actor.name.clone()),
        };
        let (target, target_address) = words::target(&entry.action, &entry.target);
        Self {
            at: entry.at,
            kind,
            who,
            act: words::act(&entry.action),
            target,
            target_address,
            count: entry.count,
            outcome: Outcome::of(&entry.result),
            address: entry.actor.address.unwrap_or_default(),
        }
    }
}
