//! Sends what waits, batch by batch: the attempt is stored, the batch and its progress commit in one transaction on the bus, the items are
//! marked. Between batches it hears what people want, keeps the rate, and looks at the limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checks::{changed_targets, sender_settings};
use super::driver::Stop;
use super::limits::{Canary, Limits, Verdict};
use super::preparing::{Prepared, Preparer};
use super::{ReplayBus, Replays, recovery};
use crate::bus::{BusError, Outgoing, SendError, Sender};
use crate::model::names::TopicPartition;
use crate::model::replay::{Attempt, Delivery, Replay, ReplayItem, Request, Route, StateReason};
use crate::model::{DeadLetterId, Timestamp};
use crate::store::StoreError;
use crate::store::replays::sending::{Owner, SentItem};

/// Messages of one transaction at most: more gain nothing (`facts`: a transaction costs about 5 ms whatever its size).
const BATCH: u32 = 1_000;
/// End offsets before an attempt may be so old: a recovery then reads a little more.
const ENDS_FRESH: Duration = Duration::from_secs(10);
/// A slow rate still sends this often.
const PULSE: Duration = Duration::from_millis(250);

/// How sending came to a rest.
#[derive(Debug)]
pub(super) enum Rest {
    /// Nothing waits any more.
    Done,
    /// A person wants it to end.
    Cancel,
    /// It must stop, with the reason and more words.
    Paused(StateReason, Option<String>),
    /// The process is to end.
    Shutdown,
}

/// Sends until it rests.
pub(super) async fn run(replays: &Replays, owner: Owner, replay: &Replay) -> Result<Rest, Stop> {
    let Some(_slot) = slot(replays, owner).await? else { return Ok(interrupted(replays, owner).await?.unwrap_or(Rest::Shutdown)) };
    let mut session = match Session::open(replays, owner, replay).await? {
        Ok(session) => session,
        Err(rest) => return Ok(rest),
    };
    session.run().await
}

/// Finds out what became of the batch in flight, and sends nothing.
pub(super) async fn recover_only(replays: &Replays, owner: Owner, replay: &Replay) -> Result<Rest, Stop> {
    match Session::open(replays, owner, replay).await? {
        Ok(_) => Ok(Rest::Done),
        Err(rest) => Ok(rest),
    }
}

/// Waits for one of the places to send; `None` when a person or the end of the process comes first.
async fn slot(replays: &Replays, owner: Owner) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Stop> {
    if let Ok(permit) = replays.inner.slots.try_acquire() {
        return Ok(Some(permit));
    }
    replays.store().set_replay_reason(owner, Some(StateReason::WaitingForSlot), None).await??;
    replays.stepped();
    loop {
        tokio::select! {
            permit = replays.inner.slots.acquire() => {
                replays.store().set_replay_reason(owner, None, None).await??;
                return Ok(permit.ok());
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                if interrupted(replays, owner).await?.is_some() {
                    return Ok(None);
                }
            }
        }
    }
}

/// What a person or the end of the process wants.
async fn interrupted(replays: &Replays, owner: Owner) -> Result<Option<Rest>, Stop> {
    if replays.inner.parts.life.soft().is_cancelled() {
        return Ok(Some(Rest::Shutdown));
    }
    let Some(replay) = replays.store().find_replay_by_number(owner.number).await? else { return Ok(Some(Rest::Cancel)) };
    if replay.epoch != owner.epoch {
        return Err(Stop::Superseded);
    }
    Ok(wish(&replay))
}

fn wish(replay: &Replay) -> Option<Rest> {
    replay.request.map(|request| match request {
        Request::Pause => Rest::Paused(StateReason::ByPerson, None),
        Request::Cancel => Rest::Cancel,
    })
}

/// One owner's work on one job.
struct Session<'a> {
    replays: &'a Replays,
    owner: Owner,
    bus: &'a ReplayBus,
    replay: Replay,
    routes: Arc<HashMap<i32, Route>>,
    sender: Box<dyn Sender>,
    preparer: Preparer,
    /// The batch after the one that was sent last.
    ahead: Option<Prepared>,
    ends: Ends,
    limits: Limits,
    canary: Canary,
    pace: Pace,
    /// A batch that the bus refused is halved down to this size.
    most: u32,
}

