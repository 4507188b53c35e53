//! Consumer groups: which are looked at when, and what of them changed.
//!
//! A group at work or with members is looked at with every sweep (and, the fifty that moved last, with every glance); one without
//! members and without movement each minute. Where groups cannot be listed, those that headers of dead letters or the configuration name
//! are asked for by name.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::{Context, Trouble};
use crate::bus::{BusError, GroupDescription, GroupListing};
use crate::dead_letters::indexer::BusWork;
use crate::model::GroupName;
use crate::model::bus::GroupMember;
use crate::store::consumer_groups::SeenGroup;

/// Committed offsets asked for at the same time; each takes a blocking thread for some milliseconds.
const IN_FLIGHT: usize = 16;
/// Groups described with one call.
const DESCRIBED: usize = 100;
/// Groups that a glance looks at.
const GLANCED: usize = 50;
/// A group without members that has not moved for this long is looked at this often.
const COLD: Duration = Duration::from_mins(1);

/// What one look at the groups brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Groups that differ from what is stored.
    pub(super) changed: Vec<SeenGroup>,
    /// Names of all living groups; `None` where they cannot be listed, or were not.
    pub(super) alive: Option<Vec<GroupName>>,
}

/// What is remembered of each group.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: HashMap<GroupName, Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    /// When it last differed from the look before.
    moved: Instant,
    state: String,
    /// Of what the store has; 0 while it has nothing.
    fingerprint: u64,
}

impl Known {
    fn due(&self, listed_state: Option<&str>) -> bool {
        let changed = listed_state.is_some_and(|state| state != self.state);
        let has_members = self.state != "Empty" && self.state != "Dead";
        changed || has_members || self.moved.elapsed() < COLD || self.looked.elapsed() >= COLD
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
        let due = names.iter().filter(|name| self.known.get(*name).is_none_or(|known| known.due(listed_state(name))));
        let due: Vec<GroupName> = due.cloned().collect();
        let changed = self.look(work, due, listings.as_ref()).await?;
        let alive = listings.map(|_| names.into_iter().collect());
        Ok(Looked { changed, alive })
    }

    /// Looks only at groups that moved lately.
    pub(super) async fn glance(&mut self, work: &BusWork) -> Result<Looked, Trouble> {
        let mut moving: Vec<(Instant, GroupName)> =
            self.known.iter().filter(|(_, known)| known.moved.elapsed() < COLD).map(|(name, known)| (known.moved, name.clone())).collect();
        moving.sort_by(|a, b| b.cmp(a));
        let names = moving.into_iter().take(GLANCED).map(|(_, name)| name).collect();
        Ok(Looked { changed: self.look(work, names, None).await?, alive: None })
    }

    /// Remembers that the store has these now.
    pub(super) fn stored(&mut self, looked: &Looked) {
        for group in &looked.changed {
            if let Some(known) = self.known.get_mut(&group.name) {
                known.fingerprint = fingerprint(group);
            }
        }
    }

    async fn look(
        &mut self,
        work: &BusWork,
        names: Vec<GroupName>,
        listings: Option<&HashMap<GroupName, GroupListing>>,
    ) -> Result<Vec<SeenGroup>, Trouble> {
        let mut changed = Vec::new();
        for names in names.chunks(DESCRIBED) {
            let described = describe(work, names).await?;
            let committed: Vec<_> = futures::stream::iter(names.to_vec())
                .map(|name| async move {
                    let committed = work.bus.committed_offsets(&name).await;
                    (name, committed)
                })
                .buffer_unordered(IN_FLIGHT)
                .collect()
                .await;
            for (name, committed) in committed {
                match committed {
                    Ok(mut committed) => {
                        committed.sort();
                        let seen = seen(&name, described.get(&name), listings.and_then(|all| all.get(&name)), committed);
                        changed.extend(self.compare(seen));
                    }
                    Err(error @ BusError::Unreachable(_)) => return Err(error.into()),
                    // This group's older figures stay; the others go on.
                    Err(error) => tracing::debug!(bus = %work.id(), group = %name, %error, "committed offsets could not be read"),
                }
            }
        }
        Ok(changed)
    }

    /// Answers the group if it differs from what the store has.
    fn compare(&mut self, group: SeenGroup) -> Option<SeenGroup> {
        let now = Instant::now();
        let fingerprint = fingerprint(&group);
        let known = self.known.entry(group.name.clone()).or_insert_with(|| Known {
            looked: now,
            moved: now,
            state: group.state.clone(),
            fingerprint: 0,
        });
        known.looked = now;
        known.state.clone_from(&group.state);
        if known.fingerprint == fingerprint {
            return None;
        }
        known.moved = now;
        Some(group)
    }
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

fn seen(
    name: &GroupName,
    described: Option<&GroupDescription>,
    listed: Option<&GroupListing>,
    committed: Vec<(crate::model::names::TopicPartition, i64)>,
) -> SeenGroup {
    let listing = described.map(|group| &group.listing).or(listed);
    let members: Option<Vec<GroupMember>> = described.and_then(|group| group.members.clone().ok()).map(|mut members| {
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        members
    });
    SeenGroup {
        name: name.clone(),
        kind: listing.map_or_else(|| "unknown".to_owned(), |group| group.kind.clone()),
        state: listing.map_or_else(|| "Unknown".to_owned(), |group| group.state.clone()),
        members,
        committed,
    }
}

/// Never 0.
fn fingerprint(group: &SeenGroup) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&group.kind, &group.state, &group.committed).hash(&mut hasher);
    for member in group.members.iter().flatten() {
        (&member.member_id, &member.instance_id, &member.client_id, &member.host, &member.assignment).hash(&mut hasher);
    }
    group.members.is_some().hash(&mut hasher);
    hasher.finish().max(1)
}
