//! What a whole consumer group is doing, from its partitions.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::lag::{GroupOffset, GroupStatus, Standing};

/// Without members and without a commit for so long, a group is parked.
const PARKED: Duration = Duration::from_hours(7 * 24);

/// A group as it stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// Its status.
    pub status: GroupStatus,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Since when it has been behind, if it was.
    pub behind_since: Option<Timestamp>,
}

/// The group's standing: the worst of its partitions', how many share it, and since when. `members` is `None` where they are not known.
#[must_use]
pub fn standing(offsets: &[GroupOffset], members: Option<usize>, before: Before, now: Timestamp) -> Standing {
    let parked = members == Some(0) && {
        let moved = offsets.iter().filter_map(|offset| offset.moved_at).max().unwrap_or(before.first_seen_at);
        moved.age_at(now) >= PARKED
    };
    let Some(worst) = offsets.iter().max_by_key(|offset| (offset.verdict.status, offset.lag_messages())) else {
        let evidence = if members == Some(0) { "no members and no committed offset" } else { "no committed offset" };
        return Standing {
            status: GroupStatus::NoCommit,
            since: Some(since(before, GroupStatus::NoCommit, None, now)),
            evidence: evidence.to_owned(),
            parked,
            behind_since: before.behind_since,
        };
    };
    // A parked group that still has something to read is stopped, whatever else could be said of it.
    let lag: i64 = offsets.iter().filter_map(GroupOffset::lag_messages).sum();
    let status = if parked && lag > 0 { GroupStatus::Stopped } else { worst.verdict.status };
    let alike: Vec<&GroupOffset> = offsets.iter().filter(|offset| offset.verdict.status == worst.verdict.status).collect();
    let oldest = alike.iter().filter_map(|offset| offset.verdict.since).min();
    let place = format!("{}/{}", worst.topic, worst.partition);
    let evidence = match (status, alike.len(), offsets.len()) {
        (GroupStatus::CaughtUp, ..) if lag == 0 => "nothing left to read".to_owned(),
        (GroupStatus::CaughtUp, ..) => format!("{lag} left to read, written just now"),
        (_, 1, 1) => format!("{place}: {}", worst.verdict.evidence),
        (_, some, all) => format!("{some} of {all} partitions; {place}: {}", worst.verdict.evidence),
    };
    let since = since(before, status, oldest, now);
    Standing { status, since: Some(since), evidence, parked, behind_since: behind_since(before, status, lag, since) }
}

/// How it gets on while it is behind begins nothing anew, and what cannot be said for a while ends nothing.
const fn behind_since(before: Before, status: GroupStatus, lag: i64, since: Timestamp) -> Option<Timestamp> {
    match (status, before.behind_since) {
        (GroupStatus::Unknown | GroupStatus::NoCommit, known) => known,
        (GroupStatus::CaughtUp, _) => None,
        _ if lag <= 0 => None,
        (_, Some(known)) => Some(known),
        (_, None) => Some(since),
    }
}

fn since(before: Before, status: GroupStatus, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let kept = before.since.filter(|_| before.status == status);
    let earliest = [told, kept].into_iter().flatten().min();
    earliest.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lag::Verdict;

    const NOW: Timestamp = Timestamp::from_millis(2_000_000_000_000);

    fn offset(partition: i32, status: GroupStatus, lag: i64) -> GroupOffset {
        GroupOffset {
            log_start: Some(0),
            end: Some(100 + lag),
            moved_at: Some(NOW.minus(Duration::from_mins(3))),
            verdict: Verdict { status, since: None, evidence: "because".to_owned(), looks: None },
            ..GroupOffset::new("orders".into(), partition, Some(100))
        }
    }

    fn before(status: GroupStatus, since: Option<Timestamp>) -> Before {
        Before { first_seen_at: NOW.minus(Duration::from_hours(24)), status, since, behind_since: None }
    }

    #[test]
    fn the_worst_partition_speaks_for_the_group_and_says_how_many_share_it() {
        let offsets = [offset(0, GroupStatus::CaughtUp, 0), offset(1, GroupStatus::Stalled, 4), offset(2, GroupStatus::Stalled, 9)];
        let standing = standing(&offsets, Some(2), before(GroupStatus::CaughtUp, None), NOW);
        assert_eq!((standing.status, standing.parked), (GroupStatus::Stalled, false));
        assert_eq!(standing.evidence, "2 of 3 partitions; orders/2: because");
        assert_eq!(standing.since, Some(NOW), "it has just become so");
    }

    #[test]
    fn a_status_that_stays_keeps_its_beginning() {
        let long_ago = NOW.minus(Duration::from_hours(2));
        let offsets = [offset(0, GroupStatus::FallingBehind, 7)];
        let standing = standing(&offsets, Some(1), before(GroupStatus::FallingBehind, Some(long_ago)), NOW);
        assert_eq!(standing.since, Some(long_ago));
    }

    #[test]
    fn how_long_a_group_is_behind_outlives_how_it_gets_on_and_ends_when_it_has_caught_up() {
        use GroupStatus::{CatchingUp, CaughtUp, DataLoss, FallingBehind, Rewound, Stalled, Unknown};
        let long_ago = NOW.minus(Duration::from_hours(6));
        let after = |known: Option<Timestamp>, status: GroupStatus, lag: i64| {
            let before = Before { behind_since: known, ..before(CatchingUp, Some(NOW.minus(Duration::from_secs(40)))) };
            standing(&[offset(0, status, lag)], Some(1), before, NOW).behind_since
        };
        for status in [CatchingUp, FallingBehind, Stalled, Rewound, DataLoss, Unknown] {
            assert_eq!(after(Some(long_ago), status, 7), Some(long_ago), "{status}");
        }
        assert_eq!(after(Some(long_ago), CaughtUp, 7), None);
        assert_eq!(after(Some(long_ago), DataLoss, 0), None, "all that was left is gone");
        assert_eq!(after(None, FallingBehind, 7), Some(NOW), "it has just begun");
        assert_eq!(after(None, Unknown, 7), None);
    }

    #[test]
    fn a_group_nobody_has_used_for_a_week_is_parked_and_stopped() {
        let old = GroupOffset { moved_at: Some(NOW.minus(PARKED)), ..offset(0, GroupStatus::DataLoss, 7) };
        let parked = standing(std::slice::from_ref(&old), Some(0), before(GroupStatus::Stopped, None), NOW);
        assert_eq!((parked.status, parked.parked), (GroupStatus::Stopped, true));
        let read_by_somebody = standing(&[old], Some(1), before(GroupStatus::Stopped, None), NOW);
        assert!(!read_by_somebody.parked);
        let nothing = standing(&[], Some(0), before(GroupStatus::NoCommit, None), NOW);
        assert_eq!((nothing.status, nothing.parked), (GroupStatus::NoCommit, false));
    }
}
