//! Java stack traces, as `Throwable.printStackTrace` and the usual loggers write them.

use super::{Block, Frame, header, libraries};

/// Endings of JVM source files.
const SOURCES: [&str; 6] = [".java", ".kt", ".scala", ".groovy", ".clj", ".kts"];

/// Whether what follows `at ` is a Java frame.
pub(super) fn is_frame(text: &str) -> bool {
    split(text).is_some_and(|(name, place)| {
        let file = place.split_once(':').map_or(place, |(file, _)| file);
        name.contains('.')
            && (matches!(place, "Native Method" | "Unknown Source" | "<generated>") || SOURCES.iter().any(|end| file.ends_with(end)))
    })
}

/// `name(place)`, with what loggers write behind it (` ~[library.jar:1.0]`) left out.
fn split(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    let (place, behind) = rest.split_once(')')?;
    (behind.is_empty() || behind.starts_with(" ~[") || behind.starts_with(" [")).then_some((name, place))
}

/// A line as a frame.
pub(super) fn frame(line: &str) -> Option<Frame<'_>> {
    let text = line.trim();
    let (name, place) = split(text.strip_prefix("at ")?)?;
    let name = without_loader(name);
    let (module, function) = name.rsplit_once('.').map_or((None, name), |(module, function)| (Some(module), function));
    let (file, number) = match place {
        "Native Method" | "Unknown Source" | "<generated>" => (None, None),
        _ => place.split_once(':').map_or((Some(place), None), |(file, line)| (Some(file), line.parse().ok())),
    };
    Some(Frame { text, module, function, file, line: number, library: library(name), application: false })
}

/// `app//shop.Orders.place` and `java.base/java.lang.Thread.run` without loader and module. A hidden class has a `/` of its own.
fn without_loader(name: &str) -> &str {
    let until = name.find("$$Lambda").unwrap_or(name.len());
    name[..until].rfind('/').map_or(name, |slash| &name[slash + 1..])
}

fn library(name: &str) -> Option<&'static str> {
    libraries::java(name).or_else(|| is_generated(name).then_some("generated code"))
}

/// Proxies, lambda classes and accessors stand between the frames that people wrote and come and go with configuration.
fn is_generated(name: &str) -> bool {
    let dollar = memchr::memmem::find(name.as_bytes(), b"$$").is_some_and(|at| !name[at..].starts_with("$$anonfun"));
    dollar || name.contains("$Proxy") || name.contains("_ClientProxy.") || name.contains("_Subclass.") || name.contains("$HibernateProxy$")
}

/// Without the numbers of lambdas and anonymous classes: `lambda$place$0` is `lambda$place`, `Orders$1` is `Orders`.
pub(super) fn stable_name(name: &str) -> String {
    let mut stable = String::with_capacity(name.len());
    for (at, part) in name.split('$').enumerate() {
        if at > 0 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        if at > 0 {
            stable.push('$');
        }
        stable.push_str(part);
    }
    stable
}

/// The exceptions, root cause first.
pub(super) fn blocks(stack: &str) -> Vec<Block<'_>> {
    let mut reader = Reader { stack, blocks: Vec::with_capacity(4), current: Open::default(), suppressed_at: None, root_first: false };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', stack.as_bytes()).chain([stack.len()]) {
        if start <= end {
            reader.line(start, end);
        }
        start = end + 1;
    }
    reader.close(stack.len());
    let mut blocks = reader.blocks;
    if !reader.root_first {
        blocks.reverse();
    }
    // Suppressed exceptions are no part of the chain; they come last.
    blocks.sort_by_key(|block| block.suppressed);
    blocks
}

struct Reader<'a> {
    stack: &'a str,
    blocks: Vec<Block<'a>>,
    current: Open,
    /// Indentation of the `Suppressed:` line whose trace is being read.
    suppressed_at: Option<usize>,
    /// Some loggers write the root cause first and what wraps it after `Wrapped by:`.
    root_first: bool,
}

/// The exception being read, as positions in the text.
#[derive(Default)]
struct Open {
    header: usize,
    first_frame: Option<usize>,
    last_frame: usize,
    frames: usize,
    common: usize,
    suppressed: bool,
}

impl Reader<'_> {
    fn line(&mut self, start: usize, end: usize) {
        let raw = &self.stack[start..end];
        let line = raw.trim_start_matches([' ', '\t']);
        let indent = raw.len() - line.len();
        let Some(&byte) = line.as_bytes().first() else { return };
        match byte {
            // Jackson writes ` at [Source: ...]` into messages.
            b'a' if indent > 0 && line.starts_with("at ") && !line.starts_with("at [") && line.contains('(') => {
                self.current.first_frame.get_or_insert(start);
                self.current.last_frame = end;
                self.current.frames += 1;
            }
            b'.' if line.starts_with("... ") => {
                self.current.common = line[4..].split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                self.current.first_frame.get_or_insert(start);
                self.current.last_frame = end;
            }
            b'C' if line.starts_with("Caused by: ") => self.open(start, indent, 11),
            b'W' if line.starts_with("Wrapped by: ") => {
                self.root_first = true;
                self.open(start, indent, 12);
            }
            b'S' if line.starts_with("Suppressed: ") => {
                self.close(start);
                self.suppressed_at = Some(self.suppressed_at.map_or(indent, |outer| outer.min(indent)));
                self.current = Open { header: start + indent + 12, suppressed: true, ..Open::default() };
            }
            _ => {}
        }
    }

    fn open(&mut self, start: usize, indent: usize, prefix: usize) {
        self.close(start);
        // A cause written further left than the suppressed exception belongs to the main chain again.
        self.suppressed_at = self.suppressed_at.filter(|outer| indent >= *outer);
        self.current = Open { header: start + indent + prefix, suppressed: self.suppressed_at.is_some(), ..Open::default() };
    }

    fn close(&mut self, end: usize) {
        let open = std::mem::take(&mut self.current);
        let header_end = open.first_frame.unwrap_or(end).max(open.header);
        let (class, message) = header::class_and_message(&self.stack[open.header..header_end]);
        let class = class.map(without_loader);
        let lines = open.first_frame.map_or("", |first| &self.stack[first..open.last_frame]);
        if class.is_some() || message.is_some() || open.frames > 0 {
            self.blocks.push(Block { class, message, lines, frames: open.frames, common: open.common, suppressed: open.suppressed });
        }
    }
}
