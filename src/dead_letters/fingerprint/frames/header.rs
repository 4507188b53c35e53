//! The line above the frames: class and message.

/// `class: message`, where the message may have several lines. What does not begin with a class is a message.
pub(super) fn class_and_message(text: &str) -> (Option<&str>, Option<&str>) {
    let text = text.trim();
    let text = text.strip_prefix("Exception in thread \"").and_then(|rest| rest.split_once("\" ")).map_or(text, |(_, rest)| rest);
    let text = text.strip_prefix("[CIRCULAR REFERENCE: ").map_or(text, |rest| rest.trim_end_matches(']'));
    let text = text.strip_prefix("Uncaught ").or_else(|| text.strip_prefix("Unhandled exception. ")).unwrap_or(text);
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"._$/@+`*-".contains(&b) || b >= 0x80)).unwrap_or(text.len());
    let (class, rest) = text.split_at(end);
    // .NET adds the error code to some: `Npgsql.PostgresException (0x80004005): 23505: ...`; Node others: `Error [ERR_X]: ...`.
    let coded =
        [(" (0x", ")"), (" [", "]")].iter().find_map(|(open, close)| rest.strip_prefix(open)?.split_once(close).map(|(_, rest)| rest));
    let rest = coded.filter(|rest| rest.starts_with(':')).unwrap_or(rest);
    let named = !class.is_empty() && (rest.is_empty() || rest.starts_with([':', '\n', '\r']));
    if !named {
        return (None, (!text.is_empty()).then_some(text));
    }
    let message = rest.strip_prefix(':').unwrap_or(rest).trim();
    (Some(class), (!message.is_empty()).then_some(message))
}

/// The last two segments of a path, without the source file's ending: where a module lives, whatever machine it ran on.
pub(super) fn path_tail<'a>(path: &'a str, ending: &[&str]) -> &'a str {
    let start = path.rmatch_indices(['/', '\\']).nth(1).map_or(0, |(at, _)| at + 1);
    let tail = path[start..].trim_start_matches(['/', '\\']);
    ending.iter().find_map(|ending| tail.strip_suffix(ending)).unwrap_or(tail)
}

/// The package behind a folder such as `node_modules/`: its name, with its scope when it has one.
pub(super) fn package_behind<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = &path[path.rfind(folder)? + folder.len()..];
    let segments = if rest.starts_with('@') { 2 } else { 1 };
    let end = rest.match_indices(['/', '\\']).nth(segments - 1).map_or(rest.len(), |(at, _)| at);
    (end > 0).then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_from_messages() {
        for (text, class, message) in [
            ("java.lang.IllegalStateException: no stock", Some("java.lang.IllegalStateException"), Some("no stock")),
            ("java.lang.NullPointerException", Some("java.lang.NullPointerException"), None),
            ("Exception in thread \"main\" a.B: c", Some("a.B"), Some("c")),
            ("Npgsql.PostgresException (0x80004005): 23505: duplicate", Some("Npgsql.PostgresException"), Some("23505: duplicate")),
            ("TypeError [ERR_INVALID]: bad", Some("TypeError"), Some("bad")),
            ("no class here: really", None, Some("no class here: really")),
            ("a.B: first\nsecond", Some("a.B"), Some("first\nsecond")),
            ("", None, None),
        ] {
            assert_eq!(class_and_message(text), (class, message), "{text}");
        }
    }

    #[test]
    fn paths_are_cut_to_what_is_stable() {
        assert_eq!(path_tail("/srv/app-7/orders/handler.py", &[".py"]), "orders/handler");
        assert_eq!(path_tail("handler.py", &[".py"]), "handler");
        assert_eq!(path_tail("/a.py", &[".py"]), "a");
        assert_eq!(package_behind("/app/node_modules/@acme/bus/lib/x.js", "node_modules/"), Some("@acme/bus"));
        assert_eq!(package_behind("/app/node_modules/kafkajs/src/x.js", "node_modules/"), Some("kafkajs"));
        assert_eq!(package_behind("/app/src/x.js", "node_modules/"), None);
    }
}
