//! Sends batches for one owner: in transactions that carry the owner's progress, or, without a transactional id, idempotently.
//!
//! A transaction ends in one of three ways. It is committed after everything in it was acknowledged; or it is aborted, or left to the
//! next sender to abort, and then nothing of it counts; or the answer to the commit is missing, and only the next sender can tell.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, left};
use super::errors::{again, of_group};
use super::ffi::{Delivery, Failure, Producer};
use super::{Aside, Shared, names};
use crate::bus::{BusError, Outgoing, SendError, SendFailure, Sender, SenderSettings};
use crate::lifecycle::failpoint;
use crate::model::bus::Capability;
use crate::model::{GroupName, TopicName};

mod causes;

use causes::{Meaning, Step, Trouble, cause};

/// How long a flush waits before it is looked at why it lasts.
const LOOK: Duration = Duration::from_millis(100);
/// A batch that lasts longer makes us ask whether its target is still there: librdkafka waits for it to come back.
const SUSPICIOUS: Duration = Duration::from_secs(2);
/// How long that question may take.
const ASK: Duration = Duration::from_secs(1);
/// An abort that nobody answers is left to the next sender.
const ABORT: Duration = Duration::from_secs(2);

pub(super) struct KafkaSender {
    state: Aside<State>,
}

struct State {
    shared: Arc<Shared>,
    settings: SenderSettings,
    group: CString,
    producer: Producer,
    /// Whether a batch may be sent. One batch at a time, also when a caller has given up waiting for the one before.
    usable: Mutex<bool>,
}

impl KafkaSender {
    /// Opens a producer; with transactions it takes the transactional id over.
    pub(super) fn open(shared: Arc<Shared>, settings: SenderSettings) -> Result<Self, BusError> {
        let group = names::group(&settings.group)?;
        let config = client::writing(&shared.settings, settings.transactional_id.as_deref());
        let producer = Producer::new(&config, Arc::clone(&shared.watch) as _).map_err(BusError::Configuration)?;
        let state = State { shared, settings, group, producer, usable: Mutex::new(true) };
        let opened = Self { state: Aside::new(state) };
        opened.state.get().take_over()?;
        Ok(opened)
    }
}

#[async_trait]
impl Sender for KafkaSender {
    async fn progress(&mut self) -> Result<Option<i64>, BusError> {
        let state = self.state.share();
        client::blocking(move || state.progress()).await
    }

    async fn send(&mut self, batch: Vec<Outgoing>, progress: i64) -> Result<Vec<i64>, SendFailure> {
        let state = self.state.share();
        let sent = tokio::task::spawn_blocking(move || state.send(&batch, progress)).await;
        sent.unwrap_or_else(|ended| Err(whole(SendError::Undecided(format!("sending ended: {ended}")))))
    }

    async fn rehearse(&mut self) -> Result<(), SendError> {
        let state = self.state.share();
        let rehearsed = tokio::task::spawn_blocking(move || state.rehearse()).await;
        rehearsed.unwrap_or_else(|ended| Err(SendError::Other(format!("the rehearsal ended: {ended}"))))
    }
}

impl State {
    fn deadline(&self) -> Instant {
        self.shared.deadline()
    }

    fn take_over(&self) -> Result<(), BusError> {
        let Some(id) = &self.settings.transactional_id else { return Ok(()) };
        let deadline = self.deadline();
        let taken = again(deadline, || self.producer.init_transactions(left(deadline))).map_err(|failure| {
            let needs = format!("WRITE on the transactional id {id}");
            self.shared.explain("writing in transactions", &needs, &failure)
        });
        self.shared.note(Capability::Transactions, &taken);
        taken
    }

    fn progress(&self) -> Result<Option<i64>, BusError> {
        if self.settings.transactional_id.is_none() {
            return Ok(None);
        }
        let deadline = self.deadline();
        let wanted = names::list([(&self.settings.progress, Offset::Invalid)]);
        self.shared.is_there()?;
        let ask = |broker, time| self.shared.client.stable_group_offsets(&self.group, broker, &wanted, time);
        let offsets = again(deadline, || self.shared.at_coordinator(&self.group, deadline, ask).map_err(of_group));
        let offsets = offsets.map_err(|failure| {
            let group = &self.settings.group;
            if failure.code == Code::UnstableOffsetCommit {
                return BusError::Unreachable(unended(group));
            }
            let needs = format!("DESCRIBE on the group {group} and on the topic {}", self.settings.progress.topic);
            self.shared.explain(&format!("reading the progress kept in group {group}"), &needs, &failure)
        })?;
        Ok(offsets.into_iter().find(|(place, _)| *place == self.settings.progress).map(|(_, offset)| offset).filter(|offset| *offset >= 0))
    }

