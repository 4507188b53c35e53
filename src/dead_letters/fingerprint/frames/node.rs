//! Stack traces of V8: Node.js and others.

use super::{Block, Frame, header};

const ENDINGS: [&str; 6] = [".js", ".ts", ".mjs", ".cjs", ".tsx", ".jsx"];

/// Whether what follows `at ` is a V8 frame.
pub(super) fn is_frame(text: &str) -> bool {
    let text = without_brace(text);
    let place = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')).map_or(text, |(_, place)| place);
    place == "<anonymous>"
        || place == "native"
        || place.starts_with("node:")
        || place.starts_with("index ")
        || split_place(place).1.is_some()
}

/// The last frame before an error's own fields ends with ` {`.
fn without_brace(text: &str) -> &str {
    text.strip_suffix(" {").unwrap_or(text)
}

/// `/app/orders.js:12:9` as file and line; without line and column it is no place.
fn split_place(place: &str) -> (&str, Option<u32>) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let split = place.rsplit_once(':').filter(|(_, column)| digits(column)).and_then(|(rest, _)| rest.rsplit_once(':'));
    split.filter(|(_, line)| digits(line)).map_or((place, None), |(file, line)| (file, line.parse().ok()))
}

/// A line as a frame.
pub(super) fn frame(line: &str) -> Option<Frame<'_>> {
    let text = without_brace(line.trim());
    let rest = text.strip_prefix("at ")?;
    let (name, place) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((name, place)) => (name, place),
        None => ("<anonymous>", rest),
    };
    let name = name.strip_prefix("async ").unwrap_or(name);
    let name = name.strip_prefix("new ").unwrap_or(name);
    let function = name.split_once(" [as ").map_or(name, |(name, _)| name);
    let place = place.strip_prefix("async ").unwrap_or(place);
    let (file, number) = split_place(place);
    let file = file.strip_prefix("file://").unwrap_or(file);
    let module = number.map(|_| header::path_tail(file, &ENDINGS));
    Some(Frame { text, module, function, file: Some(file), line: number, library: library(file, number), application: false })
}

fn library(file: &str, line: Option<u32>) -> Option<&str> {
    if file.starts_with("node:") || file.starts_with("internal/") || line.is_none() {
        return Some("Node.js");
    }
    header::package_behind(file, "node_modules/")
}

/// The exceptions, root cause first: `[cause]: ` stands below what it caused.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = stack.split("[cause]: ").map(block).collect();
    blocks.reverse();
    blocks.retain(|block| block.class.is_some() || block.message.is_some() || block.frames > 0);
    blocks
}

fn block(text: &str) -> Block<'_> {
    let mut start = 0;
    let (mut first, mut last, mut frames) = (None, 0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("at ") && is_frame(line.trim()[3..].trim()) {
            first.get_or_insert(start);
            last = start + line.trim_end().len();
            frames += 1;
        }
        start += line.len();
    }
    let head = &text[..first.unwrap_or(text.len())];
    // What the debugger prints above: the place and the source line.
    let head = head.rfind("\n\n").map_or(head, |at| &head[at..]);
    let (class, message) = header::class_and_message(head.trim().trim_end_matches('{'));
    Block { class, message, lines: first.map_or("", |first| &text[first..last]), frames, ..Block::default() }
}
