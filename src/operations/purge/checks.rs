//! The checks of a purge: what blocks it, what a person must accept, what is fine. Each with a count, in words. A check that could
//! not be made says so; it is never passed by silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tokio::time::Instant;

use super::{PurgeError, Purges, within};
use crate::bus::{Bus, BusError};
use crate::model::bus::Capability;
use crate::model::names::TopicPartition;
use crate::model::purge::{GroupLoss, Purge, WITHOUT_CUSTODY};
use crate::model::replay::{Check, CheckLevel};
use crate::model::{BusId, GroupName, TopicName};

/// Groups that a check names before "and n more".
const NAMED: usize = 20;

fn check(code: &str, level: CheckLevel, count: u64, text: impl Into<String>) -> Check {
    Check { code: code.to_owned(), level, count, text: text.into(), skip_reason: None }
}

/// One check that is a warning above zero, and passed at zero.
fn warned(code: &str, count: u64, warning: impl FnOnce() -> String, passed: &str) -> Check {
    match count {
        0 => check(code, CheckLevel::Passed, 0, passed),
        count => check(code, CheckLevel::Warning, count, warning()),
    }
}

impl Purges {
    /// Counts what lies below the cuts, finds who would lose it, and checks the rest.
    pub(super) async fn assess(&self, purge: &mut Purge, deadline: Instant) -> Result<(), PurgeError> {
        for cut in &mut purge.partitions {
            cut.below = self.store.count_below(cut.partition_id, cut.start, cut.cut).await?;
        }
        let bus = self.bus(&purge.bus)?;
        let groups = self.readers(bus, &purge.bus, &purge.topic, deadline).await?;
        for cut in &mut purge.partitions {
            cut.losses = losses(&groups.committed, cut.partition, cut.start, cut.cut);
        }
        let mut checks = vec![permission(bus, &purge.topic, deadline).await?, self.policy(bus, purge, deadline).await?];
        checks.extend(self.left_out(purge).await?);
        checks.extend(below(purge));
        checks.push(lost_by_groups(purge));
        if let Some(reason) = &groups.unknown {
            let text = format!("Which consumer groups have not read these records yet cannot be seen: {reason}.");
            checks.push(check("groups_unknown", CheckLevel::Warning, 1, text));
        }
        checks.sort_by_key(|check| check.level);
        purge.checks = checks;
        Ok(())
    }

    /// The consumer groups with commits on a topic: those that the store knows, and new ones.
    async fn readers(&self, bus: &dyn Bus, id: &BusId, topic: &TopicName, deadline: Instant) -> Result<Readers, PurgeError> {
        let on_topic = self.store.list_consumer_groups(id, None, Some(topic.as_str())).await?;
        let all = self.store.list_consumer_groups(id, None, None).await?;
        let mut wanted: BTreeSet<GroupName> = on_topic.into_iter().map(|group| group.name).collect();
        let mut readers = Readers::default();
        match within(deadline, bus.list_groups()).await? {
            Ok(listed) => {
                let sampled: BTreeSet<GroupName> = all.into_iter().map(|group| group.name).collect();
                wanted.extend(listed.into_iter().map(|group| group.name).filter(|name| !sampled.contains(name)));
            }
            Err(error) => readers.unknown = Some(error.to_string()),
        }
        for name in wanted {
            match within(deadline, bus.committed_offsets(&name)).await? {
                Ok(offsets) => {
                    let of_topic = offsets.into_iter().filter(|(place, _)| place.topic == *topic);
                    readers
                        .committed
                        .entry(name)
                        .or_default()
                        .extend(of_topic.map(|(TopicPartition { partition, .. }, at)| (partition, at)));
                }
                Err(BusError::NotFound(_)) => {}
                Err(error) => readers.unknown = Some(format!("{name}: {error}")),
            }
        }
        Ok(readers)
    }

    /// A compacted topic's beginning cannot be cut.
    async fn policy(&self, bus: &dyn Bus, purge: &Purge, deadline: Instant) -> Result<Check, PurgeError> {
        let stored = self.store.find_topic(&purge.bus, &purge.topic).await?.map(|(topic, _)| topic.generation);
        let asked = within(deadline, bus.topic_configs(std::slice::from_ref(&purge.topic))).await?;
        let config = asked.ok().and_then(|mut configs| configs.remove(&purge.topic));
        let policy = match (&config, &stored) {
            (Some(config), _) => config.get("cleanup.policy").cloned(),
            (None, Some(generation)) => generation.config.get("cleanup.policy").cloned().or(generation.compacted.then(|| "compact".into())),
            (None, None) => None,
        };
        let policy = policy.unwrap_or_else(|| "delete".to_owned());
        Ok(if policy.split(',').any(|part| part.trim() == "delete") {
            check(
                "compacted",
                CheckLevel::Passed,
                0,
                format!("The cleanup policy is {policy}, so the beginning of each partition can be cut."),
            )
        } else {
            let text = format!("The cleanup policy is {policy}: the bus deletes no records of a compacted topic. Discard them instead.");
            check("compacted", CheckLevel::Blocked, 1, text)
        })
    }

    /// Partitions that did not tell their offsets are not purged.
    async fn left_out(&self, purge: &Purge) -> Result<Option<Check>, PurgeError> {
        if purge.scope == crate::model::purge::PurgeScope::Offsets {
            return Ok(None);
        }
        let Some((topic, _)) = self.store.find_topic(&purge.bus, &purge.topic).await? else { return Ok(None) };
        let missing = u64::from(topic.partitions).saturating_sub(purge.partitions.len() as u64);
        let text = || format!("{missing} partitions did not tell their offsets and are left out of this plan.");
        Ok((missing > 0).then(|| check("partitions_left_out", CheckLevel::Warning, missing, text())))
    }
}

