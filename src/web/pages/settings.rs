//! Users, tokens and one's own password.

use super::super::router::Routes;

mod account;
mod tokens;
mod users;

pub(super) fn routes() -> Routes {
    account::routes().and(users::routes()).and(tokens::routes())
}

/// What is wrong with a form: a sentence about one field, or about the whole.
#[derive(Debug, Default)]
struct Problem {
    field: Option<String>,
    text: String,
}

impl Problem {
    /// The sentence about a field, where it belongs to that.
    fn about(&self, field: &str) -> Option<&str> {
        (self.field.as_deref() == Some(field)).then_some(self.text.as_str())
    }

    /// The sentence, where it belongs to no field.
    fn general(&self) -> Option<&str> {
        (self.field.is_none() && !self.text.is_empty()).then_some(self.text.as_str())
    }
}

/// Tells what a form can show from what it cannot.
fn problem_of(error: super::super::Error) -> Result<(axum::http::StatusCode, Problem), super::super::Error> {
    use super::super::Error;
    let status = error.status();
    match error {
        Error::Invalid { field, text, .. } => Ok((status, Problem { field, text })),
        Error::Conflict { text, .. } => Ok((status, Problem { field: None, text })),
        other => Err(other),
    }
}
