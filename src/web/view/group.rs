//! Words about consumer groups.

use super::freshness::Freshness;
use super::lines::seconds;
use crate::model::lag::{GroupStatus, TimeLagMillis};

/// State of a consumer group, ready to be shown. The words are the bus's own; whether a group is healthy is another question, which
/// the state alone does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// The bus's word, in lower case with spaces.
    pub word: String,
    /// Name of the icon.
    pub icon: &'static str,
    /// Value of `data-tone`.
    pub tone: &'static str,
    /// What it means.
    pub title: String,
}

/// How a state of a group of this kind looks.
#[must_use]
pub fn state(word: &str, kind: &str) -> GroupState {
    let (icon, tone, title) = match word {
        "Stable" => ("circle-check", "idle", "Members are there and partitions are assigned"),
        "Empty" => ("circle-dashed", "idle", "No members; committed offsets are kept"),
        "Dead" => ("circle-slash", "idle", "No members and no committed offsets"),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            ("refresh-cw", "busy", "Partitions are being assigned anew")
        }
        // Client libraries have no word yet for what a group of the new protocol does between two assignments.
        "" | "Unknown" if kind == "consumer" => ("circle-question-mark", "idle", "Rebalancing, or not told by the client library"),
        _ => ("circle-question-mark", "idle", "The bus does not tell the state"),
    };
    GroupState { word: spaced(word), icon, tone, title: title.to_owned() }
}

/// What a group is doing, ready to be shown.
#[must_use]
pub fn status(status: GroupStatus, parked: bool) -> GroupState {
    let (word, icon, tone, title) = match status {
        _ if parked => ("Parked", "circle-stop", "idle", "No members and no commit for seven days: nobody uses it"),
        GroupStatus::CaughtUp => ("Caught up", "circle-check", "ok", "Nothing of note is left to read"),
        GroupStatus::CatchingUp => ("Catching up", "trending-down", "busy", "Behind, and getting closer"),
        GroupStatus::FallingBehind => ("Falling behind", "trending-up", "warn", "Behind, and not getting closer"),
        GroupStatus::Stalled => ("Stalled", "circle-pause", "bad", "Somebody holds it, and the committed offset does not move"),
        GroupStatus::Stopped => ("Stopped", "circle-stop", "bad", "Nobody reads, and there is something to read"),
        GroupStatus::Rewound => ("Rewound", "rewind", "warn", "The committed offset went back"),
        GroupStatus::NoCommit => ("No commit", "circle-dashed", "idle", "Held by members, and nothing was ever committed"),
        GroupStatus::DataLoss => ("Data loss", "triangle-alert", "bad", "Records were deleted before they were read"),
        GroupStatus::Unassigned => ("Unassigned", "user-x", "bad", "The group has members, and none of them holds it"),
        GroupStatus::TransactionBlocked => ("Blocked", "lock", "warn", "An open transaction holds back what comes next"),
        GroupStatus::Unknown => ("Unknown", "circle-question-mark", "idle", "What is known is too old or too little"),
    };
    GroupState { word: word.to_owned(), icon, tone, title: title.to_owned() }
}

/// What a group was last seen doing, as far as that still says something: nobody knows what goes on where nobody can look, and what
/// is old is not called well.
#[must_use]
pub fn status_at(last: GroupStatus, parked: bool, freshness: &Freshness) -> GroupState {
    let seen = status(last, parked);
    if freshness.is_past() {
        let title = format!("{} when the bus was last read", seen.word);
        return GroupState { title, ..status(GroupStatus::Unknown, false) };
    }
    if freshness.is_stale() && seen.tone == "ok" { GroupState { tone: "idle", ..seen } } else { seen }
}

/// Lag in time with its bound: `17 to 18 min`, `under 15 s`, `more than 2.0 h`.
#[must_use]
pub fn time_lag(lag: TimeLagMillis) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a time in words")]
    let words = |millis: i64| seconds(millis as f64 / 1e3);
    match lag.max {
        Some(0) => "none".to_owned(),
        None => format!("more than {}", words(lag.min)),
        Some(max) if lag.min == 0 => format!("under {}", words(max)),
        Some(max) => {
            let (low, high) = (words(lag.min), words(max));
            match (low.rsplit_once(' '), high.rsplit_once(' ')) {
                _ if low == high => low,
                (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} to {high}"),
                _ => format!("{low} to {high}"),
            }
        }
    }
}

/// The protocol's name for people.
#[must_use]
pub fn kind(kind: &str) -> &str {
    match kind {
        "consumer" => "consumer (KIP-848)",
        "" => "unknown",
        other => other,
    }
}

/// `PreparingRebalance` becomes `Preparing rebalance`.
fn spaced(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    for (place, c) in word.chars().enumerate() {
        if place > 0 && c.is_ascii_uppercase() {
            text.push(' ');
            text.push(c.to_ascii_lowercase());
        } else {
            text.push(c);
        }
    }
    if text.is_empty() { "Unknown".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_in_time_is_told_with_its_bound() {
        for (min, max, words) in [
            (0, Some(0), "none"),
            (0, Some(15_000), "under 15 s"),
            (1_020_000, Some(1_080_000), "17 to 18 min"),
            (45_000, Some(90_000), "45 s to 1.5 min"),
            (7_200_000, None, "more than 2.0 h"),
            (61_000, Some(61_500), "1.0 min"),
        ] {
            assert_eq!(time_lag(TimeLagMillis { min, max, estimate: None, looked_up: false }), words);
        }
    }

    #[test]
    fn every_status_has_a_word_of_its_own_and_a_parked_group_is_no_alarm() {
        let words: std::collections::BTreeSet<String> = GroupStatus::ALL.iter().map(|one| status(*one, false).word).collect();
        assert_eq!(words.len(), GroupStatus::ALL.len());
        assert_eq!((status(GroupStatus::Stopped, true).tone, status(GroupStatus::Stopped, false).tone), ("idle", "bad"));
    }

    #[test]
    fn states_are_the_words_of_the_bus() {
        for (given, word, tone) in [
            ("Stable", "Stable", "idle"),
            ("PreparingRebalance", "Preparing rebalance", "busy"),
            ("Reconciling", "Reconciling", "busy"),
            ("SomethingNew", "Something new", "idle"),
            ("", "Unknown", "idle"),
        ] {
            let shown = state(given, "classic");
            assert_eq!((shown.word.as_str(), shown.tone), (word, tone));
        }
    }

    #[test]
    fn an_unknown_state_of_the_new_protocol_may_be_a_rebalance() {
        let rebalancing = "Rebalancing, or not told by the client library";
        for (word, kind, title) in [
            ("Unknown", "consumer", rebalancing),
            ("", "consumer", rebalancing),
            ("Unknown", "classic", "The bus does not tell the state"),
            ("Unknown", "", "The bus does not tell the state"),
            ("Stable", "consumer", "Members are there and partitions are assigned"),
        ] {
            assert_eq!(state(word, kind).title, title, "{word} {kind}");
        }
        assert_eq!(state("Unknown", "consumer").word, "Unknown", "the word stays the bus's own");
    }
}
