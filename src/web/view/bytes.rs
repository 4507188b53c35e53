//! Bytes of keys, values and headers as a page shows them: as JSON, as text, as hexadecimal digits. What is decoded here is for
//! eyes only; downloads, exports and replays use the stored bytes.

use super::json::{self, JsonLine};
use super::text::{Shown, code_line, is_plain};

/// Bytes shown as text or JSON at once; the rest is a step or a download away.
pub const TEXT_WINDOW_BYTES: usize = 64 * 1024;
/// Bytes shown as hexadecimal digits at once.
pub const HEX_WINDOW_BYTES: usize = 4 * 1024;
/// Characters shown of one line.
const LINE_CHARS: usize = 4_000;
/// Lines shown at once.
const WINDOW_LINES: usize = 2_000;

/// What some bytes are, as far as can be told by looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// There are none: Kafka's null.
    Null,
    /// No bytes, which is not null.
    Empty,
    /// One JSON value.
    Json,
    /// UTF-8 without control characters.
    Text,
    /// Anything else.
    Binary,
}

impl Shape {
    /// Looks at the bytes.
    #[must_use]
    pub fn of(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::Null };
        if bytes.is_empty() {
            return Self::Empty;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if json::is_document(text) => Self::Json,
            Ok(text) if is_plain(text) => Self::Text,
            _ => Self::Binary,
        }
    }

    /// The word of the interface.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Empty => "empty",
            Self::Json => "JSON",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// How bytes are to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// As their shape suggests.
    #[default]
    Auto,
    /// Indented and foldable.
    Json,
    /// As UTF-8, line by line.
    Text,
    /// As hexadecimal digits.
    Hex,
}

impl View {
    /// Reads the word of an address; anything unknown is [`View::Auto`].
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "json" => Self::Json,
            "text" => Self::Text,
            "hex" => Self::Hex,
            _ => Self::Auto,
        }
    }

    /// The word of an address.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
            Self::Hex => "hex",
        }
    }
}

/// A row of a hexadecimal dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexRow {
    /// Offset of its first byte, eight digits.
    pub offset: String,
    /// Up to sixteen bytes.
    pub digits: String,
    /// The same bytes as ASCII, dots for the others.
    pub ascii: String,
}

/// What stands in the viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Null or empty: there is nothing to show.
    Nothing,
    /// Indented JSON.
    Json(Vec<JsonLine>),
    /// Lines of text.
    Text(Vec<Shown>),
    /// A hexadecimal dump.
    Hex(Vec<HexRow>),
}

/// Bytes, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytesView {
    /// What they are.
    pub shape: Shape,
    /// How they are shown; never [`View::Auto`].
    pub view: View,
    /// How many there are.
    pub size_bytes: u64,
    /// First byte that is shown.
    pub from: usize,
    /// Byte after the last that is shown; below `size_bytes` when there is more.
    pub to: usize,
    /// Whether bytes that are not UTF-8 were replaced by U+FFFD.
    pub replaced: bool,
    /// What stands in the viewer.
    pub body: Body,
}

impl BytesView {
    /// Prepares bytes for the viewer, from the byte `at` on. JSON is always shown from its beginning.
    #[must_use]
    pub fn new(bytes: Option<&[u8]>, view: View, at: usize) -> Self {
        let shape = Shape::of(bytes);
        let view = match (view, shape) {
            (View::Auto | View::Json, Shape::Json) => View::Json,
            (View::Auto, Shape::Binary) | (View::Hex, _) => View::Hex,
            _ => View::Text,
        };
        let bytes = bytes.unwrap_or_default();
        let at = if at < bytes.len() { at } else { 0 };
        let (from, to, replaced, body) = match view {
            _ if bytes.is_empty() => (0, 0, false, Body::Nothing),
            View::Json => json_body(bytes),
            View::Hex => hex_body(bytes, at),
            _ => text_body(bytes, at),
        };
        Self { shape, view, size_bytes: bytes.len() as u64, from, to, replaced, body }
    }

    /// Whether what is shown ends before the bytes do.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        (self.to as u64) < self.size_bytes
    }

    /// Whether JSON is one of the ways to show these bytes.
    #[must_use]
    pub fn offers_json(&self) -> bool {
        self.shape == Shape::Json
    }
}

fn json_body(bytes: &[u8]) -> (usize, usize, bool, Body) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let (lines, to) = json::lines(text, TEXT_WINDOW_BYTES, WINDOW_LINES, LINE_CHARS);
    (0, to, false, Body::Json(lines))
}

