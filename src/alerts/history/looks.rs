//! Which time a rule is tried over, how often it is looked at, and how far that differs from a rule that looks all the time. Levels are
//! looked at sample by sample where the time is short and samples are still kept one by one ([`can_see_samples`]); else each step is judged
//! by its worst, and [`coarse`] says so.

use std::time::Duration;

use crate::alerts::rule::windows;
use crate::model::Timestamp;
use crate::model::alert::{Label, Terms};
use crate::model::figure::Figure;
use crate::model::quantity::duration;
use crate::store::figures::letters::MOST as MOST_RECORDED;

/// Looks of one trial at most.
pub const MOST_LOOKS: usize = 3_000;
/// Which time a rule is tried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Time between two looks, in milliseconds: at least a minute, or [`SAMPLE_MS`] where [`can_see_samples`].
    pub step_ms: i64,
}

impl Range {
    /// The moments at which the rule would have looked.
    #[must_use]
    pub fn looks(&self) -> Vec<Timestamp> {
        let end = |step: i64| Timestamp::from_millis(self.from.as_millis().saturating_add(step.saturating_mul(self.step_ms)));
        let length = self.to.as_millis().saturating_sub(self.from.as_millis()).max(0);
        (1..=length / self.step_ms.max(1)).take(MOST_LOOKS).map(end).collect()
    }

    /// The same time by the minute, where it is looked at sample by sample.
    #[must_use]
    pub fn by_minute(&self) -> Option<Self> {
        let (from, to) = (self.from.as_millis().div_euclid(MINUTE_MS), (self.to.as_millis() + MINUTE_MS - 1).div_euclid(MINUTE_MS));
        let time = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        (self.step_ms < MINUTE_MS).then(|| Self { from: time(from), to: time(to), step_ms: MINUTE_MS })
    }
}

/// Looks of a trial when nobody says how many: one a minute of a day.
const USUAL_LOOKS: i64 = 1_440;
pub(super) const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Time between two samples, in milliseconds.
pub const SAMPLE_MS: i64 = 15_000;
/// A time of this length at most is looked at sample by sample.
const MOST_SAMPLED_MS: i64 = 6 * HOUR_MS;
/// Retention may come at any time: samples that are nearly as old as they may become are not counted on.
const FORGETTING: Duration = Duration::from_mins(5);

/// Whether the samples of this time can be looked at one by one, as the rule itself does: of a level, not too many of them, and not for
/// longer ago than they are kept. Windows consist of whole minutes.
#[must_use]
pub fn can_see_samples(terms: &Terms, (from, to): (Timestamp, Timestamp), kept: Duration, now: Timestamp) -> bool {
    let length = to.as_millis().saturating_sub(from.as_millis());
    windows(terms).is_empty() && length <= MOST_SAMPLED_MS && from >= now.minus(kept.saturating_sub(FORGETTING))
}

/// Time between two looks over a time of this length, both in milliseconds: a minute for a day, and hours beyond ten days, since
/// minutes are not kept for so long.
#[must_use]
pub const fn usual_step(length_ms: i64) -> i64 {
    let minutes = length_ms / USUAL_LOOKS / MINUTE_MS;
    match minutes {
        ..=1 => MINUTE_MS,
        2..15 => minutes * MINUTE_MS,
        _ => (length_ms / USUAL_LOOKS + HOUR_MS - 1) / HOUR_MS * HOUR_MS,
    }
}

