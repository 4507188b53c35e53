//! Fields that nobody reads: an operation that takes no query refuses one, as others refuse names that they do not know. A mistyped
//! filter must not answer as if it had been understood.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};

use super::super::WebState;
use super::super::address;
use super::super::error::Error;
use super::super::extract::Viewer;

/// Operations without a field in their query, by method and path.
static WITHOUT_QUERY: LazyLock<HashSet<(Method, String)>> = LazyLock::new(|| {
    let paths = super::super::openapi().paths.paths;
    let operations = paths.into_iter().flat_map(|(path, item)| {
        let methods = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ];
        methods.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    });
    let without = operations.filter(|(.., operation)| operation.as_ref().is_some_and(|operation| !has_query(operation)));
    without.map(|(method, path, _)| (method, path)).collect()
});

fn has_query(operation: &Operation) -> bool {
    let in_query = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(one) if one.parameter_in == ParameterIn::Query);
    operation.parameters.iter().flatten().any(in_query)
}

/// Operations that strangers may call.
const WITHOUT_LOGIN: &[&str] = &["/api/v1/login"];

/// Refuses a query where none is read. Who asks is known first, where a login is needed: strangers are told nothing of what there is.
pub(in crate::web) async fn refuse(State(state): State<WebState>, path: MatchedPath, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if query.is_empty() || !WITHOUT_QUERY.contains(&(request.method().clone(), path.as_str().to_owned())) {
        return next.run(request).await;
    }
    let field = address::pairs(query).into_iter().next().map(|(name, _)| name.chars().take(60).collect::<String>());
    let (mut parts, _) = request.into_parts();
    if !WITHOUT_LOGIN.contains(&path.as_str())
        && let Err(error) = Viewer::from_request_parts(&mut parts, &state).await
    {
        return error.into_response();
    }
    let name = field.as_deref().unwrap_or_default();
    let text = format!("there is no field {name:?} here: this address takes no query");
    Error::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code: "unknown_field", field, text }.into_response()
}
