//! What the audit's words mean to a person.

/// How an act ended, as a status shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) word: &'static str,
    /// Why, where there is more to say.
    pub(super) reason: String,
}

impl Outcome {
    pub(super) fn of(result: &str) -> Self {
        let (kind, reason) = result.split_once(':').map_or((result, ""), |(kind, reason)| (kind, reason.trim()));
        let (tone, icon, word) = match kind {
            "done" => ("ok", "circle-check", "Done"),
            "denied" => ("warn", "circle-slash", "Refused"),
            "failed" => ("bad", "circle-alert", "Failed"),
            _ => return Self { tone: "idle", icon: "circle-question-mark", word: "Unknown", reason: result.to_owned() },
        };
        Self { tone, icon, word, reason: reason.to_owned() }
    }
}

/// An act in words: the infinitive, because it may have been refused. Acts that nobody has worded yet show as they are.
pub(super) fn act(action: &str) -> String {
    let words = match action {
        "session.login" => "Log in",
        "session.logout" => "Log out",
        "user.add" => "Add user",
        "user.change" => "Change user",
        "user.delete" => "Delete user",
        "user.first_start" => "Make the first administrator",
        "token.add" => "Make token",
        "token.revoke" => "Revoke token",
        "request.denied" => "Send",
        "dead_letters.export" => "Export dead letters",
        "dead_letters.discard" => "Discard dead letters",
        "dead_letters.restore" => "Open discarded dead letters again",
        "purges.plan" => "Plan a purge",
        "purges.start" => "Start a purge",
        "purges.cancel" => "Cancel a purge",
        "purges.end" => "Purge records",
        "audit.export" => "Export the audit",
        "records.read" | "records.open" => "Open records",
        other => return other.to_owned(),
    };
    words.to_owned()
}

/// Where the target can be seen, when it is a filter of a list.
pub(super) fn target_address(action: &str, target: &str) -> Option<String> {
    let is_query = target.starts_with('?') && !target.contains(['"', '<', '>', ' ', '#', '\\']);
    (action == "dead_letters.export" && is_query).then(|| format!("/dead-letters{target}"))
}

#[cfg(test)]
mod tests {
    use super::{Outcome, act, target_address};

    #[test]
    fn results_have_a_word_and_a_reason() {
        assert_eq!(Outcome::of("done").word, "Done");
        let denied = Outcome::of("denied: needs the role admin");
        assert_eq!((denied.word, denied.reason.as_str()), ("Refused", "needs the role admin"));
        assert_eq!(Outcome::of("half: way").word, "Unknown", "what is not known is not green");
    }

    #[test]
    fn unknown_acts_are_shown_as_they_are() {
        assert_eq!(act("user.add"), "Add user");
        assert_eq!(act("replay.start"), "replay.start");
    }

    #[test]
    fn an_export_leads_to_what_was_exported() {
        assert_eq!(target_address("dead_letters.export", "?bus=prod").as_deref(), Some("/dead-letters?bus=prod"));
        assert_eq!(target_address("dead_letters.export", "?q=\"><b>"), None);
        assert_eq!(target_address("user.add", "?bus=prod"), None);
    }
}
