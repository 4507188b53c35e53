//! What is wrong with a form that a person has sent.

use axum::http::StatusCode;

use super::super::Error;

/// What is wrong with a form: a sentence about one field, or about the whole.
#[derive(Debug, Default)]
pub(super) struct Problem {
    field: Option<String>,
    text: String,
}

impl Problem {
    /// The sentence about a field, where it belongs to that.
    pub(super) fn about(&self, field: &str) -> Option<&str> {
        (self.field.as_deref() == Some(field)).then_some(self.text.as_str())
    }

    /// The sentence, where it belongs to no field.
    pub(super) fn general(&self) -> Option<&str> {
        (self.field.is_none() && !self.text.is_empty()).then_some(self.text.as_str())
    }
}

/// Tells what a form can show from what it cannot.
pub(super) fn problem_of(error: Error) -> Result<(StatusCode, Problem), Error> {
    let status = error.status();
    match error {
        Error::Invalid { field, text, .. } => Ok((status, Problem { field, text })),
        Error::Conflict { text, .. } => Ok((status, Problem { field: None, text })),
        other => Err(other),
    }
}