/// How far a trial with so long between two looks differs from what a rule sees that looks all the time; `None` when it does not.
#[must_use]
pub fn coarse(terms: &Terms, step_ms: i64) -> Option<String> {
    let said: Vec<String> = between_looks(terms, step_ms).into_iter().chain(unrecorded(terms)).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

fn between_looks(terms: &Terms, step_ms: i64) -> Option<String> {
    let step = step_ms.unsigned_abs();
    let shortest = windows(terms).into_iter().min();
    if step_ms < MINUTE_MS || (step_ms == MINUTE_MS && shortest.is_some()) {
        return None;
    }
    let said = duration(step);
    let how = match shortest {
        None => "each look has the worst value of that time, so what was short seems longer, and the rule may have fired more often, \
                 or not at all where it waits"
            .to_owned(),
        Some(window) if window < step => {
            format!("its window of {} is {said} here, so short peaks are flattened and may be missed", duration(window))
        }
        Some(_) => "what lasted shorter than that may be missed".to_owned(),
    };
    let waits = terms.for_ms > 0 && terms.for_ms < step;
    let wait = if waits { format!("; its wait of {} takes one look more", duration(terms.for_ms)) } else { String::new() };
    Some(format!("Looked at coarsely, every {said}: {how}{wait}. The rule itself looks all the time."))
}

/// What is open is recorded of the largest series alone.
fn unrecorded(terms: &Terms) -> Option<String> {
    let is_open = matches!(terms.figure, Figure::DeadLettersOpen | Figure::DeadLettersOldestOpenSeconds);
    let is_narrow = |label: &Label| matches!(label, Label::ConsumerGroup | Label::Fingerprint);
    (is_open && (terms.filter.keys().any(is_narrow) || terms.by.iter().any(is_narrow))).then(|| {
        format!("Of a bus the {MOST_RECORDED} largest causes are recorded one by one: what is rarer is missing here, and the rule itself sees it.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::defaults::usual;
    use crate::model::alert::Comparison;

    #[test]
    fn coarse_looks_say_so() {
        let day = 24 * HOUR_MS;
        for (days, step) in [(1, MINUTE_MS), (7, 7 * MINUTE_MS), (14, 14 * MINUTE_MS), (30, HOUR_MS), (90, 2 * HOUR_MS)] {
            assert_eq!(usual_step(days * day), step, "{days} days");
        }
        assert_eq!(usual_step(0), MINUTE_MS);
        let terms = |figure| usual(figure, Comparison::Above, 1.0);
        assert_eq!(coarse(&terms(Figure::DeadLettersPerMinute), MINUTE_MS), None, "as a rule looks");
        let said = |figure, step| coarse(&terms(figure), step).expect("it is coarse");
        assert!(said(Figure::ConsumerGroupLagMessages, HOUR_MS).contains("every 1h: each look has the worst value"));
        let minute = said(Figure::ConsumerGroupLagMessages, MINUTE_MS);
        assert!(minute.contains("every 1m: each look has the worst value") && minute.contains("may have fired more often"), "{minute}");
        assert_eq!(coarse(&terms(Figure::ConsumerGroupLagMessages), SAMPLE_MS), None, "sample by sample, as a rule looks");
        let open = Terms { by: vec![Label::Fingerprint], ..terms(Figure::DeadLettersOpen) };
        assert!(coarse(&open, SAMPLE_MS).is_some_and(|said| said.contains("the 200 largest causes")));
        assert_eq!(coarse(&Terms { by: vec![Label::Topic], ..open }, SAMPLE_MS), None);
        assert!(said(Figure::DeadLettersPerMinute, HOUR_MS).contains("its window of 5m is 1h here"));
        let waiting = Terms { for_ms: 120_000, ..terms(Figure::ConsumerGroupLagMessages) };
        assert!(coarse(&waiting, 7 * MINUTE_MS).expect("it is coarse").contains("its wait of 2m takes one look more"));
    }

    #[test]
    fn samples_are_looked_at_one_by_one_where_they_are_few_and_kept() {
        let (level, rate) = (Figure::ConsumerGroupLagMessages, Figure::DeadLettersPerMinute);
        let now = Timestamp::from_millis(1_767_225_600_000);
        let can = |figure, from_hours: i64, to_hours: i64| {
            let at = |hours: i64| Timestamp::from_millis(now.as_millis() - hours * HOUR_MS);
            can_see_samples(&usual(figure, Comparison::Above, 1.0), (at(from_hours), at(to_hours)), Duration::from_hours(48), now)
        };
        assert_eq!(
            [can(level, 6, 0), can(level, 47, 41), can(level, 7, 0), can(level, 48, 47), can(rate, 6, 0)],
            [true, true, false, false, false]
        );
    }
}
