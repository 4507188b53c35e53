//! Words about consumer groups.

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
    pub title: &'static str,
}

/// How a state looks.
#[must_use]
pub fn state(word: &str) -> GroupState {
    let (icon, tone, title) = match word {
        "Stable" => ("circle-check", "idle", "Members are there and partitions are assigned"),
        "Empty" => ("circle-dashed", "idle", "No members; committed offsets are kept"),
        "Dead" => ("circle-slash", "idle", "No members and no committed offsets"),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            ("refresh-cw", "busy", "Partitions are being assigned anew")
        }
        _ => ("circle-question-mark", "idle", "The bus does not tell the state"),
    };
    GroupState { word: spaced(word), icon, tone, title }
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
    fn states_are_the_words_of_the_bus() {
        for (given, word, tone) in [
            ("Stable", "Stable", "idle"),
            ("PreparingRebalance", "Preparing rebalance", "busy"),
            ("Reconciling", "Reconciling", "busy"),
            ("SomethingNew", "Something new", "idle"),
            ("", "Unknown", "idle"),
        ] {
            let shown = state(given);
            assert_eq!((shown.word.as_str(), shown.tone), (word, tone));
        }
    }
}
