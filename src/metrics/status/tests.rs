//! Tables of cases: what was seen, look by look, and what it means.

use super::*;
use crate::metrics::history::EndHistory;

const SWEEP: Duration = Duration::from_secs(15);
const STALE: Duration = Duration::from_secs(45);

/// A group on one partition, looked at every fifteen seconds.
struct Case {
    watch: Option<Watch>,
    ends: EndHistory,
    now: Timestamp,
    holder: Holder,
    log_start: i64,
    /// Last stable offset; the end unless told.
    stable: Option<i64>,
    jumps: Vec<Jump>,
}

impl Case {
    fn new(holder: Holder) -> Self {
        Self {
            watch: None,
            ends: EndHistory::default(),
            now: Timestamp::from_millis(1_000_000_000),
            holder,
            log_start: 0,
            stable: None,
            jumps: Vec::new(),
        }
    }

    fn look(&mut self, committed: i64, end: i64) -> &mut Self {
        self.now = self.now.plus(SWEEP);
        let found = Found {
            at: self.now,
            committed,
            log_start: self.log_start,
            end,
            last_stable: Some(self.stable.unwrap_or(end)),
            holder: self.holder,
        };
        self.ends.add(self.now, end);
        match &mut self.watch {
            Some(watch) => self.jumps.extend(watch.look(found)),
            None => self.watch = Some(Watch::new(found, None)),
        }
        self
    }

    fn looks(&mut self, looks: impl IntoIterator<Item = (i64, i64)>) -> &mut Self {
        looks.into_iter().for_each(|(committed, end)| {
            self.look(committed, end);
        });
        self
    }

    fn watch(&mut self) -> &mut Watch {
        self.watch.as_mut().expect("looked at")
    }

    fn verdict(&mut self) -> Verdict {
        let watch = self.watch.as_mut().expect("looked at");
        watch.judge(self.ends.time_lag(watch.newest().committed), self.now, STALE)
    }

    fn status(&mut self) -> GroupStatus {
        self.verdict().status
    }
}

#[test]
fn a_group_that_keeps_up_is_caught_up_whatever_the_last_commit_missed() {
    let mut case = Case::new(Holder::Member);
    case.looks((0..20).map(|look| (look * 100 - 5, look * 100)));
    assert_eq!(case.status(), GroupStatus::CaughtUp);
    case.look(2_000, 2_000);
    assert_eq!(case.verdict().evidence, "nothing left to read");
}

#[test]
fn getting_closer_and_falling_behind_are_told_by_the_trend() {
    let mut case = Case::new(Holder::Member);
    case.looks((1..=20).map(|look| (look * 10, look * 100)));
    assert_eq!(case.status(), GroupStatus::FallingBehind);
    assert_eq!(case.verdict().evidence, "1800 left to read, 1710 more than at the first look");
    case.looks((1..=20).map(|look| (200 + look * 80, 2_000)));
    assert_eq!(case.status(), GroupStatus::CatchingUp);
    let looks = case.verdict().looks.expect("evidence has two looks");
    assert_eq!((looks.0.committed, looks.1.committed), (280, 1_800));
}

#[test]
fn a_trend_is_not_told_from_two_looks() {
    let mut case = Case::new(Holder::Member);
    case.looks([(0, 500), (10, 600)]);
    assert_eq!(case.status(), GroupStatus::Unknown);
}

#[test]
fn an_offset_that_stays_while_the_log_grows_is_stalled_only_after_three_usual_gaps() {
    let mut case = Case::new(Holder::Member);
    // Commits every minute: fifteen seconds without one are nothing.
    for look in 0..16 {
        case.look(look / 4 * 400, look * 100);
    }
    assert_ne!(case.status(), GroupStatus::Stalled);
    for look in 16..22 {
        case.look(1_200, look * 100);
        assert_ne!(case.status(), GroupStatus::Stalled, "{look}");
    }
    case.looks((22..32).map(|look| (1_200, look * 100)));
    assert_eq!(case.status(), GroupStatus::Stalled);
    assert_eq!(case.verdict().evidence, "the committed offset stays at 1200 while the end is at 3100; last commit seen");
}

