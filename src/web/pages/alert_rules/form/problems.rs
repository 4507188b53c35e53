//! What is wrong with the form of a rule.

use std::collections::BTreeMap;

use crate::alerts::rule::Problem;

/// What is wrong with a form, by field.
#[derive(Debug, Default)]
pub(in crate::web::pages) struct Problems(BTreeMap<String, String>);

impl Problems {
    /// The sentence about a field.
    pub(in crate::web::pages) fn about(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// A sentence that belongs to no field of this form.
    pub(in crate::web::pages) fn general(&self) -> Option<&str> {
        self.about("")
    }

    pub(in crate::web::pages) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.entry(field.to_owned()).or_insert_with(|| text.into());
    }

    /// Adds what [`crate::alerts::rule::check`] and its like have found, at the fields of this form.
    pub(in crate::web::pages) fn extend(&mut self, found: Vec<Problem>) {
        for problem in found {
            let field = match problem.field.as_str() {
                "burn_rate" => "burn".to_owned(),
                "burn_rate.factor" => "threshold".to_owned(),
                other if other.starts_with("labels") => "labels".to_owned(),
                other => other.replace("filter.", "filter_").replace("burn_rate.", ""),
            };
            self.add(&field, sentence(&problem.text));
        }
    }
}

/// Begins with a capital letter and ends with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let end = if text.ends_with(['.', '"']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
