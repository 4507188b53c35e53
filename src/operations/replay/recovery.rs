//! After a crash, a fence or an error nobody can read: what became of the batch that was in flight?
//!
//! The sender was opened before, so the earlier owner is fenced and its transaction has ended. Progress on the bus decides. Where the bus
//! has none, the target is read from the ends that were stored before the batch was sent. Where that tells nothing either, a person decides.

use std::collections::HashMap;

use super::driver::Stop;
use super::message::{ATTEMPT, MESSAGE_ID};
use super::sending::{Rest, pause_for};
use super::{ReplayBus, Replays};
use crate::bus::{BusError, ReadFrom, Sender};
use crate::model::names::TopicPartition;
use crate::model::replay::{Attempt, Delivery, MessageId, Replay, ReplayEvent, ReplayItem, Route, StateReason, Undecided};
use crate::model::{DeadLetterId, Record, Timestamp, TopicName};
use crate::store::replays::sending::{Owner, SentItem};

/// Records of one read.
const READ: usize = 500;

/// What is known of the batch.
enum Fate {
    /// On the target, at these places as far as they were found.
    Committed(HashMap<(MessageId, i32), (i32, i64)>),
    /// Not on the target.
    NotSent,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Decides about the batch in flight and writes it down; `None`: sending can go on.
pub(super) async fn run(
    replays: &Replays,
    owner: Owner,
    bus: &ReplayBus,
    replay: &Replay,
    routes: &[Route],
    sender: &mut dyn Sender,
) -> Result<Option<Rest>, Stop> {
    let Some(attempt) = &replay.attempt else { return Ok(None) };
    let items = replays.store().list_attempted_items(owner.number, attempt).await?;
    let targets: Vec<TopicName> = routes.iter().filter_map(|route| route.target.clone()).collect();
    let compacted = replays.store().list_target_history(&replay.bus, &targets).await?.values().any(|target| target.compacted);
    let fate = match decide(bus, replay, attempt, &items, compacted, sender).await {
        Ok(fate) => fate,
        Err(error) => return Ok(Some(pause_for(&error))),
    };
    match fate {
        Fate::NotSent => {
            replays.store().clear_attempt(owner, replay.position).await??;
        }
        Fate::Committed(places) => mark(replays, owner, (attempt, replay.delivery), &items, &places).await?,
        Fate::Unknown(text) => match replay.undecided {
            None => return Ok(Some(Rest::Paused(StateReason::ProgressUnknown, Some(text)))),
            Some(Undecided::Send) => {
                tell(replays, replay, "the batch in flight is sent again, although it may have been sent").await?;
                replays.store().clear_attempt(owner, replay.position).await??;
            }
            Some(Undecided::Skip) => {
                tell(replays, replay, "the items of the batch in flight are unknown").await?;
                let sent: Vec<SentItem> =
                    items.iter().map(|item| SentItem { position: item.position, partition: 0, offset: None }).collect();
                let letters: Vec<DeadLetterId> = items.iter().map(|item| item.dead_letter_id).collect();
                replays.store().mark_unknown(owner, &sent, &letters, attempt.to, Timestamp::now()).await??;
            }
        },
    }
    Ok(None)
}

async fn tell(replays: &Replays, replay: &Replay, text: &str) -> Result<(), Stop> {
    let event = ReplayEvent { at: Timestamp::now(), actor: "system".to_owned(), text: text.to_owned() };
    Ok(replays.store().record_replay_event(&replay.id, &event).await?)
}

async fn decide(
    bus: &ReplayBus,
    replay: &Replay,
    attempt: &Attempt,
    items: &[ReplayItem],
    compacted: bool,
    sender: &mut dyn Sender,
) -> Result<Fate, BusError> {
    let progress = if replay.delivery == Delivery::ExactlyOnce { sender.progress().await? } else { None };
    match progress {
        Some(progress) if progress >= attempt.to => {
            // It was committed; where exactly is worth a look, and no more than that.
            let found = find(bus, attempt, items).await.map(|found| found.places);
            Ok(Fate::Committed(found.unwrap_or_default()))
        }
        Some(_) => Ok(Fate::NotSent),
        None => {
            let found = find(bus, attempt, items).await?;
            Ok(match found.gone {
                Some(reason) if replay.delivery == Delivery::AtLeastOnce => Fate::Unknown(reason),
                // A transaction is there as a whole or not at all.
                _ if !found.places.is_empty() => Fate::Committed(found.places),
                Some(reason) => Fate::Unknown(reason),
                None if compacted => Fate::Unknown("the bus has no progress, and compaction may have removed what was sent".to_owned()),
                None => Fate::NotSent,
            })
        }
    }
}

/// What was found on the target.
struct Found {
    places: HashMap<(MessageId, i32), (i32, i64)>,
    /// Why not everything could be looked at.
    gone: Option<String>,
}

/// Reads the target partitions from the ends before the attempt, looking for the batch's messages.
async fn find(bus: &ReplayBus, attempt: &Attempt, items: &[ReplayItem]) -> Result<Found, BusError> {
    let wanted: HashMap<MessageId, i32> = items.iter().map(|item| (item.message_id, item.attempt)).collect();
    let mut found = Found { places: HashMap::new(), gone: None };
    for (topic, number, end) in &attempt.ends {
        let partition = TopicPartition { topic: topic.as_str().into(), partition: *number };
        let offsets = bus.bus.offsets(std::slice::from_ref(&partition)).await?;
        let Some(now) = offsets.get(&partition) else {
            return Err(BusError::Unreachable(format!("the offsets of {topic} / {number} cannot be read")));
        };
        if now.end < *end {
            found.gone = Some(format!("{topic} / {number} ends before it ended then: the topic began again"));
            continue;
        }
        if now.log_start > *end {
            found.gone = Some(format!("retention has removed records of {topic} / {number} that must be looked at"));
        }
        read(bus, &partition, (*end).max(now.log_start), now.end, &wanted, &mut found).await?;
        if found.places.len() == wanted.len() {
            break;
        }
    }
    Ok(found)
}

async fn read(
    bus: &ReplayBus,
    partition: &TopicPartition,
    from: i64,
    end: i64,
    wanted: &HashMap<MessageId, i32>,
    found: &mut Found,
) -> Result<(), BusError> {
    let mut next = from;
    // A transaction of another producer that is still open holds the stable end up; what lies behind it cannot be told yet.
    let mut stuck = 0;
    while next < end {
        let got = bus.bus.read(partition, ReadFrom::Offset(next), READ).await?;
        for record in &got.records {
            if let Some((message, attempt)) = identity(record).filter(|(message, attempt)| wanted.get(message) == Some(attempt)) {
                found.places.insert((message, attempt), (record.partition, record.offset));
            }
        }
        if got.next > next {
            next = got.next;
            stuck = 0;
            continue;
        }
        stuck += 1;
        if stuck > 20 {
            return Err(BusError::Unreachable(format!("an open transaction holds up {} / {}", partition.topic, partition.partition)));
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The message id and the attempt in a record's headers.
fn identity(record: &Record) -> Option<(MessageId, i32)> {
    let text = |name: &str| {
        let header = record.headers.iter().rev().find(|header| header.name == name.as_bytes())?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    };
    Some((text(MESSAGE_ID)?.parse().ok()?, text(ATTEMPT)?.parse().ok()?))
}

async fn mark(
    replays: &Replays,
    owner: Owner,
    (attempt, delivery): (&Attempt, Delivery),
    items: &[ReplayItem],
    places: &HashMap<(MessageId, i32), (i32, i64)>,
) -> Result<(), Stop> {
    let place = |item: &ReplayItem| places.get(&(item.message_id, item.attempt));
    // With transactions the batch is there as a whole; without, only what was found is.
    let whole = delivery == Delivery::ExactlyOnce;
    let there: Vec<&ReplayItem> = items.iter().filter(|item| whole || place(item).is_some()).collect();
    let sent: Vec<SentItem> = there
        .iter()
        .map(|item| {
            let (partition, offset) = place(item).map_or((0, None), |(partition, offset)| (*partition, Some(*offset)));
            SentItem { position: item.position, partition, offset }
        })
        .collect();
    let letters: Vec<DeadLetterId> = there.iter().map(|item| item.dead_letter_id).collect();
    let next = if there.len() == items.len() { attempt.to } else { attempt.from };
    replays.store().mark_sent(owner, &sent, &letters, next, Timestamp::now()).await??;
    Ok(())
}
