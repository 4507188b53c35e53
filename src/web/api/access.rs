//! Login, users and tokens.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::error::{Error, Problem};
use super::super::extract::{Admin, Json as Body, Path, RoleParam, TimeParam, Viewer};
use super::super::pages::login::enter;
use super::super::{RequestContext, WebState, cookies};
use crate::access::UserChange;
use crate::model::access::{Token, User};
use crate::model::{Role, Timestamp};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(list_users, add_user))
        .routes(routes!(change_user, delete_user))
        .routes(routes!(list_tokens, add_token))
        .routes(routes!(revoke_token))
}

/// Name and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

/// Who has logged in.
#[derive(Serialize, utoipa::ToSchema)]
struct LoggedInAs {
    username: String,
    #[schema(value_type = String)]
    role: Role,
}

/// Logs in; the session is in the cookie of the answer.
#[utoipa::path(post, path = "/login", tag = "access", request_body = Login,
    responses((status = 200, body = LoggedInAs), (status = 401, body = Problem), (status = 429, body = Problem)))]
async fn log_in(
    State(state): State<WebState>,
    context: RequestContext,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, Error> {
    let logged_in = enter(&state, &context, &headers, &login.username, &login.password).await?;
    let mut response = Json(LoggedInAs { username: logged_in.user.username, role: logged_in.user.role }).into_response();
    cookies::set(&mut response, state.cookies().begin_session(&logged_in.session));
    Ok(response)
}

/// Ends the session of the request's cookie.
#[utoipa::path(post, path = "/logout", tag = "access", responses((status = 204), (status = 401, body = Problem)))]
async fn log_out(viewer: Viewer, State(state): State<WebState>, headers: HeaderMap) -> Result<Response, Error> {
    if let Some(session) = state.cookies().session(&headers) {
        state.access().log_out(&session, &viewer.actor, viewer.now).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookies::set(&mut response, state.cookies().end_session());
    Ok(response)
}

/// A user.
#[derive(Serialize, utoipa::ToSchema)]
struct UserItem {
    id: String,
    username: String,
    #[schema(value_type = String)]
    role: Role,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
}

impl From<User> for UserItem {
    fn from(user: User) -> Self {
        let User { id, username, role, created_at, last_login_at, disabled_at } = user;
        Self { id: id.to_string(), username, role, created_at, last_login_at, disabled_at }
    }
}

/// All users.
#[derive(Serialize, utoipa::ToSchema)]
struct UserList {
    items: Vec<UserItem>,
    next_cursor: Option<String>,
}

/// Lists the users by name.
#[utoipa::path(get, path = "/users", tag = "access", responses((status = 200, body = UserList), (status = 403, body = Problem)))]
async fn list_users(_: Admin, State(state): State<WebState>) -> Result<Json<UserList>, Error> {
    let users = state.access().list_users().await?;
    Ok(Json(UserList { items: users.into_iter().map(UserItem::from).collect(), next_cursor: None }))
}

/// A user to add.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    username: String,
    password: String,
    #[schema(value_type = String)]
    role: RoleParam,
}

/// Adds a user.
#[utoipa::path(post, path = "/users", tag = "access", request_body = NewUser,
    responses((status = 201, body = UserItem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn add_user(admin: Admin, State(state): State<WebState>, Body(new): Body<NewUser>) -> Result<Response, Error> {
    let added = state.access().add_user(&admin.actor, &new.username, &new.password, new.role.0, admin.now).await;
    let user = added.map_err(|error| renamed(error.into(), "name", "username"))?;
    Ok((StatusCode::CREATED, Json(UserItem::from(user))).into_response())
}

/// What to change; what is missing stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UserPatch {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    role: Option<RoleParam>,
    #[serde(default)]
    disabled: Option<bool>,
}

/// Changes a user and ends their sessions.
#[utoipa::path(patch, path = "/users/{id}", tag = "access", params(("id" = String, Path, description = "Id of the user.")), request_body = UserPatch,
    responses((status = 200, body = UserItem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn change_user(
    admin: Admin,
    State(state): State<WebState>,
    Path(id): Path<i64>,
    Body(patch): Body<UserPatch>,
) -> Result<Json<UserItem>, Error> {
    let change = UserChange { password: patch.password, role: patch.role.map(|role| role.0), disabled: patch.disabled };
    let user = state.access().change_user(&admin.actor, id, change, admin.now).await?;
    Ok(Json(user.into()))
}

/// Deletes a user and ends their sessions.
#[utoipa::path(delete, path = "/users/{id}", tag = "access", params(("id" = String, Path, description = "Id of the user.")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_user(admin: Admin, State(state): State<WebState>, Path(id): Path<i64>) -> Result<StatusCode, Error> {
    state.access().delete_user(&admin.actor, id, admin.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token, without its secret.
#[derive(Serialize, utoipa::ToSchema)]
struct TokenItem {
    id: String,
    name: String,
    #[schema(value_type = String)]
    role: Role,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

impl From<Token> for TokenItem {
    fn from(token: Token) -> Self {
        let Token { id, name, role, created_at, created_by, expires_at, last_used_at, revoked_at } = token;
        Self { id: id.to_string(), name, role, created_at, created_by, expires_at, last_used_at, revoked_at }
    }
}

/// All tokens.
#[derive(Serialize, utoipa::ToSchema)]
struct TokenList {
    items: Vec<TokenItem>,
    next_cursor: Option<String>,
}

/// Lists the tokens, newest first, revoked ones included.
#[utoipa::path(get, path = "/tokens", tag = "access", responses((status = 200, body = TokenList), (status = 403, body = Problem)))]
async fn list_tokens(_: Admin, State(state): State<WebState>) -> Result<Json<TokenList>, Error> {
    let tokens = state.access().list_tokens().await?;
    Ok(Json(TokenList { items: tokens.into_iter().map(TokenItem::from).collect(), next_cursor: None }))
}

/// A token to make.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenWish {
    name: String,
    #[schema(value_type = String)]
    role: RoleParam,
    /// When it ends; never, when missing or null.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeParam>,
}

/// A token that was just made.
#[derive(Serialize, utoipa::ToSchema)]
struct TokenMade {
    id: String,
    /// The secret, this once.
    token: String,
}

/// Makes a token. The answer is the only place that shows it.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = TokenWish,
    responses((status = 201, body = TokenMade), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn add_token(admin: Admin, State(state): State<WebState>, Body(wish): Body<TokenWish>) -> Result<Response, Error> {
    let end = wish.expires_at.map(|end| end.0);
    let made = state.access().add_token(&admin.actor, &wish.name, wish.role.0, end, admin.now).await?;
    let body = TokenMade { id: made.token.id.to_string(), token: made.secret.expose().to_owned() };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Revokes a token; what uses it is refused at once.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path, description = "Id of the token.")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn revoke_token(admin: Admin, State(state): State<WebState>, Path(id): Path<i64>) -> Result<StatusCode, Error> {
    state.access().revoke_token(&admin.actor, id, admin.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The field as this call names it.
fn renamed(error: Error, from: &str, to: &str) -> Error {
    match error {
        Error::Invalid { status, code, field: Some(field), text } if field == from => {
            Error::Invalid { status, code, field: Some(to.to_owned()), text }
        }
        other => other,
    }
}
