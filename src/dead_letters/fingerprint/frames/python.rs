//! Python tracebacks: the most recent call last, causes above what they caused.

use super::{Block, Frame, header};

/// A line as a frame: `File "/app/orders.py", line 3, in place`.
pub(super) fn frame(line: &str) -> Option<Frame<'_>> {
    let text = line.trim();
    let (file, rest) = text.strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").map_or((rest, "<module>"), |(number, function)| (number, function.trim()));
    let module = Some(header::path_tail(file, &[".py"]));
    Some(Frame { text, module, function, file: Some(file), line: number.trim().parse().ok(), library: library(file), application: false })
}

fn library(file: &str) -> Option<&str> {
    let package = header::package_behind(file, "site-packages/").or_else(|| header::package_behind(file, "dist-packages/"));
    package.or_else(|| (file.starts_with('<') || file.contains("/lib/python3") || file.contains("\\lib\\python3")).then_some("Python"))
}

/// The exceptions, root cause first, which is the order they are written in.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = stack;
    while let Some(at) = rest.find("Traceback (most recent call last):") {
        let body = rest[at..].split_once('\n').map_or("", |(_, body)| body);
        let frames_end = end_of_frames(body);
        let (lines, tail) = body.split_at(frames_end);
        let header_end = end_of_header(tail);
        let (class, message) = header::class_and_message(&tail[..header_end]);
        let frames = lines.lines().filter(|line| line.trim_start().starts_with("File \"")).count();
        blocks.push(Block { class, message, lines, frames, ..Block::default() });
        rest = &tail[header_end..];
    }
    blocks
}

/// Frames and their source lines are indented; the exception is not.
fn end_of_frames(body: &str) -> usize {
    let mut end = 0;
    for line in body.split_inclusive('\n') {
        if !line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            break;
        }
        end += line.len();
    }
    end
}

/// The message ends where Python says how this exception led to the next.
fn end_of_header(tail: &str) -> usize {
    let markers = ["\nDuring handling of the above", "\nThe above exception was", "\nTraceback (most"];
    markers.iter().filter_map(|marker| tail.find(marker)).min().unwrap_or(tail.len())
}
