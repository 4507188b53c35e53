//! Users: who may log in, and as what.

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
use crate::access::UserChange;
use crate::config::AuthMode;
use crate::model::access::User;
use crate::model::{Role, Timestamp};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/settings/users", list)
        .post("/settings/users", add)
        .get("/settings/users/{id}", show)
        .post("/settings/users/{id}", change)
        .post("/settings/users/{id}/delete", delete)
}

#[derive(Template)]
#[template(path = "settings/users.html")]
struct UsersPage {
    layout: Layout,
    users: Vec<User>,
    needs_login: bool,
    username: String,
    role: Role,
    problem: Problem,
}

impl Page for UsersPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "settings/user.html")]
struct UserPage {
    layout: Layout,
    user: User,
    /// Whether it is the person who looks.
    own: bool,
    problem: Problem,
}

impl Page for UserPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Deserialize)]
struct AddForm {
    username: String,
    password: String,
    role: RoleParam,
}

#[derive(Deserialize)]
struct ChangeForm {
    role: Option<RoleParam>,
    password: Option<String>,
    disabled: Option<bool>,
}

async fn list(_: Admin, State(state): State<WebState>, layout: Layout) -> Result<Response, Error> {
    render_list(&state, layout, StatusCode::OK, String::new(), Role::Viewer, Problem::default()).await
}

async fn render_list(
    state: &WebState,
    layout: Layout,
    status: StatusCode,
    username: String,
    role: Role,
    problem: Problem,
) -> Result<Response, Error> {
    let users = state.access().list_users().await?;
    let layout = layout.titled(Section::Settings, "Users");
    render_with(
        status,
        &UsersPage { layout, users, needs_login: state.config().auth.mode == AuthMode::Password, username, role, problem },
        &Partial::Full,
    )
}

async fn add(admin: Admin, State(state): State<WebState>, layout: Layout, Form(form): Form<AddForm>) -> Result<Response, Error> {
    let added = state.access().add_user(&admin.actor, &form.username, &form.password, form.role.0, admin.now).await;
    match added {
        Ok(user) => Ok(done(&state, "/settings/users", &format!("User {} added", user.username))),
        Err(error) => {
            let (status, problem) = problem_of(error.into())?;
            render_list(&state, layout, status, form.username, form.role.0, problem).await
        }
    }
}

async fn show(_: Admin, State(state): State<WebState>, layout: Layout, Path(id): Path<i64>) -> Result<Response, Error> {
    render_one(&state, layout, id, StatusCode::OK, Problem::default()).await
}

async fn render_one(state: &WebState, layout: Layout, id: i64, status: StatusCode, problem: Problem) -> Result<Response, Error> {
    let user = state.access().get_user(id).await?;
    let own = layout.is_user(&user.username);
    let layout = layout.titled(Section::Settings, user.username.clone()).crumb("Users", "/settings/users");
    render_with(status, &UserPage { layout, user, own, problem }, &Partial::Full)
}

async fn change(
    admin: Admin,
    State(state): State<WebState>,
    layout: Layout,
    Path(id): Path<i64>,
    Form(form): Form<ChangeForm>,
) -> Result<Response, Error> {
    let change = UserChange { role: form.role.map(|role| role.0), password: form.password, disabled: form.disabled };
    match state.access().change_user(&admin.actor, id, change, admin.now).await {
        Ok(user) => Ok(done(&state, &format!("/settings/users/{id}"), &format!("User {} changed", user.username))),
        Err(error) => {
            let (status, problem) = problem_of(error.into())?;
            render_one(&state, layout, id, status, problem).await
        }
    }
}

async fn delete(admin: Admin, State(state): State<WebState>, layout: Layout, Path(id): Path<i64>) -> Result<Response, Error> {
    match state.access().delete_user(&admin.actor, id, admin.now).await {
        Ok(()) => Ok(done(&state, "/settings/users", "User deleted")),
        Err(error) => {
            let (status, problem) = problem_of(error.into())?;
            render_one(&state, layout, id, status, problem).await
        }
    }
}

fn done(state: &WebState, address: &str, message: &str) -> Response {
    let mut response = Redirect::to(address).into_response();
    cookies::set(&mut response, state.cookies().set_flash(message));
    response
}
