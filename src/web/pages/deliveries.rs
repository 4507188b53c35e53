//! Deliveries: what was posted to whom, and one with its attempts.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::deliveries::parse_filter;
use super::super::extract::{CursorParam, LimitParam, Operator, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::delivery::{self as view, AttemptRow, DeliveryRow};
use super::super::view::look::Look;
use super::super::view::number::counted;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use crate::model::delivery::{Attempt, Delivery, DeliveryState};
use crate::model::notification::NotifiedAlert;
use crate::model::{Role, Timestamp};

/// Rows of a page, and alerts of one delivery.
const ROWS: u32 = 50;
/// What was given up is told for so long.
const DAY: Duration = Duration::from_hours(24);

pub(super) fn routes() -> Routes {
    Routes::new().get("/deliveries", deliveries).get("/deliveries/{id}", show).post("/deliveries/{id}/redeliver", redeliver)
}

#[derive(Template)]
#[template(path = "deliveries/deliveries.html", blocks = ["deliveries"])]
struct DeliveriesPage {
    layout: Layout,
    lede: (String, String),
    states: Vec<(&'static str, String, bool)>,
    receiver: Option<(String, String)>,
    rows: Vec<DeliveryRow>,
    is_filtered: bool,
    next: Option<String>,
}

impl Page for DeliveriesPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "deliveries").then(|| part(&self.as_deliveries(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "deliveries/delivery.html", blocks = ["delivery"])]
struct DeliveryPage {
    layout: Layout,
    id: String,
    row: DeliveryRow,
    words: String,
    kind: &'static str,
    receiver_href: String,
    alerts: Vec<AlertRow>,
    more_alerts: usize,
    attempts: Vec<AttemptRow>,
    answer: Option<(u32, String)>,
    give_up_at: Option<Timestamp>,
    is_sending: bool,
    is_delivered: bool,
    may_act: bool,
}

struct AlertRow {
    look: Look,
    summary: String,
    labels: String,
    value: String,
    began: Timestamp,
}

impl Page for DeliveryPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "delivery").then(|| part(&self.as_delivery(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Deserialize)]
struct ListQuery {
    receiver: Option<String>,
    state: Option<String>,
    cursor: Option<CursorParam>,
    #[expect(dead_code, reason = "the frame reads it")]
    bus: Option<String>,
}

async fn deliveries(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<ListQuery>,
) -> Result<Response, Error> {
    let filter = parse_filter(query.receiver.as_deref(), query.state.as_deref())?;
    let page = state.store().list_deliveries(&filter, &LimitParam::page(query.cursor, None, ROWS)).await?;
    let (retrying, given_up) = state.store().count_troubled(layout.now.minus(DAY)).await?;
    let mut here = Address::new("/deliveries");
    let receiver = match filter.receiver {
        Some(id) => {
            here = here.set("receiver", &id.to_string());
            let name = state.store().find_receiver(id).await?.map_or_else(|| "removed".to_owned(), |receiver| short(&receiver.name, 60));
            Some((name, "/deliveries".to_owned()))
        }
        None => None,
    };
    let choice = |label, wanted: Option<DeliveryState>| {
        let address = wanted.map_or_else(|| here.clone(), |wanted| here.clone().set("state", wanted.as_str()));
        (label, address.to_string(), filter.state == wanted)
    };
    let states = vec![
        choice("All", None),
        choice("Retrying", Some(DeliveryState::Failed)),
        choice("Gave up", Some(DeliveryState::GivenUp)),
        choice("Superseded", Some(DeliveryState::Superseded)),
        choice("Delivered", Some(DeliveryState::Delivered)),
    ];
    let this = filter.state.map_or_else(|| here.clone(), |state| here.clone().set("state", state.as_str()));
    let page = DeliveriesPage {
        lede: lede(retrying, given_up),
        states,
        receiver,
        rows: page.items.iter().map(|delivery| DeliveryRow::new(delivery, layout.now)).collect(),
        is_filtered: filter.receiver.is_some() || filter.state.is_some(),
        next: page.next_cursor.map(|cursor| this.set("cursor", &cursor.to_string()).to_string()),
        layout: layout.titled(Section::Alerts, "Deliveries"),
    };
    render(&page, &partial)
}

fn lede(retrying: u64, given_up: u64) -> (String, String) {
    let rest = match given_up {
        0 => String::new(),
        given_up => format!("{} given up in the last 24 h.", counted(given_up, "was", "were")),
    };
    match retrying {
        0 => ("Nothing is being retried.".to_owned(), rest),
        retrying => (format!("{} being retried.", counted(retrying, "delivery is", "deliveries are")), rest),
    }
}

async fn show(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let delivery = state.store().find_delivery(&id).await?.ok_or(Error::NotFound("delivery"))?;
    let attempts = state.store().list_attempts(delivery.number).await?;
    render(&DeliveryPage::new(layout, delivery, &attempts), &partial)
}

impl DeliveryPage {
    fn new(layout: Layout, delivery: Delivery, attempts: &[Attempt]) -> Self {
        let all = &delivery.notification.alerts;
        let answered = attempts.iter().rev().find_map(|attempt| Some((attempt.number, attempt.answer.clone()?)));
        let title = format!("To {}", short(&delivery.receiver_name, 80));
        Self {
            row: DeliveryRow::new(&delivery, layout.now),
            words: words(&delivery),
            kind: view::kind(delivery.kind),
            receiver_href: format!("/receivers/{}", delivery.receiver),
            alerts: all.iter().take(ROWS as usize).map(AlertRow::new).collect(),
            more_alerts: all.len().saturating_sub(ROWS as usize),
            attempts: attempts.iter().rev().map(AttemptRow::from).collect(),
            answer: answered,
            give_up_at: delivery.ended_at.is_none().then_some(delivery.give_up_at),
            is_sending: delivery.state == DeliveryState::Sending,
            is_delivered: delivery.state == DeliveryState::Delivered,
            may_act: layout.may(Role::Operator),
            layout: layout.crumb("Deliveries", "/deliveries").titled(Section::Alerts, title),
            id: delivery.id,
        }
    }
}

fn words(delivery: &Delivery) -> String {
    let tries = counted(u64::from(delivery.attempts), "attempt", "attempts");
    match delivery.state {
        DeliveryState::Waiting => "It is sent in a moment.".to_owned(),
        DeliveryState::Sending => "It is being sent.".to_owned(),
        DeliveryState::Delivered => format!("It arrived after {tries}."),
        DeliveryState::Failed => format!("It did not arrive by {tries} and is tried again."),
        DeliveryState::GivenUp if delivery.is_test() => "The test did not arrive; tests are sent once.".to_owned(),
        DeliveryState::GivenUp => format!("It did not arrive by {tries}, and is not tried any more."),
        DeliveryState::Superseded => {
            format!("It did not arrive by {tries}. Later messages did, and say how its alerts stand; it is not tried any more.")
        }
    }
}

impl AlertRow {
    fn new(alert: &NotifiedAlert) -> Self {
        let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let summary = if alert.summary.is_empty() { &alert.rule } else { &alert.summary };
        Self {
            look: view::alert(alert),
            summary: short(summary, 300),
            labels: short(&labels.join(", "), 300),
            value: alert.value.map_or_else(|| "no data".to_owned(), |value| format!("{value:.2} {}", short(&alert.unit, 20))),
            began: alert.started_at,
        }
    }
}

async fn redeliver(Operator(caller): Operator, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let delivery = state.deliveries().redeliver(&id, &caller.actor, caller.now).await?;
    let mut response = Redirect::to(&format!("/deliveries/{}", delivery.id)).into_response();
    cookies::set(&mut response, state.cookies().set_flash("It is sent again"));
    Ok(response)
}
