//! What a consumer group is doing on a partition, told from several looks and with its evidence. No threshold on lag: what counts is
//! movement, membership and time.

use std::collections::VecDeque;
use std::time::Duration;

use super::history::TimeLag;
use crate::model::Timestamp;
use crate::model::lag::{GroupStatus, Look, Verdict};

/// Looks remembered: five minutes of sweeps.
const LOOKS: usize = 20;
/// Looks closer than this to the one before add nothing to a trend.
const APART: Duration = Duration::from_secs(10);
/// Intervals between two movements of the committed offset that are remembered.
const GAPS: usize = 8;
/// Below this lag in time nobody is behind: a healthy group commits now and then.
const FLOOR: Duration = Duration::from_secs(30);
/// Who was behind is no longer only from here on, so that a lag that goes up and down around the floor does not change its name with
/// every look.
const CLEARLY_NOT_BEHIND: Duration = Duration::from_secs(20);
/// A group that has not committed for so long, at least, may be stalled or stopped.
const PATIENCE: Duration = Duration::from_mins(1);
/// However seldom a group commits, nobody waits longer than this.
const LONGEST_PATIENCE: Duration = Duration::from_mins(10);
/// Without members, a committed offset that has not moved for so long is at rest.
const AT_REST: Duration = Duration::from_mins(10);
/// A trend needs so many looks.
const TREND: usize = 4;
/// Over its looks a group that gets closer has gained at least this share of what was left...
const GAINED_OF_LAG: f64 = 0.01;
/// ... and of what was written meanwhile: less than that is how reading and writing go up and down.
const GAINED_OF_WRITTEN: f64 = 0.05;
/// However much is written, whoever has gained so much of what was left gets closer.
const GAINED_CLEARLY: f64 = 0.1;
/// A rewind is told for so long, unless the group is back where it was.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Offsets left that one short read can count.
pub const COUNTABLE: i64 = 100;

/// Who holds a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Not known: members cannot be described.
    Unknown,
    /// The group has no members.
    NoMembers,
    /// One of its members.
    Member,
    /// None of its members.
    Nobody,
}

/// The partition as it was found beside the group's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// When.
    pub at: Timestamp,
    /// Committed offset.
    pub committed: i64,
    /// First offset the bus still holds.
    pub log_start: i64,
    /// High watermark.
    pub end: i64,
    /// Last stable offset, where known.
    pub last_stable: Option<i64>,
    /// Who holds the partition.
    pub holder: Holder,
}

impl Found {
    const fn raw_lag(&self) -> i64 {
        let lag = self.end - self.committed;
        if lag < 0 { 0 } else { lag }
    }
}

/// The committed offset moved against the order, or without anybody reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// From this offset.
    pub from: i64,
    /// To this one.
    pub to: i64,
    /// Whether the group had no members, so that somebody has reset it by hand.
    pub by_hand: bool,
}

/// One group on one partition, watched.
#[derive(Debug, Clone)]
pub struct Watch {
    looks: VecDeque<Look>,
    newest: Found,
    since: Timestamp,
    moved_at: Option<Timestamp>,
    gaps: VecDeque<Duration>,
    rewound: Option<(Timestamp, Jump)>,
    /// Committed offset, end, and how many offsets between them are no records.
    counted: Option<(i64, i64, i64)>,
    /// Since when the last stable offset stands still below the end.
    held_since: Option<(i64, Timestamp)>,
    /// Since when records are gone that were not read.
    losing_since: Option<Timestamp>,
    /// Whether members came to a group without any, or its last one went, since the offset last moved.
    changed_hands: bool,
    /// Whether it gets closer to the end.
    gaining: bool,
    /// Whether it was said to be behind, and not since that it had caught up.
    was_behind: bool,
}

impl Watch {
    /// Begins with a first look; `moved_at` is when the offset last moved as an earlier watch of it knew.
    #[must_use]
    pub fn new(found: Found, moved_at: Option<Timestamp>) -> Self {
        let mut watch = Self {
            looks: VecDeque::new(),
            newest: found,
            since: found.at,
            moved_at,
            gaps: VecDeque::new(),
            rewound: None,
            counted: None,
            held_since: None,
            losing_since: None,
            changed_hands: false,
            gaining: false,
            was_behind: false,
        };
        watch.remember(found);
        watch
    }

