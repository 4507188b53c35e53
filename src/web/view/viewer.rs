//! The viewer of bytes on a page: what they are, the ways to look at them, the steps through a large one, the download.

use super::address::Address;
use super::bytes::{Body, BytesView, TEXT_WINDOW_BYTES, View};
use super::filter_bar::Choice;
use super::number::{grouped, size};
use super::text::visible_text;

/// A viewer, ready for its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Id of its element; also the name of its parameters in the address.
    pub id: &'static str,
    /// Title.
    pub title: &'static str,
    /// `JSON, 1,318 bytes`.
    pub facts: String,
    /// Ways to look at the bytes; empty where there is only one.
    pub views: Vec<Choice>,
    /// The bytes as they are shown.
    pub bytes: BytesView,
    /// How much of a large value is shown; empty when all of it is.
    pub window: String,
    /// The bytes before.
    pub before: Option<String>,
    /// The bytes after.
    pub after: Option<String>,
    /// The whole text, where there is one that is not too long to stand in a page twice.
    pub copy: Option<String>,
    /// The bytes as a file.
    pub download: Option<String>,
}

impl Viewer {
    /// A viewer for bytes on the page at `here`. Its parameters are `<id>_view` and `<id>_at`.
    #[must_use]
    pub fn new(id: &'static str, title: &'static str, bytes: Option<&[u8]>, here: &Address, download: String) -> Self {
        let (view_name, at_name) = (format!("{id}_view"), format!("{id}_at"));
        let view = here.get(&view_name).map_or(View::Auto, View::from_word);
        let at = here.get(&at_name).and_then(|at| at.parse().ok()).unwrap_or(0);
        let shown = BytesView::new(bytes, view, at);
        let link = |view: View| here.without(&[&at_name]).set(&view_name, view.word()).to_string();
        let at_link = |at: usize| here.set(&view_name, shown.view.word()).set(&at_name, &at.to_string()).to_string();
        let choice =
            |label: &str, view| Choice { label: label.to_owned(), count: String::new(), href: link(view), current: shown.view == view };
        let mut views = Vec::new();
        if shown.body != Body::Nothing {
            views.extend(shown.offers_json().then(|| choice("Formatted", View::Json)));
            views.push(choice(if shown.offers_json() { "Raw" } else { "Text" }, View::Text));
            views.push(choice("Hex", View::Hex));
        }
        let windowed = shown.goes_on() || shown.from > 0;
        let step = shown.to.saturating_sub(shown.from);
        Self {
            id,
            title,
            facts: facts(&shown),
            views,
            window: if windowed { window_words(&shown) } else { String::new() },
            before: (shown.from > 0).then(|| at_link(shown.from.saturating_sub(step))),
            after: (shown.goes_on() && shown.view != View::Json).then(|| at_link(shown.to)),
            download: (shown.body != Body::Nothing).then_some(download),
            copy: bytes.and_then(copyable),
            bytes: shown,
        }
    }
}

/// Text that a copy button gives. Bytes, longer text, and text with characters that HTML cannot carry or nobody would see are
/// downloaded instead.
#[must_use]
pub fn copyable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && text.len() <= TEXT_WINDOW_BYTES)?;
    (visible_text(text) == text).then(|| text.to_owned())
}

fn facts(shown: &BytesView) -> String {
    let mut facts = shown.shape.word().to_owned();
    if shown.size_bytes > 0 {
        facts.push_str(&format_bytes(shown.size_bytes));
    }
    if shown.replaced {
        facts.push_str(", bytes that are not UTF-8 are shown as \u{fffd}");
    }
    facts
}

fn format_bytes(bytes: u64) -> String {
    if bytes < 100_000 { format!(", {} bytes", grouped(bytes)) } else { format!(", {}", size(bytes)) }
}

fn window_words(shown: &BytesView) -> String {
    let total = grouped(shown.size_bytes);
    if shown.from == 0 {
        format!("The first {} of {total} bytes are shown.", grouped(shown.to as u64))
    } else {
        format!("Bytes {} to {} of {total} are shown.", grouped(shown.from as u64 + 1), grouped(shown.to as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(bytes: Option<&[u8]>, here: &Address) -> Viewer {
        Viewer::new("value", "Value", bytes, here, "/download".into())
    }

    #[test]
    fn the_way_to_look_is_in_the_address() {
        let here = Address::new("/dead-letters/7").and("status", "open");
        let json = viewer(Some(b"{\"a\":1}"), &here);
        assert_eq!(json.facts, "JSON, 7 bytes");
        assert_eq!(json.views.iter().map(|v| v.label.as_str()).collect::<Vec<_>>(), ["Formatted", "Raw", "Hex"]);
        assert!(json.views[0].current);
        assert_eq!(json.views[2].href, "/dead-letters/7?status=open&value_view=hex");
        let hex = viewer(Some(b"{\"a\":1}"), &here.and("value_view", "hex"));
        assert!(matches!(hex.bytes.body, Body::Hex(_)) && hex.views[2].current);
    }

    #[test]
    fn a_large_value_is_walked_through_in_steps() {
        let bytes = vec![b'x'; 200_000];
        let here = Address::new("/d");
        let first = viewer(Some(&bytes), &here);
        assert_eq!(first.window, "The first 65,536 of 200,000 bytes are shown.");
        assert_eq!(first.after.as_deref(), Some("/d?value_view=text&value_at=65536"));
        assert_eq!(first.before, None);
        let last = viewer(Some(&bytes), &here.and("value_at", "196608"));
        assert_eq!((last.after, last.window.as_str()), (None, "Bytes 196,609 to 200,000 of 200,000 are shown."));
        assert!(last.before.is_some());
    }

    #[test]
    fn only_text_that_a_page_carries_unchanged_is_copied() {
        assert_eq!(copyable(b"{\"a\":\t1}\n").as_deref(), Some("{\"a\":\t1}\n"));
        for other in [&b""[..], b"a\0b", b"\xff", "\u{202e}x".as_bytes(), b"line\r\n", &vec![b'x'; 70_000]] {
            assert_eq!(copyable(other), None);
        }
    }

    #[test]
    fn nothing_cannot_be_downloaded() {
        let here = Address::new("/d");
        assert_eq!((viewer(None, &here).facts.as_str(), viewer(None, &here).download), ("null", None));
        assert_eq!((viewer(Some(b""), &here).facts.as_str(), viewer(Some(b""), &here).download), ("empty", None));
    }
}
