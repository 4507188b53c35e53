//! Text from strangers, made harmless to look at. Names and messages may hold control characters, bidirectional overrides and a
//! megabyte on one line; a page shows each character as something that can be seen, and says how much was cut.

use std::fmt::Write as _;

/// A piece of text as a page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Characters that are safe to display, at most as many as asked for.
    pub text: String,
    /// How many characters of the original follow.
    pub cut: usize,
}

/// One line: line breaks and tabs become symbols too.
#[must_use]
pub fn line(text: &str, max_chars: usize) -> Shown {
    let mut shown = String::with_capacity(text.len().min(max_chars.saturating_mul(4)));
    let mut chars = text.chars();
    for c in chars.by_ref().take(max_chars) {
        push_visible(&mut shown, c);
    }
    Shown { text: shown, cut: chars.count() }
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

/// A line out of several: tabs stay, everything else that cannot be seen becomes a symbol.
#[must_use]
pub fn code_line(text: &str, max_chars: usize) -> Shown {
    let mut shown = String::with_capacity(text.len().min(max_chars.saturating_mul(4)));
    let mut chars = text.chars();
    for c in chars.by_ref().take(max_chars) {
        if c == '\t' {
            shown.push(c);
        } else {
            push_visible(&mut shown, c);
        }
    }
    Shown { text: shown, cut: chars.count() }
}

/// Whether a page can show these characters as they are, line breaks and tabs included.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\n' | '\r' | '\t') || !c.is_control())
}

/// Control characters become their pictures (U+2400 and following); what changes the direction or hides (Unicode's
/// `Bidi_Control`, zero-width and tag characters) becomes its code point in brackets.
fn push_visible(out: &mut String, c: char) {
    match c {
        '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).expect("control pictures are assigned")),
        '\u{7f}' => out.push('␡'),
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => write!(out, "[U+{:04X}]", u32::from(c)).expect("writing to a String cannot fail"),
        _ => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_becomes_a_symbol() {
        for (given, shown) in [
            ("plain, Ünïcode 漢字 שלום", "plain, Ünïcode 漢字 שלום"),
            ("a\0b\nc\td\u{7f}", "a␀b␊c␉d␡"),
            ("\u{202e}gpj.exe", "[U+202E]gpj.exe"),
            ("zero\u{200b}width\u{feff}", "zero[U+200B]width[U+FEFF]"),
            ("\u{1b}[31mred", "␛[31mred"),
            ("\u{85}", "[U+0085]"),
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
        assert_eq!(code_line("\tat a.B\u{0}", 50).text, "\tat a.B␀");
    }
}