    fn send(&self, batch: &[Outgoing], progress: i64) -> Result<Vec<i64>, SendFailure> {
        let mut usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
        if !*usable {
            return Err(whole(ended()));
        }
        // Also when this thread should panic.
        *usable = false;
        let sent = match self.settings.transactional_id {
            Some(_) => self.transact(batch, progress).map_err(whole),
            None => self.write(batch),
        };
        *usable = match &sent {
            Ok(_) => true,
            Err(failure) => matches!(failure.error, SendError::Refused(_)),
        };
        sent
    }

    fn rehearse(&self) -> Result<(), SendError> {
        if self.settings.transactional_id.is_none() {
            return Ok(());
        }
        let mut usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
        if !*usable {
            return Err(ended());
        }
        *usable = false;
        let deadline = self.deadline();
        self.producer.expect(0);
        let tried = self.begin().and_then(|()| self.add_progress(0, deadline));
        match tried {
            Ok(()) => self.abort(deadline)?,
            Err(trouble) => {
                let (cause, aborted) = self.give_up(&[], trouble);
                return Err(self.answer(&[], &cause, aborted));
            }
        }
        *usable = true;
        Ok(())
    }

    /// A batch in a transaction.
    fn transact(&self, batch: &[Outgoing], progress: i64) -> Result<Vec<i64>, SendError> {
        let mut mended = false;
        let offsets = loop {
            let trouble = match self.prepare(batch, progress) {
                Ok(offsets) => break offsets,
                Err(trouble) => trouble,
            };
            let (cause, aborted) = self.give_up(batch, trouble);
            // The numbers of a refused batch's records are missing at the broker. Once it has said so, librdkafka takes a new epoch
            // with the abort, which does not fence whoever has taken over meanwhile, and the batch can go.
            if mended || aborted.is_err() || cause.failure.code != Code::OutOfOrderSequenceNumber {
                return Err(self.answer(batch, &cause, aborted));
            }
            mended = true;
        };
        failpoint::pass("replay.before_commit");
        self.commit()?;
        failpoint::pass("replay.after_commit");
        self.shared.watch.answered();
        Ok(offsets)
    }

    /// Everything but the commit.
    fn prepare(&self, batch: &[Outgoing], progress: i64) -> Result<Vec<i64>, Trouble> {
        let deadline = self.deadline();
        self.producer.expect(batch.len());
        self.begin()?;
        self.enqueue(batch, deadline)?;
        self.drain(batch, deadline)?;
        let offsets = offsets(self.producer.delivered(), batch)?;
        // Only now: the coordinator takes one change of a transaction at a time and makes a second one wait 100 ms.
        self.add_progress(progress, deadline)?;
        Ok(offsets)
    }

    fn begin(&self) -> Result<(), Trouble> {
        self.producer.begin_transaction().map_err(|f| Trouble::with_records(f.failure))
    }

    fn enqueue(&self, batch: &[Outgoing], deadline: Instant) -> Result<(), Trouble> {
        let mut topic: Option<(&TopicName, CString)> = None;
        for (place, record) in batch.iter().enumerate() {
            if topic.as_ref().is_none_or(|(name, _)| **name != record.topic) {
                let native = names::topics([&record.topic]).pop().ok_or_else(|| no_topic(&record.topic))?;
                topic = Some((&record.topic, native));
            }
            let Some((name, native)) = &topic else { continue };
            while let Err(failure) = self.producer.produce(place, native, record) {
                if failure.code != Code::QueueFull || Instant::now() >= deadline {
                    return Err(Trouble { step: Step::Records, failure, topic: Some((*name).clone()) });
                }
                self.producer.flush(LOOK);
            }
            if cfg!(debug_assertions) && place + 1 == batch.len().div_ceil(2) {
                self.drain(batch, deadline)?;
                failpoint::pass("replay.sending");
            }
        }
        Ok(())
    }

    /// Waits until it is known of every record what became of it.
    fn drain(&self, batch: &[Outgoing], deadline: Instant) -> Result<(), Trouble> {
        let begun = Instant::now();
        let mut asked = false;
        while !self.producer.flush(LOOK.min(left(deadline))) {
            if self.settings.transactional_id.is_some()
                && let Some(failure) = self.producer.transaction_trouble()
            {
                return Err(Trouble::with_records(failure));
            }
            if Instant::now() >= deadline {
                return Err(Trouble::with_records(Failure::timed_out()));
            }
            if !asked && begun.elapsed() >= SUSPICIOUS {
                asked = true;
                if let Some(gone) = self.gone(batch) {
                    return Err(gone);
                }
            }
        }
        Ok(())
    }

