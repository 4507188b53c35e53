//! Stack traces of several languages as exceptions with frames, root cause first. Application frames are told from those of platforms
//! and libraries. Any text is accepted; what is no stack trace has no frames.

use super::short;

mod dotnet;
mod go;
mod header;
mod java;
mod libraries;
mod node;
mod python;
mod rust;

#[cfg(test)]
mod tests;

/// Language of a stack trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Java, Kotlin, Scala and others on the JVM.
    Java,
    /// C#, F# and others on .NET.
    DotNet,
    /// Python.
    Python,
    /// Go.
    Go,
    /// JavaScript and TypeScript on V8.
    Node,
    /// Rust.
    Rust,
    /// None that is known.
    Unknown,
}

/// A parsed stack trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackTrace<'a> {
    /// The language it was recognised as.
    pub language: Language,
    /// The exceptions, root cause first; suppressed ones last.
    pub exceptions: Vec<Exception<'a>>,
}

/// One exception of a stack trace with its frames, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Its class, where the trace says it.
    pub class: Option<&'a str>,
    /// Its message, which may have several lines.
    pub message: Option<&'a str>,
    /// Its own frames.
    pub frames: Vec<Frame<'a>>,
    /// Frames left out because they are those of the next exception (Java's `... 24 more`).
    pub common: usize,
    /// Whether it was suppressed, that is, not part of the chain of causes.
    pub suppressed: bool,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The line as written, without surrounding space.
    pub text: &'a str,
    /// Class, module or package with its path, without the function.
    pub module: Option<&'a str>,
    /// Function or method.
    pub function: &'a str,
    /// Source file as written.
    pub file: Option<&'a str>,
    /// Line number.
    pub line: Option<u32>,
    /// Library or platform it belongs to; `None` for application code.
    pub library: Option<&'a str>,
    /// Whether it is the application's own code.
    pub application: bool,
}

/// Frames of one exception for the screen: application frames one by one, runs of library frames folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fold<'a> {
    /// A frame of the application.
    Application(Frame<'a>),
    /// Neighbouring frames of libraries.
    Libraries {
        /// The libraries' names, each once, in order of appearance.
        names: Vec<&'a str>,
        /// The frames.
        frames: Vec<Frame<'a>>,
    },
}

/// Class and message of one exception of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its class.
    pub class: &'a str,
    /// Its message.
    pub message: Option<&'a str>,
}

/// A frame as it enters the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopFrame {
    /// Without line numbers and generated parts.
    pub(super) key: String,
    /// For titles.
    pub(super) short: String,
}

/// An exception before its frames are read.
#[derive(Debug, Clone, Copy, Default)]
struct Block<'a> {
    class: Option<&'a str>,
    message: Option<&'a str>,
    /// The lines with the frames.
    lines: &'a str,
    /// Frames in these lines.
    frames: usize,
    common: usize,
    suppressed: bool,
}

/// Parses a stack trace for the screen.
#[must_use]
pub fn parse<'a>(stack: &'a str, application_packages: &[String]) -> StackTrace<'a> {
    let language = detect(stack);
    let mut exceptions: Vec<Exception<'a>> = blocks(language, stack)
        .iter()
        .map(|block| Exception {
            class: block.class,
            message: block.message,
            frames: read_frames(language, block).collect(),
            common: block.common,
            suppressed: block.suppressed,
        })
        .collect();
    mark_application(&mut exceptions, application_packages);
    StackTrace { language, exceptions }
}

impl<'a> Exception<'a> {
    /// The frames with runs of library frames folded.
    #[must_use]
    pub fn folded(&self) -> Vec<Fold<'a>> {
        let mut folds: Vec<Fold<'a>> = Vec::new();
        for &frame in &self.frames {
            let name = frame.library.unwrap_or("other code");
            match folds.last_mut() {
                _ if frame.application => folds.push(Fold::Application(frame)),
                Some(Fold::Libraries { names, frames }) => {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                    frames.push(frame);
                }
                _ => folds.push(Fold::Libraries { names: vec![name], frames: vec![frame] }),
            }
        }
        folds
    }
}

/// The chain of causes, root cause first, without suppressed exceptions.
#[must_use]
pub fn exceptions(stack: &str) -> Vec<Link<'_>> {
    let blocks = blocks(detect(stack), stack);
    let chain = blocks.iter().filter(|block| !block.suppressed);
    chain.filter_map(|block| Some(Link { class: block.class?, message: block.message })).collect()
}

