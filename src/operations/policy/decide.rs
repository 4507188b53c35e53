//! What a policy does next: pure, from what the store holds. A circuit breaker over the shares of repeated failures: it opens, waits,
//! tries a canary, and closes when that came through; after too many openings in a row the policy gives up.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::policy::{Breaker, Policy};
use crate::model::replay::{Replay, ReplayState, ResultCounts, Route, StateReason};

/// The daily limit counts over so long.
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Dead letters of one run at most; the rest follows in the next.
const RUN: u64 = 5_000;
/// Outcomes that a share is computed from at least, but for a canary.
const FEWEST: u64 = 5;
/// Where nobody can tell what was consumed, a run is judged so long after the settle time has passed twice.
const PATIENCE: Duration = Duration::from_mins(1);

/// A run as this module needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: i64,
    pub(super) state: ReplayState,
    pub(super) reason: Option<StateReason>,
    pub(super) text: Option<String>,
    pub(super) counts: ResultCounts,
    pub(super) ended_at: Option<Timestamp>,
    /// Whether the consumer group of everything sent is known, so that its outcome will be.
    pub(super) is_watched: bool,
    pub(super) settle: Duration,
}

impl Run {
    pub(super) fn new(replay: &Replay, routes: &[Route]) -> Self {
        let settle = routes.iter().map(|route| route.settle_ms.unsigned_abs()).max().unwrap_or(0);
        Self {
            number: replay.number,
            state: replay.state,
            reason: replay.state_reason,
            text: replay.state_text.clone(),
            counts: replay.counts,
            ended_at: replay.ended_at,
            is_watched: routes.iter().filter(|route| route.items > 0).all(|route| route.consumer_group.is_some()),
            settle: Duration::from_millis(settle).max(replay.settings.settle().unwrap_or_default()),
        }
    }

    /// Whether nothing more will be learned of it that a decision could wait for.
    fn is_settled(&self, now: Timestamp) -> bool {
        if self.counts.sent + self.counts.consumed == 0 {
            return true;
        }
        !self.is_watched && self.ended_at.is_some_and(|at| now >= at.plus(self.settle * 2 + PATIENCE))
    }
}

/// What is known beside the policy itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The newest run.
    pub(super) run: Option<Run>,
    /// Failed again, and resolved, in the last runs.
    pub(super) results: (u64, u64),
    /// Sent within the last 24 hours.
    pub(super) sent_today: u64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// Plan a run of at most so many due dead letters.
    Seek { most: u64 },
    /// Start the run that is planned.
    Start,
    /// End the run, without a verdict.
    Cancel { text: &'static str },
    /// Open the breaker; `against`: this counts towards giving up.
    Open { text: String, against: bool },
    /// A person must look.
    GiveUp { text: String },
    /// The run is over; `closes`: it came through.
    Judge { closes: bool },
}

pub(super) fn decide(policy: &Policy, facts: &Facts, now: Timestamp) -> Step {
    match &facts.run {
        Some(run) if run.number > policy.judged => follow(policy, run, facts.results, now),
        // Judged, and the crash came before it was ended.
        Some(run) if !run.state.is_final() && run.reason != Some(StateReason::ProgressUnknown) => {
            Step::Cancel { text: "its policy has stopped it" }
        }
        Some(run) if !run.state.is_final() => Step::Rest,
        _ => begin(policy, facts.sent_today, now),
    }
}

/// What becomes of the run that is under way or has just ended.
fn follow(policy: &Policy, run: &Run, results: (u64, u64), now: Timestamp) -> Step {
    let said = |otherwise: &str| run.text.clone().unwrap_or_else(|| otherwise.to_owned());
    match (run.state, run.reason) {
        (ReplayState::Paused, Some(StateReason::FailedAgainLimit)) => {
            Step::Open { text: said("too many of its messages failed again"), against: true }
        }
        (ReplayState::Paused, Some(StateReason::LagLimit)) => {
            Step::Open { text: said("the target group is too far behind"), against: false }
        }
        (ReplayState::Paused, Some(reason @ (StateReason::ProgressUnknown | StateReason::PermissionDenied | StateReason::TargetGone))) => {
            Step::GiveUp { text: said(reason.as_str()) }
        }
        (ReplayState::Planned | ReplayState::Running | ReplayState::Paused, _) if !policy.is_in_hours(now) => {
            Step::Cancel { text: "the hours of its policy are over" }
        }
        (ReplayState::Planned, _) => Step::Start,
        (ReplayState::Planning | ReplayState::Running | ReplayState::Paused, _) => Step::Rest,
        (ReplayState::Failed, _) => Step::Open { text: said("its run could not go on"), against: false },
        (ReplayState::Cancelled, Some(StateReason::ByPerson)) => {
            Step::Open { text: "somebody has cancelled its run".to_owned(), against: false }
        }
        (ReplayState::Completed | ReplayState::Cancelled, _) => verdict(policy, run, results, now),
    }
}

