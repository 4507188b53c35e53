//! Text from strangers, made harmless to look at. Names and messages may hold control characters, bidirectional overrides and a
//! megabyte on one line; a page shows each character as something that can be seen, and says how much was cut.

use std::fmt::Write;

/// A piece of text as a page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Characters that are safe to display, at most as many as asked for.
    pub text: String,
    /// How many characters of the original follow.
    pub cut: usize,
}

/// One line: line breaks become arrows, tabs spaces.
#[must_use]
pub fn line(text: &str, max_chars: usize) -> Shown {
    let (shown, cut) = first(text, max_chars);
    let shown = visible_text(shown);
    let text = if shown.contains(['\n', '\t']) { shown.replace('\n', " ↵ ").replace('\t', " ") } else { shown };
    Shown { text, cut }
}

/// One line of at most `max_chars`, with an ellipsis where it was cut.
#[must_use]
pub fn short(text: &str, max_chars: usize) -> String {
    let Shown { mut text, cut } = line(text, max_chars);
    if cut > 0 {
        text.push('…');
    }
    text
}

/// A line out of several: tabs stay, everything else that cannot be seen becomes an escape.
#[must_use]
pub fn code_line(text: &str, max_chars: usize) -> Shown {
    let (shown, cut) = first(text, max_chars);
    Shown { text: visible_text(shown), cut }
}

/// The first characters, and how many follow.
fn first(text: &str, max_chars: usize) -> (&str, usize) {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => (&text[..end], text[end..].chars().count()),
        None => (text, 0),
    }
}

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

/// Whether a page can show these characters as they are, line breaks and tabs included.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\n' | '\r' | '\t') || !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_stays_invisible() {
        assert_eq!(visible_text("plain ü 漢\tline\nline"), "plain ü 漢\tline\nline");
        assert_eq!(visible_text("a\0b\u{1b}[31mc\u{85}"), "a\\0b\\x1b[31mc\\u{85}");
        assert_eq!(visible_text("inv\u{202e}txt.exe\u{200b}\u{feff}"), "inv\\u{202e}txt.exe\\u{200b}\\u{feff}");
        assert_eq!(visible_text("\u{2066}x\u{2069}\u{e0041}"), "\\u{2066}x\\u{2069}\\u{e0041}");
    }

    #[test]
    fn what_cannot_be_seen_becomes_an_escape() {
        for (given, shown) in [
            ("plain, Ünïcode 漢字 שלום", "plain, Ünïcode 漢字 שלום"),
            ("a\0b\nc\td\u{7f}", "a\\0b ↵ c d\\x7f"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("\u{1b}[31mred", "\\x1b[31mred"),
        ] {
            assert_eq!(line(given, 100).text, shown, "{given:?}");
        }
    }

    #[test]
    fn a_megabyte_is_cut_and_says_by_how_much() {
        let shown = line(&"é".repeat(1_000_000), 200);
        assert_eq!(shown.text.chars().count(), 200);
        assert_eq!(shown.cut, 999_800);
        assert_eq!(short("abcdef", 3), "abc…");
        assert_eq!(short("abc", 3), "abc");
    }

    #[test]
    fn code_keeps_its_tabs() {
        assert_eq!(code_line("\tat a.B\u{0}", 50).text, "\tat a.B\\0");
    }
}
