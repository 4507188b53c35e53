//! Record headers as a page shows them: in stored order, each with how its bytes were read and the bytes themselves where reading
//! changed their looks. Frameworks write numbers as big-endian binary, so bytes that are no text are tried as such.

use std::fmt::Write as _;

use super::bytes::digits;
use super::text::line;
use crate::model::{Header, Timestamp};

/// Characters of a value shown in a list of headers.
const VALUE_CHARS: usize = 2_000;
/// Bytes shown behind a number and of binary values.
const RAW_BYTES: usize = 16;

/// How the bytes of a header were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAs {
    /// A null value.
    Null,
    /// No bytes.
    Empty,
    /// UTF-8.
    Text,
    /// Four bytes, big-endian, signed.
    Int32,
    /// Eight bytes, big-endian, signed.
    Int64,
    /// Anything else.
    Binary,
}

impl ReadAs {
    /// The word of the interface.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Empty => "empty",
            Self::Text => "text",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Binary => "binary",
        }
    }

    fn of(value: Option<&[u8]>) -> Self {
        match value {
            None => Self::Null,
            Some(b"") => Self::Empty,
            Some(bytes) if is_text(bytes) => Self::Text,
            Some(bytes) if bytes.len() == 4 => Self::Int32,
            Some(bytes) if bytes.len() == 8 => Self::Int64,
            Some(_) => Self::Binary,
        }
    }
}

/// A header, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderView {
    /// Place in stored order, from 1.
    pub number: usize,
    /// Name; bytes that are not UTF-8 appear as `\xff`.
    pub name: String,
    /// Whether the name is not UTF-8, which keeps a replay from writing it unchanged with some clients.
    pub name_is_binary: bool,
    /// How the value was read.
    pub read_as: ReadAs,
    /// Value as read.
    pub value: String,
    /// How many characters or bytes of the value follow.
    pub cut: usize,
    /// The bytes behind a number.
    pub raw: Option<String>,
    /// Length of the value.
    pub size_bytes: usize,
}

impl HeaderView {
    /// Prepares the headers of a record.
    #[must_use]
    pub fn list(headers: &[Header]) -> Vec<Self> {
        headers.iter().enumerate().map(|(i, header)| Self::new(i + 1, header)).collect()
    }

    fn new(number: usize, header: &Header) -> Self {
        let bytes = header.value.as_deref();
        let read_as = ReadAs::of(bytes);
        let bytes = bytes.unwrap_or_default();
        let (value, cut, raw) = match read_as {
            ReadAs::Null | ReadAs::Empty => (String::new(), 0, None),
            ReadAs::Text => {
                let shown = line(&String::from_utf8_lossy(bytes), VALUE_CHARS);
                (shown.text, shown.cut, None)
            }
            ReadAs::Int32 | ReadAs::Int64 => (number_text(&header.name, bytes), 0, Some(digits(bytes))),
            ReadAs::Binary => (digits(&bytes[..bytes.len().min(RAW_BYTES)]), bytes.len().saturating_sub(RAW_BYTES), None),
        };
        let name_is_binary = std::str::from_utf8(&header.name).is_err();
        Self { number, name: name_text(&header.name), name_is_binary, read_as, value, cut, raw, size_bytes: bytes.len() }
    }
}

/// A header name as text; bytes that are not UTF-8 appear as `\xff`.
#[must_use]
pub fn name_text(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(&line(chunk.valid(), 500).text);
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    text
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| matches!(c, '\n' | '\r' | '\t') || !c.is_control()))
}

/// A number with its thousands apart; a 64-bit number that looks like milliseconds of our time, in a header that is named like one,
/// as that time.
fn number_text(name: &[u8], bytes: &[u8]) -> String {
    let number = bytes.iter().skip(1).fold(i64::from(bytes[0].cast_signed()), |n, &b| n << 8 | i64::from(b));
    let plausible = (946_684_800_000..4_102_444_800_000).contains(&number); // the years 2000 to 2100
    if plausible && name.to_ascii_lowercase().windows(4).any(|w| w == b"time") {
        return Timestamp::from_millis(number).to_rfc3339();
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn view(name: &'static [u8], value: Option<&'static [u8]>) -> HeaderView {
        let header = Header { name: Bytes::from_static(name), value: value.map(Bytes::from_static) };
        HeaderView::list(&[header]).remove(0)
    }

    #[test]
    fn each_header_says_how_it_was_read() {
        for (name, value, read_as, shown, raw) in [
            (&b"content-type"[..], Some(&b"application/json"[..]), "text", "application/json", None),
            (b"kafka_dlt-original-partition", Some(b"\0\0\0\x07"), "int32", "7", Some("00 00 00 07")),
            (b"minus", Some(b"\xff\xff\xff\xff"), "int32", "-1", Some("ff ff ff ff")),
            (b"offset", Some(b"\0\0\0\0\0\x12\x0c\x0e"), "int64", "1182734", Some("00 00 00 00 00 12 0c 0e")),
            (
                b"kafka_dlt-original-timestamp",
                Some(b"\0\0\x01\x9a\xb3\x2f\x55\x83"),
                "int64",
                "2025-11-24T00:06:55.107Z",
                Some("00 00 01 9a b3 2f 55 83"),
            ),
            (b"x", None, "null", "", None),
            (b"x", Some(b""), "empty", "", None),
            (b"x", Some(b"\xca\xfe\xba"), "binary", "ca fe ba", None),
            (b"year", Some(b"2026"), "text", "2026", None),
        ] {
            let shown_view = view(name, value);
            assert_eq!((shown_view.read_as.word(), shown_view.value.as_str(), shown_view.raw.as_deref()), (read_as, shown, raw));
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_escaped_and_marked() {
        let shown = view(b"caf\xe9\0", Some(b"x"));
        assert_eq!(shown.name, "caf\\xe9\\0");
        assert!(shown.name_is_binary);
    }

    #[test]
    fn order_and_doubles_are_kept() {
        let headers = [Header::new("a", "1"), Header::new("b", "2"), Header::new("a", "3")];
        let shown: Vec<_> = HeaderView::list(&headers).into_iter().map(|h| (h.number, h.name, h.value)).collect();
        assert_eq!(shown, [(1, "a".into(), "1".into()), (2, "b".into(), "2".into()), (3, "a".into(), "3".into())]);
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let header = Header::new("x", vec![b'y'; 1_000_000]);
        let shown = HeaderView::list(&[header]).remove(0);
        assert_eq!((shown.value.len(), shown.cut, shown.size_bytes), (2_000, 998_000, 1_000_000));
    }
}