#[test]
fn without_members_a_group_with_lag_is_stopped_and_without_lag_it_is_not() {
    let mut case = Case::new(Holder::NoMembers);
    case.looks((0..8).map(|_| (40, 90)));
    assert_eq!(case.status(), GroupStatus::Stopped);
    assert_eq!(case.verdict().evidence, "no members, 50 left to read; no commit seen since watching began");
    let mut idle = Case::new(Holder::NoMembers);
    idle.looks((0..8).map(|_| (90, 90)));
    assert_eq!(idle.status(), GroupStatus::CaughtUp);
    // Somebody who assigns partitions by hand is no member, and reads.
    let mut by_hand = Case::new(Holder::NoMembers);
    by_hand.looks((0..8).map(|look| (look * 10, 90 + look * 100)));
    assert_eq!(by_hand.status(), GroupStatus::FallingBehind);
    assert_eq!(by_hand.jumps.len(), 1, "only the first move after a rest looks like a reset");
}

#[test]
fn a_partition_that_no_member_holds_is_unassigned() {
    let mut case = Case::new(Holder::Nobody);
    case.looks((0..8).map(|look| (40, 90 + look)));
    assert_eq!(case.status(), GroupStatus::Unassigned);
}

#[test]
fn what_was_deleted_before_it_was_read_is_data_loss_with_its_number() {
    let mut case = Case::new(Holder::Member);
    case.look(40, 900);
    case.log_start = 100;
    case.look(40, 900);
    assert_eq!(case.status(), GroupStatus::DataLoss);
    assert_eq!(case.verdict().evidence, "60 deleted before they were read, from offset 40");
    assert_eq!(case.watch().lag(), 800, "deleted ones are not left to read");
    case.look(120, 900);
    assert_ne!(case.status(), GroupStatus::DataLoss);
}

#[test]
fn set_back_is_told_until_the_group_is_where_it_was_and_forward_by_hand_is_an_event() {
    let mut case = Case::new(Holder::NoMembers);
    case.looks([(500, 600), (500, 600), (100, 600)]);
    assert_eq!(case.jumps, [Jump { from: 500, to: 100, by_hand: true }]);
    assert_eq!(case.verdict().evidence, "reset while the group had no members, from offset 500 to 100");
    case.holder = Holder::Member;
    case.look(300, 600);
    assert_eq!(case.status(), GroupStatus::Rewound);
    case.look(500, 600);
    assert_ne!(case.status(), GroupStatus::Rewound);
    let mut forward = Case::new(Holder::NoMembers);
    forward.looks([(100, 600), (600, 600)]);
    assert_eq!(forward.jumps, [Jump { from: 100, to: 600, by_hand: true }]);
    assert_eq!(forward.status(), GroupStatus::CaughtUp);
}

#[test]
fn an_open_transaction_blocks_and_says_where() {
    let mut case = Case::new(Holder::Member);
    case.stable = Some(200);
    case.looks([(150, 250), (200, 300), (200, 350), (200, 400)]);
    assert_eq!(case.status(), GroupStatus::TransactionBlocked);
    assert_eq!(case.verdict().evidence, "an open transaction holds the last stable offset at 200, 200 before the end");
    // Before the group has read up to there, the transaction holds nobody.
    let mut behind = Case::new(Holder::Member);
    behind.stable = Some(200);
    behind.looks((1..8).map(|look| (look * 10, 300)));
    assert_ne!(behind.status(), GroupStatus::TransactionBlocked);
}

#[test]
fn markers_at_the_end_are_no_lag_once_they_were_counted() {
    let mut case = Case::new(Holder::Member);
    case.looks((0..8).map(|_| (99, 100)));
    assert_eq!(case.status(), GroupStatus::Unknown, "a marker or a record that nobody reads");
    assert_eq!(case.watch().to_count(), Some((99, 100)));
    case.watch().counted(0);
    assert_eq!(case.watch().to_count(), None, "once is enough");
    assert_eq!((case.status(), case.watch().lag(), case.watch().not_records()), (GroupStatus::CaughtUp, 0, Some(1)));
    case.look(99, 101);
    assert_eq!(case.watch().not_records(), None, "something came after them");
    case.looks((0..8).map(|_| (99, 101)));
    case.watch().counted(1);
    assert_eq!((case.status(), case.watch().lag()), (GroupStatus::Stalled, 1), "a record that nobody reads");
}

