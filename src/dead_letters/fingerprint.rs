//! Fingerprint version 1: the same cause gives the same key over records, restarts and line numbers; another cause another.
//!
//! It is made of the written consumer group (or else the dead-letter topic), then of the first that exists: the root cause's class
//! with its top three application frames; the class with the normalised message; the normalised message; origin topic and stage.
//! The formula never changes under this number: ids in URLs, alerts and notes depend on it.

use sha2::{Digest, Sha256};

use crate::model::failure_group::FingerprintParts;
use crate::model::{Failure, Fingerprint, TopicName};

use super::conventions::wrappers::is_wrapper;

pub mod frames;
pub mod normalise;

/// Version of the formula.
const VERSION: u8 = 1;

/// Application frames that enter.
const TOP_FRAMES: usize = 3;

/// Characters of a part and of a title that are kept for people; the whole part is hashed.
const MAX_PART_CHARS: usize = 300;
const MAX_TITLE_CHARS: usize = 160;

/// The fingerprint of a failure, with what it was made of.
///
/// `application_packages` are the beginnings of a team's own class or module names; empty means that everything is theirs which
/// belongs to no platform and no known library.
#[must_use]
pub fn fingerprint(failure: &Failure, dead_letter_topic: &TopicName, application_packages: &[String]) -> FingerprintParts {
    let mut parts = Parts::new();
    match failure.consumer_group.as_ref().filter(|_| !failure.consumer_group_inferred) {
        Some(group) => parts.add("consumer group", group.as_str()),
        None => parts.add("dead-letter topic", dead_letter_topic.as_str()),
    }
    let title = add_cause(&mut parts, failure, dead_letter_topic, application_packages);
    FingerprintParts { fingerprint: parts.fingerprint(), title: one_line(&title, MAX_TITLE_CHARS), parts: parts.readable }
}

fn add_cause(parts: &mut Parts, failure: &Failure, dead_letter_topic: &TopicName, application_packages: &[String]) -> String {
    let class = failure.exception_class.as_deref().filter(|class| !is_wrapper(class));
    if let (Some(class), Some(stack)) = (class, failure.stack_trace.as_deref()) {
        let top = frames::top_application_frames(stack, application_packages, TOP_FRAMES);
        if let Some(first) = top.first() {
            parts.add("exception", class);
            for frame in &top {
                parts.add("frame", &frame.key);
            }
            return format!("{} in {}", short(class), first.short);
        }
    }
    let message = failure.message.as_deref().map(normalise::normalise).filter(|message| !message.is_empty());
    if let Some(class) = class {
        parts.add("exception", class);
    }
    if let Some(message) = &message {
        parts.add("message", message);
    }
    match (class, message, failure.stage.as_deref()) {
        (Some(class), _, Some(stage)) => format!("{} in stage {stage}", short(class)),
        (Some(class), Some(message), None) => format!("{}: {message}", short(class)),
        (Some(class), None, None) => short(class).to_owned(),
        (None, Some(message), _) => message,
        (None, None, stage) => add_place(parts, failure, dead_letter_topic, stage),
    }
}

/// Nothing is known of the exception: the place stands in.
fn add_place(parts: &mut Parts, failure: &Failure, dead_letter_topic: &TopicName, stage: Option<&str>) -> String {
    if let Some(topic) = &failure.origin.topic {
        parts.add("origin topic", topic.as_str());
    }
    if let Some(stage) = stage {
        parts.add("stage", stage);
    }
    match (&failure.origin.topic, stage) {
        (Some(topic), Some(stage)) => format!("Failure in stage {stage} on {topic}"),
        (Some(topic), None) => format!("Failure on {topic}"),
        (None, Some(stage)) => format!("Failure in stage {stage}"),
        (None, None) => format!("Dead letters of {dead_letter_topic}"),
    }
}

/// A class without its package: after the last `.`, `::`, `/` or `$`.
#[must_use]
pub fn short(class: &str) -> &str {
    class.rsplit(['.', ':', '/', '$']).find(|part| !part.is_empty()).unwrap_or(class)
}

struct Parts {
    hash: Sha256,
    readable: Vec<String>,
}

impl Parts {
    fn new() -> Self {
        let mut hash = Sha256::new();
        hash.update([VERSION]);
        Self { hash, readable: Vec::with_capacity(2 + TOP_FRAMES) }
    }

    /// Lengths keep neighbouring parts apart: `ab` + `c` is not `a` + `bc`.
    fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.hash.update((text.len() as u64).to_be_bytes());
            self.hash.update(text.as_bytes());
        }
        self.readable.push(format!("{name}: {}", one_line(value, MAX_PART_CHARS)));
    }

    fn fingerprint(&self) -> Fingerprint {
        let digest = self.hash.clone().finalize();
        let hash = digest.iter().take(8).fold(0, |hash, &byte| (hash << 8) | u64::from(byte));
        Fingerprint { version: VERSION, hash }
    }
}

/// One line of at most so many characters, control characters as spaces.
fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max_chars * 4 + 3));
    for (count, c) in text.trim().chars().enumerate() {
        if count == max_chars {
            line.push('…');
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}
