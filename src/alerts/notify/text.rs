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
    use super::{cut, escaped};

    #[test]
    fn what_is_cut_stays_within_the_limit_and_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("a\u{1F600}b\u{1F600}", 4), "a\u{1F600}…", "a character of two units is not torn");
        assert_eq!(cut("a\0b", 9), "a b");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escaped("a*b_c", "*_"), "a\\*b\\_c");
    }
}
