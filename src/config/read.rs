//! Reading of the merged layers: one [`Section`] per table. Problems are collected, never thrown, so that all are reported at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use figment::Figment;
use figment::value::{Dict, Value};

use super::problem::{Problem, is_secret_key, mask};

/// The merged layers and the problems met so far.
pub(super) struct Reading {
    figment: Figment,
    file: Option<String>,
    /// Environment variable by the path of the key that it set.
    variables: BTreeMap<String, String>,
    problems: RefCell<Vec<Problem>>,
}

impl Reading {
    pub(super) const fn new(figment: Figment, file: Option<String>, variables: BTreeMap<String, String>) -> Self {
        Self { figment, file, variables, problems: RefCell::new(Vec::new()) }
    }

    /// Notes a problem of the whole configuration or of several keys.
    pub(super) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for problem in self.problems.into_inner() {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Where a value was written.
    pub(super) fn source(&self, path: &str, value: Option<&Value>) -> String {
        if let Some((_, variable)) = self.variables.range(path.to_owned()..).next().filter(|(set, _)| set.starts_with(path)) {
            return format!("environment variable {variable}");
        }
        if let Some(value) = value
            && self.is_default(path, value)
        {
            return "defaults".to_owned();
        }
        self.file.clone().unwrap_or_else(|| "environment".to_owned())
    }

    /// Whether a value comes from the built-in defaults.
    fn is_default(&self, path: &str, value: &Value) -> bool {
        !self.variables.contains_key(path)
            && self.figment.get_metadata(value.tag()).is_some_and(|m| m.source.as_ref().and_then(figment::Source::file_path).is_none())
    }
}

/// One table of the configuration. Every key that is asked for is known; [`Section::finish`] reports the others.
pub(super) struct Section<'a> {
    pub(super) reading: &'a Reading,
    path: String,
    dict: Option<&'a Dict>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(reading: &'a Reading, value: &'a Value) -> Self {
        Self { reading, path: String::new(), dict: value.as_dict(), known: RefCell::default() }
    }

    /// The full name of a key of this section.
    pub(super) fn path_of(&self, key: &str) -> String {
        let key = if key.contains('.') { format!("\"{key}\"") } else { key.to_owned() };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn find(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.dict.and_then(|dict| dict.get(key))
    }

    /// Notes a problem with one of this section's keys.
    pub(super) fn problem(&self, key: &str, value: Option<&Value>, expected: impl Into<String>) {
        let path = self.path_of(key);
        let shown = value.map(|value| if is_secret_key(&path) { "***".to_owned() } else { mask(&plain(value)) });
        self.reading.problem(Problem { file: self.reading.source(&path, value), key: path, value: shown, expected: expected.into() });
    }

    /// A table inside this one; empty where it is not written.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let value = self.find(key);
        if let Some(value) = value
            && value.as_dict().is_none()
        {
            self.problem(key, Some(value), "should be a table");
        }
        Section { reading: self.reading, path: self.path_of(key), dict: value.and_then(Value::as_dict), known: RefCell::default() }
    }

    /// The tables of an array of tables.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.problem(key, Some(value), format!("should be a list of tables, written as [[{}]]", self.path_of(key)));
            return Vec::new();
        };
        let path = |index| format!("{}[{index}]", self.path_of(key));
        let tables = items.iter().enumerate();
        tables
            .filter_map(|(index, item)| {
                let Some(dict) = item.as_dict() else {
                    self.problem(&format!("{key}[{index}]"), Some(item), "should be a table");
                    return None;
                };
                Some(Section { reading: self.reading, path: path(index), dict: Some(dict), known: RefCell::default() })
            })
            .collect()
    }

    /// A value written as text (a number counts as its digits); `fallback` where it is missing or wrong.
    pub(super) fn parsed<T>(&self, key: &'static str, expected: &str, fallback: T, parse: impl FnOnce(&str) -> Option<T>) -> T {
        let Some(value) = self.find(key) else { return fallback };
        let parsed = text(value).and_then(|text| parse(&text));
        parsed.unwrap_or_else(|| {
            self.problem(key, Some(value), format!("should be {expected}"));
            fallback
        })
    }

    /// Text that must be given.
    pub(super) fn required<T: Default>(&self, key: &'static str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        if self.dict.is_none_or(|dict| !dict.contains_key(key)) {
            self.known.borrow_mut().push(key);
            self.problem(key, None, format!("should be {expected}"));
            return T::default();
        }
        self.parsed(key, expected, T::default(), parse)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, fallback: bool) -> bool {
        let Some(value) = self.find(key) else { return fallback };
        let flag = value.to_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        flag.unwrap_or_else(|| {
            self.problem(key, Some(value), "should be true or false");
            fallback
        })
    }

    /// A list of texts, each parsed; text from the environment may be comma separated.
    pub(super) fn list<T>(&self, key: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let items = match value {
            Value::Array(_, items) => items.iter().map(|item| (text(item), item.clone())).collect(),
            Value::String(_, joined) if self.reading.variables.contains_key(&self.path_of(key)) => comma_separated(joined),
            _ => {
                self.problem(key, Some(value), format!("should be a list of {expected}"));
                return Vec::new();
            }
        };
        let parsed = items.into_iter().enumerate().filter_map(|(index, (item, value))| {
            let parsed = item.as_deref().and_then(&parse);
            if parsed.is_none() {
                self.problem(&format!("{key}[{index}]"), Some(&value), format!("should be {expected}"));
            }
            parsed
        });
        parsed.collect()
    }

    /// A secret, either under its key or in the file that `<key>_file` names. Empty is `None`.
    pub(super) fn secret(&self, key: &'static str, file_key: &'static str) -> Option<String> {
        let value = self.find(key);
        let file = self.find(file_key);
        let direct = value.and_then(text);
        if let (Some(value), None) = (value, &direct) {
            self.problem(key, Some(value), "should be text");
        }
        let direct = direct.filter(|text| !text.is_empty());
        let Some(file) = file else { return direct };
        let explicit = value.is_some_and(|value| !self.reading.is_default(&self.path_of(key), value));
        if direct.is_some() && explicit {
            self.problem(file_key, Some(file), format!("should not be there: only one of {key} and {file_key} can be given"));
        }
        let Some(path) = text(file) else {
            self.problem(file_key, Some(file), "should be the path of a file");
            return None;
        };
        match read_secret(&path) {
            Ok(secret) => Some(secret).filter(|secret| !secret.is_empty()),
            Err(reason) => {
                self.problem(file_key, Some(file), format!("should be a file that can be read ({reason})"));
                None
            }
        }
    }

    /// Every key of a table whose names are not ours, as text; keys that end in `_file` are read from that file.
    pub(super) fn free_texts(&self) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.dict.into_iter().flatten() {
            let Some(mut read) = text(value) else {
                self.problem(key, Some(value), "should be text, a number, true or false");
                continue;
            };
            let mut name = key.as_str();
            if let Some(target) = key.strip_suffix("_file") {
                match read_secret(&read) {
                    Ok(secret) => read = secret,
                    Err(reason) => {
                        self.problem(key, Some(value), format!("should be a file that can be read ({reason})"));
                        continue;
                    }
                }
                if self.dict.is_some_and(|dict| dict.contains_key(target)) {
                    self.problem(key, Some(value), format!("should not be there: only one of {target} and {key} can be given"));
                }
                name = target;
            }
            texts.insert(name.to_owned(), read);
        }
        texts
    }

    /// The entries of a table whose names are not ours.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.dict.into_iter().flatten()
    }

    /// The value under a key of this section as it was written, for problems that are found later.
    pub(super) fn raw(&self, key: &str) -> Option<&'a Value> {
        self.dict.and_then(|dict| dict.get(key))
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, value) in self.dict.into_iter().flatten() {
            if !known.contains(&key.as_str()) {
                let expected = nearest(key, &known).map_or_else(
                    || format!("is no key of Redrive; known here: {}", known.join(", ")),
                    |near| format!("is no key of Redrive; did you mean {near:?}?"),
                );
                self.problem(key, Some(value), expected);
            }
        }
    }
}

/// A scalar as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, _) => value
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| value.to_u128().map(|n| n.to_string()))
            .or_else(|| value.to_f64().map(|n| n.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Array(_, items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, dict) => format!("{{ {} }}", dict.keys().cloned().collect::<Vec<_>>().join(", ")),
        Value::String(_, text) => format!("{text:?}"),
        other => text(other).unwrap_or_default(),
    }
}

fn comma_separated(joined: &str) -> Vec<(Option<String>, Value)> {
    let items = joined.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| (Some(item.to_owned()), Value::from(item))).collect()
}

fn read_secret(path: &str) -> Result<String, String> {
    let secret = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(secret.trim_end_matches(['\n', '\r']).to_owned())
}

/// The known key that a mistyped one most likely stands for.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let best = known.iter().map(|k| (distance(key, k), *k)).min()?;
    (best.0 <= 1 + key.len() / 4).then_some(best.1)
}

/// Levenshtein distance.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