/// End offsets of the target partitions, as they were a moment ago.
#[derive(Default)]
struct Ends {
    read_at: Option<Instant>,
    ends: Vec<(String, i32, i64)>,
}

/// Keeps the rate between transactions.
struct Pace {
    next: Instant,
}

impl<'a> Session<'a> {
    /// Opens the sender, which fences the owner before, and finds out what became of the batch in flight.
    async fn open(replays: &'a Replays, owner: Owner, replay: &Replay) -> Result<Result<Self, Rest>, Stop> {
        let Some(bus) = replays.inner.parts.buses.get(&replay.bus) else {
            return Ok(Err(Rest::Paused(StateReason::BusUnreachable, Some(format!("the bus {} is not configured here", replay.bus)))));
        };
        let routes = replays.store().list_routes(replay.number).await?;
        match changed_targets(bus, &routes).await {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => {
                let names: Vec<String> = changed.iter().map(ToString::to_string).collect();
                return Ok(Err(Rest::Paused(StateReason::TargetGone, Some(format!("{} is gone or began again", names.join(", "))))));
            }
            Err(error) => return Ok(Err(pause_for(&error))),
        }
        let Some(settings) = sender_settings(bus, replay, &routes) else { return Ok(Err(Rest::Done)) };
        let mut sender = match bus.bus.open_sender(&settings).await {
            Ok(sender) => sender,
            Err(error) => return Ok(Err(pause_for(&error))),
        };
        if let Some(rest) = recovery::run(replays, owner, bus, replay, &routes, sender.as_mut()).await? {
            return Ok(Err(rest));
        }
        let Some(replay) = replays.store().find_replay_by_number(owner.number).await? else { return Ok(Err(Rest::Cancel)) };
        let routes = Arc::new(routes.into_iter().map(|route| (route.route, route)).collect::<HashMap<_, _>>());
        Ok(Ok(Self {
            preparer: Preparer::new(replays, owner, &replay, Arc::clone(&routes)).await?,
            ahead: None,
            replays,
            owner,
            bus,
            canary: Canary::default(),
            limits: Limits::default(),
            routes,
            replay,
            sender,
            ends: Ends::default(),
            pace: Pace { next: Instant::now() },
            most: BATCH,
        }))
    }

    async fn run(&mut self) -> Result<Rest, Stop> {
        loop {
            if let Some(rest) = self.look().await? {
                return Ok(rest);
            }
            let allowed = match self.limits.look(self.bus, &self.replay, &self.routes).await {
                Verdict::Stop(reason, text) => return Ok(Rest::Paused(reason, Some(text))),
                Verdict::Go => self.canary.allowed(self.replays, self.owner, self.bus, &self.replay, &self.routes).await?,
            };
            let allowed = match allowed {
                Ok(Some(allowed)) => allowed,
                Ok(None) => u32::MAX,
                Err(Verdict::Stop(reason, text)) => return Ok(Rest::Paused(reason, Some(text))),
                Err(Verdict::Go) => 0,
            };
            if allowed == 0 {
                tokio::time::sleep(PULSE).await;
                continue;
            }
            if !self.pace.is_due() {
                self.pace.wait().await;
                continue;
            }
            let most = self.batch_size().min(allowed);
            let Some(mut batch) = self.take(most).await? else { return Ok(Rest::Done) };
            batch.truncate(most);
            // Of a canary nothing more may be wanted.
            let ahead = if allowed == u32::MAX { most } else { 0 };
            if let Some(rest) = self.send(batch, ahead).await? {
                return Ok(rest);
            }
        }
    }

    /// The batch that was prepared ahead, else one that is prepared now.
    async fn take(&mut self, most: u32) -> Result<Option<Prepared>, Stop> {
        match self.ahead.take() {
            Some(batch) if batch.range().is_some() => Ok(Some(batch)),
            _ => self.preparer.next(self.replay.position, most).await,
        }
    }