    fn add_progress(&self, progress: i64, deadline: Instant) -> Result<(), Trouble> {
        let offsets: TopicPartitionList = names::list([(&self.settings.progress, Offset::Offset(progress))]);
        if offsets.count() == 0 {
            return Err(no_topic(&self.settings.progress.topic));
        }
        again(deadline, || self.producer.send_offsets(&offsets, &self.group, left(deadline))).map_err(|failure| Trouble {
            step: Step::Progress,
            failure,
            topic: Some(self.settings.progress.topic.clone()),
        })
    }

    fn commit(&self) -> Result<(), SendError> {
        let deadline = self.deadline();
        again(deadline, || self.producer.commit_transaction(left(deadline))).map_err(|failure| match causes::meaning(failure.code) {
            Meaning::Fenced => SendError::Fenced(failure.words),
            _ => SendError::Undecided(self.silence(&failure)),
        })
    }

    /// Ends a transaction that shall not count, and finds out why it does not.
    fn give_up(&self, batch: &[Outgoing], trouble: Trouble) -> (Trouble, Result<(), SendError>) {
        let mut troubles = vec![trouble];
        troubles.extend(self.producer.transaction_trouble().map(Trouble::with_records));
        troubles.extend(failures(self.producer.delivered(), batch));
        let silent = troubles.iter().map(Trouble::meaning).max() <= Some(Meaning::Unreachable);
        let aborted = self.abort(if silent { Instant::now() + ABORT } else { self.deadline() });
        // The abort has waited for the rest of the reports.
        troubles.extend(failures(self.producer.delivered(), batch));
        let found = cause(troubles).expect("there is at least the trouble that was told");
        let gone = if silent { self.gone(batch) } else { None };
        (gone.unwrap_or(found), aborted)
    }

    fn answer(&self, batch: &[Outgoing], cause: &Trouble, aborted: Result<(), SendError>) -> SendError {
        match (aborted, cause.meaning()) {
            (Err(fenced @ SendError::Fenced(_)), _) => fenced,
            // It cannot go on with an open transaction.
            (Err(error), Meaning::Refused) => error,
            _ => self.explain(cause, batch),
        }
    }

    fn abort(&self, deadline: Instant) -> Result<(), SendError> {
        again(deadline, || self.producer.abort_transaction(left(deadline))).map_err(|failure| match causes::meaning(failure.code) {
            Meaning::Fenced => SendError::Fenced(failure.words),
            _ => SendError::Unreachable(format!("aborting a transaction: {}", self.silence(&failure))),
        })
    }

    /// A batch without a transaction.
    fn write(&self, batch: &[Outgoing]) -> Result<Vec<i64>, SendFailure> {
        let deadline = self.deadline();
        self.producer.expect(batch.len());
        let mut troubles: Vec<Trouble> =
            self.enqueue(batch, deadline).and_then(|()| self.drain(batch, deadline)).err().into_iter().collect();
        if !troubles.is_empty() {
            self.producer.purge();
            self.producer.flush(ABORT);
        }
        let deliveries = self.producer.delivered();
        if troubles.is_empty()
            && let Ok(offsets) = offsets(deliveries.clone(), batch)
        {
            return Ok(offsets);
        }
        let perhaps = deliveries.iter().any(|d| matches!(d, None | Some(Delivery::Failed { perhaps_written: true, .. })));
        let delivered = deliveries.iter().map(|d| if let Some(Delivery::Written(offset)) = d { Some(*offset) } else { None }).collect();
        troubles.extend(failures(deliveries, batch));
        let found = cause(troubles).unwrap_or_else(|| Trouble::with_records(Failure::timed_out()));
        let error = match found.meaning() {
            Meaning::Unreachable | Meaning::Other | Meaning::Consequence if perhaps => SendError::Undecided(self.silence(&found.failure)),
            _ => self.explain(&found, batch),
        };
        Err(SendFailure { error, delivered })
    }

    /// A target of the batch that is not there any more.
    fn gone(&self, batch: &[Outgoing]) -> Option<Trouble> {
        let mut asked: Vec<&TopicName> = Vec::new();
        for record in batch {
            if asked.contains(&&record.topic) {
                continue;
            }
            asked.push(&record.topic);
            if let Some(Err(failure)) = self.shared.describe_one(&record.topic, ASK) {
                let gone = Trouble { step: Step::Records, failure, topic: Some(record.topic.clone()) };
                if gone.meaning() >= Meaning::TargetGone {
                    return Some(gone);
                }
            }
        }
        None
    }

