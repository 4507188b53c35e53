//! Planning: which dead letters, in which order, where to, and which of them not.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::checks::{self, Tally};
use super::scope::{Place, Scope};
use super::{MOST_ITEMS, Replays, measuring, partition};
use crate::bus::BusError;
use crate::model::replay::{MessageId, OnFailed, Replay, Route, SkipReason};
use crate::model::{BusId, DeadLetterId, GroupName, PageRequest, Selection, Status, Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::replays::planning::{DraftFacts, NewItem, TargetHistory};
use crate::store::replays::sending::{Owner, Superseded};

/// Ids that are looked up together.
const STEP: u32 = 1_000;
/// Items written in one transaction: some tens of milliseconds of the writer.
const WRITE_STEP: usize = 2_000;
/// What a topic takes when its configuration does not say (`message.max.bytes` of the broker's defaults).
const DEFAULT_MAX_BYTES: u64 = 1_048_588;

/// Why planning ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("another instance plans this replay now")]
    Superseded,
    /// Cannot become a plan; in words.
    #[error("{0}")]
    Hopeless(String),
    #[error("cancelled")]
    Cancelled,
}

impl From<Superseded> for PlanError {
    fn from(_: Superseded) -> Self {
        Self::Superseded
    }
}

/// What is known of a target topic.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) topic_id: Option<String>,
    pub(super) partitions: i32,
    pub(super) history: TargetHistory,
}

impl Target {
    /// Bytes of the largest batch that the topic takes (`max.message.bytes`).
    fn most_bytes(&self) -> u64 {
        self.history.max_message_bytes.unwrap_or(DEFAULT_MAX_BYTES)
    }
}

/// Freezes the scope of a replay in steps and runs its checks.
pub(super) async fn run(replays: &Replays, owner: Owner, replay: &Replay) -> Result<(), PlanError> {
    replays.store().reset_plan(owner).await??;
    let selection: Selection =
        serde_json::from_str(&replay.selection).map_err(|error| PlanError::Hopeless(format!("the selection cannot be read: {error}")))?;
    let scope = collect(replays, replay, &selection).await?;
    if scope.len() == 0 {
        return Err(PlanError::Hopeless("nothing matches the selection any more".to_owned()));
    }
    let places = tokio::task::spawn_blocking(move || scope.into_order()).await.map_err(|error| PlanError::Hopeless(error.to_string()))?;
    let metadata = replays.bus(&replay.bus)?.bus.metadata().await?;
    let mut planner =
        Planner::new(replays, owner, replay, metadata.topics.into_iter().map(|t| (t.topic, (t.topic_id, t.partitions.len()))).collect());
    planner.place_all(&places).await?;
    planner.finish().await
}

/// Everything that is selected.
async fn collect(replays: &Replays, replay: &Replay, selection: &Selection) -> Result<Scope, PlanError> {
    let store = replays.store();
    let mut scope = Scope::default();
    match selection {
        Selection::Ids(ids) => {
            for some in ids.chunks(STEP as usize) {
                scope.add(store.list_draft_keys(&replay.bus, some).await?);
            }
        }
        Selection::Filter(filter) => {
            let filter = crate::model::DeadLetterFilter { bus: vec![replay.bus.clone()], ..(**filter).clone() };
            let mut page = PageRequest::first(STEP);
            loop {
                let (ids, next) = store.list_scope(&filter, replay.upper_id, &page).await?;
                scope.add(store.list_draft_keys(&replay.bus, &ids).await?);
                if scope.len() > MOST_ITEMS {
                    return Err(PlanError::Hopeless(format!("more than {MOST_ITEMS} dead letters match; narrow the selection")));
                }
                match next {
                    Some(cursor) => page.cursor = Some(cursor),
                    None => break,
                }
            }
        }
    }
    Ok(scope)
}

/// Target, and the group that failed with whether it was inferred.
type RouteKey = (Option<TopicName>, Option<(String, bool)>);