fn verdict(policy: &Policy, run: &Run, results: (u64, u64), now: Timestamp) -> Step {
    let limit = policy.terms.failed_again_limit;
    let trying = policy.breaker(now) != Breaker::Closed;
    let of_run = (run.counts.failed_again, run.counts.resolved);
    // Behind an open breaker the canary speaks for itself; otherwise a few outcomes are no share.
    let (failed, resolved) = if trying { of_run } else { results };
    if failed > 0 && (trying || failed + resolved >= FEWEST) && share(failed, resolved) > limit {
        let text = format!("{failed} of {} messages failed again; the limit is {:.0} %", failed + resolved, limit * 100.0);
        return Step::Open { text, against: true };
    }
    if !run.is_settled(now) {
        return Step::Rest;
    }
    Step::Judge { closes: run.counts.resolved > 0 || (!run.is_watched && run.counts.sent > 0) }
}

fn begin(policy: &Policy, sent_today: u64, now: Timestamp) -> Step {
    let left = policy.terms.daily_limit.saturating_sub(sent_today);
    if left == 0 || !policy.is_in_hours(now) {
        return Step::Rest;
    }
    match policy.breaker(now) {
        Breaker::Open(_) => Step::Rest,
        Breaker::HalfOpen => Step::Seek { most: left.min(u64::from(policy.terms.canary.count)) },
        Breaker::Closed => Step::Seek { most: left.min(RUN) },
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn share(failed: u64, resolved: u64) -> f64 {
    failed as f64 / (failed + resolved).max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Facts, Run, Step, decide};
    use crate::model::policy::{Hours, Policy, Terms, Weekday};
    use crate::model::replay::{Canary, OnFailed, ReplayState, ResultCounts, StateReason};
    use crate::model::{DeadLetterFilter, Timestamp};

    /// A Monday at noon.
    fn noon() -> Timestamp {
        Timestamp::parse_rfc3339("2026-01-05T12:00:00Z").unwrap()
    }

    fn policy() -> Policy {
        Policy {
            number: 1,
            name: "payments".to_owned(),
            enabled: true,
            terms: Terms {
                filter: DeadLetterFilter::default(),
                first_delay_ms: 60_000,
                factor: 2.0,
                attempt_limit: 3,
                failed_again_limit: 0.2,
                cool_down_ms: 600_000,
                give_up_after: 3,
                hours: Some(Hours::new(&[Weekday::Monday], "08:00", "18:00", "UTC").unwrap()),
                daily_limit: 100,
                rate: None,
                canary: Canary { count: 10, settle_ms: 60_000 },
                lag_limit: None,
                on_failed: OnFailed::SkipKey,
                existing: false,
                accept: Vec::new(),
            },
            watch_from: 0,
            opened: 0,
            open_until: None,
            gave_up_at: None,
            text: None,
            counted_from: Timestamp::from_millis(0),
            judged: 4,
            created_by: "ann".to_owned(),
            created_at: Timestamp::from_millis(0),
            changed_at: Timestamp::from_millis(0),
        }
    }

    fn run(state: ReplayState, reason: Option<StateReason>) -> Run {
        Run {
            number: 5,
            state,
            reason,
            text: None,
            counts: ResultCounts::default(),
            ended_at: Some(noon()),
            is_watched: true,
            settle: Duration::from_mins(1),
        }
    }

    fn with(run: Run, results: (u64, u64)) -> Facts {
        Facts { run: Some(run), results, sent_today: 0 }
    }

    fn completed(failed_again: u64, resolved: u64, sent: u64) -> Run {
        Run { counts: ResultCounts { sent, resolved, failed_again, ..ResultCounts::default() }, ..run(ReplayState::Completed, None) }
    }

    #[test]
    fn without_a_run_it_looks_within_hours_and_daily_limit() {
        let seek = |facts: &Facts, policy: &Policy, now| decide(policy, facts, now);
        let facts = Facts::default();
        assert_eq!(seek(&facts, &policy(), noon()), Step::Seek { most: 100 });
        assert_eq!(seek(&Facts { sent_today: 70, ..Facts::default() }, &policy(), noon()), Step::Seek { most: 30 });
        assert_eq!(seek(&Facts { sent_today: 100, ..Facts::default() }, &policy(), noon()), Step::Rest);
        assert_eq!(seek(&facts, &policy(), noon().plus(Duration::from_hours(7))), Step::Rest, "the evening");
    }

    #[test]
    fn the_breaker_waits_then_sends_a_canary_then_all() {
        let opened = Policy { opened: 1, open_until: Some(noon().plus(Duration::from_secs(1))), ..policy() };
        assert_eq!(decide(&opened, &Facts::default(), noon()), Step::Rest);
        let later = noon().plus(Duration::from_secs(1));
        assert_eq!(decide(&opened, &Facts::default(), later), Step::Seek { most: 10 });
        // One canary that fails again opens it once more, without a smallest number.
        assert!(matches!(decide(&opened, &with(completed(1, 2, 0), (1, 2)), later), Step::Open { against: true, .. }));
        assert_eq!(decide(&opened, &with(completed(0, 0, 3), (0, 0)), later), Step::Rest, "not known yet");
        assert_eq!(decide(&opened, &with(completed(0, 3, 0), (0, 3)), later), Step::Judge { closes: true });
        assert_eq!(decide(&opened, &with(completed(0, 0, 0), (0, 0)), later), Step::Judge { closes: false }, "nothing was learned");
    }

    #[test]
    fn a_share_of_repeated_failures_opens_it_but_not_a_single_one() {
        let verdict = |results| decide(&policy(), &with(completed(1, 0, 0), results), noon());
        assert_eq!(verdict((1, 0)), Step::Judge { closes: false });
        assert_eq!(verdict((1, 4)), Step::Judge { closes: false }, "a fifth is the limit");
        assert!(matches!(verdict((2, 4)), Step::Open { against: true, .. }));
    }

    #[test]
    fn a_run_that_stops_by_itself_opens_it() {
        let step = |reason| decide(&policy(), &with(run(ReplayState::Paused, Some(reason)), (0, 0)), noon());
        assert!(matches!(step(StateReason::FailedAgainLimit), Step::Open { against: true, .. }));
        assert!(matches!(step(StateReason::LagLimit), Step::Open { against: false, .. }));
        for reason in [StateReason::ProgressUnknown, StateReason::PermissionDenied, StateReason::TargetGone] {
            assert!(matches!(step(reason), Step::GiveUp { .. }), "{reason}");
        }
        for reason in [StateReason::BusUnreachable, StateReason::StoreFull, StateReason::Shutdown, StateReason::ByPerson] {
            assert_eq!(step(reason), Step::Rest, "{reason}");
        }
    }

    #[test]
    fn a_run_is_started_followed_and_ended_with_the_hours() {
        let step = |state, now| decide(&policy(), &with(run(state, None), (0, 0)), now);
        let night = noon().plus(Duration::from_hours(9));
        assert_eq!(step(ReplayState::Planning, noon()), Step::Rest);
        assert_eq!(step(ReplayState::Planned, noon()), Step::Start);
        assert_eq!(step(ReplayState::Running, noon()), Step::Rest);
        for state in [ReplayState::Planned, ReplayState::Running, ReplayState::Paused] {
            assert!(matches!(step(state, night), Step::Cancel { .. }), "{state}");
        }
        let by_person = run(ReplayState::Cancelled, Some(StateReason::ByPerson));
        assert!(matches!(decide(&policy(), &with(by_person, (0, 0)), noon()), Step::Open { against: false, .. }));
        assert!(matches!(step(ReplayState::Failed, noon()), Step::Open { against: false, .. }));
    }

    #[test]
    fn a_run_that_was_judged_is_history_or_is_ended_after_a_crash() {
        let judged = Policy { judged: 5, ..policy() };
        let step = |run| decide(&judged, &with(run, (0, 0)), noon());
        assert_eq!(step(completed(9, 0, 0)), Step::Seek { most: 100 });
        assert!(matches!(step(run(ReplayState::Paused, Some(StateReason::FailedAgainLimit))), Step::Cancel { .. }));
        assert_eq!(step(run(ReplayState::Paused, Some(StateReason::ProgressUnknown))), Step::Rest, "a person decides");
    }

    #[test]
    fn where_no_group_is_known_patience_ends() {
        let blind = Run { is_watched: false, ..completed(0, 0, 5) };
        let at = |seconds| decide(&policy(), &with(blind.clone(), (0, 0)), noon().plus(Duration::from_secs(seconds)));
        assert_eq!(at(179), Step::Rest);
        assert_eq!(at(180), Step::Judge { closes: true });
    }
}
