//! Consumer groups: which are looked at when.
//!
//! Hot groups (behind, or moved within ten minutes) are looked at with every sweep, and the fifty that moved last with every glance;
//! warm ones (with members, or behind for long without any) each minute; cold ones each ten minutes. A group whose state or whose
//! partitions' ends have moved is hot again at once: the list of groups and the ends are read anyway. Where groups cannot be listed,
//! those that headers of dead letters or the configuration name are asked for by name.
//!
//! A group that cannot be read keeps nobody from the others. It is tried again with every sweep, and once it was said that it cannot be
//! read, each minute.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::lag::Lags;
use super::{Context, Trouble};
use crate::bus::{BusError, GroupListing};
use crate::dead_letters::indexer::BusWork;
use crate::model::bus::{GroupMember, TRACKED_GROUPS};
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Timestamp};

mod reading;

/// State of a group that has committed offsets and no members.
const EMPTY: &str = "Empty";
/// Groups that a glance looks at.
const GLANCED: usize = 50;
/// Moved within this time: hot.
const MOVING: Duration = Duration::from_mins(10);
/// Warm groups are looked at this often.
const WARM: Duration = Duration::from_mins(1);
/// Cold groups are looked at this often.
const COLD: Duration = Duration::from_mins(10);

/// What one look at the groups brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Groups that were looked at, each with the moment in which its offsets were read.
    pub(super) groups: Vec<LookedGroup>,
    /// Names of all living groups; `None` where they cannot be listed, or were not.
    pub(super) alive: Option<Vec<GroupName>>,
    /// Whether all were looked at that were due.
    pub(super) full: bool,
}

/// A group that could not be read, and why, in words.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) name: GroupName,
    pub(super) reason: String,
}

/// A group as the bus tells it.
#[derive(Debug, Clone)]
pub(super) struct LookedGroup {
    pub(super) name: GroupName,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) members: Option<Vec<GroupMember>>,
    pub(super) committed: Vec<(TopicPartition, i64)>,
    pub(super) at: Timestamp,
}

/// What is remembered of each group.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: HashMap<GroupName, Known>,
    /// Those that could not be read when they were last tried.
    failing: HashMap<GroupName, Failing>,
    /// Living groups beyond those that are tracked.
    beyond: usize,
}

#[derive(Debug)]
struct Failing {
    /// The first try that failed.
    since: Timestamp,
    tried: Instant,
    /// Why the newest one failed, in words.
    reason: String,
}

/// A group that could not be read for too long.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) name: GroupName,
    pub(super) since: Timestamp,
    pub(super) reason: String,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    /// When its offsets or members last differed from the look before.
    moved: Instant,
    state: String,
    behind: bool,
    /// Its partitions' ends have moved since it was looked at.
    outrun: bool,
}

impl Known {
    fn due(&self, listed_state: Option<&str>) -> bool {
        let changed = listed_state.is_some_and(|state| state != self.state);
        let nobody = self.state == EMPTY || self.state == "Dead";
        let moving = self.moved.elapsed() < MOVING;
        let pause = if moving || (self.behind && !nobody) {
            Duration::ZERO
        } else if self.behind || !nobody {
            WARM
        } else {
            COLD
        };
        changed || self.outrun || self.looked.elapsed() >= pause
    }
}

impl Groups {
    /// Lists all groups and looks at those that are due; `stale` after which a group that cannot be read is one that nobody knows.
    pub(super) async fn sweep(&mut self, context: &Context, work: &BusWork, lags: &Lags, stale: Duration) -> Result<Looked, Trouble> {
        let (names, listings) = match work.bus.list_groups().await {
            Ok(listed) => {
                let listed: HashMap<GroupName, GroupListing> =
                    listed.into_iter().filter(|group| !is_ours(work, &group.name)).map(|group| (group.name.clone(), group)).collect();
                (listed.keys().cloned().collect::<BTreeSet<_>>(), Some(listed))
            }
            Err(BusError::Denied(_) | BusError::Unsupported(_)) => (named(context, work).await?, None),
            Err(error) => {
                // One of the brokers does not tell its groups. Where the others answer, what is known is looked at.
                work.bus.is_there().await?;
                tracing::debug!(bus = %work.id(), %error, "consumer groups could not be listed");
                (named(context, work).await?.into_iter().chain(lags.names().cloned()).collect(), None)
            }
        };
        self.known.retain(|name, _| names.contains(name));
        self.failing.retain(|name, _| names.contains(name));
        let listed_state = |name: &GroupName| listings.as_ref().and_then(|all| all.get(name)).map(|group| group.state.as_str());
        let now = Timestamp::now();
        let is_due = |name: &&GroupName| match (self.failing.get(*name), self.known.get(*name)) {
            (Some(failing), _) => failing.since.age_at(now) <= stale || failing.tried.elapsed() >= WARM,
            (None, known) => known.is_none_or(|known| known.due(listed_state(name))),
        };
        let due: Vec<GroupName> = names.iter().take(TRACKED_GROUPS).filter(is_due).cloned().collect();
        let read = reading::read(work, &due, listings.as_ref()).await?;
        self.note(&read, now);
        self.beyond = names.len().saturating_sub(TRACKED_GROUPS);
        let alive = listings.map(|_| names.into_iter().collect());
        Ok(Looked { groups: read.groups, alive, full: true })
    }

