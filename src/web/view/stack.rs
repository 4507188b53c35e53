//! A stack trace as a page shows it: root cause first, the application's own frames set off, runs of library frames folded.

use super::number::counted;
use super::text::{code_line, short};
use crate::dead_letters::fingerprint::frames::{self, Exception, Fold};

/// Exceptions shown of a chain; deeper ones are in the trace as written.
const MAX_EXCEPTIONS: usize = 20;
/// Frames shown in all.
const MAX_FRAMES: usize = 500;
/// Characters of one line.
const LINE_CHARS: usize = 1_000;

/// One entry of the list of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackLine {
    /// An exception: `class: message`, with what it wraps in front.
    Cause(String),
    /// A frame of the application.
    Own(String),
    /// Frames of libraries, folded.
    Fold {
        /// How many and of whom.
        summary: String,
        /// The frames.
        frames: Vec<String>,
    },
    /// Something left out, in words.
    Note(String),
}

/// The stack trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackView {
    /// Entries, root cause first; empty when this is no stack trace that we can read.
    pub lines: Vec<StackLine>,
    /// `root cause first, 3 application frames`.
    pub facts: String,
}

impl StackView {
    /// Reads a stack trace.
    #[must_use]
    pub fn new(stack: &str, application_packages: &[String]) -> Self {
        let trace = frames::parse(stack, application_packages);
        let mut view = Builder::default();
        for (i, exception) in trace.exceptions.iter().take(MAX_EXCEPTIONS).enumerate() {
            view.exception(exception, i == 0);
        }
        if let Some(more) = trace.exceptions.len().checked_sub(MAX_EXCEPTIONS).filter(|more| *more > 0) {
            view.lines.push(StackLine::Note(format!("{} as written", counted(more as u64, "more exception", "more exceptions"))));
        }
        if view.shown == 0 {
            return Self { lines: Vec::new(), facts: "as written".to_owned() };
        }
        let own = counted(view.own, "application frame", "application frames");
        let order = if trace.exceptions.len() > 1 { "root cause first, " } else { "" };
        Self { lines: view.lines, facts: format!("{order}{own}") }
    }
}

#[derive(Default)]
struct Builder {
    lines: Vec<StackLine>,
    shown: usize,
    own: u64,
}

impl Builder {
    fn exception(&mut self, exception: &Exception<'_>, is_root: bool) {
        let text = match (exception.class, exception.message) {
            (Some(class), Some(message)) => format!("{class}: {message}"),
            (Some(text), None) | (None, Some(text)) => text.to_owned(),
            (None, None) => "Exception".to_owned(),
        };
        let prefix = match (is_root, exception.suppressed) {
            (true, _) => "",
            (false, true) => "Suppressed ",
            (false, false) => "Wrapped by ",
        };
        self.lines.push(StackLine::Cause(format!("{prefix}{}", short(&text, LINE_CHARS))));
        for fold in exception.folded() {
            if self.shown >= MAX_FRAMES {
                self.lines.push(StackLine::Note("More frames as written".to_owned()));
                return;
            }
            self.fold(fold);
        }
        if exception.common > 0 {
            let frames = counted(exception.common as u64, "frame", "frames");
            self.lines.push(StackLine::Note(format!("{frames} in common with what wraps it")));
        }
    }

    fn fold(&mut self, fold: Fold<'_>) {
        match fold {
            Fold::Application(frame) => {
                self.shown += 1;
                self.own += 1;
                self.lines.push(StackLine::Own(frame_text(frame.text)));
            }
            Fold::Libraries { names, frames } => {
                let count = counted(frames.len() as u64, "library frame", "library frames");
                let mut listed: Vec<_> = names.iter().take(4).map(|name| short(name, 80)).collect();
                if names.len() > 4 {
                    listed.push("others".to_owned());
                }
                let room = MAX_FRAMES - self.shown;
                let frames: Vec<_> = frames.iter().take(room).map(|frame| frame_text(frame.text)).collect();
                self.shown += frames.len();
                self.lines.push(StackLine::Fold { summary: format!("{count}: {}", listed.join(", ")), frames });
            }
        }
    }
}

fn frame_text(text: &str) -> String {
    code_line(text.trim(), LINE_CHARS).text
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener method threw exception\n\
        \tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.decorateException(KafkaMessageListenerContainer.java:2968)\n\
        \tat java.base/java.lang.Thread.run(Thread.java:840)\n\
        Caused by: java.lang.NullPointerException: token is null\n\
        \tat com.acme.payments.CardTokenizer.tokenize(CardTokenizer.java:88)\n\
        \tat com.acme.payments.AuthoriseHandler.authorise(AuthoriseHandler.java:54)\n\
        \tat java.base/java.lang.reflect.Method.invoke(Method.java:580)\n\
        \tat org.springframework.messaging.handler.invocation.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:169)\n\
        \t... 12 more\n";

    #[test]
    fn the_root_cause_comes_first_and_libraries_are_folded() {
        let view = StackView::new(JAVA, &[]);
        assert_eq!(view.facts, "root cause first, 2 application frames");
        assert_eq!(view.lines[0], StackLine::Cause("java.lang.NullPointerException: token is null".into()));
        assert_eq!(view.lines[1], StackLine::Own("at com.acme.payments.CardTokenizer.tokenize(CardTokenizer.java:88)".into()));
        assert!(
            matches!(&view.lines[3], StackLine::Fold { summary, frames } if summary.starts_with("2 library frames: ") && frames.len() == 2)
        );
        assert_eq!(view.lines[4], StackLine::Note("12 frames in common with what wraps it".into()));
        assert!(matches!(&view.lines[5], StackLine::Cause(text) if text.starts_with("Wrapped by org.springframework")));
    }

    #[test]
    fn what_is_no_stack_trace_is_shown_as_written() {
        assert_eq!(StackView::new("something went wrong", &[]).lines, []);
        assert_eq!(StackView::new("", &[]).lines, []);
    }

    #[test]
    fn a_megabyte_of_frames_stays_small() {
        let frame = "\tat com.acme.A.b(A.java:1)\n";
        let view = StackView::new(&format!("java.lang.StackOverflowError\n{}", frame.repeat(40_000)), &[]);
        assert!(view.lines.len() <= MAX_FRAMES + 2, "{}", view.lines.len());
    }
}
