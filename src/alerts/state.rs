//! How an alert moves: inactive, pending, firing, recovering, resolved. A function of where it stood, of what the rule says, of what
//! was seen, and of the time; it knows nothing of stores and notifications.
//!
//! Waiting is counted by what was really observed. When the clock goes back, or when nobody has looked for longer than [`PATIENCE`]
//! (a stop, a clock that leaps ahead), the times of waiting move along, so that neither fires or ends an alert by itself.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::alert::{AlertState, Cause, NoData, Standing, Terms};

/// Between two looks so much counts as observed, at most.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// A value.
    Value(f64),
    /// Nobody knows: nothing was sampled.
    Missing,
    /// The source was sampled, and this is no more in it.
    Gone,
    /// The figure cannot be read.
    Failed,
}

/// What has changed with a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The condition holds now.
    Pending,
    /// It holds no more, before it was an alert.
    Withdrawn,
    /// It is an alert now.
    Fired,
    /// The condition is over.
    Recovering,
    /// The condition holds again, before the alert was over.
    FiringAgain,
    /// It is over.
    Resolved,
}

enum Verdict {
    Bad,
    /// Bad, and the rule's `for` has nothing to wait for.
    BadAtOnce,
    Good,
    Unknown,
}

/// Where an alert stands that was never seen.
#[must_use]
pub const fn inactive(now: Timestamp) -> Standing {
    Standing {
        state: AlertState::Inactive,
        cause: None,
        pending_since: None,
        started_at: None,
        recovering_since: None,
        missing_since: None,
        unknown_since: None,
        resolved_at: None,
        last_eval: now,
        last_value: None,
    }
}

/// One look: where the alert stands then, and what has changed.
#[must_use]
pub fn step(before: &Standing, terms: &Terms, seen: Observation, now: Timestamp) -> (Standing, Option<Change>) {
    step_with(before, terms, seen, now, PATIENCE)
}

/// The same where looks lie further apart than usual, as in recorded history.
#[must_use]
pub fn step_with(before: &Standing, terms: &Terms, seen: Observation, now: Timestamp, patience: Duration) -> (Standing, Option<Change>) {
    let mut after = before.clone();
    keep_pace(&mut after, now, patience);
    after.last_eval = now;
    let verdict = judge(&mut after, terms, seen, now);
    if matches!(verdict, Verdict::Unknown) {
        after.unknown_since.get_or_insert(now);
    } else {
        wait_on(&mut after, now);
    }
    let change = match verdict {
        Verdict::Bad => is_bad(&mut after, terms.for_ms, now),
        Verdict::BadAtOnce => is_bad(&mut after, 0, now),
        Verdict::Good => is_good(&mut after, terms.keep_firing_for_ms, now),
        Verdict::Unknown => None,
    };
    (after, change)
}

/// The alert is over whatever is seen: its rule is gone or switched off. `false` when there was none.
#[must_use]
pub fn end(before: &Standing, now: Timestamp) -> (Standing, Option<Change>) {
    let mut after = before.clone();
    after.last_eval = now;
    let change = match after.state {
        AlertState::Firing | AlertState::Recovering => Some(resolve(&mut after, now)),
        AlertState::Pending => is_good(&mut after, 0, now),
        AlertState::Inactive | AlertState::Resolved => None,
    };
    (after, change)
}

fn keep_pace(standing: &mut Standing, now: Timestamp, patience: Duration) {
    let gap = now.as_millis().saturating_sub(standing.last_eval.as_millis());
    let most = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let unobserved = if gap < 0 { gap } else { (gap - most).max(0) };
    if unobserved != 0 {
        let waiting = standing.state == AlertState::Pending;
        move_by(standing.pending_since.as_mut().filter(|_| waiting), unobserved);
        move_by(standing.recovering_since.as_mut(), unobserved);
        move_by(standing.missing_since.as_mut(), unobserved);
        move_by(standing.unknown_since.as_mut(), unobserved);
    }
}