    /// Reads the job again: requests, rate, counts.
    async fn look(&mut self) -> Result<Option<Rest>, Stop> {
        if self.replays.inner.parts.life.soft().is_cancelled() {
            return Ok(Some(Rest::Shutdown));
        }
        let Some(replay) = self.replays.store().find_replay_by_number(self.owner.number).await? else { return Ok(Some(Rest::Cancel)) };
        if replay.epoch != self.owner.epoch {
            return Err(Stop::Superseded);
        }
        self.replay = replay;
        Ok(wish(&self.replay))
    }

    /// How many messages the next transaction may hold.
    fn batch_size(&self) -> u32 {
        let by_rate = self.replay.settings.rate.map_or(u32::MAX, |rate| {
            let pulse = u32::try_from(PULSE.as_millis()).unwrap_or(250);
            (rate.saturating_mul(pulse) / 1_000).max(1)
        });
        self.most.min(by_rate).min(BATCH)
    }

    /// One transaction, from the stored attempt to the marked items. `ahead` messages are prepared while it is on its way.
    async fn send(&mut self, batch: Prepared, ahead: u32) -> Result<Option<Rest>, Stop> {
        let Some((from, to)) = batch.range() else { return Ok(None) };
        if let Err(error) = self.replays.store().check_space().await {
            return match error {
                StoreError::Full(text) => Ok(Some(Rest::Paused(StateReason::StoreFull, Some(text)))),
                other => Err(other.into()),
            };
        }
        match self.refresh_ends(&batch.messages).await {
            Ok(()) => {}
            Err(error) => return Ok(Some(pause_for(&error))),
        }
        let attempt = Attempt { from, to, ends: self.ends.ends.clone() };
        self.replays.store().begin_attempt(self.owner, &attempt).await??;
        let Prepared { items, messages } = batch;
        let partitions: Vec<i32> = messages.iter().map(|message| message.partition).collect();
        let (sender, preparer) = (&mut self.sender, &mut self.preparer);
        let prepare = async { if ahead == 0 { Ok(None) } else { preparer.next(to, ahead).await } };
        // Whatever becomes of the next one, what was sent is marked first.
        let (sent, prepared) = tokio::join!(sender.send(messages, to), prepare);
        let rest = match sent {
            Ok(offsets) => {
                let sent = places(&items, &partitions, offsets.into_iter().map(Some));
                self.mark(&items, &sent, to).await?;
                self.most = self.most.saturating_mul(2).min(BATCH);
                self.pace.sent(items.len(), self.replay.settings.rate);
                self.ahead = prepared?;
                return Ok(None);
            }
            Err(failure) if self.replay.delivery == Delivery::AtLeastOnce && failure.delivered.iter().any(Option::is_some) => {
                // What arrived is marked, one by one; the rest waits.
                self.mark_some(&items, &partitions, &failure.delivered, from).await?;
                pause_after(&failure.error)
            }
            Err(failure) => self.refused(failure.error, &items).await?,
        };
        prepared?;
        Ok(rest)
    }

    async fn mark(&mut self, items: &[ReplayItem], places: &[SentItem], next: i64) -> Result<(), Stop> {
        let letters: Vec<DeadLetterId> = items.iter().map(|item| item.dead_letter_id).collect();
        self.replays.store().mark_sent(self.owner, places, &letters, next, Timestamp::now()).await??;
        self.replay.position = next;
        self.replay.attempt = None;
        self.replays.stepped();
        Ok(())
    }

    async fn mark_some(&mut self, items: &[ReplayItem], partitions: &[i32], delivered: &[Option<i64>], next: i64) -> Result<(), Stop> {
        let sent: Vec<SentItem> =
            places(items, partitions, delivered.iter().copied()).into_iter().filter(|place| place.offset.is_some()).collect();
        let arrived: Vec<ReplayItem> =
            items.iter().zip(delivered).filter(|(_, offset)| offset.is_some()).map(|(item, _)| item.clone()).collect();
        self.mark(&arrived, &sent, next).await
    }