/// Gives positions, routes and reasons.
struct Planner<'a> {
    replays: &'a Replays,
    owner: Owner,
    replay: &'a Replay,
    /// Topic id and number of partitions, as the bus tells them now.
    topics: HashMap<TopicName, (Option<String>, usize)>,
    targets: HashMap<TopicName, Option<Target>>,
    routes: Vec<Route>,
    route_numbers: HashMap<RouteKey, usize>,
    position: i64,
    /// The item before with its position, its message and the replays of it so far, to find those of the same origin.
    last: Option<(Place, i64, MessageId, i32)>,
    messages: HashMap<MessageId, i64>,
    blocked_keys: HashSet<(i32, i64)>,
    tally: Tally,
}

impl<'a> Planner<'a> {
    fn new(replays: &'a Replays, owner: Owner, replay: &'a Replay, topics: HashMap<TopicName, (Option<String>, usize)>) -> Self {
        Self {
            replays,
            owner,
            replay,
            topics,
            targets: HashMap::new(),
            routes: Vec::new(),
            route_numbers: HashMap::new(),
            position: 1,
            last: None,
            messages: HashMap::new(),
            blocked_keys: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// Writes the items step by step; what the next step must know is read meanwhile.
    async fn place_all(&mut self, places: &[Place]) -> Result<(), PlanError> {
        let (store, number) = (self.replays.store(), self.owner.number);
        let mut steps = places.chunks(WRITE_STEP);
        let mut next = steps.next();
        let mut facts = facts_of(self.replays, number, next.unwrap_or_default()).await?;
        while let Some(step) = next {
            let wish = store.find_replay_by_number(number).await?;
            if wish.is_some_and(|replay| replay.request.is_some()) {
                return Err(PlanError::Cancelled);
            }
            self.learn_targets(facts.values()).await?;
            measuring::measure(self.replays, &self.replay.bus, |facts| self.most_bytes(facts), &mut facts).await?;
            let (items, duplicates) = self.items(step, facts);
            next = steps.next();
            let (written, read) =
                tokio::join!(store.add_items(self.owner, &items, &duplicates), facts_of(self.replays, number, next.unwrap_or_default()));
            written??;
            facts = read?;
        }
        Ok(())
    }

    /// The items of a step, and positions of earlier ones that turned out to be duplicates.
    fn items(&mut self, step: &[Place], mut facts: HashMap<DeadLetterId, DraftFacts>) -> (Vec<NewItem>, Vec<i64>) {
        let now = Timestamp::now();
        let (mut items, mut duplicates): (Vec<NewItem>, Vec<i64>) = (Vec::with_capacity(step.len()), Vec::new());
        for place in step {
            // Retention may have removed it meanwhile.
            let Some(facts) = facts.remove(&place.id) else { continue };
            let item = self.place(place, &facts, now, &mut duplicates);
            items.push(item);
        }
        duplicates.retain(|position| match items.binary_search_by_key(position, |item| item.position) {
            Ok(found) => {
                items[found].skip = Some(SkipReason::Duplicate);
                false
            }
            Err(_) => true,
        });
        (items, duplicates)
    }

    fn place(&mut self, place: &Place, facts: &DraftFacts, now: Timestamp, duplicates: &mut Vec<i64>) -> NewItem {
        let position = self.position;
        self.position += 1;
        // Copies of one message have its id, so that a later plan knows them by it.
        let copy = self.last.as_ref().filter(|(last, ..)| facts.message_id.is_none() && place.has_origin_of(last));
        let (message_id, attempts) = match (facts.message_id, copy) {
            (None, Some((.., message_id, attempts))) => (*message_id, facts.attempts.max(*attempts)),
            (known, _) => (known.unwrap_or_else(|| MessageId::new(now)), facts.attempts),
        };
        let attempt = attempts + 1;
        let target = self.replay.settings.target.clone().or_else(|| facts.origin_topic.clone());
        let route = self.route(target.clone(), facts.consumer_group.clone());
        let key_hash = facts.key_prefix.as_deref().map(|prefix| hash(prefix, facts.key_size));
        let mut skip = self.reason_against(facts, target.as_ref(), attempt);
        if let Some(key_hash) = key_hash
            && self.replay.settings.on_failed == OnFailed::SkipKey
        {
            let key = (self.routes[route].route, key_hash);
            match skip {
                Some(SkipReason::NoCustody | SkipReason::TooLarge | SkipReason::AttemptLimit) => drop(self.blocked_keys.insert(key)),
                None if self.blocked_keys.contains(&key) => skip = Some(SkipReason::AfterFailed),
                _ => {}
            }
        }
        if skip.is_none() {
            self.find_duplicate(place, (facts.message_id, message_id, attempts), position, duplicates);
        }
        self.routes[route].items += 1;
        let partition_differs = skip.is_none() && self.partition_differs(route, facts);
        self.tally.count(skip, facts, partition_differs);
        NewItem { position, dead_letter_id: place.id, skip, route: self.routes[route].route, message_id, attempt, key_hash }
    }

    /// Of one origin and of one message only the newest is sent.
    fn find_duplicate(
        &mut self,
        place: &Place,
        (known, message_id, attempts): (Option<MessageId>, MessageId, i32),
        position: i64,
        duplicates: &mut Vec<i64>,
    ) {
        if let Some((last, position, ..)) = &self.last
            && place.has_origin_of(last)
        {
            duplicates.push(*position);
        }
        if let Some(earlier) = known.and_then(|id| self.messages.insert(id, position))
            && !duplicates.contains(&earlier)
        {
            duplicates.push(earlier);
        }
        self.last = Some((*place, position, message_id, attempts));
    }

    fn reason_against(&self, facts: &DraftFacts, target: Option<&TopicName>, attempt: i32) -> Option<SkipReason> {
        let settings = &self.replay.settings;
        let again = settings.again;
        match facts.status {
            Status::Replaying => return Some(SkipReason::OtherReplay),
            Status::Discarded | Status::FailedAgain => return Some(SkipReason::Status),
            Status::Replayed | Status::Resolved if !again => return Some(SkipReason::AlreadyReplayed),
            _ if facts.copy_was_sent && !again => return Some(SkipReason::AlreadyReplayed),
            _ => {}
        }
        if facts.in_other_replay {
            return Some(SkipReason::OtherReplay);
        }
        let Some(target) = target else { return Some(SkipReason::OriginUnknown) };
        let Some(known) = self.targets.get(target).and_then(Option::as_ref) else { return Some(SkipReason::TargetMissing) };
        if facts.custody_problem.is_some() {
            return Some(SkipReason::NoCustody);
        }
        if facts.size_bytes + measuring::ADDED_BYTES > known.most_bytes() {
            return Some(SkipReason::TooLarge);
        }
        (i64::from(attempt) > i64::from(settings.attempt_limit)).then_some(SkipReason::AttemptLimit)
    }

    /// What the target of a dead letter takes, when it is there.
    fn most_bytes(&self, facts: &DraftFacts) -> Option<u64> {
        let target = self.replay.settings.target.as_ref().or(facts.origin_topic.as_ref())?;
        self.targets.get(target)?.as_ref().map(Target::most_bytes)
    }

    fn route(&mut self, target: Option<TopicName>, group: Option<(String, bool)>) -> usize {
        let number = (target.clone(), group.clone());
        if let Some(route) = self.route_numbers.get(&number) {
            return *route;
        }
        let known = target.as_ref().and_then(|target| self.targets.get(target)).and_then(Option::as_ref);
        let own_origin = self.replay.settings.target.is_none();
        let since = known.and_then(|known| known.history.partitions_since).unwrap_or(Timestamp::from_millis(i64::MIN));
        let route = Route {
            route: i32::try_from(self.routes.len()).unwrap_or(i32::MAX),
            target_topic_id: known.and_then(|known| known.topic_id.clone()),
            target_partitions: known.map_or(0, |known| known.partitions),
            partition_kept_from: (own_origin && known.is_some()).then_some(since),
            consumer_group: group.as_ref().map(|(name, _)| GroupName::new(name.clone())),
            inferred: group.as_ref().is_some_and(|(_, inferred)| *inferred),
            settle_ms: 60_000,
            items: 0,
            target,
        };
        self.routes.push(route);
        self.route_numbers.insert(number, self.routes.len() - 1);
        self.routes.len() - 1
    }

    /// Whether the default partitioner would choose another partition than the origin's.
    fn partition_differs(&self, route: usize, facts: &DraftFacts) -> bool {
        let (Some(origin), Some(key)) = (facts.origin_partition, facts.key_prefix.as_deref()) else { return false };
        facts.key_size <= key.len() as u64 && partition::by_key(key, self.routes[route].target_partitions) != origin
    }

    /// Looks up targets that were not met before.
    async fn learn_targets(&mut self, facts: impl Iterator<Item = &DraftFacts>) -> Result<(), PlanError> {
        let chosen = self.replay.settings.target.clone();
        let wanted: HashSet<TopicName> = facts.filter_map(|facts| chosen.clone().or_else(|| facts.origin_topic.clone())).collect();
        let missing: Vec<TopicName> = wanted.into_iter().filter(|topic| !self.targets.contains_key(topic)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut history = self.replays.store().list_target_history(&self.replay.bus, &missing).await?;
        for topic in missing {
            let target = self.topics.get(&topic).filter(|(_, partitions)| *partitions > 0).map(|(topic_id, partitions)| Target {
                topic_id: topic_id.clone(),
                partitions: i32::try_from(*partitions).unwrap_or(i32::MAX),
                history: history.remove(&topic).unwrap_or(TargetHistory {
                    partitions_since: None,
                    max_message_bytes: None,
                    compacted: false,
                }),
            });
            self.targets.insert(topic, target);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), PlanError> {
        let settled = super::limits::settle_times(self.replays, &self.replay.bus, &self.routes).await?;
        for route in &mut self.routes {
            if let Some(settle) = route.consumer_group.as_ref().and_then(|group| settled.get(group)) {
                route.settle_ms = *settle;
            }
        }
        let store = self.replays.store();
        store.set_routes(self.owner, &self.routes).await??;
        let planned = store.find_replay_by_number(self.owner.number).await?.ok_or(PlanError::Superseded)?;
        let targets: BTreeMap<TopicName, Target> = self.targets.into_iter().filter_map(|(topic, target)| Some((topic, target?))).collect();
        let found = checks::run(self.replays, &planned, &self.routes, &self.tally, &targets).await?;
        store.finish_plan(self.owner, &found.checks, found.delivery, Timestamp::now()).await??;
        Ok(())
    }
}

async fn facts_of(replays: &Replays, number: i64, step: &[Place]) -> Result<HashMap<DeadLetterId, DraftFacts>, StoreError> {
    let mut facts = HashMap::with_capacity(step.len());
    for some in step.chunks(STEP as usize) {
        let ids: Vec<DeadLetterId> = some.iter().map(|place| place.id).collect();
        facts.extend(replays.store().list_draft_facts(number, &ids).await?);
    }
    Ok(facts)
}

/// A key's hash: of what lists keep of it, and its whole length. Longer keys that agree there only skip more than they need.
fn hash(prefix: &[u8], size: u64) -> i64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(size.to_be_bytes()).chain_update(prefix).finalize();
    i64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

impl Replays {
    /// A configured bus.
    pub(super) fn bus(&self, id: &BusId) -> Result<&super::ReplayBus, PlanError> {
        self.inner.parts.buses.get(id).ok_or_else(|| PlanError::Hopeless(format!("the bus {id} is not configured any more")))
    }
}
