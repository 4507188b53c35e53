//! One's own account: who one is here, and a new password.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::super::extract::{Form, Partial, Viewer};
use super::super::super::render::{Page, render_with};
use super::super::super::router::Routes;
use super::super::super::{Error, Layout, RequestContext, Section, WebState, cookies, filters};
use super::super::login;
use super::{Problem, problem_of};
use crate::access::Via;
use crate::model::Timestamp;

pub(super) fn routes() -> Routes {
    Routes::new().get("/settings/account", show).post("/settings/account", change_password)
}

#[derive(Template)]
#[template(path = "settings/account.html")]
struct AccountPage {
    layout: Layout,
    problem: Problem,
}

impl Page for AccountPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Deserialize)]
struct PasswordForm {
    current: String,
    password: String,
}

async fn show(_: Viewer, layout: Layout) -> Result<Response, Error> {
    answer(layout, StatusCode::OK, Problem::default())
}

fn answer(layout: Layout, status: StatusCode, problem: Problem) -> Result<Response, Error> {
    render_with(status, &AccountPage { layout: layout.titled(Section::Settings, "Your account"), problem }, &Partial::Full)
}

/// Every session of the person ends with the old password; this browser gets a new one.
async fn change_password(
    viewer: Viewer,
    State(state): State<WebState>,
    context: RequestContext,
    headers: HeaderMap,
    layout: Layout,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Error> {
    if viewer.identity.via != Via::Session {
        return Err(Error::Conflict { code: "no_password", text: "Only people who logged in have a password.".to_owned() });
    }
    let name = &viewer.identity.name;
    let changed = state.access().change_own_password(&viewer.actor, name, &form.current, &form.password, viewer.now).await;
    if let Err(error) = changed {
        let (status, problem) = problem_of(error.into())?;
        return answer(layout, status, problem);
    }
    let logged_in = login::enter(&state, &context, &headers, name, &form.password).await?;
    let mut response = Redirect::to("/settings/account").into_response();
    cookies::set(&mut response, state.cookies().begin_session(&logged_in.session));
    cookies::set(&mut response, state.cookies().set_flash("Password changed; other sessions have ended"));
    Ok(response)
}
