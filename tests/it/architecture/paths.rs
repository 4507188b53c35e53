//! Just enough reading of Rust to see which modules and crates a file names.

/// Every `crate::a::b` of a text, nested imports unfolded, as `a::b` (at most two parts).
pub(super) fn after_crate(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$' && c != ':') {
            unfold(&text[at + "crate::".len()..], "", 2, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a text uses a foreign crate by name.
pub(super) fn names_crate(text: &str, krate: &str) -> bool {
    text.match_indices(krate).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.' && c != '"');
        starts && text[at + krate.len()..].starts_with("::")
    })
}

/// Unfolds one path or one group of paths; answers what follows it.
fn unfold<'t>(text: &'t str, prefix: &str, depth: usize, found: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = unfold(rest, prefix, depth, found).trim_start();
            // An alias (`as name`) belongs to the path before it.
            if let Some(alias) = rest.strip_prefix("as ") {
                rest = alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ' ');
            }
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                Some(next) => return next.trim_start().strip_prefix('}').unwrap_or(next),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    let is_module = part.chars().next().is_some_and(|c| c.is_ascii_lowercase()) && part != "self";
    let path = match (prefix.is_empty(), is_module && depth > 0) {
        (true, true) => part.to_owned(),
        (false, true) => format!("{prefix}::{part}"),
        (_, false) => prefix.to_owned(),
    };
    if let Some(below) = rest.strip_prefix("::") {
        return unfold(below, &path, depth.saturating_sub(1), found);
    }
    found.push(path);
    rest.trim_start_matches('*')
}

#[test]
fn nested_imports_are_unfolded() {
    let text =
        "use crate::{store::{Store, access}, model::Role as R, bus}; let x = crate::web::pages::topics::PAGE; $crate::no; crate::Item";
    assert_eq!(after_crate(text), ["", "bus", "model", "store", "store::access", "web::pages"]);
    assert!(names_crate("fn x() -> sqlx::Error", "sqlx") && !names_crate("crate::sqlx::X my_sqlx::X", "sqlx"));
}
