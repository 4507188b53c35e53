//! Discards and restores: acts on statuses that a person asked for, over a scope that was frozen when it was asked.

use std::fmt;
use std::str::FromStr;

use super::dead_letter::{UnknownWord, words};
use super::public_id::public_id;
use super::{Actor, DeadLetterId, Timestamp};

public_id! {
    /// An act's public id.
    DiscardId
}

/// Why dead letters are discarded: 1 to 500 characters, without space around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Characters at most.
    pub const MAX_CHARS: usize = 500;

    /// `None` unless something is said, and not too much.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= Self::MAX_CHARS;
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

words! {
    /// What an act does.
    DiscardKind {
        /// Sets open dead letters aside.
        Discard = "discard" / 0,
        /// Opens discarded ones again.
        Restore = "restore" / 1,
    }
}

words! {
    /// Where an act stands.
    DiscardState {
        /// Its scope is being frozen, or it is being done.
        Running = "running" / 1,
        /// Everything in its scope was changed or skipped.
        Completed = "completed" / 2,
        /// Taken back before it was done; what was not changed by then stays as it was.
        Stopped = "stopped" / 3,
    }
}

/// An act as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    /// Our number in the store.
    pub number: i64,
    /// Its public id.
    pub id: DiscardId,
    /// What it does.
    pub kind: DiscardKind,
    /// Who asked.
    pub actor: Actor,
    /// Why; empty for a restore.
    pub reason: String,
    /// The scope as the audit names it.
    pub target: String,
    /// The discard that it takes back.
    pub undoes: Option<DiscardId>,
    /// The newest dead letter when it was asked: later ones are not in its scope.
    pub upper_id: DeadLetterId,
    /// Where it stands.
    pub state: DiscardState,
    /// Whether the whole scope is frozen.
    pub frozen: bool,
    /// Dead letters in its scope, as far as it is frozen.
    pub total: u64,
    /// How many it has changed.
    pub changed: u64,
    /// How many stood elsewhere and were left alone.
    pub skipped: u64,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it was taken back, and by whom.
    pub undone: Option<(Timestamp, String)>,
}

/// A discard of one dead letter, for its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterDiscard {
    /// Which discard.
    pub id: DiscardId,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When this one was changed.
    pub at: Timestamp,
    /// When it was opened again, by whom, and by which act.
    pub restored: Option<LetterRestore>,
}

/// How a dead letter was opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRestore {
    /// Which act.
    pub id: DiscardId,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::{DiscardId, Reason};
    use crate::model::Timestamp;

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        assert_eq!(Reason::new("  test data \n").as_ref().map(Reason::as_str), Some("test data"));
        assert_eq!(Reason::new(" \t"), None);
        assert!(Reason::new(&"ü".repeat(500)).is_some());
        assert_eq!(Reason::new(&"ü".repeat(501)), None);
    }

    #[test]
    fn ids_sort_by_time_and_are_read_back() {
        let (first, second) = (DiscardId::new(Timestamp::from_millis(1)), DiscardId::new(Timestamp::from_millis(2)));
        assert!(first < second);
        assert_eq!(DiscardId::parse(&first.as_str().to_uppercase()), Some(first));
        assert_eq!(DiscardId::parse("28"), None);
    }
}