fn text_body(bytes: &[u8], at: usize) -> (usize, usize, bool, Body) {
    let from = char_start(bytes, at);
    let mut to = char_start(bytes, from.saturating_add(TEXT_WINDOW_BYTES).min(bytes.len()));
    let mut lines = Vec::new();
    let mut next = from;
    let mut replaced = false;
    while next < to && lines.len() < WINDOW_LINES {
        let end = memchr::memchr(b'\n', &bytes[next..to]).map_or(to, |i| next + i + 1);
        let raw = &bytes[next..end];
        let raw = raw.strip_suffix(b"\n").map_or(raw, |r| r.strip_suffix(b"\r").unwrap_or(r));
        let text = String::from_utf8_lossy(raw);
        replaced |= matches!(text, std::borrow::Cow::Owned(_));
        lines.push(code_line(&text, usize::MAX));
        next = end;
    }
    to = to.min(next);
    (from, to, replaced, Body::Text(lines))
}

/// The first byte at or before `at` that can begin a character.
fn char_start(bytes: &[u8], at: usize) -> usize {
    let lowest = at.saturating_sub(3);
    (lowest..=at).rev().find(|&i| i >= bytes.len() || bytes[i] & 0xC0 != 0x80).unwrap_or(at)
}

fn hex_body(bytes: &[u8], at: usize) -> (usize, usize, bool, Body) {
    let from = at / 16 * 16;
    let to = (from + HEX_WINDOW_BYTES).min(bytes.len());
    let rows = bytes[from..to]
        .chunks(16)
        .enumerate()
        .map(|(i, chunk)| HexRow {
            offset: format!("{:08x}", from + i * 16),
            digits: digits(chunk),
            ascii: chunk.iter().map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }).collect(),
        })
        .collect();
    (from, to, false, Body::Hex(rows))
}

/// Bytes as pairs of hexadecimal digits with spaces between.
#[must_use]
pub fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_told_by_looking() {
        for (bytes, shape) in [
            (None, Shape::Null),
            (Some(&b""[..]), Shape::Empty),
            (Some(b"{\"a\": 1}"), Shape::Json),
            (Some(b" [1, 2] "), Shape::Json),
            (Some(b"{\"a\": }"), Shape::Text),
            (Some(b"42"), Shape::Text),
            (Some("grüße\r\n\tan alle".as_bytes()), Shape::Text),
            (Some(b"a\0b"), Shape::Binary),
            (Some(b"\xff\xfe"), Shape::Binary),
        ] {
            assert_eq!(Shape::of(bytes), shape, "{bytes:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_shown_and_says_so() {
        let shown = BytesView::new(Some(b"caf\xe9 noir\nnext\0"), View::Text, 0);
        assert!(shown.replaced);
        let Body::Text(lines) = &shown.body else { panic!("text was asked for") };
        assert_eq!(lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["caf\u{fffd} noir", "next\\0"]);
        assert!(!shown.goes_on());
    }

    #[test]
    fn a_megabyte_is_shown_in_windows_that_meet() {
        let bytes = "é".repeat(500_000).into_bytes();
        let first = BytesView::new(Some(&bytes), View::Auto, 0);
        assert_eq!((first.view, first.from), (View::Text, 0));
        assert!(first.goes_on());
        assert!(first.to <= TEXT_WINDOW_BYTES);
        let second = BytesView::new(Some(&bytes), View::Auto, first.to);
        assert_eq!(second.from, first.to);
        assert!(!second.replaced, "a window never splits a character");
        let hex = BytesView::new(Some(&bytes), View::Hex, 40);
        assert_eq!((hex.from, hex.to), (32, 32 + HEX_WINDOW_BYTES));
    }

    #[test]
    fn hexadecimal_rows_line_up() {
        let shown = BytesView::new(Some(b"\x00\x01ABC\xff and so on, longer"), View::Auto, 0);
        let Body::Hex(rows) = &shown.body else { panic!("binary is shown in hexadecimal") };
        assert_eq!(rows[0].offset, "00000000");
        assert_eq!(rows[0].digits, "00 01 41 42 43 ff 20 61 6e 64 20 73 6f 20 6f 6e");
        assert_eq!(rows[0].ascii, "..ABC. and so on");
        assert_eq!(rows[1].offset, "00000010");
    }

    #[test]
    fn nothing_is_nothing_and_an_offset_beyond_the_end_is_the_beginning() {
        assert_eq!(BytesView::new(None, View::Hex, 0).body, Body::Nothing);
        assert_eq!(BytesView::new(Some(b""), View::Auto, 7).body, Body::Nothing);
        assert_eq!(BytesView::new(Some(b"abc"), View::Text, 99).from, 0);
    }
}
