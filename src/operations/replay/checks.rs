//! The checks of a plan: what is blocked, what a person must accept, what is fine. Each with a count, in words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::planning::{PlanError, Target};
use super::{ReplayBus, Replays};
use crate::bus::{BusError, SendError, SenderSettings, TopicRights};
use crate::model::names::TopicPartition;
use crate::model::replay::{Check, CheckLevel, Delivery, Replay, Route, SkipReason};
use crate::model::{GroupName, TopicName};
use crate::store::replays::planning::DraftFacts;

/// What planning has counted on its way.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    skipped: BTreeMap<SkipReason, u64>,
    partition_differs: u64,
    sent_before: u64,
}

impl Tally {
    pub(super) fn count(&mut self, skip: Option<SkipReason>, facts: &DraftFacts, partition_differs: bool) {
        if let Some(reason) = skip {
            *self.skipped.entry(reason).or_default() += 1;
        } else {
            self.partition_differs += u64::from(partition_differs);
            self.sent_before += u64::from(facts.sent_before);
        }
    }
}

/// What the checks found.
pub(super) struct Found {
    pub(super) checks: Vec<Check>,
    pub(super) delivery: Delivery,
}

/// Runs the checks of a fresh plan.
pub(super) async fn run(
    replays: &Replays,
    replay: &Replay,
    routes: &[Route],
    tally: &Tally,
    targets: &BTreeMap<TopicName, Target>,
) -> Result<Found, PlanError> {
    let mut checks: Vec<Check> = Vec::new();
    for (reason, words) in SKIPS {
        let count = count_skipped(replay, *reason, tally);
        checks.extend(skipped(*reason, words, count));
    }
    checks.push(partitions(replay, tally, targets));
    if tally.sent_before > 0 {
        let text = "were sent before and are sent again: consumers may process them twice.";
        checks.push(check("sent_before", CheckLevel::Warning, tally.sent_before, text));
    }
    let bus = replays.bus(&replay.bus)?;
    let (permission, delivery) = permission(bus, replay, routes).await?;
    checks.extend(permission);
    checks.extend(other_groups(replays, replay, routes).await?);
    checks.sort_by_key(|check| check.level);
    Ok(Found { checks, delivery })
}

/// Runs those checks again that can change without a new plan: permissions, readers, topics.
pub(super) async fn again(replays: &Replays, replay: &Replay) -> Result<Vec<Check>, super::ReplayError> {
    let store = replays.store();
    let routes = store.list_routes(replay.number).await?;
    let found = async {
        let bus = replays.bus(&replay.bus)?;
        let (mut fresh, _) = permission(bus, replay, &routes).await?;
        fresh.extend(other_groups(replays, replay, &routes).await?);
        fresh.extend(target_ids(bus, &routes).await?);
        Ok::<_, PlanError>(fresh)
    };
    let mut fresh = match found.await {
        Ok(fresh) => fresh,
        Err(PlanError::Store(error)) => return Err(error.into()),
        Err(error) => {
            vec![check("bus_unreachable", CheckLevel::Blocked, replay.counts.waiting, &format!("The bus could not be asked: {error}."))]
        }
    };
    fresh.extend(replay.checks.iter().filter(|check| !FRESH.contains(&check.code.as_str())).cloned());
    fresh.sort_by_key(|check| check.level);
    Ok(fresh)
}

/// Codes of the checks that are run again.
const FRESH: &[&str] = &["permission", "write_permission", "at_least_once", "other_consumer_groups", "target_changed", "bus_unreachable"];

/// Reasons with the words for a person, in the order of screens.
const SKIPS: &[(SkipReason, &str)] = &[
    (SkipReason::TargetMissing, "have a target topic that is not on the bus."),
    (SkipReason::OriginUnknown, "do not tell where they came from; choose a target topic."),
    (SkipReason::NoCustody, "have no content in custody."),
    (SkipReason::TooLarge, "are larger than their target topic takes."),
    (SkipReason::AttemptLimit, "were replayed as often as the limit allows; look at the cause first."),
    (SkipReason::OtherReplay, "are in another replay."),
    (SkipReason::AlreadyReplayed, "were replayed already; set \u{201c}again\u{201d} to send them once more."),
    (SkipReason::Status, "have a status that allows no replay."),
    (SkipReason::AfterFailed, "follow a message of the same key that cannot be sent."),
    (SkipReason::Duplicate, "are older copies of a message that is in this plan."),
];

