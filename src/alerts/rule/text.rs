//! What is said of an alert: the rule's text with its placeholders filled in. Nothing in it is run.

use std::collections::BTreeMap;

use crate::model::alert::{Label, Terms};
use crate::model::figure::Figure;
use crate::model::quantity::{duration, number_in_words};

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Cuts a text into pieces; `{{` and `}}` are braces. An error says what cannot be read.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        if after.starts_with("{{") || after.starts_with("}}") {
            found.push(Piece::Text(&after[..1]));
            rest = &after[2..];
            continue;
        }
        let inside = after.strip_prefix('{').ok_or("has a } without a {; write }} for a brace")?;
        let (name, behind) = inside.split_once('}').ok_or("has a { without a }; write {{ for a brace")?;
        found.push(Piece::Placeholder(name.trim()));
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

/// The rule's text about one alert. `labels` are the alert's.
#[must_use]
pub fn summary(name: &str, terms: &Terms, labels: &BTreeMap<String, String>, value: Option<f64>) -> String {
    let text = if terms.summary.is_empty() { usual(terms) } else { terms.summary.clone() };
    let Ok(pieces) = pieces(&text) else { return text };
    let mut said = String::with_capacity(text.len() + 40);
    for piece in pieces {
        match piece {
            Piece::Text(text) => said.push_str(text),
            Piece::Placeholder(placeholder) => said.push_str(&filled(placeholder, name, terms, labels, value)),
        }
    }
    said
}

fn usual(terms: &Terms) -> String {
    let about: Vec<String> = terms.by.iter().map(|label| format!("{{{label}}}")).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    format!("{{rule}}: {{value}} {} {{threshold}}{about}", terms.comparison)
}

fn filled(placeholder: &str, name: &str, terms: &Terms, labels: &BTreeMap<String, String>, value: Option<f64>) -> String {
    match placeholder {
        "rule" => name.to_owned(),
        "value" => value.map_or_else(|| "no data".to_owned(), |value| in_unit(terms, value)),
        "threshold" => in_unit(terms, terms.threshold),
        "unit" => unit(terms).to_owned(),
        "severity" => terms.severity.as_str().to_owned(),
        "figure" => terms.figure.as_str().to_owned(),
        "owner" => terms.owner.clone().unwrap_or_default(),
        "quantile" => terms.quantile.map_or_else(String::new, |quantile| quantile.to_string()),
        "window" => duration(terms.window_ms),
        "for" => duration(terms.for_ms),
        label => match labels.get(label).or_else(|| terms.labels.get(label)) {
            Some(value) => value.clone(),
            // Of what we have lost ourselves the series names no group.
            None if terms.figure == Figure::RecordsLost && label == "consumer_group" && terms.by.contains(&Label::ConsumerGroup) => {
                "Redrive".to_owned()
            }
            None if label.parse::<Label>().is_ok() => format!("any {}", label.replace('_', " ")),
            None => String::new(),
        },
    }
}

/// The unit of a rule's values.
pub(super) fn unit(terms: &Terms) -> &'static str {
    if terms.burn_rate.is_some() { "times the error budget" } else { terms.figure.unit() }
}

fn in_unit(terms: &Terms, value: f64) -> String {
    number_in_words(value, unit(terms))
}