    /// Nothing of the batch was committed, or nobody knows.
    async fn refused(&mut self, error: SendError, items: &[ReplayItem]) -> Result<Option<Rest>, Stop> {
        let SendError::Refused(reason) = &error else {
            tracing::info!(replay = %self.replay.id, %error, "a batch was not sent");
            return Ok(pause_after(&error).or(Some(Rest::Paused(StateReason::BusUnreachable, Some(error.to_string())))));
        };
        self.replays.store().clear_attempt(self.owner, self.replay.position).await??;
        if let [item] = items {
            let failed = (item.position, item.dead_letter_id);
            self.replays.store().fail_item(self.owner, failed, reason, Timestamp::now()).await??;
            if let Some(key) = item.key_hash {
                self.preparer.block(key, item.position);
            }
            self.replays.stepped();
        } else {
            // Halved until the refused record is alone; the others go out.
            self.most = u32::try_from(items.len() / 2).unwrap_or(BATCH).max(1);
        }
        // After a refusal the client's sequence numbers have a gap: a new sender of the same name begins with a new epoch.
        Ok(self.open_again().await)
    }

    async fn open_again(&mut self) -> Option<Rest> {
        let routes: Vec<Route> = self.routes.values().cloned().collect();
        let settings = sender_settings(self.bus, &self.replay, &routes)?;
        match self.bus.bus.open_sender(&settings).await {
            Ok(sender) => {
                self.sender = sender;
                None
            }
            Err(error) => Some(pause_for(&error)),
        }
    }

    /// Where the target partitions end: a recovered batch is found from there on.
    async fn refresh_ends(&mut self, batch: &[Outgoing]) -> Result<(), BusError> {
        let known = |partition: &TopicPartition| {
            self.ends.ends.iter().any(|(topic, number, _)| *topic == partition.topic.as_str() && *number == partition.partition)
        };
        let mut wanted: Vec<TopicPartition> =
            batch.iter().map(|message| TopicPartition { topic: message.topic.clone(), partition: message.partition }).collect();
        wanted.sort();
        wanted.dedup();
        let fresh = self.ends.read_at.is_some_and(|at| at.elapsed() < ENDS_FRESH);
        if fresh && wanted.iter().all(known) {
            return Ok(());
        }
        let offsets = self.bus.bus.offsets(&wanted).await?;
        if let Some(missing) = wanted.iter().find(|partition| !offsets.contains_key(partition)) {
            return Err(BusError::Unreachable(format!("the end of {} / {} cannot be read", missing.topic, missing.partition)));
        }
        self.ends.ends =
            offsets.into_iter().map(|(partition, offsets)| (partition.topic.to_string(), partition.partition, offsets.end)).collect();
        self.ends.read_at = Some(Instant::now());
        Ok(())
    }
}

fn places(items: &[ReplayItem], partitions: &[i32], offsets: impl Iterator<Item = Option<i64>>) -> Vec<SentItem> {
    items
        .iter()
        .zip(partitions)
        .zip(offsets)
        .map(|((item, partition), offset)| SentItem { position: item.position, partition: *partition, offset })
        .collect()
}

impl Pace {
    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    async fn wait(&self) {
        tokio::time::sleep_until(self.next.min(Instant::now() + PULSE).into()).await;
    }

    fn sent(&mut self, messages: usize, rate: Option<u32>) {
        let Some(rate) = rate.filter(|rate| *rate > 0) else { return };
        let cost = Duration::from_secs_f64(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)) / f64::from(rate));
        // A pause is not made up for by a burst.
        self.next = self.next.max(Instant::now().checked_sub(PULSE).unwrap_or_else(Instant::now)) + cost;
    }
}

/// The state for an error of the bus before anything was sent.
pub(super) fn pause_for(error: &BusError) -> Rest {
    let reason = match error {
        BusError::Denied(_) => StateReason::PermissionDenied,
        BusError::NotFound(_) => StateReason::TargetGone,
        _ => StateReason::BusUnreachable,
    };
    Rest::Paused(reason, Some(error.to_string()))
}

/// The state for an error of sending; `None` when it can go on.
fn pause_after(error: &SendError) -> Option<Rest> {
    let reason = match error {
        SendError::Refused(_) => return None,
        SendError::Denied(_) | SendError::Unsupported(_) => StateReason::PermissionDenied,
        SendError::TargetGone(_) => StateReason::TargetGone,
        // Another owner, or nobody knows: the next owner finds out.
        SendError::Fenced(_) | SendError::Undecided(_) | SendError::Unreachable(_) | SendError::Other(_) => StateReason::BusUnreachable,
    };
    Some(Rest::Paused(reason, Some(error.to_string())))
}