fn count_skipped(replay: &Replay, reason: SkipReason, tally: &Tally) -> u64 {
    if reason == SkipReason::Duplicate {
        // Found after their items were counted: the rest of what the store has counted.
        return replay.counts.skipped.saturating_sub(tally.skipped.values().sum());
    }
    tally.skipped.get(&reason).copied().unwrap_or(0)
}

fn skipped(reason: SkipReason, words: &str, count: u64) -> Option<Check> {
    let level = if count > 0 && reason != SkipReason::Duplicate { CheckLevel::Blocked } else { CheckLevel::Passed };
    let text = match (reason, count) {
        (SkipReason::TargetMissing, 0) => "Every target topic is there.".to_owned(),
        (SkipReason::TooLarge, 0) => "Every message fits into its target topic.".to_owned(),
        (SkipReason::NoCustody, 0) => "The content of every dead letter is in custody.".to_owned(),
        (SkipReason::AttemptLimit, 0) => "None was replayed too often.".to_owned(),
        (_, 0) => return None,
        _ => capital(words),
    };
    Some(Check { code: reason.as_str().to_owned(), level, count, text, skip_reason: (count > 0).then_some(reason) })
}

fn check(code: &str, level: CheckLevel, count: u64, text: &str) -> Check {
    Check { code: code.to_owned(), level, count, text: capital(text), skip_reason: None }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn partitions(replay: &Replay, tally: &Tally, targets: &BTreeMap<TopicName, Target>) -> Check {
    let differs = tally.partition_differs;
    let elsewhere = replay.settings.target.is_some() || replay.settings.partitioner == crate::model::replay::Partitioner::Murmur2;
    let added: Vec<&str> =
        targets.iter().filter(|(_, target)| target.history.partitions_since.is_some()).map(|(topic, _)| topic.as_str()).collect();
    if elsewhere && differs > 0 {
        let text = "go to another partition than they came from: their order among newer messages of the same key may differ.";
        return check("partition_differs", CheckLevel::Warning, differs, text);
    }
    if !added.is_empty() {
        let text = format!("{} got other partitions while Redrive looked on; older messages are placed by their key.", added.join(", "));
        return check("partition_count", CheckLevel::Warning, replay.counts.waiting, &text);
    }
    let text = if differs > 0 {
        format!("Each message keeps the partition it came from; the default partitioner would choose another for {differs}.")
    } else {
        "Each message keeps the partition it came from.".to_owned()
    };
    check("partition_count", CheckLevel::Passed, 0, &text)
}

fn at_least_once(waiting: u64) -> Check {
    let text = "This bus has no transactions: after a crash a message may arrive twice, then with the same redrive-message-id and \
                redrive-attempt.";
    check("at_least_once", CheckLevel::Warning, waiting, text)
}

/// Tries what a replay needs on the bus, without sending anything.
async fn permission(bus: &ReplayBus, replay: &Replay, routes: &[Route]) -> Result<(Vec<Check>, Delivery), PlanError> {
    let waiting = replay.counts.waiting;
    let Some(settings) = sender_settings(bus, replay, routes) else { return Ok((Vec::new(), Delivery::ExactlyOnce)) };
    let mut checks = Vec::new();
    let mut delivery = Delivery::ExactlyOnce;
    match bus.bus.open_sender(&settings).await {
        Ok(mut sender) => match sender.rehearse().await {
            Ok(()) => {
                checks.push(check("permission", CheckLevel::Passed, 0, "Transactions are allowed: each message is sent exactly once."));
            }
            Err(SendError::Unreachable(reason)) => return Err(BusError::Unreachable(reason).into()),
            Err(SendError::Unsupported(_)) => {
                delivery = Delivery::AtLeastOnce;
                checks.push(at_least_once(waiting));
            }
            Err(error) => {
                checks.push(check("permission", CheckLevel::Blocked, waiting, &format!("The bus refuses a transaction: {error}.")));
            }
        },
        Err(BusError::Unsupported(_)) => {
            delivery = Delivery::AtLeastOnce;
            checks.push(at_least_once(waiting));
        }
        Err(error @ BusError::Unreachable(_)) => return Err(error.into()),
        Err(error) => checks.push(check("permission", CheckLevel::Blocked, waiting, &format!("The bus refuses a transaction: {error}."))),
    }
    let targets: Vec<TopicName> = routes.iter().filter_map(|route| route.target.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if let Ok(rights) = bus.bus.topic_rights(&targets).await {
        checks.push(write_rights(&rights, routes));
    }
    Ok((checks, delivery))
}

fn write_rights(rights: &HashMap<TopicName, TopicRights>, routes: &[Route]) -> Check {
    let denied = |wanted: fn(&TopicRights) -> Option<bool>| {
        let mut names: Vec<&str> =
            rights.iter().filter(|(_, rights)| wanted(rights) == Some(false)).map(|(topic, _)| topic.as_str()).collect();
        names.sort_unstable();
        names
    };
    let (write, read) = (denied(|rights| rights.write), denied(|rights| rights.read));
    let items =
        |names: &[&str]| routes.iter().filter(|r| r.target.as_ref().is_some_and(|t| names.contains(&t.as_str()))).map(|r| r.items).sum();
    if !write.is_empty() {
        let text = format!("Redrive may not write to {}: it needs WRITE on the topic.", write.join(", "));
        return check("write_permission", CheckLevel::Blocked, items(&write), &text);
    }
    if !read.is_empty() {
        let text = format!(
            "Redrive may not read {}: after a crash it could not find out what was sent, and a person would have to decide.",
            read.join(", ")
        );
        return check("write_permission", CheckLevel::Warning, items(&read), &text);
    }
    check("write_permission", CheckLevel::Passed, 0, "Redrive may write to every target topic.")
}

/// The name of a job's producer and group, and where its progress lies: partition 0 of the first target in name order.
pub(super) fn sender_settings(bus: &ReplayBus, replay: &Replay, routes: &[Route]) -> Option<SenderSettings> {
    let topic = routes.iter().filter(|route| route.target_partitions > 0).filter_map(|route| route.target.clone()).min()?;
    let name = format!("{}{}", bus.id_prefix, replay.token);
    let transactional_id = (replay.delivery == Delivery::ExactlyOnce).then(|| name.clone());
    Some(SenderSettings { transactional_id, group: GroupName::new(name), progress: TopicPartition { topic, partition: 0 } })
}

/// Groups that read a target and did not fail on these messages: they will process them again.
async fn other_groups(replays: &Replays, replay: &Replay, routes: &[Route]) -> Result<Vec<Check>, PlanError> {
    let groups = replays.store().list_consumer_groups(&replay.bus, None, None).await?;
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.items > 0) {
        let Some(target) = &route.target else { continue };
        for group in groups.iter().filter(|group| group.topics.iter().any(|topic| topic == target.as_str())) {
            if route.consumer_group.as_ref() != Some(&group.name) {
                *others.entry(group.name.to_string()).or_default() += route.items;
            }
        }
    }
    if others.is_empty() {
        return Ok(vec![check("other_consumer_groups", CheckLevel::Passed, 0, "No other consumer group reads the target topics.")]);
    }
    let count = others.values().copied().max().unwrap_or(0);
    let names: Vec<&str> = others.keys().map(String::as_str).collect();
    let text = format!("other consumer groups of the target will process these messages again: {}.", names.join(", "));
    Ok(vec![check("other_consumer_groups", CheckLevel::Warning, count, &text)])
}

/// Whether the targets are still the topics that were planned for.
async fn target_ids(bus: &ReplayBus, routes: &[Route]) -> Result<Vec<Check>, PlanError> {
    let changed = changed_targets(bus, routes).await?;
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let items =
        routes.iter().filter(|route| route.target.as_ref().is_some_and(|topic| changed.contains(topic))).map(|route| route.items).sum();
    let names: Vec<String> = changed.iter().map(ToString::to_string).collect();
    let text = format!("gone, or begun again since this was planned: {}. Plan anew.", names.join(", "));
    Ok(vec![check("target_changed", CheckLevel::Blocked, items, &text)])
}

/// Targets that are gone, or another topic of the same name by now.
pub(super) async fn changed_targets(bus: &ReplayBus, routes: &[Route]) -> Result<BTreeSet<TopicName>, BusError> {
    let known: BTreeMap<TopicName, Option<String>> = routes
        .iter()
        .filter_map(|route| Some((route.target.clone()?, route.target_topic_id.clone())))
        .filter(|(_, id)| id.is_some())
        .collect();
    if known.is_empty() {
        return Ok(BTreeSet::new());
    }
    let topics: Vec<TopicName> = known.keys().cloned().collect();
    let now = match bus.bus.topic_ids(&topics).await {
        Ok(now) => now,
        Err(BusError::Unsupported(_)) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    Ok(known.into_iter().filter(|(topic, id)| now.get(topic).is_some_and(|now| now != id)).map(|(topic, _)| topic).collect())
}
