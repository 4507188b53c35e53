//! Patterns of topic names: `*` stands for any characters, `?` for one, `{a,b}` for one of several.

/// A pattern that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}: {reason}")]
pub struct InvalidPattern {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A pattern of topic names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// One for each combination of alternatives.
    alternatives: Vec<Box<[u8]>>,
    ignore_case: bool,
}

/// Combinations of alternatives one pattern may have.
const MAX_ALTERNATIVES: usize = 64;

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is empty, its braces do not match, or it holds a character that no topic name has.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason| InvalidPattern { pattern: pattern.chars().take(200).collect(), reason };
        if pattern.is_empty() {
            return Err(invalid("is empty"));
        }
        if !pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-*?{},".contains(&b)) {
            return Err(invalid(
                "holds a character that no topic name has; letters, digits, \".\", \"_\", \"-\" and * ? {a,b} are understood",
            ));
        }
        let alternatives = expand(pattern).map_err(invalid)?;
        Ok(Self { alternatives, ignore_case: false })
    }

    /// Reads a pattern of names of any kind, such as consumer groups and services.
    ///
    /// # Errors
    /// When it is empty or its braces do not match.
    pub fn of_names(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason| InvalidPattern { pattern: pattern.chars().take(200).collect(), reason };
        if pattern.is_empty() {
            return Err(invalid("is empty"));
        }
        let alternatives = if pattern.contains(['{', '}']) { expand(pattern).map_err(invalid)? } else { vec![pattern.as_bytes().into()] };
        Ok(Self { alternatives, ignore_case: false })
    }

    /// The same pattern, but upper and lower case are one.
    #[must_use]
    pub fn ignoring_case(self) -> Self {
        Self { ignore_case: true, ..self }
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.alternatives.iter().any(|pattern| fits(pattern, name.as_bytes(), self.ignore_case))
    }

    /// What each `*` stands for, as short as possible from the left; `None` when the name does not fit.
    #[must_use]
    pub fn captures<'a>(&self, name: &'a str) -> Option<Vec<&'a str>> {
        let pattern = self.alternatives.iter().find(|pattern| fits(pattern, name.as_bytes(), self.ignore_case))?;
        let mut found = Vec::new();
        capture(pattern, name, self.ignore_case, &mut found);
        Some(found)
    }
}

fn expand(pattern: &str) -> Result<Vec<Box<[u8]>>, &'static str> {
    let mut done = vec![String::new()];
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        let Some(after) = after.strip_prefix('{') else { return Err("has a } without a {") };
        let Some((inside, behind)) = after.split_once('}') else { return Err("has a { without a }") };
        if inside.contains('{') {
            return Err("has a { inside of { }");
        }
        done = done.iter().flat_map(|start| inside.split(',').map(move |choice| format!("{start}{before}{choice}"))).collect();
        if done.len() > MAX_ALTERNATIVES {
            return Err("has more than 64 combinations");
        }
        rest = behind;
    }
    if rest.contains(',') || done.iter().any(|text| text.contains(',')) {
        return Err("has a , outside of { }");
    }
    Ok(done.into_iter().map(|start| (start + rest).into_bytes().into_boxed_slice()).collect())
}

const fn same(a: u8, b: u8, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.eq_ignore_ascii_case(&b))
}

/// The usual backtracking to the last star only: time is bounded by the product of both lengths.
fn fits(pattern: &[u8], name: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || same(c, name[n], ignore_case) => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

fn capture<'a>(pattern: &[u8], name: &'a str, ignore_case: bool, found: &mut Vec<&'a str>) {
    let Some(star) = pattern.iter().position(|&c| c == b'*') else { return };
    let (rest, tail) = (&pattern[star + 1..], name.get(star..).unwrap_or_default());
    let end =
        (0..=tail.len()).find(|&at| tail.is_char_boundary(at) && fits(rest, &tail.as_bytes()[at..], ignore_case)).unwrap_or(tail.len());
    found.push(&tail[..end]);
    capture(rest, &tail[end..], ignore_case, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, fits) in [
            ("*.DLT", "orders.DLT", true),
            ("*.DLT", "orders.DLT.old", false),
            ("error.*.*", "error.orders.billing", true),
            ("error.*.*", "error.orders", false),
            ("*-{dlq,dlt}", "orders-dlt", true),
            ("*-{dlq,dlt}", "orders-dlx", false),
            ("orders-?", "orders-7", true),
            ("orders-?", "orders-", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), fits, "{pattern} on {name}");
        }
    }

    #[test]
    fn stars_can_be_referred_to() {
        let glob = Glob::new("error.*.*").unwrap();
        assert_eq!(glob.captures("error.orders.billing"), Some(vec!["orders", "billing"]));
        assert_eq!(glob.captures("error.orders"), None);
        assert_eq!(Glob::new("x-{a,b}-*").unwrap().captures("x-b-rest"), Some(vec!["rest"]));
    }

    #[test]
    fn wrong_patterns_are_named() {
        for pattern in ["", "a b", "{a", "a}", "{a{b}}", "a,b", "\u{fc}*"] {
            let error = Glob::new(pattern).expect_err(pattern);
            assert_eq!(error.pattern, pattern);
        }
    }
}