#[test]
fn what_was_not_looked_at_lately_or_contradicts_itself_is_unknown() {
    let mut case = Case::new(Holder::Member);
    case.looks((1..=20).map(|look| (look * 10, look * 100)));
    case.now = case.now.plus(STALE * 2);
    assert_eq!(case.status(), GroupStatus::Unknown);
    case.look(5_000, 300);
    assert!(case.verdict().evidence.contains("beyond the end"), "{}", case.verdict().evidence);
}

#[test]
fn the_worst_of_a_group_is_the_groups() {
    let mut all = GroupStatus::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(all, GroupStatus::ALL);
    assert_eq!(all.iter().max(), Some(&GroupStatus::DataLoss));
}

#[test]
fn who_is_set_back_and_does_not_read_on_is_stopped_or_stalled_once_patience_has_passed() {
    let mut case = Case::new(Holder::NoMembers);
    case.looks([(500, 600), (100, 600), (100, 600)]);
    assert_eq!(case.status(), GroupStatus::Rewound, "somebody may begin to read at any moment");
    case.looks((0..4).map(|_| (100, 600)));
    assert_eq!(case.status(), GroupStatus::Stopped);
    let words = "no members, 500 left to read; last commit seen; reset while the group had no members, from offset 500 to 100";
    assert_eq!(case.verdict().evidence, words);
    case.holder = Holder::Nobody;
    case.look(100, 700);
    assert_eq!(case.status(), GroupStatus::Unassigned);
    case.holder = Holder::Member;
    case.look(100, 800);
    assert_eq!(case.status(), GroupStatus::Stalled);
    case.look(200, 800);
    assert_eq!(case.status(), GroupStatus::Rewound, "it reads again");
}

#[test]
fn a_group_that_had_stopped_for_long_is_told_as_soon_as_any_when_it_stops_again() {
    let mut case = Case::new(Holder::Member);
    case.looks((1..=4).map(|look| (look * 10, 1_000)));
    case.holder = Holder::NoMembers;
    case.look(40, 1_000);
    case.now = case.now.plus(Duration::from_hours(8));
    case.look(40, 1_000);
    case.holder = Holder::Member;
    case.looks([(40, 1_000), (50, 1_000), (60, 1_000)]);
    case.holder = Holder::NoMembers;
    case.looks((0..5).map(|_| (60, 1_000)));
    assert_eq!(case.status(), GroupStatus::Stopped, "a minute later");
    // Whoever keeps his members and commits once a day is told of all the same.
    let mut seldom = Case::new(Holder::Member);
    seldom.look(10, 1_000);
    seldom.look(20, 1_000);
    seldom.now = seldom.now.plus(Duration::from_hours(24));
    seldom.look(30, 1_000);
    seldom.looks((0..38).map(|look| (30, 1_000 + look)));
    assert_ne!(seldom.status(), GroupStatus::Stalled);
    seldom.looks((38..42).map(|look| (30, 1_000 + look)));
    assert_eq!(seldom.status(), GroupStatus::Stalled, "after ten minutes");
}

#[test]
fn a_lag_that_stays_as_it_is_does_not_change_its_status_with_every_look() {
    // A thousand messages a second, ten minutes behind, and reading that goes up and down by some seconds.
    let mut case = Case::new(Holder::Member);
    let (mut told, mut slopes) = (Vec::new(), std::collections::BTreeSet::new());
    for look in 0..200_i64 {
        let end = 700_000 + look * 15_000;
        case.look(end - 600_000 + [0, 2_500, -1_500, 3_000, -3_000, 500, -2_000][usize::try_from(look * look % 7).expect("few")], end);
        if look >= 4 {
            told.push(case.status());
            slopes.insert(case.watch().slope() < 0.0);
        }
    }
    assert_eq!(slopes.len(), 2, "the trend points either way");
    told.dedup();
    assert_eq!(told, [GroupStatus::FallingBehind]);
    // Once it gains, it is told so, and goes on being told while it gains less.
    let (mut told, start) = (Vec::new(), 700_000 + 199 * 15_000);
    let mut lag = 600_000;
    for look in 1..=60_i64 {
        lag -= if look <= 25 { 3_000 } else { 600 };
        case.look(start + look * 15_000 - lag, start + look * 15_000);
        told.push(case.status());
    }
    told.dedup();
    assert_eq!(told[..2], [GroupStatus::FallingBehind, GroupStatus::CatchingUp], "{told:?}");
    assert!(told.len() <= 3, "{told:?}");
}

