//! Coming in and going out: login, logout, the first administrator, the theme.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::extract::{Form, Query, Viewer};
use super::super::render::{html_response, part};
use super::super::router::Routes;
use super::super::{Error, RequestContext, Theme, WebState, address, cookies, filters};
use crate::access::{FirstStartError, LoggedIn, LoginError};
use crate::config::AuthMode;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/login", show_login)
        .post("/login", log_in)
        .post("/logout", log_out)
        .get("/first-start", show_first_start)
        .post("/first-start", first_start)
        .post("/theme", set_theme)
}

/// What was typed and what is wrong with it. The password never goes back.
#[derive(Template, Default)]
#[template(path = "login/login.html")]
struct LoginPage {
    theme: &'static str,
    next: String,
    username: String,
    problem: Option<LoginProblem>,
}

enum LoginProblem {
    Wrong,
    TooMany { seconds: u64 },
}

#[derive(Template, Default)]
#[template(path = "login/first_start.html")]
struct FirstStartPage {
    theme: &'static str,
    username: String,
    problem: Option<FormProblem>,
}

/// A sentence about one field of a form.
struct FormProblem {
    field: &'static str,
    text: String,
}

impl FirstStartPage {
    fn about(&self, field: &str) -> Option<&str> {
        self.problem.as_ref().filter(|problem| problem.field == field).map(|problem| problem.text.as_str())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginQuery {
    next: Option<String>,
}

#[derive(Deserialize)]
struct LoginForm {
    username: String,
    password: String,
    next: Option<String>,
}

async fn show_login(
    State(state): State<WebState>,
    context: RequestContext,
    headers: HeaderMap,
    Query(query): Query<LoginQuery>,
) -> Result<Response, Error> {
    let next = local(query.next);
    if context.identity(&state, &headers).await?.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    if !state.access().has_users().await? {
        return Ok(Redirect::to("/first-start").into_response());
    }
    let page = LoginPage { theme: theme(&state, &headers), next, ..LoginPage::default() };
    Ok(html_response(StatusCode::OK, part(&page, context.now())?))
}

async fn log_in(
    State(state): State<WebState>,
    context: RequestContext,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Error> {
    let next = local(form.next);
    let problem = match enter(&state, &context, &headers, &form.username, &form.password).await {
        Ok(logged_in) => {
            let mut response = Redirect::to(&next).into_response();
            cookies::set(&mut response, state.cookies().begin_session(&logged_in.session));
            return Ok(response);
        }
        Err(LoginError::Wrong) => LoginProblem::Wrong,
        Err(LoginError::TooMany(wait)) => LoginProblem::TooMany { seconds: wait.as_secs() + 1 },
        Err(LoginError::Store(error)) => return Err(error.into()),
    };
    let status = if matches!(problem, LoginProblem::Wrong) { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
    let page = LoginPage { theme: theme(&state, &headers), next, username: form.username, problem: Some(problem) };
    Ok(html_response(status, part(&page, context.now())?))
}

/// Logs in by name and password; the session that the browser had ends.
pub(in crate::web) async fn enter(
    state: &WebState,
    context: &RequestContext,
    headers: &HeaderMap,
    username: &str,
    password: &str,
) -> Result<LoggedIn, LoginError> {
    let previous = state.cookies().session(headers);
    let result = state.access().log_in(username, password, context.address(), previous.as_deref(), context.now()).await;
    if matches!(result, Err(LoginError::Wrong | LoginError::TooMany(_))) {
        state.metrics().login_failures_total.inc();
    }
    result
}

async fn log_out(viewer: Viewer, State(state): State<WebState>, headers: HeaderMap) -> Result<Response, Error> {
    if let Some(session) = state.cookies().session(&headers) {
        state.access().log_out(&session, &viewer.actor, viewer.now).await?;
    }
    let mut response = Redirect::to("/login").into_response();
    cookies::set(&mut response, state.cookies().end_session());
    Ok(response)
}

async fn show_first_start(State(state): State<WebState>, context: RequestContext, headers: HeaderMap) -> Result<Response, Error> {
    if state.access().mode() == AuthMode::None || state.access().has_users().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let page = FirstStartPage { theme: theme(&state, &headers), ..FirstStartPage::default() };
    Ok(html_response(StatusCode::OK, part(&page, context.now())?))
}

#[derive(Deserialize)]
struct FirstStartForm {
    code: String,
    username: String,
    password: String,
}

async fn first_start(
    State(state): State<WebState>,
    context: RequestContext,
    headers: HeaderMap,
    Form(form): Form<FirstStartForm>,
) -> Result<Response, Error> {
    let made = state.access().finish_first_start(&form.code, &form.username, &form.password, context.address(), context.now()).await;
    let problem = match made.map_err(explain) {
        Ok(_) => {
            let logged_in = enter(&state, &context, &headers, &form.username, &form.password).await?;
            let mut response = Redirect::to("/").into_response();
            cookies::set(&mut response, state.cookies().begin_session(&logged_in.session));
            return Ok(response);
        }
        Err(Ok(problem)) => problem,
        Err(Err(error)) => return Err(error),
    };
    let page = FirstStartPage { theme: theme(&state, &headers), username: form.username, problem: Some(problem) };
    Ok(html_response(StatusCode::UNPROCESSABLE_ENTITY, part(&page, context.now())?))
}

/// A problem that the form can show, or an error that it cannot.
fn explain(error: FirstStartError) -> Result<FormProblem, Error> {
    match Error::from(error) {
        Error::Invalid { field: Some(field), text, .. } => {
            let field = match field.as_str() {
                "code" => "code",
                "password" => "password",
                _ => "username",
            };
            Ok(FormProblem { field, text })
        }
        Error::TooMany(wait) => Ok(FormProblem { field: "code", text: format!("Too many tries. Wait {} s.", wait.as_secs() + 1) }),
        other => Err(other),
    }
}

#[derive(Deserialize)]
struct ThemeForm {
    theme: Theme,
    back: Option<String>,
}

async fn set_theme(_: Viewer, State(state): State<WebState>, Form(form): Form<ThemeForm>) -> Response {
    let mut response = Redirect::to(&local(form.back)).into_response();
    cookies::set(&mut response, state.cookies().set_theme(form.theme));
    response
}

/// Where to go afterwards: only within our own pages.
fn local(next: Option<String>) -> String {
    next.filter(|next| address::is_local(next)).unwrap_or_else(|| "/".to_owned())
}

fn theme(state: &WebState, headers: &HeaderMap) -> &'static str {
    state.cookies().theme(headers).as_str()
}
