//! Addresses of pages, wherever they are written: on pages, in notifications. Of lists: Filters, range and order live in the address, so a link pasted into an incident channel shows the same thing;
//! every link on a page is the present address with one thing changed.

use std::fmt::Write as _;

/// A path with its query, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Address {
    /// A path without a query.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), pairs: Vec::new() }
    }

    /// The same path with these pairs; empty values are left out, as a form sends them for fields that nobody filled in.
    #[must_use]
    pub fn with_pairs(mut self, pairs: &[(String, String)]) -> Self {
        self.pairs.extend(pairs.iter().filter(|(_, value)| !value.is_empty()).cloned());
        self
    }

    /// The same query under another path.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), pairs: self.pairs.clone() }
    }

    /// With a pair added.
    #[must_use]
    pub fn and(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.pairs.push((name.to_owned(), value.to_owned()));
        other
    }

    /// With the only value of a name.
    #[must_use]
    pub fn set(&self, name: &str, value: &str) -> Self {
        self.without(&[name]).and(name, value)
    }

    /// Without any value of these names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let pairs = self.pairs.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect();
        Self { path: self.path.clone(), pairs }
    }

    /// The pairs, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The query without a question mark; empty when there is none.
    #[must_use]
    pub fn query(&self) -> String {
        let mut text = String::new();
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            if i > 0 {
                text.push('&');
            }
            encode(&mut text, name);
            text.push('=');
            encode(&mut text, value);
        }
        text
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        if !self.pairs.is_empty() {
            write!(f, "?{}", self.query())?;
        }
        Ok(())
    }
}

/// One segment of a path, percent-encoded; names on a bus may hold anything.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    encode(&mut text, name);
    text
}

/// Keeps the unreserved characters of RFC 3986.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_present_address_with_one_thing_changed() {
        let here = Address::new("/dead-letters").and("status", "open").and("topic", "a b").and("q", "");
        assert_eq!(here.set("status", "all").to_string(), "/dead-letters?topic=a%20b&q=&status=all");
        assert_eq!(here.without(&["topic", "q"]).to_string(), "/dead-letters?status=open");
        assert_eq!(here.and("topic", "c").all("topic").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(Address::new("/x").to_string(), "/x");
    }

    #[test]
    fn hostile_names_stay_one_value() {
        let link = Address::new("/t").and("topic", "a&b=c#\0\"><script>é").to_string();
        assert_eq!(link, "/t?topic=a%26b%3Dc%23%00%22%3E%3Cscript%3E%C3%A9");
        assert_eq!(segment("../a/b"), "..%2Fa%2Fb");
    }

    #[test]
    fn fields_that_nobody_filled_in_are_left_out() {
        let pairs = [("q".to_owned(), String::new()), ("status".to_owned(), "open".to_owned())];
        assert_eq!(Address::new("/x").with_pairs(&pairs).to_string(), "/x?status=open");
    }
}