#[test]
fn a_lag_in_time_around_the_floor_does_not_change_its_name_with_every_look() {
    // A hundred messages a second, and a lag of so many seconds.
    let mut case = Case::new(Holder::Member);
    let mut end = 100_000;
    let mut look = |case: &mut Case, seconds: i64| {
        end += 1_500;
        case.look(end - seconds * 100, end);
        case.verdict()
    };
    let first: Vec<GroupStatus> = (0..8).map(|_| look(&mut case, 29).status).collect();
    assert!(first[4..].iter().all(|status| *status == GroupStatus::CaughtUp), "it was not behind yet: {first:?}");
    let told: Vec<Verdict> = (0..40).map(|round| look(&mut case, if round % 2 == 0 { 35 } else { 25 })).collect();
    let behind = |verdict: &Verdict| matches!(verdict.status, GroupStatus::FallingBehind | GroupStatus::CatchingUp);
    assert!(told.iter().all(behind), "{told:?}");
    assert!(told.iter().all(|verdict| !verdict.evidence.contains("just now")), "{told:?}");
    assert!(behind(&look(&mut case, 21)));
    let done = look(&mut case, 19);
    assert_eq!((done.status, done.evidence.as_str()), (GroupStatus::CaughtUp, "1900 left to read, written just now"));
    let told: Vec<GroupStatus> = (0..10).map(|round| look(&mut case, 22 + round % 8).status).collect();
    assert!(told.iter().all(|status| *status == GroupStatus::CaughtUp), "{told:?}");
    // Who has read everything has caught up, however far behind he was.
    assert!(behind(&look(&mut case, 33)) && behind(&look(&mut case, 40)));
    assert_eq!(look(&mut case, 0).evidence, "nothing left to read");
    look(&mut case, 14);
    assert_eq!(look(&mut case, 28).status, GroupStatus::CaughtUp);
}

#[test]
fn what_may_be_no_records_is_unknown_no_longer_than_it_was_watched() {
    let mut case = Case::new(Holder::Member);
    case.look(99, 100);
    let (began, yesterday) = (case.now, case.now.minus(Duration::from_hours(24)));
    let first = *case.watch().newest();
    case.watch = Some(Watch::new(first, Some(yesterday)));
    case.looks((0..4).map(|_| (99, 100)));
    assert_eq!((case.status(), case.verdict().since), (GroupStatus::Unknown, Some(began)));
}

#[test]
fn who_gains_a_fifth_of_a_short_lag_in_five_minutes_catches_up_however_much_is_written() {
    let mut case = Case::new(Holder::Member);
    for look in 0..20_i64 {
        let end = 700_000 + look * 15_000;
        case.look(end - 60_000 + look * 675, end);
    }
    assert_eq!(case.status(), GroupStatus::CatchingUp);
}

#[test]
fn records_are_lost_since_the_first_look_that_saw_it_whenever_the_last_commit_was() {
    let mut case = Case::new(Holder::NoMembers);
    case.looks([(30, 900), (40, 900)]);
    case.now = case.now.plus(Duration::from_hours(72));
    case.log_start = 100;
    case.look(40, 900);
    let first = case.now;
    assert_eq!((case.status(), case.verdict().since), (GroupStatus::DataLoss, Some(first)));
    case.log_start = 200;
    case.looks([(40, 900), (40, 900)]);
    assert_eq!(case.verdict().since, Some(first), "it goes on");
    // Whoever watches next knows it of an earlier watch, where it was so then already.
    let (newest, earlier) = (*case.watch().newest(), first.minus(Duration::from_hours(1)));
    let since = |mut watch: Watch| watch.judge(None, newest.at, STALE).since;
    assert_eq!(since(Watch::new(newest, None).losing_since(Some(earlier))), Some(earlier));
    assert_eq!(since(Watch::new(newest, None)), Some(newest.at));
    let whole = Found { log_start: 0, ..newest };
    assert_ne!(since(Watch::new(whole, None).losing_since(Some(earlier))), Some(earlier), "nothing is lost any more");
}
