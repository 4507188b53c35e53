//! Traces as the store knows them: why they are kept, and the spans that people look for.

use std::borrow::Cow;

use super::Timestamp;
use super::span::{Operation, Span, SpanId, TraceId};

/// Longest text of a noted span: names that senders claim may be of any length, and an index entry may not.
const LONGEST_TEXT: usize = 200;

/// Why a trace is kept beyond the hot time; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct KeepReasons(u8);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $bit:literal / $word:literal;)+) => {
        impl KeepReasons {
            $($(#[$doc])* pub const $name: Self = Self($bit);)+

            /// Names of the reasons in it, as the API and the pages write them.
            #[must_use]
            pub fn words(self) -> Vec<&'static str> {
                [$(($bit, $word)),+].into_iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| word).collect()
            }
        }
    };
}

reasons! {
    /// A span failed.
    FAILED = 1 / "failed";
    /// Slower than 99 of 100 of its topic, consumer group and operation.
    SLOW = 2 / "slow";
    /// One of its messages became a dead letter.
    DEAD_LETTERED = 4 / "dead_lettered";
    /// It processed a replayed message.
    REPLAYED = 8 / "replayed";
    /// A person asked for it.
    PINNED = 16 / "pinned";
    /// An ordinary one, to compare the others with.
    BASELINE = 32 / "baseline";
    /// Linked to a trace that is kept for another reason.
    LINKED = 64 / "linked";
}

impl KeepReasons {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// The number kept in the store.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.0 as i32
    }

    /// Of a number kept in the store.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        Self(code.to_le_bytes()[0] & 0x7f)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether traces that are linked with this one are kept too: those that are only linked themselves, or ordinary, draw no others.
    #[must_use]
    pub const fn draws_linked(self) -> bool {
        self.0 & !(Self::LINKED.0 | Self::BASELINE.0) != 0
    }
}

impl std::ops::BitOr for KeepReasons {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for KeepReasons {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A span that can be searched for: it touched a message, failed, or began a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedSpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// What it did with messages; `Other` when nothing.
    pub operation: Operation,
    /// Whether it failed.
    pub failed: bool,
    /// Its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Topic, when it touched one.
    pub topic: Option<String>,
    /// Partition.
    pub partition: Option<i32>,
    /// Offset.
    pub offset: Option<i64>,
    /// Consumer group, where the instrumentation knows it.
    pub consumer_group: Option<String>,
    /// The cluster's id, where the instrumentation knows it.
    pub cluster_id: Option<String>,
    /// The broker, as the client names it.
    pub broker: Option<String>,
}

impl NotedSpan {
    /// Whether anything is noted of a span.
    #[must_use]
    pub fn is_of(span: &Span) -> bool {
        span.messaging.is_some() || span.parent.is_none() || span.failed()
    }

    /// What is noted of a span, if anything.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        if !Self::is_of(span) {
            return None;
        }
        let messaging = span.messaging.as_deref();
        let cut = |text: &str| noted_text(text).into_owned();
        Some(Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent: span.parent,
            started_at: span.started_at(),
            duration_us: duration_us(span),
            operation: messaging.map_or(Operation::Other, |messaging| messaging.operation),
            failed: span.failed(),
            service: cut(&span.service),
            name: cut(&span.name),
            topic: messaging.and_then(|messaging| messaging.destination.as_deref()).map(cut),
            partition: messaging.and_then(|messaging| messaging.partition),
            offset: messaging.and_then(|messaging| messaging.offset),
            consumer_group: messaging.and_then(|messaging| messaging.consumer_group.as_deref()).map(cut),
            cluster_id: messaging.and_then(|messaging| messaging.cluster_id.as_deref()).map(cut),
            broker: messaging.and_then(|messaging| messaging.broker.as_deref()).map(cut),
        })
    }
}

/// A tie between spans of two traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceLink {
    /// The span that names the other.
    pub from: (TraceId, SpanId),
    /// The span that is named.
    pub to: (TraceId, SpanId),
}

/// How long a span took, in microseconds.
#[must_use]
pub fn duration_us(span: &Span) -> i64 {
    i64::try_from(span.duration().as_micros()).unwrap_or(i64::MAX)
}

/// The beginning of a text as it is noted, and no NUL, which PostgreSQL does not take.
#[must_use]
pub fn noted_text(text: &str) -> Cow<'_, str> {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Which spans a search is for; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// Bus that has the topic; spans that name another cluster are of another bus.
    pub bus: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// Topic.
    pub topic: Option<String>,
    /// Consumer group: spans that name it, and those that took a message from a topic that it alone reads and name none.
    pub consumer_group: Option<String>,
    /// What it did with messages.
    pub operation: Option<Operation>,
    /// Only spans that failed, or only those that did not.
    pub failed: Option<bool>,
    /// At least so long, in microseconds.
    pub at_least_us: Option<i64>,
    /// Started at this time or later.
    pub from: Option<Timestamp>,
    /// Started before this time.
    pub to: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_a_set_and_keep_their_words() {
        let both = KeepReasons::FAILED | KeepReasons::LINKED;
        assert_eq!(both.words(), ["failed", "linked"]);
        assert_eq!(KeepReasons::from_code(both.code()), both);
        assert!(both.contains(KeepReasons::FAILED) && !both.contains(KeepReasons::SLOW));
        assert!(
            both.draws_linked() && !KeepReasons::LINKED.draws_linked() && !(KeepReasons::LINKED | KeepReasons::BASELINE).draws_linked()
        );
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        assert_eq!(noted_text(&"ä".repeat(150)).len(), LONGEST_TEXT);
        assert_eq!(noted_text("a\0b"), "a\u{fffd}b");
    }
}
