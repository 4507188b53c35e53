//! Receivers: all of them, one, and a new one.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::api::receivers::parse_id;
use super::super::extract::{Admin, Form, Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render, render_with};
use super::super::router::Routes;
use super::super::view::delivery::{self as view, DeliveryRow};
use super::super::view::look::Look;
use super::super::view::number::counted;
use super::super::view::text::short;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::problem::{Problem, problem_of};
use crate::alerts::notify::webhook::new_secret;
use crate::model::delivery::{Delivery, DeliveryFilter, DeliveryState};
use crate::model::receiver::Receiver;
use crate::model::{PageRequest, Role, Timestamp};
use crate::store::deliveries::Arrived;

mod form;

use form::Fields;

/// Deliveries on the page of one receiver.
const RECENT: u32 = 20;
/// What arrived is counted so far back.
const WEEK: Duration = Duration::from_hours(7 * 24);

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/receivers", receivers)
        .post("/receivers", add)
        .get("/receivers/new", new)
        .get("/receivers/{id}", show)
        .post("/receivers/{id}", change)
        .post("/receivers/{id}/delete", delete)
        .post("/receivers/{id}/test", test)
        .post("/receivers/{id}/rules", tell_untold)
}

#[derive(Template)]
#[template(path = "receivers/receivers.html", blocks = ["receivers"])]
struct ReceiversPage {
    layout: Layout,
    lede: (String, String),
    rows: Vec<Row>,
    may_act: bool,
}

struct Row {
    href: String,
    name: String,
    host: String,
    kind: &'static str,
    look: Look,
    since: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    made: u64,
    delivered: u64,
}

impl Page for ReceiversPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "receivers").then(|| part(&self.as_receivers(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "receivers/new.html")]
struct NewPage {
    layout: Layout,
    fields: Fields,
    problem: Problem,
}

impl Page for NewPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "receivers/receiver.html")]
struct ReceiverPage {
    layout: Layout,
    receiver: Receiver,
    kind: &'static str,
    look: Look,
    words: String,
    flagged: bool,
    rows: Vec<DeliveryRow>,
    fields: Fields,
    problem: Problem,
    /// Rules that tell nobody.
    untold: u64,
    /// What becomes of the rules that name it when it is deleted.
    without_it: String,
    may_act: bool,
}

impl Page for ReceiverPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl Row {
    fn new(receiver: &Receiver, arrived: Option<&Arrived>, now: Timestamp) -> Self {
        Self {
            href: format!("/receivers/{}", receiver.id),
            name: short(&receiver.name, 100),
            host: short(&receiver.host, 100),
            kind: view::kind(receiver.kind),
            look: view::receiver(receiver, now),
            since: receiver.gone_at.or(receiver.failing_since),
            delivered_at: receiver.delivered_at,
            made: arrived.map_or(0, |arrived| arrived.made),
            delivered: arrived.map_or(0, |arrived| arrived.delivered),
        }
    }
}

async fn receivers(_: Viewer, State(state): State<WebState>, layout: Layout, partial: Partial) -> Result<Response, Error> {
    let receivers = state.store().list_receivers().await?;
    let arrived = state.store().count_arrived(layout.now.minus(WEEK)).await?;
    let arrived: HashMap<_, _> = arrived.into_iter().map(|arrived| (arrived.receiver, arrived)).collect();
    let rows = receivers.iter().map(|receiver| Row::new(receiver, arrived.get(&receiver.id), layout.now)).collect();
    let (lede, may_act) = (lede(&receivers, layout.now), layout.may(Role::Admin));
    render(&ReceiversPage { layout: layout.titled(Section::Alerts, "Receivers"), lede, rows, may_act }, &partial)
}

fn lede(receivers: &[Receiver], now: Timestamp) -> (String, String) {
    let flagged = receivers.iter().filter(|receiver| receiver.is_flagged(now)).count() as u64;
    let failing = receivers.iter().filter(|receiver| receiver.failing_since.is_some()).count() as u64;
    match (receivers.len() as u64, flagged, failing) {
        (0, ..) => ("Nobody is told when an alert fires.".to_owned(), String::new()),
        (_, 0, 0) => ("Every receiver took the last thing it was sent.".to_owned(), String::new()),
        (_, 0, failing) => {
            (format!("{} not reached now.", counted(failing, "receiver is", "receivers are")), "What waits is tried again.".to_owned())
        }
        (_, flagged, _) => (
            format!("{} you: not reached for a day, or gone.", counted(flagged, "receiver needs", "receivers need")),
            "They are never switched off.".to_owned(),
        ),
    }
}

#[derive(Deserialize)]
struct NewQuery {
    kind: Option<String>,
}

async fn new(_: Admin, layout: Layout, Query(query): Query<NewQuery>) -> Result<Response, Error> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    let fields = Fields::proposed(query.kind.as_deref().unwrap_or_default(), new_secret(random).expose());
    answer_new(layout, StatusCode::OK, fields, Problem::default())
}

fn answer_new(layout: Layout, status: StatusCode, fields: Fields, problem: Problem) -> Result<Response, Error> {
    let layout = layout.crumb("Receivers", "/receivers").titled(Section::Alerts, "New receiver");
    render_with(status, &NewPage { layout, fields, problem }, &Partial::Full)
}