    /// Takes over since when records are gone that were not read, as an earlier watch knew it.
    #[must_use]
    pub fn losing_since(mut self, known: Option<Timestamp>) -> Self {
        self.losing_since = self.losing_since.map(|seen| known.map_or(seen, |known| known.min(seen)));
        self
    }

    /// Takes the next look. Answers a jump of the committed offset.
    pub fn look(&mut self, found: Found) -> Option<Jump> {
        let before = self.newest;
        if found.at <= before.at {
            return None;
        }
        let moved = found.committed != before.committed;
        let nobody = before.holder == Holder::NoMembers && found.holder == Holder::NoMembers;
        // Who assigns partitions to himself is no member, and commits again and again: only the first move after a rest is by hand.
        let reading = self.moved_at.is_some_and(|moved| moved.age_at(found.at) < AT_REST);
        let by_hand = nobody && (found.committed < before.committed || !reading);
        let jump = (moved && (found.committed < before.committed || by_hand)).then_some(Jump {
            from: before.committed,
            to: found.committed,
            by_hand,
        });
        self.changed_hands |= (before.holder == Holder::NoMembers) != (found.holder == Holder::NoMembers);
        if moved {
            // A time in which it had stopped is no usual one, and who resets it is not the one who reads.
            let usual = !self.changed_hands && !by_hand;
            self.changed_hands = false;
            if let Some(last) = self.moved_at.filter(|_| usual) {
                self.gaps.push_back(last.age_at(found.at));
                if self.gaps.len() > GAPS {
                    self.gaps.pop_front();
                }
            }
            self.moved_at = Some(found.at);
        }
        if let Some(jump) = jump {
            self.looks.clear();
            self.gaining = false;
            self.was_behind = false;
            self.rewound = (jump.to < jump.from).then_some((found.at, jump));
        } else if self.rewound.is_some_and(|(at, jump)| found.committed >= jump.from || at.age_at(found.at) > REMEMBERED) {
            self.rewound = None;
        }
        self.newest = found;
        self.remember(found);
        jump
    }

    fn remember(&mut self, found: Found) {
        self.held_since = match (found.last_stable, self.held_since) {
            (Some(stable), held) if stable < found.end => Some(held.filter(|(at, _)| *at == stable).unwrap_or((stable, found.at))),
            _ => None,
        };
        self.losing_since = (found.log_start > found.committed).then(|| self.losing_since.unwrap_or(found.at));
        if self.looks.back().is_some_and(|last| last.at.age_at(found.at) < APART) {
            return;
        }
        self.looks.push_back(Look { at: found.at, committed: found.committed, end: found.end });
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        self.gaining = self.gains();
    }

