//! Addresses: building them from parts, and telling ours from others.

use std::fmt::Write as _;

/// Percent-encodes one part of an address: a path segment, or a name or value of a query.
#[must_use]
pub fn encode(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    // A lone dot or two would be resolved away by the browser.
    if matches!(encoded.as_str(), "." | "..") { encoded.replace('.', "%2E") } else { encoded }
}

/// Splits a query or a form into decoded names and values, in order. What is not UTF-8 becomes U+FFFD, as in browsers.
#[must_use]
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| decode(text, true);
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (decoded(name), decoded(value)),
            None => (decoded(pair), String::new()),
        })
        .collect()
}

/// Joins names and values to a query, with a leading `?` unless it is empty. Pairs without a value are left out.
#[must_use]
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if query.is_empty() { '?' } else { '&' };
        write!(query, "{separator}{}={}", encode(name), encode(value)).expect("writing to a string does not fail");
    }
    query
}

/// Percent-decodes; in forms and queries a plus is a space.
fn decode(text: &str, plus_is_space: bool) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%' && at + 2 < bytes.len()).then(|| Some(hex(bytes[at + 1])? << 4 | hex(bytes[at + 2])?)).flatten();
        match (escaped, bytes[at]) {
            (Some(byte), _) => {
                decoded.push(byte);
                at += 2;
            }
            (None, b'+') if plus_is_space => decoded.push(b' '),
            (None, byte) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Whether an address to go back to is one of ours: a path, which no browser takes for another host.
#[must_use]
pub fn is_local(address: &str) -> bool {
    let begins_well = address.starts_with('/') && !address[1..].starts_with(['/', '\\']);
    begins_well && address.chars().all(|c| c.is_ascii_graphic() && c != '\\')
}

#[cfg(test)]
mod tests {
    use super::{encode, is_local, pairs, query};

    #[test]
    fn parts_survive_the_way_through_an_address() {
        let odd = "a b+c/ü?&=%\u{0}\"<";
        let address = query([("topic", odd), ("empty", ""), ("bus", "prod")]);
        assert_eq!(pairs(&address[1..]), [("topic".to_owned(), odd.to_owned()), ("bus".to_owned(), "prod".to_owned())]);
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("payments.authorise-dlt"), "payments.authorise-dlt");
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(
            pairs("q=100%&a=%zz&b=%4&c=%41"),
            [("q", "100%"), ("a", "%zz"), ("b", "%4"), ("c", "A")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn only_paths_of_ours_are_gone_back_to() {
        for ours in ["/", "/topics?bus=prod", "/dead-letters/7#value"] {
            assert!(is_local(ours), "{ours}");
        }
        for other in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", "javascript:alert(1)", "/\t/evil"] {
            assert!(!is_local(other), "{other:?}");
        }
    }
}