async fn add(Admin(caller): Admin, State(state): State<WebState>, layout: Layout, Form(fields): Form<Fields>) -> Result<Response, Error> {
    let added = async { Ok::<_, Error>(state.deliveries().receivers().add(fields.parse(false)?, &caller.actor, caller.now).await?) };
    match added.await {
        Ok(receiver) => Ok(to(&state, &format!("/receivers/{}", receiver.id), "Receiver saved. Send a test to see whether it is reached")),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer_new(layout, status, fields, problem)
        }
    }
}

async fn show(_: Viewer, State(state): State<WebState>, layout: Layout, Path(id): Path<String>) -> Result<Response, Error> {
    answer(&state, layout, &id, StatusCode::OK, None, Problem::default()).await
}

async fn answer(
    state: &WebState,
    layout: Layout,
    id: &str,
    status: StatusCode,
    fields: Option<Fields>,
    problem: Problem,
) -> Result<Response, Error> {
    let receiver = state.deliveries().receivers().find(parse_id(id)?).await?;
    let filter = DeliveryFilter { receiver: Some(receiver.id), ..DeliveryFilter::default() };
    let recent = state.store().list_deliveries(&filter, &PageRequest::first(RECENT)).await?;
    let may_act = layout.may(Role::Admin);
    let fields = match fields {
        Some(fields) => fields,
        None if may_act => Fields::of(state.deliveries().receivers().open(receiver.id).await.ok().map(|(_, endpoint)| endpoint), &receiver),
        None => Fields::default(),
    };
    let page = ReceiverPage {
        kind: view::kind(receiver.kind),
        look: view::receiver(&receiver, layout.now),
        words: words(&receiver),
        flagged: receiver.is_flagged(layout.now),
        rows: recent.items.iter().map(|delivery| DeliveryRow::new(delivery, layout.now)).collect(),
        fields,
        problem,
        untold: state.alerts().list_untold().await?.len() as u64,
        without_it: without_it(state.alerts().count_telling(receiver.id).await?),
        may_act,
        layout: layout.crumb("Receivers", "/receivers").titled(Section::Alerts, short(&receiver.name, 100)),
        receiver,
    };
    render_with(status, &page, &Partial::Full)
}

/// Of rules that name a receiver, and of those that name no other.
fn without_it((naming, alone): (u64, u64)) -> String {
    let name = counted(naming, "rule names it", "rules name it");
    match (naming, alone) {
        (0, _) => "No rule names it.".to_owned(),
        (1, 0) => "1 rule names it and tells others as well.".to_owned(),
        (_, 0) => format!("{name} and tell others as well."),
        (1, _) => "1 rule names it and tells nobody then.".to_owned(),
        (naming, alone) if naming == alone => format!("{name} and tell nobody then."),
        (_, 1) => format!("{name}; 1 of them tells nobody then."),
        (_, alone) => format!("{name}; {alone} of them tell nobody then."),
    }
}

fn words(receiver: &Receiver) -> String {
    match (receiver.failing_since, receiver.delivered_at) {
        (Some(_), Some(_)) => "It was reached before, but not by the last attempt.".to_owned(),
        (Some(_), None) => "It was never reached.".to_owned(),
        (None, Some(at)) if at < receiver.changed_at => "It was changed since the last thing it took.".to_owned(),
        (None, Some(_)) => "It took the last thing it was sent.".to_owned(),
        (None, None) => "Nothing has reached it yet.".to_owned(),
    }
}

async fn change(
    Admin(caller): Admin,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    let receivers = state.deliveries().receivers();
    let changed = async { Ok::<_, Error>(receivers.change(parse_id(&id)?, fields.parse(true)?, &caller.actor, caller.now).await?) };
    match changed.await {
        Ok(_) => Ok(to(&state, &format!("/receivers/{id}"), "Receiver saved")),
        Err(error) => {
            let (status, problem) = problem_of(error)?;
            answer(&state, layout, &id, status, Some(fields), problem).await
        }
    }
}

async fn delete(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    state.deliveries().receivers().remove(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(to(&state, "/receivers", "Receiver deleted"))
}

async fn tell_untold(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let receiver = state.deliveries().receivers().find(parse_id(&id)?).await?;
    let rules = state.alerts().tell_untold(receiver.id, &caller.actor, caller.now).await?;
    Ok(to(&state, &format!("/receivers/{id}"), &format!("{} it from now on", counted(rules, "rule tells", "rules tell"))))
}

/// Leads to what came of it.
async fn test(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Response, Error> {
    let delivery = state.deliveries().test(parse_id(&id)?, &caller.actor, caller.now).await?;
    Ok(to(&state, &format!("/deliveries/{}", delivery.id), &said(&delivery)))
}

fn said(delivery: &Delivery) -> String {
    match delivery.state {
        DeliveryState::Delivered => "The test was delivered".to_owned(),
        DeliveryState::GivenUp => "The test was not delivered; the attempt says why".to_owned(),
        _ => "The test is on its way".to_owned(),
    }
}

fn to(state: &WebState, address: &str, message: &str) -> Response {
    let mut response = Redirect::to(address).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}
