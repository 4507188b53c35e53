//! JSON as written, indented for reading: keys keep their order and their doubles, numbers their digits. The text is only ever
//! re-spaced, never parsed into values and printed again.

use super::text::line;

/// A coloured piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `k` key, `s` string, `n` number and the other words, empty for punctuation.
    pub class: &'static str,
    /// What is shown.
    pub text: String,
    /// How many characters of a long string follow.
    pub cut: usize,
}

/// A line of indented JSON, or an edge of something that folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonLine {
    /// A line of its own.
    Line(Vec<Token>),
    /// A line that opens an object or a list which can be folded.
    Open(Vec<Token>),
    /// The end of what [`JsonLine::Open`] began; its line follows as [`JsonLine::Line`].
    Close,
}

/// Whether the text is one JSON object or list. Single numbers and words are plain text to a reader.
#[must_use]
pub fn is_document(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Lines of a valid document, and how many of its bytes they show: the whole of it, or less where a limit stopped it.
#[must_use]
pub fn lines(text: &str, max_bytes: usize, max_lines: usize, max_string: usize) -> (Vec<JsonLine>, usize) {
    let mut printer = Printer { out: Vec::new(), line: Vec::new(), depth: 0, max_string };
    let mut scanner = Scanner { text, at: 0 };
    let mut expects_key = false;
    let mut nesting = Vec::new();
    while let Some(piece) = scanner.next() {
        match piece {
            "{" | "[" => {
                if let Some(close) = scanner.closes_at_once(piece) {
                    printer.push("", format!("{piece}{close}"), 0);
                    continue;
                }
                nesting.push(piece);
                expects_key = piece == "{";
                printer.open(piece);
            }
            "}" | "]" => {
                nesting.pop();
                expects_key = false;
                printer.close(piece);
            }
            "," => {
                expects_key = nesting.last() == Some(&"{");
                printer.push("", ",".into(), 0);
                printer.end_line();
                if scanner.at >= max_bytes || printer.out.len() >= max_lines {
                    return (printer.finish(), scanner.at);
                }
            }
            ":" => {
                expects_key = false;
                printer.push("", ": ".into(), 0);
            }
            value => printer.value(value, expects_key),
        }
    }
    (printer.finish(), text.len())
}

/// Cuts valid JSON into its pieces.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        self.at += self.text.as_bytes()[self.at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    }

    fn next(&mut self) -> Option<&'a str> {
        self.skip_space();
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at = match bytes.get(start)? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => start + 1,
            b'"' => {
                let mut end = start + 1;
                while let Some(i) = memchr::memchr2(b'"', b'\\', &bytes[end..]) {
                    if bytes[end + i] == b'"' {
                        end += i + 1;
                        break;
                    }
                    end += i + 2;
                }
                end
            }
            _ => start + bytes[start..].iter().take_while(|b| !b",:]}".contains(b) && !b.is_ascii_whitespace()).count().max(1),
        };
        self.text.get(start..self.at)
    }

    /// The closing bracket, when nothing stands before it.
    fn closes_at_once(&mut self, open: &str) -> Option<char> {
        self.skip_space();
        let close = if open == "{" { '}' } else { ']' };
        if self.text[self.at..].starts_with(close) {
            self.at += 1;
            return Some(close);
        }
        None
    }
}

struct Printer {
    out: Vec<JsonLine>,
    line: Vec<Token>,
    depth: usize,
    max_string: usize,
}

impl Printer {
    fn push(&mut self, class: &'static str, text: String, cut: usize) {
        if self.line.is_empty() && self.depth > 0 {
            // Deep nesting stops moving to the right before it leaves the page.
            self.line.push(Token { class: "", text: "  ".repeat(self.depth.min(40)), cut: 0 });
        }
        self.line.push(Token { class, text, cut });
    }

    fn value(&mut self, value: &str, is_key: bool) {
        let shown = line(value, self.max_string);
        let class = match value.as_bytes().first() {
            Some(b'"') if is_key => "k",
            Some(b'"') => "s",
            _ => "n",
        };
        self.push(class, shown.text, shown.cut);
    }