    /// Whether it gets closer by more than what goes up and down anyway. Who does already goes on doing so with half of that, so that
    /// nobody hears of a change with every look.
    fn gains(&self) -> bool {
        let Some((first, last)) = self.looks.front().zip(self.looks.back()) else { return false };
        let gained = -self.slope() * first.at.age_at(last.at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a trend")]
        let (left, written) = ((last.end - last.committed) as f64, (last.end - first.end) as f64);
        let band = (written * GAINED_OF_WRITTEN).min(left * GAINED_CLEARLY).max(left * GAINED_OF_LAG).max(0.0);
        gained > if self.gaining { band / 2.0 } else { band }
    }

    /// When the committed offset was last seen to move.
    #[must_use]
    pub const fn moved_at(&self) -> Option<Timestamp> {
        self.moved_at
    }

    /// The newest look.
    #[must_use]
    pub const fn newest(&self) -> &Found {
        &self.newest
    }

    /// Offsets from and to that should be read once to see how many are records: few, and unmoved over three looks.
    #[must_use]
    pub fn to_count(&self) -> Option<(i64, i64)> {
        let Found { committed, end, log_start, .. } = self.newest;
        let few = end > committed && self.newest.raw_lag() <= COUNTABLE;
        let known = self.counted.is_some_and(|(from, to, _)| (from, to) == (committed, end));
        let still = self.looks.len() >= 3 && self.looks.iter().rev().take(3).all(|look| (look.committed, look.end) == (committed, end));
        (few && !known && still).then_some((committed.max(log_start), end))
    }

    /// Takes what a short read has counted between the committed offset and the end.
    pub fn counted(&mut self, records: i64) {
        let Found { committed, end, log_start, .. } = self.newest;
        self.counted = Some((committed, end, (end - committed.max(log_start) - records).max(0)));
    }

    /// Offsets left to read that are known to be no records.
    #[must_use]
    pub fn not_records(&self) -> Option<i64> {
        let Found { committed, end, .. } = self.newest;
        self.counted.filter(|(from, to, _)| (*from, *to) == (committed, end)).map(|(.., none)| none)
    }

    /// Messages left to read, as far as known.
    #[must_use]
    pub fn lag(&self) -> i64 {
        let deleted = (self.newest.log_start - self.newest.committed).max(0);
        (self.newest.raw_lag() - deleted - self.not_records().unwrap_or(0)).max(0)
    }

    /// What it means, at `now`; `stale` after which the newest look tells nothing any more. Remembers whether it is behind.
    #[must_use]
    pub fn judge(&mut self, time_lag: Option<TimeLag>, now: Timestamp, stale: Duration) -> Verdict {
        let verdict = self.verdict(time_lag, now, stale);
        match verdict.status {
            GroupStatus::CaughtUp => self.was_behind = false,
            GroupStatus::CatchingUp | GroupStatus::FallingBehind => self.was_behind = true,
            _ => {}
        }
        verdict
    }

    fn verdict(&self, time_lag: Option<TimeLag>, now: Timestamp, stale: Duration) -> Verdict {
        let found = self.newest;
        let say = |status, since, evidence: String| Verdict { status, since, evidence, looks: self.evidence() };
        if found.at.age_at(now) > stale {
            return say(GroupStatus::Unknown, Some(found.at), "the group or the partition could not be read lately".to_owned());
        }
        if found.committed > found.end {
            return say(
                GroupStatus::Unknown,
                None,
                format!(
                    "the committed offset {} lies beyond the end {}: the topic was re-created or has lost its tail",
                    found.committed, found.end
                ),
            );
        }
        if found.log_start > found.committed {
            let lost = found.log_start - found.committed;
            return say(
                GroupStatus::DataLoss,
                self.losing_since,
                format!("{lost} deleted before they were read, from offset {}", found.committed),
            );
        }
        let behind = if self.lag() == 0 { None } else { self.behind(time_lag, now) };
        if let Some((at, jump)) = self.rewound {
            let who = if jump.by_hand { "reset while the group had no members" } else { "set back while the group had members" };
            let words = format!("{who}, from offset {} to {}", jump.from, jump.to);
            // Being set back excuses nobody who does not read on.
            return match behind.filter(|(status, ..)| *status > GroupStatus::Rewound) {
                Some((status, since, held)) => say(status, since, format!("{held}; {words}")),
                None => say(GroupStatus::Rewound, Some(at), words),
            };
        }
        if self.lag() == 0 {
            let words = match self.not_records() {
                Some(none) if none > 0 => format!("nothing left but {none} offsets that are no records"),
                _ => "nothing left to read".to_owned(),
            };
            return say(GroupStatus::CaughtUp, None, words);
        }
        behind.map_or_else(|| self.trend(time_lag), |(status, since, words)| say(status, since, words))
    }

    /// How long this group may go without a commit: it is told of at once where it is quick, and in time where it is slow.
    fn patience(&self) -> Duration {
        let usual = self.gaps.iter().max().copied().unwrap_or_default();
        (usual * 3).clamp(PATIENCE, LONGEST_PATIENCE)
    }

    /// What holds a group that is behind, if anything.
    fn behind(&self, time_lag: Option<TimeLag>, now: Timestamp) -> Option<(GroupStatus, Option<Timestamp>, String)> {
        let (found, lag) = (self.newest, self.lag());
        let still_since = self.moved_at.unwrap_or(self.since);
        let still_for = still_since.age_at(now);
        if let Some((stable, since)) = self.held_since
            && found.committed >= stable
            && since.age_at(now) >= FLOOR
        {
            let words = format!("an open transaction holds the last stable offset at {stable}, {} before the end", found.end - stable);
            return Some((GroupStatus::TransactionBlocked, Some(since), words));
        }
        if still_for < self.patience() {
            return None;
        }
        let moved = if self.moved_at.is_some() { "last commit seen" } else { "no commit seen since watching began" };
        match found.holder {
            Holder::NoMembers => Some((GroupStatus::Stopped, Some(still_since), format!("no members, {lag} left to read; {moved}"))),
            Holder::Nobody => {
                Some((GroupStatus::Unassigned, Some(still_since), format!("no member holds this partition, {lag} left to read; {moved}")))
            }
            Holder::Member | Holder::Unknown => {
                let grown = self.looks.front().map_or(0, |first| found.end - first.end);
                if grown == 0 && self.newest.raw_lag() <= COUNTABLE && self.not_records().is_none() {
                    // What an earlier watch had counted is unknown only since this one began.
                    let since = still_since.max(self.since);
                    return Some((GroupStatus::Unknown, Some(since), format!("{lag} offsets left that may be no records; {moved}")));
                }
                let old = time_lag.is_some_and(|time| time.min > PATIENCE || time.max.is_none());
                (grown > 0 || old).then(|| {
                    let words = format!("the committed offset stays at {} while the end is at {}; {moved}", found.committed, found.end);
                    (GroupStatus::Stalled, Some(still_since), words)
                })
            }
        }
    }

    /// Reading goes on: towards the end, or away from it?
    fn trend(&self, time_lag: Option<TimeLag>) -> Verdict {
        let say = |status, evidence: String| Verdict { status, since: None, evidence, looks: self.evidence() };
        let lag = self.lag();
        let Some(time) = time_lag else {
            return say(GroupStatus::Unknown, format!("{lag} left to read, watched too shortly to say more"));
        };
        let floor = if self.was_behind { CLEARLY_NOT_BEHIND } else { FLOOR };
        if time.estimate.is_some_and(|estimate| estimate <= floor) || time.max.is_some_and(|max| max <= floor) {
            return say(GroupStatus::CaughtUp, format!("{lag} left to read, written just now"));
        }
        if self.looks.len() < TREND {
            return say(GroupStatus::Unknown, format!("{lag} left to read, watched too shortly to tell a trend"));
        }
        let (first, last) = (self.looks.front(), self.looks.back());
        let change = first.zip(last).map_or(0, |(first, last)| (last.end - last.committed) - (first.end - first.committed));
        let words = match change {
            1.. => format!("{change} more than at the first look"),
            0 => "as much as at the first look".to_owned(),
            _ if self.gaining => format!("{} less than at the first look", change.unsigned_abs()),
            _ => "about as much as at the first look".to_owned(),
        };
        let status = if self.gaining { GroupStatus::CatchingUp } else { GroupStatus::FallingBehind };
        say(status, format!("{lag} left to read, {words}"))
    }

    /// Messages of lag per second, by least squares over the looks.
    #[must_use]
    pub fn slope(&self) -> f64 {
        let Some(first) = self.looks.front() else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "a trend")]
        let points =
            self.looks.iter().map(|look| ((look.at.as_millis() - first.at.as_millis()) as f64 / 1e3, (look.end - look.committed) as f64));
        let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in points {
            (n, sx, sy, sxx, sxy) = (n + 1.0, sx + x, sy + y, sxx + x * x, sxy + x * y);
        }
        let spread = n * sxx - sx * sx;
        if spread <= 0.0 { 0.0 } else { (n * sxy - sx * sy) / spread }
    }

    fn evidence(&self) -> Option<(Look, Look)> {
        let last = Look { at: self.newest.at, committed: self.newest.committed, end: self.newest.end };
        self.looks.front().map(|first| (*first, last))
    }
}

#[cfg(test)]
mod tests;
