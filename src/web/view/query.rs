//! The query of a request as pairs, and what is wrong with it as the error of an answer.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::super::address;
use super::super::error::Error;
use super::filter::FieldProblem;
use crate::model::Fingerprint;
use crate::model::failure_group::InvalidFingerprint;
use crate::store::failure_groups::FailureGroupSort;

/// Names and values of the query, decoded, in order; names may repeat.
#[derive(Debug, Clone)]
pub struct Pairs(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(address::pairs(parts.uri.query().unwrap_or_default())))
    }
}

/// All that is wrong with a query as one answer: the first field is named, the text says everything.
#[must_use]
pub fn problems(problems: Vec<FieldProblem>) -> Error {
    let unknown = problems.iter().all(|p| p.problem.contains("is not a field"));
    let text = problems.iter().map(|p| format!("{}: {}", p.field, p.problem)).collect::<Vec<_>>().join("; ");
    Error::Invalid {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        code: if unknown { "unknown_field" } else { "invalid_field" },
        field: problems.into_iter().next().map(|p| p.field),
        text: format!("{text}."),
    }
}

/// Refuses every other name: what an address would read and then forget must not look as if it had been understood.
pub fn only(pairs: &[(String, String)], known: &[&str]) -> Result<(), Error> {
    let other = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).find(|name| !known.contains(&name.as_str()));
    other.map_or(Ok(()), |name| {
        let problem = format!("is not a field of this request; known are {}", known.join(", "));
        Err(problems(vec![FieldProblem { field: name.chars().take(60).collect(), problem }]))
    })
}

/// The fingerprint of a path.
pub fn parse_fingerprint(text: &str) -> Result<Fingerprint, Error> {
    let problem = |error: InvalidFingerprint| FieldProblem { field: "fingerprint".to_owned(), problem: format!("is {error}") };
    text.parse().map_err(|error| problems(vec![problem(error)]))
}

/// The word of an order of failure groups.
#[must_use]
pub fn failure_group_sort(word: &str) -> Option<FailureGroupSort> {
    match word {
        "open" => Some(FailureGroupSort::Open),
        "last_seen" => Some(FailureGroupSort::LastSeen),
        "first_seen" => Some(FailureGroupSort::FirstSeen),
        _ => None,
    }
}
