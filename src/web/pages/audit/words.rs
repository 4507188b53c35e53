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
            "completed" => ("ok", "circle-check", "Completed"),
            "completed_with_failures" => ("warn", "triangle-alert", "With failures"),
            "cancelled" => ("idle", "circle-stop", "Cancelled"),
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
        "replays.plan" => "Plan a replay",
        "replays.start" => "Start a replay",
        "replays.pause" => "Pause a replay",
        "replays.resume" => "Resume a replay",
        "replays.resume_and_send" => "Resume a replay, sending its last batch again",
        "replays.rate" => "Change the rate of a replay",
        "replays.cancel" => "Cancel a replay",
        "replays.delete" => "Delete a plan",
        "replays.end" => "Replay",
        "replay_policies.add" => "Add a replay policy",
        "replay_policies.change" => "Change a replay policy",
        "replay_policies.delete" => "Delete a replay policy",
        "replay_policies.switch_on" => "Switch a replay policy on",
        "replay_policies.switch_off" => "Switch a replay policy off",
        "replay_policies.open" => "Stop a replay policy for a while",
        "replay_policies.close" => "Let a replay policy go on",
        "replay_policies.give_up" => "Give a replay policy up",
        "receivers.add" => "Add a receiver",
        "receivers.change" => "Change a receiver",
        "receivers.delete" => "Delete a receiver",
        "receivers.test" => "Send a test to a receiver",
        "receivers.forget" => "Remove receivers whose key is lost",
        "deliveries.redeliver" => "Send a delivery again",
        "alert_rules.add" => "Add an alert rule",
        "alert_rules.change" => "Change an alert rule",
        "alert_rules.delete" => "Delete an alert rule",
        "alert_rules.switch_on" => "Switch an alert rule on",
        "alert_rules.switch_off" => "Switch an alert rule off",
        "alerts.acknowledge" => "Acknowledge an alert",
        "alerts.take_back" => "Take an acknowledgement back",
        "silences.add" => "Silence alerts",
        "silences.change" => "Change a silence",
        "silences.end" => "End a silence",
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

/// What an act was about, and where it can be seen: a filter of a list, or a page of its own.
pub(super) fn target(action: &str, target: &str) -> (String, Option<String>) {
    let is_query = target.starts_with('?') && !target.contains(['"', '<', '>', ' ', '#', '\\']);
    if action == "dead_letters.export" && is_query {
        return (target.to_owned(), Some(format!("/dead-letters{target}")));
    }
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    for list in ["/replays/", "/replay-policies/", "/receivers/", "/deliveries/", "/alert-rules/", "/alerts/", "/silences/"] {
        let named = target.strip_prefix(list).and_then(|rest| rest.strip_suffix(')')?.split_once(" ("));
        if let Some((id, name)) = named.filter(|(id, _)| is_id(id)) {
            return (name.to_owned(), Some(format!("{list}{id}")));
        }
    }
    match target.rsplit_once(" purge ").filter(|(_, id)| action.starts_with("purges.") && is_id(id)) {
        Some((topic, id)) => (topic.to_owned(), Some(format!("/purges/{id}"))),
        None => (target.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, act, target};

    #[test]
    fn results_have_a_word_and_a_reason() {
        assert_eq!(Outcome::of("done").word, "Done");
        let denied = Outcome::of("denied: needs the role admin");
        assert_eq!((denied.word, denied.reason.as_str()), ("Refused", "needs the role admin"));
        assert_eq!(Outcome::of("completed: 34 sent").reason, "34 sent");
        assert_eq!(Outcome::of("half: way").word, "Unknown", "what is not known is not green");
    }

    #[test]
    fn unknown_acts_are_shown_as_they_are() {
        assert_eq!(act("user.add"), "Add user");
        assert_eq!(act("no.such.act"), "no.such.act");
    }

    #[test]
    fn an_export_leads_to_what_was_exported() {
        assert_eq!(target("dead_letters.export", "?bus=prod").1.as_deref(), Some("/dead-letters?bus=prod"));
        assert_eq!(target("dead_letters.export", "?q=\"><b>").1, None);
        assert_eq!(target("user.add", "?bus=prod").1, None);
    }

    #[test]
    fn an_act_leads_to_what_it_was_about() {
        let shown = |action, about: &str| {
            let (text, address) = target(action, about);
            format!("{text} -> {}", address.unwrap_or_default())
        };
        assert_eq!(shown("replays.start", "/replays/01a2-7f (declined (all))"), "declined (all) -> /replays/01a2-7f");
        assert_eq!(shown("replay_policies.add", "/replay-policies/4 (Cards)"), "Cards -> /replay-policies/4");
        assert_eq!(shown("alert_rules.change", "/alert-rules/4 (Lag)"), "Lag -> /alert-rules/4");
        assert_eq!(shown("silences.end", "/silences/2 (maintenance)"), "maintenance -> /silences/2");
        assert_eq!(shown("purges.start", "prod/orders-dlt purge 01a2-92"), "prod/orders-dlt -> /purges/01a2-92");
        assert_eq!(shown("replays.start", "/replays/../x\" (y)"), "/replays/../x\" (y) -> ");
    }
}
