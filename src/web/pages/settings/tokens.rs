//! API tokens.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::super::extract::{Admin, Form, Partial, Path, RoleParam};
use super::super::super::render::{Page, render_with};
use super::super::super::router::Routes;
use super::super::super::{Error, Layout, Section, WebState, cookies, filters};
use super::{Problem, problem_of};
use crate::access::{NewToken, Secret};
use crate::model::access::Token;
use crate::model::{Role, Timestamp};

pub(super) fn routes() -> Routes {
    Routes::new().get("/settings/tokens", list).post("/settings/tokens", add).post("/settings/tokens/{id}/revoke", revoke)
}

#[derive(Template)]
#[template(path = "settings/tokens.html")]
struct TokensPage {
    layout: Layout,
    tokens: Vec<Token>,
    /// The token that was just made; shown this once.
    fresh: Option<(String, Secret)>,
    name: String,
    role: Role,
    problem: Problem,
}

impl Page for TokensPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl TokensPage {
    /// Icon, word and tone of a token's state.
    fn state(&self, token: &Token) -> (&'static str, &'static str, &'static str) {
        match (token.revoked_at, token.expires_at) {
            (Some(_), _) => ("circle-slash", "Revoked", "idle"),
            (None, Some(end)) if end <= self.layout.now => ("clock-alert", "Expired", "idle"),
            _ => ("circle-check", "Active", "ok"),
        }
    }
}

/// How long a token may be chosen to last.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Lifetime {
    #[serde(rename = "30d")]
    Month,
    #[serde(rename = "90d")]
    Quarter,
    #[serde(rename = "365d")]
    Year,
    #[serde(rename = "never")]
    Endless,
}

impl Lifetime {
    fn end(self, now: Timestamp) -> Option<Timestamp> {
        let days = match self {
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
            Self::Endless => return None,
        };
        Some(now.plus(Duration::from_hours(days * 24)))
    }
}

#[derive(Deserialize)]
struct AddForm {
    name: String,
    role: RoleParam,
    expires: Lifetime,
}

async fn list(_: Admin, State(state): State<WebState>, layout: Layout) -> Result<Response, Error> {
    let page = page(&state, layout).await?;
    render_with(StatusCode::OK, &page, &Partial::Full)
}

async fn page(state: &WebState, layout: Layout) -> Result<TokensPage, Error> {
    let tokens = state.access().list_tokens().await?;
    let layout = layout.titled(Section::Settings, "Tokens");
    Ok(TokensPage { layout, tokens, fresh: None, name: String::new(), role: Role::Viewer, problem: Problem::default() })
}

async fn add(admin: Admin, State(state): State<WebState>, layout: Layout, Form(form): Form<AddForm>) -> Result<Response, Error> {
    let end = form.expires.end(admin.now);
    let added = state.access().add_token(&admin.actor, &form.name, form.role.0, end, admin.now).await;
    let (status, fresh, problem) = match added {
        Ok(NewToken { token, secret }) => (StatusCode::CREATED, Some((token.name, secret)), Problem::default()),
        Err(error) => {
            let (status, problem) = problem_of(error.into())?;
            (status, None, problem)
        }
    };
    let name = if fresh.is_some() { String::new() } else { form.name };
    let page = TokensPage { fresh, name, role: form.role.0, problem, ..page(&state, layout).await? };
    render_with(status, &page, &Partial::Full)
}

async fn revoke(admin: Admin, State(state): State<WebState>, Path(id): Path<i64>) -> Result<Response, Error> {
    state.access().revoke_token(&admin.actor, id, admin.now).await?;
    let mut response = Redirect::to("/settings/tokens").into_response();
    cookies::set(&mut response, state.cookies().set_flash("Token revoked; it works no more"));
    Ok(response)
}
