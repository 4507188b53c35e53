//! Purges: all of them, and how one is planned from a page.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::purges::purges as acts;
use super::super::extract::{Admin, CursorParam, Form, LimitParam, Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::view::number::{counted, grouped};
use super::super::view::range::parse_time;
use super::super::view::text::short;
use super::super::view::{purge as view, time};
use super::super::{Error, Layout, Section, WebState, address, filters};
use crate::model::purge::{CutResult, Purge, PurgeScope, PurgeState};
use crate::model::{BusId, Timestamp, TopicName};
use crate::operations::purge::{PlanRequest, Wanted};

/// Rows of a page.
const ROWS: u32 = 50;

pub(super) fn routes() -> Routes {
    Routes::new().get("/purges", purges).post("/purges", plan)
}

#[derive(Template)]
#[template(path = "purges/purges.html", blocks = ["purges"])]
struct PurgesPage {
    layout: Layout,
    lede: (String, String),
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    href: String,
    topic: String,
    bus: String,
    look: Look,
    state: String,
    scope: String,
    records: String,
    purged: String,
    open: String,
    losses: String,
    at: Timestamp,
    by: String,
}

impl Page for PurgesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "purges").then(|| part(&self.as_purges(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl PurgesPage {
    fn show_bus(&self) -> bool {
        self.layout.buses.len() > 1
    }
}

#[derive(Deserialize)]
struct PurgesQuery {
    cursor: Option<CursorParam>,
    #[expect(dead_code, reason = "the frame reads it")]
    bus: Option<String>,
}

async fn purges(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<PurgesQuery>,
) -> Result<Response, Error> {
    let page = state.store().list_purges(layout.bus.as_ref(), &LimitParam::page(query.cursor, None, ROWS)).await?;
    let next = page.next_cursor.map(|cursor| {
        let bus = layout.bus.as_ref().map(|bus| ("bus", bus.to_string()));
        format!("/purges{}", address::query(bus.iter().map(|(n, v)| (*n, v.as_str())).chain([("cursor", cursor.to_string().as_str())])))
    });
    let (lede, rows) = (lede(&page.items), page.items.iter().map(Row::new).collect());
    render(&PurgesPage { layout: layout.titled(Section::Purges, "Purges"), lede, rows, next }, &partial)
}

fn lede(purges: &[Purge]) -> (String, String) {
    let count = |state| purges.iter().filter(|purge| purge.state == state).count() as u64;
    let first = match (count(PurgeState::Running), count(PurgeState::Planned)) {
        (0, 0) => "Nothing is being purged.".to_owned(),
        (0, planned) => format!("{} for a start.", counted(planned, "plan waits", "plans wait")),
        (running, _) => format!("{} running.", counted(running, "purge is", "purges are")),
    };
    // What ended half way is still to be decided about.
    let half = purges.iter().find(|purge| purge.state == PurgeState::Failed && purge.count(CutResult::Done) > 0);
    let rest = half.map(|purge| {
        let left = (purge.partitions.len() - purge.count(CutResult::Done)) as u64;
        let still = counted(left, "partition still holds its records", "partitions still hold their records");
        format!("A purge of {} failed half way; {still}.", short(purge.topic.as_str(), 120))
    });
    (first, rest.unwrap_or_default())
}

impl Row {
    fn new(purge: &Purge) -> Self {
        let groups = view::losses(purge);
        Self {
            href: format!("/purges/{}", purge.id),
            topic: short(purge.topic.as_str(), 249),
            bus: short(purge.bus.as_str(), 80),
            look: view::state(purge),
            state: view::state_words(purge),
            scope: scope(purge),
            records: grouped(purge.records()),
            purged: if purge.state == PurgeState::Planned { String::new() } else { grouped(purge.purged()) },
            open: grouped(purge.below().open),
            losses: match groups.as_slice() {
                [] => "none".to_owned(),
                [(group, records)] => format!("{} on {}", grouped(*records), short(group, 80)),
                several => format!("{} groups", several.len()),
            },
            at: purge.created_at,
            by: short(purge.planned_by.name.trim_start_matches("user:"), 60),
        }
    }
}

/// Up to where, in words.
pub(super) fn scope(purge: &Purge) -> String {
    match purge.scope {
        PurgeScope::Indexed => "all that is indexed".to_owned(),
        PurgeScope::Before(at) => format!("before {}", time::exact(at)),
        PurgeScope::Offsets => counted(purge.partitions.len() as u64, "partition by offset", "partitions by offset"),
    }
}

/// What the topic's page asks for.
#[derive(Deserialize)]
struct PlanForm {
    bus: BusId,
    topic: TopicName,
    /// Left out or empty: all that is indexed.
    before: Option<String>,
    /// `partition:first offset that stays`.
    #[serde(default)]
    cut: Vec<String>,
}

impl PlanForm {
    fn request(self) -> Result<PlanRequest, Error> {
        let wanted = match (self.before, self.cut.is_empty()) {
            (Some(before), true) => Wanted::Before(
                parse_time(&before).ok_or_else(|| Error::field("before", "before is a time such as 2026-11-24T03:14 in UTC"))?,
            ),
            (None, true) => Wanted::Indexed,
            (_, false) => {
                let cuts: Option<Vec<_>> = self.cut.iter().map(|cut| parse_cut(cut)).collect();
                Wanted::Offsets(
                    cuts.ok_or_else(|| Error::field("cut", "cut is a partition and the first offset that stays, such as 2:10730"))?,
                )
            }
        };
        Ok(PlanRequest { bus: self.bus, topic: self.topic, wanted })
    }
}

fn parse_cut(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// Plans and leads to the plan.
async fn plan(Admin(caller): Admin, State(state): State<WebState>, Form(form): Form<PlanForm>) -> Result<Response, Error> {
    let purge = acts(&state).plan(&form.request()?, &caller.actor, caller.now).await?;
    Ok(Redirect::to(&format!("/purges/{}", purge.id)).into_response())
}
