//! Rust backtraces: of panics and of errors that carry one.

use super::{Block, Frame, libraries};

/// A numbered line, and the place on the next, as a frame.
pub(super) fn frame<'a>(line: &'a str, next: &'a str) -> Option<Frame<'a>> {
    let text = line.trim();
    let (number, name) = text.split_once(": ")?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let name = without_hash(name.trim());
    let place = next.trim().strip_prefix("at ");
    let (file, number) = place.map_or((None, None), |place| {
        let mut parts = place.rsplitn(3, ':');
        let (_, line, file) = (parts.next(), parts.next(), parts.next());
        (Some(file.unwrap_or(place)), line.and_then(|line| line.parse().ok()))
    });
    let (module, function) = split(name);
    Some(Frame { text, module, function, file, line: number, library: library(name, file), application: false })
}

fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => before,
        _ => name,
    }
}

/// At the last `::` outside of angle brackets; a closure belongs to its function.
fn split(name: &str) -> (Option<&str>, &str) {
    let mut named = name;
    while let Some((before, last)) = named.rsplit_once("::")
        && last.starts_with('{')
    {
        named = before;
    }
    let mut depth = 0_i32;
    for (at, byte) in named.bytes().enumerate().rev() {
        match byte {
            b'>' => depth += 1,
            b'<' => depth -= 1,
            b':' if depth == 0 && at > 0 && named.as_bytes()[at - 1] == b':' => return (Some(&named[..at - 1]), &named[at + 1..]),
            _ => {}
        }
    }
    (None, named)
}

fn library<'a>(name: &'a str, file: Option<&'a str>) -> Option<&'a str> {
    let path = name.trim_start_matches(['<', '&', '*', '(']).trim_start_matches("dyn ").trim_start_matches("mut ");
    let krate = path.split("::").next().unwrap_or(path);
    if libraries::is_rust_standard(krate) || file.is_some_and(|file| file.starts_with("/rustc/")) || !path.contains("::") {
        return Some("Rust");
    }
    let downloaded = file.is_some_and(|file| file.contains("/.cargo/registry/") || file.contains("/.cargo/git/"));
    (downloaded || libraries::is_rust_crate(krate)).then_some(krate)
}

/// One block: the frames below `backtrace:`. Causes of errors have no class, so only a panic is named.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let marker = "tack backtrace:";
    let (head, lines) = stack.find(marker).map_or(("", stack), |at| (&stack[..at], &stack[at + marker.len()..]));
    let panicked = head.find("panicked at ").map(|at| &head[at..]);
    let message = panicked.and_then(|text| {
        let (_, message) = text.split_once('\n')?;
        let message = message.trim_end_matches(['s', 'S']).trim();
        (!message.is_empty()).then_some(message)
    });
    let frames = lines.lines().filter(|line| frame(line, "").is_some()).count();
    vec![Block { class: panicked.map(|_| "panic"), message, lines, frames, ..Block::default() }]
}
