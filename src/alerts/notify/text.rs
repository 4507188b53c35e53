//! Text within limits.

/// At most `limit` UTF-16 units, as the chats count, ending in an ellipsis where something was cut. Control characters become spaces.
pub(super) fn cut(text: &str, limit: usize) -> String {
    let mut taken = String::new();
    let mut units = 0;
    for c in text.chars() {
        let c = if c.is_control() && c != '\n' { ' ' } else { c };
        if units + c.len_utf16() > limit {
            while taken.encode_utf16().count() + 1 > limit && taken.pop().is_some() {}
            if limit > 0 {
                taken.push('…');
            }
            return taken;
        }
        units += c.len_utf16();
        taken.push(c);
    }
    taken
}

/// The same on one line.
pub(super) fn line(text: &str, limit: usize) -> String {
    cut(&text.replace(['\n', '\r'], " "), limit)
}

/// A number as a person reads it: thousands with commas, three digits after the point at most.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let text = format!("{:.3}", value.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = rest.trim_end_matches('0');
    let sign = if value < 0.0 { "-" } else { "" };
    if rest.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{rest}") }
}

/// Writes a backslash before each of these characters.
pub(super) fn escaped(text: &str, special: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::{cut, escaped, number};

    #[test]
    fn what_is_cut_stays_within_the_limit_and_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("a\u{1F600}b\u{1F600}", 4), "a\u{1F600}…", "a character of two units is not torn");
        assert_eq!(cut("a\0b", 9), "a b");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn numbers_read_well() {
        for (value, text) in [(12_345.0, "12,345"), (0.1234, "0.123"), (1_000_000.5, "1,000,000.5"), (-2.0, "-2"), (0.0, "0")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escaped("a*b_c", "*_"), "a\\*b\\_c");
    }
}