fn move_by(time: Option<&mut Timestamp>, millis: i64) {
    if let Some(time) = time {
        *time = Timestamp::from_millis(time.as_millis().saturating_add(millis));
    }
}

fn judge(standing: &mut Standing, terms: &Terms, seen: Observation, now: Timestamp) -> Verdict {
    match seen {
        Observation::Value(value) if value.is_finite() => {
            standing.missing_since = None;
            let by_value = standing.cause.take().is_none();
            standing.last_value = Some(value);
            let until = if by_value && standing.state == AlertState::Firing { terms.clear_threshold } else { None };
            let bad = terms.comparison.holds(value, until.unwrap_or(terms.threshold));
            if bad { Verdict::Bad } else { Verdict::Good }
        }
        _ => judge_missing(standing, terms, seen, now),
    }
}

fn judge_missing(standing: &mut Standing, terms: &Terms, seen: Observation, now: Timestamp) -> Verdict {
    let since = *standing.missing_since.get_or_insert(now);
    if waited(since, now) < terms.no_data_after_ms {
        return Verdict::Unknown;
    }
    match terms.no_data {
        NoData::Alert => {
            standing.cause = Some(if seen == Observation::Failed { Cause::Error } else { Cause::NoData });
            standing.last_value = None;
            Verdict::BadAtOnce
        }
        NoData::Ok => Verdict::Good,
        NoData::Keep if seen == Observation::Gone => Verdict::Good,
        NoData::Keep => Verdict::Unknown,
    }
}

/// Time in which nobody could tell counts for nothing.
fn wait_on(standing: &mut Standing, now: Timestamp) {
    if let Some(since) = standing.unknown_since.take() {
        let unknown = i64::try_from(waited(since, now)).unwrap_or(i64::MAX);
        let waiting = standing.state == AlertState::Pending;
        move_by(standing.pending_since.as_mut().filter(|_| waiting), unknown);
        move_by(standing.recovering_since.as_mut(), unknown);
    }
}

fn is_bad(standing: &mut Standing, for_ms: u64, now: Timestamp) -> Option<Change> {
    match standing.state {
        AlertState::Firing => None,
        AlertState::Recovering => {
            standing.state = AlertState::Firing;
            standing.recovering_since = None;
            Some(Change::FiringAgain)
        }
        AlertState::Inactive | AlertState::Pending | AlertState::Resolved => {
            let was_pending = standing.state == AlertState::Pending;
            let since = *standing.pending_since.get_or_insert(now);
            if waited(since, now) >= for_ms {
                standing.state = AlertState::Firing;
                standing.started_at = Some(now);
                return Some(Change::Fired);
            }
            standing.state = AlertState::Pending;
            (!was_pending).then_some(Change::Pending)
        }
    }
}

fn is_good(standing: &mut Standing, keep_ms: u64, now: Timestamp) -> Option<Change> {
    match standing.state {
        AlertState::Inactive | AlertState::Resolved => None,
        AlertState::Pending => {
            standing.state = AlertState::Inactive;
            standing.pending_since = None;
            Some(Change::Withdrawn)
        }
        AlertState::Firing if keep_ms > 0 => {
            standing.state = AlertState::Recovering;
            standing.recovering_since = Some(now);
            Some(Change::Recovering)
        }
        AlertState::Firing => Some(resolve(standing, now)),
        AlertState::Recovering => {
            let since = *standing.recovering_since.get_or_insert(now);
            (waited(since, now) >= keep_ms).then(|| resolve(standing, now))
        }
    }
}

fn resolve(standing: &mut Standing, now: Timestamp) -> Change {
    standing.state = AlertState::Resolved;
    // After the clock went back an alert still does not end before it began.
    standing.resolved_at = Some(standing.started_at.map_or(now, |started| started.max(now)));
    Change::Resolved
}

fn waited(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_millis().saturating_sub(since.as_millis())).unwrap_or(0)
}

#[cfg(test)]
mod tests;
