//! Reading of groups: members first, then what they have committed. A group whose coordinator does not answer costs itself alone; only
//! where nobody answers at all is that the bus's affair.

use std::collections::HashMap;

use futures::StreamExt;

use super::super::lag::Lags;
use super::{EMPTY, LookedGroup, Trouble, Unread};
use crate::bus::{BusError, GroupDescription, GroupListing};
use crate::dead_letters::indexer::BusWork;
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Timestamp};

/// Committed offsets asked for at the same time; each takes a blocking thread for some milliseconds.
const IN_FLIGHT: usize = 16;
/// Groups described with one call.
const DESCRIBED: usize = 100;

/// Groups that were read, and those that could not be.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) groups: Vec<LookedGroup>,
    pub(super) unread: Vec<Unread>,
}

pub(super) async fn read(
    work: &BusWork,
    names: &[GroupName],
    listings: Option<&HashMap<GroupName, GroupListing>>,
) -> Result<Read, Trouble> {
    let mut read = Read::default();
    for names in names.chunks(DESCRIBED) {
        // Who is listed as empty has no members that could be told.
        let empty = |name: &GroupName| listings.and_then(|all| all.get(name)).filter(|group| group.state == EMPTY);
        let with_members: Vec<GroupName> = names.iter().filter(|name| empty(name).is_none()).cloned().collect();
        let mut described = if with_members.is_empty() { Described::default() } else { describe(work, &with_members).await? };
        let answered: Vec<GroupName> = names.iter().filter(|name| !described.silent.contains_key(*name)).cloned().collect();
        read.unread.extend(described.silent.drain().map(|(name, reason)| Unread { name, reason }));
        let without = names.iter().filter_map(empty);
        described.groups.extend(
            without.map(|listing| {
                (listing.name.clone(), GroupDescription { listing: listing.clone(), members: Ok(Vec::new()), silent: false })
            }),
        );
        for (name, committed, at) in committed(work, answered).await? {
            match committed {
                Ok(mut committed) => {
                    committed.sort();
                    let listed = listings.and_then(|all| all.get(&name));
                    read.groups.push(looked(&name, described.groups.remove(&name), listed, committed, at));
                }
                Err(error) => read.unread.push(Unread { name, reason: error.to_string() }),
            }
        }
    }
    for unread in &read.unread {
        tracing::debug!(bus = %work.id(), group = %unread.name, reason = unread.reason, "a consumer group could not be read");
    }
    Ok(read)
}

/// Reads once more what groups have committed that seem to have lost records. What cannot be read again now is left for the next look:
/// nobody shall hear of a loss that is none.
pub(super) async fn read_again(work: &BusWork, lags: &Lags, groups: &mut Vec<LookedGroup>) -> Result<Vec<Unread>, Trouble> {
    let losing: Vec<GroupName> = groups.iter().filter(|group| lags.seems_to_lose(group)).map(|group| group.name.clone()).collect();
    let mut unread = Vec::new();
    for (name, committed, _) in committed(work, losing).await? {
        match (committed, groups.iter().position(|group| group.name == name)) {
            (Ok(committed), Some(place)) => lags.catch_up(&mut groups[place], &committed),
            (Err(error), Some(place)) => {
                groups.swap_remove(place);
                unread.push(Unread { name, reason: error.to_string() });
            }
            (_, None) => {}
        }
    }
    Ok(unread)
}

/// Of some groups, each with the moment in which it was answered. Fails when nobody answers at all.
async fn committed(work: &BusWork, names: Vec<GroupName>) -> Result<Vec<(GroupName, Committed, Timestamp)>, Trouble> {
    let mut asked = futures::stream::iter(names)
        .map(|name| async move {
            let committed = work.bus.committed_offsets(&name).await;
            (name, committed, Timestamp::now())
        })
        .buffer_unordered(IN_FLIGHT);
    let (mut all, mut asked_for_all) = (Vec::new(), false);
    while let Some(answer) = asked.next().await {
        if matches!(answer.1, Err(BusError::Unreachable(_))) && !asked_for_all {
            // With the first one: while nobody is there, not each of them waits for its time to run out.
            work.bus.is_there().await?;
            asked_for_all = true;
        }
        all.push(answer);
    }
    Ok(all)
}

type Committed = Result<Vec<(TopicPartition, i64)>, BusError>;

/// States and members.
#[derive(Default)]
struct Described {
    groups: HashMap<GroupName, GroupDescription>,
    /// Groups of which nobody has answered who knows them, and why.
    silent: HashMap<GroupName, String>,
}

/// Nothing where the bus does not tell members.
async fn describe(work: &BusWork, names: &[GroupName]) -> Result<Described, Trouble> {
    let mut all = Described::default();
    match work.bus.describe_groups(names).await {
        Ok(described) => {
            for group in described {
                match group.members {
                    Err(reason) if group.silent => drop(all.silent.insert(group.listing.name, reason)),
                    _ => drop(all.groups.insert(group.listing.name.clone(), group)),
                }
            }
        }
        Err(error @ BusError::Unreachable(_)) => {
            work.bus.is_there().await?;
            all.silent.extend(names.iter().map(|name| (name.clone(), error.to_string())));
        }
        Err(_) => {}
    }
    Ok(all)
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
