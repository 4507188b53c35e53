//! Text and numbers for people.

use std::fmt::Write;

/// Shows what would not be seen or would mislead: control characters, characters without width, and those that change direction
/// become `\u{202e}`-like escapes. Line breaks and tabs stay where `pre` shows them; one-line places collapse them anyway.
#[must_use]
pub fn visible_text(text: &str) -> String {
    if !text.chars().any(misleads) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a string does not fail.
        let _ = match c {
            shown_as_is if !misleads(shown_as_is) => shown.write_char(c),
            '\0' => shown.write_str("\\0"),
            '\u{7f}' | '\u{0}'..='\u{1f}' => write!(shown, "\\x{:02x}", u32::from(c)),
            other => write!(shown, "\\u{{{:x}}}", u32::from(other)),
        };
    }
    shown
}

fn misleads(c: char) -> bool {
    let invisible = matches!(c,
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers, Mongolian separators.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        // Zero widths, direction marks and overrides, line and paragraph separators, invisible operators.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{ffa0}'
        // Byte order mark, interlinear annotations, tags, variation selectors supplement.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    invisible || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Puts commas between thousands; what is not a whole number stays as it is.
pub(super) fn with_commas(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number in at most four figures: exact below 10,000.
pub(super) fn short_number(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) if number >= 10_000 => {
            let tenths = number / (unit / 10);
            if tenths >= 1000 { format!("{} {name}", tenths / 10) } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
        }
        _ => with_commas(&number.to_string()),
    }
}

/// A size in units of a thousand.
pub(super) fn size_words(size: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        None => format!("{size} B"),
        Some((unit, name)) => {
            let tenths = size / (unit / 10);
            if tenths >= 100 { format!("{} {name}", tenths / 10) } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{short_number, size_words, visible_text, with_commas};

    #[test]
    fn nothing_invisible_stays_invisible() {
        assert_eq!(visible_text("plain ü 漢\tline\nline"), "plain ü 漢\tline\nline");
        assert_eq!(visible_text("a\0b\u{1b}[31mc\u{85}"), "a\\0b\\x1b[31mc\\u{85}");
        assert_eq!(visible_text("inv\u{202e}txt.exe\u{200b}\u{feff}"), "inv\\u{202e}txt.exe\\u{200b}\\u{feff}");
        assert_eq!(visible_text("\u{2066}x\u{2069}\u{e0041}"), "\\u{2066}x\\u{2069}\\u{e0041}");
    }

    #[test]
    fn numbers_are_grouped() {
        let cases = [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567", "-1,234,567"), ("1.5", "1.5"), ("", "")];
        for (given, expected) in cases {
            assert_eq!(with_commas(given), expected);
        }
    }

    #[test]
    fn counts_fit_into_the_navigation() {
        let cases = [(0, "0"), (9_999, "9,999"), (12_345, "12.3 k"), (432_100, "432 k"), (1_250_000, "1.2 M"), (5_000_000_000, "5.0 G")];
        for (given, expected) in cases {
            assert_eq!(short_number(given), expected);
        }
    }

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KB"),
            (1_449, "1.4 KB"),
            (99_999, "99 KB"),
            (8_388_608, "8.3 MB"),
            (u64::MAX, "18446744 TB"),
        ];
        for (given, expected) in cases {
            assert_eq!(size_words(given), expected);
        }
    }
}
