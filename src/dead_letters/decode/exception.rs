//! Which exception a person wants to see: the root cause with its own message, and never a wrapper while anything better is known.

use crate::dead_letters::conventions::wrappers::{is_wrapper, without_prefixes};
use crate::dead_letters::fingerprint::frames;

/// What the headers say about the exception, as written.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Told<'a> {
    /// Class that was caught.
    pub(super) class: Option<&'a str>,
    /// Class of its direct cause.
    pub(super) cause: Option<&'a str>,
    /// Message of what was caught.
    pub(super) message: Option<&'a str>,
    /// Message of the direct cause.
    pub(super) cause_message: Option<&'a str>,
    /// Stack trace.
    pub(super) stack: Option<&'a str>,
}

/// Class and message of the root cause.
pub(super) fn root_cause(told: &Told<'_>) -> (Option<String>, Option<String>) {
    let (class, message) = choose(told);
    (class.map(str::to_owned), message.map(str::to_owned))
}

fn choose<'a>(told: &Told<'a>) -> (Option<&'a str>, Option<&'a str>) {
    let named = |class: Option<&'a str>| class.map(str::trim).filter(|class| !class.is_empty());
    let (class, cause) = (named(told.class), named(told.cause));
    let stripped = |message: Option<&'a str>| message.and_then(without_prefixes);
    let header_message = stripped(told.message);
    let cause_message = stripped(told.cause_message);
    let chain = told.stack.map(frames::exceptions).unwrap_or_default();

    let cut = cause.filter(|cause| !is_wrapper(cause) && class != Some(cause) && chain.iter().all(|link| link.class != *cause));
    if let Some(cause) = cut {
        return (Some(cause), cause_message.or(header_message));
    }
    if let Some(root) = chain.iter().find(|link| !is_wrapper(link.class)) {
        let own = root.message.and_then(without_prefixes);
        let header = if class == Some(root.class) { header_message } else { None };
        return (Some(root.class), own.or(header));
    }
    match (cause.filter(|c| !is_wrapper(c)), class.filter(|c| !is_wrapper(c))) {
        (Some(cause), _) => (Some(cause), cause_message.or(header_message)),
        (None, Some(class)) => (Some(class), header_message),
        (None, None) => {
            let wrapped = chain.iter().find_map(|link| link.message.and_then(without_prefixes));
            (chain.first().map(|link| link.class).or(cause).or(class), cause_message.or(header_message).or(wrapped))
        }
    }
}