    /// Looks only at groups that moved lately.
    pub(super) async fn glance(&mut self, work: &BusWork) -> Result<Looked, Trouble> {
        let moving = self.known.iter().filter(|(name, known)| known.moved.elapsed() < WARM && !self.failing.contains_key(*name));
        let mut moving: Vec<(Instant, GroupName)> = moving.map(|(name, known)| (known.moved, name.clone())).collect();
        moving.sort_by(|a, b| b.cmp(a));
        let names: Vec<GroupName> = moving.into_iter().take(GLANCED).map(|(_, name)| name).collect();
        let read = reading::read(work, &names, None).await?;
        self.note(&read, Timestamp::now());
        Ok(Looked { groups: read.groups, alive: None, full: false })
    }

    /// Reads once more what groups have committed that seem to have lost records.
    pub(super) async fn look_again(&mut self, work: &BusWork, lags: &Lags, looked: &mut Looked) -> Result<(), Trouble> {
        let unread = reading::read_again(work, lags, &mut looked.groups).await?;
        self.note_unread(&unread, Timestamp::now());
        Ok(())
    }

    fn note(&mut self, read: &reading::Read, now: Timestamp) {
        for group in &read.groups {
            self.failing.remove(&group.name);
        }
        self.note_unread(&read.unread, now);
    }

    fn note_unread(&mut self, unread: &[Unread], now: Timestamp) {
        let tried = Instant::now();
        for unread in unread {
            let since = self.failing.get(&unread.name).map_or(now, |failing| failing.since);
            self.failing.insert(unread.name.clone(), Failing { since, tried, reason: unread.reason.clone() });
        }
    }

    /// Groups that could not be read for longer than `stale`.
    pub(super) fn unknown(&self, stale: Duration, now: Timestamp) -> Vec<Unknown> {
        let unknown = self.failing.iter().filter(|(_, failing)| failing.since.age_at(now) > stale);
        unknown.map(|(name, failing)| Unknown { name: name.clone(), since: failing.since, reason: failing.reason.clone() }).collect()
    }

    /// Living groups that are not tracked: too many, or never read.
    pub(super) fn untracked(&self, lags: &Lags) -> usize {
        self.beyond + self.failing.keys().filter(|name| !lags.knows(name)).count()
    }

    /// Remembers how a look ended.
    pub(super) fn settle(&mut self, group: &LookedGroup, moved: bool, behind: bool) {
        let now = Instant::now();
        let known = self.known.entry(group.name.clone()).or_insert_with(|| Known {
            looked: now,
            moved: now,
            state: String::new(),
            behind,
            outrun: false,
        });
        known.state.clone_from(&group.state);
        (known.looked, known.behind, known.outrun) = (now, behind, false);
        if moved {
            known.moved = now;
        }
    }

    /// More was written than this group had read when it was looked at.
    pub(super) fn outrun(&mut self, name: &GroupName) {
        if let Some(known) = self.known.get_mut(name) {
            known.outrun = true;
        }
    }
}

fn is_ours(work: &BusWork, name: &GroupName) -> bool {
    !work.id_prefix.is_empty() && name.as_str().starts_with(&work.id_prefix)
}

async fn named(context: &Context, work: &BusWork) -> Result<BTreeSet<GroupName>, Trouble> {
    let claimed = context.store.list_claimed_groups(work.id()).await?;
    Ok(claimed.into_iter().chain(work.consumer_groups.iter().cloned()).filter(|name| !is_ours(work, name)).collect())
}
