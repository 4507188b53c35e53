//! The environment's layer: `REDRIVE__HTTP__LISTEN`, `REDRIVE__BUS__0__BOOTSTRAP_SERVERS`, laid over the merged file.

use std::collections::BTreeMap;

use figment::value::{Dict, Tag, Value};

use super::problem::Problem;

const PREFIX: &str = "REDRIVE__";

/// Sets every variable's value; answers which variable set which key, and those that point nowhere.
pub(super) fn apply(
    merged: &mut Value,
    environment: impl IntoIterator<Item = (String, String)>,
) -> (BTreeMap<String, String>, Vec<Problem>) {
    let mut ours: Vec<(Vec<String>, String, String)> =
        environment.into_iter().filter_map(|(name, value)| Some((segments(name.strip_prefix(PREFIX)?), name, value))).collect();
    ours.sort_by(|(a, ..), (b, ..)| natural(a).cmp(&natural(b)));
    let mut variables = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, name, text) in ours {
        match set(merged, &path, &text) {
            Ok(()) => {
                variables.insert(written(&path), name);
            }
            Err(expected) => problems.push(Problem {
                file: format!("environment variable {name}"),
                key: written(&path),
                value: Some("***".to_owned()),
                expected,
            }),
        }
    }
    (variables, problems)
}

/// Splits a name into keys. Below `client` everything is one librdkafka property, whose dots are underscores here.
fn segments(name: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let mut parts = name.split("__").map(str::to_ascii_lowercase);
    while let Some(part) = parts.next() {
        let client = part == "client" && path.first().is_some_and(|first| first == "bus");
        path.push(part);
        if client {
            let property = parts.collect::<Vec<_>>().join(".");
            let (property, suffix) = property.strip_suffix("_file").map_or((property.as_str(), ""), |p| (p, "_file"));
            path.push(property.replace('_', ".") + suffix);
            break;
        }
    }
    path
}

/// So that bus 10 comes after bus 2.
fn natural(path: &[String]) -> Vec<(usize, &str)> {
    path.iter().map(|part| (part.parse().unwrap_or(0), part.as_str())).collect()
}

/// The path as the sections write it: `bus[0].client."sasl.password"`.
fn written(path: &[String]) -> String {
    path.iter().fold(String::new(), |written, part| match part.parse::<usize>() {
        Ok(index) if !written.is_empty() => format!("{written}[{index}]"),
        _ => {
            let part = if part.contains('.') { format!("\"{part}\"") } else { part.clone() };
            if written.is_empty() { part } else { format!("{written}.{part}") }
        }
    })
}

fn set(target: &mut Value, path: &[String], text: &str) -> Result<(), String> {
    let Some((part, rest)) = path.split_first() else {
        *target = Value::from(text);
        return Ok(());
    };
    if part.is_empty() {
        return Err("has a name with an empty part; write REDRIVE__SECTION__KEY".to_owned());
    }
    let below_is_list = rest.first().is_some_and(|next| next.parse::<usize>().is_ok());
    let empty = || if below_is_list { Value::Array(Tag::Default, Vec::new()) } else { Value::from(Dict::new()) };
    match target {
        Value::Dict(_, dict) => set(dict.entry(part.clone()).or_insert_with(empty), rest, text),
        Value::Array(_, items) => {
            let index: usize = part.parse().map_err(|_| format!("has {part:?} where a number should be, as in REDRIVE__BUS__0__ID"))?;
            if index > items.len() {
                return Err(format!("has the number {index}, but the next free one is {}", items.len()));
            }
            if index == items.len() {
                items.push(empty());
            }
            set(&mut items[index], rest, text)
        }
        _ => Err(format!("should name a key: nothing can lie below {part:?}'s parent")),
    }
}
