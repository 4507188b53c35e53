//! The configured buses, and the routes below them.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::segment;
use super::super::view::freshness::Freshness;
use super::super::view::look::capability_words;
use super::super::{Error, Layout, Section, WebState, filters};
use super::{consumer_group, consumer_groups, topic, topics};
use crate::model::{BusId, BusState, Timestamp};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/buses", show)
        .get("/topics", to_topics)
        .get("/consumer-groups", to_consumer_groups)
        .get("/buses/{bus}/topics", topics::show)
        .get("/buses/{bus}/topics/{topic}", topic::show)
        .get("/buses/{bus}/consumer-groups", consumer_groups::show)
        .get("/buses/{bus}/consumer-groups/{group}", consumer_group::show)
        .get("/buses/{bus}/consumer-groups/{group}/lag", consumer_group::exact::show)
}

/// A bus with what it lacks.
#[derive(Debug)]
struct BusRow {
    bus: BusState,
    href: String,
    freshness: Freshness,
    lacks: Vec<Lack>,
}

/// Something a bus cannot do.
#[derive(Debug)]
struct Lack {
    what: &'static str,
    reason: String,
}

#[derive(Template)]
#[template(path = "buses/page.html", blocks = ["buses"])]
struct BusesPage {
    layout: Layout,
    buses: Vec<BusRow>,
}

impl BusesPage {
    fn unreachable(&self) -> u64 {
        self.buses.iter().filter(|row| row.freshness.is_unreachable()).count() as u64
    }
}

impl BusRow {
    fn new(bus: BusState, now: Timestamp) -> Self {
        let lacks = bus.capabilities.unavailable.iter();
        Self {
            href: format!("/buses/{}", segment(bus.id.as_str())),
            freshness: Freshness::of(&bus, now),
            lacks: lacks.map(|(what, reason)| Lack { what: capability_words(*what), reason: reason.clone() }).collect(),
            bus,
        }
    }
}

impl Page for BusesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "buses").then(|| part(&self.as_buses(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn show(_: Viewer, State(state): State<WebState>, layout: Layout, partial: Partial) -> Result<Response, Error> {
    let now = layout.now;
    let buses = state.store().list_buses().await?.into_iter().map(|bus| BusRow::new(bus, now)).collect();
    render(&BusesPage { layout: layout.titled(Section::Buses, "Buses"), buses }, &partial)
}

/// Which bus the navigation means.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Chosen {
    bus: Option<BusId>,
}

/// Topics belong to a bus: the chosen one, or the only one.
async fn to_topics(_: Viewer, State(state): State<WebState>, Query(chosen): Query<Chosen>) -> Result<Response, Error> {
    to_list(&state, chosen.bus, "topics").await
}

/// Consumer groups belong to a bus: the chosen one, or the only one.
async fn to_consumer_groups(_: Viewer, State(state): State<WebState>, Query(chosen): Query<Chosen>) -> Result<Response, Error> {
    to_list(&state, chosen.bus, "consumer-groups").await
}

async fn to_list(state: &WebState, chosen: Option<BusId>, list: &str) -> Result<Response, Error> {
    let buses = state.store().list_buses().await?;
    let bus = match (chosen, buses.as_slice()) {
        (Some(bus), _) => Some(bus),
        (None, [only]) => Some(only.id.clone()),
        (None, _) => None,
    };
    let target = bus.map_or_else(|| "/buses".to_owned(), |bus| format!("/buses/{}/{list}", segment(bus.as_str())));
    Ok(Redirect::to(&target).into_response())
}
