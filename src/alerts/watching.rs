//! Whether anybody looks at the rules: readiness says so when nobody does. Every instance knows, whoever it is that should look.

use crate::lifecycle::Readiness;
use crate::model::Timestamp;
use crate::model::quantity::duration;
use crate::store::alerts::looks::Watching;

/// The readiness code.
pub const CODE: &str = "alert_rules_not_looked_at";

/// Tells readiness how rules are watched. `since`: when this instance began; whoever has just begun waits for the first look.
pub fn report(readiness: &Readiness, watching: &Watching, since: Timestamp, now: Timestamp) {
    let waits = Watching { looked_at: Some(since), ..watching.clone() };
    if watching.is_overdue(now) && waits.is_overdue(now) {
        readiness.set(CODE, format!("{} Nothing fires and nothing is over meanwhile; the log says why.", words(watching, now)));
    } else {
        readiness.clear(CODE);
    }
}

/// Since when nobody looks, in a sentence.
#[must_use]
pub fn words(watching: &Watching, now: Timestamp) -> String {
    watching.age(now).map_or_else(
        || "Alert rules were never looked at.".to_owned(),
        |age| format!("Alert rules were not looked at for {}.", duration(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn readiness_says_that_nobody_looks_until_somebody_does() {
        let (readiness, now) = (Readiness::default(), Timestamp::from_millis(1_767_225_600_000));
        let ago = |seconds| now.minus(Duration::from_secs(seconds));
        let report = |rules, looked_at, since| {
            report(&readiness, &Watching { rules, looked_at, unread: Vec::new() }, since, now);
            readiness.reasons()
        };
        assert_eq!(report(1, Some(ago(120)), ago(10)), [], "whoever has just begun");
        let said = report(1, Some(ago(120)), ago(600));
        assert!(said.len() == 1 && said[0].0 == CODE && said[0].1.contains("not looked at for 2m."), "{said:?}");
        assert!(report(1, None, ago(600))[0].1.contains("never looked at"));
        assert_eq!(report(0, None, ago(600)), []);
        assert_eq!(report(1, Some(ago(3)), ago(600)), []);
    }
}
