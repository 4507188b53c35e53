//! The demo's own page: the simulated shop gets its fix deployed. Only there when the process runs the demo.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::extract::{Form, Operator, Partial, Viewer};
use super::super::render::{Page, render};
use super::super::router::Routes;
use super::super::view::look::Look;
use super::super::view::text::short;
use super::super::{DemoControls, Error, Layout, Section, WebState, cookies, filters};
use crate::lifecycle::inbox::Posted;
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
    /// What the shop's receiver was told, the newest first.
    posts: Vec<PostRow>,
}

struct PostRow {
    look: Look,
    title: String,
    summary: String,
    severity: String,
    times: u32,
    at: Timestamp,
}

impl PostRow {
    fn new(post: &Posted) -> Self {
        let look = match &post.problem {
            None => Look { word: "Valid", icon: "circle-check", tone: "ok" },
            Some(_) => Look { word: "Wrong", icon: "circle-x", tone: "bad" },
        };
        let kind = post.kind.strip_prefix("alert.").unwrap_or(&post.kind);
        Self {
            look,
            title: short(&format!("{}, {kind}", post.rule), 120),
            summary: short(post.problem.as_ref().unwrap_or(&post.summary), 200),
            severity: short(&post.severity, 20),
            times: post.times,
            at: post.at,
        }
    }
}

impl Page for DemoPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

fn controls(state: &WebState) -> Result<&DemoControls, Error> {
    state.demo().ok_or(Error::NotFound("page"))
}

async fn show(_: Viewer, State(state): State<WebState>, layout: Layout) -> Result<Response, Error> {
    let controls = controls(&state)?;
    let (fixed, posts) = (controls.fixed.is_on(), controls.inbox.list().iter().map(PostRow::new).collect());
    let look = if fixed {
        Look { word: "Fix deployed", icon: "circle-check", tone: "ok" }
    } else {
        Look { word: "Bug in production", icon: "circle-alert", tone: "bad" }
    };
    render(&DemoPage { layout: layout.titled(Section::Demo, "Demo"), fixed, look, posts }, &Partial::Full)
}

#[derive(Deserialize)]
struct FixForm {
    deployed: bool,
}

async fn fix(_: Operator, State(state): State<WebState>, Form(form): Form<FixForm>) -> Result<Response, Error> {
    controls(&state)?.fixed.set(form.deployed);
    let mut response = Redirect::to("/demo").into_response();
    cookies::set(&mut response, state.cookies().set_flash(if form.deployed { "Fix deployed" } else { "Fix rolled back" }));
    Ok(response)
}
