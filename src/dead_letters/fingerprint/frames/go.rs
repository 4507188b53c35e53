//! Go panics and the traces of error packages: a function on one line, its place on the next.

use super::{Block, Frame, libraries};

/// Two lines as a frame.
pub(super) fn frame<'a>(line: &'a str, next: &'a str) -> Option<Frame<'a>> {
    if line.is_empty() || line.starts_with([' ', '\t']) || line.starts_with("created by ") {
        return None;
    }
    let place = next.trim_start_matches([' ', '\t']);
    let (file, rest) =
        place.split_once(".go:").filter(|_| next.starts_with([' ', '\t'])).map(|(file, rest)| (&place[..file.len() + 3], rest))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let text = line.trim_end();
    let name = if text.ends_with(')') { text.rfind('(').map_or(text, |at| &text[..at]) } else { text };
    let package_end = name.rfind('/').map_or(0, |at| at + 1);
    let dot = name[package_end..].find('.').map(|at| package_end + at);
    let (module, function) = dot.map_or((None, name), |dot| (Some(&name[..dot]), &name[dot + 1..]));
    Some(Frame {
        text,
        module,
        function,
        file: Some(file),
        line: rest[..digits].parse().ok(),
        library: library(name, module, file),
        application: false,
    })
}

fn library<'a>(name: &str, module: Option<&str>, file: &'a str) -> Option<&'a str> {
    if name == "panic" || module.is_some_and(libraries::is_go_standard) || file.contains("/usr/local/go/src/") {
        return Some("Go");
    }
    if let Some(known) = libraries::go(name) {
        return Some(known);
    }
    let downloaded = &file[file.find("/pkg/mod/")? + "/pkg/mod/".len()..];
    Some(downloaded.split('@').next().unwrap_or(downloaded))
}

/// Closures are numbered: `Place.func1.2` is `Place.func`. Type arguments go.
pub(super) fn stable_name(name: &str) -> String {
    let without_arguments = name.replace("[...]", "");
    let mut stable = String::with_capacity(without_arguments.len());
    for part in without_arguments.split('.') {
        let digits = part.len() - part.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let numbered = part.len() == digits && !stable.is_empty();
        if !numbered {
            if !stable.is_empty() {
                stable.push('.');
            }
            stable.push_str(if part.starts_with("func") && part.len() == digits + 4 { "func" } else { part });
        }
    }
    stable
}

/// One block: the goroutine that is written first, below its last `panic(`, which is where it went wrong.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let (head, body) = match stack.find("goroutine ") {
        Some(at) => (&stack[..at], stack[at..].split_once('\n').map_or("", |(_, body)| body)),
        None => ("", stack),
    };
    let body = body.find("\ngoroutine ").map_or(body, |end| &body[..end]);
    let panicked = body.rfind("\npanic(").map(|at| at + 1).or_else(|| body.starts_with("panic(").then_some(0));
    let lines = panicked.and_then(|at| body[at..].match_indices('\n').nth(1).map(|(end, _)| &body[at + end + 1..])).unwrap_or(body);
    let message = head.lines().rev().find_map(|line| line.trim_start().strip_prefix("panic: ")).map(str::trim);
    vec![Block { class: message.map(|_| "panic"), message, lines, frames: lines.matches(".go:").count(), ..Block::default() }]
}
