//! Consumer groups: which are looked at when.
//!
//! Hot groups (behind, or moved within ten minutes) are looked at with every sweep, and the fifty that moved last with every glance;
//! warm ones (with members, or behind for long without any) each minute; cold ones each ten minutes. A group whose state or whose
//! partitions' ends have moved is hot again at once: the list of groups and the ends are read anyway. Where groups cannot be listed,
//! those that headers of dead letters or the configuration name are asked for by name.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::lag::Lags;
use super::{Context, Trouble};
use crate::bus::{BusError, GroupDescription, GroupListing};
use crate::dead_letters::indexer::BusWork;
use crate::model::bus::{GroupMember, TRACKED_GROUPS};
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Timestamp};

/// Committed offsets asked for at the same time; each takes a blocking thread for some milliseconds.
const IN_FLIGHT: usize = 16;
/// State of a group that has committed offsets and no members.
const EMPTY: &str = "Empty";
/// Groups described with one call.
const DESCRIBED: usize = 100;
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
    /// Living groups beyond those that are tracked.
    pub(super) untracked: usize,
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
    /// Lists all groups and looks at those that are due.
    pub(super) async fn sweep(&mut self, context: &Context, work: &BusWork) -> Result<Looked, Trouble> {
        let (names, listings) = match work.bus.list_groups().await {
            Ok(listed) => {
                let listed: HashMap<GroupName, GroupListing> =
                    listed.into_iter().filter(|group| !is_ours(work, &group.name)).map(|group| (group.name.clone(), group)).collect();
                (listed.keys().cloned().collect::<BTreeSet<_>>(), Some(listed))
            }
            Err(BusError::Denied(_) | BusError::Unsupported(_)) => (named(context, work).await?, None),
            Err(error) => return Err(error.into()),
        };
        self.known.retain(|name, _| names.contains(name));
        let listed_state = |name: &GroupName| listings.as_ref().and_then(|all| all.get(name)).map(|group| group.state.as_str());
        let tracked = names.iter().take(TRACKED_GROUPS);
        let due = tracked.filter(|name| self.known.get(*name).is_none_or(|known| known.due(listed_state(name))));
        let due: Vec<GroupName> = due.cloned().collect();
        let groups = look(work, due, listings.as_ref()).await?;
        let untracked = names.len().saturating_sub(TRACKED_GROUPS);
        let alive = listings.map(|_| names.into_iter().collect());
        Ok(Looked { groups, alive, untracked })
    }

    /// Looks only at groups that moved lately.
    pub(super) async fn glance(&mut self, work: &BusWork) -> Result<Looked, Trouble> {
        let moving = self.known.iter().filter(|(_, known)| known.moved.elapsed() < WARM);
        let mut moving: Vec<(Instant, GroupName)> = moving.map(|(name, known)| (known.moved, name.clone())).collect();
        moving.sort_by(|a, b| b.cmp(a));
        let names = moving.into_iter().take(GLANCED).map(|(_, name)| name).collect();
        Ok(Looked { groups: look(work, names, None).await?, alive: None, untracked: 0 })
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

async fn look(
    work: &BusWork,
    names: Vec<GroupName>,
    listings: Option<&HashMap<GroupName, GroupListing>>,
) -> Result<Vec<LookedGroup>, Trouble> {
    let mut groups = Vec::with_capacity(names.len());
    for names in names.chunks(DESCRIBED) {
        // Who is listed as empty has no members that could be told.
        let empty = |name: &GroupName| listings.and_then(|all| all.get(name)).filter(|group| group.state == EMPTY);
        let with_members: Vec<GroupName> = names.iter().filter(|name| empty(name).is_none()).cloned().collect();
        let mut described = if with_members.is_empty() { HashMap::new() } else { describe(work, &with_members).await? };
        let without = names.iter().filter_map(empty);
        described
            .extend(without.map(|listing| (listing.name.clone(), GroupDescription { listing: listing.clone(), members: Ok(Vec::new()) })));
        let committed: Vec<_> = futures::stream::iter(names.to_vec())
            .map(|name| async move {
                let committed = work.bus.committed_offsets(&name).await;
                (name, committed, Timestamp::now())
            })
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await;
        for (name, committed, at) in committed {
            match committed {
                Ok(mut committed) => {
                    committed.sort();
                    let listed = listings.and_then(|all| all.get(&name));
                    groups.push(looked(&name, described.remove(&name), listed, committed, at));
                }
                Err(error @ BusError::Unreachable(_)) => return Err(error.into()),
                // This group's older figures stay; the others go on.
                Err(error) => tracing::debug!(bus = %work.id(), group = %name, %error, "committed offsets could not be read"),
            }
        }
    }
    Ok(groups)
}

/// Reads once more what groups have committed that seem to have lost records.
pub(super) async fn look_again(work: &BusWork, lags: &Lags, groups: &mut [LookedGroup]) -> Result<(), Trouble> {
    let losing: Vec<GroupName> = groups.iter().filter(|group| lags.seems_to_lose(group)).map(|group| group.name.clone()).collect();
    let read: Vec<_> = futures::stream::iter(losing)
        .map(|name| async move {
            let committed = work.bus.committed_offsets(&name).await;
            (name, committed)
        })
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    for (name, committed) in read {
        match (committed, groups.iter_mut().find(|group| group.name == name)) {
            (Ok(committed), Some(group)) => lags.catch_up(group, &committed),
            (Err(error @ BusError::Unreachable(_)), _) => return Err(error.into()),
            (Err(error), _) => tracing::debug!(bus = %work.id(), group = %name, %error, "committed offsets could not be read again"),
            (Ok(_), None) => {}
        }
    }
    Ok(())
}

fn is_ours(work: &BusWork, name: &GroupName) -> bool {
    !work.id_prefix.is_empty() && name.as_str().starts_with(&work.id_prefix)
}

async fn named(context: &Context, work: &BusWork) -> Result<BTreeSet<GroupName>, Trouble> {
    let claimed = context.store.list_claimed_groups(work.id()).await?;
    Ok(claimed.into_iter().chain(work.consumer_groups.iter().cloned()).filter(|name| !is_ours(work, name)).collect())
}

/// States and members; nothing where the bus does not tell them.
async fn describe(work: &BusWork, names: &[GroupName]) -> Result<HashMap<GroupName, GroupDescription>, Trouble> {
    match work.bus.describe_groups(names).await {
        Ok(groups) => Ok(groups.into_iter().map(|group| (group.listing.name.clone(), group)).collect()),
        Err(error @ BusError::Unreachable(_)) => Err(error.into()),
        Err(_) => Ok(HashMap::new()),
    }
}

fn looked(
    name: &GroupName,
    described: Option<GroupDescription>,
    listed: Option<&GroupListing>,
    committed: Vec<(TopicPartition, i64)>,
    at: Timestamp,
) -> LookedGroup {
    let listing = described.as_ref().map(|group| &group.listing).or(listed);
    let (kind, state) =
        listing.map_or_else(|| ("unknown".to_owned(), "Unknown".to_owned()), |group| (group.kind.clone(), group.state.clone()));
    let members = described.and_then(|group| group.members.ok()).map(|mut members| {
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        members
    });
    LookedGroup { name: name.clone(), kind, state, members, committed, at }
}
