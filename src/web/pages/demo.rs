//! The demo's own page: the simulated shop gets its fix deployed. Only there when the process runs the demo.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::extract::{Form, Operator, Partial, Viewer};
use super::super::render::{Page, render};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::{Error, Layout, Section, WebState, cookies, filters};
use crate::lifecycle::switch::Switch;
use crate::model::Timestamp;

pub(super) fn routes() -> Routes {
    Routes::new().get("/demo", show).post("/demo/fix", fix)
}

#[derive(Template)]
#[template(path = "demo/demo.html")]
struct DemoPage {
    layout: Layout,
    fixed: bool,
    look: Look,
}

impl Page for DemoPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

fn switch(state: &WebState) -> Result<&Switch, Error> {
    state.demo().ok_or(Error::NotFound("page"))
}

async fn show(_: Viewer, State(state): State<WebState>, layout: Layout) -> Result<Response, Error> {
    let fixed = switch(&state)?.is_on();
    let look = if fixed {
        Look { word: "Fix deployed", icon: "circle-check", tone: "ok" }
    } else {
        Look { word: "Bug in production", icon: "circle-alert", tone: "bad" }
    };
    render(&DemoPage { layout: layout.titled(Section::Demo, "Demo"), fixed, look }, &Partial::Full)
}

#[derive(Deserialize)]
struct FixForm {
    deployed: bool,
}

async fn fix(_: Operator, State(state): State<WebState>, Form(form): Form<FixForm>) -> Result<Response, Error> {
    switch(&state)?.set(form.deployed);
    let mut response = Redirect::to("/demo").into_response();
    cookies::set(&mut response, state.cookies().set_flash(if form.deployed { "Fix deployed" } else { "Fix rolled back" }));
    Ok(response)
}
