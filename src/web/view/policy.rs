//! Automatic replay policies as pages show them.

use super::look::Look;
use super::number::grouped;
use super::text::short;
use super::time;
use crate::model::Timestamp;
use crate::operations::policy::{PolicyReport, Standing};

/// How the state of a policy looks.
#[must_use]
pub const fn standing(standing: Standing) -> Look {
    let (word, icon, tone) = match standing {
        Standing::Off => ("Off", "circle-slash", "idle"),
        Standing::Watching => ("Watching", "eye", "ok"),
        Standing::Running => ("Repairing", "play", "busy"),
        Standing::Settling => ("Waits for the outcome", "hourglass", "busy"),
        Standing::Open(_) => ("Stopped for a while", "circle-pause", "warn"),
        Standing::HalfOpen => ("Tries a few", "circle-dashed", "warn"),
        Standing::OutsideHours => ("Outside its hours", "clock", "idle"),
        Standing::DailyLimit => ("Daily limit reached", "clock-alert", "warn"),
        Standing::GaveUp => ("Gave up", "octagon-x", "bad"),
    };
    Look { word, icon, tone }
}

/// Where a policy stands, as a sentence with what comes next.
#[must_use]
pub fn words(report: &PolicyReport, now: Timestamp) -> String {
    let terms = &report.policy.terms;
    let why = report.policy.text.as_deref().map(|text| short(text, 400)).unwrap_or_default();
    match report.standing {
        Standing::Off => "Nothing is replayed until an administrator switches it on.".to_owned(),
        Standing::Watching => "Nothing is due now. Dead letters are replayed as soon as their delay has passed.".to_owned(),
        Standing::Running => "A run is under way.".to_owned(),
        Standing::Settling => "Its last run was sent; the next begins when it is known what became of the messages.".to_owned(),
        Standing::Open(until) => format!("It goes on in {}: {why}.", time::age(now, until)),
        Standing::HalfOpen => format!("At most {} are sent next, to see whether it works again. Before: {why}.", terms.canary.count),
        Standing::OutsideHours => "It goes on when its hours begin.".to_owned(),
        Standing::DailyLimit => {
            format!("{} were sent within 24 hours, and {} is the limit.", grouped(report.sent_today), grouped(terms.daily_limit))
        }
        Standing::GaveUp => format!("Nothing more is replayed until an administrator switches it on again: {why}."),
    }
}
