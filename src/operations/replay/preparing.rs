//! Makes messages of the next items while the batch before is on its way: claims their dead letters, reads these, puts aside what cannot
//! be sent.

use std::collections::HashMap;
use std::sync::Arc;

use super::Replays;
use super::driver::Stop;
use crate::bus::Outgoing;
use crate::model::replay::{OnFailed, Replay, ReplayId, ReplayItem, ReplaySettings, Route, SkipReason};
use crate::model::{BusId, DeadLetterId, Timestamp};
use crate::store::StoreError;
use crate::store::replays::sending::{CLAIM_STEP, Owner, Sendable};

/// Bytes of one transaction, about, at most; also what is held of the next one.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A message, or why there is none.
type Made = Result<Outgoing, SkipReason>;

/// A batch ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) items: Vec<ReplayItem>,
    pub(super) messages: Vec<Outgoing>,
}

impl Prepared {
    /// The first position, and the one after the last; `None`: everything was put aside.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        Some((self.items.first()?.position, self.items.last()?.position + 1))
    }

    /// Leaves what is beyond so many for later.
    pub(super) fn truncate(&mut self, most: u32) {
        self.items.truncate(most as usize);
        self.messages.truncate(most as usize);
    }
}

/// Prepares the batches of one owner, in order.
pub(super) struct Preparer {
    replays: Replays,
    owner: Owner,
    replay: ReplayId,
    bus: BusId,
    settings: ReplaySettings,
    routes: Arc<HashMap<i32, Route>>,
    claimed_to: i64,
    last: i64,
    /// Keys of which a message could not be sent, with its position: later ones wait for a person.
    blocked: HashMap<i64, i64>,
}

impl Preparer {
    pub(super) async fn new(
        replays: &Replays,
        owner: Owner,
        replay: &Replay,
        routes: Arc<HashMap<i32, Route>>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            replays: replays.clone(),
            owner,
            replay: replay.id.clone(),
            bus: replay.bus.clone(),
            settings: replay.settings.clone(),
            routes,
            claimed_to: replay.claimed_to,
            last: i64::try_from(replay.counts.total()).unwrap_or(i64::MAX),
            blocked: replays.store().list_blocked_keys(owner.number).await?,
        })
    }

    /// Nothing of this key that comes later goes out.
    pub(super) fn block(&mut self, key: i64, position: i64) {
        self.blocked.entry(key).or_insert(position);
    }

    /// At most `limit` messages from a position on, perhaps none; `None`: nothing waits there any more.
    pub(super) async fn next(&mut self, from: i64, limit: u32) -> Result<Option<Prepared>, Stop> {
        let (store, number) = (self.replays.store().clone(), self.owner.number);
        let mut items = store.list_waiting_items(number, from, self.claimed_to, limit).await?;
        if items.is_empty() {
            if self.claimed_to > self.last {
                return Ok(None);
            }
            let to = self.claimed_to + CLAIM_STEP;
            store.claim_items(self.owner, self.claimed_to, to, self.settings.again, Timestamp::now()).await??;
            self.claimed_to = to;
            items = store.list_waiting_items(number, from, to, limit).await?;
        }
        self.prepare(items).await.map(Some)
    }

    /// Makes messages of items; those that cannot be sent are put aside.
    async fn prepare(&mut self, mut items: Vec<ReplayItem>) -> Result<Prepared, Stop> {
        if items.is_empty() {
            return Ok(Prepared { items, messages: Vec::new() });
        }
        let ids: Vec<DeadLetterId> = items.iter().map(|item| item.dead_letter_id).collect();
        let (letters, looked_at) = self.replays.store().list_sendable(&ids, BATCH_BYTES).await?;
        items.truncate(looked_at);
        let skip_keys = self.settings.on_failed == OnFailed::SkipKey;
        let blocked = &self.blocked;
        let (after_failed, items): (Vec<_>, Vec<_>) = items
            .into_iter()
            .partition(|item| skip_keys && item.key_hash.and_then(|key| blocked.get(&key)).is_some_and(|from| *from < item.position));
        let mut aside: HashMap<SkipReason, Vec<(i64, DeadLetterId)>> = HashMap::new();
        aside.insert(SkipReason::AfterFailed, after_failed.iter().map(|item| (item.position, item.dead_letter_id)).collect());
        let mut prepared = Prepared { items: Vec::with_capacity(items.len()), messages: Vec::with_capacity(items.len()) };
        let mut bytes = 0;
        for (item, made) in self.messages(items, letters).await? {
            match made {
                Ok(message) => {
                    bytes += message.size_bytes();
                    if bytes > BATCH_BYTES && !prepared.items.is_empty() {
                        break;
                    }
                    prepared.items.push(item);
                    prepared.messages.push(message);
                }
                Err(reason) => aside.entry(reason).or_default().push((item.position, item.dead_letter_id)),
            }
        }
        for (reason, items) in aside.into_iter().filter(|(_, items)| !items.is_empty()) {
            self.replays.store().skip_items(self.owner, &items, reason, Timestamp::now()).await??;
        }
        Ok(prepared)
    }

    /// Takes the dead letters apart and edits them, on a thread that may be busy for a while.
    async fn messages(
        &self,
        items: Vec<ReplayItem>,
        mut letters: HashMap<DeadLetterId, Sendable>,
    ) -> Result<Vec<(ReplayItem, Made)>, Stop> {
        let (replays, routes) = (self.replays.clone(), Arc::clone(&self.routes));
        let (bus, replay, partitioner) = (self.bus.clone(), self.replay.clone(), self.settings.partitioner);
        let make = move || {
            let editor = replays.inner.editors.get(&bus);
            let message = |item: &ReplayItem| match letters.remove(&item.dead_letter_id) {
                None => Err(SkipReason::Gone),
                Some(Sendable { custody_problem: Some(_), .. }) => Err(SkipReason::NoCustody),
                Some(letter) => editor
                    .zip(routes.get(&item.route))
                    .and_then(|(editor, route)| editor.message(letter, item, route, &replay, partitioner))
                    .ok_or(SkipReason::TargetMissing),
            };
            let made: Vec<_> = items.iter().map(message).collect();
            items.into_iter().zip(made).collect()
        };
        let made = tokio::task::spawn_blocking(make).await;
        made.map_err(|error| Stop::Store(StoreError::Broken(format!("making messages: {error}"))))
    }
}