    fn open(&mut self, bracket: &str) {
        self.push("", bracket.to_owned(), 0);
        let tokens = std::mem::take(&mut self.line);
        self.out.push(JsonLine::Open(tokens));
        self.depth += 1;
    }

    fn close(&mut self, bracket: &str) {
        self.end_line();
        self.out.push(JsonLine::Close);
        self.depth = self.depth.saturating_sub(1);
        self.push("", bracket.to_owned(), 0);
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            let tokens = std::mem::take(&mut self.line);
            self.out.push(JsonLine::Line(tokens));
        }
    }

    /// Ends the last line and whatever a limit left open.
    fn finish(mut self) -> Vec<JsonLine> {
        self.end_line();
        self.out.extend(std::iter::repeat_n(JsonLine::Close, self.depth));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines as plain text, edges of folds as `>` and `<`.
    fn plain(text: &str) -> String {
        let (lines, _) = lines(text, 10_000, 1_000, 40);
        let join = |tokens: &[Token]| tokens.iter().map(|t| t.text.as_str()).collect::<String>();
        lines
            .iter()
            .map(|l| match l {
                JsonLine::Line(tokens) => format!("{}\n", join(tokens)),
                JsonLine::Open(tokens) => format!("{}>\n", join(tokens)),
                JsonLine::Close => "<".to_owned(),
            })
            .collect()
    }

    #[test]
    fn keeps_order_doubles_and_digits() {
        assert_eq!(
            plain(r#"{"b":1.10,"a":{"x":[1,  2e400],"e":{},"f":[ ]},"b":null}"#),
            "{>\n  \"b\": 1.10,\n  \"a\": {>\n    \"x\": [>\n      1,\n      2e400\n<    ],\n    \"e\": {},\n    \"f\": []\n<  },\n  \"b\": null\n<}\n"
        );
    }

    #[test]
    fn keys_strings_and_words_are_told_apart() {
        let (lines, shown) = lines(r#"{"k": ["s\"]", true]}"#, 100, 100, 100);
        assert_eq!(shown, 21);
        let classes: Vec<_> = lines
            .iter()
            .flat_map(|l| match l {
                JsonLine::Line(t) | JsonLine::Open(t) => t.clone(),
                JsonLine::Close => Vec::new(),
            })
            .filter(|t| !t.class.is_empty())
            .map(|t| (t.class, t.text))
            .collect();
        assert_eq!(classes, [("k", "\"k\"".to_owned()), ("s", "\"s\\\"]\"".to_owned()), ("n", "true".to_owned())]);
    }

    #[test]
    fn hostile_strings_are_visible_and_cut() {
        let text = format!("{{\"a\":\"\u{202e}<script>{}\"}}", "x".repeat(100));
        let (lines, _) = lines(&text, 10_000, 100, 12);
        let JsonLine::Line(tokens) = &lines[1] else { panic!("a line follows the bracket") };
        let value = tokens.iter().find(|t| t.class == "s").unwrap();
        assert_eq!(value.text, "\"\\u{202e}<script>xx");
        assert_eq!(value.cut, 99);
    }

    #[test]
    fn a_limit_closes_what_it_left_open() {
        let text = format!("[[{}1]]", "1,".repeat(10_000));
        let (lines, shown) = lines(&text, 500, 10_000, 100);
        assert!(shown < 600);
        let open = lines.iter().filter(|l| matches!(l, JsonLine::Open(_))).count();
        let close = lines.iter().filter(|l| **l == JsonLine::Close).count();
        assert_eq!((open, close), (2, 2));
    }

    #[test]
    fn only_whole_objects_and_lists_are_documents() {
        assert!(is_document("{\"a\":1}") && is_document("\n[]"));
        assert!(!is_document("{\"a\":1} x") && !is_document("12") && !is_document("\"s\"") && !is_document(""));
        assert!(!is_document(&"[".repeat(100_000)), "deep nesting ends in an answer, not in a crash");
    }
}
