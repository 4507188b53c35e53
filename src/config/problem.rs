//! What is wrong with a configuration: each problem with file, key, value and what would be right. Secrets never appear.

use std::fmt;

use super::read::distance;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written: the file, an environment variable, or the defaults.
    pub file: String,
    /// The key's full name; empty when the file as a whole is meant.
    pub key: String,
    /// The value as it was written, secrets masked; `None` when it is missing.
    pub value: Option<String>,
    /// What would be right, as the rest of the sentence: `should be a duration such as "90d"`.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match (self.key.is_empty(), &self.value) {
            (true, _) => write!(f, "{}", self.expected),
            (false, Some(value)) => write!(f, "{} = {value} {}", self.key, self.expected),
            (false, None) => write!(f, "{} is missing; it {}", self.key, self.expected),
        }
    }
}

/// Everything that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "the configuration has {} {plural}:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// What the names of secrets contain.
const SECRET_WORDS: [&str; 8] = ["password", "passwd", "passphrase", "secret", "token", "jaas", "credential", "oauthbearer"];

/// Whether a key's value is never shown: its name says that it is secret, or looks like a mistyped name that does.
pub(super) fn is_secret_key(path: &str) -> bool {
    let key = path.to_ascii_lowercase();
    let key = key.trim_end_matches('"');
    let names_a_file = key.ends_with("_file") || key.ends_with(".location");
    let says_so = SECRET_WORDS.iter().any(|word| key.contains(word)) || key.rsplit('.').next() == Some("pem");
    let nearly = key.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| part.len() >= 4).any(|part| {
        let mistakes = if part.len() >= 6 { 2 } else { 1 };
        SECRET_WORDS.iter().any(|word| distance(part, word) <= mistakes)
    });
    !names_a_file && (says_so || nearly)
}

/// Hides the password of a URL.
pub(super) fn mask(text: &str) -> String {
    let text = match text.split_once("password=") {
        Some((before, _)) => &format!("{before}password=***\""),
        None => text,
    };
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let Some((credentials, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_secret_key, mask};

    #[test]
    fn secrets_are_known_by_name_also_when_it_is_mistyped() {
        for key in
            ["otlp.token", "otlp.tokn", "bus[0].client.\"sasl.password\"", "client.\"sasl.pasword\"", "client.\"ssl.key.pem\"", "passwort"]
        {
            assert!(is_secret_key(key), "{key}");
        }
        for key in [
            "http.listen",
            "client.\"ssl.ca.location\"",
            "otlp.token_file",
            "client.\"sasl.username\"",
            "bus[0].otlp_topics[0].topic",
            "store.url",
        ] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        assert_eq!(mask("postgres://u:p@ss@h/d"), "postgres://u:***@h/d");
        assert_eq!(mask("postgres://u@h/d"), "postgres://u@h/d");
        assert!(!mask("postgres://h/d?user=u&password=geheim").contains("geheim"));
    }
}
