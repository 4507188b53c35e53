//! What is said of an alert: the rule's text with its placeholders filled in. Nothing in it is run.

use std::collections::BTreeMap;

use crate::model::alert::{Label, Terms};

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

/// A value with its unit as people write it: `12.5 %`, `5m 30s`, `1,200 messages`.
#[must_use]
pub fn number_in_words(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{} %", short(value * 100.0)),
        "seconds" if value.abs() >= 60.0 && value.is_finite() => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time that is shown")]
            let millis = (value.abs().min(1e15).round() * 1e3) as u64;
            format!("{}{}", if value < 0.0 { "-" } else { "" }, duration(millis))
        }
        "seconds" => format!("{} s", short(value)),
        "boolean" => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        "" => short(value),
        _ => format!("{} {}", short(value), if short(value) == "1" { one_of(unit) } else { unit }),
    }
}

/// `1 failure group`, but `1 times the error budget` and `1 messages/s`.
fn one_of(unit: &str) -> &str {
    match unit {
        "messages" | "dead letters" | "failure groups" | "receivers" => unit.trim_end_matches('s'),
        _ => unit,
    }
}

/// Three digits that count, or all of a whole number, with commas.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        return with_commas(&format!("{value:.0}"));
    }
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Commas between groups of three digits.
fn with_commas(whole: &str) -> String {
    let digits = whole.trim_start_matches('-').len();
    let mut text = String::with_capacity(whole.len() + digits / 3);
    for (at, digit) in whole.chars().rev().enumerate() {
        if at > 0 && at < digits && at.is_multiple_of(3) {
            text.insert(0, ',');
        }
        text.insert(0, digit);
    }
    text
}

/// Two units at most: `1d 4h`, `5m`, `90s` is `1m 30s`.
fn duration(millis: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let Some(first) = UNITS.iter().position(|(_, length)| millis >= *length) else { return format!("{millis} ms") };
    let (unit, length) = UNITS[first];
    let rest = UNITS.get(first + 1).map_or(0, |(_, next)| millis % length / next);
    match UNITS.get(first + 1) {
        Some((next, _)) if rest > 0 => format!("{}{unit} {rest}{next}", millis / length),
        _ => format!("{}{unit}", millis / length),
    }
}