/// The top application frames of the root cause: its own, then those it has in common with what wraps it.
pub(super) fn top_application_frames(stack: &str, application_packages: &[String], wanted: usize) -> Vec<TopFrame> {
    let language = detect(stack);
    let mut blocks = blocks(language, stack);
    blocks.retain(|block| !block.suppressed);
    let (mut named, mut other) = (Vec::new(), Vec::new());
    let mut skip = 0;
    for (at, block) in blocks.iter().enumerate() {
        for frame in read_frames(language, block).skip(skip) {
            if is_named(&frame, application_packages) {
                named.push(frame);
            } else if other.len() < wanted && frame.library.is_none() {
                other.push(frame);
            }
            if named.len() == wanted || (application_packages.is_empty() && other.len() == wanted) {
                break;
            }
        }
        let found = if application_packages.is_empty() { other.len() } else { named.len() };
        let Some(wrapper) = blocks.get(at + 1) else { break };
        if found >= wanted || block.common == 0 {
            break;
        }
        // What is in common are the last frames of the wrapper's complete trace.
        let beyond = skip.saturating_sub(block.frames);
        skip = (wrapper.frames + wrapper.common).saturating_sub(block.common) + beyond;
    }
    if named.is_empty() { &other } else { &named }.iter().take(wanted).map(|frame| top_frame(language, frame)).collect()
}

fn top_frame(language: Language, frame: &Frame<'_>) -> TopFrame {
    let function = stable_name(language, frame.function);
    let Some(module) = frame.module else { return TopFrame { key: function.clone(), short: function } };
    let module = stable_name(language, module);
    let short_module = short(&module);
    TopFrame { short: format!("{short_module}.{function}"), key: format!("{module}.{function}") }
}

fn stable_name(language: Language, name: &str) -> String {
    match language {
        Language::Java => java::stable_name(name),
        Language::Go => go::stable_name(name),
        _ => name.to_owned(),
    }
}

fn is_named(frame: &Frame<'_>, application_packages: &[String]) -> bool {
    let name = frame.module.unwrap_or(frame.function);
    application_packages
        .iter()
        .any(|package| !package.is_empty() && (name.starts_with(package.as_str()) || package.trim_end_matches('.') == name))
}

/// Named packages decide when any frame has one; else everything that belongs to no known library is the application's.
fn mark_application(exceptions: &mut [Exception<'_>], application_packages: &[String]) {
    let mut frames: Vec<&mut Frame<'_>> = exceptions.iter_mut().flat_map(|exception| &mut exception.frames).collect();
    let any_named = frames.iter().any(|frame| is_named(frame, application_packages));
    for frame in &mut frames {
        frame.application = if any_named { is_named(frame, application_packages) } else { frame.library.is_none() };
        if frame.application {
            frame.library = None;
        }
    }
}

/// By the first line that only one language writes.
fn detect(stack: &str) -> Language {
    let mut caused = false;
    for line in stack.split('\n') {
        let text = line.trim();
        match text.as_bytes().first() {
            Some(b'a') if text.starts_with("at ") => {
                let frame = text[3..].trim();
                if java::is_frame(frame) {
                    return Language::Java;
                }
                if node::is_frame(frame) {
                    return Language::Node;
                }
                if dotnet::is_frame(frame) {
                    return Language::DotNet;
                }
            }
            Some(b'C') => caused |= text.starts_with("Caused by: "),
            Some(b'T') if text.starts_with("Traceback (most recent call last):") => return Language::Python,
            Some(b'g') if text.starts_with("goroutine ") && text.ends_with("]:") => return Language::Go,
            Some(b'/') if line.starts_with('\t') && text.contains(".go:") => return Language::Go,
            Some(b's' | b'S') if text.ends_with("tack backtrace:") => return Language::Rust,
            Some(b'0') if text.starts_with("0: ") && text.contains("::") => return Language::Rust,
            _ => {}
        }
    }
    // A Java trace whose frames were cut away.
    if caused { Language::Java } else { Language::Unknown }
}

fn blocks(language: Language, stack: &str) -> Vec<Block<'_>> {
    match language {
        Language::Java => java::blocks(stack),
        Language::DotNet => dotnet::blocks(stack),
        Language::Python => python::blocks(stack),
        Language::Go => go::blocks(stack),
        Language::Node => node::blocks(stack),
        Language::Rust => rust::blocks(stack),
        Language::Unknown => Vec::new(),
    }
}

const fn read_frames<'a>(language: Language, block: &Block<'a>) -> Frames<'a> {
    Frames { language, rest: Some(block.lines) }
}

/// The frames in some lines, innermost first.
struct Frames<'a> {
    language: Language,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        while let Some(rest) = self.rest {
            let frame = if self.language == Language::Python {
                // The innermost call is written last.
                let (before, line) = rest.rsplit_once('\n').map_or((None, rest), |(before, line)| (Some(before), line));
                self.rest = before;
                python::frame(line)
            } else {
                let (line, after) = rest.split_once('\n').map_or((rest, None), |(line, after)| (line, Some(after)));
                self.rest = after;
                let next = || after.map_or("", |after| after.split_once('\n').map_or(after, |(next, _)| next));
                match self.language {
                    Language::Java => java::frame(line),
                    Language::DotNet => dotnet::frame(line),
                    Language::Node => node::frame(line),
                    Language::Go => go::frame(line, next()),
                    Language::Rust => rust::frame(line, next()),
                    Language::Python | Language::Unknown => None,
                }
            };
            if frame.is_some() {
                return frame;
            }
        }
        None
    }
}