    fn explain(&self, trouble: &Trouble, batch: &[Outgoing]) -> SendError {
        let words = &trouble.failure.words;
        let place = || trouble.topic.as_ref().map_or_else(|| targets(batch), |topic| format!("the topic {topic}"));
        match trouble.meaning() {
            Meaning::Fenced => SendError::Fenced(words.clone()),
            Meaning::Denied => SendError::Denied(self.denial(trouble, &place())),
            Meaning::Refused => SendError::Refused(format!("{}: {words}", place())),
            Meaning::TargetGone => SendError::TargetGone(format!("{}: {words}", place())),
            Meaning::Unreachable => SendError::Unreachable(self.silence(&trouble.failure)),
            Meaning::Other if matches!(trouble.failure.code, Code::UnsupportedFeature | Code::UnsupportedVersion) => {
                SendError::Unsupported(words.clone())
            }
            Meaning::Other | Meaning::Consequence => SendError::Other(words.clone()),
        }
    }

    fn denial(&self, trouble: &Trouble, place: &str) -> String {
        let id = self.settings.transactional_id.as_deref().unwrap_or_default();
        match (trouble.failure.code, trouble.step) {
            (Code::TransactionalIdAuthorizationFailed, _) => format!("writing in transactions needs WRITE on the transactional id {id}"),
            (Code::GroupAuthorizationFailed, _) => format!("keeping the progress needs READ on the group {}", self.settings.group),
            (Code::ClusterAuthorizationFailed, _) => "writing without loss needs IDEMPOTENT_WRITE on the cluster".to_owned(),
            (Code::TopicAuthorizationFailed, Step::Progress) => format!("keeping the progress needs READ on {place}"),
            (Code::TopicAuthorizationFailed, Step::Records) => format!("writing needs WRITE on {place}"),
            _ => format!("the login was refused while sending: {}", trouble.failure.words),
        }
    }

    /// Why nobody answers, in the words of the connections where they tell.
    fn silence(&self, failure: &Failure) -> String {
        self.shared.watch.recent_reason().unwrap_or_else(|| failure.words.clone())
    }
}

/// A transaction that its coordinator has ended (else no producer of the same name could have been opened) and that the log still
/// shows open. It passes by itself within moments, or never: then the markers were lost with a broker.
fn unended(group: &GroupName) -> String {
    format!(
        "a transaction that carried the progress of group {group} is not ended on the bus. If this stays for minutes, its markers were lost \
         with a broker (a hanging transaction, KIP-664): find it by kafka-transactions.sh find-hanging and abort it on the target and on \
         __consumer_offsets; the replay then goes on by itself and sends that batch once more, as nobody can have read it"
    )
}

/// The offset of every record, or the first reason why there is none.
fn offsets(deliveries: Vec<Option<Delivery>>, batch: &[Outgoing]) -> Result<Vec<i64>, Trouble> {
    let all: Option<Vec<i64>> =
        deliveries.iter().map(|d| if let Some(Delivery::Written(offset)) = d { Some(*offset).filter(|o| *o >= 0) } else { None }).collect();
    all.ok_or_else(|| {
        cause(failures(deliveries, batch)).unwrap_or_else(|| {
            // After a lost answer the broker may tell that a record is there, but not where.
            let words = "the offset of a record was not told".to_owned();
            Trouble::with_records(Failure { code: Code::RequestTimedOut, words })
        })
    })
}

fn failures(deliveries: Vec<Option<Delivery>>, batch: &[Outgoing]) -> Vec<Trouble> {
    let failed = deliveries.into_iter().zip(batch).filter_map(|(delivery, record)| match delivery {
        Some(Delivery::Failed { failure, .. }) => Some(Trouble { step: Step::Records, failure, topic: Some(record.topic.clone()) }),
        _ => None,
    });
    failed.collect()
}

fn no_topic(topic: &TopicName) -> Trouble {
    let failure = Failure { code: Code::UnknownTopic, words: "no topic can have this name".to_owned() };
    Trouble { step: Step::Records, failure, topic: Some(topic.clone()) }
}

fn targets(batch: &[Outgoing]) -> String {
    let mut topics: Vec<&str> = batch.iter().map(|r| r.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    match topics.as_slice() {
        [one] => format!("the topic {one}"),
        many => format!("the topics {}", many.join(", ")),
    }
}

fn ended() -> SendError {
    SendError::Other("this sender has failed before; a new one must be opened".to_owned())
}

fn whole(error: SendError) -> SendFailure {
    SendFailure { error, delivered: Vec::new() }
}