/// Who reads a topic, and how far.
#[derive(Default)]
struct Readers {
    committed: BTreeMap<GroupName, BTreeMap<i32, i64>>,
    /// Why some may be missing.
    unknown: Option<String>,
}

/// The groups that have not read everything below a cut.
fn losses(committed: &BTreeMap<GroupName, BTreeMap<i32, i64>>, partition: i32, start: i64, cut: i64) -> Vec<GroupLoss> {
    let loss = |(group, offsets): (&GroupName, &BTreeMap<i32, i64>)| {
        let committed = *offsets.get(&partition)?;
        let records = cut.saturating_sub(committed.max(start));
        (records > 0).then(|| GroupLoss { group: group.clone(), committed, records: records.unsigned_abs() })
    };
    committed.iter().filter_map(loss).collect()
}

async fn permission(bus: &dyn Bus, topic: &TopicName, deadline: Instant) -> Result<Check, PurgeError> {
    if let Some(reason) = bus.capabilities().reason_against(Capability::DeleteRecords) {
        return Ok(check("permission", CheckLevel::Blocked, 1, format!("This bus does not let us delete records: {reason}.")));
    }
    let told = within(deadline, bus.topic_rights(std::slice::from_ref(topic))).await?;
    let may = told.as_ref().ok().and_then(|rights| rights.get(topic)).and_then(|rights| rights.delete);
    Ok(match may {
        Some(true) => check("permission", CheckLevel::Passed, 0, "Redrive's login may delete records of this topic."),
        Some(false) => {
            let text = "Redrive's login may not delete records of this topic: it needs DELETE on the topic.";
            check("permission", CheckLevel::Blocked, 1, text)
        }
        None => check("permission", CheckLevel::Warning, 1, "The bus does not tell whether Redrive may delete records of this topic."),
    })
}

/// What lies below the cuts, as far as the store knows.
fn below(purge: &Purge) -> Vec<Check> {
    let (below, records) = (purge.below(), purge.records());
    let unaccounted = records.saturating_sub(below.letters).saturating_sub(missed(purge));
    let mut checks = vec![match below.without_custody {
        0 => check(WITHOUT_CUSTODY, CheckLevel::Passed, 0, "Every dead letter below the cuts is in custody with key, value and headers."),
        count => {
            let text = "are not in custody (too large, missed, or their content could not be fetched): they are lost for good.";
            check(WITHOUT_CUSTODY, CheckLevel::Blocked, count, text)
        }
    }];
    let open = || "open dead letters lie below the cuts. They stay in custody and can still be replayed or discarded.".to_owned();
    checks.push(warned("open", below.open, open, "No open dead letter lies below the cuts."));
    let replaying = || "dead letters below the cuts are in a replay. It goes on from custody.".to_owned();
    checks.push(warned("replaying", below.replaying, replaying, "No replay is at work on what lies below the cuts."));
    let strangers = || {
        "offsets below the cuts hold no dead letter that Redrive keeps: markers of transactions, or dead letters that Redrive's own \
         retention has removed already."
            .to_owned()
    };
    checks.push(warned("not_in_store", unaccounted, strangers, "Redrive knows every record below the cuts."));
    checks
}

/// Records of gaps below the cuts: counted as without custody, and no dead letters.
fn missed(purge: &Purge) -> u64 {
    purge
        .partitions
        .iter()
        .map(|cut| (cut.below.letters + cut.below.without_custody).min(cut.records()).saturating_sub(cut.below.letters))
        .sum()
}

/// Names every group that would never read something, with its number.
fn lost_by_groups(purge: &Purge) -> Check {
    let mut groups: BTreeMap<&GroupName, (u64, String)> = BTreeMap::new();
    for cut in &purge.partitions {
        for loss in &cut.losses {
            let (records, places) = groups.entry(&loss.group).or_default();
            *records += loss.records;
            if !places.is_empty() {
                places.push_str("; ");
            }
            let _ = write!(places, "partition {}: committed {}, cut at {}", cut.partition, loss.committed, cut.cut);
        }
    }
    let text = || {
        let named = groups.iter().take(NAMED).map(|(group, (records, places))| {
            let places: String = places.chars().take(300).collect();
            format!("{group} would never read {records} records ({places})")
        });
        let more = groups.len().saturating_sub(NAMED);
        let named = named.collect::<Vec<_>>().join(". ");
        if more > 0 { format!("{named}. And {more} more groups.") } else { format!("{named}.") }
    };
    warned("consumer_groups", groups.len() as u64, text, "No consumer group with commits still has to read what lies below the cuts.")
}

#[cfg(test)]
mod tests {
    use super::losses;
    use crate::model::GroupName;
    use std::collections::BTreeMap;

    #[test]
    fn a_group_loses_what_it_has_not_read_and_the_bus_still_holds() {
        let group = |name: &str, offset: i64| (GroupName::from(name), BTreeMap::from([(2, offset)]));
        let committed = BTreeMap::from([group("archiver", 10_412), group("behind", 5), group("done", 10_730), group("ahead", 11_000)]);
        let found = losses(&committed, 2, 7_690, 10_730);
        let told: Vec<_> = found.iter().map(|loss| (loss.group.as_str(), loss.committed, loss.records)).collect();
        assert_eq!(told, [("archiver", 10_412, 318), ("behind", 5, 3_040)]);
        assert_eq!(losses(&committed, 3, 0, 100), [], "without a commit there is nothing to lose");
    }
}
